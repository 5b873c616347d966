//! The configuration as the service works with it: plain values, all of them right.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use vouchsafe_proto::addr::{Domain, ForwardPath};
use vouchsafe_proto::residue;
use vouchsafe_proto::retry;
use vouchsafe_proto::route::{NextHop, Route, Routes};
use vouchsafe_proto::smtp::deliver;
use vouchsafe_proto::verify::forwarder::Declared;
use vouchsafe_proto::verify::timing::{self, Possible};

/// All of it. The keys' meaning stands in [`super::keys`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Our name.
    pub hostname: Domain,
    /// The folder of the queue and of the control socket.
    pub data_dir: PathBuf,
    /// Who gets mail for the bare postmaster; nobody, where no domain is local and none was named.
    pub postmaster: Option<ForwardPath>,
    /// Where connections are taken; never none.
    pub listen: Vec<Listen>,
    /// The local domains.
    pub domains: BTreeMap<Domain, LocalDomain>,
    /// The forwarders of single recipients, under [`Declared::key`].
    pub recipients: BTreeMap<Box<str>, Vec<Domain>>,
    /// Who may send to anywhere.
    pub relay: Relay,
    /// Our own outer hosts.
    pub perimeter: Perimeter,
    /// What is evidence about a reverse-path.
    pub verify: Verify,
    /// The resolver.
    pub dns: Dns,
    /// Our certificate, if we have one.
    pub tls: Option<Tls>,
    /// What clients may take of us.
    pub limits: Limits,
    /// When to try again.
    pub retry: retry::Policy,
    /// How mail leaves.
    pub delivery: Delivery,
    /// The log.
    pub log: Log,
    /// Where figures for a monitor can be had.
    pub metrics: Option<SocketAddr>,
    /// How long the notes about a message are kept; zero keeps none.
    pub history: Duration,
    /// Who is told what was sent.
    pub ledger: Ledger,
    /// What becomes of reports that come to us.
    pub bounces: Bounces,
}

/// One of `[[listen]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// Every connection begins with a PROXY header.
    pub proxy: bool,
}

/// One of `[domains]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDomain {
    /// Where its mail goes, and on what terms.
    pub route: Route,
    /// Who sends mail on to it.
    pub forwarders: Vec<Domain>,
}

/// `[relay]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Networks whose clients may send to anywhere.
    pub from: Vec<IpNet>,
    /// Where such mail goes, instead of by MX.
    pub next_hop: Option<NextHop>,
    /// The port of MX hosts.
    pub mx_port: u16,
    /// The port of hosts with MTA-STS policies.
    pub policy_port: u16,
}

/// `[perimeter]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Perimeter {
    /// Hosts by name, to be looked up.
    pub names: Vec<Domain>,
    /// Hosts by address.
    pub networks: Vec<IpNet>,
    /// What the DNS says of the local domains counts too.
    pub automatic: bool,
    /// Load balancers whose PROXY headers are believed.
    pub proxies: Vec<IpNet>,
    /// Hosts in front whose XCLIENT and XFORWARD are obeyed.
    pub xclient: Vec<IpNet>,
}

/// True for a client inside one of the networks. An IPv4-mapped address counts as IPv4.
pub fn any_contains(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}

/// `[verify]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each switch of the file"
)]
pub struct Verify {
    /// In whose name `Authentication-Results` is written.
    pub authserv_id: Domain,
    /// SPF is asked.
    pub spf: bool,
    /// Domains that do not exist or take no mail are refused.
    pub sender_domain: bool,
    /// What is no name in HELO is refused.
    pub helo: bool,
    /// Who sends mail on to the whole site.
    pub forwarders: Vec<Domain>,
    /// Repudiated mail may reach a postmaster.
    pub postmaster_exempt: bool,
    /// DKIM signatures are looked at.
    pub dkim: bool,
    /// Octets of the largest message whose signatures are looked at.
    pub dkim_size: u64,
    /// A signature of its domain may clear a reverse-path that MAIL-FROM MX repudiates.
    pub dkim_rescues: bool,
    /// Domains are asked whether they sent a message that nothing proves.
    pub ledger: bool,
    /// They are asked about what is proven, too.
    pub audit: bool,
    /// Servers at addresses of special use are asked, too.
    pub special_use: bool,
}

/// `[dns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Resolvers; none means the system's.
    pub servers: Vec<SocketAddr>,
    /// How long a question may take in all.
    pub timeout: Duration,
    /// Whether the AD bit is believed; `None` believes resolvers on loopback.
    pub trust_ad: Option<bool>,
    /// The port of authoritative servers.
    pub authority_port: u16,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// File with the chain.
    pub certificate: PathBuf,
    /// File with the private key.
    pub key: PathBuf,
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a message.
    pub message_size: u64,
    /// Recipients of a transaction.
    pub recipients: usize,
    /// `Received` fields of a message.
    pub received_fields: usize,
    /// Refused commands of a session.
    pub errors: u32,
    /// Sessions at the same time.
    pub sessions: usize,
    /// Sessions at the same time from one address.
    pub sessions_per_client: usize,
    /// Silence between commands.
    pub command_timeout: Duration,
    /// The same outside a transaction while the host is nearly full.
    pub pressed_timeout: Duration,
    /// Silence within content.
    pub content_timeout: Duration,
}

