//! Lanes from which nothing is to go until the operator says so: one small file, `frozen`, a lane on a
//! line.
//!
//! Promises: [`Frozen::keep`] has made the new list durable when it returns, and a crash leaves the old
//! one or the new one. A list that cannot be read is an error, and never an empty one: mail would go
//! that somebody has stopped.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::fs::Disk;
use crate::{Lane, whole};

/// The file.
const FILE: &str = "frozen";
/// The file while it is being made.
const UNBORN: &str = "frozen.new";

/// Octets of the file that are read: some ten thousand domains.
const MAX_FILE: u64 = 1 << 20;

/// The list.
#[derive(Clone, Debug)]
pub struct Frozen {
    disk: Arc<dyn Disk>,
}

impl Frozen {
    /// The list of this data folder. Nothing is read yet.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// What is on it. Blocks.
    pub fn read(&self) -> io::Result<BTreeSet<Lane>> {
        let Some(octets) = whole::read(&*self.disk, FILE, MAX_FILE)? else {
            return Ok(BTreeSet::new());
        };
        let text = std::str::from_utf8(&octets);
        let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(text.lines().map(Lane::named).collect())
    }

    /// Keeps this list in place of what was kept. Blocks.
    pub fn keep(&self, lanes: &BTreeSet<Lane>) -> io::Result<()> {
        self.disk.create_dir("")?;
        let mut text = String::new();
        for lane in lanes {
            text.extend([lane.as_str(), "\n"]);
        }
        whole::replace(&*self.disk, FILE, UNBORN, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, LocalDisk};

    #[test]
    fn the_list_is_what_was_kept_last_and_never_a_guess() {
        let folder = tempfile::tempdir().unwrap();
        let disk = || Arc::new(LocalDisk::new(folder.path().to_path_buf()));
        let frozen = Frozen::new(disk());
        assert_eq!(frozen.read().unwrap(), BTreeSet::new());
        let all: BTreeSet<_> = ["example.org", "[192.0.2.1]"].map(Lane::named).into();
        frozen.keep(&all).unwrap();
        assert_eq!(Frozen::new(disk()).read().unwrap(), all);
        frozen.keep(&BTreeSet::new()).unwrap();
        assert_eq!(Frozen::new(disk()).read().unwrap(), BTreeSet::new());
        let file = disk().create(FILE);
        assert!(file.is_err(), "it is there");
        let file = disk().open(FILE, Access::Write).unwrap();
        file.write_at(0, b"\xff\xfe").unwrap();
        assert!(frozen.read().is_err());
    }
}
