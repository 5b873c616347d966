//! What the operator says to the schedule: frozen lanes, held messages, other ways, and next hops that
//! are worth a try.

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::Route;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::Orders;

use super::super::*;

const ONE: &str = "one.example";
const TWO: &str = "two.example";

/// Two domains with a next hop each.
fn terms() -> Terms {
    let local = [ONE, TWO].map(|name| {
        let next_hop = NextHop::parse(&format!("smtp://mail.{name}")).unwrap();
        (Domain::parse(name).unwrap(), Route::stored(next_hop))
    });
    let routes = Routes {
        local: local.into_iter().collect(),
        ..Routes::default()
    };
    let delivery = crate::config::parse(
        "hostname = \"mx.example.org\"\ndata_dir = \"/nowhere\"\n\
         [relay]\nfrom = [\"127.0.0.0/8\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n",
        std::path::Path::new("operator.toml"),
    );
    let delivery = delivery.unwrap().config.delivery;
    Terms {
        delivery,
        retry: Policy::default(),
        routes,
    }
}

fn given(terms: &Terms, minute: u64) -> Given<'_> {
    Given {
        terms,
        now: Now {
            mono: Mono::from_millis(minute * 60_000),
            wall: Wall::from_secs(1_795_256_100 + minute * 60),
        },
        chance: 0,
    }
}

fn lanes(names: &[&str]) -> BTreeSet<Lane> {
    names
        .iter()
        .map(|name| Lane::of_domain(name).unwrap())
        .collect()
}

/// A message to these domains.
fn lease(number: u64, to: &[&str], orders: Orders, overdue: bool) -> Lease {
    let arrived = Wall::from_secs(1_795_256_100);
    let recipients = to
        .iter()
        .map(|domain| ForwardPath::parse_inside(&format!("b@{domain}")).unwrap());
    let envelope = Envelope::plain(
        ReversePath::parse_inside("a@net.example").unwrap(),
        VerdictResult::Unknown,
        Origin::Ourselves,
        recipients,
    );
    let mut lease = Lease::of(Entry {
        id: QueueId::new(arrived, number),
        progress: vec![Progress::Waiting(None); to.len()],
        envelope,
        arrived,
        size: 1,
        attempts: 0,
        due: arrived,
        delay_reported: false,
        deadline_reported: false,
        orders,
        active: true,
    });
    if overdue {
        lease.set_overdue();
    }
    lease
}

/// What the driver was told.
type Seen = (Vec<String>, Vec<(String, Option<usize>)>, Vec<Vec<Tally>>);

