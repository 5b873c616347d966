//! What is done at start with each state that a crash, or worse, can leave (docs/queue.md).
//!
//! Files that no record names are removed: their message was never acknowledged, or has left. A
//! record that cannot be read, or whose content is not what it says, is set aside: its octets are
//! moved to a table of their own, a file of content stays where it is, and no other message is
//! touched. All of it is reported as [`Finding`]s.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;

use redb::WriteTransaction;
use vouchsafe_proto::queue_id::QueueId;

use super::due::Due;
use super::record::ContentRecord;
use super::store::{CORRUPT, ENVELOPES, PROGRESS, Store};
use super::{CONTENT_FOLDER, content_name};
use crate::fs::Disk;

/// Something that was not in order, found at start or when a message was due.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A file of content that no message owned; removed. Ordinary after a crash.
    Orphan(QueueId),
    /// A file of content that no message owned, and that could not be removed; in nobody's way but
    /// for the room it takes.
    Stuck {
        /// Its name.
        id: QueueId,
        /// Why not.
        why: io::ErrorKind,
    },
    /// A file among the content whose name we did not give; left alone.
    Foreign(String),
    /// A message that cannot be delivered; set aside.
    Corrupt {
        /// Which.
        id: QueueId,
        /// What is wrong with it.
        why: Corruption,
    },
    /// A message that the disk did not give us when it was due; tried again in a while.
    Unread {
        /// Which.
        id: QueueId,
        /// Why not.
        why: io::ErrorKind,
    },
}

/// Why a message is set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// A record is not what was written.
    #[error("a record fails its checksum")]
    Checksum,
    /// A record of a version we do not know.
    #[error("a record has version {0}")]
    Version(u8),
    /// A message without its envelope.
    #[error("the envelope record is missing")]
    NoEnvelope,
    /// A record that says what no record can say.
    #[error("a record does not make sense")]
    Schema,
    /// An envelope without its progress.
    #[error("the progress record is missing")]
    NoProgress,
    /// The content is not there.
    #[error("the content is missing")]
    NoContent,
    /// There is more or less content than was taken.
    #[error("the content has {found} octets instead of {wanted}")]
    Size {
        /// Octets there.
        found: u64,
        /// Octets taken.
        wanted: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Orphan(id) => write!(f, "content {id} belonged to no message and was removed"),
            Self::Stuck { id, why } => write!(
                f,
                "content {id} belonged to no message and could not be removed: {why}"
            ),
            Self::Foreign(name) => write!(f, "file {name:?} among the content is not ours"),
            Self::Corrupt { id, why } => write!(f, "message {id} is set aside: {why}"),
            Self::Unread { id, why } => write!(f, "message {id} could not be read: {why}"),
        }
    }
}

/// A message to be set aside.
#[derive(Debug)]
pub(super) struct Doomed {
    pub(super) id: QueueId,
    why: Corruption,
    records: Vec<u8>,
}

impl Doomed {
    /// With both of its records, as far as they are there.
    pub(super) fn new(id: QueueId, why: Corruption, envelope: &[u8], progress: &[u8]) -> Self {
        Self {
            id,
            why,
            records: both(envelope, progress),
        }
    }

    /// What is said of it.
    pub(super) const fn finding(&self) -> Finding {
        Finding::Corrupt {
            id: self.id,
            why: self.why,
        }
    }

    /// Octets of its records.
    pub(super) const fn weight(&self) -> usize {
        self.records.len()
    }

    /// Moves its records out of the queue's tables. Small content stays where it is.
    pub(super) fn move_aside(&self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let key = self.id.as_u128();
        transaction
            .open_table(CORRUPT)?
            .insert(key, self.records.as_slice())?;
        transaction.open_table(ENVELOPES)?.remove(key)?;
        transaction.open_table(PROGRESS)?.remove(key)?;
        Ok(())
    }
}

/// Puts the store in order, and gives the due times of all that is sound.
pub(super) fn recover(disk: &dyn Disk, store: &Store) -> io::Result<(Due, Vec<Finding>)> {
    let mut findings = Vec::new();
    let files = content_files(disk, &mut findings)?;
    let mut due = Due::default();
    let mut named: HashSet<QueueId> = store.set_aside()?.into_iter().collect();
    let mut doomed = Vec::new();
    store.visit(None, |id, records, (envelope, progress)| {
        named.insert(id);
        let sound = records.and_then(|records| {
            check_content(&records.envelope.content, files.get(&id))?;
            Ok(records.waits())
        });
        match sound {
            Ok(waits) => {
                due.insert(id, waits);
            }
            Err(why) => doomed.push(Doomed::new(id, why, envelope, progress)),
        }
        true
    })?;
    set_aside(store, &doomed)?;
    findings.extend(doomed.iter().map(Doomed::finding));
    remove_orphans(
        disk,
        files.keys().filter(|id| !named.contains(id)),
        &mut findings,
    );
    Ok((due, findings))
}

/// Content in the store came with its record in one transaction and is not read at start, which
/// would read the whole store; its checksum is looked at when it is delivered.
fn check_content(content: &ContentRecord, file: Option<&u64>) -> Result<(), Corruption> {
    match file {
        _ if !content.file => Ok(()),
        None => Err(Corruption::NoContent),
        Some(found) if *found == content.size => Ok(()),
        Some(found) => Err(Corruption::Size {
            found: *found,
            wanted: content.size,
        }),
    }
}

/// True if there is any file that a message may own.
pub(super) fn holds_content(disk: &dyn Disk) -> io::Result<bool> {
    Ok(!content_files(disk, &mut Vec::new())?.is_empty())
}

/// Names and sizes of the files of content.
fn content_files(
    disk: &dyn Disk,
    findings: &mut Vec<Finding>,
) -> io::Result<HashMap<QueueId, u64>> {
    let mut files = HashMap::new();
    for listed in disk.list(CONTENT_FOLDER)? {
        // Only the very form that we write: an id parses in small letters too.
        match listed.name.parse::<QueueId>() {
            Ok(id) if id.to_string() == listed.name => {
                files.insert(id, listed.size);
            }
            _ => findings.push(Finding::Foreign(listed.name)),
        }
    }
    Ok(files)
}

/// Both records in one value: the length of the first (four octets, big-endian), then both.
fn both(envelope: &[u8], progress: &[u8]) -> Vec<u8> {
    let len = u32::try_from(envelope.len()).unwrap_or(u32::MAX);
    [&len.to_be_bytes(), envelope, progress].concat()
}

/// Sets messages aside, in one transaction.
fn set_aside(store: &Store, doomed: &[Doomed]) -> io::Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    store.write(|transaction| {
        doomed
            .iter()
            .try_for_each(|doomed| doomed.move_aside(transaction))
    })
}

/// Removes files that no message owns. One that stays is no reason not to serve all others.
fn remove_orphans<'a>(
    disk: &dyn Disk,
    orphans: impl Iterator<Item = &'a QueueId>,
    findings: &mut Vec<Finding>,
) {
    for id in orphans {
        findings.push(match disk.remove(&content_name(*id)) {
            Ok(()) => Finding::Orphan(*id),
            Err(error) => Finding::Stuck {
                id: *id,
                why: error.kind(),
            },
        });
    }
}
