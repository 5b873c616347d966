//! What is done at start with what is in the log (docs/queue.md).
//!
//! All segments are looked at: those with a seal by their list, the others frame by frame. Of each message
//! the newest state counts. A message that cannot be read is set aside: what is left of it is
//! written to a file (`aside.rs`), and no other message is touched. What was being written when the
//! machine stopped and was never acknowledged is told apart from what was damaged later: a group
//! says which ones before it were durable. All of it is reported as [`Finding`]s.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::due::Due;
use super::gathering::Gathering;
use super::log::bell::Bell;
use super::log::body::{Place, size};
use super::log::index::octets;
use super::log::scan::{Note, Scan, first_nonce, scan};
use super::log::segment::{FIRST, FOLDER, Header, Segment, name, number};
use super::log::{Found, seal};
use super::store::{Records, Store};
use super::takeover::list;
use crate::fs::{Access, Disk};

/// Something that was not in order, found at start or when a message was due.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A message that was being taken when the machine stopped, and is not whole. Nobody was told
    /// that it was taken. Ordinary after a crash.
    Orphan(QueueId),
    /// A file of content that an older format left, and that could not be removed; in nobody's way
    /// but for the room it takes.
    Stuck {
        /// Its name.
        id: QueueId,
        /// Why not.
        why: io::ErrorKind,
    },
    /// A file among ours whose name we did not give; left alone.
    Foreign(String),
    /// A message that cannot be delivered; set aside.
    Corrupt {
        /// Which.
        id: QueueId,
        /// What is wrong with it.
        why: Corruption,
    },
    /// A piece of the log that is not what was written, and does not say whose it is; set aside.
    Damaged {
        /// The number of the log's segment.
        segment: u32,
        /// Where in it.
        offset: u32,
        /// How much.
        octets: u32,
    },
    /// A message that the disk did not give us when it was due; tried again in a while.
    Unread {
        /// Which.
        id: QueueId,
        /// Why not.
        why: io::ErrorKind,
    },
}

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// A record is not what was written.
    #[error("a record fails its checksum")]
    Checksum,
    /// A record of a version we do not know.
    #[error("a record has version {0}")]
    Version(u8),
    /// A message without its envelope.
    #[error("the envelope record is missing")]
    NoEnvelope,
    /// A record that says what no record can say.
    #[error("a record does not make sense")]
    Schema,
    /// An envelope without its progress.
    #[error("the progress record is missing")]
    NoProgress,
    /// The content is not there.
    #[error("the content is missing")]
    NoContent,
    /// There is more or less content than was taken.
    #[error("the content has {found} octets instead of {wanted}")]
    Size {
        /// Octets there.
        found: u64,
        /// Octets taken.
        wanted: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan(id) => write!(f, "message {id} had not come to its end and is dropped"),
            Self::Stuck { id, why } => write!(
                f,
                "content {id} belonged to no message and could not be removed: {why}"
            ),
            Self::Foreign(name) => write!(f, "file {name:?} is not ours"),
            Self::Damaged {
                segment,
                offset,
                octets,
            } => write!(
                f,
                "{octets} octets at {offset} of segment {segment} of the log are damaged and set aside"
            ),
            Self::Corrupt { id, why } => write!(f, "message {id} is set aside: {why}"),
            Self::Unread { id, why } => write!(f, "message {id} could not be read: {why}"),
        }
    }
}

/// A message to be set aside.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) id: QueueId,
    why: Corruption,
    records: Vec<u8>,
}

impl Doomed {
    /// With both of its records, as far as they are there.
    pub(super) fn new(id: QueueId, why: Corruption, envelope: &[u8], progress: &[u8]) -> Self {
        Self {
            id,
            why,
            records: both(envelope, progress),
        }
    }

    /// What is said of it.
    pub(super) const fn finding(&self) -> Finding {
        Finding::Corrupt {
            id: self.id,
            why: self.why,
        }
    }

    /// Both records, as they are kept.
    pub(super) fn records(&self) -> &[u8] {
        &self.records
    }

    /// The first of them.
    pub(super) fn first(&self) -> &[u8] {
        let Some((len, rest)) = self.records.split_first_chunk() else {
            return &[];
        };
        rest.get(..size(u32::from_be_bytes(*len))).unwrap_or(rest)
    }
}

/// Both records in one value: the length of the first (four octets, big-endian), then both.
fn both(first: &[u8], second: &[u8]) -> Vec<u8> {
    let len = u32::try_from(first.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), first, second].concat()
}

