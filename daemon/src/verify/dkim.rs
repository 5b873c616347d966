//! DKIM at the end of a message: the keys by our own resolver, the signatures by mail-auth, the
//! meaning by proto.
//!
//! mail-auth has a resolver of its own and no seam for another, so it is never let near a question:
//! all keys are asked for here, at the same time and on account of the client, and it verifies with
//! what came back (`library`). It is handed one signature at a time, with values that proto has
//! read and judged; of what the library can do, only hashing, canonicalisation and the comparison
//! are used, and for ARC the walk along the chain.
//!
//! Promises: a report within [`DEADLINE`] and the time of the computation, whatever the message
//! and the DNS hold; no more than [`ROOM`] messages of the largest size in memory at the same
//! time, and no more computations than there are processors, off the threads that serve sessions.
//!
//! Leaves to others: the message's octets (whoever calls has read them, after asking for room),
//! weight and verdict (proto), and what is said to whom (the session).

mod chain;
mod library;
#[cfg(test)]
pub(crate) mod signing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use vouchsafe_proto::addr::Mailbox;
use vouchsafe_proto::dns::{
    Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble,
};
use vouchsafe_proto::verify::Step;
use vouchsafe_proto::verify::dkim::field::{self, Claim, Label};
use vouchsafe_proto::verify::dkim::header::Content;
use vouchsafe_proto::verify::dkim::{
    self, MAX_SIGNATURES, Reason, Report, Signature, Skipped, author,
};

use self::library::Library;
use crate::clock;
use crate::config::schema;
use crate::dns::Resolver;

/// How long all keys of a message may take. The client waits, and every other check of the DNS
/// gives up after ten seconds too.
const DEADLINE: Duration = Duration::from_secs(10);

/// Messages of the largest size that may be in memory at the same time; smaller ones count for
/// what they are. At the default size that is 16 MiB, or some eight hundred ordinary messages.
const ROOM: u64 = 16;

/// How long a message may wait for room, so that large messages with slow keys cannot hold all
/// others back for ever. Whoever waits in vain is told to come again.
const WAIT_FOR_ROOM: Duration = Duration::from_secs(10);

/// Room is counted in these.
const UNIT: u64 = 1024;

/// Octets of a text, and texts, that a step keeps: a key of 8192 bits, and proof that it was not
/// alone. The publisher chooses how much there is, and reports live as long as their transaction.
const KEPT_TEXT: usize = 1600;
const KEPT_TEXTS: usize = 2;

/// What `[verify]` says about DKIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Signatures are looked at.
    pub on: bool,
    /// Octets of the largest message whose signatures are.
    pub size: u64,
}

/// What holds without a configuration: what holds in one that says nothing.
impl Default for Settings {
    fn default() -> Self {
        Self {
            on: true,
            size: 1 << 20,
        }
    }
}

impl Settings {
    /// Those of a configuration.
    pub const fn of(configured: &schema::Verify) -> Self {
        Self {
            on: configured.dkim,
            size: configured.dkim_size,
        }
    }
}

/// Verifies signatures.
pub struct DkimVerifier {
    resolver: Arc<dyn Resolver>,
    library: Arc<Library>,
    settings: ArcSwap<Settings>,
    room: Arc<Semaphore>,
    /// All there is of it, in [`UNIT`]s.
    all_room: u64,
    /// How long a message waits for it.
    wait: Duration,
    processors: Arc<Semaphore>,
}

/// Room in memory for one message; given back when dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// The answers to all questions, those still open at the end among them.
type Answers = BTreeMap<Name, Option<Answer>>;

/// What a message has for us, before any key is known.
struct Found {
    /// Its signatures, from the top: where the field is, its label, and its claim.
    signatures: Vec<(usize, Label, Result<Claim, Reason>)>,
    /// Signatures that are left alone.
    more: usize,
    /// The keys that are needed.
    keys: BTreeSet<Name>,
}

