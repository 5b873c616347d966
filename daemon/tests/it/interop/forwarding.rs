//! Forwarded mail, with three real servers: a Postfix that is the border relay of
//! `origin.example`, a Postfix that forwards for old addresses at `forwarder.example` and keeps the
//! reverse-path, and us. Bob has declared the forwarder, Carol has not.

use std::net::{Ipv4Addr, SocketAddr};

use super::super::client::Client;
use super::super::nsd::{Nsd, Zone};
use super::super::service::{self, Service};
use super::Message;
use super::postfix::{Postfix, Setup};

/// The one relay that `origin.example` lists.
const ORIGIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

/// The one that `forwarder.example` lists.
const FORWARDER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// What is told of the forwarder to those who have not declared it.
const REFUSED: &str = "550 5.7.1 delivery not authorized: 127.0.0.9 is not a border relay of \
                       origin.example (MAIL-FROM.origin.example MX)";

/// The DNS.
fn world() -> Nsd {
    let zone = |apex, records| Zone {
        apex,
        records: Some(records),
    };
    let zones = [
        zone(".", ""),
        zone(
            "origin.example",
            "@ MX 10 relay\nMAIL-FROM MX 0 relay\nrelay A 127.0.0.7\n",
        ),
        zone(
            "forwarder.example",
            "@ MX 10 mail\nMAIL-FROM MX 0 mail\nmail A 127.0.0.9\n",
        ),
    ];
    Nsd::start(Ipv4Addr::new(127, 53, 6, 1).into(), &zones)
}

/// Us. Bob has declared the forwarder.
fn service(nsd: &Nsd) -> Service {
    service::Setup::new()
        .dns(nsd.address())
        .with("[recipients.\"bob@local.example\"]\nforwarders = [\"forwarder.example\"]")
        .start()
}

/// `[IP]:PORT`, as Postfix wants it.
fn bracketed(address: SocketAddr) -> String {
    format!("[{}]:{}", address.ip(), address.port())
}

/// Forwards, and keeps the reverse-path; the file `transport` says where `origin.example` is.
fn forwarder(setup: Setup, service: &Service) -> Postfix {
    let aliases = [
        ("old", "bob@local.example"),
        ("elder", "carol@local.example"),
    ]
    .map(|(old, new)| format!("{old}@forwarder.example {new}\n"));
    setup
        .file("aliases", &aliases.concat())
        .file("transport", "")
        .with(&format!(
            "myhostname = mail.forwarder.example\n\
             virtual_mailbox_domains =\n\
             virtual_alias_domains = forwarder.example\n\
             virtual_alias_maps = texthash:$config_directory/aliases\n\
             transport_maps = texthash:$config_directory/transport\n\
             relayhost = {}\n\
             smtp_bind_address = {FORWARDER}",
            bracketed(service.address())
        ))
        .start()
}

/// The border relay of `origin.example`, and its people's mailboxes.
fn origin(setup: Setup, forwarder: &Postfix) -> Postfix {
    let origin = setup
        .with(&format!(
            "myhostname = relay.origin.example\n\
             virtual_mailbox_domains = origin.example\n\
             relayhost = {}\n\
             smtp_bind_address = {ORIGIN}",
            bracketed(forwarder.address())
        ))
        .start();
    let back = format!("origin.example smtp:{}\n", bracketed(origin.address()));
    forwarder.rewrite("transport", &back);
    origin
}

/// Alice writes to an old address.
fn write_to(origin: &Postfix, old: &'static str) {
    let message = Message::plain("alice@origin.example", &[old]);
    let mut client = Client::greeted(origin.address());
    client.expect("EHLO alice.origin.example", 250);
    assert_eq!(message.send(&mut client), [250, 250]);
    client.expect("QUIT", 221);
}

#[test]
fn a_declared_forwarder_is_let_in_and_the_same_host_undeclared_is_not() {
    let left_out = "Postfix as a forwarder, with Postfix as the origin";
    let (Some(first), Some(second)) = (Setup::new(left_out), Setup::new(left_out)) else {
        return;
    };
    if !Nsd::installed(left_out) {
        return;
    }
    let nsd = world();
    let mut service = service(&nsd);
    let mut forwarder = forwarder(second, &service);
    let mut origin = origin(first, &forwarder);

    // To Bob: accepted as unknown, and delivered under the reverse-path that it came with.
    write_to(&origin, "old@forwarder.example");
    let line = forwarder.wait_for("to=<bob@local.example>");
    assert!(line.contains("status=sent (250 "), "{line}");
    service.wait_for("verdict=unknown");
    service.wait_for("outcome=\"delivered\"");
    let delivered = service.delivered();
    assert_eq!(delivered.len(), 1);
    let text = String::from_utf8_lossy(&delivered[0]);
    assert!(
        text.starts_with("Return-Path: <alice@origin.example>\n"),
        "{text}"
    );
    assert!(
        text.contains("([127.0.0.9])\n\tby mx.example.org"),
        "{text}"
    );

    // To Carol: refused, so that the forwarder reports it and not we.
    write_to(&origin, "elder@forwarder.example");
    let line = forwarder.wait_for("to=<carol@local.example>");
    assert!(line.contains("status=bounced"), "{line}");
    assert!(line.contains(REFUSED), "{line}");
    assert!(line.contains("in reply to RCPT TO command"), "{line}");
    let reports = origin.delivered(1);
    let report = String::from_utf8_lossy(&reports[0]);
    assert!(
        report.contains("Reporting-MTA: dns; mail.forwarder.example"),
        "{report}"
    );

    // Directly, from a host that is nobody's forwarder, Bob is not to be had either.
    let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, 8).into(), service.address());
    assert_eq!(client.code(), 220);
    client.expect("EHLO stranger.example", 250);
    client.expect("MAIL FROM:<alice@origin.example>", 250);
    let reply = client.say("RCPT TO:<bob@local.example>");
    assert_eq!(reply, REFUSED.replace("127.0.0.9", "127.0.0.8"));

    assert_eq!(service.delivered().len(), 1);
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}
