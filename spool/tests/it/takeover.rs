//! A queue of an older format becomes one of this format: whole, once, wherever it is stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::fs::Disk;
use vouchsafe_spool::{
    Corruption, Entry, Finding, LocalSpool, OfflineSpool, OpenError, Options, Spool,
};

use crate::disk::MemoryDisk;
use crate::faults::octets;
use crate::image::Crash;
use crate::mail::{at, delivered, lease_all, read};

/// Where the folder of a format is kept.
fn golden(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/spool/v{version}"))
}

/// A queue of format 3 on a disk in memory.
fn old_queue() -> MemoryDisk {
    let disk = MemoryDisk::default();
    let golden = golden(3);
    let put = |name: &str, octets: Vec<u8>| {
        let file = disk.create(name).unwrap();
        file.write_at(0, &octets).unwrap();
        file.sync_data().unwrap();
    };
    put("queue.redb", fs::read(golden.join("queue.redb")).unwrap());
    for file in fs::read_dir(golden.join("content")).unwrap() {
        let file = file.unwrap();
        let name = format!("content/{}", file.file_name().to_str().unwrap());
        put(&name, fs::read(file.path()).unwrap());
    }
    disk.sync_dir("").unwrap();
    disk.sync_dir("content").unwrap();
    disk.after(disk.log_len(), Crash::Power)
}

fn small_segments() -> Options {
    Options::default().with_reserve(0).with_segment(256 * 1024)
}

/// All that is in a queue, with its content.
async fn all_of(spool: &LocalSpool) -> Vec<(Entry, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in spool.list(None, 99).await.unwrap() {
        let content = read(spool, entry.id).await.unwrap();
        all.push((entry, content));
    }
    all
}

#[tokio::test]
async fn a_takeover_that_is_stopped_anywhere_loses_nothing_and_doubles_nothing() {
    let old = old_queue();
    let begin = old.log_len();
    let spool = LocalSpool::open_on(Arc::new(old.clone()), small_segments()).unwrap();
    let wanted = all_of(&spool).await;
    assert_eq!(wanted.len(), 3);
    drop(spool);
    assert!(!old.names().iter().any(|name| name.starts_with("content/")));
    for upto in begin..=old.log_len() {
        for crash in [
            Crash::Process,
            Crash::Power,
            Crash::Partly(upto as u64 * 3 + 1),
        ] {
            let what = format!("after {upto} operations, {crash:?}");
            let image = old.after(upto, crash);
            let offline = OfflineSpool::open_on(Arc::new(image.clone())).expect(&what);
            assert_eq!(offline.list(None, 99).unwrap().len(), 3, "{what}");
            drop(offline);
            let opened = LocalSpool::open_on(Arc::new(image.clone()), small_segments());
            let spool = opened.expect(&what);
            assert!(spool.findings().is_empty(), "{what}");
            assert!(all_of(&spool).await == wanted, "{what}");
            for lease in lease_all(&spool, at(10_000)).await {
                let settlement = delivered(&lease);
                spool.settle(lease, settlement).await.unwrap();
            }
            drop(spool);
            let spool = LocalSpool::open_on(Arc::new(image), small_segments()).expect(&what);
            assert!(all_of(&spool).await.is_empty(), "{what}: comes back");
        }
    }
}

#[tokio::test]
async fn a_takeover_that_finds_no_room_leaves_the_old_queue_as_it_was() {
    let old = old_queue();
    let before = octets(&old, "queue.redb");
    old.leave_room(300_000);
    let opened = LocalSpool::open_on(Arc::new(old.clone()), Options::default());
    assert!(matches!(opened, Err(OpenError::Store(_))));
    assert!(octets(&old, "queue.redb") == before);
    let offline = OfflineSpool::open_on(Arc::new(old.clone())).unwrap();
    assert_eq!(offline.list(None, 9).unwrap().len(), 3);
    drop(offline);
    old.leave_room(1 << 24);
    let spool = LocalSpool::open_on(Arc::new(old), Options::default()).unwrap();
    assert_eq!(all_of(&spool).await.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_set_aside() {
    let old = old_queue();
    let names = old.names();
    let content = names.iter().find(|name| name.starts_with("content/"));
    let content = content.unwrap();
    old.damage(content, |octets| octets.truncate(19_000));
    let id: QueueId = content.strip_prefix("content/").unwrap().parse().unwrap();
    let spool = LocalSpool::open_on(Arc::new(old.clone()), small_segments()).unwrap();
    let (found, wanted) = (19_000, 20_000);
    let why = Corruption::Size { found, wanted };
    assert_eq!(spool.findings(), [Finding::Corrupt { id, why }]);
    assert_eq!(spool.list(None, 9).await.unwrap().len(), 2);
    let kept = octets(&old, &format!("corrupt/{id}"));
    assert!(kept.ends_with(&crate::mail::content(2, 20_000)[..19_000]));
}

#[test]
fn an_older_program_does_not_open_this_format() {
    let folder = tempfile::tempdir().unwrap();
    drop(LocalSpool::open(folder.path(), small_segments()).unwrap());
    let opened = redb::Database::open(folder.path().join("queue.redb"));
    assert!(
        opened.is_err(),
        "or it would make a new store beside the log"
    );
    let newer = MemoryDisk::default();
    newer.create("queue.redb").unwrap();
    newer.damage("queue.redb", |all| {
        *all = b"vouchsafe queue, format 8\n".to_vec();
    });
    let opened = LocalSpool::open_on(Arc::new(newer), small_segments());
    assert!(matches!(opened, Err(OpenError::Format(8))));
}
