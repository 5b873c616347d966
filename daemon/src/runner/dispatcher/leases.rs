//! What is taken in hand: leases, the works they make, and room for others when a next hop is slow.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::{NextHop, RouteError};
use vouchsafe_proto::time::Mono;
use vouchsafe_spool::{Ask, Lease, LeaseError, Progress};

use super::super::conclusion::Tally;
use super::super::deadline;
use super::super::destination::Work;
use super::{Dispatcher, Job, put};
use crate::clock;

impl Dispatcher {
    /// Messages that may be in hand.
    pub(super) fn capacity(&self) -> usize {
        let delivery = &self.environment.current.take().config.delivery;
        delivery.connections.saturating_mul(LEASES_PER_CONNECTION)
    }

    /// Works of one next hop that are kept when others wait.
    pub(super) fn share(&self) -> usize {
        let delivery = &self.environment.current.take().config.delivery;
        delivery
            .connections_per_destination
            .saturating_mul(LEASES_PER_CONNECTION)
    }

    /// How many more messages may be taken in hand.
    pub(super) fn room(&self) -> usize {
        let held = self.jobs.len().saturating_add(self.settlements.len());
        self.capacity().saturating_sub(held)
    }

    /// Takes what is due, as far as there is room.
    pub(super) async fn take_leases(&mut self) {
        let batch = self.capacity().div_ceil(4).min(LEASE_BATCH);
        while self.look && !self.closed && self.room() >= batch {
            let now = clock::now().wall;
            match self.environment.spool.lease(now, Ask::up_to(batch)).await {
                Ok(leased) => {
                    self.look = leased.leases.len() >= batch;
                    self.next_due = leased.next_due;
                    for finding in leased.findings {
                        tracing::error!(%finding, "a message cannot be delivered");
                    }
                    for lease in leased.leases {
                        self.admit(lease);
                    }
                }
                Err(LeaseError::Poisoned) => self.close(),
                Err(error) => {
                    tracing::error!(
                        error = %crate::log::chain(&error),
                        "the queue cannot be read"
                    );
                    self.look = false;
                    self.next_due = Some(now.plus(AFTER_TROUBLE));
                }
            }
        }
    }

    /// Takes one message in hand: one work for each next hop.
    pub(super) fn admit(&mut self, lease: Lease) {
        let id = lease.entry().id;
        if self.settling.contains(&id) {
            self.early.insert(id, lease);
            return;
        }
        if let Some(record) = self.unrecorded.remove(&id) {
            self.record(lease, record);
            return;
        }
        let in_force = self.environment.current.take();
        let routes = in_force.config.routes();
        let entry = lease.entry();
        let mut tallies = vec![Tally::Untouched; entry.envelope.recipients.len()];
        let mut works: BTreeMap<NextHop, Work> = BTreeMap::new();
        let (since, now) = (clock::now().mono, clock::now().wall);
        for (index, recipient) in entry.envelope.recipients.iter().enumerate() {
            if !entry.progress.get(index).is_some_and(Progress::is_waiting) {
                continue;
            }
            if let Some(outcome) = deadline::over(entry, index, now) {
                let tally = Tally::Tried {
                    outcome,
                    next_hop: None,
                };
                put(&mut tallies, index, tally);
                continue;
            }
            // Whether the client might relay was decided when the recipient was accepted.
            match routes.route(&recipient.path, true) {
                Ok(next_hop) => works
                    .entry(next_hop)
                    .or_insert_with(|| Work {
                        id,
                        reverse_path: entry.envelope.reverse_path.clone(),
                        body: entry.envelope.body,
                        smtputf8: entry.envelope.smtputf8,
                        requests: entry.envelope.requests.clone(),
                        size: entry.size,
                        recipients: Vec::new(),
                        since,
                    })
                    .recipients
                    .push((index, recipient.clone())),
                Err(error) => {
                    let tally = Tally::Tried {
                        outcome: without_route(error),
                        next_hop: None,
                    };
                    put(&mut tallies, index, tally);
                }
            }
        }
        let open = works.len();
        self.jobs.insert(
            id,
            Job {
                lease,
                tallies,
                open,
            },
        );
        if open == 0 {
            self.finish(id);
        }
        for (next_hop, work) in works {
            self.line_up(&next_hop, work);
        }
    }

