//! How a next hop is reached: which hosts it has, in which order they are tried, what TLS each must
//! give, and with which of them a session comes to be; and, for paths that are held open, the sessions
//! that are kept ([`NextHops`]).
//!
//! Promises of these: whoever asks for a session waits no longer than its patience, and not at all for a
//! next hop that did not answer a moment ago; what is kept, and what is known, is bounded; who wants to
//! know hears of next hops that answer.
//!
//! Left to others: one session with one host (`smtp_out`), and what is carried over it (the runner,
//! whoever holds a path), also that a session which was kept may have ended when it is used.
//!
//! Files: `hosts` which hosts it has; `tries` the first of them with which a session comes to be; `pool`
//! idle sessions; `health` who did not answer; `answering` who did; `recipients` what was said of recipients; `caps`
//! how many paths there may be; `in_flight` which of them may be a loop.

mod answering;
pub mod caps;
mod health;
mod hosts;
#[allow(dead_code, reason = "no path is counted yet")]
mod in_flight;
mod pool;
mod recipients;
#[cfg(test)]
pub(crate) mod tests;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout_at;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Timeouts;
use vouchsafe_proto::time::Mono;

use crate::clock;
use crate::config::Config;
use crate::current::Current;
use crate::dns::Resolver;
use crate::mta_sts;
use crate::smtp_out::{Connection, Terms};
use crate::tls::next_hop::Client;
use answering::Answering;
use health::Health;
use pool::{Idle, Keeping, Pool};
pub use recipients::Recipients;
pub use tries::Tries;

/// What it takes to reach a next hop, besides the configuration in force.
pub struct Reach {
    /// For its hosts.
    pub resolver: Arc<dyn Resolver>,
    /// For STARTTLS.
    pub tls: Arc<Client>,
    /// What domains ask of those who send to them.
    pub policies: Arc<mta_sts::Policies>,
}

impl Reach {
    /// What a session with a host needs of the configuration.
    pub fn terms(&self, config: &Config) -> Terms {
        Terms {
            hostname: config.hostname.clone(),
            connect_timeout: config.delivery.connect_timeout,
            timeouts: config.delivery.timeouts(),
            tls: config.delivery.starttls.then(|| Arc::clone(&self.tls)),
        }
    }
}

/// The next hops of paths that are held open: sessions with them, kept from one transaction to the next.
///
/// Made for many: all sessions of the service share one. A Maildir is no next hop of these.
pub struct NextHops {
    reach: Arc<Reach>,
    current: Arc<Current>,
    pool: Arc<Pool>,
    health: Health,
    answering: Answering,
}

/// A session that can carry a transaction.
pub struct Kept {
    /// The session.
    pub connection: Connection,
    /// For [`NextHops::give_back`], if it can carry another.
    pub origin: Origin,
}

/// Where a session is from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The next hop.
    next_hop: NextHop,
    /// When it came to be.
    opened: Mono,
    /// Transactions it was given out for, with this one.
    used: u32,
}

impl Origin {
    /// True if it has carried others: then its peer may have left meanwhile.
    pub const fn is_reused(&self) -> bool {
        self.used > 1
    }
}

impl NextHops {
    /// Without any session yet.
    pub fn new(reach: Arc<Reach>, current: Arc<Current>) -> Self {
        Self::with(reach, current, Keeping::default(), health::SHORTEST)
    }

    /// The same, with sessions kept so long, and next hops that are down left alone so long at first.
    fn with(
        reach: Arc<Reach>,
        current: Arc<Current>,
        keeping: Keeping,
        shortest: Duration,
    ) -> Self {
        Self {
            reach,
            current,
            pool: Arc::new(Pool::new(keeping)),
            health: Health::new(shortest),
            answering: Answering::default(),
        }
    }

    /// A session with the next hop: one that is kept, or a new one with the first of its hosts with which
    /// one comes to be, within `patience` in all. If none does, why; at once, if none did a moment ago.
    ///
    /// A message that may go under TLS only (RFC 8689) has other hosts: [`NextHops::fresh`].
    pub async fn take(&self, next_hop: &NextHop, patience: Duration) -> Result<Kept, Outcome> {
        match self.pool.take(next_hop) {
            Some(idle) => Ok(kept(next_hop, idle)),
            None => self.fresh(next_hop, patience, false).await,
        }
    }

