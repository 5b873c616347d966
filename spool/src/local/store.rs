//! The store: tables in one redb file, and what a transaction on them means.
//!
//! One writer (the committer), any number of readers. Every commit is one transaction with both of
//! redb's barriers (docs/decisions/0003). redb refuses all further work after any failed write, so
//! a full disk is answered by closing the file and opening it again, which rolls back to the last
//! barrier; a failed flush is not answered at all, it poisons.

use std::io;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use vouchsafe_proto::queue_id::QueueId;

use super::backend::{LiveBackend, OverlayBackend, Soundness};
use super::record::{EnvelopeRecord, ProgressRecord};
use super::recover::{Corruption, Doomed, holds_content};
use crate::fs::{Access, Disk, DiskFile};
use crate::{Entry, Waits};

/// Queue id to envelope record.
pub(super) const ENVELOPES: TableDefinition<u128, &[u8]> = TableDefinition::new("envelopes");
/// Queue id to progress record.
pub(super) const PROGRESS: TableDefinition<u128, &[u8]> = TableDefinition::new("progress");
/// Queue id to content, where it is not in a file.
pub(super) const CONTENT: TableDefinition<u128, &[u8]> = TableDefinition::new("content");
/// Queue id to both records of a message that was set aside, each with its length in front.
pub(super) const CORRUPT: TableDefinition<u128, &[u8]> = TableDefinition::new("corrupt");
/// Facts about the store itself.
const META: TableDefinition<&str, u32> = TableDefinition::new("meta");

/// The store's format: the newest version of envelope record that it may hold. A program that knows
/// only older ones would set the newer aside, and so must not open it.
pub(super) const FORMAT: u32 = 3;
/// The store's file.
const FILE: &str = "queue.redb";
/// The same while it is being made.
const UNBORN: &str = "queue.redb.new";

/// What redb may keep in memory. Small content is read back at once, while it is warm; the rest
/// of a queue is cold.
const CACHE: usize = 64 * 1024 * 1024;

