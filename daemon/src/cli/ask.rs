//! `ask`: did the domain in its reverse-path send this message? Shows the questions, the answers, and what they mean.
//!
//! Asks as the service would (PROTOCOLS B.3): the domain's own servers, with a prime that nobody knew before. What the
//! answers come to is proto's to say. How to read what it prints stands in docs/ledger.md.

pub(super) mod envelope;
mod key;
mod report;

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::residue::covered::{Covered, Reader};
use vouchsafe_proto::residue::inquiry::{About as Subject, Inquiry, Meaning, Next};
use vouchsafe_proto::residue::servers::{self, Why};
use vouchsafe_proto::residue::{
    Digest, Hour, Hours, Kind, Offer, Question, Residues, Unanswered, Width, Word, is_prime,
};

use self::envelope::Envelope;
use self::key::Primes;
use super::asking::Dns;
use super::check::{parse_recipient, parse_reverse_path};
use super::lint::parse_domain;
use super::{Ended, Exit, Failure, Format, OrExit, Output, print};
use crate::clock;
use crate::ledger::{Asker, Oddity, Said, Secret, Sha256};

/// `vouchsafe ask ...`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Command {
    /// The message; its lines may end in LF or CRLF
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The reverse-path it came with, instead of that in its Return-Path field
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true, value_parser = parse_reverse_path)]
    mail_from: Option<ReversePath>,
    /// A recipient it came for, instead of those in its Delivered-To and X-Original-To fields; may be repeated
    #[arg(long = "recipient", value_name = "ADDR", value_parser = parse_recipient)]
    recipients: Vec<ForwardPath>,
    /// A domain that it may have been sent to first, as a forwarder's, besides those in its To and Cc fields; may be
    /// repeated
    #[arg(long, value_name = "DOMAIN", value_parser = parse_domain)]
    elsewhere: Vec<Domain>,
    /// Ask by this odd number of 64 bits again, instead of a new prime: two different ones tell the domain the whole
    /// digest of a message that is not its own
    #[arg(long, value_name = "HEX", value_parser = parse_modulus)]
    modulus: Option<u64>,
    /// Folder whose asking-key the primes follow from, instead of the configuration's: so that each call about a
    /// message asks the same
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port of the domain's servers, instead of the configuration's or 53
    #[arg(long, value_name = "PORT")]
    authority_port: Option<u16>,
    /// Ask servers at addresses of special use too: loopback, private networks
    #[arg(long)]
    special_use: bool,
    #[command(flatten)]
    dns: Dns,
    #[command(flatten)]
    output: Output,
}

/// Shown below `ask --help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe ask message.eml
  vouchsafe ask message.eml --mail-from alice@example.org --recipient bob@example.net --format json

Exit codes: 0 sent, altered, or nothing is known; 1 the domain says that it did not send it; 64 wrong
usage; 65 a message that nobody can be asked about; 66 not found; 75 the DNS, or the domain's servers,
gave no answer (one that cannot be read is unknown: 0).";

/// Domains of To and Cc that are looked at: more than are asked about, since some are the recipients'.
const MOST_ADDRESSEES: usize = 16;

/// What is asked about.
struct About {
    covered: Covered,
    reverse_path: ReversePath,
    /// The one that is asked.
    domain: Domain,
    /// Those of the recipients.
    recipients: Vec<Domain>,
    /// Those that it may have been sent to first: named ones, and those of To and Cc.
    elsewhere: Vec<Domain>,
    hour: Hour,
    primes: Primes,
}

/// One question, and what came of it.
struct Asked {
    subject: Subject,
    question: Question,
    outcome: Outcome,
}

/// What came of a question.
enum Outcome {
    /// These were asked.
    Said(Offer, Vec<IpAddr>, Said),
    /// The domain does not answer such a question, and was not asked.
    Unanswered(Offer, Unanswered),
    /// The domain takes no part.
    Absent,
    /// Nobody was found to ask.
    NotKnown(Why),
}

