//! RCPT: which recipients a transaction has (RFC 5321 §4.1.1.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::session::{Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Note, replies};
use crate::envelope::Recipient;
use crate::reply::Reply;
use crate::verify::Evidence;

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
        if open.recipients.iter().any(|known| known.path == *path) {
            return turn.say(&replies::recipient_ok());
        }
        if open.recipients.len() >= self.settings.limits.recipients {
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
        let Some(reply) = refusal else {
            open.recipients.push(recipient);
            return turn.say(&replies::recipient_ok());
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
