//! Who carries what, and when: all of it decided here, and nothing done.
//!
//! Under the drain contract: an input (a lease, a worker's news, a moment), with the time, the terms
//! and a random number; then [`Schedule::take_actions`], all of which the driver performs, in order.
//! The same inputs give the same actions: nothing here is kept in an order of its own.
//!
//! How no next hop keeps the others waiting. There is one worker for a next hop until a session
//! with it has come to be, and one lease for each of its lanes. When none can be had, its lanes are
//! held back (`retry::Reach`): what waits for it goes back to the queue as it was, but for the one
//! message that was tried. Leases are held only for next hops that have a worker; the others stand
//! in line for one without any, and get it in turn, since a worker leaves after some messages or a
//! minute if others wait. Mail hosts of foreign domains that have not answered yet have half of
//! the workers at most, however many such domains are dead.
//!
//! A message that is overdue is tried if that can be at once; else its sender hears now.
//!
//! What the operator holds, or whose domain is frozen, is not tried; where such a message is leased all
//! the same, because its sender is to hear, he is told that.
//!
//! Files: state and messages here; `operator` what he says; `lines` what waits for a next hop; `seats` who carries it;
//! `destination` what is known of it.

mod destination;
mod lines;
mod operator;
mod seats;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::retry::Policy;
use vouchsafe_proto::route::{NextHop, RouteError, Routes};
use vouchsafe_proto::time::{Mono, Now};
use vouchsafe_spool::{Entry, Lane, Lease, Progress};

use super::conclusion::Tally;
use super::deadline;
use crate::config::schema::Delivery;
use destination::Destination;
pub(super) use destination::{Work, WorkerId};
pub use operator::HeldBack;
use seats::Seat;

/// What of the configuration is needed.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// `[delivery]`.
    pub(super) delivery: Delivery,
    /// `[retry]`.
    pub(super) retry: Policy,
    /// Where mail goes.
    pub(super) routes: Routes,
}

/// What comes with every input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// The configuration.
    pub(super) terms: &'a Terms,
    /// The time.
    pub(super) now: Now,
    /// Any number.
    pub(super) chance: u32,
}

/// What the driver does.
#[derive(Debug)]
pub(super) enum Action {
    /// Tell the queue: so many leases in a lane.
    Limit(Lane, Option<usize>),
    /// Start a worker, with its first work.
    Engage(WorkerId, NextHop, Work),
    /// Give a worker its next work; if it has just left, [`Schedule::given_back`].
    Give(WorkerId, Work),
    /// Tell a worker to leave.
    Dismiss(WorkerId),
    /// Record what is known of a message so far ([`Schedule::part`]), then [`Schedule::recorded`].
    Record(QueueId),
    /// The message's end: conclude, record, or give it back.
    Finish(Lease, Vec<Tally>),
}

/// The state of all deliveries.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// Messages in hand.
    jobs: BTreeMap<QueueId, Job>,
    /// Next hops for which there is mail, or of which something is to be remembered.
    destinations: BTreeMap<NextHop, Destination>,
    /// Workers.
    seats: BTreeMap<WorkerId, Seat>,
    /// Next hops in line for a worker.
    hungry: VecDeque<NextHop>,
    /// Strangers ([`Destination::is_strange`]) in line for one.
    strange: VecDeque<NextHop>,
    /// Next hops that had nothing leased while they stood in line, and for which a place is kept
    /// until their lanes have been leased from.
    invited: BTreeSet<NextHop>,
    /// When next hops are to be looked at again: tried, or forgotten.
    moments: BTreeSet<(Mono, NextHop)>,
    /// Workers that have had no session yet with the stranger they are for.
    probing: usize,
    /// Lanes from which nothing goes until the operator says so.
    frozen: BTreeSet<Lane>,
    /// The last worker's number.
    last_worker: u64,
    /// Nothing new is begun.
    stopping: bool,
    /// What is to be done.
    actions: Vec<Action>,
}

/// One message in hand.
#[derive(Debug)]
struct Job {
    /// The claim on it.
    lease: Lease,
    /// What was done for each recipient.
    tallies: Vec<Tally>,
    /// What is not over: works, and what is being recorded of it.
    open: usize,
    /// Something of it is being recorded.
    recording: bool,
    /// There is more to be recorded.
    more: bool,
}

/// What became of one work.
#[derive(Debug)]
pub(super) struct Carried {
    /// The work, with those recipients that were not tried.
    pub(super) untried: Work,
    /// Those that were.
    pub(super) outcomes: Vec<(usize, Outcome)>,
    /// Why the others were not: no session came to be.
    pub(super) unreachable: Option<Outcome>,
    /// The worker can carry another.
    pub(super) open: bool,
}

impl Schedule {
    /// What is to be done, in order.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Messages in hand.
    pub(super) fn in_hand(&self) -> usize {
        self.jobs.len()
    }

    /// The next moment at which something is to be done without news.
    pub(super) fn next_moment(&self) -> Option<Mono> {
        self.moments.first().map(|(at, _)| *at)
    }

