//! What the ledger's structures cost: octets a digest, nanoseconds a look-up, an insertion, a sealed digest, and the
//! time from a start to the first answer.
//!
//! Prints a line for each number of digests, all of one hour; look-ups are medians of rounds, in batches of 32, one
//! thread. `open` are look-ups while the hour is open, `memory` in its segment, `disk` in its file (as far as the page
//! cache does not have it). `user` and `sys` are the CPU time of sealing. `load` is what it takes to have the segment in memory again.
//!
//! ```text
//! cargo bench -p vouchsafe-spool --bench ledger -- FOLDER [DIGESTS...]
//! ```
//!
//! FOLDER is made, and removed at the end. Without DIGESTS: 1000000 10000000 100000000; the last takes 9 GB of memory.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement is for whoever runs it"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vouchsafe_proto::residue::{Congruences, Digest, Hour, Kind, Residue};
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::{Answer, Entry, Hours, Ledger, Question};

/// Look-ups of a round.
const ROUND: usize = 6400 * BATCH;
/// Rounds.
const ROUNDS: usize = 9;
/// Questions of a batch.
const BATCH: usize = 32;
/// Digests that are entered by one call.
const ENTERED: usize = 4096;

/// The number's digest (splitmix64, twice).
fn digest(number: u64) -> Digest {
    let half = |number: u64| {
        let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(mixed ^ mixed >> 31)
    };
    Digest::new(half(number * 2 + 1) << 64 | half(number * 2 + 2))
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|each| each != "--bench");
    let Some(folder) = arguments.next() else {
        println!("usage: FOLDER [DIGESTS...]");
        return;
    };
    let mut counts: Vec<u64> = arguments
        .map(|each| each.parse().expect("a number"))
        .collect();
    if counts.is_empty() {
        counts = vec![1_000_000, 10_000_000, 100_000_000];
    }
    println!(
        "  digests  octets  enter ns  seal ns  user  sys  open hit  miss  memory hit  miss  disk hit us  miss  start ms  load ms"
    );
    for count in counts {
        measure(Path::new(&folder), count);
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}

/// One line.
fn measure(folder: &Path, count: u64) {
    let now = Hour::new(500_000).expect("an hour");
    let disk = Arc::new(LocalDisk::new(folder.to_path_buf()));
    let (ledger, _) = Ledger::open(disk.clone()).expect("a ledger");
    let entries = |from: u64| {
        let digests = (from..count.min(from + ENTERED as u64)).map(digest);
        let entry = |digest| Entry {
            kind: Kind::Message,
            hour: now,
            digest,
        };
        digests.map(entry).collect::<Vec<_>>()
    };
    let mut entering = Duration::ZERO;
    for from in (0..count).step_by(ENTERED) {
        let entries = entries(from);
        let start = Instant::now();
        ledger.enter(now, &entries).expect("room");
        entering += start.elapsed();
    }
    ledger.flush().expect("a flush");
    let open = look_ups(&ledger, now, count, ROUNDS, ROUND);
    let (cpu, start) = (cpu_times(), Instant::now());
    ledger.turn(now).expect("a segment");
    let sealing = start.elapsed();
    let sealed = cpu_times();
    let (user, system) = (
        sealed.0.saturating_sub(cpu.0),
        sealed.1.saturating_sub(cpu.1),
    );
    let octets: u64 = std::fs::read_dir(folder.join("ledger"))
        .expect("the folder")
        .map(|file| file.and_then(|file| file.metadata()).expect("a file").len())
        .sum();
    let memory = look_ups(&ledger, now, count, ROUNDS, ROUND);
    drop(ledger);
    let start = Instant::now();
    let (ledger, _) = Ledger::open(disk).expect("a ledger");
    let mut answers = [Answer::NotFound];
    ledger.look_up(&[question(now, digest(0))], &mut answers);
    let starting = start.elapsed();
    assert_eq!(answers, [Answer::Sent]);
    let cold = look_ups(&ledger, now, count, 3, 320 * BATCH);
    let start = Instant::now();
    ledger.turn(now).expect("in memory");
    let loading = start.elapsed();
    let each = |time: Duration| time.as_secs_f64() * 1e9 / count as f64;
    println!(
        "{count:9}  {:6.2}  {:8.1}  {:7.1}  {:4.0}  {:3.0}  {:8.0}  {:4.0}  {:10.0}  {:4.0}  {:11.2}  {:4.2}  {:8.1}  {:7.0}",
        octets as f64 / count as f64,
        each(entering),
        each(sealing),
        each(user),
        each(system),
        open.0,
        open.1,
        memory.0,
        memory.1,
        cold.0 / 1e3,
        cold.1 / 1e3,
        starting.as_secs_f64() * 1e3,
        loading.as_secs_f64() * 1e3,
    );
}

/// User and system time of this process so far.
fn cpu_times() -> (Duration, Duration) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = fields.split_whitespace().skip(11);
    // USER_HZ is 100 on every Linux.
    let mut next = || {
        let ticks = fields.next().and_then(|field| field.parse::<u64>().ok());
        Duration::from_millis(ticks.unwrap_or_default().saturating_mul(10))
    };
    (next(), next())
}

fn question(hour: Hour, digest: Digest) -> Question {
    let residue = Residue::of(digest, u64::MAX - 58).expect("an odd modulus");
    Question {
        kind: Kind::Message,
        hours: Hours::one(hour),
        index: digest.index(),
        congruences: Congruences::of(&[residue]).expect("one"),
    }
}

/// Nanoseconds for a hit and for a miss.
fn look_ups(ledger: &Ledger, hour: Hour, count: u64, rounds: usize, round: usize) -> (f64, f64) {
    let median = |first: u64, expected: Answer| {
        let mut times: Vec<f64> = (0..rounds)
            .map(|number| {
                let mut answers = [Answer::NotFound; BATCH];
                let (mut right, mut took) = (0, Duration::ZERO);
                for batch in 0..round / BATCH {
                    // Made just before, as by whoever has just read a datagram; what that costs is not told here.
                    let questions: [_; BATCH] = std::array::from_fn(|each| {
                        let each = ((number * round) + batch * BATCH + each) as u64;
                        let place = each.wrapping_mul(0x9e37_79b1) % count;
                        question(hour, digest(first + place))
                    });
                    let start = Instant::now();
                    ledger.look_up(&questions, &mut answers);
                    took += start.elapsed();
                    right += answers.iter().filter(|each| **each == expected).count();
                }
                assert_eq!(right, round, "answers are right");
                took.as_secs_f64() * 1e9 / round as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times.get(rounds / 2).copied().unwrap_or_default()
    };
    (median(0, Answer::Sent), median(1 << 60, Answer::NotFound))
}