/// Next hops to which a worker was sent, limits that were told, and messages that ended untried,
/// with what their senders hear.
fn told(schedule: &mut Schedule) -> Seen {
    let (mut engaged, mut limits, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for action in schedule.take_actions() {
        match action {
            Action::Engage(_, next_hop, _) => engaged.push(next_hop.to_string()),
            Action::Limit(lane, leases) => limits.push((lane.to_string(), leases)),
            Action::Finish(_, tallies) => ended.push(tallies),
            _ => {}
        }
    }
    (engaged, limits, ended)
}

fn unsaid() -> Orders {
    Orders::default()
}

#[test]
fn nothing_goes_from_a_frozen_lane_and_its_senders_hear_why() {
    let terms = terms();
    let mut schedule = Schedule::default();
    let now = given(&terms, 0);
    schedule.freeze(lanes(&[ONE]), &now);
    assert_eq!(told(&mut schedule).1, [(ONE.to_owned(), Some(0))]);
    // Leased for its other recipient: that one goes, the frozen one is not touched.
    schedule.admit(lease(1, &[ONE, TWO], unsaid(), false), &now);
    let (engaged, limits, _) = told(&mut schedule);
    assert_eq!(engaged, ["smtp://mail.two.example:25"]);
    assert!(limits.iter().all(|(lane, _)| lane != ONE), "{limits:?}");
    // Leased because its sender is to hear.
    schedule.admit(lease(2, &[ONE], unsaid(), true), &now);
    let (engaged, _, ended) = told(&mut schedule);
    assert!(engaged.is_empty());
    let [
        Tally::Unreached {
            outcome,
            next_hop: None,
        },
    ] = &ended[0][..]
    else {
        panic!("{ended:?}");
    };
    assert!(outcome.diagnostic.text().contains("holds all mail"));
    let held_back = schedule.held_back(&now);
    assert!(held_back.len() == 1 && held_back[0].frozen && held_back[0].until.is_none());
    // What is sent another way does not stand in that lane.
    let orders = Orders {
        held: false,
        next_hop: Some("smtp://other.example:2525".into()),
    };
    schedule.admit(lease(3, &[ONE], orders, false), &now);
    assert_eq!(told(&mut schedule).0, ["smtp://other.example:2525"]);
    schedule.freeze(BTreeSet::new(), &now);
    assert_eq!(told(&mut schedule).1, [(ONE.to_owned(), None)]);
    schedule.admit(lease(4, &[ONE], unsaid(), false), &now);
    assert_eq!(told(&mut schedule).0, ["smtp://mail.one.example:25"]);
}

#[test]
fn what_is_held_is_told_of_and_not_tried() {
    let terms = terms();
    let mut schedule = Schedule::default();
    let orders = Orders {
        held: true,
        next_hop: None,
    };
    schedule.admit(lease(1, &[ONE], orders, true), &given(&terms, 0));
    let (engaged, _, ended) = told(&mut schedule);
    assert!(engaged.is_empty());
    assert!(matches!(
        &ended[0][0],
        Tally::Unreached { next_hop: None, .. }
    ));
}

/// The next hop of one's lane cannot be reached, as a message has found out.
fn goes_down(schedule: &mut Schedule, number: u64, now: &Given<'_>) {
    schedule.admit(lease(number, &[ONE], unsaid(), false), now);
    let mut actions = schedule.take_actions().into_iter();
    let engaged = actions.find_map(|action| match action {
        Action::Engage(worker, _, work) => Some((worker, work)),
        _ => None,
    });
    let (worker, work) = engaged.unwrap();
    let carried = Carried {
        untried: work,
        outcomes: Vec::new(),
        unreachable: Some(Outcome::local((4, 4, 1), None, "refused")),
        open: false,
    };
    schedule.finished(worker, carried, now);
    assert!(told(schedule).1.contains(&(ONE.to_owned(), Some(0))));
}

#[test]
fn a_next_hop_that_answers_others_is_tried_before_its_time_by_one() {
    let terms = terms();
    let mut schedule = Schedule::default();
    let one = NextHop::parse("smtp://mail.one.example:25").unwrap();
    let now = given(&terms, 0);
    assert!(!schedule.answers_others(&one, &now), "nothing waits");
    goes_down(&mut schedule, 1, &now);
    let soon = given(&terms, 1);
    let two = NextHop::parse("smtp://mail.two.example:25").unwrap();
    assert!(!schedule.answers_others(&two, &soon), "another");
    assert!(schedule.answers_others(&one, &soon));
    // One lease, and no more before a session stands.
    assert_eq!(told(&mut schedule).1, [(ONE.to_owned(), None)]);
    assert!(!schedule.answers_others(&one, &soon), "said already");
    // In vain: not again at once.
    goes_down(&mut schedule, 2, &soon);
    assert!(!schedule.answers_others(&one, &soon));
    assert!(schedule.answers_others(&one, &given(&terms, 2)));
}

#[test]
fn a_next_hop_that_is_let_go_is_tried_before_its_time() {
    let terms = terms();
    let mut schedule = Schedule::default();
    let now = given(&terms, 0);
    goes_down(&mut schedule, 1, &now);
    let held_back = schedule.held_back(&now);
    let (next_hop, seen) = held_back[0].unreached.as_ref().unwrap();
    assert_eq!(
        (next_hop.as_str(), seen.diagnostic.text()),
        ("smtp://mail.one.example:25", "refused")
    );
    assert!(held_back[0].until.is_some_and(|until| until > now.now.wall));

    let soon = given(&terms, 1);
    schedule.let_go(&lanes(&[TWO]), &soon);
    assert!(told(&mut schedule).1.is_empty(), "another's");
    schedule.let_go(&lanes(&[ONE]), &soon);
    assert!(told(&mut schedule).1.contains(&(ONE.to_owned(), None)));
    assert!(schedule.held_back(&soon).is_empty());
    schedule.admit(lease(2, &[ONE], unsaid(), false), &soon);
    assert_eq!(told(&mut schedule).0, ["smtp://mail.one.example:25"]);
}
