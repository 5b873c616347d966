//! The client's side of one session, SMTP (RFC 5321) or LMTP (RFC 2033), as a machine under the
//! drain contract. One session carries any number of transactions, one after the other.
//!
//! Content comes in pieces, when the machine asks for it, and leaves counted (BDAT, RFC 3030) where
//! the next hop offers CHUNKING, else dot-stuffed (DATA): a counted message cannot be ended by
//! anything in it, and nothing of it need be changed. Before the octets that complete a message
//! leave, the machine stops at [`Action::Prepared`] and waits for [`Input::Complete`]: what must be
//! durable first (the ledger, a held path's commit) is made so in between.
//!
//! Promises: each recipient of a transaction gets exactly one [`Action::Outcome`], whatever the
//! peer says and whenever the connection ends (or, where nothing of it was tried, the transaction
//! comes back whole as [`Action::Unstarted`]), and at most one [`Action::Accepted`] before it; nothing
//! is sent that the peer has not offered to take; content with a bare CR or LF never leaves (RFC 5321
//! §2.3.8); octets that came in clear do not survive STARTTLS (RFC 3207 §4.2).
//!
//! A *held* transaction ([`Input::Hold`]) has its recipients one by one, and each RCPT's reply is told
//! at once; its content begins when the driver says so. It serves a client of ours that waits for those
//! replies, and may leave at any moment.
//!
//! What the next hop cannot take is not converted but reported: 5.6.3 for octets above 127 without
//! 8BITMIME (RFC 6152 §3), 5.4.7 for a deadline (RFC 2852 §4), 5.6.7 for SMTPUTF8 (RFC 6531 §3.5), 5.3.4 for SIZE (RFC 1870 §6.1).
//!
//! Left to the driver: connections, which host is next, how many recipients one transaction has (a
//! next hop need take no more than 100, RFC 5321 §4.5.3.1.8), how long an idle session is kept.
//!
//! Files: [`Session::step`] here; `opening` to the first [`Action::Ready`]; `envelope` MAIL, RCPT,
//! DATA; `held` what only held transactions have; `content` the message; `ending` how anything may
//! end; `per_recipient` a last word for each recipient (PRDR); `offers` EHLO's keywords; `encoding` content's two forms; `settings` what a session is begun
//! with.

mod content;
mod encoding;
mod ending;
mod envelope;
mod held;
mod offers;
mod opening;
mod per_recipient;
mod settings;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::addr::ReversePath;
use crate::envelope::{BodyType, Recipient, Requests};
use crate::outcome::Outcome;
use crate::reply::Reply;
use crate::residue::Claim;
use crate::smtp::reply_reader::{ReadReplyError, ReplyReader};
use crate::smtp::xhold::{Reach, Terms, Through};
use crate::time::{Mono, Now, Wall};

use encoding::Encoder;
use offers::Offers;
pub use settings::{Protocol, Settings, StartTls, Timeouts};

/// One message for this next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order; outcomes name them by index.
    pub recipients: Vec<Recipient>,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// What else MAIL asked for.
    pub requests: Requests,
    /// Octets of content, for SIZE; none if they are not known yet.
    pub size: Option<u64>,
    /// Each recipient is to have a last word of its own where the next hop offers that (PRDR).
    pub per_recipient: bool,
    /// How its path is held; said only to a next hop that offers it. A wish is for its terms
    /// ([`Session::terms`]).
    pub through: Through,
    /// Which message it is, if its domain says so (XVOUCH); told only to a next hop that offers it.
    pub claim: Option<Claim>,
}

/// What advances the session.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection stands; the first input.
    Connected,
    /// A message to deliver; only after [`Action::Ready`].
    Deliver(Box<Transaction>),
    /// A message whose recipients come one by one; only after [`Action::Ready`]. Those that it has,
    /// which may be none, are asked for at once. A MAIL that is refused ends it with an outcome for
    /// each that has come by then; recipients that are all refused do not.
    Hold(Box<Transaction>),
    /// One more recipient of a held transaction; indices go on counting. Void once
    /// [`Action::Finished`] or [`Action::Close`] has come.
    Recipient(Box<Recipient>),
    /// A held transaction has all its recipients: on to the content. If none is accepted, or will
    /// be, it ends.
    Proceed,
    /// The transaction is given up: nothing of it may be delivered, and who has no outcome gets our
    /// own. The session stays of use, unless DATA was sent: then it is closed without the dot. Once
    /// the completing octets are sent it is too late, and the outcomes say so.
    Abandon,
    /// Say NOOP, if a held transaction waits for its driver between commands.
    Noop,
    /// The peer sent these.
    Bytes(&'a [u8]),
    /// A piece of content, after [`Action::WantContent`]. That ask is void once
    /// [`Action::Finished`] or [`Action::Close`] has come.
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
    /// No more messages: leave with QUIT. In the midst of a transaction: give up at once.
    Quit,
}

