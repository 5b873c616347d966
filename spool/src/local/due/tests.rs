//! Turns, limits, overdue messages, clocks; and a model that knows what must come when.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vouchsafe_proto::addr::ForwardPath;

use super::*;

fn id(number: u128) -> QueueId {
    QueueId::from_u128(number).unwrap()
}

fn lane(name: &str) -> Lane {
    Lane::of(&ForwardPath::parse_inside(&format!("b@{name}.example")).unwrap())
}

/// Waits in these lanes.
fn waits(lanes: &[(&str, Wall)]) -> Waits {
    Waits {
        lanes: lanes.iter().map(|(name, due)| (lane(name), *due)).collect(),
        ..Waits::default()
    }
}

const fn at(seconds: u64) -> Wall {
    Wall::from_secs(seconds)
}

impl Due {
    /// Leases what is due, up to `want`: ids, and when there is more.
    fn lease_due(&mut self, now: Wall, want: usize) -> (Vec<QueueId>, Option<Wall>) {
        let taken = self.lease(now, &Ask::up_to(want));
        (taken.due, taken.next_due)
    }
}

#[test]
fn the_longest_due_comes_first_and_leased_ones_are_left_out() {
    let mut due = Due::default();
    assert!(due.insert(id(1), waits(&[("a", at(30))])));
    assert!(due.insert(id(2), waits(&[("a", at(10))])));
    assert!(due.insert(id(3), waits(&[("a", at(20))])));
    assert_eq!(due.lease_due(at(25), 1), (vec![id(2)], Some(at(25))));
    assert_eq!(due.lease_due(at(25), 9), (vec![id(3)], Some(at(30))));
    assert_eq!(due.lease_due(at(25), 9), (vec![], Some(at(30))));
    assert!(due.is_leased(id(2)) && !due.is_leased(id(1)));
    let later = waits(&[("a", at(40))]);
    assert!(!due.release(id(2), Some(later)), "later than announced");
    assert!(due.release(id(3), None), "due again at once");
    due.remove(id(3));
    assert_eq!(due.lease_due(at(99), 9), (vec![id(1), id(2)], None));
    assert!(!due.release(id(3), None), "not there any more");
    assert_eq!(due.now(), at(99));
}

#[test]
fn lanes_take_turns_however_long_they_are() {
    let mut due = Due::default();
    for number in 0..1_000 {
        due.insert(id(number), waits(&[("dead", at(1))]));
    }
    due.insert(id(2_000), waits(&[("live", at(5))]));
    due.insert(id(2_001), waits(&[("live", at(6))]));
    due.insert(id(3_000), waits(&[("other", at(7))]));
    let (ids, more) = due.lease_due(at(9), 5);
    assert_eq!(ids, [0, 2_000, 3_000, 1, 2_001].map(id));
    assert_eq!(more, Some(at(9)));
    assert_eq!(
        due.lease_due(at(9), 2).0,
        [2, 3].map(id),
        "nobody else waits"
    );
}

#[test]
fn a_lane_at_its_limit_gives_nothing_and_costs_nothing() {
    let mut due = Due::default();
    for number in 0..5 {
        due.insert(id(number), waits(&[("a", at(1))]));
    }
    due.insert(id(9), waits(&[("b", at(20))]));
    assert!(!due.limit(&lane("a"), Some(0)));
    assert_eq!(due.lease_due(at(9), 9), (vec![], Some(at(20))));
    assert!(!due.insert(id(5), waits(&[("a", at(2))])), "held back");
    assert!(due.limit(&lane("a"), Some(2)), "open again");
    assert_eq!(due.lease_due(at(9), 9).0, [0, 1].map(id));
    assert!(due.release(id(0), None));
    assert_eq!(due.lease_due(at(9), 9).0, [id(0)]);
    assert!(due.remove(id(0)), "room for another");
    assert_eq!(due.lease_due(at(9), 9), (vec![id(2)], Some(at(20))));
    assert!(due.put_apart(id(2), at(40)), "room for another");
    assert!(due.remove(id(1)), "room for two");
    let one_each = Ask {
        per_lane: 1,
        ..Ask::up_to(9)
    };
    due.limit(&lane("a"), None);
    assert_eq!(due.lease(at(30), &one_each).due, [3, 9].map(id));
    assert!(!due.remove(id(9)), "nothing else waits there");
}

