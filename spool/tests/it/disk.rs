//! A disk in memory that runs full, fails when told to, and remembers every write, so that a test
//! can ask what would be left of it after a crash at any moment.
//!
//! It is stricter than most filesystems: a name is durable only once its folder was flushed, an
//! octet only once its file was, and what was not flushed may be there, be gone, or be there in
//! part, sector by sector.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vouchsafe_spool::fs::{Access, Disk, DiskFile, Held, Listed, Lock};

const PAGE: u64 = 4096;
const SECTOR: usize = 512;

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
        octets: Vec<u8>,
    },
    SetLen {
        file: usize,
        len: u64,
    },
    SyncFile {
        file: usize,
    },
    SyncDir {
        folder: String,
    },
}

/// What a crash does to what was not flushed.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// Only the process ends: everything is there.
    Process,
    /// None of it is there.
    Power,
    /// Some of it is there, as this seed has it.
    Partly(u64),
}

/// Which calls fail.
#[derive(Clone, Copy, Debug, Default)]
pub enum Fault {
    #[default]
    Never,
    /// The call after this many.
    Call(u64),
    /// The flush after this many.
    Sync(u64),
    /// The flush after this many does what it is to do, and then the caller panics.
    Panic(u64),
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Content>,
    log: Vec<Op>,
    fault: Fault,
    syncs: u64,
    capacity: Option<u64>,
    sealed: bool,
    /// Cannot be removed.
    stuck: Option<String>,
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

    /// A name that cannot be removed from now on.
    pub fn stick(&self, name: &str) {
        lock(&self.state).stuck = Some(name.to_owned());
    }

    pub fn syncs(&self) -> u64 {
        lock(&self.state).syncs
    }

