//! A small authoritative server on loopback: the world of the demo, and of the tests.
//!
//! Answers over UDP and TCP from a list of zones held in memory, with wildcards, empty
//! non-terminals, NODATA and NXDOMAIN told apart and given their SOA, and truncation over UDP. A
//! zone can be told to fail or to stay silent. Names outside every zone are refused.
//!
//! It is no name server for the Internet: no delegations, no transfers, no signatures, and nothing
//! that limits who may ask. It listens on the address it is given, which should be loopback.
//!
//! RFC 1034 §4.3.2, RFC 2308 §3, RFC 4592 §2 and §3.3 (wildcards), RFC 6891.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, PTR, SOA, TXT};
use hickory_proto::rr::{Name as WireName, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use vouchsafe_proto::dns::{MAX_ALIASES, Name};

use super::wire::{UDP_PAYLOAD, from_wire, to_wire};

/// Seconds a record lives that names no TTL, and the SOA's minimum: short, so that a world that
/// changes is heard.
pub const DEFAULT_TTL: u32 = 60;

/// Zones by apex.
#[derive(Clone, Debug, Default)]
pub struct Zones(BTreeMap<Name, Zone>);

/// One zone.
#[derive(Clone, Debug, Default)]
struct Zone {
    conduct: Conduct,
    nodes: BTreeMap<Name, Vec<Entry>>,
}

/// One record at a node.
#[derive(Clone, Debug)]
struct Entry {
    ttl: u32,
    content: RData,
}

/// How a zone answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Conduct {
    /// As it should.
    #[default]
    Answers,
    /// SERVFAIL to every question.
    Fails,
    /// Never.
    Silent,
}

/// Why a text holds no zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct ParseZonesError {
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ZoneFault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneFault {
    /// Neither a zone nor a record.
    #[error("neither `zone|servfail|silent APEX` nor `OWNER [TTL] TYPE CONTENT`")]
    Form,
    /// No domain name.
    #[error("not a domain name")]
    Name,
    /// The content does not fit the type.
    #[error("content does not fit the type")]
    Content,
    /// A record whose owner lies in none of the zones above it.
    #[error("owner lies in no zone")]
    Outside,
}

impl Zones {
    /// Reads lines of two kinds; `;` begins a comment, names are absolute:
    ///
    /// ```text
    /// zone example.org             ; or `servfail example.org`, `silent example.org`
    /// example.org 300 MX 10 mx.example.org
    /// txt.example.org TXT "one string" "another"
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseZonesError> {
        let mut zones = Self::default();
        for (at, line) in text.lines().enumerate() {
            zones.read_line(line).map_err(|fault| ParseZonesError {
                line: at + 1,
                fault,
            })?;
        }
        Ok(zones)
    }

    /// Reads one line.
    fn read_line(&mut self, line: &str) -> Result<(), ZoneFault> {
        let words = split_words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let conduct = match words.as_slice() {
            [] => return Ok(()),
            ["zone", _] => Conduct::Answers,
            ["servfail", _] => Conduct::Fails,
            ["silent", _] => Conduct::Silent,
            _ => return self.read_record(&words),
        };
        let apex = words.get(1).copied().unwrap_or_default();
        let apex = Name::parse(apex).map_err(|_| ZoneFault::Name)?;
        self.0.entry(apex).or_default().conduct = conduct;
        Ok(())
    }

    /// Reads `OWNER [TTL] TYPE CONTENT`.
    fn read_record(&mut self, words: &[&str]) -> Result<(), ZoneFault> {
        let (owner, rest) = words.split_first().ok_or(ZoneFault::Form)?;
        let owner = Name::parse(owner).map_err(|_| ZoneFault::Name)?;
        let (ttl, rest) = match rest.split_first() {
            Some((word, rest)) if word.parse::<u32>().is_ok() => {
                (word.parse().unwrap_or(DEFAULT_TTL), rest)
            }
            _ => (DEFAULT_TTL, rest),
        };
        let (kind, content) = rest.split_first().ok_or(ZoneFault::Form)?;
        let content = read_content(kind, content)?;
        let (_, zone) = self.zone_of(&owner).ok_or(ZoneFault::Outside)?;
        zone.nodes
            .entry(owner)
            .or_default()
            .push(Entry { ttl, content });
        Ok(())
    }

    /// The deepest zone that a name lies in, to add to.
    fn zone_of(&mut self, name: &Name) -> Option<(&Name, &mut Zone)> {
        let holding = self.0.iter_mut().filter(|(apex, _)| lies_in(name, apex));
        holding.max_by_key(|(apex, _)| apex.labels().count())
    }

