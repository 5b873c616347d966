//! The whole of delivery on loopback: a real spool, the runner, next hops that keep to a script.

mod deliveries;
mod interop;
mod reports;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::mpsc;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::dns::Question;
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{
    Amendment, Ask, BeginError, ClaimError, CommitError, Content, ContentError, Draft, Entry, Lane,
    LaneEntry, Lease, LeaseError, Leased, ListError, LocalSpool, Options, Pending, Progress,
    SettleError, Settlement, Spool, ledger,
};

use super::{Environment, Runner};
use crate::clock;
use crate::current::Current;
use crate::dns::{Asking, Resolver};
use crate::mta_sts;
use crate::next_hop::Reach;
use crate::next_hop::tests::world::World;
use crate::tls::next_hop::Client;

/// What the bench hears of a settlement.
#[derive(Debug)]
struct Heard {
    id: QueueId,
    progress: Vec<Progress>,
    attempts: u32,
    due: Option<Wall>,
    reports: usize,
}

impl Heard {
    /// Class, subject and detail of one recipient's last outcome.
    fn status(&self, index: usize) -> String {
        match &self.progress[index] {
            Progress::Waiting(Some(outcome)) | Progress::Done(outcome) => {
                outcome.status.to_string()
            }
            Progress::Waiting(None) => String::from("-"),
        }
    }

    /// What was said about one recipient.
    fn text(&self, index: usize) -> String {
        match &self.progress[index] {
            Progress::Waiting(Some(outcome)) | Progress::Done(outcome) => {
                outcome.diagnostic.text().to_owned()
            }
            Progress::Waiting(None) => String::from("-"),
        }
    }
}

/// A real spool that tells of its settlements.
struct Watched {
    spool: LocalSpool,
    heard: mpsc::UnboundedSender<Heard>,
    /// Settlements that are refused for want of room before they are taken.
    full: std::sync::atomic::AtomicUsize,
    /// A barrier has failed, as far as the runner can see.
    unsound: std::sync::atomic::AtomicBool,
}

impl Spool for Watched {
    fn begin(&self, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        self.spool.begin(now)
    }
    fn begin_as(&self, id: QueueId, now: Wall) -> Pending<'_, Result<Box<dyn Draft>, BeginError>> {
        self.spool.begin_as(id, now)
    }
    fn lease(&self, now: Wall, ask: Ask) -> Pending<'_, Result<Leased, LeaseError>> {
        self.spool.lease(now, ask)
    }
    fn claim(&self, id: QueueId) -> Pending<'_, Result<Lease, ClaimError>> {
        self.spool.claim(id)
    }
    fn amend(&self, lease: Lease, amendment: Amendment) -> Pending<'_, Result<(), SettleError>> {
        self.spool.amend(lease, amendment)
    }
    fn limit(&self, lane: &Lane, leases: Option<usize>) {
        self.spool.limit(lane, leases);
    }
    fn record(
        &self,
        lease: &Lease,
        settlement: Settlement,
    ) -> Pending<'static, Result<(), SettleError>> {
        let heard = Heard {
            id: lease.entry().id,
            progress: settlement.progress.clone(),
            attempts: settlement.attempts,
            due: settlement.due,
            reports: settlement.reports.len(),
        };
        let (recorded, tell) = (self.spool.record(lease, settlement), self.heard.clone());
        Box::pin(async move {
            let result = recorded.await;
            let _ = tell.send(heard);
            result
        })
    }
    fn list_lane(
        &self,
        lane: &Lane,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        self.spool.list_lane(lane, after, limit)
    }
    fn lanes(&self) -> Vec<LaneEntry> {
        self.spool.lanes()
    }
    fn arrived(&self) -> Pending<'_, ()> {
        self.spool.arrived()
    }
    fn content(&self, id: QueueId) -> Pending<'_, Result<Box<dyn Content>, ContentError>> {
        self.spool.content(id)
    }
    fn settle(&self, lease: Lease, settlement: Settlement) -> Pending<'_, Result<(), SettleError>> {
        use std::sync::atomic::Ordering::SeqCst;
        let refused = self
            .full
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok();
        Box::pin(async move {
            if refused {
                drop(lease);
                return Err(SettleError::NoSpace);
            }
            let heard = Heard {
                id: lease.entry().id,
                progress: settlement.progress.clone(),
                attempts: settlement.attempts,
                due: settlement.due,
                reports: settlement.reports.len(),
            };
            let result = self.spool.settle(lease, settlement).await;
            let _ = self.heard.send(heard);
            result
        })
    }
    fn list(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Pending<'_, Result<Vec<Entry>, ListError>> {
        self.spool.list(after, limit)
    }
    fn show(&self, id: QueueId) -> Pending<'_, Result<Option<Entry>, ListError>> {
        self.spool.show(id)
    }
    fn vouch(
        &self,
        now: Wall,
        entries: Vec<ledger::Entry>,
    ) -> Pending<'_, Result<(), CommitError>> {
        self.spool.vouch(now, entries)
    }
    fn miss(&self, now: Wall, missed: ledger::Missed) -> Pending<'_, Result<(), CommitError>> {
        self.spool.miss(now, missed)
    }

    fn is_sound(&self) -> bool {
        let unsound = self.unsound.load(std::sync::atomic::Ordering::SeqCst);
        self.spool.is_sound() && !unsound
    }
}

