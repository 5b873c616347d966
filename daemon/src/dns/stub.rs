//! The stub resolver: cache, one question at a time for each name and type, aliases, a deadline.
//!
//! Whoever asks what is being asked already waits for the same answer: it is kinder to the servers,
//! and a forger has one question to guess at, not many (RFC 5452 §5). A question is worked at by
//! whoever asked it first, in its own task: a hand-over costs more than most answers do. One that
//! was begun runs to its end even if everybody who asked has gone, for the cache; one that waits
//! for its turn (`turns`) goes with whoever asked.
//!
//! The AD bit counts as *secure* only from servers that are trusted with it: on this machine, or
//! said so in the settings. From anywhere else it is a bit that anyone on the way can set.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use vouchsafe_proto::dns::{Answer, Freshness, Lookup, Name, Question, Trouble};
use vouchsafe_proto::time::Mono;

use super::cache::{BOUNDS, Cache};
use super::filed::{ByNumber, Filed, Filing};
use super::interpret::{MAX_TTL, Step, interpret};
use super::servers::{Servers, ServersError, system_servers};
use super::turns::{Turn, Turns};
use super::wire::Whose;
use super::{Asking, Resolver, lock};
use crate::bounded::Figures;
use crate::clock;
use crate::config::Config;
use crate::metrics::{Watch, figures};

/// What a stub resolver is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers, the first preferred. Without any, every question ends in a timeout.
    pub servers: Vec<SocketAddr>,
    /// Whose they are.
    pub whose: Whose,
    /// Whether their AD bit is believed; `None` believes those on loopback (RFC 6840 §5.8).
    pub trust_ad: Option<bool>,
    /// How long a question may take, its aliases included.
    pub deadline: Duration,
}

/// How long a question may take unless the settings say otherwise: less than the ten seconds of a
/// whole check (PROTOCOLS A.2), so that a silent server is told from a check that ran out of time.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// The questions that are being asked, each with those who wait for its answer besides the first.
type OpenQuestions = HashMap<Filed, Vec<oneshot::Sender<Answer>>, ByNumber>;

/// A stub resolver. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Stub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    servers: Servers,
    whose: Whose,
    trust_ad: Option<bool>,
    deadline: Duration,
    cache: Mutex<Cache>,
    filing: Filing,
    open: Mutex<OpenQuestions>,
    turns: Arc<Turns>,
}

impl Settings {
    /// What the configuration says; the system's servers if it names none.
    pub fn of(config: &Config) -> Result<Self, ServersError> {
        let servers = if config.dns.servers.is_empty() {
            system_servers()?
        } else {
            config.dns.servers.clone()
        };
        Ok(Self {
            servers,
            whose: Whose::Ours,
            trust_ad: config.dns.trust_ad,
            deadline: config.dns.timeout,
        })
    }

    /// A zone's own servers: they are not asked to ask others, what they say without AA or to lead on is trouble with
    /// them, and aliases are not followed.
    pub fn of_zone(servers: Vec<SocketAddr>, deadline: Duration) -> Self {
        Self {
            servers,
            whose: Whose::Zones,
            trust_ad: Some(false),
            deadline,
        }
    }

    /// These servers, everything else as usual.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            whose: Whose::Ours,
            trust_ad: None,
            deadline: DEADLINE,
        }
    }
}

impl Stub {
    /// A resolver with an empty cache.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            servers: Servers::new(settings.servers, settings.whose),
            whose: settings.whose,
            trust_ad: settings.trust_ad,
            deadline: settings.deadline,
            cache: Mutex::new(Cache::new(BOUNDS)),
            filing: Filing::default(),
            open: Mutex::default(),
            turns: Arc::default(),
        }))
    }

    /// Asks without cache and turns, and says which server answered, if one did. For a zone's own servers, whose
    /// answers are asked for once.
    pub async fn ask_once(&self, question: &Question) -> (Answer, Option<SocketAddr>) {
        let shared = &self.0;
        let watch = Watch::start();
        let deadline = watch.started().plus(shared.deadline);
        let (answer, server) = shared.walk(question, deadline).await;
        watch.stop(&figures().dns.duration);
        figures().dns.questions.count([found(&answer.lookup)]);
        (answer, server)
    }

    /// Forgets every answer, so that each question goes to a server again.
    pub fn forget(&self) {
        lock(&self.0.cache).clear();
    }

    /// What has come of its cache so far.
    pub fn figures(&self) -> Figures {
        lock(&self.0.cache).figures()
    }
}

