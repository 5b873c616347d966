//! Who carries: workers, their next works, and their places when there are fewer than are wanted.

use std::time::Duration;

use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

use super::super::conclusion::Tally;
use super::lines::share;
use super::{Action, Carried, Given, Schedule, TURN, Work, WorkerId};

/// One worker, as the schedule sees it.
#[derive(Debug)]
pub(super) struct Seat {
    /// Where it carries to.
    next_hop: NextHop,
    /// Since when.
    since: Mono,
    /// Works given to it.
    carried: u32,
    /// It has nothing to do.
    idle: bool,
    /// It is for a stranger, with which no session has come to be.
    probes: bool,
    /// What it carries: the message, and places in its envelope.
    carries: Option<(QueueId, Vec<usize>)>,
}

impl Schedule {
    /// A worker's session has come to be: all that waits for its next hop may go.
    pub(in crate::runner) fn stands(&mut self, worker: WorkerId, given: &Given<'_>) {
        let Some(seat) = self.seats.get_mut(&worker) else {
            return;
        };
        let probed = std::mem::take(&mut seat.probes);
        let next_hop = seat.next_hop.clone();
        self.probing = self.probing.saturating_sub(usize::from(probed));
        if let Some(destination) = self.destinations.get_mut(&next_hop) {
            destination.reach.stands();
            destination.seen = None;
        }
        self.advance(&next_hop, given);
        self.tell(&next_hop, given);
        self.feed(given);
    }

    /// Nothing more will come of a worker.
    pub(in crate::runner) fn left(&mut self, worker: WorkerId, given: &Given<'_>) {
        let next_hop = self.seats.get(&worker).map(|seat| seat.next_hop.clone());
        self.dismiss(worker);
        self.after(next_hop.as_ref(), given);
    }

    /// A work is over.
    pub(in crate::runner) fn finished(
        &mut self,
        worker: WorkerId,
        carried: Carried,
        given: &Given<'_>,
    ) {
        let Some(seat) = self.seats.get_mut(&worker) else {
            return;
        };
        seat.carries = None;
        let (next_hop, works, since) = (seat.next_hop.clone(), seat.carried, seat.since);
        let wanted =
            carried.open && works < given.terms.delivery.messages_per_connection && !self.stopping;
        self.weigh(&next_hop, carried, given);
        let turn_over = given.now.mono.since(since) >= TURN && self.others_wait(given);
        if !wanted || turn_over || !self.stays(worker, &next_hop, given) {
            self.dismiss(worker);
        }
        self.after(Some(&next_hop), given);
    }

    /// A worker has broken down. What it carried is put off, as if not tried: whatever in it breaks
    /// a worker would break the next one, and the process at each start if it went on from here.
    /// Gives the message, if there was one.
    pub(in crate::runner) fn broken(
        &mut self,
        worker: WorkerId,
        given: &Given<'_>,
    ) -> Option<(QueueId, NextHop)> {
        let seat = self.seats.get(&worker)?;
        let (next_hop, carried) = (seat.next_hop.clone(), seat.carries.clone());
        self.dismiss(worker);
        let broken = carried.map(|(id, places)| {
            let tally = self.after_breakdown(id, &next_hop, given);
            self.end_work(id, places.into_iter().map(|index| (index, tally.clone())));
            (id, next_hop.clone())
        });
        self.after(Some(&next_hop), given);
        broken
    }

    /// A worker that was given a work had just left.
    pub(in crate::runner) fn given_back(
        &mut self,
        worker: WorkerId,
        work: Work,
        given: &Given<'_>,
    ) {
        let next_hop = self.seats.get(&worker).map(|seat| seat.next_hop.clone());
        self.dismiss(worker);
        match next_hop {
            Some(next_hop) => {
                let destination = self.destinations.entry(next_hop.clone()).or_default();
                destination.waiting.push_front(work);
                self.after(Some(&next_hop), given);
            }
            None => self.end_work(work.id, std::iter::empty()),
        }
    }

    /// A place may have become free: first for those who stand in line.
    fn after(&mut self, next_hop: Option<&NextHop>, given: &Given<'_>) {
        self.feed(given);
        if let Some(next_hop) = next_hop {
            self.advance(next_hop, given);
            self.tell(next_hop, given);
            self.forget(next_hop, given);
        }
    }