impl Asked {
    /// What was answered about a message of this hour.
    const fn word(&self, hour: Hour) -> Option<Word> {
        match &self.outcome {
            Outcome::Said(_, _, Said::Answer(answer)) => Some(answer.about(hour)),
            _ => None,
        }
    }

    /// True if the DNS was in the way.
    const fn is_trouble(&self) -> bool {
        match &self.outcome {
            Outcome::NotKnown(why) => matches!(why, Why::Dns(_)),
            Outcome::Said(_, _, said) => matches!(said, Said::Odd(Oddity::Trouble(_))),
            Outcome::Unanswered(..) | Outcome::Absent => false,
        }
    }
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    let (resolver, config) = command.dns.resolver()?;
    let kept_in = config.as_ref().map(|config| config.data_dir.as_path());
    let (secret, primes) = key::secret(command.data_dir.as_deref().or(kept_in))?;
    let about = about(command, primes)?;
    let configured = config.as_ref().map(|config| config.dns.authority_port);
    let port = command.authority_port.or(configured).unwrap_or(53);
    let asker = Asker::new(resolver, port, command.special_use);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Software)?;
    let how = How {
        asker,
        secret,
        modulus: command.modulus,
    };
    let (exchanges, meaning) = runtime.block_on(how.ask_all(&about));
    print::out(&match command.output.format {
        Format::Text => report::text(&about, &exchanges, &meaning),
        Format::Json => format!("{:#}\n", report::json(&about, &exchanges, &meaning)),
    })?;
    Ok(match meaning {
        Meaning::NotSent => Exit::Repudiated,
        Meaning::Unknown if exchanges.iter().any(Asked::is_trouble) => Exit::Temporary,
        _ => Exit::Ok,
    })
}

/// How it is asked.
struct How {
    asker: Asker,
    secret: Secret,
    /// The one to ask by, if one was given.
    modulus: Option<u64>,
}

impl How {
    /// Asks what proto wants to know, and gives each question with what came of it, and what they come to. Where nobody
    /// answers for the domain that is known after the first one.
    async fn ask_all(&self, about: &About) -> (Vec<Asked>, Meaning) {
        let mut inquiry = Inquiry::new(&about.recipients, &about.elsewhere);
        let mut all: Vec<Asked> = Vec::new();
        let mut next = inquiry.begin();
        loop {
            let wave = match next {
                Next::Ask(wave) => wave,
                Next::Done(meaning) => return (all, meaning),
            };
            let mut words = Vec::new();
            for subject in wave {
                let Some(digest) = digest(about, &subject) else {
                    // A message without an identity.
                    words.push(None);
                    continue;
                };
                let Some(exchange) = self.ask(about, subject, digest).await else {
                    words.push(None);
                    continue;
                };
                words.push(exchange.word(about.hour));
                let is_answered = matches!(exchange.outcome, Outcome::Said(..));
                all.push(exchange);
                if !is_answered {
                    return (all, Meaning::Unknown);
                }
            }
            next = inquiry.answered(&words);
        }
    }

    /// Finds who answers, and asks; nothing where a digest has no prime, which does not happen.
    async fn ask(
        &self,
        about: &About,
        subject: Subject,
        (kind, digest): (Kind, Digest),
    ) -> Option<Asked> {
        let domain = &about.domain;
        let modulus = self.modulus.or_else(|| self.secret.prime(digest, domain))?;
        let residues = Residues::of(digest, Width::Bits64, &[modulus]).ok()?;
        let hours = Hours::From(about.hour, 1);
        let question = Question::new(kind, hours, digest.index(), residues).ok()?;
        let seed = self.secret.seed(digest, domain);
        let now = Hour::at(clock::now().wall)?;
        let outcome = match self.asker.find(domain, &question, seed).await {
            servers::Report::Answers(offer, servers) => {
                match offer.answers(&residues, about.hour, now) {
                    Ok(()) => {
                        let heard = self.asker.ask(domain, &question, &servers).await;
                        Outcome::Said(offer, servers.addresses(), heard.said)
                    }
                    Err(why) => Outcome::Unanswered(offer, why),
                }
            }
            servers::Report::Absent => Outcome::Absent,
            servers::Report::NotKnown(why) => Outcome::NotKnown(why),
        };
        Some(Asked {
            subject,
            question,
            outcome,
        })
    }
}

