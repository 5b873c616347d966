//! One listening socket: accepts, lets in or turns away, and sees its sessions to their end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep_until, timeout_at};
use tracing::{debug, error, info, warn};
use vouchsafe_proto::smtp::receive::Peer;

use super::proxy;
use super::session::Session;
use super::wire::Wire;
use super::words::Words;
use super::{House, Site};
use crate::clock;
use crate::config::schema::Listen;
use crate::limits::{Pass, Shed};
use crate::log;
use crate::metrics::figures;
use crate::shutdown::Shutdown;

/// A socket that is bound and not yet served.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    socket: TcpListener,
    /// Where it is bound, the port no longer 0.
    address: SocketAddr,
    /// Every connection begins with a PROXY header.
    proxy: bool,
}

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}")]
pub struct BindError {
    /// The address as configured.
    address: SocketAddr,
    /// What the system said.
    #[source]
    source: io::Error,
}

impl Listener {
    /// Binds. `[::]` takes IPv4 too, as the system does by default.
    pub fn bind(listen: Listen) -> Result<Self, BindError> {
        let Listen { address, proxy } = listen;
        let bound = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A restart must not wait for the connections of the process before.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let socket = socket.listen(BACKLOG)?;
            let address = socket.local_addr()?;
            Ok(Self {
                socket,
                address,
                proxy,
            })
        };
        bound().map_err(|source| BindError { address, source })
    }

    /// Where it is bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until the service stops, then lets the sessions finish, at most for `grace`.
    pub async fn serve(
        self,
        house: Arc<House>,
        site: Arc<ArcSwap<Site>>,
        stop: Shutdown,
        grace: Duration,
    ) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.begun() => break,
                Some(ended) = sessions.join_next() => house.note_end(ended),
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, address)) => {
                        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                        let coming = Coming {
                            address,
                            house: Arc::clone(&house),
                            site: site.load_full(),
                            stop: stop.clone(),
                        };
                        if self.proxy {
                            coming.through_proxy(stream, &mut sessions);
                        } else {
                            coming.admit(stream, &mut sessions);
                        }
                    }
                    Err(error) => pause(&error, &house).await,
                },
            }
        }
        // Closed here: who comes now is refused by the system and goes to another host.
        drop(self.socket);
        debug!(address = %self.address, "no longer listening");
        finish(sessions, &house, grace).await;
    }
}

/// A connection that was accepted.
struct Coming {
    /// Where it comes from.
    address: SocketAddr,
    /// Where it would come in.
    house: Arc<House>,
    /// What its session would work with.
    site: Arc<Site>,
    /// The service's end.
    stop: Shutdown,
}

impl Coming {
    /// Begins a session, or turns the client away.
    fn admit(self, stream: TcpStream, sessions: &mut JoinSet<()>) {
        if let Some(pass) = self.enter(&stream) {
            sessions.spawn(self.hold(stream, pass));
        }
    }

    /// Begins a session for the client that a PROXY header names. A peer that may not give one is
    /// closed on: whatever it sends was meant for a proxy.
    fn through_proxy(mut self, mut stream: TcpStream, sessions: &mut JoinSet<()>) {
        let proxy = self.address.ip();
        if !self.site.is_proxy(proxy) {
            info!(client = %proxy, "closed: not one of the proxies");
            return;
        }
        let Some(pass) = self.enter(&stream) else {
            return;
        };
        sessions.spawn(async move {
            let named = tokio::select! {
                named = proxy::read(&mut stream, proxy::PATIENCE) => named,
                () = self.stop.begun() => return,
            };
            match named {
                Ok(Some(client)) => self.address = client,
                Ok(None) => {}
                Err(error) => {
                    info!(%proxy, error = %log::chain(&error), "closed: no client named");
                    return;
                }
            }
            // From here on it is the client that counts, not the proxy.
            drop(pass);
            if let Some(pass) = self.enter(&stream) {
                self.hold(stream, pass).await;
            }
        });
    }

