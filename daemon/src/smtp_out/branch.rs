//! One held transaction over a session with a next hop: the branch that a client's own transaction has
//! there. Each RCPT is asked when the client asks it, content goes on as it comes, and the client may
//! leave at any moment.
//!
//! Promises: no wait for the peer is longer than the machine's timer, which stands still while the
//! caller waits for its own client; what the caller gives up, or drops, is not delivered, unless
//! [`Branch::complete`] was called; every recipient that was asked for has one outcome in the end, unless
//! the branch is [`Said::Stale`]; a session is given back only if nothing of this transaction is left on
//! it that could be taken for the next one's.
//!
//! Left to others: which recipients belong here and what the client is told (the held path), the
//! session's beginning ([`super::open`]) and what becomes of it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::timeout_at;
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::smtp::deliver::{Input, Transaction};
use vouchsafe_proto::smtp::xhold::{Reach, Terms};
use vouchsafe_proto::time::Mono;

use super::{Connection, Seen};
use crate::clock;

/// What a next hop said of a recipient, or that it said nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// RCPT was taken.
    Accepted,
    /// A 4yz or 5yz reply to MAIL or RCPT; or our own finding that the hop cannot take the message
    /// (SIZE, SMTPUTF8, ...), which is permanent.
    Refused(Outcome),
    /// No reply is to be had: the connection ended or timed out, or the hop spoke nonsense, or said
    /// that it ends the session (421).
    Lost(Outcome),
    /// Nothing was tried: the session had carried others, and had ended meanwhile. It is worth asking
    /// again on a new one.
    Stale,
}

impl Said {
    /// What an outcome from before the content means.
    fn of(outcome: Outcome) -> Self {
        if outcome.is_refusal() {
            Self::Refused(outcome)
        } else {
            Self::Lost(outcome)
        }
    }
}

/// A held transaction: [`begin`](Self::begin), then [`recipient`](Self::recipient) as often as need be,
/// [`proceed`](Self::proceed), [`push`](Self::push), [`prepare`](Self::prepare),
/// [`complete`](Self::complete). It ends before, if it is refused or the peer is lost; its outcomes are
/// there then, and what is still asked of it is of no effect. A future of it that is dropped before its
/// end ends it too.
pub struct Branch {
    connection: Connection,
    seen: Seen,
    /// Recipients that were asked for.
    count: usize,
    /// Why MAIL was refused, which holds for all.
    refused: Option<Outcome>,
    /// Content follows.
    proceeded: bool,
    completed: bool,
    /// A future is on its way, or was dropped there.
    busy: bool,
    /// What was left of the machine's timer when the peer was last turned away from.
    left: Option<Duration>,
}

