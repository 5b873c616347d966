//! What MAIL and RCPT asked for, as it stands in an envelope record of version 3.

use serde::{Deserialize, Serialize};
use vouchsafe_proto::addr::ForwardPath;
use vouchsafe_proto::envelope::{
    ByMode, DeliverBy, Notify, OriginalRecipient, Recipient, Requests, Ret,
};
use vouchsafe_proto::time::Wall;

use crate::local::recover::Corruption;

/// What MAIL asked for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestsSchema {
    ret: Option<RetSchema>,
    envid: Option<Box<str>>,
    deliver_by: Option<DeliverBySchema>,
    require_tls: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RetSchema {
    Full,
    Headers,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeliverBySchema {
    deadline: u64,
    mode: ByModeSchema,
    trace: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ByModeSchema {
    Notify,
    Return,
}

/// A recipient: its path alone, or with what was asked.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum ToSchema {
    Plain(String),
    Asking(AskingSchema),
}

/// A recipient with NOTIFY, ORCPT or both.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskingSchema {
    path: String,
    /// The words of NOTIFY; empty for NEVER.
    notify: Option<Vec<NotifySchema>>,
    /// ORCPT: type and address.
    original: Option<(Box<str>, Box<str>)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NotifySchema {
    Success,
    Failure,
    Delay,
}

impl From<&Requests> for RequestsSchema {
    fn from(requests: &Requests) -> Self {
        Self {
            ret: requests.ret.map(|ret| match ret {
                Ret::Full => RetSchema::Full,
                Ret::Headers => RetSchema::Headers,
            }),
            envid: requests.envid.clone(),
            deliver_by: requests.deliver_by.map(|by| DeliverBySchema {
                deadline: by.deadline.as_millis(),
                mode: match by.mode {
                    ByMode::Notify => ByModeSchema::Notify,
                    ByMode::Return => ByModeSchema::Return,
                },
                trace: by.trace,
            }),
            require_tls: requests.require_tls,
        }
    }
}

impl From<RequestsSchema> for Requests {
    fn from(schema: RequestsSchema) -> Self {
        Self {
            ret: schema.ret.map(|ret| match ret {
                RetSchema::Full => Ret::Full,
                RetSchema::Headers => Ret::Headers,
            }),
            envid: schema.envid,
            deliver_by: schema.deliver_by.map(|by| DeliverBy {
                deadline: Wall::from_millis(by.deadline),
                mode: match by.mode {
                    ByModeSchema::Notify => ByMode::Notify,
                    ByModeSchema::Return => ByMode::Return,
                },
                trace: by.trace,
            }),
            require_tls: schema.require_tls,
        }
    }
}

impl From<&Recipient> for ToSchema {
    fn from(recipient: &Recipient) -> Self {
        let path = recipient.path.to_string();
        if recipient.notify.is_none() && recipient.original.is_none() {
            return Self::Plain(path);
        }
        let words = |notify: Notify| match notify {
            Notify::Never => Vec::new(),
            Notify::On {
                success,
                failure,
                delay,
            } => [
                (success, NotifySchema::Success),
                (failure, NotifySchema::Failure),
                (delay, NotifySchema::Delay),
            ]
            .into_iter()
            .filter_map(|(wanted, word)| wanted.then_some(word))
            .collect(),
        };
        Self::Asking(AskingSchema {
            path,
            notify: recipient.notify.map(words),
            original: recipient
                .original
                .as_ref()
                .map(|original| (original.address_type.clone(), original.address.clone())),
        })
    }
}

impl TryFrom<ToSchema> for Recipient {
    type Error = Corruption;

    fn try_from(schema: ToSchema) -> Result<Self, Corruption> {
        let (path, notify, original) = match schema {
            ToSchema::Plain(path) => (path, None, None),
            ToSchema::Asking(asking) => (asking.path, asking.notify, asking.original),
        };
        let has = |words: &[NotifySchema], word| words.contains(&word);
        Ok(Self {
            path: ForwardPath::parse_inside(&path).map_err(|_| Corruption::Schema)?,
            notify: notify.map(|words| match words.as_slice() {
                [] => Notify::Never,
                words => Notify::On {
                    success: has(words, NotifySchema::Success),
                    failure: has(words, NotifySchema::Failure),
                    delay: has(words, NotifySchema::Delay),
                },
            }),
            original: original.map(|(address_type, address)| OriginalRecipient {
                address_type,
                address,
            }),
        })
    }
}
