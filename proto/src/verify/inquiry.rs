//! Everything that can be known of a reverse-path at MAIL, in one machine.
//!
//! The MAIL-FROM MX check comes first and alone: where it authorises, nothing more need be asked,
//! so mail from a listed relay costs one MX question and the addresses of the hosts (PROTOCOLS
//! A.6). Otherwise SPF, the sender-domain test and the search for the domain's ledger follow, all at
//! the same time. The end is a [`Verdict`] with all evidence; when it is said is [`super::timing`]'s to decide, and what comes
//! later (a declared forwarder, a signature) is added by [`Verdict::with`].
//!
//! For a client inside the perimeter the test moves outward and nothing is asked. Left to others:
//! asking, and clients that are relayed for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::addr::{Domain, MailDomain, ReversePath};
use crate::time::{Mono, Now};

use super::mail_from::{self, Reason};
use super::{
    Action, AskId, Evidence, Input, Machine, Verdict, VerdictResult, ledger, sender_domain, spf,
};

/// Which tests are made beside the MAIL-FROM MX check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tests {
    /// SPF (RFC 7208).
    pub spf: bool,
    /// Does the reverse-path's domain exist, and does it take mail?
    pub sender_domain: bool,
    /// Is the domain's ledger looked for?
    pub ledger: ledger::When,
}

impl Default for Tests {
    fn default() -> Self {
        Self {
            spf: true,
            sender_domain: true,
            ledger: ledger::When::default(),
        }
    }
}

/// What is asked about.
#[derive(Clone, Debug)]
pub struct Request {
    /// The reverse-path, HELO, and the client.
    pub mail_from: mail_from::Request,
    /// Our own name, for SPF's `%{r}`.
    pub receiver: Box<str>,
    /// Which tests are made.
    pub tests: Tests,
}

/// The machine.
#[derive(Debug)]
pub struct Inquiry {
    state: State,
}

/// Where an inquiry stands.
#[derive(Debug)]
enum State {
    /// Not begun.
    Idle(Box<Request>),
    /// The MAIL-FROM MX check is being made.
    First(Box<First>),
    /// Its report is in; the other tests are being made.
    Second(Box<Second>),
    /// The verdict is out.
    Ended,
}

/// The first of the two stages.
#[derive(Debug)]
struct First {
    request: Box<Request>,
    check: mail_from::Check,
    asked: Asked,
}

/// The second.
#[derive(Debug)]
struct Second {
    mail_from: Arc<mail_from::Report>,
    spf: Part<spf::Check, spf::Report>,
    sender_domain: Part<sender_domain::Check, sender_domain::Report>,
    ledger: Part<ledger::Discovery, Option<ledger::Offered>>,
    /// Whose ledger that is, and whether it is asked about what is proven.
    owner: Option<(Domain, bool)>,
    asked: Asked,
}

/// One test of the second stage.
#[derive(Debug)]
enum Part<M, R> {
    /// It is off, or there is nothing to test.
    None,
    /// It is being made; its timer runs out then.
    Open(Box<M>, Option<Mono>),
    /// Its report.
    Done(Arc<R>),
}

/// Whose question an answer belongs to: each machine counts its own from 0.
#[derive(Debug, Default)]
struct Asked {
    next: u32,
    /// Few at a time.
    open: Vec<(AskId, (Asker, AskId))>,
}

/// A machine within this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    MailFrom,
    Spf,
    SenderDomain,
    Ledger,
}

/// Those of the second stage.
const SECOND: [Asker; 3] = [Asker::Spf, Asker::SenderDomain, Asker::Ledger];

impl Inquiry {
    /// An inquiry that has not begun.
    pub fn new(request: Request) -> Self {
        Self {
            state: State::Idle(Box::new(request)),
        }
    }
}

impl Machine for Inquiry {
    type Report = Verdict;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Verdict>> {
        let (state, actions) = match (core::mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle(request), Input::Begin) => First::begin(request, now),
            (State::First(first), input) => first.step(input, now),
            (State::Second(second), input) => second.step(input, now),
            (state, _) => (state, Vec::new()),
        };
        self.state = state;
        actions
    }
}

