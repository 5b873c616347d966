//! The part for machines: message/delivery-status (RFC 3464 §2), or message/global-delivery-status
//! where the report goes to an address that is not ASCII (RFC 6533 §4).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::addr::ForwardPath;
use crate::envelope::OriginalRecipient;
use crate::outcome::{Diagnostic, Outcome};
use crate::smtp::parameters::unitext;

use super::text::{harmless, push_field};
use super::{Action, Concerned, Kind, Request};

/// The part, header and all.
pub(super) fn part(request: &Request<'_>, utf8: bool) -> Vec<u8> {
    let mut fields = String::from(if utf8 {
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    } else {
        "Content-Type: message/delivery-status\r\n\r\n"
    });
    let host = request.hostname.as_ascii();
    // Not folded, so that it comes back as it was given (RFC 3464 §2.2.1).
    if let Some(envid) = &request.envelope.requests.envid {
        push_line(&mut fields, "Original-Envelope-Id", envid);
    }
    push_field(&mut fields, "Reporting-MTA", &format!("dns; {host}"));
    push_field(&mut fields, "Arrival-Date", &request.arrived.to_rfc5322());
    if let Some(by) = request.envelope.requests.deliver_by {
        // RFC 2852 §5.
        push_field(&mut fields, "Deliver-By-Date", &by.deadline.to_rfc5322());
    }
    push_field(
        &mut fields,
        "X-Vouchsafe-Queue-Id",
        &request.queue_id.to_string(),
    );
    for recipient in request.recipients {
        fields.push_str("\r\n");
        push_recipient(&mut fields, request, recipient, utf8);
    }
    fields.into_bytes()
}

/// The fields of one recipient, in the order of RFC 3464 §2.3.
fn push_recipient(
    fields: &mut String,
    request: &Request<'_>,
    concerned: &Concerned<'_>,
    utf8: bool,
) {
    let (outcome, recipient) = (concerned.outcome, concerned.recipient);
    if let Some(original) = &recipient.original {
        push_line(
            fields,
            "Original-Recipient",
            &original_address(original, utf8),
        );
    }
    push_field(fields, "Final-Recipient", &address(&recipient.path, utf8));
    let action = Action::of(request.kind, outcome);
    push_field(fields, "Action", action.as_str());
    push_field(fields, "Status", &outcome.status.to_string());
    if let Some(name) = remote_name(outcome) {
        push_field(
            fields,
            "Remote-MTA",
            &format!("dns; {}", harmless(name, utf8)),
        );
    }
    let (kind, said) = match &outcome.diagnostic {
        Diagnostic::Reply(said) => ("smtp", said),
        Diagnostic::Local(saw) => ("x-vouchsafe", saw),
    };
    push_field(
        fields,
        "Diagnostic-Code",
        &format!("{kind}; {}", harmless(said, utf8)),
    );
    push_field(fields, "Last-Attempt-Date", &request.now.to_rfc5322());
    if let Kind::Delayed { until } = request.kind {
        push_field(fields, "Will-Retry-Until", &until.to_rfc5322());
    }
}

/// The next hop's name, if it is one: a path is nobody else's business.
fn remote_name(outcome: &Outcome) -> Option<&str> {
    let name = outcome.remote.as_ref()?.name.as_str();
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// `type; address`. An address that is not ASCII stands in a field that must be as the 7-bit form
/// of RFC 6533 §3.
fn address(path: &ForwardPath, utf8: bool) -> String {
    let text = path.to_string();
    if text.is_ascii() {
        return format!("rfc822; {text}");
    }
    let text = if utf8 { text } else { unitext(&text, false) };
    format!("utf-8; {text}")
}

/// The address that the sender had in mind, in the form that he gave it (RFC 3464 §2.3.1).
fn original_address(original: &OriginalRecipient, utf8: bool) -> String {
    let OriginalRecipient {
        address_type,
        address,
    } = original;
    let plain = address.is_ascii() || utf8;
    let address = if plain && !address.contains('\\') {
        String::from(&**address)
    } else {
        unitext(address, utf8)
    };
    format!("{address_type}; {address}")
}

/// Appends `name: value` on one line. What is given here has its own bound, far from 998 octets.
fn push_line(into: &mut String, name: &str, value: &str) {
    let value = value.trim();
    if !value.is_empty() {
        into.extend([name, ": ", value, "\r\n"]);
    }
}
