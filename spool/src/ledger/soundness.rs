//! Whether every flush so far has succeeded.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::LedgerError;

/// Sound until a flush fails, and then not until the next start: nobody knows what is on the disk.
#[derive(Debug, Default)]
pub(super) struct Soundness {
    is_poisoned: AtomicBool,
}

impl Soundness {
    /// Before anything is written.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        if self.is_sound() {
            Ok(())
        } else {
            Err(LedgerError::Poisoned)
        }
    }

    /// What a flush came to.
    pub(super) fn flushed(&self, flush: io::Result<()>) -> Result<(), LedgerError> {
        flush.map_err(|_| {
            self.is_poisoned.store(true, Ordering::Release);
            LedgerError::Poisoned
        })
    }

    pub(super) fn is_sound(&self) -> bool {
        !self.is_poisoned.load(Ordering::Acquire)
    }
}
