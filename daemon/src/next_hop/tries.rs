//! The hosts of a next hop as one piece of work tries them: which of them, in their order, until a
//! session comes to be, and what it means if none does.
//!
//! Promises: at most [`ADDRESSES_AT_MOST`] of them are called, and none twice; where time is short each
//! that is left has an equal share of what is left of it, so that a host which swallows what it is
//! sent does not keep the next one from being tried (RFC 5321 §5.1).
//!
//! Left to others: what follows if none will do (the runner, or whoever holds a path).

use std::collections::{BTreeMap, VecDeque};

use tokio::time::timeout_at;
use vouchsafe_proto::outcome::{Diagnostic, Outcome, OutcomeClass, Remote};
use vouchsafe_proto::reply::EnhancedStatus;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

use super::{Reach, hosts};
use crate::clock;
use crate::config::Config;
use crate::log::Peer;
use crate::smtp_out::{self, Connection, Endpoint, Terms};

/// The hosts that are left for one piece of work, and what those said that are not.
pub struct Tries {
    /// Whose hosts they are.
    next_hop: NextHop,
    /// Not yet tried.
    left: VecDeque<Endpoint>,
    /// What it means if none is left.
    verdict: Option<Outcome>,
    /// The message may go under TLS only (RFC 8689).
    demands_tls: bool,
    /// See [`is_choosy`](Self::is_choosy).
    choosy: bool,
}

impl Tries {
    /// Looks up the hosts of the next hop that the message may have.
    pub async fn find(
        next_hop: &NextHop,
        reach: &Reach,
        config: &Config,
        demands_tls: bool,
    ) -> Self {
        let mut tries = Self {
            next_hop: next_hop.clone(),
            left: VecDeque::new(),
            verdict: None,
            demands_tls,
            choosy: false,
        };
        match hosts::of(next_hop, reach, config).await {
            Ok(all) if demands_tls => {
                let count = all.endpoints.len();
                let protected = hosts::protected(all.endpoints);
                tries.choosy = protected.len() < count;
                if protected.is_empty() {
                    tries.verdict = Some(hosts::unprotected(all.certain));
                }
                tries.left = those_tried(protected);
            }
            Ok(all) => tries.left = those_tried(all.endpoints),
            Err(outcome) => tries.verdict = Some(outcome),
        }
        tries
    }

    /// A session with the first of those left with which one comes to be, and by this moment if there
    /// is one.
    pub async fn open(
        &mut self,
        terms: &Terms,
        until: Option<Mono>,
    ) -> Result<Connection, Outcome> {
        while let Some(endpoint) = self.left.pop_front() {
            let opening = smtp_out::open(&endpoint, terms);
            let opened = match until {
                None => opening.await,
                Some(until) => {
                    let share = share(until, clock::mono(), self.left.len());
                    timeout_at(clock::instant(share), opening)
                        .await
                        .unwrap_or_else(|_| Err(too_slow(&endpoint)))
                }
            };
            match opened {
                Ok(connection) => {
                    tracing::info!(
                        next_hop = %self.next_hop,
                        remote = %Peer(&endpoint.remote.name),
                        address = endpoint.remote.address.map(tracing::field::display),
                        tls = connection.tls().unwrap_or("-"),
                        demanded = endpoint.requirement.name(),
                        "session with next hop"
                    );
                    return Ok(connection);
                }
                Err(outcome) => {
                    self.log_useless(&endpoint.remote, &outcome);
                    // A host that answered may do for others.
                    self.choosy |= self.demands_tls && outcome.status != NO_ANSWER;
                    self.failed(outcome);
                }
            }
        }
        Err(self.verdict.clone().unwrap_or_else(|| {
            Outcome::local((4, 4, 4), None, "the next hop has no host to be tried")
        }))
    }

    /// A session that came to be will not do for a message that may go under TLS only.
    pub async fn refuse(&mut self, connection: Connection, outcome: Outcome) {
        self.log_useless(connection.remote(), &outcome);
        connection.quit().await;
        self.choosy = true;
        self.failed(outcome);
    }

    /// None is left.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// A host was lost over a session that had come to be: it is not tried again.
    pub fn leave_out(&mut self, remote: &Remote, outcome: Outcome) {
        self.left.retain(|endpoint| endpoint.remote != *remote);
        self.failed(outcome);
    }

