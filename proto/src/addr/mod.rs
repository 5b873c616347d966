//! Addresses as SMTP writes them: domains, mailboxes, reverse-paths, forward-paths.
//!
//! A value of these types has been parsed once and is not parsed again. Each keeps the text that
//! came, because a relay passes on what it was given, and compares by meaning: domains as A-labels
//! in lower case (RFC 5890, UTS 46 non-transitional), local-parts octet by octet without quoting
//! (RFC 5321 §2.4, §4.1.2).
//!
//! Taken though the grammar of RFC 5321 §4.1.2 does not: dots anywhere in an unquoted local-part
//! and, before a domain, local-parts beyond 64 octets (both in daily use: telephone companies, VERP,
//! SRS), underscores in domains, a dot at a domain's end, a source route (dropped, §4.1.1.3). Nothing
//! of that can change who is meant.
//!
//! Left to others: whether an address may be used at all, and SMTPUTF8's permission to be non-ASCII.

mod domain;
mod path;

pub use domain::{Domain, MailDomain, ParseDomainError};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::hash::{Hash, Hasher};

use path::{Inside, check_printable, parse_inside, split_path};

/// Octets of a path between and including its brackets (RFC 5321 §4.5.3.1.3).
pub const MAX_PATH: usize = 256;

/// Octets of a domain in text (RFC 5321 §4.5.3.1.2); the DNS itself takes 253.
pub const MAX_DOMAIN: usize = 255;

/// Octets of a local-part without a domain: local software has no reason to go beyond the limit of
/// RFC 5321 §4.5.3.1.1.
const MAX_BARE: usize = 64;

/// A local-part as it came, quotes and all; equal if the same once unquoted (RFC 5321 §4.1.2).
#[derive(Clone)]
pub struct LocalPart(Box<str>);

impl LocalPart {
    /// The text as it came.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without quoting: what the receiving host means by it.
    pub fn unquoted(&self) -> Cow<'_, str> {
        let Some(inside) = self
            .0
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
        else {
            return Cow::Borrowed(&self.0);
        };
        if !inside.contains('\\') {
            return Cow::Borrowed(inside);
        }
        let mut plain = String::with_capacity(inside.len());
        let mut characters = inside.chars();
        while let Some(character) = characters.next() {
            plain.extend(if character == '\\' {
                characters.next()
            } else {
                Some(character)
            });
        }
        Cow::Owned(plain)
    }
}

impl PartialEq for LocalPart {
    fn eq(&self, other: &Self) -> bool {
        self.unquoted() == other.unquoted()
    }
}
impl Eq for LocalPart {}
impl PartialOrd for LocalPart {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for LocalPart {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.unquoted().cmp(&other.unquoted())
    }
}
impl Hash for LocalPart {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unquoted().hash(state);
    }
}
impl fmt::Display for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for LocalPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `local-part@domain`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mailbox {
    /// Left of the `@`.
    pub local_part: LocalPart,
    /// Right of it.
    pub domain: MailDomain,
}

impl Mailbox {
    /// Reads `local@domain`, without brackets.
    pub fn parse(text: &str) -> Result<Self, ParsePathError> {
        let inside = parse_inside(text)?;
        check_printable(text)?;
        match inside {
            Inside::Mailbox(mailbox) => Ok(mailbox),
            Inside::Bare(_) | Inside::Empty => Err(ParsePathError::NoDomain),
        }
    }

    /// True when all of it is ASCII, so that a hop without SMTPUTF8 can take it.
    pub fn is_ascii(&self) -> bool {
        self.local_part.0.is_ascii()
            && match &self.domain {
                MailDomain::Name(domain) => domain.as_str().is_ascii(),
                MailDomain::Literal(_) => true,
                MailDomain::Unusable(text) => text.is_ascii(),
            }
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local_part, self.domain)
    }
}

/// The argument of MAIL FROM. Cannot be made but by parsing, or as [`ReversePath::Null`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReversePath {
    /// `<>`: a notification; nothing is ever reported to it (RFC 5321 §4.5.5).
    Null,
    /// An ordinary mailbox.
    Mailbox(Mailbox),
    /// A local-part alone, as local software writes it; no domain answers for it.
    Bare(LocalPart),
}

