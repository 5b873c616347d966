//! The one writer: takes all operations that wait, makes them durable together, answers each.
//!
//! For one group, in this order: the folder of content is flushed, if any file in the group is
//! new; one transaction with all records is committed; the due times are brought in step; everyone
//! is answered. While one group is being flushed the next one gathers, so the number of barriers
//! follows the disk, not the number of messages.
//!
//! When it fails: a barrier that failed poisons, and files of content stay, because nobody knows
//! whether their records reached the disk. A full disk fails the group and nothing else, once the
//! store has been reopened and is seen not to hold any of it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use redb::WriteTransaction;
use tokio::sync::oneshot;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::queue_id::QueueId;

use super::draft::BodyFile;
use super::recover::Doomed;
use super::store::{CONTENT, ENVELOPES, PROGRESS};
use super::threads::lock;
use super::{CONTENT_FOLDER, Shared};
use crate::{Lease, Waits};

/// Octets in one group: bounds the time a group takes and the memory its transaction needs.
const GROUP: usize = 8 * 1024 * 1024;

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
        /// The new progress record, and how the message waits; `None` when it leaves.
        progress: Option<(Vec<u8>, Waits)>,
        reports: Vec<New>,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// Something is to be remembered of a leased message.
    Record {
        id: QueueId,
        /// The new progress record.
        progress: Vec<u8>,
        reports: Vec<New>,
        reply: oneshot::Sender<Result<(), Failure>>,
    },
    /// A leased message cannot be read.
    SetAside(Doomed),
    /// No more will come.
    Stop,
}

/// A message to be taken.
pub(super) struct New {
    pub(super) id: QueueId,
    pub(super) waits: Waits,
    pub(super) envelope: Vec<u8>,
    pub(super) progress: Vec<u8>,
    pub(super) content: Stored,
}

/// Its content.
pub(super) enum Stored {
    /// To go into the store.
    Small(Vec<u8>),
    /// In a file that has been flushed.
    File(BodyFile),
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

impl New {
    /// Octets it brings into the transaction.
    fn weight(&self) -> usize {
        let content = match &self.content {
            Stored::Small(content) => content.len(),
            Stored::File(_) => 0,
        };
        content
            .saturating_add(self.envelope.len())
            .saturating_add(self.progress.len())
    }

    /// Writes its records.
    fn insert(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let key = self.id.as_u128();
        transaction
            .open_table(ENVELOPES)?
            .insert(key, self.envelope.as_slice())?;
        transaction
            .open_table(PROGRESS)?
            .insert(key, self.progress.as_slice())?;
        if let Stored::Small(content) = &self.content {
            transaction
                .open_table(CONTENT)?
                .insert(key, content.as_slice())?;
        }
        Ok(())
    }

    /// What becomes of a file of content that has a record, or may have one.
    fn keep_file(self) {
        if let Stored::File(file) = self.content {
            file.keep();
        }
    }
}

impl Operation {
    /// The messages it brings.
    fn news(&self) -> &[New] {
        match self {
            Self::Commit { new, .. } => std::slice::from_ref(new),
            Self::Settle { reports, .. } | Self::Record { reports, .. } => reports,
            Self::SetAside(_) | Self::Stop => &[],
        }
    }

    /// Octets it brings into the transaction.
    fn weight(&self) -> usize {
        let record = match self {
            Self::Settle { progress, .. } => {
                progress.as_ref().map_or(0, |(record, _)| record.len())
            }
            Self::Record { progress, .. } => progress.len(),
            Self::SetAside(doomed) => doomed.weight(),
            Self::Commit { .. } | Self::Stop => 0,
        };
        self.news()
            .iter()
            .fold(record, |sum, new| sum.saturating_add(new.weight()))
    }

    /// True if nobody waits for it any more, so that it need not be done. A settlement is done in
    /// any case: the delivery it records has happened.
    fn is_abandoned(&self) -> bool {
        matches!(self, Self::Commit { reply, .. } if reply.is_closed())
    }
}

/// The committer's life: groups, until it is told to stop.
pub(super) fn run(shared: &Arc<Shared>, waiting: &Receiver<Operation>) {
    let unwound = Unwound(shared);
    let mut stopping = false;
    while !stopping {
        let Ok(first) = waiting.recv() else { break };
        let mut group = Vec::new();
        let mut weight = 0usize;
        let mut next = Some(first);
        while let Some(operation) = next {
            stopping |= matches!(operation, Operation::Stop);
            if !operation.is_abandoned() {
                weight = weight.saturating_add(operation.weight());
                group.push(operation);
            }
            next = if weight < GROUP {
                waiting.try_recv().ok()
            } else {
                None
            };
        }
        commit(shared, group);
    }
    std::mem::forget(unwound);
}

/// Poisons if the committer panics: nobody else can write.
struct Unwound<'a>(&'a Shared);

impl Drop for Unwound<'_> {
    fn drop(&mut self) {
        self.0.soundness.poison();
    }
}

/// One group, from the first barrier to the last answer.
fn commit(shared: &Arc<Shared>, group: Vec<Operation>) {
    if group.iter().all(|each| matches!(each, Operation::Stop)) {
        return;
    }
    match make_durable(shared, &group) {
        Ok(in_files) => succeed(shared, group, &in_files),
        Err(failure) => fail(shared, group, &failure),
    }
}

