//! Whether a report answers something that we sent (PROTOCOLS B.6): what our own ledger says of the message that it
//! is about.
//!
//! A forged bounce comes from an honest host, which believed a forged reverse-path; so nothing about the client tells.
//! But a report says which message it is about, and the ledger knows the reverse-path and Message-ID of all that was
//! sent.
//!
//! Promises: only what is recognised as a report, is to the one whom it reaches, returns a Message-ID and a date, and lies in
//! hours that the ledger covers, is ever *against*, and only where the operator wants that; a missing report is worse
//! than a spurious one. Left to others: reading reports (`dsn::recognise`), and looking into the ledger (the daemon).

use crate::message::Method;
use crate::reply::Reply;

use super::Weight;

/// What is known of a message with a null reverse-path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What came of looking.
    pub finding: Finding,
    /// The operator wants those refused that are provably not about our mail.
    pub refuses: bool,
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is about a message that its recipient sent from here.
    Ours,
    /// It is a report about a message that nobody sent from here.
    NotOurs,
    /// No such message is known, and it might have been sent all the same.
    Unclear(Unclear),
}

/// Why nothing follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// It is not recognised as a report: an auto-reply, a complaint, a notice.
    #[error("it is not recognised as a report")]
    NotRecognised,
    /// It does not say which message it is about.
    #[error("it does not name the message that it is about")]
    NoReference,
    /// It was sent from here, but by somebody else: some hosts report to From, and people have several addresses.
    #[error("somebody else has sent the message that it is about")]
    OtherSender,
    /// It is to somebody else, and was forwarded: what that one sends need not come by here.
    #[error("it was forwarded from another address")]
    Forwarded,
    /// It does not say when that was sent.
    #[error("it does not say when the message that it is about was sent")]
    NoDate,
    /// The ledger does not cover that time.
    #[error("the ledger does not cover the time of the message that it is about")]
    NotCovered,
    /// Trouble of our own.
    #[error("it could not be looked up")]
    Trouble,
}

impl Unclear {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRecognised => "not_recognised",
            Self::NoReference => "no_reference",
            Self::OtherSender => "other_sender",
            Self::Forwarded => "forwarded",
            Self::NoDate => "no_date",
            Self::NotCovered => "not_covered",
            Self::Trouble => "trouble",
        }
    }
}

impl Finding {
    /// The stable word, for logs and figures.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::NotOurs => "not_ours",
            Self::Unclear(why) => why.as_str(),
        }
    }
}

impl Report {
    /// What it says (DESIGN §3).
    pub const fn weight(&self) -> Weight {
        match self.finding {
            Finding::Ours => Weight::Proves,
            Finding::NotOurs if self.refuses => Weight::Condemns,
            Finding::NotOurs | Finding::Unclear(_) => Weight::Silent,
        }
    }

    /// The reply that refuses.
    pub fn refusal(&self) -> Reply {
        Reply::new(550, (5, 7, 1), "not in reply to anything sent from here")
    }

    /// Why, in a sentence without a full stop.
    pub fn sentence(&self) -> &'static str {
        match self.finding {
            Finding::Ours => "it reports on a message that was sent from here",
            Finding::NotOurs => "it reports on a message that was not sent from here",
            Finding::Unclear(why) => match why {
                Unclear::NotRecognised => "it is not recognised as a report",
                Unclear::NoReference => "it reports on a message that it does not name",
                Unclear::OtherSender => {
                    "it reports on a message that somebody else has sent from here"
                }
                Unclear::Forwarded => "it is a report to another address",
                Unclear::NoDate => {
                    "it reports on a message of which it does not say when it was sent"
                }
                Unclear::NotCovered => {
                    "it reports on a message of a time that our ledger does not cover"
                }
                Unclear::Trouble => "the message that it reports on could not be looked up",
            },
        }
    }

    /// What Authentication-Results says of it; nothing of what is no report.
    pub fn method(&self) -> Option<Method> {
        let result = match self.finding {
            Finding::Ours => "pass",
            Finding::NotOurs => "fail",
            Finding::Unclear(Unclear::NotRecognised) => return None,
            Finding::Unclear(_) => "none",
        };
        Some(Method::new("x-bounce", result).because(self.finding.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::verify::mail_from::{self, Identity, Reason};
    use crate::verify::timing::{Bounces, Moment, Possible};
    use crate::verify::{Evidence, Verdict, VerdictResult};
    use alloc::sync::Arc;

    fn host(reason: Reason) -> Evidence {
        let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
        let report = mail_from::Report::unasked(reason, client, Identity::Helo);
        Evidence::MailFrom(Arc::new(report))
    }

    #[test]
    fn what_the_ledger_says_decides_whatever_is_known_of_the_host() {
        use VerdictResult::{Authorised, Repudiated, Tempfail, Unknown};
        let not_covered = Finding::Unclear(Unclear::NotCovered);
        for (reason, alone) in [
            (Reason::Host, Authorised),
            (Reason::Unpublished, Unknown),
            (Reason::NotListed, Repudiated),
            (Reason::Temporary, Tempfail),
        ] {
            for (finding, refuses, expected) in [
                (Finding::Ours, true, Authorised),
                (Finding::Ours, false, Authorised),
                (Finding::NotOurs, true, Repudiated),
                (Finding::NotOurs, false, alone),
                (not_covered, true, alone),
                (Finding::Unclear(Unclear::NotRecognised), true, alone),
            ] {
                let report = Evidence::Bounce(Report { finding, refuses });
                let verdict = Verdict::of(host(reason), [report]);
                assert_eq!(
                    verdict.result(),
                    expected,
                    "{reason:?} {finding:?} {refuses}"
                );
                if finding == Finding::NotOurs && refuses {
                    let reply = verdict.refusal().unwrap();
                    assert_eq!(reply.code(), 550);
                    assert!(reply.lines()[0].ends_with("not in reply to anything sent from here"));
                }
            }
        }
    }

    #[test]
    fn a_host_that_is_repudiated_may_still_bring_a_true_report() {
        let verdict = Verdict::of(host(Reason::NotListed), []);
        let possible = |bounces| Possible {
            bounces,
            ..Possible::default()
        };
        let said_at = |bounces| possible(bounces).said_at(&verdict);
        assert_eq!(said_at(Bounces::Refused), Moment::EndOfData);
        assert_eq!(said_at(Bounces::Marked), Moment::Mail);
        assert_eq!(said_at(Bounces::Taken), Moment::Mail);
    }
}
