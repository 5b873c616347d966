//! A group: operations that are written together and share one barrier.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vouchsafe_proto::queue_id::QueueId;

use super::aside;
use super::committer::{Failure, Moved, New, Operation, Piece, Told};
use super::log::body::{Body, Inside, Place, Settled, size};
use super::log::frame::{HEAD, Head, Kind, Sheet, frame_len};
use super::log::index::Item;
use super::log::scan::content_of;
use super::log::segment::Segment;
use super::log::{Log, Purpose, Room};
use super::recover::Doomed;
use crate::fs::{DiskFile, is_full};

/// Octets in one group: bounds the time a group takes and the memory it needs.
const MOST: usize = 4 * 1024 * 1024;
/// Octets of memory a writer keeps between two groups.
const KEEP: usize = 256 * 1024;

/// Operations that are written together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) operations: Vec<Operation>,
    /// Octets they will have.
    total: usize,
    /// What room it may take, if that does not follow from what it is.
    pub(super) purpose: Option<Purpose>,
}

/// What a writer keeps between two groups.
#[derive(Default)]
pub(super) struct Hand {
    buffer: Vec<u8>,
    /// Its own description of the segment it wrote to last, with number and generation.
    file: Option<(u32, u64, Arc<dyn DiskFile>)>,
}

/// What became of one operation.
#[derive(Debug)]
pub(super) struct Laid {
    /// Where it is.
    pub(super) segment: u32,
    /// The progress record of a settlement.
    pub(super) progress: Option<Place>,
    /// The message, or the reports.
    pub(super) items: Vec<Item>,
}

/// A group that is durable.
pub(super) struct Written {
    /// In the order of the operations.
    pub(super) laid: Vec<Laid>,
    /// To be held until the index knows of it all.
    pub(super) room: Room,
    /// How long its flush took.
    pub(super) flush: Duration,
}

impl New {
    /// Octets of its body.
    fn body_len(&self) -> usize {
        let pieces = self.pieces.len() + usize::from(!self.rest.is_empty());
        Body::len(
            pieces,
            &self.waits,
            self.envelope.len(),
            self.progress.len(),
        )
    }

    /// Octets of the frame with the rest of its content.
    fn rest_len(&self) -> usize {
        if self.rest.is_empty() {
            0
        } else {
            frame_len(self.rest.len())
        }
    }

    /// Writes the rest of its content, and says where all of it is.
    fn add_content(&self, sheet: &mut Sheet, segment: u32) -> Vec<Place> {
        let mut pieces: Vec<_> = self.pieces.iter().map(|piece| piece.place).collect();
        if !self.rest.is_empty() {
            let whole = Inside {
                start: 0,
                len: self.rest.len(),
            };
            pieces.push(whole.place(segment, sheet.offset()));
            sheet.add(Kind::Content, self.id, 0, |into| {
                into.extend_from_slice(&self.rest);
            });
        }
        pieces
    }

    /// What is written of it besides.
    fn body(&self, pieces: Vec<Place>) -> Body<'_> {
        Body {
            waits: self.waits.clone(),
            pieces,
            envelope: &self.envelope,
            progress: &self.progress,
        }
    }
}

impl Operation {
    /// Octets it will have.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Commit { new, .. } | Self::Move(Moved { new, .. }) => {
                new.rest_len() + frame_len(new.body_len())
            }
            Self::Settle {
                progress: None,
                reports,
                ..
            } if reports.is_empty() => frame_len(0),
            Self::Settle {
                progress, reports, ..
            } => settled_len(progress.as_ref(), reports),
            Self::Record {
                progress, reports, ..
            } => settled_len(Some(progress), reports),
            Self::SetAside(_) | Self::Forget(_) => frame_len(0),
            Self::Vouch { .. } => 0,
        }
    }

    /// Pieces of content that are written already.
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let news = match self {
            Self::Commit { new, .. } | Self::Move(Moved { new, .. }) => std::slice::from_ref(new),
            Self::Settle { reports, .. } | Self::Record { reports, .. } => reports,
            Self::SetAside(_) | Self::Forget(_) | Self::Vouch { .. } => &[],
        };
        news.iter().flat_map(|new| &new.pieces)
    }

    /// Writes it, and says what is where.
    fn lay(&self, sheet: &mut Sheet, segment: u32) -> Laid {
        let mut laid = Laid {
            segment,
            progress: None,
            items: Vec::new(),
        };
        match self {
            Self::Commit { new, .. } => laid.items.push(accept(sheet, segment, new, (0, 0))),
            Self::Move(Moved { new, state, copy }) => {
                laid.items
                    .push(accept(sheet, segment, new, (*state, *copy)));
            }
            Self::Settle {
                lease,
                progress: None,
                reports,
                ..
            } if reports.is_empty() => {
                sheet.add(Kind::Gone, lease.entry().id, 0, |_| {});
            }
            Self::Settle {
                lease,
                state,
                progress,
                reports,
                ..
            } => {
                let of = (lease.entry().id, *state);
                settle(sheet, segment, of, progress.as_ref(), reports, &mut laid);
            }
            Self::Record {
                id,
                state,
                progress,
                reports,
                ..
            } => settle(
                sheet,
                segment,
                (*id, *state),
                Some(progress),
                reports,
                &mut laid,
            ),
            Self::SetAside(Doomed { id, .. }) | Self::Forget(id) => {
                sheet.add(Kind::Gone, *id, 0, |_| {});
            }
            Self::Vouch { .. } => {}
        }
        laid
    }
}

