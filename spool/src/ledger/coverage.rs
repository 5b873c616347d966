//! Of which hours the ledger holds everything that was sent: the rule of PROTOCOLS B.2, without a disk or a clock.
//!
//! "Not sent" may be said of an hour only if everything that was sent since ten minutes before it went through the
//! ledger, for mail is sent later than it is dated, never much earlier. So what is kept is the end of the last gap: a
//! moment until which something may have been sent that is not here. There is one for the whole ledger, one for each
//! domain, and hours that single messages are missing of ([`Coverage::miss`]).
//!
//! Promises: no event takes back a gap, and what is not known is one. Left to others: writing this down before it
//! matters, and seeing who may send for a domain.
//!
//! | a gap until | when |
//! |---|---|
//! | now | the ledger is new, or its record is lost or another's (a backup was put in its place) |
//! | now | it stood still for longer than [`LONGEST_STOP`]: a backup of the whole disk looks like that |
//! | now | the clock has jumped forward: so does a machine that was set back to an earlier state |
//! | then, or two days from now | the clock has jumped back: what was dated now may have been taken for too old |
//! | the end of its hours | a segment is lost or damaged; those of them that are yet to come miss messages |
//! | now | a journal is lost, or shorter than it was |
//! | now | a host that hands in what it sends is silent |
//! | now, for a domain | it was not here at the last start, or others may send in its name |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::residue::{Hour, Span};
use vouchsafe_proto::time::{Now, Wall};

use super::files::Named;
use super::survey::Recorded;
use super::{ANSWERED_HOURS, FUTURE_HOURS};

/// Seconds of an hour.
const HOUR: u64 = 3600;

/// Seconds by which a Date field may be later than the message was sent: clocks differ.
const MARGIN: u64 = 600;

/// Seconds that a stop may last at most. Longer ones are told apart from a machine that was set back by nothing; after
/// a crash a supervisor starts the service at once.
const LONGEST_STOP: u64 = 5 * 60;

/// Seconds by which the clocks may come apart between two beats: more than any that is being adjusted does.
const LARGEST_STEP: u64 = 30;

/// Seconds for which what was seen of a domain's records holds, if they cannot be looked at again.
const LONGEST_UNSEEN: u64 = 30 * 60;

/// Hours with missing messages that are kept one by one. Somebody's clock has to be wrong for each.
const MOST_HOLES: usize = 1024;

/// What is covered, and what that was concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    /// The clocks at the last beat; none before the first of this process.
    last: Option<Now>,
    record: Record,
    /// Hosts that hand in what they send, and how long each may be silent.
    writers: BTreeMap<Box<str>, Duration>,
}

/// What is written down of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The wall clock at the last beat, in seconds.
    beat: u64,
    /// The end of the last gap.
    gap: Gap,
    domains: BTreeMap<Box<str>, Standing>,
    holes: BTreeSet<u32>,
    /// When each writer was last heard of.
    heard: BTreeMap<Box<str>, u64>,
    /// The files there are.
    pub(super) segments: BTreeSet<Box<str>>,
    /// The journals there are, and how many octets of each are durable.
    pub(super) journals: BTreeMap<Box<str>, u64>,
}

impl Record {
    /// For an operator; `files` are those there are.
    pub(super) fn recorded(self, files: &[(String, Named)]) -> Recorded {
        let is_there = |name: &str| files.iter().any(|(file, _)| file == name);
        let known = self.segments.iter().chain(self.journals.keys());
        let missing = known.filter(|name| !is_there(name)).cloned().collect();
        let domain = |(domain, standing): (Box<str>, Standing)| {
            (domain, Wall::from_secs(standing.until), standing.is_whole)
        };
        let heard = |(writer, at): (Box<str>, u64)| (writer, Wall::from_secs(at));
        Recorded {
            beat: Wall::from_secs(self.beat),
            gap: self.gap,
            domains: self.domains.into_iter().map(domain).collect(),
            writers: self.heard.into_iter().map(heard).collect(),
            holes: self.holes.len(),
            missing,
        }
    }
}

