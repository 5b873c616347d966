//! The server's side of one session (RFC 5321), as a machine under the drain contract.
//!
//! Each verb goes check (syntax, sequence) → ask (the world) → proceed. One question is open at a
//! time; while it is, bytes that the peer has pipelined wait inside the machine, and
//! [`Session::wants_bytes`] is false so that the driver reads no more: back-pressure, and memory
//! bounded by one read.
//!
//! # Promises
//!
//! 1. The end of a message is answered 250, to all or to one of its recipients (PRDR), only by spending a [`Custody`]. The 250 to a BDAT that
//!    is not the last acknowledges octets, not a message (RFC 3030 §2).
//! 2. Replies, content and questions are the same however the octets are split.
//! 3. Whatever is sent, each command gets one reply, and the session stays in step. Where MAIL asked for PRDR, the
//!    end of a message may get a block of them instead, behind 353 (draft-hall-prdr-00 §4.5).
//! 4. A message that was begun ends in [`Ask::Commit`] or [`Action::Abandon`], never in both.
//!    Between [`Ask::Begin`] and its answer no message is begun: a driver whose begin ends after
//!    [`Action::Close`] drops it itself.
//!
//! Content with bare CR, bare LF or NUL is refused at its end, and so is what is too large or
//! loops; `Authentication-Results` fields in our name are taken out of it; 8-bit content is taken without BODY=8BITMIME too, as every server in use does, and
//! marked. Content that does not end in CRLF (BDAT can do that) is kept as it is.
//!
//! # Map
//!
//! `session` the machine's loop · `ends` errors, timers and ends · `hello` greeting, EHLO, STARTTLS · `mail` MAIL
//! and its verdict · `judgement` a refusal that waits · `on_behalf` XCLIENT and XFORWARD ·
//! `recipient` RCPT, and its path · `data` DATA and BDAT until content flows · `content` the content and its end ·
//! `per_recipient` its end for each recipient (PRDR) · `trace` what we put above it · `patience` how slow a peer may be · `replies` what we say.
//!
//! Left to the driver: octets to and from the wire, clocks, TLS, and every answer.

mod content;
mod data;
mod ends;
mod hello;
mod judgement;
mod mail;
mod on_behalf;
mod outside;
mod patience;
mod per_recipient;
mod recipient;
mod replies;
mod session;
#[cfg(test)]
mod tests;
mod trace;

pub use session::Session;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use crate::addr::{Domain, ForwardPath, ReversePath};
use crate::custody::Custody;
use crate::cutthrough::Opens;
use crate::envelope::{BodyType, Envelope, Recipient, Requests};
use crate::message::received::Run;
use crate::queue_id::QueueId;
use crate::reply::Reply;
use crate::residue::Claim;
use crate::smtp::xhold::{Holding, Reach, Through};
use crate::time::Mono;
use crate::verify::timing::Possible;
use crate::verify::{Evidence, Verdict, VerdictResult};

/// What is the same for every session of a listener; shared.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that is offered, or not"
)]
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name: greeting, EHLO, trace fields.
    pub hostname: Domain,
    /// In whose name we write `Authentication-Results`, and nobody else may.
    pub authserv_id: Domain,
    /// Caps and timers.
    pub limits: Limits,
    /// EHLO and HELO are refused when what stands behind them is neither name nor address.
    pub helo_syntax: bool,
    /// What may still be learnt of a reverse-path behind MAIL, by which a refusal waits.
    pub possible: Possible,
    /// STARTTLS is offered: there is a certificate.
    pub starttls: bool,
    /// REQUIRETLS is offered under TLS (RFC 8689).
    pub require_tls: bool,
    /// Some recipients' paths are held open: each that may be had is asked for ([`Ask::Hold`]). What comes with
    /// a parameter of XHOLD is, anyhow.
    pub holds: bool,
    /// XHOLD is offered (PROTOCOLS C); none where it is not.
    pub xhold: Option<Holding>,
    /// XVOUCH is offered (PROTOCOLS D): what a client claims is asked about.
    pub xvouch: bool,
}

