//! What is known of one next hop while there is mail for it: what waits, who carries, how it goes.

use std::collections::{BTreeMap, VecDeque};

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{BodyType, Recipient, Requests};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::residue::Claim;
use vouchsafe_proto::retry::{Passage, Reach};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::time::Mono;
use vouchsafe_spool::Lane;

/// One message's recipients at one next hop.
#[derive(Clone, Debug)]
pub(in crate::runner) struct Work {
    /// The message.
    pub(in crate::runner) id: QueueId,
    /// MAIL FROM.
    pub(in crate::runner) reverse_path: ReversePath,
    /// BODY.
    pub(in crate::runner) body: BodyType,
    /// SMTPUTF8.
    pub(in crate::runner) smtputf8: bool,
    /// Octets of content.
    pub(in crate::runner) size: u64,
    /// What else MAIL asks for.
    pub(in crate::runner) requests: Requests,
    /// Its id for next hops that know what they have taken (XTID), if it has one besides its name.
    pub(in crate::runner) transaction: Option<TransactionId>,
    /// What its client claimed that it is (XVOUCH).
    pub(in crate::runner) claim: Option<Claim>,
    /// The lane of all of them, where that is not their domains'.
    pub(in crate::runner) lane: Option<Lane>,
    /// The recipients, with their places in the envelope.
    pub(in crate::runner) recipients: Vec<(usize, Recipient)>,
}

/// Names one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::runner) struct WorkerId(pub(in crate::runner) u64);

/// One next hop.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// Whether it can be reached.
    pub(super) reach: Reach,
    /// What was seen when it last could not.
    pub(super) seen: Option<Outcome>,
    /// In line, the longest first.
    pub(super) waiting: VecDeque<Work>,
    /// How many workers it has, idle ones included.
    pub(super) workers: usize,
    /// Those that have nothing to do.
    pub(super) idle: Vec<WorkerId>,
    /// It stands in line for a worker.
    pub(super) hungry: bool,
    /// Its lanes are held back until its line is shorter, or a worker free.
    pub(super) parked: bool,
    /// The lanes it serves, with the limit that the queue was told last.
    pub(super) lanes: BTreeMap<Lane, Option<usize>>,
    /// When it is to be looked at again.
    pub(super) moment: Option<Mono>,
    /// It refused a further session while it had this many, or has earned one more since.
    ceiling: Option<usize>,
    /// Works done since the ceiling was last moved.
    done: usize,
}

impl Destination {
    /// How many workers it may have. One, until it is known to answer: a dead next hop must not
    /// take the places of live ones while its timers run.
    pub(super) fn allowed(&self, cap: usize) -> usize {
        match (self.reach, self.ceiling) {
            (Reach::Stands, Some(ceiling)) => ceiling.min(cap),
            (Reach::Stands, None) => cap,
            (Reach::Unknown | Reach::Held { .. }, _) => 1,
        }
    }

    /// True for hosts of a foreign domain that are not known to answer. Anybody can name us such
    /// domains, and any number of them may be dead.
    pub(super) const fn is_strange(&self, next_hop: &NextHop) -> bool {
        !matches!(self.reach, Reach::Stands) && matches!(next_hop, NextHop::Mx { .. })
    }

    /// What was seen, while nobody may go.
    pub(super) fn shut(&self, now: Mono) -> Option<&Outcome> {
        let shut = self.reach.passage(now) == Passage::Shut;
        self.seen.as_ref().filter(|_| shut)
    }

    /// How many leases each of its lanes may have; `None` for what any lane has, one.
    pub(super) fn limit(&self, share: usize, now: Mono) -> Option<usize> {
        match self.reach.passage(now) {
            Passage::Shut => Some(0),
            _ if self.parked => Some(0),
            Passage::Open => Some(share),
            Passage::One => None,
        }
    }

    /// A work was done in a session. A next hop that limits sessions is asked for one more only
    /// after a good while.
    pub(super) fn did_one(&mut self) {
        self.done = self.done.saturating_add(1);
        if let Some(ceiling) = self.ceiling
            && self.done >= ceiling.saturating_mul(WORKS_FOR_ONE_MORE)
        {
            self.ceiling = Some(ceiling.saturating_add(1));
            self.done = 0;
        }
    }

    /// A session could not be had, while others stand: a limit of the peer's, most likely.
    pub(super) fn refused_one_more(&mut self) {
        self.ceiling = Some(self.workers.saturating_sub(1).max(1));
        self.done = 0;
    }

    /// No session can be had at all. Whatever waits goes back.
    pub(super) fn goes_down(&mut self, outcome: Outcome) -> VecDeque<Work> {
        self.ceiling = None;
        self.seen = Some(outcome);
        std::mem::take(&mut self.waiting)
    }

    /// Nothing is in hand for it.
    pub(super) fn is_unused(&self) -> bool {
        self.workers == 0 && self.waiting.is_empty() && !self.hungry
    }
}

/// Works that a limited next hop must do in each of its sessions before one more is tried.
const WORKS_FOR_ONE_MORE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_come_with_proof_and_go_with_refusals() {
        let mut next_hop = Destination::default();
        assert_eq!(next_hop.allowed(20), 1);
        next_hop.reach.stands();
        assert_eq!(next_hop.allowed(20), 20);
        next_hop.workers = 4;
        next_hop.refused_one_more();
        assert_eq!(next_hop.allowed(20), 3);
        for _ in 0..3 * WORKS_FOR_ONE_MORE {
            next_hop.did_one();
        }
        assert_eq!(next_hop.allowed(20), 4);
    }
}
