//! What waits for a next hop: its line, its lanes, and when it is held back.

use std::collections::VecDeque;

use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::{Mono, Wall};
use vouchsafe_spool::{Ask, Lane};

use super::super::conclusion::Tally;
use super::{Given, LEASES_PER_CONNECTION, Schedule, Work};

impl Schedule {
    /// What is to be leased now, by the room there is; `known` is when there is something due and
    /// something overdue, as far as the queue has said, `settling` how much is being recorded.
    pub(in crate::runner) fn ask(
        &mut self,
        known: (Option<Wall>, Option<Wall>),
        settling: usize,
        given: &Given<'_>,
    ) -> Ask {
        let (due, overdue) = known;
        let delivery = &given.terms.delivery;
        let capacity = delivery.connections.saturating_mul(LEASES_PER_CONNECTION);
        let batch = capacity.div_ceil(4).min(LEASE_BATCH);
        let held = self.jobs.len().saturating_add(settling);
        let has_room = held.saturating_add(batch) <= capacity;
        if !has_room && due.is_some_and(|due| due <= given.now.wall) {
            self.trim(given);
        }
        // What is overdue need not be carried: mostly its sender is told, and no more. It has room
        // of its own.
        let tells = settling < SETTLEMENTS && held < capacity.saturating_mul(2);
        let is_overdue = overdue.is_some_and(|at| at <= given.now.wall);
        Ask {
            due: if has_room { batch } else { 0 },
            overdue: if tells && is_overdue { LEASE_BATCH } else { 0 },
            per_lane: 1,
            horizon: Some(given.terms.retry.horizon()),
        }
    }

    /// A moment of [`Schedule::next_moment`] has come: next hops that were held back may be tried
    /// again, by one; those of which nothing was wanted since are forgotten.
    pub(in crate::runner) fn moment(&mut self, given: &Given<'_>) {
        while let Some((at, _)) = self.moments.first()
            && *at <= given.now.mono
            && let Some((_, next_hop)) = self.moments.pop_first()
        {
            let Some(destination) = self.destinations.get_mut(&next_hop) else {
                continue;
            };
            destination.moment = None;
            let retry = &given.terms.retry;
            if !destination.reach.is_stale(retry, given.now.mono) {
                self.set_moment(&next_hop, given.now.mono.plus(retry.longest));
            }
            self.tell(&next_hop, given);
            self.forget(&next_hop, given);
        }
    }

    /// All that is due and was not held back has been leased: whoever was invited and has not come
    /// has nothing.
    pub(in crate::runner) fn drained(&mut self, given: &Given<'_>) {
        let none_came = std::mem::take(&mut self.invited);
        for next_hop in &none_came {
            self.forget(next_hop, given);
        }
        if !none_came.is_empty() {
            self.feed(given);
        }
    }

    /// There is more to lease than may be in hand: what stands far behind in long lines goes back.
    fn trim(&mut self, given: &Given<'_>) {
        let mut back = Vec::new();
        let mut long = Vec::new();
        for (next_hop, destination) in &mut self.destinations {
            let keep = destination.workers.saturating_mul(2).max(1);
            if destination.waiting.len() > keep {
                back.extend(destination.waiting.split_off(keep));
                destination.parked = true;
                long.push(next_hop.clone());
            }
        }
        for next_hop in long {
            self.tell(&next_hop, given);
        }
        for work in back {
            self.end_work(work.id, std::iter::empty());
        }
    }

    /// Puts a work in line, if it may be there; else it ends untried, and its lane is held back.
    pub(super) fn line_up(&mut self, next_hop: &NextHop, work: Work, given: &Given<'_>) {
        self.invited.remove(next_hop);
        let share = share(given);
        let destination = self.destinations.entry(next_hop.clone()).or_default();
        let own = work.lane.is_none();
        let domains = work.recipients.iter().filter(|_| own);
        let domains = domains.map(|(_, recipient)| Lane::of(&recipient.path));
        for lane in work.lane.iter().cloned().chain(domains) {
            destination.lanes.entry(lane).or_default();
        }
        if let Some(outcome) = destination.shut(given.now.mono).cloned() {
            self.tell(next_hop, given);
            self.end_unreached(next_hop, &work, &outcome);
            return;
        }
        if destination.waiting.len() >= share || self.stopping {
            destination.parked = true;
            self.tell(next_hop, given);
            self.end_work(work.id, std::iter::empty());
            return;
        }
        destination.waiting.push_back(work);
        self.advance(next_hop, given);
        let back = self.park_without_worker(next_hop);
        self.tell(next_hop, given);
        for work in back {
            self.end_work(work.id, std::iter::empty());
        }
    }

