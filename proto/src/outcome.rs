//! How the delivery to one recipient ended, with what a report about it needs.
//!
//! An outcome is no error: the same value feeds the retry schedule, the DSN, the log and the
//! listing. There is no bool.

use alloc::string::String;
use core::net::IpAddr;

use crate::reply::{EnhancedStatus, Reply, ReplyClass};

/// What an attempt means for its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutcomeClass {
    /// In the next hop's custody, or in the mailbox.
    Delivered,
    /// May succeed later.
    Transient,
    /// Will not succeed.
    Permanent,
}

/// The end of one attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it means.
    pub class: OutcomeClass,
    /// Status field of a DSN (RFC 3464 §2.3.4).
    pub status: EnhancedStatus,
    /// Where it happened, if anywhere (RFC 3464 §2.3.5).
    pub remote: Option<Remote>,
    /// What was said, or what we saw.
    pub diagnostic: Diagnostic,
    /// Where it went, if it was delivered: what the report about it says, and whether one is
    /// ours to make. It is of this attempt; the queue does not keep it.
    pub onward: Onward,
}

/// Where a message went that was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Onward {
    /// Into the mailbox, or to what stands before it and reports nothing (LMTP).
    #[default]
    Mailbox,
    /// To the next host, which goes on with it.
    Relay {
        /// That host makes the reports that were asked for (RFC 3461 §5.2.1).
        reports: bool,
        /// That host keeps the deadline (RFC 2852).
        deadlines: bool,
    },
}

/// The host of the next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name as we looked it up, or a path.
    pub name: String,
    /// Its address, if it has one.
    pub address: Option<IpAddr>,
}

/// What an outcome rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// The next hop's own reply, on one line: `smtp` in Diagnostic-Code (RFC 3464 §2.3.6).
    Reply(String),
    /// Our own words: nobody replied.
    Local(String),
}

impl Diagnostic {
    /// The text, whoever said it.
    pub fn text(&self) -> &str {
        match self {
            Self::Reply(text) | Self::Local(text) => text,
        }
    }
}

impl Outcome {
    /// The code of the reply it rests on.
    pub fn reply_code(&self) -> Option<u16> {
        match &self.diagnostic {
            Diagnostic::Reply(text) => text.get(..3)?.parse().ok(),
            Diagnostic::Local(_) => None,
        }
    }

    /// True if the next hop has refused, or can never take such a message. False where it is delivered, and
    /// where no reply is to be had: 421, by which a host leaves, is none.
    pub fn is_refusal(&self) -> bool {
        match self.class {
            OutcomeClass::Delivered => false,
            OutcomeClass::Transient => self.reply_code().is_some_and(|code| code != LEAVES),
            OutcomeClass::Permanent => true,
        }
    }

    /// The outcome that a reply means. An enhanced status that contradicts its code is not
    /// believed, and one that is missing is filled in with `x.0.0`.
    pub fn from_reply(reply: &Reply, remote: Option<Remote>) -> Self {
        let (class, digit) = match reply.class() {
            ReplyClass::Positive => (OutcomeClass::Delivered, 2),
            // 3yz where a final reply must stand is a peer out of step: try again later.
            ReplyClass::Intermediate | ReplyClass::Transient => (OutcomeClass::Transient, 4),
            ReplyClass::Permanent => (OutcomeClass::Permanent, 5),
        };
        let status = reply
            .enhanced()
            .filter(|status| status.class == digit)
            .unwrap_or(EnhancedStatus::new(digit, 0, 0));
        Self {
            class,
            status,
            remote,
            diagnostic: Diagnostic::Reply(bounded(alloc::format!("{reply}"))),
            onward: Onward::default(),
        }
    }

    /// Our own finding, in our own words; the class follows the status.
    pub fn local(status: (u8, u16, u16), remote: Option<Remote>, text: impl Into<String>) -> Self {
        let (digit, subject, detail) = status;
        let class = match digit {
            2 => OutcomeClass::Delivered,
            4 => OutcomeClass::Transient,
            _ => OutcomeClass::Permanent,
        };
        Self {
            class,
            status: EnhancedStatus::new(digit, subject, detail),
            remote,
            diagnostic: Diagnostic::Local(text.into()),
            onward: Onward::default(),
        }
    }
}

/// RFC 5321 §3.8: service not available, closing.
const LEAVES: u16 = 421;

/// Octets of a reply that are kept: it stays in the queue beside each recipient for days, and
/// nobody reads more.
const MAX_DIAGNOSTIC: usize = 1_024;

/// The text, cut between characters if it is longer than is kept.
fn bounded(mut text: String) -> String {
    if text.len() > MAX_DIAGNOSTIC {
        let mut end = MAX_DIAGNOSTIC;
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.truncate(end);
        text.push_str(" [...]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn a_reply_means_its_first_digit() {
        for (code, enhanced, class, status) in [
            (250, None, OutcomeClass::Delivered, "2.0.0"),
            (250, Some((2, 1, 5)), OutcomeClass::Delivered, "2.1.5"),
            (354, None, OutcomeClass::Transient, "4.0.0"),
            (451, Some((4, 7, 1)), OutcomeClass::Transient, "4.7.1"),
            (451, Some((5, 7, 1)), OutcomeClass::Transient, "4.0.0"),
            (550, Some((5, 1, 1)), OutcomeClass::Permanent, "5.1.1"),
        ] {
            let enhanced = enhanced.map(|(a, b, c)| EnhancedStatus::new(a, b, c));
            let outcome = Outcome::from_reply(&Reply::received(code, enhanced, vec![]), None);
            assert_eq!(
                (outcome.class, outcome.status.to_string().as_str()),
                (class, status)
            );
        }
    }

    #[test]
    fn a_long_reply_is_cut_between_characters() {
        let reply = Reply::plain(550, vec!["é".repeat(2_000).into()]);
        let outcome = Outcome::from_reply(&reply, None);
        let text = outcome.diagnostic.text();
        assert!(text.len() <= MAX_DIAGNOSTIC + 6 && text.ends_with("é [...]"));
    }
}
