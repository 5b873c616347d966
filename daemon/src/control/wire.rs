//! Requests and replies, and a queued message as the command line and its users see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::envelope::{BodyType, Origin};
use vouchsafe_proto::outcome::{Diagnostic, Outcome, OutcomeClass};
use vouchsafe_proto::residue::{Digest, Hour, Kind};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, Progress, ledger};

use crate::bounded::Figures;
use crate::operator::{Act, Filter, LaneRow, ReasonRow, Summary, Touched};
use crate::runner;

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Request {
    /// Is somebody there?
    Ping,
    /// How the service is.
    Status,
    /// Messages in custody, by arrival.
    List {
        /// Which.
        #[serde(default)]
        filter: Filter,
        /// At most so many.
        #[serde(default)]
        limit: Option<usize>,
    },
    /// Something is done to messages.
    Act {
        /// What.
        #[serde(flatten)]
        act: Act,
        /// To which.
        filter: Filter,
        /// To all, if the filter has no condition.
        #[serde(default)]
        all: bool,
        /// Nothing is changed.
        #[serde(default)]
        dry_run: bool,
    },
    /// Where mail waits, and why.
    Top {
        /// Rows of each kind.
        rows: usize,
        /// Messages that are read for the reasons.
        sample: usize,
    },
    /// A domain is frozen, or thawed.
    Freeze {
        /// Which.
        domain: String,
        /// False to thaw it.
        frozen: bool,
    },
    /// Digests of what another host sends, for the ledger.
    Enter {
        /// The host, if it is one that must be heard of.
        host: Option<String>,
        /// The domain of the reverse-path.
        domain: Option<String>,
        /// What [`digest_text`] makes of each.
        entries: Vec<String>,
    },
    /// One message.
    Show {
        /// Its queue id.
        id: String,
    },
}

/// One line of what is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::List`] and [`Request::Show`].
    Message(Box<Message>),
    /// There are more than were asked for.
    More,
    /// To [`Request::Act`]: so many messages there are that may be meant.
    Scope(usize),
    /// To [`Request::Act`]: so many more of them have been looked at.
    Looked(usize),
    /// To [`Request::Act`]: one of those that were meant.
    Touched(Touched),
    /// To [`Request::Top`].
    Lane(Box<LaneRow>),
    /// To [`Request::Top`].
    Reason(Box<ReasonRow>),
    /// To [`Request::Top`]: the last of it.
    Summary(Summary),
    /// To [`Request::Freeze`]: false if it was so before.
    Frozen(bool),
    /// To [`Request::Enter`]: they are in the ledger, durably.
    Entered,
    /// That was all.
    End,
    /// It cannot be done.
    Error(Refusal),
}

/// Why it cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not one of ours.
    #[error("the service does not understand the request; is it of another version?")]
    Request,
    /// There is no such message.
    #[error("no such message in the queue")]
    Unknown,
    /// The list of frozen domains cannot be read or written; the service's log says why.
    #[error("the service cannot keep the list of frozen domains; see its log")]
    List,
    /// No such domain is served here.
    #[error("this domain is not one of the service's: nothing is entered for others")]
    Domain,
    /// No such host hands in what it sends.
    #[error("this host is not one of [ledger.writers] with silent_after")]
    Writer,
    /// The ledger cannot be written; the service's log says why.
    #[error("the service cannot write its ledger; see its log")]
    Ledger,
    /// The queue cannot be read; the service's log says why.
    #[error("the service cannot read its queue; see its log")]
    Queue,
}

/// An entry of the ledger, as a request has it.
pub fn digest_text(entry: &ledger::Entry) -> String {
    let kind = match entry.kind {
        Kind::Message => 'm',
        Kind::Identity => 'i',
    };
    format!(
        "{kind}{:x}.{:032x}",
        entry.hour.number(),
        entry.digest.number()
    )
}

