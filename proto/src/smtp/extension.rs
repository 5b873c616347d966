//! The service extensions that EHLO offers, each with the RFC that it keeps.
//!
//! Not offered: DSN (RFC 3461), whose promises the queue does not keep yet by recipient, and
//! BINARYMIME (RFC 3030), because line ends are strict and content without lines has none.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

/// EHLO's lines behind the host's name.
pub fn offered(message_size: u64, starttls: bool) -> Vec<Cow<'static, str>> {
    let mut lines = vec![
        Cow::Borrowed("PIPELINING"),                // RFC 2920
        Cow::Owned(format!("SIZE {message_size}")), // RFC 1870
        Cow::Borrowed("8BITMIME"),                  // RFC 6152
        Cow::Borrowed("SMTPUTF8"),                  // RFC 6531
        Cow::Borrowed("ENHANCEDSTATUSCODES"),       // RFC 2034
        Cow::Borrowed("CHUNKING"),                  // RFC 3030
    ];
    if starttls {
        lines.push(Cow::Borrowed("STARTTLS")); // RFC 3207
    }
    lines
}

/// The lines that only a host in front of us gets: whom it speaks for, in Postfix's form.
pub const FOR_FRONTS: [&str; 2] = [
    "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
    "XFORWARD NAME ADDR PORT PROTO HELO SOURCE IDENT",
];
