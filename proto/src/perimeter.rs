//! Which of our own outer hosts the DNS leads to (PROTOCOLS A.4): hosts that are configured by
//! name, every MX of every local domain, and the border relays in the local domains' own MAIL-FROM
//! sets. A plain value under the drain contract: it says what to ask, and takes answers in.
//!
//! # How it works
//!
//! What is wanted is a function of the names to start from and of the last good answers: from the
//! names to their addresses, from a domain to its MX set and from there to its hosts, from a
//! MAIL-FROM set to its hosts and groups. What nothing leads to any more is forgotten.
//!
//! # What it promises
//!
//! An answer that says nothing (trouble, a loop of aliases) leaves the last good one in force. What
//! has never been answered well is *missing* if a host of ours may stand behind it: whoever would
//! reject a client for being outside must not, as long as something is (draft §1.6). A domain
//! without MX is no such hole. Each name is asked about at most once a minute.
//!
//! # What it leaves to others
//!
//! Asking; networks and addresses that need no question; what being inside means.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use crate::addr::Domain;
use crate::dns::{Answer, Freshness, Lookup, Mx, Name, Question, RecordType, Records, Trouble};
use crate::mx::MAX_EXCHANGES;
use crate::time::Mono;
use crate::verify::mail_from::budget::{MAX_DEPTH, MAX_HOSTS, MAX_SETS};

/// A name is asked about at most this often, so that a short TTL costs one question a minute; after
/// trouble it is asked about again after this time.
pub const MIN_REFRESH: Duration = Duration::from_mins(1);

/// A name is asked about again after this at the latest, however long its TTL.
pub const MAX_REFRESH: Duration = Duration::from_hours(1);

/// Addresses taken of one name: no host of ours has more, and an answer over TCP can hold thousands.
const MAX_ADDRESSES: usize = 100;

/// The label under which a domain publishes its border relays.
const MAIL_FROM: &str = "mail-from";

/// The hosts.
#[derive(Debug, Default)]
pub struct Hosts {
    /// Hosts that were configured by name.
    names: Vec<Name>,
    /// The local domains, unless they do not count.
    domains: Vec<Name>,
    /// What is wanted, and what is known of it.
    wanted: BTreeMap<Key, Known>,
    /// The addresses that all of it leads to.
    addresses: BTreeSet<IpAddr>,
}

/// One question, as far as answers to it are kept apart.
type Key = (Name, RecordType);

/// What is known of a question.
#[derive(Clone, Debug, Default)]
struct Known {
    /// What not knowing it would mean.
    stake: Stake,
    /// The last answer that says something.
    good: Option<Good>,
    /// It is being asked.
    open: bool,
    /// When to ask again.
    due: Mono,
}

/// What not knowing a name would mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stake {
    /// Nothing that others' mistakes should be able to hold up.
    #[default]
    None,
    /// A host of ours may stand behind it.
    Ours,
    /// Somebody here wrote it down.
    Named,
}

/// An answer that says something; nothing there is something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Good {
    Addresses(Vec<IpAddr>),
    Exchanges(Vec<Mx>),
}

impl Hosts {
    /// Starts from these names and local domains; what stays keeps what it led to.
    pub fn configure<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a Domain>,
        domains: impl IntoIterator<Item = &'a Domain>,
    ) {
        self.names = names.into_iter().map(Name::from).collect();
        self.domains = domains.into_iter().map(Name::from).collect();
        self.follow();
    }

    /// True for the address of one of the hosts.
    pub fn contains(&self, client: IpAddr) -> bool {
        self.addresses.contains(&client)
    }

    /// A name behind which a host of ours may stand, and about which nothing is known.
    pub fn missing(&self) -> Option<(&Name, RecordType)> {
        let mut wanted = self.wanted.iter();
        wanted.find_map(|((name, kind), known)| {
            (known.stake > Stake::None && known.good.is_none()).then_some((name, *kind))
        })
    }

    /// The questions that are due, at most `room` of them. Each must be answered by
    /// [`Hosts::take`] before it is asked again.
    pub fn ask(&mut self, now: Mono, room: usize) -> Vec<Question> {
        let due = self
            .wanted
            .iter_mut()
            .filter(|(_, known)| !known.open && known.due <= now)
            .take(room);
        due.map(|((name, kind), known)| {
            known.open = true;
            Question {
                name: name.clone(),
                kind: *kind,
                freshness: Freshness::Cached,
            }
        })
        .collect()
    }

    /// When [`Hosts::ask`] will next have a question that it does not have now.
    pub fn next_due(&self) -> Option<Mono> {
        let closed = self.wanted.values().filter(|known| !known.open);
        closed.map(|known| known.due).min()
    }

    /// Takes an answer in. False if it says nothing, so that what was known stays.
    pub fn take(&mut self, question: &Question, answer: &Answer, now: Mono) -> bool {
        let key = (question.name.clone(), question.kind);
        // The configuration may have changed while the question was open.
        let Some(known) = self.wanted.get_mut(&key) else {
            return true;
        };
        let wait = Duration::from_secs(answer.ttl.into());
        known.due = now.plus(wait.clamp(MIN_REFRESH, MAX_REFRESH));
        known.open = false;
        let found = good(question.kind, &answer.lookup);
        let says_something = found.is_some();
        // Nothing will come of waiting for these, but they must not take away what was there: an
        // owner's endless aliases; a resolver of ours that does not serve one of our domains.
        let hopeless = match answer.lookup {
            Lookup::AliasLimit => true,
            Lookup::Trouble(Trouble::Refused) => known.stake < Stake::Named,
            _ => false,
        };
        let none = (hopeless && known.good.is_none()).then(|| nothing(question.kind));
        let now_good = found.or(none);
        if now_good.is_some() && now_good != known.good {
            known.good = now_good;
            self.follow();
        }
        says_something
    }

    /// Finds anew what is wanted and what it leads to.
    fn follow(&mut self) {
        let mut walk = Walk {
            known: core::mem::take(&mut self.wanted),
            wanted: BTreeMap::new(),
            addresses: BTreeSet::new(),
        };
        for name in &self.names {
            walk.host(name, Stake::Named);
        }
        for domain in &self.domains {
            let exchanges = walk.exchanges(domain, Stake::Ours);
            let hosts = exchanges.iter().map(|mx| &mx.exchange);
            for host in hosts.filter(|host| !host.is_root()).take(MAX_EXCHANGES) {
                walk.host(host, Stake::Ours);
            }
            walk.border_relays(domain);
        }
        self.wanted = walk.wanted;
        self.addresses = walk.addresses;
    }
}

