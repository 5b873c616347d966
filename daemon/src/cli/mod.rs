//! The command line: what there is to say, and which module does it.

mod ask;
mod asking;
mod bounce;
mod check;
mod config;
mod exit;
mod ledger;
mod lint;
mod listing;
mod print;
mod publish;
mod queue;
mod trace;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(test)]
pub use config::show as show_settings;
pub use exit::{Ended, Exit, Failure, OrExit};
pub use listing::show as show_message;
pub use print::out as print_out;
pub use trace::text as show_trace;

/// A mail server for a site's edge.
///
/// It verifies where mail comes from before it says 250, and delivers or reports what it has
/// taken.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: take mail, verify where it comes from, deliver it
    Serve(ConfigFile),
    /// See it at work on a small world of its own: eight stories, told as SMTP conversations
    Demo(crate::demo::Command),
    /// Give the verdict on a reverse-path, with every step of the evidence
    Check(check::Command),
    /// Ask the domain in a message's reverse-path whether it sent it, without telling it the message
    Ask(ask::Command),
    /// Print the DNS records by which others can tell a domain's mail from a forgery
    Publish(publish::Command),
    /// Say what is wrong or risky in what a domain publishes, and how to mend it
    Lint(lint::Command),
    /// Play partial adoption through: what is refused, what is lost, what it costs, in a made-up world
    Simulate(crate::simulate::Command),
    /// Check the configuration, or show what holds
    #[command(subcommand)]
    Config(config::Command),
    /// Look at the mail that waits, and say what becomes of it
    #[command(subcommand)]
    Queue(queue::Command),
    /// Look at the ledger of what was sent, and enter what other hosts send
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Say whether a message is a bounce, and of which message
    #[command(subcommand)]
    Bounce(bounce::Command),
    /// Tell one message's life: custody, verdict, attempts, replies, reports, with their times
    Trace(trace::Command),
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", short = 'c', value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    pub path: PathBuf,
}

/// How output looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The choice of [`Format`].
#[derive(Debug, Args)]
pub struct Output {
    /// Form of the output
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Shown below `--help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe demo                              what it does, in eight stories
  vouchsafe serve -c vouchsafe.toml           the service, in the foreground
  vouchsafe check --ip 192.0.2.25 --helo mail.example.org --mail-from alice@example.org
  vouchsafe ask message.eml                   did its domain send this?
  vouchsafe publish example.org --host mail.example.org
  vouchsafe lint example.org                  what is wrong with what it publishes?
  vouchsafe simulate --levels 10,50           what adoption changes, in a made-up world
  vouchsafe config check -c vouchsafe.toml    is the configuration right?
  vouchsafe queue list                        what waits, and why
  vouchsafe queue top                         where it waits; queue --help: hold, retry, remove, reroute
  vouchsafe queue show 1M2RA1CGT0QK7XHBD4ZN   all about one message
  vouchsafe trace 1M2RA1CGT0QK7XHBD4ZN        its whole life, also after it has left
  vouchsafe ledger stat                       what was sent, and since when all of it is known
  vouchsafe bounce parse message.eml          is it a bounce, and of what?

Exit codes are those of sysexits.h: 0 done, 64 wrong usage, 66 not found, 69 not reachable,
70 a mistake of ours, 74 read or write error, 75 try again later, 78 wrong configuration.";

/// Does what the command line says.
pub fn run() -> Exit {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Nothing can be done about a standard error that is gone.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                _ => Exit::Usage,
            };
        }
    };
    let ended = match line.command {
        Command::Serve(config) => crate::serve::run(&config.path),
        Command::Demo(command) => crate::demo::run(&command),
        Command::Check(command) => check::run(&command),
        Command::Ask(command) => ask::run(&command),
        Command::Publish(command) => publish::run(&command),
        Command::Lint(command) => lint::run(&command),
        Command::Simulate(command) => crate::simulate::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Queue(command) => queue::run(&command),
        Command::Ledger(command) => ledger::run(&command),
        Command::Bounce(command) => bounce::run(&command),
        Command::Trace(command) => trace::run(&command),
    };
    ended.unwrap_or_else(|failure| {
        print::error(&format!("vouchsafe: {:#}", failure.error));
        failure.exit
    })
}