/// What a request says; `None` if that is none.
pub fn parse_digest(text: &str) -> Option<ledger::Entry> {
    let (kind, rest) = match text.split_at_checked(1)? {
        ("m", rest) => (Kind::Message, rest),
        ("i", rest) => (Kind::Identity, rest),
        _ => return None,
    };
    let (hour, digest) = rest.split_once('.')?;
    Some(ledger::Entry {
        kind,
        hour: Hour::new(u32::from_str_radix(hour, 16).ok()?)?,
        digest: Digest::new(u128::from_str_radix(digest, 16).ok()?),
    })
}

/// How the service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// Its name.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: String,
    /// Addresses and ports where it takes connections.
    pub listening: Vec<String>,
    /// Sessions open now.
    pub sessions_open: usize,
    /// Sessions begun since the start.
    pub sessions: u64,
    /// Sessions that ended in a panic; each is a bug.
    pub panics: u64,
    /// How well each cache has served since the start.
    pub caches: BTreeMap<String, Figures>,
    /// False once a write has failed and nothing is taken any more.
    pub sound: bool,
    /// It is finishing what is in hand.
    pub stopping: bool,
}

/// A message in custody.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own in what programs read"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Its queue id.
    pub id: String,
    /// When it came.
    pub arrived: String,
    /// Seconds since then.
    pub age_seconds: u64,
    /// Octets of content.
    pub size: u64,
    /// Attempts made.
    pub attempts: u32,
    /// When the next is due.
    pub due: String,
    /// Seconds until then; 0 when it is due already.
    pub due_in_seconds: u64,
    /// It is being delivered at this moment.
    pub active: bool,
    /// An operator holds it: it is not tried.
    #[serde(default)]
    pub held: bool,
    /// Where an operator has sent it, if he has.
    #[serde(default)]
    pub next_hop: Option<String>,
    /// It is due, or will be, and does not go: why.
    #[serde(default)]
    pub held_back: Option<HeldBack>,
    /// Its sender has been told of a delay.
    pub delay_reported: bool,
    /// Without brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// What was found about the reverse-path.
    pub verdict: String,
    /// The client it came from; none for a report of ours.
    pub client: Option<Client>,
    /// `7BIT` or `8BITMIME`.
    pub body: String,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// All its recipients, in order.
    pub recipients: Vec<Recipient>,
}

/// Why nothing goes from where a message waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The domain, or the next hop to which an operator has sent what waits there.
    pub lane: String,
    /// An operator has frozen it.
    pub frozen: bool,
    /// In words.
    pub reason: String,
    /// The next hop that cannot be reached, if that is why.
    pub next_hop: Option<String>,
    /// When one message is tried again; none while it is frozen.
    pub next_try: Option<String>,
    /// Seconds until then.
    pub next_try_in_seconds: Option<u64>,
}

impl HeldBack {
    /// As it is seen at `now`.
    pub fn of(held_back: &runner::HeldBack, now: Wall) -> Self {
        let unreached = held_back.unreached.as_ref();
        let reason = if held_back.frozen {
            String::from("frozen by the operator")
        } else {
            unreached.map_or_else(
                || String::from("its next hop cannot be reached"),
                |(_, outcome)| outcome.diagnostic.text().to_owned(),
            )
        };
        Self {
            lane: held_back.lane.to_string(),
            frozen: held_back.frozen,
            reason,
            next_hop: unreached.map(|(next_hop, _)| next_hop.clone()),
            next_try: held_back.until.map(|until| until.to_string()),
            next_try_in_seconds: held_back.until.map(|until| until.since(now).as_secs()),
        }
    }
}

/// Who gave us a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its address.
    pub address: String,
    /// What it called itself.
    pub helo: String,
}

/// What has become of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The forward-path, without brackets.
    pub forward_path: String,
    /// Whether it is done with.
    pub state: State,
    /// Status of the last attempt, as in a report (RFC 3463).
    pub status: Option<String>,
    /// Host of the last attempt.
    pub remote: Option<String>,
    /// What it replied, or what we saw.
    pub diagnostic: Option<String>,
    /// True when `diagnostic` is the next hop's reply.
    pub replied: bool,
}

/// Whether a recipient is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be tried, again or for the first time.
    Waiting,
    /// In the next hop's custody.
    Delivered,
    /// Given up.
    Failed,
}

