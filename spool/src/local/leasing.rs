//! Leases: taken from what is due, with their entries from memory or read. One message that cannot be read keeps
//! no other one waiting: it is set aside as at start, or, where the disk is to blame, tried again
//! in a while.

use std::io;
use std::sync::Weak;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use super::Taken;
use super::committer::Operation;
use super::recover::{Doomed, Finding};
use super::store::Read;
use super::threads::lock;
use super::{PAUSE, Shared};
use crate::fs::is_full;
use crate::{Ask, ClaimError, Entry, Lane, Lease, LeaseError, Leased, Release};

/// What comes of a lease that is begun on a thread that must not wait for the disk.
pub(super) enum Begun {
    /// All was in memory.
    Leased(Result<Leased, LeaseError>),
    /// What was taken is to be read.
    Taken(Taken),
    /// Nothing was done: the disk, or much of the index, is to be looked at first.
    Nothing,
}

impl Shared {
    /// Takes leases, as far as no disk is needed for it.
    pub(super) fn begin_lease(&self, now: Wall, ask: &Ask) -> Begun {
        if self.soundness.is_poisoned() {
            return Begun::Leased(Err(LeaseError::Poisoned));
        }
        if self.log.is_short() {
            return Begun::Nothing;
        }
        let mut due = lock(&self.due);
        if !due.is_in_step(now) {
            return Begun::Nothing;
        }
        let taken = due.lease(now, ask);
        drop(due);
        let fresh = lock(&self.fresh);
        let mut all = taken.overdue.iter().chain(&taken.due);
        let at_hand = all.all(|id| fresh.has(*id));
        drop(fresh);
        if at_hand {
            Begun::Leased(self.read_leases(taken))
        } else {
            Begun::Taken(taken)
        }
    }

    /// Takes leases and reads their entries. Blocks.
    pub(super) fn lease(&self, now: Wall, ask: &Ask) -> Result<Leased, LeaseError> {
        if self.soundness.is_poisoned() {
            return Err(LeaseError::Poisoned);
        }
        // What is delivered could not be recorded, and would be delivered again and again.
        self.log.probe().map_err(|error| {
            if is_full(&error) {
                LeaseError::NoSpace
            } else {
                LeaseError::Read(error)
            }
        })?;
        let taken = lock(&self.due).lease(now, ask);
        self.read_leases(taken)
    }

