//! The log: where the next octets go.
//!
//! Whoever writes first reserves room, under a lock that is held for no I/O, and then writes there
//! with everybody else at the same time. Room is handed out only where the file was written before,
//! so that a flush has nothing but these octets to make durable; the keeper (`keeper.rs`), a thread of
//! its own, prepares it ahead of need. Some of what is prepared is kept for outcomes: on a full disk
//! mail can leave though none can come.
//!
//! What lies where is `index.rs`; what it looks like is `frame.rs`, `body.rs` and `segment.rs`;
//! how it is read at start is `scan.rs` and `seal.rs`.

pub(in crate::local) mod bell;
pub(in crate::local) mod body;
pub(in crate::local) mod frame;
pub(in crate::local) mod index;
pub(in crate::local) mod keeper;
mod maker;
pub(in crate::local) mod scan;
pub(in crate::local) mod seal;
pub(in crate::local) mod segment;

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use self::bell::Bell;
use self::frame::{PAGE, Stamp};
use self::maker::{Maker, random};
use self::segment::{FIRST, Pin, Segment};
use super::soundness::Soundness;
use super::store::Store;
use super::threads::lock;
use crate::fs::{Disk, DiskFile, is_full};

/// The smallest segment: room for the largest group of small messages, several times.
pub(in crate::local) const SMALLEST: u32 = 256 * 1024;
/// The largest.
pub(in crate::local) const LARGEST: u32 = 1024 * 1024 * 1024;

/// What room is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) enum Purpose {
    /// Mail that comes. Leaves alone what is kept for outcomes.
    Mail,
    /// What became of mail that was here.
    Outcome,
    /// Mail that is moved while the disk has no room: half of what is kept for outcomes may be taken,
    /// since more than that comes back. Does not wait.
    Moving,
}

/// The log, to be written.
#[derive(Debug)]
pub(in crate::local) struct Log {
    pub(in crate::local) disk: Arc<dyn Disk>,
    pub(in crate::local) soundness: Arc<Soundness>,
    pub(in crate::local) store: Arc<Store>,
    bell: Arc<Bell>,
    /// Rung when there may be something to move together.
    mover: Bell,
    /// Octets of a segment.
    size: u32,
    /// Which start of the server this is.
    run: u64,
    head: Mutex<Head>,
    /// Something has become of what was wanted.
    room: Condvar,
}

/// Where the log ends, and what there is to go on with.
#[derive(Debug)]
struct Head {
    /// Where frames go now; none while the disk has no room for it.
    active: Option<Arc<Segment>>,
    /// Where in it the next room begins.
    at: u32,
    spares: VecDeque<Arc<Segment>>,
    /// Full ones that have no seal yet.
    unsealed: Vec<Arc<Segment>>,
    /// Full ones.
    sealed: Vec<Arc<Segment>>,
    /// What must stay as it is.
    held: Vec<Pin>,
    /// The next new segment's number.
    number: u32,
    generation: u64,
    batch: u64,
    /// Groups being written.
    in_flight: BTreeSet<u64>,
    /// The most room that somebody waits for.
    wanted: Option<u32>,
    /// How often there was none to be had, and why not the last time.
    refusals: u64,
    why: io::ErrorKind,
    /// The last refusal has not been followed by a success.
    short: bool,
    stopping: bool,
}

/// Room that was handed out: nobody else writes there, and its segment stays.
#[derive(Debug)]
pub(in crate::local) struct Room {
    log: Arc<Log>,
    pub(in crate::local) pin: Pin,
    pub(in crate::local) offset: u32,
    pub(in crate::local) stamp: Stamp,
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.stamp.batch != 0 {
            lock(&self.log.head).in_flight.remove(&self.stamp.batch);
        }
    }
}

/// What a start finds to go on with.
#[derive(Debug, Default)]
pub(in crate::local) struct Found {
    /// Files with nothing in them that counts, to be used again.
    pub(in crate::local) blank: Vec<(u32, Arc<dyn DiskFile>)>,
    /// Segments with something in them, sealed.
    pub(in crate::local) sealed: Vec<Arc<Segment>>,
    /// The highest that was seen of each.
    pub(in crate::local) number: u32,
    pub(in crate::local) generation: u64,
}

