//! From the file to a [`Config`]: every section is read, then the sections are held against each
//! other, and only if nothing at all is wrong is there a configuration.

mod domains;
mod ledger;
mod verify;
mod ways_in;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;
use vouchsafe_proto::addr::{Domain, ForwardPath, Mailbox};
use vouchsafe_proto::retry;
use vouchsafe_proto::route::NextHop;

use super::keys;
use super::problem::{LoadError, Problem};
use super::read::{Place, Reader, Setting};
use super::schema::{
    Bounces, Config, Delivery, Dns, Ledger, Limits, Listen, Log, LogFormat, Perimeter, Relay, Tls,
    Verify,
};
use super::validate;

pub(super) use domains::DraftDomain;

/// A configuration, and each value it was made of.
#[derive(Debug)]
pub struct Loaded {
    /// For the service.
    pub config: Config,
    /// For `config show`: all that holds, in the order of reading.
    pub settings: Vec<Setting>,
}

/// Reads a file.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    parse(&read_file(path)?, path)
}

/// Only `data_dir` of a file, whatever else is wrong in it: the queue can be looked at in the
/// middle of an edit, or by somebody who may not read the key.
pub fn data_dir(path: &Path) -> Result<PathBuf, LoadError> {
    let text = read_file(path)?;
    let (table, syntax) = DeTable::parse_recoverable(&text);
    let mut reader = Reader::new(&text, !syntax.is_empty());
    let top = reader.top(table.get_ref());
    reader.problems.clear();
    if let Some(folder) = reader.text(&top, "data_dir", absolute) {
        return Ok(folder);
    }
    let mut problems = reader.problems;
    problems.extend(syntax_problems(&text, &syntax));
    Err(invalid(path, problems))
}

/// Reads a text as if it were the file at `path`.
pub fn parse(text: &str, path: &Path) -> Result<Loaded, LoadError> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(text, !syntax.is_empty());
    let draft = Draft::read(&mut reader, table.get_ref());
    let config = if syntax.is_empty() {
        validate::check(&draft, &mut reader);
        draft.finish()
    } else {
        let syntax = syntax_problems(text, &syntax);
        // What the parser made of a broken line is not worth a second complaint.
        reader
            .problems
            .retain(|problem| !syntax.iter().any(|broken| broken.line == problem.line));
        reader.problems.extend(syntax);
        None
    };
    match config {
        Some(config) if reader.problems.is_empty() => Ok(Loaded {
            config,
            settings: reader.settings,
        }),
        _ => Err(invalid(path, reader.problems)),
    }
}

/// The whole file; a mark of byte order at its start is dropped.
fn read_file(path: &Path) -> Result<String, LoadError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()),
        Err(source) => Err(LoadError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The mistakes by line, each once.
fn invalid(path: &Path, mut problems: Vec<Problem>) -> LoadError {
    problems.sort();
    problems.dedup();
    LoadError::Invalid {
        path: path.to_owned(),
        problems,
    }
}

/// What the TOML parser complained about, once a line: what follows the first follows from it.
fn syntax_problems(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let reader = Reader::new(text, true);
    let mut problems: Vec<_> = errors
        .iter()
        .map(|error| Problem {
            line: error.span().map(|span| reader.line(&span)),
            message: error.message().lines().collect::<Vec<_>>().join(", "),
            suggestion: None,
        })
        .collect();
    problems.dedup_by_key(|problem| problem.line);
    problems
}

/// What could be read so far; a part that is missing has its mistakes written down.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) hostname: Option<Domain>,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) postmaster: Option<ForwardPath>,
    /// In the order of the file; false when the section has mistakes of its own.
    pub(super) listen: (Vec<Listen>, bool),
    pub(super) domains: Vec<DraftDomain>,
    recipients: BTreeMap<Box<str>, Vec<Domain>>,
    pub(super) relay: Option<Relay>,
    pub(super) perimeter: Option<Perimeter>,
    pub(super) verify: Option<Verify>,
    pub(super) dns: Option<Dns>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) limits: Option<Limits>,
    pub(super) retry: Option<retry::Policy>,
    pub(super) delivery: Option<Delivery>,
    pub(super) log: Option<Log>,
    pub(super) metrics: Option<SocketAddr>,
    history: Option<Duration>,
    pub(super) ledger: Option<Ledger>,
    pub(super) bounces: Option<Bounces>,
}

