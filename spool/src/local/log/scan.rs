//! Reading a segment from its first frame to its last, whatever is in between.
//!
//! Where no frame begins though one may, the next one is looked for at every eighth octet. Each
//! frame says how much of its group lies before and behind it, and groups are numbered: so what is
//! missing of a group is known, and told as [`Note::Hole`]. Whether that is a loss, or a group that
//! never came to its end, depends on whether it was durable once.

use std::collections::HashMap;
use std::io;

use vouchsafe_proto::queue_id::QueueId;

use super::body::{Body, Place, Settled, size};
use super::frame::{HEAD, Head, Kind, MAGIC, PAGE, UNIT};
use super::segment::{FIRST, Segment};
use crate::Waits;
use crate::fs::DiskFile;

/// What a segment says about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) enum Note {
    /// It was taken, with all there is to say.
    Accepted {
        id: QueueId,
        state: u64,
        /// How often it was moved before.
        copy: u32,
        body: Place,
        waits: Waits,
        /// Octets of its content, with their heads, in each segment that has any.
        content: Vec<(u32, u32)>,
    },
    /// It was tried.
    Progress {
        id: QueueId,
        state: u64,
        record: Place,
        waits: Waits,
    },
    /// It left.
    Gone { id: QueueId },
    /// There is a frame about it that is not what was written.
    Bad {
        id: QueueId,
        kind: Kind,
        state: u64,
        frame: Place,
        run: u64,
        batch: u64,
    },
    /// Something of this group was here and is no frame any more.
    Hole { at: Place, run: u64, batch: u64 },
}

/// All that is in a segment.
#[derive(Debug, Default)]
pub(in crate::local) struct Scan {
    pub(in crate::local) notes: Vec<Note>,
    /// Of each frame that says anything: its run and group, and how many notes it made.
    pub(in crate::local) frames: Vec<(u64, u64, usize)>,
    /// Of each run, the first group that was not yet durable when the last one was put together.
    pub(in crate::local) durable: HashMap<u64, u64>,
    /// Where the last frame ends; at the start, if there is none.
    pub(in crate::local) end: u32,
}

/// Octets read at once.
const WINDOW: usize = 1024 * 1024;

/// A part of a file, in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    len: u64,
    start: u64,
    octets: Vec<u8>,
}

impl Window<'_> {
    /// `len` octets at `offset`, or as many as the file has.
    fn get(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        let wanted = usize::try_from(end.min(self.len).saturating_sub(offset)).unwrap_or(0);
        if wanted == 0 {
            return Ok(&[]);
        }
        let held = self.start.saturating_add(self.octets.len() as u64);
        if offset < self.start || end.min(self.len) > held {
            let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
            self.octets.resize(left.min(wanted.max(WINDOW)), 0);
            self.start = offset;
            self.file.read_at(offset, &mut self.octets)?;
        }
        let from = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        Ok(self
            .octets
            .get(from..from.saturating_add(wanted))
            .unwrap_or_default())
    }
}

/// Reads all of a segment.
pub(in crate::local) fn scan(segment: &Segment) -> io::Result<Scan> {
    Scanner::new(&*segment.file, segment.number, Some(segment.nonce))?.run()
}

/// The nonce of the first frame, for a segment both of whose headers are lost.
pub(in crate::local) fn first_nonce(file: &dyn DiskFile, number: u32) -> io::Result<Option<u64>> {
    let mut scanner = Scanner::new(file, number, None)?;
    Ok(scanner.head(FIRST)?.map(|head| head.stamp.nonce))
}

/// A scan under way.
struct Scanner<'a> {
    window: Window<'a>,
    number: u32,
    nonce: Option<u64>,
    len: u32,
    found: Scan,
    /// The last frame of a group, and where it ends.
    last: Option<(Head, u32)>,
    /// Something that is no frame, and is not empty, was seen since.
    rubbish: bool,
}

