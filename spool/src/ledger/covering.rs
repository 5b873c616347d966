//! What the ledger covers, kept on disk: the events that [`Coverage`] hears of, and what may be said.
//!
//! What takes a claim back is said at once and written down before the call ends; nothing that is written grows a
//! claim. The record names the files there are, so that one that is lost is missed: each is in it before anything
//! depends on it, and out of it before it is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::{Hour, Span};
use vouchsafe_proto::time::{Now, Wall};

use super::coverage::{Coverage, Gap, Said};
use super::error::LedgerError;
use super::{Ledger, kept, lock};

/// Of which hours the ledger must not say that it knows all, because of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missed {
    /// These, which it may be filed under.
    Hours(Vec<Hour>),
    /// Any up to now: nobody can tell which date it will be said to have.
    Everything,
}

impl Ledger {
    /// The start of a process that mail is sent through: nothing is covered before it. `domains` are those whose mail
    /// is entered. Gives the gaps that what was found makes.
    pub fn begin(&self, now: Now, domains: &BTreeSet<Box<str>>) -> Result<Vec<Gap>, LedgerError> {
        let start = lock(&self.found).take();
        let mut coverage = lock(&self.coverage);
        let Some(start) = start else {
            // It was begun already.
            return Ok(Vec::new());
        };
        let gaps = coverage.begin(now, start.origin, start.findings);
        coverage.set_domains(now.wall, domains);
        let record = coverage.record_mut();
        record.segments = start.segments;
        record.journals = start.journals;
        self.keep(&coverage)?;
        Ok(gaps)
    }

    /// Time has gone on: to be said every [`BEAT`], and nothing is covered once it is not. Gives a gap that opened.
    pub fn beat(&self, now: Now) -> Result<Option<Gap>, LedgerError> {
        let durable = lock(&self.journal).durable();
        let mut coverage = lock(&self.coverage);
        let gap = coverage.beat(now);
        if let Some((name, octets)) = durable
            && let Some(known) = coverage.record_mut().journals.get_mut(name.as_str())
        {
            *known = octets;
        }
        self.keep(&coverage)?;
        Ok(gap)
    }

    /// Of other domains than these not all mail is entered from now on.
    pub fn drop_others(&self, domains: &BTreeSet<Box<str>>) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        coverage.drop_others(domains);
        self.keep(&coverage)
    }

    /// The domains whose mail is entered from now on.
    pub fn set_domains(&self, now: Wall, domains: &BTreeSet<Box<str>>) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        coverage.set_domains(now, domains);
        self.keep(&coverage)
    }

    /// The hosts that hand in what they send, and for how long each may be silent.
    pub fn set_writers(&self, writers: BTreeMap<Box<str>, Duration>) {
        let mut coverage = lock(&self.coverage);
        coverage.set_writers(writers);
        self.say(&coverage);
    }

    /// One of them was heard of.
    pub fn hear(&self, now: Wall, writer: &str) {
        let mut coverage = lock(&self.coverage);
        coverage.hear(now, writer);
        self.say(&coverage);
    }

    /// Whether all hosts that may send in a domain's name enter it here, as was just seen.
    pub fn witness(&self, now: Wall, domain: &Domain, is_whole: bool) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        if coverage.witness(now, domain.as_ascii(), is_whole) {
            self.keep(&coverage)
        } else {
            self.say(&coverage);
            Ok(())
        }
    }

    /// A message of this hour is about to leave that cannot be entered.
    pub fn miss(&self, hour: Hour) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        if coverage.miss(hour.number()) {
            self.keep(&coverage)?;
        }
        Ok(())
    }

    /// A message is about to leave of which not all can be entered.
    pub fn miss_of(&self, now: Wall, missed: &Missed) -> Result<(), LedgerError> {
        match missed {
            Missed::Hours(hours) => hours.iter().try_for_each(|hour| self.miss(*hour)),
            Missed::Everything => {
                let mut coverage = lock(&self.coverage);
                coverage.miss_everything(now);
                self.keep(&coverage)
            }
        }
    }

    /// The hours in which nothing was sent for a domain that is not here; none if there are none.
    pub fn covered(&self, domain: &Domain, now: Wall) -> Option<Span> {
        self.standing_word().covered(domain.as_ascii(), now)
    }

    /// Whether a message of this hour is known not to have been entered, though it is covered.
    pub fn misses(&self, hour: Hour) -> bool {
        self.standing_word().misses(hour)
    }

    /// The last gap, of all domains.
    pub fn last_gap(&self) -> Gap {
        self.standing_word().gap.clone()
    }

    fn standing_word(&self) -> Arc<Said> {
        Arc::clone(&self.said.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Files come and go; it is durable when this ends.
    pub(super) fn keep_files<'a, 'b>(
        &self,
        made: impl IntoIterator<Item = &'a str>,
        gone: impl IntoIterator<Item = &'b str>,
    ) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        let mut changed = coverage.clone();
        let record = changed.record_mut();
        record.segments.extend(made.into_iter().map(Box::from));
        for name in gone {
            record.segments.remove(name);
            record.journals.remove(name);
        }
        self.replace_record(&mut coverage, changed)
    }

    /// A journal is there, with so many durable octets.
    pub(super) fn keep_journal(&self, name: &str, octets: u64) -> Result<(), LedgerError> {
        let mut coverage = lock(&self.coverage);
        let mut changed = coverage.clone();
        changed.record_mut().journals.insert(name.into(), octets);
        self.replace_record(&mut coverage, changed)
    }

    fn replace_record(
        &self,
        coverage: &mut MutexGuard<'_, Coverage>,
        changed: Coverage,
    ) -> Result<(), LedgerError> {
        self.keep(&changed)?;
        **coverage = changed;
        Ok(())
    }

    /// Says it, and writes it down.
    fn keep(&self, coverage: &Coverage) -> Result<(), LedgerError> {
        self.say(coverage);
        kept::write(&*self.disk, coverage.record()).map_err(LedgerError::of_write)
    }

    fn say(&self, coverage: &Coverage) {
        let said = Arc::new(coverage.said());
        *self.said.write().unwrap_or_else(PoisonError::into_inner) = said;
    }
}

/// How often [`Ledger::beat`] is to be called.
pub const BEAT: Duration = Duration::from_secs(30);
