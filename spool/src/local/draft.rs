//! A message being received: small content in memory, larger content in a file as it streams.
//!
//! Nothing is on disk until content outgrows [`SMALL`]; from then on no more than that is held in
//! memory. Writes and flushes run on the spool's own threads. A file of content that does not come
//! to belong to a message is removed when its [`BodyFile`] is dropped; if the process ends before
//! that, recovery does it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::backend::is_full;
use super::committer::{Failure, New, Operation, Stored};
use super::record::{ContentRecord, EnvelopeRecord, ProgressRecord};
use super::{Shared, content_name};
use crate::fs::DiskFile;
use crate::{AppendError, CommitError, Draft, Pending, Progress, ReadBackError, Waits};

/// The largest content that goes into the store, and the most a draft holds in memory. Four pages
/// of the store: above that, writing content twice (the store never overwrites) costs more than
/// the two further flushes of a file.
pub(super) const SMALL: usize = 16 * 1024;

/// A message being received.
pub(super) struct LocalDraft {
    shared: Arc<Shared>,
    id: QueueId,
    arrived: Wall,
    size: u64,
    crc: crc32fast::Hasher,
    /// What is not in the file yet.
    buffer: Vec<u8>,
    file: FileState,
}

/// Where larger content is.
enum FileState {
    /// There is none yet.
    None,
    /// Here.
    Open(BodyFile),
    /// A write failed, or was not waited for: the draft is of no use any more.
    Lost,
}

/// A file of content, which is removed unless it comes to belong to a message.
pub(super) struct BodyFile {
    shared: Arc<Shared>,
    id: QueueId,
    file: Arc<dyn DiskFile>,
    len: u64,
    kept: bool,
}

impl BodyFile {
    /// Makes the file. Blocks.
    fn create(shared: &Arc<Shared>, id: QueueId) -> io::Result<Self> {
        Ok(Self {
            file: shared.disk.create(&content_name(id))?,
            shared: Arc::clone(shared),
            id,
            len: 0,
            kept: false,
        })
    }

    /// Adds octets at the end. Blocks.
    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.file.write_at(self.len, octets)?;
        let len = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        self.len = self.len.saturating_add(len);
        Ok(())
    }

    /// Leaves the file where it is: it belongs to a message now, or recovery must find out.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        // In a panic nobody knows whether its record reached the disk.
        if !self.kept && !std::thread::panicking() {
            self.shared.remove_later(self.id);
        }
    }
}

/// Why content could not be written.
enum WriteFailure {
    /// A flush failed, now or before.
    Poisoned,
    /// No room.
    NoSpace,
    /// Anything else.
    Io(io::Error),
}

impl From<io::Error> for WriteFailure {
    fn from(error: io::Error) -> Self {
        if is_full(&error) {
            Self::NoSpace
        } else {
            Self::Io(error)
        }
    }
}

impl From<WriteFailure> for AppendError {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Poisoned => Self::Poisoned,
            WriteFailure::NoSpace => Self::NoSpace,
            WriteFailure::Io(error) => Self::Write(error),
        }
    }
}

impl From<WriteFailure> for Failure {
    fn from(failure: WriteFailure) -> Self {
        match failure {
            WriteFailure::Poisoned => Self::Poisoned,
            WriteFailure::NoSpace => Self::NoSpace,
            WriteFailure::Io(error) => Self::Write(error),
        }
    }
}

impl LocalDraft {
    /// Nothing of it yet.
    pub(super) fn new(shared: Arc<Shared>, id: QueueId, arrived: Wall) -> Self {
        Self {
            shared,
            id,
            arrived,
            size: 0,
            crc: crc32fast::Hasher::new(),
            buffer: Vec::new(),
            file: FileState::None,
        }
    }

    /// Takes a piece.
    async fn add(&mut self, piece: Bytes) -> Result<(), WriteFailure> {
        if self.shared.soundness.is_poisoned() {
            return Err(WriteFailure::Poisoned);
        }
        if matches!(self.file, FileState::Lost) {
            return Err(lost().into());
        }
        self.crc.update(&piece);
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(len);
        if self.buffer.len().saturating_add(piece.len()) <= SMALL {
            self.buffer.extend_from_slice(&piece);
            return Ok(());
        }
        self.flush(piece).await
    }

