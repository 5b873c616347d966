//! A copy that has come before (PROTOCOLS C, XTID): its client has not heard the 250, and asks again.
//!
//! Whose copy it is, and that it has the same content, is found out by the driver, who remembers it.

use alloc::vec::Vec;

use crate::custody::{Custody, Earlier};

use super::{Action, BranchId, BranchStage, Fate, Path, Stage};

impl Path {
    /// For these recipients the message was taken before.
    pub(super) fn repeated(&mut self, earlier: &[(usize, Earlier)], actions: &mut Vec<Action>) {
        if self.stage != Stage::Content {
            return;
        }
        for (place, earlier) in earlier {
            if let Some(one) = self.recipients.get_mut(*place)
                // Whatever its next hop has said of this one, in the midst of it.
                && matches!(one.fate, Fate::Open | Fate::Silent | Fate::Refused(_))
            {
                one.fate = Fate::Repeated(*earlier);
            }
        }
        for id in (0..self.branches.len()).map(BranchId) {
            if self.is_needed(id) {
                continue;
            }
            match self.branches.get(id.0).map(|branch| &branch.stage) {
                Some(BranchStage::Waiting) => self.is_over(id),
                Some(BranchStage::Open) => self.give_up(id, actions),
                _ => {}
            }
        }
        if self.brings_it_twice() {
            // It was taken between RCPT and now. When it comes again that is known from the start.
            self.abandon(actions);
        }
    }

    /// True if a branch cannot but bring the message to somebody, besides others, who has it.
    fn brings_it_twice(&self) -> bool {
        self.recipients.iter().any(|one| {
            let its = one.branch.map(|(id, _)| id);
            let branch = its.and_then(|id| self.branches.get(id.0));
            matches!(one.fate, Fate::Repeated(_))
                && branch.is_some_and(|branch| branch.stage == BranchStage::Open)
        })
    }

    /// The proof for those who have all been given it before.
    pub(super) fn repetition(&self) -> Option<Custody> {
        let first = self.recipients.first()?;
        match first.fate {
            Fate::Repeated(earlier) => Some(custody(earlier)),
            _ => None,
        }
    }
}

/// The proof of one.
pub(super) fn custody(earlier: Earlier) -> Custody {
    #[expect(
        clippy::disallowed_methods,
        reason = "what is remembered of this very copy"
    )]
    Custody::of_repetition(earlier)
}
