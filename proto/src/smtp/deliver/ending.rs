//! How things end: a recipient, a transaction, the session. Here is the promise that each
//! recipient gets exactly one outcome: [`Session::decide`] is the only place that gives one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::{Reply, ReplyClass};

use super::{Action, Coming, Expected, Phase, Session, Standing, Trouble};

impl Session {
    /// Indices of the recipients that were accepted and are not decided.
    pub(super) fn accepted(&self) -> impl Iterator<Item = usize> + '_ {
        let standing = self.current.iter().flat_map(|current| &current.standing);
        standing
            .enumerate()
            .filter(|(_, standing)| **standing == Standing::Accepted)
            .map(|(index, _)| index)
    }

    /// What is known of one recipient.
    pub(super) fn standing_mut(&mut self, index: usize) -> Option<&mut Standing> {
        self.current.as_mut()?.standing.get_mut(index)
    }

    /// Gives one recipient its outcome, unless it has one.
    pub(super) fn decide(&mut self, index: usize, mut outcome: Outcome, actions: &mut Vec<Action>) {
        if outcome.class == OutcomeClass::Delivered {
            outcome.onward = self.onward();
        }
        let Some(standing) = self.standing_mut(index) else {
            return;
        };
        if *standing != Standing::Decided {
            *standing = Standing::Decided;
            actions.push(Action::Outcome(index, outcome));
            self.decided(actions);
        }
    }

    /// Gives every recipient that has none this outcome, which ends the transaction.
    pub(super) fn decide_all(&mut self, outcome: &Outcome, actions: &mut Vec<Action>) {
        let Some(current) = &mut self.current else {
            return;
        };
        if current.coming == Coming::OneByOne {
            current.coming = Coming::AllHere;
        }
        for index in 0..current.standing.len() {
            self.decide(index, outcome.clone(), actions);
        }
        // Those of a held transaction may have had theirs, or it had none yet.
        self.decided(actions);
    }

    /// Ends the transaction if every recipient has its outcome, and no more may come.
    pub(super) fn decided(&mut self, actions: &mut Vec<Action>) {
        let all = self.current.as_ref().is_some_and(|current| {
            let mut standing = current.standing.iter();
            current.coming != Coming::OneByOne
                && standing.all(|standing| *standing == Standing::Decided)
        });
        if all {
            // What MAIL began may still be open at the peer, or the session be invalidated by its
            // refusal. An ordinary end does not come here with anything accepted.
            let touched = self
                .current
                .as_ref()
                .is_some_and(|current| current.answered);
            self.dirty |= touched && self.phase != Phase::Completing;
            self.current = None;
            self.phase = Phase::Draining;
            actions.push(Action::Finished);
        }
    }

    /// Idle, and waiting for the next transaction.
    pub(super) fn ready(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Ready;
        actions.push(Action::Ready);
    }

    /// The driver has no more messages, or gives up.
    pub(super) fn quit(&mut self, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Ready => {
                self.phase = Phase::Leaving;
                self.expected.push_back(Expected::Quit);
                self.write(b"QUIT\r\n".to_vec(), actions);
            }
            Phase::Leaving => {}
            _ => self.trouble(Trouble::Abandoned, actions),
        }
    }

    /// The timer has run out.
    pub(super) fn timer_fired(&mut self, actions: &mut Vec<Action>) {
        // A held transaction between two commands has nothing due.
        let waits_for_us = self.phase == Phase::Envelope && self.expected.is_empty();
        if !waits_for_us && !matches!(self.phase, Phase::New | Phase::Ready) {
            self.trouble(Trouble::TimedOut, actions);
        }
    }

    /// 421, or a RSET refused: the peer ends the session, and says why.
    pub(super) fn shut_out(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if self.phase == Phase::Opening {
            return self.refused(reply, actions);
        }
        if !self.unstarted(actions) {
            let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
            self.decide_all(&outcome, actions);
        }
        self.close(actions);
    }

    /// A reply to nothing.
    pub(super) fn unsolicited(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        let in_content = matches!(self.phase, Phase::Content | Phase::Prepared);
        match reply.class() {
            _ if reply.code() == 421 => self.shut_out(reply, actions),
            // A server that has read enough does not always wait for the dot to say so; what it
            // says is as final, and the dot will not follow.
            ReplyClass::Transient | ReplyClass::Permanent if in_content => {
                self.shut_out(reply, actions);
            }
            _ => self.trouble(Trouble::OutOfStep, actions),
        }
    }

    /// The session ends without the peer having said so in a reply.
    pub(super) fn trouble(&mut self, trouble: Trouble, actions: &mut Vec<Action>) {
        if self.phase == Phase::Closed {
            return;
        }
        let waiting = matches!(self.phase, Phase::New | Phase::Opening | Phase::StartingTls);
        let outcome = self.trouble_outcome(trouble);
        if waiting {
            actions.push(Action::Unusable(outcome));
        } else if trouble != Trouble::Lost || !self.unstarted(actions) {
            self.decide_all(&outcome, actions);
        }
        self.close(actions);
    }

    /// Hands the transaction back, if nothing of it was tried and the session had carried others.
    fn unstarted(&mut self, actions: &mut Vec<Action>) -> bool {
        let back = self.current.take_if(|current| {
            let decided = current.standing.contains(&Standing::Decided);
            self.used && !current.answered && !decided
        });
        match back {
            Some(current) => {
                actions.push(Action::Unstarted(current.transaction));
                true
            }
            None => false,
        }
    }

    /// Over.
    pub(super) fn close(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Closed;
        self.expected.clear();
        actions.push(Action::Close);
    }

    /// What trouble means for those it leaves undecided.
    pub(super) fn trouble_outcome(&self, trouble: Trouble) -> Outcome {
        let waited_for = match self.phase {
            Phase::Content | Phase::Prepared => "the rest of the message was taken",
            Phase::StartingTls => "TLS was up",
            _ => self
                .expected
                .front()
                .map_or("the next command", |expected| expected.describe()),
        };
        let mut text = match trouble {
            Trouble::Lost => format!("the connection was lost before {waited_for}"),
            Trouble::TimedOut => {
                let wait = self.patience().unwrap_or_default();
                format!("{} passed before {waited_for}", in_words(wait))
            }
            Trouble::Garbage(error) => format!("the next hop sent {error} as {waited_for}"),
            Trouble::OutOfStep => {
                String::from("the next hop sent a reply that does not fit what was asked")
            }
            Trouble::ClearBehindTls => {
                String::from("the next hop sent more in clear after it agreed to start TLS")
            }
            Trouble::Abandoned => String::from("this server is stopping"),
            Trouble::GivenUp => String::from("the transaction was given up by this server"),
        };
        if self.phase == Phase::Completing {
            text.push_str("; the whole message had been sent, so it may have arrived all the same");
        }
        let status = match trouble {
            // RFC 3463: bad connection; other protocol status; system not accepting messages.
            Trouble::Lost | Trouble::TimedOut => (4, 4, 2),
            Trouble::Garbage(_) | Trouble::OutOfStep | Trouble::ClearBehindTls => (4, 5, 0),
            Trouble::Abandoned | Trouble::GivenUp => (4, 3, 2),
        };
        Outcome::local(status, Some(self.settings.remote.clone()), text)
    }
}

/// A timer, for a report.
fn in_words(wait: Duration) -> String {
    match wait.as_secs() {
        seconds if seconds >= 120 && seconds.is_multiple_of(60) => {
            format!("{} minutes", seconds / 60)
        }
        1 => String::from("1 second"),
        seconds => format!("{seconds} seconds"),
    }
}
