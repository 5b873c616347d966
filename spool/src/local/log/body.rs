//! Payloads of frames: a message as it was taken, and a settlement.
//!
//! A *body* is all there is to say of a message: its records, and the pieces of its content in
//! their order. It has its own checksum, so that it can be read by itself wherever it lies: in a
//! frame of its own, or, for a report, inside the frame of the settlement that made it.
//!
//! ```text
//! body        checksum u32 · len of envelope u32 · len of progress u32 · pieces u32
//!             · pieces (segment u32 · offset u32 · len u32) · how it waits · envelope record · progress record
//! settlement  len of progress u32 (0: the message leaves) · reports u32 · how it waits · progress record
//!             · reports (queue id 16 octets · len of body u32 · body)
//! how it      due u64 · flags u32 (1: the delay was reported, 2: held, 4: with a deadline)
//!   waits     · deadline u64, if any · lanes u32 · (len u32 · name) each
//! ```

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::frame::{HEAD, Reader};
use crate::{Lane, Waits};

/// Where something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) struct Place {
    pub(in crate::local) segment: u32,
    pub(in crate::local) offset: u32,
    /// Octets.
    pub(in crate::local) len: u32,
}

/// Octets of a body before its pieces.
const BODY: usize = 16;
/// Octets of a piece.
const PIECE: usize = 12;
/// Octets of a settlement before its progress.
const SETTLEMENT: usize = 8;
/// Octets of a report before its body.
const REPORT: usize = 20;
/// How a message waits: its delay was reported.
const REPORTED: u32 = 1;
/// How a message waits: an operator holds it. Formats before the fifth have none.
const HELD: u32 = 2;
/// How a message waits: a deadline follows.
const DEADLINE: u32 = 4;

/// A body as it lies in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::local) struct Body<'a> {
    pub(in crate::local) waits: Waits,
    /// The content, in order: each the place of a frame's payload.
    pub(in crate::local) pieces: Vec<Place>,
    pub(in crate::local) envelope: &'a [u8],
    pub(in crate::local) progress: &'a [u8],
}

impl<'a> Body<'a> {
    /// Octets of one with so many pieces and records of these lengths.
    pub(in crate::local) fn len(
        pieces: usize,
        waits: &Waits,
        envelope: usize,
        progress: usize,
    ) -> usize {
        BODY + pieces * PIECE + waits_len(waits) + envelope + progress
    }

    /// Appends it.
    pub(in crate::local) fn encode(&self, id: QueueId, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend([0; 4]);
        for count in [self.envelope.len(), self.progress.len(), self.pieces.len()] {
            into.extend(count32(count));
        }
        for piece in &self.pieces {
            for number in [piece.segment, piece.offset, piece.len] {
                into.extend(number.to_le_bytes());
            }
        }
        put_waits(&self.waits, into);
        into.extend_from_slice(self.envelope);
        into.extend_from_slice(self.progress);
        let sum = checksum(id, into.get(start + 4..).unwrap_or_default());
        if let Some(at) = into.get_mut(start..start + 4) {
            at.copy_from_slice(&sum.to_le_bytes());
        }
    }

    /// Reads one; `None` if it is not whole.
    pub(in crate::local) fn decode(id: QueueId, octets: &'a [u8]) -> Option<Self> {
        let (sum, rest) = octets.split_first_chunk()?;
        if u32::from_le_bytes(*sum) != checksum(id, rest) {
            return None;
        }
        Self::decode_anyway(octets)
    }

    /// Reads one that may be damaged, for whoever wants to save what can be saved.
    pub(in crate::local) fn decode_anyway(octets: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(octets);
        reader.u32()?;
        let (envelope, progress) = (size(reader.u32()?), size(reader.u32()?));
        let count = size(reader.u32()?);
        let mut places = Reader(reader.take(count.checked_mul(PIECE)?)?);
        let mut pieces = Vec::new();
        for _ in 0..count {
            pieces.push(Place {
                segment: places.u32()?,
                offset: places.u32()?,
                len: places.u32()?,
            });
        }
        Some(Self {
            waits: take_waits(&mut reader)?,
            pieces,
            envelope: reader.take(envelope)?,
            progress: reader.take(progress)?,
        })
    }
}