    /// Puts a work in line, unless it is already known what will become of it.
    pub(super) fn line_up(&mut self, next_hop: &NextHop, work: Work) {
        let share = self.share();
        let now = clock::now();
        let destination = self.destinations.entry(next_hop.clone()).or_default();
        if let Some(outcome) = destination.is_down(now.mono).cloned() {
            self.end_untried(next_hop, &work, &outcome);
        } else if destination.is_full(share) {
            self.put_off(next_hop, &work);
        } else {
            destination.waiting.push_back(work);
            self.dispatch(next_hop);
        }
    }

    /// When every lease is out: the moment since which the longest waiting work has waited.
    pub(super) fn oldest_wait(&self) -> Option<Mono> {
        if !self.look || self.closed || self.deadline.is_some() {
            return None;
        }
        let lines = self.destinations.values();
        lines
            .filter_map(|destination| destination.waiting.front())
            .map(|work| work.since)
            .min()
    }

    /// When every lease is out, and some next hop's works have waited long: makes room.
    pub(super) fn ease(&mut self) {
        let now = clock::now().mono;
        if self
            .oldest_wait()
            .is_none_or(|since| since.plus(PATIENCE) > now)
        {
            return;
        }
        let share = self.share();
        let mut late = Vec::new();
        for (next_hop, destination) in &mut self.destinations {
            let waits = |work: &Work| work.since.plus(PATIENCE) <= now;
            if destination.waiting.front().is_some_and(waits) {
                // A stranger that stands in line has no share yet.
                let waits_for_a_worker =
                    destination.workers == 0 && destination.is_strange(next_hop);
                let beyond = if destination.moves(share) {
                    VecDeque::new()
                } else {
                    destination.clog(if waits_for_a_worker { 0 } else { share })
                };
                // Those that stay begin to wait anew: they have their share.
                for work in &mut destination.waiting {
                    work.since = now;
                }
                late.push((next_hop.clone(), beyond));
            }
        }
        for (next_hop, works) in late {
            if !works.is_empty() {
                tracing::warn!(%next_hop, works = works.len(), "slow next hop: others go first");
            }
            for work in works {
                self.put_off(&next_hop, &work);
            }
        }
    }

    /// Puts a work off without a try.
    pub(super) fn put_off(&mut self, next_hop: &NextHop, work: &Work) {
        let share = self.share();
        let longest = self.environment.current.take().config.retry.longest;
        let destination = self.destinations.entry(next_hop.clone()).or_default();
        let until = clock::now().wall.plus(destination.put_off(share, longest));
        self.end_work(
            work.id,
            work.recipients
                .iter()
                .map(|(index, _)| (*index, Tally::Postponed(until))),
        );
    }
}

/// What it means that a recipient we accepted has no route now. A configuration can be mended; a
/// domain that the DNS cannot hold cannot.
fn without_route(error: RouteError) -> Outcome {
    match error {
        RouteError::BadDomain => {
            Outcome::local((5, 1, 2), None, "the recipient's domain cannot exist")
        }
        _ => Outcome::local(
            (4, 3, 5),
            None,
            "this server is not configured to deliver to the recipient now",
        ),
    }
}

/// Messages in hand for each connection that there may be: enough that no worker waits for the
/// next lease, few enough that their envelopes (a kilobyte or so each) do not matter.
const LEASES_PER_CONNECTION: usize = 4;

/// Messages leased at once: enough to read them in one go, few enough that news do not wait.
const LEASE_BATCH: usize = 64;

/// How long works may wait in line while others cannot be leased.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// When the queue is looked at again after it could not be read.
const AFTER_TROUBLE: Duration = Duration::from_mins(1);
