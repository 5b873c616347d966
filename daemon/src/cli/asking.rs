//! Performs a machine's actions for a command: somebody waits at a terminal, nothing else runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::task::JoinSet;
use vouchsafe_proto::survey;
use vouchsafe_proto::verify::{Action, Input, Machine};

use super::check::{parse_resolver, resolver};
use super::{Exit, Failure, OrExit};
use crate::clock;
use crate::config::load;
use crate::dns::Resolver;

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Dns {
    /// DNS resolver to ask, instead of the configuration's or the system's; may be repeated
    #[arg(long = "resolver", value_name = "IP:PORT", value_parser = parse_resolver)]
    resolvers: Vec<SocketAddr>,
    /// Configuration that gives the resolvers
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Dns {
    /// True if somebody to ask was named.
    pub fn is_named(&self) -> bool {
        !self.resolvers.is_empty() || self.config.is_some()
    }

    /// Runs a machine to its end.
    pub fn run<M: Machine>(&self, machine: M) -> Result<M::Report, Failure> {
        let config = match &self.config {
            Some(path) => Some(load(path)?.config),
            None => None,
        };
        let resolver = resolver(&self.resolvers, config.as_ref())?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_exit(Exit::Software)?;
        Ok(runtime.block_on(drive(machine, &resolver)))
    }
}

/// Performs the actions until it is done. Questions still open are dropped then.
async fn drive<M: Machine>(mut machine: M, resolver: &Arc<dyn Resolver>) -> M::Report {
    let mut asking = JoinSet::new();
    // The machine sets its timer itself; until it does, this one holds.
    let mut timer = clock::now().mono.plus(survey::DEADLINE);
    let mut input = Input::Begin;
    loop {
        for action in machine.step(input, clock::now()) {
            match action {
                Action::Ask(id, question) => {
                    let resolver = Arc::clone(resolver);
                    asking.spawn(async move { (id, resolver.ask(question).await) });
                }
                Action::SetTimer(at) => timer = at,
                Action::Done(report) => return *report,
            }
        }
        input = tokio::select! {
            Some(Ok((id, answer))) = asking.join_next() => Input::Answer(id, answer),
            () = tokio::time::sleep_until(clock::instant(timer)) => {
                timer = clock::now().mono.plus(survey::DEADLINE);
                Input::TimerFired
            }
        };
    }
}
