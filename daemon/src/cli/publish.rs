//! `publish`: the records by which others can tell a domain's mail from a forgery.
//!
//! Decides nothing (`vouchsafe_proto::publish` does) and changes nothing anywhere: it prints. Asks
//! the DNS only where it must: for what an SPF record stands for, for a difference, and where a
//! resolver is named, whether hosts and groups are there. docs/publish.md explains the records.

mod report;

use std::net::IpAddr;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::publish::order::{FromSpf, Order};
use vouchsafe_proto::publish::plan::{Entry, Sender};
use vouchsafe_proto::publish::{TTL, TTL_CHANGING};
use vouchsafe_proto::residue::servers::LABEL as SENT;
use vouchsafe_proto::survey::Survey;
use vouchsafe_proto::survey::mail_from::is_group;
use vouchsafe_proto::verify::mail_from::LABEL;

use super::asking::Dns;
use super::{Ended, Exit, Failure, OrExit, print};
use crate::config::Config;
use crate::ledger::keeping::who_enters;

/// `vouchsafe publish ...`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The domain in the reverse-paths
    #[arg(value_name = "DOMAIN")]
    domain: Option<String>,
    /// A host that sends; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// An address or a network that sends; may be repeated
    #[arg(long = "network", value_name = "NET", value_parser = parse_network)]
    networks: Vec<IpNet>,
    /// A provider whose own MAIL-FROM set sends; may be repeated
    #[arg(long = "group", value_name = "DOMAIN")]
    groups: Vec<String>,
    /// Those who send by an SPF record: the one that the domain publishes, or RECORD
    #[arg(long, value_name = "RECORD", num_args = 0..=1, default_missing_value = "")]
    from_spf: Option<String>,
    /// The domain never sends
    #[arg(long, conflicts_with_all = ["hosts", "networks", "groups", "from_spf"])]
    never: bool,
    /// A host of a service that answers whether the domain sent a message: _sent is delegated to it; may be repeated. With
    /// the --config of a service that answers for the domain, those that it names
    #[arg(long = "ledger", value_name = "NAME")]
    ledger: Vec<String>,
    /// Seconds that others may keep the records, at most 3600
    #[arg(long, value_name = "SECONDS", default_value_t = TTL, conflicts_with = "changing",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(TTL)))]
    ttl: u32,
    /// The records are going to change: others may keep them for 300 seconds
    #[arg(long)]
    changing: bool,
    /// Show only what is different from what is published now
    #[arg(long)]
    diff: bool,
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    format: Form,
    #[command(flatten)]
    dns: Dns,
}

/// How the records look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A piece of a zone file
    #[default]
    Zone,
    /// An update, for nsupdate
    Nsupdate,
    /// For programs
    Json,
}

/// Shown below `publish --help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe publish example.org --host mail.example.org --network 192.0.2.8/29
  vouchsafe publish example.org --group isp.example --changing
  vouchsafe publish example.org --from-spf
  vouchsafe publish example.org --from-spf 'v=spf1 mx include:isp.example -all' --format json
  vouchsafe publish parked.example --never --format nsupdate | nsupdate -k KEY
  vouchsafe publish example.org --host mail.example.org --diff
  vouchsafe publish example.org --host mail.example.org --ledger mail.example.org
  vouchsafe publish example.org --host mail.example.org --config /etc/vouchsafe/vouchsafe.toml

Exit codes: 0 printed; 1 printed, but something that was asked for is not covered; 64 wrong usage;
65 no set within the limits holds what was asked for; 75 DNS failure.";

/// Does it.
pub fn run(command: &Command) -> Ended {
    let order = command.order()?;
    let compare = order.compare;
    let outcome = if order.look || compare {
        command.dns.run(Survey::new(order))?.findings
    } else {
        order.unasked()
    };
    report::doubts(&outcome);
    if outcome.trouble {
        return Err(anyhow!(
            "the DNS did not say what was needed: try again later"
        ))
        .or_exit(Exit::Temporary);
    }
    let plan = outcome.plan.as_ref().map_err(|error| Failure {
        exit: Exit::Data,
        error: error.clone().into(),
    })?;
    print::out(&match (command.format, compare) {
        (Form::Json, _) => format!("{:#}\n", report::json(plan, &outcome, compare)),
        (Form::Zone, false) => report::zone(plan),
        (Form::Zone, true) => report::difference(plan, &outcome),
        (Form::Nsupdate, _) => report::update(plan, &outcome, compare),
    })?;
    Ok(if plan.is_complete() {
        Exit::Ok
    } else {
        Exit::INCOMPLETE
    })
}

