//! Our questions to the DNS and its answers; [`message`] reads those of the wire.
//!
//! A question is asked by a machine as an action; the daemon's resolver answers it. An answer is
//! either *definite* (records, NODATA, NXDOMAIN) or trouble: the two are never merged, since
//! uncertainty must not reject (DRAFT-GAPS 7). Aliases are followed for every question by
//! [`chase`], the same rule for the real resolver and for the worlds of the tests.

pub mod message;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::addr::Domain;

/// CNAMEs followed for one question; one more, or a loop, is [`Lookup::AliasLimit`]. A chain this
/// long is already a mistake, and each link can cost a query to another party's servers.
pub const MAX_ALIASES: usize = 8;

/// The longest name on the wire, root label included (RFC 1035 §3.1).
pub const MAX_WIRE_NAME: usize = 255;

/// A domain name in presentation form: lower case, dots between labels, none at the end; the root
/// is empty. Octets that are not printable ASCII stand as `\DDD` (RFC 1035 §5.1). Its text is shared:
/// a name stands in questions, answers, steps and tables, and a copy costs nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no DNS name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNameError {
    /// Two dots in a row, or one in front.
    #[error("empty label")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("label longer than 63 octets")]
    LabelTooLong,
    /// More than 255 octets on the wire.
    #[error("name longer than 255 octets")]
    TooLong,
    /// A blank, control or non-ASCII character, or a backslash without its three digits.
    #[error("character that does not belong in a name")]
    Character,
}

impl Name {
    /// The root of the tree; as an exchange, "there is no host" (RFC 7505).
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// Reads presentation form; one dot at the end is taken and dropped.
    pub fn parse(text: &str) -> Result<Self, ParseNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Ok(Self::root());
        }
        if wire_length(text)? > MAX_WIRE_NAME {
            return Err(ParseNameError::TooLong);
        }
        Ok(Self(lower(text)))
    }

    /// The name of these labels, each the octets that it has on the wire, from the left.
    pub fn from_labels<'a>(
        labels: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, ParseNameError> {
        // Longer than most names are.
        let mut text = String::with_capacity(80);
        let mut length = 1_usize;
        for label in labels {
            match label.len() {
                0 => return Err(ParseNameError::EmptyLabel),
                64.. => return Err(ParseNameError::LabelTooLong),
                octets => length = length.saturating_add(octets).saturating_add(1),
            }
            if length > MAX_WIRE_NAME {
                return Err(ParseNameError::TooLong);
            }
            if !text.is_empty() {
                text.push('.');
            }
            push_label(&mut text, label);
        }
        Ok(Self(Arc::from(text)))
    }

    /// `<label>.<self>`, or why that is no name.
    pub fn child(&self, label: &str) -> Result<Self, ParseNameError> {
        if self.is_root() {
            return Self::parse(label);
        }
        // The root label of one of them is the other.
        let length = wire_length(label)?.saturating_add(self.wire_length());
        if length > MAX_WIRE_NAME.saturating_add(1) {
            return Err(ParseNameError::TooLong);
        }
        let mut text = String::with_capacity(length);
        text.push_str(label);
        text.make_ascii_lowercase();
        text.push('.');
        text.push_str(&self.0);
        Ok(Self(Arc::from(text)))
    }

    /// The labels from the left; none for the root.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        // A dot inside a label would stand as \046, so every dot here separates.
        self.0.split('.').filter(|_| !self.is_root())
    }

    /// True for the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Octets on the wire, root label included.
    pub fn wire_length(&self) -> usize {
        if self.is_root() {
            return 1;
        }
        let escapes = self.0.bytes().filter(|octet| *octet == b'\\').count();
        // A length before each label takes the place of the dot after it, but for the last.
        let labels = self.0.len().saturating_sub(escapes.saturating_mul(3));
        labels.saturating_add(2)
    }

    /// Presentation form, without a dot at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Octets on the wire of a text in presentation form, root label included.
fn wire_length(text: &str) -> Result<usize, ParseNameError> {
    if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(ParseNameError::Character);
    }
    let mut octets = text.bytes();
    let (mut label, mut length) = (0_usize, 1_usize);
    loop {
        match octets.next() {
            Some(b'\\') => {
                let mut digit = || octets.next().filter(u8::is_ascii_digit);
                let digits = [digit(), digit(), digit()];
                let ([Some(b'0'..=b'1'), Some(_), Some(_)]
                | [Some(b'2'), Some(b'0'..=b'4'), Some(_)]
                | [Some(b'2'), Some(b'5'), Some(b'0'..=b'5')]) = digits
                else {
                    return Err(ParseNameError::Character);
                };
                label = label.saturating_add(1);
            }
            end @ (Some(b'.') | None) => {
                match label {
                    0 => return Err(ParseNameError::EmptyLabel),
                    64.. => return Err(ParseNameError::LabelTooLong),
                    _ => length = length.saturating_add(label).saturating_add(1),
                }
                if end.is_none() {
                    return Ok(length);
                }
                label = 0;
            }
            Some(_) => label = label.saturating_add(1),
        }
    }
}

