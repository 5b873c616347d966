//! Stories on a disk of which one call fails, or on which there is no room any more: nothing
//! acknowledged is lost, nothing is said that is not so, and the queue can be opened again.
//!
//! The failure comes at each call of a story in turn, those of opening and of recovery included;
//! then the machine stops, in three ways. `VOUCHSAFE_CUTS=10000` tries every call, `./test` some.

use std::sync::Arc;

use vouchsafe_spool::{Ask, Spool};

use crate::crash::{everything, examine};
use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::mail::{at, take};
use crate::story::{Size, Story, open};

const SIZE: Size = Size {
    clients: 2,
    messages: 3,
    runners: 1,
    turns: 4,
    largest: 40_000,
};

/// What is left when the story is over.
struct Played {
    story: Story,
    /// The last to have the queue, unless nobody could open it.
    spool: Option<Arc<vouchsafe_spool::LocalSpool>>,
}

/// Two acts, with a restart between them. Whoever cannot open the queue tries it once more.
async fn play(disk: &MemoryDisk, seed: u64) -> Played {
    let story = Story::new(disk);
    let mut spool = None;
    for act in 0..2 {
        drop(spool.take());
        spool = open(disk).or_else(|_| open(disk)).ok().map(Arc::new);
        let Some(spool) = &spool else { continue };
        story.play(spool, seed * 10 + act + 1, SIZE).await;
    }
    Played { story, spool }
}

impl Played {
    /// What is there while the queue is still open, and after each kind of crash.
    async fn judge(self, seed: u64, what: &str) {
        let Self { story, spool } = self;
        let (disk, history) = (&story.disk, story.history().clone());
        disk.fail(Fault::Never);
        if let Some(spool) = spool {
            let held = everything(&spool).await.expect(what);
            let judged = history.judge(&held, disk.log_len());
            judged.unwrap_or_else(|wrong| panic!("{what}, still open: {wrong}"));
            let sound = disk.failed_sync().is_none();
            assert!(sound || !spool.is_sound(), "{what}: a failed flush unheard");
        }
        for crash in [Crash::Process, Crash::Power, Crash::Partly(seed + 1)] {
            let examined = examine(disk, &history, disk.log_len(), crash).await;
            if let Err(wrong) = examined {
                let words = disk.last_words(disk.log_len());
                panic!("{what}, {crash:?}: {wrong}; before that:\n{words}");
            }
        }
    }
}

/// Every so many calls of a story.
fn step() -> usize {
    if std::env::var_os("VOUCHSAFE_CUTS").is_some() {
        1
    } else {
        9
    }
}

/// Calls that a story makes: each story makes about as many.
async fn calls() -> u64 {
    let disk = MemoryDisk::default();
    play(&disk, 1).await;
    disk.calls()
}

#[tokio::test]
async fn one_failure_at_any_call() {
    let mut tried = 0;
    for nth in (0..calls().await).step_by(step()) {
        for fault in [Fault::Call(nth), Fault::Torn(nth / 4), Fault::Sync(nth / 8)] {
            let disk = MemoryDisk::default();
            disk.fail(fault);
            let played = play(&disk, 1 + nth).await;
            let what = format!("{fault:?}");
            if let (Some(spool), Some(_)) = (&played.spool, disk.failed_sync()) {
                let opened_since =
                    !spool.is_sound() || take(spool, at(0), at(0), b"x").await.is_ok();
                assert!(opened_since, "{what}");
            }
            played.judge(nth, &what).await;
            tried += 1;
        }
    }
    println!("{tried} stories, each with a failure of its own: lost 0");
}

/// Makes a failure out of a number of calls.
type Make = fn(u64) -> Fault;

#[tokio::test]
async fn one_failure_at_any_call_while_messages_are_moved() {
    let play = async |fault: Option<(Make, u64)>| {
        let disk = MemoryDisk::default();
        let story = Story::new(&disk);
        let spool = Arc::new(open(&disk).unwrap());
        let began = disk.calls();
        if let Some((fault, nth)) = fault {
            disk.fail(fault(nth));
        }
        story.thin_out(&spool, 200, 25).await;
        let spool = Some(spool);
        (Played { story, spool }, began, disk.calls())
    };
    let (_, began, ended) = play(None).await;
    // Messages are moved in the second half, when most of them leave.
    let calls = ended - began;
    let step = if step() == 1 { 7 } else { calls.div_ceil(14) };
    let faults: [Make; 4] = [
        Fault::Call,
        |nth| Fault::Torn(nth / 3),
        |nth| Fault::Sync(nth / 4),
        |nth| Fault::Room(nth / 3),
    ];
    let mut at = calls / 2;
    let mut tried = 0;
    while at < calls {
        let fault = faults[tried % 4];
        let (played, ..) = play(Some((fault, at))).await;
        let what = format!("{:?} while messages are moved", fault(at));
        played.judge(at, &what).await;
        tried += 1;
        at += step;
    }
    println!("{tried} stories, each with a failure while messages are moved: lost 0");
}

#[tokio::test]
async fn no_room_at_any_call() {
    for nth in (0..calls().await).step_by(step()) {
        let disk = MemoryDisk::default();
        disk.fail(Fault::Room(nth / 2));
        let played = play(&disk, 1 + nth).await;
        let what = format!("no room at call {nth}");
        let spool = played.spool.as_ref().expect(&what);
        disk.fail(Fault::Never);
        assert!(spool.is_sound(), "{what}");
        // Not one of the story's: it may not be judged by it.
        let id = take(spool, at(0), at(0), b"room again").await.expect(&what);
        let lease = spool
            .lease(crate::story::HORIZON, Ask::up_to(usize::MAX))
            .await
            .unwrap();
        for lease in lease.leases {
            if lease.entry().id == id {
                let settlement = crate::mail::delivered(&lease);
                spool.settle(lease, settlement).await.expect(&what);
            }
        }
        played.judge(nth, &what).await;
    }
}

#[tokio::test]
async fn less_and_less_room() {
    for pages in (0_u64..160).step_by(step()) {
        let disk = MemoryDisk::default();
        let story = Story::new(&disk);
        let spool = Arc::new(open(&disk).unwrap());
        let what = format!("{pages} pages of room");
        disk.leave_room(pages * 4096);
        story.play(&spool, 1 + pages, SIZE).await;
        assert!(spool.is_sound(), "{what}");
        disk.leave_room(1 << 24);
        story.play(&spool, 1_000 + pages, SIZE).await;
        let chance = &mut crate::chance::Chance::new(5);
        let mut taken = 0;
        while taken < 3 {
            assert!(
                story.send(&spool, chance, 20_000).await,
                "{what}: room again"
            );
            taken += 1;
        }
        let spool = Some(spool);
        Played { story, spool }.judge(pages, &what).await;
    }
}

#[tokio::test]
async fn read_only_from_any_call_on() {
    for nth in (0..calls().await).step_by(step()) {
        let disk = MemoryDisk::default();
        disk.fail(Fault::ReadOnly(nth / 2));
        let played = play(&disk, 1 + nth).await;
        played
            .judge(nth, &format!("read-only from call {nth} on"))
            .await;
    }
}
