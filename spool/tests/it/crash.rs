//! Whenever the machine stops: what was acknowledged is there, whole, and nothing is there in part.
//!
//! Stories (`story.rs`) are played on a disk that remembers. Then the disk is left as a crash may
//! leave it (`image.rs`), behind every operation or at moments drawn by lot, and opened; what is
//! there is held against what was answered (`history.rs`). The queue then goes on, and the machine
//! stops once more, in the middle of recovery or later.
//!
//! `VOUCHSAFE_CUTS=10000 cargo test --release -p vouchsafe-spool --test it crash` makes so many
//! images; `./test` makes some hundreds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::retry::Policy;
use vouchsafe_spool::{Ask, Entry, Finding, LocalSpool, OfflineSpool, Spool};

use crate::chance::Chance;
use crate::compact::{bound, shrunk};
use crate::disk::MemoryDisk;
use crate::history::{Found, History};
use crate::image::Crash;
use crate::mail::{at, delivered, read, take};
use crate::story::{HORIZON, Size, Story, open};

/// Images looked at by each test, for the last line.
#[derive(Default)]
struct Counts {
    images: AtomicUsize,
    messages: AtomicUsize,
}

/// Says where we are when a check fails.
struct Explain<'a> {
    disk: &'a MemoryDisk,
    upto: usize,
    what: &'a str,
}

impl Drop for Explain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words = self.disk.last_words(self.upto);
            eprintln!("{}; before that:\n{words}", self.what);
        }
    }
}

/// What a crash has left, opened.
pub struct Opened {
    image: MemoryDisk,
    spool: LocalSpool,
    held: Vec<(Entry, Vec<u8>)>,
    found: Found,
    /// When it was open.
    moment: usize,
}

/// Everything in the queue, with its content.
pub async fn everything(spool: &LocalSpool) -> Result<Vec<(Entry, Vec<u8>)>, String> {
    let mut held = Vec::new();
    for entry in spool.list(None, usize::MAX).await.map_err(wrong)? {
        let whole = read(spool, entry.id).await.map_err(wrong)?;
        held.push((entry, whole));
    }
    Ok(held)
}

/// Opens what a crash left, looks at everything, and says what is wrong with it.
pub async fn examine(
    disk: &MemoryDisk,
    history: &History,
    upto: usize,
    crash: Crash,
) -> Result<Opened, String> {
    let image = disk.after(upto, crash);
    let mut looked = None;
    if history.holds_any(upto) {
        let before = image.log_len();
        let offline = OfflineSpool::open_on(Arc::new(image.clone()));
        let listed = offline.map(|offline| offline.list(None, usize::MAX));
        looked = Some(listed.map_err(wrong)?.map_err(wrong)?);
        assert_eq!(image.log_len(), before, "looking changes nothing");
    }
    let spool = open(&image).map_err(wrong)?;
    let moment = image.log_len();
    // What was being received is removed; nothing else is out of order.
    let mut findings = spool.findings().iter();
    if let Some(finding) = findings.find(|each| !matches!(each, Finding::Orphan(_))) {
        return Err(wrong(finding));
    }
    let held = everything(&spool).await?;
    let listed = || held.iter().map(|(entry, _)| entry);
    assert!(looked.is_none_or(|looked| looked.iter().eq(listed())));
    assert!(listed().is_sorted_by_key(|entry| entry.id));
    let found = history.judge(&held, upto)?;
    // Each can be leased, once: those that are held only because their senders are to hear.
    let mut all = Vec::new();
    let late = HORIZON.plus(Policy::default().expire);
    for (held, overdue, now) in [(false, 0, HORIZON), (true, usize::MAX, late)] {
        let ask = Ask {
            overdue,
            horizon: Some(Policy::default().horizon()),
            ..Ask::up_to(usize::MAX)
        };
        let leased = spool.lease(now, ask).await.map_err(wrong)?;
        assert!(leased.findings.is_empty(), "{:?}", leased.findings);
        let mut ids: Vec<QueueId> = leased.leases.iter().map(|each| each.entry().id).collect();
        ids.sort_unstable();
        let wanted = listed().filter(|entry| entry.orders.held == held);
        assert!(ids.iter().eq(wanted.map(|entry| &entry.id)), "held: {held}");
        all.push(leased);
    }
    drop(all);
    Ok(Opened {
        image,
        spool,
        held,
        found,
        moment,
    })
}

