//! What is remembered, for how long, and how much of it: each rule, and floods of chance.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::reply::Reply;

const HOUR: u64 = 3_600;

fn at(seconds: u64) -> Wall {
    Wall::from_secs(1_795_256_100 + seconds)
}

fn hop(name: &str) -> NextHop {
    NextHop::parse(&format!("smtp://{name}.example")).unwrap()
}

fn to(text: &str) -> ForwardPath {
    ForwardPath::parse_inside(text).unwrap()
}

/// What a next hop says to RCPT.
fn said(code: u16, status: &str) -> Outcome {
    let reply = Reply::received(code, EnhancedStatus::parse(status), vec!["no".into()]);
    Outcome::from_reply(&reply, None)
}

fn unknown() -> Outcome {
    said(550, "5.1.1")
}

/// A memory of one next hop, where little else matters.
struct Known(Memory);

impl Known {
    fn new() -> Self {
        Self(Memory::new(Bounds::default()))
    }

    fn accepted(&mut self, who: &str, seconds: u64) -> bool {
        self.0.accepted(&hop("a"), &to(who), at(seconds))
    }

    fn refused(&mut self, who: &str, outcome: &Outcome, seconds: u64) -> bool {
        self.0.refused(&hop("a"), &to(who), outcome, at(seconds))
    }

    fn is_refused(&self, who: &str, seconds: u64) -> bool {
        self.0.refusal(&hop("a"), &to(who), at(seconds)).is_some()
    }
}

#[test]
fn a_refusal_comes_back_with_its_code_and_not_with_its_words() {
    let mut known = Known::new();
    assert!(known.refused("x@one.example", &said(551, "5.1.6"), 0));
    let refusal = known
        .0
        .refusal(&hop("a"), &to("x@one.example"), at(1))
        .unwrap();
    assert_eq!(
        (refusal.class, refusal.reply_code()),
        (OutcomeClass::Permanent, Some(551))
    );
    assert_eq!(refusal.status.to_string(), "5.1.6");
    assert!(!refusal.diagnostic.text().contains("no"));
    // It is this recipient's, at this next hop; a domain has no case, a local-part has.
    assert!(known.is_refused("x@ONE.example", 1) && known.is_refused("\"x\"@one.example", 1));
    assert!(!known.is_refused("X@one.example", 1) && !known.is_refused("y@one.example", 1));
    let elsewhere = known.0.refusal(&hop("b"), &to("x@one.example"), at(1));
    assert_eq!(elsewhere, None);
}

#[test]
fn a_refusal_ends_after_three_hours_and_an_acceptance_ends_it_at_once() {
    let mut known = Known::new();
    let who = "x@one.example";
    known.refused(who, &unknown(), 0);
    assert!(known.is_refused(who, 3 * HOUR - 1) && !known.is_refused(who, 3 * HOUR));
    // Said once more it counts from then; of a time to come nothing is known.
    known.refused(who, &unknown(), 2 * HOUR);
    assert!(known.is_refused(who, 4 * HOUR) && !known.is_refused(who, HOUR));
    assert!(known.accepted(who, 4 * HOUR), "news");
    assert!(!known.is_refused(who, 4 * HOUR));
    assert_eq!(known.0.count(), (1, 0));
}

#[test]
fn only_what_is_said_of_the_recipient_is_remembered() {
    for (code, status, remembered) in [
        (550, "5.1.1", true),
        (550, "5.1.10", true),
        (553, "5.1.3", true),
        (550, "5.2.1", true),
        (550, "", true),
        (551, "", true),
        (553, "", true),
        // The sender, the message, a policy, ourselves.
        (550, "5.1.0", false),
        (550, "5.1.7", false),
        (553, "5.1.8", false),
        (550, "5.7.1", false),
        (554, "5.7.1", false),
        (554, "", false),
        (552, "5.2.2", false),
        (552, "", false),
        (503, "5.5.1", false),
        (450, "4.1.1", false),
        (421, "4.3.2", false),
    ] {
        let mut known = Known::new();
        let outcome = said(code, status);
        assert_eq!(
            known.refused("x@one.example", &outcome, 0),
            remembered,
            "{code} {status}"
        );
        assert_eq!(known.is_refused("x@one.example", 1), remembered);
    }
    let ours = Outcome::local((5, 1, 1), None, "we say so");
    assert!(!Known::new().refused("x@one.example", &ours, 0));
}

