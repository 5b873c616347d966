//! One note: what happened to a message, and when. Serialised as it stands; names are an interface.

use serde::{Deserialize, Serialize};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Amendment, Entry, Progress, Report, Settlement};

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The message. First, because readers look for it at the beginning of the line.
    pub id: String,
    /// When.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// Taken into custody; 250 was said, unless it is a report of ours.
    Accepted {
        /// MAIL FROM.
        reverse_path: String,
        /// What was found about it.
        verdict: String,
        /// Who gave it to us: an address and the name it called itself.
        client: Option<(String, String)>,
        /// RCPT TO.
        recipients: Vec<String>,
        /// Octets of content.
        size: u64,
        /// Our trace fields: how it came, and all that was found.
        trace: String,
    },
    /// An attempt came to its end.
    Attempt {
        /// Which one, from 1 on.
        number: u32,
        /// Those that were not done with before it.
        recipients: Vec<Ended>,
        /// When the next is due; none if this was the last.
        next: Option<String>,
    },
    /// The operator said something of it.
    Operator {
        /// `held`, `released`, `retried`, `rerouted`, `removed`.
        did: String,
        /// For `rerouted`, where to; none if it goes where its routes lead again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_hop: Option<String>,
    },
    /// A report was taken into custody.
    Report {
        /// To whom.
        to: Vec<String>,
        /// Its Subject.
        subject: String,
    },
    /// Every recipient is done with.
    Gone,
}

/// What an attempt came to for one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The recipient.
    pub recipient: String,
    /// `delivered`, `deferred`, `failed`, or `waiting` if it was not tried yet.
    pub outcome: String,
    /// Its status (RFC 3463).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The host that replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// What was said, or what we saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostic: Option<String>,
}

impl Note {
    /// Of a message.
    fn new(id: QueueId, at: Wall, event: Event) -> Self {
        Self {
            id: id.to_string(),
            at: at.to_string(),
            event,
        }
    }

    /// It was taken.
    pub fn accepted(id: QueueId, at: Wall, envelope: &Envelope, size: u64) -> Self {
        let client = match &envelope.origin {
            Origin::Client { address, helo } => Some((address.to_string(), helo.to_string())),
            Origin::Ourselves => None,
        };
        let event = Event::Accepted {
            reverse_path: envelope.reverse_path.to_string(),
            verdict: envelope.verdict.to_string(),
            client,
            recipients: envelope
                .recipients
                .iter()
                .map(ToString::to_string)
                .collect(),
            size,
            trace: envelope.trace.to_string(),
        };
        Self::new(id, at, event)
    }

    /// What a settlement says, in the order of its happening. `before`: the recipients' progress
    /// as it was last noted.
    pub fn settled(
        entry: &Entry,
        before: &[Progress],
        settlement: &Settlement,
        at: Wall,
    ) -> Vec<Self> {
        let mut notes = Self::begun(entry, before);
        let all = entry.envelope.recipients.iter().zip(before);
        let open = all
            .zip(&settlement.progress)
            .filter(|((_, before), _)| before.is_waiting());
        let recipients: Vec<_> = open
            .map(|((recipient, _), now)| Ended::of(recipient.to_string(), now))
            .collect();
        if settlement.attempts > entry.attempts && !recipients.is_empty() {
            let event = Event::Attempt {
                number: settlement.attempts,
                recipients,
                next: settlement.due.map(|due| due.to_string()),
            };
            notes.push(Self::new(entry.id, at, event));
        }
        for report in &settlement.reports {
            notes.push(Self::new(entry.id, at, Event::of_report(report)));
        }
        if settlement.due.is_none() {
            notes.push(Self::new(entry.id, at, Event::Gone));
        }
        notes
    }

    /// What a record says while the lease goes on: those recipients that are done with by it.
    pub fn recorded(
        entry: &Entry,
        before: &[Progress],
        settlement: &Settlement,
        at: Wall,
    ) -> Vec<Self> {
        let mut notes = Self::begun(entry, before);
        let all = entry.envelope.recipients.iter().zip(before);
        let done = all
            .zip(&settlement.progress)
            .filter(|((_, before), now)| before.is_waiting() && !now.is_waiting());
        let recipients: Vec<_> = done
            .map(|((recipient, _), now)| Ended::of(recipient.to_string(), now))
            .collect();
        if !recipients.is_empty() {
            let event = Event::Attempt {
                number: settlement.attempts,
                recipients,
                next: None,
            };
            notes.push(Self::new(entry.id, at, event));
        }
        for report in &settlement.reports {
            notes.push(Self::new(entry.id, at, Event::of_report(report)));
        }
        notes
    }

    /// What an operator's word makes of it.
    pub fn amended(entry: &Entry, amendment: &Amendment, at: Wall) -> Vec<Self> {
        let (did, next_hop, reports) = match amendment {
            Amendment::Hold => ("held", None, None),
            Amendment::Release => ("released", None, None),
            Amendment::Retry(_) => ("retried", None, None),
            Amendment::Reroute { next_hop, .. } => ("rerouted", next_hop.as_deref(), None),
            Amendment::Remove(reports) => ("removed", None, Some(reports)),
        };
        let event = Event::Operator {
            did: did.to_owned(),
            next_hop: next_hop.map(str::to_owned),
        };
        let mut notes = Self::begun(entry, &entry.progress);
        notes.push(Self::new(entry.id, at, event));
        if let Some(reports) = reports {
            for report in reports {
                notes.push(Self::new(entry.id, at, Event::of_report(report)));
            }
            notes.push(Self::new(entry.id, at, Event::Gone));
        }
        notes
    }

    /// That it was taken, for a report of ours that is heard of for the first time: no client
    /// brought it.
    fn begun(entry: &Entry, before: &[Progress]) -> Vec<Self> {
        let untouched = |progress: &Progress| *progress == Progress::Waiting(None);
        let first = entry.attempts == 0 && before.iter().all(untouched);
        let ours = entry.envelope.origin == Origin::Ourselves;
        let accepted = (first && ours)
            .then(|| Self::accepted(entry.id, entry.arrived, &entry.envelope, entry.size));
        accepted.into_iter().collect()
    }
}

impl Event {
    /// A report that we made.
    fn of_report(report: &Report) -> Self {
        // Ours, so its header is short and its Subject unfolded.
        let header = report.content.split(|octet| *octet == b'\n');
        let subject = header
            .take_while(|line| !line.is_empty() && *line != b"\r")
            .find_map(|line| line.strip_prefix(b"Subject: "))
            .unwrap_or_default();
        Self::Report {
            to: report
                .envelope
                .recipients
                .iter()
                .map(ToString::to_string)
                .collect(),
            subject: String::from_utf8_lossy(subject).trim_end().to_owned(),
        }
    }
}

impl Ended {
    /// Of one recipient's progress.
    fn of(recipient: String, progress: &Progress) -> Self {
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
            recipient,
            outcome: word.to_owned(),
            status: outcome.map(|outcome| outcome.status.to_string()),
            remote: outcome.and_then(remote),
            diagnostic: outcome.map(|outcome| outcome.diagnostic.text().to_owned()),
        }
    }
}

/// `mail.example.org [192.0.2.1]`.
fn remote(outcome: &Outcome) -> Option<String> {
    let remote = outcome.remote.as_ref()?;
    Some(match remote.address {
        Some(address) => format!("{} [{address}]", remote.name),
        None => remote.name.clone(),
    })
}
