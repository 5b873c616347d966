//! The made-up world: who is there, what each site would publish, and how it takes mail.
//!
//! Sites are ordinary domains, providers (the second stage of many domains), forwarders and backup
//! hosts. Nothing here hangs on the level of adoption but through two ranks: a site publishes, and
//! checks, once the level has come to its rank. So the same sites, with the same habits, stand at
//! every level, and what adopted at 30 % has adopted at 40 %.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vouchsafe_proto::addr::Domain;

use super::chance::Chance;
use super::traffic::SPAN;

/// Names a site.
pub type SiteId = usize;

/// What share of the sites has adopted, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adoption(pub u8);

/// Where a site stands in the order of adoption: in hundredths of a percent.
#[derive(Clone, Copy, Debug)]
pub struct Rank(u16);

impl Rank {
    /// True once so many have adopted.
    pub const fn has_adopted(self, adoption: Adoption) -> bool {
        self.0 < adoption.0 as u16 * 100
    }

    fn drawn(chance: &mut Chance) -> Self {
        Self(u16::try_from(chance.below(10_000)).unwrap_or(0))
    }
}

/// One host that sends.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in the DNS.
    pub name: String,
    /// Another name, an alias of it, by which it is listed.
    pub alias: Option<String>,
    /// Its IPv4 address.
    pub v4: Ipv4Addr,
    /// Its IPv6 address, if it has one.
    pub v6: Option<Ipv6Addr>,
}

impl Host {
    /// The name under which a set lists it.
    pub fn listed(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.name)
    }

    /// The address it comes from.
    pub fn address(&self, chance: &mut Chance) -> IpAddr {
        match self.v6 {
            Some(v6) if chance.happens(500) => v6.into(),
            _ => self.v4.into(),
        }
    }
}

/// What a site publishes when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A MAIL-FROM set and an SPF record.
    Both,
    /// A MAIL-FROM set alone.
    MailFrom,
    /// An SPF record alone.
    Spf,
}

/// How much of the Internet an SPF record lets in besides the site's own hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Nothing.
    Narrow,
    /// `+all`.
    All,
    /// Half of the addresses there are.
    Half,
}

/// What a site's name servers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// They answer, but for the share that fails anywhere.
    Sound,
    /// They fail, whatever is asked.
    Dead,
    /// They answer for the domain's own name, and fail for all names below it.
    DeadBelow,
}

/// By which name a site's hosts call themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helo {
    /// The host's own.
    Host,
    /// The domain's.
    Domain,
    /// `localhost`.
    Localhost,
}

/// A backup host for a site's incoming mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Whose.
    pub site: SiteId,
    /// It hands each connection through, and says whose it is (PROXY, XCLIENT); else it queues.
    pub is_live: bool,
}

/// One site.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "habits that are drawn apart from each other"
)]
pub struct Site {
    /// Its domain.
    pub domain: Domain,
    /// Its own hosts that send; none for a site that sends only through its provider, or never.
    pub hosts: Vec<Host>,
    /// The provider that also sends for it.
    pub provider: Option<SiteId>,
    /// It names the provider's smart host, not its group: the set is found at the second stage.
    pub names_smart_host: bool,
    /// When it begins to publish.
    pub publishes: Rank,
    /// When it begins to check.
    pub checks: Rank,
    /// What it publishes then.
    pub form: Form,
    /// Its SPF record ends in `~all`, not in `-all`.
    pub is_soft: bool,
    /// Its SPF record names its hosts; else it has their addresses.
    pub spf_has_names: bool,
    /// How wide its SPF record is.
    pub width: Width,
    /// It says with a TXT that its MAIL-FROM set is deliberate.
    pub has_sentinel: bool,
    /// It has `* MX 0 mx`, which answers for `MAIL-FROM` too until that has a set of its own.
    pub has_wildcard: bool,
    /// Its name servers.
    pub servers: Servers,
    /// What its hosts say in EHLO.
    pub helo: Helo,
    /// As a plain MTA: unknown recipients are refused in the session, not reported afterwards.
    pub knows_recipients: bool,
    /// As a plain MTA: reports nothing, so as not to tell the wrong one.
    pub is_mute: bool,
    /// As an adopter: holds the path and defers what is unproven; else stores, and reports.
    pub holds: bool,
    /// Its backup host.
    pub backup: Option<Backup>,
    /// As a forwarder: puts a reverse-path of its own in place of the sender's (SRS).
    pub rewrites: bool,
    /// Which of the retry policies its queue goes by.
    pub patience: usize,
    /// When it lists its last host, which it did not have before, to send by it alone from then on.
    pub moves: Option<u64>,
}

