//! Is it really from there? Evidence about a reverse-path, and the verdict that follows from it.
//!
//! Each kind of evidence says one of five things ([`Weight`]); one function ([`Verdict::of`])
//! turns them into a verdict (DESIGN §3). A verdict cannot be made without evidence, and keeps it,
//! for logs and `check`. The word is always about a return path; *check* is about syntax.

pub mod lasting;
pub mod mail_from;

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::reply::Reply;

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
    /// Fuses evidence, of which there is always a first piece: any that proves, authorised; else
    /// any that clears, unknown; else any trouble, tempfail; else any against, repudiated; else
    /// unknown.
    pub fn of(first: Evidence, more: impl IntoIterator<Item = Evidence>) -> Self {
        let mut evidence = vec![first];
        evidence.extend(more);
        let says = |weight| evidence.iter().any(|piece| piece.weight() == weight);
        let result = if says(Weight::Proves) {
            VerdictResult::Authorised
        } else if says(Weight::Clears) {
            VerdictResult::Unknown
        } else if says(Weight::Trouble) {
            VerdictResult::Tempfail
        } else if says(Weight::Against) {
            VerdictResult::Repudiated
        } else {
            VerdictResult::Unknown
        };
        Self { result, evidence }
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
