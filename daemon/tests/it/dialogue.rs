//! The second driver of `testdata/dialogue`: a real service on loopback, a real name server where
//! the story has a DNS, and a next hop that keeps what it is given.
//!
//! What the queue held is seen by what leaves it: envelope, parameters and content at the next hop,
//! the verdict in the log.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, TcpStream};
use std::path::{Path, PathBuf};

use super::certificate::{over_tls, tls_section, trusting, write_certificate};
use super::client::Client;
use super::nsd::{self, Nsd};
use super::script::{Queued, Script, Step, matches};
use super::service::{HOSTNAME, Service, Setup};
use super::sink::{Message, Sink, split_trace};

/// A connection, in clear or not.
trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// One dialogue on its way.
struct Play {
    name: String,
    service: Service,
    sink: Sink,
    client: Client<Box<dyn Stream>>,
    /// The socket below the client.
    socket: TcpStream,
    _dns: Option<Nsd>,
}

/// Where the dialogues are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/dialogue")
}

#[test]
fn every_dialogue_comes_out_the_same_over_sockets() {
    let has_dns = Nsd::installed("the dialogues that need a DNS");
    let mut names: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "smtp"))
        .collect();
    names.sort();
    let mut played = 0;
    for path in names {
        let script = Script::load(&path);
        if script.only.is_some() || (!has_dns && !script.zones.is_empty()) {
            continue;
        }
        println!("{}", script.name);
        let mut play = Play::begin(&script);
        for step in &script.steps {
            play.step(step);
        }
        play.end(&script);
        played += 1;
    }
    assert!(played >= 60, "only {played} dialogues");
}

impl Play {
    /// Sets the stage, up to the greeting.
    fn begin(script: &Script) -> Self {
        let dns = (!script.zones.is_empty()).then(|| name_server(script));
        let sink = Sink::start();
        let setup = stage(script, &sink, dns.as_ref());
        let mut service = setup.start();
        // Until then every rejection is temporary.
        service.wait_from_start("perimeter looked up");
        let socket = match &script.client {
            Some(address) => {
                let address = address.parse().expect("an address");
                Client::connect_from(address, service.address()).into_stream()
            }
            None => Client::connect(service.address()).into_stream(),
        };
        let stream: Box<dyn Stream> = Box::new(socket.try_clone().unwrap());
        let mut play = Self {
            name: script.name.clone(),
            service,
            sink,
            client: Client::over(stream),
            socket,
            _dns: dns,
        };
        play.hear("220 mx.example.org ESMTP");
        play
    }

    /// The server must say this line now.
    fn hear(&mut self, pattern: &str) {
        let line = self.client.line();
        let heard = line.as_deref().unwrap_or("the end");
        assert!(
            matches(pattern, heard),
            "{}: {heard}, not {pattern}",
            self.name
        );
    }

    /// Does what a line of the dialogue says.
    fn step(&mut self, step: &Step) {
        match step {
            // A server that has closed already is found out by what it did not say.
            Step::Send(octets) => drop(self.client.try_send(octets)),
            Step::Expect(pattern) => self.hear(pattern),
            Step::ExpectHello => {
                let reply = self.client.reply();
                assert!(reply.starts_with("250"), "{}: {reply}", self.name);
            }
            Step::Tls => {
                let folder = self.service.folder();
                let config = trusting(&folder.path().join("cert.pem"));
                let stream = over_tls(self.socket.try_clone().unwrap(), config);
                self.client = Client::over(Box::new(stream));
            }
            Step::Shutdown => {
                self.service.signal("TERM");
                self.service.wait_for("told that the service stops");
            }
            Step::End => self.socket.shutdown(Shutdown::Write).unwrap(),
            Step::Closed => self.client.expect_end(),
            Step::Time(_) | Step::Spool(..) => panic!("{}: for the machine only", self.name),
        }
    }

    /// Leaves, and looks at what was taken.
    fn end(mut self, script: &Script) {
        // The service may have closed first.
        let _ = self.socket.shutdown(Shutdown::Write);
        assert_eq!(self.client.line(), None, "{}", self.name);
        if script.steps.contains(&Step::Shutdown) {
            let (status, log) = self.service.ended();
            assert_eq!(status.code(), Some(0), "{log}");
            return;
        }
        let mut messages: Vec<Message> = script.queued.iter().map(|_| self.sink.next()).collect();
        let log = self.service.stop();
        let accepted: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" accepted "))
            .collect();
        assert_eq!(accepted.len(), script.queued.len(), "{}: {log}", self.name);
        for (queued, line) in script.queued.iter().zip(accepted) {
            let at = messages
                .iter()
                .position(|message| is_as_told(message, queued));
            let at = at.unwrap_or_else(|| panic!("{}: {queued:?} in {messages:?}", self.name));
            messages.remove(at);
            let verdict = queued
                .marks
                .as_deref()
                .and_then(|marks| marks.split(' ').next());
            let told = format!("verdict={}", verdict.unwrap_or_default());
            assert!(line.contains(&told), "{}: {line}, not {told}", self.name);
        }
    }
}

