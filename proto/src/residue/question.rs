//! The question as a name (PROTOCOLS B.3): `<q>.<x>._sent.<domain>`, where `q` is base32hex of a few octets and `x`
//! the first five bits of the index, by which a large domain delegates.
//!
//! Promised: a question is written in one way (the whole window with the first hour 0) and read whatever the case of its
//! letters, and whatever first hour the whole window has; what is read was well-formed in every
//! respect, and what is not is told apart before a ledger is looked at. Left to others: names and packets.

use alloc::string::String;
use alloc::vec::Vec;

use super::base32;
use super::congruence::{MOST, Residue};
use super::{Congruences, Digest, Hour, Index};

/// Did you send this?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    kind: Kind,
    hours: Hours,
    index: Index,
    residues: Residues,
}

/// Which digest is asked for (PROTOCOLS B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// That of a message for a recipient's domain.
    Message,
    /// That of a reverse-path and a Message-ID.
    Identity,
}

/// Which hours are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hours {
    /// So many from this one on: 1 to 15.
    From(Hour, u8),
    /// All that are answered for.
    Window,
}

/// Residues as a question may have them: one to four, of one width, their moduli odd, with the top bit set,
/// ascending and pairwise coprime, revealing at least [`LEAST_REVEALED`] bits with the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residues {
    width: Width,
    first: Residue,
    others: [Option<Residue>; MOST - 1],
}

/// Octets of a modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Four.
    Bits32,
    /// Eight.
    Bits64,
}

/// Bits that a question reveals at least: with fewer, the share of random questions that hit would tell how much a
/// domain sends.
pub const LEAST_REVEALED: u32 = 80;

/// Bits of the index.
const INDEX_BITS: u32 = 24;
/// The version.
const VERSION: u8 = 1;
/// The span that means all hours.
const WINDOW: u8 = 15;
/// Most hours from one on.
const MOST_HOURS: u8 = 15;
/// Octets before the residues.
const HEAD: usize = 7;
/// Characters of a label.
const LABEL: usize = 63;
/// Octets that a label holds.
const MOST_OCTETS: usize = 39;

/// The name is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed question")]
pub struct Malformed;

impl Width {
    const fn octets(self) -> usize {
        match self {
            Self::Bits32 => 4,
            Self::Bits64 => 8,
        }
    }

    /// The smallest modulus: the one whose top bit alone is set.
    const fn least(self) -> u64 {
        match self {
            Self::Bits32 => 1 << 31,
            Self::Bits64 => 1 << 63,
        }
    }

    const fn holds(self, number: u64) -> bool {
        match self {
            Self::Bits32 => number <= 0xffff_ffff,
            Self::Bits64 => true,
        }
    }
}

impl Residues {
    /// What `digest` leaves for moduli of this width.
    ///
    /// # Errors
    /// The moduli are none that a question may have.
    pub fn of(digest: Digest, width: Width, moduli: &[u64]) -> Result<Self, Malformed> {
        let residues = moduli.iter().map(|modulus| Residue::of(digest, *modulus));
        Self::new(width, residues)
    }

    /// Residues of this width; one that is `None` is none that a question may have.
    ///
    /// # Errors
    /// They are not what a question may have.
    fn new(
        width: Width,
        residues: impl IntoIterator<Item = Option<Residue>>,
    ) -> Result<Self, Malformed> {
        let mut residues = residues.into_iter();
        let mut next = || {
            residues
                .next()
                .map(|residue| residue.ok_or(Malformed))
                .transpose()
        };
        let mut all = Self {
            width,
            first: next()?.ok_or(Malformed)?,
            others: [None; MOST - 1],
        };
        for other in &mut all.others {
            *other = next()?;
        }
        if next()?.is_some() || !all.is_well_formed() {
            return Err(Malformed);
        }
        Ok(all)
    }

    /// Whether the moduli are as they must be.
    fn is_well_formed(&self) -> bool {
        let moduli = || self.iter().map(Residue::modulus);
        let fits = |modulus| modulus >= self.width.least() && self.width.holds(modulus);
        let ascends = moduli().zip(moduli().skip(1)).all(|(one, next)| one < next);
        let coprime = || {
            moduli().enumerate().all(|(at, one)| {
                let behind = at.saturating_add(1);
                moduli().skip(behind).all(|other| are_coprime(one, other))
            })
        };
        moduli().all(fits) && ascends && self.revealed() >= LEAST_REVEALED && coprime()
    }

    /// Bits of the digest that they and the index reveal, at least.
    pub fn revealed(&self) -> u32 {
        // A modulus of n bits reveals more than n - 1.
        self.iter()
            .map(|residue| residue.modulus().ilog2())
            .fold(INDEX_BITS, u32::saturating_add)
    }

    /// All of them, their moduli ascending.
    pub fn iter(&self) -> impl Iterator<Item = Residue> + '_ {
        core::iter::once(self.first).chain(self.others.iter().flatten().copied())
    }

    /// Made ready to test candidates by.
    pub fn congruences(&self) -> Congruences {
        Congruences::with(self.first, self.others)
    }
}

/// Whether two odd numbers have no divisor in common (Stein's way, without a division).
const fn are_coprime(one: u64, other: u64) -> bool {
    let (mut one, mut other) = (one, other);
    while one != other {
        if one < other {
            core::mem::swap(&mut one, &mut other);
        }
        // Of two odd numbers the difference is even, and a two is in no common divisor.
        one = one.wrapping_sub(other);
        one >>= one.trailing_zeros();
    }
    one == 1
}

