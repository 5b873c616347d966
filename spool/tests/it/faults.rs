//! What a failing, a full and a damaged disk do: nothing acknowledged is lost, nothing is said
//! that is not so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::fs::Disk;
use vouchsafe_spool::{
    AppendError, Ask, BeginError, CommitError, Corruption, Finding, LeaseError, LocalSpool,
    OpenError, Options, ReadBackError, SettleError, Spool,
};

use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::mail::{at, content, deferred, delivered, envelope, lease_all, read, take};

fn open(disk: &MemoryDisk) -> LocalSpool {
    let options = Options::default().with_reserve(0);
    LocalSpool::open_on(Arc::new(disk.clone()), options).unwrap()
}

#[tokio::test]
async fn the_first_failed_flush_closes_the_spool() {
    // Flushes for one large message: its file, the folder, and both barriers of the store.
    for nth in 0..4 {
        let disk = MemoryDisk::default();
        let spool = open(&disk);
        let kept = take(&spool, at(0), at(0), b"kept").await.unwrap();
        let lease = lease_all(&spool, at(0)).await.pop().unwrap();
        disk.fail(Fault::Sync(nth));
        let failed = take(&spool, at(0), at(0), &content(1, 20_000)).await;
        assert!(matches!(failed, Err(CommitError::Poisoned)), "{nth}");
        assert!(!spool.is_sound());
        assert!(matches!(
            spool.begin(at(0)).await.map(|_| ()),
            Err(BeginError::Poisoned)
        ));
        let settlement = deferred(&lease, at(10));
        assert!(matches!(
            spool.settle(lease, settlement).await,
            Err(SettleError::Poisoned)
        ));
        assert!(matches!(
            spool.lease(at(0), Ask::up_to(1)).await,
            Err(LeaseError::Poisoned)
        ));
        assert_eq!(read(&spool, kept).await.unwrap(), b"kept", "still readable");
        drop(spool);
        for crash in [Crash::Process, Crash::Power] {
            let spool = open(&disk.after(disk.log_len(), crash));
            assert_eq!(read(&spool, kept).await.unwrap(), b"kept", "{crash:?}");
            assert!(
                spool
                    .findings()
                    .iter()
                    .all(|each| matches!(each, Finding::Orphan(_))),
                "{crash:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_not_written_is_not_read_back() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(content(1, 20_000).into()).await.unwrap();
    disk.leave_room(0);
    let failed = draft.append(content(2, 20_000).into()).await;
    assert!(matches!(failed, Err(AppendError::NoSpace)));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Read(_))), "{read:?}");

    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(content(1, 20).into()).await.unwrap();
    disk.fail(Fault::Sync(0));
    let other = spool.begin(at(0)).await.unwrap();
    let failed = other.commit(envelope(&["ann@example.net"]), at(0)).await;
    assert!(matches!(failed, Err(CommitError::Poisoned)));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Poisoned)), "{read:?}");
}

#[tokio::test]
async fn a_read_that_fails_leaves_the_draft_as_it_was() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let whole = content(1, 20_000);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(whole.clone().into()).await.unwrap();
    disk.fail(Fault::Call(0));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Read(_))), "{read:?}");
    disk.fail(Fault::Never);
    assert!(draft.read_back(usize::MAX).await.unwrap().unwrap() == whole);
    let custody = draft.commit(envelope(&["ann@example.net"]), at(0)).await;
    let id = custody.unwrap().queue_id();
    assert!(crate::mail::read(&spool, id).await.unwrap() == whole);
}

#[tokio::test]
async fn a_panic_behind_a_barrier_leaves_no_record_without_its_content() {
    for nth in 1..4 {
        let disk = MemoryDisk::default();
        let spool = open(&disk);
        disk.fail(Fault::Panic(nth));
        let failed = take(&spool, at(0), at(0), &content(1, 20_000)).await;
        assert!(matches!(failed, Err(CommitError::Poisoned)), "{nth}");
        drop(spool);
        let spool = open(&disk.after(disk.log_len(), Crash::Process));
        let sound = |finding: &Finding| matches!(finding, Finding::Orphan(_));
        assert!(
            spool.findings().iter().all(sound),
            "{nth}: {:?}",
            spool.findings()
        );
    }
}

