//! Reports of others, recognised: is this message a bounce, and of which message of ours?
//!
//! What hosts send back is a report by RFC 3464, something like one, or text with the message below it.
//! So two questions are kept apart. *Is it a bounce?* is answered firmly: a report that says so in the
//! standard's way, or a mail system's message that returns another and shows a failure; what programs answer
//! for people, complaints (RFC 5965), and notices of reading (RFC 8098) are none. *Which message?* is
//! answered generally, by the form of a header and never by the name of a product.
//!
//! Promises: an answer for whatever octets, in time that grows with their number and no faster, with bounded
//! memory; LF and CRLF give the same; nothing is looked at behind [`MAX_READ`].
//!
//! Left to others: what becomes of the message; whether what it refers to is ours.

mod addresses;
mod content_type;
mod evidence;
mod fields;
mod lines;
mod original;
mod parts;
mod transfer;

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

use evidence::{From, Header, MAX_PROSE};
use fields::Status;
use original::Original;
use parts::{Part, Parts};

/// Octets of a message that are read. A report returns a header, which stands at its top; what comes behind
/// a mebibyte is the returned message's attachments.
pub const MAX_READ: usize = 1 << 20;

/// Octets of a value that are kept (RFC 5322 §2.1.1: no line is longer).
const MAX_VALUE: usize = 998;

/// Recipients that are kept: RFC 5321 §4.5.3.1.8 wants a server to take as many in a transaction.
const MAX_RECIPIENTS: usize = 100;

/// How a bounce was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The fields of RFC 3464.
    Report,
    /// It lists those that it failed to reach in its header (X-Failed-Recipients).
    FailedRecipients,
    /// A mail system returns a message.
    ReturnedMessage,
    /// A mail system says whom it could not reach and why, and returns nothing.
    Transcript,
}

impl Sign {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::FailedRecipients => "failed-recipients",
            Self::ReturnedMessage => "returned-message",
            Self::Transcript => "transcript",
        }
    }
}

/// What a bounce says of the message that it is about. What peers wrote: to be escaped where it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// How it was recognised.
    pub sign: Sign,
    /// The ENVID of its transaction (RFC 3461 §4.4).
    pub original_envelope_id: Option<String>,
    /// Its Message-ID, without brackets.
    pub original_message_id: Option<String>,
    /// Its Date, as it stands there.
    pub original_date: Option<String>,
    /// Whom it did not reach, or about whom else it is.
    pub recipients: Vec<String>,
}

/// What the parts hold together.
#[derive(Debug, Default)]
struct Contents {
    status: Status,
    original: Option<Original>,
    /// Whether the original came as a part of its own.
    is_attached: bool,
    /// What is said to people.
    prose: Vec<u8>,
    /// Whether it is something else that merely has the form of a report.
    is_other: bool,
}

/// Says whether a message is a bounce, and what of. `null_reverse_path`: it came with one; where that is
/// not known, its Return-Path says it.
pub fn recognise(message: &[u8], null_reverse_path: bool) -> Option<Bounce> {
    let message = message.get(..MAX_READ).unwrap_or(message);
    let header = Header::read(message);
    let taken = parts::take_apart(message);
    let claims = claims_report(&taken);
    let contents = Contents::of(&taken, claims);
    let sign = sign(&header, &contents, claims, null_reverse_path)?;
    let original = contents.original.clone().unwrap_or_default();
    Some(Bounce {
        sign,
        recipients: recipients(&header, &contents, &original),
        original_envelope_id: contents.status.envelope_id,
        original_message_id: original.message_id.or(header.answers),
        original_date: original.date,
    })
}

/// Whether the message calls itself a report of delivery (RFC 3464 §2).
fn claims_report(taken: &Parts<'_>) -> bool {
    let of_delivery = |kind: &str| kind == "delivery-status";
    let kind = taken.top.report_type.as_deref();
    taken.top.kind == "multipart/report" && kind.is_some_and(of_delivery)
}

