//! A name server for one world of the SPF suite's form: UDP and TCP, nothing of more than 512
//! octets over UDP, aliases followed, names that are odd but legal, and silence where it is wanted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_proto::rr::{self, Name as WireName, RData};
use vouchsafe_proto::dns::{Name, RecordType, push_label};

use crate::spf::world::{Record, World};

/// Octets of a response over UDP: what is longer comes over TCP.
const MOST_OVER_UDP: usize = 512;

/// Aliases followed; a loop ends here.
const ALIASES: usize = 12;

/// Seconds for which everything may be kept.
const TTL: u32 = 300;

/// The server; it stops when it is dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Responses over TCP.
    pub over_tcp: Arc<AtomicU32>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves a world on a free port of loopback.
    pub fn start(world: World) -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let over_tcp = Arc::new(AtomicU32::new(0));
        let world = Arc::new(world);
        let (ends, its_world) = (Arc::clone(&stop), Arc::clone(&world));
        let first = thread::spawn(move || serve_udp(&udp, &its_world, &ends));
        let (ends, count) = (Arc::clone(&stop), Arc::clone(&over_tcp));
        let second = thread::spawn(move || serve_tcp(&tcp, &world, &ends, &count));
        Self {
            address,
            stop,
            over_tcp,
            threads: vec![first, second],
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Something for each to wake up on.
        let waker = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        waker.send_to(&[], self.address).unwrap();
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Both sockets on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // Another's listener may hold the same number.
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, world: &World, stop: &AtomicBool) {
    let mut octets = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut octets).unwrap();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let Some(mut response) = respond(world, &octets[..length]) else {
            continue;
        };
        let mut wire = response.to_vec().unwrap();
        if wire.len() > MOST_OVER_UDP {
            response.metadata.truncation = true;
            response.answers.clear();
            wire = response.to_vec().unwrap();
        }
        // Who asked may be gone.
        let _ = socket.send_to(&wire, from);
    }
}

fn serve_tcp(
    listener: &TcpListener,
    world: &Arc<World>,
    stop: &AtomicBool,
    count: &Arc<AtomicU32>,
) {
    loop {
        let (stream, _) = listener.accept().unwrap();
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let (world, count) = (Arc::clone(world), Arc::clone(count));
        thread::spawn(move || converse(stream, &world, &count));
    }
}

/// Answers one connection's questions until its end.
fn converse(mut stream: TcpStream, world: &World, count: &AtomicU32) -> Option<()> {
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query).ok()?;
        let wire = respond(world, &query)?.to_vec().unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        let length = u16::try_from(wire.len()).unwrap().to_be_bytes();
        stream
            .write_all(&[&length, wire.as_slice()].concat())
            .ok()?;
    }
}

/// The response, if there is to be one.
fn respond(world: &World, octets: &[u8]) -> Option<Message> {
    let query = Message::from_vec(octets).ok()?;
    let [asked] = query.queries.as_slice() else {
        return None;
    };
    let mut response = Message::new(
        query.metadata.id,
        MessageType::Response,
        query.metadata.op_code,
    );
    response.metadata.recursion_desired = query.metadata.recursion_desired;
    response.metadata.authoritative = true;
    response.add_queries(query.queries.iter().cloned());
    let mut owner = asked.name().clone();
    for _ in 0..ALIASES {
        let name = from_wire(&owner);
        let Some(records) = world.records(&name) else {
            response.metadata.response_code = ResponseCode::NXDomain;
            break;
        };
        let found: Vec<RData> = records
            .iter()
            .map(content)
            .filter(|content| content.record_type() == asked.query_type())
            .collect();
        if let Some(kind) = kind_of(asked.query_type())
            && world.is_silent(&name, kind, found.is_empty())
        {
            return None;
        }
        for content in &found {
            response.add_answer(rr::Record::from_rdata(owner.clone(), TTL, content.clone()));
        }
        let alias = records.iter().find_map(|record| match record {
            Record::Cname(target) => Some(to_wire(target)),
            _ => None,
        });
        let Some(target) = alias.filter(|_| found.is_empty()) else {
            break;
        };
        let content = RData::CNAME(CNAME(target.clone()));
        response.add_answer(rr::Record::from_rdata(owner, TTL, content));
        owner = target;
    }
    let root = WireName::root();
    let soa = SOA::new(root.clone(), root.clone(), 1, 3600, 600, 86_400, TTL);
    if response
        .answers
        .iter()
        .all(|record| record.record_type() != asked.query_type())
    {
        response.add_authority(rr::Record::from_rdata(root, TTL, RData::SOA(soa)));
    }
    Some(response)
}

fn kind_of(kind: rr::RecordType) -> Option<RecordType> {
    Some(match kind {
        rr::RecordType::A => RecordType::A,
        rr::RecordType::AAAA => RecordType::Aaaa,
        rr::RecordType::MX => RecordType::Mx,
        rr::RecordType::TXT => RecordType::Txt,
        rr::RecordType::PTR => RecordType::Ptr,
        _ => return None,
    })
}

/// A record's content on the wire; a text of more than 255 octets as several strings.
fn content(record: &Record) -> RData {
    match record {
        Record::A(address) => RData::A(A(*address)),
        Record::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Record::Mx(preference, exchange) => RData::MX(MX::new(*preference, to_wire(exchange))),
        Record::Ptr(name) => RData::PTR(PTR(to_wire(name))),
        Record::Cname(name) => RData::CNAME(CNAME(to_wire(name))),
        Record::Txt(text) if text.is_empty() => RData::TXT(TXT::from_bytes(vec![b""])),
        Record::Txt(text) => RData::TXT(TXT::from_bytes(text.chunks(255).collect())),
    }
}

fn from_wire(name: &WireName) -> Name {
    let mut text = String::new();
    for label in name {
        text.push_str(if text.is_empty() { "" } else { "." });
        push_label(&mut text, label);
    }
    Name::parse(&text).unwrap()
}

fn to_wire(name: &Name) -> WireName {
    let labels = name.labels().map(|label| {
        let mut octets = Vec::new();
        let mut rest = label.as_bytes();
        while let [first, more @ ..] = rest {
            if *first == b'\\' {
                octets.push(std::str::from_utf8(&more[..3]).unwrap().parse().unwrap());
                rest = &more[3..];
            } else {
                octets.push(*first);
                rest = more;
            }
        }
        octets
    });
    let labels: Vec<Vec<u8>> = labels.collect();
    let mut wire = WireName::from_labels(labels).unwrap();
    wire.set_fqdn(true);
    wire
}
