//! Frames: what the log is made of, octet by octet.
//!
//! A frame is a head of 80 octets and its payload, filled up with zeros to a multiple of eight. The
//! head has a checksum of its own, which covers the place of the frame too: where a payload is
//! damaged we still know whose it is and where the next frame begins. A head counts only with the
//! nonce of its segment, which is drawn anew each time the segment is used again: what is left
//! of an earlier use, and what somebody put into the content of a message, is never taken for a
//! frame.
//!
//! Numbers are little-endian, queue ids big-endian.

use vouchsafe_proto::queue_id::QueueId;

/// Octets of a head.
pub(in crate::local) const HEAD: usize = 80;
/// Where frames may begin: multiples of this.
pub(in crate::local) const UNIT: usize = 8;
/// Where writes begin, and what they are filled up to: an octet that was made durable is never in
/// the same page as one that is written later, so that no torn write can take it along.
pub(in crate::local) const PAGE: usize = 4096;

/// How a head begins.
pub(in crate::local) const MAGIC: [u8; 4] = *b"VQF4";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) enum Kind {
    /// A piece of a message's content. Of use only if an accepted message names it.
    Content,
    /// A message taken, whole: envelope, progress, where its content lies.
    Accepted,
    /// A settlement: new progress or none, and the reports it made.
    Settled,
    /// A message that left, without a report. It has no payload: the head says it all.
    Gone,
}

impl Kind {
    /// Its octet.
    const fn octet(self) -> u8 {
        match self {
            Self::Content => 1,
            Self::Accepted => 2,
            Self::Settled => 3,
            Self::Gone => 4,
        }
    }

    /// The other way.
    const fn of(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Content),
            2 => Some(Self::Accepted),
            3 => Some(Self::Settled),
            4 => Some(Self::Gone),
            _ => None,
        }
    }
}

/// What all frames of one write have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) struct Stamp {
    /// Of the segment's present use.
    pub(in crate::local) nonce: u64,
    /// Drawn at each start of the server.
    pub(in crate::local) run: u64,
    /// Which group of this run; 0 for content that is written as it comes.
    pub(in crate::local) batch: u64,
    /// All groups of this run below this one were durable when this one was put together.
    pub(in crate::local) durable: u64,
}

/// A head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) struct Head {
    pub(in crate::local) kind: Kind,
    /// The message it is about.
    pub(in crate::local) id: QueueId,
    /// Which settlement of the message this is, 0 for none: the newest counts.
    pub(in crate::local) state: u64,
    /// How often the message was moved before this was written: of two that say it was taken, with
    /// the same state, the one that was moved more often counts. Below 2^24.
    pub(in crate::local) copy: u32,
    pub(in crate::local) stamp: Stamp,
    /// Octets of the payload.
    pub(in crate::local) len: u32,
    /// Of the payload; 0 for content, which has one checksum for the whole.
    pub(in crate::local) crc: u32,
    /// Octets of the group before this frame.
    pub(in crate::local) before: u32,
    /// Octets of the whole group.
    pub(in crate::local) total: u32,
}

impl Head {
    /// Octets of the whole frame.
    pub(in crate::local) fn extent(&self) -> usize {
        frame_len(usize::try_from(self.len).unwrap_or(usize::MAX))
    }

    /// The octets, for a frame at `offset` of its segment.
    fn encode(&self, offset: u32) -> [u8; HEAD] {
        let lag = self.stamp.batch.saturating_sub(self.stamp.durable);
        let what = self.copy << 8 | u32::from(self.kind.octet());
        let fields: [&[u8]; 13] = [
            &MAGIC,
            &what.to_le_bytes(),
            &self.len.to_le_bytes(),
            &[0; 4],
            &self.stamp.nonce.to_le_bytes(),
            &self.stamp.run.to_le_bytes(),
            &self.stamp.batch.to_le_bytes(),
            // More than fits is as good as never.
            &u32::try_from(lag).unwrap_or(u32::MAX).to_le_bytes(),
            &self.state.to_le_bytes(),
            &self.id.as_u128().to_be_bytes(),
            &self.crc.to_le_bytes(),
            &self.before.to_le_bytes(),
            &self.total.to_le_bytes(),
        ];
        let mut octets = [0; HEAD];
        let mut rest = octets.as_mut_slice();
        for field in fields {
            rest = place(rest, field);
        }
        let sum = checksum(&octets, offset);
        if let Some(at) = octets.get_mut(SUM) {
            at.copy_from_slice(&sum.to_le_bytes());
        }
        octets
    }

