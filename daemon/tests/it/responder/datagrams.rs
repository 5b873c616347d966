//! What other programs do not send: octets that are no question, and more questions than are answered.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::super::client::Client;
use super::super::service::Setup;
use super::{Answering, DIGEST, OTHER, section};

/// How long an answer may take that must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A query for TXT at a name, and what stands behind the question, that makes so many records.
pub fn query(name: &str, (more, records): (&[u8], u8)) -> Vec<u8> {
    let mut octets = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, records];
    for label in name.split('.') {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label.as_bytes());
    }
    octets.extend_from_slice(&[0, 0, 16, 0, 1]);
    octets.extend_from_slice(more);
    octets
}

/// An OPT record with a cookie.
fn cookie(octets: &[u8]) -> Vec<u8> {
    let length = u8::try_from(octets.len()).unwrap();
    let mut opt = vec![
        0,
        0,
        41,
        4,
        208,
        0,
        0,
        0,
        0,
        0,
        length + 4,
        0,
        10,
        0,
        length,
    ];
    opt.extend_from_slice(octets);
    opt
}

const BARE: (&[u8], u8) = (&[], 0);
pub const EDNS: (&[u8], u8) = (&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0], 1);

/// A socket to a server.
pub fn connected(at: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((at.ip(), 0)).unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// What is said to a datagram.
pub fn exchange(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    socket.send(datagram).unwrap();
    let mut octets = [0; 2048];
    let count = socket.recv(&mut octets).unwrap();
    octets[..count].to_vec()
}

/// One query with its length before it.
pub fn framed(query: &[u8]) -> Vec<u8> {
    [&u16::try_from(query.len()).unwrap().to_be_bytes(), query].concat()
}

/// The next response of a connection.
pub fn next(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets).unwrap();
    octets
}

