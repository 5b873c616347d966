//! The path held open, between real processes: chains of services and other people's servers, the 250
//! rule where no reply is to be had, faults at every point of the dialogue, and a slow next hop.
//!
//! What stands here is what these tests share: a DNS in which senders are known or not, one transaction
//! told reply by reply, and the question whether anything is queued.

mod chains;
mod copied;
mod copies;
mod edges;
mod exim;
mod faults;
pub mod hop;
mod mixed;
mod onward;
mod per_recipient;
mod points;
mod proxy;
mod scene;
mod sender;
mod slow;
mod stories;
mod together;
mod unheard;

use std::net::{Ipv4Addr, SocketAddr};

use vouchsafe::dns::authority::{Authority, Zones};

use super::cli::{texts, vouchsafe};
use super::client::Client;
use super::service::{PATIENCE, Service, Setup};
use super::signing::txt;

/// Its domain lets this host send, by SPF: authorised.
const KNOWN: &str = "alice@known.example";

/// Its domain says nothing: unknown.
const UNKNOWN: &str = "someone@sender.example";

/// Its domain has border relays, and this host is none: repudiated at MAIL.
const FORGED: &str = "alice@forged.example";

/// SPF says fail; a signature could clear that, so it is refused no sooner than at the end.
const SPOOFED: &str = "alice@spoofed.example";

/// What all of them send.
const CONTENT: &[u8] = b"From: someone@sender.example\r\nSubject: held\r\nDate: Sat, 21 Nov 2026 10:15:00 +0000\r\nMessage-ID: <held@sender.example>\r\n\r\n.\r\n..hello\r\n";

/// The name server of the senders' domains, and the runtime that it lives in.
struct World {
    authority: Authority,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // What is there has an address, if nothing else.
        let plain = [
            "sender.example",
            "client.example",
            "example.org",
            "local.example",
            "other.example",
            "exim.test.example",
            "postfix.test.example",
            // The last, since more of it follows.
            "hop.example",
        ];
        let plain = plain.map(|name| format!("zone {name}\n{name} A 192.0.2.9\n"));
        let zones = [
            plain.concat(),
            String::from("two.hop.example A 127.0.0.3\ntwo.hop.example A 127.0.0.1\n"),
            String::from("zone known.example\n"),
            txt("known.example", "v=spf1 ip4:127.0.0.1 -all"),
            String::from("zone forged.example\nmail-from.forged.example MX 0 out.forged.example\n"),
            txt("mail-from.forged.example", "v=MFMX1"),
            String::from("out.forged.example A 192.0.2.1\nforged.example A 192.0.2.9\n"),
            String::from("zone spoofed.example\n"),
            txt("spoofed.example", "v=spf1 -all"),
        ]
        .concat();
        let zones = Zones::parse(&zones).unwrap();
        let starting = Authority::start((Ipv4Addr::LOCALHOST, 0).into(), zones);
        let authority = runtime.block_on(starting).unwrap();
        Self {
            authority,
            _runtime: runtime,
        }
    }

    /// A service in this world that holds the path to `hop.example`, and soon tries again what it has
    /// stored all the same.
    fn front(&self, next_hop: &str) -> Setup {
        self.setup().domain("hop.example", next_hop)
    }

    /// The same without that domain.
    fn setup(&self) -> Setup {
        self.made(Setup::new())
    }

    /// The same made of this one.
    fn made(&self, setup: Setup) -> Setup {
        setup
            .dns(self.authority.address())
            .with("[retry]\nfirst = \"100ms\"\nlongest = \"1s\"")
    }
}

/// A section for a domain behind a next hop, with what is done for those who are not proven.
fn domain(name: &str, next_hop: &str, when_unproven: &str) -> String {
    format!("[domains.\"{name}\"]\nnext_hop = \"{next_hop}\"\nwhen-unproven = \"{when_unproven}\"")
}

/// What was said to one transaction.
#[derive(Debug)]
struct Told {
    mail: String,
    /// To each recipient.
    recipients: Vec<String>,
    /// To the content, if a recipient was taken; or to DATA, if it was refused.
    end: String,
}

