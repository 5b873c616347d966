//! How transactions ended whose sender may ask again: PROTOCOLS C's memory of XTID, so that a retry after a
//! reply that was lost makes no duplicate.
//!
//! One file, `outcomes`, of its own ([decision 27](../../../docs/decisions/0027-remembered-outcomes.md)): it is
//! only added to, and written anew when most of it counts no more. All of what counts is in memory as well.
//! Where nobody uses XTID there is no file, no thread and no flush.
//!
//! # Promises
//!
//! 1. When [`Outcomes::remember`] has given Ok, what it was given is found again for seven days,
//!    whatever happens to the process, unless it is more than the caps allow: then the oldest of that client
//!    goes, or the oldest of all. All lines of one call are there, or none.
//! 2. [`Outcomes::recall`] gives only what is durable, and how it ended only for the same content
//!    ([`Remembered::ending`]).
//! 3. What was to be remembered, and failed, may be there after a restart or not. It is no lie for that: it says what
//!    the next hop has said, or what the queue is asked about ([`Ending::Storing`]).
//! 4. After a failed flush nothing is remembered until the next start; what was remembered is still
//!    recalled. The queue goes on: nothing of this is mail.
//!
//! Calls that wait while a group is being flushed make the next group. Left to others: what is asked for,
//! when, what a client is called, and whether two transactions are in hand for one key at the same time.

mod kept;
mod record;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::oneshot;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::custody::Earlier;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::time::Wall;

use self::kept::Kept;
use self::record::Line;
use crate::Pending;
use crate::fs::{Access, Disk, DiskFile, is_full};

/// How long an outcome is kept: longer than any sender tries (RFC 5321 §4.5.4.1 has four to five days).
pub const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// The file.
const FILE: &str = "outcomes";
/// The file while it is being written anew.
const UNBORN: &str = "outcomes.new";

/// Octets of lines that are written together.
const MOST: usize = 1 << 20;

/// Whose outcome it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OutcomeKey {
    /// Who asked, by what it has proved to be: nobody is answered by another's id.
    pub client: Box<str>,
    /// XTID.
    pub id: TransactionId,
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO.
    pub recipient: ForwardPath,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// By a 2yz reply, which says no more than this.
    Taken(Earlier),
    /// It was being written to the queue under this name. Whether it was is known there: if it is, and nobody has
    /// [confirmed](Outcomes::storing) it, the process has died in between.
    Storing(QueueId),
}

/// What is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    digest: [u8; 32],
    ending: Ending,
    at: Wall,
}

impl Remembered {
    /// That content with this digest has ended so at `at`.
    pub const fn new(digest: [u8; 32], ending: Ending, at: Wall) -> Self {
        Self { digest, ending, at }
    }

    /// How the same content ended; none for any other content, for which the id counts as absent.
    pub fn ending(&self, digest: &[u8; 32]) -> Option<Ending> {
        (self.digest == *digest).then_some(self.ending)
    }

    /// The same, and it has come to this.
    #[must_use]
    pub const fn with_ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }

    /// True if it is too old to count at `now`.
    fn is_over(&self, now: Wall) -> bool {
        self.at.plus(KEPT_FOR) <= now
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutcomeCaps {
    /// Outcomes of one client.
    pub per_client: usize,
    /// Of all.
    pub total: usize,
    /// Octets of the lines of all; each takes its line's octets of memory, twice or three times.
    pub octets: u64,
    /// Octets of the file, above four times those that count, from which on it is written anew.
    pub slack: u64,
}

impl Default for OutcomeCaps {
    fn default() -> Self {
        Self {
            per_client: 10_000,
            total: 60_000,
            octets: 24 << 20,
            slack: 4 << 20,
        }
    }
}

impl OutcomeCaps {
    /// With other numbers of outcomes.
    #[must_use]
    pub const fn with_outcomes(mut self, per_client: usize, total: usize) -> Self {
        self.per_client = per_client;
        self.total = total;
        self
    }

    /// With other octets.
    #[must_use]
    pub const fn with_octets(mut self, octets: u64) -> Self {
        self.octets = octets;
        self
    }

    /// With other slack.
    #[must_use]
    pub const fn with_slack(mut self, slack: u64) -> Self {
        self.slack = slack;
        self
    }
}

/// Why an outcome is not remembered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RememberError {
    /// A flush has failed, now or before.
    #[error("outcomes are closed after a failed write")]
    Poisoned,
    /// The disk is full.
    #[error("no room left")]
    NoSpace,
    /// Something else, before the flush.
    #[error("remembering an outcome")]
    Write(#[source] io::Error),
}

/// The outcomes of one data folder. Dropped, it waits for what is being written.
#[derive(Debug)]
pub struct Outcomes(Arc<Shared>);

impl Drop for Outcomes {
    fn drop(&mut self) {
        let writer = lock(&self.0.waiting).thread.take();
        // One that has panicked has said so to those that waited.
        writer.map(JoinHandle::join);
    }
}

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    caps: OutcomeCaps,
    kept: Mutex<Kept>,
    waiting: Mutex<Waiting>,
    /// Held by whoever writes.
    writer: Mutex<Writer>,
    poisoned: AtomicBool,
}

