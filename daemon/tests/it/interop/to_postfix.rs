//! Postfix is our next hop: it takes what we deliver, in each of the ways that its configuration
//! can have, or refuses it.

use super::super::service::{self, Service};
use super::postfix::{Postfix, Setup};
use super::{Message, arrived, send_all};

/// A service whose domain `hop.example` is behind Postfix. Each message has a connection of its
/// own, and is soon tried again.
fn in_front_of(postfix: &Postfix, sections: &str) -> Service {
    service::Setup::new()
        .domain("hop.example", &postfix.next_hop())
        .stored()
        .with("[retry]\nfirst = \"100ms\"\nlongest = \"1s\"")
        .with(&format!(
            "[delivery]\nmessages_per_connection = 1\n{sections}"
        ))
        .start()
}

/// The one report in the Maildir of `local.example`, once it is there.
fn report(service: &mut Service) -> String {
    service.wait_for("report to the reverse-path");
    service.wait_for("next_hop=maildir:");
    let mailbox = service.delivered();
    assert_eq!(mailbox.len(), 1);
    let report = String::from_utf8(mailbox.into_iter().next().unwrap()).unwrap();
    assert!(report.starts_with("Return-Path: <>\n"), "{report}");
    report
}

#[test]
fn everything_arrives_under_tls_and_by_bdat() {
    for level in ["may", "encrypt"] {
        let Some(setup) = Setup::new("Postfix as a next hop, under TLS") else {
            return;
        };
        let mut postfix = setup.tls(level).start();
        let mut service = in_front_of(&postfix, "");
        let mut messages = Message::hard_ones("someone@sender.example", "bob@hop.example");
        messages.push(Message::international(
            "jörg@sender.example",
            "grüße@hop.example",
        ));
        send_all(service.address(), &messages);

        let session = service.wait_for("session with next hop");
        assert!(session.contains("TLSv1.3"), "{session}");
        let mailbox = postfix.delivered(messages.len());
        let traces = arrived(&messages, &mailbox);
        for (message, trace) in messages.iter().zip(traces) {
            let by = format!("(Postfix) with {} id", message.protocol());
            assert!(trace.contains(&by), "{trace}");
        }
        service.stop();
    }
}

/// What Postfix counts of a session shows how we spoke with it.
#[test]
fn bdat_is_used_where_it_is_offered_and_data_where_not() {
    for (discard, spoken) in [
        ("", " mail=1 rcpt=2 bdat="),
        ("chunking", " mail=1 rcpt=2 data=1 "),
        ("chunking, pipelining", " mail=1 rcpt=2 data=1 "),
    ] {
        let Some(setup) = Setup::new("what Postfix as a next hop sees of BDAT") else {
            return;
        };
        let mut postfix = setup
            .with(&format!("smtpd_discard_ehlo_keywords = {discard}"))
            .start();
        let service = in_front_of(&postfix, "");
        let recipients = ["bob@hop.example", "carol@hop.example"];
        let message = Message::plain("someone@sender.example", &recipients);
        send_all(service.address(), &[message]);
        let counts = postfix.wait_for(" mail=1 ");
        assert!(counts.contains(spoken), "{counts}");
        assert_eq!(postfix.delivered(2).len(), 2);
        service.stop();
    }
}

/// A handshake that fails, here because nothing is in common, is tried again in clear.
#[test]
fn a_failed_handshake_goes_on_in_clear() {
    let Some(setup) = Setup::new("Postfix as a next hop whose TLS fails") else {
        return;
    };
    let mut postfix = setup
        .tls("may")
        .with("smtpd_tls_protocols = TLSv1\ntls_preempt_cipherlist = no")
        .start();
    let mut service = in_front_of(&postfix, "");
    let messages = [Message::plain(
        "someone@sender.example",
        &["bob@hop.example"],
    )];
    send_all(service.address(), &messages);
    service.wait_for("going on in clear");
    let traces = arrived(&messages, &postfix.delivered(1));
    assert!(
        traces[0].contains("(Postfix) with ESMTP id"),
        "{}",
        traces[0]
    );
    service.stop();
}

