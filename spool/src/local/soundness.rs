//! Whether what we write can still be believed.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs::DiskFile;

/// Whether what we write can still be believed.
#[derive(Debug, Default)]
pub(super) struct Soundness {
    /// A flush has failed. The kernel may have dropped what it could not write and will not say so
    /// twice, so this never goes back.
    poisoned: AtomicBool,
}

impl Soundness {
    /// Closes the spool for writing until the next start.
    pub(super) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    /// True once anything was poisoned.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Makes a file's content durable, and poisons if that fails.
    pub(super) fn flush(&self, file: &dyn DiskFile) -> io::Result<()> {
        file.sync_data().inspect_err(|_| self.poison())?;
        // The kernel says an error once: to another flush of the same file, if that came first.
        if self.is_poisoned() {
            return Err(io::Error::other("another flush has failed"));
        }
        Ok(())
    }
}
