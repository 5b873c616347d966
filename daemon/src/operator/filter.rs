//! Which messages an operator means: all that every given condition holds for.

use serde::{Deserialize, Serialize};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, Lane, Progress};

use super::{Views, lanes_of};

/// The conditions. Absent ones hold for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// A recipient that is not done with is of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// It came at least so many seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// It came less than so many seconds ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub younger_than: Option<u64>,
    /// Its reverse-path: an address; `@domain` for all of a domain; `<>` for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// A part of what was last said of a waiting recipient, or is seen of where it goes; in either
    /// case of letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// An operator holds it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
}

impl Filter {
    /// True if there is no condition.
    pub fn means_all(&self) -> bool {
        *self == Self::default()
    }

    /// The lane of the domain, if one is given.
    pub fn lane(&self) -> Option<Lane> {
        self.domain.as_deref().and_then(Lane::of_domain)
    }

    /// What is wrong with it, if anything is.
    pub fn mistake(&self) -> Option<String> {
        if let Some(domain) = &self.domain
            && self.lane().is_none()
        {
            return Some(format!("{domain:?} is no domain"));
        }
        let wrong = self
            .ids
            .iter()
            .find(|id| id.parse::<vouchsafe_proto::queue_id::QueueId>().is_err());
        wrong.map(|id| format!("{id:?} is no queue id"))
    }

    /// True if it means this message.
    pub fn means(&self, entry: &Entry, views: &Views, now: Wall) -> bool {
        let age = now.since(entry.arrived).as_secs();
        (!self.held || entry.orders.held)
            && self.older_than.is_none_or(|least| age >= least)
            && self.younger_than.is_none_or(|most| age < most)
            && (self.ids.is_empty() || self.ids.iter().any(|id| *id == entry.id.to_string()))
            && self.is_from(entry)
            && self.is_to(entry)
            && self.is_why(entry, views)
    }

    fn is_from(&self, entry: &Entry) -> bool {
        let Some(sender) = &self.sender else {
            return true;
        };
        let from = entry.envelope.reverse_path.to_string().to_lowercase();
        let sender = sender.to_lowercase();
        let sender = sender.trim_start_matches('<').trim_end_matches('>');
        if sender.starts_with('@') {
            from.ends_with(sender)
        } else {
            from == sender
        }
    }

    fn is_to(&self, entry: &Entry) -> bool {
        if self.domain.is_none() {
            return true;
        }
        let lane = self.lane();
        let all = entry.envelope.recipients.iter().zip(&entry.progress);
        let mut waiting = all.filter(|(_, progress)| progress.is_waiting());
        waiting.any(|(recipient, _)| Some(Lane::of(&recipient.path)) == lane)
    }

    fn is_why(&self, entry: &Entry, views: &Views) -> bool {
        let Some(reason) = &self.reason else {
            return true;
        };
        let reason = reason.to_lowercase();
        let said = entry.progress.iter().filter_map(|progress| match progress {
            Progress::Waiting(Some(outcome)) => Some(outcome.diagnostic.text().to_lowercase()),
            _ => None,
        });
        let lanes = lanes_of(entry);
        let seen = lanes.iter().filter_map(|lane| {
            let (_, outcome) = views.of(lane)?.unreached.as_ref()?;
            Some(outcome.diagnostic.text().to_lowercase())
        });
        said.chain(seen).any(|text| text.contains(&reason))
    }
}
