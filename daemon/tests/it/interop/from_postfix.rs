//! We are Postfix's next hop (`relayhost`): it submits to us, under TLS, what it takes in.

use std::net::SocketAddr;
use std::process::Command;

use super::super::certificate::{tls_section, write_certificate};
use super::super::client::Client;
use super::super::service::{self, Service};
use super::postfix::{Postfix, Setup};
use super::{Message, arrived, send_all};

/// A service that offers STARTTLS.
fn with_tls(setup: service::Setup) -> Service {
    write_certificate(setup.folder());
    let files = tls_section(setup.folder());
    setup.with(&files).start()
}

/// Postfix that sends all mail to us, and in clear none.
fn relaying_to(setup: Setup, server: SocketAddr) -> Postfix {
    setup
        .with(&format!(
            "virtual_mailbox_domains =\n\
             relayhost = [{}]:{}\n\
             smtp_tls_security_level = encrypt\n\
             smtp_tls_loglevel = 1",
            server.ip(),
            server.port()
        ))
        .start()
}

#[test]
fn postfix_hands_over_under_tls() {
    let Some(setup) = Setup::new("Postfix as a client, under TLS") else {
        return;
    };
    let mut service = with_tls(service::Setup::new());
    let mut postfix = relaying_to(setup, service.address());
    let mut messages = Message::hard_ones("someone@sender.example", "a@local.example");
    messages.push(Message::international(
        "jörg@sender.example",
        "grüße@local.example",
    ));
    send_all(postfix.address(), &messages);

    postfix.wait_for("Untrusted TLS connection established");
    service.wait_for("TLS started");
    service.wait_for_each(messages.len(), "outcome=\"delivered\"");
    let traces = arrived(&messages, &service.delivered());
    for (message, trace) in messages.iter().zip(traces) {
        let with = message.protocol();
        let by = format!("by mx.example.org with {with} (TLSv1.3 ");
        assert!(trace.contains(&by), "{trace}");
        assert!(trace.contains("(Postfix)"), "{trace}");
    }
    service.stop();
}

/// Many at once, each to several recipients, over connections that Postfix uses again.
#[test]
fn postfix_hands_over_many() {
    const MESSAGES: usize = 30;
    const RECIPIENTS: usize = 3;
    let Some(setup) = Setup::new("Postfix as a client with many messages") else {
        return;
    };
    let mut service = with_tls(service::Setup::new());
    let postfix = relaying_to(setup, service.address());
    let source = Command::new("/usr/sbin/smtp-source")
        .args(["-s", "5", "-l", "4096", "-f", "someone@sender.example"])
        .args(["-t", "a@local.example", "-M", "client.example"])
        .arg("-m")
        .arg(MESSAGES.to_string())
        .arg("-r")
        .arg(RECIPIENTS.to_string())
        .arg(postfix.address().to_string())
        .output()
        .unwrap();
    assert!(source.status.success(), "{source:?}");
    service.wait_for_each(MESSAGES * RECIPIENTS, "outcome=\"delivered\"");
    assert_eq!(service.delivered().len(), MESSAGES * RECIPIENTS);
    service.stop();
}

/// Postfix understands our refusal of a recipient, and reports it to the reverse-path: through us,
/// from the null reverse-path.
#[test]
fn postfix_takes_a_refusal_and_reports_it() {
    let Some(setup) = Setup::new("Postfix as a client that is refused") else {
        return;
    };
    let mut service = with_tls(service::Setup::new());
    let mut postfix = relaying_to(setup, service.address());
    let recipients = ["a@local.example", "b@elsewhere.example"];
    let message = Message::plain("alice@local.example", &recipients);
    let mut client = Client::greeted(postfix.address());
    client.expect("EHLO client.example", 250);
    assert_eq!(message.send(&mut client), [250, 250, 250]);

    let refused = postfix.wait_for("status=bounced");
    assert!(refused.contains("to=<b@elsewhere.example>"), "{refused}");
    assert!(refused.contains("dsn=5.7.1"), "{refused}");
    service.wait_for_each(2, "outcome=\"delivered\"");
    let mailbox = service.delivered();
    let reports: Vec<_> = mailbox
        .iter()
        .map(|message| String::from_utf8_lossy(message))
        .filter(|message| message.contains("Content-Type: multipart/report"))
        .collect();
    assert_eq!((mailbox.len(), reports.len()), (2, 1));
    assert!(
        reports[0].starts_with("Return-Path: <>\n"),
        "{}",
        reports[0]
    );
    assert!(reports[0].contains("Final-Recipient: rfc822; b@elsewhere.example"));
    service.stop();
}

/// Postfix, us, Postfix: with TLS on both sides of us.
#[test]
fn postfix_hands_over_to_postfix_through_us() {
    const LEFT_OUT: &str = "Postfix on both sides";
    let (Some(first), Some(last)) = (Setup::new(LEFT_OUT), Setup::new(LEFT_OUT)) else {
        return;
    };
    let mut last = last.tls("may").start();
    let service = with_tls(service::Setup::new().domain("hop.example", &last.next_hop()));
    let first = relaying_to(first, service.address());
    let mut messages = Message::hard_ones("someone@sender.example", "bob@hop.example");
    messages.push(Message::international(
        "jörg@sender.example",
        "grüße@hop.example",
    ));
    send_all(first.address(), &messages);
    let traces = arrived(&messages, &last.delivered(messages.len()));
    for (message, trace) in messages.iter().zip(traces) {
        let with = message.protocol();
        assert!(
            trace.contains(&format!("by mx.example.org with {with} (")),
            "{trace}"
        );
        assert!(
            trace.contains(&format!("(Postfix) with {with} id")),
            "{trace}"
        );
        assert!(trace.contains("(using TLSv1.3 "), "{trace}");
    }
    service.stop();
}