/// Caps of a session. Each limit carries its reason where its default stands.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of content (SIZE, RFC 1870).
    pub message_size: u64,
    /// The least time within which a message may be wanted at its recipient or returned
    /// (DELIVERBY, RFC 2852).
    pub deliver_by: Duration,
    /// Recipients of one transaction (RFC 5321 §4.5.3.1.8 wants at least 100).
    pub recipients: usize,
    /// Octets of a command line with its CRLF.
    pub command_line: usize,
    /// `Received` fields; one more is a loop (RFC 5321 §6.3 wants at least 100).
    pub received_fields: usize,
    /// Commands refused with 5yz since the last accepted message, after which the session is closed
    /// with 421. What follows from an earlier refusal (503 in a refused transaction) is not counted.
    pub errors: u32,
    /// Time for a whole command line to come (RFC 5321 §4.5.3.2.7 wants at least 5 minutes).
    pub command_timeout: Duration,
    /// Silence within content.
    pub content_timeout: Duration,
    /// The same while it goes on as it comes, and next hops wait with us.
    pub held_timeout: Duration,
    /// For all recipients of a transaction whose path is held, until its content begins.
    pub held_envelope: Duration,
    /// Octets that content must bring in each span; fewer are a peer that holds its place for
    /// nothing.
    pub least_content: u64,
    /// The span in quiet times.
    pub content_span: Duration,
    /// The span while the house is nearly full.
    pub pressed_span: Duration,
    /// Time for a command of a client that is in no transaction, while the house is nearly full.
    pub pressed_timeout: Duration,
    /// Commands that bring no mail between two transactions; one more ends the session.
    pub dallying: u32,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; IPv4-mapped already unmapped.
    pub address: SocketAddr,
    /// It is inside `[relay] from`.
    pub may_relay: bool,
    /// It is a host of ours in front of us, and may say for whom it speaks (XCLIENT, XFORWARD).
    pub is_front: bool,
}

/// Stands for a client that a host in front of us has and does not know. It is in no network; the
/// driver takes it to be inside the perimeter, where the test moves and is not passed.
pub const UNKNOWN_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

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
    /// What was to be done with content took a while, because others were slow to take it. The peer was not
    /// listened to in the meantime, and its time begins anew.
    Resumed,
    /// The peer will send no more.
    EndOfStream,
    /// The house is nearly full (true), or is no longer. Nothing happens at once: from now on a
    /// client that sends no mail has less time.
    Pressure(bool),
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
    /// Our fields above the content, where it is taken on as it comes: before all that is appended.
    Head(Box<str>),
    /// Append to the message that [`Ask::Begin`] began.
    Append(Vec<u8>),
    /// Drop the message that was begun, and every path that is held for its transaction.
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

/// Who presents a reverse-path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presenter {
    /// What it called itself in EHLO or HELO.
    pub helo: Box<str>,
    /// Its address.
    pub client: IpAddr,
}

/// A client behind the perimeter, and what the reverse-path is worth from there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who it is.
    pub presenter: Presenter,
    /// The verdict.
    pub verdict: Arc<Verdict>,
}

