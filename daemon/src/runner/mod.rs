//! The runner: takes what is due out of the queue and hands it to next hops.
//!
//! Promises: a recipient's outcome is recorded together with the reports about it and the next due
//! time, in one settlement; a message whose outcome cannot be recorded stays in the queue; no next
//! hop, dead, slow or limited, keeps the others waiting for long (`schedule`); nothing is polled:
//! the runner wakes for arrivals, due times, news from its workers, and the end. A look every five
//! minutes besides finds what a fault has made it forget.
//!
//! It does not promise that nothing arrives twice: between a next hop's 250 and the settlement
//! that records it lies a moment in which the process can die.
//!
//! Files: `schedule` decides who carries what, and when; `dispatcher` does it; `desk` is where an operator
//! speaks to it; `outlook` when the
//! queue is looked at again; `worker` one session at a time with a next hop; `conclusion` what follows
//! from an attempt; `settlement` its record, its log lines and its reports.

mod conclusion;
mod deadline;
mod desk;
mod dispatcher;
mod outlook;
mod schedule;
mod settlement;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use vouchsafe_proto::time::Mono;
use vouchsafe_spool::ledger::Ledger;
use vouchsafe_spool::{Lane, Spool};

use crate::clock;
use crate::current::{Current, InForce};
use crate::next_hop::Reach;
pub use desk::Desk;
use dispatcher::Dispatcher;
pub use schedule::HeldBack;
use schedule::Terms;
pub(crate) use settlement::removal_reports;

/// What the runner works with.
pub struct Environment {
    /// The queue.
    pub spool: Arc<dyn Spool>,
    /// What was sent from here, and may be claimed.
    pub ledger: Arc<Ledger>,
    /// The configuration; taken anew for each piece of work, so that a reload moves what is queued.
    pub current: Arc<Current>,
    /// What it takes to reach a next hop.
    pub reach: Arc<Reach>,
}

/// The running runner.
#[derive(Debug)]
pub struct Runner {
    /// Its task.
    task: JoinHandle<()>,
    /// Set when it is to stop: until when attempts in hand may go on.
    stop: watch::Sender<Option<Mono>>,
    /// Where it hears an operator.
    desk: Desk,
}

impl Runner {
    /// Starts; what is due in the queue, and not in a frozen lane, is on its way at once.
    pub fn start(environment: Environment, frozen: BTreeSet<Lane>) -> Self {
        let (stop, stopped) = watch::channel(None);
        let (speak, words) = mpsc::channel(WORDS_AT_ONCE);
        let task = tokio::spawn(Dispatcher::new(environment, stopped, words).run(frozen));
        let desk = Desk(speak);
        Self { task, stop, desk }
    }

    /// Where an operator speaks to it.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Stops: nothing new is begun, attempts in hand have `grace` to end, then their connections
    /// are dropped. All outcomes are recorded by the time this returns.
    pub async fn stop(self, grace: Duration) {
        self.stop.send_replace(Some(clock::now().mono.plus(grace)));
        pass_on(self.task.await);
    }

    /// Resolves only if the runner ends by itself, which it does by a panic: the process must not
    /// go on without it.
    pub async fn ended(&mut self) {
        pass_on((&mut self.task).await);
    }
}

/// A panic in a task of the runner goes on in whoever waits for it.
fn pass_on(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// What the schedule needs of a configuration.
fn terms(in_force: &InForce) -> Terms {
    Terms {
        delivery: in_force.config.delivery.clone(),
        retry: in_force.config.retry,
        routes: in_force.config.routes(),
    }
}

/// Words of operators that may be on their way.
const WORDS_AT_ONCE: usize = 16;
