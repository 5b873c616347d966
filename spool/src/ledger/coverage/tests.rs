//! Each event, and what may be said after it.

use vouchsafe_proto::time::Mono;

use super::*;

const DAY: u64 = 24 * HOUR;
/// A moment at the start of an hour.
const START: u64 = 498_681 * HOUR;

fn now(at: u64) -> Now {
    Now {
        wall: Wall::from_secs(at),
        mono: Mono::from_millis(at * 1000),
    }
}

/// One that is begun at `at` out of this record, with one domain that is whole.
fn begun(record: Option<Record>, origin: Origin, at: u64) -> (Coverage, Vec<Gap>) {
    let mut coverage = Coverage::new(record);
    let gaps = coverage.begin(now(at), origin, Findings::default());
    coverage.set_domains(Wall::from_secs(at), &["a.example".into()].into());
    coverage.witness(Wall::from_secs(at), "a.example", true);
    (coverage, gaps)
}

/// One that covers everything since long before [`START`].
fn old() -> Coverage {
    let (mut coverage, _) = begun(None, Origin::None, START - 30 * DAY);
    run(&mut coverage, START - 30 * DAY, START);
    coverage
}

/// Lets time go by.
fn run(coverage: &mut Coverage, from: u64, to: u64) {
    for at in (from..=to).step_by(30) {
        assert_eq!(coverage.beat(now(at)), None);
        coverage.witness(Wall::from_secs(at), "a.example", true);
    }
}

/// The first hour that is covered at a moment, counted from [`START`].
fn first(coverage: &Coverage, at: u64) -> Option<i64> {
    let span = coverage.said().covered("a.example", Wall::from_secs(at))?;
    assert_eq!(
        u64::from(span.first.number()) + u64::from(span.hours) - 1,
        at / HOUR
    );
    Some(i64::from(span.first.number()) - i64::try_from(START / HOUR).unwrap())
}

#[test]
fn hours_are_covered_that_begin_ten_minutes_after_a_gap() {
    for (gap, expected) in [
        (START, 1),
        (START + HOUR - 601, 1),
        (START + HOUR - 600, 2),
        (START + HOUR + 1, 2),
    ] {
        let (mut coverage, gaps) = begun(None, Origin::None, gap);
        assert_eq!(gaps, [Gap::new(gap, Why::New)]);
        assert_eq!(first(&coverage, gap), None, "nothing yet");
        run(&mut coverage, gap, START + 10 * HOUR);
        assert_eq!(first(&coverage, START + 10 * HOUR), Some(expected), "{gap}");
    }
    let coverage = old();
    assert_eq!(first(&coverage, START), Some(1 - 14 * 24), "two weeks");
}

#[test]
fn a_crash_makes_no_gap_and_a_long_stop_and_another_record_do() {
    let record = old().record().clone();
    let again = |origin, at| begun(Some(record.clone()), origin, at);
    let (coverage, gaps) = again(Origin::Own, START + LONGEST_STOP);
    assert_eq!(gaps, []);
    assert_eq!(first(&coverage, START + LONGEST_STOP), Some(1 - 14 * 24));
    let later = START + LONGEST_STOP + 1;
    for (origin, why) in [
        (Origin::Own, Why::Stopped(LONGEST_STOP + 1)),
        (Origin::Other, Why::Restored),
        (Origin::None, Why::New),
    ] {
        let (coverage, gaps) = again(origin, later);
        assert_eq!(gaps, [Gap::new(later, why)]);
        assert_eq!(first(&coverage, later), None);
    }
}

