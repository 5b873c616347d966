//! The local engine, on real folders and on a disk that fails, forgets and runs full.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod chance;
mod compact;
mod crash;
mod damage;
mod disk;
mod faults;
mod format;
mod history;
mod image;
mod keys;
mod kill;
mod ledger;
mod ledger_coverage;
mod ledger_crash;
mod mail;
mod model;
mod outcomes;
mod queue;
mod story;
mod takeover;
mod vouching;
