//! From the connection to the first [`Action::Ready`]: greeting, EHLO or LHLO, STARTTLS, EHLO
//! again (RFC 5321 §3.1, §4.1.1.1; RFC 3207; RFC 2033 §4.1).
//!
//! A host that refuses here refuses every message, which is more often a matter of the moment or
//! of our address than of the message: the outcome is transient whatever the code, and the next
//! host is worth a try. Only 521, by which a host says that it never takes mail (RFC 7504 §3), is
//! permanent.

use alloc::format;
use alloc::vec::Vec;

use crate::outcome::{Outcome, OutcomeClass};
use crate::reply::{EnhancedStatus, Reply, ReplyClass};

use super::{Action, Expected, Offers, Phase, Protocol, Session, StartTls};

impl Session {
    /// The connection stands.
    pub(super) fn connected(&mut self) {
        if self.phase == Phase::New {
            self.phase = Phase::Opening;
            self.expected.push_back(Expected::Greeting);
            self.moved = true;
        }
    }

    /// TLS stands; what was offered in clear is forgotten (RFC 3207 §4.2).
    pub(super) fn tls_started(&mut self, actions: &mut Vec<Action>) {
        if self.phase == Phase::StartingTls {
            self.phase = Phase::Opening;
            self.offers = Offers::default();
            self.under_tls = Some(self.settings.starttls);
            self.settings.starttls = StartTls::Never;
            self.say_hello(actions);
        }
    }

    pub(super) fn greeted(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.is_positive() {
            self.say_hello(actions);
        } else {
            self.refused(reply, actions);
        }
    }

    pub(super) fn hello_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        let old = self.settings.protocol == Protocol::Smtp;
        match reply.class() {
            ReplyClass::Positive => {
                self.offers = Offers::read(reply);
                self.hello_is_over(actions);
            }
            // A server of before 1995, or one that forbids extensions (RFC 5321 §3.2).
            ReplyClass::Permanent if old => self.greet_with("HELO", Expected::PlainHello, actions),
            _ => self.refused(reply, actions),
        }
    }

    pub(super) fn plain_hello_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        if reply.is_positive() {
            self.offers = Offers::default();
            self.hello_is_over(actions);
        } else {
            self.refused(reply, actions);
        }
    }

    pub(super) fn starttls_answered(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        match reply.class() {
            ReplyClass::Positive => {
                self.phase = Phase::StartingTls;
                actions.push(Action::StartTls);
            }
            ReplyClass::Intermediate => self.refused(reply, actions),
            ReplyClass::Transient | ReplyClass::Permanent
                if self.settings.starttls.is_required() =>
            {
                self.refused(reply, actions);
            }
            // TLS is opportunistic: without it as before it was offered (RFC 3207 §4).
            ReplyClass::Transient | ReplyClass::Permanent => self.ready(actions),
        }
    }

    /// What is offered is known: on to TLS, or to the messages.
    fn hello_is_over(&mut self, actions: &mut Vec<Action>) {
        match (self.settings.starttls, self.offers.starttls) {
            (StartTls::IfOffered | StartTls::Required | StartTls::Verified, true) => {
                self.expected.push_back(Expected::StartTls);
                self.write(b"STARTTLS\r\n".to_vec(), actions);
            }
            // Somebody on the way may have taken the offer out.
            (StartTls::Required | StartTls::Verified, false) => {
                let text = "TLS is required for this host, and it did not offer STARTTLS";
                let remote = Some(self.settings.remote.clone());
                // X.7.4: security features not supported (RFC 3463 §3.8).
                let outcome = Outcome::local((4, 7, 4), remote, text);
                actions.push(Action::Unusable(outcome));
                self.close(actions);
            }
            (StartTls::Never, _) | (StartTls::IfOffered, false) => self.ready(actions),
        }
    }

    /// EHLO or LHLO.
    fn say_hello(&mut self, actions: &mut Vec<Action>) {
        let verb = match self.settings.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        self.greet_with(verb, Expected::Hello, actions);
    }

    fn greet_with(&mut self, verb: &str, expected: Expected, actions: &mut Vec<Action>) {
        let line = format!("{verb} {}\r\n", self.settings.hostname.as_ascii());
        self.expected.push_back(expected);
        self.write(line.into_bytes(), actions);
    }

    /// A reply that says there will be no session.
    pub(super) fn refused(&mut self, reply: &Reply, actions: &mut Vec<Action>) {
        let mut outcome = Outcome::from_reply(reply, Some(self.settings.remote.clone()));
        if reply.code() != 521 && outcome.class != OutcomeClass::Transient {
            let stated = outcome.status;
            outcome.class = OutcomeClass::Transient;
            outcome.status = EnhancedStatus::new(4, stated.subject, stated.detail);
        }
        if (outcome.status.subject, outcome.status.detail) == (0, 0) {
            // X.3.2: system not accepting network messages (RFC 3463 §3.4).
            outcome.status = EnhancedStatus::new(outcome.status.class, 3, 2);
        }
        actions.push(Action::Unusable(outcome));
        self.close(actions);
    }
}
