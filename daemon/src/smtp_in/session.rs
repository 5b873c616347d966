//! Drives one session: what comes from the socket, the clock and the world goes into the machine,
//! and what the machine says is done.
//!
//! Promises: actions are performed in order, all before the next input; replies are written
//! before anything is waited for; nothing is read while the machine wants nothing, so that a
//! flood stays in the kernel's buffers; a draft that is not committed is dropped with the session,
//! whatever ends it.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep_until, timeout_at};
use tracing::{Instrument as _, Span, debug, error, error_span, info};
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::residue::covered::Reader;
use vouchsafe_proto::smtp::receive::{self, Action, Answer, Ask, AskId, Input, Peer};

use super::Site;
use super::notes;
use super::unread::Unread;
use super::wire::{StartTlsError, Wire};
use super::words::{Hearing, Word, Words};
use super::world::{self, Asking, InHand, Told, Trouble};
use crate::clock;
use crate::ledger::{Sha256, Vouching};
use crate::log;

/// One session, from its greeting to its end.
pub(super) struct Session {
    /// Names it in the log. Entered for each line, and not for each step: lines are rare.
    span: Span,
    /// What it works with.
    site: Arc<Site>,
    /// Who is at the other end.
    peer: Peer,
    /// What decides.
    machine: receive::Session,
    /// The socket.
    wire: Wire,
    /// What the machine wants done; empty between steps.
    actions: Vec<Action>,
    /// What the machine must hear before anything else.
    next: Option<Input<'static>>,
    /// What was read and the machine has not had.
    unread: Unread,
    /// The question that is open.
    asked: Option<(AskId, Asking)>,
    /// The message that was begun, and the paths that are held for it.
    in_hand: InHand,
    /// What the ledger is to have of it, if it is mail of ours.
    vouching: Option<Box<Vouching>>,
    /// What of it is compared with what its client claimed it would be (XVOUCH).
    claimed: Option<Box<Reader<Sha256>>>,
    /// Why the spool did not take all of it.
    refused: Option<Reply>,
    /// The reverse-path that is being verified, for the log.
    asked_about: String,
    /// The machine's timer.
    timer: Pin<Box<Sleep>>,
    /// It is running.
    timer_is_set: bool,
    /// What the house says next.
    hearing: Hearing,
    /// The machine knows that the service stops.
    knows_stop: bool,
    /// The peer sends no more, and the machine knows.
    knows_end: bool,
}

/// Why a session ended, for the log.
#[derive(Debug, thiserror::Error)]
enum End {
    /// The machine closed it: QUIT, a limit, a timer, the end of the stream.
    #[error("closed")]
    Closed,
    /// No TLS after STARTTLS.
    #[error("TLS failed")]
    Tls(#[source] StartTlsError),
    /// The machine waits for nothing: a bug of ours.
    #[error("the session waits for nothing")]
    Stuck,
}

/// What woke the session.
enum Woken {
    /// The world answered.
    Told(AskId, Told),
    /// The machine's timer.
    Timer,
    /// The house says something, and may say more.
    Word(Word, Words),
    /// The peer sent something, or its end.
    Read(std::io::Result<usize>),
}

impl Session {
    /// A session that has not said its greeting.
    pub(super) fn new(number: u64, site: Arc<Site>, peer: Peer, wire: Wire, words: Words) -> Self {
        let machine = receive::Session::new(Arc::clone(&site.settings), peer);
        Self {
            // At the level that is never filtered out: every line of a session names it.
            span: error_span!("session", session = number, client = %peer.address.ip()),
            site,
            peer,
            machine,
            wire,
            actions: Vec::new(),
            next: Some(Input::Connected),
            unread: Unread::default(),
            asked: None,
            in_hand: InHand::default(),
            vouching: None,
            claimed: None,
            refused: None,
            asked_about: String::new(),
            timer: Box::pin(sleep_until(clock::instant(clock::now().mono))),
            timer_is_set: false,
            hearing: words.hear(),
            knows_stop: false,
            knows_end: false,
        }
    }