impl<'a> Scanner<'a> {
    fn new(file: &'a dyn DiskFile, number: u32, nonce: Option<u64>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            window: Window {
                file,
                len,
                start: 0,
                octets: Vec::new(),
            },
            number,
            nonce,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            found: Scan {
                end: FIRST,
                ..Scan::default()
            },
            last: None,
            rubbish: false,
        })
    }

    /// The head of a frame that is at `offset` and does not go beyond the file.
    fn head(&mut self, offset: u32) -> io::Result<Option<Head>> {
        let left = size(self.len.saturating_sub(offset));
        let nonce = self.nonce;
        let octets = self.window.get(u64::from(offset), HEAD)?;
        Ok(Head::decode(octets, offset, nonce).filter(|head| head.extent() <= left))
    }

    fn run(mut self) -> io::Result<Scan> {
        let mut at = FIRST;
        while at < self.len {
            let Some(head) = self.head(at)? else {
                at = self.skip(at)?;
                continue;
            };
            let end = at.saturating_add(u32::try_from(head.extent()).unwrap_or(u32::MAX));
            if head.stamp.batch != 0 {
                self.look_back(at, &head);
                self.last = Some((head, end));
                self.rubbish = false;
            }
            self.take(at, &head)?;
            at = end;
            self.found.end = at;
        }
        if let Some((last, end)) = self.last.filter(|(last, _)| last.after() > 0) {
            self.hole(
                &last,
                last.stamp.batch,
                end,
                end.saturating_add(last.after()),
            );
        }
        Ok(self.found)
    }

    /// Where the next frame may begin, if none does at `at`.
    fn skip(&mut self, at: u32) -> io::Result<u32> {
        let page_end = (at + 1).next_multiple_of(page());
        let rest = self.window.get(u64::from(at), size(page_end - at))?;
        if rest.iter().all(|octet| *octet == 0) {
            return Ok(page_end);
        }
        // The first place is known not to be one.
        let step = rest
            .chunks(UNIT)
            .skip(1)
            .position(|chunk| chunk.starts_with(&MAGIC))
            .map_or(page_end - at, |found| {
                u32::try_from((found + 1) * UNIT).unwrap_or(u32::MAX)
            });
        self.rubbish = true;
        Ok(at.saturating_add(step))
    }

    /// A frame of a group is at `at`: is anything missing between it and the one before?
    fn look_back(&mut self, at: u32, head: &Head) {
        let batch = head.stamp.batch;
        let Some((last, end)) = self.last else {
            if head.before > 0 {
                self.hole(head, batch, at.saturating_sub(head.before), at);
            }
            return;
        };
        if last.stamp.batch == batch {
            if at != end {
                self.hole(head, batch, end, at);
            }
            return;
        }
        let next = last.stamp.batch + 1;
        if last.after() > 0 {
            self.hole(head, last.stamp.batch, end, at);
        } else if head.before > 0 {
            self.hole(head, batch, end, at);
        } else if next < batch && self.rubbish {
            self.hole(head, next, end, at);
        }
    }

    /// Something of a group is missing.
    fn hole(&mut self, head: &Head, batch: u64, start: u32, end: u32) {
        let at = Place {
            segment: self.number,
            offset: start,
            len: end.saturating_sub(start),
        };
        let run = head.stamp.run;
        self.found.frames.push((run, batch, 1));
        self.found.notes.push(Note::Hole { at, run, batch });
    }

    /// Notes what a frame says.
    fn take(&mut self, at: u32, head: &Head) -> io::Result<()> {
        let durable = self.found.durable.entry(head.stamp.run).or_default();
        *durable = head.stamp.durable.max(*durable);
        if head.kind == Kind::Content {
            return Ok(());
        }
        let from = u64::from(at) + HEAD as u64;
        let payload = self.window.get(from, size(head.len))?;
        let sound = crc32fast::hash(payload) == head.crc;
        let said = match head.kind {
            Kind::Gone => Some(vec![Note::Gone { id: head.id }]),
            _ if !sound => None,
            Kind::Accepted => {
                let whole = super::body::Inside {
                    start: 0,
                    len: payload.len(),
                };
                let place = whole.place(self.number, at);
                accepted(head.id, (head.state, head.copy), payload, place).map(|note| vec![note])
            }
            Kind::Settled => settled(head, payload, self.number, at),
            Kind::Content => Some(Vec::new()),
        };
        let notes = said.unwrap_or_else(|| {
            vec![Note::Bad {
                id: head.id,
                kind: head.kind,
                state: head.state,
                frame: Place {
                    segment: self.number,
                    offset: at,
                    len: u32::try_from(head.extent()).unwrap_or(u32::MAX),
                },
                run: head.stamp.run,
                batch: head.stamp.batch,
            }]
        });
        let frame = (head.stamp.run, head.stamp.batch, notes.len());
        self.found.frames.push(frame);
        self.found.notes.extend(notes);
        Ok(())
    }
}

/// What a body says.
fn accepted(id: QueueId, (state, copy): (u64, u32), octets: &[u8], body: Place) -> Option<Note> {
    let decoded = Body::decode(id, octets)?;
    Some(Note::Accepted {
        id,
        state,
        copy,
        body,
        content: content_of(&decoded.pieces),
        waits: decoded.waits,
    })
}

/// Octets in each segment, with their heads.
pub(in crate::local) fn content_of(pieces: &[Place]) -> Vec<(u32, u32)> {
    let mut content: Vec<(u32, u32)> = Vec::new();
    for piece in pieces {
        let octets = piece.len.saturating_add(u32::try_from(HEAD).unwrap_or(0));
        match content
            .iter_mut()
            .find(|(segment, _)| *segment == piece.segment)
        {
            Some((_, sum)) => *sum = sum.saturating_add(octets),
            None => content.push((piece.segment, octets)),
        }
    }
    content
}

/// What a settlement says.
fn settled(head: &Head, payload: &[u8], number: u32, at: u32) -> Option<Vec<Note>> {
    let settled = Settled::decode(payload)?;
    let mut notes = Vec::with_capacity(settled.reports.len() + 1);
    for (id, inside) in settled.reports {
        let octets = payload.get(inside.start..inside.start + inside.len)?;
        notes.push(accepted(id, (0, 0), octets, inside.place(number, at))?);
    }
    notes.push(match settled.progress {
        Some((inside, waits)) => Note::Progress {
            id: head.id,
            state: head.state,
            record: inside.place(number, at),
            waits,
        },
        None => Note::Gone { id: head.id },
    });
    Some(notes)
}

/// A page, as offsets are counted.
fn page() -> u32 {
    u32::try_from(PAGE).unwrap_or(4096)
}
