//! Moving the few messages together that keep old segments, so that the log takes no more of the
//! disk than a few times what counts in it (docs/queue.md has the rule).
//!
//! A thread of its own moves a message by writing it once more, as it is now, with room, group and
//! barrier like any other. Only when the copy is durable does the index speak of it; and only when the
//! index speaks of nothing else in the old segment is that used again. Whoever reads the message
//! meanwhile has its old place pinned. Whoever settles it meanwhile wins: the copy has the number of
//! the last settlement that it knows of, and of a message that left it is said once more that it did.
//!
//! No lock is held while the disk is waited for, no more than [`STEP`] octets are written
//! between two barriers, and nobody waits for any of it. What cannot be read stays where it is, for whoever
//! is to deliver it to find.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::Shared;
use super::committer::{Moved, New, Operation};
use super::draft::{PIECE, write_piece};
use super::group::{Group, Hand, Written};
use super::log::Purpose;
use super::log::body::{Body, Place, size};
use super::log::index::Item;
use super::store::{Found, Records};
use super::threads::lock;

/// Octets moved at once: so much may stand before a group of mail in the disk's queue.
const STEP: usize = 256 * 1024;
/// Segments' worth of octets that need not count, besides as much as does: what comes and goes
/// fast leaves as much behind by itself, and is not moved.
const SLACK: u64 = 4;
/// Octets that one round moves at most: then it is looked anew at what is the emptiest.
const ROUND: u64 = 64 * 1024 * 1024;
/// Messages looked at under one lock.
const LOOK: usize = 1024;

/// The mover's life.
pub(super) fn run(shared: &Arc<Shared>) {
    let unwound = Unwound(shared);
    let mut mover = Mover {
        shared,
        hand: Hand::default(),
        stuck: BTreeSet::new(),
    };
    while shared.log.hear_compact() {
        while mover.goes_on() && mover.round() {}
    }
    std::mem::forget(unwound);
}

/// Poisons if the mover panics: nobody knows what it has written.
struct Unwound<'a>(&'a Shared);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.soundness.poison();
    }
}

/// Whoever moves messages.
struct Mover<'a> {
    shared: &'a Arc<Shared>,
    hand: Hand,
    /// Uses of segments, by generation, in which something could not be moved.
    stuck: BTreeSet<u64>,
}

/// Messages on their way, to be written together.
#[derive(Default)]
struct Step {
    group: Group,
    /// Where they were, which stays as it is.
    found: Vec<Found>,
}

/// Why a message stays where it is.
enum Stays {
    /// It has left.
    Left,
    /// It cannot be read, or is not what it should be.
    Unread,
    /// There is no room, or the log is closed.
    NoRoom,
}

impl From<io::Error> for Stays {
    fn from(_: io::Error) -> Self {
        Self::Unread
    }
}