/// A settlement as it lies in a buffer.
#[derive(Debug)]
pub(in crate::local) struct Settled {
    /// Where in the payload the new progress is, and how the message waits; `None` if it left.
    pub(in crate::local) progress: Option<(Inside, Waits)>,
    /// Where in the payload the bodies of the reports are.
    pub(in crate::local) reports: Vec<(QueueId, Inside)>,
}

/// A part of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) struct Inside {
    pub(in crate::local) start: usize,
    pub(in crate::local) len: usize,
}

impl Inside {
    /// Where that is, for a frame at `offset`.
    pub(in crate::local) fn place(self, segment: u32, offset: u32) -> Place {
        let start = u32::try_from(HEAD + self.start).unwrap_or(u32::MAX);
        Place {
            segment,
            offset: offset.saturating_add(start),
            len: u32::try_from(self.len).unwrap_or(u32::MAX),
        }
    }
}

impl Settled {
    /// Octets of one with a progress record and bodies of these lengths.
    pub(in crate::local) fn len(
        progress: Option<(usize, &Waits)>,
        bodies: impl Iterator<Item = usize>,
    ) -> usize {
        let nobody = Waits::default();
        let (record, waits) = progress.unwrap_or((0, &nobody));
        let first = SETTLEMENT + waits_len(waits) + record;
        bodies.fold(first, |sum, body| sum + REPORT + body)
    }

    /// Begins one, and says where its progress record is.
    pub(in crate::local) fn begin(
        progress: Option<(&[u8], &Waits)>,
        reports: usize,
        into: &mut Vec<u8>,
    ) -> Inside {
        let nobody = Waits::default();
        let (record, waits) = progress.unwrap_or((&[], &nobody));
        into.extend(count32(record.len()));
        into.extend(count32(reports));
        put_waits(waits, into);
        into.extend_from_slice(record);
        Inside {
            start: SETTLEMENT + waits_len(waits),
            len: record.len(),
        }
    }

    /// Adds a report, and says where its body is, in a payload that begins at `base`.
    pub(in crate::local) fn report(
        id: QueueId,
        body: &Body<'_>,
        base: usize,
        into: &mut Vec<u8>,
    ) -> Inside {
        let records = (body.envelope.len(), body.progress.len());
        let len = Body::len(body.pieces.len(), &body.waits, records.0, records.1);
        into.extend(id.as_u128().to_be_bytes());
        into.extend(count32(len));
        let start = into.len() - base;
        body.encode(id, into);
        Inside { start, len }
    }

    /// Reads one; `None` if it makes no sense.
    pub(in crate::local) fn decode(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        let (record, count) = (size(reader.u32()?), size(reader.u32()?));
        let waits = take_waits(&mut reader)?;
        let progress = Inside {
            start: payload.len() - reader.0.len(),
            len: record,
        };
        reader.take(record)?;
        let mut reports = Vec::new();
        for _ in 0..count {
            let id = reader.id()?;
            let len = size(reader.u32()?);
            let start = payload.len() - reader.0.len();
            reader.take(len)?;
            reports.push((id, Inside { start, len }));
        }
        Some(Self {
            progress: (record != 0).then_some((progress, waits)),
            reports,
        })
    }
}

/// Octets of how a message waits.
fn waits_len(waits: &Waits) -> usize {
    let lanes = waits.lanes.iter();
    let deadline = if waits.deadline.is_some() { 8 } else { 0 };
    16 + deadline
        + lanes
            .map(|(lane, _)| 4 + lane.as_str().len())
            .sum::<usize>()
}

