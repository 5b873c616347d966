//! The part for people: what happened to whom, what the other side said, what can be done.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

use crate::envelope::Clearance;
use crate::outcome::{Diagnostic, Onward, Outcome, OutcomeClass};
use crate::reply::EnhancedStatus;

use super::text::{harmless, push_quoted_printable, push_wrapped};
use super::{Action, Addressee, Concerned, Kind, Request};

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
    for concerned in request.recipients {
        push_recipient(&mut text, request, to, concerned, utf8);
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
            why_withheld(request.envelope.clearance)
        ),
        (_, Kind::Failed) => format!(
            "This is the mail server {host}. Your message could not be delivered to {whom}, and \
             this server will not try again:"
        ),
        (_, Kind::Delayed { until }) => {
            let late = match request.envelope.requests.deliver_by {
                Some(by) if by.deadline <= request.now => format!(
                    " You wanted it there by {}, and that has passed.",
                    by.deadline.to_rfc5322()
                ),
                _ => String::new(),
            };
            format!(
                "This is the mail server {host}. Your message has not yet been delivered to \
                 {whom}.{late} You need not send it again: this server goes on trying until {}. {}",
                until.to_rfc5322(),
                if request.hears_of_failure() {
                    "You will hear of it again only if that fails."
                } else {
                    "As was asked with the message, you will not hear of it again."
                }
            )
        }
        (_, Kind::Succeeded) if request.all(Action::Relayed) => format!(
            "This is the mail server {host}. Your message has been handed on towards {whom}, and \
             the next mail server has taken it:"
        ),
        (_, Kind::Succeeded) => format!(
            "This is the mail server {host}. Your message has been delivered to {whom}. You need \
             not do anything; this report was asked for with the message:"
        ),
    }
}

/// Why the owner of the reverse-path is told nothing.
const fn why_withheld(clearance: Clearance) -> &'static str {
    match clearance {
        Clearance::Unneeded => {
            "whose domain says that mail from that client is not its own. An outer host of this \
             site had accepted it all the same, so it was stored."
        }
        Clearance::Declared => {
            "which could not be shown to be true. It was taken only because the recipient's side \
             has declared that it gets mail by that client."
        }
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
            "Your message, or its header, is attached. If you need help, send this report to \
             postmaster@{host}; the message is known there as {id}."
        ),
    }
}

/// The paragraph about one recipient.
fn push_recipient(
    text: &mut String,
    request: &Request<'_>,
    to: &Addressee,
    concerned: &Concerned<'_>,
    utf8: bool,
) {
    let outcome = concerned.outcome;
    // Writing to a String cannot fail.
    let _ = write!(text, "\r\n  <{}>\r\n", concerned.recipient);
    match Action::of(request.kind, outcome) {
        Action::Delivered => push_wrapped(text, "    ", "It is in the mailbox."),
        Action::Relayed => push_relayed(text, request, outcome, utf8),
        Action::Failed | Action::Delayed => {
            let advice = push_trouble(text, request, outcome, utf8);
            // While it is still tried there is nothing to do, and the operator did not send it.
            if request.kind == Kind::Failed && !to.is_operator() {
                push_wrapped(text, "    ", &format!("What to do: {advice}"));
            }
        }
    }
}

/// Who has the message now, and what is to be expected of that one.
fn push_relayed(text: &mut String, request: &Request<'_>, outcome: &Outcome, utf8: bool) {
    let has = format!("{} has it now.", next_hop(outcome, utf8));
    push_wrapped(text, "    ", &has);
    let Onward::Relay { reports, deadlines } = outcome.onward else {
        return;
    };
    let expect = if reports {
        "It will report on the delivery itself, if that was asked for."
    } else {
        "It does not confirm deliveries, so this is the last that you hear unless something goes \
         wrong."
    };
    push_wrapped(text, "    ", expect);
    if request.envelope.requests.deliver_by.is_some() && !deadlines {
        let late = "It knows nothing of the time by which you wanted it there.";
        push_wrapped(text, "    ", late);
    }
}

/// What is wrong and who said so. Gives what can be done.
fn push_trouble(
    text: &mut String,
    request: &Request<'_>,
    outcome: &Outcome,
    utf8: bool,
) -> &'static str {
    let gave_up = request.kind == Kind::Failed && outcome.class != OutcomeClass::Permanent;
    if gave_up {
        let tried = in_words(request.now.since(request.arrived));
        let line = format!("This server tried for {tried} and has given up. The last time:");
        push_wrapped(text, "    ", &line);
    }
    let (what, advice) = meaning(outcome);
    push_wrapped(text, "    ", what);
    let (who, said) = match &outcome.diagnostic {
        Diagnostic::Reply(said) => (format!("{} said:", next_hop(outcome, utf8)), said),
        Diagnostic::Local(saw) => (String::from("What this server saw:"), saw),
    };
    push_wrapped(text, "    ", &who);
    push_wrapped(text, "      ", &harmless(said, utf8));
    match advice {
        "" if gave_up => "Send it again later, or reach the recipient in another way.",
        "" => "The words above are all that is known; the recipient may know more.",
        advice => advice,
    }
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

