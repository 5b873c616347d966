//! One transaction's way to a host of its next hop that answers it: a session that is kept, and then its
//! hosts one after the other.
//!
//! Promises: no host is tried twice, nor one that was lost; a next hop that leaves those who ask it waiting
//! counts as down ([`health`](super::health)), whether no session came to be or nothing was said in it,
//! but not for its silence to one while it answers others.
//!
//! Left to others: what is said over a session, and for how long its answer is waited for.

use std::time::Duration;

use tokio::time::timeout_at;
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::time::Mono;

use super::health::Asking;
use super::pool::Idle;
use super::{Kept, NextHops, Tries, kept, while_a_client_waits};
use crate::clock;
use crate::log::Peer;
use crate::smtp_out::{Connection, Terms};

/// The hosts that are left for one transaction. Dropped half-way it says nothing of the next hop.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something that was seen, or not"
)]
pub struct Approach<'a> {
    next_hops: &'a NextHops,
    next_hop: &'a NextHop,
    /// The message may go under TLS only (RFC 8689).
    demands_tls: bool,
    /// When it was begun.
    began: Mono,
    /// Nothing is waited for longer.
    until: Mono,
    /// What is kept was looked at, or is of no use.
    asks_anew: bool,
    /// Leave for new sessions, once there is need of one.
    asking: Option<Asking<'a>>,
    /// The hosts that are left, once they are known.
    tries: Option<Tries>,
    /// Those that were lost before that.
    lost: Vec<(Remote, Outcome)>,
    /// No session came to be with some host.
    unopened: bool,
    /// Some host had a session, and was silent.
    silent: bool,
}

impl<'a> Approach<'a> {
    /// Nothing was tried yet.
    pub(super) fn new(
        next_hops: &'a NextHops,
        next_hop: &'a NextHop,
        demands_tls: bool,
        patience: Duration,
    ) -> Self {
        let began = clock::mono();
        Self {
            next_hops,
            next_hop,
            demands_tls,
            began,
            until: began.plus(patience),
            asks_anew: demands_tls,
            asking: None,
            tries: None,
            lost: Vec::new(),
            unopened: false,
            silent: false,
        }
    }

    /// When its patience is over.
    pub const fn until(&self) -> Mono {
        self.until
    }

    /// The next session: the one that is kept, at first, and then a new one with the first of the hosts
    /// that are left with which one comes to be, within `patience` in all. If none does, why; at once,
    /// if the next hop left others waiting a moment ago.
    pub async fn next(&mut self, patience: Duration) -> Result<Kept, Outcome> {
        if !std::mem::replace(&mut self.asks_anew, true)
            && let Some(idle) = self.next_hops.pool.take(self.next_hop)
        {
            return Ok(kept(self.next_hop, idle));
        }
        if self.asking.is_none() {
            let asking = self.next_hops.health.ask(self.next_hop, clock::mono())?;
            self.asking = Some(asking);
        }
        let until = clock::mono().plus(patience).min(self.until);
        // Boxed: it is large, and most transactions have a session that is kept.
        match Box::pin(self.open(until)).await {
            Ok(connection) => {
                if let Some(asking) = &mut self.asking {
                    asking.stands(clock::mono());
                }
                let idle = Idle {
                    connection,
                    opened: clock::mono(),
                    used: 0,
                    refused: 0,
                };
                Ok(kept(self.next_hop, idle))
            }
            Err(outcome) => {
                self.in_vain(&outcome);
                Err(outcome)
            }
        }
    }

    /// The host of the last session was lost before it answered, or was silent for as long as there was
    /// patience: on to the others.
    pub fn lost(&mut self, remote: &Remote, outcome: Outcome, was_silent: bool) {
        tracing::info!(
            next_hop = %self.next_hop,
            remote = %Peer(&remote.name),
            address = remote.address.map(tracing::field::display),
            diagnostic = %Peer(outcome.diagnostic.text()),
            "host lost, on to the next one"
        );
        self.asks_anew = true;
        self.silent |= was_silent;
        match &mut self.tries {
            Some(tries) => tries.leave_out(remote, outcome),
            None => self.lost.push((remote.clone(), outcome)),
        }
    }

    /// The last session has had an answer.
    pub fn answered(self) {
        let Self {
            next_hops,
            next_hop,
            ..
        } = self;
        next_hops.health.has_answered(next_hop, clock::mono());
        if let Some(asking) = self.asking {
            asking.answered();
            next_hops.answering.note(next_hop);
        }
    }

    /// No host is left. One that ends a session at once keeps nobody waiting.
    fn in_vain(&mut self, outcome: &Outcome) {
        let Some(asking) = self.asking.take().filter(|_| !self.demands_tls) else {
            return;
        };
        let health = &self.next_hops.health;
        let silent = self.silent && !health.answers_since(self.next_hop, self.began);
        if self.unopened || silent {
            asking.failed(outcome, clock::mono());
        } else {
            asking.answered();
        }
    }

    /// A new session.
    async fn open(&mut self, until: Mono) -> Result<Connection, Outcome> {
        let in_force = self.next_hops.current.take();
        let (reach, config) = (&self.next_hops.reach, &in_force.config);
        let tries = if let Some(tries) = &mut self.tries {
            tries
        } else {
            if let Some((_, outcome)) = self.lost.last()
                && until <= clock::mono()
            {
                return Err(outcome.clone());
            }
            let finding = Tries::find(self.next_hop, reach, config, self.demands_tls);
            let Ok(mut found) = timeout_at(clock::instant(until), finding).await else {
                self.unopened = true;
                // RFC 3463 §3.5: X.4.3, directory server failure.
                let text = "the next hop's hosts could not be found in the time that there was";
                return Err(Outcome::local((4, 4, 3), None, text));
            };
            self.unopened = found.is_empty();
            for (remote, outcome) in self.lost.drain(..) {
                found.leave_out(&remote, outcome);
            }
            self.tries.insert(found)
        };
        let terms = Terms {
            timeouts: while_a_client_waits(config.delivery.timeouts()),
            ..reach.terms(config)
        };
        loop {
            let some = !tries.is_empty();
            let opened = tries.open(&terms, Some(until)).await;
            self.unopened |= some && opened.is_err();
            let connection = opened?;
            match connection.cannot_require_tls().filter(|_| self.demands_tls) {
                None => return Ok(connection),
                Some(outcome) => tries.refuse(connection, outcome).await,
            }
        }
    }
}