    /// A next hop without a worker holds no leases: its turn may be long in coming. Gives what has
    /// to go back.
    fn park_without_worker(&mut self, next_hop: &NextHop) -> VecDeque<Work> {
        match self.destinations.get_mut(next_hop) {
            Some(destination) if destination.workers == 0 && !destination.waiting.is_empty() => {
                destination.parked = true;
                std::mem::take(&mut destination.waiting)
            }
            _ => VecDeque::new(),
        }
    }

    /// The next moment at which a next hop is to be looked at; it has only one.
    fn set_moment(&mut self, next_hop: &NextHop, at: Mono) {
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return;
        };
        if let Some(before) = destination.moment.replace(at) {
            self.moments.remove(&(before, next_hop.clone()));
        }
        self.moments.insert((at, next_hop.clone()));
    }

    /// No session can be had: nobody goes until the next try is due. What waits goes back as it
    /// was; only of what is overdue the sender is told what was seen.
    pub(super) fn hold_back(&mut self, next_hop: &NextHop, outcome: &Outcome, given: &Given<'_>) {
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return;
        };
        let retry = &given.terms.retry;
        let until = destination
            .reach
            .failed(retry, given.chance, given.now.mono);
        destination.parked = false;
        let back = destination.goes_down(outcome.clone());
        self.set_moment(next_hop, until);
        self.tell(next_hop, given);
        for work in back {
            self.end_unreached(next_hop, &work, outcome);
        }
    }

    /// A work ends because its next hop cannot be reached. That is nothing to be recorded, unless
    /// its sender is to hear now.
    fn end_unreached(&mut self, next_hop: &NextHop, work: &Work, outcome: &Outcome) {
        if self.is_overdue(work.id) {
            self.end_seen(next_hop, work, outcome);
        } else {
            self.end_work(work.id, std::iter::empty());
        }
    }

    /// A work ends with what was seen of its next hop, which is none of the message's own attempts.
    pub(super) fn end_seen(&mut self, next_hop: &NextHop, work: &Work, outcome: &Outcome) {
        let told = work.recipients.iter().map(|(index, _)| {
            let tally = Tally::Unreached {
                outcome: outcome.clone(),
                next_hop: Some(next_hop.clone()),
            };
            (*index, tally)
        });
        self.end_work(work.id, told);
    }

    fn is_overdue(&self, id: QueueId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.lease.is_overdue())
    }

    /// Tells the queue what a next hop's lanes may have, where that has changed.
    pub(super) fn tell(&mut self, next_hop: &NextHop, given: &Given<'_>) {
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return;
        };
        let limit = destination.limit(share(given), given.now.mono);
        for (lane, told) in &mut destination.lanes {
            let limit = if self.frozen.contains(lane) {
                Some(0)
            } else {
                limit
            };
            if *told != limit {
                *told = limit;
                let lane = lane.clone();
                self.actions.push(super::Action::Limit(lane, limit));
            }
        }
    }

    /// Drops what need not be remembered of a next hop.
    pub(super) fn forget(&mut self, next_hop: &NextHop, given: &Given<'_>) {
        let Some(destination) = self.destinations.get(next_hop) else {
            return;
        };
        let stale = destination
            .reach
            .is_stale(&given.terms.retry, given.now.mono);
        if !stale || !destination.is_unused() || self.invited.contains(next_hop) {
            return;
        }
        if let Some(destination) = self.destinations.remove(next_hop) {
            if let Some(at) = destination.moment {
                self.moments.remove(&(at, next_hop.clone()));
            }
            for (lane, told) in destination.lanes {
                if told.is_some() && !self.frozen.contains(&lane) {
                    self.actions.push(super::Action::Limit(lane, None));
                }
            }
        }
    }
}

/// Works of one next hop that may be in line.
pub(super) const fn share(given: &Given<'_>) -> usize {
    given
        .terms
        .delivery
        .connections_per_destination
        .saturating_mul(LEASES_PER_CONNECTION)
}

/// Messages leased at once: enough to read them in one go, few enough that news do not wait.
const LEASE_BATCH: usize = 64;

/// Settlements on their way at which no more of what is overdue is leased.
const SETTLEMENTS: usize = 256;
