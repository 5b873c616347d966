//! A segment: the digests of one kind and some hours, immutable, in a file and perhaps in memory.
//!
//! In memory it is what lies in the file ([`super::format`]); nothing is built when it is read. Promises: a segment
//! that was written has its content durable, its name not yet; what is damaged is said to be, and never answers
//! "not found" for it (a page read by itself is recognised but for one time in 65,536, a whole segment but for one in
//! 2^32). Left to others: the folder's flush, and which segments there are.

use std::io;
use std::sync::Arc;

use vouchsafe_proto::residue::Index;

use super::error::LedgerError;
use super::format::{
    HEADER, Header, PAGE_DIGESTS, PageEntry, Place, Shape, Sums, between, directory_bits,
    directory_of, entry_of, first_index, page_sum, pages_of,
};
use super::large::advise;
use super::prefetch::{prefetch, prefetch_for_later};
use super::question::Question;
use super::sort::{Raw, digest, key};
use super::soundness::Soundness;
use crate::fs::{Access, Disk, DiskFile};

/// One segment, open.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Of its file, with the folder.
    pub(super) name: Arc<str>,
    pub(super) header: Header,
    file: Arc<dyn DiskFile>,
    pages: Arc<[PageEntry]>,
    resident: Option<Arc<Resident>>,
}

/// What of a segment is in memory only to be fast.
#[derive(Debug)]
pub(super) struct Resident {
    bits: u32,
    directory: Vec<Place>,
    digests: Vec<Raw>,
}

impl Resident {
    /// Has the place fetched where the directory has an index.
    #[inline]
    pub(super) fn fetch_entry(&self, index: Index) {
        if let Some(place) = self.directory.get(entry_of(index.number(), self.bits)) {
            prefetch(place);
        }
    }

    /// The digests among which those of an index are, and has them fetched.
    #[inline]
    pub(super) fn fetch_digests(&self, index: Index) -> &[Raw] {
        let range = between(&self.directory, entry_of(index.number(), self.bits));
        let digests = self.digests.get(range).unwrap_or_default();
        // A line has four; one that begins within a line ends in another.
        for raw in digests.iter().step_by(4).chain(digests.last()) {
            prefetch_for_later(raw);
        }
        digests
    }
}

/// Whether one of these digests is asked for.
#[inline]
pub(super) fn is_among(digests: &[Raw], question: &Question) -> bool {
    digests.iter().any(|raw| question.asks_for(digest(*raw)))
}

impl Segment {
    /// Writes a segment of these digests, which are sorted and each there once, under `name`. Its count and its sums
    /// are found here. Its content is durable; its name is not until the folder is flushed.
    pub(super) fn write(
        disk: &dyn Disk,
        sound: &Soundness,
        name: &str,
        mut header: Header,
        digests: Vec<Raw>,
    ) -> Result<Self, LedgerError> {
        let many = |_| LedgerError::Write(io::ErrorKind::FileTooLarge.into());
        header.count = u32::try_from(digests.len()).map_err(many)?;
        let (pages, directory) = (pages_of(&digests), directory_of(&digests));
        header.sums = Sums {
            pages: crc32fast::hash(pages.as_flattened()),
            directory: crc32fast::hash(directory.as_flattened()),
            digests: crc32fast::hash(digests.as_flattened()),
        };
        let mut tables = header.encode().to_vec();
        tables.extend(pages.as_flattened());
        tables.extend(directory.as_flattened());
        let unborn = format!("{name}.new");
        let file = disk.create(&unborn).map_err(LedgerError::of_write)?;
        let written = file.write_at(0, &tables).and_then(|()| {
            file.write_at(Shape::of(header.count).digests_at, digests.as_flattened())
        });
        let done = written.map_err(LedgerError::of_write).and_then(|()| {
            sound.flushed(file.sync_data())?;
            disk.rename(&unborn, name).map_err(LedgerError::of_write)
        });
        if let Err(error) = done {
            // It takes room. If it stays, the next start takes it away.
            let _ = disk.remove(&unborn);
            return Err(error);
        }
        let resident = Resident {
            bits: directory_bits(header.count),
            directory,
            digests,
        };
        Ok(Self {
            name: name.into(),
            header,
            file,
            pages: pages.into(),
            resident: Some(Arc::new(resident)),
        })
    }

