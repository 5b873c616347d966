//! How many held transactions there may be: in all, to one next hop, for one client.
//!
//! A path that is held open keeps a session and a place at its next hop for as long as the slowest of
//! both takes. Over a cap nothing is refused here: the path is not held, and the 250 rule says what
//! becomes of the message.
//!
//! Promises: a [`Permit`] is held by every held transaction for as long as it lives, so the counts are
//! exact whatever ends it, a panic included; nobody waits here; whom nobody holds a path to, or for, has
//! no entry.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vouchsafe_proto::route::NextHop;

use crate::limits::{SessionCaps, counted_as};

/// How many transactions may be held at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCaps {
    /// Over all clients: half of the sessions, so that paths that do not move leave the other half to
    /// mail that can be stored.
    pub total: usize,
    /// To one next hop: three quarters of these, so that one which is slow does not keep the paths to all
    /// others from being held.
    pub per_next_hop: usize,
    /// For one client: half of its sessions, rounded up. One that trickles its content keeps places of
    /// next hops, which are scarcer than ours.
    pub per_client: usize,
}

impl HeldCaps {
    /// What follows from a client's caps on sessions. The last places that sessions keep for the site's
    /// own clients are theirs here too.
    pub const fn of(sessions: SessionCaps) -> Self {
        let total = sessions.total.saturating_sub(sessions.kept) / 2;
        Self {
            total,
            per_next_hop: total - total / 4,
            // Without a cap there stays none worth the name.
            per_client: sessions.per_client.div_ceil(2),
        }
    }
}

/// Why a path is not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Over {
    /// As many as there may be.
    #[error("too many held transactions")]
    Total,
    /// As many as this next hop may have.
    #[error("too many held transactions to this next hop")]
    PerNextHop,
    /// As many as this client may have.
    #[error("too many held transactions from this client")]
    PerClient,
}

impl Over {
    /// Which limit it is, for the figures.
    pub const fn limit(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::PerNextHop => "next_hop",
            Self::PerClient => "client",
        }
    }
}

/// Who counts them; clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Caps(Arc<Mutex<Count>>);

/// Transactions that are held.
#[derive(Debug, Default)]
struct Count {
    /// Over all.
    total: usize,
    /// By next hop: branches, of which one transaction has but one to each.
    next_hops: HashMap<NextHop, usize>,
    /// By client.
    clients: HashMap<IpAddr, usize>,
}

/// The right to hold one transaction; giving it back is dropping it.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts no transaction"]
pub struct Permit {
    /// Where it counts.
    caps: Caps,
    /// For whom.
    client: IpAddr,
    /// Where its branches lead.
    next_hops: Vec<NextHop>,
    /// What it may take.
    limits: HeldCaps,
}

impl Caps {
    /// Leave to hold a transaction of `client` to its first next hop, or why not.
    pub fn take(
        &self,
        next_hop: &NextHop,
        client: IpAddr,
        limits: HeldCaps,
    ) -> Result<Permit, Over> {
        let client = counted_as(client);
        let mut count = self.count();
        if count.total >= limits.total {
            return Err(Over::Total);
        }
        if number(&count.clients, &client) >= limits.per_client {
            return Err(Over::PerClient);
        }
        if number(&count.next_hops, next_hop) >= limits.per_next_hop {
            return Err(Over::PerNextHop);
        }
        count.total = count.total.saturating_add(1);
        one_more(&mut count.clients, client);
        one_more(&mut count.next_hops, next_hop.clone());
        drop(count);
        Ok(Permit {
            caps: self.clone(),
            client,
            next_hops: vec![next_hop.clone()],
            limits,
        })
    }

    /// Transactions that are held now.
    pub fn held(&self) -> usize {
        self.count().total
    }

