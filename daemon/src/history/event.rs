//! One note: what happened to a message, and when. Serialised as it stands; names are an interface.
//!
//! What is read has texts of its own; what is written has them as the queue has them ([`Words`]), and
//! becomes a line at once ([`Lines`]).

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use vouchsafe_proto::envelope::{Envelope, Origin, Recipient};
use vouchsafe_proto::outcome::{Outcome, OutcomeClass, Remote};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Amendment, Entry, Progress, Report, Settlement};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct Note<T = String> {
    /// The message. First, because readers look for it at the beginning of the line.
    pub id: T,
    /// When.
    pub at: T,
    /// What.
    #[serde(flatten)]
    pub event: Event<T>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event<T = String> {
    /// Taken into custody; 250 was said, unless it is a report of ours.
    Accepted {
        /// MAIL FROM.
        reverse_path: T,
        /// What was found about it.
        verdict: T,
        /// Who gave it to us: an address and the name it called itself.
        client: Option<(T, T)>,
        /// RCPT TO.
        recipients: Vec<T>,
        /// Octets of content.
        size: u64,
        /// Our trace fields: how it came, and all that was found.
        trace: T,
    },
    /// A next hop was asked, down a path that was held open.
    Asked {
        /// Which.
        next_hop: T,
        /// `recipient` or `message`.
        about: T,
        /// `accepted`, `refused` or `lost`; of a message `delivered`, too.
        outcome: T,
        /// Its status (RFC 3463).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<T>,
        /// The host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remote: Option<T>,
        /// What was said, or what we saw.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diagnostic: Option<T>,
        /// How long the answer took.
        milliseconds: u64,
    },
    /// Every next hop had it before 250 was said; it was never in the queue.
    Onward,
    /// The same copy had been taken before: this one went nowhere.
    Repeated {
        /// The name of that one here.
        of: T,
    },
    /// It was not taken.
    Refused {
        /// What was said at its end.
        reply: T,
    },
    /// An attempt came to its end.
    Attempt {
        /// Which one, from 1 on.
        number: u32,
        /// Those that were not done with before it.
        recipients: Vec<Ended<T>>,
        /// When the next is due; none if this was the last.
        next: Option<T>,
    },
    /// The operator said something of it.
    Operator {
        /// `held`, `released`, `retried`, `rerouted`, `removed`.
        did: T,
        /// For `rerouted`, where to; none if it goes where its routes lead again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_hop: Option<T>,
    },
    /// A report was taken into custody.
    Report {
        /// To whom.
        to: Vec<T>,
        /// Its Subject.
        subject: T,
    },
    /// Every recipient is done with.
    Gone,
}

/// What an attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended<T = String> {
    /// The recipient.
    pub recipient: T,
    /// `delivered`, `deferred`, `failed`, or `waiting` if it was not tried yet.
    pub outcome: T,
    /// Its status (RFC 3463).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<T>,
    /// The host that replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<T>,
    /// What was said, or what we saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<T>,
}

/// A text as the queue has it, put into words only where it is written.
#[derive(Clone)]
pub enum Words<'a> {
    /// As it shows itself.
    Shown(&'a (dyn fmt::Display + Sync)),
    /// As it stands.
    Text(&'a str),
    /// A message.
    Id(QueueId),
    /// A moment.
    At(Wall),
    /// `mail.example.org [192.0.2.1]`.
    Host(&'a Remote),
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shown(shown) => shown.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Id(id) => id.fmt(f),
            Self::At(at) => at.fmt(f),
            Self::Host(remote) => match remote.address {
                Some(address) => write!(f, "{} [{address}]", remote.name),
                None => f.write_str(&remote.name),
            },
        }
    }
}

impl Serialize for Words<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            words => serializer.collect_str(words),
        }
    }
}

/// Notes as they stand in a file: whole lines.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The lines.
    pub(super) octets: Vec<u8>,
    /// How many they are.
    pub(super) count: u64,
}

impl Lines {
    /// One more.
    pub fn push(&mut self, note: &Note<Words<'_>>) {
        self.octets.reserve(SOME);
        // Strings and numbers: this does not fail.
        if serde_json::to_writer(&mut self.octets, note).is_ok() {
            self.octets.push(b'\n');
            self.count = self.count.saturating_add(1);
        }
    }
}

/// Octets that most lines fit in.
const SOME: usize = 256;

impl<'a> Note<Words<'a>> {
    /// Of a message.
    pub const fn new(id: QueueId, at: Wall, event: Event<Words<'a>>) -> Self {
        Self {
            id: Words::Id(id),
            at: Words::At(at),
            event,
        }
    }

    /// It was taken.
    pub fn accepted(id: QueueId, at: Wall, envelope: &'a Envelope, size: u64) -> Self {
        let client = match &envelope.origin {
            Origin::Client { address, helo } => Some((Words::Shown(address), Words::Text(helo))),
            Origin::Ourselves => None,
        };
        let recipients = envelope.recipients.iter();
        let event = Event::Accepted {
            reverse_path: Words::Shown(&envelope.reverse_path),
            verdict: Words::Shown(&envelope.verdict),
            client,
            recipients: recipients.map(|each| Words::Shown(each)).collect(),
            size,
            trace: Words::Text(&envelope.trace),
        };
        Self::new(id, at, event)
    }
}

