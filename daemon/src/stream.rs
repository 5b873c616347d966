//! The socket below one session, in or out: TCP, TCP under TLS, or a Unix socket.
//!
//! Promises: what is read and written goes to whatever the session has come to; a socket that a
//! handshake has taken and not brought back is an error to use, never a silence.
//!
//! Left to others: connecting and accepting, handshakes, deadlines.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// One connection.
#[derive(Debug)]
pub enum Stream {
    /// In clear.
    Tcp(TcpStream),
    /// After STARTTLS. Boxed: most of a session's life, or all of it, is in clear.
    Tls(Box<TlsStream<TcpStream>>),
    /// On this host.
    Unix(UnixStream),
    /// A handshake took the socket and has not brought it back.
    Gone,
}

/// What can be read from and written to.
trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Socket for T {}

impl Stream {
    /// Takes the socket out for a handshake, if it is TCP in clear; otherwise nothing changes.
    pub fn take_tcp(&mut self) -> Option<TcpStream> {
        match std::mem::replace(self, Self::Gone) {
            Self::Tcp(socket) => Some(socket),
            other => {
                *self = other;
                None
            }
        }
    }

    /// What is below.
    fn socket(&mut self) -> io::Result<Pin<&mut dyn Socket>> {
        match self {
            Self::Tcp(stream) => Ok(Pin::new(stream)),
            Self::Tls(stream) => Ok(Pin::new(stream.as_mut())),
            Self::Unix(stream) => Ok(Pin::new(stream)),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_read(context, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().socket()?.poll_write(context, octets)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_taken_is_an_error_to_use() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        let (mut near, mut far) = (Stream::Tcp(near.unwrap()), Stream::Tcp(far.unwrap().0));
        near.write_all(b"ok").await.unwrap();
        let mut octets = [0; 2];
        far.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"ok");
        assert!(near.take_tcp().is_some());
        assert!(near.take_tcp().is_none());
        assert!(near.write_all(b"ok").await.is_err());
        assert!(near.read(&mut octets).await.is_err());
        let (unix, _other) = UnixStream::pair().unwrap();
        let mut unix = Stream::Unix(unix);
        assert!(unix.take_tcp().is_none());
        unix.write_all(b"ok").await.unwrap();
    }
}
