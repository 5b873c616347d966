//! The keeper: a thread that prepares room ahead of need, seals segments that are full, and has
//! those used again in which nothing counts any more.
//!
//! Nobody waits for it but those who find no room prepared. What it does can be left undone at any
//! moment: a segment that is half prepared, unsealed, or not yet given back costs room and time,
//! never mail. A failed flush poisons here as everywhere; a failed write fails those who wait for room,
//! and is tried again for the next.

use std::io;
use std::sync::Arc;

use super::maker::Maker;
use super::segment::{FIRST, Segment, name};
use super::{Head, Log, kept, least, room_in, seal, step};
use crate::fs::is_full;
use crate::local::threads::lock;

/// Spare segments that are kept; any others are removed.
const SPARES: usize = 3;

/// The keeper's life.
pub(in crate::local) fn run(log: &Arc<Log>) {
    let unwound = Unwound(log);
    loop {
        log.bell.hear();
        loop {
            if lock(&log.head).stopping {
                std::mem::forget(unwound);
                return;
            }
            if log.soundness.is_poisoned() {
                log.refuse(&io::Error::other("a flush failed"));
                break;
            }
            if !(prepare(log) || give_back(log) || seal_one(log)) {
                break;
            }
        }
    }
}

/// Lets nobody wait for room from a keeper that panicked.
struct Unwound<'a>(&'a Log);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.soundness.poison();
        self.0.stop();
    }
}

impl Log {
    /// Ends the keeper, and whoever waits for it.
    pub(in crate::local) fn stop(&self) {
        lock(&self.head).stopping = true;
        self.room.notify_all();
        self.bell.ring();
        self.mover.ring();
    }

    /// The keeper and all writers have ended: seals what can be, so that the next start need not
    /// read it.
    pub(in crate::local) fn seal_all(&self) {
        let mut head = lock(&self.head);
        if self.soundness.is_poisoned() {
            return;
        }
        let mut segments = std::mem::take(&mut head.unsealed);
        segments.extend(head.active.clone());
        for segment in segments {
            // Unsealed, it is read whole at the next start.
            let _ = seal::seal(&segment, &self.soundness);
        }
    }

    /// Tells those who wait for room that there is none.
    fn refuse(&self, error: &io::Error) {
        let mut head = lock(&self.head);
        if head.wanted.take().is_some() {
            head.refusals += 1;
            head.why = error.kind();
            head.short |= is_full(error);
            self.room.notify_all();
        }
    }
}

/// What is to be prepared next.
enum Need {
    /// A segment, up to so many octets: the active one or a spare.
    Grow(Arc<Segment>, u32),
    /// One more segment, of so many octets.
    Another(u32),
}

/// What is to be prepared, if anything is.
fn need(head: &Head, size: u32) -> Option<Need> {
    let prepared = head.prepared();
    let grow = |segment: &Arc<Segment>| {
        let prepared = segment.prepared();
        let len = size.min(prepared + step(prepared));
        Need::Grow(Arc::clone(segment), len)
    };
    let enough = head.spares.len() >= 2;
    let short_spare = head.spares.iter().find(|each| each.prepared() < size);
    let short_spare = short_spare.filter(|_| enough);
    if let Some(len) = head.wanted {
        let grows = head.at + len <= size && prepared < size;
        if let Some(active) = head.active.as_ref().filter(|_| grows) {
            let least = head.at + len + kept(size);
            let len = size.min(least.max(prepared + step(prepared)));
            return Some(Need::Grow(Arc::clone(active), len));
        }
        return Some(match short_spare {
            Some(spare) => {
                let least = FIRST + len + kept(size);
                Need::Grow(Arc::clone(spare), size.min(least.max(2 * spare.prepared())))
            }
            None => Need::Another(size.min(least(size).max(FIRST + len + kept(size)))),
        });
    }
    if !head.is_low(size) {
        return None;
    }
    let active = head.active.as_ref().filter(|_| prepared < size);
    let active = active.filter(|_| !head.spares.is_empty());
    Some(match active.or(short_spare) {
        Some(segment) => grow(segment),
        None => Need::Another(least(size)),
    })
}

/// Prepares room, if some is wanted or will be soon. True if something was done.
fn prepare(log: &Log) -> bool {
    let (need, mut maker) = {
        let head = lock(&log.head);
        let Some(need) = need(&head, log.size) else {
            return false;
        };
        (need, log.maker(&head))
    };
    let done = match &need {
        Need::Grow(segment, len) => maker.prepare(segment, *len).map(|()| None),
        Need::Another(len) => maker.make(*len).map(Some),
    };
    let (number, generation) = (maker.number, maker.generation);
    let mut head = lock(&log.head);
    (head.number, head.generation) = (number, generation);
    match done {
        Ok(made) => {
            head.spares.extend(made);
            head.wanted = None;
            head.short = false;
            log.room.notify_all();
            true
        }
        Err(error) => {
            drop(head);
            if is_full(&error) && give_back(log) {
                return true;
            }
            log.refuse(&error);
            false
        }
    }
}

impl Log {
    /// Makes segments behind all there are.
    fn maker<'a>(&'a self, head: &Head) -> Maker<'a> {
        Maker {
            disk: &*self.disk,
            soundness: &self.soundness,
            bell: &self.bell,
            number: head.number,
            generation: head.generation,
        }
    }
}

/// Has a segment used again in which nothing counts. True if there was one.
fn give_back(log: &Log) -> bool {
    let (segment, mut maker) = {
        let mut head = lock(&log.head);
        let free = |each: &Arc<Segment>| log.store.take_free(each);
        let head = &mut *head;
        let segment = match head.sealed.iter().position(free) {
            Some(at) => head.sealed.swap_remove(at),
            None => match head.unsealed.iter().position(free) {
                Some(at) => head.unsealed.swap_remove(at),
                None => return false,
            },
        };
        (segment, log.maker(head))
    };
    let spare = maker.reuse(segment.number, Arc::clone(&segment.file));
    let generation = maker.generation;
    let mut head = lock(&log.head);
    head.generation = generation;
    let Ok(spare) = spare else {
        // Its old header may still count: it stays what it was, and is tried again.
        log.store.add(&segment);
        head.sealed.push(segment);
        return false;
    };
    lock(&log.store.index).free(segment.number);
    let room: u64 = head.spares.iter().map(|each| room_in(each)).sum();
    if head.spares.len() >= SPARES && room > u64::from(log.size) {
        drop(head);
        // If it stays, or comes back after a crash, nothing in it counts.
        let _ = log.disk.remove(&name(segment.number));
    } else {
        head.spares.push_back(spare);
        head.wanted = None;
        log.room.notify_all();
    }
    true
}

/// Seals a segment that nobody writes to any more. True if there was one.
fn seal_one(log: &Log) -> bool {
    let segment = {
        let mut head = lock(&log.head);
        let Some(at) = head.unsealed.iter().position(|each| each.is_unpinned()) else {
            return false;
        };
        let segment = head.unsealed.swap_remove(at);
        head.sealed.push(Arc::clone(&segment));
        segment
    };
    // Unsealed, it is read whole at the next start.
    let _ = seal::seal(&segment, &log.soundness);
    log.mover.ring();
    true
}
