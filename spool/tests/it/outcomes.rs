//! What is remembered of transactions that may be asked for again: against a map, on a disk that fails and
//! forgets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::custody::{Earlier, Whither};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{
    Ending, KEPT_FOR, OutcomeCaps, OutcomeKey, Outcomes, RememberError, Remembered,
};

use crate::chance::Chance;
use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::mail::at;

/// Keys of a few clients, by number.
fn key(number: usize) -> OutcomeKey {
    OutcomeKey {
        client: format!("client-{}", number % 3).into(),
        id: TransactionId::parse(&format!("q{number}@a.example")).unwrap(),
        reverse_path: ReversePath::parse_inside("ann@example.org").unwrap(),
        recipient: ForwardPath::parse_inside("jörg@example.net").unwrap(),
    }
}

/// An outcome that no other is equal to.
fn outcome(number: u8, now: Wall) -> Remembered {
    let queue_id = name(number);
    let ending = match number % 3 {
        0 => Ending::Storing(queue_id),
        1 => Ending::Taken(Earlier {
            queue_id,
            whither: Whither::Storage,
        }),
        _ => Ending::Taken(Earlier {
            queue_id,
            whither: Whither::Onward,
        }),
    };
    Remembered::new([number; 32], ending, now)
}

/// The name that it was given.
fn name(number: u8) -> QueueId {
    QueueId::new(at(0), u64::from(number))
}

/// So little slack that the file is written anew now and then.
fn caps() -> OutcomeCaps {
    OutcomeCaps::default().with_slack(16 << 10)
}

fn open(disk: &MemoryDisk, caps: OutcomeCaps) -> Outcomes {
    Outcomes::open(Arc::new(disk.clone()), at(0), caps).unwrap()
}

/// One call: keys, and what they came to; none is forgotten.
type Call = Vec<(usize, Option<u8>)>;

/// A call that was made, when it began and ended, in operations of the disk, and whether it was said to
/// be durable.
struct Made {
    call: Call,
    began: usize,
    ended: usize,
    ok: bool,
    poisoned: bool,
}

async fn make(outcomes: &Outcomes, call: &Call, now: Wall) -> Result<(), RememberError> {
    let forgets = call.iter().all(|(_, number)| number.is_none());
    if forgets {
        let keys = call.iter().map(|(number, _)| key(*number)).collect();
        return outcomes.forget(keys).await;
    }
    let kept = call
        .iter()
        .filter_map(|(place, number)| Some((key(*place), outcome((*number)?, now))));
    outcomes.remember(kept.collect()).await
}

/// Calls on a few keys, drawn by lot.
fn calls(seed: u64, count: usize) -> Vec<Call> {
    let mut chance = Chance::new(seed);
    let mut number = 0_u8;
    let mut call = || {
        if chance.one_in(5) {
            return vec![(chance.below(KEYS), None)];
        }
        let first = chance.below(KEYS);
        let many = 1 + chance.below(3);
        (first..first + many)
            .map(|place| {
                number = number.wrapping_add(1);
                (place % KEYS, Some(number))
            })
            .collect()
    };
    (0..count).map(|_| call()).collect()
}

const KEYS: usize = 12;

/// Makes calls, one after the other, whatever comes of them.
async fn play(disk: &MemoryDisk, calls: &[Call]) -> (Option<Outcomes>, Vec<Made>) {
    let Ok(outcomes) = Outcomes::open(Arc::new(disk.clone()), at(0), caps()) else {
        return (None, Vec::new());
    };
    let mut made = Vec::new();
    for call in calls {
        let began = disk.log_len();
        let result = make(&outcomes, call, at(1)).await;
        made.push(Made {
            call: call.clone(),
            began,
            ended: disk.log_len(),
            ok: result.is_ok(),
            poisoned: matches!(result, Err(RememberError::Poisoned)),
        });
    }
    (Some(outcomes), made)
}

fn recalled(outcomes: &Outcomes, place: usize) -> Option<Remembered> {
    outcomes.recall(&key(place), at(2))
}

