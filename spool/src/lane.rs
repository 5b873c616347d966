//! Lanes: what a message waits for, so that one destination's trouble is nobody else's.
//!
//! A lane is the domain of recipients that are not done. A message with recipients of several
//! domains stands in several lanes; its lease is one all the same, and takes it out of all of them.
//! Routing is by domain, so whatever holds one message of a lane back holds back all of it.

use std::fmt;
use std::sync::Arc;

use vouchsafe_proto::addr::{ForwardPath, MailDomain};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::retry::Horizon;
use vouchsafe_proto::time::Wall;

use crate::{Orders, Progress};

/// The domain that a message waits for: A-labels in lower case, an address in brackets, or nothing
/// for the bare postmaster. A message that an operator has sent another way stands in the lane of
/// that next hop instead, whose name has a colon outside brackets, as no domain's has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(Arc<str>);

impl Lane {
    /// The lane of one recipient.
    pub fn of(recipient: &ForwardPath) -> Self {
        let ForwardPath::Mailbox(mailbox) = recipient else {
            return Self(Arc::default());
        };
        match &mailbox.domain {
            MailDomain::Name(domain) => Self(domain.as_ascii().into()),
            MailDomain::Literal(address) => Self(format!("[{address}]").into()),
            MailDomain::Unusable(text) => Self(text.to_lowercase().into()),
        }
    }

    /// The lane of messages that an operator has sent to this next hop.
    pub fn of_next_hop(next_hop: &str) -> Self {
        Self(next_hop.into())
    }

    /// The lane of a domain as an operator writes it; `None` for what is none.
    pub fn of_domain(text: &str) -> Option<Self> {
        let recipient = ForwardPath::parse_inside(&format!("postmaster@{text}")).ok()?;
        Some(Self::of(&recipient))
    }

    /// True for the lane of a next hop.
    pub fn is_of_next_hop(&self) -> bool {
        !self.0.starts_with('[') && self.0.contains(':')
    }

    /// The lane of that name: what [`Lane::as_str`] gave.
    pub(crate) fn named(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name, for logs and listings.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a queue knows of a message that waits: for engines, which keep nothing else of it in
/// memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// The lanes of the recipients that are not done, and when each is due; each lane once.
    pub lanes: Vec<(Lane, Wall)>,
    /// The `delayed` report has been made.
    pub delay_reported: bool,
    /// It is not tried until it is released.
    pub held: bool,
    /// What it takes of the disk. Not kept on disk.
    pub octets: u64,
    /// When the time is over that the sender has set (DELIVERBY), until what it asks for then has
    /// been done.
    pub deadline: Option<Wall>,
}

impl Waits {
    /// From what is recorded: all lanes are due at `due`. A message that nobody waits for stands in
    /// the lane of its first recipient, so that it is leased and leaves.
    pub fn of(
        envelope: &Envelope,
        progress: &[Progress],
        due: Wall,
        delay_reported: bool,
        deadline_reported: bool,
    ) -> Self {
        let mut lanes: Vec<(Lane, Wall)> = Vec::with_capacity(1);
        let mut first = None;
        for (index, recipient) in envelope.recipients.iter().enumerate() {
            if progress.get(index).is_none_or(Progress::is_waiting) {
                lanes.push((Lane::of(&recipient.path), due));
            } else if first.is_none() {
                first = Some(recipient);
            }
        }
        if lanes.is_empty() {
            lanes.extend(first.map(|recipient| (Lane::of(&recipient.path), due)));
        }
        lanes.sort_unstable();
        lanes.dedup();
        let by = envelope.requests.deliver_by;
        Self {
            lanes,
            delay_reported,
            held: false,
            octets: 0,
            deadline: by.filter(|_| !deadline_reported).map(|by| by.deadline),
        }
    }

