//! What the primes of the questions follow from: the key that is kept in the data folder, or one drawn for this call.
//!
//! The key is read and never made here: only the service, which has the queue, may make it, and whoever runs a command may
//! be another user, whose file the service could not read.

use std::path::Path;

use anyhow::anyhow;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::kept_asking_key;

use crate::chance;
use crate::cli::{Exit, Failure, OrExit as _};
use crate::ledger::Secret;

/// Where the primes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primes {
    /// From the key that is kept: the next call asks by the same ones.
    Kept,
    /// From one that was drawn for this call; why, where another was wanted.
    Fresh(Option<String>),
    /// From the command line.
    Given,
}

/// The secret, with the key of this folder, if one is named and has one.
pub fn secret(folder: Option<&Path>) -> Result<(Secret, Primes), Failure> {
    let why = match folder {
        None => None,
        Some(folder) => match kept_asking_key(&LocalDisk::new(folder.to_path_buf())) {
            Ok(Some(key)) => return Ok((Secret::new(&key), Primes::Kept)),
            Ok(None) => Some(format!("no asking-key in {}", folder.display())),
            Err(error) => Some(format!(
                "the asking-key in {} cannot be read: {error}",
                folder.display()
            )),
        },
    };
    let drawn = chance::octets::<32>().ok_or_else(|| anyhow!("the system gives no random octets"));
    let secret = Secret::new(&drawn.or_exit(Exit::Software)?);
    Ok((secret, Primes::Fresh(why)))
}
