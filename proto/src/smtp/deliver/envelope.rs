//! MAIL, RCPT, DATA (RFC 5321 §3.3), in batches where the peer offers PIPELINING (RFC 2920).
//!
//! DATA ends the last batch. BDAT is never sent before the replies to all RCPT are in: it would
//! carry content for nobody. Either way content follows one round trip after MAIL.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::addr::ReversePath;
use crate::envelope::{BodyType, ByMode, Recipient};
use crate::outcome::{Onward, Outcome, OutcomeClass, Remote};
use crate::reply::{EnhancedStatus, Reply, ReplyClass};
use crate::smtp::parameters::{self, By};
use crate::smtp::xhold::Reach;
use crate::time::Wall;

use super::encoding::{Encoder, Form};
use super::{
    Action, Coming, Current, Expected, Phase, Protocol, Session, Standing, StartTls, Transaction,
    Trouble,
};

/// Commands on their way at once. Their replies must fit into the peer's and our socket buffers,
/// else each side waits for the other to read (RFC 2920 §3.1).
const BATCH: usize = 50;

impl Session {
    /// Takes a transaction in hand.
    pub(super) fn begin(
        &mut self,
        transaction: Box<Transaction>,
        coming: Coming,
        now: Wall,
        actions: &mut Vec<Action>,
    ) {
        if self.phase != Phase::Ready {
            actions.push(Action::Unstarted(transaction));
            return;
        }
        let refusal = self.cannot_take(&transaction, now);
        let form = if self.offers.chunking {
            Form::Chunks
        } else {
            Form::Lines
        };
        let count = transaction.recipients.len();
        let mut unsent: VecDeque<Expected> = VecDeque::with_capacity(count.saturating_add(3));
        if self.dirty {
            unsent.push_back(Expected::Reset);
        }
        unsent.push_back(Expected::Mail);
        unsent.extend((0..count).map(Expected::Recipient));
        if form == Form::Lines && coming == Coming::AtOnce {
            unsent.push_back(Expected::Data);
        }
        self.current = Some(Current {
            transaction,
            coming,
            standing: vec![Standing::Open; count],
            unsent,
            begun: now,
            answered: false,
            words: Vec::new(),
            encoder: Encoder::new(form, self.offers.takes_eight_bits()),
        });
        self.phase = Phase::Envelope;
        if let Some(outcome) = refusal {
            self.decide_all(&outcome, actions);
        } else {
            self.decided(actions);
        }
        self.go_on(actions);
    }

    /// Why the peer cannot take this transaction, from what it offers.
    fn cannot_take(&self, transaction: &Transaction, now: Wall) -> Option<Outcome> {
        let is_ascii = transaction.reverse_path.is_ascii()
            && transaction
                .recipients
                .iter()
                .all(|recipient| recipient.path.is_ascii());
        if (transaction.smtputf8 || !is_ascii) && !self.offers.smtputf8 {
            return Some(self.without_smtputf8());
        }
        if transaction.requests.demands_tls(&transaction.reverse_path)
            && let Some(outcome) = self.cannot_require_tls()
        {
            return Some(outcome);
        }
        if let Some(outcome) = self.cannot_be_in_time(transaction, now) {
            return Some(outcome);
        }
        let (size, limit) = (transaction.size?, self.offers.size_limit?);
        (size > limit).then(|| {
            let remote = Some(self.settings.remote.clone());
            Outcome::local(
                (5, 3, 4),
                remote,
                format!("the message has {size} octets; the next hop takes no more than {limit}"),
            )
        })
    }

    /// What becomes of whoever needs SMTPUTF8 and does not get it.
    pub(super) fn without_smtputf8(&self) -> Outcome {
        Outcome::local(
            (5, 6, 7),
            Some(self.settings.remote.clone()),
            "the message needs internationalised mail (SMTPUTF8), which the next hop does not \
             offer",
        )
    }

    /// Why a message that no hop without TLS may have cannot go this way (RFC 8689 §4.2.1): the host
    /// is not known to be the right one, or does not promise the same for the way behind it.
    /// Who gives into mailboxes has none behind it.
    pub fn cannot_require_tls(&self) -> Option<Outcome> {
        let is_last = self.settings.protocol == Protocol::Lmtp;
        let (status, why) = if is_last && self.settings.private {
            return None;
        } else if self.under_tls != Some(StartTls::Verified) {
            // X.7.10: encryption needed.
            let why = "the message may go under TLS only, with a certificate of this very host";
            ((5, 7, 10), why)
        } else if !is_last && !self.offers.require_tls {
            let why = "the message may go only where REQUIRETLS is offered";
            ((5, 7, 30), why)
        } else {
            return None;
        };
        let remote = Some(self.settings.remote.clone());
        Some(Outcome::local(status, remote, why))
    }

