//! One session with one host of a next hop: the driver of proto's deliver machine.
//!
//! Promises: every action of the machine is performed, in order, before its next input, but that what
//! it says is gathered while the machine has more to say at once, so that a small message leaves in one
//! write; no read and no write waits longer than the machine's timer; content passes in pieces of at
//! most 64 KiB and a large one is never whole in memory; a host of which TLS is demanded is sent nothing
//! without it.
//!
//! Left to others: what is said, and what replies mean (`proto::smtp::deliver`); which host is
//! called, what is demanded of it, and what follows from its silence (the runner).
//!
//! Files: [`open`] and TLS in `opening`; messages here; `branch` those that are held; `stream` the socket.

mod branch;
mod opening;
mod stream;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout_at;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::smtp::deliver::{Action, Input, Protocol, Session, Timeouts, Transaction};
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::tls_policy::Requirement;
use vouchsafe_spool::Content;

use crate::clock;
use crate::stream::Stream;
use crate::tls::next_hop::Client;
pub use branch::{Branch, Said};
pub use opening::open;

/// Where a host listens, and what is spoken there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Name and address, for outcomes.
    pub remote: Remote,
    /// What is connected to.
    pub place: Place,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// What TLS asks for; without it TLS is not begun.
    pub server_name: Option<ServerName<'static>>,
    /// What TLS it must give.
    pub requirement: Requirement,
    /// Its name is the one that its domain, or the operator, meant: nobody on the way chose it.
    pub secure: bool,
    /// The domain whose mail it takes as one of its MX; none for a host that is configured.
    pub domain: Option<Domain>,
}

/// What is connected to.
#[derive(Clone, Debug)]
pub enum Place {
    /// Address and port.
    Tcp(SocketAddr),
    /// A socket of this host.
    Unix(PathBuf),
}

impl Place {
    /// True if nothing that is said leaves this machine.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// What of the configuration a session needs.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Our name.
    pub hostname: Domain,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// The machine's timers.
    pub timeouts: Timeouts,
    /// TLS, if it is to be used where it is offered.
    pub tls: Option<Arc<Client>>,
}

/// A session that stands: greeted, and with nothing in hand.
pub struct Connection {
    /// The machine.
    session: Session,
    /// The socket.
    stream: Stream,
    /// For whom outcomes speak.
    remote: Remote,
    /// Version and suite, under TLS.
    tls: Option<Box<str>>,
    /// The machine's timer.
    timer: Option<Mono>,
    /// What is read into; taken while the machine looks at it.
    buffer: Vec<u8>,
    /// What the machine has said and is not sent yet.
    unsent: Vec<u8>,
    /// Space for what it says.
    actions: Vec<Action>,
}

/// What one transaction came to.
#[derive(Debug, Default)]
pub struct Carried {
    /// Outcomes, by the transaction's indices: each exactly once, unless `unstarted`.
    pub outcomes: Vec<(usize, Outcome)>,
    /// Nothing was tried: the session had ended after an earlier transaction.
    pub unstarted: bool,
    /// The completing octets were given away: whatever the outcomes say, the message may be there.
    pub completed: bool,
    /// The session can carry another.
    pub open: bool,
}

impl Connection {
    /// The other end.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// True if the peer holds paths, and so takes what MAIL says of them (PROTOCOLS C).
    pub const fn holds_paths(&self) -> bool {
        self.session.terms().is_some()
    }

    /// True if the peer takes claims (PROTOCOLS D).
    pub const fn takes_claims(&self) -> bool {
        self.session.takes_claims()
    }

