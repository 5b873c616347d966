//! The service, wired from top to bottom: this file is the system diagram.
//!
//! Start: the spool first, since without it nothing may be said; then what a verdict needs; then
//! the listeners' sockets, because those are what most often is not to be had; then the runner,
//! which has mail from before, the sessions, which bring more, the control socket, and only then
//! the word to the supervisor that we are ready. Stop: nothing new is accepted, sessions finish
//! the message in hand, the runner its attempts, and the spool is closed last.
//!
//! Promises: a start that fails says why and leaves nothing running; once [`Service::finish`] has
//! ended, every message that was acknowledged is on the disk and nothing of ours is open.
//!
//! Left to others: everything that the parts do.

mod opening;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::{debug, error, info};
use vouchsafe_proto::smtp::xhold::Marker;
use vouchsafe_spool::ledger::Ledger;
use vouchsafe_spool::{LocalSpool, Spool};

use crate::cli::{Ended, Exit, Failure, OrExit as _};
use crate::config::load;
use crate::config::schema::{Listen, control_socket};
use crate::control::{Control, Sources};
use crate::current::{Current, InForce};
use crate::dns::{Resolver, Swappable};
use crate::history::Notebook;
use crate::ledger::keeping::{self, Keeper};
use crate::log::{Logging, chain};
use crate::metrics::serve::Monitor;
use crate::next_hop::caps::Caps;
use crate::next_hop::in_flight::InFlight;
use crate::next_hop::{NextHops, Reach, Recipients};
use crate::operator::Hand;
use crate::perimeter::{self, Perimeter};
use crate::rates::Rates;
use crate::responder::{self, Responder};
use crate::runner::{Desk, Environment, Runner};
use crate::shutdown::Shutdown;
use crate::smtp_in::{Ahead, Copies, House, Listener, Site};
use crate::supervisor::{self, Signals};
use crate::tls::next_hop::Client;
use crate::verify::{Policy, Verifier};
use crate::{clock, open_files, tls};

pub use opening::{open_history, with_history};
use opening::{open_policies, open_spool, read_copies, read_frozen, read_marker, read_secret};

