//! What was said how often, gathered for a batch, so that counting costs nothing for each.

use vouchsafe_proto::residue::Word;

use crate::metrics::figures;

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer.
    Word(Word),
    /// The offer of a zone.
    Offer,
    /// Something else of a zone: SOA, NS, or that there is none.
    Zone,
    /// That it is malformed.
    Malformed,
    /// That it is not for us.
    Refused,
    /// That it come over TCP.
    Truncated,
    /// Nothing.
    Dropped,
    /// Nothing yet: the ledger is asked, and it is counted once that has answered.
    Waits,
}

impl Said {
    /// All that is counted, by the names that figures have, as the numbers of [`Said::place`].
    pub const NAMES: &[&str] = &[
        "sent",
        "not_sent",
        "unknown",
        "offer",
        "zone",
        "malformed",
        "refused",
        "truncated",
        "dropped",
    ];

    const fn place(self) -> Option<usize> {
        Some(match self {
            Self::Word(Word::Sent) => 0,
            Self::Word(Word::NotSent) => 1,
            Self::Word(Word::Unknown) => 2,
            Self::Offer => 3,
            Self::Zone => 4,
            Self::Malformed => 5,
            Self::Refused => 6,
            Self::Truncated => 7,
            Self::Dropped => 8,
            Self::Waits => return None,
        })
    }
}

/// Counts that are not given on yet.
#[derive(Debug, Default)]
pub struct Tally([u64; 9]);

impl Tally {
    /// One more.
    pub fn count(&mut self, said: Said) {
        if let Some(count) = said.place().and_then(|place| self.0.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }

    /// Gives them on.
    pub fn give(&mut self) {
        for (name, count) in Said::NAMES.iter().zip(&mut self.0) {
            if *count > 0 {
                figures().ledger.questions.count_all([name], *count);
                *count = 0;
            }
        }
    }
}
