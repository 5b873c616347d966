//! What is known of one next hop while there is mail for it: what waits, who carries, how it goes.

use std::collections::VecDeque;
use std::time::Duration;

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{BodyType, Recipient, Requests};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

/// One message's recipients at one next hop.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// The message.
    pub(super) id: QueueId,
    /// MAIL FROM.
    pub(super) reverse_path: ReversePath,
    /// BODY.
    pub(super) body: BodyType,
    /// SMTPUTF8.
    pub(super) smtputf8: bool,
    /// What else MAIL asked for.
    pub(super) requests: Requests,
    /// Octets of content.
    pub(super) size: u64,
    /// The recipients, with their places in the envelope.
    pub(super) recipients: Vec<(usize, Recipient)>,
    /// When it was put in line.
    pub(super) since: Mono,
}

/// Names one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WorkerId(pub(super) u64);

/// One next hop.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// In line, the longest first.
    pub(super) waiting: VecDeque<Work>,
    /// How many workers it has, idle ones included.
    pub(super) workers: usize,
    /// Those that have nothing to do.
    pub(super) idle: Vec<WorkerId>,
    /// It stands in line for a worker.
    pub(super) hungry: bool,
    /// A session has come to be since it was last found down.
    proven: bool,
    /// It refused a further session while it had this many, or has earned one more since.
    ceiling: Option<usize>,
    /// Works done since the ceiling was last moved.
    done: usize,
    /// Until when it is taken to be down, and what was seen.
    down: Option<(Mono, Outcome)>,
    /// It has kept others waiting.
    clogged: bool,
    /// Works put off since it clogged.
    put_off: u32,
    /// Works done since it was last looked at for keeping others waiting.
    turned: usize,
}

impl Destination {
    /// How many workers it may have. One, until it is known to answer: a dead next hop must not
    /// take the places of live ones while its timers run.
    pub(super) fn allowed(&self, cap: usize) -> usize {
        match (self.proven, self.ceiling) {
            (false, _) => 1,
            (true, Some(ceiling)) => ceiling.min(cap),
            (true, None) => cap,
        }
    }

    /// True for hosts of a foreign domain that are not known to answer. Anybody can name us such
    /// domains, and any number of them may be dead.
    pub(super) const fn is_strange(&self, next_hop: &NextHop) -> bool {
        !self.proven && matches!(next_hop, NextHop::Mx { .. })
    }

    /// A session has come to be.
    pub(super) fn stands(&mut self) {
        self.proven = true;
        self.down = None;
    }

