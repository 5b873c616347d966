//! Which servers are asked, in which order, and when the next one is.
//!
//! The server that last answered is asked first. A server that says it is in trouble, or cannot
//! be reached, hands on to the next at once; one that is silent does so after a while, and its
//! answer is still taken if it comes. What a server has answered it is not asked again for the
//! same question; silent ones are, until the deadline. Data that one server calls bogus is not
//! fetched from another that may not have looked.
//!
//! Servers come from the configuration, or from `/etc/resolv.conf` (resolv.conf(5): `nameserver`
//! lines; without any, the one on this machine).

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use vouchsafe_proto::dns::{Name, RecordType, Trouble};
use vouchsafe_proto::time::Mono;

use super::exchange::Server;
use super::wire::{Response, Whose};
use crate::clock;
use crate::together::Together;

/// The servers, and which of them answered last.
#[derive(Debug)]
pub struct Servers {
    all: Vec<Server>,
    preferred: AtomicUsize,
}

/// A definite response, and who gave it.
#[derive(Debug)]
pub struct Given {
    /// NOERROR or NXDOMAIN.
    pub response: Response,
    /// The server.
    pub server: SocketAddr,
}

/// Rounds of asking silent servers again.
const ROUNDS: usize = 3;

impl Servers {
    /// These servers, the first preferred.
    pub fn new(all: Vec<SocketAddr>, whose: Whose) -> Self {
        let server = |address| Server::new(address, whose);
        Self {
            all: all.into_iter().map(server).collect(),
            preferred: AtomicUsize::new(0),
        }
    }

    /// Asks until one has said something definite, or the deadline has come. `patience` is how long
    /// a silent server holds up the next in the first round; it doubles with each round.
    pub async fn ask(
        &self,
        name: &Name,
        kind: RecordType,
        patience: Duration,
        deadline: Mono,
    ) -> Result<Given, Trouble> {
        let mut plan = self.plan();
        // One, nearly always, and as many as there are rounds and servers at most.
        let mut tries = Together::default();
        let mut troubled = Vec::new();
        let mut worst = Trouble::Timeout;
        let mut next_at = Mono::default();
        // As long as all that are asked wake this.
        let mut are_ticking = true;
        loop {
            let now = clock::mono();
            if now >= deadline {
                return Err(Trouble::Timeout);
            }
            if now >= next_at
                && let Some((round, at)) = plan.find(|(_, at)| !troubled.contains(at))
            {
                let Some(server) = self.all.get(at) else {
                    continue;
                };
                are_ticking &= server.ticks();
                tries.push(at, Box::pin(server.ask(name, kind)));
                next_at = now.plus(patience.saturating_mul(1 << round));
            }
            let wake = match plan.len() {
                0 => deadline,
                _ => next_at.min(deadline),
            };
            let done = tokio::select! {
                biased;
                done = tries.next() => done,
                () = until(wake, are_ticking) => continue,
            };
            match done {
                Some((at, Ok(response))) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    let server = self.all.get(at).map(Server::address);
                    return server
                        .map(|server| Given { response, server })
                        .ok_or(Trouble::Timeout);
                }
                Some((_, Err(Trouble::Bogus))) => return Err(Trouble::Bogus),
                Some((at, Err(trouble))) => {
                    worst = more_telling(worst, trouble);
                    troubled.push(at);
                    next_at = Mono::default();
                }
                // Nothing is open any more.
                None if plan.len() == 0 => return Err(worst),
                None => next_at = Mono::default(),
            }
        }
    }

    /// Who is asked when: (round, index of the server).
    fn plan(&self) -> impl ExactSizeIterator<Item = (usize, usize)> + use<> {
        let first = self.preferred.load(Ordering::Relaxed);
        let count = self.all.len();
        (0..ROUNDS * count).map(move |turn| (turn / count, (first + turn) % count))
    }
}

/// Waits for a moment; without a timer, if whoever waits is woken by others often enough.
async fn until(wake: Mono, is_ticking: bool) {
    if is_ticking {
        poll_fn(|_| {
            if clock::mono() >= wake {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    } else {
        tokio::time::sleep_until(clock::instant(wake)).await;
    }
}

/// Of two troubles the one that a server told us of itself.
fn more_telling(one: Trouble, other: Trouble) -> Trouble {
    if one == Trouble::Timeout { other } else { one }
}

/// Why the system's servers are not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServersError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The servers this machine uses, by `/etc/resolv.conf`.
pub fn system_servers() -> Result<Vec<SocketAddr>, ServersError> {
    let path = Path::new("/etc/resolv.conf");
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse_resolv_conf(&text)),
        // resolv.conf(5): without the file, the server on this machine is asked.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(parse_resolv_conf("")),
        Err(source) => Err(ServersError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

/// The `nameserver` lines; the server on this machine if there is none.
fn parse_resolv_conf(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == "nameserver").then_some(())?;
            parse_server(words.next()?)
        })
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
    }
    servers
}

/// An address, perhaps of one link only (`fe80::1%2`), where a numeric zone is understood.
fn parse_server(word: &str) -> Option<SocketAddr> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Some((address, DNS_PORT).into());
    }
    let (address, zone) = word.split_once('%')?;
    let zone = zone.parse().ok()?;
    Some(SocketAddrV6::new(address.parse().ok()?, DNS_PORT, 0, zone).into())
}

/// Where DNS servers listen (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_servers_are_its_nameserver_lines() {
        for (text, expected) in [
            ("", vec!["127.0.0.1:53"]),
            ("search example.org\noptions edns0\n", vec!["127.0.0.1:53"]),
            (
                "# nameserver 127.0.0.9\nnameserver 127.0.0.53\nnameserver\t::1 ; here\n",
                vec!["127.0.0.53:53", "[::1]:53"],
            ),
            (
                "nameserver fe80::1%2\nnameserver fe80::1%eth0\nnameserver x\n",
                vec!["[fe80::1%2]:53"],
            ),
        ] {
            let shown: Vec<String> = parse_resolv_conf(text)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(shown, expected, "{text}");
        }
    }
}