    /// What a work's end says of its next hop. Where no session came to be but others stand, the
    /// work goes back in line; where none stands, all that waits is held back.
    fn weigh(&mut self, next_hop: &NextHop, carried: Carried, given: &Given<'_>) {
        let id = carried.untried.id;
        self.remember(id, &carried.outcomes);
        let told = carried.outcomes.into_iter().map(|(index, outcome)| {
            let next_hop = Some(next_hop.clone());
            (index, Tally::Tried { outcome, next_hop })
        });
        let Some(outcome) = carried.unreachable else {
            if let Some(destination) = self.destinations.get_mut(next_hop) {
                destination.did_one();
            }
            return self.end_work(id, told);
        };
        self.tally(id, told);
        let untried = carried.untried;
        if outcome.class != OutcomeClass::Transient {
            return self.end_refused(next_hop, &untried, &outcome);
        }
        if let Some(destination) = self.destinations.get_mut(next_hop)
            && destination.workers > 1
            && !self.stopping
        {
            destination.refused_one_more();
            destination.waiting.push_front(untried);
            return;
        }
        self.hold_back(next_hop, &outcome, given);
        self.end_seen(next_hop, &untried, &outcome);
    }

    /// A work ends because its next hop will never take it: there is no such domain.
    fn end_refused(&mut self, next_hop: &NextHop, work: &Work, outcome: &Outcome) {
        let told = work.recipients.iter().map(|(index, _)| {
            let tally = Tally::Tried {
                outcome: outcome.clone(),
                next_hop: Some(next_hop.clone()),
            };
            (*index, tally)
        });
        self.end_work(work.id, told);
    }

    /// What is noted of recipients whose worker broke down. Put off for ever they would never hear
    /// that time is up (RFC 5321 §4.5.4.1), so then it counts as a try.
    fn after_breakdown(&self, id: QueueId, next_hop: &NextHop, given: &Given<'_>) -> Tally {
        let now = given.now.wall;
        let expire = given.terms.retry.expire;
        let job = self.jobs.get(&id);
        if job.is_some_and(|job| job.lease.entry().arrived.plus(expire) <= now) {
            let text = "this server broke down over the message";
            return Tally::Tried {
                outcome: Outcome::local((4, 3, 0), None, text),
                next_hop: Some(next_hop.clone()),
            };
        }
        Tally::Postponed(now.plus(AFTER_BREAKDOWN))
    }

    /// Gives what waits for a next hop to workers, as far as it may have any.
    pub(super) fn advance(&mut self, next_hop: &NextHop, given: &Given<'_>) {
        let delivery = &given.terms.delivery;
        while let Some(destination) = self.destinations.get_mut(next_hop) {
            let Some(work) = destination.waiting.pop_front() else {
                break;
            };
            if let Some(worker) = destination.idle.pop() {
                self.give(worker, work);
                continue;
            }
            let strange = destination.is_strange(next_hop);
            let may =
                destination.workers < destination.allowed(delivery.connections_per_destination);
            let crowded = strange && self.probing >= probes_at_most(delivery.connections);
            if may && !crowded && (self.has_place(given) || self.dismiss_an_idle_one()) {
                self.engage(next_hop, work, given);
                continue;
            }
            let Some(destination) = self.destinations.get_mut(next_hop) else {
                return;
            };
            destination.waiting.push_front(work);
            if may && !std::mem::replace(&mut destination.hungry, true) {
                let line = if strange {
                    &mut self.strange
                } else {
                    &mut self.hungry
                };
                line.push_back(next_hop.clone());
            }
            break;
        }
        let share = share(given);
        if let Some(destination) = self.destinations.get_mut(next_hop)
            && destination.workers > 0
            && destination.waiting.len() <= destination.workers.min(share / 2)
        {
            destination.parked = false;
        }
    }

    /// True if there is a place that is kept for nobody.
    fn has_place(&self, given: &Given<'_>) -> bool {
        let taken = self.seats.len().saturating_add(self.invited.len());
        taken < given.terms.delivery.connections
    }