    /// The deepest zone that a name lies in.
    fn find(&self, name: &Name) -> Option<(&Name, &Zone)> {
        let holding = self.0.iter().filter(|(apex, _)| lies_in(name, apex));
        holding.max_by_key(|(apex, _)| apex.labels().count())
    }

    /// The response to a query; `None` to stay silent.
    fn respond(&self, query: &Message) -> Option<Message> {
        let mut response = Message::new(
            query.metadata.id,
            MessageType::Response,
            query.metadata.op_code,
        );
        response.metadata.recursion_desired = query.metadata.recursion_desired;
        response.add_queries(query.queries.iter().cloned());
        if query.edns.is_some() {
            let mut options = Edns::new();
            options.set_max_payload(UDP_PAYLOAD).set_version(0);
            response.set_edns(options);
        }
        let [asked] = query.queries.as_slice() else {
            response.metadata.response_code = ResponseCode::FormErr;
            return Some(response);
        };
        let name = from_wire(asked.name());
        response.metadata.response_code = match name.as_ref().and_then(|name| self.find(name)) {
            _ if query.metadata.op_code != OpCode::Query => ResponseCode::NotImp,
            None => ResponseCode::Refused,
            Some((_, zone)) if zone.conduct == Conduct::Silent => return None,
            Some((_, zone)) if zone.conduct == Conduct::Fails => ResponseCode::ServFail,
            Some((apex, zone)) => {
                response.metadata.authoritative = true;
                zone.answer(apex, asked, &mut response)
            }
        };
        Some(response)
    }
}

impl Zone {
    /// Fills in the answer and authority sections, aliases followed within the zone.
    fn answer(&self, apex: &Name, asked: &Query, into: &mut Message) -> ResponseCode {
        let mut owner = asked.name().clone();
        for _ in 0..=MAX_ALIASES {
            let Some(name) = from_wire(&owner).filter(|name| lies_in(name, apex)) else {
                // The alias leads to another zone, of which this one does not speak.
                return ResponseCode::NoError;
            };
            let Some(entries) = self.entries_at(&name) else {
                into.add_authority(soa(apex));
                return ResponseCode::NXDomain;
            };
            let of_type: Vec<&Entry> = entries
                .iter()
                .filter(|entry| entry.content.record_type() == asked.query_type())
                .collect();
            for entry in &of_type {
                into.add_answer(entry.at(&owner));
            }
            let alias = entries.iter().find_map(|entry| match &entry.content {
                RData::CNAME(target) => Some((entry, target.0.clone())),
                _ => None,
            });
            match alias {
                Some((entry, target)) if of_type.is_empty() => {
                    into.add_answer(entry.at(&owner));
                    owner = target;
                }
                _ => {
                    if of_type.is_empty() {
                        into.add_authority(soa(apex));
                    }
                    return ResponseCode::NoError;
                }
            }
        }
        ResponseCode::NoError
    }

    /// What stands at a name, or would by a wildcard; `None` if the name does not exist.
    fn entries_at(&self, name: &Name) -> Option<&[Entry]> {
        if let Some(entries) = self.nodes.get(name) {
            return Some(entries);
        }
        if self.exists(name) {
            return Some(&[]);
        }
        // Only the wildcard at the closest encloser counts (RFC 4592 §3.3.1).
        let mut encloser = name.clone();
        while !self.exists(&encloser) {
            encloser = parent(&encloser)?;
        }
        let wildcard = encloser.child("*").ok()?;
        self.nodes.get(&wildcard).map(Vec::as_slice)
    }

    /// True if a name or one below it has records.
    fn exists(&self, name: &Name) -> bool {
        self.nodes.keys().any(|node| lies_in(node, name))
    }
}

impl Entry {
    /// The record, under the name that was asked.
    fn at(&self, owner: &WireName) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, self.content.clone())
    }
}

/// The name without its first label; `None` for the root.
fn parent(name: &Name) -> Option<Name> {
    let rest = match name.as_str().split_once('.') {
        Some((_, rest)) => rest,
        None if name.is_root() => return None,
        None => "",
    };
    Name::parse(rest).ok()
}

/// The zone's SOA record.
fn soa(apex: &Name) -> Record {
    let name = to_wire(apex).unwrap_or_else(WireName::root);
    let minimum = DEFAULT_TTL;
    let content = SOA::new(name.clone(), name.clone(), 1, 3600, 600, 86_400, minimum);
    Record::from_rdata(name, DEFAULT_TTL, RData::SOA(content))
}

