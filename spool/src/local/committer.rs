//! Writers: each takes all operations that wait, makes them durable together, answers each.
//!
//! An operation that finds a writer idle is written and flushed at once. While one group is being
//! flushed the next one gathers, so the number of barriers follows the disk, not the number of
//! messages; and since there are two writers, what comes just behind a group need not wait for two
//! flushes. Where flushes are slow the rest of the writers help ([`Pace`]): then it is the waiting for a
//! barrier that costs, not the barriers. The groups of all have nothing to do with each other: a
//! settlement comes after its lease, and that after the barrier of its message.
//!
//! For one group, in this order: what it vouches for is entered into the ledger and flushed there; room is
//! reserved; everything is written there in one go; any other
//! segments that have some of its content are flushed; the group's segment is flushed; the index
//! and the due times are brought in step; everyone is answered. Each writer flushes through a
//! description of its own: the kernel tells each of them of a failed write, not the first who
//! asks.
//!
//! When it fails: a barrier that failed poisons, since nobody knows what reached the disk. A full disk
//! fails the group and nothing else, once what was written of it is wiped out.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::Shared;
use super::due::Wake;
use super::group::{Group, Hand, Laid};
use super::log::body::Place;
use super::log::index::{Index, Item};
use super::log::segment::Pin;
use super::recover::Doomed;
use super::threads::lock;
use super::vouching;
use crate::{Entry, Lease, Waits, ledger};

/// How many groups are being flushed at most.
pub(super) const WRITERS: usize = 8;

/// How many of them always take what waits. With more, groups of a fast disk would be smaller, and
/// each costs a write, a flush and a task switch.
const READY: usize = 2;

/// From here on a flush is slow. A group costs some 50 µs of processor time: beside this that is little,
/// and the flushes of fast disks are well below it.
const SLOW: Duration = Duration::from_millis(2);

/// Something to make durable.
pub(super) enum Operation {
    /// A message taken.
    Commit {
        new: New,
        reply: oneshot::Sender<Result<Custody, Failure>>,
    },
    /// A lease ended.
    Settle {
        lease: Box<Lease>,
        /// Which settlement of the message it is.
        state: u64,
        /// The new progress; `None` when the message leaves.
        progress: Option<Told>,
        reports: Vec<New>,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// Something is to be remembered of a leased message.
    Record {
        id: QueueId,
        /// Which settlement of the message it is.
        state: u64,
        progress: Told,
        reports: Vec<New>,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// A leased message cannot be read.
    SetAside(Doomed),
    /// A message is written once more, somewhere else (`compact.rs`).
    Move(Moved),
    /// A message left, which must be said once more (`compact.rs`).
    Forget(QueueId),
    /// Digests for the ledger, of a message that is not stored. Nothing of it is written here.
    Vouch {
        entries: Vec<ledger::Entry>,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
}

/// What became of a message.
pub(super) struct Told {
    /// The record.
    pub(super) record: Vec<u8>,
    /// How it waits, as a restart is to find it.
    pub(super) kept: Waits,
    /// How it waits from now on.
    pub(super) waits: Waits,
}

/// A message to be taken.
pub(super) struct New {
    pub(super) id: QueueId,
    pub(super) waits: Waits,
    pub(super) envelope: Vec<u8>,
    pub(super) progress: Vec<u8>,
    /// Content that is written already, not flushed.
    pub(super) pieces: Vec<Piece>,
    /// The rest of it.
    pub(super) rest: Vec<u8>,
    /// As its first lease is to have it, where that is to be kept in memory.
    pub(super) entry: Option<Box<Entry>>,
    /// What the ledger is to have before it is taken.
    pub(super) entries: Vec<ledger::Entry>,
}

/// A message to be written once more.
pub(super) struct Moved {
    pub(super) new: New,
    /// The number of its last settlement, which is in its progress.
    pub(super) state: u64,
    /// How often it was moved, this time included.
    pub(super) copy: u32,
}

/// A piece of content in the log, kept there.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) pin: Pin,
    /// Of its octets, without the head.
    pub(super) place: Place,
}

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A barrier failed, now or before.
    Poisoned,
    /// No room; nothing of it is kept.
    NoSpace,
    /// Something else, before the barrier; nothing of it is kept.
    Write(io::Error),
}

impl Operation {
    /// True if nobody waits for it any more, so that it need not be done. A settlement is done in
    /// any case: the delivery it records has happened.
    fn is_abandoned(&self) -> bool {
        matches!(self, Self::Commit { reply, .. } if reply.is_closed())
    }

