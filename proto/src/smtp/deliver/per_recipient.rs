//! A last word for each recipient (PRDR, draft-hall-prdr-00). A server that was asked for it, and whose
//! recipients end differently, says 353 to the end of the message, by DATA or by BDAT (§4.4), then a reply
//! for each recipient that it has accepted, and one for the whole; any other reply stands for all as ever.
//!
//! What is made of them (§4.6): the recipients' own are as if they had come to RCPT, the last one as if it
//! had been the only one to the message. So a recipient is delivered to only if both are 2yz; a
//! refusal of its own stands, whatever the last reply; and who was not refused has what that says. A server
//! answers for nothing before it (§4.5.2: "MUST NOT act on these responses until the final response is
//! received"): where it does not come, everybody is in doubt, and those who were refused are refused again.

use alloc::vec::Vec;

use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::{Reply, ReplyClass};

use super::{Action, Coming, Expected, Protocol, Session, Trouble};

/// A reply for each recipient follows (§4.5.1).
pub(super) const EACH_FOLLOWS: u16 = 353;

impl Session {
    /// PRDR stands with MAIL: it was offered, and there are several recipients, or may come to be. LMTP
    /// answers for each without it.
    pub(super) fn asks_for_each(&self) -> bool {
        let offered = self.offers.prdr && self.settings.protocol == Protocol::Smtp;
        let several = |current: &super::Current| {
            current.transaction.per_recipient
                && (current.coming != Coming::AtOnce || current.standing.len() > 1)
        };
        offered && self.current.as_ref().is_some_and(several)
    }

    /// 353 has come.
    pub(super) fn each_follows(&mut self) {
        let accepted: Vec<_> = self.accepted().map(Expected::Each).collect();
        self.expected.extend(accepted);
        self.expected.push_back(Expected::Final);
    }

    /// What is said of one recipient.
    pub(super) fn answered_for(&mut self, index: usize, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.class() == ReplyClass::Intermediate {
            return self.trouble(Trouble::OutOfStep, actions);
        }
        let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
        if let Some(current) = &mut self.current {
            current.words.push((index, outcome));
        }
    }

    /// What is said of the whole.
    pub(super) fn final_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.class() == ReplyClass::Intermediate {
            return self.trouble(Trouble::OutOfStep, actions);
        }
        let current = self.current.as_mut();
        let words = current.map(|current| core::mem::take(&mut current.words));
        for (index, word) in words.unwrap_or_default() {
            if word.class != OutcomeClass::Delivered {
                self.decide(index, word, actions);
            }
        }
        let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
        self.decide_all(&outcome, actions);
        self.dirty = outcome.class != OutcomeClass::Delivered;
        self.go_on(actions);
    }
}
