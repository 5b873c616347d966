//! Is it really from there? Evidence about a reverse-path, and the verdict that follows from it.
//!
//! Each kind of evidence says one of five things ([`Weight`]); one function ([`Verdict::of`])
//! turns them into a verdict (DESIGN §3). A verdict cannot be made without evidence, and keeps it,
//! for logs and `check`. The word is always about a return path; *check* is about syntax.

pub mod dkim;
pub mod lasting;
pub mod mail_from;
pub mod spf;
mod step;

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::reply::Reply;

pub use self::step::{Action, AskId, Input, Machine, Step, TroubleAt};

/// The four verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VerdictResult {
    /// The reverse-path is true.
    Authorised,
    /// Nothing is known for or against it.
    Unknown,
    /// Its domain says that it is not true.
    Repudiated,
    /// Not to be known now.
    Tempfail,
}

impl fmt::Display for VerdictResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorised => "authorised",
            Self::Unknown => "unknown",
            Self::Repudiated => "repudiated",
            Self::Tempfail => "tempfail",
        })
    }
}

/// What one kind of evidence says (DESIGN §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The reverse-path is true.
    Proves,
    /// A repudiation does not hold; nothing is proven.
    Clears,
    /// The reverse-path is not true.
    Against,
    /// Nothing.
    Silent,
    /// Temporary failure: it may hide what would have proved.
    Trouble,
}

/// One kind of evidence, with what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a verdict holds two or three, and nearly always this one"
)]
#[non_exhaustive]
pub enum Evidence {
    /// The client is inside `[relay] from`. It proves a local domain's reverse-path, and says
    /// nothing about any other.
    RelayClient {
        /// The reverse-path's domain is one of ours.
        local_domain: bool,
    },
    /// The MAIL-FROM MX check (PROTOCOLS A).
    MailFrom(mail_from::Report),
}

impl Evidence {
    /// What it says.
    pub fn weight(&self) -> Weight {
        match self {
            Self::RelayClient { local_domain: true } => Weight::Proves,
            Self::RelayClient {
                local_domain: false,
            } => Weight::Silent,
            Self::MailFrom(report) => report.weight(),
        }
    }
}

/// The verdict on a reverse-path, with all the evidence it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    result: VerdictResult,
    evidence: Vec<Evidence>,
}

impl Verdict {
    /// Fuses evidence, of which there is always a first piece.
    pub fn of(first: Evidence, more: impl IntoIterator<Item = Evidence>) -> Self {
        let mut evidence = vec![first];
        evidence.extend(more);
        let weights: Vec<_> = evidence.iter().map(Evidence::weight).collect();
        Self {
            result: fuse(&weights),
            evidence,
        }
    }

    /// The verdict's one word.
    pub const fn result(&self) -> VerdictResult {
        self.result
    }

    /// What it rests on; never empty.
    pub fn evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    /// The MAIL-FROM MX check's report, if it was made.
    pub fn mail_from(&self) -> Option<&mail_from::Report> {
        self.evidence.iter().find_map(|piece| match piece {
            Evidence::MailFrom(report) => Some(report),
            Evidence::RelayClient { .. } => None,
        })
    }

    /// What MAIL is answered when the verdict refuses it (PROTOCOLS A.3); `None` to go on.
    pub fn refusal(&self) -> Option<Reply> {
        match self.result {
            VerdictResult::Authorised | VerdictResult::Unknown => None,
            VerdictResult::Repudiated | VerdictResult::Tempfail => {
                self.evidence.iter().find_map(|piece| match piece {
                    Evidence::MailFrom(report) => report.refusal(),
                    Evidence::RelayClient { .. } => None,
                })
            }
        }
    }
}

/// Any that proves, authorised; else any that clears, unknown; else any trouble, tempfail, since
/// it may hide what would have proved; else any against, repudiated; else unknown (DESIGN §3).
fn fuse(weights: &[Weight]) -> VerdictResult {
    let order = [
        (Weight::Proves, VerdictResult::Authorised),
        (Weight::Clears, VerdictResult::Unknown),
        (Weight::Trouble, VerdictResult::Tempfail),
        (Weight::Against, VerdictResult::Repudiated),
    ];
    order
        .into_iter()
        .find(|(weight, _)| weights.contains(weight))
        .map_or(VerdictResult::Unknown, |(_, result)| result)
}

#[cfg(test)]
mod tests {
    use super::mail_from::{Identity, Reason, Report};
    use super::{Evidence, Verdict, VerdictResult, Weight, fuse};
    use crate::addr::Domain;
    use alloc::string::ToString;
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn the_strongest_evidence_decides_in_every_company() {
        use VerdictResult::{Authorised, Repudiated, Tempfail, Unknown};
        use Weight::{Against, Clears, Proves, Silent, Trouble};
        let table = [
            (Proves, &[Clears, Trouble, Against, Silent][..], Authorised),
            (Clears, &[Trouble, Against, Silent], Unknown),
            (Trouble, &[Against, Silent], Tempfail),
            (Against, &[Silent], Repudiated),
            (Silent, &[], Unknown),
        ];
        for (strongest, company, result) in table {
            // Every subset of what is weaker, on either side.
            for subset in 0..1_usize << company.len() {
                let others = company.iter().enumerate();
                let others = others.filter(|(at, _)| subset >> at & 1 == 1);
                let mut weights: alloc::vec::Vec<_> = others.map(|(_, weight)| *weight).collect();
                weights.push(strongest);
                assert_eq!(fuse(&weights), result, "{weights:?}");
                weights.reverse();
                assert_eq!(fuse(&weights), result, "{weights:?}");
            }
        }
    }

    fn mail_from(reason: Reason) -> Evidence {
        let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
        Evidence::MailFrom(Report {
            domain: Domain::parse("example.org").ok(),
            ..Report::unasked(reason, client, Identity::ReversePath)
        })
    }

    #[test]
    fn a_verdict_keeps_its_evidence_and_refuses_with_its_words() {
        let relay = |local_domain| Evidence::RelayClient { local_domain };
        let table = [
            (mail_from(Reason::Host), None, "authorised", None),
            (mail_from(Reason::Limits), None, "unknown", None),
            (mail_from(Reason::NotListed), None, "repudiated", Some(550)),
            (mail_from(Reason::Temporary), None, "tempfail", Some(450)),
            (
                relay(true),
                Some(mail_from(Reason::NotListed)),
                "authorised",
                None,
            ),
            (
                relay(true),
                Some(mail_from(Reason::Temporary)),
                "authorised",
                None,
            ),
            (
                relay(false),
                Some(mail_from(Reason::NotListed)),
                "repudiated",
                Some(550),
            ),
            (relay(false), None, "unknown", None),
        ];
        for (first, second, word, code) in table {
            let pieces = 1 + usize::from(second.is_some());
            let verdict = Verdict::of(first, second);
            assert_eq!(verdict.result().to_string(), word);
            assert_eq!(
                verdict.refusal().map(|reply| reply.code()),
                code,
                "{verdict:?}"
            );
            assert_eq!(verdict.evidence().len(), pieces);
        }
    }
}
