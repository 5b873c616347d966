//! `lint`: what is wrong or risky in what a domain publishes.
//!
//! Decides nothing (`vouchsafe_proto::lint` does). With `--probe` it also knocks at port 25 of the
//! relays, which is the one thing that the DNS does not tell; never without. docs/lint.md lists all
//! findings.

mod report;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::lint::{Finding, Findings, Kind, Lint, Severity};
use vouchsafe_proto::residue::{Digest, Hour, Hours, Kind as About, Question, Residues, Width};
use vouchsafe_proto::survey::Survey;

use super::asking::Dns;
use super::{Ended, Exit, Format, OrExit, Output, print};
use crate::verify::random_label;
use crate::{chance, clock};

/// `vouchsafe lint ...`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The domain in the reverse-paths
    #[arg(value_name = "DOMAIN", value_parser = parse_domain)]
    domain: Domain,
    /// A finding to pass over, by its word; may be repeated
    #[arg(long = "ignore", value_name = "WORD", value_parser = parse_kind)]
    ignored: Vec<Kind>,
    /// Connect to this port of the relays, to see whether they take connections from anybody
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "25")]
    probe: Option<u16>,
    #[command(flatten)]
    dns: Dns,
    #[command(flatten)]
    output: Output,
}

/// Shown below `lint --help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe lint example.org
  vouchsafe lint example.org --format json --ignore unsigned
  vouchsafe lint example.org --resolver 127.0.0.1:53 --probe

Exit codes: 0 nothing worse than info, 1 warnings, 2 errors, 64 wrong usage, 75 DNS failure: nothing
could be checked.";

/// Relays at whose doors is knocked, at most: as many as a receiver looks up.
const MAX_DOORS: usize = 30;

/// A prime of 64 bits. It need not be a secret: there is no message behind the question.
const PRIME: u64 = u64::MAX - 58;

/// The labels of a question to a ledger, about a digest that nobody has, of the hour before this one.
fn random_question() -> Box<str> {
    let octets = chance::octets::<16>().unwrap_or_default();
    let digest = Digest::new(u128::from_be_bytes(octets));
    let residues = Residues::of(digest, Width::Bits64, &[PRIME]);
    let question = residues.ok().and_then(|residues| {
        let this = Hour::at(clock::now().wall)?;
        let hour = Hour::new(this.number().checked_sub(1)?)?;
        Question::new(
            About::Message,
            Hours::From(hour, 1),
            digest.index(),
            residues,
        )
        .ok()
    });
    question.map_or_else(Box::default, |question| question.to_labels().into())
}

/// How long a relay may take to greet (RFC 5321 §4.5.3.2.1 gives it longer; nobody waits here).
const PATIENCE: Duration = Duration::from_secs(5);

/// Does it.
pub fn run(command: &Command) -> Ended {
    let report = command.dns.run(Survey::new(Lint {
        domain: command.domain.clone(),
        sibling: random_label(),
        question: random_question(),
        writers: command.dns.writers(&command.domain)?,
    }))?;
    let mut findings = report.findings;
    if findings.nothing_known {
        return Err(anyhow!(
            "nothing could be checked: the DNS does not answer for {}",
            command.domain
        ))
        .or_exit(Exit::Temporary);
    }
    if let Some(port) = command.probe {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_exit(Exit::Software)?;
        let open = runtime.block_on(open_doors(&findings, port));
        findings.list.extend(open);
        let worst_first = |finding: &Finding| std::cmp::Reverse(finding.kind.severity());
        findings.list.sort_by_key(worst_first);
    }
    let ignored = |finding: &Finding| command.ignored.contains(&finding.kind);
    findings.list.retain(|finding| !ignored(finding));
    print::out(&match command.output.format {
        Format::Text => report::text(&command.domain, &findings),
        Format::Json => {
            let object = report::json(&command.domain, &findings, report.steps.len(), report.cut);
            format!("{object:#}\n")
        }
    })?;
    Ok(
        match findings
            .list
            .iter()
            .map(|finding| finding.kind.severity())
            .max()
        {
            None | Some(Severity::Info) => Exit::Ok,
            Some(Severity::Warning) => Exit::WARNINGS,
            Some(Severity::Error) => Exit::Errors,
        },
    )
}

/// A domain name.
pub(super) fn parse_domain(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}

/// A kind of finding by its word.
fn parse_kind(text: &str) -> Result<Kind, String> {
    let mut all = Kind::ALL.iter();
    all.find(|kind| kind.as_str() == text)
        .copied()
        .ok_or_else(|| "no such finding; docs/lint.md lists them".to_owned())
}

/// Knocks at the relays, all at once. One that receives the domain's mail has to open.
async fn open_doors(findings: &Findings, port: u16) -> Vec<Finding> {
    let doors = findings
        .relays
        .iter()
        .filter(|(name, _)| !findings.inbound.contains(name));
    let mut knocking = tokio::task::JoinSet::new();
    for (name, address) in doors.take(MAX_DOORS).cloned() {
        knocking.spawn(async move { greets(address, port).await.then_some((name, address)) });
    }
    let mut open: Vec<(Name, IpAddr)> = Vec::new();
    while let Some(door) = knocking.join_next().await {
        open.extend(door.ok().flatten());
    }
    open.sort();
    let finding = |(name, address): (Name, IpAddr)| Finding {
        kind: Kind::OpenDoor,
        record: format!("{name} {address}"),
        effect: format!(
            "it greets strangers on port {port}: what it relays by mistake leaves in the domain's \
             name"
        ),
    };
    open.into_iter().map(finding).collect()
}

/// True if it says 220 to a stranger.
async fn greets(address: IpAddr, port: u16) -> bool {
    let greeting = async {
        let mut stream = TcpStream::connect((address, port)).await.ok()?;
        let mut octets = [0; 3];
        stream.read_exact(&mut octets).await.ok()?;
        Some(octets == *b"220")
    };
    let greeted = tokio::time::timeout(PATIENCE, greeting).await;
    greeted.ok().flatten() == Some(true)
}
