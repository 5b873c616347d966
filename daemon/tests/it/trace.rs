//! What stands above a message at the next hop, and what no longer does: with a name server, a real
//! service and a real next hop.

use std::net::{IpAddr, Ipv4Addr};

use super::client::Client;
use super::nsd::{self, Nsd};
use super::service::Setup;
use super::sink::{Sink, split_trace};

const ZONES: [nsd::Zone<'static>; 2] = [
    nsd::Zone {
        apex: "example.net",
        records: Some("@ 300 TXT \"v=spf1 ip4:127.0.0.0/24 -all\"\n@ 300 A 192.0.2.1\n"),
    },
    nsd::Zone::ROOT,
];

#[test]
fn what_was_found_stands_above_the_message() {
    if !Nsd::installed("what trace fields tell") {
        return;
    }
    let dns = Nsd::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &ZONES);
    let sink = Sink::start();
    let service = Setup::new()
        .domains(&["example.org"], &sink.next_hop())
        .stored()
        .with("[verify]\nauthserv_id = \"example.org\"\n")
        .dns(dns.address())
        .start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO out.example.net", 250);
    client.expect("MAIL FROM:<\"a; b\"@example.net>", 250);
    client.expect("RCPT TO:<bob@example.org>", 250);
    client.expect("DATA", 354);
    client.send(
        b"Authentication-Results: example.org; spf=pass smtp.mailfrom=bank.example\r\n\
          Authentication-Results: mx.example.org; spf=none\r\n\
          Subject: x\r\n\r\nAuthentication-Results: example.org; x\r\n",
    );
    let reply = client.say(".");
    let id = reply.strip_prefix("250 2.0.0 queued as ").unwrap();

    let message = sink.next();
    let (trace, content) = split_trace(&message.content);
    let fields: Vec<_> = trace.split_terminator("\r\n").collect();
    let [results, spf, received] = fields[..] else {
        panic!("{trace}");
    };
    assert_eq!(
        results,
        "Authentication-Results: example.org; \
         x-vouchsafe=authorised smtp.mailfrom=\"\\\"a; b\\\"@example.net\" \
         smtp.remote-ip=127.0.0.1; \
         x-mailfrom-mx=none reason=unpublished smtp.mailfrom=\"\\\"a; b\\\"@example.net\"; \
         spf=pass smtp.mailfrom=\"\\\"a; b\\\"@example.net\""
    );
    assert_eq!(
        spf,
        "Received-SPF: pass (mx.example.org: the domain lists this client) \
         receiver=mx.example.org; identity=mailfrom; client-ip=127.0.0.1; \
         envelope-from=\"\\\"a; b\\\"@example.net\"; helo=out.example.net; \
         mechanism=\"ip4:127.0.0.0/24\""
    );
    assert!(received.starts_with("Received: from out.example.net ([127.0.0.1]) by mx.example.org"));
    assert!(received.contains(id), "{received}");
    assert_eq!(
        String::from_utf8(content).unwrap(),
        "Authentication-Results: mx.example.org; spf=none\r\n\
         Subject: x\r\n\r\nAuthentication-Results: example.org; x\r\n"
    );
    // The size that the next hop was told is that of all of it.
    let size = format!("SIZE={}", message.content.len());
    assert!(
        message.mail.contains(&size) || !message.mail.contains("SIZE="),
        "{}",
        message.mail
    );
    service.stop();
}
