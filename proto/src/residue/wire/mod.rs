//! The datagrams of whoever answers the question: what is asked, and how it is said (PROTOCOLS B.4, RFC 1035 §4).
//!
//! [`Query::read`] reads one datagram, [`Zones::find`] says what it asks for, [`Response`] writes what is answered. A
//! question that is malformed in any respect is told apart before a ledger is looked at. Nothing is allocated on the
//! way, since a forger's questions come as fast as he can send.
//!
//! Promised: no datagram makes anything here panic; a datagram that answers a question is no longer than half as much
//! again as the question; names come back in the case in which they came. Left to others: sockets, what may be asked how often, DNS
//! cookies' sums, and the ledger.

mod query;
mod response;
#[cfg(test)]
mod tests;
mod zones;

pub use query::{Edns, Query, Unread};
pub use response::{Rcode, Response, Terms, Way};
pub use zones::{Asked, Zone, Zones};

/// Octets of a header.
const HEADER: usize = 12;
/// Class IN.
const IN: u16 = 1;

/// Types that mean something here.
mod kind {
    pub(super) const NS: u16 = 2;
    pub(super) const SOA: u16 = 6;
    pub(super) const TXT: u16 = 16;
    pub(super) const OPT: u16 = 41;
    /// Whatever there is; here one set of it (RFC 8482 §4.1).
    pub(super) const ANY: u16 = 255;
}
