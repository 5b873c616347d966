//! Leases: taken from what is due, with their entries read. One message that cannot be read keeps
//! no other one waiting: it is set aside as at start, or, where the disk is to blame, tried again
//! in a while.

use std::sync::Weak;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::backend::is_full;
use super::committer::Operation;
use super::recover::Finding;
use super::store::Found;
use super::threads::lock;
use super::{PAUSE, Shared};
use crate::{Lease, LeaseError, Leased, Release};

impl Shared {
    /// Takes leases and reads their entries. Blocks. Leases that end in an error, or that nobody
    /// waits for any more, go back by being dropped.
    pub(super) fn lease(&self, now: Wall, want: usize) -> Result<Leased, LeaseError> {
        if self.soundness.is_poisoned() {
            return Err(LeaseError::Poisoned);
        }
        // No room to reopen it was found when it failed; perhaps there is now. Mail that comes in
        // would bring it back too, but mail may not come.
        self.store.ensure_open().map_err(|error| {
            if is_full(&error) {
                LeaseError::NoSpace
            } else {
                LeaseError::Read(error)
            }
        })?;
        // The store writes before it frees: on a disk that is quite full not even a message that
        // is done can leave, and would be delivered again and again.
        if !self.has_room(self.options.reserve / 8) {
            return Err(LeaseError::NoSpace);
        }
        let (ids, next_due) = lock(&self.due).lease(now, want);
        let mut leases = Vec::with_capacity(ids.len());
        let mut findings = Vec::new();
        let mut failed = None;
        for id in ids {
            match self.store.find(id) {
                Ok(Found::Sound(records)) => {
                    let owner: Weak<dyn Release> = self.myself.clone();
                    leases.push(Lease::with_owner(records.into_entry(id, true), owner));
                }
                Ok(Found::Corrupt(doomed)) => {
                    findings.push(doomed.finding());
                    // Until that is durable it stays leased, and in nobody's way.
                    self.commit(Operation::SetAside(doomed));
                }
                Err(error) => {
                    // At once, it would stand in the way of all others again.
                    self.postpone(id);
                    let why = error.kind();
                    findings.push(Finding::Unread { id, why });
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if leases.is_empty() => Err(LeaseError::Read(error)),
            _ => Ok(Leased {
                leases,
                next_due,
                findings,
            }),
        }
    }

    /// Ends a lease whose entry could not be read or whose outcome could not be recorded.
    pub(super) fn postpone(&self, id: QueueId) {
        let due = lock(&self.due).now().plus(PAUSE);
        self.release_until(id, Some(due));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::recover::Corruption;
    use crate::local::store::{ENVELOPES, PROGRESS};
    use crate::{LocalSpool, Options, Spool};
    use vouchsafe_proto::addr::{ForwardPath, ReversePath};
    use vouchsafe_proto::envelope::{Envelope, Origin};
    use vouchsafe_proto::verify::VerdictResult;

    const NOW: Wall = Wall::from_secs(1_795_256_100);

    fn envelope() -> Envelope {
        Envelope::plain(
            ReversePath::Null,
            VerdictResult::Unknown,
            Origin::Ourselves,
            [ForwardPath::parse_inside("b@example.org").unwrap()],
        )
    }

    #[tokio::test]
    async fn one_message_that_cannot_be_read_is_set_aside_and_the_others_are_leased() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default().with_reserve(0);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        let mut ids = Vec::new();
        for _ in 0..4 {
            let draft = spool.begin(NOW).await.unwrap();
            ids.push(draft.commit(envelope(), NOW).await.unwrap().queue_id());
        }
        spool
            .shared
            .store
            .write(|transaction| {
                let mut progress = transaction.open_table(PROGRESS)?;
                progress.insert(ids[0].as_u128(), &b"rubbish"[..])?;
                progress.remove(ids[1].as_u128())?;
                let mut envelopes = transaction.open_table(ENVELOPES)?;
                envelopes.remove(ids[2].as_u128())?;
                Ok(())
            })
            .unwrap();
        let leased = spool.lease(NOW, 9).await.unwrap();
        assert_eq!(leased.leases.len(), 1);
        assert_eq!(leased.leases[0].entry().id, ids[3]);
        for (id, why) in [
            (ids[0], Corruption::Checksum),
            (ids[1], Corruption::NoProgress),
            (ids[2], Corruption::NoEnvelope),
        ] {
            let found = Finding::Corrupt { id, why };
            assert!(leased.findings.contains(&found), "{found}");
        }
        drop(leased);
        drop(spool);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        assert!(spool.findings().is_empty(), "said once");
        let aside = spool.shared.store.set_aside().unwrap();
        assert_eq!(aside.len(), 3);
        let later = NOW.plus(PAUSE * 2);
        assert_eq!(spool.lease(later, 9).await.unwrap().leases.len(), 1);
    }
}
