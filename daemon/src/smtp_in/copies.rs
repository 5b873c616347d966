//! Copies that may come again (PROTOCOLS C, XTID): which of them are in hand, and what became of those that were
//! not lost but whose 250 may have been.
//!
//! # Promises
//!
//! 1. Of one key (client, XTID, reverse-path, recipient) one transaction at a time comes to its end; who comes meanwhile is
//!    asked to come again. So what [`Claim::look_back`] finds is all that there is.
//! 2. What is being stored is written down before the queue has it, and confirmed behind it. After a crash in between
//!    the queue itself is asked ([`Copies::open`]): no message is stored twice, and none is forgotten.
//! 3. What cannot be remembered is a line in the log, and no reason to refuse a message: it can come twice then,
//!    as it could without an XTID.
//!
//! Left to others: the file (`vouchsafe_spool::Outcomes`), the digest (`held::copy`), what is answered (the machine).

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{error, info, warn};
use vouchsafe_proto::custody::{Earlier, Whither};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_spool::{Ending, LocalSpool, OutcomeKey, Outcomes, RememberError, Remembered};

use crate::clock;
use crate::limits::counted_as;
use crate::log::chain;

/// SHA-256 of what of a message is the same for each retry.
pub(super) type Digest = [u8; 32];

/// All of them; clones are the same.
#[derive(Clone, Debug)]
pub struct Copies {
    outcomes: Arc<Outcomes>,
    in_hand: Arc<Mutex<HashSet<OutcomeKey>>>,
}

/// What is known of a copy whose content has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// It is coming to its end.
    InHand,
    /// One has come before, perhaps with the same content.
    Before,
}

/// One of these copies is coming to its end already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InHand;

impl InHand {
    /// To RCPT, or to the end of the content.
    pub(super) fn reply() -> Reply {
        Reply::new(
            451,
            (4, 4, 5),
            "this copy is in hand already, try again later",
        )
    }
}

/// Lines of one write.
const AT_ONCE: usize = 256;

impl Copies {
    /// With what is remembered. What was being stored when the process died counts as taken if the queue has it, or
    /// had given it away by then: which the queue knows when it has just been opened.
    pub async fn open(outcomes: Outcomes, queue: &LocalSpool) -> Self {
        let (mut stored, mut lost) = (Vec::new(), Vec::new());
        for (key, queue_id, kept) in outcomes.storing() {
            if queue.has_had(queue_id) {
                stored.push((key, kept.with_ending(taken(queue_id, Whither::Storage))));
            } else {
                lost.push(key);
            }
        }
        if !stored.is_empty() || !lost.is_empty() {
            let (stored, lost) = (stored.len(), lost.len());
            info!(
                stored,
                lost, "messages that were being stored for who may ask again"
            );
        }
        for some in stored.chunks(AT_ONCE) {
            tell_failure(outcomes.remember(some.to_vec()).await);
        }
        for some in lost.chunks(AT_ONCE) {
            tell_failure(outcomes.forget(some.to_vec()).await);
        }
        Self {
            outcomes: Arc::new(outcomes),
            in_hand: Arc::default(),
        }
    }

    /// What a client is called in keys: by its address, which is all that it has proved; an IPv6 host by its /64, any
    /// address of which it can take.
    pub(super) fn client(address: IpAddr) -> Box<str> {
        counted_as(address).to_string().into()
    }

    /// What is known before the content is.
    pub(super) fn known(&self, key: &OutcomeKey) -> Known {
        if self.in_hand().contains(key) {
            Known::InHand
        } else if self.outcomes.recall(key, clock::now().wall).is_some() {
            Known::Before
        } else {
            Known::Nothing
        }
    }

    /// Takes these copies in hand, of content with this digest. Their places are those in the list.
    pub(super) fn claim(&self, keys: Vec<OutcomeKey>, digest: Digest) -> Result<Claim, InHand> {
        let mut in_hand = self.in_hand();
        if keys.iter().any(|key| in_hand.contains(key)) {
            return Err(InHand);
        }
        in_hand.extend(keys.iter().cloned());
        drop(in_hand);
        Ok(Claim {
            copies: self.clone(),
            keys,
            digest,
        })
    }

    /// A panic elsewhere cannot leave it half changed, so poison means nothing.
    fn in_hand(&self) -> MutexGuard<'_, HashSet<OutcomeKey>> {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies that are coming to their end; they are let go when it is dropped.
#[derive(Debug)]
#[must_use = "copies that are let go can come in again"]
pub(super) struct Claim {
    copies: Copies,
    keys: Vec<OutcomeKey>,
    digest: Digest,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut in_hand = self.copies.in_hand();
        for key in &self.keys {
            in_hand.remove(key);
        }
    }
}

