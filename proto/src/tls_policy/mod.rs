//! What TLS a host of a next hop must give before it gets a message: DANE (RFC 7672, RFC 6698,
//! RFC 7671), where a host has no TLSA records MTA-STS (RFC 8461), else what nobody demands, unless
//! the message itself does (REQUIRETLS, RFC 8689).
//!
//! Promises: a host whose policy cannot be known now gets nothing now, never mail in clear; what is
//! demanded is never weakened by what the host itself says; where nothing is demanded, mail goes as
//! it always did (opportunistic, RFC 7435).
//!
//! Left to others: the questions (`crate::mx` asks them with the rest of its search), the handshake
//! and the digests (the daemon), what follows from an outcome (the runner).

pub mod dane;
pub mod report;
pub mod sts;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use crate::addr::Domain;
use crate::dns::Name;
use crate::outcome::{Outcome, Remote};
use crate::smtp::deliver::StartTls;
use dane::Associations;
use report::{Ended, Kind};
use sts::{Mode, Policy};

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
    /// TLS with a certificate for the host's name, by an authority that everybody trusts
    /// (RFC 8461 §4.2).
    WebPki,
    /// As opportunistic, but whether [`Requirement::WebPki`] would have held is looked at
    /// (RFC 8461 §5, `testing`).
    Tested,
    /// As [`Requirement::WebPki`], because the message wants it (RFC 8689 §4.2.1).
    ByMessage,
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
    /// Whose rules withhold it, and why, for the counts.
    pub counted: (Kind, Ended),
}

