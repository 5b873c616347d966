//! Who answers for a domain's ledger: whether it takes part, and the addresses of its own servers (PROTOCOLS B.3).
//!
//! The offer is a TXT record like others. The question itself goes to the servers of the zone that it is in, asked
//! directly: names never repeat, so a shared cache would gain nothing, and learn what mail came. That zone may be the
//! branch that a large domain delegates, `_sent.<domain>`, the domain's, or one above it; the nearest NS set counts.
//!
//! Servers are given in an order of their own for each message, which a seed says: so they share the load, and who asks
//! again about a message begins with the same one.
//!
//! Promised: no conclusion from trouble, and none from an address of special use unless that was allowed, since a
//! domain could have us ask our own neighbours otherwise. Left to others: the asking, and keeping what was found.

use alloc::vec::Vec;
use core::mem;
use core::net::IpAddr;
use core::time::Duration;

use super::Offer;
use crate::addr::Domain;
use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::time::{Mono, Now};
use crate::verify::{Action, AskId, Input, Machine};

/// The label that stands before the domain.
pub const LABEL: &str = "_sent";

/// Hosts whose addresses are looked up: a zone has two to four.
const MOST_HOSTS: usize = 4;
/// Addresses that are given.
const MOST_ADDRESSES: usize = 8;
/// Names above the domain that may be its zone. Names of mail domains are seldom longer.
const MOST_ABOVE: usize = 3;
/// Time for all of it, which is a part of the ten seconds that an asking has.
const DEADLINE: Duration = Duration::from_secs(6);

/// What is known of a domain's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It answers, there.
    Answers(Offer, Servers),
    /// It does not take part: there is no offer that can be understood.
    Absent,
    /// That is not to be known.
    NotKnown(Why),
}

/// The addresses of a domain's servers, in the order in which they are asked, each with the host that it is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers(Vec<(IpAddr, Name)>);

impl Servers {
    /// These, in this order.
    pub const fn new(each: Vec<(IpAddr, Name)>) -> Self {
        Self(each)
    }

    /// Each address, once.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut all: Vec<IpAddr> = Vec::new();
        for (address, _) in &self.0 {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all
    }

    /// The addresses of other servers than the one at `first`: of hosts that do not have it, since the addresses of one
    /// host mostly lead to one process.
    pub fn apart_from(&self, first: IpAddr) -> Vec<IpAddr> {
        let of_first = |host: &Name| self.0.contains(&(first, host.clone()));
        let is_near = |address: &IpAddr| {
            let mut hosts = self.0.iter().filter(|(other, _)| other == address);
            hosts.any(|(_, host)| of_first(host))
        };
        let mut others = self.addresses();
        others.retain(|address| !is_near(address));
        others
    }
}

/// Why it is not to be known who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Names with the labels of a question are too long.
    #[error("its name is too long")]
    TooLong,
    /// Its aliases have no end, or too many.
    #[error("the aliases of its offer lead nowhere")]
    Aliases,
    /// The DNS did not answer.
    #[error("the DNS does not answer: {0}")]
    Dns(Trouble),
    /// There is an offer, and no server.
    #[error("no name server was found")]
    NoServer,
    /// There are servers, and all have addresses of special use.
    #[error("its name servers have addresses of special use")]
    SpecialUse,
}

/// The search.
#[derive(Debug)]
pub struct Search {
    domain: Name,
    branch: char,
    /// Servers may have addresses of special use.
    special: bool,
    /// Which of the servers come first.
    seed: u64,
    stage: Stage,
    open: Vec<(AskId, Question)>,
    asked: u32,
    known: Vec<(Question, Answer)>,
    deadline: Mono,
}

/// What is being asked.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The offer.
    Offer,
    /// NS of all zones that it may be.
    Zones(Offer),
    /// Addresses of their hosts.
    Hosts(Offer),
    /// The report is out.
    Ended,
}

impl Search {
    /// For a question of this branch (its label `x`). `special`: servers may have addresses of special use. `seed`: says
    /// their order, and should be another for each message.
    pub fn new(domain: &Domain, branch: char, special: bool, seed: u64) -> Self {
        Self {
            domain: Name::from(domain),
            branch,
            special,
            seed,
            stage: Stage::Offer,
            open: Vec::new(),
            asked: 0,
            known: Vec::new(),
            deadline: Mono::default(),
        }
    }
}