/// Whether it holds this text.
pub fn says(response: &[u8], text: &str) -> bool {
    response
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn what_is_malformed_is_said_to_be() {
    let answering = Answering::new(Setup::new(), "zone_per_second = 1000");
    let socket = connected(answering.at);
    let good = query(&answering.name(DIGEST), EDNS);
    assert!(says(&exchange(&socket, &good), "v=1 s=1 c="));
    let with = |at: usize, octet: u8| {
        let mut datagram = good.clone();
        datagram[at] = octet;
        exchange(&socket, &datagram)[3] & 0xf
    };
    assert_eq!(with(2, 0x21), 4, "another opcode");
    // No question, an answer, an authority, too few records; a name that points; a q that is none.
    for (at, octet) in [
        (5, 0),
        (7, 1),
        (9, 1),
        (11, 0),
        (12, 0xc0),
        (13, b'z'),
        (14, b'0'),
        (20, b'w'),
    ] {
        assert_eq!(with(at, octet), 1, "{at}");
    }
    for length in 12..good.len() {
        assert_eq!(exchange(&socket, &good[..length])[3], 1, "{length}");
    }
    let huge = [&good[..], &[0; 1400]].concat();
    assert_eq!(exchange(&socket, &huge)[3], 1);
    // A response, or less than a header, stays unanswered: what is heard next belongs to what is asked next.
    let mut response = good.clone();
    response[2] = 0x81;
    socket.send(&response).unwrap();
    socket.send(&good[..11]).unwrap();
    let other = query(&answering.name(OTHER), EDNS);
    assert!(says(&exchange(&socket, &other), "v=1 s=2 c="));
}

#[test]
fn no_answer_is_longer_than_half_as_much_again() {
    let answering = Answering::new(Setup::new(), "per_second = 100000");
    let socket = connected(answering.at);
    let name = answering.name(DIGEST);
    let client = cookie(&[7; 8]);
    let answer = exchange(&socket, &query(&name, (&client, 1)));
    let own = &answer[answer.len() - 16..];
    assert_eq!(own[..8], [7; 8]);
    let mut queries = vec![
        query(&name, BARE),
        query(&name, EDNS),
        query(&name, (&client, 1)),
    ];
    queries.push(query(&name, (&cookie(own), 1)));
    queries.extend(
        (16..=40_u8).map(|length| query(&name, (&cookie(&vec![7; usize::from(length)]), 1))),
    );
    for query in queries {
        let answer = exchange(&socket, &query);
        assert!(says(&answer, "v=1 s=1 c="));
        assert!(
            answer.len() * 2 <= query.len() * 3,
            "{} of {}",
            answer.len(),
            query.len()
        );
    }
}

#[test]
fn beyond_its_rate_a_network_is_sent_to_tcp_and_then_dropped() {
    let answering = Answering::new(Setup::new(), "per_second = 1\nzone_per_second = 1");
    let socket = connected(answering.at);
    let bare = query(&answering.name(DIGEST), BARE);
    let mut answers = 0;
    // Four at once, and one more for each second that this takes.
    let cut = loop {
        let response = exchange(&socket, &bare);
        if response[2] & 2 != 0 {
            break response;
        }
        answers += 1;
        assert!(answers < 100);
    };
    assert!(answers >= 4);
    assert_eq!((cut[7], cut.len()), (0, bare.len()));
    // A cookie shows whose address it is.
    let client = query(&answering.name(DIGEST), (&cookie(&[7; 8]), 1));
    let response = exchange(&socket, &client);
    let own = response[response.len() - 16..].to_vec();
    let known = query(&answering.name(DIGEST), (&cookie(&own), 1));
    for _ in 0..20 {
        assert!(says(&exchange(&socket, &known), "v=1 s=1 c="));
    }
    let forged = query(&answering.name(DIGEST), (&cookie(&[7; 16]), 1));
    // Some of these are dropped; what is heard behind them is told by its id.
    for _ in 0..20 {
        socket.send(&forged).unwrap();
    }
    let mut last = known.clone();
    last[..2].copy_from_slice(&[0, 1]);
    socket.send(&last).unwrap();
    let mut heard = Vec::new();
    let mut octets = [0; 2048];
    loop {
        let count = socket.recv(&mut octets).unwrap();
        if octets[..2] == [0, 1] {
            assert!(says(&octets[..count], "v=1 s=1 c="));
            break;
        }
        heard.push(octets[2] & 2 != 0);
    }
    assert!(heard.len() < 20, "{heard:?}");
    // Over TCP it is answered, several queries at once in their order.
    let mut stream = TcpStream::connect(answering.at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let other = query(&answering.name(OTHER), EDNS);
    let both = [framed(&bare), framed(&other)].concat();
    let (first, second) = both.split_at(bare.len() + 20);
    stream.write_all(first).unwrap();
    assert!(says(&next(&mut stream), "v=1 s=1 c="));
    stream.write_all(second).unwrap();
    assert!(says(&next(&mut stream), "v=1 s=2 c="));
    stream.write_all(&[&both[..], &both].concat()).unwrap();
    for word in ["1", "2", "1", "2"] {
        assert!(says(&next(&mut stream), &format!("v=1 s={word} c=")));
    }
    // What is no query ends it.
    stream.write_all(&[0xff; 2]).unwrap();
    assert_eq!(stream.read(&mut [0; 9]).unwrap_or(0), 0);
}

#[test]
fn connections_of_a_network_are_bounded() {
    let answering = Answering::new(Setup::new(), "");
    let framed = framed(&query(&answering.name(DIGEST), EDNS));
    let connect = || {
        let mut stream = TcpStream::connect(answering.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // One that is closed on may say so at any of these.
        let _ = stream.write_all(&framed);
        let mut length = [0; 2];
        stream.read_exact(&mut length).is_ok().then_some(stream)
    };
    let mut open: Vec<_> = (0..8).map(|_| connect().unwrap()).collect();
    assert!(connect().is_none());
    open.clear();
    assert!((0..1000).find_map(|_| connect()).is_some());
    answering.service.stop();
}

#[test]
fn whoever_holds_all_connections_keeps_nobody_out() {
    let answering = Answering::new(Setup::new(), "");
    let framed = framed(&query(&answering.name(DIGEST), EDNS));
    let asked = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&framed).unwrap();
        assert!(says(&next(stream), "v=1 s="));
    };
    // Eight for each of sixteen networks, all of which have asked.
    let mut held = Vec::new();
    for number in 0..128_u8 {
        let from = IpAddr::from([127, 0, 1 + number / 8, 1]);
        let mut stream = Client::connect_from(from, answering.at).stream();
        asked(&mut stream);
        held.push(stream);
    }
    let mut others = Vec::new();
    for _ in 0..2 {
        let from = IpAddr::from([127, 0, 99, 1]);
        let mut stream = Client::connect_from(from, answering.at).stream();
        asked(&mut stream);
        others.push(stream);
    }
    // Those that were silent for longest have made room, and nobody else.
    for gone in &mut held[..2] {
        assert_eq!(gone.read(&mut [0; 9]).unwrap_or(0), 0);
    }
    asked(&mut held[2]);
    answering.service.stop();
}

#[test]
fn an_answer_leaves_from_the_address_that_was_asked() {
    for (wildcard, addresses) in [
        ("0.0.0.0:0", &["127.0.0.1", "127.0.0.77"][..]),
        ("[::]:0", &["127.0.0.1", "127.0.0.77", "::1"]),
    ] {
        let mut service = Setup::new().with(&section(wildcard, "")).start();
        service.wait_from_start("answering address=");
        for address in addresses {
            let address: IpAddr = address.parse().unwrap();
            let at = SocketAddr::new(address, service.answering().port());
            // A connected socket hears nobody else.
            let response = exchange(&connected(at), &query("_sent.local.example", EDNS));
            assert!(says(&response, "v=vouch1"), "{at}");
        }
        service.stop();
    }
}

#[test]
fn many_answers_at_once_come_each_whole_to_who_asked() {
    for wildcard in ["127.0.0.1:0", "0.0.0.0:0", "[::]:0"] {
        let setup = Setup::new().with(&section(
            wildcard,
            "per_second = 100000\nzone_per_second = 100000",
        ));
        let mut service = setup.start();
        service.wait_from_start("answering address=");
        let port = service.answering().port();
        // At two addresses, but of the service that has one; answers of three lengths.
        let asked: &[&str] = match wildcard {
            "[::]:0" => &["127.0.0.1", "::1", "127.0.0.77"],
            "0.0.0.0:0" => &["127.0.0.1", "127.0.0.77"],
            _ => &["127.0.0.1", "127.0.0.1"],
        };
        let queries = [
            query("_sent.local.example", BARE),
            query("_sent.local.example", EDNS),
            query("x.9._sent.local.example", BARE),
        ];
        let sockets: Vec<_> = asked
            .iter()
            .map(|address| connected(SocketAddr::new(address.parse().unwrap(), port)))
            .collect();
        let answers = queries.each_ref().map(|query| exchange(&sockets[0], query));
        for id in 0..120_usize {
            let mut query = queries[id / 5 % 3].clone();
            query[1] = u8::try_from(id).unwrap();
            sockets[id / 10 % sockets.len()].send(&query).unwrap();
        }
        for id in 0..120_usize {
            let mut octets = [0; 2048];
            let count = sockets[id / 10 % sockets.len()].recv(&mut octets).unwrap();
            let mut answer = answers[id / 5 % 3].clone();
            answer[1] = u8::try_from(id).unwrap();
            assert_eq!(octets[..count], answer, "{wildcard} {id}");
        }
        service.stop();
    }
}

#[test]
fn an_address_that_somebody_has_is_refused() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let (code, log) = Setup::new().with(&section(&address, "")).refused();
    assert_eq!(code, Some(69), "{log}");
    assert!(
        log.contains(&format!("cannot answer for the ledger at {address}")),
        "{log}"
    );
}
