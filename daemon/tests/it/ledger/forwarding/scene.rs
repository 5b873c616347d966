//! Four real servers: a service that relays for `origin.example` and answers for its ledger; a Postfix, some of whose people
//! have their mail sent on by a `.forward`; a service that they have it sent on to; and NSD with the zones of all of
//! them, which delegates the ledger to the first service, and Unbound that finds the way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::client::Client;
use crate::interop::postfix::{self, Postfix};
use crate::ledger::known::{keep_since, now};
use crate::nsd::{Nsd, Zone};
use crate::service::{Service, Setup};
use crate::unbound::Unbound;

/// A host of `origin.example`, which its border relay relays for.
const INSIDE: &str = "127.0.0.2";

/// A host of nobody here.
const STRANGER: &str = "127.0.0.3";

/// Where a filter of Postfix gives back what it has altered.
const FILTER: &str = "127.0.0.4";

/// From where Postfix sends.
const FORWARDER: &str = "127.0.0.9";

/// Who sends.
pub const ALICE: &str = "alice@origin.example";

/// The domains that Postfix has.
const DOMAINS: &str = "forwarder.example, moved.example, lists.example, strays.example";

/// Records of a domain whose border relay is Postfix, and of one where it is not.
const LISTS_POSTFIX: &str = "@ MX 10 mail\nmail-from MX 0 mail\nmail A 127.0.0.9\n";
const LISTS_ANOTHER: &str = "@ MX 10 mail\nmail-from MX 0 mail\nmail A 192.0.2.9\n";

/// Accounts of every Debian, and to whom their mail goes on. Bob has declared `forwarder.example`, whose relay Postfix
/// is; Dave has declared `moved.example`, which does not name it; Carol has declared nobody.
const PEOPLE: [(&str, &str); 3] = [
    ("games", "bob@local.example"),
    ("news", "carol@local.example"),
    ("backup", "dave@local.example"),
];

const DECLARED: &str = "[recipients.\"bob@local.example\"]\nforwarders = [\"forwarder.example\"]\n\
                        [recipients.\"dave@local.example\"]\nforwarders = [\"moved.example\"]\n";

/// What Alice writes.
pub const BODY: &str = "Viele Grüße\r\n";

/// All that runs.
pub struct Scene {
    pub sender: Service,
    pub receiver: Service,
    pub postfix: Postfix,
    _names: Nsd,
    _resolver: Unbound,
}

/// A message of Alice's.
pub struct Letter<'a> {
    /// To whom it is sent.
    recipient: &'a str,
    /// To whom it says that it is.
    to: &'a str,
    /// By this it is found again.
    subject: &'a str,
    body: &'a str,
}

impl<'a> Letter<'a> {
    /// One to somebody whom it names.
    pub fn open(recipient: &'a str, subject: &'a str) -> Self {
        Self {
            recipient,
            to: recipient,
            subject,
            body: BODY,
        }
    }

    /// One that names nobody.
    pub fn blind(recipient: &'a str, subject: &'a str) -> Self {
        Self {
            to: "undisclosed-recipients:;",
            ..Self::open(recipient, subject)
        }
    }

    /// Without octets of eight bits.
    pub fn plain(self) -> Self {
        let body = "Hello\r\n";
        Self { body, ..self }
    }

    /// Header and body.
    fn text(&self) -> String {
        let Self {
            to, subject, body, ..
        } = self;
        let bits = if body.is_ascii() { 7 } else { 8 };
        let date = vouchsafe_proto::time::Wall::from_secs(now()).to_rfc5322();
        format!(
            "From: Alice <{ALICE}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{subject}@origin.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {bits}bit\r\n\r\n{body}"
        )
    }
}

/// True if all of it can be started here.
pub fn installed(left_out: &str) -> Option<postfix::Setup> {
    let postfix = postfix::Setup::new(left_out)?;
    (Nsd::installed(left_out) && Unbound::installed(left_out)).then_some(postfix)
}

/// The zones: by its lists, only the border relay of `origin.example` may send in its name.
fn names() -> Nsd {
    let zone = |apex, records| Zone {
        apex,
        records: Some(records),
    };
    let zones = [
        Zone::ROOT,
        zone("example.org.", "mx A 127.0.0.1\n"),
        zone(
            "origin.example.",
            "@ MX 10 mx.example.org.\nmail-from MX 0 mx.example.org.\n@ TXT \"v=spf1 -all\"\n\
             _sent NS ns\nns A 127.0.0.1\n",
        ),
        zone("forwarder.example.", LISTS_POSTFIX),
        zone("moved.example.", LISTS_ANOTHER),
        zone("lists.example.", LISTS_POSTFIX),
        zone("strays.example.", LISTS_ANOTHER),
    ];
    Nsd::start(Ipv4Addr::LOCALHOST.into(), &zones)
}

