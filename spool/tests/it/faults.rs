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

/// Small segments, so that tests need several.
fn options() -> Options {
    Options::default().with_reserve(0).with_segment(256 * 1024)
}

/// With segments so large that nothing is prepared while little is taken.
fn open_quiet(disk: &MemoryDisk) -> LocalSpool {
    let options = options().with_segment(16 << 20);
    LocalSpool::open_on(Arc::new(disk.clone()), options).unwrap()
}

fn open(disk: &MemoryDisk) -> LocalSpool {
    LocalSpool::open_on(Arc::new(disk.clone()), options()).unwrap()
}

/// Takes messages until there is no room for more, and gives what was taken.
async fn fill(spool: &LocalSpool, size: usize) -> Vec<(QueueId, Vec<u8>)> {
    let mut taken = Vec::new();
    for seed in 100.. {
        let content = content(seed, size);
        match take(spool, at(0), at(0), &content).await {
            Ok(id) => taken.push((id, content)),
            Err(CommitError::NoSpace) => break,
            Err(other) => panic!("{size}: {other}"),
        }
    }
    taken
}

#[tokio::test]
async fn the_first_failed_flush_closes_the_spool() {
    // The flush of the message and its acceptance, and the one of whatever comes next.
    for nth in 0..1 {
        let disk = MemoryDisk::default();
        let spool = open_quiet(&disk);
        let kept = take(&spool, at(0), at(0), b"kept").await.unwrap();
        let lease = lease_all(&spool, at(0)).await.pop().unwrap();
        disk.fail(Fault::Sync(nth));
        let failed = take(&spool, at(0), at(0), &content(1, 50_000)).await;
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
    let spool = open_quiet(&disk);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(content(1, 20_000).into()).await.unwrap();
    disk.leave_room(0);
    let failed = draft.append(content(2, 6_000_000).into()).await;
    assert!(matches!(failed, Err(AppendError::NoSpace)));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Read(_))), "{read:?}");
    let piece = draft.piece(0).await;
    assert!(matches!(piece, Err(ReadBackError::Read(_))));

    let disk = MemoryDisk::default();
    let spool = open_quiet(&disk);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(content(1, 20).into()).await.unwrap();
    disk.fail(Fault::Sync(0));
    let other = spool.begin(at(0)).await.unwrap();
    let failed = other.commit(envelope(&["ann@example.net"]), at(0)).await;
    assert!(matches!(failed, Err(CommitError::Poisoned)));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Poisoned)), "{read:?}");
    let piece = draft.piece(0).await;
    assert!(matches!(piece, Err(ReadBackError::Poisoned)));
}

#[tokio::test]
async fn a_read_that_fails_leaves_the_draft_as_it_was() {
    let disk = MemoryDisk::default();
    let spool = open_quiet(&disk);
    let whole = content(1, 50_000);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(whole.clone().into()).await.unwrap();
    disk.fail(Fault::Call(0));
    let read = draft.read_back(usize::MAX).await;
    assert!(matches!(read, Err(ReadBackError::Read(_))), "{read:?}");
    disk.fail(Fault::Call(0));
    let piece = draft.piece(0).await;
    assert!(matches!(piece, Err(ReadBackError::Read(_))));
    disk.fail(Fault::Never);
    assert!(draft.read_back(usize::MAX).await.unwrap().unwrap() == whole);
    let custody = draft.commit(envelope(&["ann@example.net"]), at(0)).await;
    let id = custody.unwrap().queue_id();
    assert!(crate::mail::read(&spool, id).await.unwrap() == whole);
}

