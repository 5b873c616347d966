//! Reading content back, a piece at a time, and knowing at the end that it is what was taken.
//!
//! Reads run on the spool's own threads: a message that has left the page cache waits for the
//! disk, and on the caller's thread every other session there would wait with it. What is in the
//! store is read whole when it is opened: it is small. The envelope's trace fields come first; they
//! are the record's, and not in the content's checksum.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use vouchsafe_proto::queue_id::QueueId;

use super::record::ContentRecord;
use super::{Shared, content_name};
use crate::fs::{Access, DiskFile};
use crate::{Content, ContentError, Pending};

/// The most a piece has, by the contract.
const PIECE: u64 = 64 * 1024;

/// Content being read.
pub(super) struct LocalContent {
    shared: Arc<Shared>,
    id: QueueId,
    /// What it must be.
    wanted: ContentRecord,
    /// What of the trace fields is still to be given.
    trace: Bytes,
    source: Source,
    /// Octets of content given so far.
    done: u64,
    crc: crc32fast::Hasher,
}

/// Where the next piece comes from.
enum Source {
    /// From the store, not yet given.
    Store(Bytes),
    /// From its file.
    File(Arc<dyn DiskFile>),
    /// From nowhere: the end, or an error.
    End,
}

impl LocalContent {
    /// Finds and opens it. Blocks.
    pub(super) fn open(shared: &Arc<Shared>, id: QueueId) -> Result<Self, ContentError> {
        let read = |source| ContentError::Read { id, source };
        let records = shared
            .store
            .read(id)
            .map_err(read)?
            .ok_or(ContentError::Unknown(id))?;
        let wanted = records.envelope.content;
        let trace: Box<[u8]> = records.envelope.envelope.trace.into();
        let source = if wanted.file {
            let opened = shared.disk.open(&content_name(id), Access::Read);
            Source::File(opened.map_err(|error| vanished(shared, id, error))?)
        } else {
            let content = shared.store.small_content(id).map_err(read)?;
            Source::Store(Bytes::from(content.ok_or_else(|| read(wrong()))?))
        };
        Ok(Self {
            shared: Arc::clone(shared),
            id,
            wanted,
            trace: Bytes::from(trace),
            source,
            done: 0,
            crc: crc32fast::Hasher::new(),
        })
    }

    /// The next piece from wherever it comes.
    async fn read(&mut self) -> io::Result<Option<Bytes>> {
        if !self.trace.is_empty() {
            let most = usize::try_from(PIECE).unwrap_or(usize::MAX);
            return Ok(Some(self.trace.split_to(self.trace.len().min(most))));
        }
        let left = self.wanted.size.saturating_sub(self.done);
        match std::mem::replace(&mut self.source, Source::End) {
            Source::End => Ok(None),
            Source::Store(content) => {
                self.check(&content)?;
                self.finish()?;
                Ok(Some(content).filter(|content| !content.is_empty()))
            }
            Source::File(_) if left == 0 => self.finish().map(|()| None),
            Source::File(file) => {
                let (offset, len) = (self.done, left.min(PIECE));
                let piece = self
                    .shared
                    .io
                    .run(move || {
                        let mut piece = vec![0; usize::try_from(len).unwrap_or(0)];
                        file.read_at(offset, &mut piece).map(|()| (file, piece))
                    })
                    .await
                    .unwrap_or_else(|_| Err(io::Error::other("the spool is closed")))?;
                let (file, piece) = piece;
                self.source = Source::File(file);
                let piece = Bytes::from(piece);
                self.check(&piece)?;
                Ok(Some(piece))
            }
        }
    }

    /// Counts a piece in.
    fn check(&mut self, piece: &Bytes) -> io::Result<()> {
        self.crc.update(piece);
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.done = self.done.saturating_add(len);
        if self.done > self.wanted.size {
            return Err(wrong());
        }
        Ok(())
    }

    /// Compares the whole.
    fn finish(&mut self) -> io::Result<()> {
        let crc = std::mem::take(&mut self.crc).finalize();
        if self.done == self.wanted.size && crc == self.wanted.crc32 {
            Ok(())
        } else {
            Err(wrong())
        }
    }
}

impl Content for LocalContent {
    fn next(&mut self) -> Pending<'_, Result<Option<Bytes>, ContentError>> {
        Box::pin(async move {
            let id = self.id;
            self.read().await.map_err(|source| {
                self.source = Source::End;
                ContentError::Read { id, source }
            })
        })
    }
}

/// A file that is not there belongs to a message that has just left, or is a loss.
fn vanished(shared: &Shared, id: QueueId, error: io::Error) -> ContentError {
    match shared.store.read(id) {
        Ok(None) => ContentError::Unknown(id),
        _ => ContentError::Read { id, source: error },
    }
}

/// Content that is not what was taken.
fn wrong() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the content is not what was taken",
    )
}
