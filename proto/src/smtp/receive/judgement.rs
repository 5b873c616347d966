//! A refusal that waits (PROTOCOLS A.3): what may still clear it at RCPT or at the end of the
//! content, and what follows. One that only the domain's ledger may bring, at the end, is cleared by what is declared for
//! the recipients just as well, so that is found out at RCPT, too.
//!
//! One message has one reply at its end, so all recipients of a transaction share one standing:
//! either something declared for each of them has cleared the reverse-path, or all of them wait for
//! the content. One that differs is asked to come in a transaction of its own, which loses nothing.
//! Mail that an outer host of ours has queued is never refused here: that host has said 250 for
//! it, and a refusal would make it report to whoever was forged (PROTOCOLS A.4).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::session::{Open, Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Presenter, replies};
use crate::reply::Reply;
use crate::verify::timing::{Bounces, Moment, Possible};
use crate::verify::{Evidence, Verdict, VerdictResult, Weight};

/// Whether a refusal of the reverse-path waits, or may come, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// None does, or can.
    Settled,
    /// One does, or its domain's ledger may bring one; and no recipient is accepted yet.
    Doubted,
    /// Something declared for every recipient accepted so far clears it.
    Cleared,
    /// The content will tell; the recipients accepted so far wait for it.
    AwaitsContent,
}

impl Standing {
    /// How a transaction begins; `None` if MAIL is refused at once.
    pub(super) fn at_mail(verdict: &Verdict, possible: Possible) -> Option<Self> {
        if verdict.result().refuses() {
            let waits = possible.said_at(verdict) > Moment::Mail;
            return waits.then_some(Self::Doubted);
        }
        let may_be_cleared = possible.forwarders || possible.postmaster;
        Some(if verdict.asks_ledger() && may_be_cleared {
            Self::Doubted
        } else {
            Self::Settled
        })
    }

    /// True where a recipient may clear the reverse-path.
    pub(super) const fn is_doubted(self) -> bool {
        !matches!(self, Self::Settled)
    }
}

impl Open {
    /// Takes in what is known of a recipient: it is accepted, or refused with this reply.
    pub(super) fn judge_recipient(
        &mut self,
        evidence: Vec<Evidence>,
        possible: Possible,
    ) -> Result<(), Reply> {
        if !self.standing.is_doubted() {
            return Ok(());
        }
        if !self.at_mail.result().refuses() {
            return self.foresee(evidence);
        }
        let verdict = self.at_mail.with(evidence);
        let standing = match verdict.result() {
            VerdictResult::Authorised | VerdictResult::Unknown => Standing::Cleared,
            VerdictResult::Repudiated if possible.said_at(&verdict) == Moment::EndOfData => {
                Standing::AwaitsContent
            }
            VerdictResult::Repudiated | VerdictResult::Tempfail => {
                return Err(refusal_of(&verdict));
            }
        };
        self.stand(standing)?;
        if standing == Standing::Cleared {
            self.verdict = Arc::new(verdict.without_steps());
        }
        Ok(())
    }

    /// Takes in what would clear the recipient of what the ledger may say: nothing speaks against the reverse-path yet,
    /// so that what is declared and cannot be found out now puts nothing off.
    fn foresee(&mut self, mut evidence: Vec<Evidence>) -> Result<(), Reply> {
        evidence.retain(|piece| piece.weight(self.at_mail.mail_from_weight()) != Weight::Silent);
        let with = self.at_mail.with(evidence.iter().cloned());
        let standing = if with.has_declared() {
            Standing::Cleared
        } else {
            Standing::AwaitsContent
        };
        self.stand(standing)?;
        // Of others that are cleared the same holds; trouble of one may hide what would clear all.
        let known = match standing {
            Standing::Cleared => &self.at_mail,
            _ => &self.verdict,
        };
        if !evidence.is_empty() {
            self.verdict = Arc::new(known.with(evidence).without_steps());
        }
        Ok(())
    }

    /// The recipients of a message have one standing.
    fn stand(&mut self, standing: Standing) -> Result<(), Reply> {
        if self.standing != Standing::Doubted && self.standing != standing {
            return Err(replies::separate_transaction());
        }
        self.standing = standing;
        Ok(())
    }
}

impl Session {
    /// Who presents the reverse-path.
    pub(super) fn presenter(&self) -> Presenter {
        Presenter {
            helo: self.client_helo(),
            client: self.client(),
        }
    }

    /// What the sound content that has just ended may say is asked for, if it can say anything;
    /// otherwise custody is.
    pub(super) fn judge_content(&mut self, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &self.transaction else {
            return;
        };
        let Progress::Begun(draft) = &open.progress else {
            return;
        };
        // Whom we relay for is asked nothing.
        let is_signed = self.settings.possible.dkim && draft.is_signed();
        let is_report = self.is_looked_up(open);
        let may_tell = is_signed || is_report || open.verdict.asks_ledger();
        if !may_tell || open.verdict.mail_from().is_none() {
            let verdict = Arc::clone(&open.verdict);
            return self.judged(verdict, turn);
        }
        let ask = Ask::Content {
            verdict: Arc::clone(&open.verdict),
            reverse_path: open.mail.reverse_path.clone(),
            presenter: self.presenter(),
            recipients: open
                .recipients
                .iter()
                .map(|each| each.path.clone())
                .collect(),
            size: draft.identity().1,
            is_signed,
            is_report,
        };
        self.ask(ask, Waiting::Judgement, turn);
    }

    /// Whether the message may be a report that is compared with what was sent from here.
    fn is_looked_up(&self, open: &Open) -> bool {
        self.settings.possible.bounces != Bounces::Taken && open.mail.reverse_path.is_null()
    }

    /// Goes on with the end of the content, once it is known what it says.
    pub(super) fn judged(&mut self, verdict: Arc<Verdict>, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let Progress::Begun(draft) = &mut open.progress else {
            return;
        };
        let (queue_id, size) = draft.identity();
        // The spool may have refused it while the question was open.
        if let Some(failure) = draft.failure(&self.settings.limits) {
            let reverse_path = open.mail.reverse_path.clone();
            self.drop_transaction();
            return self.refuse_content(queue_id, reverse_path, size, failure, turn);
        }
        open.verdict = verdict;
        if !open.verdict.result().refuses() || open.from_perimeter {
            return self.take_custody(turn);
        }
        draft.abandon(turn);
        let reply = refusal_of(&open.verdict);
        let reverse_path = open.mail.reverse_path.clone();
        self.drop_transaction();
        self.refuse_content(queue_id, reverse_path, size, reply, turn);
    }
}

/// What a refusing verdict says.
fn refusal_of(verdict: &Verdict) -> Reply {
    let bland = match verdict.result() {
        VerdictResult::Tempfail => replies::cannot_check_now(),
        _ => replies::repudiated(),
    };
    verdict.refusal().map_or(bland, replies::refusal)
}
