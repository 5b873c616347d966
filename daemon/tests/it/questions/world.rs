//! The domain that is asked, with NSD as its servers, and a service that asks.
//!
//! Answers stand in wildcards, one for each branch (the label `x`), since nobody knows beforehand which remainders are
//! asked for; messages are made so that everything that can be asked about one has a branch of its own. Between the
//! service and each server stands a relay that counts.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::residue::covered::Reader;
use vouchsafe_proto::time::Wall;

use crate::client::Client;
use crate::harness::free_port;
use crate::ledger::known::Sha256;
use crate::nsd::{Nsd, zone_file};
use crate::service::{Service, Setup};

/// Who sends.
pub const ALICE: &str = "alice@example.org";

/// What a domain may say; `Silence` is none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    Sent,
    NotSent,
    Unknown,
    /// "Not sent", of hours that have not come yet.
    OtherHours,
    Junk,
    /// There is no such name.
    Nothing,
    /// That something is wrong with the server.
    Failure,
}

use Say::{Failure, Junk, NotSent, Nothing, OtherHours, Sent, Unknown};

/// What a server says about the message to us, to those it names, and about its identity.
pub type Says = [Say; 3];

pub const NOT_SENT: Says = [NotSent; 3];
pub const SENT: Says = [Sent, Nothing, Nothing];
pub const ELSEWHERE: Says = [NotSent, Sent, NotSent];
pub const ALTERED: Says = [NotSent, NotSent, Sent];
pub const UNKNOWN: Says = [Unknown; 3];
pub const OTHER_HOURS: Says = [OtherHours; 3];
pub const JUNK: Says = [Junk; 3];
pub const NOTHING: Says = [Nothing; 3];
pub const FAILURE: Says = [Failure; 3];

/// How the domain is set up.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// `p` of its offer; none if it makes none.
    pub policy: Option<&'a str>,
    /// Its other records.
    pub records: &'a str,
    /// What each of its servers says; none for one that never answers.
    pub servers: &'a [Option<Says>],
    /// They are addresses of one host.
    pub one_host: bool,
}

/// One with these records, whose servers say this.
pub const fn sender<'a>(records: &'a str, servers: &'a [Option<Says>]) -> Sender<'a> {
    Sender {
        policy: Some("reject"),
        records,
        servers,
        one_host: false,
    }
}

/// SPF that lets nobody send.
pub const NOBODY: &str = "@ TXT \"v=spf1 -all\"\n";

/// The client is a listed relay.
pub const LISTED: &str = "mail-from MX 0 out\nmail-from TXT \"v=MFMX1\"\nout A 127.0.0.1\n";

/// No client of ours is.
pub const NOT_LISTED: &str = "mail-from MX 0 out\nmail-from TXT \"v=MFMX1\"\nout A 192.0.2.1\n";

/// A message, and the branches of what can be asked about it.
#[derive(Clone, Debug)]
pub struct Message {
    pub text: String,
    branches: [char; 3],
    /// What a client claims that it is, to us and to those it names (XVOUCH).
    pub claims: [String; 2],
}

impl Message {
    /// To `bob@local.example` by the envelope; its header names somebody at `there`.
    pub fn naming(there: &str) -> Self {
        (0..1000)
            .map(|number| Self::numbered(there, number))
            .find(|message| {
                let [a, b, c] = message.branches;
                a != b && b != c && a != c
            })
            .unwrap()
    }

    /// To `bob@local.example`, brought as another that its client claims: the second branch is that one's.
    pub fn in_place_of_another() -> Self {
        (0..1000)
            .map(|number| {
                let other = Self::numbered("local.example", number + 1000);
                let mut message = Self::numbered("local.example", number);
                message.branches[1] = other.branches[0];
                message.claims = other.claims;
                message
            })
            .find(|message| {
                let [a, b, c] = message.branches;
                a != b && b != c && a != c
            })
            .unwrap()
    }

    /// One, and another under the same header that nothing is known of: no branch of the first is its own.
    pub fn with_another() -> (Self, Self) {
        let there = "old.example";
        (0..1000)
            .map(|number| {
                (
                    Self::numbered(there, number),
                    Self::saying(there, number, "Pay Eve."),
                )
            })
            .find(|(message, other)| {
                let [a, b, c] = message.branches;
                let theirs = &other.branches[..2];
                a != b && b != c && a != c && !message.branches.iter().any(|x| theirs.contains(x))
            })
            .unwrap()
    }

