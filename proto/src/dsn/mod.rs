//! Delivery status notifications: multipart/report by RFC 3464 and RFC 6522.
//!
//! A report has three parts: text that a person understands, fields that a machine does, and the
//! header of the message that it is about, or all of it where that was asked and is small enough. It is a message of ours with the null reverse-path, so
//! that nothing is ever reported about it (RFC 5321 §4.5.5, §6.1).
//!
//! Promises: no report goes to a null or a repudiated reverse-path (DESIGN §2, promise 2), nor to one
//! that only a declared forwarder cleared: one function says to whom it goes, and where such a
//! message fails, that is the operator; nothing is reported that was not wanted (NOTIFY, RFC 3461
//! §4.1); what peers said stands in it without control characters, bounded and
//! folded; the boundary occurs in no part; all of it is ASCII, unless the reverse-path itself is
//! not, in which case the forms of RFC 6533 are used and SMTPUTF8 is asked for.
//!
//! The reports of others are read in [`recognise`].
//!
//! Left to others: when a report is due ([`crate::retry`]), and taking it into custody.

pub mod recognise;
mod returned;
mod status;
mod text;
mod words;

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::addr::{Domain, ForwardPath, MailDomain, Mailbox, ReversePath};
use crate::envelope::{BodyType, Clearance, Envelope, Notify, Origin, Recipient, Requests};
use crate::outcome::{Onward, Outcome};
use crate::queue_id::QueueId;
use crate::time::Wall;
use crate::verify::VerdictResult;

pub use returned::{MAX_HEADER, MAX_RETURNED};

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
    /// The message is delivered to these recipients, or handed on: [`Action`] says which.
    Succeeded,
}

/// A recipient that is reported on.
#[derive(Clone, Copy, Debug)]
pub struct Concerned<'a> {
    /// As RCPT gave it.
    pub recipient: &'a Recipient,
    /// How the last attempt ended. Transient in a `failed` report means that time ran out.
    pub outcome: &'a Outcome,
}

/// What has become of one recipient (RFC 3464 §2.3.3). `expanded` is what a host with lists or
/// aliases of several addresses says, and this one has neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It will not have the message.
    Failed,
    /// It does not have it yet.
    Delayed,
    /// It has it.
    Delivered,
    /// Another host has it.
    Relayed,
}

impl Action {
    /// Of a recipient in a report of this kind.
    pub const fn of(kind: Kind, outcome: &Outcome) -> Self {
        match (kind, outcome.onward) {
            (Kind::Failed, _) => Self::Failed,
            (Kind::Delayed { .. }, _) => Self::Delayed,
            (Kind::Succeeded, Onward::Mailbox) => Self::Delivered,
            (Kind::Succeeded, Onward::Relay { .. }) => Self::Relayed,
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }
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
    pub recipients: &'a [Concerned<'a>],
    /// The message, or its first octets: to the end of the header or to [`MAX_HEADER`] at least.
    pub message: Returned<'a>,
    /// Who hears of the failures that the reverse-path must not: postmaster here.
    pub operator: Option<&'a ForwardPath>,
    /// Any two numbers from the driver's random source: Message-ID and boundary.
    pub chance: [u64; 2],
}

/// What there is of the message that is reported on.
#[derive(Clone, Copy, Debug)]
pub enum Returned<'a> {
    /// Its first octets.
    Beginning(&'a [u8]),
    /// All of it.
    Whole(&'a [u8]),
}

/// A message of our own, to be taken into custody like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// From nobody, to the reverse-path or to the operator.
    pub envelope: Envelope,
    /// Header and body.
    pub content: Vec<u8>,
}

/// To whom a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// The reverse-path; at our own name where it has no domain.
    ReversePath(Mailbox),
    /// The operator: the reverse-path is repudiated, or was let in only by what the recipient's
    /// side has declared, and its owner has most likely nothing to do with this.
    Operator(Mailbox),
}

impl Addressee {
    /// To whom this kind of report about one recipient of a message goes; `None` where none may be
    /// made, or none is wanted.
    pub fn of(
        kind: Kind,
        envelope: &Envelope,
        concerned: Concerned<'_>,
        hostname: &Domain,
        operator: Option<&ForwardPath>,
    ) -> Option<Self> {
        let reverse_path = match &envelope.reverse_path {
            ReversePath::Null => return None,
            ReversePath::Mailbox(mailbox) => mailbox.clone(),
            ReversePath::Bare(local_part) => Mailbox {
                local_part: local_part.clone(),
                domain: MailDomain::Name(hostname.clone()),
            },
        };
        // Whoever stands in the reverse-path most likely did not send it.
        let withheld = envelope.verdict == VerdictResult::Repudiated
            || envelope.clearance == Clearance::Declared;
        match (kind, operator) {
            // A delay he can see in the queue; only what is lost is told.
            (Kind::Failed, Some(ForwardPath::Mailbox(operator))) if withheld => {
                Some(Self::Operator(operator.clone()))
            }
            _ if withheld || !is_wanted(kind, envelope, concerned) => None,
            _ if matches!(reverse_path.domain, MailDomain::Unusable(_)) => None,
            _ => Some(Self::ReversePath(reverse_path)),
        }
    }