    /// Runs to the end.
    pub(super) async fn run(mut self) {
        let span = self.span.clone();
        let _witness = Witness(span.clone());
        span.in_scope(|| debug!(port = self.peer.address.port(), "connect"));
        let end = self.exchange().await;
        // A draft must not outlive its session by the time it takes to say goodbye, nor a path.
        self.give_up().await;
        match end {
            End::Closed => self.wire.close().await,
            End::Stuck => span.in_scope(|| error!("the session waits for nothing")),
            End::Tls(_) => {}
        }
        span.in_scope(|| debug!(reason = %log::chain(&end), "disconnect"));
    }

    /// Input, actions, input, actions, until the end.
    async fn exchange(&mut self) -> End {
        loop {
            if let Some(input) = self.next.take() {
                self.machine.step(input, clock::now(), &mut self.actions);
            } else if self.machine.wants_bytes() && !self.unread.is_empty() {
                let slice = self.unread.take_slice();
                self.machine
                    .step(Input::Bytes(slice), clock::now(), &mut self.actions);
            } else {
                match self.wait().await {
                    Ok(Some(input)) => self.machine.step(input, clock::now(), &mut self.actions),
                    Ok(None) => {}
                    Err(end) => return end,
                }
            }
            if let Err(end) = self.perform().await {
                return end;
            }
        }
    }

    /// Writes what is to be said, and what is to go on, then waits. `None`: octets came.
    async fn wait(&mut self) -> Result<Option<Input<'static>>, End> {
        let at_once =
            |context: &mut Context<'_>| Poll::Ready(poll_answer(&mut self.asked, context));
        if let Some((id, told)) = poll_fn(at_once).await {
            // Nothing is waited for: what is to be said leaves with what comes of it.
            return Ok(Some(self.hear(id, told)));
        }
        self.flush().await;
        self.pass_on(&[]).await;
        if let Some(input) = self.next.take() {
            return Ok(Some(input));
        }
        let reads = self.asked.is_none() && self.machine.wants_bytes() && !self.knows_end;
        if self.asked.is_none() && !reads {
            // After the end of the stream the machine has had its chance to close.
            return Err(if self.knows_end {
                End::Closed
            } else {
                End::Stuck
            });
        }
        if reads {
            // All of it is used: the machine would have had the rest before this wait.
            self.unread.give_back();
        }
        let Some(woken) = self.be_woken_in_time(reads).await else {
            return Ok(None);
        };
        Ok(match woken {
            Woken::Told(id, told) => Some(self.hear(id, told)),
            Woken::Word(Word::Stop, _) => {
                self.knows_stop = true;
                self.span.in_scope(|| debug!("told that the service stops"));
                Some(Input::Shutdown)
            }
            Woken::Word(Word::Pressure(pressed), words) => {
                self.hearing = words.hear();
                Some(Input::Pressure(pressed))
            }
            Woken::Timer => {
                self.timer_is_set = false;
                Some(Input::TimerFired)
            }
            Woken::Read(Ok(0)) => {
                self.knows_end = true;
                Some(Input::EndOfStream)
            }
            Woken::Read(Ok(_)) => None,
            Woken::Read(Err(error)) => {
                self.lose(&error);
                self.next.take()
            }
        })
    }

    /// Waits for whatever comes first; while next hops wait with the client, not for long at a time: they
    /// hear from us then, and nothing has come.
    async fn be_woken_in_time(&mut self, reads: bool) -> Option<Woken> {
        if self.in_hand.held.is_none() || self.asked.is_some() {
            return Some(self.be_woken(reads).await);
        }
        let until = clock::instant(clock::mono().plus(self.site.kept_alive));
        let woken = timeout_at(until, self.be_woken(reads)).await.ok();
        if woken.is_none()
            && let Some(held) = &mut self.in_hand.held
        {
            held.keep_alive().await;
        }
        woken
    }