    /// A work was done in a session. A next hop that limits sessions is asked for one more only
    /// after a good while.
    pub(super) fn did_one(&mut self) {
        self.turned = self.turned.saturating_add(1);
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

    /// No session can be had at all. Whatever waits shares the outcome.
    pub(super) fn goes_down(&mut self, until: Mono, outcome: Outcome) -> VecDeque<Work> {
        self.proven = false;
        self.ceiling = None;
        self.down = Some((until, outcome));
        std::mem::take(&mut self.waiting)
    }

    /// What was seen, if it is still taken to be down.
    pub(super) fn is_down(&self, now: Mono) -> Option<&Outcome> {
        let (until, outcome) = self.down.as_ref()?;
        (now < *until).then_some(outcome)
    }

    /// Nothing is left that would have to be remembered.
    pub(super) fn is_forgettable(&self, now: Mono) -> bool {
        self.workers == 0 && self.waiting.is_empty() && self.is_down(now).is_none()
    }

    /// True if it has done its share since it was last asked: its line is long and moves, and the
    /// leases it holds come free without anything being put off.
    pub(super) fn moves(&mut self, share: usize) -> bool {
        std::mem::take(&mut self.turned) >= share
    }

    /// Keeps others waiting: takes out what is beyond its share, to be put off.
    pub(super) fn clog(&mut self, share: usize) -> VecDeque<Work> {
        self.clogged = true;
        let keep = share.min(self.waiting.len());
        self.waiting.split_off(keep)
    }

    /// True if a further work is to be put off.
    pub(super) fn is_full(&mut self, share: usize) -> bool {
        if self.clogged && self.waiting.len() < share / 2 {
            self.clogged = false;
            self.put_off = 0;
        }
        self.clogged && self.waiting.len() >= share
    }

    /// For how long the next work is put off: the more of them, the longer, so that they come back
    /// in turn.
    pub(super) fn put_off(&mut self, share: usize, longest: Duration) -> Duration {
        let turns = u64::from(self.put_off) / u64::try_from(share.max(1)).unwrap_or(u64::MAX);
        self.put_off = self.put_off.saturating_add(1);
        let span = TURN.saturating_mul(u32::try_from(turns.saturating_add(1)).unwrap_or(u32::MAX));
        span.min(longest).min(LONGEST_PUT_OFF)
    }
}

/// Works that a limited next hop must do in each of its sessions before one more is tried.
const WORKS_FOR_ONE_MORE: usize = 20;

/// The time that one share of works is given before the next comes back.
const TURN: Duration = Duration::from_secs(30);

/// Nothing is put off for longer: the next hop may have recovered meanwhile.
const LONGEST_PUT_OFF: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn work(number: u64) -> Work {
        Work {
            id: QueueId::new(vouchsafe_proto::time::Wall::default(), number),
            reverse_path: ReversePath::Null,
            body: BodyType::SevenBit,
            smtputf8: false,
            requests: Requests::default(),
            size: 1,
            recipients: Vec::new(),
            since: Mono::default(),
        }
    }

    fn at(millis: u64) -> Mono {
        Mono::from_millis(millis)
    }

    #[test]
    fn workers_come_with_proof_and_go_with_refusals() {
        let mut next_hop = Destination::default();
        assert_eq!(next_hop.allowed(20), 1);
        next_hop.stands();
        assert_eq!(next_hop.allowed(20), 20);
        next_hop.workers = 4;
        next_hop.refused_one_more();
        assert_eq!(next_hop.allowed(20), 3);
        for _ in 0..3 * WORKS_FOR_ONE_MORE {
            next_hop.did_one();
        }
        assert_eq!(next_hop.allowed(20), 4);
        next_hop.waiting = [work(1), work(2)].into();
        let outcome = Outcome::local((4, 4, 1), None, "down");
        assert_eq!(next_hop.goes_down(at(50), outcome).len(), 2);
        assert_eq!(next_hop.allowed(20), 1);
        assert!(next_hop.is_down(at(49)).is_some() && next_hop.is_down(at(50)).is_none());
    }

    #[test]
    fn a_long_line_that_moves_is_no_clog() {
        let mut next_hop = Destination::default();
        (0..4).for_each(|_| next_hop.did_one());
        assert!(next_hop.moves(4));
        assert!(!next_hop.moves(4), "what was done before counts once");
        (0..3).for_each(|_| next_hop.did_one());
        assert!(!next_hop.moves(4));
    }

    #[test]
    fn one_that_clogs_keeps_its_share_and_no_more() {
        let mut next_hop = Destination {
            waiting: (0..10).map(work).collect(),
            ..Destination::default()
        };
        assert!(
            !next_hop.is_full(4),
            "as long as nobody else waits it may have all"
        );
        assert_eq!(next_hop.clog(4).len(), 6);
        assert!(next_hop.is_full(4));
        let longest = Duration::from_hours(1);
        let spans: Vec<_> = (0..6)
            .map(|_| next_hop.put_off(4, longest).as_secs())
            .collect();
        assert_eq!(spans, [30, 30, 30, 30, 60, 60]);
        next_hop.waiting.truncate(1);
        assert!(!next_hop.is_full(4));
        assert_eq!(next_hop.put_off(4, Duration::from_secs(1)).as_secs(), 1);
    }
}
