//! The record of what is covered, and which files there are: the file `coverage`.
//!
//! A line with a checksum, and a line of JSON. Promises: what was written is durable and read again, or nothing is; a
//! copy of the file is told from the file that was written, where the filesystem says when a file was made. (One that
//! is linked, or a disk that was set back as a whole, is not: that a long stop is a gap is for those.)

use std::io;

use serde::{Deserialize, Serialize};

use super::coverage::{Origin, Record};
use super::files::FOLDER;
use crate::fs::Disk;
use crate::whole;

/// The file.
const FILE: &str = "ledger/coverage";
/// The file while it is being made.
const UNBORN: &str = "ledger/coverage.new";

/// Octets of the file that are read: some hundred thousand domains.
const MOST: u64 = 16 << 20;

/// How the first line begins.
const MAGIC: &str = "vouchsafe coverage 1 ";

#[derive(Serialize, Deserialize)]
struct Written<R> {
    /// When the file was made.
    born: Option<u64>,
    record: R,
}

/// What was written last, and whether it is that.
pub(super) fn read(disk: &dyn Disk) -> io::Result<(Option<Record>, Origin)> {
    let octets = match whole::read(disk, FILE, MOST) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Ok((None, Origin::Other));
        }
        octets => octets?,
    };
    let Some(octets) = octets else {
        return Ok((None, Origin::None));
    };
    let Some(written) = decode(&octets) else {
        return Ok((None, Origin::Other));
    };
    let is_own = written.born == disk.born(FILE)?;
    let origin = if is_own { Origin::Own } else { Origin::Other };
    Ok((Some(written.record), origin))
}

fn decode(octets: &[u8]) -> Option<Written<Record>> {
    let text = std::str::from_utf8(octets).ok()?;
    let (sum, json) = text.strip_prefix(MAGIC)?.split_once('\n')?;
    let is_sound = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json.as_bytes());
    is_sound.then(|| serde_json::from_str(json).ok())?
}

/// Puts this in place of what was written. Blocks for three flushes.
pub(super) fn write(disk: &dyn Disk, record: &Record) -> io::Result<()> {
    match disk.remove(UNBORN) {
        // Durably: else a crash could leave this one under the name that the next one is given.
        Ok(()) => disk.sync_dir(FOLDER)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(UNBORN)?;
    let born = disk.born(UNBORN)?;
    let json = serde_json::to_string(&Written { born, record })?;
    let sum = crc32fast::hash(json.as_bytes());
    file.write_at(0, format!("{MAGIC}{sum:08x}\n{json}").as_bytes())?;
    file.sync_data()?;
    disk.rename(UNBORN, FILE)?;
    disk.sync_dir(FOLDER)
}