/// Reads a record's content.
fn read_content(kind: &str, content: &[&str]) -> Result<RData, ZoneFault> {
    let name = |text: &str| {
        let name = Name::parse(text).map_err(|_| ZoneFault::Name)?;
        to_wire(&name).ok_or(ZoneFault::Name)
    };
    let fits = ZoneFault::Content;
    Ok(match (kind, content) {
        ("A", [address]) => RData::A(A(address.parse().map_err(|_| fits)?)),
        ("AAAA", [address]) => RData::AAAA(AAAA(address.parse().map_err(|_| fits)?)),
        ("MX", [preference, exchange]) => RData::MX(MX::new(
            preference.parse().map_err(|_| fits)?,
            name(exchange)?,
        )),
        ("CNAME", [target]) => RData::CNAME(CNAME(name(target)?)),
        ("PTR", [target]) => RData::PTR(PTR(name(target)?)),
        ("NS", [host]) => RData::NS(NS(name(host)?)),
        ("TXT", strings) if strings.iter().all(|text| text.len() <= 255) => RData::TXT(
            TXT::from_bytes(strings.iter().map(|text| text.as_bytes()).collect()),
        ),
        _ => return Err(fits),
    })
}

/// Words between blanks, up to a `;`; quotes hold blanks together.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ';' if !quoted => break,
            blank if blank.is_whitespace() && !quoted => words.extend(word.take()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The server; stops when dropped.
#[derive(Debug)]
pub struct Authority {
    address: SocketAddr,
    zones: Arc<ArcSwap<Zones>>,
    _tasks: JoinSet<()>,
}

/// Tries at a port that is free for both UDP and TCP: two processes that look at the same time
/// may take one from each other.
const BIND_TRIES: usize = 16;

/// TCP connections served at one time; on loopback, with one question each, more is a mistake.
const MAX_CONNECTIONS: usize = 64;

impl Authority {
    /// Serves zones on an address; with port 0, on a port that is free.
    pub async fn start(address: SocketAddr, zones: Zones) -> io::Result<Self> {
        let (udp, tcp) = bind_both(address).await?;
        let address = tcp.local_addr()?;
        let zones = Arc::new(ArcSwap::from_pointee(zones));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, Arc::clone(&zones)));
        tasks.spawn(serve_tcp(tcp, Arc::clone(&zones)));
        Ok(Self {
            address,
            zones,
            _tasks: tasks,
        })
    }

    /// Where it listens, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves other zones from now on.
    pub fn replace(&self, zones: Zones) {
        self.zones.store(Arc::new(zones));
    }
}

/// A datagram socket and a listener on the same port.
async fn bind_both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 0;
    loop {
        let tcp = TcpListener::bind(address).await?;
        match UdpSocket::bind(tcp.local_addr()?).await {
            Ok(udp) => return Ok((udp, tcp)),
            Err(error) if address.port() != 0 || tries == BIND_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
    }
}

/// Answers datagrams.
async fn serve_udp(socket: UdpSocket, zones: Arc<ArcSwap<Zones>>) {
    let mut octets = vec![0; usize::from(u16::MAX)];
    loop {
        // An error here is of one datagram (its sender's port was closed), not of the socket.
        let Ok((length, peer)) = socket.recv_from(&mut octets).await else {
            continue;
        };
        let Ok(query) = Message::from_vec(octets.get(..length).unwrap_or_default()) else {
            continue;
        };
        let Some(response) = zones.load().respond(&query) else {
            continue;
        };
        let limit = usize::from(query.max_payload().min(UDP_PAYLOAD));
        let encoded = response.to_vec().map(|octets| {
            if octets.len() <= limit {
                Ok(octets)
            } else {
                response.truncate().to_vec()
            }
        });
        if let Ok(Ok(octets)) = encoded {
            // A response that is lost is asked for again.
            let _ = socket.send_to(&octets, peer).await;
        }
    }
}

/// Accepts connections.
async fn serve_tcp(listener: TcpListener, zones: Arc<ArcSwap<Zones>>) {
    let turns = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        if let Ok((stream, _)) = listener.accept().await {
            let zones = Arc::clone(&zones);
            connections.spawn(async move {
                // The peer went away: nothing to be done about it.
                let _ = serve_connection(stream, zones).await;
                drop(turn);
            });
        }
    }
}

/// Answers the questions of one connection, until it is closed.
async fn serve_connection(mut stream: TcpStream, zones: Arc<ArcSwap<Zones>>) -> io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut octets = vec![0; usize::from(length)];
        stream.read_exact(&mut octets).await?;
        let query = Message::from_vec(&octets).map_err(io::Error::other)?;
        let Some(response) = zones.load().respond(&query) else {
            continue;
        };
        let octets = response.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(octets.len()).map_err(io::Error::other)?;
        stream
            .write_all(&[&length.to_be_bytes(), octets.as_slice()].concat())
            .await?;
    }
}

/// True if `name` is `zone` or lies below it.
fn lies_in(name: &Name, zone: &Name) -> bool {
    zone.is_root()
        || name
            .as_str()
            .strip_suffix(zone.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}