/// A world that changes.
struct Changing(tokio::sync::watch::Receiver<World>);

impl Changing {
    fn new(first: World) -> (tokio::sync::watch::Sender<World>, Self) {
        let (change, world) = tokio::sync::watch::channel(first);
        (change, Self(world))
    }
}

impl Resolver for Changing {
    fn ask(&self, question: Question) -> Asking<'_> {
        let answer = self.0.borrow().look_up(&question);
        Box::pin(async move { answer })
    }
}

/// A spool with a runner.
struct Bench {
    folder: TempDir,
    spool: Arc<Watched>,
    heard: mpsc::UnboundedReceiver<Heard>,
    runner: Option<Runner>,
}

impl Bench {
    /// With these lines of configuration behind the first ones.
    fn start(config: &str, world: impl Resolver + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "hostname = \"mx.example.org\"\ndata_dir = \"{}\"\n\
             postmaster = \"postmaster@example.org\"\n{config}\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n",
            folder.path().display()
        );
        let loaded = crate::config::parse(&text, Path::new("test.toml"));
        let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
        let current = Arc::new(Current::new(config, None).unwrap());
        let spool = LocalSpool::open(folder.path(), Options::default().with_reserve(0)).unwrap();
        let (tell, heard) = mpsc::unbounded_channel();
        let spool = Arc::new(Watched {
            spool,
            heard: tell,
            full: 0.into(),
            unsound: false.into(),
        });
        let tls = Arc::new(Client::new(rustls::RootCertStore::empty()).unwrap());
        let resolver: Arc<dyn Resolver> = Arc::new(world);
        let environment = Environment {
            spool: Arc::<Watched>::clone(&spool),
            ledger: Arc::clone(spool.spool.ledger()),
            current,
            reach: Arc::new(Reach {
                policies: Arc::new(mta_sts::Policies::open(
                    Arc::clone(&resolver),
                    Arc::clone(&tls),
                    None,
                )),
                resolver,
                tls,
            }),
        };
        let runner = Runner::start(environment, BTreeSet::new());
        Self {
            folder,
            spool,
            heard,
            runner: Some(runner),
        }
    }

    /// With one local domain.
    fn towards(next_hop: &str, more: &str) -> Self {
        let config = format!(
            "[domains.\"example.org\"]\nnext_hop = \"{next_hop}\"\npath = \"store\"\n{more}"
        );
        Self::start(&config, World::default())
    }

    /// Queues a message.
    async fn put(&self, from: &str, to: &[&str], content: &'static str) -> QueueId {
        self.put_as(from, VerdictResult::Authorised, to, content)
            .await
    }

    /// Queues a message with this verdict.
    async fn put_as(
        &self,
        from: &str,
        verdict: VerdictResult,
        to: &[&str],
        content: &'static str,
    ) -> QueueId {
        self.queue_at(clock::now().wall, from, verdict, to, content)
            .await
    }

    /// Queues a message that arrived at this moment.
    async fn put_at(
        &self,
        arrived: Wall,
        from: &str,
        to: &[&str],
        content: &'static str,
    ) -> QueueId {
        self.queue_at(arrived, from, VerdictResult::Authorised, to, content)
            .await
    }

    /// Queues a message with all that can be said of it.
    async fn queue_at(
        &self,
        now: Wall,
        from: &str,
        verdict: VerdictResult,
        to: &[&str],
        content: &'static str,
    ) -> QueueId {
        let recipients = to.iter().map(|to| ForwardPath::parse_inside(to).unwrap());
        let reverse_path = ReversePath::parse_inside(from).unwrap();
        let origin = Origin::Client {
            address: "192.0.2.1".parse().unwrap(),
            helo: "client.example".into(),
        };
        let envelope = Envelope::plain(reverse_path, verdict, origin, recipients);
        self.put_envelope(now, envelope, content).await
    }

    /// Queues a message with this envelope.
    async fn put_envelope(&self, now: Wall, envelope: Envelope, content: &'static str) -> QueueId {
        let mut draft = self.spool.begin(now).await.unwrap();
        draft
            .append(Bytes::from_static(content.as_bytes()))
            .await
            .unwrap();
        draft.commit(envelope, now).await.unwrap().queue_id()
    }

    /// The next settlement.
    async fn heard(&mut self) -> Heard {
        self.heard.recv().await.unwrap()
    }

    /// The next settlement of this message.
    async fn heard_of(&mut self, id: QueueId) -> Heard {
        loop {
            let heard = self.heard().await;
            if heard.id == id {
                return heard;
            }
        }
    }

    /// Stops the runner.
    async fn stop(&mut self, grace: Duration) {
        self.runner.take().unwrap().stop(grace).await;
    }

    /// What is in the queue.
    async fn queue(&self) -> Vec<Entry> {
        self.spool.list(None, 100).await.unwrap()
    }
}

/// A schedule that a test can wait for.
const QUICK: &str = "[retry]\nfirst = \"20ms\"\nlongest = \"50ms\"\ndelay_notice = \"1h\"\n";

/// Content with something to stuff.
const LETTER: &str = "From: a@example.net\r\nSubject: hello\r\n\r\n.\r\n..\r\nend\r\n";
