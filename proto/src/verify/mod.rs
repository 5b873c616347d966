//! Is it really from there? Evidence about a reverse-path, and the verdict that follows from it.
//!
//! Each kind of evidence says one of six things ([`Weight`]); one function (in `fusion`)
//! turns them into a verdict (DESIGN §3). A verdict cannot be made without evidence, and keeps it,
//! for logs and `check`. The word is always about a return path; *check* is about syntax. What all of
//! it means to a postmaster stands in `docs/verdict.md`.
//!
//! Map: `mail_from` the MAIL-FROM MX check · `spf` RFC 7208 · `sender_domain` does the domain exist ·
//! `dkim` what signatures mean · `ledger` what the domain itself says of the message · `forwarder` whom a recipient has mail sent on by · `inquiry` what
//! is known at MAIL, in one machine · `timing` when a verdict is said · `told` what those behind us
//! are told · `lasting` trouble that does not pass · `step` the shape of all machines that ask.

pub mod bounce;
pub mod dkim;
pub mod forwarder;
mod fusion;
pub mod inquiry;
mod known;
pub mod lasting;
pub mod ledger;
pub mod mail_from;
pub mod sender_domain;
mod sentence;
pub mod spf;
mod step;
pub mod timing;
pub mod told;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use crate::addr::ReversePath;
use crate::dns::Name;
use crate::reply::Reply;

use self::fusion::{fuse, mail_from_weight, weights};
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

impl VerdictResult {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authorised => "authorised",
            Self::Unknown => "unknown",
            Self::Repudiated => "repudiated",
            Self::Tempfail => "tempfail",
        }
    }

    /// True if it says that the mail is not taken, now or ever.
    pub const fn refuses(self) -> bool {
        matches!(self, Self::Repudiated | Self::Tempfail)
    }
}

impl fmt::Display for VerdictResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one kind of evidence says (DESIGN §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The reverse-path is true.
    Proves,
    /// A repudiation does not hold; nothing is proven.
    Clears,
    /// The reverse-path is not true, and nothing clears it.
    Condemns,
    /// The reverse-path is not true.
    Against,
    /// Nothing.
    Silent,
    /// Temporary failure: it may hide what would have proved.
    Trouble,
}

impl Weight {
    /// The stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proves => "proves",
            Self::Clears => "clears",
            Self::Condemns => "condemns",
            Self::Against => "against",
            Self::Silent => "silent",
            Self::Trouble => "trouble",
        }
    }
}

/// One kind of evidence, with what it saw. Shared, since verdicts are kept and given out again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Evidence {
    /// The client is inside `[relay] from`. It proves a local domain's reverse-path, and says
    /// nothing about any other.
    RelayClient {
        /// The reverse-path's domain is one of ours.
        local_domain: bool,
    },
    /// The MAIL-FROM MX check (PROTOCOLS A).
    MailFrom(Arc<mail_from::Report>),
    /// SPF (RFC 7208).
    Spf(Arc<spf::Report>),
    /// Whether the reverse-path's domain exists, and takes mail at all.
    SenderDomain(Arc<sender_domain::Report>),
    /// A forwarder that the recipient, its domain or the site declared (PROTOCOLS A.5).
    Forwarder(Arc<forwarder::Report>),
    /// The signatures of the content (RFC 6376).
    Dkim {
        /// What they come to.
        report: Arc<dkim::Report>,
        /// What they are held against.
        reverse_path: ReversePath,
        /// One may clear what the MAIL-FROM MX check repudiates.
        rescues: bool,
    },
    /// What the domain's ledger says of the message (PROTOCOLS B).
    Ledger(Arc<ledger::Report>),
    /// What our own ledger says of the message that a report is about (PROTOCOLS B.6).
    Bounce(bounce::Report),
    /// A host of our own perimeter has never been looked up with success: the client may be it.
    PerimeterOpen {
        /// The host.
        name: Name,
    },
    /// The recipient is a postmaster, whom repudiated mail may reach too where the site says so.
    Postmaster,
    /// Trouble has lasted for so long that it counts as nothing known (PROTOCOLS A.2 step 5).
    Lasting,
}