impl Message {
    /// The message as it is seen at `now`.
    pub fn of(entry: &Entry, now: Wall) -> Self {
        let envelope = &entry.envelope;
        Self {
            id: entry.id.to_string(),
            arrived: entry.arrived.to_string(),
            age_seconds: now.since(entry.arrived).as_secs(),
            size: entry.size,
            attempts: entry.attempts,
            due: entry.due.to_string(),
            due_in_seconds: entry.due.since(now).as_secs(),
            active: entry.active,
            held: entry.orders.held,
            next_hop: entry.orders.next_hop.as_deref().map(String::from),
            held_back: None,
            delay_reported: entry.delay_reported,
            reverse_path: envelope.reverse_path.to_string(),
            verdict: envelope.verdict.to_string(),
            client: match &envelope.origin {
                Origin::Client { address, helo } => Some(Client {
                    address: address.to_string(),
                    helo: helo.to_string(),
                }),
                Origin::Ourselves => None,
            },
            body: String::from(match envelope.body {
                BodyType::SevenBit => "7BIT",
                BodyType::EightBitMime => "8BITMIME",
            }),
            smtputf8: envelope.smtputf8,
            recipients: envelope
                .recipients
                .iter()
                .zip(&entry.progress)
                .map(|(recipient, progress)| Recipient::of(recipient.to_string(), progress))
                .collect(),
        }
    }

    /// With why it does not go, unless it waits for longer by itself.
    #[must_use]
    pub fn held_back_by(mut self, held_back: &runner::HeldBack, now: Wall) -> Self {
        let held_back = HeldBack::of(held_back, now);
        let until = held_back.next_try_in_seconds;
        if held_back.frozen || until.is_some_and(|until| until > self.due_in_seconds) {
            self.held_back = Some(held_back);
        }
        self
    }

    /// Recipients that are not done with.
    pub fn waiting(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients
            .iter()
            .filter(|recipient| recipient.state == State::Waiting)
    }
}

impl Recipient {
    /// What has become of it.
    fn of(forward_path: String, progress: &Progress) -> Self {
        let (state, outcome) = match progress {
            Progress::Waiting(outcome) => (State::Waiting, outcome.as_ref()),
            Progress::Done(outcome) if outcome.class == OutcomeClass::Delivered => {
                (State::Delivered, Some(outcome))
            }
            Progress::Done(outcome) => (State::Failed, Some(outcome)),
        };
        Self {
            forward_path,
            state,
            status: outcome.map(|outcome| outcome.status.to_string()),
            remote: outcome.and_then(remote),
            diagnostic: outcome.map(|outcome| outcome.diagnostic.text().to_owned()),
            replied: outcome
                .is_some_and(|outcome| matches!(outcome.diagnostic, Diagnostic::Reply(_))),
        }
    }
}

/// `name [address]`, if it happened anywhere. A next hop may be an address, which is said once.
fn remote(outcome: &Outcome) -> Option<String> {
    let remote = outcome.remote.as_ref()?;
    Some(match remote.address {
        Some(address) if remote.name.parse() != Ok(address) => {
            format!("{} [{address}]", remote.name)
        }
        _ => remote.name.clone(),
    })
}

#[cfg(test)]
mod tests {
    use vouchsafe_proto::outcome::Remote;

    use super::*;

    #[test]
    fn where_it_happened_is_said_once() {
        for (name, address, expected) in [
            (
                "mx.example.net",
                Some("192.0.2.7"),
                "mx.example.net [192.0.2.7]",
            ),
            ("192.0.2.7", Some("192.0.2.7"), "192.0.2.7"),
            ("2001:db8::7", Some("2001:db8::7"), "2001:db8::7"),
            ("/run/lmtp.sock", None, "/run/lmtp.sock"),
        ] {
            let outcome = Outcome::local(
                (4, 4, 1),
                Some(Remote {
                    name: name.to_owned(),
                    address: address.map(|address| address.parse().unwrap()),
                }),
                "connection refused",
            );
            assert_eq!(remote(&outcome).as_deref(), Some(expected));
        }
    }
}
