//! The header, as it streams by (RFC 5322 §2.2), and the trace fields that we put above it
//! (RFC 5321 §4.4).
//!
//! `filter` takes out what others have written in our name, for which `authserv_id` reads whom a
//! field claims to come from. Here are the count of `Received` fields, which is a counter and a
//! place, and the one of our own. What a peer said is made harmless before it stands in a field of
//! ours. `received` finds the client that a perimeter host had.

mod authentication_results;
mod authserv_id;
mod completing;
mod field;
mod filter;
pub mod received;
mod received_spf;

pub use authentication_results::{Method, Property, Results};
pub use authserv_id::AuthservId;
pub use completing::{Completion, Missing};
pub use filter::{HeaderFilter, MOST_HELD};
pub use received_spf::ReceivedSpf;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;

use crate::addr::{Domain, ForwardPath};
use crate::queue_id::QueueId;
use crate::time::Wall;

/// Counts `Received` fields in content, for the loop stop (RFC 5321 §6.3). The header ends at the
/// first empty line; until then every line is looked at, well-formed or not.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceivedCount {
    /// Where in the header the scan is.
    place: Place,
    /// Fields seen.
    fields: usize,
}

/// Where in the header the scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// So many octets of the field's name have matched; at 0, a line begins.
    Name(usize),
    /// Behind the whole name, before its colon; blanks may stand there (RFC 5322 §4.5).
    Colon,
    /// Behind a CR that began a line.
    EmptyLine,
    /// In a line of which no more needs to be known.
    Rest,
    /// In the body.
    Body,
}

impl Default for Place {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl ReceivedCount {
    /// Looks at the next octets of the content.
    pub fn read(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while self.place != Place::Body {
            if self.place == Place::Rest {
                // Content of this machine has no bare LF, so an LF ends the line.
                let Some(at) = memchr::memchr(b'\n', rest) else {
                    return;
                };
                rest = rest.get(at..).unwrap_or_default();
            }
            let Some((octet, behind)) = rest.split_first() else {
                return;
            };
            self.read_octet(*octet);
            rest = behind;
        }
    }

    /// How many there are so far.
    pub const fn fields(&self) -> usize {
        self.fields
    }

    /// One octet further.
    fn read_octet(&mut self, octet: u8) {
        self.place = match (self.place, octet) {
            (Place::EmptyLine, b'\n') => Place::Body,
            (Place::Name(0), b'\r') => Place::EmptyLine,
            (_, b'\n') => Place::Name(0),
            (Place::Name(matched), octet) => match RECEIVED.get(matched) {
                Some(expected) if octet.eq_ignore_ascii_case(expected) => {
                    let matched = matched.saturating_add(1);
                    if matched == RECEIVED.len() {
                        Place::Colon
                    } else {
                        Place::Name(matched)
                    }
                }
                _ => Place::Rest,
            },
            (Place::Colon, b' ' | b'\t') => Place::Colon,
            (Place::Colon, b':') => {
                self.fields = self.fields.saturating_add(1);
                Place::Rest
            }
            _ => Place::Rest,
        };
    }
}

/// What our `Received` field says.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the client called itself.
    pub helo: &'a str,
    /// Its address.
    pub client: IpAddr,
    /// Our name.
    pub by: &'a Domain,
    /// EHLO, not HELO.
    pub extended: bool,
    /// TLS version and suite, if it was on.
    pub tls: Option<&'a str>,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// The message's name.
    pub id: QueueId,
    /// The recipient, if there is just one: a second would be told of the first.
    pub recipient: Option<&'a ForwardPath>,
    /// When.
    pub at: Wall,
}

impl Received<'_> {
    /// The field, folded, with its CRLF.
    pub fn to_field(&self) -> String {
        let mut field = String::with_capacity(ORDINARY);
        field.push_str("Received: from ");
        field.push_str(&harmless_name(self.helo));
        field.push_str(match self.client {
            IpAddr::V4(_) => " ([",
            IpAddr::V6(_) => " ([IPv6:",
        });
        // An address as a literal (RFC 5321 §4.1.3). Writing to a String cannot fail, here and below.
        let _ = write!(field, "{}", self.client);
        field.push_str("])\r\n\tby ");
        field.push_str(self.by.as_ascii());
        field.push_str(" with ");
        field.push_str(self.with());
        if let Some(tls) = self.tls {
            let words = tls.split(' ').map(harmless).collect::<Vec<_>>();
            let _ = write!(field, " ({})", words.join(" "));
        }
        field.push_str("\r\n\tid ");
        let _ = write!(field, "{}", self.id);
        if let Some(recipient) = self.recipient {
            let _ = write!(field, "\r\n\tfor <{recipient}>");
        }
        field.push_str(";\r\n\t");
        field.push_str(&self.at.to_rfc5322());
        field.push_str("\r\n");
        field
    }

    /// The registered name of the protocol (RFC 3848, RFC 6531 §4.3).
    const fn with(&self) -> &'static str {
        match (self.smtputf8, self.extended, self.tls.is_some()) {
            (true, _, true) => "UTF8SMTPS",
            (true, _, false) => "UTF8SMTP",
            (false, _, true) => "ESMTPS",
            (false, true, false) => "ESMTP",
            (false, false, false) => "SMTP",
        }
    }
}

