//! The server's side of one session (RFC 5321), as a machine under the drain contract.
//!
//! Each verb goes check (syntax, sequence) → ask (the world) → proceed. One question is open at a
//! time; while it is, bytes that the peer has pipelined wait inside the machine, and
//! [`Session::wants_bytes`] is false so that the driver reads no more: back-pressure, and memory
//! bounded by one read.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use crate::addr::{Domain, ForwardPath, ReversePath};
use crate::custody::Custody;
use crate::envelope::Envelope;
use crate::queue_id::QueueId;
use crate::reply::Reply;
use crate::time::{Mono, Now};
use crate::verify::Verdict;

/// What is the same for every session of a listener; shared.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name: greeting, EHLO, trace fields.
    pub hostname: Domain,
    /// Caps and timers.
    pub limits: Limits,
    /// STARTTLS is offered: there is a certificate.
    pub starttls: bool,
}

/// Caps of a session. Each limit carries its reason where its default stands.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of content (SIZE, RFC 1870).
    pub message_size: u64,
    /// Recipients of one transaction (RFC 5321 §4.5.3.1.8 wants at least 100).
    pub recipients: usize,
    /// Octets of a command line with its CRLF.
    pub command_line: usize,
    /// `Received` fields; one more is a loop (RFC 5321 §6.3 wants at least 100).
    pub received_fields: usize,
    /// Refused commands, after which the session is closed with 421.
    pub errors: u32,
    /// Silence between commands (RFC 5321 §4.5.3.2.7 wants at least 5 minutes).
    pub command_timeout: Duration,
    /// Silence within content.
    pub content_timeout: Duration,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; IPv4-mapped already unmapped.
    pub address: SocketAddr,
    /// It is inside `[relay] from`.
    pub may_relay: bool,
}

/// Names one ask of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// What advances the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands; the first input.
    Connected,
    /// The peer sent these.
    Bytes(&'a [u8]),
    /// The world has answered. Late answers are dropped.
    Answer(AskId, Answer),
    /// TLS stands: its version and suite, for the trace field.
    TlsStarted(Box<str>),
    /// The spool could not take content that was appended; said once, at any time.
    ContentRefused(Reply),
    /// The timer that was set last has run out.
    TimerFired,
    /// The peer will send no more.
    EndOfStream,
    /// The service is stopping: finish what is in hand, begin nothing (421).
    Shutdown,
}

/// What the driver does, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these.
    Write(Vec<u8>),
    /// Ask the world, and bring the answer as [`Input::Answer`].
    Ask(AskId, Ask),
    /// Append to the message that [`Ask::Begin`] began.
    Append(Vec<u8>),
    /// Drop the message that was begun.
    Abandon,
    /// Give [`Input::TimerFired`] at this moment; replaces the timer before.
    SetTimer(Mono),
    /// All before this is sent; now start TLS and forget every octet that came in clear.
    StartTls,
    /// A fact for the log.
    Note(Note),
    /// Flush, then close the connection. Nothing follows.
    Close,
}

/// A question to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Is the reverse-path true? Answered by [`Answer::Verdict`].
    Verify {
        /// MAIL FROM's argument.
        reverse_path: ReversePath,
        /// EHLO's or HELO's.
        helo: Box<str>,
    },
    /// May this recipient be had? Answered by [`Answer::Recipient`].
    Recipient(ForwardPath),
    /// Begin a message of which `declared` octets were announced. Answered by [`Answer::Begun`].
    Begin {
        /// SIZE of MAIL, if given.
        declared: Option<u64>,
    },
    /// All of it has been appended: take custody. Answered by [`Answer::Committed`].
    Commit(Box<Envelope>),
}

/// What the world said.
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Verify`].
    Verdict(Box<Verdict>),
    /// To [`Ask::Recipient`]: accepted, or refused with this reply.
    Recipient(Result<(), Reply>),
    /// To [`Ask::Begin`]: the name it will have, or why none can be begun (452, 451).
    Begun(Result<QueueId, Reply>),
    /// To [`Ask::Commit`]. The only way to 250 after content.
    Committed(Result<Custody, Reply>),
}

/// Facts for the log. Peer text in them is raw; the log escapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A command was refused.
    Refused {
        /// The verb, or the first octets of what stood in its place.
        command: Box<str>,
        /// Our reply.
        reply: Reply,
    },
}

/// One session.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session that has not begun.
    pub fn new(settings: alloc::sync::Arc<Settings>, peer: Peer) -> Self {
        let _ = (settings, peer);
        Self {}
    }

    /// Advances by one input; actions are appended to `actions`.
    pub fn step(&mut self, input: Input<'_>, now: Now, actions: &mut Vec<Action>) {
        let _ = (input, now, actions);
    }

    /// False while an answer is waited for or TLS is starting: read nothing then.
    pub fn wants_bytes(&self) -> bool {
        true
    }
}