impl Asked {
    /// Files a machine's question under a name that no other has.
    fn file(&mut self, asker: Asker, own: AskId) -> AskId {
        let id = AskId(self.next);
        self.next = self.next.saturating_add(1);
        self.open.push((id, (asker, own)));
        id
    }

    /// Whose it is; only once.
    fn take(&mut self, id: AskId) -> Option<(Asker, AskId)> {
        let place = self.open.iter().position(|(open, _)| *open == id)?;
        Some(self.open.swap_remove(place).1)
    }
}

impl First {
    /// Begins with the MAIL-FROM MX check.
    fn begin(request: Box<Request>, now: Now) -> (State, Vec<Action<Verdict>>) {
        let mut check = mail_from::Check::new(request.mail_from.clone());
        let actions = check.step(Input::Begin, now);
        let first = Box::new(Self {
            request,
            check,
            asked: Asked::default(),
        });
        first.perform(actions, now)
    }

    /// Hands an input on.
    fn step(mut self: Box<Self>, input: Input, now: Now) -> (State, Vec<Action<Verdict>>) {
        let input = match input {
            Input::Answer(id, answer) => match self.asked.take(id) {
                Some((_, own)) => Input::Answer(own, answer),
                None => return (State::First(self), Vec::new()),
            },
            input => input,
        };
        let actions = self.check.step(input, now);
        self.perform(actions, now)
    }

    /// Passes its actions on, or goes over to the second stage.
    fn perform(
        mut self: Box<Self>,
        actions: Vec<Action<mail_from::Report>>,
        now: Now,
    ) -> (State, Vec<Action<Verdict>>) {
        let mut out = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::Ask(id, question) => {
                    out.push(Action::Ask(self.asked.file(Asker::MailFrom, id), question));
                }
                Action::SetTimer(at) => out.push(Action::SetTimer(at)),
                Action::Done(report) => {
                    let (state, more) = Second::begin(*self, *report, now);
                    out.extend(more);
                    return (state, out);
                }
            }
        }
        (State::First(self), out)
    }
}

impl Second {
    /// Begins what is still worth asking.
    fn begin(first: First, report: mail_from::Report, now: Now) -> (State, Vec<Action<Verdict>>) {
        let First {
            request, mut asked, ..
        } = first;
        // Answers to what the first stage still had open are of no use any more.
        asked.open.clear();
        // A HELO name that has the client's address says nothing of what its domain publishes.
        let settled = matches!(report.reason, Reason::Host | Reason::Perimeter);
        let tests = Tests {
            spf: request.tests.spf && !settled,
            sender_domain: request.tests.sender_domain && !settled,
            ledger: match request.tests.ledger {
                // What another host brings for it is asked about there.
                _ if report.reason == Reason::Perimeter => ledger::When::Never,
                ledger::When::Unproven if report.result == VerdictResult::Authorised => {
                    ledger::When::Never
                }
                when => when,
            },
        };
        let spf = tests.spf.then(|| spf::Check::new(spf_request(&request)));
        let named = sender_domain(&request.mail_from.reverse_path);
        let domain = named.clone().filter(|_| tests.sender_domain);
        let owner = named.filter(|_| tests.ledger != ledger::When::Never);
        let discovery = owner.clone().map(ledger::Discovery::new);
        let mut second = Box::new(Self {
            mail_from: Arc::new(report),
            spf: Part::of(spf),
            sender_domain: Part::of(domain.map(sender_domain::Check::new)),
            ledger: Part::of(discovery),
            owner: owner.map(|owner| (owner, tests.ledger == ledger::When::Always)),
            asked,
        });
        let mut out = Vec::new();
        for asker in SECOND {
            second.advance(asker, Input::Begin, now, &mut out);
        }
        second.conclude(out)
    }

    /// Hands an input to the machine that it is for; the timer may be for any.
    fn step(mut self: Box<Self>, input: Input, now: Now) -> (State, Vec<Action<Verdict>>) {
        let mut out = Vec::new();
        match input {
            Input::Answer(id, answer) => {
                if let Some((asker, own)) = self.asked.take(id) {
                    self.advance(asker, Input::Answer(own, answer), now, &mut out);
                }
            }
            Input::TimerFired => {
                for asker in SECOND {
                    self.advance(asker, Input::TimerFired, now, &mut out);
                }
            }
            Input::Begin => {}
        }
        self.conclude(out)
    }

