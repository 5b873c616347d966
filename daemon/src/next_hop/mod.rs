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
//! Files: `hosts` which hosts it has; `tries` the first of them with which a session comes to be; `approach`
//! one transaction's way to one that answers; `pool` idle sessions; `health` who did not answer; `answering`
//! who did; `recipients` what was said of recipients; `caps` how many paths there may be;
//! `in_flight` which of them may be a loop.

mod answering;
mod approach;
pub mod caps;
mod health;
mod hosts;
pub mod in_flight;
mod pool;
mod recipients;
#[cfg(test)]
pub(crate) mod tests;
mod tries;

use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::outcome::{Outcome, OutcomeClass};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Timeouts;
use vouchsafe_proto::time::Mono;

use crate::config::Config;
use crate::current::Current;
use crate::dns::Resolver;
use crate::mta_sts;
use crate::smtp_out::{Connection, Terms};
use crate::tls::next_hop::Client;
use answering::Answering;
pub use approach::Approach;
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
    /// Recipients refused since a message was taken.
    refused: usize,
}

impl Origin {
    /// How a transaction of the session ended, by its outcomes.
    pub fn heard(&mut self, outcomes: &[(usize, Outcome)]) {
        let mut classes = outcomes.iter().map(|(_, outcome)| outcome.class);
        if classes.any(|class| class == OutcomeClass::Delivered) {
            self.refused = 0;
        } else {
            let refusals = outcomes.iter().filter(|(_, outcome)| outcome.is_refusal());
            self.refused = self.refused.saturating_add(refusals.count());
        }
    }

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

    /// The way to a session with the next hop, and on to its other hosts where one is lost, for a
    /// transaction which `demands_tls` that can be trusted, or does not; it has `patience` for all of it.
    /// That no host is to be had for the former says nothing of the next hop.
    pub fn approach<'a>(
        &'a self,
        next_hop: &'a NextHop,
        demands_tls: bool,
        patience: Duration,
    ) -> Approach<'a> {
        Approach::new(self, next_hop, demands_tls, patience)
    }

    /// The next of the next hops that has answered over a new session, as soon as one has: mail that is held
    /// back for it may go. For one to hear.
    pub async fn next_answering(&self) -> NextHop {
        self.answering.next().await
    }

    /// How long RCPT and the last word are waited for while a client of ours waits.
    pub fn patience(&self) -> (Duration, Duration) {
        let timeouts = while_a_client_waits(self.current.take().config.delivery.timeouts());
        let recipient = timeouts.mail.min(timeouts.recipient);
        (recipient, timeouts.completion)
    }

    /// Gives a session back that can carry another transaction. It is kept for some seconds, or left if
    /// it has carried its share (`[delivery] messages_per_connection`), or so many recipients were refused
    /// over it that the next hop may soon slow it down. Within a runtime only.
    pub fn give_back(&self, origin: Origin, connection: Connection) {
        let delivery = &self.current.take().config.delivery;
        let has_carried_its_share = origin.used >= delivery.messages_per_connection;
        if has_carried_its_share || origin.refused >= REFUSED {
            return self.pool.leave(connection);
        }
        let idle = Idle {
            connection,
            opened: origin.opened,
            used: origin.used,
            refused: origin.refused,
        };
        self.pool.put(origin.next_hop, idle);
    }

    /// Leaves all kept sessions with QUIT, for the end of the service; one given back later is left at
    /// once. Takes a few seconds at most.
    pub async fn close(&self) {
        self.pool.close().await;
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
        // What holds the path behind it has its own wait in here.
        mail: configured.mail.min(RECIPIENT),
        recipient: configured.recipient.min(RECIPIENT),
        data: command(configured.data),
        block: configured.block,
        completion: configured.completion.min(Duration::from_mins(8)),
    }
}

/// How long a client's RCPT waits in all: it gives us five minutes at least (RFC 5321 §4.5.3.2.3), and what
/// follows from silence must reach it.
pub const RECIPIENT: Duration = Duration::from_mins(3);

/// What is given out.
fn kept(next_hop: &NextHop, idle: Idle) -> Kept {
    Kept {
        connection: idle.connection,
        origin: Origin {
            next_hop: next_hop.clone(),
            opened: idle.opened,
            used: idle.used.saturating_add(1),
            refused: idle.refused,
        },
    }
}

/// Recipients that may be refused over a session, and no message taken, before it is used no more. Whoever
/// tries names through us shares it with everybody else, and Postfix lets a client wait a second for each
/// reply behind ten refusals, and leaves behind twenty.
const REFUSED: usize = 5;
