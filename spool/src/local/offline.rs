//! The queue of a stopped server, to be looked at and not changed.
//!
//! Nothing is written, not even after a crash: what redb does to read a file that was not closed
//! stays in memory. A queue that a server has open is refused.

use std::path::Path;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::store::Store;
use super::{LOCK, OpenError};
use crate::fs::{Disk, Held, LocalDisk, Lock};
use crate::{Entry, ListError};

/// A queue opened only to be looked at. Every call blocks.
pub struct OfflineSpool {
    store: Store,
    /// Last, so that it is let go of last.
    _lock: Held,
}

impl OfflineSpool {
    /// Opens the queue in `folder`, if there is one and no server has it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDisk::new(folder.to_path_buf())))
    }

    /// The same on a disk of the caller's making.
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let held = match disk.lock(LOCK, Lock::Shared) {
            Ok(held) => held.ok_or(OpenError::InUse)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::Missing);
            }
            Err(error) => return Err(OpenError::Folder(error)),
        };
        let store = Store::open_offline(disk).map_err(|error| match error {
            super::store::Unopened::Failed(error)
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                OpenError::Missing
            }
            error => error.into(),
        })?;
        Ok(Self { store, _lock: held })
    }

    /// Up to `limit` messages behind `after`, by arrival.
    pub fn list(&self, after: Option<QueueId>, limit: usize) -> Result<Vec<Entry>, ListError> {
        let found = self.store.list(after, limit).map_err(ListError::Read)?;
        Ok(found
            .into_iter()
            .map(|(id, records)| records.into_entry(id, false))
            .collect())
    }

    /// One message.
    pub fn show(&self, id: QueueId) -> Result<Option<Entry>, ListError> {
        let records = self.store.read(id).map_err(ListError::Read)?;
        Ok(records.map(|records| records.into_entry(id, false)))
    }
}