    /// Advances one machine.
    fn advance(&mut self, asker: Asker, input: Input, now: Now, out: &mut Vec<Action<Verdict>>) {
        match asker {
            Asker::Spf => self.spf.advance(asker, input, now, &mut self.asked, out),
            Asker::SenderDomain => {
                self.sender_domain
                    .advance(asker, input, now, &mut self.asked, out);
            }
            Asker::Ledger => self.ledger.advance(asker, input, now, &mut self.asked, out),
            Asker::MailFrom => {}
        }
    }

    /// Ends once all are done; until then the timer stands at the earliest.
    fn conclude(self: Box<Self>, mut out: Vec<Action<Verdict>>) -> (State, Vec<Action<Verdict>>) {
        let timers = [
            self.spf.timer(),
            self.sender_domain.timer(),
            self.ledger.timer(),
        ];
        if let Some(timer) = timers.into_iter().flatten().min() {
            out.push(Action::SetTimer(timer));
            return (State::Second(self), out);
        }
        let spf = self.spf.report().map(Evidence::Spf);
        let sender_domain = self.sender_domain.report().map(Evidence::SenderDomain);
        let ledger = self.ledger().map(Arc::new).map(Evidence::Ledger);
        let more = spf.into_iter().chain(sender_domain).chain(ledger);
        let verdict = Verdict::of(Evidence::MailFrom(Arc::clone(&self.mail_from)), more);
        (State::Ended, vec![Action::Done(Box::new(verdict))])
    }

    /// The ledger, if there is one.
    fn ledger(&self) -> Option<ledger::Report> {
        let offered = Option::as_ref(&*self.ledger.report()?)?.clone();
        let (owner, audit) = self.owner.clone()?;
        Some(ledger::Report::offered(owner, offered, audit))
    }
}

impl<M: Machine<Report = R>, R> Part<M, R> {
    /// A machine that has not begun, if there is one.
    fn of(machine: Option<M>) -> Self {
        machine.map_or(Self::None, |machine| Self::Open(Box::new(machine), None))
    }

    /// Advances it by one input.
    fn advance(
        &mut self,
        asker: Asker,
        input: Input,
        now: Now,
        filed: &mut Asked,
        out: &mut Vec<Action<Verdict>>,
    ) {
        let Self::Open(machine, timer) = self else {
            return;
        };
        for action in machine.step(input, now) {
            match action {
                Action::Ask(id, question) => {
                    out.push(Action::Ask(filed.file(asker, id), question));
                }
                Action::SetTimer(at) => *timer = Some(at),
                Action::Done(report) => {
                    *self = Self::Done(Arc::new(*report));
                    return;
                }
            }
        }
    }

    /// When its timer runs out, if it is open; at once for one that has set none, which would be a
    /// machine that waits for nothing.
    fn timer(&self) -> Option<Mono> {
        match self {
            Self::Open(_, timer) => Some(timer.unwrap_or_default()),
            Self::None | Self::Done(_) => None,
        }
    }

    /// Its report, once it is done.
    fn report(&self) -> Option<Arc<R>> {
        match self {
            Self::Done(report) => Some(Arc::clone(report)),
            Self::None | Self::Open(..) => None,
        }
    }
}

/// What SPF is asked; where no domain could answer, it says so itself.
fn spf_request(request: &Request) -> spf::Request {
    let asked = &request.mail_from;
    spf::Request::new(
        &asked.reverse_path,
        &asked.helo,
        asked.client,
        &request.receiver,
    )
}

/// The domain whose existence matters: a reverse-path's, never HELO's, which hosts get wrong.
fn sender_domain(reverse_path: &ReversePath) -> Option<Domain> {
    match reverse_path {
        ReversePath::Mailbox(mailbox) => match &mailbox.domain {
            MailDomain::Name(domain) => Some(domain.clone()),
            MailDomain::Literal(_) | MailDomain::Unusable(_) => None,
        },
        ReversePath::Null | ReversePath::Bare(_) => None,
    }
}
