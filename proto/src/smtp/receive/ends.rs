//! How a session ends: too many errors, silence, the peer leaving, the service stopping.

use core::mem;

use super::session::{Phase, Progress, Session, Transaction, Turn, Waiting};
use super::{Action, Note, replies};
use crate::queue_id::QueueId;
use crate::reply::{Reply, ReplyClass};

impl Session {
    /// True if a refusal is the peer's error: not one for now, and none that follows from an
    /// earlier refusal of ours.
    pub(super) fn is_error(&self, reply: &Reply) -> bool {
        let refused_before = match &self.transaction {
            Transaction::None => false,
            Transaction::Refused | Transaction::Invalidated => true,
            Transaction::Open(open) => matches!(open.progress, Progress::Failed),
        };
        let follows = refused_before && reply.code() == OUT_OF_SEQUENCE;
        reply.class() == ReplyClass::Permanent && !follows
    }

    /// Counts an error, if it is one, and closes when there are too many.
    pub(super) fn count_error(&mut self, is_error: bool, turn: &mut Turn<'_>) {
        if !is_error {
            return;
        }
        self.errors = self.errors.saturating_add(1);
        if self.errors > self.settings.limits.errors {
            turn.say(&replies::too_many_errors());
            self.close(turn);
        }
    }

    /// A message was accepted: this peer is here to send mail, and its claims are of messages.
    pub(super) fn forgive_errors(&mut self) {
        self.errors = 0;
        self.claims = 0;
    }

    /// The transaction is over, and its message dealt with.
    pub(super) fn drop_transaction(&mut self) {
        self.end_pace();
        self.forwarded = None;
        self.transaction = Transaction::None;
    }

    /// Ends the transaction, and drops its message if it had begun one.
    pub(super) fn end_transaction(&mut self, turn: &mut Turn<'_>) -> Option<QueueId> {
        self.end_pace();
        self.forwarded = None;
        let transaction = mem::replace(&mut self.transaction, Transaction::None);
        let Transaction::Open(open) = transaction else {
            return None;
        };
        let Progress::Begun(draft) = open.progress else {
            if open.is_held && matches!(open.progress, Progress::Envelope) {
                turn.actions.push(Action::Abandon);
            }
            return None;
        };
        if draft.is_sound() {
            turn.actions.push(Action::Abandon);
        }
        Some(draft.queue_id())
    }

    /// Drops what was begun and closes.
    pub(super) fn close(&mut self, turn: &mut Turn<'_>) {
        self.end_transaction(turn);
        self.forget_octets();
        self.phase = Phase::Closed;
        self.deadline = None;
        turn.actions.push(Action::Close);
    }

    /// The timer ran out; which may be too early, since it is not moved for each piece.
    pub(super) fn timer_fired(&mut self, turn: &mut Turn<'_>) {
        self.armed = None;
        if self
            .deadline
            .is_none_or(|deadline| turn.now.mono < deadline)
        {
            return;
        }
        if self.is_expendable() {
            turn.say(&replies::make_room());
            turn.note(Note::MadeRoom);
        } else {
            turn.say(&replies::timed_out());
            turn.note(Note::TimedOut {
                in_content: matches!(self.phase, Phase::Content(_)),
            });
        }
        self.close(turn);
    }

    /// The peer sends no more.
    pub(super) fn peer_left(&mut self, turn: &mut Turn<'_>) {
        if let Phase::Waiting(_, Waiting::Commit(_)) = self.phase {
            self.left = true;
            return;
        }
        let queue_id = self.end_transaction(turn);
        turn.note(Note::Disconnected { queue_id });
        self.close(turn);
    }

    /// With the service stopping, closes as soon as no message is in hand.
    pub(super) fn stop_if_idle(&mut self, turn: &mut Turn<'_>) {
        let in_hand = match (&self.phase, &self.transaction) {
            (Phase::Closed | Phase::Content(_) | Phase::Waiting(_, Waiting::Commit(_)), _) => true,
            (_, Transaction::Open(open)) => matches!(open.progress, Progress::Begun(_)),
            _ => false,
        };
        if !self.stopping || in_hand {
            return;
        }
        // In the middle of a handshake a reply in clear would be garbage.
        if !matches!(self.phase, Phase::StartingTls) {
            turn.say(&replies::shutting_down());
        }
        self.close(turn);
    }

    /// Sets the driver's timer, if it would fire too late or not at all.
    pub(super) fn arm(&mut self, turn: &mut Turn<'_>) {
        if let Some(deadline) = self.deadline
            && self.armed.is_none_or(|armed| armed > deadline)
        {
            self.armed = Some(deadline);
            turn.actions.push(Action::SetTimer(deadline));
        }
    }
}

/// What follows from an earlier refusal is out of sequence (RFC 5321 §4.2.3).
const OUT_OF_SEQUENCE: u16 = 503;