/// A gap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Its end, in seconds since 1970.
    pub until: u64,
    /// What it is.
    pub why: Why,
}

/// Why something may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// There was none before.
    #[default]
    #[error("the ledger is new")]
    New,
    /// Its record is not the one that was written last.
    #[error("the ledger was restored, or its record is damaged")]
    Restored,
    /// For so many seconds.
    #[error("the ledger stood still for {0} seconds")]
    Stopped(u64),
    /// It jumped.
    #[error("the clock was set")]
    Clock,
    /// A file.
    #[error("{0} is lost or damaged")]
    Lost(Box<str>),
    /// A host.
    #[error("{0} has handed in nothing")]
    Silent(Box<str>),
    /// More than are kept.
    #[error("many messages with odd dates were not entered")]
    Holes,
    /// Of one message.
    #[error("a message without a date that can be read was not entered")]
    Undated,
}

/// How it stands with a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Standing {
    /// Until then others may have sent in its name.
    until: u64,
    /// When its records were last looked at.
    seen: u64,
    /// Whether nobody else could, as they were then.
    is_whole: bool,
    /// This process has looked.
    #[serde(skip)]
    is_seen: bool,
}

/// What a start found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Segments that are gone or damaged, and the hour behind their last.
    pub(super) segments: Vec<(Box<str>, u32)>,
    /// Journals that are gone, or cut short.
    pub(super) journals: Vec<Box<str>>,
}

