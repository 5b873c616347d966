//! `ledger add`: a host that does not send through the service has what it sends entered before it sends it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::residue::Hour;
use vouchsafe_proto::residue::covered::Reader;
use vouchsafe_spool::ledger::{ANSWERED_HOURS, Entry, FUTURE_HOURS};

use super::super::ask::envelope;
use super::super::check::{parse_recipient, parse_reverse_path};
use super::super::lint::parse_domain;
use super::super::{ConfigFile, Ended, Exit, Failure, OrExit, print};
use crate::clock;
use crate::config::load;
use crate::config::schema::control_socket;
use crate::control::client::{AskError, ask};
use crate::control::wire::{Refusal, Request, digest_text};
use crate::ledger::{NotWhole, Sha256, entries};

/// `vouchsafe ledger add`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    #[command(flatten)]
    config: ConfigFile,
    /// The messages: files, or folders of files; without any, one on the standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The reverse-path, instead of that in the Return-Path field
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true, value_parser = parse_reverse_path)]
    mail_from: Option<ReversePath>,
    /// A recipient, instead of those in the Delivered-To and X-Original-To fields; may be repeated
    #[arg(long = "recipient", value_name = "ADDR", value_parser = parse_recipient)]
    recipients: Vec<ForwardPath>,
    /// The host that sends them, one of [ledger.writers]: it is heard of by this, also where there is no message
    #[arg(long, value_name = "NAME", value_parser = parse_domain)]
    host: Option<Domain>,
    /// Take each file away once its message is in the ledger
    #[arg(long)]
    remove: bool,
}

/// Shown below `ledger add --help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe ledger add --mail-from alice@example.org --recipient bob@example.net < message
  vouchsafe ledger add --host relay2.example.org --remove /var/spool/outgoing
  vouchsafe ledger add --host relay2.example.org < /dev/null     heard of, nothing to enter

A message must be entered before it is sent, as it is sent; one that cannot be must not be sent.
Exit codes: 0 all are in the ledger, durably; 64 wrong usage; 65 a message that cannot be entered; 66 a file cannot be read; 69 no service runs; 75 not now.";

/// A message with its envelope.
struct Sent {
    domain: Domain,
    entries: Vec<Entry>,
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    let folder = load(&command.config.path)?.config.data_dir;
    let socket = control_socket(&folder);
    if command.files.is_empty() {
        let mut message = std::io::stdin().lock();
        enter(command, &socket, &mut message, Path::new("standard input"))?;
        return Ok(Exit::Ok);
    }
    let mut count = 0_u64;
    for path in files(&command.files)? {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(&path)
            .with_context(cannot)
            .or_exit(Exit::NoInput)?;
        enter(command, &socket, &mut file, &path)?;
        if command.remove {
            std::fs::remove_file(&path)
                .with_context(|| {
                    format!("cannot remove {}, whose message is entered", path.display())
                })
                .or_exit(Exit::Io)?;
        }
        count = count.saturating_add(1);
    }
    if count == 0 {
        hand_in(command, &socket, None)?;
    }
    print::out(&format!("{count} entered\n"))?;
    Ok(Exit::Ok)
}

/// The files that are named, and those of folders that are.
fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut all = Vec::new();
    for path in named {
        let cannot = || format!("cannot read {}", path.display());
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        let listed = std::fs::read_dir(path)
            .with_context(cannot)
            .or_exit(Exit::NoInput)?;
        for entry in listed {
            let entry = entry.with_context(cannot).or_exit(Exit::NoInput)?;
            let kind = entry
                .file_type()
                .with_context(cannot)
                .or_exit(Exit::NoInput)?;
            if kind.is_file() {
                inside.push(entry.path());
            }
        }
        inside.sort();
        all.append(&mut inside);
    }
    Ok(all)
}

