//! RCPT: each recipient is asked for down the path before it is accepted here.

use alloc::vec::Vec;

use crate::route::NextHop;

use super::{
    Action, Branch, BranchId, BranchStage, Fate, Opens, Path, Recipient, Said, Silence, Stage, Way,
    replies,
};

impl Path {
    /// A recipient that nothing speaks against here.
    pub(super) fn recipient(&mut self, way: Way, actions: &mut Vec<Action>) {
        if self.stage != Stage::Envelope {
            return actions.push(Action::Recipient(Err(replies::no_answer())));
        }
        let Way::Held {
            next_hop,
            answers_each,
            when_unproven,
            remembered,
            opens,
        } = way
        else {
            return self.recipient_to_store(actions);
        };
        let known = self
            .branches
            .iter()
            .position(|branch| branch.next_hop == next_hop)
            .map(BranchId);
        if !self.opens_with_others(opens) || !self.may_join_branch(known, opens) {
            return actions.push(Action::Recipient(Err(replies::separate_transaction())));
        }
        let asked = known.and_then(|id| self.branches.get(id.0));
        if asked.is_some_and(|branch| branch.asked >= ASKED) {
            return actions.push(Action::Recipient(Err(replies::too_many_recipients())));
        }
        let id = known.unwrap_or_else(|| self.add(next_hop.clone(), answers_each));
        let place = self.recipients.len();
        let silence = Silence {
            when_unproven,
            remembered,
        };
        match self.branches.get(id.0).map(|branch| &branch.stage) {
            Some(BranchStage::Over) => self.unheard(id, silence, actions),
            Some(BranchStage::Waiting) if opens != Opens::Now => {
                self.accept(Some((id, NOT_ASKED)), Some(silence), Fate::Open);
                if let Some(last) = self.recipients.last_mut() {
                    last.has_come_before = opens == Opens::UnlessRepeated;
                }
                actions.push(Action::Recipient(Ok(())));
            }
            Some(BranchStage::Waiting) => {
                self.stage = Stage::Asked(id, silence);
                self.open(id, place, actions);
            }
            _ => {
                self.stage = Stage::Asked(id, silence);
                actions.push(Action::Ask(id, place));
            }
        }
    }

    /// One that goes through the queue.
    fn recipient_to_store(&mut self, actions: &mut Vec<Action>) {
        let answer = if self.may_join(None) {
            self.accept(None, None, Fate::Silent);
            Ok(())
        } else {
            Err(replies::separate_transaction())
        };
        actions.push(Action::Recipient(answer));
    }

    /// True if the next recipient may go the way of this branch, or through the queue: where one reply stands
    /// for all recipients, only who hears reports learns that they have ended differently.
    fn may_join(&self, branch: Option<BranchId>) -> bool {
        let same = |known: &Recipient| known.branch.map(|(id, _)| id) == branch;
        self.wants_each() || self.recipients.iter().all(same)
    }

    /// True if the others' paths are opened when this one's is: what gets the content as it comes cannot get it from the
    /// draft as well, and one branch has one time.
    fn opens_with_others(&self, opens: Opens) -> bool {
        self.branches.iter().all(|branch| match branch.stage {
            BranchStage::Waiting => opens != Opens::Now,
            BranchStage::Open => opens == Opens::Now,
            BranchStage::Prepared | BranchStage::Completing | BranchStage::Over => true,
        })
    }

    /// The same for one with a branch, or a new one. Where each recipient has a last word of its own, or
    /// RCPT is asked only when ours was answered, a branch is no surety for one end. Those who may have had the
    /// message before have most likely had it.
    fn may_join_branch(&self, known: Option<BranchId>, opens: Opens) -> bool {
        let alone = self.wants_each() || self.recipients.is_empty();
        if opens == Opens::UnlessRepeated {
            return alone || self.recipients.iter().all(|one| one.has_come_before);
        }
        match known.and_then(|id| self.branches.get(id.0)) {
            Some(branch) if branch.answers_each || opens == Opens::AfterVerdict => alone,
            Some(_) => self.may_join(known),
            None => alone,
        }
    }

    fn add(&mut self, next_hop: NextHop, answers_each: bool) -> BranchId {
        let id = BranchId(self.branches.len());
        self.branches.push(Branch {
            next_hop,
            asked: 0,
            answers_each,
            not_asked: false,
            stage: BranchStage::Waiting,
        });
        id
    }

    /// Has a branch opened with this recipient.
    fn open(&mut self, id: BranchId, place: usize, actions: &mut Vec<Action>) {
        if let Some(branch) = self.branches.get_mut(id.0) {
            branch.stage = BranchStage::Open;
            actions.push(Action::Open(id, branch.next_hop.clone(), place));
        }
    }

    /// What a branch says to the recipient that it was asked for.
    pub(super) fn said(&mut self, id: BranchId, said: Said, actions: &mut Vec<Action>) {
        match &self.stage {
            Stage::Asked(branch, silence) if *branch == id => {
                let silence = silence.clone();
                self.stage = Stage::Envelope;
                self.said_now(id, said, silence, actions);
            }
            Stage::Late(branch, place) if *branch == id => {
                self.said_late(id, *place, said, actions);
            }
            _ => {}
        }
    }

