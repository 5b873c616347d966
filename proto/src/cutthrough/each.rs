//! The end where the client hears that of each recipient (PRDR, draft-hall-prdr-00): the rule is applied to each of
//! them. What it refuses so is the client's, and is not stored for its sake.

use alloc::vec::Vec;

use crate::custody::Custody;
use crate::reply::Reply;

use super::{Action, Draft, Fate, Path, Recipient, Stage, repeated, replies};

impl Path {
    /// Every recipient has its end: what has no reply is stored, where it may be.
    pub(super) fn conclude_for_each(&mut self, actions: &mut Vec<Action>) {
        if let Some(reply) = self.one_refusal() {
            self.drop_draft(actions);
            return self.answer(Err(reply), actions);
        }
        let to_store: Vec<_> = (self.recipients.iter().enumerate())
            .filter(|(_, one)| one.fate.is_silent() && self.is_stored(one))
            .map(|(place, _)| place)
            .collect();
        if !to_store.is_empty() && self.draft == Draft::Written {
            self.stage = Stage::Storing;
            return actions.push(Action::Store(to_store));
        }
        self.answer_each(None, actions);
        self.drop_draft(actions);
    }

    /// The refusal of all recipients, where it is the same for all: one reply stands for it, by any code that
    /// the end of a message can have.
    fn one_refusal(&self) -> Option<Reply> {
        let mut replies = self.recipients.iter().map(|one| match &one.fate {
            Fate::Refused(outcome) => Some(replies::refused_message(outcome)),
            Fate::Open | Fate::Silent | Fate::Delivered(_) | Fate::Repeated(_) => None,
        });
        let first = replies.next()??;
        replies
            .all(|reply| reply.as_ref() == Some(&first))
            .then_some(first)
    }

    /// Answers for each, with what the spool has said for those that it was given.
    pub(super) fn answer_each(
        &mut self,
        stored: Option<Result<Custody, Reply>>,
        actions: &mut Vec<Action>,
    ) {
        let count = self.recipients.len();
        let (mut proofs, reply) = match stored {
            Some(Ok(proof)) => (Some(proof.for_each_of(count)), None),
            Some(Err(reply)) => (None, Some(reply)),
            None => (None, None),
        };
        let mut silent = |one: &Recipient| {
            if !self.is_stored(one) {
                return Err(replies::no_answer());
            }
            let proof = proofs.as_mut().and_then(Iterator::next);
            proof.ok_or_else(|| reply.clone().unwrap_or_else(|| self.no_draft()))
        };
        let end = |one: &Recipient| match &one.fate {
            Fate::Open | Fate::Silent => silent(one),
            Fate::Refused(outcome) => Err(replies::refused_for_one(outcome)),
            Fate::Repeated(earlier) => Ok(repeated::custody(*earlier)),
            #[expect(
                clippy::disallowed_methods,
                reason = "the held path, behind its final 2yz"
            )]
            Fate::Delivered(outcome) => {
                Custody::of_held_path(self.queue_id, [outcome]).ok_or_else(replies::no_answer)
            }
        };
        let ends = self.recipients.iter().map(end).collect();
        self.stage = Stage::Over;
        actions.push(Action::EndForEach(ends));
    }
}
