//! The socket below one session with a next hop: TCP, TCP under TLS, or a Unix socket.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

/// One connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// In clear.
    Tcp(TcpStream),
    /// After STARTTLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// On this host.
    Unix(UnixStream),
    /// A handshake took the socket and did not bring it back.
    Gone,
}

/// Why TLS did not come to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum HandshakeError {
    /// No TCP connection in clear: nothing that TLS could be put on.
    #[error("TLS cannot begin on this connection")]
    State,
    /// The handshake failed.
    #[error("the handshake failed")]
    Failed(#[source] io::Error),
}

impl Stream {
    /// Connects over TCP.
    pub(super) async fn tcp(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        // Commands are small and each waits for its reply: gathering them would only add delay.
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Connects to a socket of this host.
    pub(super) async fn unix(path: &Path) -> io::Result<Self> {
        UnixStream::connect(path).await.map(Self::Unix)
    }

    /// Puts TLS on; says which version and suite it came to. Octets that were read in clear are
    /// with the machine, which ends the session for them (RFC 3207 §4.2): none are carried over.
    pub(super) async fn start_tls(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Box<str>, HandshakeError> {
        let socket = match std::mem::replace(self, Self::Gone) {
            Self::Tcp(socket) => socket,
            other => {
                *self = other;
                return Err(HandshakeError::State);
            }
        };
        // Boxed: a handshake's state is large, and lives but for a moment.
        let handshake = Box::pin(TlsConnector::from(config).connect(name, socket));
        let stream = handshake.await.map_err(HandshakeError::Failed)?;
        let description = tls::describe(stream.get_ref().1);
        *self = Self::Tls(Box::new(stream));
        Ok(description)
    }
}

/// What is said of a socket that a handshake has lost.
fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::NotConnected)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Gone => Poll::Ready(Err(gone())),
        }
    }
}