    /// As an operator has ordered: with another next hop it stands in the lane of that one alone.
    #[must_use]
    pub fn under(mut self, orders: &Orders) -> Self {
        self.held = orders.held;
        if let Some(next_hop) = &orders.next_hop {
            let due = self.lanes.iter().map(|(_, due)| *due).min();
            self.lanes = vec![(Lane::of_next_hop(next_hop), due.unwrap_or_default())];
        }
        self
    }

    /// With other times for some of the lanes.
    #[must_use]
    pub fn with(mut self, others: &[(Lane, Wall)]) -> Self {
        for (lane, due) in &mut self.lanes {
            if let Some((_, other)) = others.iter().find(|(other, _)| other == lane) {
                *due = *other;
            }
        }
        self
    }
}

/// What [`crate::Spool::lease`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Messages that are due, from lanes that are not held back.
    pub due: usize,
    /// Messages whose sender is to hear by now, whatever their lanes are held back for.
    pub overdue: usize,
    /// Leases at the same time in a lane for which [`crate::Spool::limit`] said nothing.
    pub per_lane: usize,
    /// When a sender is to hear; without it no message is overdue.
    pub horizon: Option<Horizon>,
}

impl Ask {
    /// Up to so many of what is due, without any other limit.
    pub const fn up_to(due: usize) -> Self {
        Self {
            due,
            overdue: 0,
            per_lane: usize::MAX,
            horizon: None,
        }
    }
}

/// One lane, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEntry {
    /// Which.
    pub lane: Lane,
    /// Messages in it that are neither leased nor held.
    pub waiting: usize,
    /// Messages in it that an operator holds.
    pub held: usize,
    /// Messages in it that are.
    pub leased: usize,
    /// When the longest due of those that wait is, or was, due.
    pub due: Option<Wall>,
    /// When the oldest of all of them arrived.
    pub oldest: Option<Wall>,
    /// What they take of the disk.
    pub octets: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::addr::ReversePath;
    use vouchsafe_proto::envelope::Origin;
    use vouchsafe_proto::outcome::Outcome;
    use vouchsafe_proto::verify::VerdictResult;

    #[test]
    fn a_lane_is_the_domain_whatever_its_form() {
        for (recipient, lane) in [
            ("b@Example.ORG", "example.org"),
            ("b@bücher.example", "xn--bcher-kva.example"),
            ("b@[192.0.2.1]", "[192.0.2.1]"),
            ("postmaster", ""),
        ] {
            let recipient = ForwardPath::parse_inside(recipient).unwrap();
            assert_eq!(Lane::of(&recipient).as_str(), lane);
        }
    }

    #[test]
    fn lanes_are_those_of_the_waiting_each_once() {
        let all = ["a@one.example", "b@two.example", "c@one.example"];
        let all: Vec<_> = all
            .iter()
            .map(|one| ForwardPath::parse_inside(one).unwrap())
            .collect();
        let envelope = Envelope::plain(
            ReversePath::Null,
            VerdictResult::Unknown,
            Origin::Ourselves,
            all.clone(),
        );
        let done = Progress::Done(Outcome::local((2, 0, 0), None, "delivered"));
        let waiting = Progress::Waiting(None);
        let at = Wall::from_secs;
        let names = |waits: Waits| -> Vec<(String, Wall)> {
            let lanes = waits.lanes.into_iter();
            lanes.map(|(lane, due)| (lane.to_string(), due)).collect()
        };
        let of = |progress: &[Progress]| Waits::of(&envelope, progress, at(5), false, false);
        let both = of(&[waiting.clone(), waiting.clone(), waiting.clone()]);
        let later = both.with(&[(Lane::of(&all[1]), at(9))]);
        assert_eq!(
            names(later),
            [("one.example".into(), at(5)), ("two.example".into(), at(9))]
        );
        let two = of(&[done.clone(), waiting, done.clone()]);
        assert_eq!(names(two), [("two.example".into(), at(5))]);
        let nobody = of(&[done.clone(), done.clone(), done]);
        assert_eq!(names(nobody), [("one.example".into(), at(5))]);
    }
}