/// The evidence, weighed.
fn sign(header: &Header, contents: &Contents, claims: bool, null: bool) -> Option<Sign> {
    if contents.is_other {
        return None;
    }
    let sender = header.sender(null);
    let is_system = matches!(sender, From::MailSystem | From::Nobody);
    let returned = contents.original.as_ref().filter(|it| it.has_trace);
    if contents.status.is_report && (claims || is_system) {
        return Some(Sign::Report);
    }
    if claims && is_system && returned.is_some() {
        return Some(Sign::Report);
    }
    if header.failed.is_some() && is_system {
        return Some(Sign::FailedRecipients);
    }
    let quotes = evidence::quotes_failure(&contents.prose);
    let says = quotes
        || evidence::says_undelivered(&contents.prose)
        || header.subject_says_undelivered();
    if returned.is_some() {
        let is_bounce = match sender {
            _ if header.is_reply => is_system && says,
            From::MailSystem => true,
            From::Nobody => says,
            From::Unsaid => says && contents.is_attached && header.answers.is_none(),
            From::Somebody => false,
        };
        return is_bounce.then_some(Sign::ReturnedMessage);
    }
    let names = || !addresses::in_text(&contents.prose, |it| header.knows(it)).is_empty();
    (sender == From::MailSystem && quotes && !header.is_reply && names())
        .then_some(Sign::Transcript)
}

/// Whom it is about: the best list that there is.
fn recipients(header: &Header, contents: &Contents, original: &Original) -> Vec<String> {
    if !contents.status.recipients.is_empty() {
        return contents.status.recipients.clone();
    }
    let listed = header.failed.as_deref().map(addresses::in_field);
    if let Some(listed) = listed.filter(|listed| !listed.is_empty()) {
        return listed;
    }
    let told = addresses::in_text(&contents.prose, |address| header.knows(address));
    if !told.is_empty() {
        return told;
    }
    let to = original.to.as_deref().map(addresses::in_field);
    to.unwrap_or_default()
}

impl Contents {
    /// Of all parts.
    fn of(taken: &Parts<'_>, claims: bool) -> Self {
        let mut contents = Self::default();
        let mut types = taken.top.report_type.iter().chain(&taken.report_types);
        contents.is_other = types.any(|kind| kind != "delivery-status");
        for part in &taken.parts {
            contents.add(part, claims);
        }
        contents
    }

    /// One part more.
    fn add(&mut self, part: &Part<'_>, claims: bool) {
        let content = part.content.as_ref();
        match part.kind.as_str() {
            "message/delivery-status" | "message/global-delivery-status" => {
                self.status.add(content);
            }
            "message/feedback-report"
            | "message/disposition-notification"
            | "message/global-disposition-notification" => self.is_other = true,
            "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "text/rfc822-header"
            | "message/rfc822-headers"
            | "message/global-headers" => self.returned(Original::of_part(content), true),
            kind if kind.starts_with("text/") || kind.starts_with("message/") => {
                let found = original::in_text(content);
                let prose = content.get(..found.as_ref().map_or(content.len(), |it| it.start));
                let prose = prose.unwrap_or_default();
                if claims {
                    // A report whose boundaries were lost has its fields here.
                    self.status.add(prose);
                }
                let left = MAX_PROSE.saturating_sub(self.prose.len());
                self.prose
                    .extend_from_slice(prose.get(..left).unwrap_or(prose));
                if let Some(found) = found {
                    self.returned(found.original, false);
                }
            }
            _ => {}
        }
    }

    /// A returned message: the first that names itself counts, else the first.
    fn returned(&mut self, original: Original, attached: bool) {
        let named = |original: &Original| original.message_id.is_some();
        if self.original.as_ref().is_none_or(|kept| !named(kept) && named(&original)) {
            self.original = Some(original);
            self.is_attached = attached;
        }
    }
}

/// Keeps an address once, and as many as there may be.
fn keep(kept: &mut Vec<String>, address: String) {
    let known = |kept: &String| kept.eq_ignore_ascii_case(&address);
    if kept.len() < MAX_RECIPIENTS && !kept.iter().any(known) {
        kept.push(address);
    }
}
