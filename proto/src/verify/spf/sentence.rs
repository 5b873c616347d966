//! The report in one sentence: for logs, `check` and the demo; never for the peer.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::limits::{MAX_LOOKUPS, MAX_MX, MAX_VOID};
use super::{Identity, Matched, MechanismKind, Problem, ProblemKind, Report, SpfResult};
use crate::dns::MAX_ALIASES;

impl Report {
    /// Why, in one sentence without its full stop.
    pub fn sentence(&self) -> String {
        let client = self.client;
        let Some(domain) = &self.domain else {
            return self.nobody();
        };
        let domain = domain.as_ascii();
        let by = match &self.matched {
            Some(matched) => format!(": {}", because(matched)),
            None => String::new(),
        };
        match self.result {
            SpfResult::None => format!("{domain} publishes no SPF record"),
            SpfResult::Neutral if by.is_empty() => {
                format!("{domain} says nothing about {client}: nothing in its SPF record matches")
            }
            SpfResult::Neutral => format!("{domain} does not say whether {client} may send{by}"),
            SpfResult::Pass => format!("{client} may send for {domain}{by}"),
            SpfResult::Fail => format!("{client} may not send for {domain}{by}"),
            SpfResult::SoftFail => format!("{client} probably may not send for {domain}{by}"),
            SpfResult::TempError => format!("no SPF result for {domain} now: {}", self.troubles()),
            SpfResult::PermError => {
                let what = self.problem.as_ref().map(ToString::to_string);
                let what = what.unwrap_or_default();
                format!("what {domain} publishes as SPF cannot be followed: {what}")
            }
        }
    }

    /// There was no domain to ask.
    fn nobody(&self) -> String {
        String::from(match self.identity {
            Identity::Helo => "the reverse-path is null, and HELO gave no full host name",
            Identity::MailFrom => "the reverse-path has no domain that could publish SPF",
        })
    }

    /// `SERVFAIL for example.org TXT`, for each question that was not to be answered.
    fn troubles(&self) -> String {
        /// Enough to see what is wrong; the steps have the rest.
        const NAMED: usize = 3;
        let mut said: Vec<_> = self
            .trouble
            .iter()
            .map(|at| format!("{} for {} {}", at.trouble, at.name, at.kind))
            .collect();
        let open = self.steps.iter().filter(|step| step.answer.is_none());
        said.extend(open.map(|step| format!("no answer in time for {}", step.question)));
        if said.is_empty() {
            said.push(String::from("no time was left"));
        }
        said.truncate(NAMED);
        said.join("; ")
    }
}

/// What decided, and how the walk came there.
fn because(matched: &Matched) -> String {
    let Matched {
        directive, owner, ..
    } = matched;
    let what = match (&matched.network, matched.mechanism) {
        (Some(network), MechanismKind::A | MechanismKind::Mx) => {
            format!("{directive} in the record of {owner} leads to {network}")
        }
        _ => format!("{directive} in the record of {owner}"),
    };
    let mut text = what;
    for link in matched.chain.iter().rev() {
        // Writing to a String cannot fail.
        let _ = write!(text, ", by {} in that of {}", link.term, link.owner);
    }
    text
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = &self.owner;
        match self.kind {
            ProblemKind::Syntax(kind) => {
                write!(f, "the record of {owner} has {kind}")?;
                match self.at {
                    Some(at) => write!(f, " at octet {at}"),
                    None => Ok(()),
                }
            }
            ProblemKind::ManyRecords => write!(f, "{owner} has more than one record"),
            ProblemKind::BadName => {
                write!(
                    f,
                    "the record of {owner} has a name that the DNS cannot hold"
                )
            }
            ProblemKind::NoRecord => {
                write!(f, "the record of {owner} leads to one that is not there")
            }
            ProblemKind::Lookups => {
                write!(
                    f,
                    "the record of {owner} is over {MAX_LOOKUPS} terms that ask the DNS"
                )
            }
            ProblemKind::Void => write!(
                f,
                "the record of {owner} is over {MAX_VOID} terms that lead nowhere"
            ),
            ProblemKind::MxRecords => {
                write!(f, "an mx in the record of {owner} has over {MAX_MX} hosts")
            }
            ProblemKind::Aliases => {
                write!(
                    f,
                    "{owner} has more than {MAX_ALIASES} aliases, or a loop of them"
                )
            }
        }
    }
}
