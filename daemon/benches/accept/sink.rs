//! The next hop of `bench/relay` and `bench/trickle`: it takes everything, keeps nothing, and counts.
//!
//! One thread of its own serves all connections. It offers PIPELINING, and answers what came together
//! together; commands may stand behind a message's end (RFC 2920 §3.1).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep_until;

use super::client::now;

/// What came.
#[derive(Debug, Default)]
pub struct Count {
    messages: AtomicUsize,
    wanted: AtomicUsize,
    enough: Notify,
}

impl Count {
    /// Starts a sink at `place`.
    pub fn start(place: SocketAddr) -> anyhow::Result<Arc<Self>> {
        let listener = std::net::TcpListener::bind(place).context("the sink's port")?;
        listener.set_nonblocking(true)?;
        Self::serve(listener, Duration::ZERO)
    }

    /// The same, one that rests after each [`READ`] octets or less of a connection, and whose connections
    /// have a small buffer: so whoever sends has to wait.
    pub fn start_slow(place: SocketAddr, rest: Duration) -> anyhow::Result<Arc<Self>> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SLOW_BUFFER)?;
        socket.bind(place).context("the sink's port")?;
        Self::serve(socket.listen(BACKLOG)?.into_std()?, rest)
    }

    /// Serves in a thread of its own.
    fn serve(listener: std::net::TcpListener, rest: Duration) -> anyhow::Result<Arc<Self>> {
        let count = Arc::new(Self::default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let shared = Arc::clone(&count);
        thread::Builder::new()
            .name(String::from("sink"))
            .spawn(move || {
                runtime.block_on(LocalSet::new().run_until(serve(listener, rest, &shared)))
            })?;
        Ok(count)
    }

    /// Resolves when so many have come since the start.
    pub async fn reaches(&self, wanted: usize) {
        self.wanted.store(wanted, Ordering::SeqCst);
        while self.so_far() < wanted {
            self.enough.notified().await;
        }
    }

    /// Another has come.
    fn one_more(&self) {
        let came = self.messages.fetch_add(1, Ordering::SeqCst) + 1;
        if came == self.wanted.load(Ordering::SeqCst) {
            self.enough.notify_one();
        }
    }

    /// How many have come.
    pub fn so_far(&self) -> usize {
        self.messages.load(Ordering::SeqCst)
    }
}

/// All connections.
async fn serve(
    listener: std::net::TcpListener,
    rest: Duration,
    count: &Arc<Count>,
) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let count = Arc::clone(count);
        spawn_local(async move {
            // A connection that breaks is one less; the count tells.
            let _ = talk(stream, rest, &count).await;
        });
    }
}

/// One connection.
async fn talk(mut stream: TcpStream, rest: Duration, count: &Count) -> anyhow::Result<()> {
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let mut space = vec![0; READ].into_boxed_slice();
    let mut filled = 0;
    let mut replies = Vec::new();
    let mut in_content = false;
    loop {
        let read = stream.read(space.get_mut(filled..).unwrap_or_default());
        filled += match read.await? {
            0 => return Ok(()),
            read => read,
        };
        if in_content && !rest.is_zero() {
            sleep_until((now() + rest).into()).await;
        }
        let mut seen = space.get(..filled).unwrap_or_default();
        loop {
            if in_content {
                let Some(at) = end_of_message(seen) else {
                    // The end may come in two pieces.
                    seen = seen.split_at(seen.len().saturating_sub(END.len())).1;
                    break;
                };
                in_content = false;
                seen = seen.split_at(at + END.len()).1;
                replies.extend_from_slice(b"250 2.0.0 ok\r\n");
                count.one_more();
            }
            let Some(end) = seen.iter().position(|octet| *octet == b'\n') else {
                break;
            };
            let (line, rest) = seen.split_at(end + 1);
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            in_content = verb == b"DATA";
            // The line's end is also the one before a dot that comes at once.
            seen = if in_content {
                seen.split_at(end - 1).1
            } else {
                rest
            };
            replies.extend_from_slice(reply(&verb));
        }
        let left = seen.len();
        space.copy_within(filled - left..filled, 0);
        filled = left;
        if !replies.is_empty() {
            stream.write_all(&replies).await?;
            replies.clear();
        }
    }
}

/// What a verb is answered.
fn reply(verb: &[u8]) -> &'static [u8] {
    match verb {
        b"EHLO" => {
            b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        }
        b"DATA" => b"354 go on\r\n",
        b"QUIT" => b"221 2.0.0 bye\r\n",
        _ => b"250 2.0.0 ok\r\n",
    }
}

/// Where the octets that end a message are. Dots are few: looking for them is cheap, and what the next
/// hop takes of the machine is taken from the server.
fn end_of_message(seen: &[u8]) -> Option<usize> {
    let mut from = 2;
    loop {
        let behind = seen.get(from..)?;
        let dot = from + behind.iter().position(|octet| *octet == b'.')?;
        let at = dot - 2;
        if seen.get(at..).unwrap_or_default().starts_with(END) {
            return Some(at);
        }
        from = dot + 1;
    }
}

/// The end of a message.
const END: &[u8] = b"\r\n.\r\n";

/// Octets read at once.
const READ: usize = 64 * 1024;

/// The receive buffer of a connection that is read slowly.
const SLOW_BUFFER: u32 = 64 * 1024;

/// Connections that may wait to be taken.
const BACKLOG: u32 = 1024;