#[test]
fn a_message_of_two_lanes_is_leased_once_and_waits_where_it_is_left() {
    let mut due = Due::default();
    due.insert(id(1), waits(&[("dead", at(1)), ("live", at(1))]));
    due.insert(id(2), waits(&[("dead", at(1))]));
    due.limit(&lane("dead"), Some(0));
    assert_eq!(
        due.lease_due(at(5), 9).0,
        [id(1)],
        "by the lane that is open"
    );
    let both = waits(&[("dead", at(5)), ("live", at(50))]);
    due.release(id(1), Some(both));
    assert_eq!(due.lease_due(at(9), 9), (vec![], Some(at(50))));
    due.limit(&lane("dead"), None);
    assert_eq!(due.lease_due(at(9), 9).0, [2, 1].map(id));
    assert!(due.list(&lane("live"), None, 9) == [id(1)]);
    due.release(id(1), Some(waits(&[("dead", at(60))])));
    assert!(due.list(&lane("live"), None, 9).is_empty());
    assert_eq!(due.list(&lane("dead"), None, 9), [1, 2].map(id));
    assert_eq!(due.list(&lane("dead"), Some(id(1)), 9), [id(2)]);
    assert_eq!(due.list(&lane("dead"), None, 1), [id(1)]);
    let lanes = due.lanes();
    assert_eq!((lanes.len(), lanes[0].waiting, lanes[0].leased), (1, 1, 1));
}

#[test]
fn what_is_held_is_not_leased_but_told_of_and_counted() {
    let mut due = Due::default();
    let held = |held| Waits {
        held,
        octets: 700,
        ..waits(&[("a", at(1)), ("b", at(2))])
    };
    due.insert(id(1), held(true));
    due.insert(id(2), held(false));
    assert_eq!(due.lease_due(at(9), 9), (vec![id(2)], None));
    assert_eq!(due.list(&lane("a"), None, 9), [1, 2].map(id));
    let lanes = due.lanes();
    let counts = |lane: &LaneEntry| (lane.waiting, lane.held, lane.leased, lane.octets);
    assert!(lanes.iter().all(|lane| counts(lane) == (0, 1, 1, 1_400)));
    assert!(!due.claim(id(2)), "in hand");
    assert!(due.claim(id(1)) && !due.claim(id(1)) && !due.claim(id(9)));
    assert!(!due.release(id(1), None), "still held: nobody need look");
    assert_eq!(due.lease_due(at(9), 9).0, []);
    let ask = Ask {
        overdue: 9,
        horizon: Some(HORIZON),
        ..Ask::up_to(9)
    };
    let late = at(9).plus(HORIZON.delay_notice);
    assert_eq!(due.lease(late, &ask).overdue, [id(1)], "its sender hears");
    due.release(id(1), Some(held(true)));
    assert!(due.claim(id(1)));
    due.release(id(1), Some(held(false)));
    assert_eq!(due.lease_due(at(9), 9).0, [id(1)]);
    due.remove(id(1));
    due.remove(id(2));
    assert!(due.lanes().is_empty());
}

#[test]
fn what_stands_apart_can_be_claimed() {
    let mut due = Due::default();
    due.insert(id(1), waits(&[("a", at(1))]));
    due.lease_due(at(2), 1);
    due.put_apart(id(1), at(60));
    assert!(due.claim(id(1)));
    assert_eq!(due.lease_due(at(99), 9).0, []);
    due.release(id(1), None);
    assert_eq!(due.lease_due(at(99), 9).0, [id(1)]);
}

/// Notice after four hours, the end after twenty.
const HORIZON: Horizon = Horizon {
    delay_notice: Duration::from_hours(4),
    expire: Duration::from_hours(20),
};

const fn hours(hours: u64) -> Wall {
    Wall::from_secs(hours * 3_600)
}