/// What a client called itself, as a field can hold it: A-labels if it is a domain.
fn harmless_name(text: &str) -> Cow<'_, str> {
    match Domain::parse(text) {
        Ok(domain) => Cow::Owned(domain.as_ascii().into()),
        Err(_) => harmless(text),
    }
}

/// Every character that could end, fold or comment out anything becomes a `?`.
fn harmless(text: &str) -> Cow<'_, str> {
    let kept =
        |character: char| character.is_ascii_alphanumeric() || "-._:[]+/=".contains(character);
    if text.len() <= SHOWN && text.chars().all(kept) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().take(SHOWN);
    shown.map(|c| if kept(c) { c } else { '?' }).collect()
}

/// Octets that an ordinary field fits into, so that it is written without growing.
const ORDINARY: usize = 320;

/// Characters shown of a peer's word; a domain has no more (RFC 5321 §4.5.3.1.2).
const SHOWN: usize = 255;

/// The name that is counted.
const RECEIVED: &[u8] = b"received";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Mailbox;

    fn count(octets: &[u8], step: usize) -> usize {
        let mut count = ReceivedCount::default();
        octets.chunks(step).for_each(|piece| count.read(piece));
        count.fields()
    }

    #[test]
    fn received_fields_of_the_header_are_counted() {
        for (content, expected) in [
            ("", 0),
            (
                "Received: a\r\n\tb\r\nSubject: x\r\nreceived : c\r\n\r\nx",
                2,
            ),
            ("RECEIVED:\r\n\r\nReceived: in the body\r\n", 1),
            ("\r\nReceived: in the body\r\n", 0),
            ("Received-SPF: pass\r\nX-Received: y\r\n Received: z\r\n", 0),
            ("not a field\r\nReceived: a\r\n", 1),
            ("Receive\r\nReceived\r\nReceived:", 1),
        ] {
            for step in 1..=content.len().max(1) {
                assert_eq!(count(content.as_bytes(), step), expected, "{content:?}");
            }
        }
    }

    #[test]
    fn the_trace_field_says_who_and_how() {
        let hostname = Domain::parse("mx.example.org").unwrap();
        let recipient = ForwardPath::Mailbox(Mailbox::parse("b@example.org").unwrap());
        let id = QueueId::new(Wall::from_secs(0), 1);
        let received = Received {
            helo: "out.example.net",
            client: IpAddr::from([192, 0, 2, 1]),
            by: &hostname,
            extended: true,
            tls: Some("TLSv1.3 TLS_AES_256_GCM_SHA384"),
            smtputf8: false,
            id,
            recipient: Some(&recipient),
            at: Wall::from_secs(1_795_256_100),
        };
        assert_eq!(
            received.to_field(),
            "Received: from out.example.net ([192.0.2.1])\r\n\
             \tby mx.example.org with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n\
             \tid 00000000000000000001\r\n\
             \tfor <b@example.org>;\r\n\
             \tSat, 21 Nov 2026 10:15:00 +0000\r\n"
        );
        let hostile = Received {
            helo: "x)\r\nSubject: (buy) é",
            client: "2001:db8::1".parse().unwrap(),
            extended: false,
            tls: None,
            recipient: None,
            ..received
        };
        assert_eq!(
            hostile.to_field(),
            "Received: from x???Subject:??buy??? ([IPv6:2001:db8::1])\r\n\
             \tby mx.example.org with SMTP\r\n\
             \tid 00000000000000000001;\r\n\
             \tSat, 21 Nov 2026 10:15:00 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_has_its_registered_name() {
        let hostname = Domain::parse("mx.example.org").unwrap();
        for (smtputf8, extended, tls, expected) in [
            (false, false, None, "SMTP"),
            (false, true, None, "ESMTP"),
            (false, true, Some(""), "ESMTPS"),
            (true, true, None, "UTF8SMTP"),
            (true, true, Some(""), "UTF8SMTPS"),
        ] {
            let received = Received {
                helo: "x",
                client: IpAddr::from([192, 0, 2, 1]),
                by: &hostname,
                extended,
                tls,
                smtputf8,
                id: QueueId::new(Wall::from_secs(0), 1),
                recipient: None,
                at: Wall::from_secs(0),
            };
            assert_eq!(received.with(), expected);
        }
    }
}
