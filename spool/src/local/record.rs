//! The records on disk: what they look like octet by octet, and how they are known to be whole.
//!
//! A record is one octet of kind, one of version, a CRC-32 (little-endian) over kind, version, the
//! queue id it belongs to and all that follows, then JSON. The schema below is the spool's own: it
//! changes with the version and with nothing else, whatever becomes of proto's types. Golden
//! octets in the tests hold it still.
//!
//! The envelope record is written once; the progress record anew at each settlement. What does not
//! read back exactly is [`Corruption`], never a guess.
//!
//! Version 2 of the envelope record has the trace fields, which version 1 has at the start of the
//! content; version 3 has what MAIL and RCPT asked for, and on whose word the message was let in.
//! What is not asked is not written. Version 4 has the id that the message has for next hops (XTID); where it
//! has none, version 3 is written. Version 5 has what its client claimed that it is (XVOUCH), and is written for such a
//! message alone. Version 2 of the progress record has what an operator has
//! said of the message, and that its sender was told of the deadline he had set; where neither is so,
//! version 1 is written.

mod outcome;
mod requests;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::{BodyType, Clearance, Envelope, Origin, Recipient, Requests};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::residue::Claim;
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use self::outcome::OutcomeSchema;
use self::requests::{RequestsSchema, ToSchema};
use super::recover::Corruption;
use crate::{Orders, Progress, Waits};

/// Octets before the JSON: kind, version, checksum.
const HEAD: usize = 6;

/// Octets that a record of a message with a few recipients fits into, so that it is written without
/// growing. It is held no longer than the message waits for its barrier.
const ORDINARY_ENVELOPE: usize = 1024;

/// The same for its progress.
const ORDINARY_PROGRESS: usize = 192;

/// Which record it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Envelope,
    Progress,
}

impl Kind {
    /// Its octet.
    const fn octet(self) -> u8 {
        match self {
            Self::Envelope => b'E',
            Self::Progress => b'P',
        }
    }

    /// The newest version this program writes; it reads all from 1 on.
    const fn version(self) -> u8 {
        match self {
            Self::Envelope => 5,
            Self::Progress => 2,
        }
    }
}

/// What is written once about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EnvelopeRecord {
    pub(super) envelope: Envelope,
    pub(super) arrived: Wall,
    pub(super) content: ContentRecord,
}

/// What is known of the content, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContentRecord {
    /// Octets.
    pub(super) size: u64,
    /// Of all of them.
    pub(super) crc32: u32,
    /// In a file of its own; otherwise in the store.
    pub(super) file: bool,
}

/// What is written at each settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProgressRecord {
    pub(super) progress: Vec<Progress>,
    pub(super) attempts: u32,
    pub(super) due: Wall,
    pub(super) delay_reported: bool,
    pub(super) orders: Orders,
    pub(super) deadline_reported: bool,
}

impl EnvelopeRecord {
    /// The octets for the store.
    pub(super) fn encode(&self, id: QueueId) -> Result<Vec<u8>, serde_json::Error> {
        let schema = EnvelopeSchema::from(self);
        let version = schema.version();
        frame((Kind::Envelope, version), id, &schema)
    }

    /// Reads them back.
    pub(super) fn decode(id: QueueId, octets: &[u8]) -> Result<Self, Corruption> {
        let (version, schema): (_, EnvelopeSchema) = unframe(Kind::Envelope, id, octets)?;
        let is_another = match version {
            1 | 2 => schema.is_of_version_3() || schema.version() > 3,
            version => schema.version() != version,
        };
        if is_another || (version == 1) != schema.trace.is_none() {
            return Err(Corruption::Schema);
        }
        Self::try_from(schema)
    }
}

impl ProgressRecord {
    /// The octets for the store.
    pub(super) fn encode(&self, id: QueueId) -> Result<Vec<u8>, serde_json::Error> {
        let schema = ProgressSchema::from(self);
        let version = if schema.is_of_version_2() { 2 } else { 1 };
        frame((Kind::Progress, version), id, &schema)
    }

    /// Reads them back.
    pub(super) fn decode(id: QueueId, octets: &[u8]) -> Result<Self, Corruption> {
        let (version, schema): (_, ProgressSchema) = unframe(Kind::Progress, id, octets)?;
        if version < 2 && schema.is_of_version_2() {
            return Err(Corruption::Schema);
        }
        Ok(schema.into())
    }

    /// What the index knows of a message with this progress.
    pub(super) fn waits(&self, envelope: &Envelope) -> Waits {
        let reported = (self.delay_reported, self.deadline_reported);
        Waits::of(envelope, &self.progress, self.due, reported.0, reported.1).under(&self.orders)
    }
}

