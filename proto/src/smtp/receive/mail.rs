//! MAIL: the reverse-path, its verdict, and what follows from a refusal (PROTOCOLS A.3).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::session::{Open, Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Note, replies};
use crate::smtp::command::Mail;
use crate::verify::{Verdict, VerdictResult};

impl Session {
    /// Checks MAIL and asks for the verdict.
    pub(super) fn mail(&mut self, mail: Mail, verb: &str, turn: &mut Turn<'_>) {
        if self.hello.is_none() {
            return self.refuse(verb, replies::hello_first(), turn);
        }
        let refusal = match &self.transaction {
            Transaction::Invalidated => Some(replies::invalidated()),
            Transaction::Open(_) => Some(replies::nested_mail()),
            Transaction::None | Transaction::Refused => None,
        };
        if let Some(refusal) = refusal {
            return self.refuse(verb, refusal, turn);
        }
        let limit = self.settings.limits.message_size;
        let refusal = if !mail.smtputf8 && !mail.reverse_path.is_ascii() {
            Some(replies::needs_smtputf8())
        } else if mail.size.is_some_and(|size| size > limit) {
            Some(replies::too_large())
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.refuse(verb, refusal, turn);
            return self.mail_refused();
        }
        let ask = Ask::Verify {
            reverse_path: mail.reverse_path.clone(),
            helo: self.client_helo(),
            client: self.client(),
        };
        self.ask(ask, Waiting::Mail(Box::new(mail)), turn);
    }

    /// What is pipelined behind a refused MAIL is refused with it, and is no error of its own.
    pub(super) fn mail_refused(&mut self) {
        if let Transaction::None = self.transaction {
            self.transaction = Transaction::Refused;
        }
    }

    /// Goes on with MAIL, once the verdict is there.
    pub(super) fn verified(&mut self, mail: Mail, verdict: &Verdict, turn: &mut Turn<'_>) {
        let result = verdict.result();
        let (refusal, state) = match result {
            VerdictResult::Authorised | VerdictResult::Unknown => {
                self.transaction = Transaction::Open(Box::new(Open {
                    mail,
                    verdict: result,
                    recipients: Vec::new(),
                    progress: Progress::Envelope,
                }));
                return turn.say(&replies::mail_ok());
            }
            VerdictResult::Repudiated => (replies::repudiated(), Transaction::Invalidated),
            VerdictResult::Tempfail => (replies::cannot_check_now(), Transaction::Refused),
        };
        self.transaction = state;
        let reply = verdict.refusal().map_or(refusal, replies::refusal);
        turn.say(&reply);
        turn.note(Note::MailRefused {
            reverse_path: mail.reverse_path,
            verdict: result,
            reply,
        });
    }
}