impl Machine for Search {
    type Report = Report;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Report>> {
        match input {
            Input::Begin => self.begin(now.mono),
            Input::Answer(id, answer) => self.answered(id, answer),
            Input::TimerFired if now.mono >= self.deadline => self.late(),
            Input::TimerFired => alloc::vec![Action::SetTimer(self.deadline)],
        }
    }
}

impl Search {
    fn begin(&mut self, now: Mono) -> Vec<Action<Report>> {
        self.deadline = now.plus(DEADLINE);
        let Ok(owner) = self.domain.child(LABEL) else {
            return self.end(Report::NotKnown(Why::TooLong));
        };
        let mut actions = self.ask([(owner, RecordType::Txt)]);
        actions.push(Action::SetTimer(self.deadline));
        actions
    }

    /// Asks all of these.
    fn ask(&mut self, all: impl IntoIterator<Item = (Name, RecordType)>) -> Vec<Action<Report>> {
        let mut actions = Vec::new();
        for (name, kind) in all {
            let question = Question {
                name,
                kind,
                freshness: Freshness::Cached,
            };
            let id = AskId(self.asked);
            self.asked = self.asked.saturating_add(1);
            self.open.push((id, question.clone()));
            actions.push(Action::Ask(id, question));
        }
        actions
    }

    fn answered(&mut self, id: AskId, answer: Answer) -> Vec<Action<Report>> {
        let Some(at) = self.open.iter().position(|(open, _)| *open == id) else {
            return Vec::new();
        };
        let (_, question) = self.open.swap_remove(at);
        self.known.push((question, answer));
        if !self.open.is_empty() && !self.is_zone_known() {
            return Vec::new();
        }
        self.open.clear();
        let next = match self.stage {
            Stage::Offer => self.after_offer(),
            Stage::Zones(offer) => self.after_zones(offer),
            Stage::Hosts(offer) => Err(self.after_hosts(offer)),
            Stage::Ended => Ok(Vec::new()),
        };
        next.unwrap_or_else(|report| self.end(report))
    }

    /// Time is over: what is known by now counts, if that is an address.
    fn late(&mut self) -> Vec<Action<Report>> {
        let timeout = Report::NotKnown(Why::Dns(Trouble::Timeout));
        let report = match self.stage {
            Stage::Hosts(offer) => match self.after_hosts(offer) {
                known @ Report::Answers(..) => known,
                _ => timeout,
            },
            _ => timeout,
        };
        self.end(report)
    }

    /// Which zone is the nearest is known, whatever is still to come of those above.
    fn is_zone_known(&self) -> bool {
        let (Stage::Zones(_), Ok(zones)) = (self.stage, self.zones()) else {
            return false;
        };
        let is_open = |zone: &Name| self.open.iter().any(|(_, question)| question.name == *zone);
        let nearer: Vec<_> = zones
            .into_iter()
            .take_while(|zone| !is_open(zone))
            .collect();
        nearest(&nearer, &self.known) != Err(Why::NoServer)
    }

