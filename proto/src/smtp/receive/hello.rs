//! EHLO, HELO and STARTTLS: who is there, and what is offered (RFC 5321 §4.1.1.1, RFC 3207).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;

use super::session::{Phase, Session, Transaction, Turn};
use super::{Action, Note, replies};
use crate::reply::Reply;
use crate::smtp::extension;

/// What the client called itself.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    /// With EHLO.
    pub(super) extended: bool,
    /// The argument as it came.
    pub(super) name: Box<str>,
}

impl Session {
    /// EHLO and HELO. Either ends a transaction, as RSET does (RFC 5321 §4.1.4), and with it the
    /// state of an invalidated session.
    pub(super) fn greet(&mut self, extended: bool, name: Box<str>, turn: &mut Turn<'_>) {
        self.end_transaction(turn);
        let mut lines = alloc::vec![self.settings.hostname.as_ascii().to_owned().into()];
        if extended {
            lines.extend(extension::offered(
                self.settings.limits.message_size,
                self.offers_starttls(),
            ));
            if self.peer.is_front {
                lines.extend(extension::FOR_FRONTS.map(Into::into));
            }
        }
        turn.say(&Reply::plain(250, lines));
        turn.note(Note::Hello {
            extended,
            helo: name.clone(),
        });
        self.hello = Some(Hello { extended, name });
    }

    /// Whether STARTTLS is of any use now.
    pub(super) fn offers_starttls(&self) -> bool {
        self.settings.starttls && self.tls.is_none()
    }

    /// STARTTLS. Whatever was agreed on in clear is dropped with the transaction.
    pub(super) fn start_tls(&mut self, verb: &str, turn: &mut Turn<'_>) {
        if !self.settings.starttls {
            return self.refuse(verb, replies::not_offered(), turn);
        }
        if self.tls.is_some() {
            return self.refuse(verb, replies::already_tls(), turn);
        }
        if self.hello.is_none() {
            return self.refuse(verb, replies::hello_first(), turn);
        }
        self.end_transaction(turn);
        turn.say(&replies::ready_for_tls());
        turn.actions.push(Action::StartTls);
        self.await_tls();
    }

    /// Nothing said in clear holds any more (RFC 3207 §4.2): the client must say EHLO again.
    pub(super) fn tls_started(&mut self, description: Box<str>, turn: &mut Turn<'_>) {
        if !matches!(self.phase, Phase::StartingTls) {
            return;
        }
        self.hello = None;
        self.transaction = Transaction::None;
        self.forget_octets();
        turn.note(Note::TlsStarted {
            description: description.clone(),
        });
        self.tls = Some(description);
        self.await_command(turn.now);
    }
}
