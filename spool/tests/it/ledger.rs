//! The ledger against a scan that divides: open hours, segments in memory and on disk, merged days.
//!
//! `VOUCHSAFE_LEDGER_QUESTIONS` says how many questions are asked; each is asked of a ledger in all its states.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use vouchsafe_proto::residue::{Congruences, Digest, Hour, INDEXES, Index, Kind, Residue};
use vouchsafe_spool::ledger::{
    self, Answer, Entry, Hours, KEPT_HOURS, Ledger, LedgerError, Question,
};

use crate::chance::Chance;
use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;

/// The first hour of a day.
pub const MIDNIGHT: u32 = 20_778 * 24;

pub fn hour(number: u32) -> Hour {
    Hour::new(number).unwrap()
}

pub fn open(disk: &MemoryDisk) -> Ledger {
    Ledger::open(Arc::new(disk.clone())).unwrap().0
}

pub fn entry(kind: Kind, number: u32, digest: u128) -> Entry {
    Entry {
        kind,
        hour: hour(number),
        digest: Digest::new(digest),
    }
}

/// What asks for just this digest, in its hour.
pub fn question(entry: Entry, moduli: &[u64]) -> Question {
    let residues: Vec<_> = moduli
        .iter()
        .map(|modulus| Residue::of(entry.digest, *modulus).unwrap())
        .collect();
    Question {
        kind: entry.kind,
        hours: Hours::one(entry.hour),
        index: entry.digest.index(),
        congruences: Congruences::of(&residues).unwrap(),
    }
}

pub fn ask(ledger: &Ledger, question: Question) -> Answer {
    let mut answers = [Answer::NotFound];
    ledger.look_up(&[question], &mut answers);
    answers[0]
}

/// The largest prime of 64 bits.
pub const PRIME: u64 = u64::MAX - 58;

fn number(chance: &mut Chance) -> u128 {
    let half = |chance: &mut Chance| u128::from(chance.next() << 32 ^ chance.next());
    half(chance) << 64 | half(chance)
}

/// A digest: mostly any, and some that are small, or share an index with many.
fn digest(chance: &mut Chance) -> u128 {
    let any = number(chance);
    let shared = [0, 1, 77, 0xff_0000, u128::from(INDEXES) - 1];
    match chance.below(8) {
        0..3 => any >> 24 << 24 | chance.of(&shared),
        3 => any >> (24 + chance.below(104)),
        4 => chance.of(&[0, 1, u128::MAX, u128::MAX - 1, u128::from(u64::MAX)]),
        _ => any,
    }
}

fn modulus(chance: &mut Chance) -> u64 {
    let near = 2 * (chance.next() % 64);
    match chance.below(6) {
        0 => u64::MAX - near,
        1 => (1 << 63) + 1 + near,
        2 => (1 << 32) - 1 - near,
        3 => (1 << 31) + 1 + near,
        4 => 3 + near,
        _ => (chance.next() << 24 ^ chance.next()) | 1,
    }
}

/// A question, and what it is made of.
struct Asked {
    question: Question,
    residues: Vec<(u64, u64)>,
}

fn asked(chance: &mut Chance, entries: &[Entry], first: u32) -> Asked {
    let entry = chance.of(entries);
    let mut index = entry.digest.index();
    let mut residues: Vec<(u64, u64)> = (0..=chance.below(4))
        .map(|_| {
            let modulus = modulus(chance);
            let rest = entry.digest.number() % u128::from(modulus);
            (modulus, u64::try_from(rest).unwrap())
        })
        .collect();
    let place = chance.below(residues.len());
    let (modulus, remainder) = &mut residues[place];
    match chance.below(8) {
        0 => *remainder = (*remainder + 1) % *modulus,
        1 => *remainder = 0,
        2 => *remainder = chance.next() % *modulus,
        3 => {
            let any = u32::try_from(chance.next() % u64::from(INDEXES)).unwrap();
            index = Index::new(any).unwrap();
        }
        _ => {}
    }
    let any = first + u32::try_from(chance.below(80)).unwrap();
    let hours = match chance.below(8) {
        0 => Hours::one(hour(any)),
        1 => Hours::new(hour(any), 15),
        2 => Hours::new(hour(first - 100), 336),
        3 => Hours::new(hour(entry.hour.number() - 3), 4),
        _ => Hours::one(entry.hour),
    };
    let made: Vec<_> = residues
        .iter()
        .map(|(modulus, remainder)| Residue::new(*modulus, *remainder).unwrap())
        .collect();
    let question = Question {
        kind: if chance.one_in(16) {
            Kind::Identity
        } else {
            entry.kind
        },
        hours,
        index,
        congruences: Congruences::of(&made).unwrap(),
    };
    Asked { question, residues }
}

