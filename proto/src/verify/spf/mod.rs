//! SPF: does the reverse-path's domain let this client send? (RFC 7208)
//!
//! [`Check`] is a machine under the drain contract, of the shape of [`super::mail_from`]:
//! questions go out as [`Action::Ask`], answers come in, and the end is a [`Report`] that keeps all
//! that was seen. [`Record`] is a record as a tree, for whoever publishes or looks one over.
//!
//! # How it works
//!
//! [`walk`] is a function of the answers at hand: it either ends, or names the questions it cannot
//! do without. The machine asks those, all at the same time, and walks again from the start when
//! they are in. So the result hangs on what the answers say, never on when they came.
//!
//! # What it promises
//!
//! The result is RFC 7208's, trouble never becomes pass or fail but where that RFC passes it over
//! (a client's reverse DNS), and the report says so ([`Report::is_firm`]). It ends within
//! [`limits::DEADLINE`]. It asks no more than the limits of RFC 7208 §4.6.4 let it, keeps little
//! of what it is told, and does not panic on any answer.
//!
//! # What it leaves to others
//!
//! Asking, caching and validating (the driver's resolver); what a result weighs beside other
//! evidence, and what the peer is told (the verdict); trouble that lasts.

mod answers;
mod expand;
pub mod limits;
pub mod macro_string;
pub mod record;
mod report;
mod sender;
mod sentence;
mod syntax;
mod terms;
mod walk;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::{Domain, ReversePath};
use crate::dns::{Answer, Freshness, Question};
use crate::time::{Mono, Now};
use crate::verify::step::Questions;
use crate::verify::{AskId, Machine, Step};

use self::answers::Answers;
use self::walk::{Plan, Settled, Walked};

pub use self::macro_string::MacroString;
pub use self::record::{Directive, DualCidr, Mechanism, MechanismKind, Qualifier, Record};
pub use self::report::{Identity, Link, Matched, Problem, ProblemKind, Report, SpfResult};
pub use self::sender::Sender;
pub use self::syntax::{SyntaxError, SyntaxErrorKind};
pub use crate::verify::Input;

/// What is checked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who the mail says it is from; if that is nobody, HELO is checked (RFC 7208 §2.4).
    pub sender: Sender,
    /// The argument of EHLO or HELO, as it came.
    pub helo: Box<str>,
    /// The client.
    pub client: IpAddr,
    /// Our own host name, for `%{r}` in explanations.
    pub receiver: Box<str>,
}

impl Request {
    /// A check of this reverse-path.
    pub fn new(reverse_path: &ReversePath, helo: &str, client: IpAddr, receiver: &str) -> Self {
        Self {
            sender: Sender::from(reverse_path),
            helo: helo.into(),
            client,
            receiver: receiver.into(),
        }
    }

    /// A check of a whole domain, as postmaster there: what a declared forwarder is held against.
    pub fn of_domain(domain: Domain, helo: &str, client: IpAddr, receiver: &str) -> Self {
        Self {
            sender: Sender::domain(domain),
            helo: helo.into(),
            client,
            receiver: receiver.into(),
        }
    }
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
    Idle(Box<Request>),
    /// Questions are open.
    Asking(Box<Asking>),
    /// The report is out.
    Ended,
}

impl Check {
    /// A check that has not begun.
    pub fn new(request: Request) -> Self {
        Self {
            state: State::Idle(Box::new(request)),
        }
    }
}

impl Machine for Check {
    type Report = Report;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let (state, actions) = match (core::mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle(request), Input::Begin) => begin(*request, now),
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

/// Decides whom to ask; nobody, for some senders.
fn begin(request: Request, now: Now) -> (State, Vec<Action>) {
    let client = request.client.to_canonical();
    let identity = request.sender.identity();
    let Some((domain, plan)) = sender::plan(request, client, now.wall) else {
        let report = Report::unasked(SpfResult::None, identity, client);
        return (State::Ended, vec![Action::Done(Box::new(report))]);
    };
    let deadline = now.mono.plus(limits::DEADLINE);
    let asking = Box::new(Asking {
        identity,
        domain,
        plan,
        answers: Answers::default(),
        questions: Questions::default(),
        steps: Vec::new(),
        deadline,
    });
    let (state, mut actions) = asking.advance(now.mono);
    if matches!(state, State::Asking(_)) {
        actions.push(Action::SetTimer(deadline));
    }
    (state, actions)
}

/// A check whose questions are open.
#[derive(Debug)]
struct Asking {
    identity: Identity,
    domain: Domain,
    plan: Plan,
    answers: Answers,
    questions: Questions,
    /// As they were answered.
    steps: Vec<(AskId, Step)>,
    deadline: Mono,
}

impl Asking {
    /// Takes an answer in; walks again when none is open any more.
    fn answered(mut self: Box<Self>, id: AskId, answer: Answer, now: Mono) -> (State, Vec<Action>) {
        let Some(question) = self.questions.answered(id) else {
            return (State::Asking(self), Vec::new());
        };
        let answer = self
            .answers
            .take(&question, answer, self.plan.values.client);
        self.note(id, question, Some(answer));
        if self.questions.are_answered() {
            self.advance(now)
        } else {
            (State::Asking(self), Vec::new())
        }
    }

    /// The time is over, and a question is still open.
    fn timer_fired(self: Box<Self>, now: Mono) -> (State, Vec<Action>) {
        if now < self.deadline {
            let deadline = self.deadline;
            return (State::Asking(self), vec![Action::SetTimer(deadline)]);
        }
        let walked = walk::walk(&self.plan, &self.answers);
        (*self).end(walked)
    }

    /// Walks as far as the answers lead.
    fn advance(mut self: Box<Self>, now: Mono) -> (State, Vec<Action>) {
        let walked = walk::walk(&self.plan, &self.answers);
        if walked.wanted.is_empty() || now >= self.deadline {
            return (*self).end(walked);
        }
        // In the order in which the walk came to it.
        let actions = self.questions.ask(walked.wanted, Freshness::Cached);
        (State::Asking(self), actions)
    }

    /// Notes a step; there is one pass only.
    fn note(&mut self, id: AskId, question: Question, answer: Option<Arc<Answer>>) {
        let step = Step {
            pass: 1,
            question,
            answer,
        };
        self.steps.push((id, step));
    }

    /// Hands out the report; questions still open stand in it without an answer. If the result
    /// hangs on one of those it is temperror (RFC 7208 §4.6.4); an explanation is done without.
    fn end(mut self, walked: Walked) -> (State, Vec<Action>) {
        for (id, question) in self.questions.give_up() {
            self.note(id, question, None);
        }
        // Each has an id of its own.
        self.steps.sort_unstable_by_key(|(id, _)| *id);
        let settled = walked.settled.unwrap_or(Settled {
            result: SpfResult::TempError,
            matched: None,
            problem: None,
            explanation: None,
        });
        let report = Report {
            result: settled.result,
            identity: self.identity,
            domain: Some(self.domain),
            client: self.plan.values.client,
            matched: settled.matched,
            explanation: settled.explanation,
            problem: settled.problem,
            trouble: walked.trouble,
            lookups: walked.lookups,
            void_lookups: walked.void_lookups,
            personal: self.plan.values.personal.get(),
            ttl: self.answers.least_ttl(),
            questions: self.questions.asked(),
            steps: self.steps.into_iter().map(|(_, step)| step).collect(),
        };
        (State::Ended, vec![Action::Done(Box::new(report))])
    }
}

#[cfg(test)]
mod tests;
