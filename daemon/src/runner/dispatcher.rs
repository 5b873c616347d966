//! The driver of [`super::schedule`]: one task that owns it, gives it leases and the workers' news,
//! and does what it says. Settlements go on beside.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{sleep_until, timeout_at};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;
use vouchsafe_spool::{Lane, Lease, LeaseError, Settlement};

use super::conclusion::{Tally, conclude, conclude_part};
use super::desk::Word;
use super::outlook::{LONGEST_SLEEP, Outlook};
use super::schedule::{Action, Given, Schedule, Terms, Work, WorkerId};
use super::settlement::{Record, Settled, log_attempt, settle};
use super::worker::{News, Worker};
use super::{Environment, pass_on, terms};
use crate::current::InForce;
use crate::{chance, clock};

/// The runner's state.
pub(super) struct Dispatcher {
    /// What all workers share.
    environment: Arc<Environment>,
    /// Who carries what, and when.
    schedule: Schedule,
    /// What holds, with what it was made from.
    terms: (Arc<InForce>, Arc<Terms>),
    /// Told when to stop.
    stop: watch::Receiver<Option<Mono>>,
    /// From the operator.
    words: mpsc::Receiver<Word>,
    /// Until when attempts in hand may go on, once it is told.
    deadline: Option<Mono>,
    /// The workers' ends: where their next work goes, and which task they are.
    works: HashMap<WorkerId, (mpsc::Sender<Work>, task::Id)>,
    /// From the workers; the sender is theirs to copy.
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
    /// The workers' tasks.
    workers: JoinSet<()>,
    /// Settlements on their way; with what makes reports, and what was handed over together.
    settlements: JoinSet<Vec<Settled>>,
    /// What is to be recorded with the next hand-over.
    to_record: Vec<(Lease, Record)>,
    /// A hand-over is on its way; what comes meanwhile is gathered.
    handed_over: Option<task::Id>,
    /// Parts of messages on their way to be recorded.
    parts: JoinSet<QueueId>,
    /// Messages whose settlement has not been heard of.
    settling: HashSet<QueueId>,
    /// Leases on such: a failed settlement may give its message back before we hear that it failed.
    early: HashMap<QueueId, Lease>,
    /// What could not be recorded, until the message is leased again.
    unrecorded: HashMap<QueueId, Record>,
    /// When the queue is looked at again.
    outlook: Outlook,
    /// The spool is closed: nothing is leased any more.
    closed: bool,
}

/// What wakes the dispatcher.
enum Wake {
    /// Workers.
    News(Vec<News>),
    /// The operator.
    Word(Word),
    /// The spool has something new.
    Arrived,
    /// Settlements have come to their end.
    Settled(task::Id, Vec<Settled>),
    /// A part of a message has been recorded, or could not be.
    Recorded(QueueId),
    /// A worker has broken down.
    Broken(JoinError),
    /// A moment that was waited for.
    Due,
    /// The word to stop.
    Stop,
}

