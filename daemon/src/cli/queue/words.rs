//! What can be said on the command line of `queue`: subcommands, conditions, forms of output.

use clap::{Args, Subcommand};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::route::NextHop;

use super::super::{ConfigFile, Format};
use crate::config::units::parse_duration;
use crate::operator::{Act, Filter};

/// `vouchsafe queue ...`
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List messages in the queue, the oldest first
    List {
        /// List at most so many
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        shape: Shape,
        #[command(flatten)]
        which: Which,
    },
    /// Show all that is known of one message; exit 66 if it is not in the queue
    Show {
        /// The queue id, as the reply to its sender and the log have it
        #[arg(value_name = "ID")]
        id: QueueId,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show where mail waits, by destination and by reason
    Top {
        /// Rows of each table
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        rows: usize,
        /// Messages that are read for the reasons, the oldest first
        #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
        sample: usize,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        shape: Shape,
    },
    /// Have messages tried now, and those with them whose next hop could not be reached
    Retry(Acting),
    /// Hold messages: they are not tried until they are released; their senders still hear in time
    Hold(Acting),
    /// Release messages that are held
    Release(Acting),
    /// Take messages out of the queue; say whether their senders are told
    Remove {
        #[command(flatten)]
        telling: Telling,
        #[command(flatten)]
        acting: Acting,
    },
    /// Send messages to another next hop; it stays with each message until taken back
    Reroute {
        /// As in the configuration: smtp://host:port, lmtp://…, lmtp+unix:/…, maildir:/…; or `normal`,
        /// to where the recipients' routes lead
        #[arg(long, value_name = "NEXT_HOP", value_parser = next_hop)]
        to: String,
        #[command(flatten)]
        acting: Acting,
    },
    /// Let nothing go to a domain until it is thawed, over restarts and reloads too
    Freeze {
        /// The recipients' domain
        #[arg(value_name = "DOMAIN", value_parser = domain)]
        domain: String,
        #[command(flatten)]
        file: ConfigFile,
    },
    /// Let mail go to a frozen domain again
    Thaw {
        /// The recipients' domain
        #[arg(value_name = "DOMAIN", value_parser = domain)]
        domain: String,
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// Whether the senders of what is removed are told: it must be said.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Telling {
    /// Send each sender a report that the operator removed the message
    #[arg(long)]
    report: bool,
    /// Tell nobody; for mail of which nobody must be told
    #[arg(long)]
    silently: bool,
}

/// What every subcommand that changes something takes.
#[derive(Debug, Args)]
pub struct Acting {
    /// Say what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub file: ConfigFile,
    #[command(flatten)]
    pub shape: Shape,
    // Last, because its heading is that of all that follows.
    #[command(flatten)]
    pub which: Which,
    /// Every message in the queue
    #[arg(long)]
    pub all: bool,
}

/// Which messages: those for which all that is given holds.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which messages (all conditions must hold)")]
pub struct Which {
    /// Those with a waiting recipient of this domain
    #[arg(long, value_name = "DOMAIN", value_parser = domain)]
    pub domain: Option<String>,
    /// Those that came longer ago than this: 30m, 4h, 2d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<u64>,
    /// Those that came less long ago than this
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub younger_than: Option<u64>,
    /// Those from this address; `@domain` for all of a domain, `<>` for reports
    #[arg(long, value_name = "ADDRESS")]
    pub sender: Option<String>,
    /// Those of whose last reason this is a part
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// This one; may be given several times
    #[arg(long, value_name = "ID")]
    pub id: Vec<QueueId>,
    /// Those that are held by the operator
    #[arg(long)]
    pub held: bool,
}

/// How output looks.
#[derive(Clone, Copy, Debug, Args)]
pub struct Shape {
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl Shape {
    /// The form that was asked for.
    pub const fn format(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

impl Which {
    /// As it is asked.
    pub fn filter(&self) -> Filter {
        Filter {
            domain: self.domain.clone(),
            older_than: self.older_than,
            younger_than: self.younger_than,
            sender: self.sender.clone(),
            reason: self.reason.clone(),
            ids: self.id.iter().map(ToString::to_string).collect(),
            held: self.held,
        }
    }
}

impl Command {
    /// What is to be done to messages, if it is that.
    pub fn act(&self) -> Option<(Act, &Acting)> {
        Some(match self {
            Self::Retry(acting) => (Act::Retry, acting),
            Self::Hold(acting) => (Act::Hold, acting),
            Self::Release(acting) => (Act::Release, acting),
            Self::Remove { acting, telling } => {
                let report = telling.report;
                (Act::Remove { report }, acting)
            }
            Self::Reroute { to, acting } => {
                let next_hop = Some(to.clone()).filter(|to| to != NORMAL);
                (Act::Reroute { next_hop }, acting)
            }
            _ => return None,
        })
    }
}

/// Takes a reroute back.
const NORMAL: &str = "normal";

fn age(text: &str) -> Result<u64, String> {
    let span = parse_duration(text);
    span.map(|span| span.as_secs())
        .ok_or_else(|| String::from("expected an age such as 30m, 4h or 2d"))
}

fn domain(text: &str) -> Result<String, String> {
    let filter = Filter {
        domain: Some(text.to_owned()),
        ..Filter::default()
    };
    match filter.mistake() {
        Some(mistake) => Err(mistake),
        None => Ok(text.to_owned()),
    }
}

fn next_hop(text: &str) -> Result<String, String> {
    if text == NORMAL {
        return Ok(text.to_owned());
    }
    let parsed = NextHop::parse(text).map_err(|error| error.to_string())?;
    Ok(parsed.to_string())
}

/// Shown below `--help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe queue top                                       where mail waits, and why
  vouchsafe queue list --domain example.org --older-than 4h
  vouchsafe queue retry --domain example.org                it is back: try now
  vouchsafe queue hold --sender @example.net --dry-run      what would be held?
  vouchsafe queue remove --id 1M2RA1CGT0QK7XHBD4ZN --report
  vouchsafe queue reroute --domain example.org --to smtp://backup.internal:25
  vouchsafe queue freeze example.org                        until vouchsafe queue thaw example.org

All of it works on a running service, and on the queue of a stopped one.
Exit codes: 66 no such message, 75 some are in hand at this moment: try again.";