#[test]
fn the_overdue_are_leased_though_their_lane_is_held_back() {
    let mut due = Due::default();
    let ask = Ask {
        overdue: 9,
        horizon: Some(HORIZON),
        ..Ask::up_to(9)
    };
    due.hear(hours(1));
    let (one, two) = (QueueId::new(hours(1), 1), QueueId::new(hours(2), 2));
    due.limit(&lane("dead"), Some(0));
    due.insert(one, waits(&[("dead", hours(1))]));
    due.insert(two, waits(&[("dead", hours(99))]));
    let taken = due.lease(hours(4), &ask);
    assert_eq!((taken.next_due, taken.next_overdue), (None, Some(hours(5))));
    let taken = due.lease(hours(5), &ask);
    assert_eq!((taken.overdue, taken.due), (vec![one], vec![]));
    let told = Waits {
        delay_reported: true,
        ..waits(&[("dead", hours(5))])
    };
    due.release(one, Some(told));
    let taken = due.lease(hours(6), &ask);
    assert_eq!(
        (taken.overdue, taken.next_overdue),
        (vec![two], Some(hours(21)))
    );
    due.release(two, None);
    let apart = hours(6).plus(RESPITE);
    let taken = due.lease(hours(6), &ask);
    assert_eq!(
        (taken.overdue, taken.next_due),
        (vec![], Some(apart)),
        "no busy loop"
    );
    assert_eq!(due.lease(apart, &ask).overdue, [two], "but not forgotten");
    assert_eq!(due.lease(hours(21), &ask).overdue, [one], "the end");
}

#[test]
fn a_deadline_of_the_senders_is_no_less_a_time_to_hear() {
    let mut due = Due::default();
    let ask = Ask {
        overdue: 9,
        horizon: Some(HORIZON),
        ..Ask::up_to(9)
    };
    let by = |deadline, delay_reported| Waits {
        delay_reported,
        deadline: Some(deadline),
        ..waits(&[("dead", hours(99))])
    };
    let (one, two) = (QueueId::new(hours(1), 1), QueueId::new(hours(1), 2));
    due.limit(&lane("dead"), Some(0));
    assert_eq!(due.lease(hours(1), &ask).next_overdue, None);
    assert!(due.insert(one, by(hours(3), false)), "sooner than anything");
    due.insert(two, waits(&[("dead", hours(99))]));
    assert_eq!(due.lease(hours(2), &ask).next_overdue, Some(hours(3)));
    let taken = due.lease(hours(3), &ask);
    assert_eq!(
        (taken.overdue, taken.next_overdue),
        (vec![one], Some(hours(5)))
    );
    // Without a word it stands apart; told of its delay, it waits for its deadline all the same.
    due.release(one, None);
    assert_eq!(due.lease(hours(3), &ask).overdue, []);
    assert_eq!(due.lease(hours(4), &ask).overdue, [one]);
    assert!(
        !due.release(one, Some(by(hours(7), true))),
        "the other is first"
    );
    assert_eq!(due.lease(hours(5), &ask).overdue, [two]);
    due.release(two, Some(by(hours(30), true)));
    let taken = due.lease(hours(7), &ask);
    assert_eq!(
        (taken.overdue, taken.next_overdue),
        (vec![one], Some(hours(21)))
    );
    let without = Ask {
        horizon: None,
        ..ask
    };
    due.release(one, Some(by(hours(7), true)));
    assert_eq!(due.lease(hours(8), &without).overdue, []);
    due.remove(one);
    due.remove(two);
    assert_eq!(due.lease(hours(90), &ask).next_overdue, None);
}

#[test]
fn what_stands_apart_is_in_nobodys_way_until_its_time() {
    let mut due = Due::default();
    due.insert(id(1), waits(&[("a", at(1))]));
    due.insert(id(2), waits(&[("a", at(1))]));
    assert_eq!(due.lease_due(at(2), 1).0, [id(1)]);
    due.put_apart(id(1), at(60));
    assert_eq!(due.lease_due(at(3), 9), (vec![id(2)], Some(at(60))));
    assert_eq!(due.lease_due(at(60), 9).0, [id(1)]);
    due.put_apart(id(1), at(90));
    due.remove(id(1));
    assert_eq!(due.lease_due(at(99), 9), (vec![], None));
}

#[test]
fn a_clock_set_back_leaves_nobody_in_the_future() {
    let ahead = QueueId::new(hours(1_000), 1);
    let before = QueueId::new(hours(1), 2);
    for heard_ahead in [true, false] {
        let mut due = Due::default();
        due.insert(ahead, waits(&[("a", hours(1_002))]));
        due.insert(before, waits(&[("a", hours(20))]));
        if heard_ahead {
            due.hear(hours(1_001));
        }
        assert_eq!(due.lease_due(hours(10), 9), (vec![ahead], Some(hours(20))));
        due.release(ahead, None);
        assert_eq!(due.lease_due(hours(10), 9).0, [ahead], "due as it is now");
        due.release(ahead, Some(waits(&[("a", hours(12))])));
        assert_eq!(due.lease_due(hours(10), 9), (vec![], Some(hours(12))));
        assert_eq!(due.lease_due(hours(12), 1).0, [ahead]);
        due.put_apart(ahead, hours(900));
        due.stepped = true;
        let soon = hours(14);
        assert_eq!(
            due.lease_due(hours(13), 1),
            (vec![], Some(soon)),
            "not for years"
        );
        assert_eq!(due.lease_due(soon, 1).0, [ahead]);
    }
}

