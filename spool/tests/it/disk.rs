//! A disk in memory that runs full, fails when told to, and remembers every write, so that a test
//! can ask what would be left of it after a crash at any moment (`image.rs`).
//!
//! It is as strict as POSIX allows a filesystem to be: a name is durable only once its folder was
//! flushed, an octet and a file's length only once the file was. A flush covers what was written
//! before it began, not what came while it ran; and the octets that a failed flush was to cover are covered by
//! no later one, as with kernels that say such an error once and drop the octets.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use vouchsafe_spool::fs::{Access, Disk, DiskFile, Held, Listed, Lock};

use crate::image::{self, Crash, Image};

const PAGE: u64 = 4096;

/// Times that a flush lets other threads go on before it ends: what they write meanwhile it does
/// not cover.
const TURNS: usize = 3;

/// A write, a change of names, or a flush.
#[derive(Clone, Debug)]
pub enum Op {
    Create {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    Write {
        file: usize,
        offset: u64,
        octets: Bytes,
    },
    SetLen {
        file: usize,
        len: u64,
    },
    /// The end of a flush.
    Sync {
        of: Of,
        /// Operations there had been when it began.
        began: usize,
        failed: bool,
    },
}

/// What is flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    File(usize),
    Folder(String),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fault {
    #[default]
    Never,
    /// The call after this many.
    Call(u64),
    /// The call after this many that needs room finds none.
    Room(u64),
    /// The write after this many is done by half, and then fails.
    Torn(u64),
    /// The flush after this many.
    Sync(u64),
    /// The flush after this many does what it is to do, and then the caller panics.
    Panic(u64),
    /// Whatever would change anything after this many such calls, for good: the filesystem has
    /// been made read-only.
    ReadOnly(u64),
}

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Looks at something.
    Look,
    /// Changes something that takes no room.
    Change,
    /// Takes room.
    Grow,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Content>,
    /// What was on the disk before the first operation.
    base: Image,
    /// Operations before those of `log`, in a life that a crash has ended.
    origin: usize,
    log: Vec<Op>,
    fault: Fault,
    calls: u64,
    syncs: u64,
    failed_sync: Option<usize>,
    capacity: Option<u64>,
    sealed: bool,
    lies: bool,
    /// Cannot be removed.
    stuck: Option<String>,
    /// When the first file was made.
    births: u64,
}

#[derive(Clone, Debug, Default)]
struct Content {
    octets: Vec<u8>,
    pages: BTreeSet<u64>,
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
    /// Held by a test, it keeps flushes from ending.
    gate: Arc<Mutex<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The folder that a name lies in.
pub fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl MemoryDisk {
    pub fn fail(&self, fault: Fault) {
        lock(&self.state).fault = fault;
    }

    /// Room for so many octets more than are used now.
    pub fn leave_room(&self, octets: u64) {
        let mut state = lock(&self.state);
        state.capacity = Some(state.used() + octets);
    }

    /// While sealed not even what is there can be written anew, as where a disk copies on write.
    pub fn seal(&self, sealed: bool) {
        lock(&self.state).sealed = sealed;
    }

    /// From now on it says that it has flushed, and has not.
    pub fn lie(&self) {
        lock(&self.state).lies = true;
    }

    /// A name that cannot be removed from now on.
    pub fn stick(&self, name: &str) {
        lock(&self.state).stuck = Some(name.to_owned());
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        lock(&self.state).calls
    }

    pub fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// When, in operations, the first flush since the last restart failed.
    pub fn failed_sync(&self) -> Option<usize> {
        lock(&self.state).failed_sync
    }

    /// Whoever had it open has ended: a flush that failed is not theirs who open it next.
    pub fn restart(&self) {
        lock(&self.state).failed_sync = None;
    }

    /// No flush ends while this is held.
    pub fn hold_flushes(&self) -> MutexGuard<'_, ()> {
        lock(&self.gate)
    }

    /// How much has happened.
    pub fn log_len(&self) -> usize {
        lock(&self.state).now()
    }

    pub fn names(&self) -> Vec<String> {
        lock(&self.state).names.keys().cloned().collect()
    }

    /// The places in a file that hold anything but zero.
    pub fn written(&self, name: &str) -> Vec<usize> {
        let state = lock(&self.state);
        let octets = &state.files[state.names[name]].octets;
        (0..octets.len()).filter(|at| octets[*at] != 0).collect()
    }

