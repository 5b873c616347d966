//! Which format a queue has, and how an older one becomes one of this.
//!
//! The file `queue.redb` says it. Format 5 differs from 4 in what a progress record and the flags of how
//! a message waits may say, and 6 from 5 and 7 from 6 in what an envelope record may say, so that only the line
//! need be written anew, before anything else is. In formats 1 to 3 the file is the store itself; from format 4 on it is
//! a line of text, which an older program takes for a damaged store and refuses. So one name tells all programs, and one renaming is the moment from which the log is the queue:
//!
//! 1. what an earlier attempt left in the log is thrown away;
//! 2. all messages are written to the log and flushed, the old queue is only read;
//! 3. the line of text takes the place of the store;
//! 4. files of content are removed.
//!
//! A crash before 3 leaves the old queue as it was, one after it a queue of this format.

use std::io;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::aside;
use super::committer::{Failure, New, Operation};
use super::draft::{PIECE, write_piece};
use super::due::Due;
use super::group::{Group, Hand};
use super::legacy::{self, CONTENT_FOLDER, FILE, Legacy, Old};
use super::log::Log;
use super::log::segment;
use super::record::ContentRecord;
use super::recover::{Corruption, Doomed, Finding};
use super::store::Unopened;
use super::threads::lock;
use crate::fs::{Access, Disk, Listed};
use crate::whole;

/// The format that is written now.
pub(super) const FORMAT: u32 = 7;
/// The first that is a log. What it has means the same now.
const FIRST_LOG: u32 = 4;
/// What says so, before the number.
const LINE: &str = "vouchsafe queue, format ";
/// What the file says besides.
const REST: &str = "\nThe messages are in log/. An older program must not make a new store here.\n";
/// The file while it is being made; also an old store that never came to be.
const UNBORN: &str = "queue.redb.new";

/// What the folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// Nothing, or something that has lost its head.
    None,
    /// A store of redb.
    Redb,
    /// A queue of this format.
    Log,
    /// A log of an older one.
    Older,
}

/// Looks at what is there.
pub(super) fn marker(disk: &dyn Disk) -> Result<Marker, Unopened> {
    let file = match disk.open(FILE, Access::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marker::None),
        file => file?,
    };
    let mut octets = vec![0; LINE.len() + 8];
    let there = usize::try_from(file.len()?).unwrap_or(usize::MAX);
    octets.truncate(there);
    file.read_at(0, &mut octets)?;
    let Some(rest) = octets.strip_prefix(LINE.as_bytes()) else {
        // What is neither may have been either: to take it for a store would cost the log.
        return if octets.starts_with(legacy::MAGIC) {
            Ok(Marker::Redb)
        } else {
            Err(Unopened::Failed(unknown()))
        };
    };
    let digits = rest.iter().take_while(|octet| octet.is_ascii_digit());
    let format = digits.fold(0u32, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    match format {
        FORMAT => Ok(Marker::Log),
        FIRST_LOG..FORMAT => Ok(Marker::Older),
        _ => Err(Unopened::Format(format)),
    }
}

