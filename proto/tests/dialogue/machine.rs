//! A driver of the receive machine on a fake clock: the spool is a list, the DNS a few zones, and
//! the octets come split as the test wants.

use std::collections::VecDeque;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ForwardPath, Mailbox, ReversePath};
use vouchsafe_proto::custody::Custody;
use vouchsafe_proto::envelope::{BodyType, Envelope};
use vouchsafe_proto::message::received::Run;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::{EnhancedStatus, Reply};
use vouchsafe_proto::route::{NextHop, Route, RouteError, Routes};
use vouchsafe_proto::smtp::receive::{
    Action, Answer, Ask, Begun, Found, Input, Limits, Peer, Presenter, Session, Settings,
    UNKNOWN_CLIENT,
};
use vouchsafe_proto::smtp::xhold::{Holding, Marker, Terms};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::forwarder::Declared;
use vouchsafe_proto::verify::inquiry::Tests;
use vouchsafe_proto::verify::ledger::When;
use vouchsafe_proto::verify::mail_from::Request;
use vouchsafe_proto::verify::timing::Possible;
use vouchsafe_proto::verify::{Evidence, Verdict};

use crate::script::{Operation, Queued, Script};
use crate::world::World;
use crate::world::drive::{about_forwarder, inquire};

/// How octets are split on their way.
#[derive(Clone, Copy, Debug)]
pub enum Split {
    /// All that the client sends before something else happens, in one piece.
    Whole,
    /// Line by line, as the file has them.
    Lines,
    /// Octet by octet.
    Octets,
    /// In two, behind so many octets.
    At(usize),
}

/// One session and its world.
pub struct Machine {
    session: Session,
    peer: Peer,
    routes: Routes,
    zones: World,
    tests: Tests,
    forwarders: Declared,
    /// Our own outer hosts.
    perimeter: Vec<IpAddr>,
    now: u64,
    timer: Option<Mono>,
    /// What the server has said and nobody has read.
    said: Vec<u8>,
    closed: bool,
    starting_tls: bool,
    draft: Option<Vec<u8>>,
    /// Why the draft cannot be had any more.
    draft_failed: Option<Reply>,
    failures: Vec<(Operation, Reply)>,
    queued: Vec<Queued>,
    begun: u64,
}

impl Machine {
    /// A session that has been greeted.
    pub fn new(script: &Script) -> Self {
        let address = script.client.as_deref().unwrap_or("127.0.0.1");
        let address: IpAddr = address.parse().expect("an address");
        let (settings, routes) = settings_of(script);
        let peer = Peer {
            address: (address, 4025).into(),
            may_relay: routes.may_relay(address),
            is_front: script.is_front(address),
        };
        let mut zones = World::new();
        for zone in &script.zones {
            if zone.fails {
                zones.failing_zone(&zone.origin);
            } else {
                zones.zone(&zone.origin, &zone.records);
            }
        }
        let mut machine = Self {
            session: Session::new(Arc::new(settings), peer),
            peer,
            routes,
            zones,
            tests: Tests {
                spf: script.has_spf(),
                sender_domain: false,
                ledger: When::Never,
            },
            forwarders: forwarders_of(script),
            perimeter: script.perimeter(),
            now: 0,
            timer: None,
            said: Vec::new(),
            closed: false,
            starting_tls: false,
            draft: None,
            draft_failed: None,
            failures: Vec::new(),
            queued: Vec::new(),
            begun: 0,
        };
        machine.step(Input::Connected);
        machine
    }

    /// What the server has said since the last call, in lines.
    pub fn heard(&mut self) -> Vec<String> {
        let text = String::from_utf8(mem::take(&mut self.said)).expect("text");
        assert!(text.is_empty() || text.ends_with("\r\n"));
        text.split_terminator("\r\n").map(String::from).collect()
    }

    /// True once the server has closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The messages in custody so far.
    pub fn queued(&self) -> &[Queued] {
        &self.queued
    }

    /// Sends pieces. Those that come in clear behind STARTTLS are lost with it.
    pub fn send(&mut self, pieces: &[&[u8]]) {
        for piece in pieces {
            if self.session.wants_bytes() && !piece.is_empty() {
                self.step(Input::Bytes(piece));
            }
        }
    }

    /// Does the handshake that STARTTLS has agreed on.
    pub fn start_tls(&mut self) {
        assert!(mem::take(&mut self.starting_tls), "no TLS was agreed on");
        self.step(Input::TlsStarted("TLSv1.3".into()));
    }