    /// Opens a segment. Nothing but its header and the table of its pages is read.
    pub(super) fn open(disk: &dyn Disk, name: &str) -> Result<Self, LedgerError> {
        let damaged = || LedgerError::Damaged(name.to_owned());
        let file = disk.open(name, Access::Read).map_err(LedgerError::Read)?;
        let len = file.len().map_err(LedgerError::Read)?;
        if len < HEADER as u64 {
            return Err(damaged());
        }
        let mut octets = [0; HEADER];
        file.read_at(0, &mut octets).map_err(LedgerError::Read)?;
        let header = Header::decode(&octets).ok_or_else(damaged)?;
        let shape = Shape::of(header.count);
        if len != shape.len {
            return Err(damaged());
        }
        let mut pages: Vec<PageEntry> = vec![[0; 5]; shape.pages];
        file.read_at(HEADER as u64, pages.as_flattened_mut())
            .map_err(LedgerError::Read)?;
        if crc32fast::hash(pages.as_flattened()) != header.sums.pages {
            return Err(damaged());
        }
        Ok(Self {
            name: name.into(),
            header,
            file,
            pages: pages.into(),
            resident: None,
        })
    }

    /// What is in memory, if it is.
    #[inline]
    pub(super) fn resident(&self) -> Option<&Resident> {
        self.resident.as_deref()
    }

    /// The same, in memory or not.
    pub(super) fn settled(&self, in_memory: bool) -> Result<Self, LedgerError> {
        let mut settled = self.clone();
        match (in_memory, &self.resident) {
            (false, _) => settled.resident = None,
            (true, Some(_)) => {}
            (true, None) => settled.resident = Some(Arc::new(self.read()?)),
        }
        Ok(settled)
    }

    /// Reads all of it.
    fn read(&self) -> Result<Resident, LedgerError> {
        let shape = Shape::of(self.header.count);
        let mut directory: Vec<Place> = vec![[0; 4]; shape.places];
        let mut digests: Vec<Raw> = vec![[0; 16]; self.header.count as usize];
        advise(&mut directory);
        advise(&mut digests);
        self.file
            .read_at(shape.directory_at, directory.as_flattened_mut())
            .and_then(|()| {
                self.file
                    .read_at(shape.digests_at, digests.as_flattened_mut())
            })
            .map_err(LedgerError::Read)?;
        let sums = self.header.sums;
        if crc32fast::hash(directory.as_flattened()) != sums.directory
            || crc32fast::hash(digests.as_flattened()) != sums.digests
        {
            return Err(self.damaged());
        }
        Ok(Resident {
            bits: directory_bits(self.header.count),
            directory,
            digests,
        })
    }

    /// All digests, as they lie in the file, whose checksum is that of its header.
    pub(super) fn digests(&self) -> Result<Vec<Raw>, LedgerError> {
        Ok(self.read()?.digests)
    }

    /// Reads all of the file and compares everything in it with everything else.
    pub(super) fn verify(&self) -> Result<(), LedgerError> {
        let read = self.read()?;
        let is_sorted = read
            .digests
            .is_sorted_by(|one, next| key(*one) < key(*next));
        let is_sound = is_sorted
            && directory_of(&read.digests) == read.directory
            && pages_of(&read.digests) == *self.pages;
        if is_sound {
            Ok(())
        } else {
            Err(self.damaged())
        }
    }

    /// Looks into the file, by one read.
    pub(super) fn look_on_disk(&self, question: &Question) -> Result<bool, LedgerError> {
        let index = question.index.number();
        // Digests of this index may stand at the end of the page before the first that begins with it, too.
        let behind = self
            .pages
            .partition_point(|page| first_index(*page) <= index);
        let first = self
            .pages
            .partition_point(|page| first_index(*page) < index)
            .saturating_sub(1);
        let pages = self.pages.get(first..behind).unwrap_or_default();
        if pages.is_empty() {
            return Ok(false);
        }
        let start = first.saturating_mul(PAGE_DIGESTS);
        let end = behind
            .saturating_mul(PAGE_DIGESTS)
            .min(self.header.count as usize);
        let mut digests: Vec<Raw> = vec![[0; 16]; end.saturating_sub(start)];
        let at = (start as u64).saturating_mul(16);
        self.file
            .read_at(
                Shape::of(self.header.count).digests_at.saturating_add(at),
                digests.as_flattened_mut(),
            )
            .map_err(LedgerError::Read)?;
        let mut read = digests.chunks(PAGE_DIGESTS).zip(pages);
        let is_sound = read.all(|(page, [.., d, e])| page_sum(page) == [*d, *e]);
        if !is_sound {
            return Err(self.damaged());
        }
        Ok(is_among(&digests, question))
    }

    fn damaged(&self) -> LedgerError {
        LedgerError::Damaged(self.name.to_string())
    }
}