    /// Changes the octets of a file behind everybody's back.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = lock(&self.state);
        let file = state.names[name];
        change(&mut state.files[file].octets);
    }

    /// Takes a file away behind everybody's back.
    pub fn lose(&self, name: &str) {
        lock(&self.state).names.remove(name).unwrap();
    }

    /// What is on the disk now, damage included, as a disk of its own without a past.
    pub fn copy(&self) -> Self {
        let state = lock(&self.state);
        let files = state.files.iter();
        let image = Image {
            names: state.names.clone(),
            files: files.map(|file| file.octets.clone().into()).collect(),
        };
        Self::holding(image, state.now(), state.births)
    }

    /// The same, as a backup that is put in its place: all files are new ones, made so much later.
    pub fn restored(&self, births: u64) -> Self {
        let disk = self.copy();
        lock(&disk.state).births += births;
        disk
    }

    /// What is on the disk after a crash behind the first `upto` operations.
    pub fn after(&self, upto: usize, crash: Crash) -> Self {
        let state = lock(&self.state);
        let log = &state.log[..upto - state.origin];
        if !matches!(crash, Crash::Process) {
            return Self::holding(image::after(&state.base, log, crash), upto, state.births);
        }
        // What was not flushed is still there, and still not flushed.
        let disk = Self::holding(state.base.clone(), state.origin, state.births);
        let mut again = lock(&disk.state);
        for op in log {
            again.apply(op);
        }
        again.log = log.to_vec();
        drop(again);
        disk
    }

    /// The last operations before `upto`, for whoever looks into a failure.
    pub fn last_words(&self, upto: usize) -> String {
        let state = lock(&self.state);
        let log = &state.log[..upto.clamp(state.origin, state.now()) - state.origin];
        let first = log.len().saturating_sub(40);
        let describe = |(at, op): (usize, &Op)| {
            let op = match op {
                Op::Write {
                    file,
                    offset,
                    octets,
                } => format!("Write file {file} at {offset}, {} octets", octets.len()),
                other => format!("{other:?}"),
            };
            format!("{:6} {op}\n", state.origin + first + at)
        };
        log[first..].iter().enumerate().map(describe).collect()
    }

    /// A disk that holds this, behind `origin` operations.
    fn holding(base: Image, origin: usize, births: u64) -> Self {
        let files = base.files.iter().map(|octets| Content {
            octets: octets.to_vec(),
            pages: (0..(octets.len() as u64).div_ceil(PAGE)).collect(),
        });
        let state = State {
            names: base.names.clone(),
            files: files.collect(),
            base,
            origin,
            births,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            gate: Arc::default(),
        }
    }

    fn call(&self, kind: Kind) -> io::Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        state.calls += 1;
        let fails = match (state.fault, kind) {
            (Fault::Call(0), _) => Some(io::Error::other("on purpose")),
            (Fault::Room(0), Kind::Grow) => Some(io::ErrorKind::StorageFull.into()),
            (Fault::ReadOnly(0), Kind::Change | Kind::Grow) => {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            _ => None,
        };
        if let Some(error) = fails {
            state.fault = Fault::Never;
            return Err(error);
        }
        state.fault = match (state.fault, kind) {
            (Fault::Call(left), _) => Fault::Call(left - 1),
            (Fault::Room(left), Kind::Grow) => Fault::Room(left - 1),
            (Fault::ReadOnly(left), Kind::Change | Kind::Grow) => Fault::ReadOnly(left - 1),
            (fault, _) => fault,
        };
        Ok(state)
    }

    fn sync(&self, of: Of) -> io::Result<()> {
        let called = self.call(Kind::Change).map(drop);
        let began = lock(&self.state).log.len();
        drop(lock(&self.gate));
        for _ in 0..TURNS {
            std::thread::yield_now();
        }
        let mut state = lock(&self.state);
        let mut failed = called.err();
        let mut panics = false;
        if failed.is_none() {
            match state.fault {
                Fault::Panic(0) => {
                    state.fault = Fault::Never;
                    panics = true;
                }
                Fault::Panic(left) => state.fault = Fault::Panic(left - 1),
                Fault::Sync(0) => {
                    state.fault = Fault::Never;
                    failed = Some(io::Error::other("on purpose"));
                }
                Fault::Sync(left) => state.fault = Fault::Sync(left - 1),
                _ => {}
            }
        }
        let began = if state.lies { 0 } else { began };
        state.log.push(Op::Sync {
            of,
            began,
            failed: failed.is_some(),
        });
        if let Some(error) = failed {
            let now = state.now();
            state.failed_sync.get_or_insert(now);
            return Err(error);
        }
        state.syncs += 1;
        drop(state);
        assert!(!panics, "on purpose");
        Ok(())
    }

    fn file(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile {
            disk: self.clone(),
            file,
        })
    }
}