/// What a scan with divisions finds. Of those that are `merged`, only the day is known.
fn naive(entries: &[Entry], asked: &Asked, merged: &[(Kind, Hours)]) -> Answer {
    let is_asked = |entry: &&Entry| {
        let digest = entry.digest.number();
        let number = entry.hour.number();
        let day = Hours::new(hour(number - number % 24), 24);
        let known = if merged.contains(&(entry.kind, day)) {
            day
        } else {
            Hours::one(entry.hour)
        };
        entry.kind == asked.question.kind
            && known.touch(asked.question.hours)
            && digest % u128::from(INDEXES) == u128::from(asked.question.index.number())
            && asked
                .residues
                .iter()
                .all(|(modulus, rest)| digest % u128::from(*modulus) == u128::from(*rest))
    };
    match entries.iter().find(is_asked) {
        Some(_) => Answer::Sent,
        None => Answer::NotFound,
    }
}

fn compare(
    ledger: &Ledger,
    entries: &[Entry],
    asked: &[Asked],
    merged: &[(Kind, Hours)],
    state: &str,
) -> usize {
    let questions: Vec<_> = asked.iter().map(|asked| asked.question).collect();
    let mut hits = 0;
    for (batch, asked) in questions.chunks(32).zip(asked.chunks(32)) {
        let mut answers = vec![Answer::Unreadable; batch.len()];
        ledger.look_up(batch, &mut answers);
        for (answer, asked) in answers.iter().zip(asked) {
            let expected = naive(entries, asked, merged);
            hits += usize::from(expected == Answer::Sent);
            assert_eq!(
                *answer, expected,
                "{state}: {:?} {:?}",
                asked.question, asked.residues
            );
        }
    }
    hits
}

/// A ledger of some entries in all its states; gives how many questions were hits in the last.
fn one_world(seed: u64, questions: usize) -> usize {
    let chance = &mut Chance::new(seed);
    let first = MIDNIGHT + 12;
    let count = chance.of(&[3, 40, 300, 300]) + if chance.one_in(40) { 5000 } else { 0 };
    let spread = chance.of(&[1, 2, 40]);
    let entries: Vec<Entry> = (0..count)
        .map(|_| {
            let kind = chance.of(&[Kind::Message, Kind::Message, Kind::Identity]);
            let at = first + u32::try_from(chance.below(spread)).unwrap();
            entry(kind, at, digest(chance))
        })
        .collect();
    let asked: Vec<_> = (0..questions)
        .map(|_| asked(chance, &entries, first))
        .collect();
    let (early, late) = entries.split_at(entries.len() * 3 / 4);
    let disk = MemoryDisk::default();
    let (ledger, now) = (open(&disk), first + 11);
    ledger.enter(hour(now), early).unwrap();
    compare(&ledger, early, &asked, &[], "open");
    ledger.turn(hour(now)).unwrap();
    compare(&ledger, early, &asked, &[], "in memory");
    ledger.enter(hour(now), late).unwrap();
    compare(&ledger, &entries, &asked, &[], "late entries");
    ledger.flush().unwrap();
    drop(ledger);
    let ledger = open(&disk);
    compare(&ledger, &entries, &asked, &[], "on disk, and a journal");
    ledger.turn(hour(MIDNIGHT + 47)).unwrap();
    compare(&ledger, &entries, &asked, &[], "some on disk");
    ledger.turn(hour(MIDNIGHT + 48)).unwrap();
    let merged = merged_days(&disk);
    compare(&ledger, &entries, &asked, &merged, "merged");
    drop(ledger);
    for segment in ledger::verify(&disk).unwrap() {
        segment.digests.unwrap();
    }
    let ledger = open(&disk);
    compare(&ledger, &entries, &asked, &merged, "merged, opened")
}

