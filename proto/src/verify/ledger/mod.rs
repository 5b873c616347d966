//! What the ledger of the reverse-path's own domain says of a message (PROTOCOLS B.5).
//!
//! At MAIL it is found out whether the domain answers at all (`discovery`). If so, and if nothing yet proves the
//! reverse-path, it is asked at the end of the data: [`course`] says what, `memory` what was said of the message
//! before, and here stands what it weighs.
//!
//! Promised: only what the domain has said twice, and asked to have refused, is ever *against*; an answer that is odd,
//! late or none says nothing. Left to others: digests and questions (residue), who is asked (the daemon), and what the
//! other evidence says.

pub mod course;
mod discovery;
mod memory;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

pub use self::discovery::{Discovery, Offered};
pub use self::memory::{Before, MAX_ENTRIES, MAX_PER_NETWORK, Memory};

use self::course::Heard;
use super::{Step, Weight};
use crate::addr::{Domain, ReversePath};
use crate::message::{Method, Property};
use crate::reply::Reply;
use crate::residue::inquiry::{About, Meaning};
use crate::residue::{Claim, Digest, Hour, Offer, Policy, Word};

/// When a domain's ledger is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// Never.
    Never,
    /// Where nothing yet proves the reverse-path: asking tells the domain that its message has come.
    #[default]
    Unproven,
    /// Always: what a listed relay brings, and the domain did not send, shows that the relay is not what it was.
    Always,
}

/// What is known of a message by its domain's ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The reverse-path's domain.
    pub domain: Domain,
    /// What it offers.
    pub offer: Offer,
    /// It is asked about what is proven, too.
    pub audit: bool,
    /// What has come of it.
    pub finding: Finding,
    /// What it said of the message that the client claimed at MAIL.
    pub claimed: Option<Claimed>,
    /// What was asked about the message, in this order.
    pub asked: Vec<Asked>,
    /// The question for the offer, with its answer.
    pub steps: Vec<Step>,
    /// TTL of the offer.
    pub ttl: u32,
}

/// What has come of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The domain answers; it was not asked yet, or what else is known made that needless.
    Offered,
    /// It cannot be asked about this message.
    NotAsked(NotAsked),
    /// It was asked, and did not say that it did not send it.
    Answered(Meaning),
    /// It says that it did not send it.
    Denied(Denial),
}

/// Why a domain cannot be asked about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// It has no digest.
    #[error("its header has no digest")]
    NoDigest,
    /// Its Date field does not say when it was sent.
    #[error("it has not one Date field that can be read")]
    NoDate,
    /// None of its recipients has a domain.
    #[error("no recipient has a domain")]
    NoRecipient,
    /// Trouble of our own.
    #[error("it cannot be read back")]
    Trouble,
}

/// How firmly a domain says that it did not send a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The message is dated in the future: it may be sent yet.
    Ahead,
    /// Once.
    Once,
    /// Again, half a minute later or by another of its servers.
    Twice,
    /// The same, and the message came for the first time [`HELD_UP`] ago.
    Overdue,
}

/// One question, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it was about.
    pub about: About,
    /// Who answered.
    pub server: Option<IpAddr>,
    /// What; none where there was no answer.
    pub word: Option<Word>,
    /// What came in place of one, in a few words of ours.
    pub oddity: Option<Box<str>>,
}

/// A message that the client said would follow (XVOUCH, PROTOCOLS D), and what came of asking about that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Which.
    pub claim: Claim,
    /// Who answered.
    pub server: Option<IpAddr>,
    /// What; none where there was no answer, or an odd one.
    pub word: Option<Word>,
}

impl Claimed {
    /// True if the domain says that it sent it. Whether it is the one that follows, only the content tells.
    pub fn is_sent(&self) -> bool {
        self.word == Some(Word::Sent)
    }

    /// What was heard of it, if it is the message with this digest in this hour, and was sent. Anything else may be
    /// another answer by the time that the message is here: a copy of a ledger may lag behind.
    pub fn heard_of(&self, hour: Hour, digest: Digest) -> Option<Heard> {
        let is_it = self.claim == Claim { hour, digest };
        (is_it && self.is_sent()).then_some(Heard {
            word: self.word,
            server: self.server,
        })
    }
}

/// How long a message that is proven otherwise is held up at most because its domain says that it did not send it:
/// the ledger may be what is wrong.
pub const HELD_UP: core::time::Duration = core::time::Duration::from_hours(4);

impl Report {
    /// What is known once the domain is found to answer.
    pub fn offered(domain: Domain, offered: Offered, audit: bool) -> Self {
        Self {
            domain,
            offer: offered.offer,
            audit,
            finding: Finding::Offered,
            claimed: None,
            asked: Vec::new(),
            steps: offered.steps,
            ttl: offered.ttl,
        }
    }

    /// The same, once the domain was asked about the message, or could not be.
    #[must_use]
    pub fn with(&self, finding: Finding, asked: Vec<Asked>, offer: Option<Offer>) -> Self {
        Self {
            offer: offer.unwrap_or(self.offer),
            finding,
            asked,
            ..self.clone()
        }
    }

    /// The same, once the domain was asked about the message that the client claimed.
    #[must_use]
    pub fn with_claim(&self, claimed: Claimed) -> Self {
        Self {
            claimed: Some(claimed),
            ..self.clone()
        }
    }