impl Requirement {
    /// For the log: `none`, `tls`, `dane`, `mta-sts`, `mta-sts testing`, `requiretls`, `withheld`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Opportunistic => "none",
            Self::Encrypted => "tls",
            Self::Dane(_) => "dane",
            Self::WebPki => "mta-sts",
            Self::Tested => "mta-sts testing",
            Self::ByMessage => "requiretls",
            Self::Withheld(_) => "withheld",
        }
    }

    /// Under whose rules a session is counted (RFC 8460).
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Opportunistic | Self::ByMessage => Kind::NoPolicyFound,
            Self::Encrypted | Self::Dane(_) => Kind::Tlsa,
            Self::WebPki | Self::Tested => Kind::Sts,
            Self::Withheld(why) => why.counted.0,
        }
    }

    /// The name that the client says it wants to reach, if it is another than the host's: the
    /// TLSA base domain (RFC 7672 §8.1).
    pub fn server_name(&self) -> Option<&Name> {
        match self {
            Self::Dane(associations) => associations.names().first(),
            Self::Opportunistic
            | Self::Encrypted
            | Self::WebPki
            | Self::Tested
            | Self::ByMessage
            | Self::Withheld(_) => None,
        }
    }

    /// What a host must give of which the domain demands this, and which a message with REQUIRETLS
    /// is to reach. None if it cannot have such a message: nobody answers for the name of the host,
    /// neither DNSSEC (`secure`) nor a policy that lists it (RFC 8689 §4.2.1).
    #[must_use]
    pub fn for_required_tls(self, secure: bool) -> Option<Self> {
        match self {
            Self::Dane(_) | Self::WebPki | Self::ByMessage | Self::Withheld(_) => Some(self),
            Self::Tested => Some(Self::ByMessage),
            Self::Opportunistic | Self::Encrypted => secure.then_some(Self::ByMessage),
        }
    }

    /// How TLS is begun with a host that must give this.
    pub const fn starttls(&self) -> StartTls {
        match self {
            Self::Opportunistic | Self::Tested => StartTls::IfOffered,
            Self::Encrypted | Self::Withheld(_) => StartTls::Required,
            Self::Dane(_) | Self::WebPki | Self::ByMessage => StartTls::Verified,
        }
    }

    /// What follows from the policy of the host's domain: nothing where the host has TLSA records,
    /// which go before (RFC 8461 §2).
    #[must_use]
    pub fn under(self, policy: &Policy, domain: &Domain, host: &Name) -> Self {
        match (self, policy.mode, policy.lists(host)) {
            (Self::Opportunistic, Mode::Enforce, true) => Self::WebPki,
            (Self::Opportunistic, Mode::Testing, true) => Self::Tested,
            (Self::Opportunistic, Mode::Enforce, false) => Self::Withheld(Box::new(Withheld {
                // X.7.1: delivery not authorised (RFC 3463 §3.8).
                status: (4, 7, 1),
                text: format!("the MTA-STS policy of {domain} does not list {host}"),
                counted: (Kind::Sts, Ended::CertificateHostMismatch),
            })),
            (other, ..) => other,
        }
    }

    /// Whose demand it is, in a report's words; none where nothing is demanded.
    pub const fn demanded_by(&self) -> Option<&'static str> {
        match self {
            Self::Opportunistic | Self::Tested => None,
            Self::WebPki => Some("the MTA-STS policy of its domain demands"),
            Self::ByMessage => Some("the message demands (REQUIRETLS)"),
            Self::Encrypted | Self::Dane(_) | Self::Withheld(_) => Some("its TLSA records demand"),
        }
    }

    /// What the end of a handshake means that did not come to an accepted certificate; none where
    /// the message may go in clear instead.
    pub fn handshake_failed(&self, remote: Remote, why: &str) -> Option<Outcome> {
        let demanded_by = self.demanded_by()?;
        let name = &remote.name;
        let text = format!("TLS with {name}, which {demanded_by}, failed: {why}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Tlsa;

    #[test]
    fn what_a_message_demands_takes_nothing_from_what_the_domain_demands() {
        let wanted = [
            (Requirement::Opportunistic, None, "requiretls"),
            (Requirement::Encrypted, None, "requiretls"),
            (Requirement::Tested, Some("requiretls"), "requiretls"),
            (Requirement::WebPki, Some("mta-sts"), "mta-sts"),
        ];
        for (own, insecure, secure) in wanted {
            let demanded = |secure| own.clone().for_required_tls(secure);
            assert_eq!(demanded(false).map(|own| own.name()), insecure);
            assert_eq!(demanded(true).map(|own| own.name()), Some(secure));
            assert_eq!(demanded(true).unwrap().starttls(), StartTls::Verified);
        }
    }

    #[test]
    fn tlsa_records_go_before_a_policy() {
        let name = |text| Name::parse(text).unwrap();
        let domain = Domain::parse("example.org").unwrap();
        let record = Tlsa {
            usage: 3,
            selector: 1,
            matching: 1,
            data: [0; 32].into(),
        };
        let dane = Associations::of([record].into(), [name("mx.example.org")]).unwrap();
        let dane = Requirement::Dane(Box::new(dane));
        let withheld = Requirement::Withheld(Box::new(Withheld {
            status: (4, 4, 3),
            text: String::new(),
            counted: (Kind::Tlsa, Ended::DnssecInvalid),
        }));
        for (mode, listed, unlisted) in [
            ("enforce", "mta-sts", "withheld"),
            ("testing", "mta-sts testing", "none"),
            ("none", "none", "none"),
        ] {
            let text = format!("version: STSv1\nmode: {mode}\nmx: mx.example.org\nmax_age: 1");
            let policy = Policy::parse(text.as_bytes()).unwrap();
            for (host, wanted) in [("mx.example.org", listed), ("other.example.org", unlisted)] {
                let bare = Requirement::Opportunistic.under(&policy, &domain, &name(host));
                assert_eq!(bare.name(), wanted, "{mode} {host}");
                assert_eq!(bare.starttls().is_required(), mode == "enforce");
                for own in [&dane, &withheld, &Requirement::Encrypted] {
                    assert_eq!(&own.clone().under(&policy, &domain, &name(host)), own);
                }
            }
        }
    }
}
