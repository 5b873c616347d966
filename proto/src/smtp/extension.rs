//! The service extensions that EHLO offers, each with the RFC that it keeps.
//!
//! Not offered: BINARYMIME (RFC 3030), because line ends are strict and content without lines has
//! none; FUTURERELEASE (RFC 4865), which is a submission service's.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::xhold::Terms;

/// EHLO's lines behind the host's name.
pub fn offered(
    message_size: u64,
    deliver_by: Duration,
    starttls: bool,
    require_tls: bool,
    holding: Option<Terms>,
    claims: bool,
) -> Vec<Cow<'static, str>> {
    let mut lines = vec![
        Cow::Borrowed("PIPELINING"),                // RFC 2920
        Cow::Owned(format!("SIZE {message_size}")), // RFC 1870
        Cow::Borrowed("8BITMIME"),                  // RFC 6152
        Cow::Borrowed("SMTPUTF8"),                  // RFC 6531
        Cow::Borrowed("ENHANCEDSTATUSCODES"),       // RFC 2034
        Cow::Borrowed("CHUNKING"),                  // RFC 3030
        Cow::Borrowed("DSN"),                       // RFC 3461
        Cow::Borrowed("PRDR"),                      // draft-hall-prdr-00
        // RFC 2852 §3: with the least time in which a message can be wanted or returned.
        Cow::Owned(format!("DELIVERBY {}", deliver_by.as_secs())),
    ];
    if starttls {
        lines.push(Cow::Borrowed("STARTTLS")); // RFC 3207
    }
    if require_tls {
        lines.push(Cow::Borrowed("REQUIRETLS")); // RFC 8689
    }
    if claims {
        lines.push(Cow::Borrowed("XVOUCH")); // PROTOCOLS D
    }
    if let Some(terms) = holding {
        lines.push(Cow::Owned(format!("{terms}"))); // PROTOCOLS C
    }
    lines
}

/// The lines that only a host in front of us gets: whom it speaks for, in Postfix's form.
pub const FOR_FRONTS: [&str; 2] = [
    "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
    "XFORWARD NAME ADDR PORT PROTO HELO SOURCE IDENT",
];