/// The text in lower case, to be shared.
fn lower(text: &str) -> Arc<str> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        text.to_ascii_lowercase().into()
    } else {
        text.into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&Domain> for Name {
    /// A [`Domain`] is in A-label form and of legal length already.
    fn from(domain: &Domain) -> Self {
        Self(domain.shared_ascii())
    }
}

/// The record types that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Mail exchange.
    Mx,
    /// Text.
    Txt,
    /// The name that an address stands for.
    Ptr,
    /// Which keys a service may have (RFC 6698).
    Tlsa,
    /// Who answers for a zone.
    Ns,
}

/// Whether a cached answer will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Any answer within its TTL.
    Cached,
    /// Past our own cache: only what a server says now (PROTOCOLS A.2 step 6).
    Fresh,
}

/// A question to the DNS, class IN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// Owner name.
    pub name: Name,
    /// Type.
    pub kind: RecordType,
    /// Whether a cached answer will do.
    pub freshness: Freshness,
}

/// One MX record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mx {
    /// Preference; the lower is the better.
    pub preference: u16,
    /// Exchange; the root in a null MX (RFC 7505).
    pub exchange: Name,
}

/// One TLSA record (RFC 6698 §2.1), its numbers as they came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tlsa {
    /// Certificate usage.
    pub usage: u8,
    /// Selector: what of a certificate is meant.
    pub selector: u8,
    /// Matching type: how it stands in the data.
    pub matching: u8,
    /// Certificate association data.
    pub data: Box<[u8]>,
}

/// The records found, all of the type that was asked for and at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Records {
    /// IPv4 addresses.
    A(Vec<Ipv4Addr>),
    /// IPv6 addresses.
    Aaaa(Vec<Ipv6Addr>),
    /// Mail exchanges, in the order of the answer.
    Mx(Vec<Mx>),
    /// Texts: one entry a record, its character-strings joined.
    Txt(Vec<Box<[u8]>>),
    /// Names that an address stands for, in the order of the answer.
    Ptr(Vec<Name>),
    /// Keys that a service may have.
    Tlsa(Vec<Tlsa>),
    /// Hosts that answer for a zone, in the order of the answer.
    Ns(Vec<Name>),
}

/// Trouble: nothing is known, and nothing may be concluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// The server failed.
    ServFail,
    /// The server refused, or does not implement the question.
    Refused,
    /// No answer in time, or no server to be reached.
    Timeout,
    /// The signatures do not hold.
    Bogus,
    /// An answer that cannot be read, or does not belong to the question.
    Unreadable,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServFail => "SERVFAIL",
            Self::Refused => "REFUSED",
            Self::Timeout => "timeout",
            Self::Bogus => "bogus",
            Self::Unreadable => "unreadable answer",
        })
    }
}

/// What a question found at the end of its aliases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Records of the type that was asked for.
    Found(Records),
    /// The name exists, without records of the type. Definite.
    NoData,
    /// The name does not exist. Definite.
    NxDomain,
    /// More than [`MAX_ALIASES`] aliases, or a loop of them. Definite, and the owner's mistake.
    AliasLimit,
    /// Not to be had now.
    Trouble(Trouble),
}

/// An answer, with what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was found.
    pub lookup: Lookup,
    /// The aliases followed: each the name that the one before it (first, the question's) is an
    /// alias of.
    pub aliases: Vec<Name>,
    /// Seconds for which the answer may still be used: the least over all of it.
    pub ttl: u32,
    /// Seconds since a server gave it; 0 when it did not come from our cache.
    pub age: u32,
    /// A validating resolver vouches for it (the AD bit from one we trust).
    pub secure: bool,
    /// Labels field of the RRSIG over the records, if one came: fewer than the owner's labels
    /// means that a wildcard made them (RFC 4034 §3.1.3).
    pub signed_labels: Option<u8>,
}

impl Answer {
    /// Trouble, with nothing else to say.
    pub fn trouble(trouble: Trouble) -> Self {
        Self::bare(Lookup::Trouble(trouble))
    }

