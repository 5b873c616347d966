//! Bellovin's question: did your domain send a message that leaves these remainders?
//!
//! `asking` asks it of a domain's own servers, `vouching` makes what our own ledger is told, `keeping` keeps that in order,
//! and `claiming` tells next hops which message comes. Here are the sums that proto's digests are handed, by the library
//! that TLS uses, and the numbers among which a question's prime is found.
//!
//! Left to others: what is hashed, what a question looks like, who is to be asked, and what the answer means (proto).

mod asking;
pub mod claiming;
pub mod keeping;
mod vouching;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::covered::Hasher;
use vouchsafe_proto::residue::{Congruences, Digest, Kind, Residue, first_prime};
use vouchsafe_spool::ledger::{Hours, Question};

pub use asking::{Asker, Oddity, Said, name};
pub use vouching::{NotWhole, Vouched, Vouching, entries, spellings};

/// SHA-256, being computed.
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Hasher for Sha256 {
    fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    fn finish(self) -> [u8; 32] {
        // SHA-256 has as many.
        self.0.finish().as_ref().try_into().unwrap_or_default()
    }
}

/// By what a digest is told from all others in our own ledger; any number would do, since nobody else is asked.
const MODULUS: u64 = u64::MAX - 58;

/// The question to our own ledger whether it has this digest.
pub fn about(kind: Kind, hours: Hours, digest: Digest) -> Option<Question> {
    Some(Question {
        kind,
        hours,
        index: digest.index(),
        congruences: Congruences::of(&[Residue::of(digest, MODULUS)?])?,
    })
}

/// What a receiver's primes follow from. A forger must not know them before his message has come; and the same message
/// must get the same one again, since two questions about it would tell the domain all of its digest.
pub struct Secret(hmac::Key);

impl Secret {
    /// The secret that is these octets.
    pub fn new(octets: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, octets))
    }

    /// The prime of 64 bits by which this domain is asked about this digest; none if a thousand draws have none, which
    /// a sound HMAC does not do.
    pub fn prime(&self, digest: Digest, domain: &Domain) -> Option<u64> {
        let drawn = (0_u8..=u8::MAX)
            .flat_map(|round| self.numbers(b"vouch1 prime\0", digest, round, domain));
        first_prime(drawn)
    }

    /// In which order this domain's servers are asked about this digest.
    pub fn seed(&self, digest: Digest, domain: &Domain) -> u64 {
        let [seed, ..] = self.numbers(b"vouch1 server\0", digest, 0, domain);
        seed
    }

    /// Numbers for a purpose.
    fn numbers(&self, purpose: &[u8], digest: Digest, round: u8, domain: &Domain) -> [u64; 4] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose);
        context.update(&digest.number().to_be_bytes());
        context.update(&[round]);
        context.update(domain.as_ascii().as_bytes());
        let tag: [u8; 32] = context.sign().as_ref().try_into().unwrap_or_default();
        let number = |octets: &[u8]| octets.iter().fold(0, |all, one| all << 8 | u64::from(*one));
        [0, 8, 16, 24].map(|from| number(tag.get(from..from + 8).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::residue::is_prime;

    #[test]
    fn the_same_message_gets_the_same_prime() {
        let secret = Secret::new(b"a");
        let domain = Domain::parse("example.org").unwrap();
        let prime = |secret: &Secret, digest, domain| secret.prime(Digest::new(digest), domain);
        let one = prime(&secret, 1, &domain).unwrap();
        assert!(is_prime(one) && one >> 63 == 1);
        assert_eq!(prime(&secret, 1, &domain), Some(one));
        assert_ne!(prime(&secret, 2, &domain), Some(one));
        assert_ne!(prime(&Secret::new(b"b"), 1, &domain), Some(one));
        let other = Domain::parse("example.net").unwrap();
        assert_ne!(prime(&secret, 1, &other), Some(one));
        let seed = |digest| secret.seed(Digest::new(digest), &domain);
        assert_eq!(seed(1), seed(1));
        assert_ne!(seed(1), seed(2));
    }
}
