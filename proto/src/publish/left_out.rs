//! What no set holds: why, and what to do about it.

use alloc::boxed::Box;
use core::fmt;

use ipnet::IpNet;

use crate::survey::cover::Shown;

/// A sender that no set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The network, if it is one.
    pub network: Option<IpNet>,
    /// Where it was named.
    pub origin: Box<str>,
    /// Why.
    pub why: Why,
}

/// Why a sender is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// More addresses than are listed host by host.
    Wide,
    /// No room among the hosts that a receiver looks up.
    NoRoom,
    /// An SPF term that asks about the message, not about hosts: `exists`.
    Exists,
    /// An SPF term that goes by the client's own claim: `ptr`.
    Ptr,
    /// An SPF term with macros: other hosts for every message.
    Macro,
    /// An SPF term for everybody: `+all`.
    All,
    /// An SPF term that does not work: its record is broken or missing.
    Broken,
    /// An SPF term that the DNS did not answer for.
    Trouble,
}

impl Why {
    /// A stable word, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::NoRoom => "no_room",
            Self::Exists => "exists",
            Self::Ptr => "ptr",
            Self::Macro => "macro",
            Self::All => "all",
            Self::Broken => "broken",
            Self::Trouble => "trouble",
        }
    }

    /// The reason and what to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Wide => {
                "has too many addresses to be listed host by host. List only the hosts in it that \
                 send (--host), or have its owner publish a group and name that (--group); until \
                 then keep it in SPF"
            }
            Self::NoRoom => {
                "does not fit beside the other hosts: a receiver looks up 30. List only the hosts \
                 in it that send, or name its owner's group (--group); until then keep it in SPF"
            }
            Self::Exists => {
                "asks about each message, and a set lists hosts. Name the hosts behind it (--host) \
                 or their owner's group (--group); until then keep it in SPF"
            }
            Self::Ptr => {
                "goes by the client's own reverse DNS. Name the hosts (--host); RFC 7208 §5.5 \
                 advises against ptr in SPF too"
            }
            Self::Macro => {
                "means other hosts for other messages, and a set lists hosts. Name the hosts behind \
                 it (--host) or their owner's group (--group); until then keep it in SPF"
            }
            Self::All => "allows everybody, which is not to be published anywhere",
            Self::Broken => "does not work in SPF either: mend or remove it",
            Self::Trouble => "could not be looked up now: try again later",
        }
    }
}

/// `192.0.2.0/20 (ip4:192.0.2.0/20) has too many addresses ...`
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network {
            Some(network) if !self.origin.is_empty() => {
                write!(f, "{} ({})", Shown(network), self.origin)?;
            }
            Some(network) => write!(f, "{}", Shown(network))?,
            None => write!(f, "{}", self.origin)?,
        }
        write!(f, " {}", self.why.advice())
    }
}
