//! One held transaction with a next hop, driven as the daemon drives it, on the clock of a test.

use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::cutthrough::Said;
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::smtp::deliver::{
    Action, Input, Protocol, Session, Settings, StartTls, Timeouts, Transaction,
};
use vouchsafe_proto::smtp::xhold::Terms;
use vouchsafe_proto::time::{Mono, Now};

/// What a next hop's peer hears.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// These octets.
    Octets(Vec<u8>),
    /// The end.
    End,
}

/// A connection with a next hop.
pub trait Peer {
    /// We say this to it.
    fn hear(&mut self, octets: &[u8]);

    /// What it has said; none if there is nothing now.
    fn says(&mut self) -> Option<Heard>;

    /// We have closed it.
    fn closed(&mut self) {}
}

/// A session, and what has been heard in it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an action that came, or did not"
)]
pub struct Branch {
    machine: Session,
    peer: Box<dyn Peer>,
    /// Which of the next hop's hosts this is.
    pub host: usize,
    accepted: Option<usize>,
    pub outcomes: Vec<(usize, Outcome)>,
    asked: usize,
    finished: bool,
    ready: bool,
    closed: bool,
    unstarted: bool,
    wants: bool,
    prepared: bool,
    unusable: Option<Outcome>,
    timer: Option<Mono>,
    /// What was left of the timer when the driver turned away.
    left: Option<Duration>,
}

impl Branch {
    /// A connection that stands, and a session that begins on it.
    pub fn open(peer: Box<dyn Peer>, protocol: Protocol, now: Now) -> Self {
        let machine = Session::new(Settings {
            protocol,
            private: false,
            hostname: Domain::parse("mx.example.org").unwrap(),
            starttls: StartTls::Never,
            remote: Remote {
                name: "hop.example".into(),
                address: None,
            },
            timeouts: while_a_client_waits(),
        });
        let mut branch = Self::with(machine, peer);
        branch.feed(Input::Connected, now);
        branch
    }

    const fn with(machine: Session, peer: Box<dyn Peer>) -> Self {
        Self {
            machine,
            peer,
            host: 0,
            accepted: None,
            outcomes: Vec::new(),
            asked: 0,
            finished: false,
            ready: false,
            closed: false,
            unstarted: false,
            wants: false,
            prepared: false,
            unusable: None,
            timer: None,
            left: None,
        }
    }

    /// The same session for another transaction, if it can carry one.
    pub fn again(self) -> Option<Self> {
        (self.ready && !self.closed).then(|| Self {
            host: self.host,
            ..Self::with(self.machine, self.peer)
        })
    }

    fn feed(&mut self, input: Input<'_>, now: Now) {
        let mut actions = Vec::new();
        self.machine.step(input, now, &mut actions);
        for action in actions {
            match action {
                Action::Write(octets) => self.peer.hear(&octets),
                Action::WantContent => self.wants = true,
                Action::Prepared => self.prepared = true,
                Action::Accepted(index) => self.accepted = Some(index),
                Action::Outcome(index, outcome) => self.outcomes.push((index, outcome)),
                Action::Finished => self.finished = true,
                Action::Unstarted(_) => self.unstarted = true,
                Action::Ready => self.ready = true,
                Action::Unusable(outcome) => self.unusable = Some(outcome),
                Action::Close => {
                    self.closed = true;
                    self.peer.closed();
                }
                Action::SetTimer(at) => (self.timer, self.left) = (Some(at), None),
                Action::StartTls => {}
            }
        }
    }

    /// Takes what the next hop has said by now, until `done` or there is nothing more.
    pub fn look(&mut self, done: fn(&Self) -> bool, now: Now) -> bool {
        while !done(self) {
            match self.peer.says() {
                Some(Heard::Octets(octets)) => self.feed(Input::Bytes(&octets), now),
                Some(Heard::End) => self.feed(Input::EndOfStream, now),
                None => return false,
            }
        }
        true
    }

    /// From now on its time counts.
    pub fn turn_to(&mut self, now: Now) {
        if let Some(left) = self.left.take() {
            self.timer = Some(now.mono.plus(left));
        }
    }

    /// Its timer stands still: what is waited for is another.
    pub fn turn_away(&mut self, now: Now) {
        if let Some(at) = self.timer.take() {
            self.left = Some(at.since(now.mono));
        }
    }