/// Sends a message in a session of its own.
fn send(server: SocketAddr, reverse_path: &str, recipients: &[&str]) -> Told {
    let mut client = Client::greeted(server);
    client.expect("EHLO client.example", 250);
    let told = send_over(&mut client, reverse_path, recipients);
    client.expect("QUIT", 221);
    told
}

/// The same in a session that stands.
fn send_over(client: &mut Client, reverse_path: &str, recipients: &[&str]) -> Told {
    let mail = client.say(&format!("MAIL FROM:<{reverse_path}>"));
    let mut told = Told {
        mail,
        recipients: Vec::new(),
        end: String::new(),
    };
    if !told.mail.starts_with("250") {
        return told;
    }
    for recipient in recipients {
        let reply = client.say(&format!("RCPT TO:<{recipient}>"));
        told.recipients.push(reply);
    }
    if told.recipients.iter().any(|reply| reply.starts_with("250")) {
        told.end = client.say("DATA");
        if told.end.starts_with("354") {
            client.send(stuffed(CONTENT));
            told.end = client.say(".");
        }
    } else {
        client.expect("RSET", 250);
    }
    told
}

/// To 354.
fn begun(server: SocketAddr, sender: &str) -> Client {
    let mut client = Client::greeted(server);
    client.expect("EHLO client.example", 250);
    begin(&mut client, sender);
    client
}

fn begin(client: &mut Client, sender: &str) {
    client.expect(&format!("MAIL FROM:<{sender}>"), 250);
    client.expect("RCPT TO:<bob@hop.example>", 250);
    client.expect("DATA", 354);
}

/// Dot-stuffed (RFC 5321 §4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}

/// What `vouchsafe queue list` has of a running service, a message a line.
fn queue_of(service: &Service) -> String {
    let config = service.folder().path().join("vouchsafe.toml");
    let config = config.display().to_string();
    let output = vouchsafe(&["queue", "list", "--json", "-c", &config]);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{out}{err}");
    out
}

/// Nobody has queued anything.
fn nothing_queued<'a>(services: impl IntoIterator<Item = &'a Service>) {
    for service in services {
        assert_eq!(queue_of(service), "");
    }
}

/// The queue has settled what it has delivered.
fn nothing_is_left(service: &Service) {
    let began = std::time::Instant::now();
    while !queue_of(service).is_empty() {
        assert!(began.elapsed() < PATIENCE, "something is queued");
    }
}

/// The code, the status and the words of a reply are ours, and tell nothing of who is behind us.
fn assert_bland(reply: &str, code_and_status: &str) {
    assert!(reply.starts_with(code_and_status), "{reply}");
    for inner in [
        "postfix",
        "exim",
        "127.0.0.1",
        "mailbox table",
        "inner words",
    ] {
        assert!(!reply.to_lowercase().contains(inner), "{reply}");
    }
}

/// The message has come octet for octet, behind trace fields and nothing else; `kept` may have lost its
/// CRs, as in a Maildir.
fn assert_whole(kept: &[u8], sent: &[u8]) -> String {
    let plain = |octets: &[u8]| -> Vec<u8> {
        let each = octets.iter().copied();
        each.filter(|octet| *octet != b'\r').collect()
    };
    let (kept, sent) = (plain(kept), plain(sent));
    let Some(head) = kept.strip_suffix(&sent[..]) else {
        panic!("changed on its way: {}", String::from_utf8_lossy(&kept));
    };
    let head = String::from_utf8(head.to_vec()).unwrap();
    let known = [
        "Return-Path",
        "Received",
        "Delivered-To",
        "X-Original-To",
        "Authentication-Results",
        "Received-SPF",
    ];
    for line in head.lines() {
        let name = line.split(':').next().unwrap();
        let is_trace = line.starts_with([' ', '\t']) || known.contains(&name);
        assert!(is_trace, "{head}");
    }
    head
}