/// What a start has found.
pub(super) struct Recovered {
    pub(super) store: Arc<Store>,
    pub(super) due: Due,
    pub(super) findings: Vec<Finding>,
    /// To go on with.
    pub(super) found: Found,
    /// Segments without a seal, with what is in them.
    pub(super) unsealed: Vec<(Arc<Segment>, Scan)>,
    /// To be set aside, with the segments that speak of each.
    pub(super) doomed: Vec<(Doomed, Vec<u32>)>,
    /// Damage without a name.
    pub(super) holes: Vec<Place>,
    /// The highest number of a settlement.
    pub(super) settlements: u64,
    /// Messages that have left: the youngest of those of which the log still says so.
    pub(super) left: BTreeSet<QueueId>,
}

/// Reads the log. Nothing is written.
pub(super) fn recover(disk: &dyn Disk, access: Access, bell: &Arc<Bell>) -> io::Result<Recovered> {
    let mut recovered = Recovered {
        store: Arc::default(),
        due: Due::default(),
        findings: Vec::new(),
        found: Found::default(),
        unsealed: Vec::new(),
        doomed: Vec::new(),
        holes: Vec::new(),
        settlements: 0,
        left: BTreeSet::new(),
    };
    let mut segments = recovered.open(disk, access, bell)?;
    segments.sort_by_key(|segment| segment.generation);
    let mut gathering = Gathering::default();
    for segment in segments {
        if let Some(notes) = seal::read(&segment)? {
            recovered.store.add(&segment);
            gathering.add(segment.generation, segment.number, notes);
            recovered.found.sealed.push(segment);
            continue;
        }
        let scan = scan(&segment)?;
        if scan.end == FIRST {
            let blank = (segment.number, Arc::clone(&segment.file));
            recovered.found.blank.push(blank);
            continue;
        }
        recovered.store.add(&segment);
        gathering.hear(&scan.durable);
        recovered.unsealed.push((segment, scan));
    }
    // Only now is it known how far each run had come.
    let mut unsealed = std::mem::take(&mut recovered.unsealed);
    for (segment, scan) in &mut unsealed {
        gathering.doubt(scan, &mut recovered);
        gathering.add(segment.generation, segment.number, scan.notes.clone());
        scan.notes
            .retain(|note| !matches!(note, Note::Bad { .. } | Note::Hole { .. }));
    }
    recovered.unsealed = unsealed;
    gathering.settle(&mut recovered);
    Ok(recovered)
}

impl Recovered {
    /// Opens all segments.
    fn open(
        &mut self,
        disk: &dyn Disk,
        access: Access,
        bell: &Arc<Bell>,
    ) -> io::Result<Vec<Arc<Segment>>> {
        let mut segments = Vec::new();
        for listed in list(disk, FOLDER)? {
            let Some(number) = number(&listed.name) else {
                self.findings.push(Finding::Foreign(listed.name));
                continue;
            };
            let file = disk.open(&name(number), access)?;
            self.found.number = self.found.number.max(number);
            let header = if let Some(header) = Header::read(&*file, number)? {
                header
            } else {
                let Some(nonce) = first_nonce(&*file, number)? else {
                    self.found.blank.push((number, file));
                    continue;
                };
                // Both copies are gone, which no crash does.
                self.findings.push(Finding::Damaged {
                    segment: number,
                    offset: 0,
                    octets: FIRST,
                });
                let generation = 0;
                Header { generation, nonce }
            };
            self.found.generation = self.found.generation.max(header.generation);
            segments.push(Arc::new(Segment::new(number, header, file, bell)?));
        }
        Ok(segments)
    }

    /// Sets a message aside.
    pub(super) fn doom(
        &mut self,
        id: QueueId,
        why: Corruption,
        raw: (&[u8], &[u8]),
        segments: Vec<u32>,
    ) {
        let doomed = Doomed::new(id, why, raw.0, raw.1);
        self.findings.push(doomed.finding());
        self.doomed.push((doomed, segments));
    }

    /// True if all of a message's content is there, and is what was taken.
    pub(super) fn is_whole(&self, id: QueueId, body: Place) -> bool {
        let Ok(records) = Records::decode(id, &self.raw(body), None) else {
            return false;
        };
        let mut crc = crc32fast::Hasher::new();
        let mut found = 0;
        for piece in records.pieces {
            let octets = self.raw(piece);
            found += octets.len() as u64;
            crc.update(&octets);
        }
        let wanted = records.envelope.content;
        found == wanted.size && crc.finalize() == wanted.crc32
    }

    /// What lies at a place, as far as it can be read.
    pub(super) fn raw(&self, place: Place) -> Vec<u8> {
        let mut into = octets(place);
        let segment = self.store.segment(place.segment);
        let read = segment.map(|segment| {
            let offset = u64::from(place.offset);
            segment.file.read_at(offset, &mut into)
        });
        if matches!(read, Some(Ok(()))) {
            into
        } else {
            Vec::new()
        }
    }
}
