//! The queue of a stopped server, to be looked at and not changed.
//!
//! Nothing is written, not even after a crash. A queue that a server has open is refused. One of
//! an older format is read as it is.

use std::path::Path;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::legacy::Legacy;
use super::log::bell::Bell;
use super::recover::recover;
use super::store::{Records, Store};
use super::takeover::{Marker, marker};
use super::{LOCK, OpenError};
use crate::fs::{Access, Disk, Held, LocalDisk, Lock};
use crate::{Entry, ListError};

/// A queue opened only to be looked at. Every call blocks.
pub struct OfflineSpool {
    source: Source,
    /// Last, so that it is let go of last.
    _lock: Held,
}

/// What kind of queue it is.
enum Source {
    Log(Arc<Store>),
    Legacy(Box<Legacy>),
}

impl OfflineSpool {
    /// Opens the queue in `folder`, if there is one and no server has it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDisk::new(folder.to_path_buf())))
    }

    /// The same on a disk of the caller's making.
    #[expect(clippy::needless_pass_by_value, reason = "as LocalSpool::open_on")]
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let held = match disk.lock(LOCK, Lock::Shared) {
            Ok(held) => held.ok_or(OpenError::InUse)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::Missing);
            }
            Err(error) => return Err(OpenError::Folder(error)),
        };
        let source = match marker(&*disk)? {
            Marker::None => return Err(OpenError::Missing),
            Marker::Redb => Source::Legacy(Box::new(Legacy::open(&*disk)?)),
            Marker::Log | Marker::Older => {
                let recovered = recover(&*disk, Access::Read, &Arc::<Bell>::default());
                Source::Log(recovered.map_err(OpenError::Store)?.store)
            }
        };
        Ok(Self {
            source,
            _lock: held,
        })
    }

    /// Up to `limit` messages behind `after`, by arrival.
    pub fn list(&self, after: Option<QueueId>, limit: usize) -> Result<Vec<Entry>, ListError> {
        let found = match &self.source {
            Source::Log(store) => store.list(after, limit).map(|listed| listed.found),
            Source::Legacy(legacy) => legacy.list(after, limit),
        };
        let found = found.map_err(ListError::Read)?;
        let entry = |(id, records): (QueueId, Records)| records.into_entry(id, false);
        Ok(found.into_iter().map(entry).collect())
    }

    /// One message.
    pub fn show(&self, id: QueueId) -> Result<Option<Entry>, ListError> {
        let records = match &self.source {
            Source::Log(store) => store.read(id),
            Source::Legacy(legacy) => legacy.read(id),
        };
        let records = records.map_err(ListError::Read)?;
        Ok(records.map(|records| records.into_entry(id, false)))
    }
}
