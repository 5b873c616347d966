//! Drives one MAIL-FROM check against a world: performs its actions, brings the answers in an
//! order of the test's choosing, and lets the timer run out when nothing else can come.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::dns::{Answer, Lookup, Question};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::inquiry::{self, Inquiry, Tests};
use vouchsafe_proto::verify::mail_from::{Action, Check, Input, Report, Request};
use vouchsafe_proto::verify::{AskId, Evidence, Machine, Verdict, forwarder};

use super::{World, reversed};

/// A random sequence that a seed repeats (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % bound.max(1)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// In which order answers come.
#[derive(Clone, Debug)]
pub enum Order {
    /// As they were asked for.
    Asked,
    /// At random, their records in reverse order, with answers that nobody asked for in between.
    Shuffled(Random),
}

/// A request as most tests make it.
pub fn request(client: &str, helo: &str, mail_from: &str) -> Request {
    Request {
        reverse_path: ReversePath::parse_inside(mail_from).unwrap(),
        helo: helo.into(),
        client: client.parse::<IpAddr>().unwrap(),
        in_perimeter: false,
        sibling: "k3v9x0q2z".into(),
    }
}

/// What a run has shown beside the report.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub report: Report,
    /// Every question, in the order of asking.
    pub asked: Vec<Question>,
    /// Milliseconds from the first input to the end.
    pub took: u64,
}

/// Runs a check to its end.
pub fn run(world: &World, request: Request, mut order: Order) -> Run {
    let mut check = Check::new(request);
    let mut coming: Vec<(AskId, Answer)> = Vec::new();
    let mut asked = Vec::new();
    let mut timer = None;
    let mut now = 1000;
    let mut input = Input::Begin;
    loop {
        for action in check.step(input.clone(), at(now)) {
            match action {
                Action::Ask(id, question) => {
                    coming.extend(world.answer(&question).map(|answer| (id, answer)));
                    asked.push(question);
                }
                Action::SetTimer(moment) => timer = Some(moment.as_millis()),
                Action::Done(report) => {
                    assert!(check.step(Input::TimerFired, at(now)).is_empty());
                    return Run {
                        report: *report,
                        asked,
                        took: now - 1000,
                    };
                }
            }
        }
        input = next_answer(&mut coming, &mut order).unwrap_or_else(|| {
            now = timer
                .take()
                .expect("neither an answer nor a timer is to come");
            Input::TimerFired
        });
        if let Order::Shuffled(random) = &mut order {
            stray(&mut check, random, now);
        }
    }
}

/// Runs an inquiry to its end: everything that these tests know at MAIL. Answers come as they were
/// asked for, and all of them do.
pub fn inquire(world: &World, request: Request, tests: Tests) -> Verdict {
    let mut inquiry = Inquiry::new(inquiry::Request {
        mail_from: request,
        receiver: "mx.example.org".into(),
        tests,
    });
    let mut inputs = VecDeque::from([Input::Begin]);
    loop {
        let input = inputs.pop_front().expect("an answer");
        for action in inquiry.step(input, at(1000)) {
            match action {
                vouchsafe_proto::verify::Action::Ask(id, question) => {
                    let answer = world.answer(&question).expect("an answer");
                    inputs.push_back(Input::Answer(id, answer));
                }
                vouchsafe_proto::verify::Action::SetTimer(_) => {}
                vouchsafe_proto::verify::Action::Done(verdict) => return *verdict,
            }
        }
    }
}

/// What a client is to a declared forwarder, asked as the service asks.
pub fn about_forwarder(
    world: &World,
    forwarder: Domain,
    request: Request,
    tests: Tests,
) -> Evidence {
    let request = Request {
        reverse_path: ReversePath::postmaster_of(&forwarder),
        ..request
    };
    let verdict = inquire(world, request, tests);
    Evidence::Forwarder(Arc::new(forwarder::Report::of(forwarder, &verdict)))
}

/// The next answer, of those that ever come.
fn next_answer(coming: &mut Vec<(AskId, Answer)>, order: &mut Order) -> Option<Input> {
    if coming.is_empty() {
        return None;
    }
    let (id, answer) = match order {
        Order::Asked => coming.remove(0),
        Order::Shuffled(random) => {
            let (id, answer) = coming.swap_remove(random.below(coming.len()));
            (id, reversed(answer))
        }
    };
    Some(Input::Answer(id, answer))
}

/// An answer that nobody asked for, and an early timer: nothing may come of them.
fn stray(check: &mut Check, random: &mut Random, now: u64) {
    let id = AskId(u32::MAX - u32::try_from(random.below(9)).unwrap());
    let answer = Answer::bare(Lookup::NoData);
    assert!(check.step(Input::Answer(id, answer), at(now)).is_empty());
    assert!(check.step(Input::Begin, at(now)).is_empty());
}

/// Both clocks at once.
fn at(millis: u64) -> Now {
    Now {
        mono: Mono::from_millis(millis),
        wall: Wall::from_secs(1_795_256_100).plus(Duration::from_millis(millis)),
    }
}
