//! Small files that are read and replaced as a whole: the queue's marker, the list of frozen lanes, the
//! policies of other domains, what next hops have said of recipients.
//!
//! Promises: when [`replace`] returns, the new file is durable; a crash leaves the old one or the new
//! one under the file's name, never a mixture, however many crashes follow each other. Left to
//! others: what the files say, and whether a failure poisons anything.

use std::io;

use crate::fs::{Access, Disk};

/// All of a file, if it is there. One of more than `max` octets is an error, not a part.
pub fn read(disk: &dyn Disk, name: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(name, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let length = file.len()?;
    if length > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut octets = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_at(0, &mut octets)?;
    Ok(Some(octets))
}

/// Puts these octets in place of the file `name`, which need not be there, by way of the file
/// `unborn` beside it. Blocks for two flushes, or three where a crash has left that one.
pub fn replace(disk: &dyn Disk, name: &str, unborn: &str, octets: &[u8]) -> io::Result<()> {
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    match disk.remove(unborn) {
        // Durably: else a crash could leave this one under the name that the next one is given.
        Ok(()) => disk.sync_dir(folder)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = disk.create(unborn)?;
    file.write_at(0, octets)?;
    file.sync_data()?;
    disk.rename(unborn, name)?;
    disk.sync_dir(folder)
}