#[test]
fn a_clock_that_jumps_makes_a_gap_and_one_that_is_adjusted_makes_none() {
    for (step, expected) in [
        (0, None),
        (25, None),
        (-25, None),
        (31, Some(START + 61)),
        (3 * 3600, Some(START + 3 * HOUR + 30)),
        (-31, Some(START + 30)),
        (-7200, Some(START + 30)),
        // What is dated further in the future than two days is not entered, and said not to be.
        (-864_000, Some(START + 30 - 10 * DAY + 2 * DAY)),
    ] {
        let mut coverage = old();
        let jumped = Now {
            wall: Wall::from_secs((START + 30).checked_add_signed(step).unwrap()),
            mono: Mono::from_millis((START + 30) * 1000),
        };
        let gap = coverage.beat(jumped).map(|gap| gap.until);
        assert_eq!(gap, expected, "{step}");
        // Neither is it forgotten when the process ends.
        let record = coverage.record().clone();
        let at = jumped.wall.as_secs();
        let (coverage, _) = begun(Some(record), Origin::Own, at);
        let until = expected.unwrap_or(0);
        assert!(coverage.record.gap.until >= until, "{step}");
    }
    let record = old().record().clone();
    let (_, gaps) = begun(Some(record), Origin::Own, START - 3600);
    assert_eq!(gaps, [Gap::new(START, Why::Clock)], "between two processes");
}

#[test]
fn what_is_lost_voids_the_hours_until_it() {
    let hour = u32::try_from(START / HOUR).unwrap();
    let mut coverage = Coverage::new(Some(old().record().clone()));
    let found = Findings {
        segments: vec![
            ("ledger/x".into(), hour - 24),
            ("ledger/y".into(), hour - 48),
        ],
        journals: Vec::new(),
    };
    let gaps = coverage.begin(now(START), Origin::Own, found);
    assert_eq!(gaps.len(), 2);
    coverage.witness(Wall::from_secs(START), "a.example", true);
    assert_eq!(first(&coverage, START), Some(-23));
    let mut coverage = Coverage::new(Some(old().record().clone()));
    let found = Findings {
        segments: Vec::new(),
        journals: vec!["ledger/journal-1".into()],
    };
    coverage.begin(now(START), Origin::Own, found);
    coverage.witness(Wall::from_secs(START), "a.example", true);
    assert_eq!(first(&coverage, START), None);
}

#[test]
fn a_domain_that_others_may_send_for_is_not_covered_until_none_may() {
    let mut coverage = old();
    assert!(coverage.witness(Wall::from_secs(START), "a.example", false));
    assert_eq!(first(&coverage, START), None);
    for at in (START..START + 2 * HOUR).step_by(30) {
        coverage.beat(now(at));
    }
    assert!(coverage.witness(Wall::from_secs(START + 2 * HOUR), "a.example", true));
    assert!(!coverage.witness(Wall::from_secs(START + 2 * HOUR), "b.example", true));
    run(&mut coverage, START + 2 * HOUR, START + 5 * HOUR);
    assert_eq!(first(&coverage, START + 5 * HOUR), Some(3));
    assert_eq!(
        coverage.said().covered("b.example", Wall::from_secs(START)),
        None
    );
    // One that cannot be looked at any more.
    for at in (START + 5 * HOUR..START + 6 * HOUR).step_by(30) {
        coverage.beat(now(at));
    }
    assert_eq!(first(&coverage, START + 6 * HOUR - 30), None);
    // One that was not ours for a moment.
    let mut coverage = old();
    coverage.set_domains(Wall::from_secs(START), &BTreeSet::new());
    coverage.set_domains(Wall::from_secs(START), &["a.example".into()].into());
    coverage.witness(Wall::from_secs(START), "a.example", true);
    assert_eq!(first(&coverage, START), None);
}

#[test]
fn what_is_lost_of_hours_to_come_is_not_covered_when_they_have_come() {
    let hour = u32::try_from(START / HOUR).unwrap();
    let mut coverage = Coverage::new(Some(old().record().clone()));
    let found = Findings {
        segments: vec![("ledger/x".into(), hour + 3)],
        journals: Vec::new(),
    };
    coverage.begin(now(START), Origin::Own, found);
    run(&mut coverage, START, START + 5 * HOUR);
    assert_eq!(first(&coverage, START + 5 * HOUR), Some(1));
    let said = coverage.said();
    let missed = (hour..hour + 6).filter(|hour| said.misses(Hour::new(*hour).unwrap()));
    assert_eq!(missed.collect::<Vec<_>>(), [hour, hour + 1, hour + 2]);
}

