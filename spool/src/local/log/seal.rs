//! Seals: what is in a segment that is full, in one list, so that a start need not read it all.
//!
//! The list lies behind the last frame. When it is durable, a page at the front says where it is; that
//! page counts only if its checksum, the nonce of the segment's present use, and the list's own
//! checksum are right. Otherwise the segment is read frame by frame, which gives the same.
//!
//! ```text
//! seal   "VQE4" · checksum u32 · nonce u64 · where the list is u32 · its octets u32 · its checksum u32
//! note   kind u8 · queue id 16 octets, and as the kind has it: state u64 · offset u32 · len u32
//!        · how it waits (`body.rs`) · how often it was moved u32 · segments with content u32
//!        · (segment u32 · octets u32) each
//! ```

use std::io;

use vouchsafe_proto::queue_id::QueueId;

use super::body::{Place, put_waits, size, take_waits};
use super::frame::{PAGE, Reader};
use super::scan::{Note, Scan, scan};
use super::segment::{SEAL, Segment};
use crate::Waits;
use crate::local::soundness::Soundness;

/// How a seal begins.
const MAGIC: [u8; 4] = *b"VQE4";
/// Octets of a seal.
const LEN: usize = 28;

/// Reads a segment to which nothing is added any more, and seals it; unless something in it is not
/// as it was written: then the next start must see that too.
pub(in crate::local) fn seal(segment: &Segment, soundness: &Soundness) -> io::Result<()> {
    let scan = scan(segment)?;
    let is_sound = |note: &Note| !matches!(note, Note::Bad { .. } | Note::Hole { .. });
    if scan.notes.iter().all(is_sound) {
        seal_with(segment, &scan, soundness)?;
    }
    Ok(())
}

/// Seals a segment with what was found in it; what is damaged is left out.
pub(in crate::local) fn seal_with(
    segment: &Segment,
    scan: &Scan,
    soundness: &Soundness,
) -> io::Result<()> {
    let mut list = Vec::new();
    for note in &scan.notes {
        encode(note, &mut list);
    }
    let page = u32::try_from(PAGE).unwrap_or(4096);
    let at = scan.end.next_multiple_of(page);
    let len = u32::try_from(list.len()).map_err(io::Error::other)?;
    let sum = crc32fast::hash(&list);
    list.resize(list.len().next_multiple_of(PAGE), 0);
    segment.file.write_at(u64::from(at), &list)?;
    soundness.flush(&*segment.file)?;
    let mut seal = Vec::with_capacity(PAGE);
    seal.extend(MAGIC);
    seal.extend([0; 4]);
    seal.extend(segment.nonce.to_le_bytes());
    for number in [at, len, sum] {
        seal.extend(number.to_le_bytes());
    }
    let sum = crc32fast::hash(seal.get(8..).unwrap_or_default());
    if let Some(place) = seal.get_mut(4..8) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    seal.resize(PAGE, 0);
    segment.file.write_at(u64::from(SEAL), &seal)?;
    soundness.flush(&*segment.file)
}

/// What a sealed segment holds; `None` if its seal is not whole, or not of this use.
pub(in crate::local) fn read(segment: &Segment) -> io::Result<Option<Vec<Note>>> {
    let mut octets = [0; LEN];
    let Some(octets) = read_at(segment, SEAL, &mut octets)? else {
        return Ok(None);
    };
    let Some((at, len, sum)) = place(octets, segment.nonce) else {
        return Ok(None);
    };
    let mut list = vec![0; size(len)];
    let Some(list) = read_at(segment, at, &mut list)? else {
        return Ok(None);
    };
    if crc32fast::hash(list) != sum {
        return Ok(None);
    }
    let mut reader = Reader(list);
    let mut notes = Vec::new();
    while !reader.0.is_empty() {
        let Some(note) = decode(&mut reader, segment.number) else {
            return Ok(None);
        };
        notes.push(note);
    }
    Ok(Some(notes))
}

/// Fills `into`; `None` if the file ends before.
fn read_at<'a>(segment: &Segment, at: u32, into: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
    match segment.file.read_at(u64::from(at), into) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        done => done.map(|()| Some(&*into)),
    }
}