    /// True for the operator.
    pub const fn is_operator(&self) -> bool {
        matches!(self, Self::Operator(_))
    }

    /// The address.
    const fn mailbox(&self) -> &Mailbox {
        match self {
            Self::ReversePath(mailbox) | Self::Operator(mailbox) => mailbox,
        }
    }
}

/// True if the sender wants to hear this of the recipient (RFC 3461 §4.1, §5.2, RFC 2852 §4). Where
/// nothing is said that is failures and delays. The operator is asked nothing of the kind: what a
/// forger wants is not what he wants.
fn is_wanted(kind: Kind, envelope: &Envelope, concerned: Concerned<'_>) -> bool {
    let (success, failure, delay) = match concerned.recipient.notify {
        Some(Notify::Never) => return false,
        Some(Notify::On {
            success,
            failure,
            delay,
        }) => (success, failure, delay),
        None => (false, true, true),
    };
    match (kind, concerned.outcome.onward) {
        (Kind::Failed, _) => failure,
        (Kind::Delayed { .. }, _) => delay,
        (Kind::Succeeded, Onward::Mailbox) => success,
        (Kind::Succeeded, Onward::Relay { reports, deadlines }) => {
            let by = envelope.requests.deliver_by;
            let traced = by.is_some_and(|by| by.trace || !deadlines);
            traced || (success && !reports)
        }
    }
}

impl Request<'_> {
    /// To whom the report goes: all it is about have the same addressee.
    pub fn addressee(&self) -> Option<Addressee> {
        let mut each = self.recipients.iter().map(|concerned| {
            let (hostname, operator) = (self.hostname, self.operator);
            Addressee::of(self.kind, self.envelope, *concerned, hostname, operator)
        });
        let first = each.next().flatten()?;
        each.all(|other| other.as_ref() == Some(&first))
            .then_some(first)
    }

    /// True if a later failure of any of them would be reported.
    fn hears_of_failure(&self) -> bool {
        self.recipients
            .iter()
            .any(|concerned| is_wanted(Kind::Failed, self.envelope, *concerned))
    }

    /// True if this is what has become of each.
    fn all(&self, action: Action) -> bool {
        let mut each = self.recipients.iter();
        each.all(|concerned| Action::of(self.kind, concerned.outcome) == action)
    }
}

/// The report; `None` where none may be made, or about nobody.
pub fn build(request: &Request<'_>) -> Option<Report> {
    let addressee = request.addressee()?;
    let to = addressee.mailbox().clone();
    // A report to an ASCII address is ASCII throughout, so that every mail host takes it.
    let utf8 = !to.is_ascii();
    let mut parts = vec![
        words::part(request, &addressee, utf8),
        status::part(request, utf8),
    ];
    // Only the sender has asked to have it back, and only if it failed (RFC 3461 §4.3).
    let full = request.kind == Kind::Failed
        && request.envelope.requests.returns_all()
        && !addressee.is_operator();
    parts.extend(returned::part(request.message, full, utf8));
    let boundary = boundary(&parts, request.chance);
    let mut content = header(request, &addressee, &boundary).into_bytes();
    content.extend_from_slice(b"This is a delivery report in MIME format.\r\n");
    for part in &parts {
        content.extend_from_slice(format!("\r\n--{boundary}\r\n").as_bytes());
        content.extend_from_slice(part);
    }
    content.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    // We wrote it ourselves.
    let (verdict, origin) = (VerdictResult::Authorised, Origin::Ourselves);
    let to = [ForwardPath::Mailbox(to)];
    let envelope = Envelope {
        // A report tells much of its message, and is kept as that is (RFC 8689 §5).
        requests: Requests {
            require_tls: request.envelope.requests.require_tls,
            ..Requests::default()
        },
        body: if utf8 {
            BodyType::EightBitMime
        } else {
            BodyType::SevenBit
        },
        smtputf8: utf8,
        ..Envelope::plain(ReversePath::Null, verdict, origin, to)
    };
    Some(Report { envelope, content })
}

/// The report's own header (RFC 3464 §2, RFC 3834 §5), with the empty line.
fn header(request: &Request<'_>, to: &Addressee, boundary: &str) -> String {
    let host = request.hostname.as_ascii();
    let subject = match (request.kind, to) {
        (_, Addressee::Operator(_)) => "A message could not be delivered, and nobody is told",
        (Kind::Failed, _) => "Your message could not be delivered",
        (Kind::Delayed { .. }, _) => "Your message is delayed",
        (Kind::Succeeded, _) if request.all(Action::Relayed) => "Your message has been handed on",
        (Kind::Succeeded, _) => "Your message has been delivered",
    };
    let [id, _] = request.chance;
    let mut header = String::new();
    for (name, value) in [
        ("From", format!("Mail delivery <postmaster@{host}>")),
        ("To", text::header_address(to.mailbox())),
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
