//! From DATA to the last octet of the content.

use alloc::vec::Vec;

use crate::outcome::{Outcome, OutcomeClass};
use crate::queue_id::QueueId;
use crate::reply::Reply;

use super::{Action, Branch, BranchId, BranchStage, Draft, Fate, Path, Stage, replies};

impl Path {
    /// The content begins, if there is a way for every recipient.
    pub(super) fn begin(&mut self, queue_id: QueueId, actions: &mut Vec<Action>) {
        if self.stage != Stage::Envelope {
            return actions.push(Action::Begin(Err(replies::no_answer())));
        }
        self.queue_id = queue_id;
        let mut all = self.recipients.iter();
        let stranded = all.any(|one| matches!(one.fate, Fate::Silent(_)) && !self.is_stored(one));
        if stranded || self.recipients.is_empty() {
            self.abandon(actions);
            return actions.push(Action::Begin(Err(replies::no_answer())));
        }
        self.proceed(actions);
        let waits = |branch: &Branch| branch.stage == BranchStage::Waiting;
        let tees = self.recipients.iter().any(|one| self.is_stored(one))
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
                if let Some(branch) = self.branch_mut(id) {
                    branch.stage = BranchStage::Over(None);
                }
                actions.push(Action::Abandon(id));
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
        if let Some(branch) = self.branch_mut(id) {
            branch.stage = BranchStage::Over(None);
        }
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
            recipient.fate = end.map_or(Fate::Silent(None), |(_, outcome)| fate_of(outcome));
        }
    }
}

/// What an end means. Our own finding that the next hop cannot take such a message is as good as its
/// reply; any other finding of ours is that it has not replied, and so is 421, by which it leaves.
fn fate_of(outcome: &Outcome) -> Fate {
    let replied = outcome.reply_code().is_some_and(|code| code != LEAVES);
    match outcome.class {
        OutcomeClass::Delivered => Fate::Delivered(outcome.clone()),
        OutcomeClass::Transient if !replied => Fate::Silent(Some(outcome.clone())),
        OutcomeClass::Transient | OutcomeClass::Permanent => Fate::Refused(outcome.clone()),
    }
}

/// RFC 5321 §3.8: service not available, closing.
const LEAVES: u16 = 421;
