//! What is to be looked at before records are published: names that lead nowhere now, and what others make of them.
//!
//! Promised: each says what it is about, so that somebody can go and look. Left to others: finding them (`order`,
//! `entered`).

use alloc::string::{String, ToString as _};
use core::fmt;

use crate::dns::Name;
use crate::survey::cover::Cover;
use crate::verify::spf::limits::MAX_LOOKUPS;

use super::plan::Sender;
use super::records::shown;

/// Something about a name that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A host without an address.
    NoAddress(Name),
    /// A group without a set.
    NoSet(Name),
    /// A name that could not be looked up now.
    Trouble(Name),
    /// The owner is an alias: nothing can be published beside it.
    Alias(Name, Name),
    /// A provider's set lacks addresses that its SPF record allows.
    Narrower(Name, Cover),
    /// A provider's set has addresses that its SPF record does not allow.
    Wider(Name, Cover),
    /// The SPF record takes more lookups than receivers make.
    Lookups(usize),
    /// Who sends, and enters nothing into the ledger.
    NotEntered(Sender),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress(name) => {
                let name = shown(name);
                write!(
                    f,
                    "{name} has no address now: publish one, or do not list it"
                )
            }
            Self::NoSet(name) => {
                let name = shown(name);
                write!(
                    f,
                    "{name} has no MX set with preference 0 now: its hosts are not covered"
                )
            }
            Self::Trouble(name) => {
                write!(f, "{} could not be looked up now", shown(name))
            }
            Self::Alias(owner, target) => write!(
                f,
                "{} is an alias of {} now: the alias must go first",
                shown(owner),
                shown(target)
            ),
            Self::Narrower(group, cover) => write!(
                f,
                "{} does not list what its domain's SPF record allows: {cover}; if mail comes from \
                 there, ask its owner to list it",
                shown(group)
            ),
            Self::Lookups(count) => write!(
                f,
                "the SPF record takes {count} DNS lookups, and receivers give up after {MAX_LOOKUPS} \
                 (RFC 7208 §4.6.4): write addresses in the place of names, or drop terms"
            ),
            Self::NotEntered(sender) => write!(
                f,
                "{} sends in the domain's name: unless what it sends is entered into the ledger as well \
                 ([ledger.writers]), that never says \"not sent\"",
                named(sender)
            ),
            Self::Wider(group, cover) => write!(
                f,
                "{} lists what its domain's SPF record does not allow: {cover}",
                shown(group)
            ),
        }
    }
}

/// As an operator would write it.
fn named(sender: &Sender) -> String {
    match sender {
        Sender::Host(name) | Sender::Group(name) => shown(name),
        Sender::Network(network) if network.prefix_len() == network.max_prefix_len() => {
            network.addr().to_string()
        }
        Sender::Network(network) => network.to_string(),
    }
}
