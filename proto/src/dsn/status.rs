//! The part for machines: message/delivery-status (RFC 3464 §2), or message/global-delivery-status
//! where the report goes to an address that is not ASCII (RFC 6533 §4).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::addr::ForwardPath;
use crate::outcome::{Diagnostic, Outcome};

use super::text::{harmless, push_field};
use super::{Kind, Recipient, Request};

/// The part, header and all.
pub(super) fn part(request: &Request<'_>, utf8: bool) -> Vec<u8> {
    let mut fields = String::from(if utf8 {
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    } else {
        "Content-Type: message/delivery-status\r\n\r\n"
    });
    let host = request.hostname.as_ascii();
    push_field(&mut fields, "Reporting-MTA", &format!("dns; {host}"));
    push_field(&mut fields, "Arrival-Date", &request.arrived.to_rfc5322());
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
    recipient: &Recipient<'_>,
    utf8: bool,
) {
    let outcome = recipient.outcome;
    push_field(fields, "Final-Recipient", &address(recipient.path, utf8));
    let action = match request.kind {
        Kind::Failed => "failed",
        Kind::Delayed { .. } => "delayed",
    };
    push_field(fields, "Action", action);
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
    if utf8 {
        return format!("utf-8; {text}");
    }
    let mut escaped = String::from("utf-8; ");
    for character in text.chars() {
        if character.is_ascii_graphic() && !"\\+=".contains(character) {
            escaped.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(escaped, "\\x{{{:02X}}}", u32::from(character));
        }
    }
    escaped
}
