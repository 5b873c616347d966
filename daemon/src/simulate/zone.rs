//! The DNS of the made-up world at one level of adoption: who publishes what, and what is answered.
//!
//! A function from question to answer. Whether an answer fails by chance, and what lies in a cache,
//! is the asker's affair ([`super::judge`]); that a domain's servers always fail is decided here.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records, Trouble};

use super::world::{Adoption, Form, Host, Servers, Site, SiteId, Width, World};

/// TTL of what is there: as the draft advises (§3.5).
const TTL: u32 = 3600;

/// TTL of what is not there.
const NEGATIVE_TTL: u32 = 300;

/// Records that fit into one set (PROTOCOLS A.2); a domain whose provider has more hosts than
/// this, and no group to refer to, cannot list them.
const MAX_LISTED: usize = 20;

/// Hosts that an SPF record can name: with more, clients of the other family meet too many void
/// lookups (RFC 7208 §4.6.4).
const MAX_NAMED: usize = 2;

/// Hosts of a group of a provider.
const GROUP: usize = 9;

/// Hosts within the budget of a walk (PROTOCOLS A.2).
const MAX_WALKED: usize = 30;

/// What a domain's publication can do against a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It publishes nothing.
    Unpublished,
    /// Its DNS always fails.
    Failing,
    /// It publishes something that never repudiates: only `~all`, or a set over budget.
    Soft,
    /// Its SPF record lets half of the Internet in, or all of it.
    OverWide,
    /// Whoever is outside what it publishes is repudiated.
    Firm,
}

/// The records of one name.
#[derive(Debug, Default)]
struct Node {
    alias: Option<Name>,
    a: Vec<Ipv4Addr>,
    aaaa: Vec<Ipv6Addr>,
    mx: Vec<Mx>,
    txt: Vec<Box<[u8]>>,
}

/// The DNS at one level.
#[derive(Debug)]
pub struct Zone<'w> {
    world: &'w World,
    adoption: Adoption,
    nodes: HashMap<Box<str>, Node>,
    /// What stood there before a site listed its new host.
    before: HashMap<Box<str>, Node>,
    apexes: HashMap<Box<str>, SiteId>,
    standings: Vec<Standing>,
}

impl<'w> Zone<'w> {
    /// What the world publishes at this level.
    pub fn new(world: &'w World, adoption: Adoption) -> Self {
        let mut zone = Self {
            world,
            adoption,
            nodes: HashMap::new(),
            before: HashMap::new(),
            apexes: HashMap::new(),
            standings: Vec::new(),
        };
        for (id, site) in world.sites.iter().enumerate() {
            zone.apexes.insert(site.domain.as_ascii().into(), id);
            zone.publish(id, site);
            if site.moves.is_some() {
                let smaller = Site {
                    hosts: site.listed_at(0).to_vec(),
                    ..site.clone()
                };
                let nodes = std::mem::take(&mut zone.nodes);
                zone.publish(id, &smaller);
                zone.before
                    .extend(std::mem::replace(&mut zone.nodes, nodes));
            }
            zone.standings.push(zone.reckon(id, site));
        }
        zone
    }

    /// What a site's publication can do.
    pub fn standing(&self, id: SiteId) -> Standing {
        let standing = self.standings.get(id);
        standing.copied().unwrap_or(Standing::Unpublished)
    }

    /// True if the site publishes at this level.
    pub fn publishes(&self, id: SiteId) -> bool {
        let site = self.world.site(id);
        site.publishes.has_adopted(self.adoption) && site.servers == Servers::Sound
    }

    /// The answer, as the domain's servers give it at this moment.
    pub fn answer(&self, question: &Question, now: u64) -> Answer {
        let text = question.name.as_str();
        let Some(&id) = self.apexes.get(apex(text)) else {
            return definite(Lookup::NxDomain);
        };
        let site = self.world.site(id);
        match site.servers {
            Servers::Dead => return Answer::trouble(Trouble::ServFail),
            Servers::DeadBelow if text != site.domain.as_ascii() => {
                return Answer::trouble(Trouble::Timeout);
            }
            _ => {}
        }
        let before = site.moves.filter(|moves| now < *moves);
        let node = before.and_then(|_| self.before.get(text));
        let Some(node) = node.or_else(|| self.nodes.get(text)) else {
            return definite(beside(site, question.kind));
        };
        let Some(alias) = &node.alias else {
            return definite(node.lookup(question.kind));
        };
        let target = self.nodes.get(alias.as_str());
        Answer {
            aliases: vec![alias.clone()],
            ..definite(target.map_or(Lookup::NxDomain, |node| node.lookup(question.kind)))
        }
    }