impl Resolver for Stub {
    fn ask(&self, question: Question) -> Asking<'_> {
        self.0.answer(None, question)
    }

    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        self.0.answer(Some(client), question)
    }

    fn turn_for(&self, client: Option<IpAddr>) -> super::Turning<'_> {
        Box::pin(async move { Some(self.0.turns.take(client).await) })
    }
}

/// Where an answer is.
enum Found {
    /// It is there.
    Kept(Answer),
    /// Somebody else works at it.
    Coming(oneshot::Receiver<Answer>),
    /// Whoever asks is the first, and works at it.
    Begun(Begun),
}

/// How a question comes by its turn.
enum Turning {
    /// On account of this client, if there is one without waiting.
    Now(Option<IpAddr>),
    /// It was waited for.
    Taken(Turn),
}

/// The work on a question that was begun. Dropped before its end, it goes on by itself.
struct Begun(Option<Pin<Box<dyn Future<Output = Answer> + Send>>>);

impl Future for Begun {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let Some(work) = &mut self.0 else {
            return Poll::Pending;
        };
        let answer = work.as_mut().poll(context);
        if answer.is_ready() {
            self.0 = None;
        }
        answer
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // Without a runtime the process is on its way out.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

impl Shared {
    /// The answer, or trouble at the deadline, the wait for a turn included. Mostly that is work that
    /// has a deadline of its own, and nothing has to be put around it.
    fn answer(self: &Arc<Self>, client: Option<IpAddr>, question: Question) -> Asking<'_> {
        let watch = Watch::start();
        let deadline = watch.started().plus(self.deadline);
        let question = self.filing.file(question);
        match self.find(question, watch, Turning::Now(client)) {
            Ok(Found::Kept(answer)) => Box::pin(ready(answer)),
            Ok(Found::Begun(work)) => Box::pin(work),
            Ok(Found::Coming(answer)) => Box::pin(before(deadline, async {
                // The error: the work is gone without an answer, with the process.
                answer.await.ok()
            })),
            Err(question) => {
                let in_turn = self.answer_in_turn(client, question);
                Box::pin(before(deadline, async { Some(in_turn.await) }))
            }
        }
    }

    /// The answer, once there is a turn.
    async fn answer_in_turn(self: &Arc<Self>, client: Option<IpAddr>, question: Filed) -> Answer {
        let turn = self.turns.take(client).await;
        let answer = match self.find(question, Watch::start(), Turning::Taken(turn)) {
            Ok(Found::Kept(answer)) => Some(answer),
            Ok(Found::Begun(work)) => Some(work.await),
            Ok(Found::Coming(answer)) => answer.await.ok(),
            Err(_) => None,
        };
        answer.unwrap_or_else(|| Answer::trouble(Trouble::Timeout))
    }

    /// Where the answer to a question is, which is begun if need be; the question back, if there is
    /// no turn for it without waiting. The turn lasts as long as the question is open.
    fn find(
        self: &Arc<Self>,
        question: Filed,
        watch: Watch,
        turning: Turning,
    ) -> Result<Found, Filed> {
        let mut open = lock(&self.open);
        let place = match open.entry(question) {
            Entry::Occupied(mut waiting) => {
                let (tell, answer) = oneshot::channel();
                waiting.get_mut().push(tell);
                return Ok(Found::Coming(answer));
            }
            Entry::Vacant(place) => place,
        };
        if place.key().question().freshness == Freshness::Cached {
            let mut cache = lock(&self.cache);
            let now = watch.started();
            let kept = match turning {
                Turning::Now(_) => cache.find(place.key(), now),
                // It has looked already, and is counted.
                Turning::Taken(_) => cache.find_again(place.key(), now),
            };
            if let Some(answer) = kept {
                return Ok(Found::Kept(answer));
            }
        }
        let turn = match turning {
            Turning::Now(client) => self.turns.take_now(client),
            Turning::Taken(turn) => Some(turn),
        };
        let Some(turn) = turn else {
            return Err(place.into_key());
        };
        let question = place.key().clone();
        place.insert(Vec::new());
        drop(open);
        Ok(Found::Begun(self.begin(question, turn, watch)))
    }