impl Site {
    /// The hosts of its own that it lists at this moment.
    pub fn listed_at(&self, now: u64) -> &[Host] {
        match (self.hosts.split_last(), self.moves) {
            (Some((_, before)), Some(moves)) if now < moves => before,
            _ => &self.hosts,
        }
    }

    /// The hosts of its own by which it sends at this moment: once it has moved, the new one.
    pub fn used_at(&self, now: u64) -> &[Host] {
        match (self.hosts.split_last(), self.moves) {
            (Some((_, before)), Some(moves)) if now < moves + self.patience_of_new_hosts() => {
                before
            }
            (Some((last, _)), Some(_)) => std::slice::from_ref(last),
            _ => &self.hosts,
        }
    }

    /// How long a new host waits once it is listed: a minute, as no rejection by a MAIL-FROM set
    /// rests on an older answer (PROTOCOLS A.2); as long as caches keep it where only the SPF record
    /// may count, which gives no such promise.
    const fn patience_of_new_hosts(&self) -> u64 {
        match self.form {
            Form::MailFrom | Form::Both if self.provider.is_none() => 61_000,
            _ => 3_661_000,
        }
    }

    /// True if mail comes from it at all.
    pub fn sends(&self) -> bool {
        !self.hosts.is_empty() || self.provider.is_some()
    }
}

/// All of them.
#[derive(Debug)]
pub struct World {
    /// What everything is drawn from.
    pub seed: u64,
    /// Ordinary domains, then providers, forwarders, backup hosts.
    pub sites: Vec<Site>,
    /// How many ordinary domains there are.
    pub domains: usize,
    /// How many providers.
    pub providers: usize,
    /// How many forwarders.
    pub forwarders: usize,
    /// How many that keep backup hosts.
    pub backups: usize,
}

/// Streams of chance, one for each thing that is drawn; the numbers mean nothing.
pub mod stream {
    /// A site.
    pub const SITE: u64 = 1;
    /// A message.
    pub const MESSAGE: u64 = 2;
    /// What happens on its way.
    pub const WAY: u64 = 3;
    /// Whether a next hop is down.
    pub const OUTAGE: u64 = 4;
    /// Whether a recipient declared a forwarder.
    pub const DECLARED: u64 = 5;
    /// To whom a site often writes.
    pub const CORRESPONDENT: u64 = 6;
}

/// Hosts of the provider that is too large for a set: above the budget of 30 (PROTOCOLS A.2).
const GIANT_HOSTS: usize = 36;

impl World {
    /// The world of this seed, with so many ordinary domains.
    pub fn new(seed: u64, domains: usize) -> Self {
        let mut world = Self {
            seed,
            sites: Vec::new(),
            domains,
            providers: (domains / 50).max(2),
            forwarders: (domains / 40).max(2),
            backups: (domains / 100).max(2),
        };
        let roles = [
            (Role::Domain, domains),
            (Role::Provider, world.providers),
            (Role::Forwarder, world.forwarders),
            (Role::Backup, world.backups),
        ];
        for (role, count) in roles {
            for number in 0..count {
                let site = world.draw(role, number);
                world.sites.push(site);
            }
        }
        world
    }