    /// All that a site has in the DNS.
    fn publish(&mut self, id: SiteId, site: &Site) {
        self.publish_hosts(site);
        if self.publishes(id) {
            self.publish_set(id, site);
            self.publish_spf(site);
        }
    }

    /// What is there whether anything is published or not.
    fn publish_hosts(&mut self, site: &Site) {
        let domain = site.domain.as_ascii();
        let inbound = format!("mx.{domain}");
        let address = site.hosts.first().map(|host| host.v4);
        self.node(&inbound).a.push(address.unwrap_or(ELSEWHERE));
        self.node(domain).mx.push(mx(10, &inbound));
        for host in &site.hosts {
            let node = self.node(&host.name);
            node.a.push(host.v4);
            node.aaaa.extend(host.v6);
            if let Some(alias) = &host.alias {
                self.node(alias).alias = Some(name(&host.name));
            }
        }
    }

    /// The MAIL-FROM set, if there can be one.
    fn publish_set(&mut self, id: SiteId, site: &Site) {
        let owner = format!("mail-from.{}", site.domain.as_ascii());
        let Some(records) = self.set_of(id, site) else {
            return;
        };
        self.node(&owner).mx = records;
        if site.has_sentinel {
            self.node(&owner).txt.push(b"v=MFMX1".as_slice().into());
        }
        if self.world.is_provider(id) {
            // Domains may name its smart host instead, whose own set leads to the group.
            let smart = format!("smtp.{}", site.domain.as_ascii());
            self.node(&smart).a.push(ELSEWHERE);
            let behind = format!("mail-from.{smart}");
            self.node(&behind).mx.push(mx(0, &owner));
            for (at, group) in site.hosts.chunks(GROUP).enumerate().skip(1) {
                let records = group.iter().map(|host| mx(0, host.listed())).collect();
                let owner = format!("mail-from.pool{at}.{}", site.domain.as_ascii());
                self.node(&owner).mx = records;
            }
        }
    }

    /// The records of a site's MAIL-FROM set; `None` if it publishes none.
    fn set_of(&self, id: SiteId, site: &Site) -> Option<Vec<Mx>> {
        if site.form == Form::Spf {
            return None;
        }
        if !site.sends() {
            return Some(vec![mx(0, "")]);
        }
        let domain = site.domain.as_ascii();
        let is_provider = self.world.is_provider(id);
        let own = if is_provider { GROUP } else { MAX_LISTED };
        let mut listed: Vec<String> = names(site.hosts.get(..own).unwrap_or(&site.hosts));
        if is_provider {
            let pools = site.hosts.chunks(GROUP).enumerate().skip(1);
            listed.extend(pools.map(|(at, _)| format!("mail-from.pool{at}.{domain}")));
        }
        if let Some(id) = site.provider {
            let provider = self.world.site(id);
            let of = provider.domain.as_ascii();
            if !self.publishes(id) {
                listed.extend(names(&provider.hosts));
            } else if site.names_smart_host {
                listed.push(format!("smtp.{of}"));
            } else {
                listed.push(format!("mail-from.{of}"));
            }
        }
        (listed.len() <= MAX_LISTED).then(|| listed.iter().map(|host| mx(0, host)).collect())
    }

    /// The SPF record, if the site has one.
    fn publish_spf(&mut self, site: &Site) {
        let domain = site.domain.as_ascii();
        if site.form == Form::MailFrom {
            return;
        }
        let mut text = String::from("v=spf1");
        write_hosts(
            &mut text,
            &site.hosts,
            site.spf_has_names && site.hosts.len() <= MAX_NAMED,
        );
        if let Some(id) = site.provider {
            let provider = self.world.site(id);
            if self.publishes(id) {
                // Writing to a string cannot fail.
                let _ = write!(text, " include:{}", provider.domain.as_ascii());
            } else {
                write_hosts(&mut text, &provider.hosts, false);
            }
        }
        text.push_str(match (site.width, site.is_soft) {
            (Width::All, _) => " +all",
            (Width::Half, _) => " ip4:128.0.0.0/1 ip6:2000::/3 -all",
            (Width::Narrow, true) => " ~all",
            (Width::Narrow, false) => " -all",
        });
        let domain = domain.to_owned();
        self.node(&domain).txt.push(text.into_bytes().into());
    }