impl Question {
    /// Whether this digest was sent in these hours.
    ///
    /// # Errors
    /// No question can ask for so many hours, or so few.
    pub const fn new(
        kind: Kind,
        hours: Hours,
        index: Index,
        residues: Residues,
    ) -> Result<Self, Malformed> {
        if let Hours::From(_, 0 | 16..) = hours {
            return Err(Malformed);
        }
        Ok(Self {
            kind,
            hours,
            index,
            residues,
        })
    }

    /// Which digest is asked for.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// In which hours.
    pub const fn hours(&self) -> Hours {
        self.hours
    }

    /// What it ends in.
    pub const fn index(&self) -> Index {
        self.index
    }

    /// What it leaves.
    pub const fn residues(&self) -> &Residues {
        &self.residues
    }

    /// The labels `q` and `x`, in small letters, with a dot between.
    pub fn to_labels(&self) -> String {
        let mut labels = base32::encode(&self.to_octets());
        labels.push('.');
        labels.push(self.branch_label());
        labels
    }

    /// Reads the labels `q` and `x`.
    ///
    /// # Errors
    /// They are no question.
    pub fn from_labels(q: &[u8], x: &[u8]) -> Result<Self, Malformed> {
        if q.len() > LABEL {
            return Err(Malformed);
        }
        let mut octets = [0; MOST_OCTETS];
        let count = base32::decode(q, &mut octets).ok_or(Malformed)?;
        let question = Self::from_octets(octets.get(..count).ok_or(Malformed)?)?;
        match x {
            [digit] if base32::value(*digit) == Some(question.branch()) => Ok(question),
            _ => Err(Malformed),
        }
    }

    /// The label `x`: the branch of the zone that it is in.
    pub const fn branch_label(&self) -> char {
        base32::digit(self.branch())
    }

    /// The first five bits of the index.
    const fn branch(&self) -> u8 {
        #[expect(clippy::cast_possible_truncation, reason = "five bits are left")]
        let branch = (self.index.number() >> (INDEX_BITS - 5)) as u8;
        branch
    }

    fn to_octets(self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Message => 0,
            Kind::Identity => 1,
        };
        let (first, span) = match self.hours {
            Hours::From(first, count) => (first.number(), count.saturating_sub(1)),
            Hours::Window => (0, WINDOW),
        };
        let width = match self.residues.width {
            Width::Bits32 => 0,
            Width::Bits64 => 1,
        };
        let others = self.residues.others.iter().flatten().count();
        // At most three.
        let others = u8::try_from(others).unwrap_or_default();
        let mut octets = Vec::with_capacity(LABEL);
        octets.push(VERSION << 5 | kind << 4 | others << 2 | width);
        octets.extend(low_octets(u64::from(first << 4 | u32::from(span)), 3));
        octets.extend(low_octets(u64::from(self.index.number()), 3));
        for residue in self.residues.iter() {
            octets.extend(low_octets(residue.modulus(), self.residues.width.octets()));
            octets.extend(low_octets(
                residue.remainder(),
                self.residues.width.octets(),
            ));
        }
        octets
    }

    fn from_octets(octets: &[u8]) -> Result<Self, Malformed> {
        let (head, rest) = octets.split_first_chunk::<HEAD>().ok_or(Malformed)?;
        let [flags, hours @ .., i0, i1, i2] = *head;
        let kind = if flags & 0x10 == 0 {
            Kind::Message
        } else {
            Kind::Identity
        };
        let count = usize::from(flags >> 2 & 3).saturating_add(1);
        let width = match flags & 3 {
            0 => Width::Bits32,
            1 => Width::Bits64,
            _ => return Err(Malformed),
        };
        let expected = width.octets().saturating_mul(2).saturating_mul(count);
        if flags >> 5 != VERSION || rest.len() != expected {
            return Err(Malformed);
        }
        let pairs = rest.chunks_exact(width.octets().saturating_mul(2));
        let residues = pairs.map(|pair| {
            let (modulus, remainder) = pair.split_at_checked(width.octets())?;
            Residue::new(number(modulus), number(remainder))
        });
        let residues = Residues::new(width, residues)?;
        let index = Index::new(u32::from_be_bytes([0, i0, i1, i2])).ok_or(Malformed)?;
        Self::new(kind, read_hours(hours)?, index, residues)
    }
}

/// First hour and span.
fn read_hours([h0, h1, h2]: [u8; 3]) -> Result<Hours, Malformed> {
    let span = h2 & 0xf;
    if span == WINDOW {
        // Whatever the first hour says: it is not needed.
        return Ok(Hours::Window);
    }
    let first = u32::from_be_bytes([0, h0, h1, h2]) >> 4;
    let first = Hour::new(first).ok_or(Malformed)?;
    Ok(Hours::From(first, span.saturating_add(1).min(MOST_HOURS)))
}

/// The last octets of a number, big end first.
fn low_octets(number: u64, count: usize) -> impl Iterator<Item = u8> {
    number
        .to_be_bytes()
        .into_iter()
        .skip(8_usize.saturating_sub(count))
}

/// A number of at most eight octets, big end first.
fn number(octets: &[u8]) -> u64 {
    octets
        .iter()
        .fold(0, |number, octet| number << 8 | u64::from(*octet))
}

#[cfg(test)]
mod tests;