    /// A site.
    #[expect(
        clippy::indexing_slicing,
        reason = "ids are made here, and only for sites that are"
    )]
    pub fn site(&self, id: SiteId) -> &Site {
        &self.sites[id]
    }

    /// The id of the provider of this number.
    const fn provider(&self, number: usize) -> SiteId {
        self.domains + number
    }

    /// The id of the forwarder of this number.
    pub const fn forwarder(&self, number: usize) -> SiteId {
        self.domains + self.providers + number
    }

    /// The id of the backup host of this number.
    const fn backup(&self, number: usize) -> SiteId {
        self.domains + self.providers + self.forwarders + number
    }

    /// True if the site is a provider.
    pub fn is_provider(&self, id: SiteId) -> bool {
        (self.domains..self.domains + self.providers).contains(&id)
    }

    /// Draws the next site.
    fn draw(&self, role: Role, number: usize) -> Site {
        let id = self.sites.len();
        let chance = &mut Chance::of(&[self.seed, stream::SITE, wide(id)]);
        let name = format!("{}{number}.example", role.letter());
        let silent = role == Role::Domain && chance.happens(20);
        let uses_provider = !silent && role == Role::Domain && chance.happens(300);
        let provider = uses_provider.then(|| self.provider(chance.skewed_below(self.providers)));
        let own = match role {
            Role::Domain if silent => 0,
            Role::Domain if uses_provider && chance.happens(660) => 0,
            Role::Domain => 1 + chance.below(3),
            Role::Provider if number == 0 => GIANT_HOSTS,
            Role::Provider => 4 + chance.below(13),
            Role::Forwarder => 1 + chance.below(4),
            Role::Backup => 2,
        };
        let mut site = self.site_of(role, &name, chance);
        site.hosts = (0..own).map(|at| host(id, at, &name, chance)).collect();
        site.provider = provider;
        let span = usize::try_from(SPAN).unwrap_or(0);
        site.moves = (role == Role::Domain && own > 1 && chance.happens(300))
            .then(|| wide(chance.below(span)));
        site
    }

    /// Everything about a site but where its mail comes from.
    fn site_of(&self, role: Role, name: &str, chance: &mut Chance) -> Site {
        let is_domain = role == Role::Domain;
        let backup = (is_domain && chance.happens(150)).then(|| Backup {
            site: self.backup(chance.below(self.backups)),
            is_live: chance.happens(300),
        });
        Site {
            domain: domain(name),
            hosts: Vec::new(),
            provider: None,
            names_smart_host: chance.happens(500),
            publishes: Rank::drawn(chance),
            checks: Rank::drawn(chance),
            form: match (role, chance.below(10)) {
                (Role::Provider, _) | (_, 0..6) => Form::Both,
                (_, 6..8) => Form::MailFrom,
                _ => Form::Spf,
            },
            is_soft: is_domain && chance.happens(300),
            spf_has_names: chance.happens(400),
            width: match (is_domain, chance.below(100)) {
                (true, 0..2) => Width::All,
                (true, 2..4) => Width::Half,
                _ => Width::Narrow,
            },
            has_sentinel: chance.happens(600),
            has_wildcard: is_domain && chance.happens(30),
            servers: match (is_domain, chance.below(100)) {
                (true, 0) => Servers::Dead,
                (true, 1) => Servers::DeadBelow,
                _ => Servers::Sound,
            },
            helo: match chance.below(20) {
                0 => Helo::Localhost,
                1 | 2 => Helo::Domain,
                _ => Helo::Host,
            },
            knows_recipients: chance.happens(600),
            is_mute: chance.happens(200),
            holds: chance.happens(500),
            backup,
            rewrites: role == Role::Forwarder && chance.happens(200),
            patience: chance.below(super::queues::POLICIES),
            moves: None,
        }
    }
}

/// What a site is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Domain,
    Provider,
    Forwarder,
    Backup,
}

impl Role {
    /// What its name begins with.
    const fn letter(self) -> char {
        match self {
            Self::Domain => 'd',
            Self::Provider => 'p',
            Self::Forwarder => 'f',
            Self::Backup => 'b',
        }
    }
}

/// Hosts of one network: large sites have several, and a retry often comes from another one.
const HOSTS_A_NETWORK: usize = 4;

/// A host of a site. Each site has 64 networks of its own, in 16.0.0.0/4 and `2001:db8::/32`.
fn host(site: SiteId, at: usize, name: &str, chance: &mut Chance) -> Host {
    let network = at / HOSTS_A_NETWORK % 64;
    let last = at % HOSTS_A_NETWORK + 10;
    let v4 = 0x1000_0000 + ((site * 64 + network) << 8) + last;
    let segment = |number: usize| u16::try_from(number & 0xffff).unwrap_or(0);
    let v6 = Ipv6Addr::new(
        0x2001,
        0xdb8,
        segment(site),
        segment(network << 8),
        0,
        0,
        0,
        segment(last),
    );
    Host {
        name: format!("out{at}.{name}"),
        alias: chance.happens(30).then(|| format!("relay{at}.{name}")),
        v4: Ipv4Addr::from_bits(u32::try_from(v4).unwrap_or(0)),
        v6: chance.happens(200).then_some(v6),
    }
}

/// A name of ours as a domain.
#[expect(
    clippy::expect_used,
    reason = "letters, digits and a dot, never a peer's"
)]
fn domain(name: &str) -> Domain {
    Domain::parse(name).expect("a domain of the made-up world")
}

/// A number of things, as chance takes it.
pub fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
