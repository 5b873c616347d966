//! What a PROXY header says, from its octets alone: the part that a fuzzer can be let loose on.

use std::net::{IpAddr, SocketAddr};

use ppp::{HeaderResult, v1, v2};

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

/// Octets of a header of version 1 at the most, by its definition.
const LONGEST_V1: usize = 107;

/// Octets of a header of version 2 before its addresses, their length at the end.
const SHORTEST_V2: usize = 16;

/// Octets of a header of version 2 that are read. Addresses are 36 or 216 of them; the extensions,
/// of which none is of use here, are a few hundred as a rule.
const LONGEST: usize = 4096;
