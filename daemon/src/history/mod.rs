//! What became of each message, kept after it has left: for `vouchsafe trace`.
//!
//! [`Kept`] stands around the queue and notes each change of custody as it happens: taken, attempted,
//! reported, gone. A note is a line of JSON in a file of the hour in which its message arrived, so
//! that a message's whole life lies in one file, whenever it ends, and a file can be removed whole.
//!
//! Promises: noting never delays mail and never fails it; notes are written in order, by a thread
//! of its own; a note that cannot be written is counted and told in the log. It does not promise to
//! be complete: a crash loses the notes of its last moments, and on a disk that runs full notes give
//! way to mail. What is owed is in the queue, not here.
//!
//! Files: `event` what a note says; `kept` the queue with a memory; `writer` and [`read`] the files.

pub mod event;
mod kept;
mod read;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

pub use self::kept::Kept;
pub use self::read::read;
pub use self::writer::{Keeping, Notebook};

/// The folder of the files, within the data folder.
fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("history")
}

/// The file of a message's notes.
fn file_name(id: QueueId) -> String {
    file_of(id.arrived())
}

/// The file of those that arrived in the hour of this moment: `2026-11-22T06.jsonl`.
fn file_of(arrived: Wall) -> String {
    let arrived = arrived.to_string();
    // `2026-11-22T06:50:01Z`: the hour ends behind the thirteenth character.
    format!("{}.jsonl", arrived.get(..13).unwrap_or("unknown"))
}