    /// What the ledger is to have before it.
    pub(super) fn entries(&self) -> &[ledger::Entry] {
        match self {
            Self::Commit { new, .. } => &new.entries,
            Self::Vouch { entries, .. } => entries,
            _ => &[],
        }
    }

    /// True if it brings no mail, and may use the room that is kept for such.
    pub(super) fn is_outcome(&self) -> bool {
        match self {
            Self::Commit { .. } | Self::Move(_) => false,
            Self::Settle { reports, .. } | Self::Record { reports, .. } => reports.is_empty(),
            Self::SetAside(_) | Self::Forget(_) | Self::Vouch { .. } => true,
        }
    }
}

/// Operations that wait for a writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// For the writers that always take what waits.
    more: Condvar,
    /// For the others.
    help: Condvar,
    pace: Pace,
}

#[derive(Default)]
struct Waiting {
    operations: VecDeque<Operation>,
    /// Writers with nothing to do that always take what waits.
    idle: usize,
    /// The same of those that help.
    helpers: usize,
    closed: bool,
}

/// How long flushes take, in microseconds: the average of the last few.
#[derive(Default)]
struct Pace(AtomicU64);

impl Pace {
    /// Takes in another one. Two writers that do so at once lose one of theirs, which is nothing.
    fn heed(&self, flush: Duration) {
        let took = u64::try_from(flush.as_micros()).unwrap_or(u64::MAX);
        let known = self.0.load(Ordering::Relaxed);
        let average = known.saturating_mul(3).saturating_add(took) / 4;
        self.0.store(average, Ordering::Relaxed);
    }

    /// True if it is worth more groups not to wait for one.
    fn is_slow(&self) -> bool {
        Duration::from_micros(self.0.load(Ordering::Relaxed)) >= SLOW
    }
}

impl Queue {
    /// Adds one. Once closed it is dropped, and with it the sender of its answer.
    pub(super) fn push(&self, operation: Operation) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed {
            return;
        }
        waiting.operations.push_back(operation);
        self.call(waiting);
    }

    /// Wakes a writer, if one is to take what waits.
    fn call(&self, waiting: MutexGuard<'_, Waiting>) {
        let (idle, helpers) = (waiting.idle > 0, waiting.helpers > 0);
        drop(waiting);
        if idle {
            self.more.notify_one();
        } else if helpers && self.pace.is_slow() {
            self.help.notify_one();
        }
    }

    /// Adds several, which one writer takes together if they fit.
    pub(super) fn push_all(&self, operations: Vec<Operation>) {
        let mut waiting = lock(&self.waiting);
        if waiting.closed || operations.is_empty() {
            return;
        }
        waiting.operations.extend(operations);
        self.call(waiting);
    }

    /// Takes no more; what waits is done.
    pub(super) fn close(&self) {
        lock(&self.waiting).closed = true;
        self.more.notify_all();
        self.help.notify_all();
    }

    /// Waits for something to do and moves it to `group`, as much as fits; false when there will
    /// be nothing any more. A writer that helps leaves it to the others unless flushes are slow:
    /// whenever none of those is idle, one of them will look here again.
    fn take(&self, group: &mut Group, most: u32, helps: bool) -> bool {
        let mut waiting = lock(&self.waiting);
        loop {
            if !helps || self.pace.is_slow() {
                waiting.fill(group, most);
            }
            if !group.is_empty() {
                if !waiting.operations.is_empty() {
                    self.call(waiting);
                }
                return true;
            }
            if waiting.closed {
                return false;
            }
            waiting = self.wait(waiting, helps);
        }
    }

    /// Waits for a call.
    fn wait<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting>,
        helps: bool,
    ) -> MutexGuard<'a, Waiting> {
        if helps {
            waiting.helpers += 1;
            waiting = self
                .help
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.helpers -= 1;
        } else {
            waiting.idle += 1;
            waiting = self
                .more
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        waiting
    }
}

