//! A message being received: its content goes into the log a piece at a time as it comes.
//!
//! Nothing is written until content outgrows [`PIECE`]; from then on no more than that is held in
//! memory. Writes run on the spool's own threads, and are not flushed: that is done once, with the
//! acceptance. What of a draft is in the log and does not come to belong to a message is room that
//! comes back with its segment.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::Shared;
use super::committer::{Failure, New, Operation, Piece};
use super::fresh::LARGEST;
use super::log::body::{Inside, size};
use super::log::frame::{HEAD, Kind, Sheet, frame_len};
use super::log::{Log, Purpose};
use super::record::{ContentRecord, EnvelopeRecord, ProgressRecord};
use super::store::Records;
use crate::fs::is_full;
use crate::ledger::Entry;
use crate::{AppendError, CommitError, Draft, Orders, Pending, Progress, ReadBackError, Waits};

/// Octets of content in one frame, which fills eight pages; and the most a draft holds in memory.
pub(super) const PIECE: usize = 32 * 1024 - HEAD;

/// A message being received.
pub(super) struct LocalDraft {
    shared: Arc<Shared>,
    id: QueueId,
    arrived: Wall,
    size: u64,
    crc: crc32fast::Hasher,
    /// What is not in the log yet.
    buffer: Vec<u8>,
    /// What is.
    pieces: Pieces,
    /// For the ledger.
    entries: Vec<Entry>,
}

