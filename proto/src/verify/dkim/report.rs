//! What the signatures of one message come to.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::field::Label;
use super::{Reason, SignatureResult};
use crate::addr::{Domain, Mailbox, ReversePath};
use crate::verify::{Step, Weight};

/// What the signatures of one message come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The signatures that were looked at, from the top.
    pub signatures: Vec<Signature>,
    /// Signatures below them that were not ([`super::MAX_SIGNATURES`]).
    pub more: usize,
    /// Who the message says it is from: the mailbox of its one `From` field, if there is just one
    /// of each.
    pub from: Option<Mailbox>,
    /// The ARC chain.
    pub arc: Arc,
    /// Why nothing was looked at, if so.
    pub skipped: Option<Skipped>,
    /// Each question with its answer, by name; those still open at the end have none.
    pub steps: Vec<Step>,
    /// Questions asked of the resolver.
    pub questions: u32,
    /// The least TTL among the answers.
    pub ttl: Option<u32>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signs: `d=`, if it is a domain.
    pub domain: Option<Domain>,
    /// Which of its keys: `s=`, if it is a name.
    pub selector: Option<Domain>,
    /// `a=`, if it is one that was ever defined.
    pub algorithm: Option<&'static str>,
    /// The first characters of `b=`, which tell two signatures of one key apart (RFC 6008 §3).
    pub start: Box<str>,
    /// Why it has its result.
    pub reason: Reason,
    /// `l=` is there: what follows so much of the body is anybody's.
    pub has_length: bool,
    /// The message's one `From` field is signed.
    pub signed_from: bool,
    /// The key says that its domain only tests (`t=y`): the signature counts for nothing.
    pub testing: bool,
}

/// The ARC chain (RFC 8617 §4.4); read for Authentication-Results, and of no weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arc {
    /// There is none.
    #[default]
    None,
    /// Every seal holds, and the last signature does.
    Pass,
    /// Something in it does not hold.
    Fail,
    /// Longer than is looked at, or a key was not to be had.
    Unchecked,
}

/// Why nothing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// DKIM is off.
    Off,
    /// There is no signature and no ARC chain.
    NoSignature,
    /// The message is larger than the configured size.
    TooLarge,
    /// The header has more than [`super::MAX_FIELDS`] fields.
    TooManyFields,
    /// There was no room in memory for the message, and none came free in time.
    Busy,
}

impl Report {
    /// A report for which nothing was looked at.
    pub fn skipped(why: Skipped) -> Self {
        Self {
            skipped: Some(why),
            ..Self::default()
        }
    }

    /// The same without each question and answer.
    #[must_use]
    pub fn without_steps(&self) -> Self {
        Self {
            steps: Vec::new(),
            ..self.clone()
        }
    }

    /// The best result of any signature; none without one.
    pub fn result(&self) -> Option<SignatureResult> {
        // Pass comes first, so does a failure that may pass tomorrow before one that will not.
        let rank = |result: &SignatureResult| match result {
            SignatureResult::Pass => 0,
            SignatureResult::TempError => 1,
            SignatureResult::Fail => 2,
            SignatureResult::PermError => 3,
            SignatureResult::Neutral => 4,
        };
        let results = self.signatures.iter().map(Signature::result);
        results.min_by_key(rank)
    }

    /// Why, in one sentence without its full stop.
    pub fn sentence(&self) -> String {
        if let Some(skipped) = self.skipped {
            return format!("no DKIM signature was looked at: {skipped}");
        }
        if self.signatures.is_empty() {
            return String::from("there is no DKIM signature");
        }
        let each = self.signatures.iter().map(|signature| {
            let domain = signature.domain.as_ref();
            let domain = domain.map_or("no domain", |domain| domain.as_ascii());
            format!("{} by {domain}", signature.result())
        });
        format!("DKIM: {}", each.collect::<Vec<_>>().join(", "))
    }

    /// What it says about a reverse-path (DESIGN §3). Only signatures whose `d=` *is* its domain
    /// count, not those of domains above or below it: whoever signs for `example.org` need not
    /// answer for `lists.example.org`, nor the other way about.
    ///
    /// A signature lives in the content, which anybody may send again with another envelope. So it
    /// *proves* only where it binds the envelope: the author it signed is the reverse-path, and all
    /// of the message is signed. Otherwise it shows that the domain once signed this, and *clears*.
    ///
    /// A domain that lists its border relays has said that others do not speak for it: where
    /// MAIL-FROM is against, nothing here proves, and a signature clears only with
    /// `[verify] dkim_rescues`. *Trouble* means that a signature might have proved or cleared had
    /// its key been there. The sender chooses how many of those there are and where their keys
    /// should be, so trouble here must never end as anything better than tempfail.
    pub fn weight(&self, reverse_path: &ReversePath, mail_from: Weight, rescues: bool) -> Weight {
        let Some(domain) = reverse_path.domain() else {
            return Weight::Silent;
        };
        let against = mail_from == Weight::Against;
        if against && !rescues {
            return Weight::Silent;
        }
        if self.skipped == Some(Skipped::Busy) {
            return Weight::Trouble;
        }
        let from_is_reverse_path = match (&self.from, reverse_path) {
            (Some(from), ReversePath::Mailbox(mailbox)) => from == mailbox,
            _ => false,
        };
        let (mut proves, mut clears, mut trouble) = (false, false, false);
        for signature in &self.signatures {
            if signature.domain.as_ref() != Some(domain) || signature.testing {
                continue;
            }
            match signature.result() {
                SignatureResult::Pass => {
                    clears = true;
                    proves |= signature.binds() && from_is_reverse_path && !against;
                }
                SignatureResult::TempError => trouble = true,
                SignatureResult::Fail | SignatureResult::Neutral | SignatureResult::PermError => {}
            }
        }
        match (proves, clears, trouble) {
            (true, _, _) => Weight::Proves,
            (_, true, _) => Weight::Clears,
            (_, _, true) => Weight::Trouble,
            _ => Weight::Silent,
        }
    }
}

impl Signature {
    /// What is known before the key is.
    pub fn new(label: Label, reason: Reason) -> Self {
        Self {
            domain: label.domain,
            selector: label.selector,
            algorithm: label.algorithm,
            start: label.start,
            reason,
            has_length: label.has_length,
            signed_from: false,
            testing: false,
        }
    }

    /// Its result.
    pub const fn result(&self) -> SignatureResult {
        self.reason.result()
    }

    /// True if what it signs is the whole body and the one author.
    const fn binds(&self) -> bool {
        self.signed_from && !self.has_length
    }
}

impl fmt::Display for Arc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unchecked => "unchecked",
        })
    }
}

impl Skipped {
    /// One word for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::NoSignature => "no_signature",
            Self::TooLarge => "too_large",
            Self::TooManyFields => "too_many_fields",
            Self::Busy => "busy",
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "switched off",
            Self::NoSignature => "no signature",
            Self::TooLarge => "message too large",
            Self::TooManyFields => "too many header fields",
            Self::Busy => "no room for the message",
        })
    }
}