    /// Version and suite of TLS, if it is on.
    pub fn tls(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// Why a message with REQUIRETLS cannot go this way, if it cannot.
    pub fn cannot_require_tls(&self) -> Option<Outcome> {
        self.session.cannot_require_tls()
    }

    /// Carries one message to its end.
    pub async fn deliver(
        &mut self,
        transaction: Transaction,
        content: &mut dyn Content,
    ) -> Carried {
        let mut seen = Seen::default();
        let mut completed = false;
        self.feed(Input::Deliver(Box::new(transaction)), &mut seen)
            .await;
        while !seen.is_over() {
            if std::mem::take(&mut seen.prepared) {
                completed = self.complete(&mut seen).await;
            } else if seen.wants_content {
                self.bring(content, &mut seen).await;
            } else {
                self.hear(&mut seen).await;
            }
        }
        let open = seen.ready && !seen.closed;
        if !open {
            self.shut().await;
        }
        Carried {
            outcomes: seen.outcomes,
            unstarted: seen.unstarted,
            completed,
            open,
        }
    }

    /// Between the last of the content and the octets that complete it: what must be durable
    /// before the next hop can have the message has its place here, and so far nothing must.
    /// False if they have not been given away whole.
    async fn complete(&mut self, seen: &mut Seen) -> bool {
        self.feed(Input::Complete, seen).await
    }

    /// Resolves when the peer of an idle session says something or leaves: the session is then
    /// of no more use. Nothing is lost when the wait is given up.
    pub async fn stirs(&mut self) {
        // Whatever it is (a 421, the end), it can only mean the end of an idle session.
        let _ = self.stream.read(&mut self.buffer).await;
    }

    /// Leaves with QUIT. The reply is waited for, but not for long: nothing depends on it.
    pub async fn quit(mut self) {
        let mut seen = Seen::default();
        let deadline = clock::instant(clock::now().mono.plus(QUIT_TIMEOUT));
        let leave = async {
            self.feed(Input::Quit, &mut seen).await;
            while !seen.closed {
                self.hear(&mut seen).await;
            }
        };
        let _ = timeout_at(deadline, leave).await;
        self.shut().await;
    }

    /// Gives the machine one input and performs what it asks; a write that fails is told to it, and
    /// then this is false.
    async fn feed(&mut self, input: Input<'_>, seen: &mut Seen) -> bool {
        let written = self.step(input, seen).await;
        self.settle(written, seen).await
    }

    /// Sends what was gathered; the same.
    async fn flush(&mut self, seen: &mut Seen) -> bool {
        let written = self.write().await;
        self.settle(written, seen).await
    }

    /// Tells the machine of a write that failed; true if it did not.
    async fn settle(&mut self, written: Written, seen: &mut Seen) -> bool {
        match written {
            Written::All => {}
            Written::TimedOut => {
                seen.timed_out = true;
                self.step(Input::TimerFired, seen).await;
            }
            Written::Lost => {
                // A host that refuses in the midst of content may close at once: its reply is in
                // our buffer, and says more than that the connection is gone.
                self.last_words(seen).await;
                self.step(Input::EndOfStream, seen).await;
            }
        }
        written == Written::All
    }

    /// One input, and the actions that follow from it. What is to be sent waits for what the machine
    /// will say of content, which is asked for next, unless it is much already.
    async fn step(&mut self, input: Input<'_>, seen: &mut Seen) -> Written {
        let mut actions = std::mem::take(&mut self.actions);
        self.session.step(input, clock::now(), &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Write(octets) if self.unsent.capacity() == 0 => self.unsent = octets,
                Action::Write(octets) => self.unsent.extend_from_slice(&octets),
                Action::SetTimer(at) => self.timer = Some(at),
                other => seen.note(other),
            }
        }
        self.actions = actions;
        if seen.has_more_to_say() && self.unsent.len() < GATHERED {
            return Written::All;
        }
        self.write().await
    }

    /// Writes what is unsent, for no longer than the timer allows. What fails is gone.
    async fn write(&mut self) -> Written {
        if self.unsent.is_empty() {
            return Written::All;
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        let writing = async {
            self.stream.write_all(&unsent).await?;
            self.stream.flush().await
        };
        let result = match self.timer {
            Some(at) => timeout_at(clock::instant(at), writing).await,
            None => Ok(writing.await),
        };
        // Its space is for what is said next.
        unsent.clear();
        unsent.shrink_to(SPACE_KEPT);
        self.unsent = unsent;
        match result {
            Ok(Ok(())) => Written::All,
            Ok(Err(_)) => Written::Lost,
            Err(_) => Written::TimedOut,
        }
    }

    /// Waits for the peer, for no longer than the timer allows.
    async fn hear(&mut self, seen: &mut Seen) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let reading = self.stream.read(&mut buffer);
        let result = match self.timer {
            Some(at) => timeout_at(clock::instant(at), reading).await,
            None => Ok(reading.await),
        };
        let input = match &result {
            Ok(Ok(read)) => heard(&buffer, *read),
            Ok(Err(_)) => Input::EndOfStream,
            Err(_) => {
                seen.timed_out = true;
                Input::TimerFired
            }
        };
        self.feed(input, seen).await;
        self.buffer = buffer;
    }