impl State {
    fn now(&self) -> usize {
        self.origin + self.log.len()
    }

    fn used(&self) -> u64 {
        let linked = self
            .names
            .values()
            .map(|file| self.files[*file].pages.len());
        linked.sum::<usize>() as u64 * PAGE
    }

    /// How many octets of a write find room.
    fn fitting(&self, file: usize, offset: u64, len: u64) -> u64 {
        if self.sealed {
            return 0;
        }
        let Some(capacity) = self.capacity else {
            return len;
        };
        let mut free = capacity.saturating_sub(self.used()) / PAGE;
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            if !self.files[file].pages.contains(&page) {
                if free == 0 {
                    return (page * PAGE).saturating_sub(offset);
                }
                free -= 1;
            }
        }
        len
    }

    /// Does it, and remembers it.
    fn perform(&mut self, op: Op) {
        self.apply(&op);
        self.log.push(op);
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { name } => {
                self.files.push(Content::default());
                self.names.insert(name.clone(), self.files.len() - 1);
            }
            Op::Rename { from, to } => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Op::Remove { name } => {
                self.names.remove(name);
            }
            Op::Write {
                file,
                offset,
                octets,
            } => {
                let content = &mut self.files[*file];
                let end = offset + octets.len() as u64;
                content.pages.extend(offset / PAGE..end.div_ceil(PAGE));
                image::put(&mut content.octets, *offset, octets);
            }
            Op::SetLen { file, len } => {
                let content = &mut self.files[*file];
                image::cut(&mut content.octets, *len);
                content.pages.retain(|page| *page < len.div_ceil(PAGE));
            }
            Op::Sync { .. } => {}
        }
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _name: &str) -> io::Result<()> {
        self.call(Kind::Grow).map(|_| ())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.call(Kind::Grow)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name = name.to_owned();
        state.perform(Op::Create { name });
        Ok(self.file(state.files.len() - 1))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.call(match access {
            Access::Read => Kind::Look,
            Access::Write => Kind::Change,
        })?;
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(*file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call(Kind::Change)?;
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.perform(Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call(Kind::Change)?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.stuck.as_deref() == Some(name) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let name = name.to_owned();
        state.perform(Op::Remove { name });
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        let state = self.call(Kind::Look)?;
        let found = state.names.iter().filter_map(|(name, file)| {
            Some(Listed {
                name: match folder {
                    "" => Some(name.as_str()).filter(|name| !name.contains('/')),
                    folder => name.strip_prefix(folder)?.strip_prefix('/'),
                }?
                .to_owned(),
                size: state.files[*file].octets.len() as u64,
            })
        });
        Ok(found.collect())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.sync(Of::Folder(folder.to_owned()))
    }

    fn lock(&self, _name: &str, _lock: Lock) -> io::Result<Option<Held>> {
        Ok(Some(Box::new(())))
    }

    fn born(&self, name: &str) -> io::Result<Option<u64>> {
        let state = self.call(Kind::Look)?;
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Some(*file as u64 + state.births))
    }

    fn free(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        let free = |room: u64| room.saturating_sub(state.used());
        Ok(state.capacity.map_or(u64::MAX, free))
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.call(Kind::Look)?.files[self.file].octets.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.disk.call(Kind::Look)?;
        let start = usize::try_from(offset).unwrap();
        let octets = state.files[self.file].octets.get(start..start + into.len());
        into.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let mut state = self.disk.call(Kind::Grow)?;
        let mut fails = None;
        let mut fits = usize::try_from(state.fitting(self.file, offset, octets.len() as u64));
        if fits != Ok(octets.len()) {
            fails = Some(io::ErrorKind::StorageFull.into());
        }
        match state.fault {
            Fault::Torn(0) => {
                state.fault = Fault::Never;
                fits = Ok(octets.len() / 2);
                fails = Some(io::Error::other("on purpose"));
            }
            Fault::Torn(left) => state.fault = Fault::Torn(left - 1),
            _ => {}
        }
        // As the kernel does it: what fits is written before the error is said.
        let written = &octets[..fits.unwrap()];
        if !written.is_empty() {
            state.perform(Op::Write {
                file: self.file,
                offset,
                octets: Bytes::copy_from_slice(written),
            });
        }
        fails.map_or(Ok(()), Err)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.call(Kind::Grow)?;
        state.perform(Op::SetLen {
            file: self.file,
            len,
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(Of::File(self.file))
    }
}
