//! One question to one server: UDP first, TCP when that will not do.
//!
//! Each question has a socket, a port and an id of its own, all random (RFC 5452 §9); the socket
//! is connected, so that only the server's own datagrams arrive and its absence is heard at once.
//! Servers of ours on loopback are asked on lines, which many questions share (`line`).
//! No clock runs here: whoever asks gives up by dropping the question.
//!
//! RFC 1035 §4.2, RFC 6891 §7 (a server without EDNS), RFC 7766 (TCP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use vouchsafe_proto::dns::{Name, RecordType, Trouble};

use super::line::{Lines, TICK};
use super::wire::{Query, Reading, Response, UDP_PAYLOAD, Whose};

/// One server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    whose: Whose,
    /// If it is asked on lines.
    lines: Option<Lines>,
}

impl Server {
    /// The server at this address.
    pub fn new(address: SocketAddr, whose: Whose) -> Self {
        let is_near = address.ip().is_loopback() && whose == Whose::Ours;
        Self {
            address,
            whose,
            lines: is_near.then(|| Lines::new(address)),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// True if whoever asks it is woken every [`TICK`] at least, whatever comes.
    pub const fn ticks(&self) -> bool {
        self.lines.is_some()
    }

    /// Asks until it has said something of use, or trouble is all it has.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Response, Trouble> {
        ask(self, name, kind).await
    }

    /// Asks over UDP.
    async fn over_udp(&self, query: &Arc<Query>) -> io::Result<Reading> {
        match &self.lines {
            Some(lines) => lines.ask(query).await,
            None => over_udp(self.address, query).await,
        }
    }

    /// Asks over TCP.
    async fn over_tcp(&self, query: &Query) -> io::Result<Reading> {
        let asking = over_tcp(self.address, query);
        if !self.ticks() {
            return asking.await;
        }
        let mut asking = pin!(asking);
        loop {
            // Giving up is looked at by whoever awaits this, each time.
            if let Ok(reading) = timeout(TICK, asking.as_mut()).await {
                return reading;
            }
        }
    }
}

/// Asks one server, in one form after the other.
async fn ask(server: &Server, name: &Name, kind: RecordType) -> Result<Response, Trouble> {
    let mut form = Form {
        edns: true,
        tcp: false,
    };
    loop {
        // Over TCP a forger cannot answer, and some servers there do not keep the case.
        let query = Query::new((name, kind), server.whose, !form.tcp, form.edns);
        let query = Arc::new(query.ok_or(Trouble::Unreadable)?);
        let reading = if form.tcp {
            server.over_tcp(&query).await
        } else {
            server.over_udp(&query).await
        };
        form = match reading {
            Ok(Reading::Definite(response)) if speaks_for_it(server.whose, &response) => {
                return Ok(response);
            }
            // It was made a server of the zone, and does not know it; or it leads on to others.
            Ok(Reading::Definite(_)) => return Err(Trouble::Refused),
            Ok(Reading::Trouble(trouble)) => return Err(trouble),
            Ok(Reading::Truncated | Reading::CaseChanged) if !form.tcp => {
                Form { tcp: true, ..form }
            }
            Ok(Reading::NoEdns) if form.edns => Form {
                edns: false,
                ..form
            },
            Ok(_) => return Err(Trouble::Unreadable),
            Err(error) => {
                tracing::debug!(server = %server.address, question = %name, %error, "DNS server not reached");
                return Err(Trouble::Timeout);
            }
        };
    }
}

/// Whether a response may count, coming from such a server.
const fn speaks_for_it(whose: Whose, response: &Response) -> bool {
    match whose {
        Whose::Ours => true,
        Whose::Zones => response.is_authoritative(),
    }
}

/// How a server is asked; each field changes once at most, so that the loop above ends.
#[derive(Clone, Copy)]
struct Form {
    edns: bool,
    tcp: bool,
}

/// Sends a datagram and waits for its response, passing over all that is not.
async fn over_udp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let socket = connected(server)?;
    socket.send(query.octets()).await?;
    loop {
        socket.readable().await?;
        match received(&socket, |octets| query.read_datagram(octets)) {
            Ok(Reading::Foreign) => {
                tracing::debug!(%server, "DNS datagram that answers no question of ours");
            }
            Ok(reading) => return Ok(reading),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// A socket on a port by chance, which only this server's datagrams reach.
pub fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Has the next datagram read, if one is there. Nothing is kept of it while others are waited for.
pub fn received<T>(socket: &UdpSocket, read: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
    // One octet more than may come: a datagram that fills it is longer than we offered to take.
    let mut octets = [0; UDP_PAYLOAD as usize + 1];
    // The C library's call is one that a thread can be cancelled in, which costs a part of the call.
    let mut receive = || rustix::net::recv(socket, &mut octets, RecvFlags::DONTWAIT);
    let (length, _) = socket.try_io(Interest::READABLE, || Ok(receive()?))?;
    Ok(read(octets.get(..length).unwrap_or_default()))
}

/// Asks on a connection of its own; only the first message on it can be the response.
async fn over_tcp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let mut stream = TcpStream::connect(server).await?;
    let octets = query.octets();
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    // In one write, since some servers want the length and the message in one segment (RFC 7766 §8).
    stream
        .write_all(&[&length.to_be_bytes(), octets].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    Ok(match query.read(&octets) {
        Reading::Foreign | Reading::Truncated => Reading::Trouble(Trouble::Unreadable),
        reading => reading,
    })
}