#[test]
fn one_refused_recipient_is_reported_and_the_other_delivered() {
    let Some(setup) = Setup::new("Postfix as a next hop that refuses a recipient") else {
        return;
    };
    let mut postfix = setup
        .tls("may")
        .with(
            "smtpd_recipient_restrictions = check_recipient_access \
             inline:{ { gone@hop.example = 550 5.1.6 moved without a word } }",
        )
        .start();
    let mut service = in_front_of(&postfix, "");
    let recipients = ["gone@hop.example", "bob@hop.example"];
    send_all(
        service.address(),
        &[Message::plain("alice@local.example", &recipients)],
    );

    let report = report(&mut service);
    for line in [
        "Reporting-MTA: dns; mx.example.org\n",
        "Final-Recipient: rfc822; gone@hop.example\n",
        "Action: failed\n",
        "Status: 5.1.6\n",
        "Diagnostic-Code: smtp; 550 5.1.6 ",
    ] {
        assert!(report.contains(line), "{line} {report}");
    }
    assert!(!report.contains("bob@hop.example"), "{report}");
    let kept = postfix.delivered(1);
    let delivered_to = String::from_utf8_lossy(&kept[0]);
    assert!(delivered_to.contains("Delivered-To: bob@hop.example\n"));
    service.stop();
}

/// A next hop that insists on TLS says 530 to those who do not begin it: for good.
#[test]
fn a_next_hop_that_wants_tls_refuses_clear_text() {
    let Some(setup) = Setup::new("Postfix as a next hop that insists on TLS") else {
        return;
    };
    let postfix = setup.tls("encrypt").start();
    let mut service = in_front_of(&postfix, "starttls = \"off\"");
    send_all(
        service.address(),
        &[Message::plain("alice@local.example", &["bob@hop.example"])],
    );
    let report = report(&mut service);
    assert!(
        report.contains("Diagnostic-Code: smtp; 530 5.7.0 "),
        "{report}"
    );
    service.stop();
}

#[test]
fn what_the_next_hop_does_not_take_is_reported() {
    let Some(setup) = Setup::new("Postfix as a next hop without extensions") else {
        return;
    };
    let postfix = setup
        .with("smtpd_discard_ehlo_keywords = 8bitmime, smtputf8, chunking")
        .start();
    for (message, status) in [
        (
            Message::hard_ones("alice@local.example", "bob@hop.example")
                .pop()
                .unwrap(),
            "Status: 5.6.3\n",
        ),
        (
            Message::international("alice@local.example", "bob@hop.example"),
            "Status: 5.6.7\n",
        ),
    ] {
        let mut service = in_front_of(&postfix, "");
        send_all(service.address(), &[message]);
        let report = report(&mut service);
        assert!(report.contains(status), "{report}");
        service.stop();
    }
}

/// The recipient waits alone: the other is not sent the message again.
#[test]
fn a_deferred_recipient_is_tried_again() {
    const TABLE: &str = "table";
    let Some(setup) = Setup::new("Postfix as a next hop that defers a recipient") else {
        return;
    };
    let mut postfix = setup
        .file(TABLE, "later@hop.example 450 4.2.1 come back\n")
        // Each process serves one connection, and so reads the table anew.
        .with(
            "max_use = 1\n\
             smtpd_recipient_restrictions = \
             check_recipient_access texthash:$config_directory/table",
        )
        .start();
    let mut service = in_front_of(&postfix, "");
    let recipients = ["later@hop.example", "bob@hop.example"];
    let message = Message::plain("alice@local.example", &recipients);
    send_all(service.address(), std::slice::from_ref(&message));

    for _ in 0..2 {
        let deferred = service.wait_for("outcome=\"deferred\"");
        assert!(
            deferred.contains("recipient=later@hop.example "),
            "{deferred}"
        );
        assert!(deferred.contains("status=4.2.1"), "{deferred}");
    }
    postfix.rewrite(TABLE, "");
    let delivered = service.wait_for("outcome=\"delivered\"");
    assert!(
        delivered.contains("recipient=later@hop.example "),
        "{delivered}"
    );
    assert_eq!(postfix.delivered(2).len(), 2);
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}