/// Where the list is, how long, and its checksum.
fn place(octets: &[u8], nonce: u64) -> Option<(u32, u32, u32)> {
    let mut reader = Reader(octets);
    let magic = reader.take(4)?;
    let sum = reader.u32()?;
    if magic != MAGIC || sum != crc32fast::hash(reader.0) || reader.u64()? != nonce {
        return None;
    }
    Some((reader.u32()?, reader.u32()?, reader.u32()?))
}

/// Appends a note.
fn encode(note: &Note, into: &mut Vec<u8>) {
    let mut start = |kind: u8, id: &QueueId| {
        into.push(kind);
        into.extend(id.as_u128().to_be_bytes());
    };
    match note {
        Note::Accepted {
            id,
            state,
            copy,
            body,
            waits,
            content,
        } => {
            // One that was never moved is as it was before any could be.
            start(if *copy == 0 { 1 } else { 4 }, id);
            rest(*state, *body, waits, into);
            if *copy != 0 {
                into.extend(copy.to_le_bytes());
            }
            into.extend(u32::try_from(content.len()).unwrap_or(0).to_le_bytes());
            for (segment, octets) in content {
                into.extend(segment.to_le_bytes());
                into.extend(octets.to_le_bytes());
            }
        }
        Note::Progress {
            id,
            state,
            record,
            waits,
        } => {
            start(2, id);
            rest(*state, *record, waits, into);
        }
        Note::Gone { id } => start(3, id),
        Note::Bad { .. } | Note::Hole { .. } => {}
    }
}

/// What two kinds have in common.
fn rest(state: u64, place: Place, waits: &Waits, into: &mut Vec<u8>) {
    into.extend(state.to_le_bytes());
    into.extend(place.offset.to_le_bytes());
    into.extend(place.len.to_le_bytes());
    put_waits(waits, into);
}

/// Takes a note from the front.
fn decode(reader: &mut Reader<'_>, segment: u32) -> Option<Note> {
    let kind = *reader.take(1)?.first()?;
    let id = reader.id()?;
    if kind == 3 {
        return Some(Note::Gone { id });
    }
    let state = reader.u64()?;
    let place = Place {
        segment,
        offset: reader.u32()?,
        len: reader.u32()?,
    };
    let waits = take_waits(reader)?;
    match kind {
        1 | 4 => {
            let copy = if kind == 4 { reader.u32()? } else { 0 };
            let count = reader.u32()?;
            let mut content = Vec::new();
            for _ in 0..count {
                content.push((reader.u32()?, reader.u32()?));
            }
            Some(Note::Accepted {
                id,
                state,
                copy,
                body: place,
                waits,
                content,
            })
        }
        2 => Some(Note::Progress {
            id,
            state,
            record: place,
            waits,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lane;
    use vouchsafe_proto::time::Wall;

    #[test]
    fn notes_read_back() {
        let id = QueueId::from_u128(77).unwrap();
        let place = Place {
            segment: 5,
            offset: 12_345,
            len: 678,
        };
        let waits = Waits {
            lanes: vec![(Lane::named("example.org"), Wall::from_secs(9))],
            delay_reported: true,
            held: true,
            octets: 0,
            deadline: Some(Wall::from_secs(10)),
        };
        let notes = [
            Note::Accepted {
                id,
                state: 2,
                copy: 0,
                body: place,
                waits: waits.clone(),
                content: vec![(5, 100), (4, 200)],
            },
            Note::Accepted {
                id,
                state: 2,
                copy: 70_000,
                body: place,
                waits: waits.clone(),
                content: vec![(5, 100)],
            },
            Note::Progress {
                id,
                state: 3,
                record: place,
                waits,
            },
            Note::Gone { id },
        ];
        let mut list = Vec::new();
        for note in &notes {
            encode(note, &mut list);
        }
        let mut reader = Reader(&list);
        for note in notes {
            assert_eq!(decode(&mut reader, 5), Some(note));
        }
        assert!(reader.0.is_empty());
        for cut in 1..list.len() {
            let mut reader = Reader(&list[..cut]);
            while !reader.0.is_empty() && decode(&mut reader, 5).is_some() {}
        }
    }
}
