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

pub use original::message_id;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use content_type::DELIVERY;
use evidence::{From, Header, MAX_PROSE};
use fields::Status;
use lines::Lines;
use original::Original;
use parts::{Apart, Part};

use crate::smtp::parameters::xtext_decoded;

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
    /// Whether that stands in what is returned of it. Else the report only says that it answers it (In-Reply-To).
    pub is_returned: bool,
    /// Its Date, as it stands there.
    pub original_date: Option<String>,
    /// Whom it did not reach, or about whom else it is.
    pub recipients: Vec<String>,
    /// Whom the bounce itself says that it is to (To).
    pub addressees: Vec<String>,
}

impl Bounce {
    /// What ENVID it may mean: that which it gives, and if that can be xtext, what it would stand for. The field is to
    /// be plain (RFC 3464 §2.2.1), and some hosts give what came in MAIL.
    pub fn envelope_ids(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let said = self.original_envelope_id.as_deref();
        let meant = said
            .and_then(xtext_decoded)
            .filter(|meant| Some(&**meant) != said);
        let meant = meant.map(|meant| Cow::Owned(meant.into_string()));
        said.map(Cow::Borrowed).into_iter().chain(meant)
    }
}

/// What the parts hold together.
#[derive(Debug, Default)]
struct Contents {
    /// Whether the message calls itself a report of delivery.
    claims: bool,
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
    let message = with_line_feeds(message);
    let header = Header::read(&message);
    let contents = Contents::of(&parts::take_apart(&message));
    let known = header.known();
    let sign = sign(&header, &contents, &known, null_reverse_path)?;
    let recipients = recipients(&header, &contents, &known);
    let addressees = header.addressees();
    let original = contents.original.unwrap_or_default();
    Some(Bounce {
        sign,
        original_envelope_id: contents.status.envelope_id,
        is_returned: original.message_id.is_some(),
        original_message_id: original.message_id.or(header.answers),
        original_date: original.date,
        recipients,
        addressees,
    })
}

/// What is read of the message, each line ended by LF: so both forms of line ends give the same.
fn with_line_feeds(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len().min(MAX_READ));
    for line in Lines::of(message) {
        let left = MAX_READ.saturating_sub(text.len());
        if left == 0 {
            break;
        }
        text.extend_from_slice(line.text.get(..left).unwrap_or(line.text));
        text.push(b'\n');
    }
    text
}

/// The evidence, weighed.
fn sign(header: &Header, contents: &Contents, known: &[String], null: bool) -> Option<Sign> {
    if contents.is_other {
        return None;
    }
    let sender = header.sender(null);
    let may_be_system = sender.may_be_system();
    let returned = contents.original.as_ref().is_some_and(|it| it.has_trace);
    let fields = contents.status.is_report;
    if fields && (contents.claims || may_be_system) {
        return Some(Sign::Report);
    }
    if contents.claims && may_be_system && returned {
        return Some(Sign::Report);
    }
    if header.failed.is_some() && may_be_system {
        return Some(Sign::FailedRecipients);
    }
    let quotes = evidence::quotes_failure(&contents.prose);
    let says =
        quotes || evidence::says_undelivered(&contents.prose) || header.subject_says_undelivered();
    if returned {
        let is_bounce = match sender {
            From::Daemon => says || !header.is_reply,
            From::Postmaster => says,
            From::Nobody => says && (quotes || !header.is_reply),
            From::Unsaid => {
                let answers = header.is_reply || header.answers.is_some();
                says && contents.is_attached && !answers
            }
            From::Somebody => false,
        };
        return is_bounce.then_some(Sign::ReturnedMessage);
    }
    let names = || !addresses::in_text(&contents.prose, known).is_empty();
    let is_bounce = sender == From::Daemon && quotes && !header.is_reply && names();
    is_bounce.then_some(Sign::Transcript)
}

/// Whom it is about: the best list that there is.
fn recipients(header: &Header, contents: &Contents, known: &[String]) -> Vec<String> {
    let in_field = |value: Option<&String>| {
        let found = value.map(|value| addresses::in_field(value));
        found.unwrap_or_default()
    };
    let reported = contents.status.recipients.clone();
    let to = contents.original.as_ref().and_then(|it| it.to.as_ref());
    let found = Some(reported)
        .filter(|list| !list.is_empty())
        .or_else(|| Some(in_field(header.failed.as_ref())).filter(|list| !list.is_empty()))
        .or_else(|| {
            let told = addresses::in_text(&contents.prose, known);
            Some(told).filter(|list| !list.is_empty())
        });
    found.unwrap_or_else(|| in_field(to))
}

impl Contents {
    /// Of all parts.
    fn of(taken: &Apart<'_>) -> Self {
        let mut types = taken.top.report_type.iter().chain(&taken.report_types);
        let mut contents = Self {
            claims: taken.top.is_delivery_report(),
            is_other: types.any(|kind| kind != DELIVERY),
            ..Self::default()
        };
        for part in &taken.parts {
            contents.add(part);
        }
        let of_kind = |kind: &'static str| {
            let parts = taken.parts.iter();
            parts.filter(move |part| (part.kind == "text/html") == (kind == "text/html"))
        };
        if contents.claims && !contents.status.is_report {
            // Its boundaries were lost, and its fields stand in the text.
            of_kind("text/plain").for_each(|part| contents.status.add(&part.content));
        }
        if contents.prose.is_empty() {
            of_kind("text/html").for_each(|part| contents.said(&part.content));
        }
        contents
    }

    /// One part more.
    fn add(&mut self, part: &Part<'_>) {
        let content = part.content.as_ref();
        match part.kind.as_str() {
            "message/feedback-report"
            | "message/disposition-notification"
            | "message/global-disposition-notification" => self.is_other = true,
            "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "text/rfc822-header"
            | "message/rfc822-headers"
            | "message/global-headers" => self.returned(Original::of_part(content), true),
            "message/delivery-status" | "message/global-delivery-status" => {
                let fields = self.in_text(content);
                self.status.add(fields);
            }
            "text/html" => {}
            // A message as a file, by a host that does not know the type of its name.
            "application/octet-stream" => {
                self.in_text(content);
            }
            kind if kind.starts_with("text/") || kind.starts_with("message/") => {
                let prose = self.in_text(content);
                self.said(prose);
            }
            _ => {}
        }
    }

    /// Takes the header of a returned message out of text; gives what stands before it. In the fields of
    /// a report there is one where the boundary between the two was lost.
    fn in_text<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let Some(found) = original::in_text(text) else {
            return text;
        };
        self.returned(found.original, false);
        text.get(..found.start).unwrap_or(text)
    }

    /// What is said to people.
    fn said(&mut self, prose: &[u8]) {
        let left = MAX_PROSE.saturating_sub(self.prose.len());
        let prose = prose.get(..left).unwrap_or(prose);
        self.prose.extend_from_slice(prose);
    }

    /// A returned message: the first that names itself counts, else the first.
    fn returned(&mut self, original: Original, attached: bool) {
        let named = |original: &Original| original.message_id.is_some();
        let kept = self.original.as_ref();
        if kept.is_none_or(|kept| !named(kept) && named(&original)) {
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