    /// The message had fewer hosts than others have, by what it demands: that none will do says
    /// nothing of the next hop.
    pub const fn is_choosy(&self) -> bool {
        self.choosy
    }

    /// One more of them is no use. A transient outcome is stronger than a permanent one, since
    /// that host may yet take the message; a reply tells more than our own words.
    pub fn failed(&mut self, outcome: Outcome) {
        let rank = |outcome: &Outcome| {
            (
                outcome.class == OutcomeClass::Transient,
                matches!(outcome.diagnostic, Diagnostic::Reply(_)),
            )
        };
        if self
            .verdict
            .as_ref()
            .is_none_or(|best| rank(&outcome) > rank(best))
        {
            self.verdict = Some(outcome);
        }
    }

    /// A host did not do.
    fn log_useless(&self, remote: &Remote, outcome: &Outcome) {
        tracing::info!(
            next_hop = %self.next_hop,
            remote = %Peer(&remote.name),
            address = remote.address.map(tracing::field::display),
            status = %outcome.status,
            diagnostic = %Peer(outcome.diagnostic.text()),
            "no session with this host"
        );
    }
}

/// Those of them that one attempt tries, in their order. Addresses of one host are likely to be
/// dead together, so they do not use up all the tries if there are other hosts.
fn those_tried(endpoints: Vec<Endpoint>) -> VecDeque<Endpoint> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in &endpoints {
        count.insert(endpoint.remote.name.clone(), 0);
    }
    let of_each = ADDRESSES_AT_MOST.div_ceil(count.len().clamp(1, ADDRESSES_AT_MOST));
    let mut chosen = VecDeque::from(endpoints);
    chosen.retain(|endpoint| {
        let nth = count.entry(endpoint.remote.name.clone()).or_default();
        *nth = nth.saturating_add(1);
        *nth <= of_each
    });
    chosen.truncate(ADDRESSES_AT_MOST);
    chosen
}

/// Until when a host has time that so many others are to share.
fn share(until: Mono, now: Mono, others: usize) -> Mono {
    let sharers = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    now.plus(until.since(now).checked_div(sharers).unwrap_or_default())
}

/// The host's share of the time was over.
fn too_slow(endpoint: &Endpoint) -> Outcome {
    let remote = Some(endpoint.remote.clone());
    let text = "no session in the time that there was";
    Outcome::local((4, 4, 1), remote, text)
}

/// No connection stands (RFC 3463 §3.5).
const NO_ANSWER: EnhancedStatus = EnhancedStatus::new(4, 4, 1);

/// Addresses tried in one attempt: at least two are due (RFC 5321 §5.1), and each dead one costs
/// the connect timeout.
const ADDRESSES_AT_MOST: usize = 5;

#[cfg(test)]
mod tests {
    use super::hosts::{Found, endpoints};
    use super::*;
    use vouchsafe_proto::smtp::deliver::Protocol;
    use vouchsafe_proto::tls_policy::Requirement;

    #[test]
    fn a_host_of_many_addresses_leaves_tries_to_the_others() {
        for (found, wanted) in [
            (&["a", "a", "a", "a", "a", "a"][..], &["a"; 5][..]),
            (&["a", "a", "a", "a", "a", "a", "b"], &["a", "a", "a", "b"]),
            (
                &["a", "a", "a", "b", "b", "b", "c", "c"],
                &["a", "a", "b", "b", "c"],
            ),
            (&["a", "b", "c", "d", "e", "f"], &["a", "b", "c", "d", "e"]),
            (&[], &[]),
        ] {
            let all = found.iter().map(|name| Found {
                name: format!("{name}.example"),
                address: "192.0.2.1".parse().unwrap(),
                requirement: Requirement::Opportunistic,
                secure: false,
            });
            let chosen = those_tried(endpoints(all.collect(), 25, Protocol::Smtp));
            let names = chosen.iter().map(|each| each.remote.name.chars().next());
            let wanted = wanted.iter().map(|name| name.chars().next());
            assert!(names.eq(wanted), "{found:?}");
        }
    }

    #[test]
    fn what_is_left_of_the_time_is_shared_by_those_left() {
        let at = Mono::from_millis;
        for (until, now, others, wanted) in [
            (1_000, 0, 0, 1_000),
            (1_000, 0, 3, 250),
            (1_000, 900, 1, 950),
            (1_000, 1_500, 1, 1_500),
        ] {
            assert_eq!(share(at(until), at(now), others), at(wanted));
        }
    }
}
