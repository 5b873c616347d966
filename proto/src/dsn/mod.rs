//! Delivery status notifications: multipart/report by RFC 3464 and RFC 6522.
//!
//! A report has three parts: text that a person understands, fields that a machine does, and the
//! header of the message that it is about. It is a message of ours with the null reverse-path, so
//! that nothing is ever reported about it (RFC 5321 §4.5.5, §6.1).
//!
//! Promises: there is no report about a null or a repudiated reverse-path (DESIGN §2, promise 2):
//! [`build`] makes none; what peers said stands in it without control characters, bounded and
//! folded; the boundary occurs in no part; all of it is ASCII, unless the reverse-path itself is
//! not, in which case the forms of RFC 6533 are used and SMTPUTF8 is asked for.
//!
//! Left to others: when a report is due ([`crate::retry`]), and taking it into custody.

mod returned;
mod status;
mod text;
mod words;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::addr::{Domain, ForwardPath, MailDomain, Mailbox, ReversePath};
use crate::envelope::{BodyType, Envelope, Origin};
use crate::outcome::Outcome;
use crate::queue_id::QueueId;
use crate::time::Wall;
use crate::verify::VerdictResult;

pub use returned::MAX_HEADER;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// These recipients will not get the message: refused, or given up.
    Failed,
    /// These recipients do not have the message yet.
    Delayed {
        /// How long it will be tried.
        until: Wall,
    },
}

/// A recipient that is reported on.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// As it was given at RCPT.
    pub path: &'a ForwardPath,
    /// How the last attempt ended. Transient in a `failed` report means that time ran out.
    pub outcome: &'a Outcome,
}

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// What is reported.
    pub kind: Kind,
    /// Our own name: Reporting-MTA, and the domain of the report's author.
    pub hostname: &'a Domain,
    /// The envelope of the message that is reported on.
    pub envelope: &'a Envelope,
    /// Its name here.
    pub queue_id: QueueId,
    /// When we took it.
    pub arrived: Wall,
    /// The time: of the report, and of the last attempt.
    pub now: Wall,
    /// Those concerned; at least one, else there is no report.
    pub recipients: &'a [Recipient<'a>],
    /// The message's first octets, to the end of the header or to [`MAX_HEADER`]; more does no
    /// harm.
    pub beginning: &'a [u8],
    /// Any two numbers from the driver's random source: Message-ID and boundary.
    pub chance: [u64; 2],
}

/// A message of our own, to be taken into custody like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From nobody, to the reverse-path.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Vec<u8>,
}

/// Whether anything may be reported about a message with this envelope.
pub fn may_report(envelope: &Envelope) -> bool {
    let has_address = match &envelope.reverse_path {
        ReversePath::Null => false,
        ReversePath::Bare(_) => true,
        ReversePath::Mailbox(mailbox) => !matches!(mailbox.domain, MailDomain::Unusable(_)),
    };
    has_address && envelope.verdict != VerdictResult::Repudiated
}

/// The report; `None` where none may be made, or about nobody.
pub fn build(request: &Request<'_>) -> Option<Report> {
    if !may_report(request.envelope) || request.recipients.is_empty() {
        return None;
    }
    let to = addressee(request)?;
    // A report to an ASCII address is ASCII throughout, so that every mail host takes it.
    let utf8 = !to.is_ascii();
    let mut parts = vec![words::part(request, utf8), status::part(request, utf8)];
    parts.extend(returned::part(request.beginning, utf8));
    let boundary = boundary(&parts, request.chance);
    let mut content = header(request, &to, &boundary).into_bytes();
    content.extend_from_slice(b"This is a delivery report in MIME format.\r\n");
    for part in &parts {
        content.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        content.extend_from_slice(part);
    }
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        // We wrote it ourselves.
        verdict: VerdictResult::Authorised,
        origin: Origin::Ourselves,
        body: if utf8 {
            BodyType::EightBitMime
        } else {
            BodyType::SevenBit
        },
        smtputf8: utf8,
        recipients: vec![ForwardPath::Mailbox(to)],
        trace: Box::default(),
    };
    Some(Report { envelope, content })
}

/// To whom the report goes: the reverse-path, at our own name where it has no domain.
fn addressee(request: &Request<'_>) -> Option<Mailbox> {
    match &request.envelope.reverse_path {
        ReversePath::Null => None,
        ReversePath::Mailbox(mailbox) => Some(mailbox.clone()),
        ReversePath::Bare(local_part) => Some(Mailbox {
            local_part: local_part.clone(),
            domain: MailDomain::Name(request.hostname.clone()),
        }),
    }
}

/// The report's own header (RFC 3464 §2, RFC 3834 §5), with the empty line.
fn header(request: &Request<'_>, to: &Mailbox, boundary: &str) -> String {
    let host = request.hostname.as_ascii();
    let subject = match request.kind {
        Kind::Failed => "Your message could not be delivered",
        Kind::Delayed { .. } => "Your message is delayed",
    };
    let [id, _] = request.chance;
    let mut header = String::new();
    for (name, value) in [
        ("From", format!("Mail delivery <postmaster@{host}>")),
        ("To", text::header_address(to)),
        ("Subject", String::from(subject)),
        ("Date", request.now.to_rfc5322()),
        (
            "Message-ID",
            format!("<{}.{id:016x}@{host}>", request.queue_id),
        ),
        ("Auto-Submitted", String::from("auto-replied")),
        ("MIME-Version", String::from("1.0")),
        (
            "Content-Type",
            format!("multipart/report; report-type=delivery-status; boundary=\"{boundary}\""),
        ),
    ] {
        text::push_field(&mut header, name, &value);
    }
    header.push_str("\r\n");
    header
}

/// A boundary that occurs in none of the parts.
fn boundary(parts: &[Vec<u8>], chance: [u64; 2]) -> String {
    let [_, mut number] = chance;
    loop {
        // "=_" occurs in no quoted-printable text (RFC 2045 §6.7).
        let boundary = format!("=_{number:016x}");
        let finder = memchr::memmem::Finder::new(boundary.as_bytes());
        if parts.iter().all(|part| finder.find(part).is_none()) {
            return boundary;
        }
        number = number.wrapping_add(1);
    }
}
