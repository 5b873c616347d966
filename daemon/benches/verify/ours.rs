//! Our own verifier, with the service's resolver and caches.
//!
//! Cold: each pass over the list has a verifier and a resolver with nothing cached. They are made
//! before the clock starts, since a service makes one in its life, have been over the list by then, and forget in turn
//! what they keep. Warm: one of each, which has been over the list, too, and forgets nothing.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use tokio::task::JoinSet;
use vouchsafe::dns::{Asking, Resolver, Settings, Stub};
use vouchsafe::verify::{Policy, Verifier};
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::dns::{Freshness, Lookup, Name, Question, RecordType};
use vouchsafe_proto::verify::ledger::When;

use crate::tally::{Tally, cpu_of};
use crate::world;

/// What is measured.
#[derive(Debug, Args)]
pub struct Run {
    /// The list.
    checks: PathBuf,
    /// The name server.
    server: SocketAddr,
    /// Verdicts in the making at one time.
    #[arg(long, default_value_t = 1)]
    sessions: usize,
    /// For how long.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// With everything cached.
    #[arg(long)]
    warm: bool,
    /// In one thread, as the peers are; else in as many as the service has, one for each core.
    #[arg(long)]
    one_thread: bool,
    /// By the MAIL-FROM set and SPF alone, as the peers decide by SPF alone; else by all that the service looks at.
    #[arg(long)]
    spf_alone: bool,
}

/// One session's question, parsed as the session has it.
struct Asked {
    client: IpAddr,
    reverse_path: ReversePath,
}

/// The verifiers, pass by pass.
struct Passes {
    asked: Vec<Asked>,
    warm: bool,
    policy: Policy,
    /// The next of the list, passes counted on.
    next: AtomicUsize,
    /// More than passes can be under way at one time.
    verifiers: Vec<(Verifier, Arc<Counting>)>,
    /// The latest pass that was begun.
    begun: Mutex<usize>,
    questions: Arc<AtomicU64>,
}

/// Verifiers that take turns. A check with many questions to ask may be under way while others go over the list twice.
const TURNS: usize = 3;

/// Sessions that go over the list before it is measured, however many are to be.
const AT_FIRST: usize = 200;

/// The service's resolver, with its questions counted.
struct Counting {
    stub: Stub,
    questions: Arc<AtomicU64>,
}

impl Resolver for Counting {
    fn ask(&self, question: Question) -> Asking<'_> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.stub.ask(question)
    }

    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        self.stub.ask_for(client, question)
    }
}

impl Run {
    /// Measures and prints.
    pub fn measure(self) -> anyhow::Result<()> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        if self.one_thread {
            runtime.worker_threads(1);
        }
        let runtime = runtime.enable_all().build().context("the runtime")?;
        runtime.block_on(self.run())
    }

    async fn run(self) -> anyhow::Result<()> {
        let mut asked = Vec::new();
        for one in world::read(&self.checks)? {
            asked.push(Asked {
                client: one.client.into(),
                reverse_path: ReversePath::parse_inside(&format!("someone@{}", one.domain))
                    .context("a reverse-path")?,
            });
        }
        anyhow::ensure!(self.sessions <= asked.len(), "more sessions than domains");
        let mut policy = Policy::default();
        if self.spf_alone {
            policy.tests.sender_domain = false;
            policy.tests.ledger = When::Never;
        }
        let questions = Arc::default();
        let passes = Arc::new(Passes {
            asked,
            warm: self.warm,
            next: AtomicUsize::new(0),
            verifiers: (0..TURNS)
                .map(|_| verifier(self.server, &policy, &questions))
                .collect(),
            policy,
            begun: Mutex::new(0),
            questions,
        });
        // Sockets are open and tables have room from here on, as in a service that has been up for a minute.
        let passes_before = if self.warm { 1 } else { TURNS };
        let before = passes_before * passes.asked.len();
        passes.by(AT_FIRST, move |at| at < before).await?;
        passes.questions.store(0, Ordering::Relaxed);
        let cpu = cpu_of("self")?;
        let begun = now();
        let end = begun + Duration::from_secs(self.seconds);
        let mut tally = passes.by(self.sessions, move |_| now() < end).await?;
        tally.seconds = begun.elapsed().as_secs_f64();
        tally.cpu = cpu_of("self")? - cpu;
        tally.questions = Some(passes.questions.load(Ordering::Relaxed));
        tally.print(&self.name(), self.sessions);
        Ok(())
    }

    /// Of a line of results.
    fn name(&self) -> String {
        let kept = if self.warm { "warm" } else { "cold" };
        let tests = if self.spf_alone { "-spf-alone" } else { "" };
        let threads = if self.one_thread { "-one-thread" } else { "" };
        format!("vouchsafe-{kept}{tests}{threads}")
    }
}

