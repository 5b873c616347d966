//! XCLIENT and XFORWARD: a host in front of us says for whom it speaks (PROTOCOLS A.4).
//!
//! XCLIENT puts another client in the peer's place, wholly and for the rest of the session; the
//! session begins anew with its greeting. XFORWARD only says whose mail this is: the verdict and
//! the log go by it until the transaction ends, the right to relay stays the peer's. Both are
//! Postfix's, and are obeyed only for peers that are configured as fronts.

use alloc::boxed::Box;
use core::net::{IpAddr, SocketAddr};

use super::hello::Hello;
use super::session::{Session, Transaction, Turn, Waiting};
use super::{Ask, Note, Peer, Presenter, UNKNOWN_CLIENT, replies};
use crate::reply::Reply;
use crate::smtp::on_behalf::{OnBehalf, Said};

/// Whose mail comes next, as XFORWARD said.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarded {
    /// The client.
    address: Option<IpAddr>,
    /// What it called itself.
    helo: Option<Box<str>>,
    /// The mail began at the peer, and has no client.
    local: bool,
}

impl Forwarded {
    /// Whose mail it is, as a perimeter host's Received fields say.
    pub(super) fn of(presenter: Presenter) -> Self {
        Self {
            address: Some(presenter.client),
            helo: Some(presenter.helo),
            local: false,
        }
    }

    /// Takes in what one more XFORWARD says; what it does not speak of stays.
    fn learn(&mut self, said: OnBehalf) {
        if said.address != Said::Nothing {
            self.address = said.address.value();
        }
        if said.helo != Said::Nothing {
            self.helo = said.helo.value();
        }
        if said.local != Said::Nothing {
            self.local = said.local.value().unwrap_or_default();
        }
    }

    /// The client, if the mail has one.
    fn client(&self) -> Option<IpAddr> {
        (!self.local).then(|| self.address.unwrap_or(UNKNOWN_CLIENT))
    }
}

impl Session {
    /// The client whose mail this is: the peer, unless it speaks for another.
    pub(super) fn client(&self) -> IpAddr {
        let forwarded = self.forwarded.as_ref().and_then(Forwarded::client);
        forwarded.unwrap_or_else(|| self.peer.address.ip())
    }

    /// What that client called itself; nothing, where the peer does not say.
    pub(super) fn client_helo(&self) -> Box<str> {
        match &self.forwarded {
            Some(forwarded) if forwarded.client().is_some() => {
                forwarded.helo.clone().unwrap_or_default()
            }
            _ => self
                .hello
                .as_ref()
                .map(|hello| hello.name.clone())
                .unwrap_or_default(),
        }
    }

    /// Why the peer may not speak for another now, if it may not.
    fn fronting_refusal(&self) -> Option<Reply> {
        if !self.peer.is_front {
            Some(replies::no_front())
        } else if matches!(self.transaction, Transaction::Open(_)) {
            Some(replies::nested_mail())
        } else {
            None
        }
    }

    /// XCLIENT: asks what the other client may, or goes on at once if it is not named.
    pub(super) fn xclient(&mut self, said: OnBehalf, verb: &str, turn: &mut Turn<'_>) {
        if let Some(refusal) = self.fronting_refusal() {
            return self.refuse(verb, refusal, turn);
        }
        let address = match said.address {
            Said::Nothing => return self.replace_peer(said, self.peer, turn),
            Said::Unknown => UNKNOWN_CLIENT,
            Said::Is(address) => address,
        };
        let port = said.port.clone().value().unwrap_or_default();
        let client = SocketAddr::new(address, port);
        self.ask(Ask::Peer(client), Waiting::Peer(Box::new(said)), turn);
    }

    /// Goes on with XCLIENT: a new session on the old connection. What the connection itself is
    /// stays: its TLS, and that its other end is a front.
    pub(super) fn replace_peer(&mut self, said: OnBehalf, peer: Peer, turn: &mut Turn<'_>) {
        self.end_transaction(turn);
        turn.note(Note::OnBehalf {
            verb: "XCLIENT",
            client: Some(peer.address.ip()),
            helo: said.helo.clone().value(),
        });
        self.peer = Peer {
            is_front: self.peer.is_front,
            ..peer
        };
        let extended = said.extended.value();
        let before = self.hello.take();
        self.hello = said.helo.value().map(|name| Hello {
            extended: extended
                .or(before.map(|hello| hello.extended))
                .unwrap_or_default(),
            name,
        });
        turn.say(&replies::greeting(&self.settings.hostname));
    }

    /// XFORWARD: holds until the transaction ends.
    pub(super) fn xforward(&mut self, said: OnBehalf, verb: &str, turn: &mut Turn<'_>) {
        if let Some(refusal) = self.fronting_refusal() {
            return self.refuse(verb, refusal, turn);
        }
        let forwarded = self.forwarded.get_or_insert_default();
        forwarded.learn(said);
        turn.note(Note::OnBehalf {
            verb: "XFORWARD",
            client: forwarded.client(),
            helo: forwarded.helo.clone(),
        });
        turn.say(&replies::ok());
    }
}
