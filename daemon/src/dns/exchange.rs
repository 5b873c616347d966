//! One question to one server: UDP first, TCP when that will not do.
//!
//! Each question has a socket, a port and an id of its own, all random (RFC 5452 §9); the socket
//! is connected, so that only the server's own datagrams arrive and its absence is heard at once.
//! A server on loopback is asked from sockets that are used again, one question at a time: nobody
//! on the network can send in its name, and a socket costs more than the question.
//! No clock runs here: whoever asks gives up by dropping the question.
//!
//! RFC 1035 §4.2, RFC 6891 §7 (a server without EDNS), RFC 7766 (TCP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UdpSocket};
use vouchsafe_proto::dns::{Name, RecordType, Trouble};

use super::turns::MAX_OPEN;
use super::wire::{Query, Reading, Response, UDP_PAYLOAD, Whose};

/// One server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    whose: Whose,
    /// Sockets that may be used again; none, unless it is on loopback.
    idle: Mutex<Vec<UdpSocket>>,
}

/// Sockets kept for one server: half of the questions that may be open at a time, so that a busy
/// second opens few, and a quiet hour holds few beside the sessions' own.
const MAX_IDLE: usize = MAX_OPEN / 2;

impl Server {
    /// The server at this address.
    pub fn new(address: SocketAddr, whose: Whose) -> Self {
        Self {
            address,
            whose,
            idle: Mutex::default(),
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks until it has said something of use, or trouble is all it has.
    pub async fn ask(&self, name: &Name, kind: RecordType) -> Result<Response, Trouble> {
        ask(self, name, kind).await
    }

    /// A socket that nobody else uses.
    async fn socket(&self) -> io::Result<UdpSocket> {
        let kept = self.idle().pop();
        if let Some(socket) = kept {
            return Ok(socket);
        }
        let any: IpAddr = if self.address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(self.address).await?;
        Ok(socket)
    }

    /// Takes a socket back on which nothing more is to come.
    fn put_back(&self, socket: UdpSocket) {
        let mut idle = self.idle();
        if self.address.ip().is_loopback() && idle.len() < MAX_IDLE {
            // Its one datagram is taken: the next wait is for another, and need not try first.
            let _ = socket.try_io(Interest::READABLE, || -> io::Result<()> {
                Err(io::ErrorKind::WouldBlock.into())
            });
            idle.push(socket);
        }
    }

    /// The sockets, whoever panicked while holding them: each change is whole in itself.
    fn idle(&self) -> MutexGuard<'_, Vec<UdpSocket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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
        let query = query.ok_or(Trouble::Unreadable)?;
        let reading = if form.tcp {
            over_tcp(server.address, &query).await
        } else {
            over_udp(server, &query).await
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
async fn over_udp(server: &Server, query: &Query) -> io::Result<Reading> {
    let socket = server.socket().await?;
    socket.send(query.octets()).await?;
    loop {
        socket.readable().await?;
        match received(&socket, query) {
            Ok(Reading::Foreign) => {
                tracing::debug!(server = %server.address, "DNS datagram that answers no question of ours");
            }
            Ok(reading) => {
                server.put_back(socket);
                return Ok(reading);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What the next datagram says, if one is there. Nothing is kept of it while others are waited for.
fn received(socket: &UdpSocket, query: &Query) -> io::Result<Reading> {
    // One octet more than may come: a datagram that fills it is longer than we offered to take.
    let mut octets = [0; UDP_PAYLOAD as usize + 1];
    let length = socket.try_recv(&mut octets)?;
    let reading = query.read(octets.get(..length).unwrap_or_default());
    Ok(match reading {
        Reading::Trouble(Trouble::Unreadable) if length > usize::from(UDP_PAYLOAD) => {
            Reading::Truncated
        }
        reading => reading,
    })
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