    /// Begins to ask. The deadline is the question's own: who joins it is not to suffer from how
    /// long another had to wait for the turn.
    fn begin(self: &Arc<Self>, question: Filed, turn: Turn, watch: Watch) -> Begun {
        let mut closing = Closing {
            shared: Arc::clone(self),
            question,
            closed: false,
        };
        Begun(Some(Box::pin(async move {
            let shared = &closing.shared;
            let question = closing.question.question();
            let deadline = watch.started().plus(shared.deadline);
            let (answer, _) = shared.walk(question, deadline).await;
            let end = watch.stop(&figures().dns.duration);
            figures().dns.questions.count([found(&answer.lookup)]);
            tracing::debug!(%question, lookup = ?answer.lookup, ttl = answer.ttl, "asked the DNS");
            lock(&shared.cache).keep(&closing.question, &answer, end);
            drop(turn);
            for waiting in closing.close() {
                // Whoever has gone needs no answer.
                let _ = waiting.send(answer.clone());
            }
            answer
        })))
    }

    /// Asks at the question's name, then on at each alias's target that no answer spoke of. Gives who answered last, too.
    async fn walk(&self, question: &Question, deadline: Mono) -> (Answer, Option<SocketAddr>) {
        let mut server = None;
        let mut answer = Answer {
            ttl: MAX_TTL,
            secure: true,
            ..Answer::trouble(Trouble::Timeout)
        };
        let mut at: Name = question.name.clone();
        // An eighth of the time: a second, with the usual deadline.
        let patience = self.deadline / 8;
        loop {
            let given = match self
                .servers
                .ask(&at, question.kind, patience, deadline)
                .await
            {
                Ok(given) => given,
                Err(trouble) => {
                    answer.lookup = Lookup::Trouble(trouble);
                    break;
                }
            };
            server = Some(given.server);
            answer.secure &= given.response.is_authentic() && self.trusts(given.server);
            let said = interpret(
                &given.response,
                (&at, question.kind),
                &question.name,
                &mut answer.aliases,
            );
            answer.ttl = answer.ttl.min(said.ttl);
            match said.step {
                Step::AskOn(_) if self.whose == Whose::Zones => {
                    answer.lookup = Lookup::Trouble(Trouble::Refused);
                    break;
                }
                // Each step on follows an alias, of which there are eight at most.
                Step::AskOn(target) => at = target,
                Step::End(lookup) => {
                    answer.lookup = lookup;
                    answer.signed_labels = said.signed_labels;
                    break;
                }
            }
        }
        if matches!(answer.lookup, Lookup::Trouble(_)) {
            answer.ttl = 0;
            answer.secure = false;
        }
        (answer, server)
    }

    /// Whether a server's AD bit counts.
    fn trusts(&self, server: SocketAddr) -> bool {
        self.trust_ad.unwrap_or_else(|| server.ip().is_loopback())
    }
}

/// An answer that comes before the deadline, or trouble.
async fn before(deadline: Mono, answer: impl Future<Output = Option<Answer>>) -> Answer {
    let answer = timeout_at(clock::instant(deadline), answer).await;
    let answer = answer.ok().flatten();
    answer.unwrap_or_else(|| Answer::trouble(Trouble::Timeout))
}

/// What came of a question, for the figures.
const fn found(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Found(_) => "found",
        Lookup::NoData => "no-data",
        Lookup::NxDomain => "nx-domain",
        Lookup::AliasLimit => "alias-limit",
        Lookup::Trouble(_) => "trouble",
    }
}

/// Takes a question off the list of open ones, even if the work on it is torn down.
struct Closing {
    shared: Arc<Shared>,
    question: Filed,
    /// Done; the next entry of this question is another's.
    closed: bool,
}

impl Closing {
    /// Takes it off, and gives those who wait for its answer.
    fn close(&mut self) -> Vec<oneshot::Sender<Answer>> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        let mut open = lock(&self.shared.open);
        open.remove(&self.question).unwrap_or_default()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.close();
    }
}
