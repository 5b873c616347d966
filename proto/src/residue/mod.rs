//! The ledger's question (PROTOCOLS B): did your domain send a message whose digest leaves these remainders?
//!
//! A domain keeps a [`Digest`] of each message that it sent, filed under an [`Hour`]. Who asks reveals 24 bits of
//! the digest that he has, the *index*, and its remainders for moduli that he drew after the message had come:
//! nobody could have prepared a message that leaves the same ones, and a domain that did not send it cannot tell
//! which digest it was. [`Congruences`] test the digests that are kept, without a division.
//!
//! Promised: no input makes anything here panic; a question is written in one way. Left to others: what is kept and found
//! again (spool), who is asked (daemon), and the sums of the hash, which is handed in.

mod answer;
mod base32;
mod claim;
mod congruence;
pub mod covered;
pub mod inquiry;
mod offer;
mod prime;
mod question;
pub mod servers;
pub mod wire;
pub mod writers;

pub use answer::{Answer, LONGEST_ANSWER, Span, Word};
pub use claim::Claim;
pub use congruence::{Congruences, Residue};
pub use offer::{Offer, Policy, Unanswered};
pub use prime::{first_prime, is_prime};
pub use question::{Hours, Kind, LEAST_REVEALED, Malformed, Question, Residues, Width};

use core::fmt;

use crate::time::Wall;

/// The first 128 bits of a SHA-256, as a big-endian integer (PROTOCOLS B.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

impl Digest {
    /// The digest that is this number.
    pub const fn new(number: u128) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u128 {
        self.0
    }

    /// The last 24 bits, which every question reveals.
    pub const fn index(self) -> Index {
        #[expect(clippy::cast_possible_truncation, reason = "24 bits are left")]
        Index((self.0 & (INDEXES as u128 - 1)) as u32)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(into, "{:032x}", self.0)
    }
}

/// A digest modulo 2^24: what a ledger is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u32);

/// How many indexes there are.
pub const INDEXES: u32 = 1 << 24;

impl Index {
    /// The index that is this number; `None` from 2^24 on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < INDEXES {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, below 2^24.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Hours since 1970, in UTC; below 2^20, which lasts until 2089.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(u32);

/// How many hours can be said.
pub const HOURS: u32 = 1 << 20;

impl Hour {
    /// The hour that is this number; `None` from 2^20 on.
    pub const fn new(number: u32) -> Option<Self> {
        if number < HOURS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The hour that this moment lies in.
    pub fn at(moment: Wall) -> Option<Self> {
        u32::try_from(moment.as_secs() / 3600)
            .ok()
            .and_then(Self::new)
    }

    /// The number, below 2^20.
    pub const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_what_the_digest_ends_in() {
        let digest = Digest::new(0x8708_34f1_7f8c_a907_8fdb_a2f6_3449_d26a);
        assert_eq!(digest.index(), Index::new(0x0049_d26a).unwrap());
        assert_eq!(Index::new(INDEXES), None);
        assert_eq!(Hour::new(HOURS), None);
        assert_eq!(Hour::new(498_681).unwrap().number(), 0x79bf9);
        let at = |hours: u64| Hour::at(Wall::from_secs(hours * 3600 + 3599));
        assert_eq!((at(498_681), at(1 << 20)), (Hour::new(498_681), None));
    }
}
