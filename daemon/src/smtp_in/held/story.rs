//! What the next hops said down the paths of one transaction, and how long each took: for the log at
//! once, and for `trace` when the message has a name and an end.
//!
//! Left to others: what follows from it (the machine), the files (`crate::history`).

use std::time::Duration;

use tracing::{debug, info};
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::outcome::{Diagnostic, Outcome, OutcomeClass, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::xhold::Reach;
use vouchsafe_proto::time::{Mono, Wall};

use crate::clock;
use crate::history::event::{Event, Lines, Note, Words};
use crate::log::Peer;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Story(Vec<Step>);

/// One answer.
#[derive(Debug)]
struct Step {
    at: Wall,
    next_hop: NextHop,
    about: About,
    took: Duration,
    /// What was said; none for a recipient that was taken.
    outcome: Option<Outcome>,
    remote: Option<Remote>,
    /// Where its path ends, of one that was taken.
    reach: Option<Reach>,
}

/// What a next hop was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// For a recipient.
    Recipient,
    /// For its last word.
    Message,
}

impl About {
    const fn word(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Message => "message",
        }
    }
}

/// An answer, in a word.
fn word(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        None => "accepted",
        Some(outcome) if outcome.class == OutcomeClass::Delivered => "delivered",
        Some(outcome) if matches!(outcome.diagnostic, Diagnostic::Reply(_)) => "refused",
        Some(outcome) if outcome.class == OutcomeClass::Permanent => "refused",
        Some(_) => "lost",
    }
}

impl Story {
    /// A next hop has answered, or has not; it was asked at `began`.
    pub(super) fn add(
        &mut self,
        next_hop: &NextHop,
        about: About,
        (outcome, remote): (Option<&Outcome>, Option<&Remote>),
        reach: Option<Reach>,
        began: Mono,
    ) {
        let now = clock::now();
        let took = now.mono.since(began);
        tell(next_hop, about, outcome, took);
        // Recipients that were taken say little after the first.
        if self.0.len() < STEPS {
            self.0.push(Step {
                at: now.wall,
                next_hop: next_hop.clone(),
                about,
                took,
                outcome: outcome.cloned(),
                remote: remote.cloned(),
                reach,
            });
        }
    }

    /// Its lines, for a message of this name.
    pub(super) fn lines(&self, id: QueueId) -> Lines {
        let mut lines = Lines::default();
        for step in &self.0 {
            let outcome = step.outcome.as_ref();
            let remote = outcome.and_then(|outcome| outcome.remote.as_ref());
            let event = Event::Asked {
                next_hop: Words::Shown(&step.next_hop),
                about: Words::Text(step.about.word()),
                outcome: Words::Text(word(outcome)),
                status: outcome.map(|outcome| Words::Shown(&outcome.status)),
                remote: remote.or(step.remote.as_ref()).map(Words::Host),
                diagnostic: outcome
                    .map(|outcome| Words::Text(outcome.diagnostic.text()))
                    .or(step.reach.as_ref().map(|reach| Words::Shown(reach))),
                milliseconds: u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
            };
            lines.push(&Note::new(id, step.at, event));
        }
        lines
    }
}

/// The end of a message that is not in the queue: with the next hops, or refused; for all its recipients, or
/// for each.
pub(super) fn end(
    lines: &mut Lines,
    id: QueueId,
    (envelope, size): (&Envelope, u64),
    ends: &[Result<Custody, Reply>],
) {
    let at = clock::now().wall;
    if ends.iter().any(Result::is_ok) {
        let mut taken = envelope.clone();
        if ends.len() > 1 {
            let mut ends = ends.iter();
            (taken.recipients).retain(|_| ends.next().is_some_and(Result::is_ok));
        }
        lines.push(&Note::accepted(id, at, &taken, size));
        let proofs = || ends.iter().flatten();
        let before = proofs()
            .next()
            .filter(|_| proofs().all(Custody::is_repetition));
        let event = before.map_or(Event::Onward, |before| Event::Repeated {
            of: Words::Id(before.queue_id()),
        });
        return lines.push(&Note::new(id, at, event));
    }
    let mut refusals = ends.iter().filter_map(|end| end.as_ref().err());
    if let Some(reply) = refusals.next() {
        let event = Event::Refused {
            reply: Words::Shown(reply),
        };
        lines.push(&Note::new(id, at, event));
    }
}

/// A line of the log.
fn tell(next_hop: &NextHop, about: About, outcome: Option<&Outcome>, took: Duration) {
    let (milliseconds, about) = (took.as_millis(), about.word());
    let word = word(outcome);
    let Some(outcome) = outcome else {
        debug!(%next_hop, about, outcome = word, milliseconds, "down the path");
        return;
    };
    let remote = outcome.remote.as_ref().map(|remote| Peer(&remote.name));
    info!(
        %next_hop,
        about,
        outcome = word,
        remote = remote.map(tracing::field::display),
        status = %outcome.status,
        diagnostic = %Peer(outcome.diagnostic.text()),
        milliseconds,
        "down the path"
    );
}

/// Answers that are kept of one transaction: a session's memory is bounded, and a hundred recipients
/// that were taken tell no more than the first.
const STEPS: usize = 32;
