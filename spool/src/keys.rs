//! The keys of a data folder: small files of 32 octets drawn once. `hop-key` makes our marks on held paths
//! (XVIA); from `asking-key` follow the primes of the questions that we ask about messages (`_sent`).
//!
//! Promises: a key that was given is durable, so that after a restart, and after a crash, a path that
//! came by here before is known again, and a message is asked about by the same prime. A file of another length is no
//! key; a new one takes its place: all that hangs on the old one are loops that are under way, and messages asked
//! about lately. Nobody else may read it: the files of [`crate::fs`] are the service's own.

use std::io;

use crate::fs::Disk;
use crate::whole;

/// Octets of a key: as many as the MACs that are made with it have.
pub const KEY: usize = 32;

/// One of the files, and that file while it is being made.
struct Key {
    file: &'static str,
    unborn: &'static str,
}

/// What makes our marks on held paths.
const HOP: Key = Key {
    file: "hop-key",
    unborn: "hop-key.new",
};

/// What questions' primes follow from.
const ASKING: Key = Key {
    file: "asking-key",
    unborn: "asking-key.new",
};

/// The key of our marks on held paths, which is made if it is not there. Blocks. Only one process may do this
/// at a time: the one that has the queue.
pub fn hop_key(disk: &dyn Disk) -> io::Result<[u8; KEY]> {
    HOP.kept_or_drawn(disk)
}

/// The key that questions' primes follow from, which is made if it is not there. Blocks. Only one process may do
/// this at a time: the one that has the queue.
pub fn asking_key(disk: &dyn Disk) -> io::Result<[u8; KEY]> {
    ASKING.kept_or_drawn(disk)
}

/// The same if it is there; makes none. Blocks. Any process that may read the folder may do this.
pub fn kept_asking_key(disk: &dyn Disk) -> io::Result<Option<[u8; KEY]>> {
    ASKING.kept(disk)
}

impl Key {
    /// What the file holds, if it is a key.
    fn kept(&self, disk: &dyn Disk) -> io::Result<Option<[u8; KEY]>> {
        match whole::read(disk, self.file, KEY as u64) {
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(None),
            kept => Ok(kept?.and_then(|octets| octets.try_into().ok())),
        }
    }

    /// The same, or a new key, which the file then holds.
    fn kept_or_drawn(&self, disk: &dyn Disk) -> io::Result<[u8; KEY]> {
        if let Some(key) = self.kept(disk)? {
            // Whoever made it may have ended before its name was durable.
            disk.sync_dir("")?;
            return Ok(key);
        }
        let mut key = [0; KEY];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        disk.create_dir("")?;
        whole::replace(disk, self.file, self.unborn, &key)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, LocalDisk};

    /// What gives a key.
    type Give = fn(&dyn Disk) -> io::Result<[u8; KEY]>;

    #[test]
    fn a_key_is_drawn_once_and_a_stump_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let disk = LocalDisk::new(folder.path().to_path_buf());
        for (which, made) in [(HOP, hop_key as Give), (ASKING, asking_key as Give)] {
            assert_eq!(which.kept(&disk).unwrap(), None);
            let key = made(&disk).unwrap();
            assert_ne!(key, [0; KEY]);
            assert_eq!(made(&disk).unwrap(), key);
            assert_eq!(which.kept(&disk).unwrap(), Some(key));
            for len in [0, 31, 33] {
                let file = disk.open(which.file, Access::Write).unwrap();
                file.set_len(len).unwrap();
                assert_eq!(which.kept(&disk).unwrap(), None, "{len}");
                let next = made(&disk).unwrap();
                assert_eq!(made(&disk).unwrap(), next, "{len}");
            }
        }
        assert_ne!(hop_key(&disk).unwrap(), asking_key(&disk).unwrap());
        let other = tempfile::tempdir().unwrap();
        let other = LocalDisk::new(other.path().to_path_buf());
        assert_ne!(hop_key(&other).unwrap(), hop_key(&disk).unwrap());
        assert_eq!(kept_asking_key(&other).unwrap(), None);
    }
}