#[test]
fn a_bare_refusal_of_whom_the_next_hop_knows_is_about_something_else() {
    let mut known = Known::new();
    let who = "x@one.example";
    let bare = said(550, "");
    known.accepted(who, 0);
    assert!(!known.refused(who, &bare, 30 * 24 * HOUR) && !known.is_refused(who, 30 * 24 * HOUR));
    // The one that says so is believed; and an acceptance does not count for ever.
    let mut gone = Known::new();
    gone.accepted(who, 0);
    assert!(gone.refused(who, &unknown(), HOUR) && gone.is_refused(who, HOUR));
    assert_eq!(gone.0.count(), (0, 1));
    assert!(known.refused(who, &bare, 31 * 24 * HOUR));
}

#[test]
fn what_is_known_is_worth_writing_down_once_a_day() {
    let mut known = Known::new();
    let who = "x@one.example";
    assert!(known.accepted(who, 0) && !known.accepted(who, 24 * HOUR - 1));
    assert!(known.accepted(who, 24 * HOUR) && !known.accepted(who, 25 * HOUR));
    // And so it counts on with ordinary traffic.
    assert!(!known.refused(who, &said(550, ""), 31 * 24 * HOUR + HOUR));
}

#[test]
fn a_flood_of_made_up_recipients_puts_out_only_its_like() {
    let bounds = Bounds {
        accepted: Room {
            total: 10,
            per_next_hop: 6,
        },
        refused: Room {
            total: 20,
            per_next_hop: 15,
        },
    };
    let mut memory = Memory::new(bounds);
    let (a, b) = (hop("a"), hop("b"));
    for number in 0..6 {
        memory.accepted(&a, &to(&format!("user{number}@one.example")), at(number));
    }
    memory.refused(&b, &to("former@two.example"), &unknown(), at(6));
    for number in 0..1_000 {
        let who = to(&format!("made.up.{number}@one.example"));
        memory.refused(&a, &who, &unknown(), at(7));
    }
    assert_eq!(memory.count(), (6, 16));
    let refused = |hop: &NextHop, who: &str| memory.refusal(hop, &to(who), at(8)).is_some();
    // The last of them are there, and so is the other next hop's.
    assert!(refused(&a, "made.up.999@one.example") && refused(&a, "made.up.985@one.example"));
    assert!(!refused(&a, "made.up.984@one.example"));
    assert!(refused(&b, "former@two.example"));
    for number in 0..6 {
        let who = to(&format!("user{number}@one.example"));
        assert!(!memory.refused(&a, &who, &said(550, ""), at(8)), "known");
    }
}

#[test]
fn it_outlasts_its_text() {
    let mut known = Known::new();
    known.accepted("x@one.example", 0);
    known.accepted("\"a b\"@one.example", 1);
    known.refused("y@one.example", &unknown(), HOUR);
    known.refused("z@one.example", &said(550, ""), 2 * HOUR);
    let socket = NextHop::parse("lmtp+unix:/run/a socket").unwrap();
    known
        .0
        .refused(&socket, &to("y@one.example"), &unknown(), at(HOUR));
    // It cannot be written in a line.
    let bad = NextHop::parse("lmtp+unix:/run/a\tb").unwrap();
    known
        .0
        .refused(&bad, &to("y@one.example"), &unknown(), at(HOUR));
    let text = known.0.to_text();
    let read = |now| Memory::of_text(&text, Bounds::default(), now);
    assert_eq!(read(at(2 * HOUR)).count(), (2, 3));
    assert_eq!(read(at(2 * HOUR)).to_text(), text);
    // What holds no longer is not taken up, nor a refusal of a time to come.
    let later = read(at(4 * HOUR));
    assert_eq!(later.count(), (2, 1));
    assert!(
        later
            .refusal(&hop("a"), &to("z@one.example"), at(4 * HOUR))
            .is_some()
    );
    assert_eq!(read(at(32 * 24 * HOUR)).count(), (0, 0));
    assert_eq!(read(at(0)).count(), (2, 0));
}

