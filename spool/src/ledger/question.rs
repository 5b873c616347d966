//! What is entered, what is asked and what is answered.

use vouchsafe_proto::residue::{Congruences, Digest, Hour, Index, Kind};

/// Hours one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hours {
    first: u32,
    /// The first behind them.
    end: u32,
}

impl Hours {
    /// So many hours from `first` on.
    pub const fn new(first: Hour, count: u32) -> Self {
        Self {
            first: first.number(),
            end: first.number().saturating_add(count),
        }
    }

    /// The same, of numbers.
    pub(super) const fn of(first: u32, count: u32) -> Self {
        Self {
            first,
            end: first.saturating_add(count),
        }
    }

    /// One hour.
    pub const fn one(hour: Hour) -> Self {
        Self::new(hour, 1)
    }

    /// The number of the first.
    pub const fn first(self) -> u32 {
        self.first
    }

    /// The number of the first behind them.
    pub const fn end(self) -> u32 {
        self.end
    }

    /// How many they are.
    pub const fn count(self) -> u32 {
        self.end.saturating_sub(self.first)
    }

    /// Whether both have an hour in common.
    pub const fn touch(self, other: Self) -> bool {
        self.first < other.end && other.first < self.end
    }

    /// Whether all of `other` is among them.
    pub const fn hold(self, other: Self) -> bool {
        self.first <= other.first && other.end <= self.end
    }
}

/// One digest, to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Of what.
    pub kind: Kind,
    /// That of the Date field.
    pub hour: Hour,
    /// The digest.
    pub digest: Digest,
}

/// Was a digest entered that has this index and leaves these remainders?
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Of which kind.
    pub kind: Kind,
    /// Under one of these hours.
    pub hours: Hours,
    /// The digest modulo 2^24.
    pub index: Index,
    /// The remainders.
    pub congruences: Congruences,
}

impl Question {
    /// Whether it is this digest that is asked for, as far as the question tells.
    #[inline]
    pub(super) fn asks_for(&self, digest: Digest) -> bool {
        digest.index() == self.index && self.congruences.holds(digest)
    }
}

/// What is kept says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// There is such a digest.
    Sent,
    /// There is none in what is kept. Whether all is kept that was sent (coverage) is not said by this.
    NotFound,
    /// None was found, and a segment of those hours is damaged or could not be read: nothing follows.
    Unreadable,
}