impl Dispatcher {
    /// Nothing in hand.
    pub(super) fn new(
        environment: Environment,
        stop: watch::Receiver<Option<Mono>>,
        words: mpsc::Receiver<Word>,
    ) -> Self {
        let in_force = environment.current.take();
        let terms = Arc::new(terms(&in_force));
        Self {
            environment: Arc::new(environment),
            schedule: Schedule::default(),
            terms: (in_force, terms),
            stop,
            words,
            deadline: None,
            works: HashMap::new(),
            news: mpsc::channel(NEWS_AT_ONCE),
            workers: JoinSet::new(),
            settlements: JoinSet::new(),
            to_record: Vec::new(),
            handed_over: None,
            parts: JoinSet::new(),
            settling: HashSet::new(),
            early: HashMap::new(),
            unrecorded: HashMap::new(),
            outlook: Outlook::new(),
            closed: false,
        }
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self, frozen: BTreeSet<Lane>) {
        self.with(|schedule, given| schedule.freeze(frozen, given));
        loop {
            self.hand_over();
            if self.deadline.is_none() {
                self.take_leases().await;
                self.hand_over();
            } else if self.schedule.in_hand() == 0
                && self.settlements.is_empty()
                && self.parts.is_empty()
            {
                break;
            }
            match self.wake().await {
                // All there are, before the queue is asked or told anything.
                Wake::News(all) => all.into_iter().for_each(|news| self.hear(news)),
                Wake::Word(word) => self.obey(word),
                Wake::Arrived => self.outlook.look(),
                Wake::Settled(task, settled) => {
                    self.handed_over.take_if(|handed_over| *handed_over == task);
                    for settled in settled {
                        self.settled(settled);
                    }
                }
                Wake::Recorded(id) => self.with(|schedule, _| schedule.recorded(id)),
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
        let mut news = Vec::new();
        loop {
            tokio::select! {
                1.. = self.news.1.recv_many(&mut news, NEWS_AT_ONCE) => return Wake::News(news),
                Some(settled) = self.settlements.join_next_with_id() => match settled {
                    Ok((task, settled)) => return Wake::Settled(task, settled),
                    Err(error) => pass_on(Err(error)),
                },
                Some(recorded) = self.parts.join_next() => match recorded {
                    Ok(id) => return Wake::Recorded(id),
                    Err(error) => pass_on(Err(error)),
                },
                Some(ended) = self.workers.join_next() => if let Err(error) = ended {
                    return Wake::Broken(error);
                },
                Some(word) = self.words.recv() => return Wake::Word(word),
                () = self.environment.spool.arrived(), if !stopping && !self.outlook.is_open() =>
                    return Wake::Arrived,
                // A handle that was dropped stops the runner too.
                _ = self.stop.changed(), if !stopping => return Wake::Stop,
                () = &mut moment => return Wake::Due,
            }
        }
    }

    /// Does what the operator says, or follows from what others have seen.
    fn obey(&mut self, word: Word) {
        match word {
            Word::Answers(next_hop) => {
                if !self.with(|schedule, given| schedule.answers_others(&next_hop, given)) {
                    return;
                }
                tracing::info!(%next_hop, "next hop is back: what waits for it is tried");
            }
            Word::LetGo(lanes) => self.with(|schedule, given| schedule.let_go(&lanes, given)),
            Word::Freeze(lanes) => self.with(|schedule, given| schedule.freeze(lanes, given)),
            Word::Tell(reply) => {
                // Who has gone has no use for it.
                let _ = reply.send(self.with(|schedule, given| schedule.held_back(given)));
            }
        }
        self.outlook.look();
    }

    /// The next moment at which something is to be done without news.
    fn next_moment(&self) -> Option<Mono> {
        if let Some(deadline) = self.deadline {
            return Some(deadline);
        }
        let look = (!self.closed).then(|| self.outlook.next_moment(clock::now()));
        look.into_iter().chain(self.schedule.next_moment()).min()
    }

    /// A moment has come.
    async fn due(&mut self) {
        let now = clock::now();
        if self.deadline.is_some_and(|deadline| deadline <= now.mono) {
            self.give_up().await;
        }
        self.with(Schedule::moment);
        self.outlook.look();
    }

    /// Gives the schedule an input and does what it says.
    fn with<T>(&mut self, input: impl FnOnce(&mut Schedule, &Given<'_>) -> T) -> T {
        let in_force = self.environment.current.take();
        if !Arc::ptr_eq(&in_force, &self.terms.0) {
            self.terms = (Arc::clone(&in_force), Arc::new(terms(&in_force)));
        }
        let terms = Arc::clone(&self.terms.1);
        let given = Given {
            terms: &terms,
            now: clock::now(),
            chance: u32::try_from(chance::number() >> 32).unwrap_or(0),
        };
        let told = input(&mut self.schedule, &given);
        loop {
            let actions = self.schedule.take_actions();
            if actions.is_empty() {
                return told;
            }
            for action in actions {
                self.perform(action, &given);
            }
        }
    }

    /// Does one thing.
    fn perform(&mut self, action: Action, given: &Given<'_>) {
        match action {
            Action::Limit(lane, leases) => self.environment.spool.limit(&lane, leases),
            Action::Engage(worker, next_hop, first) => self.engage(worker, next_hop, first),
            Action::Give(worker, work) => {
                let place = self.works.get(&worker);
                match place.map(|(works, _)| works.try_reserve()) {
                    Some(Ok(place)) => place.send(work),
                    Some(Err(_)) | None => self.schedule.given_back(worker, work, given),
                }
            }
            Action::Dismiss(worker) => drop(self.works.remove(&worker)),
            Action::Record(id) => self.record_part(id),
            Action::Finish(lease, tallies) => self.finish(lease, &tallies, given),
        }
    }

    /// A new worker with its first work.
    fn engage(&mut self, id: WorkerId, next_hop: NextHop, first: Work) {
        let (works, incoming) = mpsc::channel(1);
        let worker = Worker {
            id,
            next_hop,
            environment: Arc::clone(&self.environment),
            news: self.news.0.clone(),
            connection: None,
        };
        let task = self.workers.spawn(worker.run(first, incoming)).id();
        self.works.insert(id, (works, task));
    }

    /// Takes what is due, as far as there is room.
    async fn take_leases(&mut self) {
        while self.outlook.is_open() && !self.closed {
            let now = clock::now().wall;
            let known = self.outlook.known();
            let settling = self.settling.len();
            let ask = self.with(|schedule, given| schedule.ask(known, settling, given));
            if ask.due == 0 && ask.overdue == 0 {
                self.outlook.no_room(now);
                break;
            }
            match self.environment.spool.lease(now, ask).await {
                Ok(leased) => {
                    let (next_due, next_overdue) = (leased.next_due, leased.next_overdue);
                    for finding in leased.findings {
                        tracing::error!(%finding, "a message cannot be delivered");
                    }
                    for lease in leased.leases {
                        self.admit(lease);
                    }
                    if ask.due > 0 && next_due.is_none_or(|due| due > now) {
                        self.with(Schedule::drained);
                    }
                    if !self.outlook.heard(now, &ask, next_due, next_overdue) {
                        break;
                    }
                }
                Err(LeaseError::Poisoned) => self.close(),
                Err(error) => {
                    tracing::error!(
                        error = %crate::log::chain(&error),
                        "the queue cannot be read"
                    );
                    self.outlook.failed(now.plus(AFTER_TROUBLE));
                }
            }
        }
    }

    /// Takes one message in hand.
    fn admit(&mut self, lease: Lease) {
        let id = lease.entry().id;
        if self.settling.contains(&id) {
            self.early.insert(id, lease);
        } else if let Some(record) = self.unrecorded.remove(&id) {
            self.record(lease, record);
        } else {
            self.with(|schedule, given| schedule.admit(lease, given));
        }
    }

    /// News from a worker.
    fn hear(&mut self, news: News) {
        if !self.environment.spool.is_sound() {
            self.close();
        }
        match news {
            News::Stands(worker) => self.with(|schedule, given| schedule.stands(worker, given)),
            News::Finished(worker, carried) => {
                self.with(|schedule, given| schedule.finished(worker, *carried, given));
            }
            News::Left(worker) => self.with(|schedule, given| schedule.left(worker, given)),
        }
    }

    /// A worker has panicked.
    fn broken(&mut self, error: &JoinError) {
        // It may have been done with its work: then the news of that are on their way.
        while let Ok(news) = self.news.1.try_recv() {
            self.hear(news);
        }
        let mut all = self.works.iter();
        let worker = all.find(|(_, (_, task))| *task == error.id());
        let worker = worker.map(|(worker, _)| *worker);
        let broken =
            worker.and_then(|worker| self.with(|schedule, given| schedule.broken(worker, given)));
        if let Some((id, next_hop)) = broken {
            tracing::error!(
                queue_id = %id,
                %next_hop,
                %error,
                "a worker broke down: its message is put off"
            );
        } else {
            tracing::error!(%error, "a worker broke down between two messages");
        }
    }

    /// All of a message's works are over: what follows is recorded.
    fn finish(&mut self, lease: Lease, tallies: &[Tally], given: &Given<'_>) {
        let (retry, now) = (&given.terms.retry, given.now.wall);
        // Nothing done: the lease is dropped, and the message due as it was.
        if let Some(conclusion) = conclude(lease.entry(), tallies, retry, given.chance, now) {
            log_attempt(lease.entry(), tallies, &conclusion, now);
            self.record(lease, Record::New(conclusion));
        }
    }

    /// Records, beside everything else. Where reports are made first, nobody else waits for it.
    fn record(&mut self, lease: Lease, record: Record) {
        self.settling.insert(lease.entry().id);
        if record.tells() {
            let alone = vec![(lease, record)];
            self.settlements
                .spawn(settle(Arc::clone(&self.environment), alone));
        } else {
            self.to_record.push((lease, record));
        }
    }

    /// Hands over what is to be recorded, unless something was just handed over: an outcome that comes
    /// alone is recorded at once, and those of a busy time share what recording costs.
    fn hand_over(&mut self) {
        if self.handed_over.is_some() || self.to_record.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.to_record);
        let recording = settle(Arc::clone(&self.environment), records);
        let next = clock::instant(clock::now().mono.plus(GATHERING));
        let task = self.settlements.spawn(async move {
            let settled = recording.await;
            sleep_until(next).await;
            settled
        });
        self.handed_over = Some(task.id());
    }

    /// Records a part of a message, beside everything else. If it fails, nothing is lost: the
    /// conclusion says all of it.
    fn record_part(&mut self, id: QueueId) {
        let part = self.schedule.part(id).and_then(|(lease, tallies)| {
            let entry = lease.entry();
            let settlement = Settlement {
                progress: conclude_part(entry, tallies)?,
                attempts: entry.attempts,
                due: Some(entry.due),
                later: Vec::new(),
                delay_reported: entry.delay_reported,
                deadline_reported: entry.deadline_reported,
                reports: Vec::new(),
            };
            Some(self.environment.spool.record(lease, settlement))
        });
        self.parts.spawn(async move {
            if let Some(part) = part
                && let Err(error) = part.await
            {
                tracing::error!(
                    queue_id = %id,
                    error = %crate::log::chain(&error),
                    "what was delivered cannot be recorded yet"
                );
            }
            id
        });
    }

    /// A settlement has come to its end.
    fn settled(&mut self, settled: Settled) {
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
    fn begin_stop(&mut self) {
        self.deadline = Some(self.stop.borrow().unwrap_or_else(|| clock::now().mono));
        self.with(|schedule, _| schedule.stop());
    }

    /// The spool is closed: whatever were delivered now could not be recorded, and would be
    /// delivered once more after the next start.
    fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            tracing::error!("the spool is closed: no deliveries until the next start");
        }
        self.with(|schedule, _| schedule.stop());
    }

    /// The time is up: connections are dropped, and what was in them is as if it had not been
    /// tried. What a next hop took without our hearing of it will arrive twice.
    async fn give_up(&mut self) {
        self.workers.shutdown().await;
        while let Ok(news) = self.news.1.try_recv() {
            self.hear(news);
        }
        let cut = self.with(|schedule, _| schedule.give_up());
        if cut > 0 {
            tracing::warn!(messages = cut, "stopping: attempts were cut off");
        }
        // Only settlements are left, and they end by themselves.
        self.deadline = Some(clock::now().mono.plus(LONGEST_SLEEP));
    }
}

/// News that may be on their way: workers wait for the dispatcher, not the reverse.
const NEWS_AT_ONCE: usize = 256;

/// How long outcomes gather behind a hand-over: each flush serves more of them. What is not recorded
/// when the process dies is delivered once more, so it is short.
const GATHERING: Duration = Duration::from_millis(2);

/// When the queue is looked at again after it could not be read.
const AFTER_TROUBLE: Duration = Duration::from_mins(1);

/// How long sessions may say goodbye when the service stops.
const GOODBYE: Duration = Duration::from_secs(1);