    /// Waits for whatever comes first. Each wait begins with a look at all of it, so that a peer that
    /// never stops sending keeps nothing else from being heard; once woken it is nearly always the peer,
    /// and he is looked for first.
    async fn be_woken(&mut self, reads: bool) -> Woken {
        let mut waits = false;
        poll_fn(|context| {
            if reads
                && mem::replace(&mut waits, true)
                && let Poll::Ready(read) = self.wire.poll_read(context, &mut self.unread.octets)
            {
                return Poll::Ready(Woken::Read(read));
            }
            if let Some((id, told)) = poll_answer(&mut self.asked, context) {
                return Poll::Ready(Woken::Told(id, told));
            }
            if !self.knows_stop
                && let Poll::Ready((word, words)) = self.hearing.as_mut().poll(context)
            {
                return Poll::Ready(Woken::Word(word, words));
            }
            if self.timer_is_set && self.timer.as_mut().poll(context).is_ready() {
                return Poll::Ready(Woken::Timer);
            }
            if reads
                && let Poll::Ready(read) = self.wire.poll_read(context, &mut self.unread.octets)
            {
                return Poll::Ready(Woken::Read(read));
            }
            Poll::Pending
        })
        .await
    }

    /// Writes what is to be said.
    async fn flush(&mut self) {
        if let Err(error) = self.wire.flush().await {
            self.lose(&error);
        }
    }

    /// The connection is gone; for the machine that is the end of the stream.
    fn lose(&mut self, error: &std::io::Error) {
        self.span.in_scope(|| debug!(%error, "connection lost"));
        if !self.knows_end {
            self.knows_end = true;
            self.next = Some(Input::EndOfStream);
        }
    }