    fn numbered(there: &str, number: u32) -> Self {
        Self::saying(there, number, "Hi Bob.")
    }

    fn saying(there: &str, number: u32, words: &str) -> Self {
        let date = Wall::from_secs(hour() * 3600 - 1800).to_rfc5322();
        let text = format!(
            "From: Alice <{ALICE}>\r\nTo: bob@{there}\r\nSubject: Hello\r\nDate: {date}\r\n\
             Message-ID: <{number}@example.org>\r\n\r\n{words}\r\n"
        );
        let mut reader = Reader::<Sha256>::default();
        reader.read(text.as_bytes());
        let covered = reader.finish().unwrap();
        let path = ReversePath::parse_inside(ALICE).unwrap();
        let to = |name: &str| {
            let domain = Domain::parse(name).unwrap();
            covered.digest::<Sha256>(&domain, &path).unwrap()
        };
        let digests = [
            to("local.example"),
            to(there),
            covered.identity::<Sha256>(&path).unwrap(),
        ];
        let branches = digests.map(|digest| {
            let place = usize::try_from(digest.index().number() >> 19).unwrap();
            char::from(b"0123456789abcdefghijklmnopqrstuv"[place])
        });
        let claims = [digests[0], digests[1]]
            .map(|digest| format!("{:x}.{digest:?}", covered.hour().unwrap().number()));
        Self {
            text,
            branches,
            claims,
        }
    }
}

/// Hours since 1970.
fn hour() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    now.as_secs() / 3600
}

/// The texts of one server.
fn texts(message: &Message, says: Says) -> String {
    let mut lines = String::new();
    for (branch, say) in message.branches.iter().zip(says) {
        let first = match say {
            OtherHours => hour() + 1,
            _ => hour() - 300,
        };
        let word = match say {
            Sent => 1,
            NotSent | OtherHours => 0,
            Unknown => 2,
            Junk => 7,
            Nothing | Failure => continue,
        };
        writeln!(
            lines,
            "*.{branch}._sent TXT \"v=1 s={word} c={first:x}+150\""
        )
        .unwrap();
    }
    lines
}

/// Where questions pass by.
struct Relay {
    questions: Arc<AtomicUsize>,
    /// To whom; without a server, questions to a ledger are lost.
    onward: Arc<Mutex<(SocketAddr, bool)>>,
}

impl Relay {
    /// Hands everything on.
    fn start(socket: UdpSocket, server: (SocketAddr, bool)) -> Self {
        let questions = Arc::<AtomicUsize>::default();
        let onward = Arc::new(Mutex::new(server));
        let (counted, servers) = (Arc::clone(&questions), Arc::clone(&onward));
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok((size, from)) = socket.recv_from(&mut octets) {
                let question = &octets[..size];
                // Of names at the ledger only those of questions begin with a label that long; any case.
                let at = question
                    .windows(6)
                    .any(|six| six.eq_ignore_ascii_case(b"\x05_sent"));
                let asks = at && question[12] > 20;
                counted.fetch_add(usize::from(asks), Ordering::SeqCst);
                let (server, answers) = *servers.lock().unwrap();
                if asks && !answers {
                    continue;
                }
                let (question, back) = (question.to_vec(), socket.try_clone().unwrap());
                // One that is lost must not keep the others waiting.
                std::thread::spawn(move || pass_on(&question, server, &back, from));
            }
        });
        Self { questions, onward }
    }
}

/// Hands a question on, and its answer back, if there is one.
fn pass_on(question: &[u8], server: SocketAddr, back: &UdpSocket, from: SocketAddr) {
    let onward = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let patience = Some(Duration::from_secs(5));
    onward.set_read_timeout(patience).unwrap();
    onward.send_to(question, server).unwrap();
    let mut octets = [0; 4096];
    if let Ok(size) = onward.recv(&mut octets) {
        // Who asked may have gone by now.
        let _ = back.send_to(&octets[..size], from);
    }
}

/// The domain's servers.
pub struct World {
    address: SocketAddr,
    addresses: Vec<SocketAddr>,
    relays: Vec<Relay>,
    servers: Vec<Nsd>,
}