/// The days of which there is but one segment.
fn merged_days(disk: &MemoryDisk) -> Vec<(Kind, Hours)> {
    let all = ledger::survey(disk).unwrap().into_iter();
    all.filter(|segment| segment.hours.count() == 24)
        .map(|segment| (segment.kind, segment.hours))
        .collect()
}

#[test]
fn every_state_answers_as_a_scan_with_divisions() {
    let questions = std::env::var("VOUCHSAFE_LEDGER_QUESTIONS");
    let questions = questions.map_or(2000, |number| number.parse().unwrap());
    let (mut left, mut hits) = (questions, 0);
    for seed in 1.. {
        let some = 500.min(left);
        hits += one_world(seed, some);
        left -= some;
        if left == 0 {
            break;
        }
    }
    assert!(hits > questions / 4, "only {hits} hits");
}

#[test]
fn exactly_the_remainders_that_are_asked_for_decide() {
    let (one, two): (u64, u64) = (PRIME, (1 << 32) - 5);
    let others: [u64; 6] = [
        u64::MAX - 82,
        u64::MAX - 94,
        (1 << 63) + 29,
        (1 << 32) - 17,
        (1 << 32) - 65,
        (1 << 31) + 11,
    ];
    let sent = 0x0087_08ab_cdef_a907_8fdb_a2f6_3449_d26a_u128;
    let forged = sent + (1 << 24) * u128::from(one) * u128::from(two);
    assert_eq!(sent % (1 << 24), forged % (1 << 24));
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let kind = Kind::Message;
    ledger
        .enter(hour(MIDNIGHT), &[entry(kind, MIDNIGHT, sent)])
        .unwrap();
    let forged = entry(kind, MIDNIGHT, forged);
    let check = |ledger: &Ledger| {
        for moduli in [&[one][..], &[two], &[two, one]] {
            assert_eq!(ask(ledger, question(forged, moduli)), Answer::Sent);
        }
        for other in others {
            for moduli in [
                &[other][..],
                &[one, other],
                &[other, two],
                &[one, two, other],
                &[two, one, other, 3],
            ] {
                let answer = ask(ledger, question(forged, moduli));
                assert_eq!(answer, Answer::NotFound, "{moduli:?}");
            }
        }
    };
    check(&ledger);
    ledger.turn(hour(MIDNIGHT)).unwrap();
    check(&ledger);
    check(&open(&disk));
}

#[test]
fn what_is_dated_beyond_what_is_answered_is_not_entered() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let now = MIDNIGHT;
    for (at, entered) in [
        (now - 337, 0),
        (now - 336, 1),
        (now, 1),
        (now + 48, 1),
        (now + 49, 0),
    ] {
        let entry = entry(Kind::Identity, at, 7 << 90);
        assert_eq!(ledger.enter(hour(now), &[entry]).unwrap(), entered);
        let found = ask(&ledger, question(entry, &[PRIME]));
        assert_eq!(found == Answer::Sent, entered == 1, "{at}");
    }
}

#[test]
fn a_segment_expires_at_the_hour_and_with_its_file() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let sent = entry(Kind::Message, MIDNIGHT, 1 << 100);
    ledger.enter(hour(MIDNIGHT), &[sent]).unwrap();
    ledger.turn(hour(MIDNIGHT)).unwrap();
    ledger.turn(hour(MIDNIGHT + KEPT_HOURS)).unwrap();
    let sent = question(sent, &[PRIME]);
    assert_eq!(ask(&ledger, sent), Answer::Sent);
    ledger.turn(hour(MIDNIGHT + KEPT_HOURS + 1)).unwrap();
    assert_eq!(ask(&ledger, sent), Answer::NotFound);
    assert_eq!(disk.names(), ["ledger/coverage"]);
}

#[test]
fn an_hour_in_many_pieces_becomes_one() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let now = hour(MIDNIGHT + 1);
    let all: Vec<_> = (1..40_u128)
        .map(|number| entry(Kind::Message, MIDNIGHT, number << 99))
        .collect();
    for each in &all {
        ledger.enter(now, &[*each]).unwrap();
        ledger.turn(now).unwrap();
        assert!(ledger::survey(&disk).unwrap().len() <= 4);
    }
    for each in all {
        assert_eq!(ask(&ledger, question(each, &[PRIME])), Answer::Sent);
    }
}

