//! Delivery into a Maildir: one file for each recipient, written in `tmp`, then moved to `new`.
//!
//! Promises: a message is called delivered only after its file and the folder `new` have been
//! flushed; a file in `new` is whole; lines end in LF there, as every reader of a Maildir expects,
//! and nothing else of the content is changed. `Return-Path` (RFC 5321 §4.4) and `Delivered-To`
//! stand at the top.
//!
//! The file is named for arrival, queue id, recipient and host, always the same: an attempt that
//! was made before, and whose record a crash has lost, is recognised while its file is still in
//! `new`, and not made again. Once a reader has moved it, a duplicate is possible.
//!
//! Left to others: reading the content (the spool), when to try again (the runner).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::Content;

/// One message for one recipient.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The Maildir.
    pub folder: PathBuf,
    /// Our name.
    pub hostname: Domain,
    /// The message.
    pub id: QueueId,
    /// For `Return-Path`.
    pub reverse_path: ReversePath,
    /// For `Delivered-To`.
    pub recipient: ForwardPath,
    /// Its place in the envelope.
    pub index: usize,
}

/// Delivers. The content is read to its end by this.
pub async fn deliver(letter: Letter, content: &mut dyn Content) -> Outcome {
    let remote = Some(Remote {
        name: letter.folder.display().to_string(),
        address: None,
    });
    let shown = letter.clone();
    let (pieces, incoming) = mpsc::channel(1);
    let writing = tokio::task::spawn_blocking(move || write_letter(&letter, incoming));
    if let Err(error) = hand_over(content, pieces).await {
        tracing::error!(
            queue_id = %shown.id,
            error = %crate::log::chain(&error),
            "content cannot be read"
        );
    }
    match writing.await {
        Ok(Ok(())) => Outcome::local((2, 0, 0), remote, "delivered to the mailbox"),
        Ok(Err(error)) => {
            tracing::error!(
                queue_id = %shown.id,
                folder = %shown.folder.display(),
                %error,
                "the mailbox cannot be written"
            );
            failed(&error, remote)
        }
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Outcome::local((4, 3, 2), remote, "this server is stopping"),
    }
}

/// What passes from the reader to the writer.
enum Piece {
    /// More content.
    Octets(Bytes),
    /// There is no more. Without it the writer must not believe that it has everything.
    End,
}

/// Reads content to its end and passes it on. A writer that is gone has its own error to tell.
async fn hand_over(
    content: &mut dyn Content,
    pieces: mpsc::Sender<Piece>,
) -> Result<(), vouchsafe_spool::ContentError> {
    loop {
        let piece = content.next().await?.map_or(Piece::End, Piece::Octets);
        let last = matches!(piece, Piece::End);
        if pieces.send(piece).await.is_err() || last {
            return Ok(());
        }
    }
}

/// What a failure of the file system means for the recipient.
fn failed(error: &io::Error, remote: Option<Remote>) -> Outcome {
    match error.kind() {
        io::ErrorKind::StorageFull => Outcome::local((4, 3, 1), remote, "the disk is full"),
        io::ErrorKind::QuotaExceeded => Outcome::local((4, 2, 2), remote, "the mailbox is full"),
        _ => Outcome::local((4, 3, 0), remote, "the mailbox cannot be written now"),
    }
}

/// All of the work on files; blocks.
fn write_letter(letter: &Letter, mut incoming: mpsc::Receiver<Piece>) -> io::Result<()> {
    make_folders(&letter.folder)?;
    let name = letter.file_name();
    let target = letter.folder.join("new").join(&name);
    if target.try_exists()? {
        tracing::info!(queue_id = %letter.id, file = %target.display(), "already in the mailbox");
        // Whoever put it there may have been killed before this.
        return flush_folder(&letter.folder.join("new"));
    }
    let draft = letter.folder.join("tmp").join(&name);
    let finished = write_draft(letter, &draft, &mut incoming);
    if finished.is_err() {
        // The error that is told is the first one; what stays in tmp is overwritten next time.
        let _ = fs::remove_file(&draft);
    }
    publish(&finished?, &draft, &target)
}

impl Letter {
    /// The same at every attempt. A recipient has at most one file of a message.
    fn file_name(&self) -> String {
        format!(
            "{}.Q{}R{}.{}",
            self.id.arrived().as_secs(),
            self.id,
            self.index,
            self.hostname.as_ascii()
        )
    }
}

/// Makes the Maildir and its three folders, if they are not there; its parent must be.
fn make_folders(folder: &Path) -> io::Result<()> {
    let make = |path: &Path| match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    };
    let mut fresh = make(folder)?;
    if fresh && let Some(parent) = folder.parent() {
        flush_folder(parent)?;
    }
    for inside in ["tmp", "new", "cur"] {
        fresh |= make(&folder.join(inside))?;
    }
    if fresh {
        flush_folder(folder)?;
    }
    Ok(())
}

/// Writes the file in `tmp`, all of it. One that an earlier attempt has left is overwritten:
/// nobody else has this message.
fn write_draft(
    letter: &Letter,
    draft: &Path,
    incoming: &mut mpsc::Receiver<Piece>,
) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(draft)?;
    let top = format!(
        "Return-Path: <{}>\nDelivered-To: {}\n",
        letter.reverse_path, letter.recipient
    );
    file.write_all(top.as_bytes())?;
    let mut lines = LineEnds::default();
    let mut converted = Vec::new();
    loop {
        match incoming.blocking_recv() {
            Some(Piece::Octets(octets)) => {
                converted.clear();
                lines.convert(&octets, &mut converted);
                file.write_all(&converted)?;
            }
            Some(Piece::End) => break,
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }
    converted.clear();
    lines.finish(&mut converted);
    file.write_all(&converted)?;
    Ok(file)
}

