//! The client's side of one session, SMTP (RFC 5321) or LMTP (RFC 2033), as a machine under the
//! drain contract. One session carries any number of transactions, one after the other.
//!
//! Content comes in pieces, when the machine asks for it, and leaves dot-stuffed (DATA) or counted
//! (BDAT). Before the octets that complete a message leave, the machine stops at
//! [`Action::Prepared`] and waits for [`Input::Complete`]: what must be durable first (the ledger,
//! a held path's commit) is made so in between.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::addr::{Domain, ForwardPath, ReversePath};
use crate::envelope::BodyType;
use crate::outcome::{Outcome, Remote};
use crate::time::{Mono, Now};

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// EHLO, one reply for a message.
    Smtp,
    /// LHLO, one reply for each accepted recipient.
    Lmtp,
}

/// What a session needs to know before it begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Our own name, for EHLO.
    pub hostname: Domain,
    /// Use STARTTLS when it is offered. A failed handshake is tried again in clear by the driver,
    /// on a new connection with this off (opportunistic, RFC 3207 §4).
    pub starttls: bool,
    /// The other end, for outcomes.
    pub remote: Remote,
    /// Per-command timers.
    pub timeouts: Timeouts,
}

/// The client's timers (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Greeting: 5 minutes.
    pub greeting: Duration,
    /// EHLO, STARTTLS, RSET, QUIT: 5 minutes.
    pub hello: Duration,
    /// MAIL: 5 minutes.
    pub mail: Duration,
    /// RCPT: 5 minutes.
    pub recipient: Duration,
    /// DATA until 354: 2 minutes.
    pub data: Duration,
    /// Each piece of content until it is written: 3 minutes.
    pub block: Duration,
    /// The final dot: 10 minutes.
    pub completion: Duration,
}

/// One message for this next hop.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order; outcomes name them by index.
    pub recipients: Vec<ForwardPath>,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// Octets of content, for SIZE.
    pub size: u64,
}

/// What advances the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands; the first input.
    Connected,
    /// A message to deliver; only after [`Action::Ready`].
    Deliver(Box<Transaction>),
    /// The peer sent these.
    Bytes(&'a [u8]),
    /// A piece of content, after [`Action::WantContent`].
    Content(&'a [u8]),
    /// There is no more content.
    ContentEnd,
    /// The content cannot be had (our own trouble): abort, nothing may be delivered.
    ContentFailed,
    /// Send the completing octets, after [`Action::Prepared`].
    Complete,
    /// TLS stands.
    TlsStarted,
    /// The timer that was set last has run out.
    TimerFired,
    /// The connection has ended, or broken.
    EndOfStream,
    /// No more messages: leave with QUIT.
    Quit,
}

/// What the driver does, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these.
    Write(Vec<u8>),
    /// Bring the next piece of content, after all before this is sent.
    WantContent,
    /// All content is sent but the octets that complete it.
    Prepared,
    /// The end for one recipient, by its index; each gets exactly one.
    Outcome(usize, Outcome),
    /// Every recipient of the transaction has its outcome.
    Finished,
    /// Idle: give [`Input::Deliver`] or [`Input::Quit`].
    Ready,
    /// Give [`Input::TimerFired`] at this moment; replaces the timer before.
    SetTimer(Mono),
    /// Start TLS now.
    StartTls,
    /// No session came to be: this holds for every message meant for it. Followed by `Close`.
    Unusable(Outcome),
    /// Flush, then close the connection. Nothing follows.
    Close,
}

/// One session.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session that has not begun.
    pub fn new(settings: Settings) -> Self {
        let _ = settings;
        Self {}
    }

    /// Advances by one input; actions are appended to `actions`.
    pub fn step(&mut self, input: Input<'_>, now: Now, actions: &mut Vec<Action>) {
        let _ = (input, now, actions);
    }
}