#[test]
fn questions_are_answered_while_hours_are_sealed_merged_and_moved() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let all: Vec<_> = (0..72)
        .map(|past| entry(Kind::Message, MIDNIGHT + past, u128::from(past) << 90 | 5))
        .collect();
    let entered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, each) in all.iter().enumerate() {
                ledger.enter(each.hour, &[*each]).unwrap();
                entered.store(number + 1, Ordering::Release);
                ledger.turn(each.hour).unwrap();
            }
        });
        let mut there = 0;
        while there < all.len() {
            there = entered.load(Ordering::Acquire);
            let questions: Vec<_> = all[..there]
                .iter()
                .map(|each| question(*each, &[PRIME]))
                .collect();
            let mut answers = vec![Answer::NotFound; there];
            ledger.look_up(&questions, &mut answers);
            assert_eq!(answers, vec![Answer::Sent; there]);
        }
    });
}

/// A ledger of one day, merged, and of an hour behind it.
fn two_segments(disk: &MemoryDisk) -> (Vec<Entry>, Entry) {
    let ledger = open(disk);
    let chance = &mut Chance::new(7);
    let day: Vec<_> = (0..2000)
        .map(|each| entry(Kind::Message, MIDNIGHT + each % 24, number(chance)))
        .collect();
    let behind = entry(Kind::Message, MIDNIGHT + 25, number(chance));
    ledger.enter(hour(MIDNIGHT + 24), &day).unwrap();
    ledger.enter(hour(MIDNIGHT + 24), &[behind]).unwrap();
    ledger.turn(hour(MIDNIGHT + 48)).unwrap();
    assert_eq!(ledger::survey(disk).unwrap().len(), 2);
    (day, behind)
}

#[test]
fn no_damage_ever_makes_a_not_found() {
    let intact = MemoryDisk::default();
    let (day, behind) = two_segments(&intact);
    let names = intact.names().into_iter();
    let name = names.into_iter().find(|name| name.contains("-18-"));
    let name = name.expect("the day's");
    let len = intact.written(&name).into_iter().max().unwrap() + 1;
    let chance = &mut Chance::new(8);
    let places = (0..64).chain((0..150).map(|_| chance.below(len)));
    for at in places.collect::<Vec<_>>() {
        let disk = intact.copy();
        disk.damage(&name, |octets| octets[at] ^= 0x10);
        let verified = ledger::verify(&disk).unwrap();
        let unsound = verified.iter().filter(|each| each.digests.is_err());
        // What pads the tables to a page is the one thing that nobody reads.
        let is_padding = unsound.count() == 0;
        let ledger = open(&disk);
        let mut unreadable = 0;
        for entry in &day {
            let answer = ask(&ledger, question(*entry, &[PRIME]));
            assert_ne!(answer, Answer::NotFound, "octet {at}: {entry:?}");
            unreadable += usize::from(answer == Answer::Unreadable);
        }
        assert!(!is_padding || unreadable == 0);
        let alone = question(behind, &[PRIME]);
        assert_eq!(ask(&ledger, alone), Answer::Sent);
        // A turn may find it, and says so; it merges nothing that is not sound.
        let _ = ledger.turn(hour(MIDNIGHT + 100));
        let again = ask(&ledger, question(day[0], &[PRIME]));
        assert_ne!(again, Answer::NotFound, "octet {at}");
    }
    for len in [0, 1, 63, 64, 4096, len - 1] {
        let disk = intact.copy();
        disk.damage(&name, |octets| octets.truncate(len));
        let (ledger, opened) = Ledger::open(Arc::new(disk)).unwrap();
        assert_eq!(opened.damaged, [name.as_str()]);
        let answer = ask(&ledger, question(day[0], &[PRIME]));
        assert_eq!(answer, Answer::Unreadable);
        assert_eq!(ask(&ledger, question(behind, &[PRIME])), Answer::Sent);
    }
}

#[test]
fn a_read_that_fails_is_no_not_found() {
    let disk = MemoryDisk::default();
    let (day, _) = two_segments(&disk);
    let ledger = open(&disk);
    disk.fail(Fault::Call(0));
    let question = question(day[0], &[PRIME]);
    assert_eq!(ask(&ledger, question), Answer::Unreadable);
    assert_eq!(ask(&ledger, question), Answer::Sent);
}

