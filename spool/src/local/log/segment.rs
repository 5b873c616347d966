//! Segments: the files of the log, used again and again.
//!
//! A file begins with two copies of its header, a page each, and a page that says where the list
//! of its frames is once it is full (`seal.rs`). Frames follow. The header has the nonce that all
//! frames of the present use carry. A segment is given back by writing a header with a new nonce:
//! one copy, a flush, the other copy, a flush; and first the copy that does not count, since a
//! torn write must never bring back a use before the last. So there is always a whole one, the one
//! with the higher generation counts, and with the first flush all frames that were there are none
//! any more, whatever becomes of the machine.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use super::bell::Bell;
use super::frame::{PAGE, Reader};
use crate::fs::{Access, Disk, DiskFile};
use crate::local::soundness::Soundness;

/// The folder of the segments.
pub(in crate::local) const FOLDER: &str = "log";

/// Where the second copy of the header is.
const COPY: u32 = 4096;
/// Where the seal is.
pub(in crate::local) const SEAL: u32 = 8192;
/// Where frames begin.
pub(in crate::local) const FIRST: u32 = 12_288;

/// How a header begins.
const MAGIC: [u8; 4] = *b"VQS4";
/// Octets of a header.
const HEADER: usize = 24;

/// A segment in one of its uses.
#[derive(Debug)]
pub(in crate::local) struct Segment {
    pub(in crate::local) number: u32,
    /// Which use of all of all segments this is; later ones have higher ones.
    pub(in crate::local) generation: u64,
    pub(in crate::local) nonce: u64,
    pub(in crate::local) file: Arc<dyn DiskFile>,
    /// Octets that are written already, with zeros or with what was there before: to write them
    /// again changes nothing of what the file system knows about the file.
    pub(super) prepared: AtomicU32,
    /// Who is writing or reading here, or means to come back.
    pins: AtomicUsize,
    /// Nothing will be added any more.
    full: AtomicBool,
    bell: Arc<Bell>,
}

/// Keeps a segment from being used again.
#[derive(Debug)]
pub(in crate::local) struct Pin(Arc<Segment>);

impl Pin {
    /// Pins it.
    pub(in crate::local) fn new(segment: &Arc<Segment>) -> Self {
        segment.pins.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(segment))
    }

    /// What is pinned.
    pub(in crate::local) const fn segment(&self) -> &Arc<Segment> {
        &self.0
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let last = self.0.pins.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && self.0.full.load(Ordering::Acquire) {
            self.0.bell.ring();
        }
    }
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::local) struct Header {
    pub(in crate::local) generation: u64,
    pub(in crate::local) nonce: u64,
}

impl Header {
    /// A page with it.
    fn encode(self, number: u32) -> Vec<u8> {
        let mut page = Vec::with_capacity(PAGE);
        page.extend(MAGIC);
        page.extend([0; 4]);
        page.extend(self.generation.to_le_bytes());
        page.extend(self.nonce.to_le_bytes());
        let sum = checksum(&page, number);
        if let Some(at) = page.get_mut(4..8) {
            at.copy_from_slice(&sum.to_le_bytes());
        }
        page.resize(PAGE, 0);
        page
    }

    /// Reads one copy.
    fn decode(octets: &[u8], number: u32) -> Option<Self> {
        let mut reader = Reader(octets.get(..HEADER)?);
        if reader.take(4)? != MAGIC || reader.u32()? != checksum(octets, number) {
            return None;
        }
        Some(Self {
            generation: reader.u64()?,
            nonce: reader.u64()?,
        })
    }

    /// The one of both copies that counts.
    pub(in crate::local) fn read(file: &dyn DiskFile, number: u32) -> io::Result<Option<Self>> {
        let (one, other) = (
            Self::read_copy(file, number, 0)?,
            Self::read_copy(file, number, COPY)?,
        );
        Ok(match (one, other) {
            (Some(one), Some(other)) if one.generation >= other.generation => Some(one),
            (one, other) => other.or(one),
        })
    }

    /// One of both copies.
    fn read_copy(file: &dyn DiskFile, number: u32, offset: u32) -> io::Result<Option<Self>> {
        let mut octets = [0; HEADER];
        match file.read_at(u64::from(offset), &mut octets) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| Self::decode(&octets, number)),
        }
    }
}

/// Over the segment's number too: a file under another's name is not taken for that one.
fn checksum(header: &[u8], number: u32) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_le_bytes());
    crc.update(header.get(8..HEADER).unwrap_or_default());
    crc.finalize()
}

impl Segment {
    /// One that was found on the disk, or was just made.
    pub(in crate::local) fn new(
        number: u32,
        header: Header,
        file: Arc<dyn DiskFile>,
        bell: &Arc<Bell>,
    ) -> io::Result<Self> {
        let prepared = u32::try_from(file.len()?).unwrap_or(u32::MAX);
        Ok(Self {
            number,
            generation: header.generation,
            nonce: header.nonce,
            file,
            prepared: AtomicU32::new(prepared),
            pins: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            bell: Arc::clone(bell),
        })
    }

    /// Octets that may be written.
    pub(in crate::local) fn prepared(&self) -> u32 {
        self.prepared.load(Ordering::Acquire)
    }

    /// True if nobody has it in use.
    pub(in crate::local) fn is_unpinned(&self) -> bool {
        self.pins.load(Ordering::Acquire) == 0
    }

    /// Nothing will be added any more.
    pub(in crate::local) fn close(&self) {
        self.full.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// One more description of its file, for a thread that flushes: the kernel tells each
    /// description of a failed write by itself.
    pub(in crate::local) fn reopen(&self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        disk.open(&name(self.number), Access::Write)
    }
}

/// Gives a file a new header, after which whatever was in it counts for nothing. Both copies are
/// durable when this returns.
pub(in crate::local) fn renew(
    file: &dyn DiskFile,
    number: u32,
    header: Header,
    soundness: &Soundness,
) -> io::Result<()> {
    let page = header.encode(number);
    // An earlier renewal may have been stopped between the two: the copy that counts now is the last
    // to be touched, or a torn write would leave the other, and with it frames of long ago.
    let counts = Header::read(file, number)?;
    let order = if counts.is_some() && counts == Header::read_copy(file, number, 0)? {
        [COPY, 0]
    } else {
        [0, COPY]
    };
    for offset in order {
        file.write_at(u64::from(offset), &page)?;
        soundness.flush(file)?;
    }
    Ok(())
}

/// A segment's file.
pub(in crate::local) fn name(number: u32) -> String {
    format!("{FOLDER}/{number:08}")
}

/// The number that is in a name.
pub(in crate::local) fn number(listed: &str) -> Option<u32> {
    let number = listed.parse().ok()?;
    (name(number).strip_prefix(FOLDER)?.strip_prefix('/')? == listed).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_read_back() {
        assert_eq!(name(17), "log/00000017");
        assert_eq!(number("00000017"), Some(17));
        assert_eq!(number("17"), None);
        assert_eq!(number("+0000017"), None);
        let header = Header {
            generation: 3,
            nonce: 4,
        };
        let page = header.encode(17);
        assert_eq!(page.len(), PAGE);
        assert_eq!(Header::decode(&page, 17), Some(header));
        assert_eq!(Header::decode(&page, 18), None, "another file's");
        for bit in 0..HEADER * 8 {
            let mut flipped = page.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped, 17), None, "bit {bit}");
        }
    }
}
