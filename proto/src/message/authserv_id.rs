//! Who an `Authentication-Results` field claims to come from (RFC 8601 §2.2), read octet by octet.
//!
//! Only the field's first part is read: the authserv-id with its version, comments and folds, up to
//! the first `;` that ends it. What does not follow the grammar is not read as a claim, but taken
//! apart into words, any of which somebody less strict might take for the claim.
//!
//! Left to the filter: which octets belong to the field, and how many are worth reading.

use alloc::vec::Vec;

use crate::addr::Domain;

/// Reads the part of a field behind its colon.
#[derive(Clone, Debug, Default)]
pub struct AuthservId {
    /// Where in the grammar it is.
    at: At,
    /// Comments that are open; they nest (RFC 5322 §3.2.2).
    comments: usize,
    /// A backslash in a comment: the next octet is only itself.
    escaped: bool,
    /// The id as far as it is read, without quotes and backslashes.
    id: Vec<u8>,
}

/// Where in the grammar the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before the id.
    #[default]
    Start,
    /// In an id without quotes.
    Token,
    /// In an id in quotes.
    Quoted,
    /// In an id in quotes, behind a backslash.
    QuotedPair,
    /// Behind the id.
    Behind,
    /// In the version.
    Version,
    /// Behind the version.
    Tail,
    /// Outside of the grammar.
    Astray,
}

impl AuthservId {
    /// Takes the next octet of the field's body; true if it is the `;` behind which nothing speaks
    /// of the id any more.
    pub fn read(&mut self, octet: u8) -> bool {
        if self.comments > 0 {
            self.read_comment(octet);
            return false;
        }
        let blank = is_blank(octet);
        let ends = octet == b';' && !matches!(self.at, At::Quoted | At::QuotedPair);
        self.at = match (self.at, octet) {
            // A field without an id strays from the grammar too.
            (At::Astray, _) | (At::Start, b';') => At::Astray,
            (At::Quoted, b'"') => At::Behind,
            (At::Quoted, b'\\') => At::QuotedPair,
            // A fold is a blank and no more (RFC 5322 §3.2.4).
            (At::Quoted, b'\r' | b'\n') => At::Quoted,
            (At::Quoted | At::QuotedPair, _) => {
                self.id.push(octet);
                At::Quoted
            }
            (at, b';') => at,
            (At::Start, _) if blank => At::Start,
            (At::Start, b'(') => self.comment(At::Start),
            (At::Start, b'"') => At::Quoted,
            (At::Start | At::Token, _) if is_token(octet) => {
                self.id.push(octet);
                At::Token
            }
            (At::Token | At::Behind, b'(') => self.comment(At::Behind),
            (At::Token | At::Behind, _) if blank => At::Behind,
            (At::Behind | At::Version, b'0'..=b'9') => At::Version,
            (At::Version | At::Tail, b'(') => self.comment(At::Tail),
            (At::Version | At::Tail, _) if blank => At::Tail,
            _ => At::Astray,
        };
        ends
    }

    /// One octet of a comment.
    const fn read_comment(&mut self, octet: u8) {
        if self.escaped {
            self.escaped = false;
            return;
        }
        match octet {
            b'\\' => self.escaped = true,
            b'(' => self.comments = self.comments.saturating_add(1),
            b')' => self.comments = self.comments.saturating_sub(1),
            _ => {}
        }
    }

    /// Opens a comment, behind which it goes on at `at`.
    const fn comment(&mut self, at: At) -> At {
        self.comments = 1;
        at
    }

    /// Whether `body`, which is all that was read, claims to come from `ours`, or might be taken to
    /// by somebody: at the end of the field, or behind the `;`.
    pub fn claims(&self, body: &[u8], ours: &Domain) -> bool {
        match self.id() {
            Some(id) => is_same(id, ours),
            None => words(body).any(|word| is_same(word, ours)),
        }
    }

    /// The id, if what was read follows the grammar.
    pub fn id(&self) -> Option<&str> {
        let whole = match self.at {
            At::Token | At::Behind | At::Version | At::Tail => self.comments == 0,
            At::Start | At::Quoted | At::QuotedPair | At::Astray => false,
        };
        let id = core::str::from_utf8(&self.id).ok()?;
        whole.then_some(id)
    }
}