/// What the driver does, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these. The timer that was set before also bounds the sending: a peer that does not
    /// read must not hold the driver longer (RFC 5321 §4.5.3.2.5).
    Write(Vec<u8>),
    /// Bring the next piece of content, after all before this is sent; or gather that, to be sent
    /// with what follows.
    WantContent,
    /// All content is sent but the octets that complete it.
    Prepared,
    /// RCPT was taken, by the recipient's index; of held transactions only.
    Accepted(usize),
    /// The end for one recipient, by its index; each gets exactly one.
    Outcome(usize, Outcome),
    /// Every recipient of the transaction has its outcome.
    Finished,
    /// Nothing of this transaction was tried, and no outcome was given: the session had carried
    /// others and has ended (a peer's limit on messages or on idleness). It belongs on a new one.
    Unstarted(Box<Transaction>),
    /// Idle: give [`Input::Deliver`] or [`Input::Quit`].
    Ready,
    /// Give [`Input::TimerFired`] at this moment; replaces the timer before. While the session is
    /// idle a timer that runs out is of no matter, nor while a held transaction waits between
    /// commands. In content it bounds sending, and hearing where no content is asked for: a driver
    /// that waits for its own client meanwhile does not let it run.
    SetTimer(Mono),
    /// Start TLS now.
    StartTls,
    /// No session came to be: this holds for every message meant for it, unless another host of
    /// the next hop takes them. Transient, but for a host that says it never takes mail (521,
    /// RFC 7504). Followed by `Close`.
    Unusable(Outcome),
    /// Flush, then close the connection. Nothing follows.
    Close,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    phase: Phase,
    reader: ReplyReader,
    /// Replies that are due, in order.
    expected: VecDeque<Expected>,
    /// What the peer offered last.
    offers: Offers,
    /// Under which demand TLS came to be, if it did.
    under_tls: Option<StartTls>,
    /// The transaction in hand.
    current: Option<Current>,
    /// Where the path ends of the recipient that was taken last.
    reach: Option<Reach>,
    /// A transaction was begun before the one in hand.
    used: bool,
    /// RSET goes before the next MAIL.
    dirty: bool,
    /// Something happened in this step that the timer follows.
    moved: bool,
}

/// Where the session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Not connected.
    New,
    /// Greeting, EHLO, STARTTLS.
    Opening,
    /// The driver brings TLS up.
    StartingTls,
    /// Idle.
    Ready,
    /// MAIL, RCPT, DATA.
    Envelope,
    /// Content is on its way.
    Content,
    /// All of it is sent but the completing octets.
    Prepared,
    /// The completing octets are sent: from here the message may arrive though nobody says so.
    Completing,
    /// The transaction is decided; replies to what was pipelined still come.
    Draining,
    /// QUIT is sent.
    Leaving,
    /// Over.
    Closed,
}

/// A reply that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Greeting,
    /// To EHLO or LHLO.
    Hello,
    /// To HELO.
    PlainHello,
    StartTls,
    Reset,
    Mail,
    /// By the recipient's index.
    Recipient(usize),
    Noop,
    Data,
    /// To a BDAT that is not the last.
    Chunk,
    /// To the dot or BDAT LAST: for all (SMTP).
    Completion,
    /// To the dot or BDAT LAST: for one, by index (LMTP, RFC 2033 §4.2).
    CompletionFor(usize),
    /// Behind 353: for one, by index (draft-hall-prdr-00 §4.5.2).
    Each(usize),
    /// Behind those: for the message as a whole (§4.5.3).
    Final,
    /// To the dot of a message without recipients or content (RFC 2920 §3.1).
    LoneDot,
    Quit,
}