impl Claim {
    /// Which of them have been taken before, by their places. What is remembered of other content counts no more:
    /// the client goes on to use its id for this.
    pub(super) fn look_back(&self) -> Vec<(usize, Earlier)> {
        let now = clock::now().wall;
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for (place, key) in self.keys.iter().enumerate() {
            let Some(kept) = self.copies.outcomes.recall(key, now) else {
                continue;
            };
            match kept.ending(&self.digest) {
                Some(Ending::Taken(earlier)) => taken.push((place, earlier)),
                // It has failed to be stored, or to be confirmed, for which the log has a line.
                Some(Ending::Storing(_)) => {}
                None => others.push(key.clone()),
            }
        }
        if !others.is_empty() {
            // Nobody need wait: should it be remembered all the same, it is of no use to anybody else.
            drop(self.copies.outcomes.forget(others));
        }
        taken
    }

    /// The next hops have it for these. Durable when it returns, unless the log says otherwise.
    pub(super) async fn onward(&self, places: impl IntoIterator<Item = usize>, id: QueueId) {
        let lines = self.lines(places, taken(id, Whither::Onward));
        if !lines.is_empty() {
            tell_failure(self.copies.outcomes.remember(lines).await);
        }
    }

    /// The queue is to have it for these, under this name.
    pub(super) async fn storing(&self, places: &[usize], id: QueueId) {
        let lines = self.lines(places.iter().copied(), Ending::Storing(id));
        tell_failure(self.copies.outcomes.remember(lines).await);
    }

    /// The queue has it for these, or has it not. They are let go when that is remembered; nobody need
    /// wait for it.
    pub(super) fn stored(self: Arc<Self>, places: &[usize], id: QueueId, is_stored: bool) {
        let lines = self.lines(places.iter().copied(), taken(id, Whither::Storage));
        let outcomes = &self.copies.outcomes;
        // Begun here, so that it is done even if nobody runs any more who would wait.
        let noting = if is_stored {
            outcomes.remember(lines)
        } else {
            outcomes.forget(lines.into_iter().map(|(key, _)| key).collect())
        };
        tokio::spawn(async move {
            tell_failure(noting.await);
            drop(self);
        });
    }

    fn lines(
        &self,
        places: impl IntoIterator<Item = usize>,
        ending: Ending,
    ) -> Vec<(OutcomeKey, Remembered)> {
        let kept = Remembered::new(self.digest, ending, clock::now().wall);
        let keys = places.into_iter().filter_map(|place| self.keys.get(place));
        keys.map(|key| (key.clone(), kept)).collect()
    }
}

/// By a 250 that says this.
const fn taken(queue_id: QueueId, whither: Whither) -> Ending {
    Ending::Taken(Earlier { queue_id, whither })
}