/// From CRLF to LF, across the bounds of pieces. A CR that no LF follows stays.
#[derive(Debug, Default)]
struct LineEnds {
    /// The last octet was a CR, which is not written yet.
    held: bool,
}

impl LineEnds {
    /// Converts one piece.
    fn convert(&mut self, octets: &[u8], into: &mut Vec<u8>) {
        into.reserve(octets.len().saturating_add(1));
        for octet in octets {
            if std::mem::take(&mut self.held) && *octet != b'\n' {
                into.push(b'\r');
            }
            if *octet == b'\r' {
                self.held = true;
            } else {
                into.push(*octet);
            }
        }
    }

    /// There is no more.
    fn finish(&mut self, into: &mut Vec<u8>) {
        if std::mem::take(&mut self.held) {
            into.push(b'\r');
        }
    }
}

/// The step that makes it a delivery: flushes the file, moves it to `new`, flushes `new`.
#[expect(
    clippy::disallowed_methods,
    reason = "a mailbox is not the spool: a flush that fails here is a transient outcome, and \
              nothing that was acknowledged rests on it"
)]
fn publish(file: &File, draft: &Path, target: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(draft, target)?;
    let flushed = target.parent().map_or(Ok(()), flush_folder);
    if flushed.is_err() {
        // Not known to be there for good: it must not be taken for delivered by the next attempt.
        let _ = fs::remove_file(target);
    }
    flushed
}

/// Makes what was done to the names in a folder durable.
#[expect(
    clippy::disallowed_methods,
    reason = "as for `publish`: a failed flush is a transient outcome here"
)]
fn flush_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use vouchsafe_proto::time::Wall;
    use vouchsafe_spool::{ContentError, Pending};

    /// Content in these pieces, which may break off.
    struct Pieces(VecDeque<&'static [u8]>, bool);

    impl Content for Pieces {
        fn next(&mut self) -> Pending<'_, Result<Option<Bytes>, ContentError>> {
            let next = self.0.pop_front().map(Bytes::from_static);
            let broken = next.is_none() && self.1;
            Box::pin(async move {
                if broken {
                    Err(ContentError::Unknown(QueueId::new(Wall::default(), 0)))
                } else {
                    Ok(next)
                }
            })
        }
    }

    fn letter(folder: &Path) -> Letter {
        Letter {
            folder: folder.to_owned(),
            hostname: Domain::parse("mx.example.org").unwrap(),
            id: QueueId::new(Wall::from_secs(1_795_256_100), 7),
            reverse_path: ReversePath::parse_inside("a@example.net").unwrap(),
            recipient: ForwardPath::parse_inside("b@example.org").unwrap(),
            index: 0,
        }
    }

    fn files(folder: &Path, inside: &str) -> Vec<PathBuf> {
        let listed = fs::read_dir(folder.join(inside)).unwrap();
        listed.map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn a_message_arrives_whole_once_with_lf() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("box");
        let pieces = || Pieces([&b"A: b\r"[..], b"\n\r\nx\ry\r\n.\r", b"\n"].into(), false);
        for _ in 0..2 {
            let outcome = deliver(letter(&folder), &mut pieces()).await;
            assert_eq!(outcome.status.to_string(), "2.0.0");
            let new = files(&folder, "new");
            assert_eq!(new.len(), 1);
            assert_eq!(
                new[0].file_name().unwrap().to_str().unwrap(),
                format!("1795256100.Q{}R0.mx.example.org", letter(&folder).id)
            );
            assert_eq!(
                fs::read(&new[0]).unwrap(),
                b"Return-Path: <a@example.net>\nDelivered-To: b@example.org\nA: b\n\nx\ry\n.\n"
            );
            assert!(files(&folder, "tmp").is_empty() && files(&folder, "cur").is_empty());
        }
    }

    #[tokio::test]
    async fn content_that_breaks_off_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let mut broken = Pieces([&b"A: b\r\n"[..]].into(), true);
        let outcome = deliver(letter(root.path()), &mut broken).await;
        assert_eq!(outcome.status.to_string(), "4.3.0");
        assert!(files(root.path(), "new").is_empty() && files(root.path(), "tmp").is_empty());
    }

    #[tokio::test]
    async fn without_a_parent_there_is_no_mailbox() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("missing/box");
        let mut content = Pieces([&b"x\r\n"[..]].into(), false);
        let outcome = deliver(letter(&folder), &mut content).await;
        assert_eq!(outcome.status.to_string(), "4.3.0");
        assert!(!folder.exists());
    }

    #[test]
    fn what_the_disk_says_becomes_a_status() {
        for (kind, status) in [
            (io::ErrorKind::StorageFull, "4.3.1"),
            (io::ErrorKind::QuotaExceeded, "4.2.2"),
            (io::ErrorKind::PermissionDenied, "4.3.0"),
        ] {
            assert_eq!(failed(&kind.into(), None).status.to_string(), status);
        }
    }
}