/// One thing that is done to the index.
#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<(u8, u64)>),
    Lease(u64, usize, usize),
    Release(usize, Option<Vec<(u8, u64)>>),
    Apart(usize, u64),
    Remove(usize),
    Limit(u8, Option<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let lanes = || prop::collection::btree_map(0u8..5, 0u64..60, 1..4);
    let lanes = move || lanes().prop_map(|map| map.into_iter().collect::<Vec<_>>());
    prop_oneof![
        4 => lanes().prop_map(Step::Insert),
        4 => (0u64..9, 0usize..5, 0usize..3).prop_map(|(on, due, late)| Step::Lease(on, due, late)),
        3 => (any::<usize>(), prop::option::of(lanes())).prop_map(|(which, to)| Step::Release(which, to)),
        1 => (any::<usize>(), 0u64..60).prop_map(|(which, until)| Step::Apart(which, until)),
        1 => any::<usize>().prop_map(Step::Remove),
        2 => (0u8..5, prop::option::of(0usize..4)).prop_map(|(lane, limit)| Step::Limit(lane, limit)),
    ]
}

/// What the index is to know, kept as simply as can be.
#[derive(Default)]
struct Model {
    now: u64,
    /// Lanes and due times of what waits.
    waiting: BTreeMap<QueueId, Vec<(u8, u64)>>,
    leased: BTreeMap<QueueId, (Vec<(u8, u64)>, bool)>,
    apart: BTreeMap<QueueId, (Vec<(u8, u64)>, u64)>,
    limits: BTreeMap<u8, usize>,
    /// Which sender has set which.
    deadlines: BTreeMap<QueueId, Wall>,
}

impl Model {
    fn may(&self, lane: u8) -> bool {
        let leased = self.leased.values();
        let held = leased.filter(|(lanes, _)| lanes.iter().any(|(of, _)| *of == lane));
        held.count() < self.limits.get(&lane).copied().unwrap_or(2)
    }

    /// True if some lane could give this message now.
    fn is_ready(&self, lanes: &[(u8, u64)]) -> bool {
        let mut lanes = lanes.iter();
        lanes.any(|(lane, due)| *due <= self.now && self.may(*lane))
    }

    fn is_overdue(&self, id: QueueId) -> bool {
        let deadline = self.deadlines.get(&id).copied();
        at(self.now) >= HORIZON.wake(id.arrived(), false, deadline)
    }

    fn back_from_apart(&mut self) {
        let back: Vec<_> = self
            .apart
            .extract_if(.., |_, (_, until)| *until <= self.now)
            .collect();
        self.waiting
            .extend(back.into_iter().map(|(id, (lanes, _))| (id, lanes)));
    }
}

fn named(lanes: &[(u8, u64)], deadline: Option<Wall>) -> Waits {
    Waits {
        lanes: lanes
            .iter()
            .map(|(name, due)| (lane(&format!("l{name}")), at(*due)))
            .collect(),
        deadline,
        ..Waits::default()
    }
}