    fn end(&mut self, report: Report) -> Vec<Action<Report>> {
        self.open.clear();
        match mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Ended => Vec::new(),
            _ => alloc::vec![Action::Done(report.into())],
        }
    }

    /// All names that may be the zone's, the nearest first.
    fn zones(&self) -> Result<Vec<Name>, Why> {
        let child = |name: &Name, label: &str| name.child(label).map_err(|_| Why::TooLong);
        let sent = child(&self.domain, LABEL)?;
        let branch = child(&sent, self.branch.encode_utf8(&mut [0; 4]))?;
        let mut zones = alloc::vec![branch, sent, self.domain.clone()];
        let mut above = self.domain.as_str();
        for _ in 0..MOST_ABOVE {
            let Some((_, rest)) = above.split_once('.') else {
                break;
            };
            zones.extend(Name::parse(rest));
            above = rest;
        }
        Ok(zones)
    }

    fn after_offer(&mut self) -> Result<Vec<Action<Report>>, Report> {
        let answer = self.known.pop().map(|(_, answer)| answer.lookup);
        let offer = match &answer {
            Some(Lookup::Found(Records::Txt(texts))) => {
                Offer::of_records(texts.iter().map(|text| &**text))
            }
            Some(Lookup::Trouble(trouble)) => return Err(Report::NotKnown(Why::Dns(*trouble))),
            Some(Lookup::AliasLimit) => return Err(Report::NotKnown(Why::Aliases)),
            _ => None,
        };
        let offer = offer.ok_or(Report::Absent)?;
        self.stage = Stage::Zones(offer);
        let zones = self.zones().map_err(Report::NotKnown)?;
        Ok(self.ask(zones.into_iter().map(|zone| (zone, RecordType::Ns))))
    }

    fn after_zones(&mut self, offer: Offer) -> Result<Vec<Action<Report>>, Report> {
        let known = mem::take(&mut self.known);
        let zones = self.zones().map_err(Report::NotKnown)?;
        let hosts = nearest(&zones, &known).map_err(Report::NotKnown)?;
        self.stage = Stage::Hosts(offer);
        let kinds = [RecordType::A, RecordType::Aaaa];
        let addresses = hosts
            .into_iter()
            .take(MOST_HOSTS)
            .flat_map(|host| kinds.map(|kind| (host.clone(), kind)));
        Ok(self.ask(addresses))
    }

    fn after_hosts(&mut self, offer: Offer) -> Report {
        let mut trouble = None;
        let mut found: Vec<(IpAddr, Name)> = Vec::new();
        for (question, answer) in mem::take(&mut self.known) {
            let mut add = |address| found.push((address, question.name.clone()));
            match answer.lookup {
                Lookup::Found(Records::A(all)) => {
                    all.into_iter().map(IpAddr::V4).for_each(&mut add);
                }
                Lookup::Found(Records::Aaaa(all)) => {
                    all.into_iter().map(IpAddr::V6).for_each(&mut add);
                }
                Lookup::Trouble(why) => trouble = Some(why),
                _ => {}
            }
        }
        // In no order that answers came in, nor in one that every message has.
        found.sort_by_cached_key(|(address, host)| {
            (place(self.seed, *address), *address, host.clone())
        });
        found.dedup();
        let any = !found.is_empty();
        found.retain(|(address, _)| self.special || !is_special_use(*address));
        let mut servers = Servers(found);
        let mut kept = servers.addresses();
        kept.truncate(MOST_ADDRESSES);
        servers.0.retain(|(address, _)| kept.contains(address));
        match (kept.is_empty(), any, trouble) {
            (false, _, _) => Report::Answers(offer, servers),
            (true, _, Some(trouble)) => Report::NotKnown(Why::Dns(trouble)),
            (true, true, None) => Report::NotKnown(Why::SpecialUse),
            (true, false, None) => Report::NotKnown(Why::NoServer),
        }
    }
}

/// Where an address comes in the order of this seed: its octets and the seed, stirred (as splitmix64 does it).
fn place(seed: u64, address: IpAddr) -> u64 {
    let stir = |number: u64| {
        let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ number >> 31
    };
    let octets = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    octets.iter().fold(stir(seed), |state, octet| {
        stir(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ u64::from(*octet))
    })
}

/// The hosts of the nearest zone that has any. Trouble nearer than that hides which it is.
fn nearest(zones: &[Name], known: &[(Question, Answer)]) -> Result<Vec<Name>, Why> {
    for zone in zones {
        let answer = known.iter().find(|(question, _)| question.name == *zone);
        match answer.map(|(_, answer)| answer) {
            Some(Answer {
                lookup: Lookup::Found(Records::Ns(hosts)),
                aliases,
                ..
            }) if aliases.is_empty() => return Ok(hosts.clone()),
            Some(Answer {
                lookup: Lookup::Trouble(trouble),
                ..
            }) => return Err(Why::Dns(*trouble)),
            _ => {}
        }
    }
    Err(Why::NoServer)
}

/// Whether an address is no host's on the Internet, or not one's alone (RFC 6890).
pub fn is_special_use(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, third, _] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_documentation()
                || first == 0
                // What the future may bring, and the broadcast address.
                || first >= 240
                // Carriers' own networks, protocol assignments, benchmarks.
                || (first == 100 && second & 0xc0 == 64)
                || (first, second, third) == (192, 0, 0)
                || (first == 198 && second & 0xfe == 18)
        }
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            // Only 2000::/3 is given out; of it, documentation, Teredo and 6to4 are no hosts'.
            first & 0xe000 != 0x2000
                || (first == 0x2001 && (second == 0x0db8 || second < 0x0200))
                || first == 0x2002
                || (first == 0x3fff && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests;