impl Draft {
    /// Reads every section.
    fn read<'a>(reader: &mut Reader<'a>, table: &'a DeTable<'a>) -> Self {
        let top = reader.top(table);
        let hostname = reader.text(&top, "hostname", hostname);
        let data_dir = reader.text(&top, "data_dir", absolute);
        let mut postmaster = reader.text(&top, "postmaster", mailbox);
        let listen = ways_in::listen(reader, &top);
        let domains = domains::read(reader, &top);
        if !reader
            .settings
            .iter()
            .any(|setting| setting.key == "postmaster")
        {
            postmaster = domains::first_postmaster(reader, &domains);
        }
        let recipients = verify::read_recipients(reader, &top);
        let relay = read_relay(reader, &top);
        let perimeter = ways_in::perimeter(reader, &top);
        let verify = verify::read(reader, &top, hostname.as_ref());
        let dns = read_dns(reader, &top);
        let tls = reader.table(&top, &keys::TLS);
        let certificate = reader.text(&tls, "certificate", absolute);
        let key = reader.text(&tls, "key", absolute);
        let limits = read_limits(reader, &top);
        let retry = read_retry(reader, &top);
        let delivery = read_delivery(reader, &top);
        let log = read_log(reader, &top);
        let metrics = reader.table(&top, &keys::METRICS);
        let metrics = reader.text(&metrics, "address", socket);
        let history = reader.table(&top, &keys::HISTORY);
        let history = reader.duration(&history, "keep");
        let ledger = ledger::read(reader, &top, hostname.as_ref());
        let bounces = ledger::read_bounces(reader, &top);
        Self {
            hostname,
            data_dir,
            postmaster,
            listen,
            domains,
            recipients,
            relay,
            perimeter,
            verify,
            dns,
            certificate,
            key,
            limits,
            retry,
            delivery,
            log,
            metrics,
            history,
            ledger,
            bounces,
        }
    }

    /// The configuration, if every part is there.
    fn finish(self) -> Option<Config> {
        let mut domains = BTreeMap::new();
        for domain in self.domains {
            let (name, local) = domain.finish()?;
            domains.insert(name, local);
        }
        Some(Config {
            hostname: self.hostname?,
            data_dir: self.data_dir?,
            postmaster: self.postmaster,
            listen: self.listen.0,
            domains,
            recipients: self.recipients,
            relay: self.relay?,
            perimeter: self.perimeter?,
            verify: self.verify?,
            dns: self.dns?,
            tls: self
                .certificate
                .zip(self.key)
                .map(|(certificate, key)| Tls { certificate, key }),
            limits: self.limits?,
            retry: self.retry?,
            delivery: self.delivery?,
            log: self.log?,
            metrics: self.metrics,
            history: self.history?,
            ledger: self.ledger?,
            bounces: self.bounces?,
        })
    }
}

/// `[relay]`.
fn read_relay<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Relay> {
    let place = reader.table(top, &keys::RELAY);
    let from = reader.texts(&place, "from", relay_network);
    let next_hop = reader.text(&place, "next_hop", next_hop);
    let mx_port = reader.count(&place, "mx_port");
    let policy_port = reader.count(&place, "policy_port");
    Some(Relay {
        from: from?,
        next_hop,
        mx_port: mx_port?,
        policy_port: policy_port?,
    })
}

/// `[dns]`.
fn read_dns<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Dns> {
    let place = reader.table(top, &keys::DNS);
    let servers = reader.texts(&place, "servers", server);
    let timeout = reader.duration(&place, "timeout");
    let trust_ad = reader.word(&place, "trust_ad", |word| match word {
        "loopback" => Some(None),
        "always" => Some(Some(true)),
        "never" => Some(Some(false)),
        _ => None,
    });
    let authority_port = reader.count(&place, "authority_port");
    Some(Dns {
        servers: servers?,
        timeout: timeout?,
        trust_ad: trust_ad?,
        authority_port: authority_port?,
    })
}

/// `[limits]`.
fn read_limits<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Limits> {
    let place = reader.table(top, &keys::LIMITS);
    let message_size = reader.size(&place, "message_size");
    let recipients = reader.count(&place, "recipients");
    let received_fields = reader.count(&place, "received_fields");
    let errors = reader.count(&place, "errors");
    let sessions = reader.count(&place, "sessions");
    let sessions_per_client = reader.count(&place, "sessions_per_client");
    let command_timeout = reader.duration(&place, "command_timeout");
    let pressed_timeout = reader.duration(&place, "pressed_timeout");
    let content_timeout = reader.duration(&place, "content_timeout");
    Some(Limits {
        message_size: message_size?,
        recipients: recipients?,
        received_fields: received_fields?,
        errors: errors?,
        sessions: sessions?,
        sessions_per_client: sessions_per_client?,
        command_timeout: command_timeout?,
        pressed_timeout: pressed_timeout?,
        content_timeout: content_timeout?,
    })
}

