//! Why, in a sentence: for logs and `check`.

use alloc::format;
use alloc::string::String;

use super::{Evidence, Verdict, VerdictResult, Weight, forwarder, sender_domain};

impl Verdict {
    /// The piece that decided, in a sentence; where nothing did, the first.
    pub fn explanation(&self) -> String {
        self.decisive()
            .map(Evidence::explanation)
            .unwrap_or_default()
    }

    /// The piece that decided; where nothing did, the first.
    pub fn decisive(&self) -> Option<&Evidence> {
        let deciding: &[Weight] = match self.result {
            VerdictResult::Authorised => &[Weight::Proves],
            VerdictResult::Unknown => &[Weight::Clears],
            VerdictResult::Repudiated => &[Weight::Condemns, Weight::Against],
            VerdictResult::Tempfail => &[Weight::Trouble],
        };
        let found = self.deciding(deciding).map(|(piece, _)| piece);
        found.or_else(|| self.evidence.first())
    }
}

impl Evidence {
    /// What it says, in a sentence without a full stop. Names in it are A-labels, the rest is ours.
    pub fn explanation(&self) -> String {
        match self {
            Self::RelayClient { local_domain } => format!(
                "the client is in a network that we relay for, and the domain is {}one of ours",
                if *local_domain { "" } else { "not " }
            ),
            Self::MailFrom(report) => report.explanation(),
            Self::Spf(report) => report.sentence(),
            Self::Dkim { report, .. } => report.sentence(),
            Self::Ledger(report) => report.sentence(),
            Self::Bounce(report) => String::from(report.sentence()),
            Self::SenderDomain(report) => {
                let domain = &report.domain;
                match report.finding {
                    sender_domain::Finding::Sound => format!("{domain} exists"),
                    sender_domain::Finding::Absent => format!("{domain} does not exist"),
                    sender_domain::Finding::NullMx => {
                        format!("{domain} neither takes nor sends mail: its one MX is null")
                    }
                    sender_domain::Finding::NotKnown => {
                        format!("whether {domain} exists is not to be known now")
                    }
                }
            }
            Self::Forwarder(report) => {
                let forwarder = &report.forwarder;
                match report.standing {
                    forwarder::Standing::BorderRelay => {
                        format!("the client is a border relay of {forwarder}, a declared forwarder")
                    }
                    forwarder::Standing::Stranger => {
                        format!(
                            "the client is no border relay of {forwarder}, a declared forwarder"
                        )
                    }
                    forwarder::Standing::NotKnown => format!(
                        "whether the client is a border relay of {forwarder}, a declared forwarder, \
                         is not to be known now"
                    ),
                    forwarder::Standing::Lasting => format!(
                        "the DNS of {forwarder}, a declared forwarder, has failed for too long to \
                         hold up its mail"
                    ),
                }
            }
            Self::PerimeterOpen { name } => {
                format!(
                    "{name} of our own perimeter was never found in the DNS: the client may be it"
                )
            }
            Self::Postmaster => String::from("the recipient is a postmaster"),
            Self::Lasting => {
                String::from("the DNS has failed for too long to hold up the domain's mail")
            }
        }
    }
}
