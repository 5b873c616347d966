//! SPF: does the reverse-path's domain let this client send? (RFC 7208)
//!
//! [`Check`] is a machine under the drain contract, of the shape of [`super::mail_from`]:
//! questions go out as [`Action::Ask`], answers come in, and the end is a [`Report`] that keeps all
//! that was seen. [`Record`] is a record as a tree, for whoever publishes or looks one over.

mod expand;
pub mod limits;
pub mod macro_string;
pub mod record;
mod report;
mod sender;
mod syntax;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::{Domain, ReversePath};
use crate::time::Now;
use crate::verify::Machine;

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

    fn step(&mut self, input: Input, _now: Now) -> Vec<Action> {
        match (core::mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle(request), Input::Begin) => {
                let identity = request.sender.identity();
                let report = Report::unasked(SpfResult::None, identity, request.client);
                vec![Action::Done(Box::new(report))]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