/// The transaction in hand.
#[derive(Debug)]
struct Current {
    transaction: Box<Transaction>,
    coming: Coming,
    /// What is known of each recipient.
    standing: Vec<Standing>,
    /// Commands that are not sent yet.
    unsent: VecDeque<Expected>,
    /// When it was taken in hand: what is left of a deadline counts from then.
    begun: Wall,
    /// The peer has answered MAIL.
    answered: bool,
    /// Behind 353: what has been said of each recipient, which counts only with the final reply.
    words: Vec<(usize, Outcome)>,
    encoder: Encoder,
}

/// How a transaction's recipients come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    /// All at once.
    AtOnce,
    /// Held: more may come.
    OneByOne,
    /// Held: all have come.
    AllHere,
}

/// What is known of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// RCPT is not answered.
    Open,
    /// RCPT was taken.
    Accepted,
    /// It has its outcome.
    Decided,
}

/// Why a session ends without a reply that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The connection ended.
    Lost,
    /// The timer ran out.
    TimedOut,
    /// Octets that are no reply.
    Garbage(ReadReplyError),
    /// A reply that was not due, or cannot be one to what was asked.
    OutOfStep,
    /// Octets in clear behind the reply to STARTTLS.
    ClearBehindTls,
    /// The driver is leaving.
    Abandoned,
    /// The driver has given the transaction up.
    GivenUp,
}

impl Session {
    /// True if the peer has answered a MAIL on it: it may have had enough, as kept ones have.
    pub const fn has_carried(&self) -> bool {
        self.used
    }

    /// On what terms the peer holds paths (PROTOCOLS C), once [`Action::Ready`] has come; none if it does
    /// not offer it.
    pub const fn terms(&self) -> Option<Terms> {
        self.offers.xhold
    }

    /// True if the peer takes claims (PROTOCOLS D), once [`Action::Ready`] has come.
    pub const fn takes_claims(&self) -> bool {
        self.offers.xvouch
    }

    /// Where the path ends of the recipient that was taken last, if the peer has said so.
    pub const fn reach(&self) -> Option<Reach> {
        self.reach
    }

