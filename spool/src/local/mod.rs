//! The local engine: one process, one folder, and in it a log to which everything is added.
//!
//! `docs/queue.md` has the layout of the folder, the order of writes and the table of crash
//! states. Blocking calls run on threads of the spool's own: two that commit, one that keeps the
//! log in order, and a small pool for reads and writes. Callers may use any runtime.

mod aside;
mod committer;
mod compact;
mod content;
mod draft;
mod due;
mod fresh;
mod gathering;
mod group;
mod id;
mod leasing;
mod legacy;
mod log;
mod offline;
mod open;
mod record;
mod recover;
mod room;
mod settling;
mod soundness;
mod store;
mod takeover;
mod threads;
mod vouching;

pub use due::{Due as Index, Taken};
pub use offline::OfflineSpool;
pub use recover::{Corruption, Finding};

use std::collections::BTreeSet;
use std::fmt;
use std::future::ready;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::residue::Hour;
use vouchsafe_proto::time::Wall;

use self::committer::{Failure, Operation, Queue};
use self::content::LocalContent;
use self::draft::LocalDraft;
use self::due::Due;
use self::fresh::Fresh;
use self::leasing::Begun;
use self::log::Log;
use self::room::Room;
use self::soundness::Soundness;
use self::store::{Store, Unopened};
use self::threads::{Pool, lock};
use crate::fs::{Disk, Held};
use crate::ledger::{self, Ledger, LedgerError};
use crate::{
    Amendment, Ask, BeginError, ClaimError, CommitError, Content, ContentError, Draft, Entry, Lane,
    LaneEntry, Lease, LeaseError, Leased, ListError, Pending, Release, SettleError, Settlement,
    Spool, Waits,
};

/// The file whose lock says that a process has the queue.
const LOCK: &str = "lock";

/// Threads for reads and for writes into the page cache.
const READERS: usize = 4;

/// How long a message waits that could not be read or whose outcome could not be recorded: tried
/// again at once, it would be delivered again and again.
const PAUSE: Duration = Duration::from_mins(1);

/// How a local spool is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Octets that stay free: below them no message is begun, below half of them no large one
    /// goes on, so that outcomes still find room.
    pub reserve: u64,
    /// Octets of a file of the log. Larger ones are sealed and used again less often; smaller ones
    /// are free again sooner. Between 256 KiB and 1 GiB.
    pub segment: u32,
}

impl Default for Options {
    fn default() -> Self {
        // A few of the largest messages, or some ten thousand outcomes.
        Self {
            reserve: 256 * 1024 * 1024,
            segment: 64 * 1024 * 1024,
        }
    }
}

impl Options {
    /// With another reserve.
    #[must_use]
    pub const fn with_reserve(mut self, reserve: u64) -> Self {
        self.reserve = reserve;
        self
    }

    /// With files of the log of another size.
    #[must_use]
    pub const fn with_segment(mut self, segment: u32) -> Self {
        self.segment = segment;
        self
    }
}

/// Why a queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("the queue is in use by another process")]
    InUse,
    /// There is none here (only when it is opened to be looked at).
    #[error("there is no queue here")]
    Missing,
    /// A part of the queue is there without the other: somebody has moved or restored a part of
    /// the folder. Nothing was changed.
    #[error("only a part of the queue is here: queue.redb and log/ belong together")]
    Lost,
    /// It was made by a newer version.
    #[error("the queue has format {0}, which this version does not know")]
    Format(u32),
    /// The folder cannot be used.
    #[error("the data folder")]
    Folder(#[source] io::Error),
    /// The log, or the store of an older queue, cannot be opened.
    #[error("the log of the queue")]
    Store(#[source] io::Error),
    /// The ledger cannot be opened.
    #[error("the ledger")]
    Ledger(#[source] io::Error),
    /// No threads to be had.
    #[error("starting a thread")]
    Thread(#[source] io::Error),
}

impl From<Unopened> for OpenError {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::Failed(error) => Self::Store(error),
            Unopened::Format(format) => Self::Format(format),
            Unopened::Lost => Self::Lost,
        }
    }
}

/// The durable queue in one local folder. Dropping it waits for what is being written, stops its
/// threads and lets go of the folder; drafts and leases that are left then do nothing more.
pub struct LocalSpool {
    shared: Arc<Shared>,
    writers: Vec<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
    mover: Option<JoinHandle<()>>,
    findings: Vec<Finding>,
    /// What was found of the ledger.
    ledger_found: ledger::Opened,
    /// The youngest of those that had left when it was opened.
    left: BTreeSet<QueueId>,
    /// Last, so that the folder is let go of last.
    _lock: Held,
}

/// What the spool's parts share.
struct Shared {
    disk: Arc<dyn Disk>,
    soundness: Arc<Soundness>,
    store: Arc<Store>,
    log: Arc<Log>,
    due: Mutex<Due>,
    /// What has just been taken.
    fresh: Mutex<Fresh>,
    /// Somebody should look at the due times again.
    arrived: Notify,
    /// What was found elsewhere than by a lease, for the next one to tell.
    untold: Mutex<Vec<Finding>>,
    /// To the committer.
    queue: Queue,
    /// What was sent.
    ledger: Arc<Ledger>,
    /// The next settlement's number.
    settlements: AtomicU64,
    /// For reads and writes.
    io: Pool,
    room: Room,
    /// For leases, which must not keep the spool alive.
    myself: Weak<Shared>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSpool").finish_non_exhaustive()
    }
}