    /// When it has been silent for too long.
    pub const fn timer(&self) -> Option<Mono> {
        self.timer
    }

    /// It has.
    pub fn time_out(&mut self, now: Now) {
        self.timer = None;
        self.feed(Input::TimerFired, now);
    }

    /// On what terms the next hop holds paths.
    pub const fn terms(&self) -> Option<Terms> {
        self.machine.terms()
    }

    /// The session stands, or never will.
    pub const fn is_opened(&self) -> bool {
        self.ready || self.unusable.is_some() || self.closed
    }

    /// Why there is no session.
    pub const fn take_unusable(&mut self) -> Option<Outcome> {
        self.unusable.take()
    }

    /// Nothing more comes of the transaction.
    pub const fn has_ended(&self) -> bool {
        self.finished || self.closed || self.unstarted
    }

    /// It can carry another transaction, or never will.
    pub const fn has_settled(&self) -> bool {
        !self.finished || self.ready || self.closed
    }

    /// The session had ended before anything was asked of it.
    pub const fn is_unstarted(&self) -> bool {
        self.unstarted
    }

    /// Takes what came while nobody listened; true if the transaction goes on.
    fn is_there(&mut self, now: Now) -> bool {
        self.look(Self::has_ended, now);
        !self.has_ended()
    }

    /// MAIL and the first RCPT.
    pub fn begin(&mut self, transaction: Transaction, now: Now) {
        if self.machine.has_carried() {
            self.look(|branch| branch.closed, now);
        }
        self.ready = false;
        self.asked = 1;
        self.feed(Input::Hold(Box::new(transaction)), now);
    }

    /// One more RCPT.
    pub fn recipient(&mut self, recipient: Recipient, now: Now) {
        self.asked += 1;
        if self.is_there(now) {
            self.feed(Input::Recipient(Box::new(recipient)), now);
        }
    }

    /// The last RCPT has its answer.
    pub fn has_answered(&self) -> bool {
        let index = self.asked - 1;
        self.accepted == Some(index)
            || self.has_ended()
            || self.outcomes.iter().any(|(of, _)| *of == index)
    }

    /// What that is.
    pub fn answer(&self) -> Said {
        let index = self.asked - 1;
        if let Some((_, outcome)) = self.outcomes.iter().find(|(of, _)| *of == index) {
            return said(outcome);
        }
        if self.has_ended() {
            let word = self.outcomes.last().map(|(_, outcome)| said(outcome));
            return word.unwrap_or_else(|| Said::Lost(Outcome::local((4, 4, 2), None, "over")));
        }
        Said::Accepted
    }

    pub fn proceed(&mut self, now: Now) {
        if self.is_there(now) {
            self.feed(Input::Proceed, now);
        }
        self.turn_away(now);
    }

    /// It wants content, or has no more use for any.
    pub const fn is_asking(&self) -> bool {
        self.wants || self.has_ended()
    }

    /// Takes what it has said meanwhile, before it gets more content.
    pub fn look_up(&mut self, now: Now) {
        self.is_there(now);
    }

    /// A piece of content, or its end where there is none.
    pub fn push(&mut self, piece: Option<&[u8]>, now: Now) {
        if std::mem::take(&mut self.wants) && !self.has_ended() {
            self.feed(piece.map_or(Input::ContentEnd, Input::Content), now);
        }
    }

    /// All is sent but what completes the message.
    pub const fn is_prepared(&self) -> bool {
        self.prepared && !self.has_ended()
    }

    /// Sends that.
    pub fn complete(&mut self, now: Now) {
        if self.is_there(now) {
            self.feed(Input::Complete, now);
        }
    }

    pub fn abandon(&mut self, now: Now) {
        self.feed(Input::Abandon, now);
    }

    pub fn noop(&mut self, now: Now) {
        if self.is_there(now) {
            self.feed(Input::Noop, now);
        }
        self.turn_away(now);
    }
}

/// As the daemon has it.
fn while_a_client_waits() -> Timeouts {
    let command = Duration::from_secs(100);
    Timeouts {
        greeting: command,
        hello: command,
        mail: command,
        recipient: command,
        data: command,
        completion: Duration::from_mins(8),
        ..Timeouts::default()
    }
}

/// What an outcome from before the content means.
fn said(outcome: &Outcome) -> Said {
    if outcome.is_refusal() {
        Said::Refused(outcome.clone())
    } else {
        Said::Lost(outcome.clone())
    }
}