/// `[delivery]`.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the section"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Deliveries at the same time.
    pub connections: usize,
    /// Deliveries at the same time to one next hop.
    pub connections_per_destination: usize,
    /// Messages over one connection.
    pub messages_per_connection: u32,
    /// STARTTLS is used when it is offered.
    pub starttls: bool,
    /// TLSA records are looked for, and what they demand is held to.
    pub dane: bool,
    /// MTA-STS policies are fetched, and what they demand is held to.
    pub mta_sts: bool,
    /// Clients may ask that no hop without TLS gets their message.
    pub requiretls: bool,
    /// The authorities that MTA-STS trusts; the system's, without it.
    pub roots: Option<PathBuf>,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long the reply to a command may take.
    pub command_timeout: Duration,
    /// How long the reply to DATA may take.
    pub data_timeout: Duration,
    /// How long a piece of content may take.
    pub block_timeout: Duration,
    /// How long the reply to the end of content may take.
    pub completion_timeout: Duration,
}

impl Delivery {
    /// True if TLSA records are looked for. Without TLS there is nothing they could be held to.
    pub const fn follows_dane(&self) -> bool {
        self.starttls && self.dane
    }

    /// True if MTA-STS policies are looked for.
    pub const fn follows_mta_sts(&self) -> bool {
        self.starttls && self.mta_sts
    }

    /// True if REQUIRETLS is offered. Without TLS it could not be kept.
    pub const fn offers_require_tls(&self) -> bool {
        self.starttls && self.requiretls
    }

    /// The timers of the deliver machine.
    pub const fn timeouts(&self) -> deliver::Timeouts {
        deliver::Timeouts {
            greeting: self.command_timeout,
            hello: self.command_timeout,
            mail: self.command_timeout,
            recipient: self.command_timeout,
            data: self.data_timeout,
            block: self.block_timeout,
            completion: self.completion_timeout,
        }
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// The least weighty that are written.
    pub level: tracing::Level,
}

/// `[ledger]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Where the question is answered; none: nobody is answered.
    pub address: Vec<SocketAddr>,
    /// Who answers for the `_sent` zones; never none.
    pub name_servers: Vec<Domain>,
    /// What is wished for mail that was not sent.
    pub policy: residue::Policy,
    /// How much is answered.
    pub rates: LedgerRates,
    /// Hosts besides this one whose mail is all entered here; with a time: those that hand it in, and after how long
    /// of silence they may have sent what is not known.
    pub writers: BTreeMap<Domain, Option<Duration>>,
}

/// `[bounces]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounces {
    /// They are compared with what was sent from here.
    pub check: bool,
    /// Those that are provably about nothing of it are refused.
    pub refuse: bool,
}

/// How many questions of one network are answered in a second, over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRates {
    /// Of those whose address nothing shows to be true.
    pub strangers: u32,
    /// Of those with a cookie.
    pub with_cookie: u32,
    /// About a zone.
    pub zone: u32,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// The addresses at which connections are taken.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.listen.iter().map(|listen| listen.address).collect()
    }

    /// Whose forwarded mail is expected.
    pub fn forwarders(&self) -> Declared {
        let domains = self.domains.iter();
        let domains = domains.map(|(name, domain)| (name.clone(), domain.forwarders.clone()));
        Declared {
            site: self.verify.forwarders.clone(),
            domains: domains.collect(),
            recipients: self.recipients.clone(),
        }
    }

    /// What may be learnt of a reverse-path behind MAIL.
    pub fn possible(&self) -> Possible {
        Possible {
            forwarders: !self.forwarders().is_empty(),
            postmaster: self.verify.postmaster_exempt,
            dkim: self.verify.dkim,
            bounces: match (self.bounces.check, self.bounces.refuse) {
                (false, _) => timing::Bounces::Taken,
                (true, false) => timing::Bounces::Marked,
                (true, true) => timing::Bounces::Refused,
            },
            dkim_rescues: self.verify.dkim_rescues,
        }
    }

    /// Where mail goes.
    pub fn routes(&self) -> Routes {
        Routes {
            local: self
                .domains
                .iter()
                .map(|(name, domain)| (name.clone(), domain.route.clone()))
                .collect(),
            relay_from: self.relay.from.clone(),
            relay_next_hop: self.relay.next_hop.clone(),
            mx_port: self.relay.mx_port,
            postmaster: self.postmaster.clone(),
        }
    }
}

/// The socket in `data_dir`, beside the queue, by which the command line speaks to the service.
pub fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}
