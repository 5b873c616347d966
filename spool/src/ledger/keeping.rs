//! What is done at each turn of the hour: seal, expire, merge, and keep the newest in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use vouchsafe_proto::residue::{Hour, Kind};

use super::error::LedgerError;
use super::files::{FOLDER, segment_name};
use super::format::{Header, Sums};
use super::question::Hours;
use super::segment::Segment;
use super::shelf::{Damage, Shelf};
use super::sort::{Raw, arrange};
use super::{Closed, KEPT_HOURS, Ledger, lock};

/// Hours of a day.
const DAY: u32 = 24;

/// Hours that are in memory, and not merged yet.
const NEW: u32 = 24;

/// Segments of one hour that are left as they are, before its day is merged.
const PIECES: usize = 4;

/// Segments beside a day's merger, of what came late, that are left as they are.
const BESIDE: usize = 24;

impl Ledger {
    /// Seals what is open, lets go what is older than [`KEPT_HOURS`], merges what is older than a day, and keeps the
    /// last 24 hours in memory. Does as much of it as it can, and gives the first thing that went wrong: it is tried
    /// again at the next turn.
    pub fn turn(&self, now: Hour) -> Result<(), LedgerError> {
        let _keeper = lock(&self.keeper);
        self.sound.check()?;
        let sealed = self.seal();
        let expired = self.expire(now);
        let merged = self.merge(now);
        let settled = self.settle(now);
        sealed.and(expired).and(merged).and(settled)
    }

    /// Makes segments of what is open.
    fn seal(&self) -> Result<(), LedgerError> {
        self.close()?;
        let closed = self.read().closed.clone();
        if closed.is_empty() {
            return Ok(());
        }
        let mut made = Vec::new();
        let written = self.write_all(&closed, &mut made);
        let written = written.and_then(|()| self.flush_names());
        let journals = || closed.iter().flat_map(|closed| &closed.journals);
        let names = made.iter().map(|segment| &*segment.name);
        let kept = written.and_then(|()| self.keep_files(names, journals().map(String::as_str)));
        if let Err(error) = kept {
            for segment in &made {
                // Harmless if it stays: it is made again from what it was made of.
                let _ = self.disk.remove(&segment.name);
            }
            return Err(error);
        }
        let old = self.standing();
        let all = old.segments().iter().cloned();
        let all = all.chain(made.into_iter().map(Arc::new)).collect();
        let new = Arc::new(Shelf::new(all, old.damaged().to_vec()));
        let mut state = self.write();
        state.shelf = new;
        let is_made = |one: &Arc<Closed>| closed.iter().any(|other| Arc::ptr_eq(one, other));
        state.closed.retain(|one| !is_made(one));
        drop(state);
        for journal in journals() {
            // If one stays, the next start makes the same segments again.
            let _ = self.disk.remove(journal);
        }
        Ok(())
    }

    /// Ends the journal and the open hours together.
    fn close(&self) -> Result<(), LedgerError> {
        let _flushing = lock(&self.flushing);
        let mut journal = loop {
            self.flush_journal()?;
            let journal = lock(&self.journal);
            // Whoever has entered something since, and flushes later, is to flush another one.
            if journal.due().is_none() {
                break journal;
            }
        };
        let journals: Vec<_> = journal.end().into_iter().collect();
        let mut state = self.write();
        let hours = std::mem::take(&mut state.open);
        if !hours.is_empty() || !journals.is_empty() {
            state.closed.push(Arc::new(Closed { hours, journals }));
        }
        Ok(())
    }

    /// A segment of each hour of each of these.
    fn write_all(
        &self,
        closed: &[Arc<Closed>],
        made: &mut Vec<Segment>,
    ) -> Result<(), LedgerError> {
        for closed in closed {
            for (kind, hour, lists) in closed.hours.all() {
                let hours = Hours::of(hour, 1);
                made.push(self.write_one(kind, hours, false, lists.digests())?);
            }
        }
        Ok(())
    }

    fn write_one(
        &self,
        kind: Kind,
        hours: Hours,
        is_merger: bool,
        digests: impl ExactSizeIterator<Item = Raw> + Clone,
    ) -> Result<Segment, LedgerError> {
        let serial = self.next_serial();
        let header = Header {
            kind,
            hours,
            is_merger,
            serial,
            count: 0,
            sums: Sums::default(),
        };
        let name = segment_name(kind, hours, serial);
        Segment::write(&*self.disk, &self.sound, &name, header, arrange(digests))
    }

    fn flush_names(&self) -> Result<(), LedgerError> {
        self.sound.flushed(self.disk.sync_dir(FOLDER))
    }