proptest! {
    /// Whatever is done, in whatever order: nothing is leased twice, too early or beyond a limit;
    /// nothing that could be leased is left out; whoever sleeps as told misses nothing.
    #[test]
    fn the_index_is_what_a_simple_model_says(steps in prop::collection::vec(step(), 1..120)) {
        let (mut due, mut model) = (Due::default(), Model::default());
        due.hear(at(1));
        due.lease(at(1), &Ask { per_lane: 2, horizon: Some(HORIZON), ..Ask::up_to(0) });
        let mut drawn = 0;
        // When the last lease said that there will be more, and whether anybody was woken since.
        let (mut told, mut woken) = (None, false);
        for step in steps {
            match step {
                Step::Insert(lanes) => {
                    drawn += 1;
                    // Every third one came so long ago that it is overdue.
                    let long = if drawn % 3 == 0 { 0 } else { 1 << 40 };
                    let id = QueueId::new(Wall::from_millis(long), drawn);
                    // And every fourth sender has set a deadline.
                    let deadline = (drawn % 4 == 0).then(|| at(model.now + u64::from(lanes[0].0)));
                    model.deadlines.extend(deadline.map(|at| (id, at)));
                    woken |= due.insert(id, named(&lanes, deadline));
                    model.waiting.insert(id, lanes);
                }
                Step::Lease(on, want, late) => {
                    model.now = model.now.max(14_400) + on;
                    model.back_from_apart();
                    let ask = Ask { due: want, overdue: late, per_lane: 2, horizon: Some(HORIZON) };
                    let taken = due.lease(at(model.now), &ask);
                    for id in &taken.overdue {
                        let lanes = model.waiting.remove(id).unwrap();
                        prop_assert!(model.is_overdue(*id));
                        model.leased.insert(*id, (lanes, true));
                    }
                    for id in &taken.due {
                        let lanes = model.waiting.remove(id).unwrap();
                        prop_assert!(model.is_ready(&lanes), "{id:?} {lanes:?}");
                        model.leased.insert(*id, (lanes, false));
                    }
                    let ready = model.waiting.values().any(|lanes| model.is_ready(lanes));
                    prop_assert!(taken.due.len() == want || !ready, "left out");
                    let overdue = model.waiting.keys().any(|id| model.is_overdue(*id));
                    prop_assert!(taken.overdue.len() == late || !overdue, "unheard");
                    (told, woken) = (earlier(taken.next_due, taken.next_overdue), false);
                    prop_assert_eq!(taken.next_due.is_some_and(|next| next <= at(model.now)), ready);
                }
                Step::Release(which, to) => {
                    let ids: Vec<_> = model.leased.keys().copied().collect();
                    let Some(id) = ids.get(which % ids.len().max(1)) else { continue };
                    let (lanes, overdue) = model.leased.remove(id).unwrap();
                    let deadline = model.deadlines.get(id).copied();
                    woken |= due.release(*id, to.as_deref().map(|to| named(to, deadline)));
                    match to {
                        None if overdue => {
                            let until = model.now.max(1) + RESPITE.as_secs();
                            model.apart.insert(*id, (lanes, until));
                        }
                        to => { model.waiting.insert(*id, to.unwrap_or(lanes)); }
                    }
                }
                Step::Apart(which, until) => {
                    let ids: Vec<_> = model.leased.keys().copied().collect();
                    let Some(id) = ids.get(which % ids.len().max(1)) else { continue };
                    let (lanes, _) = model.leased.remove(id).unwrap();
                    woken |= due.put_apart(*id, at(model.now + until));
                    model.apart.insert(*id, (lanes, model.now + until));
                }
                Step::Remove(which) => {
                    let all = model.waiting.keys().chain(model.leased.keys());
                    let ids: Vec<_> = all.chain(model.apart.keys()).copied().collect();
                    let Some(id) = ids.get(which % ids.len().max(1)) else { continue };
                    woken |= due.remove(*id);
                    model.waiting.remove(id);
                    model.leased.remove(id);
                    model.apart.remove(id);
                }
                Step::Limit(which, limit) => {
                    woken |= due.limit(&lane(&format!("l{which}")), limit);
                    match limit {
                        Some(limit) => { model.limits.insert(which, limit); }
                        None => { model.limits.remove(&which); }
                    }
                }
            }
            let ready = model.waiting.values().any(|lanes| model.is_ready(lanes));
            let known = told.is_some_and(|told| told <= at(model.now));
            prop_assert!(!ready || known || woken, "nobody was told");
        }
        // Emptied, nothing is left behind.
        let all = model.waiting.keys().chain(model.leased.keys());
        all.chain(model.apart.keys()).for_each(|id| { due.remove(*id); });
        (0..5).for_each(|which| { due.limit(&lane(&format!("l{which}")), None); });
        prop_assert_eq!(due.lease_due(at(1 << 30), 9), (vec![], None));
        prop_assert!(due.lanes().is_empty() && due.slots.is_empty());
        prop_assert!(due.unreported.is_empty() && due.apart.is_empty());
        prop_assert!(due.deadlines.is_empty());
    }
}