impl Evidence {
    /// Which kind it is: the stable word, for logs and `check`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::RelayClient { .. } => "relay_client",
            Self::MailFrom(_) => "mail_from_mx",
            Self::Spf(_) => "spf",
            Self::SenderDomain(_) => "sender_domain",
            Self::Forwarder(_) => "forwarder",
            Self::Dkim { .. } => "dkim",
            Self::Ledger(_) => "ledger",
            Self::Bounce(_) => "bounce",
            Self::PerimeterOpen { .. } => "perimeter_open",
            Self::Postmaster => "postmaster",
            Self::Lasting => "lasting",
        }
    }

    /// What it says, beside what the MAIL-FROM MX check says: only where that is silent does
    /// another's word prove (DESIGN §3).
    pub fn weight(&self, mail_from: Weight) -> Weight {
        match self {
            Self::RelayClient { local_domain: true } => Weight::Proves,
            Self::RelayClient {
                local_domain: false,
            } => Weight::Silent,
            Self::MailFrom(report) => report.weight(),
            Self::Spf(report) => report.weight(mail_from),
            Self::Dkim {
                report,
                reverse_path,
                rescues,
            } => report.weight(reverse_path, mail_from, *rescues),
            Self::Ledger(report) => report.weight(),
            Self::Bounce(report) => report.weight(),
            Self::SenderDomain(report) => report.weight(),
            Self::Forwarder(report) => report.weight(),
            Self::PerimeterOpen { .. } => Weight::Trouble,
            Self::Postmaster | Self::Lasting => Weight::Clears,
        }
    }

    /// True if it is about a recipient, not about the reverse-path: what one, or the site, has declared.
    const fn is_of_recipient(&self) -> bool {
        matches!(self, Self::Forwarder(_) | Self::Postmaster)
    }

    /// The same, without each question and answer.
    fn without_steps(&self) -> Self {
        match self {
            Self::MailFrom(report) => Self::MailFrom(Arc::new(report.without_steps())),
            Self::Spf(report) => Self::Spf(Arc::new(report.without_steps())),
            Self::SenderDomain(report) => Self::SenderDomain(Arc::new(sender_domain::Report {
                domain: report.domain.clone(),
                steps: Vec::new(),
                ..**report
            })),
            Self::Forwarder(report) => Self::Forwarder(Arc::new(forwarder::Report {
                forwarder: report.forwarder.clone(),
                standing: report.standing,
                evidence: report.evidence.iter().map(Self::without_steps).collect(),
            })),
            Self::Dkim {
                report,
                reverse_path,
                rescues,
            } => Self::Dkim {
                report: Arc::new(report.without_steps()),
                reverse_path: reverse_path.clone(),
                rescues: *rescues,
            },
            Self::Ledger(report) => Self::Ledger(Arc::new(report.without_steps())),
            piece => piece.clone(),
        }
    }

    /// The reply that refuses the mail, if this evidence is a reason to with this weight.
    fn refusal(&self, weight: Weight) -> Option<Reply> {
        match self {
            Self::MailFrom(report) => report.refusal(),
            Self::Spf(report) => report.refusal(),
            Self::Dkim { .. } => Some(Reply::new(
                451,
                (4, 4, 3),
                "temporary failure checking the DKIM signature, try again later",
            )),
            Self::Ledger(report) => report.refusal(weight),
            Self::Bounce(report) => Some(report.refusal()),
            Self::SenderDomain(report) => report.refusal(),
            Self::Forwarder(report) => report.refusal(),
            Self::PerimeterOpen { .. } => Some(Reply::new(
                450,
                (4, 4, 3),
                "temporary DNS failure, try again later",
            )),
            Self::RelayClient { .. } | Self::Postmaster | Self::Lasting => None,
        }
    }

    /// Questions that were asked of the resolver for it.
    pub fn questions(&self) -> u32 {
        match self {
            Self::MailFrom(report) => report.questions,
            Self::Spf(report) => report.questions,
            Self::Dkim { report, .. } => report.questions,
            Self::Ledger(report) => u32::try_from(report.steps.len()).unwrap_or(u32::MAX),
            Self::SenderDomain(report) => report.questions,
            Self::Forwarder(report) => report.questions(),
            Self::RelayClient { .. }
            | Self::Bounce(_)
            | Self::PerimeterOpen { .. }
            | Self::Postmaster
            | Self::Lasting => 0,
        }
    }

    /// Each question with its answer.
    pub fn steps(&self) -> Vec<&Step> {
        match self {
            Self::MailFrom(report) => report.steps.iter().collect(),
            Self::Spf(report) => report.steps.iter().collect(),
            Self::Dkim { report, .. } => report.steps.iter().collect(),
            Self::Ledger(report) => report.steps.iter().collect(),
            Self::SenderDomain(report) => report.steps.iter().collect(),
            Self::Forwarder(report) => report.steps(),
            Self::RelayClient { .. }
            | Self::Bounce(_)
            | Self::PerimeterOpen { .. }
            | Self::Postmaster
            | Self::Lasting => Vec::new(),
        }
    }

    /// Seconds for which it may stand for the same domain and client (PROTOCOLS A.2); `None` if it
    /// was not asked of the DNS.
    pub fn keep_for(&self) -> Option<u32> {
        match self {
            Self::MailFrom(report) => Some(report.keep_for()),
            Self::Spf(report) => Some(report.keep_for()),
            Self::SenderDomain(report) => Some(report.keep_for()),
            Self::Ledger(report) => Some(report.ttl),
            Self::RelayClient { .. } | Self::Postmaster => None,
            // What is of one message, and what a later success must end.
            Self::Dkim { .. }
            | Self::Bounce(_)
            | Self::Forwarder(_)
            | Self::PerimeterOpen { .. }
            | Self::Lasting => Some(0),
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
        Self {
            result: fuse(&weights(&evidence)),
            evidence,
        }
    }

    /// Whether this is mail of ours, which the ledger may vouch for: the reverse-path has a local domain, and who
    /// presents it may send in its name here (PROTOCOLS B.2). A local reverse-path that comes in from elsewhere is not,
    /// whatever else proves it: a forgery would pass through just so.
    pub fn is_own(&self) -> bool {
        let is_own =
            |piece: &Evidence| matches!(piece, Evidence::RelayClient { local_domain: true });
        self.evidence.iter().any(is_own)
    }

    /// The verdict with more evidence.
    #[must_use]
    pub fn with(&self, more: impl IntoIterator<Item = Evidence>) -> Self {
        let mut evidence = self.evidence.clone();
        evidence.extend(more);
        Self {
            result: fuse(&weights(&evidence)),
            evidence,
        }
    }

    /// The same, once its trouble has lasted for too long: nothing is known (PROTOCOLS A.2 step 5).
    #[must_use]
    pub(in crate::verify) fn lasting(&self) -> Self {
        let settled = self.evidence.iter().map(|piece| match piece {
            Evidence::MailFrom(report) if report.weight() == Weight::Trouble => {
                Evidence::MailFrom(Arc::new(mail_from::Report::clone(report).lasting()))
            }
            piece => piece.clone(),
        });
        Self::of(Evidence::Lasting, settled)
    }

    /// The verdict with what it rests on, but without each question and answer: a session that
    /// lasts must not hold what a publisher made large.
    #[must_use]
    pub fn without_steps(&self) -> Self {
        Self {
            result: self.result,
            evidence: self.evidence.iter().map(Evidence::without_steps).collect(),
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
            Evidence::MailFrom(report) => Some(&**report),
            _ => None,
        })
    }

    /// SPF's report, if it was asked.
    pub fn spf(&self) -> Option<&spf::Report> {
        self.evidence.iter().find_map(|piece| match piece {
            Evidence::Spf(report) => Some(&**report),
            _ => None,
        })
    }

    /// What the signatures come to, if they were looked at.
    pub fn dkim(&self) -> Option<&dkim::Report> {
        self.evidence.iter().find_map(|piece| match piece {
            Evidence::Dkim { report, .. } => Some(&**report),
            _ => None,
        })
    }

    /// What is known by the domain's ledger, if it has one.
    pub fn ledger(&self) -> Option<&ledger::Report> {
        self.evidence.iter().find_map(|piece| match piece {
            Evidence::Ledger(report) => Some(&**report),
            _ => None,
        })
    }

    /// The verdict with what has come of asking the domain's ledger, in place of what was known of it before.
    #[must_use]
    pub fn with_ledger(&self, report: ledger::Report) -> Self {
        let mut evidence = self.evidence.clone();
        evidence.retain(|piece| !matches!(piece, Evidence::Ledger(_)));
        evidence.push(Evidence::Ledger(Arc::new(report)));
        Self {
            result: fuse(&weights(&evidence)),
            evidence,
        }
    }

    /// True if the domain's ledger is to be asked about the message: nothing proves the reverse-path, or what is proven
    /// is looked at, too.
    pub fn asks_ledger(&self) -> bool {
        self.ledger().is_some_and(|report| {
            let is_open = report.finding == ledger::Finding::Offered;
            is_open && (report.audit || self.result != VerdictResult::Authorised)
        })
    }

    /// True if what the ledger says can still change what becomes of the message: a tempfail waits for nothing, and what is
    /// condemned for nothing either ([`timing`]).
    pub fn awaits_ledger(&self) -> bool {
        let is_refused = self.result == VerdictResult::Tempfail || self.has(Weight::Condemns);
        self.asks_ledger() && !is_refused
    }

    /// True if the domain has said that it sent the message that the client claims will follow: if that is so, it will
    /// be proven by nothing but its content.
    pub fn awaits_claimed(&self) -> bool {
        let claimed = self.ledger().and_then(|report| report.claimed.as_ref());
        self.asks_ledger() && claimed.is_some_and(ledger::Claimed::is_sent)
    }

    /// The sender-domain test's report, if it was made.
    pub fn sender_domain(&self) -> Option<&sender_domain::Report> {
        self.evidence.iter().find_map(|piece| match piece {
            Evidence::SenderDomain(report) => Some(&**report),
            _ => None,
        })
    }

    /// Each piece of its evidence with what it says beside the others.
    pub fn weighed(&self) -> impl Iterator<Item = (&Evidence, Weight)> {
        self.evidence.iter().zip(weights(&self.evidence))
    }

    /// True if a piece of its evidence has this weight beside the others.
    pub fn has(&self, weight: Weight) -> bool {
        weights(&self.evidence).contains(&weight)
    }

    /// True where HELO's domain was asked in the place of a null reverse-path's.
    pub fn is_of_null_path(&self) -> bool {
        self.mail_from()
            .is_some_and(|report| report.identity == mail_from::Identity::Helo)
    }

    /// What the MAIL-FROM MX check says; silent if it was not made.
    pub fn mail_from_weight(&self) -> Weight {
        mail_from_weight(&self.evidence)
    }

    /// Seconds for which it may stand for the same domain and client (PROTOCOLS A.2): the least of
    /// its evidence; 0 for not at all.
    pub fn keep_for(&self) -> u32 {
        let each = self.evidence.iter().filter_map(Evidence::keep_for);
        let least = each.min().unwrap_or(0);
        match self.result {
            VerdictResult::Tempfail => 0,
            VerdictResult::Repudiated => least.min(mail_from::budget::MAX_REJECTION_TTL),
            VerdictResult::Authorised | VerdictResult::Unknown => least,
        }
    }

    /// Questions that were asked of the resolver for all of it.
    pub fn questions(&self) -> u32 {
        let each = self.evidence.iter().map(Evidence::questions);
        each.fold(0, u32::saturating_add)
    }

    /// What is answered when the verdict refuses (PROTOCOLS A.3); `None` to go on. The weightiest
    /// reason speaks, and of equal ones the first.
    pub fn refusal(&self) -> Option<Reply> {
        let speaking: &[Weight] = match self.result {
            VerdictResult::Authorised | VerdictResult::Unknown => return None,
            VerdictResult::Tempfail => &[Weight::Trouble],
            VerdictResult::Repudiated => &[Weight::Condemns, Weight::Against],
        };
        let (piece, weight) = self.deciding(speaking)?;
        piece.refusal(weight)
    }

    /// The first piece of the first of these weights that any has.
    fn deciding(&self, weights: &[Weight]) -> Option<(&Evidence, Weight)> {
        let said = fusion::weights(&self.evidence);
        weights.iter().find_map(|weight| {
            let mut pieces = self.evidence.iter().zip(&said);
            pieces.find_map(|(piece, said)| (said == weight).then_some((piece, *weight)))
        })
    }
}

#[cfg(test)]
mod tests;
