//! Messages that are set aside: what is left of each in a file of its own, for a person to look at.
//!
//! The file is on the disk before the log says that the message is gone; it is written anew if a
//! crash comes between. It has the length of the first record (four octets, big-endian), the
//! records as they were found, and the content as far as it could be read.

use std::io;

use vouchsafe_proto::queue_id::QueueId;

use super::log::Log;
use super::log::body::{Body, Place, size};
use super::log::frame::{HEAD, Head, Kind};
use super::recover::Doomed;
use super::store::Store;
use super::takeover::list;
use crate::fs::{Disk, DiskFile};

/// The folder of what was set aside.
const FOLDER: &str = "corrupt";

/// Writes what is left of a message.
pub(super) fn keep(log: &Log, doomed: &Doomed) -> io::Result<()> {
    let file = create(&*log.disk, &doomed.id.to_string())?;
    let records = doomed.records();
    file.write_at(0, records)?;
    let mut at = records.len() as u64;
    for piece in doomed.pieces() {
        let octets = content(&log.store, doomed, piece);
        file.write_at(at, &octets)?;
        at += octets.len() as u64;
    }
    finish(log, &*file)
}

/// The messages that have been set aside, and are still there.
pub(super) fn messages(disk: &dyn Disk) -> io::Result<Vec<QueueId>> {
    let listed = list(disk, FOLDER)?;
    Ok(listed
        .iter()
        .filter_map(|one| one.name.parse().ok())
        .collect())
}

/// Writes what is left of something that has lost its name.
pub(super) fn keep_hole(log: &Log, at: Place) -> io::Result<()> {
    let file = create(&*log.disk, &format!("{:08}-{}", at.segment, at.offset))?;
    let mut octets = vec![0; size(at.len)];
    if let Some(segment) = log.store.segment(at.segment) {
        // What cannot be read stays zeros.
        let _ = segment.file.read_at(u64::from(at.offset), &mut octets);
    }
    file.write_at(0, &octets)?;
    finish(log, &*file)
}

/// A new file, in place of one that an earlier start may have left half done.
fn create(disk: &dyn Disk, name: &str) -> io::Result<std::sync::Arc<dyn DiskFile>> {
    disk.create_dir(FOLDER)?;
    let name = format!("{FOLDER}/{name}");
    match disk.remove(&name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.create(&name)
}

/// Makes it durable, with its name.
fn finish(log: &Log, file: &dyn DiskFile) -> io::Result<()> {
    log.soundness.flush(file)?;
    log.disk
        .sync_dir(FOLDER)
        .inspect_err(|_| log.soundness.poison())
}

/// A piece of content, if it is one of this message.
fn content(store: &Store, doomed: &Doomed, piece: Place) -> Vec<u8> {
    let read = || {
        let segment = store.segment(piece.segment)?;
        let start = piece.offset.checked_sub(u32::try_from(HEAD).ok()?)?;
        let mut head = [0; HEAD];
        segment.file.read_at(u64::from(start), &mut head).ok()?;
        let head = Head::decode(&head, start, Some(segment.nonce))?;
        if head.kind != Kind::Content || head.id != doomed.id || head.len != piece.len {
            return None;
        }
        let mut octets = vec![0; size(piece.len)];
        segment
            .file
            .read_at(u64::from(piece.offset), &mut octets)
            .ok()?;
        Some(octets)
    };
    read().unwrap_or_default()
}

impl Doomed {
    /// The pieces of its content, as far as its body can be read.
    fn pieces(&self) -> Vec<Place> {
        Body::decode_anyway(self.first()).map_or_else(Vec::new, |body| body.pieces)
    }
}

/// Writes what is left of a message of an older queue: its records, then its file of content.
pub(super) fn keep_old(
    log: &Log,
    id: QueueId,
    records: &[u8],
    content: Option<&dyn DiskFile>,
) -> io::Result<()> {
    let file = create(&*log.disk, &id.to_string())?;
    file.write_at(0, records)?;
    let start = records.len() as u64;
    if let Some(content) = content {
        let (mut at, len) = (0, content.len()?);
        while at < len {
            let mut octets = vec![0; usize::try_from(len - at).unwrap_or(CHUNK).min(CHUNK)];
            content.read_at(at, &mut octets)?;
            file.write_at(start + at, &octets)?;
            at += octets.len() as u64;
        }
    }
    finish(log, &*file)
}

/// Octets copied at once.
const CHUNK: usize = 64 * 1024;
