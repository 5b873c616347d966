//! A few messages that stay keep no room for the many that left: the log shrinks to its bound
//! (docs/queue.md), whatever comes and goes meanwhile, and what stays is as it was, octet for octet.

use std::collections::BTreeMap;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{Ask, LocalSpool, Spool};

use crate::disk::MemoryDisk;
use crate::faults::octets;
use crate::image::Crash;
use crate::mail::{at, content, deferred, delivered, lease_all, read, take};
use crate::story::{HORIZON, open};

/// Octets of a segment here.
const SEGMENT: u64 = 256 * 1024;

/// What a queue of so many octets that count may take: four times as much, and eight segments.
pub fn bound(live: u64) -> u64 {
    4 * live + 8 * SEGMENT
}

/// Octets of all the log's files.
pub fn log_size(disk: &MemoryDisk) -> u64 {
    use vouchsafe_spool::fs::Disk;
    let listed = disk.list("log").unwrap();
    listed.iter().map(|listed| listed.size).sum()
}

/// Waits until the log is no larger than this: the work is done behind everybody's back.
pub async fn shrunk(disk: &MemoryDisk, most: u64) -> u64 {
    for _ in 0..1_000_000 {
        let size = log_size(disk);
        if size <= most {
            return size;
        }
        // Whoever moves messages needs a processor, not time.
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    panic!("{} octets, wanted {most}", log_size(disk));
}

/// What stays, by id.
type Kept = BTreeMap<QueueId, Vec<u8>>;

/// Takes `count` messages of several sizes, and has all but every `nth` leave.
async fn come_and_go(spool: &LocalSpool, seed: u64, count: u64, nth: u64, kept: &mut Kept) {
    let mut stays = BTreeMap::new();
    for number in 0..count {
        let seed = seed + number;
        let size = [300, 4_000, 9_000, 40_000][usize::try_from(seed % 4).unwrap()];
        let content = content(seed, size);
        let id = take(spool, at(0), at(0), &content).await.unwrap();
        if number % nth == nth / 2 {
            stays.insert(id, content);
        }
    }
    let leased = spool.lease(at(10), Ask::up_to(usize::MAX)).await.unwrap();
    for lease in leased.leases {
        let id = lease.entry().id;
        let settlement = if stays.contains_key(&id) {
            deferred(&lease, at(1_000_000 + seed))
        } else {
            delivered(&lease)
        };
        spool.settle(lease, settlement).await.unwrap();
    }
    kept.append(&mut stays);
}

/// All that stays is there, and nothing else.
async fn check(spool: &LocalSpool, kept: &Kept) {
    assert!(spool.findings().is_empty(), "{:?}", spool.findings());
    let listed = spool.list(None, usize::MAX).await.unwrap();
    assert!(listed.iter().map(|entry| &entry.id).eq(kept.keys()));
    for entry in listed {
        assert_eq!(entry.attempts, 1);
        assert!(entry.due >= at(1_000_000));
        assert!(read(spool, entry.id).await.unwrap() == kept[&entry.id]);
    }
}

/// Octets that count, about.
fn live(kept: &Kept) -> u64 {
    kept.values()
        .map(|content| content.len() as u64 + 1_500)
        .sum()
}

#[tokio::test]
async fn a_queue_of_which_little_stays_shrinks_to_its_bound() {
    let disk = MemoryDisk::default();
    let spool = open(&disk).unwrap();
    let mut kept = Kept::new();
    come_and_go(&spool, 0, 800, 100, &mut kept).await;
    assert_eq!(kept.len(), 8);
    let size = shrunk(&disk, bound(live(&kept))).await;
    println!("{size} octets for {}", live(&kept));
    check(&spool, &kept).await;
    drop(spool);
    let spool = open(&disk).unwrap();
    check(&spool, &kept).await;
    let leases = spool.lease(HORIZON, Ask::up_to(usize::MAX)).await.unwrap();
    for lease in leases.leases {
        let settlement = delivered(&lease);
        spool.settle(lease, settlement).await.unwrap();
    }
    drop(spool);
    assert!(open(&disk).unwrap().list(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn so_does_one_that_messages_go_through_meanwhile() {
    let disk = MemoryDisk::default();
    let spool = Arc::new(open(&disk).unwrap());
    let mut kept = Kept::new();
    for round in 0..12 {
        come_and_go(&spool, round * 1_000, 200, 50, &mut kept).await;
        let size = shrunk(&disk, bound(live(&kept))).await;
        println!("{size} octets for {}", live(&kept));
    }
    check(&spool, &kept).await;
    drop(spool);
    check(&open(&disk).unwrap(), &kept).await;
}

/// Octets of room with which such a queue comes to its end, even if nothing is moved in time: each
/// outcome takes a page.
const ENOUGH: u64 = 2_400_000;

/// The disk is full from the moment at which mail begins to leave, and each segment has a message that
/// stays. What is prepared is used to move those; when it is used up the queue stands still, and goes
/// on as soon as there is room.
#[tokio::test]
async fn on_a_full_disk_it_goes_as_far_as_it_can_and_loses_nothing() {
    let mut stood_still = Vec::new();
    for room in [0, 60_000, 600_000, ENOUGH] {
        let disk = MemoryDisk::default();
        let spool = open(&disk).unwrap();
        let mut kept = Kept::new();
        for number in 0..400 {
            let content = content(
                number,
                [300, 4_000, 9_000][usize::try_from(number % 3).unwrap()],
            );
            let id = take(&spool, at(0), at(0), &content).await.unwrap();
            if number % 25 == 12 {
                kept.insert(id, content);
            }
        }
        disk.leave_room(room);
        let (mut refused, mut left, mut minute) = (0, 0, 0);
        loop {
            // What was refused is due again a minute later.
            minute += 2;
            assert!(minute < 100, "there is room, and still it does not end");
            let Ok(leased) = spool.lease(at(minute * 60), Ask::up_to(usize::MAX)).await else {
                let listed = spool.list(None, usize::MAX).await.unwrap();
                left = listed.len() - kept.len();
                disk.leave_room(1 << 24);
                continue;
            };
            if leased.leases.is_empty() {
                break;
            }
            for lease in leased.leases {
                let settlement = if kept.contains_key(&lease.entry().id) {
                    deferred(&lease, at(2_000_000))
                } else {
                    delivered(&lease)
                };
                refused += u32::from(spool.settle(lease, settlement).await.is_err());
            }
        }
        println!("{room} octets of room: {refused} outcomes waited, {left} messages stood still");
        stood_still.push(left);
        assert!(spool.is_sound());
        check(&spool, &kept).await;
        disk.leave_room(1 << 24);
        shrunk(&disk, bound(live(&kept))).await;
        drop(spool);
        check(&open(&disk).unwrap(), &kept).await;
    }
    assert!(stood_still[0] > 100, "{stood_still:?}");
    assert_eq!(stood_still[3], 0, "there is room enough");
}

/// A number in a file.
fn number(octets: &[u8], at: usize) -> usize {
    let octets = octets[at..at + 4].try_into().unwrap();
    usize::try_from(u32::from_le_bytes(octets)).unwrap()
}

#[tokio::test]
async fn a_damaged_seal_costs_nothing_but_time() {
    let disk = MemoryDisk::default();
    let spool = open(&disk).unwrap();
    let mut kept = Kept::new();
    come_and_go(&spool, 0, 60, 3, &mut kept).await;
    drop(spool);
    let mut sealed = 0;
    for name in disk.names() {
        let all = octets(&disk, &name);
        // Where the seal says where the list is, how long, and its checksum.
        if !name.starts_with("log/") || !all[8_192..].starts_with(b"VQE4") {
            continue;
        }
        sealed += 1;
        let (list, len) = (number(&all, 8_208), number(&all, 8_212));
        for place in [
            8_192,
            8_196,
            8_200,
            8_208,
            8_212,
            8_216,
            list,
            list + len - 1,
        ] {
            let copy = disk.copy();
            copy.damage(&name, |octets| octets[place] ^= 1);
            check(&open(&copy).unwrap(), &kept).await;
        }
    }
    assert!(sealed >= 3, "{sealed} segments with a seal");
}

#[tokio::test]
async fn what_is_left_of_an_earlier_use_is_no_frame() {
    let disk = MemoryDisk::default();
    let text = b"long ago, and read no more";
    let holds = |octets: &[u8]| octets.windows(text.len()).any(|window| window == text);
    let spool = open(&disk).unwrap();
    let id = take(&spool, at(0), at(0), text).await.unwrap();
    drop(spool);
    let mut names = disk.names().into_iter();
    let name = names.find(|name| holds(&octets(&disk, name))).unwrap();
    let before = octets(&disk, &name);
    let spool = open(&disk).unwrap();
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let settlement = delivered(&lease);
    spool.settle(lease, settlement).await.unwrap();
    for _ in 0..100_000 {
        if octets(&disk, &name)[..4_096] != before[..4_096] {
            break;
        }
        tokio::task::yield_now().await;
        std::thread::yield_now();
    }
    drop(spool);
    let image = disk.after(disk.log_len(), Crash::Power);
    assert!(
        octets(&image, &name)[..8_192] != before[..8_192],
        "used again"
    );
    assert!(holds(&octets(&image, &name)), "the frames are still there");
    let spool = open(&image).unwrap();
    assert!(spool.findings().is_empty(), "{:?}", spool.findings());
    assert!(spool.list(None, 9).await.unwrap().is_empty());
    drop(spool);
    // It is the header that makes the difference: with that of the earlier use, and without what says
    // that the message left, it is back.
    let copy = disk.copy();
    copy.damage(&name, |octets| {
        octets[..12_288].copy_from_slice(&before[..12_288]);
    });
    for other in disk.names() {
        if other.starts_with("log/") && other != name {
            copy.lose(&other);
        }
    }
    let spool = open(&copy).unwrap();
    assert!(read(&spool, id).await.unwrap() == text);
}
