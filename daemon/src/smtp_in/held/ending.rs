//! The end of a message: from its draft down the paths that waited for the verdict, or into the spool.

use std::sync::Arc;

use tracing::error;
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::cutthrough::{BranchId, Input};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::reply::Reply;
use vouchsafe_spool::{CommitError, Draft, ReadBackError};

use super::Held;
use crate::smtp_in::copies::Claim;
use crate::{clock, log};

/// The end of a message, as far as the driver has it in hand.
pub(in crate::smtp_in) struct Ending {
    pub(in crate::smtp_in) draft: Option<Box<dyn Draft>>,
    pub(in crate::smtp_in) envelope: Envelope,
    /// What the spool's trouble was, for the log.
    pub(in crate::smtp_in) trouble: Option<CommitError>,
}

impl Ending {
    pub(super) fn drop_draft(&mut self) {
        self.draft = None;
    }
}

/// Takes the message into the spool for these of its recipients; where it may come again, so that it is known
/// then.
pub(super) async fn store(
    ending: Option<&mut Ending>,
    places: &[usize],
    claim: Option<Arc<Claim>>,
) -> Result<Custody, Reply> {
    let Some(ending) = ending else {
        return Err(super::out_of_step());
    };
    let Some(draft) = ending.draft.take() else {
        return Err(CommitError::Poisoned.reply());
    };
    let mut envelope = ending.envelope.clone();
    let recipient = |place: &usize| envelope.recipients.get(*place).cloned();
    let Some(recipients) = places.iter().map(recipient).collect() else {
        // Nobody is promised anything for somebody else.
        return Err(super::out_of_step());
    };
    envelope.recipients = recipients;
    let id = draft.id();
    if let Some(claim) = &claim {
        claim.storing(places, id).await;
    }
    let committed = draft.commit(envelope, clock::now().wall).await;
    match claim {
        // Nobody knows what has reached the disk, before the next start.
        Some(_) if matches!(committed, Err(CommitError::Poisoned)) => {}
        Some(claim) => claim.stored(places, id, committed.is_ok()),
        None => {}
    }
    committed.map_err(|error| {
        let reply = error.reply();
        ending.trouble = Some(error);
        reply
    })
}

impl Held {
    /// Gives the branches the message as it lies in the draft. Where it cannot be had they are given up:
    /// what has no end is not to be completed.
    pub(super) async fn replay(&mut self, ending: Option<&mut Ending>) {
        match self.read_to_branches(ending).await {
            Ok(()) => return,
            Err(None) => error!("a draft is missing"),
            Err(Some(error)) => {
                error!(error = %log::chain(&error), "a draft cannot be read");
            }
        }
        for number in 0..self.lines.len() {
            let id = BranchId(number);
            if self.lines.get(number).is_some_and(|line| line.proceeds) {
                self.give_up(id).await;
                self.path
                    .step(Input::Broke(id, Vec::new()), &mut self.actions);
            }
        }
    }

    /// Our fields, and then the draft, piece by piece.
    async fn read_to_branches(
        &mut self,
        ending: Option<&mut Ending>,
    ) -> Result<(), Option<ReadBackError>> {
        let ending = ending.ok_or(None)?;
        let draft = ending.draft.as_mut().ok_or(None)?;
        self.push(ending.envelope.trace.as_bytes()).await;
        let mut number = 0usize;
        while let Some(piece) = draft.piece(number).await? {
            self.push(&piece).await;
            number = number.saturating_add(1);
        }
        Ok(())
    }
}