/// The same where nothing may be wrong.
async fn check(disk: &MemoryDisk, history: &History, upto: usize, crash: Crash) -> Opened {
    let what = format!("crash after {upto} operations, {crash:?}");
    let _explain = Explain {
        disk,
        upto,
        what: &what,
    };
    let examined = examine(disk, history, upto, crash).await;
    examined.unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// As text.
fn wrong(what: impl std::fmt::Debug) -> String {
    format!("{what:?}")
}

/// What a crash left is a queue like any other: it takes, and lets go, and is the same opened again.
async fn go_on(opened: Opened) {
    let Opened {
        image, spool, held, ..
    } = opened;
    let id = take(&spool, at(9), at(9), b"after all").await.unwrap();
    let leased = spool.lease(HORIZON, Ask::up_to(usize::MAX)).await.unwrap();
    let first = leased.leases.into_iter().next().unwrap();
    let gone = first.entry().id;
    let settlement = delivered(&first);
    spool.settle(first, settlement).await.unwrap();
    drop(spool);
    let spool = open(&image).unwrap();
    let mut now = everything(&spool).await.unwrap();
    let mut wanted: Vec<QueueId> = held.iter().map(|(entry, _)| entry.id).collect();
    wanted.push(id);
    wanted.retain(|each| *each != gone);
    wanted.sort_unstable();
    assert!(now.iter().map(|(entry, _)| &entry.id).eq(&wanted));
    now.retain(|(entry, _)| entry.id != id);
    assert!(now.iter().all(|each| held.contains(each)));
}

/// Plays a story in several acts, with a restart between any two.
async fn play(disk: &MemoryDisk, seed: u64, acts: u64, size: Size) -> Story {
    let story = Story::new(disk);
    for act in 0..acts {
        let spool = Arc::new(open(disk).unwrap());
        story.play(&spool, seed * 100 + act + 1, size).await;
    }
    story
}

/// The machine stops twice: somewhere in the story, and somewhere in what follows.
async fn stop_twice(
    story: &Story,
    first: usize,
    chance: &mut Chance,
    cuts: usize,
    counts: &Counts,
) {
    let crash = if chance.one_in(3) {
        Crash::Process
    } else {
        some_crash(chance)
    };
    let mut history = story.history().clone();
    let opened = check(&story.disk, &history, first, crash).await;
    counts.count(&opened);
    let Opened {
        image,
        spool,
        held,
        found,
        moment,
    } = opened;
    history.resolve(&found, &held, first, moment);
    let second = Story::after(&image, history, story.number() + 1_000_000);
    let spool = Arc::new(spool);
    let size = Size {
        clients: 2,
        messages: 2,
        runners: 1,
        turns: 2,
        largest: 20_000,
    };
    second.play(&spool, chance.next() % 1_000_000, size).await;
    drop(spool);
    let end = image.log_len();
    let history = second.history().clone();
    for _ in 0..cuts {
        // Half of them in the middle of recovery, if it has done anything.
        let (from, to) = if chance.one_in(2) && moment > first {
            (first, moment)
        } else {
            (first, end)
        };
        let upto = from + chance.below(to + 1 - from);
        let opened = check(&image, &history, upto, some_crash(chance)).await;
        counts.count(&opened);
    }
}

/// Mostly the ugliest one.
fn some_crash(chance: &mut Chance) -> Crash {
    match chance.below(8) {
        0 => Crash::Process,
        1 => Crash::Power,
        _ => Crash::Partly(1 + chance.next()),
    }
}

impl Counts {
    fn count(&self, opened: &Opened) {
        self.images.fetch_add(1, Ordering::Relaxed);
        self.messages
            .fetch_add(opened.held.len(), Ordering::Relaxed);
    }

    fn images(&self) -> usize {
        self.images.load(Ordering::Relaxed)
    }

    fn say(&self, what: &str) {
        let messages = self.messages.load(Ordering::Relaxed);
        println!(
            "{what}: {} images, {messages} messages found in them, lost 0",
            self.images()
        );
    }
}

/// Images to be made by each of the tests that draw by lot.
fn wanted() -> usize {
    std::env::var("VOUCHSAFE_CUTS").map_or(150, |text| text.parse().unwrap())
}

const SMALL: Size = Size {
    clients: 2,
    messages: 4,
    runners: 1,
    turns: 5,
    largest: 102_400,
};

const LARGE: Size = Size {
    clients: 5,
    messages: 7,
    runners: 2,
    turns: 8,
    largest: 1 << 20,
};

#[tokio::test]
async fn after_a_crash_behind_any_operation() {
    let disk = MemoryDisk::default();
    let story = play(&disk, 1, 2, SMALL).await;
    let history = story.history().clone();
    let (mut chance, counts) = (Chance::new(7), Counts::default());
    for upto in 0..=disk.log_len() {
        let partly = Crash::Partly(1 + chance.next());
        for crash in [Crash::Process, Crash::Power, partly] {
            let opened = check(&disk, &history, upto, crash).await;
            counts.count(&opened);
            if chance.one_in(8) {
                go_on(opened).await;
            }
        }
    }
    counts.say("behind every operation");
}

#[tokio::test]
async fn after_a_crash_at_any_moment_of_many_stories() {
    let (wanted, counts) = (wanted(), Counts::default());
    let mut chance = Chance::new(11);
    while counts.images() < wanted {
        let disk = MemoryDisk::default();
        let story = play(
            &disk,
            chance.next() % 1_000_000,
            1 + chance.next() % 3,
            LARGE,
        )
        .await;
        let history = story.history().clone();
        for _ in 0..100.min(wanted) {
            let upto = chance.below(disk.log_len() + 1);
            let opened = check(&disk, &history, upto, some_crash(&mut chance)).await;
            counts.count(&opened);
            if chance.one_in(16) {
                go_on(opened).await;
            }
        }
    }
    counts.say("at moments drawn by lot");
}

#[tokio::test]
async fn after_a_crash_in_the_middle_of_recovery_or_soon_after_it() {
    let (wanted, counts) = (wanted(), Counts::default());
    let mut chance = Chance::new(13);
    while counts.images() < wanted {
        let disk = MemoryDisk::default();
        let story = play(&disk, chance.next() % 1_000_000, 2, SMALL).await;
        for _ in 0..8 {
            let first = chance.below(disk.log_len() + 1);
            stop_twice(&story, first, &mut chance, 6, &counts).await;
        }
    }
    counts.say("two crashes");
}

/// A story in which most leaves and the rest is moved together, and when that began.
pub async fn play_and_move(disk: &MemoryDisk) -> (Story, usize) {
    let story = Story::new(disk);
    let spool = Arc::new(open(disk).unwrap());
    let (began, before) = story.thin_out(&spool, 300, 25).await;
    // Some go on while messages are moved.
    story.play(&spool, 17, SMALL).await;
    let listed = spool.list(None, usize::MAX).await.unwrap();
    let live = listed.iter().map(|entry| entry.size + 1_500).sum();
    let most = bound(live);
    assert!(before > most, "{before} octets, {live} count");
    shrunk(disk, most).await;
    (story, began)
}

#[tokio::test]
async fn after_a_crash_behind_any_operation_while_messages_are_moved() {
    let disk = MemoryDisk::default();
    let (story, began) = play_and_move(&disk).await;
    let history = story.history().clone();
    let (mut chance, counts) = (Chance::new(19), Counts::default());
    let step = if std::env::var_os("VOUCHSAFE_CUTS").is_some() {
        1
    } else {
        23
    };
    for upto in (began..=disk.log_len()).step_by(step) {
        let partly = Crash::Partly(1 + chance.next());
        for crash in [Crash::Process, Crash::Power, partly] {
            let opened = check(&disk, &history, upto, crash).await;
            counts.count(&opened);
            if chance.one_in(8) {
                go_on(opened).await;
            }
        }
    }
    for _ in 0..wanted().div_ceil(40) {
        let first = began + chance.below(disk.log_len() + 1 - began);
        stop_twice(&story, first, &mut chance, 4, &counts).await;
    }
    counts.say("while messages are moved");
}

#[tokio::test]
async fn a_disk_that_lies_is_found_out() {
    let disk = MemoryDisk::default();
    drop(open(&disk).unwrap());
    disk.lie();
    let story = play(&disk, 3, 1, SMALL).await;
    let history = story.history().clone();
    let end = disk.log_len();
    let passes = async |crash| {
        let (disk, history) = (disk.clone(), history.clone());
        let examined = async move { examine(&disk, &history, end, crash).await.is_ok() };
        // An engine may be at its wits' end on such a disk: a panic finds it out too.
        tokio::spawn(examined).await.unwrap_or(false)
    };
    assert!(passes(Crash::Process).await);
    assert!(!passes(Crash::Power).await);
    let mut unseen = 0;
    for seed in 1..=40 {
        unseen += usize::from(passes(Crash::Partly(seed)).await);
    }
    // A part of the images has all that counts.
    assert!(unseen < 25, "{unseen} of 40");
}