impl Waiting {
    /// Moves what fits to `group`, and drops what nobody waits for.
    fn fill(&mut self, group: &mut Group, most: u32) {
        while let Some(next) = self.operations.front() {
            let fits = next.is_abandoned() || group.has_room(next, most);
            let Some(operation) = self.operations.pop_front_if(|_| fits) else {
                break;
            };
            if !operation.is_abandoned() {
                group.push(operation);
            }
        }
    }
}

/// A writer's life: groups, until the queue is closed and empty. Writers are counted from 0.
pub(super) fn run(shared: &Arc<Shared>, writer: usize) {
    let helps = writer >= READY;
    let unwound = Unwound(shared);
    let mut hand = Hand::default();
    let most = shared.log.most();
    loop {
        let mut group = Group::default();
        if !shared.queue.take(&mut group, most, helps) {
            break;
        }
        commit(shared, &mut hand, group);
    }
    std::mem::forget(unwound);
}

/// Poisons if a writer panics: nobody knows what it has written.
struct Unwound<'a>(&'a Shared);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.soundness.poison();
        // Nobody is left waiting for an answer that will not come.
        self.0.queue.close();
        lock(&self.0.queue.waiting).operations.clear();
    }
}

/// One group, from its room to the last answer.
fn commit(shared: &Arc<Shared>, hand: &mut Hand, group: Group) {
    let group = vouching::enter(shared, group);
    if !group.is_empty() {
        store(shared, hand, group);
    }
}

/// The rest of it.
fn store(shared: &Arc<Shared>, hand: &mut Hand, group: Group) {
    match group.write(&shared.log, hand) {
        Ok(laid) => {
            shared.queue.pace.heed(laid.flush);
            succeed(shared, group.operations, laid.laid);
            // Only now may the segment be used again.
            drop(laid.room);
            let mut index = lock(&shared.store.index);
            let emptied = index.take_emptied();
            if index.take_faded(shared.log.faded()) {
                shared.log.compact();
            }
            drop(index);
            if emptied {
                shared.log.look();
            }
        }
        Err(Failure::NoSpace) if group.is_mixed() => {
            // Some of it may have room in what is kept for outcomes.
            for part in group.split() {
                store(shared, hand, part);
            }
        }
        Err(failure) => fail(shared, group.operations, &failure),
    }
}

/// Brings the index and the due times in step and answers everyone. All is durable.
fn succeed(shared: &Arc<Shared>, operations: Vec<Operation>, laid: Vec<Laid>) {
    let mut wake = false;
    let now = lock(&shared.due).now();
    for (operation, laid) in operations.into_iter().zip(laid) {
        let Laid {
            segment,
            progress: place,
            items,
        } = laid;
        match operation {
            Operation::Commit { new, reply } => {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "here is the barrier that custody stands for"
                )]
                let custody = Custody::of_durable_message(new.id);
                wake |= enter_new(shared, new, items, now);
                // An asker that is gone has said no 250; the message stays and is delivered.
                let _ = reply.send(Ok(custody));
            }
            Operation::Settle {
                lease,
                state,
                progress,
                mut reports,
                reply,
            } => {
                let id = lease.entry().id;
                {
                    let mut index = lock(&shared.store.index);
                    enter(&mut index, &mut reports, items);
                    match place {
                        Some(place) => index.settle(id, state, place),
                        None => index.remove(id, segment),
                    }
                }
                lease.end();
                lock(&shared.fresh).forget(id);
                let mut due = lock(&shared.due);
                for report in reports {
                    wake |= due.insert(report.id, report.waits);
                }
                match progress {
                    Some(told) => wake |= due.release(id, Some(told.waits)),
                    None => wake |= due.remove(id),
                }
                drop(due);
                let _ = reply.send(Ok(()));
            }
            Operation::Record {
                id,
                state,
                mut reports,
                reply,
                ..
            } => {
                let mut index = lock(&shared.store.index);
                enter(&mut index, &mut reports, items);
                if let Some(place) = place {
                    index.settle(id, state, place);
                }
                drop(index);
                let mut due = lock(&shared.due);
                for report in reports {
                    wake |= due.insert(report.id, report.waits);
                }
                drop(due);
                let _ = reply.send(Ok(()));
            }
            Operation::SetAside(doomed) => {
                lock(&shared.store.index).remove(doomed.id, segment);
                lock(&shared.fresh).forget(doomed.id);
                wake |= lock(&shared.due).remove(doomed.id);
            }
            // Whoever moves messages writes by itself; what is vouched for alone is not written.
            Operation::Move(_) | Operation::Forget(_) | Operation::Vouch { .. } => {}
        }
    }
    shared.tell(wake);
}

