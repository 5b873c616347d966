//! Writes the notes: a thread of its own, which gathers what waits, and removes what is old.
//!
//! A note made while nothing is being written is written at once; those of a busy service leave
//! together, at the latest [`crate::gathering::GATHERING`] later.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{debug, warn};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::event::Lines;
use super::{file_of, folder};
use crate::gathering::Gathering;

/// Octets of notes that may wait for the disk. Beyond that the disk does not keep up, and mail goes
/// first.
const WAITING: usize = 4 * 1024 * 1024;

/// Octets of space that is kept when less of it is needed.
const SPACE_KEPT: usize = 64 * 1024;

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
    notes: Arc<Gathering<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Waiting {
    /// Whole lines, by the hour (since 1970) in which their message arrived.
    hours: BTreeMap<u64, Vec<u8>>,
    /// Octets of them.
    octets: usize,
    /// How many lines they are.
    count: u64,
    /// Lines that found no place.
    lost: u64,
    /// No more will come.
    closed: bool,
}

impl Waiting {
    /// Takes notes of a message. False if there is nothing to do for it: they found no place, or are
    /// none.
    fn put(&mut self, id: QueueId, notes: &Lines) -> bool {
        let octets = self.octets.saturating_add(notes.octets.len());
        if octets > WAITING {
            self.lost = self.lost.saturating_add(notes.count);
            return false;
        }
        self.octets = octets;
        self.count = self.count.saturating_add(notes.count);
        let hour = id.arrived().as_secs() / HOUR;
        let lines = self.hours.entry(hour).or_default();
        lines.extend_from_slice(&notes.octets);
        notes.count > 0
    }

    /// Gives what waits into `batch`, whose space is given in exchange, and how many lines there are
    /// and how many were lost; none if there is nothing.
    fn take(&mut self, batch: &mut BTreeMap<u64, Vec<u8>>) -> Option<(u64, u64)> {
        if self.count == 0 {
            return None;
        }
        self.octets = 0;
        std::mem::swap(&mut self.hours, batch);
        Some((
            std::mem::take(&mut self.count),
            std::mem::take(&mut self.lost),
        ))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.notes.press(|waiting| waiting.closed = true);
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
        let notes = Arc::<Gathering<Waiting>>::default();
        let mut writer = Writer {
            folder,
            keep: keeping.keep,
            files: HashMap::new(),
            lost: 0,
            swept: String::new(),
            failing: false,
        };
        writer.sweep(now);
        let waiting = Arc::clone(&notes);
        let thread = std::thread::Builder::new()
            .name(String::from("history"))
            .spawn(move || writer.run(&waiting))?;
        Ok(Self(Arc::new(Inside {
            notes,
            thread: Some(thread),
        })))
    }

    /// Notes what became of a message, unless the disk is behind.
    pub fn note(&self, id: QueueId, notes: &Lines) {
        self.0.notes.leave(|waiting| waiting.put(id, notes));
    }
}

/// The thread's state.
struct Writer {
    folder: PathBuf,
    keep: Duration,
    /// Open files by name, each with when it was last used, in gathers.
    files: HashMap<String, (File, u64)>,
    /// Notes that were lost, and of which nothing was said yet.
    lost: u64,
    /// The hour in which the folder was last swept.
    swept: String,
    /// Told in the log already.
    failing: bool,
}

impl Writer {
    /// Until no more will come.
    fn run(mut self, notes: &Gathering<Waiting>) {
        let mut turn = 0u64;
        let mut batch = BTreeMap::new();
        // What waits is written first, also when no more will come.
        let next = |batch: &mut _| {
            notes.take(|waiting| match waiting.take(batch) {
                None if waiting.closed => Some(None),
                taken => taken.map(Some),
            })
        };
        while let Some((count, lost)) = next(&mut batch) {
            turn = turn.wrapping_add(1);
            self.lost = self.lost.saturating_add(lost);
            let newest = batch.last_key_value().map(|(hour, _)| *hour);
            let written = self.write(&batch, turn);
            self.tell(written, count);
            self.sweep(Wall::from_secs(
                newest.unwrap_or_default().saturating_mul(HOUR),
            ));
            // What comes next is most likely of the same hour, and has its space.
            batch.retain(|hour, lines| {
                lines.clear();
                lines.shrink_to(SPACE_KEPT);
                Some(*hour) == newest
            });
            notes.gather(|waiting| waiting.closed);
        }
    }

    /// Writes each file's lines in one call, so that no line is cut by another.
    fn write(&mut self, hours: &BTreeMap<u64, Vec<u8>>, turn: u64) -> io::Result<()> {
        let room = rustix::fs::statvfs(&self.folder)?;
        if room.f_bavail.saturating_mul(room.f_frsize) < ROOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        for (hour, lines) in hours.iter().filter(|(_, lines)| !lines.is_empty()) {
            let name = file_of(Wall::from_secs(hour.saturating_mul(HOUR)));
            self.file(&name, turn)?.write_all(lines)?;
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
                let lost = std::mem::take(&mut self.lost);
                warn!(lost, "history is written again");
            }
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    warn!(lost, "history could not be written fast enough");
                }
            }
            Err(error) => {
                self.lost = self.lost.saturating_add(count);
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

/// Seconds.
const HOUR: u64 = 3_600;

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