    /// Writes the buffer and `piece` behind it. The file is lost if this fails, or if it is not
    /// waited for to the end.
    async fn flush(&mut self, piece: Bytes) -> Result<(), WriteFailure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let file = std::mem::replace(&mut self.file, FileState::Lost);
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let written = self.shared.io.run(move || -> io::Result<_> {
            // Half: what was begun above the reserve may use some of it, not all.
            if !shared.has_room(shared.options.reserve / 2) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut file = match file {
                FileState::Open(file) => file,
                FileState::None => BodyFile::create(&shared, id)?,
                FileState::Lost => return Err(lost()),
            };
            file.write(&buffer)?;
            file.write(&piece)?;
            buffer.clear();
            Ok((file, buffer))
        });
        let (file, buffer) = written.await.map_err(|_| WriteFailure::Poisoned)??;
        self.file = FileState::Open(file);
        self.buffer = buffer;
        Ok(())
    }

    /// What was appended, from the file and from memory.
    async fn read(&self) -> Result<Bytes, ReadBackError> {
        if self.shared.soundness.is_poisoned() {
            return Err(ReadBackError::Poisoned);
        }
        let body = match &self.file {
            FileState::Lost => return Err(ReadBackError::Read(lost())),
            FileState::None => return Ok(Bytes::copy_from_slice(&self.buffer)),
            FileState::Open(body) => body,
        };
        let (file, rest) = (Arc::clone(&body.file), self.buffer.clone());
        let len = usize::try_from(body.len).unwrap_or(usize::MAX);
        let read = self.shared.io.run(move || -> io::Result<_> {
            let mut whole = Vec::with_capacity(len.saturating_add(rest.len()));
            whole.resize(len, 0);
            file.read_at(0, &mut whole)?;
            whole.extend_from_slice(&rest);
            Ok(Bytes::from(whole))
        });
        read.await
            .map_err(|_| ReadBackError::Poisoned)?
            .map_err(ReadBackError::Read)
    }

    /// All that the committer needs; content in a file is flushed, its name is not.
    pub(super) async fn prepare(mut self, envelope: Envelope, due: Wall) -> Result<New, Failure> {
        if self.shared.soundness.is_poisoned() {
            return Err(Failure::Poisoned);
        }
        let stored = match std::mem::replace(&mut self.file, FileState::Lost) {
            FileState::Lost => return Err(Failure::Write(lost())),
            FileState::None => Stored::Small(std::mem::take(&mut self.buffer)),
            FileState::Open(file) => Stored::File(self.sync(file).await?),
        };
        let content = ContentRecord {
            size: self.size,
            crc32: self.crc.finalize(),
            file: matches!(stored, Stored::File(_)),
        };
        let progress = ProgressRecord {
            progress: vec![Progress::Waiting(None); envelope.recipients.len()],
            attempts: 0,
            due,
            delay_reported: false,
        };
        let recipients = envelope.recipients.iter();
        let waits = Waits::of(recipients, &progress.progress, due, false);
        let record = EnvelopeRecord {
            envelope,
            arrived: self.arrived,
            content,
        };
        let unwritable = |error| Failure::Write(io::Error::from(error));
        Ok(New {
            id: self.id,
            waits,
            envelope: record.encode(self.id).map_err(unwritable)?,
            progress: progress.encode(self.id).map_err(unwritable)?,
            content: stored,
        })
    }

    /// Writes what is left and flushes the file. A flush that fails poisons.
    async fn sync(&mut self, mut file: BodyFile) -> Result<BodyFile, WriteFailure> {
        let rest = std::mem::take(&mut self.buffer);
        let soundness = Arc::clone(&self.shared.soundness);
        let synced = self.shared.flushes.run(move || {
            file.write(&rest)?;
            if file.file.sync_data().is_err() {
                soundness.poison();
                return Err(WriteFailure::Poisoned);
            }
            Ok(file)
        });
        synced.await.map_err(|_| WriteFailure::Poisoned)?
    }
}

impl Draft for LocalDraft {
    fn id(&self) -> QueueId {
        self.id
    }

    fn append(&mut self, piece: Bytes) -> Pending<'_, Result<(), AppendError>> {
        Box::pin(async move { Ok(self.add(piece).await?) })
    }

    fn read_back(&mut self, at_most: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>> {
        Box::pin(async move {
            let fits = usize::try_from(self.size).is_ok_and(|size| size <= at_most);
            if fits {
                self.read().await.map(Some)
            } else {
                Ok(None)
            }
        })
    }

    fn commit(
        self: Box<Self>,
        envelope: Envelope,
        due: Wall,
    ) -> Pending<'static, Result<Custody, CommitError>> {
        Box::pin(async move {
            if envelope.recipients.is_empty() {
                return Err(CommitError::NoRecipients);
            }
            let shared = Arc::clone(&self.shared);
            let new = self.prepare(envelope, due).await?;
            let (reply, answer) = oneshot::channel();
            shared.commit(Operation::Commit { new, reply });
            Ok(answer.await.unwrap_or(Err(Failure::Poisoned))?)
        })
    }
}

impl From<Failure> for CommitError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Poisoned => Self::Poisoned,
            Failure::NoSpace => Self::NoSpace,
            Failure::Write(error) => Self::Write(error),
        }
    }
}

/// For a draft whose content is not whole.
fn lost() -> io::Error {
    io::Error::other("a piece of the content was not written")
}