#[tokio::test]
async fn a_full_disk_refuses_mail_until_there_is_room() {
    for size in [3_000, 16_000, 40_000] {
        let disk = MemoryDisk::default();
        let spool = open(&disk);
        let mut taken = Vec::new();
        for seed in 0..4 {
            let content = content(seed, size);
            taken.push((
                take(&spool, at(seed), at(0), &content).await.unwrap(),
                content,
            ));
        }
        disk.leave_room(6 * size as u64);
        let mut refused = 0;
        for seed in 4..40 {
            let content = content(seed, size);
            match take(&spool, at(seed), at(0), &content).await {
                Ok(id) => taken.push((id, content)),
                Err(CommitError::NoSpace) => refused += 1,
                Err(other) => panic!("{size}: {other}"),
            }
            assert!(spool.is_sound());
        }
        assert!(refused > 10, "{size}: {refused} refused");
        for (id, content) in &taken {
            assert_eq!(&read(&spool, *id).await.unwrap(), content, "{size}");
        }
        disk.leave_room(1 << 24);
        let content = content(99, size);
        let id = take(&spool, at(99), at(0), &content).await.unwrap();
        assert_eq!(read(&spool, id).await.unwrap(), content, "room again");
        for lease in lease_all(&spool, at(99)).await {
            let settlement = delivered(&lease);
            spool.settle(lease, settlement).await.unwrap();
        }
        drop(spool);
        assert!(
            !disk.names().iter().any(|name| name.contains('/')),
            "{size}"
        );
    }
}

#[tokio::test]
async fn an_outcome_that_finds_no_room_is_not_tried_at_once() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let id = lease.entry().id;
    disk.leave_room(0);
    let mut settlement = deferred(&lease, at(10));
    settlement.reports = vec![crate::mail::report(content(1, 200_000))];
    assert!(matches!(
        spool.settle(lease, settlement).await,
        Err(SettleError::NoSpace)
    ));
    assert!(lease_all(&spool, at(59)).await.is_empty());
    disk.leave_room(1 << 24);
    let lease = lease_all(&spool, at(60)).await.pop().unwrap();
    assert_eq!((lease.entry().id, lease.entry().attempts), (id, 0));
}

#[tokio::test]
async fn a_queue_that_nothing_comes_into_is_served_again_once_there_is_room() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let id = take(&spool, at(0), at(0), b"x").await.unwrap();
    disk.seal(true);
    let refused = take(&spool, at(0), at(0), b"y").await;
    assert!(matches!(refused, Err(CommitError::NoSpace)));
    let leased = spool.lease(at(0), Ask::up_to(9)).await;
    assert!(matches!(leased, Err(LeaseError::NoSpace)));
    disk.seal(false);
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    assert_eq!(lease.entry().id, id);
    let settlement = delivered(&lease);
    spool.settle(lease, settlement).await.unwrap();
    assert!(spool.is_sound());
}

#[tokio::test]
async fn below_the_reserve_no_message_is_begun() {
    let disk = MemoryDisk::default();
    let options = Options::default().with_reserve(1 << 20);
    let spool = LocalSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let mut draft = spool.begin(at(0)).await.unwrap();
    disk.leave_room((1 << 20) - 1);
    assert!(matches!(
        spool.begin(at(0)).await.map(|_| ()),
        Err(BeginError::NoSpace)
    ));
    let piece = Bytes::from(vec![b'x'; 200_000]);
    for _ in 0..3 {
        draft.append(piece.clone()).await.unwrap();
    }
    assert!(matches!(
        draft.append(piece).await,
        Err(AppendError::NoSpace)
    ));
    drop(draft);
    disk.leave_room(1 << 20);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    disk.leave_room((1 << 17) - 1);
    assert!(matches!(
        spool.lease(at(0), Ask::up_to(1)).await,
        Err(LeaseError::NoSpace)
    ));
    disk.leave_room(1 << 17);
    assert_eq!(lease_all(&spool, at(0)).await.len(), 1);
}