impl Log {
    /// Begins to write behind all that was found, in a segment of its own.
    pub(in crate::local) fn begin(
        disk: Arc<dyn Disk>,
        soundness: Arc<Soundness>,
        store: Arc<Store>,
        bell: Arc<Bell>,
        found: Found,
        size: u32,
    ) -> io::Result<Self> {
        let size = size.clamp(SMALLEST, LARGEST);
        let mut maker = Maker {
            disk: &*disk,
            soundness: &soundness,
            bell: &bell,
            number: found.number,
            generation: found.generation,
        };
        let mut spares = VecDeque::new();
        for (number, file) in found.blank {
            spares.push_back(maker.reuse(number, file)?);
        }
        let first = small(size);
        let active = match spares.pop_front() {
            Some(segment) => match maker.prepare(&segment, first) {
                Err(error) if !is_full(&error) => Err(error),
                _ => Ok(segment),
            },
            None => maker.make(first),
        };
        let active = match active {
            Ok(active) => Some(active),
            // What is there can be looked at, and perhaps there will be room.
            Err(error) if is_full(&error) && found.number > 0 => None,
            Err(error) => return Err(error),
        };
        if let Some(active) = &active {
            store.add(active);
        }
        for full in &found.sealed {
            lock(&store.index).close(full.number);
        }
        if spares.is_empty() {
            match maker.make(least(size)) {
                Ok(spare) => spares.push_back(spare),
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let (number, generation) = (maker.number, maker.generation);
        Ok(Self {
            head: Mutex::new(Head {
                short: active.is_none(),
                active,
                at: FIRST,
                spares,
                unsealed: Vec::new(),
                sealed: found.sealed,
                held: Vec::new(),
                number,
                generation,
                batch: 0,
                in_flight: BTreeSet::new(),
                wanted: None,
                refusals: 0,
                why: io::ErrorKind::StorageFull,
                stopping: false,
            }),
            disk,
            soundness,
            store,
            bell,
            mover: Bell::default(),
            size,
            run: random()?,
            room: Condvar::new(),
        })
    }

    /// The most octets one write may have.
    pub(in crate::local) fn most(&self) -> u32 {
        self.size - FIRST - kept(self.size)
    }

    /// Room for `len` octets, from the start of a page on. Waits while it is being prepared.
    pub(in crate::local) fn reserve(
        self: &Arc<Self>,
        len: u32,
        purpose: Purpose,
        group: bool,
    ) -> io::Result<Room> {
        let len = len.next_multiple_of(u32::try_from(PAGE).unwrap_or(4096));
        if len > self.most() {
            return Err(io::Error::other("more than a segment holds"));
        }
        let mut head = lock(&self.head);
        let refusals = head.refusals;
        loop {
            if let Some((segment, offset)) = head.take(len, purpose, self) {
                if head.is_low(self.size) {
                    self.bell.ring();
                }
                let stamp = head.stamp(segment.nonce, self.run, group);
                let pin = Pin::new(&segment);
                drop(head);
                let log = Arc::clone(self);
                return Ok(Room {
                    log,
                    pin,
                    offset,
                    stamp,
                });
            }
            if head.stopping {
                return Err(io::Error::other("the spool is closed"));
            }
            if purpose == Purpose::Moving {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if head.refusals != refusals {
                return Err(head.why.into());
            }
            head.wanted = head.wanted.max(Some(len));
            self.bell.ring();
            head = self.room.wait(head).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// True if the last write or preparation found no room and none has succeeded since.
    pub(in crate::local) fn is_short(&self) -> bool {
        lock(&self.head).short
    }

    /// Notes that there was no room, or that there is again.
    pub(in crate::local) fn set_short(&self, short: bool) {
        lock(&self.head).short = short;
    }

    /// Sees whether outcomes can be written, if the last write found no room: writes a page that
    /// says nothing.
    pub(in crate::local) fn probe(self: &Arc<Self>) -> io::Result<()> {
        if !self.is_short() {
            return Ok(());
        }
        let room = self.reserve(1, Purpose::Outcome, false)?;
        let file = &room.pin.segment().file;
        file.write_at(u64::from(room.offset), &[0; PAGE])?;
        self.set_short(false);
        Ok(())
    }

    /// Keeps a segment as it is until the server is stopped.
    pub(in crate::local) fn hold(&self, segment: u32) {
        let segment = self.store.segment(segment);
        lock(&self.head).held.extend(segment.as_ref().map(Pin::new));
    }

    /// Takes in a full segment that a start has found.
    pub(in crate::local) fn adopt(&self, segment: Arc<Segment>) {
        lock(&self.store.index).close(segment.number);
        lock(&self.head).sealed.push(segment);
        self.bell.ring();
    }

    /// Octets that can be moved though the disk has no room.
    pub(in crate::local) fn room_to_move(&self) -> u32 {
        let head = lock(&self.head);
        let left = head.prepared().saturating_sub(head.at);
        left.saturating_sub(kept(self.size) / 2)
    }

    /// Octets of a segment.
    pub(in crate::local) const fn size(&self) -> u32 {
        self.size
    }

    /// The full segments, with the octets that each takes of the disk.
    pub(in crate::local) fn full(&self) -> Vec<(Arc<Segment>, u64)> {
        let head = lock(&self.head);
        let full = head.sealed.iter().chain(&head.unsealed);
        full.map(|segment| (Arc::clone(segment), u64::from(segment.prepared())))
            .collect()
    }

    /// After so many octets that count no more it is looked at again what there is to move.
    pub(in crate::local) fn faded(&self) -> u64 {
        u64::from(self.size / 4)
    }

    /// There may be something to move together.
    pub(in crate::local) fn compact(&self) {
        self.mover.ring();
    }

    /// Waits until there may be; false when there will be nothing any more.
    pub(in crate::local) fn hear_compact(&self) -> bool {
        self.mover.hear();
        !self.is_stopping()
    }

    /// True if the log is being closed.
    pub(in crate::local) fn is_stopping(&self) -> bool {
        lock(&self.head).stopping
    }

    /// Something may have become free.
    pub(in crate::local) fn look(&self) {
        self.bell.ring();
    }
}

impl Head {
    /// Hands out room, if there is some.
    fn take(&mut self, len: u32, purpose: Purpose, log: &Log) -> Option<(Arc<Segment>, u32)> {
        let size = log.size;
        let kept = match purpose {
            Purpose::Mail => u64::from(kept(size)),
            Purpose::Moving => u64::from(kept(size) / 2),
            Purpose::Outcome => 0,
        };
        let spare = self.spares.iter().map(|each| room_in(each));
        let spare = spare.clone().sum::<u64>() - spare.min().unwrap_or(0);
        let prepared = self.prepared();
        let active = self.active.clone().filter(|_| self.at + len <= prepared);
        let active = if let Some(active) = active {
            let left = u64::from(prepared - self.at - len) + spare;
            if left < kept {
                return None;
            }
            active
        } else {
            // It may still grow, unless there is no more room on the disk.
            let hopeless = self.short && purpose == Purpose::Outcome;
            let grows = self.active.is_some() && self.at + len <= size && !hopeless;
            // The last spare is for outcomes, and for the next start.
            let is_last = self.spares.len() < 2 && purpose != Purpose::Outcome;
            if grows || is_last {
                return None;
            }
            let largest = self.spares.iter().map(|each| each.prepared()).max()?;
            let is_largest = |each: &Arc<Segment>| each.prepared() == largest;
            let next = self.spares.iter().position(is_largest)?;
            if FIRST + len > largest {
                return None;
            }
            let next = self.spares.remove(next)?;
            log.store.add(&next);
            if let Some(full) = self.active.replace(Arc::clone(&next)) {
                lock(&log.store.index).close(full.number);
                full.close();
                self.unsealed.push(full);
            }
            self.at = FIRST;
            next
        };
        let offset = self.at;
        self.at += len;
        Some((active, offset))
    }

    /// Octets of the active segment that may be written.
    fn prepared(&self) -> u32 {
        self.active.as_ref().map_or(0, |active| active.prepared())
    }

    /// What frames written now carry.
    fn stamp(&mut self, nonce: u64, run: u64, group: bool) -> Stamp {
        let mut stamp = Stamp {
            nonce,
            run,
            batch: 0,
            durable: 0,
        };
        if group {
            self.batch += 1;
            self.in_flight.insert(self.batch);
            stamp.batch = self.batch;
            stamp.durable = self.in_flight.first().copied().unwrap_or(self.batch);
        }
        stamp
    }

    /// True if the keeper should go on preparing.
    fn is_low(&self, size: u32) -> bool {
        let prepared = self.prepared();
        if prepared < size && !self.spares.is_empty() {
            return prepared.saturating_sub(self.at) < kept(size) + step(prepared) / 4;
        }
        let is_ready = |spare: &Arc<Segment>| spare.prepared() >= size;
        self.spares.is_empty()
            || self.at > size / 2 && (self.spares.len() < 2 || !self.spares.iter().any(is_ready))
    }
}

/// What is kept for outcomes: some hundreds of them, if each comes alone and takes a page; many
/// thousands, if they come together.
fn kept(size: u32) -> u32 {
    (size / 8).min(1024 * 1024)
}

/// What a spare segment begins with.
fn least(size: u32) -> u32 {
    FIRST + kept(size)
}

/// What the first segment begins with.
fn small(size: u32) -> u32 {
    size.min(least(size) + 1024 * 1024)
}

/// How far a segment is prepared in one go: as much as it has, within limits.
fn step(prepared: u32) -> u32 {
    prepared.clamp(128 * 1024, 4 * 1024 * 1024)
}

/// Octets of frames a spare has room for.
fn room_in(segment: &Segment) -> u64 {
    u64::from(segment.prepared().saturating_sub(FIRST))
}
