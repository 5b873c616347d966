//! Opening a queue: what is found is put in order before anybody may use it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use tokio::sync::Notify;
use vouchsafe_proto::queue_id::QueueId;

use super::committer::{self, Operation, Queue, WRITERS};
use super::compact;
use super::due::Due;
use super::group::{Group, Hand};
use super::legacy::Legacy;
use super::log::bell::Bell;
use super::log::scan::Scan;
use super::log::segment::{FIRST, FOLDER, Segment};
use super::log::{Log, keeper, seal};
use super::recover::{Doomed, Finding, Recovered, recover};
use super::room::Room;
use super::soundness::Soundness;
use super::store::Unopened;
use super::takeover::{self, Marker};
use super::threads::{Pool, lock};
use super::{LOCK, LocalSpool, OpenError, Options, READERS, Shared, aside};
use crate::fs::{Access, Disk, LocalDisk, Lock, is_full};
use crate::ledger::Ledger;

impl LocalSpool {
    /// Opens the queue in `folder`, whose parent must be there, and puts it in order. Blocks.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(LocalDisk::new(folder.to_path_buf())), options)
    }

    /// The same on a disk of the caller's making.
    pub fn open_on(disk: Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        disk.create_dir("").map_err(OpenError::Folder)?;
        let held = disk
            .lock(LOCK, Lock::Exclusive)
            .map_err(OpenError::Folder)?
            .ok_or(OpenError::InUse)?;
        disk.create_dir(FOLDER).map_err(OpenError::Folder)?;
        let opened = Opened::open(&disk, options)?;
        let (ledger, ledger_found) = Ledger::open(Arc::clone(&disk)).map_err(OpenError::Ledger)?;
        let io = Pool::start("spool-io", READERS).map_err(OpenError::Thread)?;
        let shared = Arc::new_cyclic(|myself: &Weak<Shared>| Shared {
            disk,
            soundness: Arc::clone(&opened.log.soundness),
            store: Arc::clone(&opened.log.store),
            log: Arc::clone(&opened.log),
            due: Mutex::new(opened.due),
            fresh: Mutex::default(),
            arrived: Notify::new(),
            untold: Mutex::default(),
            queue: Queue::default(),
            ledger: Arc::new(ledger),
            settlements: AtomicU64::new(opened.settlements + 1),
            io,
            room: Room::new(options.reserve),
            myself: Weak::clone(myself),
        });
        let mut spool = Self {
            shared,
            writers: Vec::new(),
            keeper: opened.keeper.into_inner(),
            mover: None,
            findings: opened.findings,
            ledger_found,
            left: opened.left,
            _lock: held,
        };
        for number in 0..WRITERS {
            let shared = Arc::clone(&spool.shared);
            let writer = thread::Builder::new()
                .name(String::from("spool-commit"))
                .spawn(move || committer::run(&shared, number))
                .map_err(OpenError::Thread)?;
            spool.writers.push(writer);
        }
        let shared = Arc::clone(&spool.shared);
        let mover = thread::Builder::new()
            .name(String::from("spool-mover"))
            .spawn(move || compact::run(&shared))
            .map_err(OpenError::Thread)?;
        spool.mover = Some(mover);
        spool.shared.log.compact();
        Ok(spool)
    }
}

/// A queue that is in order.
struct Opened {
    log: Arc<Log>,
    keeper: Keeper,
    due: Due,
    findings: Vec<Finding>,
    /// The highest number of a settlement.
    settlements: u64,
    /// The youngest that have left.
    left: BTreeSet<QueueId>,
}

/// The keeper's thread, which ends with the attempt to open, if that fails.
struct Keeper {
    log: Arc<Log>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Keeper {
    /// Starts it.
    fn start(log: &Arc<Log>) -> Result<Self, OpenError> {
        let thread = thread::Builder::new()
            .name(String::from("spool-keeper"))
            .spawn({
                let log = Arc::clone(log);
                move || keeper::run(&log)
            })
            .map_err(OpenError::Thread)?;
        Ok(Self {
            log: Arc::clone(log),
            thread: Some(thread),
        })
    }

    /// Hands it to whoever will end it.
    fn into_inner(mut self) -> Option<thread::JoinHandle<()>> {
        self.thread.take()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.log.stop();
            let _ = thread.join();
        }
    }
}

