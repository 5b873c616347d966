//! The stub resolver: cache, one question at a time for each name and type, aliases, a deadline.
//!
//! Whoever asks what is being asked already waits for the same answer: it is kinder to the servers,
//! and a forger has one question to guess at, not many (RFC 5452 §5). A question that was begun
//! runs to its end even if everybody who asked has gone, for the cache; one that waits for its turn
//! (`turns`) goes with whoever asked.
//!
//! The AD bit counts as *secure* only from servers that are trusted with it: on this machine, or
//! said so in the settings. From anywhere else it is a bit that anyone on the way can set.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use vouchsafe_proto::dns::{Answer, Freshness, Lookup, Name, Question, Trouble};
use vouchsafe_proto::time::Mono;

use super::cache::{BOUNDS, Cache, Key};
use super::servers::{Servers, ServersError, system_servers};
use super::turns::{Turn, Turns};
use super::wire::{MAX_TTL, Step, interpret};
use super::{Asking, Resolver};
use crate::bounded::Figures;
use crate::clock;
use crate::config::Config;

/// What a stub resolver is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The servers, the first preferred. Without any, every question ends in a timeout.
    pub servers: Vec<SocketAddr>,
    /// Whether their AD bit is believed; `None` believes those on loopback (RFC 6840 §5.8).
    pub trust_ad: Option<bool>,
    /// How long a question may take, its aliases included.
    pub deadline: Duration,
}

/// How long a question may take unless the settings say otherwise: less than the ten seconds of a
/// whole check (PROTOCOLS A.2), so that a silent server is told from a check that ran out of time.
pub const DEADLINE: Duration = Duration::from_secs(8);

/// The questions that are being asked, each with the place where its answer will appear.
type OpenQuestions = HashMap<Question, watch::Receiver<Option<Answer>>>;

/// A stub resolver. Cheap to clone; clones share everything.
#[derive(Clone, Debug)]
pub struct Stub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    servers: Servers,
    trust_ad: Option<bool>,
    deadline: Duration,
    cache: Mutex<Cache>,
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
            trust_ad: config.dns.trust_ad,
            deadline: config.dns.timeout,
        })
    }

    /// These servers, everything else as usual.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers,
            trust_ad: None,
            deadline: DEADLINE,
        }
    }
}

impl Stub {
    /// A resolver with an empty cache.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Shared {
            servers: Servers::new(settings.servers),
            trust_ad: settings.trust_ad,
            deadline: settings.deadline,
            cache: Mutex::new(Cache::new(BOUNDS)),
            open: Mutex::new(HashMap::new()),
            turns: Arc::default(),
        }))
    }

    /// What has come of its cache so far.
    pub fn figures(&self) -> Figures {
        lock(&self.0.cache).figures()
    }
}

impl Resolver for Stub {
    fn ask(&self, question: Question) -> Asking<'_> {
        Box::pin(self.0.answer(None, question))
    }

    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        Box::pin(self.0.answer(Some(client), question))
    }
}

/// Where an answer is.
enum Found {
    /// It is there.
    Kept(Answer),
    /// It will appear.
    Coming(watch::Receiver<Option<Answer>>),
}

impl Shared {
    /// The answer, or trouble at the deadline, the wait for a turn included.
    async fn answer(self: &Arc<Self>, client: Option<IpAddr>, question: Question) -> Answer {
        let deadline = clock::instant(clock::now().mono.plus(self.deadline));
        let answered = async {
            let found = self.find(&question, &lock(&self.open), Cache::find);
            let found = match found {
                Some(found) => found,
                None => self.begin(question, self.turns.take(client).await),
            };
            match found {
                Found::Kept(answer) => answer,
                Found::Coming(mut outcome) => match outcome.wait_for(Option::is_some).await {
                    Ok(answer) => answer
                        .clone()
                        .unwrap_or_else(|| Answer::trouble(Trouble::Timeout)),
                    // The task is gone without an answer: the process is on its way out.
                    Err(_) => Answer::trouble(Trouble::Timeout),
                },
            }
        };
        tokio::time::timeout_at(deadline, answered)
            .await
            .unwrap_or_else(|_| Answer::trouble(Trouble::Timeout))
    }

    /// Where the answer to a question is, if it need not be begun.
    fn find(
        &self,
        question: &Question,
        open: &OpenQuestions,
        look: impl FnOnce(&mut Cache, &Key, Mono) -> Option<Answer>,
    ) -> Option<Found> {
        if let Some(outcome) = open.get(question) {
            return Some(Found::Coming(outcome.clone()));
        }
        if question.freshness == Freshness::Fresh {
            return None;
        }
        let key = (question.name.clone(), question.kind);
        let kept = look(&mut lock(&self.cache), &key, clock::now().mono);
        kept.map(Found::Kept)
    }

    /// Begins to ask, unless somebody else did while the turn was waited for. The turn lasts as
    /// long as the question does.
    fn begin(self: &Arc<Self>, question: Question, turn: Turn) -> Found {
        let mut open = lock(&self.open);
        let again = |cache: &mut Cache, key: &Key, now| cache.find_again(key, now);
        if let Some(found) = self.find(&question, &open, again) {
            return found;
        }
        let (tell, outcome) = watch::channel(None);
        open.insert(question.clone(), outcome.clone());
        drop(open);
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let closing = Closing {
                shared: &shared,
                question: &question,
            };
            let answer = shared.within_deadline(&question).await;
            let key: Key = (question.name.clone(), question.kind);
            lock(&shared.cache).keep(key, &answer, clock::now().mono);
            drop((closing, turn));
            tell.send_replace(Some(answer));
        });
        Found::Coming(outcome)
    }

    /// The answer to a question that has its turn, or trouble. The deadline is the question's own:
    /// who joins it is not to suffer from how long another had to wait for the turn.
    async fn within_deadline(&self, question: &Question) -> Answer {
        let answer = tokio::time::timeout(self.deadline, self.walk(question))
            .await
            .unwrap_or_else(|_| Answer::trouble(Trouble::Timeout));
        tracing::debug!(%question, lookup = ?answer.lookup, ttl = answer.ttl, "asked the DNS");
        answer
    }

    /// Asks at the question's name, then on at each alias's target that no answer spoke of.
    async fn walk(&self, question: &Question) -> Answer {
        let mut answer = Answer {
            ttl: MAX_TTL,
            secure: true,
            ..Answer::trouble(Trouble::Timeout)
        };
        let mut at: Name = question.name.clone();
        // An eighth of the time: a second, with the usual deadline.
        let patience = self.deadline / 8;
        loop {
            let given = match self.servers.ask(&at, question.kind, patience).await {
                Ok(given) => given,
                Err(trouble) => {
                    answer.lookup = Lookup::Trouble(trouble);
                    break;
                }
            };
            answer.secure &= given.message.metadata.authentic_data && self.trusts(given.server);
            let said = interpret(
                &given.message,
                (&at, question.kind),
                &question.name,
                &mut answer.aliases,
            );
            answer.ttl = answer.ttl.min(said.ttl);
            match said.step {
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
        answer
    }

    /// Whether a server's AD bit counts.
    fn trusts(&self, server: SocketAddr) -> bool {
        self.trust_ad.unwrap_or_else(|| server.ip().is_loopback())
    }
}

/// Takes a question off the list of open ones, even if its task is torn down.
struct Closing<'a> {
    shared: &'a Shared,
    question: &'a Question,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(self.question);
    }
}

/// The value, whoever panicked while holding it: each change to these maps is whole in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
