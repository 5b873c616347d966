//! The PROXY header (`proxy-protocol.txt` of haproxy, versions 1 and 2): who the client of a load
//! balancer is.
//!
//! Promises: not one octet behind the header is read; a header is small and comes at once, or the
//! connection is over; whatever the octets, nothing but an address comes out.
//!
//! Left to others: from whom a header is taken at all (the listener). What else a header says (the
//! destination, the extensions of version 2) is dropped.

mod header;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout_at;

use self::header::{ProxyError, missing, source};
use crate::clock;

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

/// A proxy sends the header before anything else, so it is there within a round trip.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use ppp::v2;

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
