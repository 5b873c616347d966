//! From DATA to the last octet of the content.

use alloc::vec::Vec;

use crate::outcome::{Outcome, OutcomeClass};
use crate::queue_id::QueueId;
use crate::reply::Reply;

use super::{Action, Branch, BranchId, BranchStage, Draft, Fate, Path, Recipient, Stage, replies};

impl Path {
    /// The content begins, if there is a way for every recipient.
    pub(super) fn begin(&mut self, queue_id: QueueId, actions: &mut Vec<Action>) {
        if self.stage != Stage::Envelope {
            return actions.push(Action::Begin(Err(replies::no_answer())));
        }
        self.queue_id = queue_id;
        let mut all = self.recipients.iter();
        let is_lost = |one: &Recipient| one.fate == Fate::Silent && !self.is_stored(one);
        let stranded = if self.for_each {
            all.all(is_lost)
        } else {
            all.any(is_lost)
        };
        if stranded || self.recipients.is_empty() {
            self.abandon(actions);
            return actions.push(Action::Begin(Err(replies::no_answer())));
        }
        self.proceed(actions);
        let waits = |branch: &Branch| branch.stage == BranchStage::Waiting;
        let tees = self.may_prove
            || self.recipients.iter().any(|one| self.is_stored(one))
            || self.branches.iter().any(waits);
        self.draft = if tees { Draft::Written } else { Draft::None };
        self.stage = Stage::Content;
        actions.push(Action::Begin(Ok(tees)));
    }

    /// The branches that have somebody to bring the message to get it; the others are given up, which
    /// have refused all that they were asked for.
    fn proceed(&mut self, actions: &mut Vec<Action>) {
        let open: Vec<_> = self.open_branches().collect();
        for id in open {
            if self.is_needed(id) {
                actions.push(Action::Proceed(id));
            } else {
                self.give_up(id, actions);
            }
        }
    }

    /// Every path that waited for the verdict has been asked for: what is open gets the content.
    pub(super) fn replay(&mut self, actions: &mut Vec<Action>) {
        self.proceed(actions);
        if self.open_branches().next().is_some() {
            self.stage = Stage::Replaying;
            actions.push(Action::Replay);
        } else {
            self.stage = Stage::Ending;
            self.go_on(actions);
        }
    }

    /// The branches have had it.
    pub(super) fn replayed(&mut self, actions: &mut Vec<Action>) {
        if self.stage == Stage::Replaying {
            self.prepare(actions);
        }
    }

    /// A branch has ended before it was to complete.
    pub(super) fn broke(
        &mut self,
        id: BranchId,
        ends: &[(usize, Outcome)],
        actions: &mut Vec<Action>,
    ) {
        match self.stage {
            Stage::Envelope | Stage::Content | Stage::Replaying | Stage::Ending => {}
            // One that is asked says so itself.
            Stage::Asked(..) | Stage::Late(..) | Stage::Storing | Stage::Over => return,
        }
        self.take_ends(id, ends);
        self.is_over(id);
        if self.stage == Stage::Ending {
            self.go_on(actions);
        }
    }

    /// The draft has no more worth; the branches may still have the message.
    pub(super) fn draft_lost(&mut self, reply: Reply) {
        if self.draft == Draft::Written {
            self.draft = Draft::Lost(reply);
        }
    }

    /// Notes the ends of a branch's recipients. One that has none in the list had no reply.
    pub(super) fn take_ends(&mut self, id: BranchId, ends: &[(usize, Outcome)]) {
        for recipient in &mut self.recipients {
            let Some((branch, place)) = recipient.branch else {
                continue;
            };
            if branch != id || recipient.fate != Fate::Open {
                continue;
            }
            let end = ends.iter().find(|(of, _)| *of == place);
            recipient.fate = end.map_or(Fate::Silent, |(_, outcome)| fate_of(outcome));
        }
    }
}

/// What an end means. Our own finding that the next hop cannot take such a message is as good as its
/// reply; any other finding of ours is that it has not replied.
fn fate_of(outcome: &Outcome) -> Fate {
    if outcome.is_refusal() {
        Fate::Refused(outcome.clone())
    } else if outcome.class == OutcomeClass::Delivered {
        Fate::Delivered(outcome.clone())
    } else {
        Fate::Silent
    }
}