/// A question to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Is the reverse-path true? Answered by [`Answer::Verdict`].
    Verify {
        /// MAIL FROM's argument.
        reverse_path: ReversePath,
        /// What the client called itself.
        helo: Box<str>,
        /// About whom the question is: not always the peer (XFORWARD).
        client: IpAddr,
        /// XVOUCH: which message the client says will follow. Where nothing else proves the reverse-path, its domain
        /// is asked about that one.
        claim: Option<Claim>,
    },
    /// May this recipient be had? Answered by [`Answer::Recipient`].
    Recipient {
        /// RCPT TO's argument.
        recipient: ForwardPath,
        /// A refusal of the reverse-path waits: what is known of this recipient that clears it?
        doubted: Option<Presenter>,
    },
    /// The recipient may be had as far as we are asked: is it taken down the path? Answered by
    /// [`Answer::Held`]. Only with [`Settings::holds`].
    Hold(Box<Hold>),
    /// The content is complete: what does it say about the reverse-path? Answered by
    /// [`Answer::Verdict`], with the evidence there was and what has come to it.
    Content {
        /// What was known before.
        verdict: Arc<Verdict>,
        /// MAIL FROM's argument.
        reverse_path: ReversePath,
        /// Who gave it.
        presenter: Presenter,
        /// Those accepted, whose domains a ledger is asked about.
        recipients: Vec<ForwardPath>,
        /// Octets of the content.
        size: u64,
        /// It has signatures that are to be looked at.
        is_signed: bool,
        /// It has a null reverse-path, and may be a report that is to be compared with what was sent from here.
        is_report: bool,
    },
    /// An outer host of ours has brought this, and its Received fields may name the client that it
    /// had: who is that, and what is the reverse-path worth from there? Answered by
    /// [`Answer::Outside`].
    Outside {
        /// MAIL FROM's argument.
        reverse_path: ReversePath,
        /// Those accepted, who may have declared whom they forward by.
        recipients: Vec<ForwardPath>,
        /// The top of the header.
        run: Box<Run>,
    },
    /// Begin a message of which `declared` octets were announced. Answered by [`Answer::Begun`].
    Begin {
        /// SIZE of MAIL, if given.
        declared: Option<u64>,
        /// It is mail of ours ([`Verdict::is_own`]): the ledger is to have it before it leaves.
        is_own: bool,
        /// Its domain has said that it sent what the client claims this is: its digest is to be compared with the claim.
        is_claimed: bool,
    },
    /// XCLIENT put this client, or [`UNKNOWN_CLIENT`], in the peer's place: what may it? Answered
    /// by [`Answer::Peer`]; all that is asked from then on is on account of that peer.
    Peer(SocketAddr),
    /// All of it has been appended: take custody. Answered by [`Answer::Committed`].
    Commit(Box<Envelope>),
}

/// A recipient to be asked for down the path, with what its transaction has agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The recipient.
    pub recipient: Recipient,
    /// MAIL FROM's argument.
    pub reverse_path: ReversePath,
    /// What is known of it now.
    pub verdict: VerdictResult,
    /// When the path may be opened; none where it is not, because an outer host of ours has queued the
    /// message, for which a refusal is a report to who may be forged.
    pub opens: Option<Opens>,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// What else MAIL asked for.
    pub requests: Requests,
    /// SIZE, if it was given.
    pub declared: Option<u64>,
    /// What MAIL said of the path that it comes by.
    pub through: Through,
    /// XVOUCH, to be passed on.
    pub claim: Option<Claim>,
    /// PRDR: each recipient may have an end of its own ([`Answer::CommittedEach`]).
    pub per_recipient: bool,
    /// When MAIL came.
    pub since: Mono,
}

/// A message that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// The name it will have.
    pub queue_id: QueueId,
    /// It goes on as it comes ([`Action::Head`]): what is found at its end is too late for its fields.
    pub passes_on: bool,
}

impl Begun {
    /// One that is kept until all of it is there.
    pub const fn to_keep(queue_id: QueueId) -> Self {
        Self {
            queue_id,
            passes_on: false,
        }
    }
}

/// What the world said.
#[derive(Debug)]
pub enum Answer {
    /// To [`Ask::Verify`] and [`Ask::Content`].
    Verdict(Arc<Verdict>),
    /// To [`Ask::Recipient`]: accepted, with what may clear a doubted reverse-path for it, or
    /// refused with this reply.
    Recipient(Result<Vec<Evidence>, Reply>),
    /// To [`Ask::Outside`]; none if there is no certainty about the client.
    Outside(Option<Box<Found>>),
    /// To [`Ask::Hold`]: taken, with where its path ends if the client is to hear of that; or refused
    /// with this reply.
    Held(Result<Option<Reach>, Reply>),
    /// To [`Ask::Begin`]; or why none can be begun (452, 451).
    Begun(Result<Begun, Reply>),
    /// To [`Ask::Peer`].
    Peer(Peer),
    /// To [`Ask::Commit`]. The only way to 250 after content.
    Committed(Result<Custody, Reply>),
    /// The same for each recipient, in the order of the envelope; only where MAIL asked for PRDR.
    CommittedEach(Vec<Result<Custody, Reply>>),
}

