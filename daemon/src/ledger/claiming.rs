//! Which message it is that is about to leave (XVOUCH, PROTOCOLS D), for a next hop that asks.
//!
//! Promises: nothing is claimed but what our own ledger has, or what the client claimed before, and in both cases only
//! of the very content that leaves for the one domain it leaves for; whatever cannot be known is not claimed. Leaves
//! to others: saying it (proto), and entering what is ours (the spool, long before).

use std::sync::Arc;

use tracing::warn;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::residue::covered::{Covered, Reader};
use vouchsafe_proto::residue::{Claim, Kind};
use vouchsafe_spool::Content;
use vouchsafe_spool::ledger::{Answer, Hours, Ledger};

use super::{Sha256, about};

/// The one domain of these recipients; none where there are several, or one has none.
pub fn only_domain<'a>(
    recipients: impl IntoIterator<Item = &'a ForwardPath>,
) -> Option<&'a Domain> {
    let mut domains = recipients.into_iter().map(ForwardPath::domain);
    let first = domains.next()??;
    domains.all(|domain| domain == Some(first)).then_some(first)
}

/// The claim for this content, from a reverse-path to a domain; `given` is what its client claimed of it.
pub async fn claim(
    ledger: &Arc<Ledger>,
    content: &mut dyn Content,
    (reverse_path, domain): (&ReversePath, &Domain),
    given: Option<Claim>,
) -> Option<Claim> {
    reverse_path.domain()?;
    let covered = read(content).await?;
    let claim = Claim {
        hour: covered.hour().ok()?,
        digest: covered.digest::<Sha256>(domain, reverse_path)?,
    };
    (given == Some(claim) || is_ours(ledger, claim).await).then_some(claim)
}

/// What of it a digest covers.
async fn read(content: &mut dyn Content) -> Option<Covered> {
    let mut reader = Reader::<Sha256>::default();
    loop {
        match content.next().await {
            Ok(Some(piece)) => reader.read(&piece),
            Ok(None) => return reader.finish().ok(),
            Err(error) => {
                warn!(error = %crate::log::chain(&error), "no claim: content cannot be read");
                return None;
            }
        }
    }
}

/// True if it is in our ledger.
async fn is_ours(ledger: &Arc<Ledger>, claim: Claim) -> bool {
    let Some(question) = about(Kind::Message, Hours::new(claim.hour, 1), claim.digest) else {
        return false;
    };
    let ledger = Arc::clone(ledger);
    // It may lie in a file.
    let looking = tokio::task::spawn_blocking(move || {
        let mut answers = [Answer::NotFound];
        ledger.look_up(&[question], &mut answers);
        answers == [Answer::Sent]
    });
    looking.await.unwrap_or(false)
}