    /// Reads the entries of what was taken. Blocks, unless all of them are in memory. Leases that end
    /// in an error, or that nobody waits for any more, go back by being dropped.
    pub(super) fn read_leases(&self, taken: Taken) -> Result<Leased, LeaseError> {
        let mut leases = Vec::with_capacity(taken.overdue.len().saturating_add(taken.due.len()));
        let mut findings = std::mem::take(&mut *lock(&self.untold));
        let mut failed = None;
        let overdue = taken.overdue.into_iter().map(|id| (id, true));
        for (id, overdue) in overdue.chain(taken.due.into_iter().map(|id| (id, false))) {
            match self.entry(id) {
                Ok(Ok(entry)) => {
                    let owner: Weak<dyn Release> = self.myself.clone();
                    let mut lease = Lease::with_owner(*entry, owner);
                    if overdue {
                        lease.set_overdue();
                    }
                    leases.push(lease);
                }
                Ok(Err(doomed)) => {
                    findings.push(doomed.finding());
                    // Until that is durable it stays leased, and in nobody's way.
                    self.queue.push(Operation::SetAside(doomed));
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
            Some(error) if leases.is_empty() => {
                // What is set aside is said once, so not into the wind.
                findings.retain(|finding| matches!(finding, Finding::Corrupt { .. }));
                lock(&self.untold).append(&mut findings);
                Err(LeaseError::Read(error))
            }
            _ => Ok(Leased {
                leases,
                next_due: taken.next_due,
                next_overdue: taken.next_overdue,
                findings,
            }),
        }
    }

    /// Takes one lease, whatever its message waits for. Blocks.
    pub(super) fn claim(&self, id: QueueId) -> Result<Lease, ClaimError> {
        if self.soundness.is_poisoned() {
            return Err(ClaimError::Poisoned);
        }
        let mut due = lock(&self.due);
        if !due.holds(id) {
            return Err(ClaimError::Unknown(id));
        }
        if !due.claim(id) {
            return Err(ClaimError::InHand(id));
        }
        drop(due);
        match self.entry(id) {
            Ok(Ok(entry)) => {
                let owner: Weak<dyn Release> = self.myself.clone();
                Ok(Lease::with_owner(*entry, owner))
            }
            Ok(Err(doomed)) => {
                lock(&self.untold).push(doomed.finding());
                self.arrived.notify_one();
                self.queue.push(Operation::SetAside(doomed));
                Err(ClaimError::Unknown(id))
            }
            Err(error) => {
                self.postpone(id);
                Err(ClaimError::Read(error))
            }
        }
    }

    /// Messages that somebody could not read: those that are damaged are set aside, and the next
    /// lease says so. Nobody may lease them for long, if they are held, and nobody would see them
    /// meanwhile. Blocks.
    pub(super) fn doubt(&self, unreadable: Vec<QueueId>) {
        for id in unreadable {
            // One that has left since, or that another has in hand, is not ours to judge.
            drop(self.claim(id));
        }
    }

    /// A message that is being leased: as it was taken, if that is still in memory, else as it is read.
    fn entry(&self, id: QueueId) -> io::Result<Result<Box<Entry>, Doomed>> {
        if let Some(entry) = lock(&self.fresh).take(id) {
            return Ok(Ok(entry));
        }
        Ok(match self.store.find(id)? {
            Read::Sound(records) => Ok(Box::new(records.into_entry(id, true))),
            Read::Corrupt(doomed) => Err(doomed),
        })
    }

    /// Ends a lease whose entry could not be read or whose outcome could not be recorded.
    pub(super) fn postpone(&self, id: QueueId) {
        let mut due = lock(&self.due);
        let until = due.now().plus(PAUSE);
        let wake = due.put_apart(id, until);
        drop(due);
        self.tell(wake);
    }

    /// The messages of one lane, without those that cannot be read, or have just left. Blocks.
    pub(super) fn list_lane(
        &self,
        lane: &Lane,
        mut after: Option<QueueId>,
        limit: usize,
    ) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        while found.len() < limit {
            let wanted = limit.saturating_sub(found.len());
            let ids = lock(&self.due).list(lane, after, wanted);
            let Some(last) = ids.last() else { break };
            after = Some(*last);
            for id in ids {
                match self.store.find(id)? {
                    Read::Sound(records) => {
                        let active = lock(&self.due).is_leased(id);
                        found.push(records.into_entry(id, active));
                    }
                    Read::Corrupt(_) => self.doubt(vec![id]),
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::fresh::Fresh;
    use crate::local::recover::Corruption;
    use crate::{Amendment, LocalSpool, Options, Settlement, Spool};
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

    /// Changes an octet of a message's body behind everybody's back.
    fn damage(spool: &LocalSpool, id: QueueId, at: u64) {
        let found = spool.shared.store.locate(id).unwrap();
        let body = found.item.body;
        let file = &found.segment(body.segment).unwrap().file;
        let mut octet = [0];
        let at = u64::from(body.offset) + at;
        file.read_at(at, &mut octet).unwrap();
        file.write_at(at, &[octet[0] ^ 1]).unwrap();
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
        // What was just taken is in memory too, and would be given from there.
        *lock(&spool.shared.fresh) = Fresh::default();
        damage(&spool, ids[0], 0);
        damage(&spool, ids[1], 60);
        lock(&spool.shared.store.index).remove(ids[2], 0);
        let leased = spool.lease(NOW, Ask::up_to(9)).await.unwrap();
        assert_eq!(leased.leases.len(), 1);
        assert_eq!(leased.leases[0].entry().id, ids[3]);
        for (id, why) in [
            (ids[0], Corruption::Checksum),
            (ids[1], Corruption::Checksum),
            (ids[2], Corruption::NoEnvelope),
        ] {
            let found = Finding::Corrupt { id, why };
            assert!(leased.findings.contains(&found), "{found}");
        }
        drop(leased);
        drop(spool);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        assert!(spool.findings().is_empty(), "said once");
        let later = NOW.plus(PAUSE * 2);
        assert_eq!(
            spool
                .lease(later, Ask::up_to(9))
                .await
                .unwrap()
                .leases
                .len(),
            1
        );
    }

    /// What is held is not leased for hours: whoever lists it, or asks for it, finds out first.
    #[tokio::test]
    async fn a_held_message_that_cannot_be_read_is_told_of_once_it_is_looked_at() {
        for listed in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let options = Options::default().with_reserve(0);
            let spool = LocalSpool::open(folder.path(), options).unwrap();
            let mut ids = Vec::new();
            for _ in 0..2 {
                let draft = spool.begin(NOW).await.unwrap();
                let id = draft.commit(envelope(), NOW).await.unwrap().queue_id();
                let lease = spool.claim(id).await.unwrap();
                spool.amend(lease, Amendment::Hold).await.unwrap();
                ids.push(id);
            }
            *lock(&spool.shared.fresh) = Fresh::default();
            damage(&spool, ids[0], 60);
            let leased = spool.lease(NOW, Ask::up_to(9)).await.unwrap();
            assert!(leased.leases.is_empty() && leased.findings.is_empty());
            if listed {
                let left = spool.list(None, 9).await.unwrap();
                assert!(left.len() == 1 && left[0].id == ids[1] && !left[0].active);
            } else {
                let claimed = spool.claim(ids[0]).await;
                assert!(matches!(claimed, Err(ClaimError::Unknown(_))));
            }
            // Whoever leases is woken, to say it.
            spool.arrived().await;
            let leased = spool.lease(NOW, Ask::up_to(9)).await.unwrap();
            let (id, why) = (ids[0], Corruption::Checksum);
            assert_eq!(leased.findings, [Finding::Corrupt { id, why }]);
            let leased = spool.lease(NOW, Ask::up_to(9)).await.unwrap();
            assert!(leased.findings.is_empty(), "said once");
            drop(spool);
            let folder = folder.path().join("corrupt");
            assert!(std::fs::read_dir(folder).unwrap().count() > 0, "kept");
        }
    }

    /// Nothing else wakes who leases: no message comes, and none falls due.
    #[tokio::test]
    async fn who_leases_hears_that_a_lane_at_its_limit_has_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::default().with_reserve(0);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        for _ in 0..3 {
            let draft = spool.begin(NOW).await.unwrap();
            let _ = draft.commit(envelope(), NOW).await.unwrap();
        }
        let one_each = Ask {
            per_lane: 1,
            ..Ask::up_to(9)
        };
        for left in (0..3).rev() {
            // What was said of the arrivals is used up.
            let told = std::time::Duration::ZERO;
            let _ = tokio::time::timeout(told, spool.arrived()).await;
            let leased = spool.lease(NOW, one_each).await.unwrap();
            assert_eq!(
                (leased.leases.len(), leased.next_due),
                (1, None),
                "at its limit"
            );
            let lease = leased.leases.into_iter().next().unwrap();
            let done = Settlement {
                progress: lease.entry().progress.clone(),
                attempts: 1,
                due: None,
                later: Vec::new(),
                delay_reported: false,
                deadline_reported: false,
                reports: Vec::new(),
            };
            spool.settle(lease, done).await.unwrap();
            let long = std::time::Duration::from_mins(1);
            if left > 0 {
                tokio::time::timeout(long, spool.arrived()).await.unwrap();
            }
        }
    }
}
