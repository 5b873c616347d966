//! How a work, a message and the runner itself come to their ends.

use std::sync::Arc;

use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_spool::Lease;

use super::super::conclusion::{Tally, conclude};
use super::super::destination::Work;
use super::super::settlement::{Record, Settled, log_attempt, settle};
use super::{Dispatcher, Job, LONGEST_SLEEP, put};
use crate::clock;

impl Dispatcher {
    /// A work ends without a try, with this outcome.
    pub(super) fn end_untried(&mut self, next_hop: &NextHop, work: &Work, outcome: &Outcome) {
        let told = work.recipients.iter().map(|(index, _)| {
            let tally = Tally::Tried {
                outcome: outcome.clone(),
                next_hop: Some(next_hop.clone()),
            };
            (*index, tally)
        });
        self.end_work(work.id, told);
    }

    /// Notes what became of some recipients.
    pub(super) fn tally(&mut self, id: QueueId, told: impl Iterator<Item = (usize, Tally)>) {
        if let Some(job) = self.jobs.get_mut(&id) {
            for (index, tally) in told {
                put(&mut job.tallies, index, tally);
            }
        }
    }

    /// One of a message's works is over.
    pub(super) fn end_work(&mut self, id: QueueId, told: impl Iterator<Item = (usize, Tally)>) {
        self.tally(id, told);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.open = job.open.saturating_sub(1);
        if job.open == 0 {
            self.finish(id);
        }
    }

    /// All of a message's works are over: what follows is recorded.
    pub(super) fn finish(&mut self, id: QueueId) {
        let Some(Job { lease, tallies, .. }) = self.jobs.remove(&id) else {
            return;
        };
        let in_force = self.environment.current.take();
        let jitter = u32::try_from(super::super::chance() >> 32).unwrap_or(0);
        let now = clock::now().wall;
        // Nothing done: the lease is dropped, and the message due as it was.
        if let Some(conclusion) =
            conclude(lease.entry(), &tallies, &in_force.config.retry, jitter, now)
        {
            log_attempt(lease.entry(), &tallies, &conclusion, now);
            self.record(lease, Record::New(conclusion));
        }
    }

    /// Records, beside everything else.
    pub(super) fn record(&mut self, lease: Lease, record: Record) {
        self.settling.insert(lease.entry().id);
        self.settlements
            .spawn(settle(Arc::clone(&self.environment), lease, record));
    }

    /// A settlement has come to its end.
    pub(super) fn settled(&mut self, settled: Settled) {
        if settled.closed {
            self.close();
        }
        self.settling.remove(&settled.id);
        if let Some(record) = settled.unrecorded {
            self.unrecorded.insert(settled.id, record);
        }
        if let Some(lease) = self.early.remove(&settled.id)
            && self.deadline.is_none()
        {
            self.admit(lease);
        }
    }

    /// Nothing new from here: what waits goes back, who is idle leaves.
    pub(super) fn begin_stop(&mut self) {
        self.deadline = Some(self.stop.borrow().unwrap_or_else(|| clock::now().mono));
        self.give_back();
        while self.dismiss_an_idle_one() {}
    }

    /// The spool is closed: whatever were delivered now could not be recorded, and would be
    /// delivered once more after the next start.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            tracing::error!("the spool is closed: no deliveries until the next start");
        }
        self.give_back();
    }

    /// What waits in line goes back to the queue, untried.
    fn give_back(&mut self) {
        let mut back = Vec::new();
        for destination in self.destinations.values_mut() {
            back.extend(std::mem::take(&mut destination.waiting));
        }
        for work in back {
            self.end_work(work.id, std::iter::empty());
        }
    }

    /// The time is up: connections are dropped, and what was in them is as if it had not been
    /// tried. What a next hop took without our hearing of it will arrive twice.
    pub(super) async fn give_up(&mut self) {
        self.workers.shutdown().await;
        while let Ok(news) = self.news.1.try_recv() {
            self.hear(news);
        }
        let cut: Vec<_> = self.jobs.keys().copied().collect();
        if !cut.is_empty() {
            tracing::warn!(messages = cut.len(), "stopping: attempts were cut off");
        }
        for id in cut {
            self.finish(id);
        }
        // Only settlements are left, and they end by themselves.
        self.deadline = Some(clock::now().mono.plus(LONGEST_SLEEP));
    }
}