/// The clock was put back by less than a beat compares, or since the last one: what was dated meanwhile is void, too.
#[test]
fn a_gap_until_now_reaches_to_the_last_beat_at_least() {
    let early = Wall::from_secs(START - 2 * HOUR);
    let mut coverage = old();
    coverage.miss_everything(early);
    assert_eq!(coverage.record.gap.until, START);
    let mut coverage = old();
    coverage.witness(early, "a.example", false);
    coverage.set_domains(early, &["a.example".into(), "b.example".into()].into());
    for domain in ["a.example", "b.example"] {
        assert_eq!(coverage.record.domains[domain].until, START, "{domain}");
    }
}

#[test]
fn a_start_is_no_look_at_a_domain() {
    // Not seen for nearly as long as that may be, then a restart, and as long again.
    let mut coverage = old();
    let unseen = LONGEST_UNSEEN - 60;
    for at in (START..START + unseen).step_by(30) {
        coverage.beat(now(at));
    }
    let again = START + unseen;
    let mut coverage = Coverage::new(Some(coverage.record().clone()));
    coverage.begin(now(again), Origin::Own, Findings::default());
    for at in (again..again + unseen).step_by(30) {
        coverage.beat(now(at));
    }
    coverage.witness(Wall::from_secs(again + unseen), "a.example", true);
    assert_eq!(first(&coverage, again + unseen), None);
}

#[test]
fn after_a_start_a_domain_is_looked_at_before_anything_is_said_and_loses_nothing_by_it() {
    let record = old().record().clone();
    let mut coverage = Coverage::new(Some(record));
    coverage.begin(now(START), Origin::Own, Findings::default());
    assert_eq!(first(&coverage, START), None);
    for at in (START..START + 600).step_by(30) {
        coverage.beat(now(at));
    }
    coverage.witness(Wall::from_secs(START + 600), "a.example", true);
    assert_eq!(first(&coverage, START + 600), Some(1 - 14 * 24));
    // What was not whole before the start was not whole during the stop.
    let mut coverage = old();
    coverage.witness(Wall::from_secs(START), "a.example", false);
    let (coverage, _) = begun(Some(coverage.record().clone()), Origin::Own, START + 60);
    assert!(coverage.record.domains["a.example"].until >= START + 60);
}

#[test]
fn a_writer_that_is_silent_makes_a_gap_at_the_second() {
    let mut coverage = old();
    let patience = Duration::from_mins(1);
    coverage.set_writers([("relay.example".into(), patience)].into());
    assert_eq!(first(&coverage, START), None, "not heard of yet");
    coverage.hear(Wall::from_secs(START), "relay.example");
    run(&mut coverage, START, START + 60);
    assert_eq!(
        first(&coverage, START + 61),
        None,
        "before any beat says so"
    );
    coverage.hear(Wall::from_secs(START + 60), "relay.example");
    run(&mut coverage, START + 60, START + 120);
    let gap = coverage.beat(now(START + 150)).unwrap();
    assert_eq!(
        gap,
        Gap::new(START + 150, Why::Silent("relay.example".into()))
    );
    // What it sent in the meantime is not known.
    coverage.hear(Wall::from_secs(START + 4 * HOUR), "relay.example");
    assert_eq!(coverage.record.gap.until, START + 4 * HOUR);
}

#[test]
fn a_message_that_was_not_entered_voids_its_hour_and_too_many_void_more() {
    let mut coverage = old();
    let hour = u32::try_from(START / HOUR).unwrap() + 100;
    assert!(coverage.miss(hour) && !coverage.miss(hour));
    let misses = |coverage: &Coverage, hour| coverage.said().misses(Hour::new(hour).unwrap());
    assert!(misses(&coverage, hour) && !misses(&coverage, hour + 1));
    for more in 0..u32::try_from(MOST_HOLES).unwrap() {
        coverage.miss(hour + 1 + more);
    }
    assert_eq!(coverage.record.holes.len(), MOST_HOLES);
    assert_eq!(coverage.record.gap.why, Why::Holes);
    assert_eq!(coverage.record.gap.until, u64::from(hour + 1) * HOUR);
}
