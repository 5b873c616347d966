//! Answers the ledger's question below `_sent` of each local domain (PROTOCOLS B.3, B.4).
//!
//! An authority for nothing but that, on threads of its own: over UDP one for each core at each address, which takes
//! many datagrams at once (`udp`, `datagrams`) and looks them up together (`answering`); over TCP one for each
//! connection (`tcp`). How much a network is answered, `limits` says.
//!
//! Promises: the service starts with all its addresses or not at all; nothing here waits for mail, and no mail for it;
//! once [`Responder::stop`] has ended no thread looks at the ledger. Left to others: reading and writing datagrams
//! (proto), what is kept and covered (spool).

mod answering;
mod datagrams;
mod limits;
mod tally;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

pub use answering::Desk;
pub use tally::Said;

/// How soon a thread sees that it is to stop.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a port that is free for TCP is looked for, until one is free for UDP, too.
const ATTEMPTS: usize = 20;

/// Sockets at which nothing is answered yet.
#[derive(Debug, Default)]
pub struct Sockets(Vec<Bound>);

/// Those of one address.
#[derive(Debug)]
struct Bound {
    address: SocketAddr,
    tcp: TcpListener,
    udp: Vec<OwnedFd>,
}

/// An address is not to be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer for the ledger at {address}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// Threads that answer.
pub struct Responder {
    threads: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    broken: Arc<Notify>,
}

/// Tells that a thread has ended which should not have.
struct Guard(Arc<Notify>);

impl Sockets {
    /// Takes all of these addresses, or none.
    pub fn bind(all: &[SocketAddr]) -> Result<Self, BindError> {
        let bound = all.iter().map(|address| {
            Bound::new(*address).map_err(|source| BindError {
                address: *address,
                source,
            })
        });
        bound.collect::<Result<_, _>>().map(Self)
    }

    /// Begins to answer.
    pub fn serve(self, desk: &Arc<Desk>) -> io::Result<Responder> {
        let mut responder = Responder {
            threads: Vec::new(),
            addresses: self.0.iter().map(|bound| bound.address).collect(),
            stop: Arc::default(),
            broken: Arc::default(),
        };
        for bound in self.0 {
            // This line is an interface: with port 0 in the configuration it tells the real one.
            info!(address = %bound.address, "answering");
            for socket in bound.udp {
                let (desk, stop) = (Arc::clone(desk), Arc::clone(&responder.stop));
                responder.spawn("responder-udp", move || udp::serve(&socket, &desk, &stop))?;
            }
            let (desk, stop) = (Arc::clone(desk), Arc::clone(&responder.stop));
            let tcp = move || tcp::serve(&bound.tcp, &desk, &stop, PATIENCE);
            responder.spawn("responder-accept", tcp)?;
        }
        Ok(responder)
    }
}

impl Bound {
    fn new(address: SocketAddr) -> io::Result<Self> {
        let mut attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
        loop {
            attempts = attempts.saturating_sub(1);
            match Self::once(address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts > 0 => {}
                bound => return bound,
            }
        }
    }

    fn once(address: SocketAddr) -> io::Result<Self> {
        // TCP first: it is shared with nobody, so that no two services answer at one address by turns.
        let tcp = tcp::open(address, PATIENCE)?;
        let address = tcp.local_addr()?;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let udp = (0..cores).map(|_| udp::open(address, PATIENCE));
        Ok(Self {
            address,
            tcp,
            udp: udp.collect::<Result<_, _>>()?,
        })
    }
}

impl Responder {
    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let (guard, stop) = (Guard(Arc::clone(&self.broken)), Arc::clone(&self.stop));
        let thread = thread::Builder::new().name(name.into()).spawn(move || {
            let guard = guard;
            work();
            if stop.load(Ordering::Relaxed) {
                std::mem::forget(guard);
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where they answer; the ports are real ones.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Resolves when a thread has ended that should not have.
    pub async fn failed(&self) {
        self.broken.notified().await;
    }

    /// Ends all threads, within half a second. Blocks.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