#[tokio::test]
async fn a_panic_behind_a_barrier_leaves_no_record_without_its_content() {
    for nth in 0..1 {
        let disk = MemoryDisk::default();
        let spool = open_quiet(&disk);
        disk.fail(Fault::Panic(nth));
        let failed = take(&spool, at(0), at(0), &content(1, 50_000)).await;
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
        disk.leave_room(0);
        taken.extend(fill(&spool, size).await);
        for seed in 4..40 {
            let refused = take(&spool, at(seed), at(0), &content(seed, 300_000)).await;
            assert!(matches!(refused, Err(CommitError::NoSpace)), "{size}");
            assert!(spool.is_sound());
        }
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
        assert!(open(&disk).list(None, 9).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn on_a_full_disk_mail_can_leave_though_none_can_come() {
    for size in [100, 40_000] {
        let disk = MemoryDisk::default();
        let spool = Arc::new(open(&disk));
        // A few segments.
        disk.leave_room(900_000);
        let taken = fill(&spool, size).await;
        assert!(taken.len() > 1);
        let mut leases = lease_all(&spool, at(0)).await;
        assert_eq!(leases.len(), taken.len());
        let last = leases.pop().unwrap();
        let again = deferred(&last, at(10));
        spool.settle(last, again).await.unwrap();
        // Some together, as a server does: what is kept for outcomes are sixteen pages here, and each
        // alone would take one.
        while !leases.is_empty() {
            let some = leases.split_off(leases.len().saturating_sub(taken.len().div_ceil(4)));
            let settle = |lease: vouchsafe_spool::Lease| {
                let settlement = delivered(&lease);
                (lease, settlement)
            };
            let settled = spool.settle_all(some.into_iter().map(settle).collect());
            assert!(settled.await.iter().all(Result::is_ok));
        }
        drop(spool);
        let spool = open(&disk);
        let left = spool.list(None, 9).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!((left[0].attempts, left[0].due), (1, at(10)));
        for lease in lease_all(&spool, at(10)).await {
            let settlement = delivered(&lease);
            spool.settle(lease, settlement).await.unwrap();
        }
        let id = take(&spool, at(9), at(9), b"room again").await.unwrap();
        assert_eq!(read(&spool, id).await.unwrap(), b"room again");
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
    settlement.reports = vec![crate::mail::report(content(1, 400_000))];
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
    let options = options().with_reserve(1 << 20);
    let spool = LocalSpool::open_on(Arc::new(disk.clone()), options).unwrap();
    let mut draft = spool.begin(at(0)).await.unwrap();
    disk.leave_room((1 << 20) - 1);
    assert!(matches!(
        spool.begin(at(0)).await.map(|_| ()),
        Err(BeginError::NoSpace)
    ));
    let piece = Bytes::from(vec![b'x'; 200_000]);
    draft.append(piece.clone()).await.unwrap();
    let refused = loop {
        if let Err(refused) = draft.append(piece.clone()).await {
            break refused;
        }
    };
    assert!(matches!(refused, AppendError::NoSpace));
    drop(draft);
    // Just enough is not enough again: else clients were told now this, now that.
    disk.leave_room((1 << 20) + (1 << 17) - 1);
    assert!(matches!(
        spool.begin(at(0)).await.map(|_| ()),
        Err(BeginError::NoSpace)
    ));
    disk.leave_room((1 << 20) + (1 << 17));
    spool.begin(at(0)).await.unwrap();
    disk.leave_room(1 << 20);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    disk.leave_room(0);
    assert_eq!(
        lease_all(&spool, at(0)).await.len(),
        1,
        "what is there leaves"
    );
}

/// Where in a file of the log the first of some octets is.
fn place(disk: &MemoryDisk, octets: &[u8]) -> (String, usize) {
    let segments = disk
        .names()
        .into_iter()
        .filter(|name| name.starts_with("log/"));
    for name in segments {
        let mut found = None;
        disk.damage(&name, |all| {
            found = all
                .windows(octets.len())
                .position(|window| window == octets);
        });
        if let Some(at) = found {
            return (name, at);
        }
    }
    panic!("not in the log");
}

/// The octets of a file.
pub fn octets(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let mut found = Vec::new();
    disk.damage(name, |octets| found.clone_from(octets));
    found
}

/// Octets of the head of a frame.
const HEAD: usize = 80;

#[tokio::test]
async fn what_is_damaged_is_set_aside_and_costs_no_other() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let mut ids = Vec::new();
    for seed in 0..6 {
        let taken = take(&spool, at(seed), at(0), &content(seed, 20_000)).await;
        ids.push(taken.unwrap());
    }
    // A crash, so that the log is read frame by frame.
    let image = disk.after(disk.log_len(), Crash::Process);
    drop(spool);
    let disk = image;
    let flip = |octets: &[u8], by: isize| {
        let (name, at) = place(&disk, octets);
        disk.damage(&name, |all| all[at.checked_add_signed(by).unwrap()] ^= 1);
    };
    // The record of the first: its head is found by what it says, behind the one of its content.
    let (name, at_first) = place(&disk, &content(0, 20_000));
    let record = (at_first + 20_000).next_multiple_of(8) + HEAD;
    disk.damage(&name, |all| all[record + 100] ^= 1);
    // The head of the record of the second.
    let (name, at_second) = place(&disk, &content(1, 20_000));
    let head = (at_second + 20_000).next_multiple_of(8);
    disk.damage(&name, |all| all[head + 17] ^= 1);
    // The content of the third, and the head of that of the fourth.
    flip(&content(2, 20_000), 7_000);
    flip(&content(3, 20_000), 3 - HEAD.cast_signed());
    let spool = open(&disk);
    let why = Corruption::Checksum;
    let findings = spool.findings().to_vec();
    assert!(findings.contains(&Finding::Corrupt { id: ids[0], why }));
    let damaged = |each: &&Finding| matches!(each, Finding::Damaged { .. });
    assert_eq!(findings.iter().filter(damaged).count(), 2, "{findings:?}");
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(read(&spool, ids[2]).await.is_err(), "found while reading");
    for seed in [3, 4, 5] {
        let id = ids[usize::try_from(seed).unwrap()];
        assert_eq!(read(&spool, id).await.unwrap(), content(seed, 20_000));
    }
    assert_eq!(spool.list(None, 9).await.unwrap().len(), 4);
    drop(spool);
    let spool = open(&disk);
    assert!(spool.findings().is_empty(), "said once");
    assert_eq!(spool.list(None, 9).await.unwrap().len(), 4);
    let names = disk.names();
    let kept = names.iter().filter(|name| name.starts_with("corrupt/"));
    assert_eq!(kept.count(), 3, "what is left of it stays: {names:?}");
    // What leaves was had; what was set aside was not.
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let (left, settlement) = (lease.entry().id, delivered(&lease));
    spool.settle(lease, settlement).await.unwrap();
    drop(spool);
    let spool = open(&disk);
    assert!(
        spool
            .list(None, 9)
            .await
            .unwrap()
            .iter()
            .all(|entry| entry.id != left)
    );
    assert!(spool.has_had(left) && spool.has_had(ids[4]));
    assert!(!spool.has_had(ids[0]));
}

#[tokio::test]
async fn damage_in_a_sealed_segment_is_found_when_the_message_is_due() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let first = take(&spool, at(0), at(0), &content(0, 2_000))
        .await
        .unwrap();
    let other = take(&spool, at(0), at(0), &content(1, 2_000))
        .await
        .unwrap();
    drop(spool);
    let (name, at_first) = place(&disk, &content(0, 2_000));
    disk.damage(&name, |all| all[at_first + 2_000 + HEAD + 60] ^= 1);
    let spool = open(&disk);
    let leased = spool.lease(at(0), Ask::up_to(9)).await.unwrap();
    let why = Corruption::Checksum;
    assert_eq!(leased.findings, [Finding::Corrupt { id: first, why }]);
    assert_eq!(leased.leases.len(), 1);
    assert_eq!(leased.leases[0].entry().id, other);
    drop(leased);
    drop(spool);
    let spool = open(&disk);
    assert_eq!(spool.list(None, 9).await.unwrap().len(), 1);
    let name = format!("corrupt/{first}");
    let kept = octets(&disk, &name);
    assert!(kept.ends_with(&content(0, 2_000)), "its content too");
}

#[tokio::test]
async fn a_part_of_a_queue_is_not_taken_for_rubbish() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let whole = content(1, 20_000);
    let id = take(&spool, at(0), at(0), &whole).await.unwrap();
    drop(spool);
    disk.rename("queue.redb", "aside").unwrap();
    let before = disk.names();
    for _ in 0..2 {
        let opened = LocalSpool::open_on(Arc::new(disk.clone()), options());
        assert!(matches!(opened, Err(OpenError::Lost)));
        assert_eq!(disk.names(), before, "nothing is touched");
    }
    disk.rename("aside", "queue.redb").unwrap();
    let spool = open(&disk);
    assert_eq!(read(&spool, id).await.unwrap(), whole);
    drop(spool);
    for name in disk.names() {
        if name.starts_with("log/") {
            disk.lose(&name);
        }
    }
    let opened = LocalSpool::open_on(Arc::new(disk.clone()), options());
    assert!(matches!(opened, Err(OpenError::Lost)));
}

#[tokio::test]
async fn content_without_a_store_is_not_taken_for_rubbish() {
    let disk = MemoryDisk::default();
    let id = QueueId::new(at(1), 1);
    let name = format!("content/{id}");
    disk.create(&name).unwrap();
    let opened = LocalSpool::open_on(Arc::new(disk.clone()), options());
    assert!(matches!(opened, Err(OpenError::Lost)));
    assert!(disk.names().contains(&name), "nothing is touched");
    disk.rename(&name, "content/notes.txt").unwrap();
    let foreign = Finding::Foreign(String::from("notes.txt"));
    assert_eq!(
        open(&disk).findings(),
        [foreign],
        "not ours, not in the way"
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_keeps_nobody_waiting() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let kept = take(&spool, at(0), at(0), b"kept").await.unwrap();
    drop(spool);
    // As a takeover leaves them that was stopped just before its end.
    let left = [1, 2].map(|random| QueueId::new(at(1), random));
    for id in &left {
        disk.create(&format!("content/{id}")).unwrap();
    }
    disk.stick(&format!("content/{}", left[0]));
    let spool = open(&disk);
    let why = std::io::ErrorKind::PermissionDenied;
    assert_eq!(spool.findings(), [Finding::Stuck { id: left[0], why }]);
    assert!(!disk.names().contains(&format!("content/{}", left[1])));
    assert_eq!(read(&spool, kept).await.unwrap(), b"kept");
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