impl World {
    pub fn new(message: &Message, sender: Sender<'_>) -> Self {
        let sockets = sockets(sender.servers.len());
        let addresses: Vec<_> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect();
        let mut relays = Vec::new();
        let mut servers = Vec::new();
        for (socket, says) in sockets.into_iter().zip(sender.servers) {
            let nsd = serve(message, sender, &addresses, *says);
            relays.push(Relay::start(socket, (nsd.address(), says.is_some())));
            servers.push(nsd);
        }
        Self {
            address: addresses[0],
            addresses,
            relays,
            servers,
        }
    }

    /// From now on they say what this one's do.
    pub fn becomes(&mut self, message: &Message, sender: Sender<'_>) {
        for (relay, says) in self.relays.iter().zip(sender.servers) {
            let nsd = serve(message, sender, &self.addresses, *says);
            *relay.onward.lock().unwrap() = (nsd.address(), says.is_some());
            self.servers.push(nsd);
        }
    }

    /// A service that asks these servers, as far as these sections let it.
    pub fn service(&self, verify: &str) -> Service {
        self.setup(verify).start()
    }

    pub fn setup(&self, verify: &str) -> Setup {
        Setup::new()
            .dns(self.address)
            .in_dns(&format!("authority_port = {}", self.address.port()))
            .with(&format!("[verify]\n{verify}\n"))
    }

    /// Questions that have come to any of the servers.
    pub fn questions(&self) -> usize {
        let each = self.relays.iter();
        each.map(|relay| relay.questions.load(Ordering::SeqCst))
            .sum()
    }
}

/// One of the servers, which stand at these addresses.
fn serve(
    message: &Message,
    sender: Sender<'_>,
    addresses: &[SocketAddr],
    says: Option<Says>,
) -> Nsd {
    let mut zone =
        String::from("$ORIGIN example.org.\n$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 300\n");
    for (number, address) in addresses.iter().enumerate() {
        let host = if sender.one_host { 1 } else { number + 1 };
        writeln!(zone, "@ NS ns{host}\nns{host} A {}", address.ip()).unwrap();
    }
    zone.push_str(sender.records);
    if let Some(policy) = sender.policy {
        let offer = format!("v=vouch1 h=sha256-128 b=24 w=336 l=80 p={policy}");
        writeln!(zone, "_sent TXT \"{offer}\"").unwrap();
    }
    zone.push_str(&texts(message, says.unwrap_or(NOTHING)));
    // Branches that cannot be loaded.
    let branches = message.branches.iter().zip(says.unwrap_or(NOTHING));
    let failing: Vec<_> = branches
        .filter(|(_, say)| *say == Failure)
        .map(|(branch, _)| format!("{branch}._sent.example.org"))
        .collect();
    let mut zones = vec![(".", Some(zone_file(".", ""))), ("example.org", Some(zone))];
    zones.extend(failing.iter().map(|apex| (apex.as_str(), None)));
    Nsd::serve(Ipv4Addr::LOCALHOST.into(), &zones)
}

/// Sockets of as many addresses, with one port.
fn sockets(count: usize) -> Vec<UdpSocket> {
    for _ in 0..20 {
        let port = free_port(Ipv4Addr::LOCALHOST.into()).unwrap().port();
        let all = (1..=count).map(|last| {
            let address: IpAddr = Ipv4Addr::new(127, 0, 0, u8::try_from(last).unwrap()).into();
            UdpSocket::bind((address, port))
        });
        if let Ok(all) = all.collect() {
            return all;
        }
    }
    panic!("no port that is free on {count} addresses");
}

/// The reply to the message, and by which command it was given.
pub fn bring(service: &Service, recipients: &[&str], message: &Message) -> (&'static str, String) {
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    let reply = client.say(&format!("MAIL FROM:<{ALICE}>"));
    if !reply.starts_with("250") {
        return ("MAIL", reply);
    }
    ("content", finish(&mut client, recipients, message))
}

/// The reply to the message behind a MAIL that was accepted.
pub fn finish(client: &mut Client, recipients: &[&str], message: &Message) -> String {
    for recipient in recipients {
        client.expect(&format!("RCPT TO:<{recipient}>"), 250);
    }
    client.expect("DATA", 354);
    client.send(&message.text);
    client.send(".\r\n");
    client.reply()
}