/// What a status means, to somebody who has never seen one (RFC 3463 §3), and what he can do once
/// it is final; nothing where no more can be said than of any failure.
fn meaning(outcome: &Outcome) -> (&'static str, &'static str) {
    let EnhancedStatus {
        subject, detail, ..
    } = outcome.status;
    let so_far = outcome.class == OutcomeClass::Transient;
    match subject {
        1 => of_address(detail, so_far),
        2 => of_mailbox(detail),
        3 => of_system(detail),
        4 => of_way(detail, so_far),
        5 if detail == 3 => (
            "The message has more recipients than can be taken at once.",
            "Send it to fewer recipients at a time.",
        ),
        6 => of_content(detail),
        7 => of_policy(detail, so_far),
        _ if so_far => ("The message was not taken.", ""),
        _ => ("The message was refused.", ""),
    }
}

/// X.1.*: the address.
const fn of_address(detail: u16, so_far: bool) -> (&'static str, &'static str) {
    const SPELLING: &str = "Check how the address is spelt, and send the message again.";
    match detail {
        0..=3 | 10 if so_far => ("The address could not be checked there.", ""),
        0 | 1 | 3 => ("There is no such address there.", SPELLING),
        2 => (
            "There is no such domain (the part behind the \"@\").",
            SPELLING,
        ),
        6 => (
            "The recipient has moved and left no new address.",
            "Ask the recipient for the new address in another way.",
        ),
        7 | 8 => (
            "Your own address was not accepted there.",
            "Ask those who run your mail whether your address may be used for sending.",
        ),
        10 => (
            "The domain (the part behind the \"@\") does not take any mail.",
            SPELLING,
        ),
        _ => ("The address was not accepted.", SPELLING),
    }
}

/// X.2.*: the mailbox.
const fn of_mailbox(detail: u16) -> (&'static str, &'static str) {
    match detail {
        1 => (
            "The mailbox is switched off.",
            "Reach the recipient in another way.",
        ),
        2 => (
            "The mailbox is full.",
            "Tell the recipient in another way, and send it again once there is room.",
        ),
        3 => (
            "The message is larger than the mailbox allows.",
            "Send a smaller one: without attachments, or with a link in their place.",
        ),
        _ => ("The mailbox did not take the message.", ""),
    }
}

/// X.3.*: the recipient's mail system.
const fn of_system(detail: u16) -> (&'static str, &'static str) {
    match detail {
        1 => (
            "The recipient's mail system has no room left.",
            "Send it again later.",
        ),
        2 => ("The recipient's mail system is not taking mail.", ""),
        4 => (
            "The message is larger than the recipient's system allows.",
            "Send a smaller one: without attachments, or with a link in their place.",
        ),
        _ => ("The recipient's mail system had trouble of its own.", ""),
    }
}

/// X.4.*: the way there.
const fn of_way(detail: u16, so_far: bool) -> (&'static str, &'static str) {
    match detail {
        1 => ("The recipient's mail system does not answer.", ""),
        2 => ("The connection to the recipient's mail system failed.", ""),
        3 => (
            "The way to the recipient's mail system could not be looked up.",
            "",
        ),
        4 => (
            "There is no way to the recipient's mail system.",
            "Check how the address is spelt. If it is right, the recipient's mail system is not \
             set up to get mail.",
        ),
        5 => ("The mail systems on the way are busy.", ""),
        6 => (
            "The message was going round in circles.",
            "Tell those who run the recipient's mail system: only they can mend it.",
        ),
        7 if !so_far => (
            "The message could not be delivered within the time that was asked for.",
            "If it is still of use, send it again without that limit.",
        ),
        7 => ("The message was under way for too long.", ""),
        _ => ("Something is wrong on the way there.", ""),
    }
}

/// X.6.*: the content.
const fn of_content(detail: u16) -> (&'static str, &'static str) {
    match detail {
        3 => (
            "The message holds characters that the recipient's mail system cannot take.",
            "Send it with another encoding (MIME, quoted-printable or Base64).",
        ),
        7..=9 => (
            "The message uses international addresses or header fields, which the recipient's \
             mail system cannot take.",
            "Send it from and to addresses of plain letters, if there are such.",
        ),
        _ => ("The form of the message was not accepted.", ""),
    }
}

/// X.7.*: policy and protection.
const fn of_policy(detail: u16, so_far: bool) -> (&'static str, &'static str) {
    const ASK: &str = "Only those who run the recipient's mail system can change that: ask the \
                       recipient to tell them, or write to their postmaster.";
    match detail {
        4 | 5 | 10 | 30 if so_far => (
            "No connection that is protected as it has to be could be made to the recipient's \
             mail system.",
            "",
        ),
        4 | 5 | 10 | 30 => (
            "The recipient's mail system offers no connection that is protected as it has to be, \
             so the message was not sent there.",
            ASK,
        ),
        _ if so_far => (
            "The recipient's mail system does not take the message yet, as a matter of policy.",
            "",
        ),
        _ => ("The message was refused as a matter of policy.", ASK),
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