/// A message that is durable becomes known.
fn enter_new(shared: &Shared, mut new: New, items: Vec<Item>, now: Wall) -> Wake {
    for item in items {
        new.waits.octets = item.octets();
        lock(&shared.store.index).insert(new.id, item);
    }
    if let Some(entry) = new.entry.take().filter(|_| new.pieces.is_empty()) {
        lock(&shared.fresh).put(entry, new.rest, now);
    }
    lock(&shared.due).insert(new.id, new.waits)
}

/// Reports that are durable become known.
fn enter(index: &mut Index, reports: &mut [New], items: Vec<Item>) {
    for (report, item) in reports.iter_mut().zip(items) {
        report.waits.octets = item.octets();
        index.insert(report.id, item);
    }
}

/// Answers everyone that nothing of the group is kept, or that nobody knows.
pub(super) fn fail(shared: &Arc<Shared>, operations: Vec<Operation>, failure: &Failure) {
    for operation in operations {
        match operation {
            Operation::Commit { reply, .. } => {
                let _ = reply.send(Err(again(failure)));
            }
            Operation::Settle { lease, reply, .. } => {
                let id = lease.entry().id;
                lease.end();
                shared.postpone(id);
                let _ = reply.send(Err(again(failure)));
            }
            Operation::Record { reply, .. } | Operation::Vouch { reply, .. } => {
                let _ = reply.send(Err(again(failure)));
            }
            Operation::SetAside(doomed) => shared.postpone(doomed.id),
            Operation::Move(_) | Operation::Forget(_) => {}
        }
    }
}

/// The failure, once more.
fn again(failure: &Failure) -> Failure {
    match failure {
        Failure::Poisoned => Failure::Poisoned,
        Failure::NoSpace => Failure::NoSpace,
        Failure::Write(error) => Failure::Write(io::Error::new(error.kind(), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue in which one operation waits, and to which nothing is added any more.
    fn queue(pace: Pace) -> Queue {
        let queue = Queue {
            pace,
            ..Queue::default()
        };
        let id = QueueId::from_u128(1).unwrap();
        queue.push(Operation::Forget(id));
        queue.close();
        queue
    }

    /// Whether a writer would take what waits.
    fn takes(queue: &Queue, helps: bool) -> bool {
        queue.take(&mut Group::default(), u32::MAX, helps)
    }

    #[test]
    fn the_rest_of_the_writers_help_while_flushes_are_slow() {
        let pace = |flush| {
            let pace = Pace::default();
            (0..20).for_each(|_| pace.heed(flush));
            pace
        };
        let fast = queue(pace(SLOW / 2));
        assert!(!takes(&fast, true));
        assert!(takes(&fast, false) && !takes(&fast, false));
        let slow = queue(pace(SLOW * 2));
        assert!(takes(&slow, true) && !takes(&slow, true));
        // One that took long among fast ones makes nothing slow, and some fast ones end it.
        let pace = pace(SLOW / 10);
        pace.heed(SLOW * 2);
        assert!(!pace.is_slow());
        (0..20).for_each(|_| pace.heed(SLOW * 2));
        assert!(pace.is_slow());
        (0..20).for_each(|_| pace.heed(SLOW / 10));
        assert!(!pace.is_slow());
    }
}