impl Branch {
    /// On a session that is idle.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            seen: Seen::default(),
            count: 0,
            refused: None,
            proceeded: false,
            completed: false,
            busy: false,
            left: None,
        }
    }

    /// The other end.
    pub fn remote(&self) -> &Remote {
        self.connection.remote()
    }

    /// On what terms the peer holds paths, if it does.
    pub const fn terms(&self) -> Option<Terms> {
        self.connection.session.terms()
    }

    /// Where the path ends of the recipient that was taken last, if the peer has said so.
    pub const fn reach(&self) -> Option<Reach> {
        self.connection.session.reach()
    }

    /// MAIL, and RCPT for the first recipient; those in `transaction` are of no matter. Once only.
    pub async fn begin(&mut self, mut transaction: Transaction, first: Recipient) -> Said {
        self.turn_to_peer().await;
        if self.connection.session.has_carried() {
            // Whatever an idle session has to say, it has ended.
            self.connection.look(&mut self.seen).await;
        }
        transaction.recipients = vec![first];
        self.count = 1;
        self.feed(Input::Hold(Box::new(transaction))).await;
        let said = self.answer(0).await;
        if let Said::Refused(outcome) = &said
            && self.has_ended()
            && !self.seen.closed
        {
            self.refused = Some(outcome.clone());
        }
        self.turn_away();
        said
    }

    /// RCPT for one more recipient. Once the branch has ended nothing is asked: what ended it is the
    /// answer.
    pub async fn recipient(&mut self, recipient: Recipient) -> Said {
        let index = self.count;
        self.count = self.count.saturating_add(1);
        // What was said before it was asked is no answer.
        let said = if self.is_there().await {
            self.feed(Input::Recipient(Box::new(recipient))).await;
            self.answer(index).await
        } else {
            self.answer_of_the_end(index)
        };
        self.turn_away();
        said
    }

    /// No more recipients: DATA, or nothing where content is counted. The reply is not waited for: the
    /// first content meets it. False once the branch has ended, as it does here without a recipient
    /// that was taken.
    pub async fn proceed(&mut self) -> bool {
        if self.is_there().await {
            self.proceeded = true;
            self.feed(Input::Proceed).await;
        }
        self.turn_away();
        !self.has_ended()
    }

    /// One piece of content; first it waits for leave to send it. It is sent before this returns, or
    /// gathered with others up to [`GATHERED`](super::GATHERED), which an empty one sends. False
    /// once the branch has ended: the peer need not wait for all of it to refuse it.
    pub async fn push(&mut self, piece: &[u8]) -> bool {
        if piece.is_empty() {
            return self.flush().await;
        }
        let asked = self.is_asked().await;
        if asked {
            self.feed(Input::Content(piece)).await;
        }
        self.turn_away();
        asked && !self.has_ended()
    }

    /// Sends what was gathered. False once the branch has ended.
    async fn flush(&mut self) -> bool {
        if !self.connection.unsent.is_empty() {
            self.turn_to_peer().await;
            self.connection.flush(&mut self.seen).await;
            self.turn_away();
        }
        !self.has_ended()
    }

    /// No more content. True if all of it is sent, but the octets that complete it; or if it is the only
    /// branch, and what was gathered is to leave with those: nobody else completes then though this
    /// one cannot.
    pub async fn prepare(&mut self, is_only: bool) -> bool {
        if self.is_asked().await {
            self.feed(Input::ContentEnd).await;
            if !is_only {
                self.connection.flush(&mut self.seen).await;
            }
        }
        self.turn_away();
        self.seen.prepared && !self.has_ended()
    }

    /// Sends the completing octets, after [`prepare`](Self::prepare) was true, and waits for the final
    /// reply, or replies; not beyond `until`, if that is before the machine's timer.
    pub async fn complete(&mut self, until: Option<Mono>) {
        if self.is_there().await && std::mem::take(&mut self.seen.prepared) {
            // Who drops this midway cannot know.
            self.completed = true;
            self.completed = self.connection.complete(&mut self.seen).await;
            while !self.has_ended() {
                let timer = self.connection.timer;
                self.connection.timer = timer.into_iter().chain(until).min();
                self.connection.hear(&mut self.seen).await;
            }
        }
        self.turn_away();
    }

    /// Gives the transaction up: nothing of it may be delivered.
    pub async fn abandon(&mut self) {
        self.turn_to_peer().await;
        self.feed(Input::Abandon).await;
        self.turn_away();
    }

    /// Says NOOP, so that the peer waits on; its reply is not waited for. Of effect only before
    /// [`proceed`](Self::proceed). False once the branch has ended.
    pub async fn noop(&mut self) -> bool {
        if self.is_there().await {
            self.feed(Input::Noop).await;
        }
        self.turn_away();
        !self.has_ended()
    }

    /// The outcomes so far, each with its recipient's place in the order in which they were asked for.
    pub fn outcomes(&self) -> &[(usize, Outcome)] {
        &self.seen.outcomes
    }

    /// A recipient was taken, and may be told so: there is no other host for it from then on.
    pub const fn has_taken(&self) -> bool {
        self.seen.accepted.is_some()
    }

    /// The peer was waited for in vain, for as long as the machine's timer let it.
    pub const fn was_silent(&self) -> bool {
        self.seen.timed_out
    }

    /// MAIL was refused: what is said of a recipient is said of the sender.
    pub const fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// The completing octets were given away: whatever a transient outcome in our own words says, the
    /// message may be there.
    pub const fn completed(&self) -> bool {
        self.completed
    }

    /// The session, if it can carry another transaction. Replies that are still due are waited for, but
    /// not for long; a session that is of no more use is closed.
    pub async fn into_connection(mut self) -> Option<Connection> {
        let deadline = clock::instant(clock::now().mono.plus(SETTLED_WITHIN));
        let settled = !self.busy && timeout_at(deadline, self.settle()).await.is_ok();
        let untouched = self.count == 0;
        let idle = untouched || (self.seen.finished && self.seen.ready);
        if settled && idle && !self.seen.closed {
            return Some(self.connection);
        }
        self.connection.shut().await;
        None
    }

    /// Waits for what is due behind the end of the transaction.
    async fn settle(&mut self) {
        while self.seen.finished && !self.seen.is_over() {
            self.connection.hear(&mut self.seen).await;
        }
    }

    /// The peer's answer for a recipient.
    async fn answer(&mut self, index: usize) -> Said {
        loop {
            let mut outcomes = self.seen.outcomes.iter();
            if let Some((_, outcome)) = outcomes.find(|(of, _)| *of == index) {
                return Said::of(outcome.clone());
            }
            if self.has_ended() {
                return self.answer_of_the_end(index);
            }
            if self.seen.accepted == Some(index) {
                return Said::Accepted;
            }
            self.connection.hear(&mut self.seen).await;
        }
    }

    /// What ended the branch, said of a recipient that the machine has not heard of.
    fn answer_of_the_end(&mut self, index: usize) -> Said {
        if self.seen.unstarted {
            return Said::Stale;
        }
        let said = self.refused.clone().map_or_else(
            || {
                let lost = |(_, outcome): &(usize, Outcome)| match Said::of(outcome.clone()) {
                    said @ Said::Lost(_) => Some(said),
                    _ => None,
                };
                let mut outcomes = self.seen.outcomes.iter().rev();
                outcomes.find_map(lost).unwrap_or_else(|| {
                    let remote = Some(self.remote().clone());
                    let text = "the next hop had ended the session";
                    Said::Lost(Outcome::local((4, 4, 2), remote, text))
                })
            },
            Said::Refused,
        );
        if let Said::Refused(outcome) | Said::Lost(outcome) = &said {
            self.seen.outcomes.push((index, outcome.clone()));
        }
        said
    }

    /// Takes what the peer has said by now; true if the branch has not ended.
    async fn is_there(&mut self) -> bool {
        self.turn_to_peer().await;
        if !self.has_ended() {
            self.connection.look(&mut self.seen).await;
        }
        !self.has_ended()
    }

    /// Waits until the machine asks for content, and takes that up; false if it will not.
    async fn is_asked(&mut self) -> bool {
        let mut there = self.is_there().await && self.proceeded && !self.seen.prepared;
        while there && !self.seen.wants_content {
            self.connection.hear(&mut self.seen).await;
            there = !self.has_ended();
        }
        there && std::mem::take(&mut self.seen.wants_content)
    }

    /// Nothing more will come of it.
    const fn has_ended(&self) -> bool {
        self.seen.finished || self.seen.closed || self.seen.unstarted
    }

    async fn feed(&mut self, input: Input<'_>) {
        self.connection.feed(input, &mut self.seen).await;
    }

    /// The timer goes on. What a dropped future had in hand is gone, and the session with it.
    async fn turn_to_peer(&mut self) {
        if let Some(left) = self.left.take() {
            self.connection.timer = Some(clock::now().mono.plus(left));
        }
        if std::mem::replace(&mut self.busy, true) {
            self.feed(Input::EndOfStream).await;
        }
    }

    /// The timer stands still.
    fn turn_away(&mut self) {
        let now = clock::now().mono;
        self.left = self.connection.timer.map(|at| at.since(now));
        self.busy = false;
    }
}

/// How long replies are waited for that matter only to whoever wants the session next.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);