    /// At RCPT: whoever gave the recipient hears it.
    fn said_now(&mut self, id: BranchId, said: Said, silence: Silence, actions: &mut Vec<Action>) {
        let asked = self.count_asked(id);
        let answer = match said {
            Said::Accepted => {
                self.accept(Some((id, asked)), Some(silence), Fate::Open);
                Ok(())
            }
            Said::Refused(outcome) => Err(replies::refused_recipient(&outcome)),
            Said::Lost(_) => {
                self.lose(id);
                return self.unheard(id, silence, actions);
            }
            Said::NotAsked(_) => {
                self.not_asked(id);
                return self.unheard(id, silence, actions);
            }
        };
        actions.push(Action::Recipient(answer));
    }

    /// At the end of the content: it is the recipient's fate.
    fn said_late(&mut self, id: BranchId, place: usize, said: Said, actions: &mut Vec<Action>) {
        let asked = self.count_asked(id);
        let Some(recipient) = self.recipients.get_mut(place) else {
            return;
        };
        match said {
            Said::Accepted => recipient.branch = Some((id, asked)),
            Said::Refused(outcome) => recipient.fate = Fate::Refused(outcome),
            Said::Lost(_) => {
                self.remember(id);
                self.lose(id);
            }
            Said::NotAsked(_) => self.not_asked(id),
        }
        self.open_late(place.saturating_add(1), actions);
    }

    /// A branch says nothing: those of its recipients that it was not asked for, or gave no answer for, are
    /// refused as they were before.
    fn remember(&mut self, id: BranchId) {
        for recipient in &mut self.recipients {
            if recipient.branch == Some((id, NOT_ASKED))
                && recipient.fate == Fate::Open
                && let Some(outcome) = recipient.remembered.take()
            {
                recipient.fate = Fate::Refused(outcome);
            }
        }
    }

    /// Opens the paths that waited for the verdict, for the recipients from this place on; then the
    /// branches get the content.
    pub(super) fn open_late(&mut self, from: usize, actions: &mut Vec<Action>) {
        let waiting = |recipient: &Recipient| match recipient.branch {
            Some((id, NOT_ASKED)) if recipient.fate == Fate::Open => Some(id),
            _ => None,
        };
        let next = (self.recipients.iter().enumerate().skip(from))
            .find_map(|(place, recipient)| Some((place, waiting(recipient)?)));
        let Some((place, id)) = next else {
            return self.replay(actions);
        };
        self.stage = Stage::Late(id, place);
        match self.branches.get(id.0).map(|branch| &branch.stage) {
            Some(BranchStage::Waiting) => self.open(id, place, actions),
            _ => actions.push(Action::Ask(id, place)),
        }
    }

    /// A branch has been asked for one more; its number there.
    fn count_asked(&mut self, id: BranchId) -> usize {
        self.branch_mut(id).map_or(0, |branch| {
            let asked = branch.asked;
            branch.asked = asked.saturating_add(1);
            asked
        })
    }

    /// No reply is to be had for a new recipient: the rule says what follows.
    fn unheard(&mut self, id: BranchId, silence: Silence, actions: &mut Vec<Action>) {
        let is_silent = (self.branches.get(id.0)).is_some_and(|branch| !branch.not_asked);
        let before = silence.remembered.as_ref().filter(|_| is_silent);
        let answer = if let Some(before) = before {
            Err(replies::refused_before(before))
        } else if self.may_store(silence.when_unproven) {
            // Still of that branch: whoever shares it shares its fate.
            self.accept(Some((id, NOT_ASKED)), Some(silence), Fate::Silent);
            Ok(())
        } else {
            Err(replies::no_answer())
        };
        actions.push(Action::Recipient(answer));
    }

    fn accept(&mut self, branch: Option<(BranchId, usize)>, silence: Option<Silence>, fate: Fate) {
        let when_unproven = silence.as_ref().map(|silence| silence.when_unproven);
        self.recipients.push(Recipient {
            branch,
            when_unproven,
            remembered: silence.and_then(|silence| silence.remembered),
            has_come_before: false,
            fate,
        });
    }

    /// A branch was not opened, by a limit of ours.
    fn not_asked(&mut self, id: BranchId) {
        if let Some(branch) = self.branch_mut(id) {
            branch.not_asked = true;
        }
        self.lose(id);
    }

    /// A branch has ended without a reply, which is the end of its recipients that have none.
    fn lose(&mut self, id: BranchId) {
        self.is_over(id);
        for recipient in &mut self.recipients {
            let its = recipient.branch.is_some_and(|(branch, _)| branch == id);
            if its && recipient.fate == Fate::Open {
                recipient.fate = Fate::Silent;
            }
        }
    }
}

/// Recipients that a branch is asked for in one transaction, those that it refuses included: each costs
/// memory until its end. Twice as many as a transaction may have.
const ASKED: usize = 200;

/// In the place of a number: the branch was not asked for this recipient.
const NOT_ASKED: usize = usize::MAX;