/// Kind, version, checksum, JSON.
fn frame(
    (kind, version): (Kind, u8),
    id: QueueId,
    schema: &impl Serialize,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut octets = Vec::with_capacity(match kind {
        Kind::Envelope => ORDINARY_ENVELOPE,
        Kind::Progress => ORDINARY_PROGRESS,
    });
    octets.extend([kind.octet(), version, 0, 0, 0, 0]);
    serde_json::to_writer(&mut octets, schema)?;
    let crc = checksum(kind, version, id, octets.get(HEAD..).unwrap_or_default());
    if let Some(place) = octets.get_mut(2..HEAD) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    Ok(octets)
}

/// The other way, with the version; the checksum comes first, so that a flipped bit is never taken
/// for one.
fn unframe<T: for<'a> Deserialize<'a>>(
    kind: Kind,
    id: QueueId,
    octets: &[u8],
) -> Result<(u8, T), Corruption> {
    let (head, json) = octets
        .split_first_chunk::<HEAD>()
        .ok_or(Corruption::Checksum)?;
    let [found_kind, version, crc @ ..] = *head;
    if found_kind != kind.octet() {
        return Err(Corruption::Checksum);
    }
    if u32::from_le_bytes(crc) != checksum(kind, version, id, json) {
        return Err(Corruption::Checksum);
    }
    if version == 0 || version > kind.version() {
        return Err(Corruption::Version(version));
    }
    match serde_json::from_slice(json) {
        Ok(schema) => Ok((version, schema)),
        Err(_) => Err(Corruption::Schema),
    }
}

/// Over the id too: a record under another message's key is not taken for that message's.
fn checksum(kind: Kind, version: u8, id: QueueId, json: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind.octet(), version]);
    crc.update(&id.as_u128().to_be_bytes());
    crc.update(json);
    crc.finalize()
}

/// The envelope record, versions 1 to 5.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSchema {
    arrived: u64,
    reverse_path: String,
    verdict: VerdictSchema,
    /// Let in by what the recipient's side has declared; from version 3 on, and absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    declared: bool,
    /// Absent for our own reports.
    client: Option<ClientSchema>,
    body: BodySchema,
    smtputf8: bool,
    /// From version 3 on, and absent if nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<RequestsSchema>,
    recipients: Vec<ToSchema>,
    /// From version 4 on; in version 4 always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    /// In version 5 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<String>,
    /// From version 2 on.
    trace: Option<Box<str>>,
    content: ContentRecord,
}

impl EnvelopeSchema {
    /// The version that is written, from 3 on.
    const fn version(&self) -> u8 {
        if self.claim.is_some() {
            5
        } else if self.transaction.is_some() {
            4
        } else {
            3
        }
    }

    /// True if it has what no earlier version can have.
    fn is_of_version_3(&self) -> bool {
        let asks = |to: &ToSchema| matches!(to, ToSchema::Asking(_));
        self.declared || self.requests.is_some() || self.recipients.iter().any(asks)
    }
}

/// Who gave us a message.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSchema {
    address: IpAddr,
    helo: Box<str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum VerdictSchema {
    Authorised,
    Unknown,
    Repudiated,
    Tempfail,
}

#[derive(Serialize, Deserialize)]
enum BodySchema {
    #[serde(rename = "7bit")]
    SevenBit,
    #[serde(rename = "8bitmime")]
    EightBitMime,
}

/// The progress record, versions 1 and 2.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressSchema {
    attempts: u32,
    due: u64,
    delay_reported: bool,
    /// From version 2 on, and absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    held: bool,
    /// From version 2 on, and absent if it goes where its routes lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_hop: Option<Box<str>>,
    /// From version 2 on, and absent if not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    deadline_reported: bool,
    recipients: Vec<RecipientSchema>,
}

impl ProgressSchema {
    /// True if it has what no earlier version can have.
    const fn is_of_version_2(&self) -> bool {
        self.held || self.next_hop.is_some() || self.deadline_reported
    }
}

/// What became of one recipient: done with its outcome, or waiting with its last one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum RecipientSchema {
    Waiting(Option<OutcomeSchema>),
    Done(OutcomeSchema),
}