/// Writes a message whole, behind the rest of its content.
fn accept(sheet: &mut Sheet, segment: u32, new: &New, (state, copy): (u64, u32)) -> Item {
    let pieces = new.add_content(sheet, segment);
    let whole = Inside {
        start: 0,
        len: new.body_len(),
    };
    let content = content_of(&pieces);
    let place = whole.place(segment, sheet.offset());
    let body = new.body(pieces);
    sheet.add_copy(Kind::Accepted, new.id, (state, copy), |into| {
        body.encode(new.id, into);
    });
    Item::new(place, state, copy, &content)
}

/// Octets of a settlement, with the content of its reports.
fn settled_len(progress: Option<&Told>, reports: &[New]) -> usize {
    let progress = progress.map(|told| (told.record.len(), &told.kept));
    let bodies = reports.iter().map(New::body_len);
    let contents: usize = reports.iter().map(New::rest_len).sum();
    contents + frame_len(Settled::len(progress, bodies))
}

/// Writes a settlement in one frame, behind the content of its reports.
fn settle(
    sheet: &mut Sheet,
    segment: u32,
    (id, state): (QueueId, u64),
    progress: Option<&Told>,
    reports: &[New],
    laid: &mut Laid,
) {
    let contents: Vec<_> = reports
        .iter()
        .map(|new| new.add_content(sheet, segment))
        .collect();
    let offset = sheet.offset();
    sheet.add(Kind::Settled, id, state, |into| {
        let base = into.len();
        let told = progress.map(|told| (told.record.as_slice(), &told.kept));
        let record = Settled::begin(told, reports.len(), into);
        laid.progress = progress.map(|_| record.place(segment, offset));
        for (new, pieces) in reports.iter().zip(contents) {
            let content = content_of(&pieces);
            let inside = Settled::report(new.id, &new.body(pieces), base, into);
            let place = inside.place(segment, offset);
            laid.items.push(Item::new(place, 0, 0, &content));
        }
    });
}

impl Group {
    /// True if an operation fits in. An empty group takes anything.
    pub(super) fn has_room(&self, operation: &Operation, most: u32) -> bool {
        self.operations.is_empty() || self.total + operation.len() <= MOST.min(size(most))
    }

    /// Octets it will have.
    pub(super) const fn total(&self) -> usize {
        self.total
    }

    /// Adds an operation.
    pub(super) fn push(&mut self, operation: Operation) {
        self.total += operation.len();
        self.operations.push(operation);
    }

    /// True if there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// True if it has outcomes, and other things too.
    pub(super) fn is_mixed(&self) -> bool {
        let outcomes = self.operations.iter().filter(|each| each.is_outcome());
        let outcomes = outcomes.count();
        outcomes > 0 && outcomes < self.operations.len()
    }

    /// Its outcomes, and the rest.
    pub(super) fn split(self) -> [Self; 2] {
        self.parted(Operation::is_outcome)
    }

    /// Those of which it is so, and the rest.
    pub(super) fn parted(self, is_so: impl Fn(&Operation) -> bool) -> [Self; 2] {
        let mut parts = [Self::default(), Self::default()];
        for part in &mut parts {
            part.purpose = self.purpose;
        }
        for operation in self.operations {
            let [those, others] = &mut parts;
            let part = if is_so(&operation) { those } else { others };
            part.push(operation);
        }
        parts
    }

    /// What its room is wanted for.
    fn purpose(&self) -> Purpose {
        let outcomes = self.operations.iter().all(Operation::is_outcome);
        self.purpose.unwrap_or(if outcomes {
            Purpose::Outcome
        } else {
            Purpose::Mail
        })
    }

