//! Reading the log: a message's records and content, from wherever they lie.
//!
//! Any number may read. What is being read is pinned, so that its segment is not used again
//! meanwhile. The one who writes is `log::Log`.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, RwLock};

use vouchsafe_proto::queue_id::QueueId;

use super::committer::Piece;
use super::log::body::{Body, Place};
use super::log::index::{Index, Item, octets};
use super::log::segment::{Pin, Segment};
use super::record::{EnvelopeRecord, ProgressRecord};
use super::recover::{Corruption, Doomed};
use super::threads::{lock, read, write};
use crate::{Entry, Waits};

/// Why a queue could not be opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// A file refused.
    Failed(io::Error),
    /// Made by a newer version.
    Format(u32),
    /// A part of it is not there.
    Lost,
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// All segments, and where in them everything lies.
#[derive(Debug, Default)]
pub(super) struct Store {
    segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    pub(super) index: Mutex<Index>,
}

/// A message that is kept where it is for as long as this is held.
pub(super) struct Found {
    pub(super) item: Item,
    pins: Vec<Pin>,
}

/// What the log holds of a message that must be there.
#[derive(Debug)]
pub(super) enum Read {
    /// Its records.
    Sound(Box<Records>),
    /// Something else.
    Corrupt(Doomed),
}

/// Messages, by id.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) found: Vec<(QueueId, Records)>,
    /// Damaged, or just gone.
    pub(super) unreadable: Vec<QueueId>,
}

impl Store {
    /// A segment that may be read from now on, in place of any other use of it.
    pub(super) fn add(&self, segment: &Arc<Segment>) {
        write(&self.segments).insert(segment.number, Arc::clone(segment));
        lock(&self.index).open(segment.number);
    }

    /// A segment that is there.
    pub(super) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        read(&self.segments).get(&number).cloned()
    }

    /// Takes a segment away from those who read, unless somebody needs it.
    pub(super) fn take_free(&self, segment: &Arc<Segment>) -> bool {
        // Who pins does so under this lock.
        let index = lock(&self.index);
        let free = segment.is_unpinned() && index.is_free(segment.number);
        if free {
            write(&self.segments).remove(&segment.number);
        }
        free
    }

    /// Finds a message and keeps it where it is.
    pub(super) fn locate(&self, id: QueueId) -> Option<Found> {
        self.find_in(&lock(&self.index), id)
    }

    /// The same for a message that begins to be moved.
    pub(super) fn begin_move(&self, id: QueueId) -> Option<Found> {
        let mut index = lock(&self.index);
        if !index.begin_move(id) {
            return None;
        }
        self.find_in(&index, id)
    }

    /// Where a message is, by the index, which stays locked.
    fn find_in(&self, index: &Index, id: QueueId) -> Option<Found> {
        let item = index.get(id)?.clone();
        let segments = read(&self.segments);
        let mut pins: Vec<Pin> = Vec::new();
        for (number, _) in item.shares() {
            if pins.iter().all(|pin| pin.segment().number != number) {
                pins.extend(segments.get(&number).map(Pin::new));
            }
        }
        Some(Found { item, pins })
    }

    /// One message that must be there.
    pub(super) fn find(&self, id: QueueId) -> io::Result<Read> {
        let Some(found) = self.locate(id) else {
            return Ok(Read::Corrupt(Doomed::new(
                id,
                Corruption::NoEnvelope,
                &[],
                &[],
            )));
        };
        let (body, progress) = found.records()?;
        Ok(match Records::decode(id, &body, progress.as_deref()) {
            Ok(records) => Read::Sound(Box::new(records)),
            Err(why) => {
                let progress = progress.unwrap_or_default();
                Read::Corrupt(Doomed::new(id, why, &body, &progress))
            }
        })
    }

    /// One message's records; `None` if it is not there.
    pub(super) fn read(&self, id: QueueId) -> io::Result<Option<Records>> {
        let Some(found) = self.locate(id) else {
            return Ok(None);
        };
        found.decode(id).map(Some)
    }

    /// Up to `limit` messages behind `after`, by id, and besides those among them that cannot be read.
    pub(super) fn list(&self, after: Option<QueueId>, limit: usize) -> io::Result<Listed> {
        let mut listed = Listed::default();
        let mut after = after;
        while listed.found.len() < limit {
            let ids = lock(&self.index).behind(after, limit - listed.found.len());
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in ids {
                match self.find(id)? {
                    Read::Sound(records) => listed.found.push((id, *records)),
                    Read::Corrupt(_) => listed.unreadable.push(id),
                }
            }
        }
        Ok(listed)
    }
}

impl Found {
    /// Both records as they lie there: the body, and the newer progress, if there is one.
    pub(super) fn records(&self) -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
        let body = self.octets(self.item.body)?;
        let progress = self.item.progress.map(|place| self.octets(place));
        Ok((body, progress.transpose()?))
    }

    /// Both records, sound.
    pub(super) fn decode(&self, id: QueueId) -> io::Result<Records> {
        let (body, progress) = self.records()?;
        Records::decode(id, &body, progress.as_deref()).map_err(|why| unreadable(id, &why))
    }

    /// What lies at a place; nothing, if its segment is lost.
    fn octets(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut into = octets(place);
        let Some(segment) = self.segment(place.segment) else {
            return Ok(Vec::new());
        };
        match segment.file.read_at(u64::from(place.offset), &mut into) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            done => done.map(|()| into),
        }
    }

    /// A piece of its content.
    pub(super) fn read(&self, place: Place) -> io::Result<Vec<u8>> {
        let mut into = octets(place);
        let segment = self.segment(place.segment).ok_or(io::ErrorKind::NotFound)?;
        segment.file.read_at(u64::from(place.offset), &mut into)?;
        Ok(into)
    }

    /// A piece of its content, to be left where it is.
    pub(super) fn piece(&self, place: Place) -> io::Result<Piece> {
        let pin = self.pins.iter();
        let mut pin = pin.filter(|pin| pin.segment().number == place.segment);
        let pin = pin.next().ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(Piece { pin, place })
    }

    /// A segment that is pinned.
    pub(super) fn segment(&self, number: u32) -> Option<&Arc<Segment>> {
        let pin = self.pins.iter().find(|pin| pin.segment().number == number);
        pin.map(Pin::segment)
    }
}

/// Both records of a message, and where its content is.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) envelope: EnvelopeRecord,
    pub(super) progress: ProgressRecord,
    /// In order.
    pub(super) pieces: Vec<Place>,
}

impl Records {
    /// Reads all, and sees that they belong together.
    pub(super) fn decode(
        id: QueueId,
        body: &[u8],
        progress: Option<&[u8]>,
    ) -> Result<Self, Corruption> {
        let body = Body::decode(id, body).ok_or(Corruption::Checksum)?;
        let envelope = EnvelopeRecord::decode(id, body.envelope)?;
        let progress = ProgressRecord::decode(id, progress.unwrap_or(body.progress))?;
        if progress.progress.len() != envelope.envelope.recipients.len() {
            return Err(Corruption::Schema);
        }
        Ok(Self {
            envelope,
            progress,
            pieces: body.pieces,
        })
    }

    /// What the index knows of them.
    pub(super) fn waits(&self) -> Waits {
        self.progress.waits(&self.envelope.envelope)
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
            orders: self.progress.orders,
            deadline_reported: self.progress.deadline_reported,
            active,
        }
    }
}

/// A record that cannot be read, as an I/O error.
fn unreadable(id: QueueId, corruption: &Corruption) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("message {id}: {corruption}"),
    )
}