    /// Lets go what is too old.
    fn expire(&self, now: Hour) -> Result<(), LedgerError> {
        let is_over = |hours: Hours| hours.end().saturating_add(KEPT_HOURS) <= now.number();
        let old = self.standing();
        let segments = old.segments().iter();
        let damaged = old.damaged().iter();
        let gone: BTreeSet<_> = segments
            .filter(|segment| is_over(segment.header.hours))
            .map(|segment| Arc::clone(&segment.name))
            .chain(
                damaged
                    .filter(|damage| is_over(damage.hours))
                    .map(|damage| Arc::clone(&damage.name)),
            )
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.keep_files([], gone.iter().map(|name| &**name))?;
        self.replace(&gone, None);
        self.remove(&gone)
    }

    /// Merges the days that are over, and hours of many pieces.
    fn merge(&self, now: Hour) -> Result<(), LedgerError> {
        let mut result = Ok(());
        for (kind, hours, parts) in due(&self.standing(), now) {
            result = result.and(self.merge_one(kind, hours, &parts));
        }
        result
    }

    /// Makes one segment of these.
    fn merge_one(
        &self,
        kind: Kind,
        hours: Hours,
        parts: &[Arc<Segment>],
    ) -> Result<(), LedgerError> {
        let counts = parts.iter().map(|part| part.header.count as usize);
        let count = counts.fold(0, usize::saturating_add);
        if u32::try_from(count).is_err() {
            return Err(LedgerError::Write(io::ErrorKind::FileTooLarge.into()));
        }
        let mut digests = Vec::with_capacity(count);
        for part in parts {
            digests.append(&mut part.digests()?);
        }
        self.sound.check()?;
        let merger = self.write_one(kind, hours, true, digests.iter().copied())?;
        self.flush_names()?;
        let gone: BTreeSet<_> = parts.iter().map(|part| Arc::clone(&part.name)).collect();
        self.keep_files([&*merger.name], gone.iter().map(|name| &**name))?;
        self.replace(&gone, Some(merger));
        self.remove(&gone)
    }

    /// Loads what is new, and drops from memory what is not.
    fn settle(&self, now: Hour) -> Result<(), LedgerError> {
        let mut result = Ok(());
        let old = self.standing();
        let mut segments = Vec::with_capacity(old.segments().len());
        for segment in old.segments() {
            let is_new = segment.header.hours.end().saturating_add(NEW) > now.number();
            if is_new == segment.resident().is_some() {
                segments.push(Arc::clone(segment));
                continue;
            }
            match segment.settled(is_new) {
                Ok(settled) => segments.push(Arc::new(settled)),
                Err(error) => {
                    // What of it is sound is still found, page by page.
                    segments.push(Arc::clone(segment));
                    result = result.and(Err(error));
                }
            }
        }
        let new = Shelf::new(segments, old.damaged().to_vec());
        self.write().shelf = Arc::new(new);
        result
    }

    fn standing(&self) -> Arc<Shelf> {
        Arc::clone(&self.read().shelf)
    }

    /// Puts one segment, or none, in place of those of these names.
    fn replace(&self, gone: &BTreeSet<Arc<str>>, made: Option<Segment>) {
        let old = self.standing();
        let segments = old.segments().iter();
        let segments = segments
            .filter(|segment| !gone.contains(&segment.name))
            .cloned()
            .chain(made.map(Arc::new));
        let damaged = old.damaged().iter();
        let damaged: Vec<Damage> = damaged
            .filter(|damage| !gone.contains(&damage.name))
            .cloned()
            .collect();
        let new = Shelf::new(segments.collect(), damaged);
        self.write().shelf = Arc::new(new);
    }

    /// Takes files away; those that stay are found at the next start, and gone through again.
    fn remove(&self, names: &BTreeSet<Arc<str>>) -> Result<(), LedgerError> {
        let mut result = Ok(());
        for name in names {
            let removed = self.disk.remove(name);
            result = result.and(removed.map_err(LedgerError::of_write));
        }
        result
    }
}

/// What is to be merged: its kind, its hours, and the segments.
fn due(shelf: &Shelf, now: Hour) -> Vec<(Kind, Hours, Vec<Arc<Segment>>)> {
    let mut groups: BTreeMap<(Kind, Hours), Vec<Arc<Segment>>> = BTreeMap::new();
    for segment in shelf.segments() {
        let hours = segment.header.hours;
        let first = hours.first();
        let day = Hours::of(first.saturating_sub(first % DAY), DAY);
        let is_over = day.end().saturating_add(NEW) <= now.number();
        let together = if is_over { day } else { hours };
        let group = groups.entry((segment.header.kind, together)).or_default();
        group.push(Arc::clone(segment));
    }
    groups.retain(|(kind, hours), parts| {
        let is_damaged = |damage: &Damage| damage.kind == *kind && damage.hours.touch(*hours);
        let is_merged = |part: &Arc<Segment>| part.header.hours == *hours;
        let most = match (hours.count(), parts.iter().any(is_merged)) {
            (DAY, true) => BESIDE,
            (DAY, false) => 1,
            _ => PIECES,
        };
        parts.len() > most && !shelf.damaged().iter().any(is_damaged)
    });
    let groups = groups.into_iter();
    groups
        .map(|((kind, hours), parts)| (kind, hours, parts))
        .collect()
}
