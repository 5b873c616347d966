//! Whenever the machine stops: what was acknowledged is there, whole, and nothing is there in part.
//!
//! A story is played once on a disk that remembers; then, behind every single operation of it, the
//! disk is left as a crash of three kinds would leave it, and opened.

use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{Finding, LocalSpool, OfflineSpool, Options, Spool};

use crate::disk::{Crash, MemoryDisk};
use crate::mail::{at, content, deferred, delivered, lease_all, read, report, take};

/// A message of the story, and when, in operations, what happened to it.
struct Life {
    id: QueueId,
    content: Vec<u8>,
    /// Custody was given.
    taken: usize,
    /// Its first attempt was recorded.
    tried: Option<usize>,
    /// It was asked to leave, and was told that it has.
    left: Option<(usize, usize)>,
}

/// Plays a story with all kinds of operations.
async fn play(disk: &MemoryDisk) -> Vec<Life> {
    let spool = LocalSpool::open_on(Arc::new(disk.clone()), Options::default()).unwrap();
    let mut lives = Vec::new();
    for (seed, size) in [(1, 100), (2, 20_000), (3, 0), (4, 70_000), (5, 16_384)] {
        let content = content(seed, size);
        let id = take(&spool, at(seed), at(seed), &content).await.unwrap();
        let taken = disk.log_len();
        lives.push(Life {
            id,
            content,
            taken,
            tried: None,
            left: None,
        });
    }
    for (turn, lease) in lease_all(&spool, at(5)).await.into_iter().enumerate() {
        let mut settlement = match turn {
            1 | 2 => delivered(&lease),
            _ => deferred(&lease, at(100)),
        };
        if turn == 2 {
            settlement.reports.push(report(content(9, 30_000)));
        }
        let id = lease.entry().id;
        let asked = disk.log_len();
        spool.settle(lease, settlement).await.unwrap();
        let life = lives.iter_mut().find(|life| life.id == id).unwrap();
        if turn == 1 || turn == 2 {
            life.left = Some((asked, disk.log_len()));
        } else {
            life.tried = Some(disk.log_len());
        }
    }
    let taken = disk.log_len();
    let report = lease_all(&spool, at(5)).await.pop().unwrap();
    let id = report.entry().id;
    lives.push(Life {
        id,
        content: content(9, 30_000),
        taken,
        tried: None,
        left: None,
    });
    lives
}

/// Opens what a crash left, and looks at everything.
async fn check(disk: &MemoryDisk, lives: &[Life], upto: usize, crash: Crash) {
    let what = format!("after {upto} operations, {crash:?}");
    let image = disk.after(upto, crash);
    let mut looked = None;
    if lives.iter().any(|life| life.taken <= upto) {
        let before = image.log_len();
        let offline = OfflineSpool::open_on(Arc::new(image.clone())).expect(&what);
        looked = Some(offline.list(None, 100).unwrap());
        drop(offline);
        assert_eq!(image.log_len(), before, "{what}: looking changes nothing");
    }
    let spool = LocalSpool::open_on(Arc::new(image.clone()), Options::default()).expect(&what);
    for finding in spool.findings() {
        assert!(matches!(finding, Finding::Orphan(_)), "{what}: {finding}");
    }
    let listed = spool.list(None, 100).await.unwrap();
    assert!(looked.is_none_or(|looked| looked == listed), "{what}");
    for entry in &listed {
        let life = lives.iter().find(|life| life.id == entry.id);
        let life = life.unwrap_or_else(|| panic!("{what}: a message nobody sent"));
        assert_eq!(read(&spool, life.id).await.unwrap(), life.content, "{what}");
        if life.tried.is_some_and(|tried| tried <= upto) {
            assert_eq!((entry.attempts, entry.due), (1, at(100)), "{what}");
        }
        if let Some((_, left)) = life.left {
            assert!(upto < left, "{what}: {} is back", life.id);
        }
    }
    for life in lives.iter().filter(|life| life.taken <= upto) {
        let may_be_gone = life.left.is_some_and(|(asked, _)| asked < upto);
        let there = listed.iter().any(|entry| entry.id == life.id);
        assert!(there || may_be_gone, "{what}: {} is lost", life.id);
    }
    assert_eq!(
        lease_all(&spool, at(1_000)).await.len(),
        listed.len(),
        "{what}"
    );
    let id = take(&spool, at(9), at(9), b"after all").await.expect(&what);
    assert_eq!(read(&spool, id).await.unwrap(), b"after all");
    drop(spool);
    let files = image
        .names()
        .iter()
        .filter(|name| name.contains('/'))
        .count();
    let large = listed.iter().filter(|entry| entry.size > 16_384).count();
    assert_eq!(files, large, "{what}: files of content");
}

#[tokio::test]
async fn after_the_process_ends_at_any_operation() {
    let disk = MemoryDisk::default();
    let lives = play(&disk).await;
    for upto in 0..=disk.log_len() {
        check(&disk, &lives, upto, Crash::Process).await;
    }
}

#[tokio::test]
async fn after_the_power_fails_at_any_operation() {
    let disk = MemoryDisk::default();
    let lives = play(&disk).await;
    for upto in 0..=disk.log_len() {
        check(&disk, &lives, upto, Crash::Power).await;
    }
}

#[tokio::test]
async fn after_the_power_fails_at_any_operation_with_writes_half_done() {
    let disk = MemoryDisk::default();
    let lives = play(&disk).await;
    for upto in 0..=disk.log_len() {
        for seed in 0..3 {
            let seed = seed * 1_000_003 + upto as u64;
            check(&disk, &lives, upto, Crash::Partly(seed)).await;
        }
    }
}