impl LocalSpool {
    /// What was not in order when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What was sent: it is of the same folder, and of the process that has the queue.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    /// What was not in order of it when it was opened.
    pub const fn ledger_found(&self) -> &ledger::Opened {
        &self.ledger_found
    }

    /// True if this message is in the queue, or was until shortly before it was opened: of one whose taking
    /// the last process was about to note, whether it was taken. Reads memory alone.
    pub fn has_had(&self, id: QueueId) -> bool {
        self.left.contains(&id) || self.shared.store.locate(id).is_some()
    }
}

impl Drop for LocalSpool {
    fn drop(&mut self) {
        self.shared.queue.close();
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
        self.shared.io.close();
        self.shared.log.stop();
        for thread in [self.keeper.take(), self.mover.take()]
            .into_iter()
            .flatten()
        {
            let _ = thread.join();
        }
        self.shared.log.seal_all();
    }
}

impl Shared {
    /// Ends a lease; the message waits as is said, or as it did before.
    fn release_to(&self, id: QueueId, waits: Option<Waits>) {
        self.tell(lock(&self.due).release(id, waits));
    }

    /// Wakes whoever waits for something to become due, if it is news to him.
    fn tell(&self, wake: due::Wake) {
        if wake {
            self.arrived.notify_one();
        }
    }

    /// The number of a settlement: later ones of a message have higher ones.
    fn next_state(&self) -> u64 {
        self.settlements.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters digests into the ledger, durably. Blocks.
    fn enter(&self, entries: &[ledger::Entry]) -> Result<(), Failure> {
        let entered = self.ledger.enter(self.hour()?, entries);
        self.blame_ledger(entered.and_then(|_| self.ledger.flush()))
    }

    /// Says what is not entered, durably. Blocks.
    fn miss(&self, now: Wall, missed: &ledger::Missed) -> Result<(), Failure> {
        self.blame_ledger(self.ledger.miss_of(now, missed))
    }

    fn hour(&self) -> Result<Hour, Failure> {
        Hour::at(lock(&self.due).now()).ok_or(Failure::Poisoned)
    }

    /// A ledger whose flush has failed closes the queue too: no more of ours may leave, and nobody knows what did.
    fn blame_ledger(&self, result: Result<(), LedgerError>) -> Result<(), Failure> {
        result.map_err(|error| {
            if !self.ledger.is_sound() {
                self.soundness.poison();
            }
            match error {
                LedgerError::Poisoned => Failure::Poisoned,
                LedgerError::NoSpace => Failure::NoSpace,
                error => Failure::Write(io::Error::other(error)),
            }
        })
    }

    /// Fails if no message may be begun.
    fn check_room(&self) -> Result<(), BeginError> {
        if self.soundness.is_poisoned() {
            return Err(BeginError::Poisoned);
        }
        if self.room.for_a_message(&*self.disk) {
            Ok(())
        } else {
            self.log.compact();
            Err(BeginError::NoSpace)
        }
    }
}

impl Release for Shared {
    fn release(&self, id: QueueId) {
        self.release_to(id, None);
    }
}

impl From<Failure> for SettleError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Poisoned => Self::Poisoned,
            Failure::NoSpace => Self::NoSpace,
            Failure::Write(error) => Self::Write(error),
        }
    }
}

impl Spool for LocalSpool {
    fn begin(&self, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        match id::draw(now) {
            Ok(id) => self.begin_as(id, now),
            Err(error) => Box::pin(ready(Err(BeginError::Random(error)))),
        }
    }

    fn begin_as(&self, id: QueueId, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        Box::pin(async move {
            self.shared.check_room()?;
            lock(&self.shared.due).hear(now);
            let draft = LocalDraft::new(Arc::clone(&self.shared), id, now);
            Ok(Box::new(draft) as Box<dyn Draft>)
        })
    }

