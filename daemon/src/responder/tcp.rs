//! Queries over TCP (RFC 7766): for those whose answer over UDP was cut, or whose network has used up its rate.
//!
//! A connection has a thread, which answers all that has come at once. Promises: connections are bounded, in all and
//! for each network, and where there are too many in all, the one that has asked nothing for longest makes room; one that
//! is silent ends after ten seconds, one that does not take what it asked for after two; all have ended when [`serve`] has.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::{self, Timeout};
use vouchsafe_proto::residue::wire::Way;

use super::answering::{BATCH, Desk, Responses};
use super::limits::network;
use crate::clock;

/// Connections at a time.
const MOST: usize = 128;
/// Connections of one network at a time.
const MOST_OF_NETWORK: usize = 8;
/// How long a connection may be silent (RFC 7766 §6.2.3: some seconds).
const IDLE: Duration = Duration::from_secs(10);
/// How long it may take nothing of what is said.
const TAKES: Duration = Duration::from_secs(2);
/// Octets of a query at most, as over UDP.
const QUERY: usize = 1232;
/// Octets of a thread's stack.
const STACK: usize = 256 << 10;

/// The connections that there are.
#[derive(Debug, Default)]
struct Open(Mutex<Vec<Place>>);

/// One of them, as others see it.
#[derive(Debug)]
struct Place {
    network: u64,
    heard: Arc<Heard>,
    /// To end it with.
    stream: TcpStream,
}

/// When it asked something last, in milliseconds since the start.
#[derive(Debug, Default)]
struct Heard(AtomicU64);

/// One of them, as it sees itself.
struct Ticket {
    open: Arc<Open>,
    heard: Arc<Heard>,
}

/// A listener at this address.
pub fn open(address: std::net::SocketAddr, patience: Duration) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Accepting waits no longer than this.
    sockopt::set_socket_timeout(&listener, Timeout::Recv, Some(patience))?;
    Ok(listener)
}

/// Answers all who connect until it is to stop.
pub fn serve(listener: &TcpListener, desk: &Arc<Desk>, stop: &Arc<AtomicBool>, patience: Duration) {
    let open = Arc::new(Open::default());
    let mut threads: Vec<thread::JoinHandle<()>> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            // Nobody for a while.
            Err(error) if is_patience(&error) => continue,
            Err(_) => {
                // No more files, most likely: whoever waits is taken once there are, and until then it fails at once.
                thread::park_timeout(patience);
                continue;
            }
        };
        let Some(ticket) = Open::enter(&open, &stream, peer.ip()) else {
            continue;
        };
        threads.retain(|thread| !thread.is_finished());
        let (desk, stop) = (Arc::clone(desk), Arc::clone(stop));
        let thread = thread::Builder::new()
            .name("responder-tcp".into())
            .stack_size(STACK);
        // A thread that cannot be had closes the connection.
        threads.extend(thread.spawn(move || {
            // A peer that is gone is nobody's concern.
            let _ = converse(stream, peer.ip(), &desk, &stop, (patience, &ticket.heard));
        }));
    }
    for thread in threads {
        // One that panicked has said so.
        let _ = thread.join();
    }
}

/// True for the end of a wait.
fn is_patience(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

impl Open {
    /// A place for one more from there. Whoever has all places of many networks would else keep everybody out.
    fn enter(open: &Arc<Self>, stream: &TcpStream, from: IpAddr) -> Option<Ticket> {
        let network = network(from);
        let mut places = open.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = places.iter().filter(|place| place.network == network);
        if own.count() >= MOST_OF_NETWORK {
            return None;
        }
        let stream = stream.try_clone().ok()?;
        if places.len() >= MOST {
            let all = places.iter().enumerate();
            let (longest, _) = all.min_by_key(|(_, place)| place.heard.at())?;
            // One that is gone already has nothing to shut.
            let _ = places.swap_remove(longest).stream.shutdown(Shutdown::Both);
        }
        let heard = Arc::new(Heard::default());
        heard.now();
        places.push(Place {
            network,
            heard: Arc::clone(&heard),
            stream,
        });
        Some(Ticket {
            open: Arc::clone(open),
            heard,
        })
    }
}

impl Heard {
    fn now(&self) {
        self.0.store(clock::mono().as_millis(), Ordering::Relaxed);
    }

    fn at(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|place| !Arc::ptr_eq(&place.heard, &self.heard));
    }
}

/// One connection, until it ends.
fn converse(
    mut stream: TcpStream,
    from: IpAddr,
    desk: &Desk,
    stop: &AtomicBool,
    (patience, heard): (Duration, &Heard),
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(TAKES))?;
    let mut responses = Responses::default();
    let (mut came, mut out) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        // Octets that make no query do not keep a connection.
        if clock::since_start().saturating_sub(heard.at()) >= IDLE {
            return Ok(());
        }
        let mut piece = [0; 4096];
        let count = match stream.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if is_wait(&error) => continue,
            Err(error) => return Err(error),
        };
        came.extend_from_slice(piece.get(..count).unwrap_or_default());
        while let Some((queries, behind)) = frames(&came)? {
            heard.now();
            out.clear();
            let queries_from = queries.iter().map(|query| (*query, from));
            desk.answer(Way::Stream, queries_from, &mut responses);
            for place in 0..queries.len() {
                let response = responses.get(place);
                // Nothing is said to a response, nor beyond the rate: who is so is not served.
                let length = u16::try_from(response.len()).unwrap_or_default();
                if length == 0 {
                    stream.write_all(&out)?;
                    return Ok(());
                }
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(response);
            }
            stream.write_all(&out)?;
            came.drain(..behind);
        }
    }
    Ok(())
}

/// Queries, and where they end.
type Frames<'a> = (Vec<&'a [u8]>, usize);

/// The whole queries at the start of what came, a batch at most, and where they end; nothing before there is one.
///
/// # Errors
/// One is longer than queries are.
fn frames(came: &[u8]) -> io::Result<Option<Frames<'_>>> {
    let mut queries = Vec::new();
    let mut rest = came;
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        if length > QUERY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let Some((query, behind)) = behind.split_at_checked(length) else {
            break;
        };
        queries.push(query);
        rest = behind;
        if queries.len() == BATCH {
            break;
        }
    }
    let end = came.len().saturating_sub(rest.len());
    Ok((!queries.is_empty()).then_some((queries, end)))
}

/// True if nothing came for as long as a call waits.
fn is_wait(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