    /// Writes it and makes it durable.
    pub(super) fn write(&self, log: &Arc<Log>, hand: &mut Hand) -> Result<Written, Failure> {
        if log.soundness.is_poisoned() {
            return Err(Failure::Poisoned);
        }
        if self.total > size(log.most()) {
            let why = "the message's envelope is larger than a segment of the log";
            return Err(Failure::Write(io::Error::other(why)));
        }
        for operation in &self.operations {
            if let Operation::SetAside(doomed) = operation {
                aside::keep(log, doomed).map_err(|error| blame(log, error))?;
            }
        }
        let total = u32::try_from(self.total).unwrap_or(u32::MAX);
        let room = log
            .reserve(total, self.purpose(), true)
            .map_err(|error| blame(log, error))?;
        let segment = room.pin.segment();
        let file = hand.file(log, segment).map_err(|error| blame(log, error))?;
        let buffer = std::mem::take(&mut hand.buffer);
        let mut sheet = Sheet::new(buffer, room.offset, total, room.stamp);
        let lay = |operation: &Operation| operation.lay(&mut sheet, segment.number);
        let laid = self.operations.iter().map(lay).collect();
        let mut octets = sheet.finish();
        if let Err(error) = file.write_at(u64::from(room.offset), &octets) {
            return Err(wipe(log, &*file, &room, octets, error));
        }
        let flush = self
            .flush(log, segment, &*file)
            .map_err(|error| blame(log, error))?;
        log.set_short(false);
        octets.clear();
        octets.shrink_to(KEEP);
        hand.buffer = octets;
        Ok(Written { laid, room, flush })
    }

    /// Every segment that any of it lies in; says how long that took.
    fn flush(&self, log: &Log, own: &Segment, file: &dyn DiskFile) -> io::Result<Duration> {
        let begun = moment();
        let mut others: Vec<&Arc<Segment>> = Vec::new();
        for piece in self.operations.iter().flat_map(Operation::pieces) {
            let segment = piece.pin.segment();
            let known = others.iter().any(|other| other.number == segment.number);
            if segment.number != own.number && !known {
                others.push(segment);
            }
        }
        for segment in others {
            log.soundness.flush(&*segment.reopen(&*log.disk)?)?;
        }
        log.soundness.flush(file)?;
        Ok(begun.elapsed())
    }
}

/// The moment, to see how long a flush takes. Nothing but the number of groups follows from it.
#[expect(
    clippy::disallowed_methods,
    reason = "the disk is measured; no decision about mail reads it"
)]
fn moment() -> Instant {
    Instant::now()
}

impl Hand {
    /// A description of the segment's file that is this writer's own.
    fn file(&mut self, log: &Log, segment: &Segment) -> io::Result<Arc<dyn DiskFile>> {
        match &self.file {
            Some((number, generation, file))
                if (*number, *generation) == (segment.number, segment.generation) =>
            {
                Ok(Arc::clone(file))
            }
            _ => {
                let file = segment.reopen(&*log.disk)?;
                self.file = Some((segment.number, segment.generation, Arc::clone(&file)));
                Ok(file)
            }
        }
    }
}

/// After a write that failed: nothing of the group may be found later, since everyone in it hears
/// that it was not taken.
fn wipe(
    log: &Log,
    file: &dyn DiskFile,
    room: &Room,
    mut octets: Vec<u8>,
    error: io::Error,
) -> Failure {
    if !is_full(&error) {
        return blame(log, error);
    }
    octets.fill(0);
    let at = u64::from(room.offset);
    if file.write_at(at, &octets).is_err() && holds_frame(file, room) {
        log.soundness.poison();
    }
    blame(log, error)
}

/// True if anything of a group is there. Who writes only a part writes the first part.
fn holds_frame(file: &dyn DiskFile, room: &Room) -> bool {
    let mut head = [0; HEAD];
    match file.read_at(u64::from(room.offset), &mut head) {
        Ok(()) => Head::decode(&head, room.offset, Some(room.stamp.nonce)).is_some(),
        Err(error) => error.kind() != io::ErrorKind::UnexpectedEof,
    }
}

/// What a failure means. One that is neither a full disk nor a failed barrier is not understood,
/// and so poisons too; it is told in full the first time.
fn blame(log: &Log, error: io::Error) -> Failure {
    if log.soundness.is_poisoned() {
        Failure::Poisoned
    } else if is_full(&error) {
        log.set_short(true);
        Failure::NoSpace
    } else {
        log.soundness.poison();
        Failure::Write(error)
    }
}