impl Passes {
    /// Verdicts by so many sessions, each of them until it is to reach no more.
    async fn by(
        self: &Arc<Self>,
        sessions: usize,
        goes_on: impl Fn(usize) -> bool + Copy + Send + 'static,
    ) -> anyhow::Result<Tally> {
        let mut open = JoinSet::new();
        for _ in 0..sessions {
            let passes = Arc::clone(self);
            open.spawn(async move {
                let mut tally = Tally::default();
                loop {
                    let at = passes.next.fetch_add(1, Ordering::Relaxed);
                    if !goes_on(at) {
                        return tally;
                    }
                    tally.count(passes.one(at).await);
                }
            });
        }
        let mut tally = Tally::default();
        while let Some(one) = open.join_next().await {
            tally.add(&one.context("a session")?);
        }
        Ok(tally)
    }

    /// Reaches this verdict, and gives its word.
    async fn one(&self, at: usize) -> &'static str {
        let (pass, at) = (at / self.asked.len(), at % self.asked.len());
        let (Some(asked), Some(verifier)) = (self.asked.get(at), self.verifier_of(pass)) else {
            return "nothing";
        };
        let verdict = verifier
            .verify(
                asked.reverse_path.clone(),
                Box::from("client.bench.test"),
                asked.client,
            )
            .await;
        match verdict.result() {
            vouchsafe_proto::verify::VerdictResult::Authorised => "authorised",
            vouchsafe_proto::verify::VerdictResult::Unknown => "unknown",
            vouchsafe_proto::verify::VerdictResult::Repudiated => "repudiated",
            vouchsafe_proto::verify::VerdictResult::Tempfail => "tempfail",
        }
    }

    /// The verifier of a pass, emptied for the first who comes to it.
    fn verifier_of(&self, pass: usize) -> Option<&Verifier> {
        if self.warm {
            return self.verifiers.first().map(|(verifier, _)| verifier);
        }
        let (verifier, resolver) = self.verifiers.get(pass % TURNS)?;
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if *begun < pass {
            *begun = pass;
            // Forgets the verdicts that were kept.
            verifier.set_policy(self.policy.clone());
            resolver.stub.forget();
        }
        Some(verifier)
    }
}

/// Waits until the server answers, for as long as a resolver waits.
pub fn await_server(server: SocketAddr, name: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime")?;
    let question = Question {
        name: Name::parse(name).context("a name")?,
        kind: RecordType::A,
        freshness: Freshness::Cached,
    };
    let stub = Stub::new(Settings::new(vec![server]));
    let end = now() + Duration::from_secs(10);
    while now() < end {
        let answer = runtime.block_on(stub.ask(question.clone()));
        if matches!(answer.lookup, Lookup::Found(_)) {
            return Ok(());
        }
    }
    anyhow::bail!("no answer from {server}")
}

/// A verifier with nothing cached, and its resolver.
fn verifier(
    server: SocketAddr,
    policy: &Policy,
    questions: &Arc<AtomicU64>,
) -> (Verifier, Arc<Counting>) {
    let resolver = Arc::new(Counting {
        stub: Stub::new(Settings::new(vec![server])),
        questions: Arc::clone(questions),
    });
    let asked = Arc::clone(&resolver) as Arc<dyn Resolver>;
    (
        Verifier::new(asked, Arc::default(), policy.clone()),
        resolver,
    )
}

/// The clock of the measurement.
#[expect(
    clippy::disallowed_methods,
    reason = "a measurement has a clock of its own"
)]
fn now() -> Instant {
    Instant::now()
}