/// The argument of RCPT TO.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardPath {
    /// An ordinary mailbox.
    Mailbox(Mailbox),
    /// `<postmaster>` without a domain (RFC 5321 §4.5.1).
    Postmaster,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePathError {
    /// No `<` in front, or no `>` behind.
    #[error("path is not enclosed in angle brackets")]
    Brackets,
    /// More than [`MAX_PATH`] octets.
    #[error("path too long")]
    TooLong,
    /// `@a,@b:` that is not one.
    #[error("malformed source route")]
    Route,
    /// Something no local-part has, at this octet of the path.
    #[error("character at octet {0} does not belong in a local-part")]
    LocalPart(usize),
    /// No local-part at all.
    #[error("empty local-part")]
    NoLocalPart,
    /// No domain where one must be.
    #[error("no domain")]
    NoDomain,
    /// What stands behind the `@` is no domain.
    #[error(transparent)]
    Domain(#[from] ParseDomainError),
    /// `[...]` that holds no address.
    #[error("malformed address literal")]
    Literal,
}

impl ReversePath {
    /// Reads `<...>` at the start of `text`; what stands behind the `>` comes back too.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), ParsePathError> {
        let (inside, rest) = split_path(text)?;
        let path = Self::parse_inside(inside)?;
        check_printable(inside)?;
        match path {
            // Our own name is still to follow where it goes on.
            Self::Bare(local_part) if local_part.0.len() > MAX_BARE => Err(ParsePathError::TooLong),
            path => Ok((path, rest)),
        }
    }

    /// Reads what stands between the brackets; nothing is the null reverse-path.
    pub fn parse_inside(text: &str) -> Result<Self, ParsePathError> {
        Ok(match parse_inside(text)? {
            Inside::Empty => Self::Null,
            Inside::Bare(local_part) => Self::Bare(local_part),
            Inside::Mailbox(mailbox) => Self::Mailbox(mailbox),
        })
    }

    /// `<postmaster@domain>`, which every domain with mail has (RFC 5321 §4.5.1): stands for the
    /// domain where only that is asked about.
    pub fn postmaster_of(domain: &Domain) -> Self {
        Self::Mailbox(Mailbox {
            local_part: LocalPart(POSTMASTER.into()),
            domain: MailDomain::Name(domain.clone()),
        })
    }

    /// True for `<>`.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The domain that answers for it, if there is one the DNS can be asked about.
    pub fn domain(&self) -> Option<&Domain> {
        if let Self::Mailbox(mailbox) = self {
            mailbox.domain.name()
        } else {
            None
        }
    }

    /// True when all of it is ASCII.
    pub fn is_ascii(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Mailbox(mailbox) => mailbox.is_ascii(),
            Self::Bare(local_part) => local_part.0.is_ascii(),
        }
    }
}

/// Without brackets; the null reverse-path is empty.
impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Mailbox(mailbox) => mailbox.fmt(f),
            Self::Bare(local_part) => local_part.fmt(f),
        }
    }
}

impl ForwardPath {
    /// True for the postmaster of this host or of a domain (RFC 5321 §4.5.1).
    pub fn is_postmaster(&self) -> bool {
        match self {
            Self::Mailbox(mailbox) => mailbox
                .local_part
                .unquoted()
                .eq_ignore_ascii_case(POSTMASTER),
            Self::Postmaster => true,
        }
    }

    /// Reads `<...>` at the start of `text`; what stands behind the `>` comes back too.
    pub fn parse_prefix(text: &str) -> Result<(Self, &str), ParsePathError> {
        let (inside, rest) = split_path(text)?;
        let path = Self::parse_inside(inside)?;
        check_printable(inside)?;
        Ok((path, rest))
    }

    /// Reads what stands between the brackets. A local-part alone is taken only for postmaster.
    pub fn parse_inside(text: &str) -> Result<Self, ParsePathError> {
        match parse_inside(text)? {
            Inside::Empty => Err(ParsePathError::NoLocalPart),
            Inside::Bare(local_part)
                if local_part.unquoted().eq_ignore_ascii_case("postmaster") =>
            {
                Ok(Self::Postmaster)
            }
            Inside::Bare(_) => Err(ParsePathError::NoDomain),
            Inside::Mailbox(mailbox) => Ok(Self::Mailbox(mailbox)),
        }
    }

    /// The domain, if it is a name.
    pub fn domain(&self) -> Option<&Domain> {
        if let Self::Mailbox(mailbox) = self {
            mailbox.domain.name()
        } else {
            None
        }
    }

    /// True when all of it is ASCII.
    pub fn is_ascii(&self) -> bool {
        if let Self::Mailbox(mailbox) = self {
            mailbox.is_ascii()
        } else {
            true
        }
    }
}

/// Without brackets.
impl fmt::Display for ForwardPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mailbox(mailbox) => mailbox.fmt(f),
            Self::Postmaster => f.write_str("postmaster"),
        }
    }
}