/// The border relay of `origin.example`, which has kept its ledger for a day.
fn sender(names: &Nsd, postfix: &Postfix) -> Service {
    let next_hop = postfix.next_hop();
    let setup = Setup::new().dns(names.address());
    let maildir = format!("maildir:{}", setup.folder().join("mail").display());
    keep_since(setup.folder(), "origin.example", 24);
    let setup = setup
        .domains(&["origin.example"], &maildir)
        .with(&format!(
            "[relay]\nfrom = [\"{INSIDE}/32\"]\nnext_hop = \"{next_hop}\"\n"
        ))
        .with("[bounces]\nrefuse = true\n")
        .with(
            "[ledger]\naddress = [\"127.0.0.1:0\"]\nname_servers = [\"ns.origin.example\"]\npolicy = \"reject\"\n",
        );
    let mut service = setup.start();
    service.wait_from_start("standing=nobody else may send in its name");
    service
}

impl Scene {
    /// With further settings of Postfix.
    pub fn new(postfix: postfix::Setup, settings: &str) -> Self {
        let names = names();
        let postfix = postfix
            .forwards(DOMAINS, &PEOPLE)
            .file("transport", "")
            .with(&format!(
                "myhostname = mail.forwarder.example\n\
                 transport_maps = texthash:$config_directory/transport\n\
                 smtp_bind_address = {FORWARDER}\n\
                 queue_run_delay = 1s\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s"
            ))
            .with(settings)
            .start();
        let sender = sender(&names, &postfix);
        let all = names.address();
        let stubs = [(".", all), ("_sent.origin.example", sender.answering())];
        let resolver = Unbound::with(&stubs, "");
        let port = sender.answering().port();
        let receiver = Setup::new()
            .dns(resolver.address())
            .in_dns(&format!("authority_port = {port}"))
            .with("[verify]\nspecial_use = true\n")
            .with(DECLARED)
            .start();
        let to = |domain: &str, service: &Service| {
            let address = service.address();
            format!("{domain} smtp:[{}]:{}\n", address.ip(), address.port())
        };
        let routes = to("local.example", &receiver) + &to("origin.example", &sender);
        postfix.rewrite("transport", &routes);
        Self {
            sender,
            receiver,
            postfix,
            _names: names,
            _resolver: resolver,
        }
    }

    /// Alice sends.
    pub fn send(&self, letter: &Letter<'_>) {
        give(
            self.sender.address(),
            INSIDE,
            letter.recipient,
            &letter.text(),
        );
    }

    /// Somebody else sends in her name, to Postfix.
    pub fn forge(&self, letter: &Letter<'_>) {
        give(
            self.postfix.address(),
            STRANGER,
            letter.recipient,
            &letter.text(),
        );
    }

    /// A filter of Postfix gives back what it was given.
    pub fn give_back(&self, recipient: &str, content: &str) {
        give(self.postfix.address(), FILTER, recipient, content);
    }

    /// What Postfix heard when it had sent it on to them.
    pub fn heard(&mut self, them: &str) -> String {
        loop {
            let line = self.postfix.wait_for(&format!("to=<{them}>"));
            // On a busy machine names may be late.
            if !line.contains("status=deferred") {
                return line;
            }
        }
    }

    /// What the receiver was told of the message by its domain.
    pub fn finding(&mut self) -> String {
        let line = self.receiver.wait_for("asked the sender's domain");
        assert!(line.contains("domain=origin.example"), "{line}");
        let (_, finding) = line.split_once("finding=\"").unwrap();
        finding.split('"').next().unwrap().to_owned()
    }

    /// The message of this subject, as it was delivered.
    pub fn delivered(&mut self, subject: &str) -> String {
        self.receiver.wait_for("outcome=\"delivered\"");
        of_subject(&self.receiver, subject)
    }

    /// Alice hears from Postfix what became of it, since her relay knows that she has sent it.
    pub fn reported(&mut self, subject: &str) {
        self.sender.wait_for("next_hop=maildir:");
        let report = of_subject(&self.sender, subject);
        assert!(report.contains("x-bounce=pass"), "{report}");
        assert!(report.contains("dns; mail.forwarder.example"), "{report}");
    }
}

/// The message in the mailbox that has this subject, or encloses one that has.
fn of_subject(service: &Service, subject: &str) -> String {
    let subject = format!("Subject: {subject}\n");
    let all = service.delivered();
    let mut texts = all.iter().map(|text| String::from_utf8_lossy(text));
    let found = texts.find(|text| text.contains(&subject));
    found.expect("a message of the subject").into_owned()
}

/// Gives a server a message in Alice's name, which must be taken.
fn give(server: SocketAddr, from: &str, recipient: &str, content: &str) {
    let source: IpAddr = from.parse().unwrap();
    let mut client = Client::connect_from(source, server);
    assert_eq!(client.code(), 220);
    client.expect("EHLO client.origin.example", 250);
    client.expect(&format!("MAIL FROM:<{ALICE}> BODY=8BITMIME"), 250);
    client.expect(&format!("RCPT TO:<{recipient}>"), 250);
    client.expect("DATA", 354);
    client.send(content);
    client.expect(".", 250);
    client.expect("QUIT", 221);
}