    /// The same, but a new one for sure: for a transaction whose kept session had ended, or which
    /// `demands_tls` that can be trusted. That none is to be had for the latter says nothing of the next
    /// hop.
    pub async fn fresh(
        &self,
        next_hop: &NextHop,
        patience: Duration,
        demands_tls: bool,
    ) -> Result<Kept, Outcome> {
        let asking = self.health.ask(next_hop, clock::mono())?;
        // Boxed: it is large, and most sessions of ours wait for it but once.
        match Box::pin(self.open(next_hop, patience, demands_tls)).await {
            Ok(connection) => {
                asking.answered();
                self.answering.note(next_hop);
                let idle = Idle {
                    connection,
                    opened: clock::mono(),
                    used: 0,
                };
                Ok(kept(next_hop, idle))
            }
            Err(outcome) => {
                if !demands_tls {
                    asking.failed(&outcome, clock::mono());
                }
                Err(outcome)
            }
        }
    }

    /// The next of the next hops with which a session has come to be, as soon as one has: mail that is held
    /// back for it may go. For one to hear.
    pub async fn next_answering(&self) -> NextHop {
        self.answering.next().await
    }

    /// Gives a session back that can carry another transaction. It is kept for some seconds, or left if
    /// it has carried its share (`[delivery] messages_per_connection`). Within a runtime only.
    pub fn give_back(&self, origin: Origin, connection: Connection) {
        let delivery = &self.current.take().config.delivery;
        if origin.used >= delivery.messages_per_connection {
            return self.pool.leave(connection);
        }
        let idle = Idle {
            connection,
            opened: origin.opened,
            used: origin.used,
        };
        self.pool.put(origin.next_hop, idle);
    }

    /// Leaves all kept sessions with QUIT, for the end of the service; one given back later is left at
    /// once. Takes a few seconds at most.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A new session.
    async fn open(
        &self,
        next_hop: &NextHop,
        patience: Duration,
        demands_tls: bool,
    ) -> Result<Connection, Outcome> {
        let in_force = self.current.take();
        let config = &in_force.config;
        let until = clock::mono().plus(patience);
        let finding = Tries::find(next_hop, &self.reach, config, demands_tls);
        let Ok(mut tries) = timeout_at(clock::instant(until), finding).await else {
            // RFC 3463 §3.5: X.4.3, directory server failure.
            let text = "the next hop's hosts could not be found in the time that there was";
            return Err(Outcome::local((4, 4, 3), None, text));
        };
        let terms = Terms {
            timeouts: while_a_client_waits(config.delivery.timeouts()),
            ..self.reach.terms(config)
        };
        loop {
            let connection = tries.open(&terms, Some(until)).await?;
            match connection.cannot_require_tls().filter(|_| demands_tls) {
                None => return Ok(connection),
                Some(outcome) => tries.refuse(connection, outcome).await,
            }
        }
    }
}

/// The client's timers where a client of ours waits behind each of them: what follows from silence must
/// reach it before it leaves, after five minutes at a command, two at DATA, ten at the end
/// (RFC 5321 §4.5.3.2).
fn while_a_client_waits(configured: Timeouts) -> Timeouts {
    let command = |configured: Duration| configured.min(Duration::from_secs(100));
    Timeouts {
        greeting: command(configured.greeting),
        hello: command(configured.hello),
        mail: command(configured.mail),
        recipient: command(configured.recipient),
        data: command(configured.data),
        block: configured.block,
        completion: configured.completion.min(Duration::from_mins(8)),
    }
}

/// What is given out.
fn kept(next_hop: &NextHop, idle: Idle) -> Kept {
    Kept {
        connection: idle.connection,
        origin: Origin {
            next_hop: next_hop.clone(),
            opened: idle.opened,
            used: idle.used.saturating_add(1),
        },
    }
}
