//! A year of simulated time: the real schedule, outlook, index, conclusions and reports, with
//! destinations that fail and recover as they please, a server that is stopped and killed now and
//! then, a disk that is full for moments, and a clock that somebody sets. What must hold of every
//! message is looked at when all is over, exactly: each recipient ends once; nobody hears of it
//! twice, nobody who must not; whoever is to hear, hears in time.
//!
//! Files: the year here; `world` the clock, the queue and the dispatcher's part; `workers` who
//! carries; `record` what is written down; `peers` the destinations; `fate` what is looked at.
//!
//! The full version: `VOUCHSAFE_YEAR=200000 cargo test --release -p vouchsafe --lib -- a_year
//! --nocapture`. `VOUCHSAFE_SEED` makes it another year; the same seed and number make the same one.

mod fate;
mod peers;
mod record;
mod workers;
mod world;

use std::sync::OnceLock;
use std::time::Duration;

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{ByMode, Clearance, DeliverBy, Envelope, Origin, Requests};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use super::super::*;
use fate::Sums;
use peers::{DOMAINS, name, recipients};
use world::{Event, World};

/// When the year begins.
const START: u64 = 1_795_256_100_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// By then all is over.
const LAST_DAY: u64 = 400;
/// How long there is no process where one has died.
const DOWN: u64 = HOUR / 2;

/// A number of the environment.
fn number_of(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Which year it is.
fn seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| number_of("VOUCHSAFE_SEED", 0))
}

/// A number that looks like chance and is not.
fn hash(parts: &[u64]) -> u64 {
    let start = 0x9E37_79B9_7F4A_7C15 ^ seed();
    parts.iter().fold(start, |state, part| {
        let mut mixed = (state ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^= mixed >> 29;
        mixed = mixed.wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 32)
    })
}

fn terms() -> Terms {
    let delivery = Delivery {
        connections: 40,
        connections_per_destination: 5,
        messages_per_connection: 100,
        starttls: true,
        ..crate::config::parse(
            "hostname = \"mx.example.org\"\ndata_dir = \"/nowhere\"\n\
             [relay]\nfrom = [\"127.0.0.0/8\"]\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n",
            std::path::Path::new("year.toml"),
        )
        .unwrap_or_else(|error| panic!("{error}"))
        .config
        .delivery
    };
    Terms {
        delivery,
        retry: Policy::default(),
        routes: Routes {
            mx_port: 25,
            ..Routes::default()
        },
    }
}

/// Message `number`, which arrives at `now`: from whom it is, and to whom; and in a tenth of all cases
/// by when.
fn envelope(number: u64, now: Wall) -> Envelope {
    let drawn = |what: u64| hash(&[number, what]);
    let from = match drawn(30) % 20 {
        0 => String::new(),
        _ => format!("s{number}@{}", name(drawn(31) % DOMAINS)),
    };
    let origin = Origin::Client {
        address: "192.0.2.1".parse().unwrap(),
        helo: "client.example".into(),
    };
    let (verdict, clearance) = match drawn(32) % 30 {
        0 => (VerdictResult::Repudiated, Clearance::Unneeded),
        1 => (VerdictResult::Unknown, Clearance::Declared),
        2..10 => (VerdictResult::Unknown, Clearance::Unneeded),
        _ => (VerdictResult::Authorised, Clearance::Unneeded),
    };
    let from = ReversePath::parse_inside(&from).unwrap();
    let deliver_by = drawn(33).is_multiple_of(10).then(|| DeliverBy {
        deadline: now.plus(Duration::from_mins(1 + drawn(34) % (12 * 60))),
        mode: if drawn(35).is_multiple_of(2) {
            ByMode::Notify
        } else {
            ByMode::Return
        },
        trace: drawn(36).is_multiple_of(4),
    });
    Envelope {
        requests: Requests {
            deliver_by,
            ..Requests::default()
        },
        clearance,
        recipients: recipients(number),
        ..Envelope::plain(from, verdict, origin, [])
    }
}

/// When message `number` arrives: a third come in bursts, the rest all the year round.
fn arrives(number: u64, bursts: u64) -> u64 {
    match hash(&[number, 6]) % 3 {
        0 => burst(hash(&[number, 12]) % bursts) + hash(&[number, 8]) % MINUTE,
        _ => hash(&[number, 9]) % (360 * DAY),
    }
}

/// When a burst begins.
fn burst(number: u64) -> u64 {
    hash(&[number, 7]) % (360 * DAY)
}

/// What happens besides mail: the process stops and dies, most times in the midst of much to do; the
/// clock is set by hours, by days and back again, and by fractions of a second.
fn plan(world: &mut World, bursts: u64) {
    for number in 0..60 {
        let drawn = |what: u64| hash(&[number, what]);
        let at = match number % 3 {
            0 => drawn(11) % (360 * DAY),
            _ => burst(drawn(13) % bursts) + drawn(14) % (2 * MINUTE),
        };
        let event = if number % 4 == 0 {
            Event::Stops
        } else {
            Event::Dies
        };
        world.at(at, event);
        let at = match number % 2 {
            0 => drawn(15) % (360 * DAY),
            _ => burst(drawn(16) % bursts) + drawn(17) % HOUR,
        };
        let span = [2 * DAY, 3 * HOUR, 50 * MINUTE, 900][usize::try_from(number / 2 % 4).unwrap()];
        let by = i64::try_from(drawn(18) % span).unwrap();
        let by = if drawn(19).is_multiple_of(2) { by } else { -by };
        world.at(at, Event::Jumps(by));
        world.at(at + drawn(20) % DAY, Event::Jumps(-by));
    }
}

#[test]
fn a_year_of_failures_and_recoveries_leaves_nobody_unheard() {
    let messages = number_of("VOUCHSAFE_YEAR", 1_000);
    let bursts = (messages / 1_500).max(4);
    let mut world = World::new(terms());
    for number in 0..messages {
        world.at(arrives(number, bursts), Event::Arrives(number));
    }
    plan(&mut world, bursts);
    world.run();
    let ended = world.now / DAY;
    assert!((359..=LAST_DAY).contains(&ended), "ended on day {ended}");
    assert!(world.store.is_empty(), "{} left", world.store.len());
    assert_eq!((world.in_hand(), world.remembered()), (0, 0));
    assert!(world.unrecorded.is_empty());
    let mut sums = Sums::default();
    for (id, letter) in &world.letters {
        letter.judge(*id, &mut sums);
    }
    eprintln!(
        "{} messages with their reports: {sums:?}; {:?}",
        world.letters.len(),
        world.counts
    );
    let Sums {
        delivered,
        failed,
        expired,
        told,
        operator,
        ..
    } = sums;
    assert!(delivered > messages / 2 && failed > messages / 50 && expired > messages / 50);
    assert!(told.iter().all(|told| *told > messages / 50) && operator > messages / 500);
}