    /// The head of a frame at `offset`, if there is one and it belongs to a segment's present use;
    /// without a nonce any use will do.
    pub(in crate::local) fn decode(octets: &[u8], offset: u32, nonce: Option<u64>) -> Option<Self> {
        let octets: &[u8; HEAD] = octets.first_chunk()?;
        if !octets.starts_with(&MAGIC) {
            return None;
        }
        let mut reader = Reader(octets.get(4..)?);
        let what = reader.u32()?;
        let kind = Kind::of(what.to_le_bytes()[0])?;
        let len = reader.u32()?;
        let sum = reader.u32()?;
        let (found, run) = (reader.u64()?, reader.u64()?);
        let (batch, lag) = (reader.u64()?, reader.u32()?);
        let state = reader.u64()?;
        let id = reader.id()?;
        let crc = reader.u32()?;
        let (before, total) = (reader.u32()?, reader.u32()?);
        if nonce.is_some_and(|nonce| nonce != found) || sum != checksum(octets, offset) {
            return None;
        }
        let stamp = Stamp {
            nonce: found,
            run,
            batch,
            durable: batch.saturating_sub(u64::from(lag)),
        };
        Some(Self {
            kind,
            id,
            state,
            copy: what >> 8,
            stamp,
            len,
            crc,
            before,
            total,
        })
    }

    /// Octets of the group behind this frame, of which the segment has `extent`.
    pub(in crate::local) fn after(&self) -> u32 {
        let extent = u32::try_from(self.extent()).unwrap_or(u32::MAX);
        self.total
            .saturating_sub(self.before.saturating_add(extent))
    }
}

/// As many as a head can say; from then on the segments' age decides.
const MOST_COPIES: u32 = 0xFF_FFFF;

/// Where the head's own checksum is.
const SUM: std::ops::Range<usize> = 12..16;

/// Over all of the head but the checksum, and over the place of the frame.
fn checksum(head: &[u8; HEAD], offset: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(head.get(..SUM.start).unwrap_or_default());
    crc.update(head.get(SUM.end..).unwrap_or_default());
    crc.finalize()
}

/// Puts a field at the start, and gives what is behind it.
fn place<'a>(into: &'a mut [u8], field: &[u8]) -> &'a mut [u8] {
    let (at, rest) = into.split_at_mut(field.len().min(into.len()));
    at.copy_from_slice(field.get(..at.len()).unwrap_or_default());
    rest
}

/// Octets of a frame with a payload of so many.
pub(in crate::local) const fn frame_len(payload: usize) -> usize {
    (HEAD + payload).next_multiple_of(UNIT)
}

/// Frames that are written together, as they lie behind each other from `base` on.
#[derive(Debug)]
pub(in crate::local) struct Sheet {
    octets: Vec<u8>,
    base: u32,
    total: u32,
    stamp: Stamp,
}

impl Sheet {
    /// An empty one in `octets`, which is only taken for its memory; `total` octets will be added.
    pub(in crate::local) fn new(mut octets: Vec<u8>, base: u32, total: u32, stamp: Stamp) -> Self {
        octets.clear();
        Self {
            octets,
            base,
            total,
            stamp,
        }
    }

    /// Where in the segment the next frame will begin.
    pub(in crate::local) fn offset(&self) -> u32 {
        let len = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        self.base.saturating_add(len)
    }

    /// Adds a frame, whose payload `fill` appends. Content has no checksum here.
    pub(in crate::local) fn add(
        &mut self,
        kind: Kind,
        id: QueueId,
        state: u64,
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        self.add_copy(kind, id, (state, 0), fill);
    }