/// The DNS of the story.
fn name_server(script: &Script) -> Nsd {
    let mut zones: Vec<_> = script
        .zones
        .iter()
        .map(|zone| nsd::Zone {
            apex: &zone.origin,
            records: (!zone.fails).then_some(zone.records.as_str()),
        })
        .collect();
    // What is in none of them does not exist.
    zones.push(nsd::Zone::ROOT);
    Nsd::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &zones)
}

/// The service of the story.
fn stage(script: &Script, sink: &Sink, dns: Option<&Nsd>) -> Setup {
    let next_hop = sink.next_hop();
    let mut setup = Setup::new();
    let (mut domains, mut relay, mut limits) = (vec!["example.org"], String::new(), String::new());
    let mut starttls = true;
    for (key, value) in &script.config {
        match key.as_str() {
            "local" => domains.push(value),
            "relay_from" => {
                relay = format!("[relay]\nfrom = [\"{value}\"]\nnext_hop = \"{next_hop}\"");
            }
            "perimeter" => setup = setup.with(&format!("[perimeter]\nhosts = [\"{value}\"]")),
            "xclient" => setup = setup.with(&format!("[perimeter]\nxclient = [\"{value}\"]")),
            "postmaster" => setup = setup.top(&format!("postmaster = \"{value}\"")),
            "starttls" => starttls = value == "on",
            "requiretls" => {
                setup = setup.with(&format!("[delivery]\nrequiretls = {}", value == "on"));
            }
            "spf" | "forwarder" => {}
            key => writeln!(limits, "{key} = {value}").unwrap(),
        }
    }
    setup = setup.domains(&domains, &next_hop).stored().with(&relay);
    setup = setup.with(&format!("[limits]\n{limits}"));
    // Where nothing else is said the corpus knows the MAIL-FROM MX check alone.
    let spf = script.has_spf();
    setup = setup.with(&format!("[verify]\nspf = {spf}\nsender_domain = false"));
    for (recipient, forwarder) in script.forwarders() {
        setup = setup.with(&format!(
            "[recipients.\"{recipient}\"]\nforwarders = [\"{forwarder}\"]"
        ));
    }
    if starttls {
        write_certificate(setup.folder());
        let section = tls_section(setup.folder());
        setup = setup.with(&section);
    }
    match dns {
        Some(dns) => setup.dns(dns.address()),
        None => setup,
    }
}

/// True if the message at the next hop is the one that the story tells of.
fn is_as_told(message: &Message, queued: &Queued) -> bool {
    // A quoted local-part may hold a blank; no parameter holds a bracket.
    let (reverse_path, parameters) = message.mail.rsplit_once('>').unwrap();
    let parameters: Vec<&str> = parameters.split(' ').collect();
    let envelope = format!("{reverse_path}> to {}", message.recipients.join(" "));
    let (trace, content) = split_trace(&message.content);
    // DATA cannot carry a last line without its end, which BDAT can bring.
    let mut wanted = queued.content.clone();
    if !wanted.is_empty() && !wanted.ends_with(b"\r\n") {
        wanted.extend_from_slice(b"\r\n");
    }
    let marks = queued.marks.as_deref().unwrap_or_default();
    let marked = |mark: &str, parameter: &str| {
        !marks.split(' ').any(|word| word == mark) || parameters.contains(&parameter)
    };
    envelope == qualified(&queued.envelope)
        && queued
            .trace
            .iter()
            .all(|part| trace.contains(part.as_str()))
        && content == wanted
        && marked("8bitmime", "BODY=8BITMIME")
        && marked("smtputf8", "SMTPUTF8")
}

/// The envelope as a next hop sees it: to others a local-part alone means nobody.
fn qualified(envelope: &str) -> String {
    let (reverse_path, rest) = envelope.split_once("> to ").unwrap();
    if reverse_path == "<" || reverse_path.contains('@') {
        return envelope.into();
    }
    format!("{reverse_path}@{HOSTNAME}> to {rest}")
}