    /// Takes an answer in: what it brings for us, and what the log is told of it.
    fn hear(&mut self, id: AskId, told: Told) -> Input<'static> {
        if told.draft.is_some() {
            self.in_hand.draft = told.draft;
        }
        if told.held.is_some() {
            self.in_hand.held = told.held;
        }
        if let Some(trouble) = &told.trouble {
            self.span.in_scope(|| trouble.report());
        }
        match &told.answer {
            Answer::Verdict(verdict) => self
                .span
                .in_scope(|| notes::verdict(verdict, &self.asked_about)),
            Answer::Outside(Some(found)) => self
                .span
                .in_scope(|| notes::verdict(&found.verdict, &self.asked_about)),
            Answer::Peer(peer) => self.peer = *peer,
            _ => {}
        }
        Input::Answer(id, told.answer)
    }

    /// Performs what the machine wants done, in order.
    async fn perform(&mut self) -> Result<(), End> {
        let mut actions = mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.perform_one(action).await?;
        }
        // The space is kept for the next step.
        self.actions = actions;
        Ok(())
    }

    /// Performs one action.
    async fn perform_one(&mut self, action: Action) -> Result<(), End> {
        match action {
            Action::Write(octets) => {
                self.wire.queue(octets);
                if self.wire.is_full() {
                    self.flush().await;
                }
            }
            Action::Ask(id, ask) => self.ask(id, ask),
            Action::Head(head) => {
                // The client may begin before the next hop lets us.
                self.flush().await;
                self.pass_on(head.as_bytes()).await;
            }
            Action::Append(piece) => self.append(piece).await,
            Action::Abandon => self.give_up().await,
            Action::SetTimer(at) => {
                self.timer.as_mut().reset(clock::instant(at));
                self.timer_is_set = true;
            }
            Action::StartTls => self.start_tls().await?,
            Action::Note(note) => self.span.in_scope(|| notes::note(&note)),
            Action::Close => return Err(End::Closed),
        }
        Ok(())
    }

    /// Sends a question on its way.
    fn ask(&mut self, id: AskId, ask: Ask) {
        if let Ask::Verify { reverse_path, .. } = &ask {
            self.asked_about = reverse_path.to_string();
            // Nothing of a transaction before: the machine has had it given up.
            self.in_hand = InHand::default();
        }
        let asking = match (ask, &self.refused) {
            // Behind content that was refused, before the machine could hear of it.
            (Ask::Commit(_), Some(reply)) => {
                self.in_hand = InHand::default();
                world::ready(Answer::Committed(Err(reply.clone())))
            }
            (Ask::Content { verdict, .. }, Some(_)) => world::ready(Answer::Verdict(verdict)),
            (ask, _) => {
                self.refused = None;
                match &ask {
                    Ask::Begin {
                        is_own, is_claimed, ..
                    } => {
                        self.vouching = is_own.then(Box::default);
                        self.claimed = is_claimed.then(Box::default);
                    }
                    Ask::Content { .. } => {
                        let claimed = self.claimed.take();
                        self.in_hand.covered = claimed.map(|reader| reader.finish());
                    }
                    Ask::Commit(envelope) => {
                        let vouching = self.vouching.take();
                        self.in_hand.vouched = vouching.map(|vouching| {
                            let now = clock::now().wall;
                            vouching.finish(envelope, now)
                        });
                    }
                    _ => {}
                }
                world::ask(&self.site, self.peer, ask, &mut self.in_hand, &self.span)
            }
        };
        self.asked = Some((id, asking));
    }

    /// Hands content down the paths, and to the spool. Once nobody takes it, the rest goes nowhere:
    /// the machine reads on to the end of the message, so that the session stays in step.
    async fn append(&mut self, piece: Vec<u8>) {
        let piece = Bytes::from(piece);
        if let Some(vouching) = &mut self.vouching {
            vouching.read(&piece);
        }
        if let Some(claimed) = &mut self.claimed {
            claimed.read(&piece);
        }
        if let Some(held) = &mut self.in_hand.held {
            held.read(&piece);
        }
        self.pass_on(&piece).await;
        let Some(draft) = &mut self.in_hand.draft else {
            return;
        };
        let Err(error) = draft.append(piece).await else {
            return;
        };
        let trouble = Trouble::new("cannot take content", &error);
        self.span.in_scope(|| trouble.report());
        self.in_hand.draft = None;
        let passes_on = match &mut self.in_hand.held {
            Some(held) => held.draft_lost(error.reply()),
            None => false,
        };
        if !passes_on {
            self.refused = Some(error.reply());
            self.next = Some(Input::ContentRefused(error.reply()));
        }
    }

    /// Hands content down the paths that are held. The client is not listened to meanwhile.
    async fn pass_on(&mut self, piece: &[u8]) {
        let Some(held) = &mut self.in_hand.held else {
            return;
        };
        let began = clock::mono();
        held.push(piece).await;
        if clock::mono().since(began) > NOTICED {
            self.next.get_or_insert(Input::Resumed);
        }
    }

    /// Gives up what is in hand for the transaction.
    async fn give_up(&mut self) {
        self.in_hand.draft = None;
        self.vouching = None;
        self.claimed = None;
        if let Some(held) = self.in_hand.held.take() {
            held.abandon().instrument(self.span.clone()).await;
        }
    }

    /// Sends the reply to STARTTLS, forgets what came in clear behind the command, and hands the
    /// bare socket over (RFC 3207 §4.2: nothing that was learnt in clear survives).
    async fn start_tls(&mut self) -> Result<(), End> {
        let Some(config) = self.site.tls.clone() else {
            return Err(End::Tls(StartTlsError::State));
        };
        self.flush().await;
        let dropped = self.unread.forget();
        if dropped > 0 {
            self.span.in_scope(|| {
                info!(
                    octets = dropped,
                    "dropped what was sent in clear behind STARTTLS"
                );
            });
        }
        let session = self.wire.start_tls(config).await.map_err(End::Tls)?;
        self.next = Some(Input::TlsStarted(session));
        Ok(())
    }
}

/// Says so, within the session's span, if the session ends in a panic: a bug of ours, which must
/// not pass unseen because the other sessions go on.
struct Witness(Span);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.in_scope(|| error!("the session ended in a panic"));
        }
    }
}

/// The open question's answer, if it is there; then none is open.
fn poll_answer(
    asked: &mut Option<(AskId, Asking)>,
    context: &mut Context<'_>,
) -> Option<(AskId, Told)> {
    let (id, asking) = asked.as_mut()?;
    let id = *id;
    let Poll::Ready(told) = asking.as_mut().poll(context) else {
        return None;
    };
    *asked = None;
    Some((id, told))
}

/// A wait of ours for a next hop that a client's own time is not to pay for.
const NOTICED: Duration = Duration::from_millis(100);
