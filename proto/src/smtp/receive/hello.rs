//! EHLO, HELO and STARTTLS: who is there, and what is offered (RFC 5321 §4.1.1.1, RFC 3207).

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use core::net::IpAddr;

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
        if self.settings.helo_syntax && !self.peer.may_relay && !is_name_or_address(&name) {
            let verb = if extended { "EHLO" } else { "HELO" };
            return self.refuse(verb, replies::no_name(), turn);
        }
        self.end_transaction(turn);
        let mut lines = alloc::vec![self.settings.hostname.as_ascii().to_owned().into()];
        if extended {
            lines.extend(extension::offered(
                self.settings.limits.message_size,
                self.settings.limits.deliver_by,
                self.offers_starttls(),
                self.offers_require_tls(),
                self.settings.xhold.as_ref().map(|holding| holding.terms),
                self.settings.xvouch,
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

    /// Whether the client has been offered extensions.
    pub(super) fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// Whether STARTTLS is of any use now.
    pub(super) fn offers_starttls(&self) -> bool {
        self.settings.starttls && self.tls.is_none()
    }

    /// Whether a message may ask that no hop without TLS has it: only one that came under TLS itself
    /// (RFC 8689 §2).
    pub(super) fn offers_require_tls(&self) -> bool {
        self.settings.require_tls && self.tls.is_some()
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

/// True for what a host can be called: a domain, or an address with or without its brackets
/// (RFC 5321 §4.1.3). More is let pass than the grammar has, because honest clients err there: `_`,
/// a dot at the end, one label alone, letters beyond ASCII. What is left has blanks, brackets or
/// signs in it, and was never a name.
fn is_name_or_address(name: &str) -> bool {
    if let Some(literal) = name.strip_prefix('[') {
        let inside = literal.strip_suffix(']');
        return inside.is_some_and(|inside| {
            !inside.is_empty() && inside.bytes().all(|octet| octet.is_ascii_graphic())
        });
    }
    let labels = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_')
    };
    name.parse::<IpAddr>().is_ok() || labels.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::is_name_or_address;

    #[test]
    fn what_honest_clients_say_is_a_name_or_an_address() {
        for name in [
            "mail.example.org",
            "mail.example.org.",
            "localhost",
            "my_laptop",
            "WIN-8T2",
            "192.0.2.1",
            "2001:db8::1",
            "[192.0.2.1]",
            "[IPv6:2001:db8::1]",
            "bücher.example",
        ] {
            assert!(is_name_or_address(name), "{name}");
        }
        for name in [
            "", ".", "a..b", ".a", "a b", "<script>", "a@b", "[]", "[a", "[a b]", "${x}", "a,b",
        ] {
            assert!(!is_name_or_address(name), "{name}");
        }
    }
}