impl Lines {
    /// What a settlement says, in the order of its happening. `before`: the recipients' progress
    /// as it was last noted.
    pub fn settled(entry: &Entry, before: &[Progress], settlement: &Settlement, at: Wall) -> Self {
        let mut lines = Self::begun(entry, before);
        let all = entry.envelope.recipients.iter().zip(before);
        let open = all
            .zip(&settlement.progress)
            .filter(|((_, before), _)| before.is_waiting());
        let recipients: Vec<_> = open
            .map(|((recipient, _), now)| Ended::of(recipient, now))
            .collect();
        if settlement.attempts > entry.attempts && !recipients.is_empty() {
            let event = Event::Attempt {
                number: settlement.attempts,
                recipients,
                next: settlement.due.map(Words::At),
            };
            lines.push(&Note::new(entry.id, at, event));
        }
        for report in &settlement.reports {
            lines.push_report(entry.id, at, report);
        }
        if settlement.due.is_none() {
            lines.push(&Note::new(entry.id, at, Event::Gone));
        }
        lines
    }

    /// What a record says while the lease goes on: those recipients that are done with by it.
    pub fn recorded(entry: &Entry, before: &[Progress], settlement: &Settlement, at: Wall) -> Self {
        let mut lines = Self::begun(entry, before);
        let all = entry.envelope.recipients.iter().zip(before);
        let done = all
            .zip(&settlement.progress)
            .filter(|((_, before), now)| before.is_waiting() && !now.is_waiting());
        let recipients: Vec<_> = done
            .map(|((recipient, _), now)| Ended::of(recipient, now))
            .collect();
        if !recipients.is_empty() {
            let event = Event::Attempt {
                number: settlement.attempts,
                recipients,
                next: None,
            };
            lines.push(&Note::new(entry.id, at, event));
        }
        for report in &settlement.reports {
            lines.push_report(entry.id, at, report);
        }
        lines
    }

    /// What an operator's word makes of it.
    pub fn amended(entry: &Entry, amendment: &Amendment, at: Wall) -> Self {
        let (did, next_hop, reports) = match amendment {
            Amendment::Hold => ("held", None, None),
            Amendment::Release => ("released", None, None),
            Amendment::Retry(_) => ("retried", None, None),
            Amendment::Reroute { next_hop, .. } => ("rerouted", next_hop.as_deref(), None),
            Amendment::Remove(reports) => ("removed", None, Some(reports)),
        };
        let event = Event::Operator {
            did: Words::Text(did),
            next_hop: next_hop.map(Words::Text),
        };
        let mut lines = Self::begun(entry, &entry.progress);
        lines.push(&Note::new(entry.id, at, event));
        if let Some(reports) = reports {
            for report in reports {
                lines.push_report(entry.id, at, report);
            }
            lines.push(&Note::new(entry.id, at, Event::Gone));
        }
        lines
    }

    /// That it was taken, for a report of ours that is heard of for the first time: no client
    /// brought it.
    fn begun(entry: &Entry, before: &[Progress]) -> Self {
        let untouched = |progress: &Progress| *progress == Progress::Waiting(None);
        let first = entry.attempts == 0 && before.iter().all(untouched);
        let mut lines = Self::default();
        if first && entry.envelope.origin == Origin::Ourselves {
            let (id, at) = (entry.id, entry.arrived);
            lines.push(&Note::accepted(id, at, &entry.envelope, entry.size));
        }
        lines
    }

    /// A report that we made.
    fn push_report(&mut self, id: QueueId, at: Wall, report: &Report) {
        // Ours, so its header is short and its Subject unfolded.
        let header = report.content.split(|octet| *octet == b'\n');
        let subject = header
            .take_while(|line| !line.is_empty() && *line != b"\r")
            .find_map(|line| line.strip_prefix(b"Subject: "))
            .unwrap_or_default();
        let subject = String::from_utf8_lossy(subject);
        let to = report.envelope.recipients.iter();
        let event = Event::Report {
            to: to.map(|each| Words::Shown(each)).collect(),
            subject: Words::Text(subject.trim_end()),
        };
        self.push(&Note::new(id, at, event));
    }
}

impl<'a> Ended<Words<'a>> {
    /// Of one recipient's progress.
    fn of(recipient: &'a Recipient, progress: &'a Progress) -> Self {
        let (outcome, word) = match progress {
            Progress::Waiting(None) => (None, "waiting"),
            Progress::Waiting(Some(outcome)) => (Some(outcome), "deferred"),
            Progress::Done(outcome) => (
                Some(outcome),
                match outcome.class {
                    OutcomeClass::Delivered => "delivered",
                    OutcomeClass::Transient | OutcomeClass::Permanent => "failed",
                },
            ),
        };
        Self {
            recipient: Words::Shown(recipient),
            outcome: Words::Text(word),
            status: outcome.map(|outcome: &Outcome| Words::Shown(&outcome.status)),
            remote: outcome.and_then(|outcome| outcome.remote.as_ref().map(Words::Host)),
            diagnostic: outcome.map(|outcome| Words::Text(outcome.diagnostic.text())),
        }
    }
}
