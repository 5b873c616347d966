//! The MAIL-FROM MX check: does the reverse-path's domain list this client as a border relay?
//!
//! PROTOCOLS A.2, which makes the 2002 draft "Repudiating MAIL FROM" §2.3 precise.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::ReversePath;
use crate::dns::{Answer, Question};
use crate::reply::Reply;
use crate::time::{Mono, Now};

use super::{VerdictResult, Weight};

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

/// Names one question of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// What advances the check.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first input.
    Begin,
    /// The DNS has answered a question. Late and unasked-for answers are dropped.
    Answer(AskId, Answer),
    /// The timer that was set last has run out.
    TimerFired,
}

/// What the driver does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the DNS; several may be open at the same time.
    Ask(AskId, Question),
    /// Give [`Input::TimerFired`] at this moment; replaces the timer before.
    SetTimer(Mono),
    /// The check has ended; no more inputs.
    Done(Box<Report>),
}

/// The machine. Deterministic given its answers.
#[derive(Debug)]
pub struct Check {}

impl Check {
    /// A check that has not begun.
    pub fn new(request: Request) -> Self {
        let _ = request;
        Self {}
    }

    /// Advances by one input.
    pub fn step(&mut self, input: Input, now: Now) -> Vec<Action> {
        let _ = (input, now);
        Vec::new()
    }
}

/// What the check found, and everything it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A.2's result.
    pub result: VerdictResult,
}

impl Report {
    /// What this evidence says (DESIGN §3).
    pub fn weight(&self) -> Weight {
        match self.result {
            VerdictResult::Authorised => Weight::Proves,
            VerdictResult::Unknown => Weight::Silent,
            VerdictResult::Repudiated => Weight::Against,
            VerdictResult::Tempfail => Weight::Trouble,
        }
    }

    /// A.3's reply, when MAIL is refused.
    pub fn refusal(&self) -> Option<Reply> {
        None
    }
}