/// The same name in any case, as A- or U-labels, with a dot at the end or blanks around it.
fn is_same(id: &str, ours: &Domain) -> bool {
    let id = id.trim_matches(|character: char| character.is_whitespace() || character == '.');
    match Domain::parse(id) {
        Ok(id) => id == *ours,
        Err(_) => id.eq_ignore_ascii_case(ours.as_ascii()),
    }
}

/// All that could be a name.
fn words(octets: &[u8]) -> impl Iterator<Item = &str> {
    octets
        .split(|octet| !is_of_name(*octet))
        .filter_map(|word| core::str::from_utf8(word).ok())
}

/// What a domain is made of, in UTF-8.
const fn is_of_name(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.') || octet >= 0x80
}

/// Blanks and the ends of folded lines.
const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// RFC 2045 §5.1's token, and UTF-8 (RFC 8616 §4).
pub(super) const fn is_token(octet: u8) -> bool {
    let special = matches!(
        octet,
        b'(' | b')'
            | b'<'
            | b'>'
            | b'@'
            | b','
            | b';'
            | b':'
            | b'\\'
            | b'"'
            | b'/'
            | b'['
            | b']'
            | b'?'
            | b'='
    );
    octet > b' ' && octet != 0x7F && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> AuthservId {
        let mut id = AuthservId::default();
        let _ = body.iter().any(|octet| id.read(*octet));
        id
    }

    /// Of a body, what is read.
    fn part(body: &[u8]) -> &[u8] {
        let mut id = AuthservId::default();
        let end = body.iter().position(|octet| id.read(*octet));
        &body[..end.unwrap_or(body.len())]
    }

    #[test]
    fn the_id_is_found_behind_comments_quotes_and_folds() {
        for (body, expected) in [
            (" mx.example.org; spf=pass", Some("mx.example.org")),
            ("mx.example.org;none", Some("mx.example.org")),
            (" mx.example.org 1; none", Some("mx.example.org")),
            (" mx.example.org", Some("mx.example.org")),
            (
                " (a (b;) \\) c)\r\n\tmx.example.org (d)\r\n 1 (e) ; x",
                Some("mx.example.org"),
            ),
            (" mx.example.org(;)1(;);", Some("mx.example.org")),
            (" \"mx.\\example.org\" ;", Some("mx.example.org")),
            (" \"a;b\";", Some("a;b")),
            (" \"a\r\n b\";", Some("a b")),
            (" bücher.example;", Some("bücher.example")),
            (" a*b;", Some("a*b")),
            ("", None),
            (" ; spf=pass", None),
            (" spf=pass (x) smtp.mailfrom=a;", None),
            (" (mx.example.org; spf=pass", None),
            (" \"mx.example.org; spf=pass", None),
            (" mx.example.org one;", None),
            (" mx.example.org 1 2;", None),
            (" mx.example.org/1;", None),
            (" mx.example.org\"\";", None),
            (" \"a\"b;", None),
            (" a@b;", None),
        ] {
            assert_eq!(read(body.as_bytes()).id(), expected, "{body:?}");
        }
        assert_eq!(read(b" \xFF;").id(), None);
    }

    #[test]
    fn ours_is_known_in_every_disguise() {
        let ours = Domain::parse("mx.bücher.example").unwrap();
        for (body, claims) in [
            (" mx.bücher.example;", true),
            (" MX.XN--BCHER-KVA.Example 1;", true),
            (" \"mx.B\u{dc}CHER.example\";", true),
            (" \" mx.bücher.example. \";", true),
            (" (x) mx.bücher.example.;", true),
            (" \u{ff4d}x.bücher.example;", true),
            // Not by the grammar, but to somebody.
            (" mx.bücher.example spf=pass;", true),
            (" mx.bücher.example/1;", true),
            (" (mx.bücher.example; spf=pass", true),
            (" \"mx.bücher.example; spf=pass", true),
            (" <mx.bücher.example>;", true),
            (" =?utf-8?q?mx.xn--bcher-kva.example?=;", true),
            (" x, mx.bücher.example;", true),
            // Somebody else's.
            (" mx2.bücher.example;", false),
            (" bücher.example;", false),
            (" a.mx.bücher.example;", false),
            (" other.example (mx.bücher.example); x", false),
            (" other.example; mx.bücher.example", false),
            (
                " spf=pass smtp.mailfrom=a.example; mx.bücher.example",
                false,
            ),
            (" ;", false),
            ("", false),
        ] {
            let body = body.as_bytes();
            assert_eq!(read(body).claims(part(body), &ours), claims, "{body:?}");
        }
    }
}
