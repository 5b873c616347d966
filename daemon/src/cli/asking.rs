//! Runs a machine for a command: somebody waits at a terminal, nothing else runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::writers::Writers;
use vouchsafe_proto::verify::Machine;

use super::check::{parse_resolver, resolver};
use super::{Exit, Failure, OrExit};
use crate::config::{Config, load};
use crate::dns::Resolver;
use crate::ledger::keeping::who_enters;
use crate::verify::drive;

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Dns {
    /// DNS resolver to ask, instead of the configuration's or the system's; may be repeated
    #[arg(long = "resolver", value_name = "IP:PORT", value_parser = parse_resolver)]
    resolvers: Vec<SocketAddr>,
    /// Configuration of the service: its resolvers, and what else of it matters here
    #[arg(long, short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Dns {
    /// True if somebody to ask was named.
    pub fn is_named(&self) -> bool {
        !self.resolvers.is_empty() || self.config.is_some()
    }

    /// The configuration, if one was named.
    fn config(&self) -> Result<Option<Config>, Failure> {
        match &self.config {
            Some(path) => Ok(Some(load(path)?.config)),
            None => Ok(None),
        }
    }

    /// Who enters what is sent in this domain's name, where the configuration is of a service that takes its mail.
    pub fn writers(&self, domain: &Domain) -> Result<Option<Writers>, Failure> {
        let config = self.config_of(domain)?;
        Ok(config.map(|config| who_enters(&config, domain)))
    }

    /// The configuration, if one was named whose service takes this domain's mail.
    pub fn config_of(&self, domain: &Domain) -> Result<Option<Config>, Failure> {
        let config = self.config()?;
        Ok(config.filter(|config| config.domains.contains_key(domain)))
    }

    /// Runs a machine to its end.
    pub fn run<M: Machine>(&self, machine: M) -> Result<M::Report, Failure> {
        let (resolver, _) = self.resolver()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_exit(Exit::Software)?;
        Ok(runtime.block_on(drive(machine, None, &resolver)))
    }

    /// Who is to be asked, and the configuration, if one was named.
    pub fn resolver(&self) -> Result<(Arc<dyn Resolver>, Option<Config>), Failure> {
        let config = self.config()?;
        let resolver = resolver(&self.resolvers, config.as_ref())?;
        Ok((resolver, config))
    }
}