    /// Why the message cannot be with its recipient in time by this peer, if it is to be returned
    /// then (RFC 2852 §4). One that gives into mailboxes does so at once.
    fn cannot_be_in_time(&self, transaction: &Transaction, now: Wall) -> Option<Outcome> {
        let by = transaction.requests.deliver_by?;
        if by.mode == ByMode::Notify {
            return None;
        }
        let left = By::left(by, now).seconds;
        let least = i64::try_from(self.offers.least_by).unwrap_or(i64::MAX);
        let is_last = self.settings.protocol == Protocol::Lmtp;
        let why = if left <= 0 {
            "the time within which it was wanted is over"
        } else if !self.offers.deliver_by && !is_last {
            "the next hop does not promise to deliver in time (DELIVERBY)"
        } else if left < least {
            "the next hop takes no message that is wanted so soon (DELIVERBY)"
        } else {
            return None;
        };
        let remote = Some(self.settings.remote.clone());
        Some(Outcome::local((5, 4, 7), remote, why))
    }

    /// What a peer that has taken a message does about reports on it.
    pub(super) fn onward(&self) -> Onward {
        match self.settings.protocol {
            // It stands before the mailbox (RFC 2033 §1), and most say nothing of reports.
            Protocol::Lmtp if !self.offers.dsn => Onward::Mailbox,
            _ => Onward::Relay {
                reports: self.offers.dsn,
                deadlines: self.offers.deliver_by,
            },
        }
    }

    /// Sends what may be sent now, or moves to what comes when all is answered.
    pub(super) fn go_on(&mut self, actions: &mut Vec<Action>) {
        if !self.expected.is_empty() {
            return;
        }
        match self.phase {
            Phase::Draining => self.ready(actions),
            Phase::Envelope => {
                let batch = if self.offers.pipelining { BATCH } else { 1 };
                let octets = self.next_commands(batch);
                if !octets.is_empty() {
                    self.write(octets, actions);
                } else if !self.awaits_recipients() && self.accepted().next().is_some() {
                    self.begin_content(actions);
                }
            }
            _ => {}
        }
    }

    /// Up to `batch` commands, which become expected.
    fn next_commands(&mut self, batch: usize) -> Vec<u8> {
        let mut octets = Vec::new();
        while self.expected.len() < batch {
            let Some(expected) = self
                .current
                .as_mut()
                .and_then(|current| current.unsent.pop_front())
            else {
                break;
            };
            self.encode_command(expected, &mut octets);
            self.expected.push_back(expected);
        }
        octets
    }

    /// The command that `expected` answers.
    fn encode_command(&self, expected: Expected, octets: &mut Vec<u8>) {
        let Some(current) = &self.current else {
            return;
        };
        let transaction = &current.transaction;
        match expected {
            Expected::Reset => octets.extend_from_slice(b"RSET\r\n"),
            Expected::Mail => {
                octets.extend(self.mail_command(transaction, current.begun).into_bytes());
            }
            Expected::Recipient(index) => {
                if let Some(recipient) = transaction.recipients.get(index) {
                    octets.extend(self.recipient_command(transaction, recipient).into_bytes());
                }
            }
            Expected::Data => octets.extend_from_slice(b"DATA\r\n"),
            _ => {}
        }
    }

    /// MAIL, with the parameters that the peer has offered to understand.
    fn mail_command(&self, transaction: &Transaction, now: Wall) -> String {
        let path = &transaction.reverse_path;
        let mut line = match path {
            // No host has a mailbox without a domain: ours answers for it, as in a report.
            ReversePath::Bare(local_part) => {
                format!(
                    "MAIL FROM:<{local_part}@{}>",
                    self.settings.hostname.as_ascii()
                )
            }
            path => format!("MAIL FROM:<{path}>"),
        };
        if self.offers.size
            && let Some(size) = transaction.size
        {
            // Writing to a String cannot fail.
            let _ = write!(line, " SIZE={size}");
        }
        if self.offers.eight_bit_mime && transaction.body == BodyType::EightBitMime {
            line.push_str(" BODY=8BITMIME");
        }
        if self.offers.smtputf8 && (transaction.smtputf8 || !path.is_ascii()) {
            line.push_str(" SMTPUTF8");
        }
        if self.offers.dsn {
            parameters::push_mail(&mut line, &transaction.requests);
        }
        if let Some(by) = transaction.requests.deliver_by
            && self.offers.deliver_by
        {
            parameters::push_by(&mut line, By::left(by, now));
        }
        let verified = self.under_tls == Some(StartTls::Verified);
        if verified && self.offers.require_tls && transaction.requests.require_tls {
            line.push_str(" REQUIRETLS");
        }
        if self.asks_for_each() {
            line.push_str(" PRDR");
        }
        if self.offers.xhold.is_some() {
            transaction.through.push(&mut line);
        }
        if let Some(claim) = transaction.claim
            && self.offers.xvouch
        {
            let _ = write!(line, " XVOUCH={claim}");
        }
        line.push_str("\r\n");
        line
    }

