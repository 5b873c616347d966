//! What only held transactions have: recipients that come one by one, a content that waits for leave,
//! and a driver that may give up at any moment.
//!
//! Promises: what was given up is not delivered, unless its completing octets were sent before; and
//! whatever of it the peer still has open is cleared by RSET before the next MAIL, or by the end of
//! the session.

use alloc::vec::Vec;

use crate::envelope::Recipient;
use crate::reply::{Reply, ReplyClass};

use super::encoding::Form;
use super::{Action, Coming, Expected, Phase, Session, Standing, Trouble};

impl Session {
    /// The transaction in hand is told of each recipient that is taken.
    pub(super) fn is_held(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.coming != Coming::AtOnce)
    }

    /// More recipients may come.
    pub(super) fn awaits_recipients(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| current.coming == Coming::OneByOne)
    }

    /// One more recipient.
    pub(super) fn recipient(&mut self, recipient: Recipient, actions: &mut Vec<Action>) {
        if !self.awaits_recipients() {
            return;
        }
        let Some(current) = &mut self.current else {
            return;
        };
        let index = current.standing.len();
        let too_wide = !recipient.path.is_ascii() && !self.offers.smtputf8;
        current.transaction.recipients.push(recipient);
        current.standing.push(Standing::Open);
        if too_wide {
            let outcome = self.without_smtputf8();
            return self.decide(index, outcome, actions);
        }
        current.unsent.push_back(Expected::Recipient(index));
        self.go_on(actions);
    }

    /// All recipients have come.
    pub(super) fn proceed(&mut self, actions: &mut Vec<Action>) {
        if !self.awaits_recipients() {
            return;
        }
        if let Some(current) = &mut self.current {
            current.coming = Coming::AllHere;
            if current.encoder.form() == Form::Lines {
                current.unsent.push_back(Expected::Data);
            }
        }
        self.decided(actions);
        self.go_on(actions);
    }

    /// The transaction is given up.
    pub(super) fn abandon(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            // The peer may be waiting for content by now, and a lone dot would deliver that; or the
            // whole has been sent.
            Phase::Envelope if self.expected.contains(&Expected::Data) => {
                self.trouble(Trouble::GivenUp, actions);
            }
            Phase::Completing => self.trouble(Trouble::GivenUp, actions),
            Phase::Envelope => {
                let outcome = self.trouble_outcome(Trouble::GivenUp);
                self.decide_all(&outcome, actions);
                self.go_on(actions);
            }
            Phase::Content | Phase::Prepared => {
                let outcome = self.trouble_outcome(Trouble::GivenUp);
                self.abort_content(&outcome, actions);
            }
            _ => {}
        }
    }

    /// Something harmless is said, so that the peer sees that we are there.
    pub(super) fn noop(&mut self, actions: &mut Vec<Action>) {
        if self.awaits_recipients() && self.expected.is_empty() {
            self.expected.push_back(Expected::Noop);
            self.write(b"NOOP\r\n".to_vec(), actions);
        }
    }

    /// Whether the peer knows NOOP is no matter.
    pub(super) fn noop_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.class() == ReplyClass::Intermediate {
            self.trouble(Trouble::OutOfStep, actions);
        } else {
            self.go_on(actions);
        }
    }
}