    /// No flush ends while this is held.
    pub fn hold_flushes(&self) -> MutexGuard<'_, ()> {
        lock(&self.gate)
    }

    /// How much has happened.
    pub fn log_len(&self) -> usize {
        lock(&self.state).log.len()
    }

    pub fn names(&self) -> Vec<String> {
        lock(&self.state).names.keys().cloned().collect()
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

    /// What is on the disk after a crash behind the first `upto` operations.
    pub fn after(&self, upto: usize, crash: Crash) -> Self {
        let log: Vec<Op> = lock(&self.state).log[..upto].to_vec();
        let mut state = State::default();
        let mut chance = match crash {
            Crash::Partly(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            _ => 1,
        };
        for (at, op) in log.iter().enumerate() {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let stays = is_flushed(op, &log[at..])
                || match crash {
                    Crash::Process => true,
                    Crash::Power => false,
                    Crash::Partly(_) => chance & 0b11 != 0,
                };
            let torn = !is_flushed(op, &log[at..])
                && matches!(crash, Crash::Partly(_))
                && chance & 0b1100 == 0;
            match op {
                // The file itself is needed for what is flushed into it later.
                Op::Create { name } => {
                    state.files.push(Content::default());
                    if stays {
                        state.names.insert(name.clone(), state.files.len() - 1);
                    }
                }
                Op::Write {
                    file,
                    offset,
                    octets,
                } if stays && torn => {
                    for (sector, part) in octets.chunks(SECTOR).enumerate() {
                        if chance >> (16 + sector % 40) & 1 == 0 {
                            let offset = offset + (sector * SECTOR) as u64;
                            state.write(*file, offset, part).unwrap();
                        }
                    }
                }
                op if stays => state.apply(op),
                _ => {}
            }
        }
        Self {
            state: Arc::new(Mutex::new(state)),
            gate: Arc::default(),
        }
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        match state.fault {
            Fault::Call(0) => state.fault_comes()?,
            Fault::Call(left) => state.fault = Fault::Call(left - 1),
            Fault::Never | Fault::Sync(_) | Fault::Panic(_) => {}
        }
        Ok(state)
    }

    fn sync(&self, op: Op) -> io::Result<()> {
        drop(lock(&self.gate));
        let mut state = self.call()?;
        let panics = matches!(state.fault, Fault::Panic(0));
        match state.fault {
            Fault::Panic(0) => state.fault = Fault::Never,
            Fault::Panic(left) => state.fault = Fault::Panic(left - 1),
            Fault::Sync(0) => state.fault_comes()?,
            Fault::Sync(left) => state.fault = Fault::Sync(left - 1),
            Fault::Never | Fault::Call(_) => {}
        }
        state.syncs += 1;
        state.log.push(op);
        drop(state);
        assert!(!panics, "on purpose");
        Ok(())
    }
}

/// True if a flush in what follows covers the operation.
fn is_flushed(op: &Op, rest: &[Op]) -> bool {
    let folder_of = |name: &str| {
        name.rsplit_once('/')
            .map_or("", |(folder, _)| folder)
            .to_owned()
    };
    match op {
        Op::Create { name, .. } | Op::Remove { name } | Op::Rename { to: name, .. } => {
            let of = folder_of(name);
            rest.iter()
                .any(|op| matches!(op, Op::SyncDir { folder } if *folder == of))
        }
        Op::Write { file: of, .. } | Op::SetLen { file: of, .. } => rest
            .iter()
            .any(|op| matches!(op, Op::SyncFile { file } if file == of)),
        Op::SyncFile { .. } | Op::SyncDir { .. } => true,
    }
}

impl State {
    fn fault_comes(&mut self) -> io::Result<()> {
        self.fault = Fault::Never;
        Err(io::Error::other("on purpose"))
    }

    fn used(&self) -> u64 {
        let linked = self
            .names
            .values()
            .map(|file| self.files[*file].pages.len());
        linked.sum::<usize>() as u64 * PAGE
    }

    fn write(&mut self, file: usize, offset: u64, octets: &[u8]) -> io::Result<()> {
        let end = offset + octets.len() as u64;
        let wanted: BTreeSet<u64> = (offset / PAGE..end.div_ceil(PAGE)).collect();
        let new = wanted.difference(&self.files[file].pages).count() as u64 * PAGE;
        if self.sealed || self.capacity.is_some_and(|room| self.used() + new > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = &mut self.files[file];
        content.pages.extend(wanted);
        let end = usize::try_from(end).unwrap();
        if content.octets.len() < end {
            content.octets.resize(end, 0);
        }
        content.octets[end - octets.len()..end].copy_from_slice(octets);
        Ok(())
    }

    fn apply(&mut self, op: &Op) {
        match op {
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
            } => self.write(*file, *offset, octets).unwrap(),
            Op::SetLen { file, len } => {
                let len = usize::try_from(*len).unwrap();
                self.files[*file].octets.resize(len, 0);
                let last = (len as u64).div_ceil(PAGE);
                self.files[*file].pages.retain(|page| *page < last);
            }
            Op::Create { .. } | Op::SyncFile { .. } | Op::SyncDir { .. } => {}
        }
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, _name: &str) -> io::Result<()> {
        self.call().map(|_| ())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.call()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.names.insert(name.to_owned(), file);
        let name = name.to_owned();
        state.log.push(Op::Create { name });
        Ok(self.file(file))
    }

    fn open(&self, name: &str, _access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.call()?;
        let file = state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(*file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call()?;
        let op = Op::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        state.apply(&op);
        state.log.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if state.stuck.as_deref() == Some(name) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let op = Op::Remove {
            name: name.to_owned(),
        };
        state.apply(&op);
        state.log.push(op);
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        let state = self.call()?;
        let inside = format!("{folder}/");
        let found = state.names.iter().filter_map(|(name, file)| {
            Some(Listed {
                name: name.strip_prefix(&inside)?.to_owned(),
                size: state.files[*file].octets.len() as u64,
            })
        });
        Ok(found.collect())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.sync(Op::SyncDir {
            folder: folder.to_owned(),
        })
    }

    fn lock(&self, _name: &str, _lock: Lock) -> io::Result<Option<Held>> {
        Ok(Some(Box::new(())))
    }

    fn free(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        Ok(state.capacity.map_or(u64::MAX, |room| room - state.used()))
    }
}

impl MemoryDisk {
    fn file(&self, file: usize) -> Arc<dyn DiskFile> {
        Arc::new(MemoryFile {
            disk: self.clone(),
            file,
        })
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: usize,
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.call()?.files[self.file].octets.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.disk.call()?;
        let start = usize::try_from(offset).unwrap();
        let octets = state.files[self.file].octets.get(start..start + into.len());
        into.copy_from_slice(octets.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        let mut state = self.disk.call()?;
        state.write(self.file, offset, octets)?;
        let (file, octets) = (self.file, octets.to_vec());
        state.log.push(Op::Write {
            file,
            offset,
            octets,
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.call()?;
        let op = Op::SetLen {
            file: self.file,
            len,
        };
        state.apply(&op);
        state.log.push(op);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(Op::SyncFile { file: self.file })
    }
}
