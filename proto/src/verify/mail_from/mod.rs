//! The MAIL-FROM MX check: does the reverse-path's domain list this client as a border relay?
//!
//! PROTOCOLS A.2, which makes the 2002 draft "Repudiating MAIL FROM" §2.3 precise. [`Check`] is a
//! machine under the drain contract: questions go out as [`Action::Ask`], answers come in, and the
//! end is a [`Report`] that keeps all that was seen.
//!
//! # How it works
//!
//! [`walk`] is a function of the answers at hand: it either ends, or names the questions it cannot
//! do without. The machine asks those, all at the same time, and walks again from the start when
//! they are in. So the result hangs on what the answers say, never on when they came or in which
//! order their records stood; a match is the one thing that is not waited for.
//!
//! # What it promises
//!
//! No rejection rests on trouble, on a budget gone over, on a wildcard, or on an answer older than
//! [`budget::MAX_AGE`] seconds: uncertainty never rejects (draft §1.6). It ends within
//! [`budget::DEADLINE`]. It does not panic on any answer.
//!
//! # What it leaves to others
//!
//! Asking, caching and validating (the driver's resolver); whether the client is inside the
//! perimeter (the driver knows it); trouble that lasts ([`super::lasting`]); the session that is
//! invalidated by a refusal (the receive machine).

mod answers;
pub mod budget;
mod levels;
mod reason;
mod report;
mod sentence;
mod subject;
mod walk;
mod wildcard;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::ReversePath;
use crate::dns::{Answer, Freshness};
use crate::time::{Mono, Now};
use crate::verify::step::Questions;
use crate::verify::{AskId, Machine, Step};

use self::answers::{Answers, Wanted};
use self::subject::{Plan, Subject};
use self::walk::{Progress, Walked};

pub use self::budget::Budget;
pub use self::reason::Reason;
pub use self::report::{Host, Identity, PublishedSet, Report};
pub use self::subject::LABEL;
pub use self::wildcard::is_sentinel;
pub use crate::verify::{Input, TroubleAt};

/// What is checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// The argument of MAIL FROM.
    pub reverse_path: ReversePath,
    /// The argument of EHLO or HELO, as it came.
    pub helo: Box<str>,
    /// The client.
    pub client: IpAddr,
    /// The client is one of our own outer hosts: the test moves, it is not passed (A.4).
    pub in_perimeter: bool,
    /// Nine random letters or digits from the driver: the sibling label of the wildcard test.
    pub sibling: Box<str>,
}

/// What the driver does.
pub type Action = crate::verify::Action<Report>;

/// The machine. Deterministic given its answers.
#[derive(Debug)]
pub struct Check {
    state: State,
}

/// Where a check stands.
#[derive(Debug)]
enum State {
    /// Not begun.
    Idle(Request),
    /// Questions are open.
    Asking(Box<Asking>),
    /// The report is out.
    Ended,
}

impl Check {
    /// A check that has not begun.
    pub fn new(request: Request) -> Self {
        Self {
            state: State::Idle(request),
        }
    }
}

impl Machine for Check {
    type Report = Report;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let (state, actions) = match (core::mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle(request), Input::Begin) => begin(&request, now.mono),
            (State::Asking(asking), Input::Answer(id, answer)) => {
                asking.answered(id, answer, now.mono)
            }
            (State::Asking(asking), Input::TimerFired) => asking.timer_fired(now.mono),
            (state, _) => (state, Vec::new()),
        };
        self.state = state;
        actions
    }
}

/// Decides what there is to ask; nothing, for many reverse-paths.
fn begin(request: &Request, now: Mono) -> (State, Vec<Action>) {
    match Subject::of(request) {
        Subject::Settled(report) => (State::Ended, vec![Action::Done(report)]),
        Subject::Ask(plan) => {
            let asking = Box::new(Asking {
                plan,
                pass: 1,
                answers: Answers::default(),
                questions: Questions::default(),
                steps: Vec::new(),
                deadline: now.plus(budget::DEADLINE),
            });
            let deadline = asking.deadline;
            let (state, mut actions) = asking.advance(now);
            if matches!(state, State::Asking(_)) {
                actions.push(Action::SetTimer(deadline));
            }
            (state, actions)
        }
    }
}

/// A check whose questions are open.
#[derive(Debug)]
struct Asking {
    plan: Plan,
    /// 1, or 2 for the repeated walk (A.2 step 6).
    pass: u8,
    answers: Answers,
    questions: Questions,
    steps: Vec<Step>,
    deadline: Mono,
}

impl Asking {
    /// Takes an answer in; walks again if that can lead on.
    fn answered(mut self: Box<Self>, id: AskId, answer: Answer, now: Mono) -> (State, Vec<Action>) {
        let Some(question) = self.questions.answered(id) else {
            return (State::Asking(self), Vec::new());
        };
        let has_client = answers::holds(&answer, self.plan.client);
        let answer = self.answers.take(&question, answer, self.plan.client);
        self.steps.push(Step {
            pass: self.pass,
            question,
            answer: Some(answer),
        });
        if self.questions.are_answered() || has_client {
            self.advance(now)
        } else {
            (State::Asking(self), Vec::new())
        }
    }

    /// Ten seconds are over, and a question is still open: temporary (A.2 step 5).
    fn timer_fired(self: Box<Self>, now: Mono) -> (State, Vec<Action>) {
        if now < self.deadline {
            let deadline = self.deadline;
            return (State::Asking(self), vec![Action::SetTimer(deadline)]);
        }
        let walked = walk::walk(&self.plan, &self.answers);
        (*self).end(walked, Reason::Temporary)
    }

    /// Walks as far as the answers lead.
    fn advance(mut self: Box<Self>, now: Mono) -> (State, Vec<Action>) {
        let walked = walk::walk(&self.plan, &self.answers);
        match walked.progress {
            Progress::End(reason) if reason.is_rejection() && self.must_repeat() => {
                self.pass = 2;
                self.answers.drop_old();
                self.advance(now)
            }
            Progress::End(reason) => (*self).end(walked, reason),
            Progress::Ask(_) if now >= self.deadline => (*self).end(walked, Reason::Temporary),
            Progress::Ask(wanted) => {
                let actions = self.ask(wanted);
                (State::Asking(self), actions)
            }
        }
    }

    /// A rejection must not rest on old answers, and the walk is repeated once.
    fn must_repeat(&self) -> bool {
        self.pass == 1 && self.answers.any_old()
    }

    /// Asks what is wanted and not yet open, in the order of the names.
    fn ask(&mut self, mut wanted: Vec<Wanted>) -> Vec<Action> {
        wanted.sort();
        wanted.dedup();
        let freshness = if self.pass == 1 {
            Freshness::Cached
        } else {
            Freshness::Fresh
        };
        self.questions.ask(wanted, freshness)
    }

    /// Hands out the report; questions still open stand in it without an answer.
    fn end(mut self, walked: Walked, reason: Reason) -> (State, Vec<Action>) {
        let (pass, open) = (self.pass, self.questions.give_up());
        self.steps.extend(open.map(|(_, question)| Step {
            pass,
            question,
            answer: None,
        }));
        let report = Report {
            result: reason.result(),
            reason,
            client: self.plan.client,
            identity: self.plan.identity,
            domain: Some(self.plan.domain),
            sets: walked.sets,
            hosts: walked.hosts,
            void: walked.void,
            over: walked.over,
            trouble: walked.trouble,
            ttl: self.answers.least_ttl(),
            questions: self.questions.asked(),
            steps: self.steps,
        };
        (State::Ended, vec![Action::Done(Box::new(report))])
    }
}
