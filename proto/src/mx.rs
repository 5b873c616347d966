//! Which hosts take mail for a domain, in which order (RFC 5321 §5.1, RFC 7505), as a machine
//! under the drain contract: it asks for the MX set, then for the addresses of all exchanges at
//! once, and ends in an ordered list or in an outcome. Also the plainer search for the addresses
//! of a configured host. With each host comes what is demanded of it: where the MX set and the
//! host's addresses are DNSSEC-secure, its TLSA records are asked for (RFC 7672 §2.2).
//!
//! Promises: every question is asked once; hosts of equal preference are shuffled by the number the
//! driver hands in; nothing is concluded from trouble; a host that is ourselves is not tried, nor
//! any that is no better (RFC 5321 §5.1), so that mail does not go in circles.
//!
//! Left to the driver: timeouts (the resolver answers every question, if only with trouble), and
//! how many of the hosts are tried. An exchange that is an alias is taken, though RFC 5321 §5.1
//! forbids it: it is in daily use and no doubt comes of it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::Domain;
use crate::dns::{Answer, Freshness, Lookup, Mx, Name, Question, RecordType, Records, Trouble};
use crate::outcome::Outcome;
use crate::tls_policy::Requirement;
use crate::tls_policy::dane::Gathering;

/// Exchanges looked up, the best first. Each costs two questions; nobody tries so many.
pub const MAX_EXCHANGES: usize = 20;

/// Addresses of one exchange that are kept, for the same reason.
pub const MAX_ADDRESSES: usize = 10;

/// How we are known, to find ourselves in a list.
#[derive(Clone, Debug, Default)]
pub struct Ourselves {
    /// Our own names.
    pub names: Vec<Domain>,
    /// Addresses at which we listen on the port that will be called. On another port there is
    /// another server, which is no loop.
    pub addresses: Vec<IpAddr>,
}

/// One address to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The exchange, as it was looked up.
    pub host: Name,
    /// One of its addresses.
    pub address: IpAddr,
    /// Its preference; 0 where there is no MX set.
    pub preference: u16,
    /// What TLS it must give.
    pub requirement: Requirement,
    /// Nobody on the way can have named another host: the MX set is DNSSEC-secure, or the host has
    /// the name of the domain, or is configured.
    pub secure: bool,
}

/// Names one question of one search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// What advances the search.
#[derive(Debug)]
pub enum Input {
    /// The first input.
    Start,
    /// The resolver has answered. Answers to nothing are dropped.
    Answer(AskId, Answer),
}

/// What the driver does.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the DNS, and bring the answer.
    Ask(AskId, Question),
    /// The end: whom to try, in this order and never nobody.
    Found(Vec<Candidate>),
    /// The end: what this means for every recipient.
    Failed(Outcome),
}

/// One search.
#[derive(Debug)]
pub struct Search {
    target: Domain,
    by_mx: bool,
    ourselves: Ourselves,
    chance: u64,
    /// DANE is followed for hosts called on this port.
    dane: Option<u16>,
    /// The MX set is secure, or there is no need of one.
    secure: bool,
    /// There is no MX set: the domain is its own host.
    implicit: bool,
    next_ask: u32,
    open: BTreeMap<AskId, Asked>,
    hosts: Vec<Host>,
}

/// What an open question is about.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// The MX set.
    Mx,
    /// Addresses of the host with this index.
    Addresses(usize),
    /// TLSA records of the host with this index, under this one of its names.
    Keys(usize, usize),
}

/// One exchange.
#[derive(Debug)]
struct Host {
    name: Name,
    preference: u16,
    addresses: Vec<IpAddr>,
    /// Questions about its addresses that are open.
    unanswered: usize,
    /// A question about its addresses met trouble.
    trouble: Option<Trouble>,
    /// Its TLSA records.
    keys: Gathering,
}

/// True for the names that mean this host and that the DNS is never asked about (RFC 6761 §6.3).
fn is_localhost(name: &Domain) -> bool {
    let name = name.as_ascii();
    name == "localhost" || name.ends_with(".localhost")
}

impl Search {
    /// For the hosts that take mail for `domain`; of `chance` any number will do.
    pub fn for_domain(domain: Domain, ourselves: Ourselves, chance: u64) -> Self {
        Self::new(domain, true, ourselves, chance)
    }

    /// For the addresses of `host`, which is configured as a next hop. That it cannot be found is
    /// the operator's mistake, and never permanent.
    pub fn for_host(host: Domain) -> Self {
        Self::new(host, false, Ourselves::default(), 0)
    }

    /// Follows DANE, for hosts that are called on `port`.
    #[must_use]
    pub fn with_dane(mut self, port: u16) -> Self {
        self.dane = Some(port);
        self
    }

    /// A search that has not begun.
    fn new(target: Domain, by_mx: bool, ourselves: Ourselves, chance: u64) -> Self {
        Self {
            target,
            by_mx,
            ourselves,
            chance,
            dane: None,
            // A configured host needs no MX set (RFC 7672 §2.2.2).
            secure: !by_mx,
            implicit: false,
            next_ask: 0,
            open: BTreeMap::new(),
            hosts: Vec::new(),
        }
    }