impl Command {
    /// What is ordered.
    fn order(&self) -> Result<Order, Failure> {
        let (domain, spf) = self.domain_and_spf()?;
        let senders = self.senders()?;
        if senders.is_empty() && !self.never && spf == FromSpf::No {
            return Err(anyhow!(
                "nobody sends: give --host, --network, --group or --from-spf, or --never if that \
                 is so"
            ))
            .or_exit(Exit::Usage);
        }
        let config = self.dns.config_of(&domain)?;
        let asks = self.dns.is_named() || spf != FromSpf::No;
        Ok(Order {
            ledger: self.answering(config.as_ref())?,
            writers: config.as_ref().map(|config| who_enters(config, &domain)),
            domain,
            senders,
            spf,
            never: self.never,
            ttl: if self.changing {
                TTL_CHANGING
            } else {
                self.ttl
            },
            look: asks || self.diff,
            // An update must take away the SPF record that is there now.
            compare: self.diff || (asks && self.format == Form::Nsupdate),
        })
    }

    /// The hosts that answer for the ledger. A name below `_sent` would need an address in the zone above it, which is not
    /// printed here.
    fn answering(&self, config: Option<&Config>) -> Result<Vec<Name>, Failure> {
        if self.ledger.is_empty() {
            let ledger = config.map(|config| &config.ledger);
            let answers = ledger.filter(|ledger| !ledger.address.is_empty());
            let hosts = answers.into_iter().flat_map(|ledger| &ledger.name_servers);
            return Ok(hosts.map(Name::from).collect());
        }
        let named = self.ledger.iter().map(|text| parse_name(text));
        let named: Vec<Name> = named.collect::<Result<_, _>>()?;
        let mut zones = named
            .iter()
            .map(|name| name.labels().any(|label| label.eq_ignore_ascii_case(SENT)));
        if zones.any(|is_below| is_below) {
            let why = "a host below _sent needs an address above it: name the host otherwise";
            return Err(anyhow!("{why}")).or_exit(Exit::Usage);
        }
        Ok(named)
    }

    /// The domain, and the SPF record to go by. `--from-spf example.org` has taken the domain for a
    /// record, and no record looks like that.
    fn domain_and_spf(&self) -> Result<(Domain, FromSpf), Failure> {
        let (domain, spf) = match (self.domain.as_deref(), self.from_spf.as_deref()) {
            (Some(domain), None) => (domain, FromSpf::No),
            (Some(domain), Some("")) | (None, Some(domain)) => (domain, FromSpf::Published),
            (Some(domain), Some(text)) => (domain, FromSpf::Given(text.into())),
            (None, None) => return Err(anyhow!("no DOMAIN was given")).or_exit(Exit::Usage),
        };
        match Domain::parse(domain) {
            Ok(domain) => Ok((domain, spf)),
            Err(error) => Err(anyhow!("{domain:?} is no domain: {error}")),
        }
        .or_exit(Exit::Usage)
    }

    /// Everybody who sends, in the order of hosts, networks, groups.
    fn senders(&self) -> Result<Vec<Entry>, Failure> {
        let mut senders = Vec::new();
        for text in &self.hosts {
            let sender = match text.parse::<IpAddr>() {
                Ok(address) => Sender::Network(address.into()),
                Err(_) => host(parse_name(text)?),
            };
            senders.push(entry(sender, "--host"));
        }
        for network in &self.networks {
            senders.push(entry(Sender::Network(*network), "--network"));
        }
        for text in &self.groups {
            let name = parse_name(text)?;
            let group = if is_group(&name) {
                name
            } else {
                name.child(LABEL).or_exit(Exit::Usage)?
            };
            senders.push(entry(Sender::Group(group), "--group"));
        }
        Ok(senders)
    }
}

fn entry(sender: Sender, origin: &str) -> Entry {
    Entry {
        sender,
        origin: origin.into(),
    }
}

/// A name whose first label is that of a set is a set wherever it stands.
fn host(name: Name) -> Sender {
    if is_group(&name) {
        Sender::Group(name)
    } else {
        Sender::Host(name)
    }
}

/// A host's or provider's name; IDNs as A-labels.
fn parse_name(text: &str) -> Result<Name, Failure> {
    match Domain::parse(text) {
        Ok(domain) => Ok(Name::from(&domain)),
        Err(error) => Err(anyhow!("{text:?} is no host or domain name: {error}")),
    }
    .or_exit(Exit::Usage)
}

/// A network, or an address alone.
fn parse_network(text: &str) -> Result<IpNet, ipnet::AddrParseError> {
    text.parse::<IpAddr>()
        .map(IpNet::from)
        .or_else(|_| text.parse())
}
