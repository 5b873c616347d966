//! Writes the notes: a thread of its own, which gathers what waits, and removes what is old.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{debug, warn};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::event::Note;
use super::{file_name, folder};

/// Notes that may wait for the disk. At a kilobyte each they are a few megabytes; beyond that the
/// disk does not keep up, and mail goes first.
const WAITING: usize = 4_096;

/// Notes written at once.
const GATHERED: usize = 256;

/// Files kept open. Most notes are of this hour's messages, the rest of a few others'.
const OPEN: usize = 16;

/// Room that stays free for mail: the queue stops taking any at a quarter of a gigabyte, and notes
/// give way well before.
const ROOM: u64 = 512 * 1024 * 1024;

/// How notes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Where the data folder is.
    pub data_dir: PathBuf,
    /// How long after a message's arrival its notes are kept.
    pub keep: Duration,
}

/// Takes notes. Clones write into the same files; the last one gone ends the thread.
#[derive(Clone, Debug)]
pub struct Notebook(Arc<Inside>);

#[derive(Debug)]
struct Inside {
    /// None only while it is dropped.
    notes: Option<SyncSender<(QueueId, Note)>>,
    /// Notes that found no place.
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.notes = None;
        if let Some(thread) = self.thread.take() {
            // What waits is written first. A panic there has been told by its own message.
            let _ = thread.join();
        }
    }
}

impl Notebook {
    /// Starts the thread. `now` is when: what is too old is removed.
    pub fn open(keeping: &Keeping, now: Wall) -> io::Result<Self> {
        let folder = folder(&keeping.data_dir);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let (send, notes) = sync_channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        let mut writer = Writer {
            folder,
            keep: keeping.keep,
            files: HashMap::new(),
            lost: Arc::clone(&lost),
            swept: String::new(),
            failing: false,
        };
        writer.sweep(now);
        let thread = std::thread::Builder::new()
            .name(String::from("history"))
            .spawn(move || writer.run(&notes))?;
        Ok(Self(Arc::new(Inside {
            notes: Some(send),
            lost,
            thread: Some(thread),
        })))
    }

    /// Notes something, unless the disk is behind.
    pub fn note(&self, id: QueueId, note: Note) {
        let Some(notes) = &self.0.notes else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            notes.try_send((id, note))
        {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread's state.
struct Writer {
    folder: PathBuf,
    keep: Duration,
    /// Open files by name, each with when it was last used, in gathers.
    files: HashMap<String, (File, u64)>,
    lost: Arc<AtomicU64>,
    /// The hour in which the folder was last swept.
    swept: String,
    /// Told in the log already.
    failing: bool,
}

impl Writer {
    /// Until nobody can send any more.
    fn run(mut self, notes: &Receiver<(QueueId, Note)>) {
        let mut turn = 0u64;
        while let Ok(first) = notes.recv() {
            turn = turn.wrapping_add(1);
            let more = notes.try_iter().take(GATHERED);
            let mut lines: HashMap<String, Vec<u8>> = HashMap::new();
            let mut count = 0u64;
            let mut newest = Wall::default();
            for (id, note) in std::iter::once(first).chain(more) {
                let line = lines.entry(file_name(id)).or_default();
                // Strings and numbers: this does not fail.
                if serde_json::to_writer(&mut *line, &note).is_ok() {
                    line.push(b'\n');
                }
                count = count.saturating_add(1);
                newest = newest.max(id.arrived());
            }
            let written = self.write(&lines, turn);
            self.tell(written, count);
            self.sweep(newest);
        }
    }

    /// Writes each file's lines in one call, so that no line is cut by another.
    fn write(&mut self, lines: &HashMap<String, Vec<u8>>, turn: u64) -> io::Result<()> {
        let room = rustix::fs::statvfs(&self.folder)?;
        if room.f_bavail.saturating_mul(room.f_frsize) < ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for (name, octets) in lines {
            self.file(name, turn)?.write_all(octets)?;
        }
        Ok(())
    }

    /// An open file, made if it is not there.
    fn file(&mut self, name: &str, turn: u64) -> io::Result<&mut File> {
        if !self.files.contains_key(name) {
            if self.files.len() >= OPEN {
                let oldest = self.files.iter().min_by_key(|(_, (_, used))| *used);
                if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                    self.files.remove(&oldest);
                }
            }
            let file = open(&self.folder.join(name))?;
            self.files.insert(name.to_owned(), (file, turn));
        }
        match self.files.get_mut(name) {
            Some((file, used)) => {
                *used = turn;
                Ok(file)
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Says once that notes are lost, and once that they are written again.
    fn tell(&mut self, written: io::Result<()>, count: u64) {
        match written {
            Ok(()) if std::mem::take(&mut self.failing) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                warn!(lost, "history is written again");
            }
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    warn!(lost, "history could not be written fast enough");
                }
            }
            Err(error) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                // A file may be the reason: the next try opens it anew.
                self.files.clear();
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(%error, "history cannot be written; mail goes on without");
                }
            }
        }
    }

    /// Once an hour: removes the files whose messages all arrived too long ago.
    fn sweep(&mut self, now: Wall) {
        let hour = hour_of(now);
        if hour <= self.swept {
            return;
        }
        self.swept = hour;
        let kept = Wall::from_millis(
            now.as_millis()
                .saturating_sub(u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX)),
        );
        if let Err(error) = remove_before(&self.folder, &hour_of(kept)) {
            warn!(%error, "old history cannot be removed");
        }
        self.files
            .retain(|name, _| name.as_str() >= hour_of(kept).as_str());
    }
}

/// Opens a file to write at its end, which begins a line: one that a crash has cut would take the
/// next with it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true).mode(0o600);
    let mut file = options.open(path)?;
    let mut last = [b'\n'];
    if let Some(at) = file.metadata()?.len().checked_sub(1) {
        file.read_exact_at(&mut last, at)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// The hour as files are named by it.
fn hour_of(at: Wall) -> String {
    at.to_string().chars().take(13).collect()
}

/// Removes the files of hours before this one; names sort by time.
fn remove_before(folder: &Path, hour: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path
            .extension()
            .is_some_and(|extension| extension == "jsonl");
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if is_ours && stem.is_some_and(|stem| stem < hour) {
            fs::remove_file(&path)?;
            debug!(file = %path.display(), "old history removed");
        }
    }
    Ok(())
}
