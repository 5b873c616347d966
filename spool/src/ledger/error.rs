//! Why the ledger could not do something.

use std::io;

use crate::fs::is_full;

/// Why something could not be written, or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A flush has failed, now or before: nothing is written any more. Questions are still answered.
    #[error("the ledger is closed after a failed flush")]
    Poisoned,
    /// The disk is full.
    #[error("no room left")]
    NoSpace,
    /// Something else, before the flush.
    #[error("writing the ledger")]
    Write(#[source] io::Error),
    /// A file could not be read.
    #[error("reading the ledger")]
    Read(#[source] io::Error),
    /// A file is not what was written.
    #[error("{0} is damaged")]
    Damaged(String),
}

impl LedgerError {
    /// Of a write that has failed.
    pub(super) fn of_write(error: io::Error) -> Self {
        if is_full(&error) {
            Self::NoSpace
        } else {
            Self::Write(error)
        }
    }
}