/// `[retry]`.
fn read_retry<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<retry::Policy> {
    let place = reader.table(top, &keys::RETRY);
    let first = reader.duration(&place, "first");
    let longest = reader.duration(&place, "longest");
    let delay_notice = reader.duration(&place, "delay_notice");
    let expire = reader.duration(&place, "expire");
    Some(retry::Policy {
        first: first?,
        longest: longest?,
        delay_notice: delay_notice?,
        expire: expire?,
    })
}

/// `[delivery]`.
fn read_delivery<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Delivery> {
    let place = reader.table(top, &keys::DELIVERY);
    let connections = reader.count(&place, "connections");
    let connections_per_destination = reader.count(&place, "connections_per_destination");
    let messages_per_connection = reader.count(&place, "messages_per_connection");
    let starttls = reader.word(&place, "starttls", |word| match word {
        "may" => Some(true),
        "off" => Some(false),
        _ => None,
    });
    let dane = reader.switch(&place, "dane");
    let mta_sts = reader.switch(&place, "mta_sts");
    let requiretls = reader.switch(&place, "requiretls");
    let roots = reader.text(&place, "roots", absolute);
    let connect_timeout = reader.duration(&place, "connect_timeout");
    let command_timeout = reader.duration(&place, "command_timeout");
    let data_timeout = reader.duration(&place, "data_timeout");
    let block_timeout = reader.duration(&place, "block_timeout");
    let completion_timeout = reader.duration(&place, "completion_timeout");
    Some(Delivery {
        connections: connections?,
        connections_per_destination: connections_per_destination?,
        messages_per_connection: messages_per_connection?,
        starttls: starttls?,
        dane: dane?,
        mta_sts: mta_sts?,
        requiretls: requiretls?,
        roots,
        connect_timeout: connect_timeout?,
        command_timeout: command_timeout?,
        data_timeout: data_timeout?,
        block_timeout: block_timeout?,
        completion_timeout: completion_timeout?,
    })
}

/// `[log]`.
fn read_log<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Log> {
    let place = reader.table(top, &keys::LOG);
    let format = reader.word(&place, "format", |word| match word {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    let level = reader.word(&place, "level", |word| match word {
        "error" => Some(tracing::Level::ERROR),
        "warn" => Some(tracing::Level::WARN),
        "info" => Some(tracing::Level::INFO),
        "debug" => Some(tracing::Level::DEBUG),
        "trace" => Some(tracing::Level::TRACE),
        _ => None,
    });
    Some(Log {
        format: format?,
        level: level?,
    })
}

/// A domain of two labels or more.
fn hostname(text: &str) -> Result<Domain, String> {
    match Domain::parse(text) {
        Ok(domain) if domain.is_fully_qualified() => Ok(domain),
        Ok(_) => Err(format!("\"{text}\" is not fully qualified")),
        Err(why) => Err(format!("\"{text}\" is no domain name: {why}")),
    }
}

/// A path from the root: a service has no folder of its own to start from.
fn absolute(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err(format!("\"{text}\" is not a path from the root"))
    }
}

/// A full address.
fn mailbox(text: &str) -> Result<ForwardPath, String> {
    Mailbox::parse(text)
        .map(ForwardPath::Mailbox)
        .map_err(|why| format!("\"{text}\" is no address: {why}"))
}

/// `address:port`.
fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an address and a port; write \"192.0.2.1:25\" or \"[::]:25\"")
    })
}

/// `address` or `address:port`, with 53 if there is none.
fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|address| (address, 53).into());
    bare.or_else(|_| text.parse()).map_err(|_| {
        format!("\"{text}\" is no address of a resolver; write \"127.0.0.1\" or \"[::1]:5353\"")
    })
}

/// A next hop.
fn next_hop(text: &str) -> Result<NextHop, String> {
    NextHop::parse(text).map_err(|why| format!("\"{text}\": {why}"))
}

/// An address or a network without host bits.
fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("\"{text}\" is neither an address nor a network"))?;
    if network.trunc() != network {
        return Err(format!(
            "\"{text}\" names a host and a network at once; write \"{}\" or \"{}\"",
            network.trunc(),
            network.addr()
        ));
    }
    Ok(network)
}

/// A network that is not half the world: a slip of the pen must not make an open relay.
fn relay_network(text: &str) -> Result<IpNet, String> {
    let network = network(text)?;
    let least = if network.addr().is_ipv4() { 8 } else { 7 };
    if network.prefix_len() < least {
        return Err(format!(
            "\"{text}\" is so wide that this host would be an open relay; the widest is /{least}"
        ));
    }
    Ok(network)
}
