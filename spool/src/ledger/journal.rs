//! The journal: what was entered since the segments were made, in the order it came.
//!
//! A file `journal-<serial>`, of frames: how many records (4), a checksum (4) of the journal's serial, the frame's
//! place in the file, that number and the records; the records, of 20 octets: kind (the top bit) and hour (4), digest
//! (16). All little-endian. A file is added to by one process only; the next begins one of its own.
//!
//! Promises: what is read back is what was written, up to the first frame that is not whole. A write that failed leaves
//! nothing that is read, and the next one takes its place. Left to others: flushing what is [`Journal::due`], and ending
//! all writing if that fails.

use std::io;
use std::sync::Arc;

use vouchsafe_proto::residue::{Hour, Kind};

use super::error::LedgerError;
use super::files::{FOLDER, journal_name};
use super::question::Entry;
use super::sort::{Raw, digest, raw};
use crate::fs::{Access, Disk, DiskFile};

/// Octets before a frame's records.
const HEAD: usize = 8;
/// Octets of a record.
const RECORD: usize = 20;
/// Records of a frame.
const MOST: usize = 8192;
/// Octets that are read at a time: some of the largest frames.
const WINDOW: u64 = 1 << 20;
/// Marks the kind.
const IDENTITY: u32 = 1 << 31;

/// What is being written.
#[derive(Debug, Default)]
pub(super) struct Journal {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    name: String,
    serial: u64,
    file: Arc<dyn DiskFile>,
    end: u64,
    /// Octets that are durable.
    durable: u64,
    /// Its name is durable, and in the record.
    is_named: bool,
}

/// What is to be flushed.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) name: String,
    serial: u64,
    pub(super) file: Arc<dyn DiskFile>,
    /// Octets that are durable afterwards.
    pub(super) end: u64,
    /// Its name is already.
    pub(super) is_named: bool,
}

impl Journal {
    /// Writes these, by one call. `serial` is asked for a number where a file is begun.
    pub(super) fn write(
        &mut self,
        disk: &dyn Disk,
        serial: impl FnOnce() -> u64,
        entries: &[Entry],
    ) -> Result<(), LedgerError> {
        let current = match &mut self.current {
            Some(current) => current,
            none => none.insert(Current::begin(disk, serial())?),
        };
        let octets = frames(current.serial, current.end, entries);
        current
            .file
            .write_at(current.end, &octets)
            .map_err(LedgerError::of_write)?;
        current.end = current.end.saturating_add(octets.len() as u64);
        Ok(())
    }

    /// What is to be flushed; none if all is.
    pub(super) fn due(&self) -> Option<Due> {
        let current = self.current.as_ref()?;
        (current.end > current.durable).then(|| Due {
            name: current.name.clone(),
            serial: current.serial,
            file: Arc::clone(&current.file),
            end: current.end,
            is_named: current.is_named,
        })
    }

    /// That was flushed, and its name too.
    pub(super) fn flushed(&mut self, due: &Due) {
        let current = self.current.as_mut();
        if let Some(current) = current.filter(|current| current.serial == due.serial) {
            current.durable = current.durable.max(due.end);
            current.is_named = true;
        }
    }

    /// The file's name, and how much of it is durable.
    pub(super) fn durable(&self) -> Option<(String, u64)> {
        let current = self.current.as_ref()?;
        Some((current.name.clone(), current.durable))
    }

    /// Ends the file, and gives its name. It must have been flushed.
    pub(super) fn end(&mut self) -> Option<String> {
        self.current.take().map(|current| current.name)
    }
}

impl Current {
    fn begin(disk: &dyn Disk, serial: u64) -> Result<Self, LedgerError> {
        let name = journal_name(serial);
        let file = disk.create(&name).map_err(LedgerError::of_write)?;
        Ok(Self {
            name,
            serial,
            file,
            end: 0,
            durable: 0,
            is_named: false,
        })
    }
}

/// As many frames as it takes, the first at `at`.
fn frames(serial: u64, at: u64, entries: &[Entry]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(entries.len().saturating_mul(RECORD).saturating_add(HEAD));
    for entries in entries.chunks(MOST) {
        let place = at.saturating_add(octets.len() as u64);
        let mut records = Vec::with_capacity(entries.len().saturating_mul(RECORD));
        for entry in entries {
            let kind = match entry.kind {
                Kind::Message => 0,
                Kind::Identity => IDENTITY,
            };
            records.extend((kind | entry.hour.number()).to_le_bytes());
            records.extend(raw(entry.digest));
        }
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        octets.extend(count.to_le_bytes());
        octets.extend(sum(serial, place, count, &records).to_le_bytes());
        octets.extend(records);
    }
    octets
}

fn sum(serial: u64, at: u64, count: u32, records: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&serial.to_le_bytes());
    crc.update(&at.to_le_bytes());
    crc.update(&count.to_le_bytes());
    crc.update(records);
    crc.finalize()
}

/// Hands out what a journal holds, frame by frame, and gives how many octets that were, and how many lie behind. What a
/// process has left in the cache is made durable first: it is not to be believed before.
pub(super) fn read_back(
    disk: &dyn Disk,
    serial: u64,
    mut each: impl FnMut(&[Entry]),
) -> io::Result<(u64, u64)> {
    let file = disk.open(&journal_name(serial), Access::Write)?;
    file.sync_data()?;
    disk.sync_dir(FOLDER)?;
    let len = file.len()?;
    let mut at = 0_u64;
    loop {
        let left = len.saturating_sub(at);
        let mut window = vec![0; usize::try_from(left.min(WINDOW)).unwrap_or_default()];
        file.read_at(at, &mut window)?;
        let mut rest = window.as_slice();
        let began = at;
        while let Some((entries, behind)) = frame(serial, at, rest) {
            each(&entries);
            at = at.saturating_add(rest.len().saturating_sub(behind.len()) as u64);
            rest = behind;
        }
        if at == began {
            return Ok((at, left));
        }
    }
}

/// The frame at the start, and what is behind it.
fn frame(serial: u64, at: u64, octets: &[u8]) -> Option<(Vec<Entry>, &[u8])> {
    let (count, rest) = octets.split_first_chunk::<4>()?;
    let (said, rest) = rest.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count);
    if count == 0 || count as usize > MOST {
        return None;
    }
    let (records, behind) = rest.split_at_checked((count as usize).checked_mul(RECORD)?)?;
    if sum(serial, at, count, records) != u32::from_le_bytes(*said) {
        return None;
    }
    let (records, _) = records.as_chunks::<RECORD>();
    let entries: Option<Vec<_>> = records.iter().map(entry).collect();
    Some((entries?, behind))
}

fn entry(record: &[u8; RECORD]) -> Option<Entry> {
    let (head, rest) = record.split_first_chunk::<4>()?;
    let head = u32::from_le_bytes(*head);
    let kind = if head & IDENTITY == 0 {
        Kind::Message
    } else {
        Kind::Identity
    };
    let raw: &Raw = rest.first_chunk()?;
    Some(Entry {
        kind,
        hour: Hour::new(head & !IDENTITY)?,
        digest: digest(*raw),
    })
}
