//! What the operator says, and what he is shown; and what is heard of a next hop from elsewhere.
//!
//! A frozen lane has the limit 0, whatever is known of its next hop. Attempts in hand come to their
//! end.

use std::collections::BTreeSet;

use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Lane, Lease};

use super::super::conclusion::Tally;
use super::{Action, Given, Schedule};

/// Why nothing goes from a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// The lane.
    pub lane: Lane,
    /// The operator has frozen it.
    pub frozen: bool,
    /// Its next hop, when that cannot be reached, with what was seen there.
    pub unreached: Option<(String, Outcome)>,
    /// When one is tried again; none if it is frozen.
    pub until: Option<Wall>,
}

impl Schedule {
    /// Next hops of these lanes are worth a try, whatever was seen of them.
    pub(in crate::runner) fn let_go(&mut self, lanes: &BTreeSet<Lane>, given: &Given<'_>) {
        let named = self.destinations.iter().filter(|(_, destination)| {
            destination.reach.shut_until(given.now.mono).is_some()
                && destination.lanes.keys().any(|lane| lanes.contains(lane))
        });
        let named: Vec<_> = named.map(|(next_hop, _)| next_hop.clone()).collect();
        for next_hop in &named {
            if let Some(destination) = self.destinations.get_mut(next_hop) {
                destination.reach.forget();
                destination.seen = None;
            }
            self.tell(next_hop, given);
            self.forget(next_hop, given);
        }
    }

    /// A next hop has answered somebody else. True if something was held back for it, and one may go now.
    pub(in crate::runner) fn answers_others(
        &mut self,
        next_hop: &NextHop,
        given: &Given<'_>,
    ) -> bool {
        let Some(destination) = self.destinations.get_mut(next_hop) else {
            return false;
        };
        let is_news = destination.reach.answers_others(given.now.mono);
        if is_news {
            self.tell(next_hop, given);
        }
        is_news
    }

    /// These lanes are frozen from now on, and no others.
    pub(in crate::runner) fn freeze(&mut self, lanes: BTreeSet<Lane>, given: &Given<'_>) {
        let before = std::mem::replace(&mut self.frozen, lanes);
        for lane in self.frozen.difference(&before) {
            self.actions.push(Action::Limit(lane.clone(), Some(0)));
        }
        for lane in before.difference(&self.frozen) {
            self.actions.push(Action::Limit(lane.clone(), None));
        }
        // What the next hops' own state says of these lanes is told anew.
        let changed: BTreeSet<_> = self.frozen.symmetric_difference(&before).cloned().collect();
        let mut named = Vec::new();
        for (next_hop, destination) in &mut self.destinations {
            for (lane, told) in &mut destination.lanes {
                if changed.contains(lane) {
                    *told = if self.frozen.contains(lane) {
                        Some(0)
                    } else {
                        None
                    };
                    named.push(next_hop.clone());
                }
            }
        }
        for next_hop in &named {
            self.tell(next_hop, given);
        }
    }

    /// The lanes from which nothing goes, and why.
    pub(in crate::runner) fn held_back(&self, given: &Given<'_>) -> Vec<HeldBack> {
        let mut all: Vec<_> = Vec::new();
        let mut frozen = self.frozen.clone();
        for (next_hop, destination) in &self.destinations {
            let until = destination.reach.shut_until(given.now.mono);
            let until = until.map(|until| given.now.wall.plus(until.since(given.now.mono)));
            for lane in destination.lanes.keys() {
                let is_frozen = self.frozen.contains(lane);
                if until.is_none() && !is_frozen {
                    continue;
                }
                frozen.remove(lane);
                let seen = destination.seen.clone().filter(|_| until.is_some());
                all.push(HeldBack {
                    lane: lane.clone(),
                    frozen: is_frozen,
                    unreached: seen.map(|seen| (next_hop.to_string(), seen)),
                    until: until.filter(|_| !is_frozen),
                });
            }
        }
        all.extend(frozen.into_iter().map(|lane| HeldBack {
            lane,
            frozen: true,
            unreached: None,
            until: None,
        }));
        all
    }

    /// What is noted of a recipient that is not to be tried by the operator's word; `None` for all
    /// others. What he has sent another way does not stand in its domain's lane.
    pub(super) fn stays_here(&self, lease: &Lease, recipient: &Recipient) -> Option<Tally> {
        let orders = &lease.entry().orders;
        let lane = Lane::of(&recipient.path);
        let text = if orders.held {
            "the operator of this server holds the message"
        } else if orders.next_hop.is_none() && self.frozen.contains(&lane) {
            "the operator of this server holds all mail for this domain"
        } else {
            return None;
        };
        if !lease.is_overdue() {
            return Some(Tally::Untouched);
        }
        Some(Tally::Unreached {
            outcome: Outcome::local((4, 3, 2), None, text),
            next_hop: None,
        })
    }
}