/// What was durable by then is there; what was not may be, but whole calls alone; nothing else is.
fn check(outcomes: &Outcomes, made: &[Made], upto: usize, what: &str) {
    let mut allowed: Vec<Vec<Option<u8>>> = vec![vec![None]; KEYS];
    let mut last = None;
    for each in made.iter().filter(|each| each.began < upto) {
        let durable = each.ok && each.ended <= upto;
        for (place, number) in &each.call {
            if durable {
                allowed[*place].clear();
            }
            allowed[*place].push(*number);
        }
        last = Some((each, durable));
    }
    let found: Vec<_> = (0..KEYS).map(|place| recalled(outcomes, place)).collect();
    for (place, found) in found.iter().enumerate() {
        let fits = |number: &Option<u8>| *found == number.map(|number| outcome(number, at(1)));
        assert!(
            allowed[place].iter().any(fits),
            "{what}: {place} {found:?}, not of {:?}",
            allowed[place]
        );
    }
    if let Some((last, false)) = last {
        let is_there = |(place, number): &&(usize, Option<u8>)| {
            found[*place] == number.map(|number| outcome(number, at(1)))
        };
        let there = last.call.iter().filter(is_there).count();
        let is_new = last.call.iter().all(|(_, number)| number.is_some());
        assert!(
            !is_new || there == 0 || there == last.call.len(),
            "{what}: a part of {:?}",
            last.call
        );
    }
}

#[tokio::test]
async fn nothing_is_there_and_nothing_flushed_where_nothing_is_remembered() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, OutcomeCaps::default());
    assert_eq!(recalled(&outcomes, 0), None);
    drop(outcomes);
    assert_eq!(
        (disk.names(), disk.syncs(), disk.calls()),
        (Vec::new(), 0, 1)
    );
}

/// Long paths take more room than others: the oldest go.
#[tokio::test]
async fn there_is_a_cap_on_octets_too() {
    let disk = MemoryDisk::default();
    let few = OutcomeCaps::default().with_octets(1000);
    let outcomes = open(&disk, few);
    for number in 0..20 {
        make(&outcomes, &vec![(number, Some(2))], at(1))
            .await
            .unwrap();
    }
    let kept = |outcomes: &Outcomes| -> Vec<_> {
        let known = |number: &usize| recalled(outcomes, *number).is_some();
        (0..20).filter(known).collect()
    };
    let left = kept(&outcomes);
    assert!((2..8).contains(&left.len()), "{left:?}");
    assert_eq!(left, (20 - left.len()..20).collect::<Vec<_>>());
    drop(outcomes);
    assert_eq!(kept(&open(&disk, few)), left);
}

#[tokio::test]
async fn an_end_is_given_for_the_same_content_to_the_same_client_for_seven_days() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, OutcomeCaps::default());
    make(&outcomes, &vec![(0, Some(2)), (1, Some(3))], at(5))
        .await
        .unwrap();
    for outcomes in [outcomes, open(&disk, OutcomeCaps::default())] {
        let found = outcomes.recall(&key(0), at(6)).unwrap();
        let taken = Ending::Taken(Earlier {
            queue_id: name(2),
            whither: Whither::Onward,
        });
        assert_eq!(found.ending(&[2; 32]), Some(taken));
        assert_eq!(found.ending(&[3; 32]), None);
        let storing = outcome(3, at(5));
        assert_eq!(outcomes.storing(), [(key(1), name(3), storing)]);
        for other in [
            OutcomeKey {
                client: "client-1".into(),
                ..key(0)
            },
            OutcomeKey {
                id: key(1).id,
                ..key(0)
            },
            OutcomeKey {
                reverse_path: ReversePath::Null,
                ..key(0)
            },
            OutcomeKey {
                recipient: ForwardPath::Postmaster,
                ..key(0)
            },
        ] {
            assert_eq!(outcomes.recall(&other, at(6)), None);
        }
        let last = at(5).plus(KEPT_FOR).as_millis() - 1;
        let last = outcomes.recall(&key(0), Wall::from_millis(last));
        assert!(last.is_some());
        assert_eq!(outcomes.recall(&key(0), at(5).plus(KEPT_FOR)), None);
    }
}

