//! `check`: the verdict on one reverse-path, and every step of the evidence.
//!
//! Runs the same verifier as the service, with an empty cache and on nothing but the DNS: it
//! touches no queue and sends no mail. Without `--config` there is no perimeter and nobody is
//! relayed for. How to read what it prints stands in docs/check.md.

mod dkim;
mod evidence;
mod refused;
mod report;
mod table;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use vouchsafe_proto::addr::{ForwardPath, ParsePathError, ReversePath};
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_proto::verify::timing::{Bounces, Moment, Possible};

use super::{Ended, Exit, Failure, Format, OrExit, Output, print};
use crate::config::{Config, load};
use crate::dns::{Resolver, Settings, Stub, system_servers};
use crate::perimeter::{Perimeter, Sources};
use crate::verify::{Policy, Verifier};

/// `vouchsafe check ...`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The client's address
    #[arg(long, value_name = "IP")]
    ip: IpAddr,
    /// What the client says in EHLO or HELO; it counts where the reverse-path is null
    #[arg(long, value_name = "NAME")]
    helo: Box<str>,
    /// The reverse-path as in MAIL FROM, with or without its brackets; '' or '<>' is null
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    mail_from: String,
    /// DNS resolver to ask, instead of the configuration's or the system's; may be repeated
    #[arg(long = "resolver", value_name = "IP:PORT", value_parser = parse_resolver)]
    resolvers: Vec<SocketAddr>,
    /// Configuration that gives perimeter, relay networks and resolvers; without it there are none
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// A recipient, whose declared forwarders are asked about too
    #[arg(long, value_name = "ADDR", requires = "config", value_parser = parse_recipient)]
    recipient: Option<ForwardPath>,
    /// A message, whose DKIM signatures are looked at too; its lines may end in LF or CRLF
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Shown below `check --help`.
const EXAMPLES: &str = "\
Example:
  vouchsafe check --ip 192.0.2.25 --helo mail.example.org --mail-from alice@example.org

Exit codes: 0 authorised or unknown, 1 repudiated, 64 wrong usage, 75 DNS failure (tempfail).";

/// Does it.
pub fn run(command: &Command) -> Ended {
    let reverse_path = reverse_path(command)?;
    let config = match &command.config {
        Some(path) => Some(load(path)?.config),
        None => None,
    };
    let resolver = resolver(&command.resolvers, config.as_ref())?;
    let policy = config.as_ref().map_or_else(Policy::default, Policy::of);
    let message = match &command.message {
        Some(path) => Some(dkim::read(path, policy.dkim.size)?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Software)?;
    let possible = config
        .as_ref()
        .map_or_else(without_config, Config::possible);
    let (verdict, moment) = runtime.block_on(async {
        let perimeter = perimeter(config.as_ref());
        perimeter.refresh(&resolver).await;
        let verifier = Arc::new(Verifier::new(resolver, Arc::new(perimeter), policy));
        let helo = command.helo.clone();
        let path = reverse_path.clone();
        let verdict = verifier.verify(path, helo, command.ip).await;
        let verdict = match &command.recipient {
            Some(recipient) if possible.said_at(&verdict) > Moment::Mail => {
                let (helo, client) = (&command.helo, command.ip);
                Arc::new(verdict.with(verifier.about_recipient(recipient, helo, client).await))
            }
            _ => verdict,
        };
        let moment = possible.said_at(&verdict);
        match message {
            Some(message) => {
                let about = (reverse_path, command.ip);
                dkim::judge(&verifier, &verdict, moment, about, message).await
            }
            None => (verdict, moment),
        }
    });
    print::out(&match command.output.format {
        Format::Text => report::text(&verdict, moment),
        Format::Json => format!("{:#}\n", report::json(&verdict, moment)),
    })?;
    Ok(match verdict.result() {
        VerdictResult::Authorised | VerdictResult::Unknown => Exit::Ok,
        VerdictResult::Repudiated => Exit::Repudiated,
        VerdictResult::Tempfail => Exit::Temporary,
    })
}

/// The reverse-path; where it is none, programs are still told what SPF says.
fn reverse_path(command: &Command) -> Result<ReversePath, Failure> {
    let parsed = parse_reverse_path(&command.mail_from)
        .with_context(|| format!("--mail-from {:?} is no reverse-path", command.mail_from))
        .or_exit(Exit::Usage);
    if parsed.is_err() && matches!(command.output.format, Format::Json) {
        print::out(&format!("{:#}\n", refused::json(command)?))?;
    }
    parsed
}

/// What MAIL FROM takes between its brackets, or with them.
pub(super) fn parse_reverse_path(text: &str) -> Result<ReversePath, ParsePathError> {
    if !text.starts_with('<') {
        return ReversePath::parse_inside(text);
    }
    match ReversePath::parse_prefix(text)? {
        (reverse_path, "") => Ok(reverse_path),
        (_, _) => Err(ParsePathError::Brackets),
    }
}

/// What may be learnt behind MAIL where nothing is configured: what the service has by default.
const fn without_config() -> Possible {
    Possible {
        bounces: Bounces::Taken,
        forwarders: false,
        postmaster: false,
        dkim: true,
        dkim_rescues: false,
    }
}

/// What RCPT TO takes between its brackets.
pub(super) fn parse_recipient(text: &str) -> Result<ForwardPath, ParsePathError> {
    ForwardPath::parse_inside(text)
}

/// `IP:PORT`, or an address alone for port 53.
pub(super) fn parse_resolver(text: &str) -> Result<SocketAddr, std::net::AddrParseError> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok((address, 53).into()),
        Err(_) => text.parse(),
    }
}