impl Opened {
    /// Finds out what is there, and puts it in order.
    fn open(disk: &Arc<dyn Disk>, options: Options) -> Result<Self, OpenError> {
        // A process before us may have ended between a name and its flush; on names that are there,
        // but not durable, nothing may be built.
        for folder in ["", FOLDER] {
            disk.sync_dir(folder).map_err(OpenError::Folder)?;
        }
        let marker = takeover::marker(&**disk)?;
        if marker == Marker::Redb {
            takeover::clear(&**disk).map_err(OpenError::Store)?;
        }
        let bell = Arc::<Bell>::default();
        let mut recovered = recover(&**disk, Access::Write, &bell).map_err(OpenError::Store)?;
        check_whole(&**disk, marker, &recovered)?;
        // A process that was killed may have made these names and not have come to its flush.
        for folder in ["", FOLDER] {
            disk.sync_dir(folder).map_err(OpenError::Store)?;
        }
        let mut findings = std::mem::take(&mut recovered.findings);
        let mut due = std::mem::take(&mut recovered.due);
        let settlements = recovered.settlements;
        let mut left = std::mem::take(&mut recovered.left);
        for id in aside::messages(&**disk).map_err(OpenError::Store)? {
            left.remove(&id);
        }
        let (log, keeper) = begin(disk, &bell, recovered, options)?;
        if marker == Marker::Redb {
            let legacy = Legacy::open(&**disk)?;
            let taken = takeover::take_over(&legacy, &log, &mut due);
            findings.extend(taken.map_err(OpenError::Store)?);
        }
        if marker != Marker::Log {
            takeover::mark(&log).map_err(OpenError::Store)?;
        }
        takeover::clean_up(&**disk, &mut findings).map_err(OpenError::Store)?;
        Ok(Self {
            log,
            keeper,
            due,
            findings,
            settlements,
            left,
        })
    }
}

/// Sees that no part of the queue is there without the other. No crash leaves that: the log is
/// durable before the marker is, and the marker before the first message.
fn check_whole(disk: &dyn Disk, marker: Marker, recovered: &Recovered) -> Result<(), OpenError> {
    let found = &recovered.found;
    let used = !found.sealed.is_empty() || !recovered.unsealed.is_empty();
    let lost = match marker {
        Marker::None => used || takeover::holds_content(disk).map_err(OpenError::Store)?,
        Marker::Log | Marker::Older => !used && found.blank.is_empty(),
        Marker::Redb => false,
    };
    if lost {
        Err(Unopened::Lost.into())
    } else {
        Ok(())
    }
}

/// Begins to write behind what was found, once all of that is durable.
fn begin(
    disk: &Arc<dyn Disk>,
    bell: &Arc<Bell>,
    recovered: Recovered,
    options: Options,
) -> Result<(Arc<Log>, Keeper), OpenError> {
    let soundness = Arc::<Soundness>::default();
    for (segment, scan) in &recovered.unsealed {
        settle(segment, scan, &soundness).map_err(OpenError::Store)?;
    }
    let Recovered {
        store,
        found,
        unsealed,
        doomed,
        holes,
        ..
    } = recovered;
    let log = Log::begin(
        Arc::clone(disk),
        soundness,
        store,
        Arc::clone(bell),
        found,
        options.segment,
    );
    let log = Arc::new(log.map_err(OpenError::Store)?);
    let keeper = Keeper::start(&log)?;
    log.look();
    for hole in holes {
        let kept = aside::keep_hole(&log, hole);
        if_room(&log, kept, &[hole.segment])?;
    }
    for (doomed, segments) in doomed {
        let forgotten = forget(&log, doomed, &segments);
        if_room(&log, forgotten, &segments)?;
    }
    // Only now: what is damaged is not in the seals, and must not be asked for again.
    for (segment, scan) in unsealed {
        match seal::seal_with(&segment, &scan, &log.soundness) {
            Err(error) if !is_full(&error) => return Err(OpenError::Store(error)),
            _ => log.adopt(segment),
        }
    }
    Ok((log, keeper))
}

/// What could not be put in order for want of room stays as it is until the next start.
fn if_room(log: &Log, done: io::Result<()>, segments: &[u32]) -> Result<(), OpenError> {
    match done {
        Err(error) if is_full(&error) => {
            for segment in segments {
                log.hold(*segment);
            }
            Ok(())
        }
        done => done.map_err(OpenError::Store),
    }
}

/// Says that a message is gone, durably.
fn forget(log: &Arc<Log>, doomed: Doomed, segments: &[u32]) -> io::Result<()> {
    let id = doomed.id;
    let mut group = Group::default();
    group.push(Operation::SetAside(doomed));
    let written = group
        .write(log, &mut Hand::default())
        .map_err(takeover::told)?;
    let mut index = lock(&log.store.index);
    for laid in &written.laid {
        index.remove(id, laid.segment);
        for older in segments {
            index.outlives(laid.segment, *older);
        }
    }
    Ok(())
}

/// Makes durable what was read. It may be in memory only, since the process that wrote it did not
/// come to its flush; and to flush is not enough, since the kernel may have tried, failed, and told
/// that process. So it is written again.
fn settle(segment: &Segment, scan: &Scan, soundness: &Soundness) -> io::Result<()> {
    let mut at = FIRST;
    while at < scan.end {
        let len = (scan.end - at).min(CHUNK);
        let mut octets = vec![0; usize::try_from(len).unwrap_or(0)];
        segment.file.read_at(u64::from(at), &mut octets)?;
        match segment.file.write_at(u64::from(at), &octets) {
            // Where even this needs new room, nothing better can be had.
            Err(error) if is_full(&error) => break,
            written => written?,
        }
        at += len;
    }
    soundness.flush(&*segment.file)
}

/// Octets written at once.
const CHUNK: u32 = 1024 * 1024;
