//! A segment's file, octet by octet.
//!
//! | at | octets | what |
//! |---|---|---|
//! | 0 | 64 | the header |
//! | 64 | 5 for each page | the index of the page's first digest (3), and half a checksum of the page (2) |
//! | behind | 4 for each entry, and 4 | the directory: how many digests lie before those whose index has these top bits |
//! | next multiple of 4096 | 16 for each digest | the digests, sorted by index, then by the whole digest |
//!
//! A page is 4096 octets of digests, the last one what is left. All numbers are little-endian. The header: magic (8),
//! version (1), kind (1), bits of the directory (1), whether it is a merger (1), first hour (4), hours (4), digests
//! (4), serial (8), checksums of the pages' table, the directory and the digests (4 each), 16 that are 0, and the
//! checksum of all before (4). Promises: a header that was not written as one is not read as one. Left to others:
//! whether the rest is what was written.

use std::ops::Range;

use vouchsafe_proto::residue::Kind;

use super::large::advise;
use super::question::Hours;
use super::sort::{INDEX_BITS, Raw, digest};

const MAGIC: [u8; 8] = *b"vouchseg";
const VERSION: u8 = 1;

/// Octets of the header.
pub(super) const HEADER: usize = 64;
/// Octets of a page.
pub(super) const PAGE: usize = 4096;
/// Digests of a page.
pub(super) const PAGE_DIGESTS: usize = PAGE / 16;

/// What is known of a page.
pub(super) type PageEntry = [u8; 5];
/// One number of the directory.
pub(super) type Place = [u8; 4];

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) hours: Hours,
    /// Made of all older segments of these hours, which count no more.
    pub(super) is_merger: bool,
    /// Of two segments the later one has the higher.
    pub(super) serial: u64,
    /// How many digests there are.
    pub(super) count: u32,
    pub(super) sums: Sums,
}

/// Checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) pages: u32,
    pub(super) directory: u32,
    pub(super) digests: u32,
}

impl Header {
    /// Its octets.
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut octets = Vec::with_capacity(HEADER);
        octets.extend(MAGIC);
        let bits = u8::try_from(directory_bits(self.count)).unwrap_or(u8::MAX);
        octets.extend([
            VERSION,
            number_of(self.kind),
            bits,
            u8::from(self.is_merger),
        ]);
        octets.extend(self.hours.first().to_le_bytes());
        octets.extend(self.hours.count().to_le_bytes());
        octets.extend(self.count.to_le_bytes());
        octets.extend(self.serial.to_le_bytes());
        for sum in [self.sums.pages, self.sums.directory, self.sums.digests] {
            octets.extend(sum.to_le_bytes());
        }
        octets.extend([0; 16]);
        octets.extend(crc32fast::hash(&octets).to_le_bytes());
        octets.try_into().unwrap_or([0; HEADER])
    }

    /// What these octets say; `None` if they are no header, or not one of this version.
    pub(super) fn decode(octets: &[u8; HEADER]) -> Option<Self> {
        let (said, sum) = octets.split_last_chunk::<4>()?;
        if crc32fast::hash(said) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (magic, rest) = said.split_first_chunk::<8>()?;
        let (&[version, kind, bits, is_merger], mut rest) = rest.split_first_chunk::<4>()?;
        let mut number = || {
            let (octets, behind) = rest.split_first_chunk::<4>()?;
            rest = behind;
            Some(u32::from_le_bytes(*octets))
        };
        let hours = Hours::of(number()?, number()?);
        let count = number()?;
        let serial = u64::from(number()?) | u64::from(number()?) << 32;
        let sums = Sums {
            pages: number()?,
            directory: number()?,
            digests: number()?,
        };
        let is_known = *magic == MAGIC && version == VERSION && is_merger <= 1;
        (is_known && u32::from(bits) == directory_bits(count)).then_some(Self {
            kind: kind_of(kind)?,
            hours,
            is_merger: is_merger == 1,
            serial,
            count,
            sums,
        })
    }
}

/// How many top bits of the index the directory goes by, until it goes by them all: so many that an entry has four to
/// eight digests, which lie in two or three of the processor's lines, and the directory takes less than an octet each.
pub(super) fn directory_bits(count: u32) -> u32 {
    (u64::from(count).saturating_mul(4) / 17)
        .checked_ilog2()
        .unwrap_or_default()
        .min(INDEX_BITS)
}