    /// The right to be a session, if there is room; otherwise the client is told so.
    fn enter(&self, stream: &TcpStream) -> Option<Pass> {
        let client = self.address.ip();
        match self.house.door.enter(client, self.site.caps_for(client)) {
            Ok(pass) => Some(pass),
            Err(shed) => {
                turn_away(stream, self.address, shed);
                None
            }
        }
    }

    /// The session, from its greeting to its end.
    async fn hold(self, stream: TcpStream, pass: Pass) {
        let _pass = pass;
        let words = Words::new(self.stop, self.house.door.pressure());
        let session = begin(stream, self.address, &self.house, &self.site, words);
        session.run().await;
    }
}

/// The session of a connection that has been let in.
fn begin(
    stream: TcpStream,
    address: SocketAddr,
    house: &House,
    site: &Arc<Site>,
    words: Words,
) -> Session {
    // Replies gather before they are written, so waiting for more to send gains nothing.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot set TCP_NODELAY");
    }
    let peer = Peer {
        address,
        may_relay: site.routes.may_relay(address.ip()),
        is_front: site.is_front(address.ip()),
    };
    let wire = Wire::new(stream, site.settings.limits.command_timeout);
    Session::new(house.next_session(), Arc::clone(site), peer, wire, words)
}

/// Says 421 and closes. A fresh socket takes a line without waiting, so no task is spent on it.
fn turn_away(stream: &TcpStream, client: SocketAddr, shed: Shed) {
    let mut line = Vec::new();
    shed.reply().encode(&mut line);
    // The connection is over either way; the reply is a courtesy.
    let _ = stream.try_write(&line);
    figures().sessions.turned_away.count([shed.limit()]);
    info!(client = %client.ip(), reason = %shed, "turned away");
}

/// After a failed accept: when descriptors or memory have run out, accepting again at once would
/// spin. Waits for a session to end, and at most [`ACCEPT_PAUSE`].
async fn pause(error: &io::Error, house: &House) {
    let of_the_peer = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    );
    if of_the_peer {
        debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    error!(%error, open = house.door.open(), "cannot accept");
    let at = clock::instant(clock::now().mono.plus(ACCEPT_PAUSE));
    tokio::select! {
        () = house.door.left() => {}
        () = sleep_until(at) => {}
    }
}

/// Waits for the sessions' end, and ends those that are not done after `grace`.
async fn finish(mut sessions: JoinSet<()>, house: &House, grace: Duration) {
    let deadline = clock::instant(clock::now().mono.plus(grace));
    let all = async {
        while let Some(ended) = sessions.join_next().await {
            house.note_end(ended);
        }
    };
    if timeout_at(deadline, all).await.is_err() {
        // What they had in hand has not been acknowledged; their clients keep it.
        warn!(
            sessions = sessions.len(),
            "sessions cut off: the time to stop is over"
        );
        sessions.shutdown().await;
    }
}

impl House {
    /// Counts a session that ended in a panic; the session itself has said which it was.
    fn note_end(&self, ended: Result<(), JoinError>) {
        if ended.is_err_and(|error| error.is_panic()) {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Connections that the system completes before we accept them: a burst of clients, such as a mailing
/// list's answers, waits there for milliseconds and not for its next attempt. The system has a
/// limit of its own (`net.core.somaxconn`, 4,096 by default).
const BACKLOG: u32 = 4096;

/// After an accept that failed for want of resources. Long enough not to burn a processor, short
/// beside a client's patience (RFC 5321 §4.5.3.2.1: five minutes for the greeting).
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_session_and_is_counted() {
        let house = House::default();
        let mut sessions = JoinSet::new();
        sessions.spawn(async { panic!("as a bug would") });
        sessions.spawn(async {});
        finish(sessions, &house, Duration::from_mins(1)).await;
        assert_eq!(house.panics(), 1);
    }
}