/// Nothing is lost by it but that a retry may make a duplicate.
fn tell_failure(done: Result<(), RememberError>) {
    match done {
        Ok(()) => {}
        Err(trouble @ RememberError::Poisoned) => {
            error!(error = %chain(&trouble), "a retry may make a duplicate, until the next start");
        }
        Err(trouble) => warn!(error = %chain(&trouble), "a retry may make a duplicate"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::Path;

    use bytes::Bytes;
    use vouchsafe_proto::addr::{ForwardPath, ReversePath};
    use vouchsafe_proto::envelope::{Envelope, Origin};
    use vouchsafe_proto::outcome::Outcome;
    use vouchsafe_proto::smtp::xhold::TransactionId;
    use vouchsafe_proto::verify::VerdictResult;
    use vouchsafe_spool::fs::LocalDisk;
    use vouchsafe_spool::{Ask, Options, OutcomeCaps, Progress, Settlement, Spool as _};

    use super::*;

    fn key(recipient: &str) -> OutcomeKey {
        OutcomeKey {
            client: Copies::client(Ipv4Addr::LOCALHOST.into()),
            id: TransactionId::parse("q1@a.example").unwrap(),
            reverse_path: ReversePath::Null,
            recipient: ForwardPath::parse_inside(recipient).unwrap(),
        }
    }

    async fn open(folder: &Path) -> (Copies, LocalSpool) {
        let spool = LocalSpool::open(folder, Options::default().with_reserve(0)).unwrap();
        let disk = Arc::new(LocalDisk::new(folder.to_path_buf()));
        let outcomes = Outcomes::open(disk, clock::now().wall, OutcomeCaps::default()).unwrap();
        (Copies::open(outcomes, &spool).await, spool)
    }

    async fn commit(spool: &LocalSpool, draft_of: Option<&Claim>) -> QueueId {
        let mut draft = spool.begin(clock::now().wall).await.unwrap();
        let id = draft.id();
        draft.append(Bytes::from_static(b"x\r\n")).await.unwrap();
        if let Some(claim) = draft_of {
            claim.storing(&[0], id).await;
        }
        let to = ForwardPath::parse_inside("a@b.example").unwrap();
        let unknown = VerdictResult::Unknown;
        let envelope = Envelope::plain(ReversePath::Null, unknown, Origin::Ourselves, [to]);
        drop(draft.commit(envelope, clock::now().wall).await.unwrap());
        id
    }

    /// All that is in the queue leaves it.
    async fn deliver(spool: &LocalSpool) {
        let leased = spool.lease(clock::now().wall, Ask::up_to(9)).await.unwrap();
        for lease in leased.leases {
            let done = Progress::Done(Outcome::local((2, 0, 0), None, ""));
            let settlement = Settlement {
                progress: vec![done],
                attempts: 1,
                due: None,
                later: Vec::new(),
                delay_reported: false,
                deadline_reported: false,
                reports: Vec::new(),
            };
            spool.settle(lease, settlement).await.unwrap();
        }
    }

    /// The process dies when it has begun to store a message, when it has stored it, and when it has delivered it, too,
    /// before it could say so.
    #[tokio::test]
    async fn what_was_being_stored_was_taken_if_the_queue_has_had_it() {
        for is_delivered in [false, true] {
            dies_while_storing(is_delivered).await;
        }
    }

    async fn dies_while_storing(is_delivered: bool) {
        let folder = tempfile::tempdir().unwrap();
        let (copies, spool) = open(folder.path()).await;
        let keys = || vec![key("a@b.example")];
        let claim = copies.claim(keys(), [1; 32]).unwrap();
        let id = commit(&spool, Some(&claim)).await;
        let lost = copies.claim(vec![key("b@b.example")], [1; 32]).unwrap();
        let never = QueueId::new(clock::now().wall, 7);
        lost.storing(&[0], never).await;
        for claim in [&claim, &lost] {
            assert_eq!(claim.look_back(), [], "not confirmed by this process");
        }
        if is_delivered {
            deliver(&spool).await;
        }
        drop((claim, lost, copies, spool));

        for _ in 0..2 {
            let (copies, spool) = open(folder.path()).await;
            let claim = copies.claim(keys(), [1; 32]).unwrap();
            let earlier = Earlier {
                queue_id: id,
                whither: Whither::Storage,
            };
            assert_eq!(claim.look_back(), [(0, earlier)]);
            assert_eq!(copies.known(&key("b@b.example")), Known::Nothing);
            drop((claim, copies, spool));
        }
    }

    /// Else who has another message under an old id would be taken for one who has had it, at each RCPT.
    #[tokio::test]
    async fn what_is_remembered_of_other_content_counts_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (copies, _spool) = open(folder.path()).await;
        let keys = || vec![key("a@b.example")];
        let id = QueueId::new(clock::now().wall, 7);
        let claim = copies.claim(keys(), [1; 32]).unwrap();
        claim.onward([0], id).await;
        drop(claim);
        assert_eq!(copies.known(&key("a@b.example")), Known::Before);
        let other = copies.claim(keys(), [2; 32]).unwrap();
        assert_eq!(other.look_back(), []);
        drop(other);
        while copies.known(&key("a@b.example")) != Known::Nothing {
            tokio::task::yield_now().await;
        }
    }

    /// An IPv6 host can take any address of its network.
    #[test]
    fn a_client_is_called_by_what_it_cannot_change() {
        let called = |address: &str| Copies::client(address.parse().unwrap());
        assert_eq!(called("::ffff:192.0.2.1"), called("192.0.2.1"));
        assert_eq!(called("2001:db8::1"), called("2001:db8::2:3"));
        assert_ne!(called("2001:db8::1"), called("2001:db8:0:1::1"));
        assert_ne!(called("192.0.2.1"), called("192.0.2.2"));
    }

    #[tokio::test]
    async fn what_was_stored_is_let_go_when_that_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (copies, spool) = open(folder.path()).await;
        for (recipient, is_stored) in [("a@b.example", true), ("b@b.example", false)] {
            let keys = || vec![key(recipient)];
            let claim = Arc::new(copies.claim(keys(), [1; 32]).unwrap());
            let id = commit(&spool, Some(&claim)).await;
            assert_eq!(copies.claim(keys(), [1; 32]).unwrap_err(), InHand);
            assert_eq!(copies.known(&key(recipient)), Known::InHand);
            claim.stored(&[0], id, is_stored);
            let again = loop {
                if let Ok(claim) = copies.claim(keys(), [1; 32]) {
                    break claim;
                }
                tokio::task::yield_now().await;
            };
            assert_eq!(!again.look_back().is_empty(), is_stored);
            drop(again);
            // Last, since it makes that forgotten.
            let other = copies.claim(keys(), [2; 32]).unwrap();
            assert_eq!(other.look_back(), [], "of other content");
        }
    }
}
