//! One bit of one octet changes behind our back, at each place of a small folder in turn: at most
//! the message that it belongs to is lost, that is said, all others are as they were, and no
//! content comes out that did not go in.
//!
//! `VOUCHSAFE_CUTS=10000 cargo test --release -p vouchsafe-spool --test it damage` changes every
//! octet of a small folder that was ever written, and some of a larger one; `./test` fewer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{Ask, Entry, LocalSpool, Spool};

use crate::crash::play_and_move;
use crate::disk::MemoryDisk;
use crate::history::History;
use crate::image::Crash;
use crate::mail::read;
use crate::story::{HORIZON, Size, Story, open};

const SIZE: Size = Size {
    clients: 2,
    messages: 5,
    runners: 1,
    turns: 4,
    largest: 20_000,
};

/// What a queue holds; no content where that cannot be read.
type Held = BTreeMap<QueueId, (Entry, Option<Vec<u8>>)>;

/// What came of all the changes.
#[derive(Debug, Default)]
struct Counts {
    changes: usize,
    refused: usize,
    unharmed: usize,
    said_at_start: usize,
    said_when_read: usize,
}

/// Everything there is, as far as it can be read, and whether anything was said to be wrong.
async fn look(spool: &LocalSpool) -> (Held, bool) {
    let mut held = Held::new();
    let listed = spool.list(None, usize::MAX).await.expect("the list");
    for entry in listed {
        let content = read(spool, entry.id).await.ok();
        held.insert(entry.id, (entry, content));
    }
    let leased = spool.lease(HORIZON, Ask::up_to(usize::MAX)).await;
    let leased = leased.expect("leases");
    let said = !spool.findings().is_empty() || !leased.findings.is_empty();
    (held, said)
}

/// The messages that are not as they were, each with the reports about it as one.
fn harmed(history: &History, before: &Held, after: &Held) -> BTreeSet<usize> {
    let ids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = ids.into_iter().filter(|id| before.get(id) != after.get(id));
    changed
        .map(|id| history.family(*id).expect("a message nobody sent"))
        .collect()
}

/// Changes one bit and looks at what becomes of it.
async fn change(
    disk: &MemoryDisk,
    (name, place): (&str, usize),
    history: &History,
    before: &Held,
    counts: &mut Counts,
) {
    let what = format!("{name}, octet {place}");
    let copy = disk.copy();
    copy.damage(name, |octets| octets[place] ^= 1 << (place % 8));
    let marked = copy.log_len();
    let spool = match open(&copy) {
        Ok(spool) => spool,
        // What says that it is a queue at all, and of which kind, cannot be guessed.
        Err(error) if !name.contains('/') => {
            assert_eq!(
                copy.log_len(),
                marked + 2,
                "{what}: {error:?}, but something was done"
            );
            counts.refused += 1;
            return;
        }
        Err(error) => panic!("{what}: {error:?}"),
    };
    let (after, said) = look(&spool).await;
    for (entry, content) in after.values() {
        if let Some(content) = content {
            let same = history.is_what_was_sent(entry, content);
            same.unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        }
    }
    let harmed = harmed(history, before, &after);
    assert!(
        harmed.len() <= 1,
        "{what}: {} messages harmed",
        harmed.len()
    );
    counts.changes += 1;
    if harmed.is_empty() {
        counts.unharmed += 1;
    } else if said {
        counts.said_at_start += 1;
    } else {
        let unread = |(_, content): &(Entry, Option<Vec<u8>>)| content.is_none();
        assert!(after.values().any(unread), "{what}: nothing was said");
        counts.said_when_read += 1;
    }
}

/// A queue at rest, what is in it, and what was sent.
struct World {
    disk: MemoryDisk,
    history: History,
    before: Held,
}

impl World {
    /// What this disk holds, which must be sound and what the history says of this moment.
    async fn new(disk: MemoryDisk, mut history: History, moment: usize) -> Self {
        let (before, said) = {
            let spool = open(&disk.copy()).unwrap();
            look(&spool).await
        };
        assert!(!said && before.len() > 3, "{} messages", before.len());
        let held = before
            .values()
            .map(|(entry, content)| (entry.clone(), content.clone().unwrap()));
        let held: Vec<_> = held.collect();
        let found = history.judge(&held, moment).unwrap();
        history.resolve(&found, &held, moment, disk.log_len());
        Self {
            disk,
            history,
            before,
        }
    }

    /// Changes every `step`-th octet of all files that is not zero, each by itself.
    async fn change_each(&self, step: usize, counts: &mut Counts) {
        for name in self.disk.names() {
            let written = self.disk.written(&name);
            for place in written.into_iter().step_by(step) {
                let place = (name.as_str(), place);
                change(&self.disk, place, &self.history, &self.before, counts).await;
            }
        }
        println!("{counts:?}");
    }
}

/// Every how many octets one is changed: `seldom`, or `often` where the environment asks for all there
/// is.
fn step(seldom: usize, often: usize) -> usize {
    if std::env::var_os("VOUCHSAFE_CUTS").is_some() {
        often
    } else {
        seldom
    }
}

#[tokio::test]
async fn one_changed_bit_costs_one_message_at_most() {
    let disk = MemoryDisk::default();
    let story = Story::new(&disk);
    let spool = Arc::new(open(&disk).unwrap());
    story.play(&spool, 4, SIZE).await;
    drop(spool);
    let history = story.history().clone();
    let end = disk.log_len();
    let world = World::new(disk, history, end).await;
    let mut counts = Counts::default();
    world.change_each(step(211, 1), &mut counts).await;
    assert!(counts.said_at_start > 0);
}

#[tokio::test]
async fn nor_does_it_where_messages_were_moved_or_are_being_moved() {
    let disk = MemoryDisk::default();
    let (story, began) = play_and_move(&disk).await;
    let history = story.history().clone();
    let end = disk.log_len();
    let mut counts = Counts::default();
    // At rest behind all of it, and as starts found it that came in the midst of it.
    for upto in (0..=3).map(|part| began + (end - began) * part / 3) {
        let rest = disk.after(upto, Crash::Process);
        drop(open(&rest).unwrap());
        let world = World::new(rest.copy(), history.clone(), upto).await;
        world.change_each(step(19_997, 97), &mut counts).await;
    }
    // Most of such a queue is content, of which a start says nothing: of one alone there may be none.
    assert!(counts.said_at_start > 0);
}
