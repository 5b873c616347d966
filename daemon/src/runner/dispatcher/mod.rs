//! Who carries what, and when: one task that owns all state, and workers that tell it their news.
//!
//! How no next hop keeps the others waiting: there is one worker for a next hop until a session
//! with it has come to be; when none can be had, all that waits for it shares the outcome, and so
//! does what comes within the next minute; workers over all are bounded, and who stands in line for
//! one gets it in turn, since a worker leaves after some messages; mail hosts of foreign domains that
//! have not answered yet have half of the workers at most, however many such domains are dead, and
//! the next hops of our own domains never wait for them; leases are bounded, and when all
//! are out, what has waited long for a clogged next hop is put off, so that others are leased.
//!
//! Files: state and loop here; `leases` what is taken in hand; `workers` who carries it; `ends` how
//! a work, a message and the runner come to theirs.

mod ends;
mod leases;
mod workers;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep_until, timeout_at};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::{Mono, Wall};
use vouchsafe_spool::Lease;

use super::conclusion::Tally;
use super::destination::{Destination, Work, WorkerId};
use super::settlement::{Record, Settled};
use super::worker::News;
use super::{Environment, pass_on};
use crate::clock;
use leases::PATIENCE;

/// The runner's state.
pub(super) struct Dispatcher {
    /// What all workers share.
    environment: Arc<Environment>,
    /// Told when to stop.
    stop: watch::Receiver<Option<Mono>>,
    /// Until when attempts in hand may go on, once it is told.
    deadline: Option<Mono>,
    /// Messages in hand.
    jobs: HashMap<QueueId, Job>,
    /// Next hops for which there is mail, or of which something is to be remembered.
    destinations: HashMap<NextHop, Destination>,
    /// Workers.
    seats: HashMap<WorkerId, Seat>,
    /// Next hops in line for a worker.
    hungry: VecDeque<NextHop>,
    /// Strangers ([`Destination::is_strange`]) in line for one.
    strange: VecDeque<NextHop>,
    /// Workers that have had no session yet with the stranger they are for.
    probing: usize,
    /// The last worker's number.
    last_worker: u64,
    /// From the workers; the sender is theirs to copy.
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    /// The workers' tasks.
    workers: JoinSet<()>,
    /// Settlements on their way.
    settlements: JoinSet<Settled>,
    /// Messages whose settlement has not been heard of.
    settling: HashSet<QueueId>,
    /// Leases on such: a failed settlement may give its message back before we hear that it failed.
    early: HashMap<QueueId, Lease>,
    /// What could not be recorded, until the message is leased again.
    unrecorded: HashMap<QueueId, Record>,
    /// When the next message is due, as far as is known.
    next_due: Option<Wall>,
    /// There may be more that is due now.
    look: bool,
    /// The spool is closed: nothing is leased any more.
    closed: bool,
}

/// One message in hand.
struct Job {
    /// The claim on it.
    lease: Lease,
    /// What was done for each recipient.
    tallies: Vec<Tally>,
    /// Works that are not over.
    open: usize,
}

/// One worker, as the dispatcher sees it.
struct Seat {
    /// Where it carries to.
    next_hop: NextHop,
    /// For its next work; dropped, it is told to leave.
    works: mpsc::Sender<Work>,
    /// Works given to it.
    carried: u32,
    /// It has nothing to do.
    idle: bool,
    /// It is for a stranger, with which no session has come to be.
    probes: bool,
    /// Its task.
    task: task::Id,
    /// What it carries: the message, and places in its envelope.
    carries: Option<(QueueId, Vec<usize>)>,
}

/// What wakes the dispatcher.
enum Wake {
    /// A worker.
    News(News),
    /// The spool has something new.
    Arrived,
    /// A settlement has come to its end.
    Settled(Settled),
    /// A worker has broken down.
    Broken(JoinError),
    /// A moment that was waited for.
    Due,
    /// The word to stop.
    Stop,
}

