//! The parts of `bench/answer`: what fills a ledger, what asks a server as fast as it answers, and a server that only
//! gives back what it was sent, which is the least that answering over UDP can cost.
//!
//! Who asks keeps so many questions under way, of a set that is made before: real digests of the ledger and others,
//! by prime moduli of 64 bits, with an OPT record and the cookie that the server has given. It looks at every answer,
//! and never sleeps, so that no server pays for waking it.

#![expect(clippy::print_stdout, reason = "a measurement is for whoever runs it")]

mod asking;
mod cpu;
mod echo;
mod fill;
mod questions;
mod socket;

use clap::{Parser, Subcommand};

/// What the commands may ask for.
#[derive(Debug, Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
    /// What cargo gives every benchmark; of no meaning here.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fills a ledger, and prints the last hour that something is in.
    Fill(fill::Run),
    /// Asks for a while, and prints answers a second, how many were lost, how many wrong, and the server's CPU
    /// microseconds for one.
    Ask(asking::Run),
    /// Gives back what comes, for ever; prints where.
    Echo,
}

fn main() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::Fill(run) => run.fill(),
        Command::Ask(run) => run.measure(),
        Command::Echo => echo::serve(),
    }
}
