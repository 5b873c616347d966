//! The socket of one session, in clear or under TLS: what is read, and what is written at last.
//!
//! Promises: replies gather and leave in one write ([`Wire::flush`]), which gives up on a peer
//! that does not read; TLS begins on the bare socket, so that no octet that came in clear before
//! the handshake is ever seen again (RFC 3207 §5); a closed connection is drained for a moment,
//! so that the last reply arrives and is not lost to a reset.
//!
//! Left to others: everything that the octets mean.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;
use crate::{clock, tls};

/// The connection of one session.
pub(super) struct Wire {
    /// What is below; gone only while a handshake fails.
    stream: Stream,
    /// Replies not yet written.
    unsent: Vec<u8>,
    /// How long a peer may leave our replies unread.
    patience: Duration,
    /// A write has failed: nothing more can be said.
    broken: bool,
}

/// Why TLS did not come to be. The session cannot go on (RFC 3207 §4).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum StartTlsError {
    /// It is on already, or the socket is lost: not a moment to begin it.
    #[error("TLS cannot begin now")]
    State,
    /// No handshake in time.
    #[error("the handshake took too long")]
    Timeout,
    /// The handshake failed.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
}

impl Wire {
    /// The connection as it was accepted.
    pub(super) fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream: Stream::Tcp(stream),
            unsent: Vec::new(),
            patience,
            broken: false,
        }
    }

    /// Keeps a reply for the next [`Wire::flush`].
    pub(super) fn queue(&mut self, octets: Vec<u8>) {
        if self.unsent.is_empty() {
            self.unsent = octets;
        } else {
            self.unsent.extend_from_slice(&octets);
        }
    }

    /// So much is queued that it should leave before more is made.
    pub(super) fn is_full(&self) -> bool {
        self.unsent.len() >= UNSENT_MAX
    }

    /// Writes all that is queued. After a failure, which is said once, what is queued goes nowhere.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let written = if self.unsent.is_empty() || self.broken {
            Ok(())
        } else {
            let written = self.write_unsent().await;
            self.broken = written.is_err();
            written
        };
        // No space is kept: the next reply brings its own.
        self.unsent = Vec::new();
        written
    }

    /// Writes all that is queued, if the peer reads it in time.
    async fn write_unsent(&mut self) -> io::Result<()> {
        let mut write = pin!(async {
            self.stream.write_all(&self.unsent).await?;
            self.stream.flush().await
        });
        // A socket takes a reply at once, nearly always: no timer is needed then.
        let written = poll_fn(|context| match write.as_mut().poll(context) {
            Poll::Ready(written) => Poll::Ready(Some(written)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(written) = written.await {
            return written;
        }
        let deadline = clock::instant(clock::mono().plus(self.patience));
        timeout_at(deadline, write)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Reads what has come, at most [`READ_MAX`] octets, behind what is in `into`; 0 at the end.
    /// Nothing is lost when the wait is given up, and none of the space is taken before something
    /// is there.
    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut space = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut space))?;
            into.extend_from_slice(space.filled());
            Poll::Ready(Ok(space.filled().len()))
        })
    }

    /// Turns the connection into a TLS one, and says which version and suite it came to.
    pub(super) async fn start_tls(
        &mut self,
        config: Arc<ServerConfig>,
    ) -> Result<Box<str>, StartTlsError> {
        let socket = self.stream.take_tcp().ok_or(StartTlsError::State)?;
        let deadline = clock::instant(clock::now().mono.plus(HANDSHAKE_TIMEOUT));
        let handshake = TlsAcceptor::from(config).accept_with(socket, |connection| {
            connection.set_buffer_limit(Some(TLS_UNSENT_MAX));
        });
        // Boxed: a handshake's state is large, and most of a session's life is not a handshake.
        let stream = timeout_at(deadline, Box::pin(handshake))
            .await
            .map_err(|_| StartTlsError::Timeout)?
            .map_err(StartTlsError::Handshake)?;
        let (_, connection) = stream.get_ref();
        let session = tls::describe(connection);
        self.stream = Stream::Tls(Box::new(stream.into()));
        Ok(session)
    }

    /// Sends what is queued and our end, then reads for a moment, and closes. Without the reading
    /// a peer that is still sending would get a reset, which can overtake the last reply.
    pub(super) async fn close(mut self) {
        if self.flush().await.is_err() || self.broken {
            return;
        }
        let deadline = clock::instant(clock::now().mono.plus(DRAIN_TIME));
        let drain = async {
            let mut scratch = [0; 1024];
            let mut left = DRAIN_MAX;
            self.stream.shutdown().await?;
            while left > 0 {
                match self.stream.read(&mut scratch).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            Ok::<(), io::Error>(())
        };
        // However this ends, the connection is over.
        let _ = timeout_at(deadline, drain).await;
    }
}

thread_local! {
    /// Where octets are read to before it is known how many there are: one space for all sessions
    /// that a thread serves, since no read of one lasts over an await.
    static SCRATCH: RefCell<Box<[u8]>> =
        RefCell::new(vec![0; READ_MAX].into_boxed_slice());
}

/// Octets read at once: a TLS record's content, and few enough that a session stays small.
const READ_MAX: usize = 16 * 1024;

/// Queued replies that are sent before more are made. A step makes fewer than the rest of a
/// session's 64 KiB can hold.
const UNSENT_MAX: usize = 4 * 1024;

/// The same inside the TLS library, whose own default is 64 KiB.
const TLS_UNSENT_MAX: usize = 16 * 1024;

/// A handshake is two or three round trips; whoever needs longer holds a session for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a closed connection is read from: a few round trips.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How much is read from it: what a peer can have had in flight.
const DRAIN_MAX: usize = 256 * 1024;