impl Dispatcher {
    /// Nothing in hand.
    pub(super) fn new(environment: Environment, stop: watch::Receiver<Option<Mono>>) -> Self {
        Self {
            environment: Arc::new(environment),
            stop,
            deadline: None,
            jobs: HashMap::new(),
            destinations: HashMap::new(),
            seats: HashMap::new(),
            hungry: VecDeque::new(),
            strange: VecDeque::new(),
            probing: 0,
            last_worker: 0,
            news: mpsc::channel(NEWS_AT_ONCE),
            workers: JoinSet::new(),
            settlements: JoinSet::new(),
            settling: HashSet::new(),
            early: HashMap::new(),
            unrecorded: HashMap::new(),
            next_due: None,
            look: true,
            closed: false,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        loop {
            if self.deadline.is_none() {
                self.take_leases().await;
                self.ease();
            } else if self.jobs.is_empty() && self.settlements.is_empty() {
                break;
            }
            match self.wake().await {
                Wake::News(news) => self.hear(news),
                Wake::Arrived => self.look = true,
                Wake::Settled(settled) => self.settled(settled),
                Wake::Broken(error) => self.broken(&error),
                Wake::Due => self.due().await,
                Wake::Stop => self.begin_stop(),
            }
        }
        // Only sessions that are saying goodbye are left.
        let goodbye = clock::instant(clock::now().mono.plus(GOODBYE));
        let leaving = async { while self.workers.join_next().await.is_some() {} };
        let _ = timeout_at(goodbye, leaving).await;
        self.workers.shutdown().await;
    }

    /// Waits for whatever comes first.
    async fn wake(&mut self) -> Wake {
        let stopping = self.deadline.is_some();
        let at = self.next_moment();
        let moment = async {
            match at {
                Some(at) => sleep_until(clock::instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(moment);
        loop {
            tokio::select! {
                Some(news) = self.news.1.recv() => return Wake::News(news),
                Some(settled) = self.settlements.join_next() => match settled {
                    Ok(settled) => return Wake::Settled(settled),
                    Err(error) => pass_on(Err(error)),
                },
                Some(ended) = self.workers.join_next() => if let Err(error) = ended {
                    return Wake::Broken(error);
                },
                () = self.environment.spool.arrived(), if !stopping && !self.look =>
                    return Wake::Arrived,
                // A handle that was dropped stops the runner too.
                _ = self.stop.changed(), if !stopping => return Wake::Stop,
                () = &mut moment => return Wake::Due,
            }
        }
    }

    /// The next moment at which something is to be done without news.
    fn next_moment(&self) -> Option<Mono> {
        if let Some(deadline) = self.deadline {
            return Some(deadline);
        }
        let now = clock::now();
        let due = self.next_due.filter(|_| !self.closed && !self.look);
        // The calendar may be set meanwhile, which the timer does not notice: look now and then.
        let due = due.map(|due| now.mono.plus(due.since(now.wall).min(LONGEST_SLEEP)));
        let eased = self.oldest_wait().map(|since| since.plus(PATIENCE));
        due.into_iter().chain(eased).min()
    }

    /// A moment has come.
    async fn due(&mut self) {
        let now = clock::now();
        if self.deadline.is_some_and(|deadline| deadline <= now.mono) {
            self.give_up().await;
        }
        if self.next_due.is_some_and(|due| due <= now.wall) {
            self.look = true;
        }
    }
}

/// Sets one recipient's tally.
fn put(tallies: &mut [Tally], index: usize, tally: Tally) {
    if let Some(place) = tallies.get_mut(index) {
        *place = tally;
    }
}

/// News that may be on their way: workers wait for the dispatcher, not the reverse.
const NEWS_AT_ONCE: usize = 256;

/// The longest sleep until something is due. Due times are of the calendar, which can be set.
const LONGEST_SLEEP: Duration = Duration::from_mins(5);

/// How long sessions may say goodbye when the service stops.
const GOODBYE: Duration = Duration::from_secs(1);