#[tokio::test]
async fn what_is_over_leaves_the_disk_at_a_start() {
    let disk = MemoryDisk::default();
    make(&open(&disk, caps()), &vec![(0, Some(2))], at(5))
        .await
        .unwrap();
    assert!(!disk.written("outcomes").is_empty());
    let later = at(5).plus(KEPT_FOR);
    drop(Outcomes::open(Arc::new(disk.clone()), later, caps()).unwrap());
    assert!(disk.written("outcomes").is_empty());
}

/// The map that it is to be, with the order in which keys were written.
#[derive(Default)]
struct Model {
    kept: BTreeMap<usize, (u64, u8, Wall)>,
    next: u64,
}

impl Model {
    fn apply(&mut self, call: &Call, now: Wall, (per_client, total): (usize, usize)) {
        for (place, number) in call {
            self.kept.remove(place);
            let Some(number) = number else {
                continue;
            };
            self.kept.insert(*place, (self.next, *number, now));
            self.next += 1;
            let client = place % 3;
            let its = |(each, _): &(&usize, &(u64, u8, Wall))| *each % 3 == client;
            if self.kept.iter().filter(its).count() > per_client {
                self.forget_oldest(|each| each % 3 == client);
            }
            if self.kept.len() > total {
                self.forget_oldest(|_| true);
            }
        }
    }

    fn forget_oldest(&mut self, of: impl Fn(usize) -> bool) {
        let all = self.kept.iter().filter(|(place, _)| of(**place));
        let oldest = *all.min_by_key(|(_, (next, ..))| *next).unwrap().0;
        self.kept.remove(&oldest);
    }
}

#[tokio::test]
async fn it_is_a_map_with_bounds_over_restarts() {
    for seed in 1..40 {
        let bounds = (3, 7);
        let limits = caps().with_outcomes(bounds.0, bounds.1);
        let (disk, mut chance) = (MemoryDisk::default(), Chance::new(seed));
        let mut outcomes = open(&disk, limits);
        let (mut model, mut now) = (Model::default(), at(10));
        let mut sizes = Vec::new();
        for call in calls(seed, 120) {
            now = now.plus(Duration::from_hours(chance.next() % 12));
            make(&outcomes, &call, now).await.unwrap();
            model.apply(&call, now, bounds);
            model
                .kept
                .retain(|_, (_, _, made)| made.plus(KEPT_FOR) > now);
            if chance.one_in(10) {
                drop(outcomes);
                outcomes = Outcomes::open(Arc::new(disk.clone()), now, limits).unwrap();
            }
            for place in 0..KEYS {
                let wanted = model.kept.get(&place);
                let wanted = wanted.map(|(_, number, made)| outcome(*number, *made));
                assert_eq!(outcomes.recall(&key(place), now), wanted, "{seed} {place}");
            }
            let len = disk
                .copy()
                .written("outcomes")
                .last()
                .map_or(0, |last| last + 1);
            sizes.push(len);
        }
        // Seven outcomes of some 300 octets, four times; the slack; one group.
        assert!(
            sizes
                .iter()
                .all(|size| *size < (16 << 10) + 4 * 7 * 400 + 4096 * 2),
            "{sizes:?}"
        );
    }
}