    fn lease(&self, now: Wall, ask: Ask) -> Pending<'_, Result<Leased, LeaseError>> {
        Box::pin(async move {
            let begun = match self.shared.begin_lease(now, &ask) {
                Begun::Leased(leased) => return leased,
                begun => begun,
            };
            let shared = Arc::clone(&self.shared);
            let leased = self.shared.io.run(move || match begun {
                Begun::Taken(taken) => shared.read_leases(taken),
                _ => shared.lease(now, &ask),
            });
            leased
                .await
                .unwrap_or_else(|_| Err(LeaseError::Read(closed())))
        })
    }

    fn claim(&self, id: QueueId) -> Pending<'_, Result<Lease, ClaimError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let claimed = self.shared.io.run(move || shared.claim(id));
            claimed
                .await
                .unwrap_or_else(|_| Err(ClaimError::Read(closed())))
        })
    }

    fn amend(&self, lease: Lease, amendment: Amendment) -> Pending<'_, Result<(), SettleError>> {
        Box::pin(Arc::clone(&self.shared).amend(lease, amendment))
    }

    fn limit(&self, lane: &Lane, leases: Option<usize>) {
        self.shared.tell(lock(&self.shared.due).limit(lane, leases));
    }

    fn arrived(&self) -> Pending<'_, ()> {
        Box::pin(self.shared.arrived.notified())
    }

    fn content(&self, id: QueueId) -> Pending<'_, Result<Box<dyn Content>, ContentError>> {
        if let Some(content) = lock(&self.shared.fresh).content(id) {
            let content: Box<dyn Content> = Box::new(content);
            return Box::pin(ready(Ok(content)));
        }
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let opened = self.shared.io.run(move || LocalContent::open(&shared, id));
            match opened.await {
                Ok(content) => Ok(Box::new(content?) as Box<dyn Content>),
                Err(_) => Err(ContentError::Read {
                    id,
                    source: closed(),
                }),
            }
        })
    }

    fn settle(&self, lease: Lease, settlement: Settlement) -> Pending<'_, Result<(), SettleError>> {
        let orders = lease.entry().orders.clone();
        Box::pin(Arc::clone(&self.shared).settle(lease, settlement, orders))
    }

    fn settle_all(
        &self,
        all: Vec<(Lease, Settlement)>,
    ) -> Pending<'_, Vec<Result<(), SettleError>>> {
        Box::pin(Arc::clone(&self.shared).settle_all(all))
    }

    fn record(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Pending<'static, Result<(), SettleError>> {
        let entry = lease.entry();
        let kept = (entry.envelope.clone(), entry.orders.clone());
        Box::pin(Arc::clone(&self.shared).record(entry.id, kept, settlement))
    }

    fn list_lane(
        &self,
        lane: &Lane,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        let (shared, lane) = (Arc::clone(&self.shared), lane.clone());
        Box::pin(async move {
            let listed = self
                .shared
                .io
                .run(move || shared.list_lane(&lane, after, limit));
            listed
                .await
                .unwrap_or_else(|_| Err(closed()))
                .map_err(ListError::Read)
        })
    }

    fn lanes(&self) -> Vec<LaneEntry> {
        lock(&self.shared.due).lanes()
    }

    fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let listed = self.shared.io.run(move || {
                let listed = shared.store.list(after, limit)?;
                shared.doubt(listed.unreadable);
                let due = lock(&shared.due);
                Ok(listed
                    .found
                    .into_iter()
                    .map(|(id, records)| records.into_entry(id, due.is_leased(id)))
                    .collect())
            });
            listed
                .await
                .unwrap_or_else(|_| Err(closed()))
                .map_err(ListError::Read)
        })
    }

    fn show(&self, id: QueueId) -> Pending<'_, Result<Option<Entry>, ListError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let shown = self.shared.io.run(move || {
                let records = shared.store.read(id)?;
                let active = lock(&shared.due).is_leased(id);
                Ok(records.map(|records| records.into_entry(id, active)))
            });
            shown
                .await
                .unwrap_or_else(|_| Err(closed()))
                .map_err(ListError::Read)
        })
    }

    fn vouch(
        &self,
        now: Wall,
        entries: Vec<ledger::Entry>,
    ) -> Pending<'_, Result<(), CommitError>> {
        if entries.is_empty() {
            return Box::pin(ready(Ok(())));
        }
        lock(&self.shared.due).hear(now);
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Operation::Vouch { entries, reply });
        Box::pin(async move { Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?) })
    }

    fn miss(&self, now: Wall, missed: ledger::Missed) -> Pending<'_, Result<(), CommitError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let missed = self.shared.io.run(move || shared.miss(now, &missed));
            Ok(missed.await.unwrap_or(Err(Failure::Poisoned))?)
        })
    }

    fn is_sound(&self) -> bool {
        !self.shared.soundness.is_poisoned()
    }
}

/// For what is asked while the spool is being dropped.
fn closed() -> io::Error {
    io::Error::other("the spool is closed")
}