    /// Advances by one input; actions are appended to `actions`.
    pub fn step(&mut self, input: Input, actions: &mut Vec<Action>) {
        match input {
            Input::Start if self.by_mx && self.next_ask == 0 => {
                let name = Name::from(&self.target);
                self.ask(name, RecordType::Mx, Asked::Mx, actions);
            }
            Input::Start if !self.by_mx && is_localhost(&self.target) => {
                actions.push(Action::Found(self.loopback().into()));
            }
            Input::Start if self.next_ask == 0 => self.ask_target(actions),
            Input::Start => {}
            Input::Answer(id, answer) => match self.open.remove(&id) {
                Some(Asked::Mx) => {
                    self.secure = answer.secure;
                    self.exchanges(answer.lookup, actions);
                }
                Some(Asked::Addresses(index)) => self.addresses(index, answer, actions),
                Some(Asked::Keys(index, of)) => {
                    if let Some(host) = self.hosts.get_mut(index) {
                        host.keys.answered(of, answer);
                    }
                    self.conclude_if_all_is_in(actions);
                }
                None => {}
            },
        }
    }

    /// This host itself, by both families.
    fn loopback(&self) -> [Candidate; 2] {
        [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .map(|address| Candidate {
            host: Name::from(&self.target),
            address,
            preference: 0,
            requirement: Requirement::Opportunistic,
            secure: self.secure,
        })
    }

    /// Asks one question.
    fn ask(&mut self, name: Name, kind: RecordType, about: Asked, actions: &mut Vec<Action>) {
        let id = AskId(self.next_ask);
        self.next_ask = self.next_ask.saturating_add(1);
        self.open.insert(id, about);
        let freshness = Freshness::Cached;
        actions.push(Action::Ask(
            id,
            Question {
                name,
                kind,
                freshness,
            },
        ));
    }

    /// The domain itself as its only host: the implicit MX (RFC 5321 §5.1), or a configured host.
    fn ask_target(&mut self, actions: &mut Vec<Action>) {
        let exchange = Name::from(&self.target);
        self.take_set(
            Vec::from([Mx {
                preference: 0,
                exchange,
            }]),
            actions,
        );
    }

    /// Takes the answer about the MX set.
    fn exchanges(&mut self, lookup: Lookup, actions: &mut Vec<Action>) {
        let domain = self.target.clone();
        match lookup {
            Lookup::Found(Records::Mx(set)) => self.take_set(set, actions),
            Lookup::NoData => {
                self.implicit = true;
                self.ask_target(actions);
            }
            Lookup::NxDomain => {
                fail(
                    (5, 1, 2),
                    format!("the domain {domain} does not exist"),
                    actions,
                );
            }
            Lookup::AliasLimit => fail(
                (5, 4, 4),
                format!("the name {domain} is an alias without end"),
                actions,
            ),
            Lookup::Trouble(trouble) => fail(
                (4, 4, 3),
                format!("the mail hosts of {domain} cannot be looked up now: {trouble}"),
                actions,
            ),
            Lookup::Found(_) => fail(
                (4, 4, 3),
                format!("the mail hosts of {domain} cannot be looked up now: unreadable answer"),
                actions,
            ),
        }
    }

    /// Sorts an MX set and asks for its hosts' addresses.
    fn take_set(&mut self, mut set: Vec<Mx>, actions: &mut Vec<Action>) {
        // A null MX is alone (RFC 7505 §3); beside others it is a mistake and names no host.
        set.retain(|mx| !mx.exchange.is_root());
        if set.is_empty() {
            let text = format!("the domain {} takes no mail (null MX)", self.target);
            return fail((5, 1, 10), text, actions);
        }
        let mut best: BTreeMap<Name, u16> = BTreeMap::new();
        for mx in set {
            let preference = best.entry(mx.exchange).or_insert(mx.preference);
            *preference = mx.preference.min(*preference);
        }
        // The map's order makes the shuffle depend on nothing but chance and the set.
        let mut keyed: Vec<(u16, u64, Name)> = best
            .into_iter()
            .map(|(exchange, preference)| (preference, self.draw(), exchange))
            .collect();
        keyed.sort();
        let names = &self.ourselves.names;
        let is_us = |exchange: &Name| names.iter().any(|own| Name::from(own) == *exchange);
        let ours = keyed.iter().find(|(_, _, exchange)| is_us(exchange));
        if let Some((bound, ..)) = ours.cloned() {
            keyed.retain(|(preference, ..)| *preference < bound);
        }
        if keyed.is_empty() {
            return self.fail_looped(actions);
        }
        keyed.truncate(MAX_EXCHANGES);
        let set = keyed.into_iter().map(|(preference, _, exchange)| Mx {
            preference,
            exchange,
        });
        self.ask_hosts(set.collect(), actions);
    }

    /// Asks for the addresses of these hosts, which are in order.
    fn ask_hosts(&mut self, set: Vec<Mx>, actions: &mut Vec<Action>) {
        for (index, mx) in set.into_iter().enumerate() {
            let name = mx.exchange.clone();
            self.hosts.push(Host {
                name: mx.exchange,
                preference: mx.preference,
                addresses: Vec::new(),
                unanswered: 2,
                trouble: None,
                keys: Gathering::default(),
            });
            self.ask(
                name.clone(),
                RecordType::Aaaa,
                Asked::Addresses(index),
                actions,
            );
            self.ask(name, RecordType::A, Asked::Addresses(index), actions);
        }
    }

    /// Takes one answer about one host's addresses; with the second, asks for its keys.
    fn addresses(&mut self, index: usize, answer: Answer, actions: &mut Vec<Action>) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        host.unanswered = host.unanswered.saturating_sub(1);
        host.keys.addresses_answered(&answer);
        match answer.lookup {
            Lookup::Found(Records::A(found)) => {
                host.addresses.extend(found.into_iter().map(IpAddr::V4));
            }
            Lookup::Found(Records::Aaaa(found)) => {
                host.addresses.extend(found.into_iter().map(IpAddr::V6));
            }
            Lookup::Found(_) => host.trouble = Some(Trouble::Unreadable),
            Lookup::Trouble(trouble) => host.trouble = Some(trouble),
            Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit => {}
        }
        let owners = match self.dane {
            Some(port) if self.secure && host.unanswered == 0 && !host.addresses.is_empty() => {
                host.keys.owners(&host.name, port)
            }
            _ => Vec::new(),
        };
        for (of, owner) in owners.into_iter().enumerate() {
            self.ask(owner, RecordType::Tlsa, Asked::Keys(index, of), actions);
        }
        self.conclude_if_all_is_in(actions);
    }

