//! The local engine: one process, one folder, redb for records and small content, files for the
//! rest.
//!
//! `docs/queue.md` has the layout of the folder, the order of writes and the table of crash
//! states. Blocking calls run on threads of the spool's own: one committer, and two small pools,
//! for flushes and for reads and writes. Callers may use any runtime.

mod backend;
mod committer;
mod content;
mod draft;
mod due;
mod id;
mod leasing;
mod offline;
mod record;
mod recover;
mod store;
mod threads;

pub use due::{Due as Index, Taken};
pub use offline::OfflineSpool;
pub use recover::{Corruption, Finding};

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use self::backend::Soundness;
use self::committer::{Failure, New, Operation};
use self::content::LocalContent;
use self::draft::LocalDraft;
use self::due::Due;
use self::record::ProgressRecord;
use self::store::{Store, Unopened};
use self::threads::{Pool, lock};
use crate::fs::{Disk, Held, LocalDisk, Lock};
use crate::{
    Ask, BeginError, Content, ContentError, Draft, Entry, Lane, LaneEntry, Lease, LeaseError,
    Leased, ListError, Pending, Release, Report, SettleError, Settlement, Spool, Waits,
};

/// The folder of larger content, one file a message.
const CONTENT_FOLDER: &str = "content";
/// The file whose lock says that a process has the queue.
const LOCK: &str = "lock";

/// Threads that flush files of content at the same time: filesystems join such flushes.
const FLUSHERS: usize = 4;
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
    /// goes on, so that outcomes still find room; below an eighth nothing is leased.
    pub reserve: u64,
}

impl Default for Options {
    fn default() -> Self {
        // A few of the largest messages, or some ten thousand outcomes.
        Self {
            reserve: 256 * 1024 * 1024,
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
    /// The store is gone, while content of messages is there: somebody has moved or restored a
    /// part of the folder. Nothing was changed.
    #[error("queue.redb is missing, though content/ holds messages")]
    Lost,
    /// It was made by a newer version.
    #[error("the queue has format {0}, which this version does not know")]
    Format(u32),
    /// The folder cannot be used.
    #[error("the data folder")]
    Folder(#[source] io::Error),
    /// The store cannot be opened.
    #[error("the store of the queue")]
    Store(#[source] io::Error),
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
    committer: Option<JoinHandle<()>>,
    findings: Vec<Finding>,
    /// Last, so that the folder is let go of last.
    _lock: Held,
}

/// What the spool's parts share.
struct Shared {
    disk: Arc<dyn Disk>,
    soundness: Arc<Soundness>,
    store: Store,
    due: Mutex<Due>,
    /// Somebody should look at the due times again.
    arrived: Notify,
    /// To the committer.
    operations: Sender<Operation>,
    /// For flushes of files.
    flushes: Pool,
    /// For reads, writes and removals.
    io: Pool,
    options: Options,
    /// For leases, which must not keep the spool alive.
    myself: Weak<Shared>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSpool").finish_non_exhaustive()
    }
}

impl LocalSpool {
    /// Opens the queue in `folder`, whose parent must be there, and puts it in order. Blocks.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDisk::new(folder.to_path_buf())), options)
    }

    /// The same on a disk of the caller's making.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        disk.create_dir("").map_err(OpenError::Folder)?;
        let held = disk
            .lock(LOCK, Lock::Exclusive)
            .map_err(OpenError::Folder)?
            .ok_or(OpenError::InUse)?;
        disk.create_dir(CONTENT_FOLDER).map_err(OpenError::Folder)?;
        let soundness = Arc::<Soundness>::default();
        let store = Store::open(Arc::clone(&disk), Arc::clone(&soundness))?;
        let (due, findings) = recover::recover(&*disk, &store).map_err(OpenError::Store)?;
        let (operations, waiting) = mpsc::channel();
        let flushes = Pool::start("spool-flush", FLUSHERS).map_err(OpenError::Thread)?;
        let io = Pool::start("spool-io", READERS).map_err(OpenError::Thread)?;
        let shared = Arc::new_cyclic(|myself| Shared {
            disk,
            soundness,
            store,
            due: Mutex::new(due),
            arrived: Notify::new(),
            operations,
            flushes,
            io,
            options,
            myself: Weak::clone(myself),
        });
        let committer = thread::Builder::new()
            .name(String::from("spool-commit"))
            .spawn({
                let shared = Arc::clone(&shared);
                move || committer::run(&shared, &waiting)
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            committer: Some(committer),
            findings,
            _lock: held,
        })
    }

    /// What was not in order when it was opened.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl Drop for LocalSpool {
    fn drop(&mut self) {
        self.shared.flushes.close();
        self.shared.commit(Operation::Stop);
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
        self.shared.io.close();
        self.shared.store.close();
    }
}

impl Shared {
    /// Hands an operation to the committer. If that has stopped, the operation is dropped, and
    /// with it the sender of its answer.
    fn commit(&self, operation: Operation) {
        let _ = self.operations.send(operation);
    }

    /// Has a file of content removed. If that fails, recovery does it.
    fn remove_later(&self, id: QueueId) {
        let disk = Arc::clone(&self.disk);
        self.io.start_job(move || {
            let _ = disk.remove(&content_name(id));
        });
    }

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

    /// Fails if no message may be begun.
    fn check_room(&self) -> Result<(), BeginError> {
        if self.soundness.is_poisoned() {
            return Err(BeginError::Poisoned);
        }
        if self.has_room(self.options.reserve) {
            Ok(())
        } else {
            Err(BeginError::NoSpace)
        }
    }

