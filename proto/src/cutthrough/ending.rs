//! The end: every branch that is left prepares, then all complete, and their last words are made into
//! one answer.

use alloc::vec::Vec;

use crate::custody::Custody;
use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::Reply;

use super::{Action, Branch, BranchId, BranchStage, Draft, Fate, Path, Stage, replies};

impl Path {
    /// The content is whole, and nothing speaks against it.
    pub(super) fn end(&mut self, actions: &mut Vec<Action>) {
        if self.stage != Stage::Content {
            return actions.push(Action::End(Err(replies::no_answer())));
        }
        let waits = |branch: &Branch| branch.stage == BranchStage::Waiting;
        if !self.branches.iter().any(waits) {
            self.prepare(actions);
        } else if matches!(self.draft, Draft::Written) {
            self.open_late(0, actions);
        } else {
            let reply = self.no_draft();
            self.abandon(actions);
            actions.push(Action::End(Err(reply)));
        }
    }

    /// The branches that are left are to send all but what completes the message.
    pub(super) fn prepare(&mut self, actions: &mut Vec<Action>) {
        self.stage = Stage::Ending;
        let open: Vec<_> = self.open_branches().collect();
        actions.extend(open.into_iter().map(Action::Prepare));
        self.go_on(actions);
    }

    /// What is said where something would have to be stored, and is not to be.
    pub(super) fn no_draft(&self) -> Reply {
        match &self.draft {
            Draft::Lost(reply) => reply.clone(),
            Draft::None | Draft::Written => replies::no_answer(),
        }
    }

    /// A branch has sent all but what completes the message.
    pub(super) fn prepared(&mut self, id: BranchId, actions: &mut Vec<Action>) {
        if self.stage != Stage::Ending {
            return;
        }
        if let Some(branch) = self.branch_mut(id)
            && branch.stage == BranchStage::Open
        {
            branch.stage = BranchStage::Prepared;
        }
        self.go_on(actions);
    }

    /// A branch has said its last words, or has none any more.
    pub(super) fn completed(
        &mut self,
        id: BranchId,
        ends: &[(usize, Outcome)],
        actions: &mut Vec<Action>,
    ) {
        if self.stage != Stage::Ending {
            return;
        }
        self.take_ends(id, ends);
        self.is_over(id);
        self.go_on(actions);
    }

    /// Completes once all are prepared, and concludes once all are over.
    pub(super) fn go_on(&mut self, actions: &mut Vec<Action>) {
        let open: Vec<_> = self.open_branches().collect();
        if open.is_empty() {
            return self.conclude(actions);
        }
        let stage_of = |id: &BranchId| self.branches.get(id.0).map(|branch| &branch.stage);
        if !open
            .iter()
            .all(|id| stage_of(id) == Some(&BranchStage::Prepared))
        {
            return;
        }
        if self.is_in_vain() {
            // Whoever is refused sends again to all, and nobody has it yet.
            self.abandon_branches(actions);
            return self.conclude(actions);
        }
        for id in open {
            if let Some(branch) = self.branch_mut(id) {
                branch.stage = BranchStage::Completing;
            }
            actions.push(Action::Complete(id));
        }
    }

    /// True if some recipient has ended so that the message cannot be accepted, whatever becomes of the
    /// others.
    fn is_in_vain(&self) -> bool {
        if self.for_each {
            return false;
        }
        let is_written = self.draft == Draft::Written;
        self.recipients.iter().any(|one| match &one.fate {
            Fate::Open | Fate::Delivered(_) | Fate::Repeated(_) => false,
            Fate::Silent => !is_written || !self.is_stored(one),
            Fate::Refused(_) => !is_written || !self.hears_reports(),
        })
    }

    /// Every recipient has its end: one answer is made of them, or one for each.
    fn conclude(&mut self, actions: &mut Vec<Action>) {
        if self.for_each {
            return self.conclude_for_each(actions);
        }
        if self.recipients.iter().all(|one| one.fate.is_delivered()) {
            self.drop_draft(actions);
            let answer = self.taken().ok_or_else(replies::no_answer);
            return self.answer(answer, actions);
        }
        let silent = self.recipients.iter().any(|one| one.fate.is_silent());
        let delivered = self.recipients.iter().any(|one| one.fate.is_delivered());
        if !silent && !delivered {
            self.drop_draft(actions);
            let reply = self.refusal();
            return self.answer(Err(reply), actions);
        }
        // What has no reply is stored, where it may be; and so is what was refused beside others that
        // were not: the reply can be but one, and what it does not tell is reported.
        let left: Vec<_> = (self.recipients.iter().enumerate())
            .filter(|(_, one)| !one.fate.is_delivered())
            .map(|(place, _)| place)
            .collect();
        let may_store = (self.recipients.iter())
            .filter(|one| one.fate.is_silent())
            .all(|one| self.is_stored(one));
        let mixed = delivered || left.len() > 1;
        let may_report = self.hears_reports() || !self.has_refusals() || !mixed;
        if self.draft == Draft::Written && may_store && may_report {
            self.stage = Stage::Storing;
            return actions.push(Action::Store(left));
        }
        let reply = if may_store {
            self.no_draft()
        } else {
            replies::no_answer()
        };
        self.drop_draft(actions);
        self.answer(Err(reply), actions);
    }

    /// The proof that the next hops have it; or that whoever does not has been given it before.
    fn taken(&self) -> Option<Custody> {
        let ends = self.recipients.iter().filter_map(|one| match &one.fate {
            Fate::Repeated(_) => None,
            Fate::Delivered(outcome) => Some(Some(outcome)),
            Fate::Open | Fate::Silent | Fate::Refused(_) => Some(None),
        });
        let ends: Option<Vec<_>> = ends.collect();
        let ends = ends?;
        if ends.is_empty() {
            return self.repetition();
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the held path, behind every final 2yz"
        )]
        Custody::of_held_path(self.queue_id, ends)
    }

    fn has_refusals(&self) -> bool {
        let mut all = self.recipients.iter();
        all.any(|one| matches!(one.fate, Fate::Refused(_)))
    }

    /// Every recipient was refused: what that comes to. One that may be had later is not refused for
    /// good by the others.
    fn refusal(&self) -> Reply {
        let refusals = || {
            self.recipients.iter().filter_map(|one| match &one.fate {
                Fate::Refused(outcome) => Some(outcome),
                Fate::Open | Fate::Silent | Fate::Delivered(_) | Fate::Repeated(_) => None,
            })
        };
        let later = refusals().find(|outcome| outcome.class == OutcomeClass::Transient);
        later
            .or_else(|| refusals().next())
            .map_or_else(replies::no_answer, replies::refused_message)
    }

    /// The spool has answered.
    pub(super) fn stored(&mut self, answer: Result<Custody, Reply>, actions: &mut Vec<Action>) {
        if self.stage == Stage::Storing {
            self.draft = Draft::None;
            if self.for_each {
                self.answer_each(Some(answer), actions);
            } else {
                self.answer(answer, actions);
            }
        }
    }

    pub(super) fn answer(&mut self, answer: Result<Custody, Reply>, actions: &mut Vec<Action>) {
        self.stage = Stage::Over;
        actions.push(Action::End(answer));
    }
}

impl Fate {
    pub(super) const fn is_delivered(&self) -> bool {
        matches!(self, Self::Delivered(_) | Self::Repeated(_))
    }

    pub(super) const fn is_silent(&self) -> bool {
        matches!(self, Self::Silent | Self::Open)
    }
}