/// What is to be written.
#[derive(Debug, Default)]
struct Waiting {
    operations: Vec<Operation>,
    /// Somebody writes, and will look here again.
    writing: bool,
    /// Who did last.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Operation {
    lines: Vec<Line>,
    octets: Vec<u8>,
    reply: oneshot::Sender<Result<(), RememberError>>,
}

/// Where the file stands.
#[derive(Debug, Default)]
struct Writer {
    file: Option<Arc<dyn DiskFile>>,
    /// Where the next group goes: the start of a page.
    end: u64,
    /// It is not written anew below this, since that has failed.
    patience: u64,
}

impl Outcomes {
    /// The outcomes of this data folder. Blocks. Only one process may have them open: the one that has the
    /// queue.
    pub fn open(disk: Arc<dyn Disk>, now: Wall, caps: OutcomeCaps) -> io::Result<Self> {
        let mut kept = Kept::new(caps);
        let mut writer = Writer::default();
        let mut lines = 0_usize;
        match disk.open(FILE, Access::Write) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(file) => {
                // What a process has left in the cache is not to be believed before it is durable.
                file.sync_data()?;
                disk.sync_dir("")?;
                writer.end = record::read(&*file, |line, len| {
                    lines = lines.saturating_add(1);
                    kept.apply(line, len);
                })?;
                writer.file = Some(file);
            }
        }
        kept.expire(now);
        let is_all = kept.len() == lines;
        let shared = Shared {
            disk,
            caps,
            kept: Mutex::new(kept),
            waiting: Mutex::default(),
            writer: Mutex::new(writer),
            poisoned: AtomicBool::new(false),
        };
        if !is_all {
            // So that what is over does not stay on the disk of a host that has little to remember.
            shared.write_anew(&mut lock(&shared.writer));
        }
        Ok(Self(Arc::new(shared)))
    }

    /// What is remembered under a key, if it still counts at `now`. Reads memory alone.
    pub fn recall(&self, key: &OutcomeKey, now: Wall) -> Option<Remembered> {
        let kept = lock(&self.0.kept);
        let found = kept.get(key)?;
        (!found.is_over(now)).then_some(*found)
    }

    /// What was being written to the queue, and was neither confirmed nor forgotten. At a start the queue is asked about
    /// these, before anything of it is delivered; at any other time it may have been, by now.
    pub fn storing(&self) -> Vec<(OutcomeKey, QueueId, Remembered)> {
        let kept = lock(&self.0.kept);
        kept.iter()
            .filter_map(|(key, kept)| match kept.ending {
                Ending::Storing(id) => Some((key.clone(), id, *kept)),
                Ending::Taken(_) => None,
            })
            .collect()
    }

    /// Remembers these, in place of what was remembered under their keys. Durable when it resolves; it is
    /// done even if nobody waits for it.
    pub fn remember(
        &self,
        outcomes: Vec<(OutcomeKey, Remembered)>,
    ) -> Pending<'static, Result<(), RememberError>> {
        let lines = outcomes.into_iter();
        self.write(lines.map(|(key, kept)| (key, Some(kept))).collect())
    }

    /// Forgets these: what was being stored was not. Durable when it resolves; it is done even if nobody waits.
    pub fn forget(&self, keys: Vec<OutcomeKey>) -> Pending<'static, Result<(), RememberError>> {
        self.write(keys.into_iter().map(|key| (key, None)).collect())
    }

    /// False once a flush has failed.
    pub fn is_sound(&self) -> bool {
        !self.0.poisoned.load(Ordering::Acquire)
    }

    fn write(&self, lines: Vec<Line>) -> Pending<'static, Result<(), RememberError>> {
        let octets = match record::encode(&lines) {
            Ok(octets) if octets.len() <= MOST => octets,
            Ok(_) => return failed(io::ErrorKind::FileTooLarge.into()),
            Err(error) => return failed(error.into()),
        };
        let (reply, answer) = oneshot::channel();
        let operation = Operation {
            lines,
            octets,
            reply,
        };
        let mut waiting = lock(&self.0.waiting);
        waiting.operations.push(operation);
        if !waiting.writing {
            let shared = Arc::clone(&self.0);
            let name = thread::Builder::new().name("outcomes".to_owned());
            match name.spawn(move || shared.work()) {
                Ok(thread) => {
                    waiting.writing = true;
                    waiting.thread = Some(thread);
                }
                Err(error) => {
                    waiting.operations.clear();
                    return failed(error);
                }
            }
        }
        drop(waiting);
        Box::pin(async move {
            let gone = |_| Err(RememberError::Write(io::Error::other("given up")));
            answer.await.unwrap_or_else(gone)
        })
    }
}

/// The answer to what was not even begun.
fn failed(error: io::Error) -> Pending<'static, Result<(), RememberError>> {
    Box::pin(std::future::ready(Err(RememberError::Write(error))))
}

