//! RCPT: which recipients a transaction has (RFC 5321 §4.1.1.3): those that nothing speaks against here,
//! and that are taken down the path where it is held open.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::judgement::Standing;
use super::session::{Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Hold, Note, replies};
use crate::cutthrough::Opens;
use crate::envelope::Recipient;
use crate::reply::Reply;
use crate::smtp::xhold::Reach;
use crate::verify::Evidence;
use crate::verify::timing::Bounces;

impl Session {
    /// Checks RCPT and asks whether the recipient may be had. One that is accepted already is
    /// accepted again, and is had once.
    pub(super) fn recipient(&mut self, recipient: Recipient, verb: &str, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &self.transaction else {
            return self.refuse(verb, replies::mail_first(), turn);
        };
        if !matches!(open.progress, Progress::Envelope) {
            return self.refuse(verb, replies::not_while_chunking(), turn);
        }
        let asks = recipient.notify.is_some() || recipient.original.is_some();
        if asks && !self.is_extended() {
            return self.refuse(verb, replies::parameter_not_offered(), turn);
        }
        let path = &recipient.path;
        if !open.mail.smtputf8 && !path.is_ascii() {
            return self.refuse(verb, replies::needs_smtputf8(), turn);
        }
        let mut known = open.recipients.iter();
        if let Some(place) = known.position(|known| known.path == *path) {
            return self.recipient_again(place, verb, turn);
        }
        if open.answers() >= self.settings.limits.recipients {
            return self.refuse(verb, replies::too_many_recipients(), turn);
        }
        let doubted = open.standing.is_doubted().then(|| self.presenter());
        let ask = Ask::Recipient {
            recipient: path.clone(),
            doubted,
        };
        self.ask(ask, Waiting::Recipient(Box::new(recipient)), turn);
    }

    /// Goes on with RCPT, once the world has answered.
    pub(super) fn recipient_answered(
        &mut self,
        recipient: Recipient,
        answer: Result<Vec<Evidence>, Reply>,
        turn: &mut Turn<'_>,
    ) {
        let possible = self.settings.possible;
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let refusal = match answer {
            Ok(evidence) => open.judge_recipient(evidence, possible).err(),
            Err(reply) => Some(replies::refusal(reply)),
        };
        match refusal {
            Some(reply) => self.refuse_recipient(recipient, reply, turn),
            // What may come again, or is to be held, is known only down there.
            None if self.settings.holds || !open.mail.through.is_empty() => {
                self.hold(recipient, turn);
            }
            None => self.take_recipient(recipient, None, turn),
        }
    }

    /// Asks for a recipient down the path.
    fn hold(&mut self, recipient: Recipient, turn: &mut Turn<'_>) {
        let refuses = self.settings.possible.bounces == Bounces::Refused;
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let is_report = refuses && open.mail.reverse_path.is_null();
        open.is_held = true;
        let opens = match open.standing {
            _ if open.from_perimeter => None,
            // What our own ledger says at the end may refuse it.
            _ if is_report => Some(Opens::AfterVerdict),
            // What its domain says may, unless it has said already that it sent what is claimed to follow.
            _ if open.verdict.asks_ledger() && !open.verdict.awaits_claimed() => {
                Some(Opens::AfterVerdict)
            }
            Standing::Settled | Standing::Cleared => Some(Opens::Now),
            _ if !open.at_mail.result().refuses() => Some(Opens::Now),
            Standing::Doubted | Standing::AwaitsContent => Some(Opens::AfterVerdict),
        };
        let ask = Hold {
            recipient: recipient.clone(),
            reverse_path: open.mail.reverse_path.clone(),
            verdict: open.verdict.result(),
            opens,
            body: open.mail.body,
            smtputf8: open.mail.smtputf8,
            requests: open.mail.requests.clone(),
            declared: open.mail.size,
            through: open.mail.through.clone(),
            // What is completed on its way is not what was claimed.
            claim: open.mail.claim.filter(|_| !open.verdict.is_own()),
            per_recipient: open.mail.per_recipient,
            since: open.since,
        };
        let waiting = Waiting::Hold(Box::new(recipient));
        self.ask(Ask::Hold(Box::new(ask)), waiting, turn);
    }

    /// Goes on with RCPT, once the path has answered.
    pub(super) fn held(
        &mut self,
        recipient: Recipient,
        answer: Result<Option<Reach>, Reply>,
        turn: &mut Turn<'_>,
    ) {
        match answer {
            Ok(reach) => self.take_recipient(recipient, reach, turn),
            Err(reply) => self.refuse_recipient(recipient, replies::refusal(reply), turn),
        }
    }

    fn take_recipient(&mut self, recipient: Recipient, reach: Option<Reach>, turn: &mut Turn<'_>) {
        if let Transaction::Open(open) = &mut self.transaction {
            open.will_be_answered(open.recipients.len());
            open.recipients.push(recipient);
            turn.say(&reach.map_or_else(replies::recipient_ok, replies::recipient_held));
        }
    }

    fn refuse_recipient(&mut self, recipient: Recipient, reply: Reply, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &self.transaction else {
            return;
        };
        let reverse_path = open.mail.reverse_path.clone();
        turn.say(&reply);
        let is_error = self.is_error(&reply);
        turn.note(Note::RecipientRefused {
            reverse_path,
            recipient: recipient.path,
            reply,
        });
        self.count_error(is_error, turn);
    }
}