    /// Lets time pass, and the timer run out if it does.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + u64::try_from(span.as_millis()).expect("a short time");
        while let Some(timer) = self.timer.filter(|timer| timer.as_millis() <= end) {
            self.now = self.now.max(timer.as_millis());
            self.timer = None;
            self.step(Input::TimerFired);
        }
        self.now = end;
    }

    /// Makes the next such operation of the spool fail.
    pub fn fail(&mut self, operation: Operation, reply: &str) {
        self.failures.push((operation, reply_of(reply)));
    }

    /// The service begins to stop.
    pub fn shut_down(&mut self) {
        self.step(Input::Shutdown);
    }

    /// The client closes its side.
    pub fn end(&mut self) {
        self.step(Input::EndOfStream);
    }

    fn step(&mut self, input: Input<'_>) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now = Now {
                mono: Mono::from_millis(self.now),
                wall: Wall::from_millis(1_795_256_100_000 + self.now),
            };
            let mut actions = Vec::new();
            self.session.step(input, now, &mut actions);
            for action in actions {
                assert!(!self.closed, "nothing follows Close: {action:?}");
                inputs.extend(self.perform(action));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Input<'static>> {
        match action {
            Action::Write(octets) => self.said.extend(octets),
            Action::Ask(id, ask) => return Some(Input::Answer(id, self.answer(ask))),
            Action::Head(_) => unreachable!("nothing is held here"),
            Action::Append(octets) => {
                self.draft.as_mut().expect("a draft").extend(octets);
                let failure = self.failure(Operation::Append)?;
                self.draft_failed = Some(failure.clone());
                return Some(Input::ContentRefused(failure));
            }
            Action::Abandon => {
                self.draft.take().expect("a draft");
            }
            Action::SetTimer(at) => self.timer = Some(at),
            Action::StartTls => self.starting_tls = true,
            Action::Close => {
                assert!(self.draft.is_none(), "a draft is left open");
                self.closed = true;
            }
            Action::Note(_) => {}
        }
        None
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Verify {
                reverse_path,
                helo,
                client,
                ..
            } => Answer::Verdict(Arc::new(self.verdict(reverse_path, helo, client))),
            Ask::Recipient { recipient, doubted } => {
                let route = self.routes.route(&recipient, self.peer.may_relay);
                let evidence = || match &doubted {
                    Some(presenter) => self.about_recipient(&recipient, presenter),
                    None => Vec::new(),
                };
                Answer::Recipient(route.map(|_| evidence()).map_err(RouteError::reply))
            }
            Ask::Peer(client) => Answer::Peer(self.replace_peer(client)),
            Ask::Content { verdict, .. } => Answer::Verdict(verdict),
            Ask::Outside {
                reverse_path, run, ..
            } => Answer::Outside(self.outside(reverse_path, &run).map(Box::new)),
            Ask::Hold(_) => unreachable!("nothing is held here"),
            Ask::Begin { .. } => Answer::Begun(self.begin().map(Begun::to_keep)),
            Ask::Commit(envelope) => {
                let content = self.draft.take().expect("a draft");
                // A failed append may be known only now, when all of it came in one piece.
                let failure = self.draft_failed.take();
                Answer::Committed(match failure.or_else(|| self.failure(Operation::Commit)) {
                    Some(reply) => Err(reply),
                    None => Ok(self.take_custody(&envelope, &content)),
                })
            }
        }
    }

    fn outside(&self, reverse_path: ReversePath, run: &Run) -> Option<Found> {
        let outside = run.outside_client(|address| self.perimeter.contains(&address))?;
        let helo = outside.helo.unwrap_or_default();
        let verdict = self.verdict(reverse_path, helo.clone(), outside.address);
        let client = outside.address;
        Some(Found {
            presenter: Presenter { helo, client },
            verdict: Arc::new(verdict),
        })
    }

    fn replace_peer(&mut self, client: SocketAddr) -> Peer {
        self.peer.may_relay = self.routes.may_relay(client.ip());
        self.peer.address = client;
        self.peer
    }

    fn begin(&mut self) -> Result<QueueId, Reply> {
        if let Some(reply) = self.failure(Operation::Begin) {
            return Err(reply);
        }
        assert!(self.draft.replace(Vec::new()).is_none(), "one at a time");
        self.draft_failed = None;
        self.begun += 1;
        Ok(self.id())
    }

    fn verdict(&self, reverse_path: ReversePath, helo: Box<str>, client: IpAddr) -> Verdict {
        if self.routes.may_relay(client) {
            let domain = reverse_path.domain();
            let local_domain = domain.is_some_and(|domain| self.routes.is_local(domain));
            return Verdict::of(Evidence::RelayClient { local_domain }, []);
        }
        let request = Request {
            in_perimeter: client == UNKNOWN_CLIENT || self.perimeter.contains(&client),
            ..request(reverse_path, helo, client)
        };
        inquire(&self.zones, request, self.tests)
    }

    /// What the client is to each forwarder that a recipient has declared.
    fn about_recipient(&self, recipient: &ForwardPath, presenter: &Presenter) -> Vec<Evidence> {
        let forwarders = self.forwarders.of(recipient).into_iter();
        let each = forwarders.map(|forwarder| {
            let request = request(ReversePath::Null, presenter.helo.clone(), presenter.client);
            about_forwarder(&self.zones, forwarder, request, self.tests)
        });
        each.collect()
    }

    #[expect(clippy::disallowed_methods, reason = "the test is the spool")]
    fn take_custody(&mut self, envelope: &Envelope, content: &[u8]) -> Custody {
        let whole = [envelope.trace.as_bytes(), content].concat();
        self.queued.push(queued_of(envelope, &whole));
        Custody::of_durable_message(self.id())
    }

    fn id(&self) -> QueueId {
        QueueId::new(Wall::from_secs(1), self.begun)
    }

    fn failure(&mut self, operation: Operation) -> Option<Reply> {
        let at = self.failures.iter().position(|(of, _)| *of == operation)?;
        Some(self.failures.remove(at).1)
    }
}