/// `vouchsafe serve`: runs until a signal ends it.
pub fn run(path: &Path) -> Ended {
    let config = load(path)?.config;
    let log = Arc::new(
        Logging::start(config.log)
            .context("starting the log")
            .or_exit(Exit::Software)?,
    );
    open_files::raise(config.limits.sessions, config.delivery.connections);
    let current = Current::new(config, Some(path.to_owned())).or_exit(Exit::Config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .or_exit(Exit::Software)?;
    runtime.block_on(serve(Arc::new(current), log))
}

/// Starts, tells the supervisor, listens to it, and stops.
async fn serve(current: Arc<Current>, log: Arc<Logging>) -> Ended {
    let shutdown = Shutdown::new();
    // Before anything is started, so that no signal from now on ends the process half-way.
    let signals = Signals::catch().or_exit(Exit::Software)?;
    let mut service = Service::start(Arc::clone(&current), shutdown.clone()).await?;
    let obeying = tokio::spawn(signals.obey(shutdown.clone(), current, log));
    let watchdog = tokio::spawn(supervisor::watchdog());
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    supervisor::ready("serving");
    let failed = tokio::select! {
        // First, because parts end by themselves once it has begun.
        biased;
        () = shutdown.begun() => None,
        part = service.failed() => Some(part),
    };
    shutdown.begin();
    service.finish().await;
    watchdog.abort();
    obeying.abort();
    match failed {
        None => {
            info!("stopped");
            Ok(Exit::Ok)
        }
        // Recovery at the next start is the tested path: better that than half a service.
        Some(part) => Err(anyhow!("the {part} ended by itself")).or_exit(Exit::Software),
    }
}

/// A service that runs: sessions, runner, and what they share.
pub struct Service {
    /// Where it listens, in the order of the configuration.
    addresses: Vec<SocketAddr>,
    /// The listeners, each with its sessions.
    listeners: JoinSet<()>,
    /// What carries mail on.
    runner: Runner,
    /// Answers what the ledger is asked.
    responder: Responder,
    /// Control socket, monitor, perimeter, reloads: they never end, and hold nothing that could be lost.
    attendants: JoinSet<()>,
    /// How well the caches serve; said once more at the end.
    rates: Arc<Rates>,
    /// Towards next hops; says at the end how that went.
    tls: Arc<Client>,
    /// Sessions of held paths.
    next_hops: Arc<NextHops>,
    /// What those have said of recipients.
    recipients: Arc<Recipients>,
    /// Closed last.
    spool: Arc<LocalSpool>,
}

impl Service {
    /// Starts all of it. `shutdown` stops it.
    pub async fn start(current: Arc<Current>, shutdown: Shutdown) -> Result<Self, Failure> {
        let in_force = current.take();
        let config = &in_force.config;

        let spool = open_spool(config).await?;
        let notebook = open_history(config)?;
        let kept = with_history(&spool, notebook.as_ref());
        let copies = read_copies(config, &spool).await?;
        let shared = Shared::new(
            &current,
            kept,
            notebook,
            (copies, Arc::clone(spool.ledger())),
        )
        .await?;
        let site = Arc::new(ArcSwap::from_pointee(shared.site(&in_force)));
        let keeper = shared.keep_ledger(&current, &spool).await?;
        let sockets = bind(&config.listen)?;
        let answering =
            responder::Sockets::bind(&config.ledger.address).or_exit(Exit::Unavailable)?;
        let control =
            Control::bind(&control_socket(&config.data_dir)).or_exit(Exit::Unavailable)?;
        let monitor = match config.metrics {
            Some(address) => Some(Monitor::bind(address).await.or_exit(Exit::Unavailable)?),
            None => None,
        };
        let addresses: Vec<_> = sockets.iter().map(Listener::address).collect();
        // All that can fail has been done: from here on things run.
        let frozen = read_frozen(config).await?;
        let environment = Environment {
            spool: Arc::clone(&shared.spool),
            ledger: Arc::clone(spool.ledger()),
            current: Arc::clone(&current),
            reach: Arc::clone(&shared.reach),
        };
        let runner = Runner::start(environment, frozen);
        let house = Arc::new(House::default());
        let listeners = open_doors(sockets, &house, &site, &shutdown);
        let asked = Arc::new(responder::Desk::new(Arc::clone(spool.ledger()), config));
        let responder = answering.serve(&asked).or_exit(Exit::Software)?;

        let rates = Arc::new(shared.rates());
        let sources = Arc::new(Sources {
            rates: Arc::clone(&rates),
            hand: Hand::new(Arc::clone(&shared.spool), runner.desk(), &config.data_dir),
            ledger: Arc::clone(spool.ledger()),
            current: Arc::clone(&current),
            shutdown,
            started: clock::now().wall,
            listening: addresses.clone(),
            house,
        });
        let tls = Arc::clone(&shared.reach.tls);
        let next_hops = Arc::clone(&shared.next_hops);
        let recipients = Arc::clone(&shared.recipients);
        let mut attendants = shared.attendants(runner.desk());
        if let Some(monitor) = monitor {
            attendants.spawn(monitor.serve(Arc::clone(&sources)));
        }
        attendants.spawn(control.serve(sources));
        let followed = keeper.followed();
        attendants.spawn(keeper.keep());
        let parts = (site, asked, followed);
        attendants.spawn(follow_reloads(current, shared, parts));
        let saying = Arc::clone(&rates);
        attendants.spawn(async move { saying.keep_saying().await });
        Ok(Self {
            addresses,
            listeners,
            runner,
            responder,
            attendants,
            rates,
            tls,
            next_hops,
            recipients,
            spool,
        })
    }

    /// Where it listens, in the order of the configuration; the ports are real ones.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it answers for its ledger, in the order of the configuration; the ports are real ones.
    pub fn answering(&self) -> &[SocketAddr] {
        self.responder.addresses()
    }

    /// What was sent from here.
    pub fn ledger(&self) -> &Arc<Ledger> {
        self.spool.ledger()
    }

    /// Resolves when a part has ended that should not have, with its name. A panic of the runner
    /// goes on here.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            _ = self.listeners.join_next() => "listener",
            _ = self.attendants.join_next() => "control socket, monitor, perimeter or reload",
            () = self.runner.ended() => "runner",
            () = self.responder.failed() => "responder",
        }
    }

    /// After the shutdown has begun: waits for sessions and attempts to finish what they have in
    /// hand, and closes the spool.
    pub async fn finish(mut self) {
        let sessions = async { while self.listeners.join_next().await.is_some() {} };
        let held = async {
            sessions.await;
            self.next_hops.close().await;
        };
        tokio::join!(held, self.runner.stop(STOP_GRACE));
        self.attendants.shutdown().await;
        self.recipients.write().await;
        self.rates.say();
        self.tls.tally().say();
        let spool = self.spool;
        let responder = self.responder;
        let close = move || {
            responder.stop();
            keeping::end(spool.ledger());
            drop(spool);
        };
        // Closing waits for the disk. That a panic there is not passed on matters to nobody now.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

/// Begins to accept on every socket.
fn open_doors(
    sockets: Vec<Listener>,
    house: &Arc<House>,
    site: &Arc<ArcSwap<Site>>,
    shutdown: &Shutdown,
) -> JoinSet<()> {
    let mut listeners = JoinSet::new();
    for socket in sockets {
        // This line is an interface: with port 0 in the configuration it tells the real one.
        info!(address = %socket.address(), "listening");
        listeners.spawn(socket.serve(
            Arc::clone(house),
            Arc::clone(site),
            shutdown.clone(),
            STOP_GRACE,
        ));
    }
    listeners
}

/// Binds every address, or none.
fn bind(all: &[Listen]) -> Result<Vec<Listener>, Failure> {
    let mut listeners = Vec::with_capacity(all.len());
    for listen in all {
        listeners.push(Listener::bind(*listen).or_exit(Exit::Unavailable)?);
    }
    Ok(listeners)
}

/// What the parts share, and reloads change.
struct Shared {
    /// Who asks the DNS.
    resolver: Arc<Swappable>,
    /// Our own outer hosts.
    perimeter: Arc<Perimeter>,
    /// Who gives verdicts.
    verifier: Arc<Verifier>,
    /// Where messages are kept.
    spool: Arc<dyn Spool>,
    /// What it takes to reach a next hop.
    reach: Arc<Reach>,
    /// Sessions with those of held paths.
    next_hops: Arc<NextHops>,
    /// What those have said of recipients.
    recipients: Arc<Recipients>,
    /// How many paths are held.
    held: Caps,
    /// Which of them may be loops.
    in_flight: InFlight,
    /// Makes our marks on them.
    marker: Marker,
    /// Messages that may come again.
    copies: Copies,
    /// What was sent.
    sent: Arc<Ledger>,
    /// What became of messages that were never in the queue.
    notebook: Option<Notebook>,
}

impl Shared {
    /// What the configuration makes of it.
    async fn new(
        current: &Arc<Current>,
        spool: Arc<dyn Spool>,
        notebook: Option<Notebook>,
        (copies, sent): (Copies, Arc<Ledger>),
    ) -> Result<Self, Failure> {
        let in_force = current.take();
        let config = &in_force.config;
        let resolver = Arc::new(Swappable::new(config).or_exit(Exit::Config)?);
        let perimeter = Arc::new(Perimeter::new(&perimeter::Sources::of(config)));
        let verifier = Verifier::new(
            Arc::clone(&resolver) as Arc<dyn Resolver>,
            Arc::clone(&perimeter),
            Policy::of(config),
        );
        let verifier = Arc::new(verifier.with_secret(read_secret(config).await?));
        let roots = tls::roots(config.delivery.roots.as_deref());
        let tls = Arc::new(Client::new(roots).or_exit(Exit::Software)?);
        let asked = Arc::clone(&resolver) as Arc<dyn Resolver>;
        let reach = Arc::new(Reach {
            policies: open_policies(config, Arc::clone(&asked), Arc::clone(&tls)).await?,
            resolver: asked,
            tls,
        });
        Ok(Self {
            resolver,
            perimeter,
            verifier,
            spool,
            next_hops: Arc::new(NextHops::new(Arc::clone(&reach), Arc::clone(current))),
            recipients: Recipients::of(config).await.or_exit(Exit::Software)?,
            reach,
            held: Caps::default(),
            in_flight: InFlight::default(),
            marker: read_marker(config).await?,
            copies,
            sent,
            notebook,
        })
    }

    /// How well what it keeps serves.
    fn rates(&self) -> Rates {
        let (resolver, verifier) = (Arc::clone(&self.resolver), Arc::clone(&self.verifier));
        Rates::new()
            .and("dns", move || resolver.figures())
            .and("verdicts", move || verifier.figures())
    }

    /// What keeps them as they are to be; none of it ends.
    fn attendants(&self, runner: Desk) -> JoinSet<()> {
        let mut attendants = JoinSet::new();
        let perimeter = Arc::clone(&self.perimeter);
        let resolver = Arc::clone(&self.resolver) as Arc<dyn Resolver>;
        attendants.spawn(async move { perimeter.keep_fresh(resolver).await });
        attendants.spawn(Arc::clone(&self.recipients).keep_written());
        let next_hops = Arc::clone(&self.next_hops);
        attendants.spawn(async move {
            loop {
                runner.answers(next_hops.next_answering().await).await;
            }
        });
        attendants
    }

    /// What keeps the ledger.
    async fn keep_ledger(
        &self,
        current: &Arc<Current>,
        spool: &LocalSpool,
    ) -> Result<Keeper, Failure> {
        let resolver = Arc::clone(&self.resolver) as Arc<dyn Resolver>;
        let (ledger, found) = (spool.ledger(), spool.ledger_found());
        let keeper = Keeper::begin(ledger, found, current, resolver).await;
        keeper.context("cannot keep the ledger").or_exit(Exit::Io)
    }

    /// What the sessions to come work with.
    fn site(&self, in_force: &InForce) -> Site {
        Site::new(
            in_force,
            Arc::clone(&self.verifier),
            Arc::clone(&self.spool),
            Ahead {
                next_hops: Arc::clone(&self.next_hops),
                held: self.held.clone(),
                notebook: self.notebook.clone(),
                recipients: Arc::clone(&self.recipients),
                in_flight: self.in_flight.clone(),
                marker: self.marker.clone(),
                copies: self.copies.clone(),
                sent: Arc::clone(&self.sent),
            },
        )
    }
}

/// Puts what a reload brought into force, part by part. Sessions already open keep their site.
async fn follow_reloads(
    current: Arc<Current>,
    shared: Shared,
    (site, asked, followed): (Arc<ArcSwap<Site>>, Arc<responder::Desk>, Arc<Notify>),
) {
    let mut reloads = current.reloads();
    while reloads.changed().await.is_ok() {
        let in_force = current.take();
        let config = &in_force.config;
        if let Err(error) = shared.resolver.follow(config) {
            error!(error = %chain(&error), "the resolvers stay as they were");
        }
        shared.perimeter.configure(&perimeter::Sources::of(config));
        // By the policy mail is entered into the ledger, or not.
        keeping::leave(&shared.sent, config).await;
        shared.verifier.set_policy(Policy::of(config));
        keeping::follow(&shared.sent, config).await;
        followed.notify_one();
        site.store(Arc::new(shared.site(&in_force)));
        asked.configure(config);
        debug!("sessions go by the new configuration");
    }
}

/// How long sessions and attempts may take to finish once the service is to stop. Together with
/// closing the spool it stays below the 90 seconds after which systemd kills.
const STOP_GRACE: Duration = Duration::from_mins(1);
