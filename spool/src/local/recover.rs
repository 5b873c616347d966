//! What is done at start with each state that a crash, or worse, can leave (docs/queue.md).
//!
//! Files that no record names are removed: their message was never acknowledged, or has left. A
//! record that cannot be read, or whose content is not what it says, is set aside: its octets are
//! moved to a table of their own, a file of content stays where it is, and no other message is
//! touched. All of it is reported as [`Finding`]s.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;

use vouchsafe_proto::queue_id::QueueId;

use super::due::Due;
use super::record::ContentRecord;
use super::store::{CORRUPT, ENVELOPES, PROGRESS, Store};
use super::{CONTENT_FOLDER, content_name};
use crate::fs::Disk;

/// Something found at start that was not in order.
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
        }
    }
}

/// A message to be set aside.
struct Doomed {
    id: QueueId,
    why: Corruption,
    records: Vec<u8>,
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
            Ok(records.progress.due)
        });
        match sound {
            Ok(at) => {
                due.insert(id, at);
            }
            Err(why) => doomed.push(Doomed {
                id,
                why,
                records: both(envelope, progress),
            }),
        }
        true
    })?;
    set_aside(store, &doomed)?;
    findings.extend(doomed.iter().map(|doomed| Finding::Corrupt {
        id: doomed.id,
        why: doomed.why,
    }));
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

/// Moves records out of the queue's tables, in one transaction. Small content stays where it is.
fn set_aside(store: &Store, doomed: &[Doomed]) -> io::Result<()> {
    if doomed.is_empty() {
        return Ok(());
    }
    store.write(|transaction| {
        let mut corrupt = transaction.open_table(CORRUPT)?;
        let mut envelopes = transaction.open_table(ENVELOPES)?;
        let mut progress = transaction.open_table(PROGRESS)?;
        for Doomed { id, records, .. } in doomed {
            corrupt.insert(id.as_u128(), records.as_slice())?;
            envelopes.remove(id.as_u128())?;
            progress.remove(id.as_u128())?;
        }
        Ok(())
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
