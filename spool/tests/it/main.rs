//! The local engine, on real folders and on a disk that fails, forgets and runs full.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod mail;
mod queue;