#[tokio::test]
async fn what_is_damaged_is_set_aside_and_costs_no_other() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let mut ids = Vec::new();
    for seed in 0..5 {
        ids.push(
            take(&spool, at(seed), at(0), &content(seed, 20_000))
                .await
                .unwrap(),
        );
    }
    drop(spool);
    disk.lose(&format!("content/{}", ids[0]));
    disk.damage(&format!("content/{}", ids[1]), |octets| {
        octets.truncate(19_999);
    });
    disk.damage(&format!("content/{}", ids[2]), |octets| octets[7_000] ^= 1);
    let spool = open(&disk);
    let (found, wanted) = (19_999, 20_000);
    let corrupt = |id, why| Finding::Corrupt { id, why };
    assert_eq!(
        spool.findings(),
        [
            corrupt(ids[0], Corruption::NoContent),
            corrupt(ids[1], Corruption::Size { found, wanted }),
        ]
    );
    assert!(read(&spool, ids[2]).await.is_err(), "found while reading");
    for (seed, id) in (3..).zip(&ids[3..]) {
        assert_eq!(read(&spool, *id).await.unwrap(), content(seed, 20_000));
    }
    assert_eq!(spool.list(None, 9).await.unwrap().len(), 3);
    drop(spool);
    let spool = open(&disk);
    assert!(spool.findings().is_empty(), "said once");
    let kept = format!("content/{}", ids[1]);
    assert!(disk.names().contains(&kept), "what is left of it stays");
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_keeps_nobody_waiting() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let kept = take(&spool, at(0), at(0), b"kept").await.unwrap();
    drop(spool);
    let orphans = [1, 2].map(|random| QueueId::new(at(1), random));
    for id in &orphans {
        disk.create(&format!("content/{id}")).unwrap();
    }
    disk.stick(&format!("content/{}", orphans[0]));
    let spool = open(&disk);
    let findings = spool.findings();
    let why = std::io::ErrorKind::PermissionDenied;
    let id = orphans[0];
    assert!(findings.contains(&Finding::Stuck { id, why }));
    assert!(findings.contains(&Finding::Orphan(orphans[1])));
    assert_eq!(read(&spool, kept).await.unwrap(), b"kept");
}

#[tokio::test]
async fn content_without_a_store_is_not_taken_for_rubbish() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let id = take(&spool, at(0), at(0), &content(1, 20_000))
        .await
        .unwrap();
    drop(spool);
    let name = format!("content/{id}");
    disk.rename("queue.redb", "aside").unwrap();
    for _ in 0..2 {
        let opened = LocalSpool::open_on(Arc::new(disk.clone()), Options::default());
        assert!(matches!(opened, Err(OpenError::Lost)));
        assert!(disk.names().contains(&name), "nothing is touched");
    }
    disk.rename("aside", "queue.redb").unwrap();
    let spool = open(&disk);
    assert_eq!(read(&spool, id).await.unwrap(), content(1, 20_000));
    drop(spool);
    disk.lose("queue.redb");
    disk.rename(&name, "content/notes.txt").unwrap();
    let foreign = Finding::Foreign(String::from("notes.txt"));
    assert_eq!(
        open(&disk).findings(),
        [foreign],
        "not ours, not in the way"
    );
}

#[tokio::test]
async fn what_waits_is_made_durable_together() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let mut commits: Vec<Pin<Box<dyn Future<Output = _> + Send>>> = Vec::new();
    for _ in 0..64 {
        let draft = spool.begin(at(0)).await.unwrap();
        commits.push(draft.commit(envelope(&["ann@example.net"]), at(0)));
    }
    let before = disk.syncs();
    let held = disk.hold_flushes();
    let mut context = Context::from_waker(Waker::noop());
    for commit in &mut commits {
        assert!(matches!(commit.as_mut().poll(&mut context), Poll::Pending));
    }
    drop(held);
    for commit in commits {
        drop(commit.await.unwrap());
    }
    let flushes = disk.syncs() - before;
    assert!(flushes <= 4, "two groups at most, but {flushes} flushes");
    assert_eq!(lease_all(&spool, at(0)).await.len(), 64);
}

#[tokio::test]
async fn many_tasks_at_once_lose_nothing() {
    let disk = MemoryDisk::default();
    let spool = Arc::new(open(&disk));
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                let mut taken = Vec::new();
                for turn in 0..5 {
                    let seed = task * 5 + turn;
                    let size = [10, 4_000, 17_000][usize::try_from(seed % 3).unwrap()];
                    let content = content(seed, size);
                    let id = take(&spool, at(seed), at(0), &content).await.unwrap();
                    taken.push((id, content));
                }
                taken
            })
        })
        .collect();
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap());
    }
    drop(spool);
    let spool = open(&disk.after(disk.log_len(), Crash::Power));
    assert_eq!(spool.list(None, 1_000).await.unwrap().len(), 320);
    for (id, content) in taken {
        assert_eq!(read(&spool, id).await.unwrap(), content);
    }
}
