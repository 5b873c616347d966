//! A DNS of a few names, for tests.

use std::collections::HashMap;

use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records};

use crate::dns::{Asking, Resolver};

/// Names and what is found there; everything else does not exist.
#[derive(Clone, Default)]
pub struct World(HashMap<(&'static str, RecordType), Records>);

impl World {
    /// A domain with these mail hosts.
    pub fn mx(mut self, domain: &'static str, exchanges: &[(u16, &str)]) -> Self {
        let set = exchanges.iter().map(|(preference, exchange)| Mx {
            preference: *preference,
            exchange: Name::parse(exchange).unwrap(),
        });
        let set = Records::Mx(set.collect());
        self.0.insert((domain, RecordType::Mx), set);
        self
    }

    /// A host with this address.
    pub fn a(mut self, host: &'static str, address: &str) -> Self {
        let set = Records::A(vec![address.parse().unwrap()]);
        self.0.insert((host, RecordType::A), set);
        self
    }
}

impl World {
    /// What is found there.
    pub fn look_up(&self, question: &Question) -> Answer {
        assert!(question.name.as_str() != TRAP, "a slip of ours");
        let found = self
            .0
            .iter()
            .find(|((name, kind), _)| *name == question.name.as_str() && *kind == question.kind);
        let exists = self
            .0
            .keys()
            .any(|(name, _)| *name == question.name.as_str());
        let lookup = match found {
            Some((_, records)) => Lookup::Found(records.clone()),
            None if exists => Lookup::NoData,
            None => Lookup::NxDomain,
        };
        Answer::bare(lookup)
    }
}

impl Resolver for World {
    fn ask(&self, question: Question) -> Asking<'_> {
        let answer = self.look_up(&question);
        Box::pin(async move { answer })
    }
}

/// A domain over which whoever asks for it panics.
pub const TRAP: &str = "trap.example";
