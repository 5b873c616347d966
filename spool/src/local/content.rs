//! Reading content back, a piece at a time, and knowing at the end that it is what was taken.
//!
//! Reads run on the spool's own threads: a message that has left the page cache waits for the
//! disk, and on the caller's thread every other session there would wait with it. Content of one
//! piece is read when it is opened. The envelope's trace fields come first; they are the record's, and
//! not in the content's checksum. Its segments are not used again while it is being read.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use vouchsafe_proto::queue_id::QueueId;

use super::Shared;
use super::log::body::Place;
use super::record::ContentRecord;
use super::store::Found;
use crate::{Content, ContentError, Pending};

/// The most a piece has, by the contract.
const PIECE: u32 = 64 * 1024;

/// Content being read.
pub(super) struct LocalContent {
    shared: Arc<Shared>,
    id: QueueId,
    /// What it must be.
    wanted: ContentRecord,
    /// What of the trace fields is still to be given.
    trace: Bytes,
    /// The content, if it was read already.
    first: Option<Bytes>,
    /// Where the rest is.
    pieces: VecDeque<Place>,
    found: Arc<Found>,
    /// Octets of content given so far.
    done: u64,
    crc: crc32fast::Hasher,
    /// The end was reached, or an error.
    ended: bool,
}

impl LocalContent {
    /// Finds and opens it. Blocks.
    pub(super) fn open(shared: &Arc<Shared>, id: QueueId) -> Result<Self, ContentError> {
        let failed = |source| ContentError::Read { id, source };
        let found = shared.store.locate(id).ok_or(ContentError::Unknown(id))?;
        let records = found.decode(id).map_err(failed)?;
        let trace: Box<[u8]> = records.envelope.envelope.trace.into();
        let mut pieces: VecDeque<_> = records.pieces.into_iter().flat_map(cut).collect();
        let first = if pieces.len() == 1 {
            let only = pieces.pop_front();
            only.map(|piece| read(&found, piece)).transpose()
        } else {
            Ok(None)
        };
        let first = first.map_err(failed)?;
        Ok(Self {
            shared: Arc::clone(shared),
            id,
            wanted: records.envelope.content,
            trace: Bytes::from(trace),
            first,
            pieces,
            found: Arc::new(found),
            done: 0,
            crc: crc32fast::Hasher::new(),
            ended: false,
        })
    }

    /// The next piece from wherever it comes.
    async fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if !self.trace.is_empty() {
            let most = usize::try_from(PIECE).unwrap_or(usize::MAX);
            return Ok(Some(self.trace.split_to(self.trace.len().min(most))));
        }
        let piece = if let Some(first) = self.first.take() {
            first
        } else if let Some(place) = self.pieces.pop_front() {
            let found = Arc::clone(&self.found);
            let read = self.shared.io.run(move || read(&found, place));
            read.await
                .unwrap_or_else(|_| Err(io::Error::other("the spool is closed")))?
        } else {
            self.finish()?;
            return Ok(None);
        };
        self.crc.update(&piece);
        self.done += piece.len() as u64;
        if self.pieces.is_empty() {
            // Nobody need ask once more only to hear that it was wrong.
            self.finish()?;
        }
        Ok(Some(piece))
    }

    /// Compares the whole.
    fn finish(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        let crc = std::mem::take(&mut self.crc).finalize();
        if self.done != self.wanted.size || crc != self.wanted.crc32 {
            return Err(wrong());
        }
        self.end();
        Ok(())
    }

    /// From here on there is nothing.
    fn end(&mut self) {
        self.ended = true;
        self.trace.clear();
        self.first = None;
        self.pieces.clear();
    }
}

/// A piece of the log, in pieces of the contract.
fn cut(place: Place) -> impl Iterator<Item = Place> {
    (0..place.len.div_ceil(PIECE)).map(move |part| Place {
        segment: place.segment,
        offset: place.offset + part * PIECE,
        len: (place.len - part * PIECE).min(PIECE),
    })
}

/// Reads a piece. Blocks.
fn read(found: &Found, place: Place) -> io::Result<Bytes> {
    found.read(place).map(Bytes::from)
}

impl Content for LocalContent {
    fn next(&mut self) -> Pending<'_, Result<Option<Bytes>, ContentError>> {
        Box::pin(async move {
            let id = self.id;
            self.next_piece().await.map_err(|source| {
                self.end();
                ContentError::Read { id, source }
            })
        })
    }
}

/// Content that is not what was taken.
fn wrong() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the content is not what was taken",
    )
}