/// For a marker that is damaged.
fn unknown() -> io::Error {
    let text = format!("{FILE} is neither a store nor the line that a queue of this format has");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Says that the log is the queue from now on. All that is in it is durable.
pub(super) fn mark(log: &Log) -> io::Result<()> {
    // What is not sound may not take the old queue's place.
    if log.soundness.is_poisoned() {
        return Err(io::Error::other("a flush has failed"));
    }
    let line = format!("{LINE}{FORMAT}{REST}");
    whole::replace(&*log.disk, FILE, UNBORN, line.as_bytes())
        .inspect_err(|_| log.soundness.poison())
}

/// Throws away what an attempt left that did not come to its end.
pub(super) fn clear(disk: &dyn Disk) -> io::Result<()> {
    for listed in list(disk, segment::FOLDER)? {
        if segment::number(&listed.name).is_some() {
            disk.remove(&format!("{}/{}", segment::FOLDER, listed.name))?;
        }
    }
    disk.sync_dir(segment::FOLDER)
}

/// True if there is any file that a message may own.
pub(super) fn holds_content(disk: &dyn Disk) -> io::Result<bool> {
    let listed = list(disk, CONTENT_FOLDER)?;
    Ok(listed.iter().any(|listed| owner(&listed.name).is_some()))
}

/// Removes the files of content that no store names any more.
pub(super) fn clean_up(disk: &dyn Disk, findings: &mut Vec<Finding>) -> io::Result<()> {
    for listed in list(disk, CONTENT_FOLDER)? {
        let Some(id) = owner(&listed.name) else {
            findings.push(Finding::Foreign(listed.name));
            continue;
        };
        if let Err(error) = disk.remove(&content_name(id)) {
            let why = error.kind();
            findings.push(Finding::Stuck { id, why });
        }
    }
    Ok(())
}

/// What is in a folder; nothing, if it is not there.
pub(super) fn list(disk: &dyn Disk, folder: &str) -> io::Result<Vec<Listed>> {
    match disk.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// The message whose content a file has. Only the very form that was written: an id parses in
/// small letters too.
fn owner(name: &str) -> Option<QueueId> {
    let id: QueueId = name.parse().ok()?;
    (id.to_string() == name).then_some(id)
}

/// The file with a message's content.
fn content_name(id: QueueId) -> String {
    format!("{CONTENT_FOLDER}/{id}")
}

/// A queue being taken over.
pub(super) struct Takeover<'a> {
    legacy: &'a Legacy,
    log: &'a Arc<Log>,
    due: &'a mut Due,
    findings: Vec<Finding>,
    group: Group,
    hand: Hand,
}

/// Writes all of an old queue to the log. All of it is durable when this returns.
pub(super) fn take_over(
    legacy: &Legacy,
    log: &Arc<Log>,
    due: &mut Due,
) -> io::Result<Vec<Finding>> {
    let mut takeover = Takeover {
        legacy,
        log,
        due,
        findings: Vec::new(),
        group: Group::default(),
        hand: Hand::default(),
    };
    for (id, records) in legacy.set_aside()? {
        takeover.keep_aside(id, &records)?;
    }
    legacy.visit(None, |old| takeover.take(&old).map(|()| true))?;
    takeover.write()?;
    Ok(takeover.findings)
}

impl Takeover<'_> {
    /// Takes one message.
    fn take(&mut self, old: &Old<'_>) -> io::Result<()> {
        let id = old.id;
        let sound = old.decode().and_then(|records| {
            self.check(id, &records.envelope.content)?;
            Ok((records.envelope.content, records.waits()))
        });
        let (content, waits) = match sound {
            Ok(sound) => sound,
            Err(why) => {
                let doomed = Doomed::new(id, why, old.envelope, old.progress);
                self.findings.push(doomed.finding());
                return self.keep_aside(id, doomed.records());
            }
        };
        let mut new = New {
            id,
            waits,
            envelope: old.envelope.to_vec(),
            progress: old.progress.to_vec(),
            pieces: Vec::new(),
            rest: Vec::new(),
            entry: None,
            entries: Vec::new(),
        };
        if content.file {
            let file = self.log.disk.open(&content_name(id), Access::Read)?;
            let mut at = 0;
            while at < content.size {
                let len = usize::try_from(content.size - at)
                    .unwrap_or(PIECE)
                    .min(PIECE);
                let mut octets = vec![0; len];
                file.read_at(at, &mut octets)?;
                new.pieces.push(write_piece(self.log, id, &octets)?);
                at += len as u64;
            }
        } else {
            new.rest = self.legacy.content(id)?.unwrap_or_default();
        }
        let (reply, _) = tokio::sync::oneshot::channel();
        let operation = Operation::Commit { new, reply };
        if !self.group.has_room(&operation, self.log.most()) {
            self.write()?;
        }
        self.group.push(operation);
        Ok(())
    }

    /// Sees that a file of content is there, as long as it should be.
    fn check(&self, id: QueueId, content: &ContentRecord) -> Result<(), Corruption> {
        if !content.file {
            return Ok(());
        }
        let file = self.log.disk.open(&content_name(id), Access::Read);
        match file.and_then(|file| file.len()) {
            Ok(found) if found == content.size => Ok(()),
            Ok(found) => Err(Corruption::Size {
                found,
                wanted: content.size,
            }),
            Err(_) => Err(Corruption::NoContent),
        }
    }

    /// Makes durable what has gathered.
    fn write(&mut self) -> io::Result<()> {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(());
        }
        let written = group.write(self.log, &mut self.hand).map_err(told)?;
        for (operation, laid) in group.operations.into_iter().zip(written.laid) {
            if let Operation::Commit { mut new, .. } = operation {
                for item in laid.items {
                    new.waits.octets = item.octets();
                    lock(&self.log.store.index).insert(new.id, item);
                }
                self.due.insert(new.id, new.waits);
            }
        }
        Ok(())
    }

    /// Keeps what is left of a message, with its content if that is in a file.
    fn keep_aside(&self, id: QueueId, records: &[u8]) -> io::Result<()> {
        let content = self.log.disk.open(&content_name(id), Access::Read).ok();
        let small = match &content {
            Some(_) => None,
            None => self.legacy.content(id)?,
        };
        let records = [records, &small.unwrap_or_default()].concat();
        aside::keep_old(self.log, id, &records, content.as_deref())
    }
}

/// A failure, for whoever opens the queue.
pub(super) fn told(failure: Failure) -> io::Error {
    match failure {
        Failure::Poisoned => io::Error::other("a flush failed"),
        Failure::NoSpace => io::ErrorKind::StorageFull.into(),
        Failure::Write(error) => error,
    }
}