#[tokio::test]
async fn after_a_crash_behind_any_operation() {
    let (mut images, mut halves) = (0, 0);
    for seed in 1..=2 {
        let disk = MemoryDisk::default();
        let (outcomes, made) = play(&disk, &calls(seed, 24)).await;
        drop(outcomes);
        assert!(made.iter().all(|each| each.ok));
        let mut chance = Chance::new(seed + 100);
        for upto in 0..=disk.log_len() {
            for crash in [
                Crash::Process,
                Crash::Power,
                Crash::Partly(1 + chance.next()),
            ] {
                let crashed = disk.after(upto, crash);
                let what = format!("{seed} {upto} {crash:?}");
                if crashed.names().contains(&"outcomes.new".to_owned()) {
                    halves += 1;
                    images += stop_twice(&crashed, &made, upto, &mut chance, &what);
                }
                let outcomes = open(&crashed, caps());
                check(&outcomes, &made, upto, &what);
                images += 1;
                // What was found stays found, and what comes next does too.
                let before: Vec<_> = (1..KEYS).map(|place| recalled(&outcomes, place)).collect();
                let still = open(&crashed.after(crashed.log_len(), Crash::Power), caps());
                let after: Vec<_> = (1..KEYS).map(|place| recalled(&still, place)).collect();
                assert_eq!(before, after, "{what}, then at once");
                make(&outcomes, &vec![(0, Some(77))], at(1)).await.unwrap();
                drop(outcomes);
                let again = Crash::Partly(1 + chance.next());
                let outcomes = open(&crashed.after(crashed.log_len(), again), caps());
                let after: Vec<_> = (1..KEYS).map(|place| recalled(&outcomes, place)).collect();
                assert_eq!(before, after, "{what}, then {again:?}");
                assert_eq!(recalled(&outcomes, 0), Some(outcome(77, at(1))), "{what}");
            }
        }
    }
    assert!(halves > 0, "no crash while the file was written anew");
    println!("{images} images, lost 0; in {halves} the file was half written anew");
}

/// A second crash, behind any operation of the start that follows the first.
fn stop_twice(
    crashed: &MemoryDisk,
    made: &[Made],
    upto: usize,
    chance: &mut Chance,
    what: &str,
) -> usize {
    let disk = crashed.after(upto, Crash::Process);
    drop(open(&disk, caps()));
    let mut images = 0;
    for second in upto..=disk.log_len() {
        for _ in 0..8 {
            let crash = Crash::Partly(1 + chance.next());
            let outcomes = open(&disk.after(second, crash), caps());
            check(
                &outcomes,
                made,
                upto,
                &format!("{what}, then {second} {crash:?}"),
            );
            images += 1;
        }
    }
    images
}