/// One search for what is wanted.
struct Walk {
    /// What was known before, and is not wanted yet.
    known: BTreeMap<Key, Known>,
    wanted: BTreeMap<Key, Known>,
    addresses: BTreeSet<IpAddr>,
}

impl Walk {
    /// Wants one question answered, and gives what is known of it.
    fn want(&mut self, name: &Name, kind: RecordType, stake: Stake) -> Option<&Good> {
        let key = (name.clone(), kind);
        let before = self.known.remove(&key).map(|known| Known {
            stake: Stake::None,
            ..known
        });
        let known = self
            .wanted
            .entry(key)
            .or_insert_with(|| before.unwrap_or_default());
        known.stake = known.stake.max(stake);
        known.good.as_ref()
    }

    /// An MX set, as far as it is known.
    fn exchanges(&mut self, owner: &Name, stake: Stake) -> Vec<Mx> {
        match self.want(owner, RecordType::Mx, stake) {
            Some(Good::Exchanges(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    /// The addresses of a host. Those that mean "this host itself" count only where somebody here
    /// wrote the name down: what else runs on this host is no host of ours that passes mail on.
    fn host(&mut self, name: &Name, stake: Stake) {
        for kind in [RecordType::A, RecordType::Aaaa] {
            let Some(Good::Addresses(list)) = self.want(name, kind, stake) else {
                continue;
            };
            let itself: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let list = list.clone();
            let counted = list
                .into_iter()
                .filter(|address| stake == Stake::Named || !itself.contains(address));
            self.addresses.extend(counted);
        }
    }

    /// Hosts and groups of a domain's own MAIL-FROM set, within the budgets of the check (A.2).
    /// What the domain itself names matters; what a group's owner names is not in our hands, and
    /// must not hold up our verdicts.
    fn border_relays(&mut self, domain: &Name) {
        let Ok(root) = domain.child(MAIL_FROM) else {
            return;
        };
        let (mut seen, mut hosts) = (BTreeSet::from([root.clone()]), BTreeSet::new());
        let mut level = Vec::from([root]);
        for depth in 1..=MAX_DEPTH {
            let mut below = Vec::new();
            let stake = if depth == 1 { Stake::Ours } else { Stake::None };
            for owner in &level {
                for name in published(self.exchanges(owner, stake)) {
                    if name.labels().next() == Some(MAIL_FROM) {
                        if seen.len() < MAX_SETS && seen.insert(name.clone()) {
                            below.push(name);
                        }
                    } else if hosts.len() < MAX_HOSTS && hosts.insert(name.clone()) {
                        self.host(&name, stake);
                    }
                }
            }
            level = below;
        }
    }
}

/// The hosts and groups of a set, in the order of their names; none if it is no MAIL-FROM set.
fn published(set: Vec<Mx>) -> BTreeSet<Name> {
    // A set without a preference 0 is an ordinary MX, often a wildcard's (A.2 step 3).
    if set.iter().all(|mx| mx.preference != 0) {
        return BTreeSet::new();
    }
    let names = set.into_iter().map(|mx| mx.exchange);
    names.filter(|name| !name.is_root()).collect()
}

/// What an answer says, if it says something.
fn good(kind: RecordType, lookup: &Lookup) -> Option<Good> {
    match lookup {
        Lookup::Found(Records::A(list)) => {
            let addresses = list.iter().copied().map(IpAddr::V4);
            Some(Good::Addresses(addresses.take(MAX_ADDRESSES).collect()))
        }
        Lookup::Found(Records::Aaaa(list)) => {
            let addresses = list.iter().map(|one| IpAddr::V6(*one).to_canonical());
            Some(Good::Addresses(addresses.take(MAX_ADDRESSES).collect()))
        }
        Lookup::Found(Records::Mx(list)) => Some(Good::Exchanges(list.clone())),
        Lookup::NoData | Lookup::NxDomain => Some(nothing(kind)),
        Lookup::Found(Records::Txt(_) | Records::Ptr(_) | Records::Tlsa(_) | Records::Ns(_))
        | Lookup::AliasLimit
        | Lookup::Trouble(_) => None,
    }
}

/// What there is where nothing is.
const fn nothing(kind: RecordType) -> Good {
    match kind {
        RecordType::Mx => Good::Exchanges(Vec::new()),
        _ => Good::Addresses(Vec::new()),
    }
}

#[cfg(test)]
mod tests;
