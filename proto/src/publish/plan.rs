//! From senders to records: which hosts and groups a MAIL-FROM set lists, which host names must be
//! made for addresses that have none, and what no set can hold.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::addr::Domain;
use crate::dns::{Mx, Name};
use crate::residue::servers;
use crate::survey::cover::{Cover, canonical, pieces, size};
use crate::survey::mail_from::MailFrom;
use crate::survey::spf::State;
use crate::verify::mail_from::LABEL;
use crate::verify::mail_from::budget::{MAX_DEPTH, MAX_HOSTS, MAX_RECORDS, MAX_SETS};

use super::left_out::{LeftOut, Why};
use super::records::{Rdata, Record, shown};
use super::spf::{self, MAX_LOOKUPS};

/// IPv4 addresses at one name that is made for them. 16 octets each in an answer: with the
/// question and an RSA signature they stay within the 1232 octets of a UDP answer that is not cut.
pub const MAX_FOUR: u32 = 32;

/// IPv6 addresses at such a name, 28 octets each, for the same reason.
pub const MAX_SIX: u32 = 16;

/// Addresses of the widest network that is listed host by host: a /24, eight of the thirty names
/// that a receiver looks up. Who has more relays than this groups them under names of their own.
pub const MAX_NETWORK: u128 = 256;

/// First label of the names that are made; what follows is the address.
pub const MADE: &str = "mfr";

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A host by name.
    Host(Name),
    /// A set of somebody else's, by the name of its owner (`mail-from.isp.example`).
    Group(Name),
    /// Addresses.
    Network(IpNet),
}

/// A sender, and where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who sends.
    pub sender: Sender,
    /// The option or the SPF term that named it.
    pub origin: Box<str>,
}

/// What the DNS said of the senders; empty where nobody asked it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Addresses of hosts.
    pub hosts: BTreeMap<Name, Vec<IpAddr>>,
    /// What stands behind groups.
    pub groups: BTreeMap<Name, MailFrom>,
    /// Domains of groups that have an SPF record.
    pub with_spf: BTreeSet<Name>,
}

/// What a plan is made of.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The domain.
    pub domain: Domain,
    /// Who sends; nobody, if the domain never does.
    pub senders: Vec<Entry>,
    /// The SPF record that the senders came from, if they did.
    pub spf: Option<Box<str>>,
    /// Seconds.
    pub ttl: u32,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There are hosts enough to be over the budget of every receiver.
    #[error(
        "{0} hosts are more than the {MAX_HOSTS} that a receiver looks up: send through fewer \
         relays, or leave out those that only other relays of yours talk to"
    )]
    Hosts(usize),
    /// There are sets enough to be over it.
    #[error(
        "{0} sets are more than the {MAX_SETS} that a receiver looks up: each provider's group and \
         each group behind it is one; ask a provider for a shorter way, or leave one"
    )]
    Sets(usize),
    /// A group leads too deep.
    #[error("the set of {0} leads deeper than the {MAX_DEPTH} levels that a receiver follows")]
    Depth(Box<str>),
    /// A name that would have to be made is too long.
    #[error("the domain is too long for the names that must stand in front of it")]
    Name,
    /// SPF asks for more than its receivers look up, and the addresses are not known here.
    #[error(
        "{0} hosts and groups are more than the {MAX_LOOKUPS} lookups of an SPF record; with \
         --resolver their addresses can be written instead"
    )]
    Lookups(usize),
    /// The SPF record that was to name the senders does not.
    #[error("there is no SPF record to go by: {0}")]
    Record(State),
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The domain.
    pub domain: Domain,
    /// The sets, the root first: owner and exchanges; no exchange means `0 .`. None if there is
    /// nobody to list, which is not the same.
    pub sets: Vec<(Name, Vec<Name>)>,
    /// Names that are made, with their addresses.
    pub made: Vec<(Name, Vec<IpAddr>)>,
    /// The SPF record.
    pub spf: Box<str>,
    /// Who answers whether a message was sent (PROTOCOLS B.3): none if nobody does.
    pub ledger: Vec<Name>,
    /// What is not covered.
    pub left_out: Vec<LeftOut>,
    /// Seconds.
    pub ttl: u32,
}