/// What of a draft is in the log.
enum Pieces {
    /// In order.
    Whole(Vec<Piece>),
    /// A write failed, or was not waited for: the draft is of no use any more.
    Lost,
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

/// Writes a piece of content. Blocks.
pub(super) fn write_piece(log: &Arc<Log>, id: QueueId, content: &[u8]) -> io::Result<Piece> {
    let len = u32::try_from(frame_len(content.len())).unwrap_or(u32::MAX);
    let room = log.reserve(len, Purpose::Mail, false)?;
    let segment = room.pin.segment();
    let mut sheet = Sheet::new(Vec::with_capacity(size(len)), room.offset, len, room.stamp);
    sheet.add(Kind::Content, id, 0, |into| into.extend_from_slice(content));
    let octets = sheet.finish();
    segment.file.write_at(u64::from(room.offset), &octets)?;
    let whole = Inside {
        start: 0,
        len: content.len(),
    };
    Ok(Piece {
        place: whole.place(segment.number, room.offset),
        pin: room.pin.clone(),
    })
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
            pieces: Pieces::Whole(Vec::new()),
            entries: Vec::new(),
        }
    }

    /// Takes a piece.
    async fn add(&mut self, piece: Bytes) -> Result<(), WriteFailure> {
        if self.shared.soundness.is_poisoned() {
            return Err(WriteFailure::Poisoned);
        }
        if matches!(self.pieces, Pieces::Lost) {
            return Err(lost().into());
        }
        self.crc.update(&piece);
        let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.size = self.size.saturating_add(len);
        if self.buffer.len().saturating_add(piece.len()) <= PIECE {
            self.buffer.extend_from_slice(&piece);
            return Ok(());
        }
        self.write(piece).await
    }

    /// Writes all that fills a frame. The draft is lost if this fails, or if it is not waited for
    /// to the end.
    async fn write(&mut self, mut piece: Bytes) -> Result<(), WriteFailure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let pieces = std::mem::replace(&mut self.pieces, Pieces::Lost);
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let written = self.shared.io.run(move || -> io::Result<_> {
            if !shared.room.for_its_content(&*shared.disk) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let Pieces::Whole(mut pieces) = pieces else {
                return Err(lost());
            };
            while buffer.len() + piece.len() > PIECE {
                let part = piece.split_to(PIECE.saturating_sub(buffer.len()));
                buffer.extend_from_slice(&part);
                pieces.push(write_piece(&shared.log, id, &buffer)?);
                buffer.clear();
            }
            buffer.extend_from_slice(&piece);
            Ok((pieces, buffer))
        });
        let (pieces, buffer) = written.await.map_err(|_| WriteFailure::Poisoned)??;
        self.pieces = Pieces::Whole(pieces);
        self.buffer = buffer;
        Ok(())
    }

    /// What was appended, from the log and from memory.
    async fn read(&self) -> Result<Bytes, ReadBackError> {
        if self.shared.soundness.is_poisoned() {
            return Err(ReadBackError::Poisoned);
        }
        let pieces = match &self.pieces {
            Pieces::Lost => return Err(ReadBackError::Read(lost())),
            Pieces::Whole(pieces) if pieces.is_empty() => {
                return Ok(Bytes::copy_from_slice(&self.buffer));
            }
            Pieces::Whole(pieces) => pieces.clone(),
        };
        let rest = self.buffer.clone();
        let read = self.shared.io.run(move || -> io::Result<_> {
            let mut whole = Vec::new();
            for piece in &pieces {
                whole.append(&mut read_at_its_place(piece)?);
            }
            whole.extend_from_slice(&rest);
            Ok(Bytes::from(whole))
        });
        read.await
            .map_err(|_| ReadBackError::Poisoned)?
            .map_err(ReadBackError::Read)
    }

    /// One piece of what was appended: those in the log are numbered in their order, and the last is in
    /// memory.
    async fn read_piece(&self, number: usize) -> Result<Option<Bytes>, ReadBackError> {
        if self.shared.soundness.is_poisoned() {
            return Err(ReadBackError::Poisoned);
        }
        let Pieces::Whole(pieces) = &self.pieces else {
            return Err(ReadBackError::Read(lost()));
        };
        let Some(piece) = pieces.get(number).cloned() else {
            let is_last = number == pieces.len() && !self.buffer.is_empty();
            return Ok(is_last.then(|| Bytes::copy_from_slice(&self.buffer)));
        };
        let read = self.shared.io.run(move || read_at_its_place(&piece));
        let octets = read.await.map_err(|_| ReadBackError::Poisoned)?;
        octets
            .map(|octets| Some(octets.into()))
            .map_err(ReadBackError::Read)
    }

    /// All that the committer needs.
    pub(super) fn prepare(self, envelope: Envelope, due: Wall) -> Result<New, Failure> {
        if self.shared.soundness.is_poisoned() {
            return Err(Failure::Poisoned);
        }
        let Pieces::Whole(pieces) = self.pieces else {
            return Err(Failure::Write(lost()));
        };
        let content = ContentRecord {
            size: self.size,
            crc32: self.crc.finalize(),
            file: false,
        };
        let progress = ProgressRecord {
            progress: vec![Progress::Waiting(None); envelope.recipients.len()],
            attempts: 0,
            due,
            delay_reported: false,
            orders: Orders::default(),
            deadline_reported: false,
        };
        let waits = Waits::of(&envelope, &progress.progress, due, false, false);
        let record = EnvelopeRecord {
            envelope,
            arrived: self.arrived,
            content,
        };
        let unwritable = |error| Failure::Write(io::Error::from(error));
        let encoded = record.encode(self.id).map_err(unwritable)?;
        let encoded_progress = progress.encode(self.id).map_err(unwritable)?;
        let is_small = pieces.is_empty() && self.buffer.len() <= LARGEST;
        let entry = is_small.then(|| {
            let records = Records {
                envelope: record,
                progress,
                pieces: Vec::new(),
            };
            Box::new(records.into_entry(self.id, true))
        });
        Ok(New {
            id: self.id,
            waits,
            envelope: encoded,
            progress: encoded_progress,
            pieces,
            rest: self.buffer,
            entry,
            entries: self.entries,
        })
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

    fn piece(&mut self, number: usize) -> Pending<'_, Result<Option<Bytes>, ReadBackError>> {
        Box::pin(self.read_piece(number))
    }

    fn vouch(&mut self, mut entries: Vec<Entry>) {
        self.entries.append(&mut entries);
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
            let new = self.prepare(envelope, due)?;
            let (reply, answer) = oneshot::channel();
            shared.queue.push(Operation::Commit { new, reply });
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

/// A piece of content, from the log.
fn read_at_its_place(piece: &Piece) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; size(piece.place.len)];
    let file = &piece.pin.segment().file;
    file.read_at(u64::from(piece.place.offset), &mut octets)?;
    Ok(octets)
}

/// For a draft whose content is not whole.
fn lost() -> io::Error {
    io::Error::other("a piece of the content was not written")
}
