//! Who carries: workers, their next works, and their places when there are fewer than are wanted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinError;
use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;

use super::super::conclusion::Tally;
use super::super::destination::{Work, WorkerId};
use super::super::worker::{Carried, News, Worker};
use super::{Dispatcher, Seat};
use crate::clock;

impl Dispatcher {
    /// Gives what waits for a next hop to workers, as far as it may have any.
    pub(super) fn dispatch(&mut self, next_hop: &NextHop) {
        if !self.environment.spool.is_sound() {
            return self.close();
        }
        let in_force = self.environment.current.take();
        let delivery = &in_force.config.delivery;
        while let Some(destination) = self.destinations.get_mut(next_hop) {
            let Some(work) = destination.waiting.pop_front() else {
                return;
            };
            if let Some(worker) = destination.idle.pop() {
                self.give(worker, work);
                continue;
            }
            let strange = destination.is_strange(next_hop);
            let may =
                destination.workers < destination.allowed(delivery.connections_per_destination);
            let crowded = strange && self.probing >= probes_at_most(delivery.connections);
            let has_seat = self.seats.len() < delivery.connections;
            if may && !crowded && (has_seat || self.dismiss_an_idle_one()) {
                self.engage(next_hop, work);
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
            return;
        }
    }

    /// A new worker with its first work.
    pub(super) fn engage(&mut self, next_hop: &NextHop, first: Work) {
        self.last_worker = self.last_worker.wrapping_add(1);
        let id = WorkerId(self.last_worker);
        let (works, incoming) = mpsc::channel(1);
        let worker = Worker {
            id,
            next_hop: next_hop.clone(),
            environment: Arc::clone(&self.environment),
            news: self.news.0.clone(),
            connection: None,
        };
        let carries = Some(what_is_carried(&first));
        let task = self.workers.spawn(worker.run(first, incoming)).id();
        let destination = self.destinations.entry(next_hop.clone()).or_default();
        destination.workers = destination.workers.saturating_add(1);
        let seat = Seat {
            next_hop: next_hop.clone(),
            works,
            carried: 1,
            idle: false,
            probes: destination.is_strange(next_hop),
            task,
            carries,
        };
        self.probing = self.probing.saturating_add(usize::from(seat.probes));
        self.seats.insert(id, seat);
    }

    /// The next work for a worker. One that has just left does not take it: it goes back in line.
    pub(super) fn give(&mut self, worker: WorkerId, work: Work) {
        let Some(seat) = self.seats.get_mut(&worker) else {
            return;
        };
        seat.idle = false;
        seat.carried = seat.carried.saturating_add(1);
        seat.carries = Some(what_is_carried(&work));
        if let Err(back) = seat.works.try_send(work) {
            let next_hop = seat.next_hop.clone();
            let work = match back {
                mpsc::error::TrySendError::Full(work) | mpsc::error::TrySendError::Closed(work) => {
                    work
                }
            };
            self.dismiss(worker);
            let destination = self.destinations.entry(next_hop).or_default();
            destination.waiting.push_front(work);
        }
    }

    /// A worker leaves, or is told to: its place is free.
    pub(super) fn dismiss(&mut self, worker: WorkerId) {
        let Some(seat) = self.seats.remove(&worker) else {
            return;
        };
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

    /// News from a worker.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Stands(worker) => {
                let Some(seat) = self.seats.get_mut(&worker) else {
                    return;
                };
                let probed = std::mem::take(&mut seat.probes);
                let next_hop = seat.next_hop.clone();
                self.probing = self.probing.saturating_sub(usize::from(probed));
                if let Some(destination) = self.destinations.get_mut(&next_hop) {
                    destination.stands();
                }
                self.dispatch(&next_hop);
                self.feed();
            }
            News::Finished(worker, carried) => self.finished(worker, *carried),
            News::Left(worker) => {
                let next_hop = self.seats.get(&worker).map(|seat| seat.next_hop.clone());
                self.dismiss(worker);
                if let Some(next_hop) = next_hop {
                    self.dispatch(&next_hop);
                    self.forget(&next_hop);
                }
                self.feed();
            }
        }
    }

    /// A work is over.
    pub(super) fn finished(&mut self, worker: WorkerId, carried: Carried) {
        let Some(seat) = self.seats.get_mut(&worker) else {
            return;
        };
        seat.carries = None;
        let (next_hop, works) = (seat.next_hop.clone(), seat.carried);
        let again = self.weigh(&next_hop, carried.unreachable.as_ref(), &carried.untried);
        let told = carried.outcomes.into_iter().map(|(index, outcome)| {
            let next_hop = Some(next_hop.clone());
            (index, Tally::Tried { outcome, next_hop })
        });
        let id = carried.untried.id;
        match carried.unreachable {
            None => self.end_work(id, told),
            Some(_) if again => self.tally(id, told),
            Some(outcome) => {
                self.tally(id, told);
                self.end_untried(&next_hop, &carried.untried, &outcome);
            }
        }
        let limit = self
            .environment
            .current
            .take()
            .config
            .delivery
            .messages_per_connection;
        let wanted = carried.open && works < limit && self.deadline.is_none();
        if !wanted || !self.stays(worker, &next_hop) {
            self.dismiss(worker);
        }
        self.dispatch(&next_hop);
        self.feed();
        self.forget(&next_hop);
    }

    /// A worker has panicked. What it carried is put off, as if not tried: whatever in it breaks a
    /// worker would break the next one, and the process at each start if it went on from here.
    pub(super) fn broken(&mut self, error: &JoinError) {
        // It may have been done with its work: then the news of that are on their way.
        while let Ok(news) = self.news.1.try_recv() {
            self.hear(news);
        }
        let task = error.id();
        let seat = self.seats.iter().find(|(_, seat)| seat.task == task);
        let Some((worker, seat)) = seat.map(|(worker, seat)| (*worker, seat)) else {
            tracing::error!(%error, "a worker broke down after its work");
            return;
        };
        let next_hop = seat.next_hop.clone();
        let carried = seat.carries.clone();
        self.dismiss(worker);
        if let Some((id, places)) = carried {
            tracing::error!(
                queue_id = %id,
                %next_hop,
                %error,
                "a worker broke down: its message is put off"
            );
            let tally = self.after_breakdown(id, &next_hop);
            self.end_work(id, places.into_iter().map(|index| (index, tally.clone())));
        } else {
            tracing::error!(%next_hop, %error, "a worker broke down between two messages");
        }
        self.dispatch(&next_hop);
        self.feed();
        self.forget(&next_hop);
    }

    /// What is noted of recipients whose worker broke down. Put off for ever they would never hear
    /// that time is up (RFC 5321 §4.5.4.1), so then it counts as a try.
    fn after_breakdown(&self, id: QueueId, next_hop: &NextHop) -> Tally {
        let now = clock::now().wall;
        let expire = self.environment.current.take().config.retry.expire;
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

    /// The worker becomes idle, unless its place is needed elsewhere; false if it is.
    pub(super) fn stays(&mut self, worker: WorkerId, next_hop: &NextHop) -> bool {
        let connections = self.environment.current.take().config.delivery.connections;
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return false;
        };
        let others_wait = !self.hungry.is_empty()
            || (!self.strange.is_empty() && self.probing < probes_at_most(connections));
        if destination.waiting.is_empty() && others_wait {
            return false;
        }
        destination.idle.push(worker);
        if let Some(seat) = self.seats.get_mut(&worker) {
            seat.idle = true;
        }
        true
    }

    /// What a work's end says of its next hop. Where no session came to be but others stand, the
    /// work goes back in line (true); where none stands, all that waits shares its end.
    pub(super) fn weigh(
        &mut self,
        next_hop: &NextHop,
        unreachable: Option<&Outcome>,
        untried: &Work,
    ) -> bool {
        let now = clock::now().mono;
        let first = self.environment.current.take().config.retry.first;
        let stopping = self.deadline.is_some();
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return false;
        };
        let Some(outcome) = unreachable else {
            destination.did_one();
            return false;
        };
        if destination.workers > 1 && !stopping {
            destination.refused_one_more();
            destination.waiting.push_front(untried.clone());
            return true;
        }
        if outcome.class == OutcomeClass::Transient {
            let until = now.plus(first.min(DOWN_AT_MOST));
            for work in destination.goes_down(until, outcome.clone()) {
                self.end_untried(next_hop, &work, outcome);
            }
        }
        false
    }

    /// Free places go to those that stand in line, in turn.
    pub(super) fn feed(&mut self) {
        let connections = self.environment.current.take().config.delivery.connections;
        while self.seats.len() < connections {
            let Some(next_hop) = self.next_in_line(probes_at_most(connections)) else {
                return;
            };
            if let Some(destination) = self.destinations.get_mut(&next_hop) {
                destination.hungry = false;
            }
            self.dispatch(&next_hop);
        }
    }

    /// Who gets the next free place. Strangers come first until they have half of what they may
    /// have, and last from then on: neither line can keep the other waiting for ever.
    fn next_in_line(&mut self, probes_at_most: usize) -> Option<NextHop> {
        if self.probing < probes_at_most.div_ceil(2) && !self.strange.is_empty() {
            return self.strange.pop_front();
        }
        let known = self.hungry.pop_front();
        if known.is_none() && self.probing < probes_at_most {
            return self.strange.pop_front();
        }
        known
    }

    /// Drops what need not be remembered of a next hop.
    pub(super) fn forget(&mut self, next_hop: &NextHop) {
        let now = clock::now().mono;
        if self
            .destinations
            .get(next_hop)
            .is_some_and(|destination| destination.is_forgettable(now))
        {
            self.destinations.remove(next_hop);
        }
        // Those that were down are looked at again only when there are many.
        if self.destinations.len() > DESTINATIONS_BEFORE_SWEEP {
            self.destinations
                .retain(|_, destination| !destination.is_forgettable(now));
        }
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

/// How long a next hop is taken to be down without another try, at most. Never longer than the
/// first wait of the schedule, so that what is tried again is really tried.
const DOWN_AT_MOST: Duration = Duration::from_mins(1);

/// Next hops remembered before those that are of no interest any more are dropped.
const DESTINATIONS_BEFORE_SWEEP: usize = 10_000;
