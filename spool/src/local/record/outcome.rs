//! What became of a recipient, as it stands in a progress record of any version.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::outcome::{Diagnostic, Onward, Outcome, OutcomeClass, Remote};
use vouchsafe_proto::reply::EnhancedStatus;

/// It.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeSchema {
    class: ClassSchema,
    status: (u8, u16, u16),
    remote: Option<RemoteSchema>,
    diagnostic: DiagnosticSchema,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClassSchema {
    Delivered,
    Transient,
    Permanent,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteSchema {
    name: String,
    address: Option<IpAddr>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DiagnosticSchema {
    Reply(String),
    Local(String),
}

impl From<&Outcome> for OutcomeSchema {
    fn from(outcome: &Outcome) -> Self {
        let EnhancedStatus {
            class,
            subject,
            detail,
        } = outcome.status;
        Self {
            class: match outcome.class {
                OutcomeClass::Delivered => ClassSchema::Delivered,
                OutcomeClass::Transient => ClassSchema::Transient,
                OutcomeClass::Permanent => ClassSchema::Permanent,
            },
            status: (class, subject, detail),
            remote: outcome.remote.as_ref().map(|remote| RemoteSchema {
                name: remote.name.clone(),
                address: remote.address,
            }),
            diagnostic: match &outcome.diagnostic {
                Diagnostic::Reply(text) => DiagnosticSchema::Reply(text.clone()),
                Diagnostic::Local(text) => DiagnosticSchema::Local(text.clone()),
            },
        }
    }
}

impl From<OutcomeSchema> for Outcome {
    fn from(schema: OutcomeSchema) -> Self {
        let (class, subject, detail) = schema.status;
        Self {
            class: match schema.class {
                ClassSchema::Delivered => OutcomeClass::Delivered,
                ClassSchema::Transient => OutcomeClass::Transient,
                ClassSchema::Permanent => OutcomeClass::Permanent,
            },
            status: EnhancedStatus::new(class, subject, detail),
            remote: schema.remote.map(|remote| Remote {
                name: remote.name,
                address: remote.address,
            }),
            diagnostic: match schema.diagnostic {
                DiagnosticSchema::Reply(text) => Diagnostic::Reply(text),
                DiagnosticSchema::Local(text) => Diagnostic::Local(text),
            },
            onward: Onward::default(),
        }
    }
}