    /// Takes what the peer has said by now, without waiting; false if that is nothing.
    async fn look(&mut self, seen: &mut Seen) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let spoken = tokio::select! {
            biased;
            read = self.stream.read(&mut buffer) => Some(read.unwrap_or(0)),
            () = std::future::ready(()) => None,
        };
        if let Some(read) = spoken {
            self.feed(heard(&buffer, read), seen).await;
        }
        self.buffer = buffer;
        spoken.is_some()
    }

    /// Brings a piece of content, unless the peer speaks first: it may have had enough.
    async fn bring(&mut self, content: &mut dyn Content, seen: &mut Seen) {
        if self.look(seen).await {
            return;
        }
        seen.wants_content = false;
        match content.next().await {
            Ok(Some(piece)) => self.feed(Input::Content(&piece), seen).await,
            Ok(None) => self.feed(Input::ContentEnd, seen).await,
            Err(error) => {
                tracing::error!(error = %crate::log::chain(&error), "content cannot be read");
                self.feed(Input::ContentFailed, seen).await
            }
        };
    }

    /// What the peer had said before the connection broke.
    async fn last_words(&mut self, seen: &mut Seen) {
        // A buffer of its own: the other one may be what the failed input was read into.
        let mut buffer = vec![0; READ_SIZE];
        let deadline = clock::instant(clock::now().mono.plus(LAST_WORDS_TIMEOUT));
        while !seen.closed {
            match timeout_at(deadline, self.stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => {
                    let words = heard(&buffer, read);
                    self.step(words, seen).await;
                }
                _ => break,
            }
        }
    }

    /// Sends our end, under TLS with its farewell.
    async fn shut(&mut self) {
        let deadline = clock::instant(clock::now().mono.plus(LAST_WORDS_TIMEOUT));
        let _ = timeout_at(deadline, self.stream.shutdown()).await;
    }
}

/// What a read of so many octets means.
fn heard(buffer: &[u8], read: usize) -> Input<'_> {
    match buffer.get(..read) {
        Some(octets) if read > 0 => Input::Bytes(octets),
        _ => Input::EndOfStream,
    }
}

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// With all of it sent.
    All,
    /// The peer did not read in time.
    TimedOut,
    /// The connection broke.
    Lost,
}

/// Actions that speak to the driver, gathered until it looks at them.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an action that came, or did not"
)]
struct Seen {
    /// The last recipient that a held transaction was told is taken.
    accepted: Option<usize>,
    /// The recipients' outcomes.
    outcomes: Vec<(usize, Outcome)>,
    /// All recipients have theirs.
    finished: bool,
    /// The transaction came back untried.
    unstarted: bool,
    /// Idle.
    ready: bool,
    /// Over.
    closed: bool,
    /// There will be no session.
    unusable: Option<Outcome>,
    /// TLS is to begin.
    start_tls: bool,
    /// Content is asked for.
    wants_content: bool,
    /// Only the completing octets are missing.
    prepared: bool,
    /// The machine's timer has run out.
    timed_out: bool,
}

impl Seen {
    /// Takes note of one action.
    fn note(&mut self, action: Action) {
        match action {
            Action::Accepted(index) => self.accepted = Some(index),
            Action::Outcome(index, outcome) => self.outcomes.push((index, outcome)),
            Action::Finished => {
                self.finished = true;
                // Asks for content are void from here.
                self.wants_content = false;
                self.prepared = false;
            }
            Action::Unstarted(_) => self.unstarted = true,
            Action::Ready => self.ready = true,
            Action::Close => self.closed = true,
            Action::Unusable(outcome) => self.unusable = Some(outcome),
            Action::StartTls => self.start_tls = true,
            Action::WantContent => self.wants_content = true,
            Action::Prepared => self.prepared = true,
            Action::Write(_) | Action::SetTimer(_) => {}
        }
    }

    /// The machine waits for content or for leave to complete it, not for the peer.
    const fn has_more_to_say(&self) -> bool {
        (self.wants_content || self.prepared) && !self.closed
    }

    /// A transaction has come to its end, and the session to its next state.
    const fn is_over(&self) -> bool {
        self.closed || (self.finished && self.ready)
    }
}

/// Octets that are sent without waiting for more: a small message gathers whole, and a piece of a
/// large one is not held back.
const GATHERED: usize = 16 * 1024;

/// Octets of space that a session keeps for what it says: a small message.
const SPACE_KEPT: usize = 8 * 1024;

/// Octets read at once: replies are short, and this holds a hundred of them.
const READ_SIZE: usize = 4096;

/// How long the reply to QUIT is waited for: everything is settled by then, so only politeness is
/// at stake.
const QUIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a broken connection is searched for a reply, and a closed one for its farewell. What
/// is there is there at once.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
