//! When a verdict is said (PROTOCOLS A.3): at MAIL, unless something that is known there to be
//! possible may still clear it.
//!
//! A refusal said early spares both sides the content; one said too early refuses what a forwarder
//! that a recipient declared, the author's own signature, or his domain's word would have cleared. Nothing here
//! knows what will come: only what could.

use super::{Verdict, VerdictResult, Weight};

/// The moments at which a verdict can be said, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// In the reply to MAIL.
    Mail,
    /// In the reply to each RCPT.
    Recipient,
    /// In the reply to the end of the content.
    EndOfData,
}

impl Moment {
    /// The stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Recipient => "recipient",
            Self::EndOfData => "end_of_data",
        }
    }
}

/// What may still be learnt about mail to this host, by its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself")]
pub struct Possible {
    /// A recipient, a domain or the site has declared a forwarder.
    pub forwarders: bool,
    /// Repudiated mail may reach a postmaster.
    pub postmaster: bool,
    /// Signatures are verified.
    pub dkim: bool,
    /// A signature may clear what the MAIL-FROM MX check repudiates.
    pub dkim_rescues: bool,
    /// What becomes of reports about what was not sent from here.
    pub bounces: Bounces,
}

/// What becomes of reports about what was not sent from here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bounces {
    /// Nobody looks.
    #[default]
    Taken,
    /// They are marked, where their content is here before any of it goes on.
    Marked,
    /// They are refused: no path is opened before their content is here.
    Refused,
}

impl Possible {
    /// The first moment at which nothing possible could still clear this verdict. One that refuses
    /// nothing waits for nothing. A tempfail waits for no signature and no ledger: what it holds up
    /// comes again, and then the DNS may answer.
    pub fn said_at(self, verdict: &Verdict) -> Moment {
        if !verdict.result().refuses() || verdict.has(Weight::Condemns) {
            return Moment::Mail;
        }
        let answers = self.bounces == Bounces::Refused && verdict.is_of_null_path();
        let may_be_cleared = self.signature_helps(verdict) || verdict.asks_ledger() || answers;
        if verdict.result() == VerdictResult::Repudiated && may_be_cleared {
            return Moment::EndOfData;
        }
        if self.forwarders || self.postmaster {
            return Moment::Recipient;
        }
        Moment::Mail
    }

    /// True if a signature could still clear a repudiation.
    fn signature_helps(self, verdict: &Verdict) -> bool {
        let against = verdict.mail_from_weight() == Weight::Against;
        self.dkim && (!against || self.dkim_rescues) && !verdict.is_of_null_path()
    }
}