impl Mover<'_> {
    /// True while there is any sense in it.
    fn goes_on(&self) -> bool {
        !self.shared.log.is_stopping() && !self.shared.soundness.is_poisoned()
    }

    /// True if the log may grow for what is moved.
    fn is_spacious(&self) -> bool {
        let size = u64::from(self.shared.log.size());
        self.shared.room.for_moving(&*self.shared.disk, size)
    }

    /// Empties some segments. True if there may be more to do.
    fn round(&mut self) -> bool {
        if !self.say_again() {
            return false;
        }
        let spacious = self.is_spacious();
        let victims = self.victims(spacious);
        if victims.is_empty() {
            return false;
        }
        let mut step = Step::default();
        let mut moved = 0_usize;
        for id in self.inhabitants(&victims) {
            let room = if spacious {
                self.most_at_once()
            } else {
                size(self.shared.log.room_to_move())
            };
            match self.take(id, &victims, spacious) {
                Ok((operation, found)) => {
                    let fits = step.group.total() + operation.len() <= room;
                    let fits = fits || spacious && step.group.is_empty();
                    if !(fits || spacious && self.write(&mut step, spacious)) {
                        self.release(id);
                        self.give_up(&step);
                        return false;
                    }
                    step.group.push(operation);
                    step.found.push(found);
                    moved += 1;
                }
                Err(why) => {
                    self.release(id);
                    match why {
                        Stays::Left => {}
                        Stays::Unread => self.leave(&self.segments_of(id)),
                        Stays::NoRoom => {
                            self.give_up(&step);
                            return false;
                        }
                    }
                }
            }
        }
        if moved == 0 {
            self.leave(&victims);
        }
        self.write(&mut step, spacious)
    }

    /// Says once more of messages that they left. False if that failed.
    fn say_again(&mut self) -> bool {
        loop {
            let unsaid = lock(&self.shared.store.index).unsaid();
            let Some(id) = unsaid else { return true };
            let mut group = Group::default();
            group.push(Operation::Forget(id));
            let Ok(written) = group.write(&self.shared.log, &mut self.hand) else {
                return false;
            };
            for laid in &written.laid {
                lock(&self.shared.store.index).said(id, laid.segment);
            }
            drop(written);
            self.shared.log.look();
        }
    }

    /// Segments to be emptied now.
    fn victims(&mut self, spacious: bool) -> BTreeSet<u32> {
        let log = &self.shared.log;
        let mut full = log.full();
        self.stuck
            .retain(|stuck| full.iter().any(|(segment, _)| segment.generation == *stuck));
        full.retain(|(segment, _)| !self.stuck.contains(&segment.generation));
        let sizes: Vec<_> = full
            .iter()
            .map(|(segment, octets)| (segment.number, *octets))
            .collect();
        let slack = spacious.then(|| SLACK * u64::from(log.size()));
        let most = if spacious {
            ROUND
        } else {
            u64::from(log.room_to_move())
        };
        let index = lock(&self.shared.store.index);
        let mut sum = 0_u64;
        let mut victims = BTreeSet::new();
        for segment in index.victims(&sizes, slack) {
            sum = sum.saturating_add(index.live(segment));
            if sum > most && (!victims.is_empty() || !spacious) {
                break;
            }
            victims.insert(segment);
            if !spacious {
                break;
            }
        }
        victims
    }

    /// All messages with anything in these segments.
    fn inhabitants(&self, segments: &BTreeSet<u32>) -> Vec<QueueId> {
        let mut ids = Vec::new();
        let mut after = None;
        while self.goes_on() {
            let index = lock(&self.shared.store.index);
            let found = index.in_segments(segments, after, LOOK);
            drop(index);
            let Some((found, last)) = found else {
                return ids;
            };
            ids.extend(found);
            after = Some(last);
        }
        Vec::new()
    }

    /// Octets of a group, unless one message has more.
    fn most_at_once(&self) -> usize {
        STEP.min(size(self.shared.log.most()) / 2)
    }

    /// Reads a message, to be written once more. Of much content only what lies in `victims`.
    fn take(
        &self,
        id: QueueId,
        victims: &BTreeSet<u32>,
        spacious: bool,
    ) -> Result<(Operation, Found), Stays> {
        if !self.goes_on() {
            return Err(Stays::NoRoom);
        }
        let found = self.shared.store.begin_move(id).ok_or(Stays::Left)?;
        let (octets, newer) = found.records()?;
        let records = Records::decode(id, &octets, newer.as_deref()).map_err(|_| Stays::Unread)?;
        let body = Body::decode(id, &octets).ok_or(Stays::Unread)?;
        let content = records.envelope.content;
        let mut new = New {
            id,
            waits: if newer.is_some() {
                records.waits()
            } else {
                body.waits
            },
            envelope: body.envelope.to_vec(),
            progress: newer.unwrap_or_else(|| body.progress.to_vec()),
            pieces: Vec::new(),
            rest: Vec::new(),
            entry: None,
            entries: Vec::new(),
        };
        let is_in = |piece: &Place| victims.contains(&piece.segment);
        let len = usize::try_from(content.size).unwrap_or(usize::MAX);
        if !body.pieces.iter().any(is_in) {
            for piece in body.pieces {
                new.pieces.push(found.piece(piece)?);
            }
        } else if len <= self.most_at_once() / 2 {
            for piece in body.pieces {
                new.rest.extend(found.read(piece)?);
            }
            if new.rest.len() != len || crc32fast::hash(&new.rest) != content.crc32 {
                return Err(Stays::Unread);
            }
        } else if spacious {
            self.copy_content(&body.pieces, victims, &found, &mut new)?;
        } else {
            return Err(Stays::NoRoom);
        }
        let moved = Moved {
            new,
            state: found.item.state,
            copy: found.item.copy().saturating_add(1),
        };
        Ok((Operation::Move(moved), found))
    }

    /// Writes much content anew, as far as it lies in `victims`. Never is more than a step of it on its
    /// way to the disk.
    fn copy_content(
        &self,
        pieces: &[Place],
        victims: &BTreeSet<u32>,
        found: &Found,
        new: &mut New,
    ) -> Result<(), Stays> {
        let (log, mut written) = (&self.shared.log, 0);
        for place in pieces {
            if !victims.contains(&place.segment) {
                new.pieces.push(found.piece(*place)?);
                continue;
            }
            for part in found.read(*place)?.chunks(PIECE) {
                if !self.goes_on() || !self.is_spacious() {
                    return Err(Stays::NoRoom);
                }
                let piece = write_piece(log, new.id, part).map_err(|_| Stays::NoRoom)?;
                written += part.len();
                if written >= STEP {
                    let file = piece.pin.segment().reopen(&*log.disk)?;
                    log.soundness.flush(&*file)?;
                    written = 0;
                }
                new.pieces.push(piece);
            }
        }
        Ok(())
    }

    /// Writes what was taken, and has the index speak of it. False if it stays where it was.
    fn write(&mut self, step: &mut Step, spacious: bool) -> bool {
        let mut step = std::mem::take(step);
        if step.group.is_empty() {
            return true;
        }
        if !spacious {
            step.group.purpose = Some(Purpose::Moving);
        }
        let Ok(written) = step.group.write(&self.shared.log, &mut self.hand) else {
            self.give_up(&step);
            return false;
        };
        let Written { laid, room, .. } = written;
        let mut index = lock(&self.shared.store.index);
        for (operation, mut laid) in step.group.operations.into_iter().zip(laid) {
            if let (Operation::Move(moved), Some(item)) = (operation, laid.items.pop()) {
                index.moved(moved.new.id, moved.state, item);
            }
        }
        drop(index);
        drop(room);
        drop(step.found);
        self.shared.log.look();
        true
    }

    /// Some messages are not moved after all.
    fn give_up(&self, step: &Step) {
        for operation in &step.group.operations {
            if let Operation::Move(moved) = operation {
                self.release(moved.new.id);
            }
        }
    }

    /// A message is not moved after all.
    fn release(&self, id: QueueId) {
        lock(&self.shared.store.index).end_move(id);
    }

    /// Where a message has anything.
    fn segments_of(&self, id: QueueId) -> BTreeSet<u32> {
        let index = lock(&self.shared.store.index);
        let shares = index.get(id).into_iter().flat_map(Item::shares);
        shares.map(|(segment, _)| segment).collect()
    }

    /// Leaves segments as they are until the next start, or until they are empty.
    fn leave(&mut self, victims: &BTreeSet<u32>) {
        let full = self.shared.log.full().into_iter();
        let stuck = full.filter(|(segment, _)| victims.contains(&segment.number));
        self.stuck
            .extend(stuck.map(|(segment, _)| segment.generation));
    }
}