/// Facts for the log. Peer text in them is raw; the log escapes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// The client has introduced itself.
    Hello {
        /// It said EHLO.
        extended: bool,
        /// What it calls itself.
        helo: Box<str>,
    },
    /// A host in front says for whom it speaks.
    OnBehalf {
        /// The command.
        verb: &'static str,
        /// The client, or [`UNKNOWN_CLIENT`]; none if the mail began at that host.
        client: Option<IpAddr>,
        /// What it called itself, if that was said.
        helo: Option<Box<str>>,
    },
    /// TLS stands.
    TlsStarted {
        /// Version and suite.
        description: Box<str>,
    },
    /// A command was refused.
    Refused {
        /// The verb, or the first octets of what stood in its place.
        command: Box<str>,
        /// Our reply.
        reply: Reply,
    },
    /// MAIL was refused by the verdict.
    MailRefused {
        /// The reverse-path.
        reverse_path: ReversePath,
        /// Why.
        verdict: VerdictResult,
        /// Our reply.
        reply: Reply,
    },
    /// A recipient was refused by the answer to [`Ask::Recipient`].
    RecipientRefused {
        /// The transaction's reverse-path.
        reverse_path: ReversePath,
        /// The recipient.
        recipient: ForwardPath,
        /// Our reply.
        reply: Reply,
    },
    /// A message is in custody, and 250 has been said.
    Accepted(Box<Accepted>),
    /// A message was refused at its end, or at the end of a chunk.
    ContentRefused {
        /// The name it had.
        queue_id: QueueId,
        /// The reverse-path.
        reverse_path: ReversePath,
        /// Octets of content that came.
        size: u64,
        /// Our reply.
        reply: Reply,
    },
    /// The peer was silent for too long.
    TimedOut {
        /// Within content.
        in_content: bool,
    },
    /// The house was nearly full, and the peer in no transaction.
    MadeRoom,
    /// Content came too slowly to be meant.
    TooSlow {
        /// Octets in the span that was measured.
        octets: u64,
    },
    /// Too many commands that bring no mail.
    NoMail,
    /// The peer left without QUIT.
    Disconnected {
        /// A message that had been begun, and is dropped.
        queue_id: Option<QueueId>,
    },
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its name.
    pub queue_id: QueueId,
    /// The reverse-path.
    pub reverse_path: ReversePath,
    /// What was found about it.
    pub verdict: VerdictResult,
    /// The recipients.
    pub recipients: Vec<Recipient>,
    /// Octets of content as it came, without our trace field.
    pub size: u64,
    /// The next hops have it, and nothing is queued.
    pub is_onward: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What the large providers take, base64 included; more is a link's job.
            message_size: 50 * 1024 * 1024,
            // One attempt at a next hop that answers, and no more: what is wanted sooner would come
            // back because of one lost packet.
            deliver_by: Duration::from_mins(1),
            // RFC 5321's floor. All of them at their longest are 30 KiB of a session's 64; a
            // client with more is told 452 and sends the rest in its next transaction.
            recipients: 100,
            // RFC 5321 §4.5.3.1.4's 512, and room for parameters and SMTPUTF8 addresses.
            command_line: 2048,
            // RFC 5321 §6.3's floor; ordinary mail has under twenty.
            received_fields: 100,
            // A long list of dead recipients stays below it; whoever tries addresses does not.
            errors: 20,
            // RFC 5321 §4.5.3.2.7's floor.
            command_timeout: Duration::from_mins(5),
            // The same; a client that still lives sends something within it.
            content_timeout: Duration::from_mins(5),
            // What a next hop may give each piece at least (RFC 5321 §4.5.3.2.5): its patience must not
            // end before ours.
            held_timeout: Duration::from_mins(3),
            // Twice what one command may take: a hundred recipients in their turn, of which each is asked
            // for down the path, and no more, since a place at a next hop is taken all the while.
            held_envelope: Duration::from_mins(10),
            least_content: Self::LEAST_CONTENT,
            content_span: Self::CONTENT_SPAN,
            pressed_span: Self::PRESSED_SPAN,
            pressed_timeout: Self::PRESSED_TIMEOUT,
            dallying: Self::DALLYING,
        }
    }
}
