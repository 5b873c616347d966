//! The report in one sentence: for logs, `check` and the demo; never for the peer.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::budget::{MAX_DEPTH, MAX_HOSTS, MAX_RECORDS, MAX_SETS, MAX_VOID};
use super::{Budget, Identity, Reason, Report};
use crate::dns::MAX_ALIASES;

impl Report {
    /// Why, in one sentence without its full stop.
    pub fn explanation(&self) -> String {
        let client = self.client;
        let domain = self.domain.as_ref().map_or("", |domain| domain.as_ascii());
        match self.reason {
            Reason::Host => format!("{client} is a border relay of {domain}: {}", self.matches()),
            Reason::HeloHost => format!(
                "{client} is an address of {domain}, the name it gives in HELO, and the \
                 reverse-path is null"
            ),
            Reason::NotListed => format!(
                "{client} is not a border relay of {domain}: MAIL-FROM.{domain} leads to {}, and \
                 none has that address",
                counted(self.hosts.len(), "host")
            ),
            Reason::NeverSends => {
                format!("MAIL-FROM.{domain} says that {domain} never appears in MAIL FROM")
            }
            Reason::Temporary => format!("no verdict on {domain} now: {}", self.troubles()),
            Reason::Dns => format!(
                "no verdict on {domain} for so long that its mail goes on: {}",
                self.troubles()
            ),
            Reason::Limits => format!(
                "MAIL-FROM.{domain} cannot be followed to its end: {}",
                list(
                    &self
                        .over
                        .iter()
                        .map(|over| limit(*over))
                        .collect::<Vec<_>>()
                )
            ),
            _ => self.unknown(domain),
        }
    }

    /// The sentences of the plain unknowns.
    fn unknown(&self, domain: &str) -> String {
        let owner = format!("MAIL-FROM.{domain}");
        match self.reason {
            Reason::Unpublished if self.identity == Identity::Helo => format!(
                "the reverse-path is null, and {domain}, the name given in HELO, publishes no \
                 {owner}"
            ),
            Reason::Unpublished => format!("{domain} publishes no {owner}"),
            Reason::OrdinaryMx => format!(
                "the MX records at {owner} have no preference 0: they were not made for this"
            ),
            Reason::Empty => format!("no host that {owner} leads to has any address"),
            Reason::Wildcard => format!("a wildcard makes the MX records at {owner}"),
            Reason::Perimeter => format!("{} is inside our own perimeter", self.client),
            Reason::Null => {
                String::from("the reverse-path is null, and HELO gave no full host name")
            }
            Reason::Literal => {
                String::from("the reverse-path has an address literal, for which no domain answers")
            }
            Reason::NoDomain => String::from("the reverse-path has no domain"),
            Reason::Unusable => {
                String::from("the reverse-path has a domain that the DNS cannot hold")
            }
            _ => format!("{owner} is longer than a name can be"),
        }
    }

    /// `rc.example.org, listed at mail-from.example.org`, for each host that matched.
    fn matches(&self) -> String {
        let said: Vec<_> = self
            .matched()
            .map(|host| {
                let lists = |set: &&super::PublishedSet| {
                    set.records.iter().any(|mx| mx.exchange == host.name)
                };
                match self.sets.iter().find(lists) {
                    Some(set) => format!("{} has that address, listed at {}", host.name, set.owner),
                    None => format!("{} has that address", host.name),
                }
            })
            .collect();
        list(&said)
    }

    /// `SERVFAIL for rc.example.org A`, for each question that was not to be answered.
    fn troubles(&self) -> String {
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
        list(&said)
    }
}

/// The first few of them, and how many more there are.
fn list<T: fmt::Display>(items: &[T]) -> String {
    /// Enough to see what is wrong; the steps have the rest.
    const NAMED: usize = 3;
    let mut text = String::new();
    for (at, item) in items.iter().take(NAMED).enumerate() {
        text.push_str(if at == 0 { "" } else { "; " });
        text.push_str(&item.to_string());
    }
    if let more @ 1.. = items.len().saturating_sub(NAMED) {
        // Writing to a String cannot fail.
        let _ = write!(text, "; and {more} more");
    }
    text
}

/// `1 host`, `2 hosts`.
fn counted(count: usize, word: &str) -> String {
    let mark = if count == 1 { "" } else { "s" };
    format!("{count} {word}{mark}")
}

/// What is too much.
fn limit(over: Budget) -> String {
    match over {
        Budget::Sets => format!("more than {MAX_SETS} sets"),
        Budget::Hosts => format!("more than {MAX_HOSTS} hosts"),
        Budget::Records => format!("a set of more than {MAX_RECORDS} records"),
        Budget::Void => format!("more than {MAX_VOID} names that lead nowhere"),
        Budget::Depth => format!("sets below level {MAX_DEPTH}"),
        Budget::Aliases => format!("more than {MAX_ALIASES} aliases for one name, or a loop"),
    }
}