    /// The same without each question and answer of the DNS.
    #[must_use]
    pub fn without_steps(&self) -> Self {
        Self {
            steps: Vec::new(),
            ..self.clone()
        }
    }

    /// What it says where nothing else speaks (DESIGN §3).
    pub fn weight(&self) -> Weight {
        match &self.finding {
            Finding::Answered(Meaning::Sent) => Weight::Proves,
            Finding::Answered(Meaning::SentToSome | Meaning::SentElsewhere(_)) => Weight::Clears,
            Finding::Denied(denial) => match (self.offer.policy, denial) {
                (Policy::None, _) | (_, Denial::Ahead) => Weight::Silent,
                (Policy::Reject, Denial::Once) => Weight::Trouble,
                (Policy::Reject, Denial::Twice | Denial::Overdue) => Weight::Against,
            },
            Finding::Answered(Meaning::Altered | Meaning::Unknown | Meaning::NotSent)
            | Finding::Offered
            | Finding::NotAsked(_) => Weight::Silent,
        }
    }

    /// What it says against the proof of the domain's own address lists, if anything: that the message is held up, or,
    /// when it has been for long enough, that nothing is proven.
    pub fn disputes(&self) -> Option<Weight> {
        match &self.finding {
            Finding::Denied(denial) if self.audit && self.offer.policy == Policy::Reject => {
                match denial {
                    Denial::Ahead => None,
                    Denial::Once | Denial::Twice => Some(Weight::Trouble),
                    Denial::Overdue => Some(Weight::Clears),
                }
            }
            _ => None,
        }
    }

    /// True if the domain has said twice that it did not send the message.
    pub const fn is_denied_twice(&self) -> bool {
        matches!(
            self.finding,
            Finding::Denied(Denial::Twice | Denial::Overdue)
        )
    }

    /// The reply that refuses, if this is a reason to.
    pub fn refusal(&self, weight: Weight) -> Option<Reply> {
        let domain = self.domain.as_ascii();
        match weight {
            Weight::Against => Some(Reply::new(
                550,
                (5, 7, 1),
                format!("delivery not authorized: {domain} says that it did not send this message"),
            )),
            Weight::Trouble => Some(Reply::new(
                451,
                (4, 7, 1),
                format!("{domain} does not confirm yet that it sent this message, try again later"),
            )),
            _ => None,
        }
    }

    /// Why, in a sentence without a full stop.
    pub fn sentence(&self) -> String {
        let domain = self.domain.as_ascii();
        match &self.finding {
            Finding::Offered => match &self.claimed {
                Some(claimed) if claimed.is_sent() => {
                    format!("{domain} says that it sent the message that is said to follow")
                }
                Some(_) => {
                    format!("{domain} does not confirm the message that is said to follow")
                }
                None => format!("{domain} has a ledger, and was not asked"),
            },
            Finding::NotAsked(why) => {
                format!("{domain} was not asked about the message: {why}")
            }
            Finding::Answered(meaning) => match meaning {
                Meaning::Sent => format!("{domain} says that it sent the message here"),
                Meaning::SentToSome => {
                    format!("{domain} says that it sent the message to some of its recipients")
                }
                Meaning::SentElsewhere(other) => {
                    let other = other.as_ascii();
                    format!("{domain} says that it sent the message to {other}")
                }
                Meaning::Altered => {
                    format!("{domain} says that it sent a message of this name, but not this one")
                }
                Meaning::NotSent | Meaning::Unknown => {
                    format!("{domain} does not say whether it sent the message")
                }
            },
            Finding::Denied(denial) => {
                let how = match denial {
                    Denial::Ahead => ", which is dated in the future",
                    Denial::Once => ", and is to be asked again",
                    Denial::Twice => ", and said so again",
                    Denial::Overdue => ", and said so again: it has been held up for long enough",
                };
                format!("{domain} says that it did not send the message{how}")
            }
        }
    }

    /// What Authentication-Results says of it; nothing where nothing was asked.
    pub fn method(&self, reverse_path: &ReversePath) -> Option<Method> {
        let (result, reason) = match &self.finding {
            Finding::Offered | Finding::NotAsked(_) => return None,
            Finding::Answered(meaning) => match meaning {
                Meaning::Sent => ("pass", "sent"),
                Meaning::SentToSome => ("neutral", "sent to some of its recipients"),
                Meaning::SentElsewhere(_) => ("neutral", "sent elsewhere"),
                Meaning::Altered => ("neutral", "altered"),
                Meaning::NotSent | Meaning::Unknown => ("none", "not known"),
            },
            Finding::Denied(Denial::Once | Denial::Ahead) => ("neutral", "not sent, said once"),
            Finding::Denied(Denial::Twice | Denial::Overdue) => ("fail", "not sent"),
        };
        let about = match reverse_path {
            ReversePath::Mailbox(mailbox) => Some(Property::mailbox("smtp.mailfrom", mailbox)),
            _ => None,
        };
        Some(Method::new("x-ledger", result).because(reason).about(about))
    }
}

impl Finding {
    /// The stable word, for logs and figures.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::NotAsked(_) => "not_asked",
            Self::Answered(meaning) => meaning.as_str(),
            Self::Denied(denial) => match denial {
                Denial::Ahead => "not_sent_ahead",
                Denial::Once => "not_sent_once",
                Denial::Twice | Denial::Overdue => "not_sent",
            },
        }
    }
}