    /// The same for what was moved so many times.
    pub(in crate::local) fn add_copy(
        &mut self,
        kind: Kind,
        id: QueueId,
        (state, copy): (u64, u32),
        fill: impl FnOnce(&mut Vec<u8>),
    ) {
        let (start, offset) = (self.octets.len(), self.offset());
        let begin = start + HEAD;
        self.octets.resize(begin, 0);
        fill(&mut self.octets);
        let payload = self.octets.get(begin..).unwrap_or_default();
        let head = Head {
            kind,
            id,
            state,
            copy: copy.min(MOST_COPIES),
            stamp: self.stamp,
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            crc: match kind {
                Kind::Content => 0,
                _ => crc32fast::hash(payload),
            },
            before: offset.saturating_sub(self.base),
            total: self.total,
        };
        if let Some(at) = self.octets.get_mut(start..begin) {
            at.copy_from_slice(&head.encode(offset));
        }
        self.octets
            .resize(self.octets.len().next_multiple_of(UNIT), 0);
    }

    /// What is to be written: whole pages.
    pub(in crate::local) fn finish(mut self) -> Vec<u8> {
        let len = self.octets.len().next_multiple_of(PAGE);
        self.octets.resize(len, 0);
        self.octets
    }
}

/// Takes numbers from the front of a slice.
pub(in crate::local) struct Reader<'a>(pub(in crate::local) &'a [u8]);

impl<'a> Reader<'a> {
    /// So many octets.
    pub(in crate::local) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    /// As many as the next number says.
    pub(in crate::local) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    /// A longer number.
    pub(in crate::local) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    /// A queue id.
    pub(in crate::local) fn id(&mut self) -> Option<QueueId> {
        QueueId::from_u128(u128::from_be_bytes(*self.take(16)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        nonce: 0x0102_0304_0506_0708,
        run: 9,
        batch: 70,
        durable: 68,
    };

    fn id() -> QueueId {
        QueueId::from_u128(0x0001_0203_0405_0607_0809_0A0B_0C0D).unwrap()
    }

    fn sheet() -> Vec<u8> {
        let mut sheet = Sheet::new(vec![1, 2, 3], 8192, 168, STAMP);
        sheet.add(Kind::Content, id(), 0, |octets| octets.extend(b"hello"));
        assert_eq!(sheet.offset(), 8192 + 88);
        sheet.add_copy(Kind::Gone, id(), (3, 0x01_0203), |_| {});
        sheet.finish()
    }

    #[test]
    fn what_is_written_reads_back_only_where_it_is() {
        let octets = sheet();
        assert_eq!(octets.len(), PAGE);
        let first = Head::decode(&octets, 8192, Some(STAMP.nonce)).unwrap();
        assert_eq!((first.kind, first.id, first.len), (Kind::Content, id(), 5));
        assert_eq!((first.stamp, first.extent()), (STAMP, 88));
        assert_eq!(&octets[HEAD..HEAD + 5], b"hello");
        let second = Head::decode(&octets[88..], 8280, None).unwrap();
        assert_eq!((second.kind, second.state, second.len), (Kind::Gone, 3, 0));
        assert_eq!((first.copy, second.copy), (0, 0x01_0203));
        assert_eq!((first.after(), second.before, second.after()), (80, 88, 0));
        assert_eq!(Head::decode(&octets, 8200, None), None, "another place");
        assert_eq!(Head::decode(&octets, 8192, Some(1)), None, "an earlier use");
        for bit in 0..HEAD * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&flipped, 8192, None), None, "bit {bit}");
        }
    }

    #[test]
    fn golden_octets() {
        let octets = sheet();
        let mut golden = Vec::from(*b"VQF4\x01\0\0\0\x05\0\0\0");
        golden.extend(&octets[SUM]);
        golden.extend([8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([70, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        golden.extend([0, 0, 0, 0, 0, 0, 0, 0, 168, 0, 0, 0]);
        golden.extend(b"hello\0\0\0VQF4\x04\x03\x02\x01");
        assert_eq!(octets[..golden.len()], golden);
    }
}