/// What a message comes to with its keys.
#[derive(Default)]
struct Judged {
    from: Option<Mailbox>,
    signatures: Vec<Signature>,
    arc: dkim::Arc,
}

impl DkimVerifier {
    /// A verifier that asks this resolver for keys. The room in memory follows from the settings
    /// it begins with.
    pub fn new(resolver: Arc<dyn Resolver>, settings: Settings) -> Self {
        let all_room = settings.size.saturating_mul(ROOM).div_ceil(UNIT);
        // A semaphore has fewer permits than memory has octets.
        let all_room = all_room.min(u64::from(u32::MAX));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            resolver,
            library: Arc::new(Library::new()),
            settings: ArcSwap::from_pointee(settings),
            room: Arc::new(Semaphore::new(
                usize::try_from(all_room).unwrap_or(usize::MAX >> 4),
            )),
            all_room,
            wait: WAIT_FOR_ROOM,
            processors: Arc::new(Semaphore::new(processors)),
        }
    }

    /// Goes by other settings from now on. The room stays: a larger message takes more of it.
    pub fn set_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Room for a message of this size, before it is read into memory; or why its signatures are
    /// not looked at.
    pub async fn room_for(&self, octets: u64) -> Result<Room, Skipped> {
        let settings = **self.settings.load();
        if !settings.on {
            return Err(Skipped::Off);
        }
        if octets > settings.size {
            return Err(Skipped::TooLarge);
        }
        let units = octets.div_ceil(UNIT).clamp(1, self.all_room.max(1));
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let waiting = Arc::clone(&self.room).acquire_many_owned(units);
        match tokio::time::timeout(self.wait, waiting).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            // It is never closed.
            Ok(Err(_)) | Err(_) => Err(Skipped::Busy),
        }
    }

    /// What the signatures of a message come to. Waits for room first, though the message is in
    /// memory already: for those who have few.
    pub async fn verify(&self, client: IpAddr, message: Bytes) -> Report {
        let octets = u64::try_from(message.len()).unwrap_or(u64::MAX);
        match self.room_for(octets).await {
            Ok(room) => self.verify_in(room, client, message).await,
            Err(skipped) => Report::skipped(skipped),
        }
    }

    /// The same for a message that has room.
    pub async fn verify_in(&self, room: Room, client: IpAddr, message: Bytes) -> Report {
        let now = clock::now().wall.as_secs();
        let found = match find(&message, now) {
            Ok(found) => found,
            Err(skipped) => return Report::skipped(skipped),
        };
        let answers = self.ask(client, &found.keys).await;
        let mut report = Report {
            more: found.more,
            steps: steps(&answers),
            questions: u32::try_from(answers.len()).unwrap_or(u32::MAX),
            ttl: least_ttl(&answers),
            ..Report::default()
        };
        let labels: Vec<_> = found
            .signatures
            .iter()
            .map(|(_, label, _)| label.clone())
            .collect();
        let Ok(processor) = Arc::clone(&self.processors).acquire_owned().await else {
            return Report::skipped(Skipped::Busy);
        };
        let library = Arc::clone(&self.library);
        let judging = tokio::task::spawn_blocking(move || {
            let _held = (room, processor);
            judge(&library, &message, found, &answers)
        });
        match judging.await {
            Ok(judged) => {
                (report.from, report.signatures, report.arc) =
                    (judged.from, judged.signatures, judged.arc);
            }
            Err(error) => {
                tracing::error!(%error, "verifying signatures ended in a panic");
                report.signatures = labels
                    .into_iter()
                    .map(|label| Signature::new(label, Reason::Internal))
                    .collect();
            }
        }
        report
    }

    /// Asks for all of these, at the same time.
    async fn ask(&self, client: IpAddr, names: &BTreeSet<Name>) -> Answers {
        let mut answers: Answers = names.iter().map(|name| (name.clone(), None)).collect();
        let mut asking = JoinSet::new();
        for name in names {
            let (name, resolver) = (name.clone(), Arc::clone(&self.resolver));
            asking.spawn(async move {
                let answer = resolver.ask_for(client, question(&name)).await;
                (name, answer)
            });
        }
        let deadline = clock::instant(clock::now().mono.plus(DEADLINE));
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, asking.join_next()).await {
            if let Ok((name, answer)) = done {
                answers.insert(name, Some(answer));
            }
        }
        answers
    }
}