impl Plan {
    /// The plan for a domain that never sends.
    pub fn never(domain: Domain, ttl: u32) -> Result<Self, PlanError> {
        let owner = set_owner(&Name::from(&domain))?;
        Ok(Self {
            domain,
            sets: vec![(owner, Vec::new())],
            made: Vec::new(),
            spf: "v=spf1 -all".into(),
            ledger: Vec::new(),
            left_out: Vec::new(),
            ttl,
        })
    }

    /// The plan for these senders; `left_out` is what was left out before it came to this.
    pub fn of(wanted: Wanted, facts: &Facts, left_out: Vec<LeftOut>) -> Result<Self, PlanError> {
        let apex = Name::from(&wanted.domain);
        let senders = Senders::sort(&wanted.senders);
        let behind: usize = senders
            .groups
            .iter()
            .filter_map(|group| facts.groups.get(group))
            .map(|set| set.hosts.len())
            .sum();
        let named = senders.hosts.len().saturating_add(behind);
        if named > MAX_HOSTS {
            return Err(PlanError::Hosts(named));
        }
        let mut plan = Self {
            spf: match &wanted.spf {
                Some(spf) => spf.clone(),
                None => spf::record(&senders, facts)?,
            },
            domain: wanted.domain,
            sets: Vec::new(),
            made: Vec::new(),
            ledger: Vec::new(),
            left_out,
            ttl: wanted.ttl,
        };
        if wanted.senders.is_empty() && plan.left_out.is_empty() {
            // An SPF record that lets nobody send.
            return Ok(Self {
                spf: plan.spf,
                ..Self::never(plan.domain, plan.ttl)?
            });
        }
        let one_set = MAX_RECORDS
            .saturating_sub(senders.hosts.len())
            .saturating_sub(senders.groups.len());
        plan.make(
            &apex,
            senders.networks,
            one_set,
            MAX_HOSTS.saturating_sub(named),
        )?;
        plan.list(&apex, senders.hosts, senders.groups)?;
        plan.look_at_sets(facts)?;
        Ok(plan)
    }

    /// True if every address of every sender is covered.
    pub fn is_complete(&self) -> bool {
        self.left_out.is_empty()
    }

