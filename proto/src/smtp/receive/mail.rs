//! MAIL: the reverse-path, its verdict, and what follows from a refusal (PROTOCOLS A.3).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::judgement::Standing;
use super::session::{Open, Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Note, replies};
use crate::envelope::{ByMode, Requests};
use crate::smtp::command::Mail;
use crate::smtp::parameters::By;
use crate::time::Mono;
use crate::verify::mail_from::Reason;
use crate::verify::{Verdict, VerdictResult};

/// Claims of a session that are asked about and bring no message: some recipients are refused, and some connections break.
/// More would make us ask whoever the client names, for a line each.
const MOST_CLAIMS: u32 = 10;

/// True if the client is one of our own outer hosts, and nobody behind it is known.
fn is_perimeter(verdict: &Verdict) -> bool {
    verdict
        .mail_from()
        .is_some_and(|report| report.reason == Reason::Perimeter)
}

/// True if a message could hardly be tried before it had to be returned (RFC 2852 §4).
fn is_too_soon(by: By, least: u64) -> bool {
    by.mode == ByMode::Return && u64::try_from(by.seconds).is_ok_and(|seconds| seconds < least)
}

impl Session {
    /// Checks MAIL and asks for the verdict.
    pub(super) fn mail(&mut self, mut mail: Mail, verb: &str, turn: &mut Turn<'_>) {
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
        let least = self.settings.limits.deliver_by.as_secs();
        let refusal = if self.asks_what_is_not_offered(&mail) {
            Some(replies::parameter_not_offered())
        } else if mail.by.is_some_and(|by| is_too_soon(by, least)) {
            Some(replies::too_soon(least))
        } else if !mail.smtputf8 && !mail.reverse_path.is_ascii() {
            Some(replies::needs_smtputf8())
        } else if mail.size.is_some_and(|size| size > limit) {
            Some(replies::too_large())
        } else if self.has_passed_here(&mail) {
            Some(replies::passed_here())
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.refuse(verb, refusal, turn);
            return self.mail_refused();
        }
        // From here on the time runs, however long the answers take (RFC 2852 §4).
        mail.requests.deliver_by = mail.by.map(|by| by.from(turn.now.wall));
        let claim = mail.claim.filter(|_| self.claims < MOST_CLAIMS);
        self.claims = self.claims.saturating_add(claim.is_some().into());
        let ask = Ask::Verify {
            reverse_path: mail.reverse_path.clone(),
            helo: self.client_helo(),
            client: self.client(),
            claim,
        };
        self.ask(ask, Waiting::Mail(Box::new(mail), turn.now.mono), turn);
    }

    /// HELO has offered nothing to be asked for, and a session in clear not that there be TLS.
    fn asks_what_is_not_offered(&self, mail: &Mail) -> bool {
        if self.settings.xhold.is_none() && !mail.through.is_empty() {
            return true;
        }
        if !self.settings.xvouch && mail.claim.is_some() {
            return true;
        }
        let of_ours = !mail.through.is_empty() || mail.claim.is_some();
        let extended = mail.by.is_some() || mail.per_recipient || of_ours;
        let asks = mail.requests != Requests::default() || extended;
        let unprotected = mail.requests.require_tls && !self.offers_require_tls();
        asks && !self.is_extended() || unprotected
    }

    /// Our own token is among those of the hops before us.
    fn has_passed_here(&self, mail: &Mail) -> bool {
        let holding = self.settings.xhold.as_ref();
        holding.is_some_and(|holding| mail.through.loops(&holding.marker))
    }

    /// What is pipelined behind a refused MAIL is refused with it, and is no error of its own.
    pub(super) fn mail_refused(&mut self) {
        if let Transaction::None = self.transaction {
            self.transaction = Transaction::Refused;
        }
    }

    /// Goes on with MAIL, once the verdict is there.
    pub(super) fn verified(
        &mut self,
        mail: Mail,
        came: Mono,
        verdict: &Verdict,
        turn: &mut Turn<'_>,
    ) {
        let standing = Standing::at_mail(verdict, self.settings.possible);
        if let Some(standing) = standing {
            // The steps have been logged by now, and a session may last.
            let verdict = Arc::new(verdict.without_steps());
            // Who asks for a path to be held has queued nothing.
            let may_have_queued = mail.through.wish.is_none();
            self.transaction = Transaction::Open(Box::new(Open {
                mail,
                since: came,
                standing,
                from_perimeter: may_have_queued && is_perimeter(&verdict),
                at_mail: Arc::clone(&verdict),
                verdict,
                recipients: Vec::new(),
                answered: Vec::new(),
                is_held: false,
                head: None,
                progress: Progress::Envelope,
            }));
            return turn.say(&replies::mail_ok());
        }
        let result = verdict.result();
        let (refusal, state) = match result {
            VerdictResult::Tempfail => (replies::cannot_check_now(), Transaction::Refused),
            _ => (replies::repudiated(), Transaction::Invalidated),
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