#[tokio::test]
async fn on_a_disk_that_fails_once_nothing_is_lost_that_was_said_to_be_kept() {
    let all = calls(5, 24);
    let disk = MemoryDisk::default();
    drop(play(&disk, &all).await);
    let (calls, syncs) = (disk.calls(), disk.syncs());
    let (mut failures, mut poisoned) = (0, 0);
    let every = |kind: fn(u64) -> Fault, most: u64, step: usize| {
        (0..most).step_by(step).map(move |nth| (nth, kind))
    };
    // Panics are slow to tell of.
    let faults = every(Fault::Call, calls, 1)
        .chain(every(Fault::Room, calls, 2))
        .chain(every(Fault::Torn, syncs, 1))
        .chain(every(Fault::Sync, syncs, 1))
        .chain(every(Fault::Panic, syncs, 7));
    for (nth, kind) in faults {
        let disk = MemoryDisk::default();
        disk.fail(kind(nth));
        let what = format!("{:?}", kind(nth));
        let (outcomes, made) = play(&disk, &all).await;
        let Some(outcomes) = outcomes else {
            continue;
        };
        disk.fail(Fault::Never);
        failures += made.iter().filter(|each| !each.ok).count();
        poisoned += usize::from(!outcomes.is_sound());
        // What failed is not there before a restart: nobody was told that it was.
        let done: Vec<_> = made.iter().filter(|each| each.ok).collect();
        let mut model = Model::default();
        for each in done {
            model.apply(&each.call, at(1), (100, 100));
        }
        for place in 0..KEYS {
            let wanted = model.kept.get(&place);
            let wanted = wanted.map(|(_, number, made)| outcome(*number, *made));
            let found = recalled(&outcomes, place);
            // A flush that panics has done its work, and only its asker does not know.
            assert!(
                found == wanted || matches!(kind(nth), Fault::Panic(_)),
                "{what}: {place} {found:?}"
            );
        }
        if outcomes.is_sound() {
            let failed: Vec<_> = made.iter().filter(|each| !each.ok).collect();
            assert!(
                failed.len() <= 1 && !failed.iter().any(|each| each.poisoned),
                "{what}"
            );
        } else {
            let refused = make(&outcomes, &vec![(0, Some(9))], at(1)).await;
            assert!(matches!(refused, Err(RememberError::Poisoned)), "{what}");
        }
        drop(outcomes);
        for crash in [Crash::Process, Crash::Power, Crash::Partly(nth + 1)] {
            let outcomes = open(&disk.after(disk.log_len(), crash), caps());
            check(
                &outcomes,
                &made,
                disk.log_len() + 1,
                &format!("{what} {crash:?}"),
            );
        }
    }
    assert!(
        failures > 100 && poisoned > 20,
        "{failures} failures, {poisoned} poisoned"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, caps());
    make(&outcomes, &vec![(0, Some(2))], at(1)).await.unwrap();
    disk.leave_room(0);
    let refused = make(&outcomes, &vec![(1, Some(3))], at(1)).await;
    assert!(
        matches!(refused, Err(RememberError::NoSpace)),
        "{refused:?}"
    );
    disk.leave_room(1 << 20);
    make(&outcomes, &vec![(2, Some(4))], at(1)).await.unwrap();
    assert!(outcomes.is_sound() && recalled(&outcomes, 1).is_none());
    let outcomes = open(&disk.after(disk.log_len(), Crash::Power), caps());
    assert_eq!(recalled(&outcomes, 0), Some(outcome(2, at(1))));
    assert_eq!(recalled(&outcomes, 1), None);
    assert_eq!(recalled(&outcomes, 2), Some(outcome(4, at(1))));
}

#[tokio::test]
async fn a_damaged_page_costs_its_own_group_alone() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, caps());
    for number in 0..4_u8 {
        make(&outcomes, &vec![(number.into(), Some(number))], at(1))
            .await
            .unwrap();
    }
    drop(outcomes);
    disk.damage("outcomes", |octets| octets[4096 + 40] ^= 1);
    let outcomes = open(&disk, caps());
    for number in [0, 2, 3_u8] {
        assert_eq!(
            recalled(&outcomes, number.into()),
            Some(outcome(number, at(1)))
        );
    }
    assert_eq!(recalled(&outcomes, 1), None);
    make(&outcomes, &vec![(5, Some(5))], at(1)).await.unwrap();
    assert_eq!(recalled(&open(&disk, caps()), 5), Some(outcome(5, at(1))));
}

#[tokio::test]
async fn what_comes_while_a_group_is_flushed_is_the_next_group() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, caps());
    let gate = disk.hold_flushes();
    let begun: Vec<_> = (0..50)
        .map(|number| outcomes.remember(vec![(key(number), outcome(2, at(1)))]))
        .collect();
    assert!(
        (0..50).all(|place| recalled(&outcomes, place).is_none()),
        "not durable yet"
    );
    drop(gate);
    for each in begun {
        each.await.unwrap();
    }
    assert!((0..50).all(|place| recalled(&outcomes, place).is_some()));
    // Its name, and two groups.
    assert!(disk.syncs() <= 3, "{}", disk.syncs());
}

#[tokio::test]
async fn whoever_lets_go_of_it_waits_for_what_is_being_written() {
    let disk = MemoryDisk::default();
    let outcomes = open(&disk, caps());
    let answer = outcomes.remember(vec![(key(0), outcome(2, at(1)))]);
    drop(outcomes);
    // Its name, and its octets.
    assert_eq!(disk.syncs(), 2);
    answer.await.unwrap();
    assert!(recalled(&open(&disk, caps()), 0).is_some());
}