    /// The records, in the order in which they are printed.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut add = |owner: &Name, rdata| {
            records.push(Record {
                owner: owner.clone(),
                ttl: self.ttl,
                rdata,
            });
        };
        let mx = |exchange: &Name| {
            Rdata::Mx(Mx {
                preference: 0,
                exchange: exchange.clone(),
            })
        };
        for (at, (owner, exchanges)) in self.sets.iter().enumerate() {
            if exchanges.is_empty() {
                add(owner, mx(&Name::root()));
            }
            for exchange in exchanges {
                add(owner, mx(exchange));
            }
            if at == 0 {
                add(owner, Rdata::Txt(b"v=MFMX1"[..].into()));
            }
        }
        for (name, addresses) in &self.made {
            for address in addresses {
                add(
                    name,
                    match address {
                        IpAddr::V4(address) => Rdata::A(*address),
                        IpAddr::V6(address) => Rdata::Aaaa(*address),
                    },
                );
            }
        }
        add(
            &Name::from(&self.domain),
            Rdata::Txt(self.spf.as_bytes().into()),
        );
        if let Ok(sent) = Name::from(&self.domain).child(servers::LABEL) {
            for host in &self.ledger {
                add(&sent, Rdata::Ns(host.clone()));
            }
        }
        records
    }

    /// Makes names for networks: one for each piece of each if they fit into one set, else as few
    /// as hold all of them; what is widest goes as long as that is too many.
    fn make(
        &mut self,
        apex: &Name,
        networks: Vec<(IpNet, Box<str>)>,
        one_set: usize,
        room: usize,
    ) -> Result<(), PlanError> {
        let mut left_out = |network, origin, why| {
            self.left_out.push(LeftOut {
                network: Some(network),
                origin,
                why,
            });
        };
        let mut kept = Vec::new();
        for (network, origin) in networks {
            if size(network) > MAX_NETWORK {
                left_out(network, origin, Why::Wide);
            } else {
                kept.push((network, origin));
            }
        }
        kept.sort_by_key(|(network, _)| size(*network));
        loop {
            let all = kept.iter().map(|(network, _)| *network);
            let apart: Vec<_> = all
                .clone()
                .flat_map(|network| pieces(network, chunk(network)))
                .collect();
            if apart.len() <= one_set {
                for piece in apart {
                    self.made.push((made_for(apex, piece)?, piece.hosts_all()));
                }
                return Ok(());
            }
            let packed = packed(&all.collect());
            if packed.len() <= room {
                for (at, addresses) in packed.into_iter().enumerate() {
                    let label = format!("{MADE}-{}", at.saturating_add(1));
                    let name = apex.child(&label).map_err(|_| PlanError::Name)?;
                    self.made.push((name, addresses));
                }
                return Ok(());
            }
            let Some((network, origin)) = kept.pop() else {
                return Ok(());
            };
            left_out(network, origin, Why::NoRoom);
        }
    }

    /// Puts hosts and groups into the root set; what does not fit, into a group of the domain's own.
    fn list(
        &mut self,
        apex: &Name,
        mut hosts: Vec<Name>,
        groups: Vec<Name>,
    ) -> Result<(), PlanError> {
        hosts.extend(self.made.iter().map(|(name, _)| name.clone()));
        let owner = set_owner(apex)?;
        let total = hosts.len().saturating_add(groups.len());
        if total == 0 {
            return Ok(());
        }
        if total <= MAX_RECORDS {
            self.sets
                .push((owner, groups.into_iter().chain(hosts).collect()));
            return Ok(());
        }
        let own = set_owner(&apex.child(OWN_GROUP).map_err(|_| PlanError::Name)?)?;
        let rest = MAX_RECORDS.saturating_sub(1).checked_sub(groups.len());
        let rest = rest.ok_or(PlanError::Sets(groups.len().saturating_add(2)))?;
        let second = hosts.split_off(rest.min(hosts.len()));
        let root = groups.into_iter().chain([own.clone()]).chain(hosts);
        self.sets.push((owner, root.collect()));
        self.sets.push((own, second));
        Ok(())
    }

    /// The budgets of sets and levels, as far as what is behind the groups is known.
    fn look_at_sets(&self, facts: &Facts) -> Result<(), PlanError> {
        let root = self.sets.first().map_or(&[][..], |(_, root)| root);
        let mut count = self.sets.len();
        for group in root
            .iter()
            .filter(|name| name.labels().next() == Some(LABEL))
        {
            if self.sets.iter().any(|(owner, _)| owner == group) {
                continue;
            }
            let known = facts.groups.get(group);
            count = count.saturating_add(known.map_or(1, |set| set.sets.len().max(1)));
            let depth = known
                .into_iter()
                .flat_map(|set| &set.sets)
                .map(|set| set.level)
                .max();
            if depth.is_some_and(|depth| depth >= MAX_DEPTH) {
                return Err(PlanError::Depth(shown(group).into()));
            }
        }
        if count > MAX_SETS {
            return Err(PlanError::Sets(count));
        }
        Ok(())
    }
}

/// The label under which a domain's own second set stands.
pub const OWN_GROUP: &str = "g1";

