//! "Not sent" is never said falsely: a site's life of sends, crashes, restored backups, lost files, clocks that jump and
//! domains that others send for, and after each event questions about everything that was sent.
//!
//! `VOUCHSAFE_LEDGER_STORIES` says how many such lives there are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::Kind;
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_spool::ledger::{Answer, Entry, Ledger};

use crate::chance::Chance;
use crate::disk::MemoryDisk;
use crate::image::Crash;
use crate::ledger::{PRIME, ask, entry, hour, question};

/// A moment.
const START: u64 = 498_681 * 3600;

/// A site, as one sees it who sees everything.
struct Site {
    disk: MemoryDisk,
    ledger: Ledger,
    /// The time as it is, in seconds.
    at: u64,
    /// By how much the site's clock is wrong.
    wrong: i64,
    mono: u64,
    /// Everything that has left, entered or not.
    sent: Vec<Entry>,
    backup: Option<MemoryDisk>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    asked: u64,
    sent: u64,
    unknown: u64,
    /// Of messages that nobody sent.
    denied: u64,
    undecided: u64,
}

fn below(chance: &mut Chance, end: usize) -> u64 {
    chance.below(end) as u64
}

fn domain() -> Domain {
    Domain::parse("a.example").unwrap()
}

impl Site {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        let (ledger, _) = Ledger::open(Arc::new(disk.clone())).unwrap();
        let site = Self {
            disk,
            ledger,
            at: START,
            wrong: 0,
            mono: 0,
            sent: Vec::new(),
            backup: None,
            tally: Tally::default(),
        };
        site.begin();
        site
    }

    fn now(&self) -> Now {
        Now {
            wall: Wall::from_secs(self.at.checked_add_signed(self.wrong).unwrap()),
            mono: Mono::from_millis(self.mono * 1000),
        }
    }

    fn begin(&self) {
        let domains: BTreeSet<_> = ["a.example".into()].into();
        self.ledger.begin(self.now(), &domains).unwrap();
        self.witness(true);
    }

    fn witness(&self, is_whole: bool) {
        let at = self.now().wall;
        self.ledger.witness(at, &domain(), is_whole).unwrap();
    }

    /// Time goes by, as a service sees it.
    fn pass(&mut self, seconds: u64) {
        for beat in 0..seconds / 30 {
            self.at += 30;
            self.mono += 30;
            self.ledger.beat(self.now()).unwrap();
            if beat % 10 == 9 {
                self.witness(true);
            }
        }
        let hour = u32::try_from(self.now().wall.as_secs() / 3600).unwrap();
        self.ledger.turn(crate::ledger::hour(hour)).unwrap();
        self.witness(true);
    }

    /// A message leaves, dated about now or a while ago; entered first, unless it leaves by another host. Of those the
    /// ledger knows no dates, and believes that they are no more than ten minutes fast.
    fn send(&mut self, chance: &mut Chance, is_entered: bool) {
        let dated = match chance.below(10) {
            0 => self.at - below(chance, 40) * 3600,
            1 if is_entered => self.at + below(chance, 80) * 3600,
            2 => self.at + below(chance, 600),
            _ => self.at - below(chance, 600),
        };
        let dated = u32::try_from(dated / 3600).unwrap();
        let digest = u128::from(chance.next()) << 64 | u128::from(chance.next());
        let entry = entry(Kind::Message, dated, digest);
        if is_entered {
            let now = u32::try_from(self.now().wall.as_secs() / 3600).unwrap();
            self.ledger.enter(hour(now), &[entry]).unwrap();
            self.ledger.flush().unwrap();
        }
        self.sent.push(entry);
    }

    /// The process ends, and another one begins on this disk.
    fn restart(&mut self, disk: MemoryDisk, stop: u64) {
        self.disk = disk;
        let (ledger, _) = Ledger::open(Arc::new(self.disk.clone())).unwrap();
        self.ledger = ledger;
        self.at += stop;
        self.mono = 0;
        self.begin();
    }

    /// Something is lost. What was dated further in the future than clocks differ is not believed to have been there
    /// (PROTOCOLS B.2: ten minutes).
    fn lose(&mut self) {
        let latest = (self.at + 600) / 3600;
        self.sent
            .retain(|entry| u64::from(entry.hour.number()) <= latest);
    }

    /// What the responder would say of a digest.
    fn says_not_sent(&self, entry: Entry) -> bool {
        let now = self.now().wall;
        ask(&self.ledger, question(entry, &[PRIME])) == Answer::NotFound
            && !self.ledger.misses(entry.hour)
            && self
                .ledger
                .covered(&domain(), now)
                .is_some_and(|span| span.contains(entry.hour))
    }

    fn check(&mut self, chance: &mut Chance, what: &str) {
        for sent in &self.sent {
            let is_denied = self.says_not_sent(*sent);
            assert!(
                !is_denied,
                "{what}: {sent:?} at {} ({})",
                self.at, self.wrong
            );
            self.tally.asked += 1;
            let answer = ask(&self.ledger, question(*sent, &[PRIME]));
            match answer {
                Answer::Sent => self.tally.sent += 1,
                _ => self.tally.unknown += 1,
            }
        }
        for _ in 0..20 {
            let dated = u32::try_from((self.at - below(chance, 20 * 3600)) / 3600).unwrap();
            let digest = u128::from(chance.next()) << 64 | u128::from(chance.next());
            let forged = entry(Kind::Message, dated, digest);
            assert_ne!(ask(&self.ledger, question(forged, &[PRIME])), Answer::Sent);
            if self.says_not_sent(forged) {
                self.tally.denied += 1;
            } else {
                self.tally.undecided += 1;
            }
        }
    }

    /// Something happens.
    fn event(&mut self, chance: &mut Chance) -> &'static str {
        // A gap ends at the moment that the clock shows: while it is wrong, nothing else may be.
        let is_right = self.wrong.abs() < 300;
        match chance.below(14) {
            0 => {
                let disk = self.disk.after(self.disk.log_len(), Crash::Process);
                self.restart(disk, below(chance, 120));
                "a crash"
            }
            1 => {
                let disk = self.disk.after(self.disk.log_len(), Crash::Process);
                self.restart(disk, 3600 * below(chance, 30));
                "a long stop"
            }
            2 => {
                self.backup = Some(self.disk.copy());
                "a backup"
            }
            3 if is_right => self.restore(chance),
            4 if is_right => self.lose_a_file(chance),
            5 => {
                self.wrong += match chance.below(4) {
                    0 => -(i64::try_from(chance.below(100)).unwrap() * 3600),
                    1 => i64::try_from(chance.below(100)).unwrap() * 3600,
                    2 => 20,
                    _ => -self.wrong,
                };
                self.wrong = self.wrong.clamp(-40 * 86_400, 40 * 86_400);
                self.pass(30);
                "a clock that jumped"
            }
            6 if is_right => {
                // Another host may send for a while, and does; its record goes away again.
                self.witness(false);
                for _ in 0..3 {
                    self.send(chance, false);
                }
                self.at += 20;
                self.mono += 20;
                self.witness(true);
                "another host"
            }
            7 if is_right => {
                let at = self.now().wall;
                let domains = ["a.example".into()].into();
                self.ledger.set_domains(at, &BTreeSet::new()).unwrap();
                self.send(chance, false);
                self.ledger.set_domains(at, &domains).unwrap();
                self.witness(true);
                "a domain that was away"
            }
            8 if is_right => self.meet_a_silent_relay(chance),
            _ => {
                self.pass(chance.of(&[60, 600, 7200, 40_000]));
                "time"
            }
        }
    }

    fn restore(&mut self, chance: &mut Chance) -> &'static str {
        let Some(backup) = self.backup.clone() else {
            return "no backup";
        };
        self.lose();
        self.restart(backup.restored(self.at << 20), below(chance, 60));
        "a restored backup"
    }

    fn lose_a_file(&mut self, chance: &mut Chance) -> &'static str {
        let is_kept = |name: &String| {
            name.starts_with("ledger/message-") || name.starts_with("ledger/journal-")
        };
        let names: Vec<_> = self.disk.names().into_iter().filter(is_kept).collect();
        if names.is_empty() {
            return "nothing to lose";
        }
        let disk = self.disk.after(self.disk.log_len(), Crash::Process).copy();
        disk.lose(&names[chance.below(names.len())]);
        self.lose();
        self.restart(disk, 10);
        "a lost file"
    }

    fn meet_a_silent_relay(&mut self, chance: &mut Chance) -> &'static str {
        let writers = [("relay.example".into(), Duration::from_mins(2))];
        self.ledger.set_writers(writers.into());
        self.ledger.hear(self.now().wall, "relay.example");
        self.pass(120);
        self.at += 30;
        self.mono += 30;
        self.send(chance, false);
        self.check(chance, "while a relay is silent");
        self.pass(600);
        self.ledger.hear(self.now().wall, "relay.example");
        self.ledger.set_writers([].into());
        "a silent relay"
    }
}

#[test]
fn no_story_makes_not_sent_be_said_of_what_was_sent() {
    let stories = std::env::var("VOUCHSAFE_LEDGER_STORIES").ok();
    let stories = stories.map_or(15, |text| text.parse().unwrap());
    let mut all = Tally::default();
    for seed in 1..=stories {
        let chance = &mut Chance::new(seed);
        let mut site = Site::new();
        site.pass(3600);
        for _ in 0..30 {
            for _ in 0..=chance.below(3) {
                site.send(chance, true);
            }
            let what = site.event(chance);
            site.check(chance, &format!("story {seed}, after {what}"));
        }
        all.asked += site.tally.asked;
        all.sent += site.tally.sent;
        all.unknown += site.tally.unknown;
        all.denied += site.tally.denied;
        all.undecided += site.tally.undecided;
    }
    println!("{stories} stories: {all:?}");
    // Else it would be enough to say nothing.
    assert!(
        all.denied * 10 > all.undecided && all.sent > all.unknown,
        "{all:?}"
    );
}