    /// RCPT, with what was asked about reports where the peer can make them. What was not asked is
    /// not made up (RFC 3461 §5.2.1).
    fn recipient_command(&self, transaction: &Transaction, recipient: &Recipient) -> String {
        let mut line = format!("RCPT TO:<{recipient}>");
        if self.offers.dsn {
            let utf8 = self.offers.smtputf8 && transaction.smtputf8;
            parameters::push_recipient(&mut line, recipient, utf8);
        }
        line.push_str("\r\n");
        line
    }

    pub(super) fn reset_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.is_positive() {
            self.dirty = false;
            self.go_on(actions);
        } else {
            self.shut_out(reply, actions);
        }
    }

    pub(super) fn mail_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        match &mut self.current {
            Some(current) => current.answered = true,
            // It was given up meanwhile, and is open at the peer all the same.
            None => self.dirty = true,
        }
        self.used = true;
        match reply.class() {
            ReplyClass::Positive => {}
            ReplyClass::Intermediate => return self.trouble(Trouble::OutOfStep, actions),
            ReplyClass::Transient | ReplyClass::Permanent => {
                let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
                self.decide_all(&outcome, actions);
            }
        }
        self.go_on(actions);
    }

    pub(super) fn recipient_answered(
        &mut self,
        index: usize,
        reply: &Reply,
        actions: &mut Vec<Action>,
    ) {
        match reply.class() {
            ReplyClass::Positive => {
                // Who does not hold paths means nothing by such words.
                let speaks = self.offers.xhold.is_some();
                let text = reply.lines().last().filter(|_| speaks);
                self.reach = text.and_then(|text| Reach::read(text));
                if let Some(standing) = self.standing_mut(index)
                    && *standing == Standing::Open
                {
                    *standing = Standing::Accepted;
                    if self.is_held() {
                        actions.push(Action::Accepted(index));
                    }
                }
            }
            ReplyClass::Intermediate => return self.trouble(Trouble::OutOfStep, actions),
            ReplyClass::Transient | ReplyClass::Permanent => {
                let remote = Some(self.settings.remote.clone());
                self.decide(index, refused_recipient(reply, remote), actions);
            }
        }
        self.go_on(actions);
    }

    pub(super) fn data_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        let wanted = self.accepted().next().is_some();
        match reply.class() {
            ReplyClass::Intermediate if wanted => return self.begin_content(actions),
            // The peer waits for content, though it has refused every recipient: it gets none
            // (RFC 2920 §3.1). LMTP has no reply to a message without recipients to wait for.
            ReplyClass::Intermediate => match self.settings.protocol {
                Protocol::Smtp => {
                    self.expected.push_back(Expected::LoneDot);
                    self.write(b".\r\n".to_vec(), actions);
                }
                Protocol::Lmtp => self.close(actions),
            },
            ReplyClass::Positive => return self.trouble(Trouble::OutOfStep, actions),
            ReplyClass::Transient | ReplyClass::Permanent => {
                let outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
                self.decide_all(&outcome, actions);
            }
        }
        self.go_on(actions);
    }
}

/// What a refusal of one recipient means. 552 without a status that speaks of the mailbox is what
/// old servers say of too many recipients, and is transient (RFC 5321 §4.5.3.1.10).
fn refused_recipient(reply: &Reply, remote: Option<Remote>) -> Outcome {
    let mut outcome = Outcome::from_reply(reply, remote);
    let too_many = EnhancedStatus::new(5, 5, 3);
    if reply.code() == 552 && reply.enhanced().is_none_or(|status| status == too_many) {
        outcome.class = OutcomeClass::Transient;
        outcome.status = EnhancedStatus::new(4, 5, 3);
    }
    outcome
}
