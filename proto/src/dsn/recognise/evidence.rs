//! What speaks for a message's being a report of a host that could not deliver, where it does not say so in
//! the way of RFC 3464.

use alloc::string::String;
use alloc::vec::Vec;

use super::addresses;
use super::lines::{Fields, Lines};
use super::original::message_id;

/// Who sent it, as far as its own header shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// MAILER-DAEMON, in whose name no person writes; or postmaster, with the null reverse-path.
    Daemon,
    /// Postmaster, who may be a person.
    Postmaster,
    /// Nobody: the null reverse-path.
    Nobody,
    /// Somebody with a reverse-path.
    Somebody,
    /// It has no Return-Path yet.
    Unsaid,
}

impl From {
    /// Whether a program may have sent it, and not for a person.
    pub(super) const fn may_be_system(self) -> bool {
        matches!(self, Self::Daemon | Self::Postmaster | Self::Nobody)
    }
}

/// The header of the report itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    from: Option<String>,
    to: Option<String>,
    return_path: Option<String>,
    /// The reporting host's list of whom it failed to reach.
    pub failed: Option<String>,
    /// What it answers, if it says so.
    pub answers: Option<String>,
    /// Whether it says that a program answers for a person (RFC 3834 §5).
    pub is_reply: bool,
    subject: Option<String>,
}

impl Header {
    /// Reads it.
    pub(super) fn read(message: &[u8]) -> Self {
        let mut read = Self::default();
        for field in Fields::of(message) {
            let place = if field.is("From") {
                &mut read.from
            } else if field.is("To") {
                &mut read.to
            } else if field.is("Return-Path") {
                &mut read.return_path
            } else if field.is("X-Failed-Recipients") {
                &mut read.failed
            } else if field.is("Subject") {
                &mut read.subject
            } else if field.is("In-Reply-To") {
                if read.answers.is_none() {
                    read.answers = only_id(&field.value());
                }
                continue;
            } else if field.is("Auto-Submitted") {
                let value = field.value().to_ascii_lowercase();
                read.is_reply |= value.starts_with("auto-replied");
                continue;
            } else {
                read.is_reply |= REPLIES.iter().any(|name| field.is(name));
                continue;
            };
            if place.is_none() {
                *place = Some(field.value());
            }
        }
        read
    }

    /// Who sent it.
    pub(super) fn sender(&self, null_reverse_path: bool) -> From {
        let named = |name: &str| {
            let fields = [&self.from, &self.return_path];
            let mut values = fields.into_iter().flatten();
            values.any(|value| is_named(value, name))
        };
        let is_null = |value: &Option<String>| value.as_deref().map(str::trim) == Some("<>");
        let is_null = null_reverse_path || is_null(&self.return_path) || is_null(&self.from);
        if named("mailerdaemon") || (is_null && named("postmaster")) {
            From::Daemon
        } else if is_null {
            From::Nobody
        } else if named("postmaster") {
            From::Postmaster
        } else if self.return_path.is_some() {
            From::Somebody
        } else {
            From::Unsaid
        }
    }

    /// The addresses of the one who sent it, and of who gets it.
    pub(super) fn known(&self) -> Vec<String> {
        let fields = [&self.from, &self.to].into_iter().flatten();
        fields
            .flat_map(|value| addresses::in_field(value))
            .collect()
    }

    /// Whom it says that it is to.
    pub(super) fn addressees(&self) -> Vec<String> {
        let to = self.to.as_deref();
        to.map(addresses::in_field).unwrap_or_default()
    }

    /// Whether Subject says that something was not delivered, or was returned.
    pub(super) fn subject_says_undelivered(&self) -> bool {
        let subject = self.subject.as_deref().unwrap_or_default();
        says_undelivered(subject.as_bytes()) || subject.to_ascii_lowercase().contains("returned")
    }
}

/// Fields with which programs mark that they answer for a person.
const REPLIES: [&str; 2] = ["X-Autoreply", "X-Autorespond"];

/// One identifier; a field with several answers a conversation.
fn only_id(value: &str) -> Option<String> {
    let one = value.matches('<').count() == 1;
    one.then(|| message_id(value)).flatten()
}

/// Whether the local-part is this name, in letters of either size and whatever stands between them: the names
/// of RFC 5321 §4.5.1 and §4.5.5 are written in many ways.
fn is_named(value: &str, name: &str) -> bool {
    let found = addresses::in_field(value);
    let address = found.first().map_or(value, String::as_str);
    let local_part = address.rsplit_once('@').map_or(address, |(local, _)| local);
    let letters = local_part.chars().filter(char::is_ascii_alphanumeric);
    letters
        .map(|letter| letter.to_ascii_lowercase())
        .eq(name.chars())
}

/// Whether the text quotes a reply or a status that says that something failed: `550 ...` at the start of a
/// line or behind a colon, `5.1.1` anywhere.
pub(super) fn quotes_failure(text: &[u8]) -> bool {
    Lines::of(text).any(|line| {
        let mut fresh = true;
        line.text.split(u8::is_ascii_whitespace).any(|word| {
            let found = is_status(word) || (fresh && is_reply_code(word));
            if !word.is_empty() {
                fresh = matches!(word.last(), Some(b':' | b'>'));
            }
            found
        })
    })
}

/// `450`, `550-...`: a reply of SMTP that is no success (RFC 5321 §4.2.1).
const fn is_reply_code(word: &[u8]) -> bool {
    matches!(
        word,
        [b'4' | b'5', b'0'..=b'5', b'0'..=b'9'] | [b'4' | b'5', b'0'..=b'5', b'0'..=b'9', b'-', ..]
    )
}

/// `5.1.1`, `(#5.1.1)`, `#<5.1.1`: RFC 3463 §2. An address or a version has another form.
fn is_status(word: &[u8]) -> bool {
    let around = |octet: &u8| !octet.is_ascii_alphanumeric();
    let start = word.iter().position(|octet| !around(octet)).unwrap_or(0);
    let end = word.iter().rposition(|octet| !around(octet)).unwrap_or(0);
    let inside = word.get(start..=end).unwrap_or_default();
    let mut numbers = inside.split(|octet| *octet == b'.');
    let (class, subject, detail) = (numbers.next(), numbers.next(), numbers.next());
    let digits = |number: Option<&[u8]>| {
        number.is_some_and(|digits| {
            (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
        })
    };
    matches!(class, Some([b'4' | b'5']))
        && digits(subject)
        && digits(detail)
        && numbers.next().is_none()
}

/// Octets of text that are read for what it says: whom it is about stands at its top.
pub(super) const MAX_PROSE: usize = 65_536;

/// Whether the text says in English that something was not delivered, or did not reach somebody.
pub(super) fn says_undelivered(text: &[u8]) -> bool {
    /// How far from the verb the denial stands.
    const NEAR: usize = 60;
    const DENIALS: [&[u8]; 7] = [
        b"undeliver",
        b"not ",
        b"n't ",
        b"fail",
        b"unable",
        b"error",
        b"problem",
    ];
    let text = text.get(..MAX_PROSE).unwrap_or(text);
    let text = text.to_ascii_lowercase();
    let is_denied = |at: usize| {
        let from = at.saturating_sub(NEAR);
        let to = at.saturating_add(NEAR).min(text.len());
        let around = text.get(from..to).unwrap_or_default();
        DENIALS
            .iter()
            .any(|denial| memchr::memmem::find(around, denial).is_some())
    };
    let verbs: [&[u8]; 2] = [b"deliver", b"reach"];
    verbs
        .iter()
        .any(|verb| memchr::memmem::find_iter(&text, verb).any(is_denied))
}
