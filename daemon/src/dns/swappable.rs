//! A resolver that a reload can give other servers, while those who hold it go on asking.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use vouchsafe_proto::dns::Question;

use super::{Asking, Resolver, ServersError, Settings, Stub, Turning};
use crate::bounded::Figures;
use crate::config::Config;

/// The resolver, whose servers a reload can change under those who hold it.
pub struct Swappable {
    stub: ArcSwap<(Settings, Stub)>,
}

impl Swappable {
    /// The resolver of this configuration.
    pub fn new(config: &Config) -> Result<Self, ServersError> {
        let settings = Settings::of(config)?;
        let stub = Stub::new(settings.clone());
        Ok(Self {
            stub: ArcSwap::from_pointee((settings, stub)),
        })
    }

    /// Goes by another configuration. What is cached stays, unless the servers are others.
    pub fn follow(&self, config: &Config) -> Result<(), ServersError> {
        let settings = Settings::of(config)?;
        if self.stub.load().0 != settings {
            let stub = Stub::new(settings.clone());
            self.stub.store(Arc::new((settings, stub)));
        }
        Ok(())
    }

    /// How well its cache serves.
    pub fn figures(&self) -> Figures {
        self.stub.load().1.figures()
    }
}

impl Resolver for Swappable {
    fn ask(&self, question: Question) -> Asking<'_> {
        let stub = self.stub.load_full();
        Box::pin(async move { stub.1.ask(question).await })
    }

    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        let stub = self.stub.load_full();
        Box::pin(async move { stub.1.ask_for(client, question).await })
    }

    fn turn_for(&self, client: Option<IpAddr>) -> Turning<'_> {
        let stub = self.stub.load_full();
        Box::pin(async move { stub.1.turn_for(client).await })
    }
}