    /// A session that has not begun.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            phase: Phase::New,
            reader: ReplyReader::default(),
            expected: VecDeque::new(),
            offers: Offers::default(),
            under_tls: None,
            current: None,
            reach: None,
            used: false,
            dirty: false,
            moved: false,
        }
    }

    /// Advances by one input; actions are appended to `actions`. Input that the phase has no use
    /// for is of no effect, but for a transaction, which comes back [`Action::Unstarted`].
    pub fn step(&mut self, input: Input<'_>, now: Now, actions: &mut Vec<Action>) {
        let start = actions.len();
        match input {
            Input::Connected => self.connected(),
            Input::Deliver(transaction) => {
                self.begin(transaction, Coming::AtOnce, now.wall, actions);
            }
            Input::Hold(transaction) => {
                self.begin(transaction, Coming::OneByOne, now.wall, actions);
            }
            Input::Recipient(recipient) => self.recipient(*recipient, actions),
            Input::Proceed => self.proceed(actions),
            Input::Abandon => self.abandon(actions),
            Input::Noop => self.noop(actions),
            Input::Bytes(bytes) => self.bytes(bytes, actions),
            Input::Content(piece) => self.content(piece, actions),
            Input::ContentEnd => self.content_end(actions),
            Input::ContentFailed => self.content_failed(actions),
            Input::Complete => self.complete(actions),
            Input::TlsStarted => self.tls_started(actions),
            Input::TimerFired => self.timer_fired(actions),
            Input::EndOfStream => self.trouble(Trouble::Lost, actions),
            Input::Quit => self.quit(actions),
        }
        if core::mem::take(&mut self.moved)
            && let Some(wait) = self.patience()
        {
            // In front of what is written: the timer bounds the writing too.
            actions.insert(start, Action::SetTimer(now.mono.plus(wait)));
        }
    }

    /// Cuts octets into replies, and takes each.
    fn bytes(&mut self, mut bytes: &[u8], actions: &mut Vec<Action>) {
        // What has come by now answers only what was asked before: a reply that runs ahead of its
        // command is out of step, though the command is in this step's actions.
        let mut due = self.expected.len();
        while !bytes.is_empty() && self.phase != Phase::Closed {
            if self.phase == Phase::StartingTls {
                self.trouble(Trouble::ClearBehindTls, actions);
                return;
            }
            match self.reader.next(&mut bytes) {
                Ok(None) => {}
                Ok(Some(reply)) if due == 0 => self.unsolicited(&reply, actions),
                Ok(Some(reply)) => {
                    due = due.saturating_sub(1);
                    self.reply(&reply, actions);
                    // The replies that 353 announces were asked for with what it answers.
                    if due == 0 && matches!(self.expected.front(), Some(Expected::Each(_))) {
                        due = self.expected.len();
                    }
                }
                Err(error) => self.trouble(Trouble::Garbage(error), actions),
            }
        }
    }

    /// Takes the reply that is due.
    fn reply(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        let Some(expected) = self.expected.pop_front() else {
            return self.unsolicited(reply, actions);
        };
        // Of several last words all must be there before the client of ours has waited for one too long.
        self.moved = !(self.phase == Phase::Completing && self.is_held());
        if reply.code() == 421 {
            return self.shut_out(reply, actions);
        }
        match expected {
            Expected::Greeting => self.greeted(reply, actions),
            Expected::Hello => self.hello_answered(reply, actions),
            Expected::PlainHello => self.plain_hello_answered(reply, actions),
            Expected::StartTls => self.starttls_answered(reply, actions),
            Expected::Reset => self.reset_answered(reply, actions),
            Expected::Mail => self.mail_answered(reply, actions),
            Expected::Recipient(index) => self.recipient_answered(index, reply, actions),
            Expected::Noop => self.noop_answered(reply, actions),
            Expected::Data => self.data_answered(reply, actions),
            Expected::Chunk => self.chunk_answered(reply, actions),
            Expected::Completion => self.completion_answered(reply, actions),
            Expected::CompletionFor(index) => self.completion_answered_for(index, reply, actions),
            Expected::Each(index) => self.answered_for(index, reply, actions),
            Expected::Final => self.final_answered(reply, actions),
            Expected::LoneDot => self.go_on(actions),
            Expected::Quit => self.close(actions),
        }
    }

    /// The timer that holds now; none while the driver is not waiting for the peer.
    fn patience(&self) -> Option<Duration> {
        let timeouts = &self.settings.timeouts;
        match self.phase {
            Phase::New | Phase::Ready | Phase::Closed => None,
            Phase::StartingTls => Some(timeouts.hello),
            Phase::Content | Phase::Prepared => Some(timeouts.block),
            _ => self.expected.front().map(|expected| match expected {
                Expected::Greeting => timeouts.greeting,
                Expected::Hello
                | Expected::PlainHello
                | Expected::StartTls
                | Expected::Reset
                | Expected::Noop
                | Expected::Quit => timeouts.hello,
                Expected::Mail => timeouts.mail,
                Expected::Recipient(_) => timeouts.recipient,
                Expected::Data => timeouts.data,
                Expected::Chunk
                | Expected::Completion
                | Expected::CompletionFor(_)
                | Expected::Each(_)
                | Expected::Final
                | Expected::LoneDot => timeouts.completion,
            }),
        }
    }

    /// Sends octets.
    fn write(&mut self, octets: Vec<u8>, actions: &mut Vec<Action>) {
        self.moved = true;
        actions.push(Action::Write(octets));
    }
}

impl Expected {
    /// What was waited for, in a report's words.
    const fn describe(self) -> &'static str {
        match self {
            Self::Greeting => "the greeting",
            Self::Hello => "the reply to EHLO",
            Self::PlainHello => "the reply to HELO",
            Self::StartTls => "the reply to STARTTLS",
            Self::Reset => "the reply to RSET",
            Self::Mail => "the reply to MAIL",
            Self::Recipient(_) => "the reply to RCPT",
            Self::Noop => "the reply to NOOP",
            Self::Data => "the reply to DATA",
            Self::Chunk => "the reply to BDAT",
            Self::Completion
            | Self::CompletionFor(_)
            | Self::Each(_)
            | Self::Final
            | Self::LoneDot => "the reply to the end of the message",
            Self::Quit => "the reply to QUIT",
        }
    }
}
