//! How a connection to a next hop comes to be, and how TLS is put on it (RFC 3207).
//!
//! Left to others: reading and writing (`crate::stream`), how long any of it may take.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::stream::Stream;
use crate::tls;

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

/// Connects over TCP.
pub(super) async fn tcp(address: SocketAddr) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    // Commands are small and each waits for its reply: gathering them would only add delay.
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}

/// Connects to a socket of this host.
pub(super) async fn unix(path: &Path) -> io::Result<Stream> {
    UnixStream::connect(path).await.map(Stream::Unix)
}

/// Puts TLS on; says which version and suite it came to. Octets that were read in clear are with
/// the machine, which ends the session for them (RFC 3207 §4.2): none are carried over.
pub(super) async fn start_tls(
    stream: &mut Stream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<str>, HandshakeError> {
    let socket = stream.take_tcp().ok_or(HandshakeError::State)?;
    // Boxed: a handshake's state is large, and lives but for a moment.
    let handshake = Box::pin(TlsConnector::from(config).connect(name, socket));
    let secured = handshake.await.map_err(HandshakeError::Failed)?;
    let description = tls::describe(secured.get_ref().1);
    *stream = Stream::Tls(Box::new(secured.into()));
    Ok(description)
}