/// The digest that a question is about; none where the message has no identity.
fn digest(about: &About, subject: &Subject) -> Option<(Kind, Digest)> {
    let (covered, reverse_path) = (&about.covered, &about.reverse_path);
    Some(match subject {
        Subject::Message(domain) => (
            Kind::Message,
            covered.digest::<Sha256>(domain, reverse_path)?,
        ),
        Subject::Identity => (Kind::Identity, covered.identity::<Sha256>(reverse_path)?),
    })
}

/// Reads the message and its envelope, and says why nobody can be asked about it.
fn about(command: &Command, primes: Primes) -> Result<About, Failure> {
    let (covered, envelope) = read(&command.file)?;
    let reverse_path = command.mail_from.clone().or(envelope.reverse_path);
    let reverse_path = reverse_path
        .ok_or_else(|| anyhow!("the message has no Return-Path field: name its --mail-from"))
        .or_exit(Exit::Usage)?;
    let domain = reverse_path
        .domain()
        .cloned()
        .ok_or_else(|| anyhow!("no domain stands behind the reverse-path <{reverse_path}>"))
        .or_exit(Exit::Data)?;
    let named = if command.recipients.is_empty() {
        envelope.recipients
    } else {
        command.recipients.clone()
    };
    let mut recipients: Vec<Domain> = Vec::new();
    for domain in named.iter().filter_map(ForwardPath::domain) {
        if !recipients.contains(domain) {
            recipients.push(domain.clone());
        }
    }
    if recipients.is_empty() {
        return Err(anyhow!(
            "it is not known whom the message came for: name its --recipient"
        ))
        .or_exit(Exit::Usage);
    }
    let hour = covered
        .hour()
        .with_context(|| format!("nobody can be asked about {}", command.file.display()))
        .or_exit(Exit::Data)?;
    let mut elsewhere = command.elsewhere.clone();
    elsewhere.extend(covered.addressees(MOST_ADDRESSEES));
    Ok(About {
        covered,
        reverse_path,
        domain,
        recipients,
        elsewhere,
        hour,
        primes: command.modulus.map_or(primes, |_| Primes::Given),
    })
}

/// What is covered of the message in a file, and what its header says of its envelope.
fn read(path: &Path) -> Result<(Covered, Envelope), Failure> {
    let cannot = || format!("cannot read {}", path.display());
    let mut file = File::open(path)
        .with_context(cannot)
        .or_exit(Exit::NoInput)?;
    let mut reader = Reader::<Sha256>::default();
    let mut top = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = file
            .read(&mut piece)
            .with_context(cannot)
            .or_exit(Exit::NoInput)?;
        let Some(octets) = piece.get(..read).filter(|octets| !octets.is_empty()) else {
            break;
        };
        reader.read(octets);
        if top.len() < envelope::MOST {
            top.extend_from_slice(octets);
        }
    }
    let covered = reader
        .finish()
        .with_context(|| format!("nobody can be asked about {}", path.display()))
        .or_exit(Exit::Data)?;
    Ok((covered, envelope::read(&top)))
}

/// A modulus that a question may have.
fn parse_modulus(text: &str) -> Result<u64, String> {
    let number = u64::from_str_radix(text, 16).map_err(|error| error.to_string())?;
    if number >> 63 == 1 && is_prime(number) {
        Ok(number)
    } else {
        Err("no prime of 64 bits".to_owned())
    }
}
