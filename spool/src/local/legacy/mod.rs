//! Queues of formats 1 to 3: one redb file, and a folder with larger content. Only read.
//!
//! `takeover.rs` says how such a queue becomes one of this format; until that is done nothing of it is
//! changed, and an older program can still serve it.

mod overlay;

use std::io;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use vouchsafe_proto::queue_id::QueueId;

use self::overlay::OverlayBackend;
use super::record::{EnvelopeRecord, ProgressRecord};
use super::recover::Corruption;
use super::store::{Records, Unopened};
use crate::fs::{Access, Disk};

/// The store's file.
pub(super) const FILE: &str = "queue.redb";
/// How a file of redb begins, whatever else is in it.
pub(super) const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// The folder of larger content, one file a message.
pub(super) const CONTENT_FOLDER: &str = "content";
/// The last format of this kind.
const FORMAT: u32 = 3;

/// Queue id to envelope record.
const ENVELOPES: TableDefinition<u128, &[u8]> = TableDefinition::new("envelopes");
/// Queue id to progress record.
const PROGRESS: TableDefinition<u128, &[u8]> = TableDefinition::new("progress");
/// Queue id to content, where it is not in a file.
const CONTENT: TableDefinition<u128, &[u8]> = TableDefinition::new("content");
/// Queue id to both records of a message that was set aside, with the length of the first in front.
const CORRUPT: TableDefinition<u128, &[u8]> = TableDefinition::new("corrupt");
/// Facts about the store itself.
const META: TableDefinition<&str, u32> = TableDefinition::new("meta");

/// What redb may keep in memory: it is read from end to end, once.
const CACHE: usize = 16 * 1024 * 1024;

/// An old store.
pub(super) struct Legacy {
    database: Database,
}

/// A message as it lies in an old store.
pub(super) struct Old<'a> {
    pub(super) id: QueueId,
    pub(super) envelope: &'a [u8],
    /// Empty, if there is none.
    pub(super) progress: &'a [u8],
}

impl Old<'_> {
    /// Reads both records, and sees that they belong together.
    pub(super) fn decode(&self) -> Result<Records, Corruption> {
        let envelope = EnvelopeRecord::decode(self.id, self.envelope)?;
        if self.progress.is_empty() {
            return Err(Corruption::NoProgress);
        }
        let progress = ProgressRecord::decode(self.id, self.progress)?;
        if progress.progress.len() == envelope.envelope.recipients.len() {
            Ok(Records {
                envelope,
                progress,
                pieces: Vec::new(),
            })
        } else {
            Err(Corruption::Schema)
        }
    }
}

impl Legacy {
    /// Opens a store to read it.
    pub(super) fn open(disk: &dyn Disk) -> Result<Self, Unopened> {
        let file = disk.open(FILE, Access::Read)?;
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create_with_backend(OverlayBackend::new(file)?)
            .map_err(io_error)?;
        match format(&database)? {
            1..=FORMAT => Ok(Self { database }),
            other => Err(Unopened::Format(other)),
        }
    }

    /// Shows every message behind `after` to `each`, until that says false.
    pub(super) fn visit(
        &self,
        after: Option<QueueId>,
        mut each: impl FnMut(Old<'_>) -> io::Result<bool>,
    ) -> io::Result<()> {
        let first = after.map_or(0, |id| id.as_u128().saturating_add(1));
        let transaction = self.database.begin_read().map_err(io_error)?;
        let progress = transaction.open_table(PROGRESS).map_err(io_error)?;
        let envelopes = transaction.open_table(ENVELOPES).map_err(io_error)?;
        for found in envelopes.range(first..).map_err(io_error)? {
            let (key, envelope) = found.map_err(io_error)?;
            // Keys are ours; one past the ids' range could only come from elsewhere.
            let Some(id) = QueueId::from_u128(key.value()) else {
                continue;
            };
            let progress = progress.get(key.value()).map_err(io_error)?;
            let progress = progress.as_ref().map(redb::AccessGuard::value);
            let goes_on = each(Old {
                id,
                envelope: envelope.value(),
                progress: progress.unwrap_or_default(),
            })?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Up to `limit` messages behind `after`, by id; those that cannot be read are left out.
    pub(super) fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> io::Result<Vec<(QueueId, Records)>> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        self.visit(after, |old| {
            found.extend(old.decode().ok().map(|records| (old.id, records)));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// One message; `None` if it is not there, or cannot be read.
    pub(super) fn read(&self, id: QueueId) -> io::Result<Option<Records>> {
        let before = id.as_u128().checked_sub(1).and_then(QueueId::from_u128);
        let found = self.list(before, 1)?.pop();
        Ok(found
            .filter(|(found, _)| *found == id)
            .map(|(_, records)| records))
    }

    /// Content that is in the store.
    pub(super) fn content(&self, id: QueueId) -> io::Result<Option<Vec<u8>>> {
        let transaction = self.database.begin_read().map_err(io_error)?;
        let table = transaction.open_table(CONTENT).map_err(io_error)?;
        let content = table.get(id.as_u128()).map_err(io_error)?;
        Ok(content.map(|content| content.value().to_vec()))
    }

    /// The messages that were set aside, with what is left of their records.
    pub(super) fn set_aside(&self) -> io::Result<Vec<(QueueId, Vec<u8>)>> {
        let transaction = self.database.begin_read().map_err(io_error)?;
        let table = transaction.open_table(CORRUPT).map_err(io_error)?;
        let mut aside = Vec::new();
        for found in table.iter().map_err(io_error)? {
            let (key, records) = found.map_err(io_error)?;
            let id = QueueId::from_u128(key.value());
            aside.extend(id.map(|id| (id, records.value().to_vec())));
        }
        Ok(aside)
    }
}

/// What a store says of its own format.
fn format(database: &Database) -> io::Result<u32> {
    let transaction = database.begin_read().map_err(io_error)?;
    let table = transaction.open_table(META).map_err(io_error)?;
    let format = table.get("format").map_err(io_error)?;
    Ok(format.map_or(0, |format| format.value()))
}

/// What redb says, as an I/O error that keeps its kind.
fn io_error(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
