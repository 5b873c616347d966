//! What TLS a host of a next hop must give before it gets a message: DANE (RFC 7672, RFC 6698,
//! RFC 7671), else what nobody demands.
//!
//! Promises: a host whose policy cannot be known now gets nothing now, never mail in clear; what is
//! demanded is never weakened by what the host itself says; where nothing is demanded, mail goes as
//! it always did (opportunistic, RFC 7435).
//!
//! Left to others: the questions (`crate::mx` asks them with the rest of its search), the handshake
//! and the digests (the daemon), what follows from an outcome (the runner).

pub mod dane;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::dns::Name;
use crate::outcome::{Outcome, Remote};
use dane::Associations;

/// What must hold of a session with one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: TLS where it is offered and comes to be, whoever's the certificate; else in clear.
    #[default]
    Opportunistic,
    /// TLS, whoever's the certificate: the host has TLSA records, and none that can be used
    /// (RFC 7672 §2.2).
    Encrypted,
    /// TLS with a certificate that the host's TLSA records name.
    Dane(Box<Associations>),
    /// This host is not to be used now.
    Withheld(Box<Withheld>),
}

/// Why a host is not to be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// What a report says of it: a transient status (RFC 3463).
    pub status: (u8, u16, u16),
    /// In our own words.
    pub text: String,
}

impl Requirement {
    /// For the log: `none`, `tls`, `dane`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opportunistic => "none",
            Self::Encrypted => "tls",
            Self::Dane(_) => "dane",
            Self::Withheld(_) => "withheld",
        }
    }

    /// The name that the client says it wants to reach, if it is another than the host's: the
    /// TLSA base domain (RFC 7672 §8.1).
    pub fn server_name(&self) -> Option<&Name> {
        match self {
            Self::Dane(associations) => associations.names().first(),
            Self::Opportunistic | Self::Encrypted | Self::Withheld(_) => None,
        }
    }

    /// True if a message may go in clear.
    pub const fn allows_clear(&self) -> bool {
        matches!(self, Self::Opportunistic)
    }

    /// Whose demand it is, in a report's words; none where nothing is demanded.
    pub const fn demanded_by(&self) -> Option<&'static str> {
        match self {
            Self::Opportunistic => None,
            Self::Encrypted | Self::Dane(_) | Self::Withheld(_) => Some("its TLSA records"),
        }
    }

    /// What the end of a handshake means that did not come to an accepted certificate; none where
    /// the message may go in clear instead.
    pub fn handshake_failed(&self, remote: Remote, why: &str) -> Option<Outcome> {
        let demanded_by = self.demanded_by()?;
        let name = &remote.name;
        let text = format!("TLS with {name}, which {demanded_by} demand, failed: {why}");
        // X.7.5: cryptographic failure (RFC 3463 §3.8).
        Some(Outcome::local((4, 7, 5), Some(remote), text))
    }
}

impl Withheld {
    /// As the end of an attempt at this host.
    pub fn outcome(&self, remote: Remote) -> Outcome {
        Outcome::local(self.status, Some(remote), self.text.clone())
    }
}