impl From<&EnvelopeRecord> for EnvelopeSchema {
    fn from(record: &EnvelopeRecord) -> Self {
        let envelope = &record.envelope;
        Self {
            arrived: record.arrived.as_millis(),
            reverse_path: envelope.reverse_path.to_string(),
            verdict: match envelope.verdict {
                VerdictResult::Authorised => VerdictSchema::Authorised,
                VerdictResult::Unknown => VerdictSchema::Unknown,
                VerdictResult::Repudiated => VerdictSchema::Repudiated,
                VerdictResult::Tempfail => VerdictSchema::Tempfail,
            },
            declared: envelope.clearance == Clearance::Declared,
            client: match &envelope.origin {
                Origin::Client { address, helo } => Some(ClientSchema {
                    address: *address,
                    helo: helo.clone(),
                }),
                Origin::Ourselves => None,
            },
            body: match envelope.body {
                BodyType::SevenBit => BodySchema::SevenBit,
                BodyType::EightBitMime => BodySchema::EightBitMime,
            },
            smtputf8: envelope.smtputf8,
            requests: (envelope.requests != Requests::default())
                .then(|| RequestsSchema::from(&envelope.requests)),
            recipients: envelope.recipients.iter().map(ToSchema::from).collect(),
            transaction: envelope.transaction.as_ref().map(ToString::to_string),
            claim: envelope.claim.as_ref().map(ToString::to_string),
            trace: Some(envelope.trace.clone()),
            content: record.content,
        }
    }
}

impl TryFrom<EnvelopeSchema> for EnvelopeRecord {
    type Error = Corruption;

    fn try_from(schema: EnvelopeSchema) -> Result<Self, Corruption> {
        let recipients: Result<Vec<_>, _> = schema
            .recipients
            .into_iter()
            .map(Recipient::try_from)
            .collect();
        Ok(Self {
            envelope: Envelope {
                reverse_path: ReversePath::parse_inside(&schema.reverse_path)
                    .map_err(|_| Corruption::Schema)?,
                verdict: match schema.verdict {
                    VerdictSchema::Authorised => VerdictResult::Authorised,
                    VerdictSchema::Unknown => VerdictResult::Unknown,
                    VerdictSchema::Repudiated => VerdictResult::Repudiated,
                    VerdictSchema::Tempfail => VerdictResult::Tempfail,
                },
                clearance: if schema.declared {
                    Clearance::Declared
                } else {
                    Clearance::Unneeded
                },
                origin: match schema.client {
                    Some(ClientSchema { address, helo }) => Origin::Client { address, helo },
                    None => Origin::Ourselves,
                },
                body: match schema.body {
                    BodySchema::SevenBit => BodyType::SevenBit,
                    BodySchema::EightBitMime => BodyType::EightBitMime,
                },
                smtputf8: schema.smtputf8,
                requests: schema.requests.map(Requests::from).unwrap_or_default(),
                recipients: recipients?,
                transaction: schema
                    .transaction
                    .map(|id| TransactionId::parse(&id).map_err(|_| Corruption::Schema))
                    .transpose()?,
                claim: schema
                    .claim
                    .map(|claim| Claim::parse(&claim).map_err(|_| Corruption::Schema))
                    .transpose()?,
                trace: schema.trace.unwrap_or_default(),
            },
            arrived: Wall::from_millis(schema.arrived),
            content: schema.content,
        })
    }
}

impl From<&ProgressRecord> for ProgressSchema {
    fn from(record: &ProgressRecord) -> Self {
        Self {
            attempts: record.attempts,
            due: record.due.as_millis(),
            delay_reported: record.delay_reported,
            held: record.orders.held,
            next_hop: record.orders.next_hop.clone(),
            deadline_reported: record.deadline_reported,
            recipients: record
                .progress
                .iter()
                .map(|progress| match progress {
                    Progress::Waiting(outcome) => {
                        RecipientSchema::Waiting(outcome.as_ref().map(OutcomeSchema::from))
                    }
                    Progress::Done(outcome) => RecipientSchema::Done(outcome.into()),
                })
                .collect(),
        }
    }
}

impl From<ProgressSchema> for ProgressRecord {
    fn from(schema: ProgressSchema) -> Self {
        Self {
            progress: schema
                .recipients
                .into_iter()
                .map(|recipient| match recipient {
                    RecipientSchema::Waiting(outcome) => {
                        Progress::Waiting(outcome.map(Outcome::from))
                    }
                    RecipientSchema::Done(outcome) => Progress::Done(outcome.into()),
                })
                .collect(),
            attempts: schema.attempts,
            due: Wall::from_millis(schema.due),
            delay_reported: schema.delay_reported,
            orders: Orders {
                held: schema.held,
                next_hop: schema.next_hop,
            },
            deadline_reported: schema.deadline_reported,
        }
    }
}

#[cfg(test)]
mod tests;