    /// True if `wanted` octets are free. The kernel keeps these counts in memory: no disk is waited
    /// for. Not to know is no reason to refuse mail.
    fn has_room(&self, wanted: u64) -> bool {
        self.disk.free().map_or(true, |free| free >= wanted)
    }

    /// Prepares a settlement, hands it to the committer and waits for its answer.
    async fn settle(
        self: Arc<Self>,
        lease: Lease,
        settlement: Settlement,
    ) -> Result<(), SettleError> {
        let id = lease.entry().id;
        if !lock(&self.due).is_leased(id) {
            return Err(SettleError::Unknown(id));
        }
        let recipients = &lease.entry().envelope.recipients;
        match self.prepare(id, recipients, settlement).await {
            Ok((progress, reports)) => {
                let (reply, answer) = oneshot::channel();
                self.commit(Operation::Settle {
                    lease: Box::new(lease),
                    progress,
                    reports,
                    reply,
                });
                Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?)
            }
            Err(error) => {
                lease.end();
                self.postpone(id);
                Err(error)
            }
        }
    }

    /// Prepares what is to be remembered of a leased message, hands it to the committer and waits
    /// for its answer.
    async fn record(
        self: Arc<Self>,
        id: QueueId,
        recipients: Vec<Recipient>,
        settlement: Settlement,
    ) -> Result<(), SettleError> {
        if settlement.due.is_none() || !lock(&self.due).is_leased(id) {
            return Err(SettleError::Unknown(id));
        }
        let (progress, reports) = self.prepare(id, &recipients, settlement).await?;
        let Some((progress, _)) = progress else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        self.commit(Operation::Record {
            id,
            progress,
            reports,
            reply,
        });
        Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?)
    }

    /// Encodes a settlement, and brings its reports to where only the committer's barrier is
    /// missing.
    async fn prepare(
        self: &Arc<Self>,
        id: QueueId,
        recipients: &[Recipient],
        settlement: Settlement,
    ) -> Result<(Option<(Vec<u8>, Waits)>, Vec<New>), SettleError> {
        let (found, wanted) = (settlement.progress.len(), recipients.len());
        if found != wanted {
            return Err(SettleError::Recipients { id, found, wanted });
        }
        let record = settlement.due.map(|due| ProgressRecord {
            progress: settlement.progress,
            attempts: settlement.attempts,
            due,
            delay_reported: settlement.delay_reported,
        });
        let waits = |record: &ProgressRecord| {
            let (due, reported) = (record.due, record.delay_reported);
            Waits::of(recipients.iter(), &record.progress, due, reported).with(&settlement.later)
        };
        let progress = record
            .map(|record| Ok((record.encode(id)?, waits(&record))))
            .transpose()
            .map_err(|error: serde_json::Error| SettleError::Write(error.into()))?;
        let mut reports = Vec::with_capacity(settlement.reports.len());
        for report in settlement.reports {
            reports.push(Arc::clone(self).prepare_report(report).await?);
        }
        Ok((progress, reports))
    }

    /// Brings a report to the point where only the committer's barrier is missing.
    async fn prepare_report(self: Arc<Self>, report: Report) -> Result<New, SettleError> {
        if report.envelope.recipients.is_empty() {
            return Err(SettleError::NoRecipients);
        }
        let now = lock(&self.due).now();
        let id = id::draw(now).map_err(SettleError::Random)?;
        let mut draft = LocalDraft::new(self, id, now);
        draft
            .append(report.content)
            .await
            .map_err(|error| match error {
                crate::AppendError::Poisoned => SettleError::Poisoned,
                crate::AppendError::NoSpace => SettleError::NoSpace,
                crate::AppendError::Write(error) => SettleError::Write(error),
            })?;
        Ok(draft.prepare(report.envelope, now).await?)
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
        Box::pin(async move {
            self.shared.check_room()?;
            lock(&self.shared.due).hear(now);
            let id = id::draw(now).map_err(BeginError::Random)?;
            let draft = LocalDraft::new(Arc::clone(&self.shared), id, now);
            Ok(Box::new(draft) as Box<dyn Draft>)
        })
    }

    fn lease(&self, now: Wall, ask: Ask) -> Pending<'_, Result<Leased, LeaseError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let leased = self.shared.io.run(move || shared.lease(now, &ask));
            leased
                .await
                .unwrap_or_else(|_| Err(LeaseError::Read(closed())))
        })
    }

    fn limit(&self, lane: &Lane, leases: Option<usize>) {
        self.shared.tell(lock(&self.shared.due).limit(lane, leases));
    }

    fn arrived(&self) -> Pending<'_, ()> {
        Box::pin(self.shared.arrived.notified())
    }

    fn content(&self, id: QueueId) -> Pending<'_, Result<Box<dyn Content>, ContentError>> {
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
        Box::pin(Arc::clone(&self.shared).settle(lease, settlement))
    }

    fn record(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Pending<'static, Result<(), SettleError>> {
        let (id, recipients) = (lease.entry().id, lease.entry().envelope.recipients.clone());
        Box::pin(Arc::clone(&self.shared).record(id, recipients, settlement))
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
                let found = shared.store.list(after, limit)?;
                let due = lock(&shared.due);
                Ok(found
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

    fn is_sound(&self) -> bool {
        !self.shared.soundness.is_poisoned()
    }
}

/// The file with a message's content.
fn content_name(id: QueueId) -> String {
    format!("{CONTENT_FOLDER}/{id}")
}

/// For what is asked while the spool is being dropped.
fn closed() -> io::Error {
    io::Error::other("the spool is closed")
}
