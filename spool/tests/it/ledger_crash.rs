//! What a crash and a failing disk leave of the ledger: whatever was flushed is found, whatever comes between.

use std::sync::Arc;

use vouchsafe_proto::residue::Kind;
use vouchsafe_spool::ledger::{self, Answer, Entry, KEPT_HOURS, Ledger};

use crate::chance::Chance;
use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::ledger::{MIDNIGHT, PRIME, ask, entry, hour, open, question};

/// An entry, and when its flush had ended, in operations of the disk; `None` if it had not.
struct Entered {
    entry: Entry,
    durable: Option<usize>,
}

/// What was done to a ledger.
#[derive(Default)]
struct Story {
    entered: Vec<Entered>,
    /// When each turn began, and its hour.
    turns: Vec<(usize, u32)>,
}

/// Hours that a story goes through: two days, the time until they are merged, and the one when all expire.
const HOURS: [u32; 14] = [
    0,
    1,
    2,
    3,
    23,
    24,
    25,
    30,
    48,
    72,
    73,
    100,
    KEPT_HOURS + 24,
    KEPT_HOURS + 60,
];

/// Lives through some hours, whatever goes wrong.
fn live(disk: &MemoryDisk, seed: u64) -> Story {
    let chance = &mut Chance::new(seed);
    let mut story = Story::default();
    let Ok((ledger, _)) = Ledger::open(Arc::new(disk.clone())) else {
        return story;
    };
    for past in HOURS {
        let now = MIDNIGHT + past;
        for _ in 0..=chance.below(3) {
            let entries: Vec<_> = (0..=chance.below(3))
                .map(|_| {
                    // Late ones now and then.
                    let at = now - u32::try_from(chance.below(3)).unwrap();
                    let kind = chance.of(&[Kind::Message, Kind::Message, Kind::Identity]);
                    let digest = u128::from(chance.next()) << 80 | u128::from(chance.next());
                    entry(kind, at, digest)
                })
                .collect();
            let written = ledger.enter(hour(now), &entries).is_ok();
            let flushed = written && ledger.flush().is_ok();
            let durable = flushed.then(|| disk.log_len());
            story
                .entered
                .extend(entries.into_iter().map(|entry| Entered { entry, durable }));
        }
        story.turns.push((disk.log_len(), now));
        let _ = ledger.turn(hour(now));
        for Entered { entry, durable } in &story.entered {
            let kept = entry.hour.number() + KEPT_HOURS >= now;
            if durable.is_some() && kept {
                let answer = ask(&ledger, question(*entry, &[PRIME]));
                // A question may meet the fault itself.
                assert_ne!(answer, Answer::NotFound, "{entry:?} in the same process");
            }
        }
    }
    story
}

impl Story {
    /// What must be found after a crash behind so many operations, until `now`.
    fn expected(&self, upto: usize, now: u32) -> impl Iterator<Item = Entry> {
        let turns = self.turns.iter().filter(move |(began, _)| *began <= upto);
        let last = turns.map(|(_, at)| *at).max().unwrap_or(0).max(now);
        self.entered
            .iter()
            .filter(move |each| each.durable.is_some_and(|durable| durable <= upto))
            .map(|each| each.entry)
            .filter(move |entry| entry.hour.number() + KEPT_HOURS >= last)
    }

    /// Checks a ledger, and that its files are sound.
    fn check(&self, disk: &MemoryDisk, ledger: &Ledger, upto: usize, now: u32, what: &str) {
        for entry in self.expected(upto, now) {
            let answer = ask(ledger, question(entry, &[PRIME]));
            assert_eq!(
                answer,
                Answer::Sent,
                "{what}, behind {upto}: {entry:?}, {:?}\n{}",
                disk.names(),
                disk.last_words(upto)
            );
        }
        let never = entry(Kind::Message, MIDNIGHT + 24, u128::MAX / 5);
        let answer = ask(ledger, question(never, &[PRIME]));
        assert_eq!(answer, Answer::NotFound, "{what}, behind {upto}");
        for segment in ledger::verify(disk).unwrap() {
            assert!(
                segment.digests.is_ok(),
                "{what}, behind {upto}: {segment:?}"
            );
        }
    }
}

#[test]
fn what_was_flushed_is_found_after_a_crash_at_any_moment() {
    let disk = MemoryDisk::default();
    let story = live(&disk, 1);
    let end = disk.log_len();
    assert!(end > 150, "only {end} operations");
    for upto in 0..=end {
        let partly = Crash::Partly(3 * upto as u64 + 1);
        for crash in [Crash::Process, Crash::Power, partly] {
            let what = format!("{crash:?}");
            let crashed = disk.after(upto, crash);
            let found = crashed.log_len();
            let ledger = open(&crashed);
            story.check(&crashed, &ledger, upto, 0, &what);
            let recovered = crashed.log_len();
            let now = MIDNIGHT + 75;
            ledger.turn(hour(now)).unwrap();
            story.check(&crashed, &ledger, upto, now, &what);
            drop(ledger);
            // It crashes again while it recovers, or in the turn that follows, which merges.
            let turned = crashed.log_len();
            let chance = &mut Chance::new(upto as u64 + 1);
            let between = recovered + chance.below(turned - recovered + 1);
            for second in (found..=recovered).chain([between, turned]) {
                let lot = Crash::Partly(chance.next());
                let crash = chance.of(&[Crash::Power, Crash::Process, lot, lot]);
                let again = crashed.after(second, crash);
                let ledger = open(&again);
                let what = format!("{what}, then {crash:?} behind {second}");
                story.check(&again, &ledger, upto, now, &what);
            }
        }
    }
}

#[test]
fn a_call_that_fails_loses_nothing_that_was_flushed() {
    let calls = {
        let disk = MemoryDisk::default();
        live(&disk, 2);
        disk.calls()
    };
    let mut faults: Vec<Fault> = (0..calls).map(Fault::Call).collect();
    for number in 0..40 {
        faults.extend([
            Fault::Sync(number),
            Fault::Torn(number),
            Fault::Room(number),
            Fault::ReadOnly(number * 3),
        ]);
    }
    for fault in faults {
        let disk = MemoryDisk::default();
        disk.fail(fault);
        let story = live(&disk, 2);
        let end = disk.log_len();
        for crash in [Crash::Process, Crash::Power, Crash::Partly(5)] {
            let crashed = disk.after(end, crash);
            let ledger = open(&crashed);
            let what = format!("{fault:?}, {crash:?}");
            story.check(&crashed, &ledger, end, 0, &what);
            ledger.turn(hour(MIDNIGHT + KEPT_HOURS + 60)).unwrap();
            let now = MIDNIGHT + KEPT_HOURS + 60;
            story.check(&crashed, &ledger, end, now, &what);
        }
    }
}
