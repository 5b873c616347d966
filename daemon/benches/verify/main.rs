//! The parts of `bench/verify` that must not be the bottleneck: the world that is asked about, a
//! delay on the way to its name server, our own verifier, and the load on a policy server.
//!
//! Drives the library's verifier, resolver and caches as the service has them, over real sockets.
//! Each measurement prints one line: name, sessions, verdicts a second, CPU microseconds a verdict,
//! DNS questions a verdict, and how many ended in which way. What the lines mean, and what they
//! are set beside, is in docs/performance.md.

#![expect(clippy::print_stdout, reason = "a measurement is for whoever runs it")]

mod bare;
mod delay;
mod ours;
mod policyd;
mod tally;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What `bench/verify` may ask for.
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
    /// Writes a zone and the list of what is asked about it into a folder.
    World {
        /// The folder.
        folder: PathBuf,
        /// Domains.
        #[arg(default_value_t = 400)]
        domains: usize,
    },
    /// Passes DNS datagrams on, and their answers back a while later.
    Delay {
        /// Where questions come in.
        listen: SocketAddr,
        /// Who answers them.
        server: SocketAddr,
        /// Milliseconds.
        millis: u64,
    },
    /// Ends when a name server answers.
    Await {
        /// The server.
        server: SocketAddr,
        /// A name whose address it knows.
        name: String,
    },
    /// Measures the exchanges with the server alone.
    Bare(bare::Run),
    /// Measures our own verifier.
    Ours(ours::Run),
    /// Measures a policy server on its standard input and output, as Postfix's spawn runs it.
    Policyd(policyd::Run),
}

fn main() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::World { folder, domains } => world::write(&folder, domains),
        Command::Delay {
            listen,
            server,
            millis,
        } => delay::serve(listen, server, millis),
        Command::Await { server, name } => ours::await_server(server, &name),
        Command::Bare(run) => run.measure(),
        Command::Ours(run) => run.measure(),
        Command::Policyd(run) => run.measure(),
    }
}