/// The barriers. Gives the messages that left and whose content lies in a file.
fn make_durable(shared: &Shared, group: &[Operation]) -> Result<Vec<QueueId>, Failure> {
    if shared.soundness.is_poisoned() {
        return Err(Failure::Poisoned);
    }
    shared
        .store
        .ensure_open()
        .map_err(|error| blame(shared, error))?;
    let mut news = group.iter().flat_map(Operation::news);
    if news.any(|new| matches!(new.content, Stored::File(_)))
        && shared.disk.sync_dir(CONTENT_FOLDER).is_err()
    {
        shared.soundness.poison();
        return Err(Failure::Poisoned);
    }
    shared
        .store
        .write(|transaction| write(transaction, group))
        .map_err(|error| undo(shared, group, error))
}

/// Puts a group's records into a transaction.
fn write(transaction: &WriteTransaction, group: &[Operation]) -> Result<Vec<QueueId>, redb::Error> {
    let mut in_files = Vec::new();
    for operation in group {
        for new in operation.news() {
            new.insert(transaction)?;
        }
        let (lease, progress) = match operation {
            Operation::Settle {
                lease, progress, ..
            } => (lease, progress),
            Operation::Record { id, progress, .. } => {
                let mut table = transaction.open_table(PROGRESS)?;
                table.insert(id.as_u128(), progress.as_slice())?;
                continue;
            }
            Operation::SetAside(doomed) => {
                doomed.move_aside(transaction)?;
                continue;
            }
            Operation::Commit { .. } | Operation::Stop => continue,
        };
        let id = lease.entry().id;
        let mut table = transaction.open_table(PROGRESS)?;
        if let Some((record, _)) = progress {
            table.insert(id.as_u128(), record.as_slice())?;
            continue;
        }
        table.remove(id.as_u128())?;
        transaction.open_table(ENVELOPES)?.remove(id.as_u128())?;
        let mut contents = transaction.open_table(CONTENT)?;
        if contents.remove(id.as_u128())?.is_none() {
            in_files.push(id);
        }
    }
    Ok(in_files)
}

/// After a failed transaction: what it means, and the store usable again if it may be.
fn undo(shared: &Shared, group: &[Operation], error: io::Error) -> Failure {
    if shared.soundness.is_poisoned() {
        return Failure::Poisoned;
    }
    if !shared.soundness.take_full() {
        return blame(shared, error);
    }
    if let Err(error) = shared.store.reopen() {
        return blame(shared, error);
    }
    // The transaction failed before its barrier and must have left nothing. If it has, we do not
    // understand this disk.
    let ids: Vec<_> = group
        .iter()
        .flat_map(Operation::news)
        .map(|new| new.id)
        .collect();
    match shared.store.names_any(&ids) {
        Ok(false) => Failure::NoSpace,
        Ok(true) => {
            shared.soundness.poison();
            Failure::Poisoned
        }
        Err(error) => blame(shared, error),
    }
}

/// What a failure of the store means. One that is neither a full disk nor a failed barrier is not
/// understood, and so poisons too; it is told in full the first time.
fn blame(shared: &Shared, error: io::Error) -> Failure {
    if shared.soundness.is_poisoned() {
        Failure::Poisoned
    } else if shared.soundness.take_full() || super::backend::is_full(&error) {
        Failure::NoSpace
    } else {
        shared.soundness.poison();
        Failure::Write(error)
    }
}

/// Brings the due times in step and answers everyone. The records are durable.
fn succeed(shared: &Arc<Shared>, group: Vec<Operation>, in_files: &[QueueId]) {
    for operation in group {
        match operation {
            Operation::Commit { new, reply } => {
                let id = take_in(shared, new);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "here is the barrier that custody stands for"
                )]
                let custody = Custody::of_durable_message(id);
                // An asker that is gone has said no 250; the message stays and is delivered.
                let _ = reply.send(Ok(custody));
            }
            Operation::Settle {
                lease,
                progress,
                reports,
                reply,
            } => {
                for report in reports {
                    take_in(shared, report);
                }
                let id = lease.entry().id;
                lease.end();
                match progress {
                    Some((_, waits)) => shared.release_to(id, Some(waits)),
                    None => lock(&shared.due).remove(id),
                }
                if in_files.contains(&id) {
                    shared.remove_later(id);
                }
                let _ = reply.send(Ok(()));
            }
            Operation::Record { reports, reply, .. } => {
                for report in reports {
                    take_in(shared, report);
                }
                let _ = reply.send(Ok(()));
            }
            Operation::SetAside(doomed) => lock(&shared.due).remove(doomed.id),
            Operation::Stop => {}
        }
    }
}

/// A durable message becomes one that can be leased.
fn take_in(shared: &Shared, mut new: New) -> QueueId {
    let id = new.id;
    let waits = std::mem::take(&mut new.waits);
    new.keep_file();
    if lock(&shared.due).insert(id, waits) {
        shared.arrived.notify_one();
    }
    id
}

/// Answers everyone that nothing of the group is kept, or that nobody knows.
fn fail(shared: &Arc<Shared>, group: Vec<Operation>, failure: &Failure) {
    for operation in group {
        match operation {
            Operation::Commit { new, reply } => {
                let _ = reply.send(Err(again(failure)));
                if matches!(failure, Failure::Poisoned) {
                    new.keep_file();
                }
            }
            Operation::Settle {
                lease,
                reports,
                reply,
                ..
            } => {
                let id = lease.entry().id;
                lease.end();
                shared.postpone(id);
                let _ = reply.send(Err(again(failure)));
                if matches!(failure, Failure::Poisoned) {
                    reports.into_iter().for_each(New::keep_file);
                }
            }
            Operation::Record { reports, reply, .. } => {
                let _ = reply.send(Err(again(failure)));
                if matches!(failure, Failure::Poisoned) {
                    reports.into_iter().for_each(New::keep_file);
                }
            }
            Operation::SetAside(doomed) => shared.postpone(doomed.id),
            Operation::Stop => {}
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