/// Asks the servers of the command line, else of the configuration, else of the system.
pub(super) fn resolver(
    named: &[SocketAddr],
    config: Option<&Config>,
) -> Result<Arc<dyn Resolver>, Failure> {
    let mut settings = match config {
        Some(config) => Settings::of(config).or_exit(Exit::Config)?,
        None => Settings::new(Vec::new()),
    };
    if !named.is_empty() {
        settings.servers = named.to_vec();
    } else if config.is_none() {
        settings.servers = system_servers().or_exit(Exit::Config)?;
    }
    if settings.servers.is_empty() {
        return Err(anyhow!("no DNS resolver to ask")).or_exit(Exit::Config);
    }
    Ok(Arc::new(Stub::new(settings)))
}

/// The perimeter of the configuration; none without one.
fn perimeter(config: Option<&Config>) -> Perimeter {
    config.map_or_else(Perimeter::default, |config| {
        Perimeter::new(&Sources::of(config))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_paths_are_read_with_or_without_brackets() {
        for (text, expected) in [
            ("", Some("")),
            ("<>", Some("")),
            ("a@example.org", Some("a@example.org")),
            ("<a@example.org>", Some("a@example.org")),
            ("<@x.example:a@example.org>", Some("a@example.org")),
            ("\"a>b\"@example.org", Some("\"a>b\"@example.org")),
            ("a@[192.0.2.1]", Some("a@[192.0.2.1]")),
            ("a", Some("a")),
            ("<a@example.org> SIZE=1", None),
            ("<a@example.org", None),
            ("a@example.org>", None),
            ("a b@example.org", None),
            ("a@", None),
        ] {
            let read = parse_reverse_path(text).ok();
            let shown = read.map(|path| path.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_resolver_without_a_port_is_at_53() {
        for (text, expected) in [
            ("127.0.0.1", Some("127.0.0.1:53")),
            ("127.0.0.1:5353", Some("127.0.0.1:5353")),
            ("::1", Some("[::1]:53")),
            ("[::1]:5353", Some("[::1]:5353")),
            ("localhost:53", None),
        ] {
            let read = parse_resolver(text).ok().map(|address| address.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
