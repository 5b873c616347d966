//! The part for people: what happened to whom, what the other side said, what can be done.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use crate::envelope::Clearance;
use crate::outcome::{Diagnostic, Outcome, OutcomeClass};
use crate::reply::EnhancedStatus;

use super::text::{harmless, push_quoted_printable, push_wrapped};
use super::{Addressee, Kind, Recipient, Request};

/// The part, header and all.
pub(super) fn part(request: &Request<'_>, to: &Addressee, utf8: bool) -> Vec<u8> {
    let text = write(request, to, utf8);
    let mut part = Vec::new();
    if text.is_ascii() {
        part.extend_from_slice(b"Content-Type: text/plain; charset=us-ascii\r\n\r\n");
        part.extend_from_slice(text.as_bytes());
    } else {
        part.extend_from_slice(
            b"Content-Type: text/plain; charset=utf-8\r\n\
              Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        );
        push_quoted_printable(&mut part, text.as_bytes());
    }
    part
}

/// The text.
fn write(request: &Request<'_>, to: &Addressee, utf8: bool) -> String {
    let mut text = String::new();
    push_wrapped(&mut text, "", &opening(request, to, utf8));
    for recipient in request.recipients {
        push_recipient(&mut text, request, recipient, utf8);
    }
    if request.kind == Kind::Failed {
        text.push_str("\r\n");
        push_wrapped(
            &mut text,
            "",
            "Recipients that are not named here are not concerned by this report.",
        );
    }
    text.push_str("\r\n");
    push_wrapped(&mut text, "", &ending(request, to));
    text
}

/// What has happened, in a sentence or two.
fn opening(request: &Request<'_>, to: &Addressee, utf8: bool) -> String {
    let host = request.hostname.as_ascii();
    let whom = match request.recipients.len() {
        1 => String::from("this recipient"),
        count => format!("these {count} recipients"),
    };
    match (to, request.kind) {
        (Addressee::Operator(_), _) => format!(
            "This is the mail server {host}. A message has been lost here: it could not be \
             delivered to {whom}, and this server will not try again. Its reverse-path is <{}>, \
             {} Nobody but you is told:",
            harmless(&request.envelope.reverse_path.to_string(), utf8),
            match request.envelope.clearance {
                Clearance::Unneeded => {
                    "whose domain says that mail from that client is not its own. An outer host of \
                     this site had accepted it all the same, so it was stored."
                }
                Clearance::Declared => {
                    "which could not be shown to be true. It was taken only because the \
                     recipient's side has declared that it gets mail by that client."
                }
            }
        ),
        (_, Kind::Failed) => format!(
            "This is the mail server {host}. Your message could not be delivered to {whom}, and \
             this server will not try again:"
        ),
        (_, Kind::Delayed { until }) => format!(
            "This is the mail server {host}. Your message has not yet been delivered to {whom}. \
             You need not send it again: this server goes on trying until {}. You will hear of it \
             again only if that fails.",
            until.to_rfc5322()
        ),
    }
}

/// Where more is known.
fn ending(request: &Request<'_>, to: &Addressee) -> String {
    let (host, id) = (request.hostname.as_ascii(), request.queue_id);
    match to {
        Addressee::Operator(_) => format!(
            "The header of the message is attached; the client that brought it is in the topmost \
             Received field, and this server's log knows it as {id}."
        ),
        Addressee::ReversePath(_) => format!(
            "The header of your message is attached. If you need help, send this report to \
             postmaster@{host}; the message is known there as {id}."
        ),
    }
}

/// The paragraph about one recipient.
fn push_recipient(text: &mut String, request: &Request<'_>, recipient: &Recipient<'_>, utf8: bool) {
    let outcome = recipient.outcome;
    // Writing to a String cannot fail.
    let _ = write!(text, "\r\n  <{}>\r\n", recipient.path);
    let gave_up = request.kind == Kind::Failed && outcome.class != OutcomeClass::Permanent;
    if gave_up {
        let tried = in_words(request.now.since(request.arrived));
        let line = format!("This server tried for {tried} and has given up. The last time:");
        push_wrapped(text, "    ", &line);
    }
    push_wrapped(text, "    ", meaning(outcome));
    let (who, said) = match &outcome.diagnostic {
        Diagnostic::Reply(said) => (format!("{} said:", next_hop(outcome, utf8)), said),
        Diagnostic::Local(saw) => (String::from("What this server saw:"), saw),
    };
    push_wrapped(text, "    ", &who);
    push_wrapped(text, "      ", &harmless(said, utf8));
}

/// The next hop, by what a stranger may know of it.
fn next_hop(outcome: &Outcome, utf8: bool) -> String {
    match &outcome.remote {
        Some(remote) if !remote.name.contains('/') => {
            let name = harmless(&remote.name, utf8);
            match remote.address {
                Some(address) if address.to_string() != name => {
                    format!("The mail server {name} ({address})")
                }
                _ => format!("The mail server {name}"),
            }
        }
        _ => String::from("The mail server for this address"),
    }
}

/// What a status means, to somebody who has never seen one (RFC 3463 §3).
fn meaning(outcome: &Outcome) -> &'static str {
    let EnhancedStatus {
        subject, detail, ..
    } = outcome.status;
    let so_far = outcome.class == OutcomeClass::Transient;
    match (subject, detail) {
        (1, 0..=3 | 10) if so_far => "The address could not be checked there.",
        (7, _) if so_far => {
            "The recipient's mail system does not take the message yet, as a matter of policy."
        }
        (1, 0 | 1 | 3) => "There is no such address there. Please check how it is spelt.",
        (1, 2) => {
            "There is no such domain (the part behind the \"@\"). Please check how it is spelt."
        }
        (1, 6) => "The recipient has moved and left no new address.",
        (1, 7 | 8) => "Your own address was not accepted there.",
        (1, 10) => "The domain (the part behind the \"@\") does not take any mail.",
        (2, 1) => "The mailbox is switched off.",
        (2, 2) => "The mailbox is full.",
        (2, 3) => "The message is larger than the mailbox allows.",
        (3, 1) => "The recipient's mail system has no room left.",
        (3, 2) => "The recipient's mail system is not taking mail.",
        (3, 4) => "The message is larger than the recipient's system allows.",
        (4, 1) => "The recipient's mail system does not answer.",
        (4, 2) => "The connection to the recipient's mail system failed.",
        (4, 3) => "The way to the recipient's mail system could not be looked up.",
        (4, 4) => "There is no way to the recipient's mail system.",
        (4, 6) => "The message was going round in circles.",
        (4, 7) => "The message was under way for too long.",
        (5, 3) => "The message has more recipients than can be taken at once.",
        (6, 3) => {
            "The message holds characters that the recipient's mail system cannot take. Sent with \
             another encoding it may pass."
        }
        (6, 7..=9) => {
            "The message uses international addresses or header fields, which the recipient's \
             mail system cannot take."
        }
        (6, _) => "The form of the message was not accepted.",
        (7, _) => {
            "The message was refused as a matter of policy. Only those who run the recipient's \
             mail system can change that."
        }
        _ if so_far => "The message was not taken.",
        _ => "The message was refused.",
    }
}

/// A span of time, roughly.
fn in_words(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    match (hours / 24, hours) {
        (2.., _) => format!("{} days", hours / 24),
        (_, 2..) => format!("{hours} hours"),
        _ => format!("{} minutes", (span.as_secs() / 60).max(1)),
    }
}