    /// Takes one message in hand: one work for each next hop.
    pub(super) fn admit(&mut self, lease: Lease, given: &Given<'_>) {
        let entry = lease.entry();
        let id = entry.id;
        let mut tallies = vec![Tally::Untouched; entry.envelope.recipients.len()];
        let mut works: BTreeMap<NextHop, Work> = BTreeMap::new();
        for (index, recipient) in entry.envelope.recipients.iter().enumerate() {
            if !entry.progress.get(index).is_some_and(Progress::is_waiting) {
                continue;
            }
            if let Some(outcome) = deadline::over(entry, index, given.now.wall) {
                let tally = Tally::Tried {
                    outcome,
                    next_hop: None,
                };
                put(&mut tallies, index, tally);
                continue;
            }
            if let Some(tally) = self.stays_here(&lease, recipient) {
                put(&mut tallies, index, tally);
                continue;
            }
            match route(entry, recipient, given) {
                Ok(next_hop) => works
                    .entry(next_hop)
                    .or_insert_with(|| Work {
                        id,
                        reverse_path: entry.envelope.reverse_path.clone(),
                        body: entry.envelope.body,
                        smtputf8: entry.envelope.smtputf8,
                        size: entry.size,
                        requests: entry.envelope.requests.clone(),
                        transaction: entry.envelope.transaction.clone(),
                        claim: entry.envelope.claim,
                        lane: entry.orders.next_hop.as_deref().map(Lane::of_next_hop),
                        recipients: Vec::new(),
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
        let job = Job {
            lease,
            tallies,
            // Until all works are in line, the hand that puts them there.
            open: works.len().saturating_add(1),
            recording: false,
            more: false,
        };
        self.jobs.insert(id, job);
        for (next_hop, work) in works {
            self.line_up(&next_hop, work, given);
        }
        self.end_work(id, std::iter::empty());
    }

    /// What is known so far of a message that is to be recorded.
    pub(super) fn part(&self, id: QueueId) -> Option<(&Lease, &[Tally])> {
        let job = self.jobs.get(&id)?;
        Some((&job.lease, &job.tallies))
    }

    /// A part of a message has been recorded, or could not be.
    pub(super) fn recorded(&mut self, id: QueueId) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.recording = false;
        if std::mem::take(&mut job.more) && job.open > 1 {
            self.begin_record(id);
        }
        self.end_work(id, std::iter::empty());
    }

    /// Nothing new from here: what waits goes back, who is idle leaves.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        let mut back = Vec::new();
        for destination in self.destinations.values_mut() {
            back.extend(std::mem::take(&mut destination.waiting));
        }
        for work in back {
            self.end_work(work.id, std::iter::empty());
        }
        while self.dismiss_an_idle_one() {}
    }

    /// The time is up: what is still in hand ends as if it had not been tried, but for what is
    /// known of it.
    pub(super) fn give_up(&mut self) -> usize {
        let cut: Vec<_> = self.jobs.keys().copied().collect();
        for id in &cut {
            self.finish(*id);
        }
        cut.len()
    }

    /// Notes what became of some recipients.
    fn tally(&mut self, id: QueueId, told: impl Iterator<Item = (usize, Tally)>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            for (index, tally) in told {
                put(&mut job.tallies, index, tally);
            }
        }
    }

    /// One of a message's works is over.
    fn end_work(&mut self, id: QueueId, told: impl Iterator<Item = (usize, Tally)>) {
        self.tally(id, told);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.open = job.open.saturating_sub(1);
        if job.open == 0 {
            self.finish(id);
        }
    }

    /// A work is over, and another of the same message is not: a delivery is remembered, so that a
    /// crash does not repeat it.
    fn remember(&mut self, id: QueueId, outcomes: &[(usize, Outcome)]) {
        let delivered = |(_, outcome): &(usize, Outcome)| outcome.class == OutcomeClass::Delivered;
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        if job.open < 2 || !outcomes.iter().any(delivered) {
            return;
        }
        if job.recording {
            job.more = true;
        } else {
            self.begin_record(id);
        }
    }

    fn begin_record(&mut self, id: QueueId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.recording = true;
            job.open = job.open.saturating_add(1);
            self.actions.push(Action::Record(id));
        }
    }

    /// All of a message's works are over.
    fn finish(&mut self, id: QueueId) {
        if let Some(job) = self.jobs.remove(&id) {
            self.actions.push(Action::Finish(job.lease, job.tallies));
        }
    }
}

/// Where a recipient's mail goes: where the operator says, or where its route leads. Whether the
/// client might relay was decided when the recipient was accepted.
fn route(entry: &Entry, recipient: &Recipient, given: &Given<'_>) -> Result<NextHop, RouteError> {
    let ordered = entry.orders.next_hop.as_deref();
    // What cannot be read was never ordered.
    if let Some(next_hop) = ordered.and_then(|text| NextHop::parse(text).ok()) {
        return Ok(next_hop);
    }
    let route = given.terms.routes.route(&recipient.path, true)?;
    Ok(route.next_hop)
}

/// Sets one recipient's tally.
fn put(tallies: &mut [Tally], index: usize, tally: Tally) {
    if let Some(place) = tallies.get_mut(index) {
        *place = tally;
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

/// Works of a next hop that may be in line for each of its workers: enough that none of them waits
/// for the next lease, few enough that their envelopes (a kilobyte or so each) do not matter.
const LEASES_PER_CONNECTION: usize = 4;

/// How long a worker keeps its place while others stand in line for one.
const TURN: Duration = Duration::from_mins(1);
