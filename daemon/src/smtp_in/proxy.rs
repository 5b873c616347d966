//! The PROXY header (`proxy-protocol.txt` of haproxy, versions 1 and 2): who the client of a load
//! balancer is.
//!
//! Promises: not one octet behind the header is read; a header is small and comes at once, or the
//! connection is over; whatever the octets, nothing but an address comes out.
//!
//! Left to others: from whom a header is taken at all (the listener). What else a header says (the
//! destination, the extensions of version 2) is dropped.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout_at;

use crate::clock;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It did not come in time.
    #[error("no PROXY header in time")]
    Timeout,
    /// It is longer than any that is of use.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It is none.
    #[error("not a PROXY header")]
    Malformed,
    /// The connection ended or failed within it.
    #[error("the connection ended within the PROXY header")]
    Read(#[source] std::io::Error),
}

/// Reads the header, up to its end and no further. `None`: the proxy speaks for itself, or does
/// not say for whom.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Option<SocketAddr>, ProxyError> {
    let deadline = clock::instant(clock::now().mono.plus(patience));
    let read = async {
        let mut octets = Vec::new();
        loop {
            let missing = missing(&octets)?;
            if missing == 0 {
                return source(&octets);
            }
            let from = octets.len();
            octets.resize(from.saturating_add(missing), 0);
            let rest = octets.get_mut(from..).unwrap_or_default();
            stream.read_exact(rest).await.map_err(ProxyError::Read)?;
        }
    };
    timeout_at(deadline, read)
        .await
        .map_err(|_| ProxyError::Timeout)?
}

/// How many octets surely belong to a header that begins so; 0 if it is whole.
pub fn missing(octets: &[u8]) -> Result<usize, ProxyError> {
    let known = v2::PROTOCOL_PREFIX.len();
    if octets.len() < known {
        // The shortest of version 1, `PROXY UNKNOWN` and CRLF, is longer.
        return Ok(known.saturating_sub(octets.len()));
    }
    if octets.starts_with(v2::PROTOCOL_PREFIX) {
        let whole = match octets.get(14..16) {
            Some(&[high, low]) => {
                let rest = usize::from(u16::from_be_bytes([high, low]));
                SHORTEST_V2.saturating_add(rest)
            }
            _ => SHORTEST_V2,
        };
        return match whole {
            0..=LONGEST => Ok(whole.saturating_sub(octets.len())),
            _ => Err(ProxyError::TooLong),
        };
    }
    if !octets.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        Err(ProxyError::Malformed)
    } else if octets.ends_with(v1::PROTOCOL_SUFFIX.as_bytes()) {
        Ok(0)
    } else if octets.len() >= LONGEST_V1 {
        Err(ProxyError::TooLong)
    } else {
        Ok(1)
    }
}

/// The client that a whole header names, IPv4-mapped already unmapped.
pub fn source(octets: &[u8]) -> Result<Option<SocketAddr>, ProxyError> {
    let source: Option<SocketAddr> = match HeaderResult::parse(octets) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(pair) => Some((pair.source_address, pair.source_port).into()),
            v1::Addresses::Tcp6(pair) => Some((pair.source_address, pair.source_port).into()),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) => match (header.command, header.addresses) {
            (v2::Command::Proxy, v2::Addresses::IPv4(pair)) => {
                Some((pair.source_address, pair.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(pair)) => {
                Some((pair.source_address, pair.source_port).into())
            }
            (v2::Command::Local, _)
            | (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => return Err(ProxyError::Malformed),
    };
    let source = source.map(|source| SocketAddr::new(source.ip().to_canonical(), source.port()));
    match source.as_ref().map(SocketAddr::ip) {
        // No client comes from there, and to us it means that nobody knows the client.
        Some(IpAddr::V4(address)) if address.is_unspecified() => Err(ProxyError::Malformed),
        _ => Ok(source),
    }
}

/// A proxy sends the header before anything else, so it is there within a round trip.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Octets of a header of version 1 at the most, by its definition.
const LONGEST_V1: usize = 107;

/// Octets of a header of version 2 before its addresses, their length at the end.
const SHORTEST_V2: usize = 16;

/// Octets of a header of version 2 that are read. Addresses are 36 or 216 of them; the extensions,
/// of which none is of use here, are a few hundred as a rule.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header with a greeting behind it; gives what was left.
    async fn read_all(octets: &[u8]) -> (Result<Option<SocketAddr>, ProxyError>, Vec<u8>) {
        let with_more = [octets, b"EHLO x\r\n"].concat();
        let mut rest = &with_more[..];
        (read(&mut rest, PATIENCE).await, rest.to_vec())
    }

    /// A header of version 2.
    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("a short body");
        let front = [0x20 | command, family];
        [v2::PROTOCOL_PREFIX, &front, &length.to_be_bytes(), body].concat()
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 127, 0, 0, 1, 0x10, 0x01, 0, 25];

    #[tokio::test]
    async fn both_versions_name_the_client_and_nothing_behind_is_read() {
        let mut mapped = [0; 36];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
        mapped[32..34].copy_from_slice(&[0x10, 0x01]);
        let with_tlv = [&IPV4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        for (octets, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 127.0.0.1 4097 25\r\n".to_vec(),
                Some("192.0.2.1:4097"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4097 25\r\n".to_vec(),
                Some("[2001:db8::1]:4097"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN a b c d\r\n".to_vec(), None),
            (v2(1, 0x11, &IPV4), Some("192.0.2.1:4097")),
            (v2(1, 0x11, &with_tlv), Some("192.0.2.1:4097")),
            (v2(1, 0x21, &mapped), Some("192.0.2.1:4097")),
            (v2(1, 0x31, &[0; 216]), None),
            (v2(1, 0x00, &[]), None),
            (v2(0, 0x11, &IPV4), None),
            (v2(0, 0x00, &[]), None),
        ] {
            let (source, rest) = read_all(&octets).await;
            let expected = expected.map(|text| text.parse().expect("an address"));
            let shown = octets.escape_ascii();
            assert_eq!(source.ok(), Some(expected), "{shown}");
            assert_eq!(rest, b"EHLO x\r\n", "{shown}");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_ends_the_connection() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        for octets in [
            b"EHLO client.example\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 4097\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 127.0.0.1 4097 99999\r\n".to_vec(),
            b"PROXY TCP4 0.0.0.0 127.0.0.1 4097 25\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 4097 25\r\n".to_vec(),
            long,
            v2(1, 0x11, &IPV4[..8]),
            v2(5, 0x11, &IPV4),
            v2(1, 0x11, &[0; 5000]),
        ] {
            let (source, _) = read_all(&octets).await;
            assert!(source.is_err(), "{}: {source:?}", octets.escape_ascii());
        }
        let mut cut = &b"PROXY TCP4 192.0.2.1 "[..];
        assert!(matches!(
            read(&mut cut, PATIENCE).await,
            Err(ProxyError::Read(_))
        ));
    }

    #[tokio::test]
    async fn a_header_that_does_not_come_is_not_waited_for() {
        let (mut ours, _theirs) = tokio::io::duplex(64);
        assert!(matches!(
            read(&mut ours, Duration::ZERO).await,
            Err(ProxyError::Timeout)
        ));
    }
}
