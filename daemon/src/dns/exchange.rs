//! One question to one server: UDP first, TCP when that will not do.
//!
//! Each question has a socket, a port and an id of its own, all random (RFC 5452 §9); the socket
//! is connected, so that only the server's own datagrams arrive and its absence is heard at once.
//! No clock runs here: whoever asks gives up by dropping the question.
//!
//! RFC 1035 §4.2, RFC 6891 §7 (a server without EDNS), RFC 7766 (TCP).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use vouchsafe_proto::dns::{Name, RecordType, Trouble};

use super::wire::{Query, Reading, UDP_PAYLOAD};

/// Asks one server until it has said something of use, or trouble is all it has.
pub async fn ask_one(
    server: SocketAddr,
    name: &Name,
    kind: RecordType,
) -> Result<Box<Message>, Trouble> {
    let mut form = Form {
        edns: true,
        tcp: false,
    };
    loop {
        // Over TCP a forger cannot answer, and some servers there do not keep the case.
        let query = Query::new(name, kind, !form.tcp, form.edns).ok_or(Trouble::Unreadable)?;
        let reading = if form.tcp {
            over_tcp(server, &query).await
        } else {
            over_udp(server, &query).await
        };
        form = match reading {
            Ok(Reading::Definite(message)) => return Ok(message),
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
                tracing::debug!(%server, question = %name, %error, "DNS server not reached");
                return Err(Trouble::Timeout);
            }
        };
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
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&encoded(query)?).await?;
    // One octet more than may come: a datagram that fills it is longer than we offered to take.
    let mut octets = [0; UDP_PAYLOAD as usize + 1];
    loop {
        let length = socket.recv(&mut octets).await?;
        match query.read(octets.get(..length).unwrap_or_default()) {
            Reading::Foreign => {
                tracing::debug!(%server, "DNS datagram that answers no question of ours");
            }
            Reading::Trouble(Trouble::Unreadable) if length > usize::from(UDP_PAYLOAD) => {
                return Ok(Reading::Truncated);
            }
            reading => return Ok(reading),
        }
    }
}

/// Asks on a connection of its own; only the first message on it can be the response.
async fn over_tcp(server: SocketAddr, query: &Query) -> io::Result<Reading> {
    let mut stream = TcpStream::connect(server).await?;
    let octets = encoded(query)?;
    let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
    // In one write, since some servers want the length and the message in one segment (RFC 7766 §8).
    stream
        .write_all(&[&length.to_be_bytes(), octets.as_slice()].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    Ok(match query.read(&octets) {
        Reading::Foreign | Reading::Truncated => Reading::Trouble(Trouble::Unreadable),
        reading => reading,
    })
}

/// The query's octets.
fn encoded(query: &Query) -> io::Result<Vec<u8>> {
    query
        .encode()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