/// Senders by kind, each once, in the order of naming.
#[derive(Debug, Default)]
pub(super) struct Senders {
    /// By name.
    pub hosts: Vec<Name>,
    /// Sets of others.
    pub groups: Vec<Name>,
    /// Addresses, and where they were named.
    pub networks: Vec<(IpNet, Box<str>)>,
}

impl Senders {
    /// Drops doubles, and networks that lie inside others that are listed.
    fn sort(entries: &[Entry]) -> Self {
        let mut senders = Self::default();
        let listed: Vec<IpNet> = entries
            .iter()
            .filter_map(|entry| match entry.sender {
                Sender::Network(network) => Some(canonical(network)),
                _ => None,
            })
            .filter(|network| size(*network) <= MAX_NETWORK)
            .collect();
        for entry in entries {
            match &entry.sender {
                Sender::Host(name) => add_once(&mut senders.hosts, name),
                Sender::Group(name) => add_once(&mut senders.groups, name),
                Sender::Network(network) => {
                    let network = canonical(*network);
                    let inside = |other: &IpNet| *other != network && other.contains(&network);
                    let again = senders.networks.iter().any(|(other, _)| *other == network);
                    if !again && !listed.iter().any(inside) {
                        senders.networks.push((network, entry.origin.clone()));
                    }
                }
            }
        }
        senders
    }
}

fn add_once(list: &mut Vec<Name>, name: &Name) {
    if !list.contains(name) {
        list.push(name.clone());
    }
}

/// How many addresses of this family stand at one name.
const fn chunk(network: IpNet) -> u32 {
    match network {
        IpNet::V4(_) => MAX_FOUR,
        IpNet::V6(_) => MAX_SIX,
    }
}

/// All addresses in as few names as hold them.
fn packed(cover: &Cover) -> Vec<Vec<IpAddr>> {
    let (mut fours, mut sixes) = (Vec::new(), Vec::new());
    for network in cover.networks() {
        match network {
            IpNet::V4(_) => fours.extend(network.hosts_all()),
            IpNet::V6(_) => sixes.extend(network.hosts_all()),
        }
    }
    let per = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let (mut fours, mut sixes) = (fours.chunks(per(MAX_FOUR)), sixes.chunks(per(MAX_SIX)));
    let mut names = Vec::new();
    loop {
        match (fours.next(), sixes.next()) {
            (None, None) => return names,
            (four, six) => {
                let both = four.into_iter().chain(six).flatten().copied();
                names.push(both.collect());
            }
        }
    }
}

/// Every address of a network, the first and the last as well.
trait HostsAll {
    /// They, in order.
    fn hosts_all(&self) -> Vec<IpAddr>;
}

impl HostsAll for IpNet {
    fn hosts_all(&self) -> Vec<IpAddr> {
        let each = self.subnets(self.max_prefix_len());
        each.map_or_else(|_| Vec::new(), |each| each.map(|one| one.addr()).collect())
    }
}

/// `mail-from.<name>`
fn set_owner(name: &Name) -> Result<Name, PlanError> {
    name.child(LABEL).map_err(|_| PlanError::Name)
}

/// The name that is made for a network: it tells the address, so that it stays the same when
/// others come and go.
fn made_for(apex: &Name, network: IpNet) -> Result<Name, PlanError> {
    let address = match network.addr() {
        IpAddr::V4(address) => address.octets().map(|octet| octet.to_string()).join("-"),
        // In full: an abbreviated one can end in a colon, and a label cannot end in a dash.
        IpAddr::V6(address) => format!("{:032x}", u128::from(address)),
    };
    let length = network.prefix_len();
    let label = if length < network.max_prefix_len() {
        format!("{MADE}-{address}-{length}")
    } else {
        format!("{MADE}-{address}")
    };
    apex.child(&label).map_err(|_| PlanError::Name)
}

/// The name without its first label.
pub fn parent(name: &Name) -> Option<Name> {
    let (_, rest) = name.as_str().split_once('.')?;
    Name::parse(rest).ok()
}

#[cfg(test)]
mod tests;