    /// Only what was found: no aliases, TTL 0, fresh, not secure.
    pub fn bare(lookup: Lookup) -> Self {
        Self {
            lookup,
            aliases: Vec::new(),
            ttl: 0,
            age: 0,
            secure: false,
            signed_labels: None,
        }
    }
}

/// One alias record as a server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Owner.
    pub owner: Name,
    /// What it is an alias of.
    pub target: Name,
}

/// Where following aliases has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chase {
    /// At this name no alias of the answer leads on: its records, if any, are the result.
    At(Name),
    /// More than [`MAX_ALIASES`], or back at a name already seen.
    AliasLimit,
}

/// Follows the aliases of one answer section from `from`, in whatever order they stand, adding
/// each to `followed` (which holds those of earlier answers to the same question). Of two aliases
/// for one owner, which no zone may have (RFC 2181 §10.1), the first by name is taken.
pub fn chase(from: &Name, section: &[Alias], asked: &Name, followed: &mut Vec<Name>) -> Chase {
    let mut at = from.clone();
    let alias_of = |at: &Name| {
        let of_owner = section.iter().filter(|alias| alias.owner == *at);
        of_owner.min_by(|a, b| a.target.cmp(&b.target))
    };
    while let Some(alias) = alias_of(&at) {
        if followed.len() >= MAX_ALIASES
            || alias.target == *asked
            || followed.contains(&alias.target)
        {
            return Chase::AliasLimit;
        }
        followed.push(alias.target.clone());
        at = alias.target.clone();
    }
    Chase::At(at)
}

/// `0 mail.example.org`, for logs and steps.
impl fmt::Display for Mx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.preference, self.exchange)
    }
}

/// `3 1 1 92003ba3…`, in presentation form (RFC 6698 §2.2), for logs and steps.
impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data
            .iter()
            .try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// `name TYPE`, for logs and steps.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
            Self::Tlsa => "TLSA",
            Self::Ns => "NS",
        })
    }
}

/// Writes one label's octets into `into` in presentation form, lower-cased.
pub fn push_label(into: &mut String, octets: &[u8]) {
    for octet in octets {
        match octet {
            b'.' | b'\\' | 0..=0x20 | 0x7f.. => {
                // Writing to a String cannot fail.
                let _ = write!(into, "\\{octet:03}");
            }
            octet => into.push(char::from(octet.to_ascii_lowercase())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_lower_case_without_the_last_dot() {
        assert_eq!(
            name("Mail-From.Example.ORG.").as_str(),
            "mail-from.example.org"
        );
        assert_eq!(name("."), Name::root());
        assert_eq!(Name::root().wire_length(), 1);
        assert_eq!(name("a.bc").wire_length(), 6);
        assert_eq!(Name::parse("a..b"), Err(ParseNameError::EmptyLabel));
        assert_eq!(Name::parse("a b"), Err(ParseNameError::Character));
        assert_eq!(name("a\\046b.c").wire_length(), 7);
        for text in ["a\\", "a\\04", "a\\4b6", "a\\256", "\\\\"] {
            assert_eq!(Name::parse(text), Err(ParseNameError::Character), "{text}");
        }
        assert_eq!(
            Name::parse(&"a".repeat(64)),
            Err(ParseNameError::LabelTooLong)
        );
        let long = vec!["a".repeat(62); 4].join(".");
        assert_eq!(name(&long).wire_length(), 253);
        assert_eq!(name(&long).child("bb"), Err(ParseNameError::TooLong));
    }

    #[test]
    fn aliases_end_in_a_name_or_at_the_limit() {
        let alias = |owner: &str, target: &str| Alias {
            owner: name(owner),
            target: name(target),
        };
        let mut followed = Vec::new();
        let section = [alias("b", "c"), alias("a", "b")];
        assert_eq!(
            chase(&name("a"), &section, &name("a"), &mut followed),
            Chase::At(name("c"))
        );
        assert_eq!(followed, [name("b"), name("c")]);
        let looped = [alias("a", "b"), alias("b", "a")];
        assert_eq!(
            chase(&name("a"), &looped, &name("a"), &mut Vec::new()),
            Chase::AliasLimit
        );
        let chain: Vec<_> = (0..9)
            .map(|n| alias(&format!("n{n}"), &format!("n{}", n + 1)))
            .collect();
        assert_eq!(
            chase(&name("n0"), &chain[..8], &name("n0"), &mut Vec::new()),
            Chase::At(name("n8"))
        );
        assert_eq!(
            chase(&name("n0"), &chain, &name("n0"), &mut Vec::new()),
            Chase::AliasLimit
        );
    }
}