/// What is asked about a client.
fn request(reverse_path: ReversePath, helo: Box<str>, client: IpAddr) -> Request {
    Request {
        reverse_path,
        helo,
        client,
        in_perimeter: false,
        sibling: "k3v9x0q2z".into(),
    }
}

/// The forwarders that a dialogue's recipients have declared.
fn forwarders_of(script: &Script) -> Declared {
    let mut declared = Declared::default();
    for (recipient, forwarder) in script.forwarders() {
        let recipient = Mailbox::parse(recipient).expect("an address");
        let forwarder = Domain::parse(forwarder).expect("a domain");
        let own = declared.recipients.entry(Declared::key(&recipient));
        own.or_default().push(forwarder);
    }
    declared
}

/// What a dialogue's `CONFIG:` lines say of the machine and of the routes.
fn settings_of(script: &Script) -> (Settings, Routes) {
    let domain = |text: &str| Domain::parse(text).expect("a domain");
    let path = |text: &str| ForwardPath::parse_inside(text).expect("an address");
    let nowhere = || Route::stored(NextHop::parse("maildir:/nowhere").expect("a next hop"));
    let mut settings = Settings {
        hostname: domain("mx.example.org"),
        authserv_id: domain("mx.example.org"),
        limits: Limits::default(),
        starttls: true,
        require_tls: false,
        holds: false,
        xhold: Some(Holding {
            terms: Terms {
                min: 10,
                max: 485,
                hops: 16,
            },
            marker: Marker::new(|_| [0; 32]),
        }),
        xvouch: true,
        helo_syntax: true,
        // As the service has it where nothing is configured.
        possible: Possible {
            forwarders: script.forwarders().next().is_some(),
            dkim: true,
            ..Possible::default()
        },
    };
    let mut routes = Routes {
        postmaster: Some(path("postmaster@example.org")),
        mx_port: 25,
        ..Routes::default()
    };
    routes.local.insert(domain("example.org"), nowhere());
    let limits = &mut settings.limits;
    for (key, value) in &script.config {
        let number = || value.parse().expect("a number");
        match key.as_str() {
            "local" => drop(routes.local.insert(domain(value), nowhere())),
            "relay_from" => routes.relay_from.push(value.parse().expect("a network")),
            "postmaster" => routes.postmaster = (value != "none").then(|| path(value)),
            "message_size" => limits.message_size = value.parse().expect("a number"),
            "recipients" => limits.recipients = number(),
            "received_fields" => limits.received_fields = number(),
            "errors" => limits.errors = value.parse().expect("a number"),
            "xclient" | "perimeter" | "forwarder" | "spf" => {}
            "starttls" => settings.starttls = value == "on",
            "requiretls" => settings.require_tls = value == "on",
            _ => panic!("{}: no such key: {key}", script.name),
        }
    }
    (settings, routes)
}

/// A message as a dialogue describes it, with nothing left out.
fn queued_of(envelope: &Envelope, content: &[u8]) -> Queued {
    let recipients: Vec<_> = envelope
        .recipients
        .iter()
        .map(|path| format!("<{path}>"))
        .collect();
    let body = match envelope.body {
        BodyType::SevenBit => "7bit",
        BodyType::EightBitMime => "8bitmime",
    };
    let smtputf8 = if envelope.smtputf8 { " smtputf8" } else { "" };
    let (trace, content) = split_trace(content);
    Queued {
        envelope: format!("<{}> to {}", envelope.reverse_path, recipients.join(" ")),
        marks: Some(format!("{} {body}{smtputf8}", envelope.verdict)),
        trace: vec![trace],
        content,
    }
}

/// Our trace fields, unfolded, and what follows them: `Received` is the last of them.
fn split_trace(content: &[u8]) -> (String, Vec<u8>) {
    let mut end = 0;
    loop {
        let is_last = content[end..].starts_with(b"Received: ");
        let ends =
            |at: &usize| content[*at..].starts_with(b"\r\n") && content.get(at + 2) != Some(&b'\t');
        end = (end..content.len()).find(ends).expect("our Received field") + 2;
        if is_last {
            let fields = String::from_utf8(content[..end].to_vec()).expect("text");
            return (fields.replace("\r\n\t", " "), content[end..].to_vec());
        }
    }
}

fn reply_of(text: &str) -> Reply {
    let mut words = text.splitn(3, ' ');
    let code = words
        .next()
        .and_then(|word| word.parse().ok())
        .expect("a code");
    let status = words
        .next()
        .and_then(EnhancedStatus::parse)
        .expect("an enhanced status");
    let text = words.next().expect("a text").to_owned();
    Reply::new(code, (status.class, status.subject, status.detail), text)
}