    /// A new worker with its first work.
    fn engage(&mut self, next_hop: &NextHop, first: Work, given: &Given<'_>) {
        self.last_worker = self.last_worker.wrapping_add(1);
        let id = WorkerId(self.last_worker);
        let destination = self.destinations.entry(next_hop.clone()).or_default();
        destination.workers = destination.workers.saturating_add(1);
        let seat = Seat {
            next_hop: next_hop.clone(),
            since: given.now.mono,
            carried: 1,
            idle: false,
            probes: destination.is_strange(next_hop),
            carries: Some(what_is_carried(&first)),
        };
        self.probing = self.probing.saturating_add(usize::from(seat.probes));
        self.seats.insert(id, seat);
        self.actions
            .push(Action::Engage(id, next_hop.clone(), first));
    }

    /// The next work for a worker.
    fn give(&mut self, worker: WorkerId, work: Work) {
        let Some(seat) = self.seats.get_mut(&worker) else {
            return self.end_work(work.id, std::iter::empty());
        };
        seat.idle = false;
        seat.carried = seat.carried.saturating_add(1);
        seat.carries = Some(what_is_carried(&work));
        self.actions.push(Action::Give(worker, work));
    }

    /// A worker leaves, or is told to: its place is free.
    fn dismiss(&mut self, worker: WorkerId) {
        let Some(seat) = self.seats.remove(&worker) else {
            return;
        };
        self.actions.push(Action::Dismiss(worker));
        self.probing = self.probing.saturating_sub(usize::from(seat.probes));
        if let Some(destination) = self.destinations.get_mut(&seat.next_hop) {
            destination.workers = destination.workers.saturating_sub(1);
            destination.idle.retain(|idle| *idle != worker);
        }
    }

    /// Makes a place free that nobody needs; false if all are needed.
    pub(super) fn dismiss_an_idle_one(&mut self) -> bool {
        let idle = self.seats.iter().find(|(_, seat)| seat.idle);
        let Some(worker) = idle.map(|(worker, _)| *worker) else {
            return false;
        };
        self.dismiss(worker);
        true
    }

    /// The worker becomes idle, unless its place is needed elsewhere; false if it is.
    fn stays(&mut self, worker: WorkerId, next_hop: &NextHop, given: &Given<'_>) -> bool {
        let others_wait = self.others_wait(given);
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return false;
        };
        if destination.waiting.is_empty() && others_wait {
            return false;
        }
        destination.idle.push(worker);
        if let Some(seat) = self.seats.get_mut(&worker) {
            seat.idle = true;
        }
        true
    }

    /// True if somebody stands in line for a place and could have it.
    fn others_wait(&self, given: &Given<'_>) -> bool {
        let probes_at_most = probes_at_most(given.terms.delivery.connections);
        !self.hungry.is_empty() || (!self.strange.is_empty() && self.probing < probes_at_most)
    }

    /// Free places go to those that stand in line, in turn. Who has nothing leased is invited: his
    /// lanes are opened, and a place is kept for what comes.
    pub(super) fn feed(&mut self, given: &Given<'_>) {
        while !self.stopping && self.has_place(given) {
            let Some(next_hop) = self.next_in_line(given) else {
                return;
            };
            let Some(destination) = self.destinations.get_mut(&next_hop) else {
                continue;
            };
            destination.hungry = false;
            if destination.waiting.is_empty() {
                destination.parked = false;
                self.invited.insert(next_hop.clone());
            } else {
                self.advance(&next_hop, given);
            }
            self.tell(&next_hop, given);
        }
    }

    /// Who gets the next free place. Strangers come first until they have half of what they may
    /// have, and last from then on: neither line can keep the other waiting for ever.
    fn next_in_line(&mut self, given: &Given<'_>) -> Option<NextHop> {
        let most = probes_at_most(given.terms.delivery.connections);
        let probing = self.probing.saturating_add(self.invited.len());
        if probing < most.div_ceil(2) && !self.strange.is_empty() {
            return self.strange.pop_front();
        }
        let known = self.hungry.pop_front();
        if known.is_none() && probing < most {
            return self.strange.pop_front();
        }
        known
    }
}

/// What is remembered of a work while it is carried.
fn what_is_carried(work: &Work) -> (QueueId, Vec<usize>) {
    let places = work.recipients.iter().map(|(index, _)| *index);
    (work.id, places.collect())
}

/// Workers that may be with strangers at the same time: what is left is for those who answer.
const fn probes_at_most(connections: usize) -> usize {
    connections.div_ceil(2)
}

/// How long a message is put off that broke a worker: it will most likely do so again, so this is
/// rare, but often enough that it goes out on the day a mended version runs.
const AFTER_BREAKDOWN: Duration = Duration::from_hours(1);