    /// Ends the search when nothing is open.
    fn conclude_if_all_is_in(&mut self, actions: &mut Vec<Action>) {
        if self.open.is_empty() {
            self.conclude(actions);
        }
    }

    /// All answers are in.
    fn conclude(&mut self, actions: &mut Vec<Action>) {
        let own = core::mem::take(&mut self.ourselves.addresses);
        let is_us = |host: &&Host| {
            let mut addresses = host.addresses.iter();
            addresses.any(|address| own.contains(&address.to_canonical()))
        };
        let bound = self
            .hosts
            .iter()
            .filter(is_us)
            .map(|host| host.preference)
            .min();
        if let Some(bound) = bound {
            self.hosts.retain(|host| host.preference < bound);
            if self.hosts.is_empty() {
                return self.fail_looped(actions);
            }
        }
        let trouble = self.hosts.iter().find_map(|host| host.trouble);
        let next_hop = Name::from(&self.target);
        let hosts = core::mem::take(&mut self.hosts).into_iter();
        let secure = self.secure || self.implicit;
        let found = hosts.flat_map(|host| candidates(host, &next_hop, secure));
        let found: Vec<Candidate> = found.collect();
        if !found.is_empty() {
            actions.push(Action::Found(found));
            return;
        }
        let target = self.target.clone();
        match trouble {
            Some(trouble) => {
                let text = format!("no mail host of {target} can be looked up now: {trouble}");
                fail((4, 4, 3), text, actions);
            }
            None if self.by_mx => {
                let text = format!("no mail host of {target} has an address");
                fail((5, 4, 4), text, actions);
            }
            None => {
                let text = format!("the next hop {target} has no address");
                fail((4, 4, 4), text, actions);
            }
        }
    }

    /// The best host is ourselves.
    fn fail_looped(&self, actions: &mut Vec<Action>) {
        let text = format!("mail for {} loops back to this server", self.target);
        fail((5, 4, 6), text, actions);
    }

    /// The next number that follows from the driver's (splitmix64).
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chance;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Ends a search without hosts.
fn fail(status: (u8, u16, u16), text: String, actions: &mut Vec<Action>) {
    actions.push(Action::Failed(Outcome::local(status, None, text)));
}

/// A host's addresses, IPv6 and IPv4 in turn: where one of the two is broken on the way, the
/// second try gets through. `secure`: as [`Candidate::secure`].
fn candidates(host: Host, next_hop: &Name, secure: bool) -> Vec<Candidate> {
    let family = |want_v6: bool| {
        let of_family = move |address: &&IpAddr| address.is_ipv6() == want_v6;
        host.addresses.iter().filter(of_family)
    };
    let (mut v6, mut v4) = (family(true), family(false));
    let mut ordered = Vec::new();
    loop {
        let (six, four) = (v6.next(), v4.next());
        if six.is_none() && four.is_none() {
            break;
        }
        ordered.extend(six.into_iter().chain(four).copied());
    }
    let mut seen = Vec::new();
    ordered.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    ordered.truncate(MAX_ADDRESSES);
    let requirement = host.keys.requirement(&host.name, next_hop);
    let named = ordered.into_iter().map(|address| Candidate {
        host: host.name.clone(),
        address,
        preference: host.preference,
        requirement: requirement.clone(),
        secure,
    });
    named.collect()
}

#[cfg(test)]
mod tests;
