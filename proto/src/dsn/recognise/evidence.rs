//! What speaks for a message's being a report of a host that could not deliver, where it does not say so in
//! the way of RFC 3464.

use alloc::string::String;

use super::addresses;
use super::lines::{Fields, Lines};
use super::original::message_id;

/// Who sent it, as far as its own header shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// A mail system, by its name.
    MailSystem,
    /// Nobody: the null reverse-path.
    Nobody,
    /// Somebody with a reverse-path.
    Somebody,
    /// It has no Return-Path yet.
    Unsaid,
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
        let named = |value: &Option<String>| value.as_deref().is_some_and(is_mail_system);
        let return_path = self.return_path.as_deref().map(str::trim);
        if named(&self.from) || named(&self.return_path) {
            From::MailSystem
        } else if null_reverse_path || return_path == Some("<>") {
            From::Nobody
        } else if return_path.is_some() {
            From::Somebody
        } else {
            From::Unsaid
        }
    }

    /// Whether the address is that of the one who sent it, or who gets it.
    pub(super) fn knows(&self, address: &str) -> bool {
        let mut fields = [&self.from, &self.to].into_iter().flatten();
        fields.any(|value| {
            let found = addresses::in_field(value);
            found.iter().any(|known| known.eq_ignore_ascii_case(address))
        })
    }

    /// Whether Subject says that something was not delivered.
    pub(super) fn subject_says_undelivered(&self) -> bool {
        let subject = self.subject.as_deref().unwrap_or_default();
        says_undelivered(subject.as_bytes())
    }
}

/// Fields with which programs mark that they answer for a person.
const REPLIES: [&str; 2] = ["X-Autoreply", "X-Autorespond"];

/// One identifier; a field with several answers a conversation.
fn only_id(value: &str) -> Option<String> {
    let one = value.matches('<').count() == 1;
    one.then(|| message_id(value)).flatten()
}

/// Whether the one named is a mail system: the names of RFC 5321 §4.5.1 and RFC 2821's MAILER-DAEMON.
fn is_mail_system(value: &str) -> bool {
    let found = addresses::in_field(value);
    let address = match found.as_slice() {
        [address, ..] => address.as_str(),
        [] => value.trim().trim_matches(['<', '>']),
    };
    let local_part = address.rsplit_once('@').map_or(address, |(local, _)| local);
    ["mailer-daemon", "postmaster"]
        .iter()
        .any(|name| local_part.eq_ignore_ascii_case(name))
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

/// Whether the text says in English that something was not delivered.
pub(super) fn says_undelivered(text: &[u8]) -> bool {
    /// How far from "deliver" the denial stands.
    const NEAR: usize = 60;
    let text = text.get(..MAX_PROSE).unwrap_or(text);
    let text = text.to_ascii_lowercase();
    let mut places = memchr::memmem::find_iter(&text, b"deliver");
    places.any(|at| {
        let from = at.saturating_sub(NEAR);
        let to = at.saturating_add(NEAR).min(text.len());
        let around = text.get(from..to).unwrap_or_default();
        let denials: [&[u8]; 6] = [b"undeliver", b"not ", b"n't ", b"fail", b"unable", b"error"];
        denials
            .iter()
            .any(|denial| memchr::memmem::find(around, denial).is_some())
    })
}