#[test]
fn a_damaged_journal_is_read_up_to_the_damage_and_the_rest_is_told() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let all: Vec<_> = (1..10_u128)
        .map(|number| entry(Kind::Identity, MIDNIGHT, number << 70))
        .collect();
    for each in &all {
        ledger.enter(hour(MIDNIGHT), &[*each]).unwrap();
    }
    ledger.flush().unwrap();
    drop(ledger);
    let names = disk.names().into_iter();
    let name = { names }.find(|name| name.contains("journal")).unwrap();
    let frame = 28;
    for at in 0..frame * all.len() {
        let disk = disk.copy();
        disk.damage(&name, |octets| octets[at] ^= 1);
        let (ledger, opened) = Ledger::open(Arc::new(disk)).unwrap();
        let whole = at / frame;
        assert_eq!(opened.read_back, whole as u64, "octet {at}");
        let unread = ((all.len() - whole) * frame) as u64;
        assert_eq!(opened.unread, [(name.clone(), unread)]);
        for (number, each) in all.iter().enumerate() {
            let is_sent = ask(&ledger, question(*each, &[PRIME])) == Answer::Sent;
            assert_eq!(is_sent, number < whole);
        }
    }
}

#[test]
fn a_full_disk_says_so_and_nothing_is_lost_or_closed_by_it() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let now = hour(MIDNIGHT);
    let all: Vec<_> = (1..500_u128)
        .map(|number| entry(Kind::Message, MIDNIGHT, number << 80))
        .collect();
    ledger.enter(now, &all[..100]).unwrap();
    disk.leave_room(0);
    assert!(matches!(
        ledger.enter(now, &all[100..]),
        Err(LedgerError::NoSpace)
    ));
    let refused = question(all[100], &[PRIME]);
    assert_eq!(ask(&ledger, refused), Answer::NotFound);
    assert!(matches!(ledger.turn(now), Err(LedgerError::NoSpace)));
    disk.leave_room(1 << 20);
    ledger.enter(now, &all[100..]).unwrap();
    ledger.flush().unwrap();
    for crash in [Crash::Power, Crash::Process] {
        let disk = disk.after(disk.log_len(), crash);
        for each in &all {
            let found = ask(&open(&disk), question(*each, &[PRIME]));
            assert_eq!(found, Answer::Sent);
        }
    }
    ledger.turn(now).unwrap();
    assert!(ledger.is_sound());
}

#[test]
fn a_torn_write_to_the_journal_is_written_over() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let now = hour(MIDNIGHT);
    let all: Vec<_> = (1..100_u128)
        .map(|number| entry(Kind::Message, MIDNIGHT, number << 80))
        .collect();
    ledger.enter(now, &all[..1]).unwrap();
    disk.fail(Fault::Torn(0));
    assert!(ledger.enter(now, &all[1..90]).is_err());
    ledger.enter(now, &all[90..]).unwrap();
    ledger.flush().unwrap();
    drop(ledger);
    let ledger = open(&disk);
    for (number, each) in all.iter().enumerate() {
        let is_sent = ask(&ledger, question(*each, &[PRIME])) == Answer::Sent;
        assert_eq!(is_sent, !(1..90).contains(&number), "{number}");
    }
}

#[test]
fn a_failed_flush_ends_all_writing_and_no_answering() {
    let disk = MemoryDisk::default();
    let ledger = open(&disk);
    let now = hour(MIDNIGHT);
    let sent = entry(Kind::Message, MIDNIGHT, 1 << 80);
    ledger.enter(now, &[sent]).unwrap();
    disk.fail(Fault::Sync(0));
    assert!(matches!(ledger.flush(), Err(LedgerError::Poisoned)));
    assert!(matches!(ledger.flush(), Err(LedgerError::Poisoned)));
    assert!(matches!(ledger.turn(now), Err(LedgerError::Poisoned)));
    assert!(matches!(
        ledger.enter(now, &[sent]),
        Err(LedgerError::Poisoned)
    ));
    assert!(!ledger.is_sound());
    assert_eq!(ask(&ledger, question(sent, &[PRIME])), Answer::Sent);
}