impl Coverage {
    /// That of what was written down; none if there is nothing, or if it is not ours.
    pub(super) fn new(record: Option<Record>) -> Self {
        Self {
            record: record.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// What is written down.
    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    /// The same, for the names of files.
    pub(super) const fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    /// The start of a process. `origin`: whether the record is the one that was written last; none if there is none.
    /// Gives the gaps that follow.
    pub(super) fn begin(&mut self, now: Now, origin: Origin, found: Findings) -> Vec<Gap> {
        let at = now.wall.as_secs();
        let mut gaps = Vec::new();
        match origin {
            Origin::None => gaps.push(Gap::new(at, Why::New)),
            Origin::Other => gaps.push(Gap::new(at, Why::Restored)),
            Origin::Own => gaps.extend(self.stop(at)),
        }
        let mut ahead = Vec::new();
        for (name, end) in found.segments {
            let until = u64::from(end).saturating_mul(HOUR).min(at);
            gaps.push(Gap::new(until, Why::Lost(name)));
            ahead.extend(from_now(at, end));
        }
        let journals = found.journals.into_iter();
        gaps.extend(journals.map(|name| Gap::new(at, Why::Lost(name))));
        for gap in &gaps {
            self.gap(gap.clone());
        }
        for standing in self.record.domains.values_mut() {
            if !standing.is_whole {
                standing.until = standing.until.max(at);
            }
            (standing.seen, standing.is_seen) = (standing.seen.min(at), false);
        }
        self.record.beat = at;
        self.last = Some(now);
        for hour in ahead {
            self.miss(hour);
        }
        gaps
    }

    /// The gap that a stop until now is.
    fn stop(&self, at: u64) -> Option<Gap> {
        let beat = self.record.beat;
        if at.saturating_add(LARGEST_STEP) < beat {
            return Some(Gap::new(back(beat, at), Why::Clock));
        }
        let stopped = at.saturating_sub(beat);
        (stopped > LONGEST_STOP).then(|| Gap::new(at, Why::Stopped(stopped)))
    }

    /// Time has gone on. Gives a gap, if there is one.
    pub(super) fn beat(&mut self, now: Now) -> Option<Gap> {
        let last = self.last.replace(now)?;
        let at = now.wall.as_secs();
        let went = now.mono.since(last.mono);
        let expected = last.wall.plus(went);
        let largest = Duration::from_secs(LARGEST_STEP);
        let gap = if expected.since(now.wall) > largest {
            Some(Gap::new(back(expected.as_secs(), at), Why::Clock))
        } else if now.wall.since(expected) > largest {
            Some(Gap::new(at, Why::Clock))
        } else {
            self.silent(at)
                .map(|writer| Gap::new(at, Why::Silent(writer)))
        };
        if let Some(gap) = &gap {
            self.gap(gap.clone());
        }
        // What was seen while the clock was ahead was seen by now.
        for heard in self.record.heard.values_mut() {
            *heard = (*heard).min(at);
        }
        for standing in self.record.domains.values_mut() {
            standing.seen = standing.seen.min(at);
            if !standing.is_whole || at.saturating_sub(standing.seen) > LONGEST_UNSEEN {
                standing.until = standing.until.max(at);
            }
        }
        self.forget(at);
        self.record.beat = at;
        gap
    }

    /// A writer that should have been heard of.
    fn silent(&self, at: u64) -> Option<Box<str>> {
        let is_silent = |writer: &str, patience: &Duration| {
            let heard = self.record.heard.get(writer).copied().unwrap_or(0);
            at.saturating_sub(heard) > patience.as_secs()
        };
        let mut writers = self.writers.iter();
        let (writer, _) = writers.find(|(writer, patience)| is_silent(writer, patience))?;
        Some(writer.clone())
    }

    fn gap(&mut self, gap: Gap) {
        if gap.until >= self.record.gap.until {
            self.record.gap = gap;
        }
    }

    /// Lets go what no answer depends on any more.
    fn forget(&mut self, at: u64) {
        let oldest = u32::try_from(at / HOUR).unwrap_or(u32::MAX);
        let oldest = oldest.saturating_sub(ANSWERED_HOURS.saturating_mul(2));
        self.record.holes = self.record.holes.split_off(&oldest);
    }

    /// Of other domains than these nothing is known from now on, also when they come back.
    pub(super) fn drop_others(&mut self, domains: &BTreeSet<Box<str>>) {
        let known = &mut self.record.domains;
        known.retain(|domain, _| domains.contains(domain));
    }

    /// The domains that mail is sent for from now on; others are not covered when they come back.
    pub(super) fn set_domains(&mut self, at: Wall, domains: &BTreeSet<Box<str>>) {
        let at = self.since_beat(at);
        self.drop_others(domains);
        for domain in domains {
            let known = self.record.domains.entry(domain.clone());
            known.or_insert(Standing {
                until: at,
                seen: at,
                is_whole: false,
                is_seen: false,
            });
        }
    }

    /// The hosts that hand in what they send, and how long each may be silent.
    pub(super) fn set_writers(&mut self, writers: BTreeMap<Box<str>, Duration>) {
        self.record
            .heard
            .retain(|writer, _| writers.contains_key(writer));
        self.writers = writers;
    }

    /// One of them was heard of.
    pub(super) fn hear(&mut self, at: Wall, writer: &str) {
        let at = at.as_secs();
        if let Some(patience) = self.writers.get(writer) {
            let heard = self.record.heard.insert(writer.into(), at).unwrap_or(0);
            if at.saturating_sub(heard) > patience.as_secs() {
                self.gap(Gap::new(at, Why::Silent(writer.into())));
            }
        }
    }

    /// Whether all who may send in a domain's name enter it here, as it was just seen. Gives true if that is news.
    pub(super) fn witness(&mut self, at: Wall, domain: &str, is_whole: bool) -> bool {
        let until = self.since_beat(at);
        let at = at.as_secs();
        let Some(standing) = self.record.domains.get_mut(domain) else {
            return false;
        };
        let was_whole = standing.is_whole;
        let was_unseen = at.saturating_sub(standing.seen) > LONGEST_UNSEEN;
        if !is_whole || !was_whole || was_unseen {
            standing.until = standing.until.max(until);
        }
        (standing.seen, standing.is_seen) = (at, true);
        standing.is_whole = is_whole;
        was_whole != is_whole
    }

    /// A message of this hour is sent and not entered. Gives true if that is news.
    pub(super) fn miss(&mut self, hour: u32) -> bool {
        let until = u64::from(hour).saturating_add(1).saturating_mul(HOUR);
        // By the clock of the last beat, which was compared, nobody is answered about that hour.
        let answered = until.saturating_add(u64::from(ANSWERED_HOURS).saturating_mul(HOUR));
        let is_void = until <= self.record.gap.until || answered < self.record.beat;
        if is_void || !self.record.holes.insert(hour) {
            return false;
        }
        if self.record.holes.len() > MOST_HOLES
            && let Some(first) = self.record.holes.pop_first()
        {
            let until = u64::from(first).saturating_add(1).saturating_mul(HOUR);
            self.gap(Gap::new(until, Why::Holes));
        }
        true
    }

    /// A message is sent and not entered, and has no date that could be known.
    pub(super) fn miss_everything(&mut self, at: Wall) {
        self.gap(Gap::new(self.since_beat(at), Why::Undated));
    }

    /// The end of a gap until now: not before the last beat, also where the clock was put back since, which is not seen
    /// before the next one.
    fn since_beat(&self, at: Wall) -> u64 {
        at.as_secs().max(self.record.beat)
    }

    /// What may be said, and until when that holds if nothing else happens.
    pub(super) fn said(&self) -> Said {
        let patience = |writer: &str, patience: &Duration| {
            let heard = self.record.heard.get(writer).copied().unwrap_or(0);
            heard.saturating_add(patience.as_secs())
        };
        let writers = self.writers.iter();
        let ends = writers.map(|(writer, allowed)| patience(writer, allowed));
        let beat = self.record.beat.saturating_add(LONGEST_STOP);
        let domains = self.record.domains.iter();
        Said {
            holds_until: ends.min().unwrap_or(u64::MAX).min(beat),
            first: first_after(self.record.gap.until),
            domains: domains
                .filter(|(_, standing)| standing.is_whole && standing.is_seen)
                .map(|(domain, standing)| {
                    let until = standing.seen.saturating_add(LONGEST_UNSEEN);
                    (domain.clone(), (first_after(standing.until), until))
                })
                .collect(),
            holes: self.record.holes.clone(),
            gap: self.record.gap.clone(),
        }
    }
}

/// The hours from now on, before this one, of which answers may depend on what a ledger enters ahead of its time.
fn from_now(at: u64, end: u32) -> std::ops::Range<u32> {
    let first = u32::try_from(at / HOUR).unwrap_or(u32::MAX);
    first..end.min(first.saturating_add(FUTURE_HOURS).saturating_add(1))
}

/// The first hour of which everything is there that was sent after this moment.
const fn first_after(until: u64) -> u64 {
    until.saturating_add(MARGIN) / HOUR + 1
}

/// The end of the gap that a clock leaves which went back.
fn back(from: u64, to: u64) -> u64 {
    from.min(to.saturating_add(u64::from(FUTURE_HOURS).saturating_mul(HOUR)))
}

/// Where a record comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// There is none.
    None,
    /// It is the one that was written last.
    Own,
    /// It is not.
    Other,
}

impl Gap {
    const fn new(until: u64, why: Why) -> Self {
        Self { until, why }
    }
}

/// What may be said at a moment, for many questions at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// Behind that a writer is silent, or this process itself.
    holds_until: u64,
    first: u64,
    /// The first hour of each, and how long that holds.
    domains: BTreeMap<Box<str>, (u64, u64)>,
    holes: BTreeSet<u32>,
    pub(super) gap: Gap,
}

impl Said {
    /// The hours of a domain in which all is entered that was sent; none if there are none.
    pub(super) fn covered(&self, domain: &str, now: Wall) -> Option<Span> {
        let at = now.as_secs();
        let (first, until) = *self.domains.get(domain)?;
        if at > until || at > self.holds_until {
            return None;
        }
        let hour = at / HOUR;
        let oldest = hour.saturating_sub(u64::from(ANSWERED_HOURS).saturating_sub(1));
        let first = first.max(self.first).max(oldest);
        let hours = hour.checked_sub(first)?.saturating_add(1);
        Some(Span {
            first: Hour::new(u32::try_from(first).ok()?)?,
            hours: u16::try_from(hours).ok()?,
        })
    }

    /// Whether a message of this hour is known not to have been entered.
    pub(super) fn misses(&self, hour: Hour) -> bool {
        self.holes.contains(&hour.number())
    }
}

#[cfg(test)]
mod tests;
