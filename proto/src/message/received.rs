//! The client that a perimeter host had, found in the Received fields it put above a message
//! (PROTOCOLS A.4, RFC 5321 §4.4).
//!
//! The topmost field was written by the host that connected to us; the address in its `from` clause
//! is the next hop outward. While that is inside the perimeter too, the next field was written by
//! *it*, and so on: the first address outside is the client. Only the address that the writer saw
//! counts, never the name that its client gave itself, which anybody can choose.
//!
//! # What it promises
//!
//! No address comes out of a field that can be read in two ways: more than one address, words where
//! none belong, a clause that begins twice. Nothing comes out either where the message began at the
//! perimeter host (no `from` clause, a client that had logged in) or came to it from an address that
//! cannot be seen from outside. Bounded memory, whatever comes.
//!
//! # What it leaves to others
//!
//! Which addresses are inside; that the connection came from inside at all; what the client is
//! worth. Every perimeter host must put a field of its own above what it takes, as every mail server
//! does: one that does not lets its clients write what is read here.

mod field;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::field::Hop;

/// Octets of a header that are kept: about twenty Received fields. A perimeter is two or three
/// hosts deep, and a session has 64 KiB in all.
const MOST_OCTETS: usize = 8 * 1024;

/// Received fields that are read. Who needs more goes in circles.
const MOST_FIELDS: usize = 20;

/// The top of a header, as it streams by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    octets: Vec<u8>,
    /// No more is taken: the header has ended, or enough is here.
    ended: bool,
}

/// Who brought a message to the perimeter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Its address, as the perimeter host saw it.
    pub address: IpAddr,
    /// What it called itself, as far as the field says.
    pub helo: Option<Box<str>>,
}

impl Run {
    /// Takes the next octets of the content.
    pub fn read(&mut self, octets: &[u8]) {
        if self.ended {
            return;
        }
        let room = MOST_OCTETS.saturating_sub(self.octets.len());
        let taken = octets.get(..room).unwrap_or(octets);
        // The end may have come in two pieces.
        let from = self.octets.len().saturating_sub(3);
        self.octets.extend_from_slice(taken);
        let fresh = self.octets.get(from..).unwrap_or_default();
        let header_ends =
            self.octets.starts_with(b"\r\n") || fresh.windows(4).any(|four| four == b"\r\n\r\n");
        self.ended = header_ends || taken.len() < octets.len();
    }

    /// The first client outside the perimeter; none if there is none, or no certainty.
    pub fn outside_client(&self, is_inside: impl Fn(IpAddr) -> bool) -> Option<Outside> {
        for field in self.fields().take(MOST_FIELDS) {
            match field::read(&field) {
                Hop::Nothing => {}
                Hop::End => return None,
                Hop::Client(client) if is_here(client.address) || is_inside(client.address) => {}
                Hop::Client(client) if is_hidden(client.address) => return None,
                Hop::Client(client) => return Some(client),
            }
        }
        None
    }

    /// The values of the Received fields of the run, unfolded. A field whose end is not here is
    /// none.
    fn fields(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut rest = &self.octets[..];
        let fields = core::iter::from_fn(move || {
            let end = end_of_field(rest)?;
            let (field, behind) = rest.split_at_checked(end)?;
            rest = behind;
            Some(field)
        });
        // Whatever stands between the fields of the run has no say in who wrote them; what is no
        // trace at all ends it.
        fields
            .map_while(|field| {
                let colon = memchr::memchr(b':', field)?;
                let (name, value) = field.split_at_checked(colon)?;
                let name = name.trim_ascii_end();
                let is_received = name.eq_ignore_ascii_case(b"received");
                (is_received || is_trace(name)).then(|| is_received.then(|| unfolded(value)))
            })
            .flatten()
    }
}

/// Where the field at the front ends, behind the CRLF that no folding follows.
fn end_of_field(octets: &[u8]) -> Option<usize> {
    let ends = memchr::memchr_iter(b'\n', octets).map(|at| at.saturating_add(1));
    for end in ends {
        match octets.get(end) {
            Some(b' ' | b'\t') => {}
            Some(_) => return Some(end),
            // What follows is not here, and could be more of this field.
            None => return None,
        }
    }
    None
}

/// A field's text behind its colon, on one line.
fn unfolded(value: &[u8]) -> Vec<u8> {
    let value = value.strip_prefix(b":").unwrap_or(value);
    let kept = value.iter().filter(|octet| !matches!(octet, b'\r' | b'\n'));
    kept.copied().collect()
}

/// Fields that mail servers and filters put among Received fields.
fn is_trace(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [
        b"return-path",
        b"delivered-to",
        b"authentication-results",
        b"received-spf",
        b"dkim-signature",
    ];
    let begins = |with: &[u8]| {
        name.split_at_checked(with.len())
            .is_some_and(|(front, _)| front.eq_ignore_ascii_case(with))
    };
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) || begins(b"x-") || begins(b"arc-")
}

/// The writer's own host: a filter beside it handed the message back.
fn is_here(address: IpAddr) -> bool {
    [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ]
    .contains(&address)
}

/// An address that means something only at the writer's site: its own network, or a translator in
/// front of it. Who stands behind it cannot be known here.
fn is_hidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // Carriers' own networks lie in 100.64.0.0/10.
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(address) => {
            address.is_unique_local() || address.is_unicast_link_local() || address.is_unspecified()
        }
    }
}