    /// What the site's publication can do.
    fn reckon(&self, id: SiteId, site: &Site) -> Standing {
        if site.servers != Servers::Sound {
            return Standing::Failing;
        }
        if !self.publishes(id) {
            return Standing::Unpublished;
        }
        let has_set = self.set_of(id, site).is_some();
        let has_spf = site.form != Form::MailFrom;
        let walked = site
            .provider
            .map_or(0, |provider| self.group_size(provider));
        // Over budget SPF has the word, if so many answers come without one that fails.
        let over = has_set && walked + site.hosts.len() > MAX_WALKED;
        match (has_set, has_spf) {
            (false, false) => Standing::Unpublished,
            (_, true) if site.width != Width::Narrow => Standing::OverWide,
            (true, _) if !over => Standing::Firm,
            (false, true) if !site.is_soft => Standing::Firm,
            _ => Standing::Soft,
        }
    }

    /// Hosts of a provider.
    fn group_size(&self, provider: SiteId) -> usize {
        self.world.site(provider).hosts.len()
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.nodes.entry(name.into()).or_default()
    }
}

impl Node {
    /// The records of a type.
    fn lookup(&self, kind: RecordType) -> Lookup {
        match kind {
            RecordType::A if !self.a.is_empty() => Lookup::Found(Records::A(self.a.clone())),
            RecordType::Aaaa if !self.aaaa.is_empty() => {
                Lookup::Found(Records::Aaaa(self.aaaa.clone()))
            }
            RecordType::Mx if !self.mx.is_empty() => Lookup::Found(Records::Mx(self.mx.clone())),
            RecordType::Txt if !self.txt.is_empty() => {
                Lookup::Found(Records::Txt(self.txt.clone()))
            }
            _ => Lookup::NoData,
        }
    }
}

/// The address of hosts that do not send.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// What is said of a name that has no records of its own.
fn beside(site: &Site, kind: RecordType) -> Lookup {
    if !site.has_wildcard {
        return Lookup::NxDomain;
    }
    if kind == RecordType::Mx {
        let inbound = format!("mx.{}", site.domain.as_ascii());
        Lookup::Found(Records::Mx(vec![mx(0, &inbound)]))
    } else {
        Lookup::NoData
    }
}

/// A definite answer.
fn definite(lookup: Lookup) -> Answer {
    let ttl = match lookup {
        Lookup::Found(_) => TTL,
        _ => NEGATIVE_TTL,
    };
    Answer {
        ttl,
        ..Answer::bare(lookup)
    }
}

/// The last two labels: every site of the world has that many.
fn apex(name: &str) -> &str {
    let dots = name.rmatch_indices('.').nth(1);
    dots.and_then(|(at, _)| name.get(at + 1..)).unwrap_or(name)
}

/// The names under which hosts are listed.
fn names(hosts: &[Host]) -> Vec<String> {
    hosts.iter().map(|host| host.listed().to_owned()).collect()
}

/// SPF mechanisms for hosts. Writing to a string cannot fail.
fn write_hosts(text: &mut String, hosts: &[Host], by_name: bool) {
    for host in hosts {
        if by_name {
            let _ = write!(text, " a:{}", host.name);
            continue;
        }
        let _ = write!(text, " ip4:{}", host.v4);
        if let Some(v6) = host.v6 {
            let _ = write!(text, " ip6:{v6}");
        }
    }
}

fn mx(preference: u16, exchange: &str) -> Mx {
    Mx {
        preference,
        exchange: name(exchange),
    }
}

/// A name of ours.
#[expect(
    clippy::expect_used,
    reason = "letters, digits and dots, never a peer's"
)]
fn name(text: &str) -> Name {
    Name::parse(text).expect("a name of the made-up world")
}