/// Reads one message, and has it entered.
fn enter(
    command: &Command,
    socket: &Path,
    message: &mut dyn Read,
    name: &Path,
) -> Result<(), Failure> {
    let sent = read(command, message, name)?;
    if sent.is_none() && command.host.is_none() {
        return Err(anyhow!("there is no message on the standard input")).or_exit(Exit::Data);
    }
    hand_in(command, socket, sent)
}

/// A message; none if there is not an octet.
fn read(command: &Command, message: &mut dyn Read, name: &Path) -> Result<Option<Sent>, Failure> {
    let mut reader = Reader::<Sha256>::default();
    let mut top = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = message
            .read(&mut piece)
            .with_context(|| format!("cannot read {}", name.display()))
            .or_exit(Exit::NoInput)?;
        let Some(octets) = piece.get(..read).filter(|octets| !octets.is_empty()) else {
            break;
        };
        reader.read(octets);
        if top.len() < envelope::MOST {
            top.extend_from_slice(octets);
        }
    }
    if top.is_empty() {
        return Ok(None);
    }
    let cannot = || format!("{} cannot be entered", name.display());
    let found = envelope::read(&top);
    let reverse_path = command.mail_from.clone().or(found.reverse_path);
    let domain = reverse_path.as_ref().and_then(ReversePath::domain).cloned();
    let (Some(reverse_path), Some(domain)) = (reverse_path, domain) else {
        return Err(anyhow!(
            "no reverse-path with a domain: name its --mail-from"
        ))
        .with_context(cannot)
        .or_exit(Exit::Data);
    };
    let recipients = if command.recipients.is_empty() {
        found.recipients
    } else {
        command.recipients.clone()
    };
    if recipients.is_empty() {
        return Err(anyhow!("no recipient: name its --recipient"))
            .with_context(cannot)
            .or_exit(Exit::Data);
    }
    let covered = reader.finish().with_context(cannot).or_exit(Exit::Data)?;
    if covered.message_id().is_none() {
        return Err(NotWhole::Identity)
            .with_context(cannot)
            .or_exit(Exit::Data);
    }
    let entries = entries(&covered, &reverse_path, &recipients);
    let entries = entries.with_context(cannot).or_exit(Exit::Data)?;
    if !entries.iter().all(is_entered) {
        return Err(anyhow!(
            "its Date is more than two weeks ago, or more than two days ahead"
        ))
        .with_context(cannot)
        .or_exit(Exit::Data);
    }
    Ok(Some(Sent { domain, entries }))
}

/// Whether a ledger enters what is dated so.
fn is_entered(entry: &Entry) -> bool {
    let Some(now) = Hour::at(clock::now().wall) else {
        return false;
    };
    let first = now.number().saturating_sub(ANSWERED_HOURS);
    let last = now.number().saturating_add(FUTURE_HOURS);
    (first..=last).contains(&entry.hour.number())
}

/// Gives the service what there is.
fn hand_in(command: &Command, socket: &Path, sent: Option<Sent>) -> Result<(), Failure> {
    let (domain, entries) = match sent {
        Some(sent) => (Some(sent.domain.to_string()), sent.entries),
        None => (None, Vec::new()),
    };
    let request = Request::Enter {
        host: command.host.as_ref().map(ToString::to_string),
        domain,
        entries: entries.iter().map(digest_text).collect(),
    };
    let answered = ask(socket, &request).and_then(|mut answer| match answer.next() {
        Some(reply) => reply.map(drop),
        None => Err(AskError::Incomplete),
    });
    answered.map_err(|error| {
        let exit = match &error {
            AskError::Nobody => Exit::Unavailable,
            AskError::Refused(Refusal::Domain | Refusal::Writer) => Exit::Data,
            AskError::Refused(Refusal::Ledger) => Exit::Temporary,
            AskError::Refused(_) | AskError::Unreadable(_) => Exit::Software,
            _ => Exit::Io,
        };
        Failure {
            exit,
            error: anyhow::Error::new(error).context("nothing was entered"),
        }
    })
}
