//! Reads a message's notes out of its file, while the service may be writing there.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use vouchsafe_proto::queue_id::QueueId;

use super::event::Note;
use super::{file_name, folder};

/// Why notes cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct ReadError {
    /// The file.
    path: PathBuf,
    /// What the system said.
    #[source]
    source: io::Error,
}

/// A message's notes, in the order of their writing; none if nothing is known of it.
pub fn read(data_dir: &Path, id: QueueId) -> Result<Vec<Note>, ReadError> {
    let path = folder(data_dir).join(file_name(id));
    let failed = |source| ReadError {
        path: path.clone(),
        source,
    };
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened.map_err(failed)?,
    };
    let start = format!("{{\"id\":\"{id}\"");
    let mut notes = Vec::new();
    for line in BufReader::with_capacity(256 * 1024, file).split(b'\n') {
        let line = line.map_err(failed)?;
        if line.starts_with(start.as_bytes()) {
            // A line that a crash has cut is not a note.
            notes.extend(serde_json::from_slice::<Note>(&line));
        }
    }
    Ok(notes)
}
