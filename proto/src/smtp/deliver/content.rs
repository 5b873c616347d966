//! The message itself, from the first piece to the replies that decide it (RFC 5321 §4.1.1.4,
//! RFC 3030 §2, RFC 2033 §4.2).

use alloc::vec::Vec;

use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::{Reply, ReplyClass};

use super::encoding::{Fault, Form};
use super::per_recipient::EACH_FOLLOWS;
use super::{Action, Expected, Phase, Protocol, Session, Trouble};

/// Chunks on their way unanswered, where the peer offers PIPELINING: enough to keep the line
/// busy, and few enough that their replies fit into any socket buffer.
const CHUNKS: usize = 4;

impl Session {
    /// The peer waits for content.
    pub(super) fn begin_content(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Content;
        self.moved = true;
        actions.push(Action::WantContent);
    }

    /// Sends a piece.
    pub(super) fn content(&mut self, piece: &[u8], actions: &mut Vec<Action>) {
        if self.phase != Phase::Content {
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let form = current.encoder.form();
        match current.encoder.piece(piece) {
            Ok(octets) => {
                if !octets.is_empty() {
                    if form == Form::Chunks {
                        self.expected.push_back(Expected::Chunk);
                    }
                    self.write(octets, actions);
                }
                self.moved = true;
                self.want_more(actions);
            }
            Err(fault) => self.abort_content(&self.fault_outcome(fault), actions),
        }
    }

    /// Asks for the next piece, unless too many chunks are unanswered.
    fn want_more(&mut self, actions: &mut Vec<Action>) {
        if self.expected.len() < self.chunks_at_once() {
            actions.push(Action::WantContent);
        }
    }

    /// How many chunks may be unanswered when another is sent, that one included.
    const fn chunks_at_once(&self) -> usize {
        if self.offers.pipelining { CHUNKS } else { 1 }
    }

    pub(super) fn chunk_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        match (reply.class(), self.phase) {
            (ReplyClass::Positive, Phase::Content)
                if self.expected.len().saturating_add(1) == self.chunks_at_once() =>
            {
                // The window was full, so no piece has been asked for.
                actions.push(Action::WantContent);
            }
            (ReplyClass::Positive, Phase::Draining) => self.go_on(actions),
            (ReplyClass::Positive, _) => {}
            (ReplyClass::Intermediate, _) => self.trouble(Trouble::OutOfStep, actions),
            // Chunks behind the refused one are refused too (RFC 3030 §2): the first reply says
            // why.
            (ReplyClass::Transient | ReplyClass::Permanent, _) => {
                let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
                self.decide_all(&outcome, actions);
                self.dirty = true;
                // How many replies LMTP gives to a last chunk that it discards is anybody's guess.
                if matches!(self.expected.back(), Some(Expected::CompletionFor(_))) {
                    self.close(actions);
                }
                self.go_on(actions);
            }
        }
    }

    /// All content has been given.
    pub(super) fn content_end(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Content {
            return;
        }
        match self
            .current
            .as_ref()
            .map(|current| current.encoder.finish())
        {
            Some(Ok(octets)) => {
                if !octets.is_empty() {
                    self.write(octets.to_vec(), actions);
                }
                self.phase = Phase::Prepared;
                self.moved = true;
                actions.push(Action::Prepared);
            }
            Some(Err(fault)) => self.abort_content(&self.fault_outcome(fault), actions),
            None => {}
        }
    }

    /// Sends the octets that complete the message.
    pub(super) fn complete(&mut self, actions: &mut Vec<Action>) {
        if self.phase != Phase::Prepared {
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let octets = current.encoder.completion();
        self.phase = Phase::Completing;
        match self.settings.protocol {
            Protocol::Smtp => self.expected.push_back(Expected::Completion),
            Protocol::Lmtp => {
                let accepted: Vec<_> = self.accepted().map(Expected::CompletionFor).collect();
                self.expected.extend(accepted);
            }
        }
        self.write(octets, actions);
    }

    pub(super) fn completion_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.code() == EACH_FOLLOWS && self.asks_for_each() {
            return self.each_follows();
        }
        if reply.class() == ReplyClass::Intermediate {
            return self.trouble(Trouble::OutOfStep, actions);
        }
        let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
        // A completed transaction leaves nothing behind that RSET would have to clear.
        self.decide_all(&outcome, actions);
        self.dirty = outcome.class != OutcomeClass::Delivered;
        self.go_on(actions);
    }

    pub(super) fn completion_answered_for(
        &mut self,
        index: usize,
        reply: &Reply,
        actions: &mut Vec<Action>,
    ) {
        if reply.class() == ReplyClass::Intermediate {
            return self.trouble(Trouble::OutOfStep, actions);
        }
        let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
        self.decide(index, outcome, actions);
        self.go_on(actions);
    }

    /// The content cannot be had.
    pub(super) fn content_failed(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Content | Phase::Prepared) {
            let text = "the message could not be read from this server's own storage";
            self.abort_content(&Outcome::local((4, 3, 0), None, text), actions);
        }
    }

    fn fault_outcome(&self, fault: Fault) -> Outcome {
        let remote = Some(self.settings.remote.clone());
        match fault {
            Fault::BareLineEnd => Outcome::local(
                (5, 6, 0),
                remote,
                "the message has a line that does not end in CR and LF, which must not be passed \
                 on",
            ),
            Fault::EightBit => Outcome::local(
                (5, 6, 3),
                remote,
                "the message has octets above 127, which the next hop does not take (8BITMIME)",
            ),
        }
    }

    /// Ends the transaction so that nothing of it is delivered: a chunked one by RSET before the
    /// next MAIL; after DATA there is no way but to close without the dot.
    pub(super) fn abort_content(&mut self, outcome: &Outcome, actions: &mut Vec<Action>) {
        let form = self.current.as_ref().map(|current| current.encoder.form());
        self.moved = true;
        self.decide_all(outcome, actions);
        if form == Some(Form::Chunks) {
            self.go_on(actions);
        } else {
            self.close(actions);
        }
    }
}
