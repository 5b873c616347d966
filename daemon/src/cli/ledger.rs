//! `ledger`: what was sent, as the service keeps it; and entering what other hosts send.
//!
//! `stat` and `verify` read the files, whether or not a service runs. `add` goes through the running service, which
//! alone may write: a message is in the ledger, durably, when it ends with 0.

mod add;
mod files;

use clap::Subcommand;

use super::Ended;

/// `vouchsafe ledger ...`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what is in it, and since when everything is
    Stat(files::Stat),
    /// Read all of it, and compare everything in it with everything else
    Verify(files::Verify),
    /// Enter messages that another host is about to send
    Add(add::Command),
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    match command {
        Command::Stat(command) => files::stat(command),
        Command::Verify(command) => files::verify(command),
        Command::Add(command) => add::run(command),
    }
}
