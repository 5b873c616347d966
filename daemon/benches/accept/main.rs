//! The parts of `bench/accept`, `bench/relay`, `bench/held` and `bench/trickle` that must not be the bottleneck: a
//! sender of messages that counts and times, a next hop that counts, and crowds of clients that only sit there, or
//! send slowly.
//!
//! In `bench/accept` and `bench/held` no command is pipelined, as Postfix's smtp-source does it: what a client waits
//! for is part of what is measured. Each measurement prints one line, whose columns stand at its printer. CPU and
//! memory are those of a process group: the server and all its children, ended ones included.

#![expect(clippy::print_stdout, reason = "a measurement is for whoever runs it")]

mod client;
mod crowd;
mod group;
mod load;
mod relay;
mod sink;
mod trickle;

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
    /// Sends messages for a while.
    Load(load::Run),
    /// Sends messages through a server to a sink.
    Relay(relay::Run),
    /// Opens sessions that say EHLO and nothing more.
    Crowd(crowd::Run),
    /// Sends many large messages at once, all of them slowly, through a server to a sink.
    Trickle(trickle::Run),
}

fn main() -> anyhow::Result<()> {
    let command = CommandLine::parse().command;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let local = tokio::task::LocalSet::new();
            match command {
                Command::Load(run) => local.run_until(run.measure()).await,
                Command::Relay(run) => local.run_until(run.measure()).await,
                Command::Crowd(run) => run.measure().await,
                Command::Trickle(run) => run.measure().await,
            }
        })
}
