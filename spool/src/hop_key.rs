//! The key that our marks on held paths are made with (XVIA): a small file, `hop-key`, of 32 octets drawn
//! once.
//!
//! Promises: the key that was given is durable, so that after a restart, and after a crash, a path that
//! came by here before is known again. A file of another length is no key; a new one takes its place, since
//! all that hangs on the old one are loops that are under way. Nobody else may read it: the files of
//! [`crate::fs`] are the service's own.

use std::io;

use crate::fs::Disk;
use crate::whole;

/// The file.
const FILE: &str = "hop-key";
/// The file while it is being made.
const UNBORN: &str = "hop-key.new";

/// Octets of a key: as many as its MAC has.
pub const HOP_KEY: usize = 32;

/// The key of this data folder, which is made if it is not there. Blocks. Only one process may do this at a
/// time: the one that has the queue.
pub fn hop_key(disk: &dyn Disk) -> io::Result<[u8; HOP_KEY]> {
    let kept = match whole::read(disk, FILE, HOP_KEY as u64) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
        kept => kept?,
    };
    if let Some(key) = kept.and_then(|octets| octets.try_into().ok()) {
        // Whoever made it may have ended before its name was durable.
        disk.sync_dir("")?;
        return Ok(key);
    }
    let mut key = [0; HOP_KEY];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    disk.create_dir("")?;
    whole::replace(disk, FILE, UNBORN, &key)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, LocalDisk};

    #[test]
    fn a_key_is_drawn_once_and_a_stump_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(folder.path().to_path_buf());
        let key = hop_key(&disk).unwrap();
        assert_ne!(key, [0; HOP_KEY]);
        assert_eq!(hop_key(&disk).unwrap(), key);
        for len in [0, 31, 33] {
            let file = disk.open(FILE, Access::Write).unwrap();
            file.set_len(len).unwrap();
            let next = hop_key(&disk).unwrap();
            assert_eq!(hop_key(&disk).unwrap(), next, "{len}");
        }
        let other = tempfile::tempdir().unwrap();
        let other = LocalDisk::new(other.path().to_path_buf());
        assert_ne!(hop_key(&other).unwrap(), key);
    }
}