/// Appends how a message waits: all its lanes are due at the same time.
pub(super) fn put_waits(waits: &Waits, into: &mut Vec<u8>) {
    let due = waits.lanes.iter().map(|(_, due)| *due).min();
    into.extend(due.unwrap_or_default().as_millis().to_le_bytes());
    let flags = u32::from(waits.delay_reported) * REPORTED
        + u32::from(waits.held) * HELD
        + u32::from(waits.deadline.is_some()) * DEADLINE;
    into.extend(flags.to_le_bytes());
    if let Some(deadline) = waits.deadline {
        into.extend(deadline.as_millis().to_le_bytes());
    }
    into.extend(count32(waits.lanes.len()));
    for (lane, _) in &waits.lanes {
        into.extend(count32(lane.as_str().len()));
        into.extend(lane.as_str().as_bytes());
    }
}

/// Takes it from the front.
pub(super) fn take_waits(reader: &mut Reader<'_>) -> Option<Waits> {
    let due = Wall::from_millis(reader.u64()?);
    let flags = reader.u32()?;
    let deadline = match flags & DEADLINE {
        0 => None,
        _ => Some(Wall::from_millis(reader.u64()?)),
    };
    let mut lanes = Vec::new();
    for _ in 0..reader.u32()? {
        let len = size(reader.u32()?);
        let name = std::str::from_utf8(reader.take(len)?).ok()?;
        lanes.push((Lane::named(name), due));
    }
    Some(Waits {
        lanes,
        delay_reported: flags & REPORTED != 0,
        held: flags & HELD != 0,
        octets: 0,
        deadline,
    })
}

/// Over the id too: a body under another message's name is not taken for that message's.
fn checksum(id: QueueId, body: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&id.as_u128().to_be_bytes());
    crc.update(body);
    crc.finalize()
}

/// A count as it is written.
fn count32(count: usize) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
}

/// A count as it is used.
pub(in crate::local) fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> QueueId {
        QueueId::from_u128(number).unwrap()
    }

    #[test]
    fn bodies_and_settlements_read_back() {
        let place = Place {
            segment: 3,
            offset: 4096,
            len: 77,
        };
        let waits = |secs, names: &[&str]| Waits {
            lanes: names
                .iter()
                .map(|name| (Lane::named(name), Wall::from_secs(secs)))
                .collect(),
            delay_reported: secs == 9,
            held: secs == 5,
            octets: 0,
            deadline: (secs == 9).then_some(Wall::from_secs(77)),
        };
        let body = Body {
            waits: waits(5, &["", "example.org"]),
            pieces: vec![place, place],
            envelope: b"envelope",
            progress: b"progress",
        };
        let mut payload = Vec::new();
        let later = waits(9, &["example.net"]);
        Settled::begin(Some((b"more", &later)), 1, &mut payload);
        Settled::report(id(7), &body, 0, &mut payload);
        let lens = [Body::len(2, &body.waits, 8, 8)];
        let len = Settled::len(Some((4, &later)), lens.into_iter());
        assert_eq!(payload.len(), len);
        let settled = Settled::decode(&payload).unwrap();
        let (progress, found) = settled.progress.unwrap();
        assert_eq!(found, later);
        assert_eq!(&payload[progress.start..][..progress.len], b"more");
        let (report, inside) = settled.reports[0];
        assert_eq!(report, id(7));
        let octets = &payload[inside.start..][..inside.len];
        assert_eq!(Body::decode(id(7), octets).unwrap(), body);
        assert_eq!(Body::decode(id(8), octets), None, "another's");
        assert_eq!(
            inside.place(3, 100).offset as usize,
            100 + HEAD + inside.start
        );
        for cut in 0..payload.len() {
            assert!(Settled::decode(&payload[..cut]).is_none());
        }
        let mut gone = Vec::new();
        Settled::begin(None, 0, &mut gone);
        assert!(Settled::decode(&gone).unwrap().progress.is_none());
    }
}