    /// The counts. A panic elsewhere cannot leave them half changed, so poison means nothing.
    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Leave for one more branch of the same transaction, or why not. One to a next hop that it leads to
    /// already is none more.
    pub fn branch(&mut self, next_hop: &NextHop) -> Result<(), Over> {
        if self.next_hops.contains(next_hop) {
            return Ok(());
        }
        let mut count = self.caps.count();
        if number(&count.next_hops, next_hop) >= self.limits.per_next_hop {
            return Err(Over::PerNextHop);
        }
        one_more(&mut count.next_hops, next_hop.clone());
        self.next_hops.push(next_hop.clone());
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut count = self.caps.count();
        count.total = count.total.saturating_sub(1);
        one_less(&mut count.clients, &self.client);
        for next_hop in &self.next_hops {
            one_less(&mut count.next_hops, next_hop);
        }
    }
}

/// How many there are under a key.
fn number<Key: Eq + Hash>(counts: &HashMap<Key, usize>, key: &Key) -> usize {
    counts.get(key).copied().unwrap_or(0)
}

/// One more under a key.
fn one_more<Key: Eq + Hash>(counts: &mut HashMap<Key, usize>, key: Key) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

/// One less; a key without any goes.
fn one_less<Key: Eq + Hash>(counts: &mut HashMap<Key, usize>, key: &Key) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn hop(name: &str) -> NextHop {
        NextHop::parse(&format!("smtp://{name}:25")).unwrap()
    }

    const LIMITS: HeldCaps = HeldCaps {
        total: 4,
        per_next_hop: 3,
        per_client: 2,
    };

    #[test]
    fn caps_hold_and_a_permit_that_is_dropped_makes_room() {
        let caps = Caps::default();
        let (a, b) = (hop("a.example"), hop("b.example"));
        let take = |hop: &NextHop, client: &str| caps.take(hop, ip(client), LIMITS);
        let first = take(&a, "2001:db8::1").unwrap();
        let _second = take(&a, "2001:db8::2").unwrap();
        // The same /64.
        assert_eq!(take(&b, "2001:db8::3").unwrap_err(), Over::PerClient);
        let third = take(&a, "192.0.2.2").unwrap();
        assert_eq!(take(&a, "192.0.2.3").unwrap_err(), Over::PerNextHop);
        let _fourth = take(&b, "192.0.2.4").unwrap();
        assert_eq!(take(&b, "192.0.2.5").unwrap_err(), Over::Total);
        assert_eq!(caps.held(), 4);
        drop(third);
        let _fifth = take(&a, "192.0.2.5").unwrap();
        drop(first);
        let _sixth = take(&a, "2001:db8::3").unwrap();
    }

    #[test]
    fn every_branch_counts_at_its_next_hop_and_once_in_all() {
        let caps = Caps::default();
        let (a, b) = (hop("a.example"), hop("b.example"));
        let mut first = caps.take(&a, ip("192.0.2.1"), LIMITS).unwrap();
        first.branch(&b).unwrap();
        first.branch(&a).unwrap();
        first.branch(&b).unwrap();
        assert_eq!(caps.held(), 1);
        let others = ["192.0.2.2", "192.0.2.3"];
        let _others = others.map(|client| caps.take(&b, ip(client), LIMITS).unwrap());
        let mut last = caps.take(&a, ip("192.0.2.4"), LIMITS).unwrap();
        assert_eq!(last.branch(&b), Err(Over::PerNextHop));
        drop(first);
        last.branch(&b).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_what_has_ended() {
        let caps = Caps::default();
        let mut permit = caps.take(&hop("a.example"), ip("::1"), LIMITS).unwrap();
        permit.branch(&hop("b.example")).unwrap();
        drop(permit);
        let count = caps.count();
        assert!(count.total == 0 && count.clients.is_empty() && count.next_hops.is_empty());
    }

    #[test]
    fn they_follow_from_the_caps_on_sessions() {
        for (sessions, wanted) in [
            (SessionCaps::of_house(1_000), (500, 375, usize::MAX / 2 + 1)),
            (SessionCaps::of_stranger(1_000, 15), (475, 357, 8)),
            (SessionCaps::of_stranger(2, 1), (1, 1, 1)),
            (SessionCaps::of_stranger(1, 1), (0, 0, 1)),
        ] {
            let caps = HeldCaps::of(sessions);
            assert_eq!((caps.total, caps.per_next_hop, caps.per_client), wanted);
        }
    }
}
