//! What next hops have said of recipients, kept across restarts: one small file, `recipients`.
//!
//! Promises: [`Recipients::keep`] has made the new file durable when it returns, and a crash leaves the
//! old one or the new one. Unlike the queue nothing here is owed to anybody: losing it loses nothing but
//! knowledge.
//!
//! Left to others: what the file says, and how old that is.

use std::io;
use std::sync::Arc;

use crate::fs::Disk;
use crate::whole;

/// The file.
const FILE: &str = "recipients";
/// The file while it is being made.
const UNBORN: &str = "recipients.new";

/// Octets of the file that are read: all that is ever remembered, were every address as long as SMTP allows
/// it to be.
const MAX_FILE: u64 = 64 << 20;

/// The file.
#[derive(Clone, Debug)]
pub struct Recipients {
    disk: Arc<dyn Disk>,
}

impl Recipients {
    /// The file of this data folder. Nothing is read yet.
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// What it says; nothing if it is not there. What is no UTF-8 in it is replaced. Blocks.
    pub fn read(&self) -> io::Result<String> {
        let octets = whole::read(&*self.disk, FILE, MAX_FILE)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&octets).into_owned())
    }

    /// Keeps this in place of what was kept. Blocks.
    pub fn keep(&self, text: &str) -> io::Result<()> {
        self.disk.create_dir("")?;
        whole::replace(&*self.disk, FILE, UNBORN, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Access, LocalDisk};

    #[test]
    fn it_says_what_was_kept_last_and_nothing_at_first() {
        let folder = tempfile::tempdir().unwrap();
        let disk = || Arc::new(LocalDisk::new(folder.path().to_path_buf()));
        let recipients = Recipients::new(disk());
        assert_eq!(recipients.read().unwrap(), "");
        for text in ["one\ntwo\n", "three\n"] {
            recipients.keep(text).unwrap();
            assert_eq!(Recipients::new(disk()).read().unwrap(), text);
        }
        let file = disk().open(FILE, Access::Write).unwrap();
        file.write_at(0, b"\xff").unwrap();
        assert!(recipients.read().unwrap().ends_with("hree\n"));
    }
}