#[test]
fn of_a_damaged_text_only_what_makes_sense_is_taken() {
    let since = at(0).as_millis();
    let bounds = Bounds::default();
    let read = |text: &str| Memory::of_text(text, bounds, at(1)).count();
    assert_eq!(read(""), (0, 0));
    assert_eq!(
        read(&format!("another 1\n+\t{since}\th\tx@a.example\n")),
        (0, 0)
    );
    for (line, wanted) in [
        (format!("+\t{since}\th\tx@a.example"), (1, 0)),
        (format!("-\t{since}\th\tx@a.example\t550\t5.1.1"), (0, 1)),
        (format!("-\t{since}\th\tx@a.example\t250\t5.1.1"), (0, 0)),
        (format!("-\t{since}\th\tx@a.example\t550\t2.1.1"), (0, 0)),
        (format!("-\t{since}\th\tx@a.example\t550"), (0, 0)),
        (format!("?\t{since}\th\tx@a.example\t550\t5.1.1"), (0, 0)),
        (String::from("+\t\t\t"), (0, 0)),
        (String::from("+\t18446744073709551616\th\tx"), (0, 0)),
        (String::from("-"), (0, 0)),
    ] {
        assert_eq!(read(&format!("{HEADING}\n\n{line}\n")), wanted, "{line}");
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Accepted(u8, u8),
    Refused(u8, u8, bool),
    /// Seconds.
    Pause(u64),
    SetBack(u64),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0u8..4, any::<u8>()).prop_map(|(hop, who)| Event::Accepted(hop, who)),
        6 => (0u8..4, any::<u8>(), any::<bool>())
            .prop_map(|(hop, who, bare)| Event::Refused(hop, who, bare)),
        2 => (0u64..2 * HOUR).prop_map(Event::Pause),
        1 => (0u64..20 * 24 * HOUR).prop_map(Event::Pause),
        1 => (0u64..2 * HOUR).prop_map(Event::SetBack),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    /// Whatever happens: the bounds hold, and nobody is refused whom the next hop has not refused within
    /// three hours, or has taken since.
    #[test]
    fn nothing_is_refused_that_was_not_said_lately(
        events in prop::collection::vec(event(), 0..80),
        total in 1usize..12, per_next_hop in 1usize..12,
    ) {
        let room = Room { total, per_next_hop };
        let bounds = Bounds { accepted: room, refused: room };
        let mut memory = Memory::new(bounds);
        let mut last: BTreeMap<(u8, u8), Vec<(Wall, bool)>> = BTreeMap::new();
        let mut now = at(1_000 * HOUR);
        let hops: Vec<_> = (0..4).map(|number| hop(&format!("h{number}"))).collect();
        let name = |who: u8| to(&format!("u{who}@one.example"));
        for event in events {
            match event {
                Event::Accepted(hop, who) => {
                    memory.accepted(&hops[usize::from(hop)], &name(who), now);
                    last.entry((hop, who)).or_default().push((now, false));
                }
                Event::Refused(hop, who, bare) => {
                    let outcome = if bare { said(550, "") } else { unknown() };
                    let remembered =
                        memory.refused(&hops[usize::from(hop)], &name(who), &outcome, now);
                    prop_assert!(remembered || bare);
                    if remembered {
                        last.entry((hop, who)).or_default().push((now, true));
                    }
                }
                Event::Pause(seconds) => now = now.plus(Duration::from_secs(seconds)),
                Event::SetBack(seconds) => {
                    now = Wall::from_millis(now.as_millis() - seconds * 1_000);
                }
                Event::Restart => memory = Memory::of_text(&memory.to_text(), bounds, now),
            }
            let (accepted, refused) = memory.count();
            prop_assert!(accepted <= total && refused <= total);
            for ((hop, who), said) in &last {
                let refusal = memory.refusal(&hops[usize::from(*hop)], &name(*who), now);
                let (since, was_refused) = said.last().unwrap();
                prop_assert!(
                    refusal.is_none()
                        || *was_refused && *since <= now && now.since(*since) < REFUSED_FOR,
                    "{hop} {who} {said:?}"
                );
            }
        }
    }
}