/// Why a store could not be opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// The file or redb refused.
    Failed(io::Error),
    /// Made by a newer version.
    Format(u32),
    /// It is not there, and there is content that it must have named.
    Lost,
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The open store.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    soundness: Arc<Soundness>,
    /// `None` only while the disk is so full that the store cannot be reopened.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens the store, or makes it.
    pub(super) fn open(disk: Arc<dyn Disk>, soundness: Arc<Soundness>) -> Result<Self, Unopened> {
        match disk.open(FILE, Access::Read) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The store is on the disk before the first message is begun: this is no crash of
                // ours, and a new store would have all these files removed.
                if holds_content(&*disk)? {
                    return Err(Unopened::Lost);
                }
                make(&*disk, &soundness)?;
            }
            Err(error) => return Err(error.into()),
        }
        let database = open_live(&*disk, &soundness)?;
        let format = check_format(&database)?;
        let store = Self {
            disk,
            soundness,
            database: RwLock::new(Some(database)),
        };
        if format != FORMAT {
            store.write(|transaction| {
                transaction.open_table(META)?.insert("format", FORMAT)?;
                Ok(())
            })?;
        }
        Ok(store)
    }

    /// Opens the store only to look at it.
    pub(super) fn open_offline(disk: Arc<dyn Disk>) -> Result<Self, Unopened> {
        let file = disk.open(FILE, Access::Read)?;
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create_with_backend(OverlayBackend::new(file)?)
            .map_err(io_error)?;
        check_format(&database)?;
        Ok(Self {
            disk,
            soundness: Arc::default(),
            database: RwLock::new(Some(database)),
        })
    }

    /// Runs `work` in one transaction and makes it durable.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> io::Result<T> {
        self.with(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })
    }

    /// Lends the open database.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> io::Result<T> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => work(database).map_err(io_error),
            None => Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the store is closed until there is room",
            )),
        }
    }

    /// Closes the store and opens it again, as it was at the last barrier. To be called after a
    /// write found no room. Waits for those who read.
    pub(super) fn reopen(&self) -> io::Result<()> {
        drop(self.exclusively().take());
        self.ensure_open()
    }

    /// Opens the store if it was closed and found no room to be opened again.
    pub(super) fn ensure_open(&self) -> io::Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let mut database = self.exclusively();
        if database.is_none() {
            *database = Some(open_live(&*self.disk, &self.soundness)?);
            // What the old one noted while it closed is of no interest.
            self.soundness.take_full();
        }
        Ok(())
    }

    /// The database, once nobody reads it.
    fn exclusively(&self) -> RwLockWriteGuard<'_, Option<Database>> {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// False while it waits for room to be reopened.
    fn is_open(&self) -> bool {
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Closes it for good: marks the file clean and lets go of it.
    pub(super) fn close(&self) {
        drop(self.exclusively().take());
    }

    /// True if the store names any of these messages.
    pub(super) fn names_any(&self, ids: &[QueueId]) -> io::Result<bool> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(ENVELOPES)?;
            for id in ids {
                if table.get(id.as_u128())?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// One message that must be there.
    pub(super) fn find(&self, id: QueueId) -> io::Result<Found> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let envelope = transaction.open_table(ENVELOPES)?.get(id.as_u128())?;
            let progress = transaction.open_table(PROGRESS)?.get(id.as_u128())?;
            let envelope = envelope.as_ref().map(redb::AccessGuard::value);
            let progress = progress.as_ref().map(redb::AccessGuard::value);
            let records = envelope
                .ok_or(Corruption::NoEnvelope)
                .and_then(|envelope| Records::decode(id, envelope, progress));
            Ok(match records {
                Ok(records) => Found::Sound(Box::new(records)),
                Err(why) => {
                    let (envelope, progress) = (envelope.unwrap_or(&[]), progress.unwrap_or(&[]));
                    Found::Corrupt(Doomed::new(id, why, envelope, progress))
                }
            })
        })
    }

    /// One message's records; `None` if it is not there.
    pub(super) fn read(&self, id: QueueId) -> io::Result<Option<Records>> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let envelopes = transaction.open_table(ENVELOPES)?;
            let progress = transaction.open_table(PROGRESS)?;
            let Some(envelope) = envelopes.get(id.as_u128())? else {
                return Ok(None);
            };
            let progress = progress.get(id.as_u128())?;
            Ok(Some(Records::decode(
                id,
                envelope.value(),
                progress.as_ref().map(redb::AccessGuard::value),
            )))
        })?
        .transpose()
        .map_err(|corruption| unreadable(id, &corruption))
    }

    /// The content that is kept in the store.
    pub(super) fn small_content(&self, id: QueueId) -> io::Result<Option<Vec<u8>>> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(CONTENT)?;
            let content = table.get(id.as_u128())?;
            Ok(content.map(|content| content.value().to_vec()))
        })
    }

    /// Up to `limit` messages behind `after`, by id; those that cannot be read are left out.
    pub(super) fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> io::Result<Vec<(QueueId, Records)>> {
        let mut found = Vec::new();
        self.visit(after, |id, records, _| {
            found.extend(records.ok().map(|records| (id, records)));
            found.len() < limit
        })?;
        Ok(found)
    }

    /// Shows every message behind `after` to `each`, with its raw records, until that says false.
    pub(super) fn visit(
        &self,
        after: Option<QueueId>,
        mut each: impl FnMut(QueueId, Result<Records, Corruption>, (&[u8], &[u8])) -> bool,
    ) -> io::Result<()> {
        let first = after.map_or(0, |id| id.as_u128().saturating_add(1));
        self.with(|database| {
            let transaction = database.begin_read()?;
            let progress = transaction.open_table(PROGRESS)?;
            for found in transaction.open_table(ENVELOPES)?.range(first..)? {
                let (key, envelope) = found?;
                // Keys are ours; one past the ids' range could only come from elsewhere.
                let Some(id) = QueueId::from_u128(key.value()) else {
                    continue;
                };
                let progress = progress.get(key.value())?;
                let progress = progress.as_ref().map(redb::AccessGuard::value);
                let records = Records::decode(id, envelope.value(), progress);
                if !each(
                    id,
                    records,
                    (envelope.value(), progress.unwrap_or_default()),
                ) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The messages that were set aside.
    pub(super) fn set_aside(&self) -> io::Result<Vec<QueueId>> {
        self.with(|database| {
            let table = database.begin_read()?.open_table(CORRUPT)?;
            let mut ids = Vec::new();
            for found in table.iter()? {
                ids.extend(QueueId::from_u128(found?.0.value()));
            }
            Ok(ids)
        })
    }
}

/// What the store holds of a message that must be there.
#[derive(Debug)]
pub(super) enum Found {
    /// Its records.
    Sound(Box<Records>),
    /// Something else.
    Corrupt(Doomed),
}

/// Both records of a message.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) envelope: EnvelopeRecord,
    pub(super) progress: ProgressRecord,
}

impl Records {
    /// Reads both, and sees that they belong together.
    fn decode(id: QueueId, envelope: &[u8], progress: Option<&[u8]>) -> Result<Self, Corruption> {
        let envelope = EnvelopeRecord::decode(id, envelope)?;
        let progress = ProgressRecord::decode(id, progress.ok_or(Corruption::NoProgress)?)?;
        if progress.progress.len() == envelope.envelope.recipients.len() {
            Ok(Self { envelope, progress })
        } else {
            Err(Corruption::Schema)
        }
    }

    /// What the index knows of them.
    pub(super) fn waits(&self) -> Waits {
        let recipients = self.envelope.envelope.recipients.iter();
        let progress = &self.progress;
        let (due, reported) = (progress.due, progress.delay_reported);
        Waits::of(recipients, &progress.progress, due, reported)
    }

    /// What the contract shows of them.
    pub(super) fn into_entry(self, id: QueueId, active: bool) -> Entry {
        let envelope = self.envelope.envelope;
        let trace = u64::try_from(envelope.trace.len()).unwrap_or(u64::MAX);
        Entry {
            id,
            size: self.envelope.content.size.saturating_add(trace),
            envelope,
            arrived: self.envelope.arrived,
            progress: self.progress.progress,
            attempts: self.progress.attempts,
            due: self.progress.due,
            delay_reported: self.progress.delay_reported,
            active,
        }
    }
}

/// Makes an empty store under another name first: redb takes a file that it was not done
/// initialising for no store at all, and nothing could tell that from a lost one.
fn make(disk: &dyn Disk, soundness: &Arc<Soundness>) -> Result<(), Unopened> {
    match disk.remove(UNBORN) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = redb_on(disk.create(UNBORN)?, soundness)?;
    let prepare = || -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_quick_repair(true);
        transaction.open_table(META)?.insert("format", FORMAT)?;
        for table in [ENVELOPES, PROGRESS, CONTENT, CORRUPT] {
            transaction.open_table(table)?;
        }
        Ok(transaction.commit()?)
    };
    prepare().map_err(io_error)?;
    database.close().map_err(io_error)?;
    disk.rename(UNBORN, FILE)?;
    Ok(disk.sync_dir("")?)
}

/// Opens the store's file to be written.
fn open_live(disk: &dyn Disk, soundness: &Arc<Soundness>) -> io::Result<Database> {
    redb_on(disk.open(FILE, Access::Write)?, soundness)
}

/// redb on one of our files.
fn redb_on(file: Arc<dyn DiskFile>, soundness: &Arc<Soundness>) -> io::Result<Database> {
    redb::Builder::new()
        .set_cache_size(CACHE)
        .create_with_backend(LiveBackend {
            file,
            soundness: Arc::clone(soundness),
        })
        .map_err(io_error)
}

/// The format, if it is no newer than ours.
fn check_format(database: &Database) -> Result<u32, Unopened> {
    let read = || -> Result<u32, redb::Error> {
        let table = database.begin_read()?.open_table(META)?;
        let format = table.get("format")?;
        Ok(format.map_or(0, |format| format.value()))
    };
    match read().map_err(io_error)? {
        known @ 1..=FORMAT => Ok(known),
        other => Err(Unopened::Format(other)),
    }
}

/// What redb says, as an I/O error that keeps its kind.
fn io_error(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// A record that cannot be read, as an I/O error.
fn unreadable(id: QueueId, corruption: &Corruption) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("message {id}: {corruption}"),
    )
}