/// The local-part that every domain with mail has (RFC 5321 §4.5.1).
const POSTMASTER: &str = "postmaster";

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{format, vec};

    #[test]
    fn reverse_paths_that_are_taken() {
        for (text, shown, domain) in [
            ("<>", "", None),
            ("<a@example.org>", "a@example.org", Some("example.org")),
            ("<a@Example.ORG.>", "a@Example.ORG", Some("example.org")),
            (
                "<\"a@b >\"@example.org>",
                "\"a@b >\"@example.org",
                Some("example.org"),
            ),
            (
                "<@x.example,@y.example:a@example.org>",
                "a@example.org",
                Some("example.org"),
            ),
            ("<postmaster>", "postmaster", None),
            ("<a@[192.0.2.1]>", "a@[192.0.2.1]", None),
            ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", None),
            (
                "<a..b.@docs.example>",
                "a..b.@docs.example",
                Some("docs.example"),
            ),
            (
                "<é@bücher.example>",
                "é@bücher.example",
                Some("xn--bcher-kva.example"),
            ),
            (
                "<a@faß.example>",
                "a@faß.example",
                Some("xn--fa-hia.example"),
            ),
            ("<a@xn--a.example>", "a@xn--a.example", None),
            ("<a@_spf.example>", "a@_spf.example", Some("_spf.example")),
        ] {
            let line = format!("{text} SIZE=1");
            let (path, rest) = ReversePath::parse_prefix(&line).unwrap();
            assert_eq!(path.to_string(), shown, "{text}");
            assert_eq!(path.domain().map(Domain::as_ascii), domain, "{text}");
            assert_eq!(rest, " SIZE=1");
        }
    }

    #[test]
    fn paths_that_are_refused() {
        let long = format!("<{}@example.org>", "a".repeat(300));
        let bare = format!("<{}>", "a".repeat(65));
        for (text, error) in [
            ("a@b", ParsePathError::Brackets),
            ("<a@b", ParsePathError::Brackets),
            ("<a b@c>", ParsePathError::LocalPart(1)),
            ("<\"a\u{7}\"@c>", ParsePathError::LocalPart(2)),
            ("<\"a\"b@c>", ParsePathError::LocalPart(3)),
            ("<@c>", ParsePathError::Route),
            ("<@a,b:c@d>", ParsePathError::Route),
            ("<a@>", ParsePathError::NoDomain),
            (
                "<a@b..c>",
                ParsePathError::Domain(ParseDomainError::EmptyLabel),
            ),
            (
                "<a@b@c>",
                ParsePathError::Domain(ParseDomainError::Character(1)),
            ),
            (
                "<a@b\u{93}.example>",
                ParsePathError::Domain(ParseDomainError::Character(3)),
            ),
            ("<a@[1.2.3]>", ParsePathError::Literal),
            ("<a@[IPv6:::g]>", ParsePathError::Literal),
            (long.as_str(), ParsePathError::TooLong),
            (bare.as_str(), ParsePathError::TooLong),
        ] {
            assert_eq!(
                ReversePath::parse_prefix(text).unwrap_err(),
                error,
                "{text}"
            );
        }
    }

    /// What was once taken into the queue can be read there for ever.
    #[test]
    fn what_is_refused_now_can_still_be_read_back() {
        let bare = "a".repeat(65);
        for text in ["a@b\u{93}.example", bare.as_str()] {
            assert!(ReversePath::parse_prefix(&format!("<{text}>")).is_err());
            let path = ReversePath::parse_inside(text).unwrap();
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn only_postmaster_receives_without_a_domain() {
        let read = |text| ForwardPath::parse_inside(text);
        assert_eq!(read("PostMaster"), Ok(ForwardPath::Postmaster));
        assert_eq!(read("\"postmaster\""), Ok(ForwardPath::Postmaster));
        assert_eq!(read("root"), Err(ParsePathError::NoDomain));
        assert_eq!(read(""), Err(ParsePathError::NoLocalPart));
    }

    #[test]
    fn equality_is_of_meaning() {
        let same = [
            Mailbox::parse("ab@X.example"),
            Mailbox::parse("\"a\\b\"@x.EXAMPLE"),
        ];
        assert_eq!(same[0], same[1]);
        assert_ne!(
            Mailbox::parse("Ab@x.example"),
            Mailbox::parse("ab@x.example")
        );
        assert_eq!(
            Domain::parse("bücher.example"),
            Domain::parse("XN--BCHER-KVA.example")
        );
    }

    #[test]
    fn a_domain_the_dns_cannot_hold_is_taken_as_unusable() {
        let long = vec!["a".repeat(60); 4].join(".") + ".abcdefghij";
        for text in [long.as_str(), &"a".repeat(64)] {
            let mailbox = MailDomain::parse(text).unwrap();
            assert!(matches!(mailbox, MailDomain::Unusable(_)), "{text}");
        }
    }
}