/// The question for a key.
fn question(name: &Name) -> Question {
    Question {
        name: name.clone(),
        kind: RecordType::Txt,
        freshness: Freshness::Cached,
    }
}

/// Reads a message for what has to be asked. A megabyte of header costs about a millisecond.
fn find(message: &[u8], now: u64) -> Result<Found, Skipped> {
    let content = Content::of(message).map_err(|_| Skipped::TooManyFields)?;
    let mut found = Found {
        signatures: Vec::new(),
        more: 0,
        keys: chain::keys(&content),
    };
    for (at, field) in content.fields.iter().enumerate() {
        if !field.is(field::NAME) {
            continue;
        }
        if found.signatures.len() >= MAX_SIGNATURES {
            found.more += 1;
            continue;
        }
        let (label, claim) = field::read(field.value);
        let claim = claim.and_then(|claim| {
            if claim.is_expired(now) {
                Err(Reason::Expired)
            } else {
                Ok(claim)
            }
        });
        if let Ok(claim) = &claim {
            found.keys.insert(claim.key_name.clone());
        }
        found.signatures.push((at, label, claim));
    }
    if found.signatures.is_empty() && !chain::is_there(&content) {
        return Err(Skipped::NoSignature);
    }
    Ok(found)
}

/// What the message comes to with these keys: its author, its signatures, its ARC chain.
fn judge(library: &Library, message: &[u8], found: Found, answers: &Answers) -> Judged {
    let Ok(content) = Content::of(message) else {
        return Judged::default();
    };
    let from = content.sole_from();
    let mut bodies = library::BodyHashes::default();
    let signatures = found
        .signatures
        .into_iter()
        .map(|(at, label, claim)| {
            let claim = match claim {
                Ok(claim) => claim,
                Err(reason) => return Signature::new(label, reason),
            };
            let answer = answer_of(answers, &claim.key_name);
            let (reason, testing) = library.verify(&content, at, &claim, &answer, &mut bodies);
            Signature {
                signed_from: from.is_some(),
                testing,
                ..Signature::new(label, reason)
            }
        })
        .collect();
    Judged {
        from: from.and_then(|from| author(from.value)),
        signatures,
        arc: chain::verify(library, &content, answers),
    }
}

/// The answer to the question for a key; no answer in time is trouble.
fn answer_of(answers: &Answers, name: &Name) -> Answer {
    let answer = answers.get(name).cloned().flatten();
    answer.unwrap_or_else(|| Answer::trouble(Trouble::Timeout))
}

/// The questions as steps, their answers cut.
fn steps(answers: &Answers) -> Vec<Step> {
    let step = |(name, answer): (&Name, &Option<Answer>)| Step {
        pass: 1,
        question: question(name),
        answer: answer.clone().map(cut).map(Arc::new),
    };
    answers.iter().map(step).collect()
}

/// What is kept of an answer.
fn cut(mut answer: Answer) -> Answer {
    if let Lookup::Found(Records::Txt(texts)) = &mut answer.lookup {
        texts.sort();
        texts.truncate(KEPT_TEXTS);
        for text in texts {
            if let Some(start) = text.get(..KEPT_TEXT) {
                *text = start.into();
            }
        }
    }
    answer
}

/// The least TTL of what was answered.
fn least_ttl(answers: &Answers) -> Option<u32> {
    let answered = answers.values().flatten();
    answered
        .filter(|answer| !matches!(answer.lookup, Lookup::Trouble(_)))
        .map(|answer| answer.ttl)
        .min()
}
