//! A transaction whose client may ask again (XTID): what its content comes to, and what is remembered of it.
//!
//! Promises: what is remembered is of whole content, and of the recipients that were accepted; the copy is in hand
//! from the end of the content until what became of it is remembered.
//!
//! Left to others: the memory (`smtp_in::copies`), what follows from it (the machine).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tracing::info;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::cutthrough::{Input, Opens, Way};
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::smtp::xhold::{BelowTrace, TransactionId};
use vouchsafe_spool::OutcomeKey;

use super::Held;
use crate::smtp_in::copies::{Claim, Copies, Digest, InHand, Known};

/// Whose copy it is.
pub(super) struct Copy {
    copies: Copies,
    client: Box<str>,
    id: TransactionId,
    reverse_path: ReversePath,
    content: Content,
    claim: Option<Arc<Claim>>,
}

/// Content as it comes.
struct Content {
    below: BelowTrace,
    digest: Context,
}

impl Content {
    fn new() -> Self {
        Self {
            below: BelowTrace::default(),
            digest: Context::new(&SHA256),
        }
    }

    fn read(&mut self, piece: &[u8]) {
        self.below.read(piece, |octets| self.digest.update(octets));
    }

    fn finish(self) -> Digest {
        let Self { below, mut digest } = self;
        below.finish(|octets| digest.update(octets));
        // SHA-256 has as many.
        digest.finish().as_ref().try_into().unwrap_or_default()
    }
}

impl Copy {
    /// Of a transaction whose client has given it an id, for as long as that client may ask again.
    pub(super) fn of(copies: &Copies, client: Box<str>, mail: &Hold) -> Option<Box<Self>> {
        let id = mail.through.id.clone()?;
        Some(Box::new(Self {
            copies: copies.clone(),
            client,
            id,
            reverse_path: mail.reverse_path.clone(),
            content: Content::new(),
            claim: None,
        }))
    }

    fn key(&self, recipient: &ForwardPath) -> OutcomeKey {
        OutcomeKey {
            client: self.client.clone(),
            id: self.id.clone(),
            reverse_path: self.reverse_path.clone(),
            recipient: recipient.clone(),
        }
    }

    /// Its whole content has come: it is taken in hand, for these recipients.
    fn take(&mut self, recipients: &[Recipient]) -> Result<Arc<Claim>, InHand> {
        let content = std::mem::replace(&mut self.content, Content::new());
        let keys = recipients.iter().map(|each| self.key(&each.path)).collect();
        let claim = Arc::new(self.copies.claim(keys, content.finish())?);
        self.claim = Some(Arc::clone(&claim));
        Ok(claim)
    }
}

impl Held {
    /// A piece of the content, whoever gets it.
    pub(in crate::smtp_in) fn read(&mut self, piece: &[u8]) {
        let more = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.content = self.content.saturating_add(more);
        if let Some(copy) = &mut self.copy {
            copy.content.read(piece);
        }
    }

    /// Of a recipient that has come before nothing is passed on until its content has come, and is another.
    pub(super) fn look_up(&self, recipient: &ForwardPath, way: &mut Way) -> Result<(), Reply> {
        let Some(copy) = &self.copy else {
            return Ok(());
        };
        match copy.copies.known(&copy.key(recipient)) {
            Known::Nothing => {}
            Known::InHand => return Err(InHand::reply()),
            Known::Before => {
                if let Way::Held { opens, .. } = way {
                    *opens = Opens::UnlessRepeated;
                }
            }
        }
        Ok(())
    }

    /// All of the content has come: the recipients that have had it go nowhere again.
    pub(super) fn look_back(&mut self) -> Result<(), Reply> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        let claim = copy.take(&self.recipients).map_err(|InHand| {
            info!(id = %copy.id, "the same copy is in hand already");
            InHand::reply()
        })?;
        let earlier = claim.look_back();
        for (_, earlier) in &earlier {
            info!(id = %copy.id, queue_id = %earlier.queue_id, "taken before");
        }
        if !earlier.is_empty() {
            let repeated = Input::Repeated(earlier);
            self.path.step(repeated, &mut self.actions);
        }
        Ok(())
    }

    /// What the next hops have is remembered, before anybody hears of it.
    pub(super) async fn remember_delivered(&mut self) {
        let claim = self.copy.as_mut().and_then(|copy| copy.claim.take());
        if let Some(claim) = claim {
            claim.onward(self.path.delivered(), self.queue_id).await;
        }
    }

    /// What is to be remembered of a message that is stored.
    pub(super) fn claim(&self) -> Option<Arc<Claim>> {
        self.copy.as_ref().and_then(|copy| copy.claim.clone())
    }
}
