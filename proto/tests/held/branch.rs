//! One held transaction with a next hop, driven as the daemon drives it, but in no time.

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::cutthrough::Said;
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::smtp::deliver::{
    Action, Input, Protocol, Session, Settings, StartTls, Timeouts, Transaction,
};

use super::NOW;
use super::hop::{Heard, Hop};

/// A session, and what has been heard in it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an action that came, or did not"
)]
pub struct Branch {
    machine: Session,
    hop: Hop,
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
}

impl Branch {
    /// A session that stands, or why there is none.
    pub fn open(hop: Hop) -> Result<Self, Outcome> {
        let machine = Session::new(Settings {
            protocol: Protocol::Smtp,
            private: false,
            hostname: Domain::parse("mx.example.org").unwrap(),
            starttls: StartTls::Never,
            remote: Remote {
                name: "hop.example".into(),
                address: None,
            },
            timeouts: Timeouts::default(),
        });
        let mut branch = Self::with(machine, hop);
        branch.feed(Input::Connected);
        while !branch.ready && branch.unusable.is_none() && !branch.closed {
            branch.hear();
        }
        match branch.unusable.take() {
            Some(outcome) => Err(outcome),
            None => Ok(branch),
        }
    }

    const fn with(machine: Session, hop: Hop) -> Self {
        Self {
            machine,
            hop,
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
        }
    }

    /// The same session for another transaction, if it can carry one.
    pub fn again(mut self) -> Option<Self> {
        while self.finished && !self.ready && !self.closed {
            self.hear();
        }
        (self.ready && !self.closed).then(|| Self::with(self.machine, self.hop))
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut actions = Vec::new();
        self.machine.step(input, NOW, &mut actions);
        for action in actions {
            match action {
                Action::Write(octets) => self.hop.hear(&octets),
                Action::WantContent => self.wants = true,
                Action::Prepared => self.prepared = true,
                Action::Accepted(index) => self.accepted = Some(index),
                Action::Outcome(index, outcome) => self.outcomes.push((index, outcome)),
                Action::Finished => self.finished = true,
                Action::Unstarted(_) => self.unstarted = true,
                Action::Ready => self.ready = true,
                Action::Unusable(outcome) => self.unusable = Some(outcome),
                Action::Close => self.closed = true,
                Action::SetTimer(_) | Action::StartTls => {}
            }
        }
    }

    /// What the next hop says next. Nothing is silence.
    fn hear(&mut self) {
        match self.hop.outbox.pop_front() {
            Some(Heard::Octets(octets)) => self.feed(Input::Bytes(&octets)),
            Some(Heard::End) => self.feed(Input::EndOfStream),
            Some(Heard::Silence) | None => self.feed(Input::TimerFired),
        }
    }

    const fn has_ended(&self) -> bool {
        self.finished || self.closed || self.unstarted
    }

    /// MAIL and the first RCPT. None where the session had ended before.
    pub fn begin(&mut self, transaction: Transaction) -> Option<Said> {
        self.ready = false;
        self.asked = 1;
        self.feed(Input::Hold(Box::new(transaction)));
        let said = self.answer(0);
        (!self.unstarted).then_some(said)
    }

    /// One more RCPT.
    pub fn recipient(&mut self, recipient: Recipient) -> Said {
        let index = self.asked;
        self.asked += 1;
        if !self.has_ended() {
            self.feed(Input::Recipient(Box::new(recipient)));
        }
        self.answer(index)
    }

    fn answer(&mut self, index: usize) -> Said {
        loop {
            if let Some((_, outcome)) = self.outcomes.iter().find(|(of, _)| *of == index) {
                return said(outcome);
            }
            if self.has_ended() {
                let word = self.outcomes.last().map(|(_, outcome)| said(outcome));
                return word.unwrap_or_else(|| Said::Lost(Outcome::local((4, 4, 2), None, "over")));
            }
            if self.accepted == Some(index) {
                return Said::Accepted;
            }
            self.hear();
        }
    }

    pub fn proceed(&mut self) {
        if !self.has_ended() {
            self.feed(Input::Proceed);
        }
    }

    fn is_asked(&mut self) -> bool {
        while !self.wants && !self.has_ended() {
            self.hear();
        }
        std::mem::take(&mut self.wants) && !self.has_ended()
    }

    /// A piece of content. False once the branch has ended.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        if self.is_asked() {
            self.feed(Input::Content(piece));
        }
        !self.has_ended()
    }

    /// True if all is sent but what completes the message.
    pub fn prepare(&mut self) -> bool {
        if self.is_asked() {
            self.feed(Input::ContentEnd);
        }
        self.prepared && !self.has_ended()
    }

    /// Sends that, and hears the last words.
    pub fn complete(&mut self) {
        self.feed(Input::Complete);
        while !self.has_ended() {
            self.hear();
        }
    }

    pub fn abandon(&mut self) {
        self.feed(Input::Abandon);
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
