//! The way in: accepts connections and drives `proto::smtp::receive` over them, one task each.
//!
//! The machine decides everything that is said; here its actions are performed, in order, before
//! it gets its next input (the drain contract of proto). What is ours: sockets, TLS, the caps on
//! sessions, and bringing the machine's questions to those who know.
//!
//! Promises: a session costs a buffer of fixed size, whatever is sent; a session that panics takes
//! no other with it; a stop lets every session finish the message in hand.
//!
//! Left to others: when to stop for good (serve), what a reverse-path is worth (verify), where a
//! message lies (the spool).

mod content;
mod copies;
mod held;
mod listener;
mod notes;
mod proxy;
mod session;
#[cfg(test)]
mod tests;
mod unread;
mod wire;
mod words;
mod world;

pub use copies::Copies;
pub use listener::Listener;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use rustls::ServerConfig;
use vouchsafe_proto::route::Routes;
use vouchsafe_proto::smtp::receive;
use vouchsafe_proto::smtp::xhold::{Holding, Marker};
use vouchsafe_spool::Spool;
use vouchsafe_spool::ledger::Ledger;

use crate::config::schema::any_contains;
use crate::current::InForce;
use crate::history::Notebook;
use crate::limits::{Door, SessionCaps};
use crate::next_hop::caps::Caps;
use crate::next_hop::in_flight::InFlight;
use crate::next_hop::{NextHops, Recipients};
use crate::verify::Verifier;

/// What a session works with, from its first moment to its last: a reload makes a new one for the
/// sessions to come, and those already open keep theirs.
pub struct Site {
    /// For the machine.
    pub settings: Arc<receive::Settings>,
    /// Who may send where.
    pub routes: Arc<Routes>,
    /// Hosts that may say whom they speak for, by PROXY header or by XCLIENT and XFORWARD.
    fronts: Fronts,
    /// Our certificate, if STARTTLS is offered.
    pub tls: Option<Arc<ServerConfig>>,
    /// How many sessions may be open: over all, and for one stranger.
    pub sessions: (usize, usize),
    /// Who knows what a reverse-path is worth.
    pub verifier: Arc<Verifier>,
    /// Where messages are kept.
    pub spool: Arc<dyn Spool>,
    /// What lies ahead of paths that are held.
    ahead: Ahead,
    /// How long a client may be silent between two commands before next hops hear NOOP on its behalf.
    kept_alive: Duration,
}

/// What lies ahead of paths that are held.
pub struct Ahead {
    /// Sessions with their next hops.
    pub next_hops: Arc<NextHops>,
    /// How many there are.
    pub held: Caps,
    /// What became of what went down them.
    pub notebook: Option<Notebook>,
    /// What those have said of recipients.
    pub recipients: Arc<Recipients>,
    /// Which of the paths may be loops.
    pub in_flight: InFlight,
    /// Makes our marks on them.
    pub marker: Marker,
    /// Messages that may come again, and are known then.
    pub copies: Copies,
    /// What was sent from here.
    pub sent: Arc<Ledger>,
}

/// Hosts of ours in front of us.
struct Fronts {
    /// They give PROXY headers.
    proxies: Vec<IpNet>,
    /// They speak XCLIENT and XFORWARD.
    xclient: Vec<IpNet>,
}

impl Site {
    /// What the configuration in force makes of it.
    pub fn new(
        in_force: &InForce,
        verifier: Arc<Verifier>,
        spool: Arc<dyn Spool>,
        ahead: Ahead,
    ) -> Self {
        let config = &in_force.config;
        let limits = &config.limits;
        let routes = config.routes();
        Self {
            settings: Arc::new(receive::Settings {
                hostname: config.hostname.clone(),
                authserv_id: config.verify.authserv_id.clone(),
                limits: receive::Limits {
                    message_size: limits.message_size,
                    recipients: limits.recipients,
                    received_fields: limits.received_fields,
                    errors: limits.errors,
                    command_timeout: limits.command_timeout,
                    pressed_timeout: limits.pressed_timeout,
                    content_timeout: limits.content_timeout,
                    ..receive::Limits::default()
                },
                starttls: in_force.tls.is_some(),
                require_tls: config.delivery.offers_require_tls(),
                holds: routes.holds(),
                xhold: Some(Holding {
                    terms: held::TERMS,
                    marker: ahead.marker.clone(),
                }),
                xvouch: config.verify.ledger,
                helo_syntax: config.verify.helo,
                possible: config.possible(),
            }),
            routes: Arc::new(routes),
            fronts: Fronts {
                proxies: config.perimeter.proxies.clone(),
                xclient: config.perimeter.xclient.clone(),
            },
            tls: in_force.tls.clone(),
            sessions: (limits.sessions, limits.sessions_per_client),
            verifier,
            spool,
            ahead,
            kept_alive: KEPT_ALIVE,
        }
    }

    /// What was sent from here.
    fn sent(&self) -> Arc<Ledger> {
        Arc::clone(&self.ahead.sent)
    }

    /// True for a load balancer whose PROXY header is believed.
    fn is_proxy(&self, peer: IpAddr) -> bool {
        any_contains(&self.fronts.proxies, peer)
    }

    /// True for a host whose XCLIENT and XFORWARD are obeyed.
    fn is_front(&self, peer: IpAddr) -> bool {
        any_contains(&self.fronts.xclient, peer)
    }

    /// The caps that hold for a client. Our own hosts count only in all: the cap for one client is
    /// against strangers, and a site's mail comes through few addresses. The last places are theirs
    /// too, so that no crowd of strangers keeps a site's own mail out.
    fn caps_for(&self, client: IpAddr) -> SessionCaps {
        let this_host = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        let ours = self.routes.may_relay(client)
            || this_host.contains(&client.to_canonical())
            || self.is_proxy(client)
            || self.is_front(client);
        let (total, per_client) = self.sessions;
        if ours {
            SessionCaps::of_house(total)
        } else {
            SessionCaps::of_stranger(total, per_client)
        }
    }
}

/// A fifth of what next hops give a silent client at least (RFC 5321 §4.5.3.2.7).
const KEPT_ALIVE: Duration = Duration::from_mins(1);

/// What all listeners of the service share.
#[derive(Debug, Default)]
pub struct House {
    /// Who is in.
    pub door: Door,
    /// Sessions begun, which also numbers them for the log.
    sessions: AtomicU64,
    /// Sessions that ended in a panic.
    panics: AtomicU64,
}

impl House {
    /// The number of the session that begins now.
    fn next_session(&self) -> u64 {
        self.sessions
            .fetch_add(1, Ordering::Relaxed)
            .wrapping_add(1)
    }

    /// Sessions begun since the start.
    pub fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Sessions that ended in a panic: each is a bug of ours.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