impl Shared {
    /// A writer's life: groups, until nothing waits.
    fn work(&self) {
        let unwound = Unwound(self);
        let mut writer = lock(&self.writer);
        while let Some(group) = self.take() {
            let octets: Vec<u8> = group
                .iter()
                .flat_map(|each| &each.octets)
                .copied()
                .collect();
            let result = self.append(&mut writer, &octets);
            if result.is_ok() {
                let mut kept = lock(&self.kept);
                for operation in &group {
                    // One after the other in a buffer, a line each.
                    let lens = record::lens(&operation.octets);
                    for (line, len) in operation.lines.iter().cloned().zip(lens) {
                        kept.apply(line, len);
                    }
                }
                kept.expire_by_newest();
            }
            for operation in group {
                // An asker that is gone wants no answer.
                let _ = operation.reply.send(result.map_err(Failure::say));
            }
            if self.is_due(&writer) {
                self.write_anew(&mut writer);
            }
        }
        std::mem::forget(unwound);
    }

    /// What is written next; none ends the work.
    fn take(&self) -> Option<Vec<Operation>> {
        let mut waiting = lock(&self.waiting);
        let mut octets = 0_usize;
        let fitting = waiting.operations.iter().take_while(|operation| {
            octets = octets.saturating_add(operation.octets.len());
            octets <= MOST
        });
        let count = fitting.count();
        if count == 0 {
            waiting.writing = false;
            return None;
        }
        Some(waiting.operations.drain(..count).collect())
    }

    /// One group, durable when it returns.
    fn append(&self, writer: &mut Writer, lines: &[u8]) -> Result<(), Failure> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Failure::Poisoned);
        }
        let file = match &writer.file {
            Some(file) => Arc::clone(file),
            None => self.make(writer)?,
        };
        let group = record::group(lines);
        if let Err(error) = file.write_at(writer.end, &group) {
            // A part of it is no group, and what comes next is written over it.
            return Err(Failure::of(&error));
        }
        file.sync_data().map_err(|_| self.poison())?;
        writer.end = writer.end.saturating_add(group.len() as u64);
        Ok(())
    }

    /// The file, for the first outcome there is.
    fn make(&self, writer: &mut Writer) -> Result<Arc<dyn DiskFile>, Failure> {
        let made = self
            .disk
            .create_dir("")
            .and_then(|()| self.disk.create(FILE));
        let file = made.map_err(|error| Failure::of(&error))?;
        self.disk.sync_dir("").map_err(|_| self.poison())?;
        writer.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// True if most of the file counts no more.
    fn is_due(&self, writer: &Writer) -> bool {
        let counting = lock(&self.kept).octets().saturating_mul(4);
        let bound = counting.saturating_add(self.caps.slack);
        writer.end > bound.max(writer.patience)
    }

    /// Puts what counts in place of the whole file. Where that fails before the one takes the place of the
    /// other, all stays as it was.
    fn write_anew(&self, writer: &mut Writer) {
        let Ok((file, end)) = self.prepare() else {
            writer.patience = writer.end.saturating_mul(2);
            return;
        };
        let renamed = self.disk.rename(UNBORN, FILE);
        if renamed.and_then(|()| self.disk.sync_dir("")).is_err() {
            // Nobody knows which of them will be there.
            self.poison();
            return;
        }
        *writer = Writer {
            file: Some(file),
            end,
            patience: 0,
        };
    }

    /// A file beside the other, durable but for its name.
    fn prepare(&self) -> io::Result<(Arc<dyn DiskFile>, u64)> {
        let mut octets = Vec::new();
        for lines in lock(&self.kept).lines().chunks(LINES) {
            octets.extend(record::group(&record::encode(lines)?));
        }
        match self.disk.remove(UNBORN) {
            // Durably: else a crash could leave that one under the other's name.
            Ok(()) => self.disk.sync_dir("")?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = self.disk.create(UNBORN)?;
        file.write_at(0, &octets)?;
        file.sync_data()?;
        Ok((file, octets.len() as u64))
    }

    /// Nothing is written any more.
    fn poison(&self) -> Failure {
        self.poisoned.store(true, Ordering::Release);
        Failure::Poisoned
    }
}

/// Lines of a group when the file is written anew.
const LINES: usize = 256;

/// Why a group failed, to be told to each that is in it.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Poisoned,
    NoSpace,
    Write(io::ErrorKind),
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        if is_full(error) {
            Self::NoSpace
        } else {
            Self::Write(error.kind())
        }
    }

    fn say(self) -> RememberError {
        match self {
            Self::Poisoned => RememberError::Poisoned,
            Self::NoSpace => RememberError::NoSpace,
            Self::Write(kind) => RememberError::Write(kind.into()),
        }
    }
}

/// Poisons if the writer panics: nobody knows what it has written.
struct Unwound<'a>(&'a Shared);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.poison();
        // Nobody is left waiting for an answer that will not come.
        let mut waiting = lock(&self.0.waiting);
        waiting.operations.clear();
        waiting.writing = false;
    }
}

/// Locks, whatever became of the last holder: what is guarded is consistent between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