/// Where things lie in the file of so many digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Entries of the table of pages.
    pub(super) pages: usize,
    /// Numbers in the directory.
    pub(super) places: usize,
    pub(super) directory_at: u64,
    pub(super) digests_at: u64,
    /// Octets in all.
    pub(super) len: u64,
}

impl Shape {
    pub(super) fn of(count: u32) -> Self {
        let pages = (count as usize).div_ceil(PAGE_DIGESTS);
        let places = (1_usize << directory_bits(count)).saturating_add(1);
        let directory_at = (HEADER as u64).saturating_add((pages as u64).saturating_mul(5));
        let digests_at = directory_at
            .saturating_add((places as u64).saturating_mul(4))
            .next_multiple_of(PAGE as u64);
        Self {
            pages,
            places,
            directory_at,
            digests_at,
            len: digests_at.saturating_add(u64::from(count).saturating_mul(16)),
        }
    }
}

/// The table of the pages of these digests.
pub(super) fn pages_of(digests: &[Raw]) -> Vec<PageEntry> {
    let pages = digests.chunks(PAGE_DIGESTS);
    pages
        .map(|page| {
            let mut entry = [0; 5];
            let index = page.first().into_iter().flatten().take(3);
            for (octet, said) in entry.iter_mut().zip(index.chain(&page_sum(page))) {
                *octet = *said;
            }
            entry
        })
        .collect()
}

/// Half a checksum of a page.
pub(super) fn page_sum(page: &[Raw]) -> [u8; 2] {
    let [a, b, ..] = crc32fast::hash(page.as_flattened()).to_le_bytes();
    [a, b]
}

/// The index that a page begins with.
#[inline]
pub(super) const fn first_index(entry: PageEntry) -> u32 {
    let [a, b, c, ..] = entry;
    u32::from_le_bytes([a, b, c, 0])
}

/// The directory of these digests, which are sorted.
pub(super) fn directory_of(digests: &[Raw]) -> Vec<Place> {
    let count = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    let bits = directory_bits(count);
    let shift = INDEX_BITS.saturating_sub(bits);
    let places = Shape::of(count).places;
    let mut directory = Vec::with_capacity(places);
    advise(directory.spare_capacity_mut());
    for (before, raw) in (0_u32..).zip(digests) {
        let entry = (digest(*raw).index().number() >> shift) as usize;
        while directory.len() <= entry {
            directory.push(before.to_le_bytes());
        }
    }
    directory.resize(places, count.to_le_bytes());
    directory
}

/// The digests of one entry of a directory: those among which an index is, if it is anywhere.
#[inline]
pub(super) const fn entry_of(index: u32, bits: u32) -> usize {
    (index >> INDEX_BITS.saturating_sub(bits)) as usize
}

/// From one number of the directory to the next.
#[inline]
pub(super) fn between(directory: &[Place], entry: usize) -> Range<usize> {
    match directory.get(entry..entry.saturating_add(2)) {
        Some(&[start, end]) => u32::from_le_bytes(start) as usize..u32::from_le_bytes(end) as usize,
        _ => 0..0,
    }
}

/// How a header numbers a kind.
const fn number_of(kind: Kind) -> u8 {
    match kind {
        Kind::Message => 0,
        Kind::Identity => 1,
    }
}

/// The kind of this number.
const fn kind_of(number: u8) -> Option<Kind> {
    match number {
        0 => Some(Kind::Message),
        1 => Some(Kind::Identity),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Identity,
            hours: Hours::of(498_681, 24),
            is_merger: true,
            serial: u64::MAX - 7,
            count: 1000,
            sums: Sums {
                pages: 1,
                directory: 2,
                digests: u32::MAX,
            },
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_and_no_other_octets_are_one() {
        let octets = header().encode();
        assert_eq!(Header::decode(&octets), Some(header()));
        for at in 0..HEADER {
            for bit in 0..8 {
                let mut octets = octets;
                octets[at] ^= 1 << bit;
                assert_eq!(Header::decode(&octets), None, "octet {at}, bit {bit}");
            }
        }
        assert_eq!(Header::decode(&[0; HEADER]), None);
    }

    #[test]
    fn a_large_segment_takes_less_than_seventeen_octets_a_digest() {
        for count in [
            100_000_u32,
            786_431,
            786_432,
            5_952_256,
            100_000_000,
            u32::MAX,
        ] {
            let len = Shape::of(count).len;
            assert!(len < u64::from(count) * 17, "{count}: {len}");
        }
    }
}
