//! Exim on both sides of us: everything arrives, what is asked about reports (RFC 3461) goes on
//! whichever of us comes first, each understands what the other refuses, and its own reports find
//! their way back.

use std::fs;

use super::super::certificate::{tls_section, write_certificate};
use super::super::service::{self, Service};
use super::super::sink::{self, Sink};
use super::exim::{Exim, Setup};
use super::reports::{check, report, send};
use super::{Message, arrived, send_all};

/// With this Exim offers to report.
const DSN: &str = "dsn_advertise_hosts = *";

/// Us in front of Exim, with these sections; Alice's mailbox is here, and Exim sends there.
fn before(exim: &Exim, sections: &str) -> Service {
    let service = service::Setup::new()
        .domain("hop.example", &exim.next_hop())
        .stored()
        .with(sections)
        .start();
    exim.route("local.example", service.address());
    service
}

/// Sends a message of Alice's to them.
fn from_alice(service: &Service, recipients: &[&'static str]) {
    let message = Message::plain("alice@local.example", recipients);
    send_all(service.address(), &[message]);
}

/// The report that Alice gets from us, and what it must say.
fn reported(service: &mut Service, lines: &[&str]) -> String {
    service.wait_for("report to the reverse-path");
    service.wait_for("next_hop=maildir:");
    let report = report(&service.delivered());
    for line in lines {
        assert!(report.contains(line), "{line:?}\n{report}");
    }
    report
}

/// Messages that are hard to carry.
fn messages(recipient: &'static str) -> Vec<Message> {
    let mut messages = Message::hard_ones("someone@sender.example", recipient);
    messages.push(Message::international("jörg@sender.example", recipient));
    messages
}

#[test]
fn everything_arrives_at_exim_under_tls_and_by_bdat() {
    let Some(setup) = Setup::new("Exim as a next hop, under TLS") else {
        return;
    };
    let mut exim = setup.tls().start();
    let mut service = before(&exim, "");
    let messages = messages("bob@hop.example");
    send_all(service.address(), &messages);
    let session = service.wait_for("session with next hop");
    assert!(session.contains("TLSv1.3"), "{session}");
    for _ in &messages {
        let line = exim.wait_for(" <= ");
        assert!(line.contains(" K "), "by BDAT: {line}");
        exim.wait_for("Completed");
    }
    for trace in arrived(&messages, &exim.delivered(messages.len())) {
        assert!(trace.contains("(TLS1.3)"), "{trace}");
    }
    service.stop();
}

#[test]
fn everything_arrives_from_exim_under_tls_and_by_bdat() {
    let Some(setup) = Setup::new("Exim as a client, under TLS") else {
        return;
    };
    let local = service::Setup::new();
    write_certificate(local.folder());
    let files = tls_section(local.folder());
    let mut service = local.with(&files).start();
    let mut exim = setup.start();
    exim.route("local.example", service.address());
    let messages = messages("a@local.example");
    send_all(exim.address(), &messages);
    for _ in &messages {
        let line = exim.wait_for(" => ");
        assert!(line.contains(" X=TLS1.3:"), "{line}");
        assert!(line.contains(" K "), "by BDAT: {line}");
        exim.wait_for("Completed");
    }
    service.wait_for_each(messages.len(), "outcome=\"delivered\"");
    for trace in arrived(&messages, &service.delivered()) {
        assert!(trace.contains("(Exim 4."), "{trace}");
    }
    service.stop();
}

/// Octet for octet what was asked, in whatever order a host says it.
fn asked(arrived: &sink::Message) {
    let sorted = |line: &str| {
        let mut words: Vec<_> = line.split(' ').collect();
        words.sort_unstable();
        words.join(" ")
    };
    assert_eq!(
        sorted(&arrived.mail),
        "<alice@local.example> ENVID=QQ+20314159 RET=HDRS"
    );
    let mut recipients: Vec<_> = arrived.recipients.iter().map(|line| sorted(line)).collect();
    recipients.sort_unstable();
    assert_eq!(
        recipients,
        [
            "<bob@hop.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob+2Bx@hop.example",
            "<carol@hop.example> NOTIFY=NEVER",
        ]
    );
}

#[test]
fn what_is_asked_goes_through_us_to_exim_and_on() {
    let Some(setup) = Setup::new("reports asked for through us and Exim") else {
        return;
    };
    let last = Sink::offering("DSN");
    let mut exim = setup.with(DSN).start();
    let service = before(&exim, "");
    exim.route("hop.example", last.address());
    send(service.address());
    asked(&last.next());
    exim.wait_for("Completed");
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

#[test]
fn what_is_asked_goes_through_exim_to_us_and_on() {
    let Some(setup) = Setup::new("reports asked for through Exim and us") else {
        return;
    };
    let last = Sink::offering("DSN");
    let service = service::Setup::new()
        .domain("hop.example", &last.next_hop())
        .stored()
        .start();
    let mut exim = setup.with(DSN).start();
    exim.route("hop.example", service.address());
    send(exim.address());
    asked(&last.next());
    exim.wait_for("Completed");
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

#[test]
fn where_exim_has_the_mailbox_its_report_comes_back() {
    let Some(setup) = Setup::new("Exim's own reports") else {
        return;
    };
    let mut exim = setup.with(DSN).start();
    let mut service = before(&exim, "");
    send(service.address());
    assert_eq!(exim.delivered(2).len(), 2);
    service.wait_for("next_hop=maildir:");
    // Exim gives back in xtext what came in xtext (RFC 3461 §4.4 would have it decoded).
    let report = report(&service.delivered())
        .replace("-ID: QQ+20314159", "-Id: QQ 314159")
        .replace("Bob+2Bx@", "Bob+x@");
    let by = "\nReporting-MTA: dns; exim.test.example\n";
    check(&report, by, "\nAction: delivered\n");
    // The message, and the report.
    exim.wait_for("Completed");
    exim.wait_for("Completed");
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

#[test]
fn where_exim_makes_no_reports_we_say_that_it_has_the_message() {
    let Some(setup) = Setup::new("reports where Exim makes none") else {
        return;
    };
    // Debian's, and its own, default.
    let mut exim = setup.start();
    let mut service = before(&exim, "");
    send(service.address());
    let report = reported(&mut service, &[]);
    let by = "\nReporting-MTA: dns; mx.example.org\n";
    check(&report, by, "\nAction: relayed\n");
    assert_eq!(exim.delivered(2).len(), 2);
    exim.wait_for("Completed");
    service.stop();
}

#[test]
fn a_recipient_that_exim_refuses_is_reported_and_the_other_delivered() {
    let Some(setup) = Setup::new("Exim as a next hop that refuses a recipient") else {
        return;
    };
    let mut exim = setup
        .at_recipient("deny local_parts = gone\n message = 550 5.1.6 moved without\\na word")
        .start();
    let mut service = before(&exim, "");
    from_alice(&service, &["gone@hop.example", "bob@hop.example"]);
    let report = reported(
        &mut service,
        &[
            "Reporting-MTA: dns; mx.example.org\n",
            "Final-Recipient: rfc822; gone@hop.example\n",
            "Action: failed\n",
            "Status: 5.1.6\n",
            "Diagnostic-Code: smtp; 550 5.1.6 moved without a word\n",
        ],
    );
    assert!(!report.contains("bob@hop.example"), "{report}");
    assert_eq!(exim.delivered(1).len(), 1);
    exim.wait_for("Completed");
    service.stop();
}

/// Each recipient has a last word of its own there (PRDR).
#[test]
fn a_recipient_whose_content_exim_refuses_is_reported_and_the_other_delivered() {
    let Some(setup) = Setup::new("Exim as a next hop that refuses content of a recipient") else {
        return;
    };
    let mut exim = setup
        .with("prdr_enable\nacl_smtp_data_prdr = each")
        .at_data("accept\neach:\ndeny local_parts = strict\n message = 550 5.6.0 not for me")
        .start();
    let mut service = before(&exim, "");
    from_alice(&service, &["strict@hop.example", "bob@hop.example"]);
    let report = reported(
        &mut service,
        &[
            "Final-Recipient: rfc822; strict@hop.example\n",
            "Action: failed\n",
            "Status: 5.6.0\n",
            "Diagnostic-Code: smtp; 550 5.6.0 not for me\n",
        ],
    );
    assert!(!report.contains("bob@hop.example"), "{report}");
    assert_eq!(exim.delivered(1).len(), 1);
    exim.wait_for("Completed");
    service.stop();
}

#[test]
fn a_message_that_exim_refuses_is_reported() {
    let Some(setup) = Setup::new("Exim as a next hop that refuses a message") else {
        return;
    };
    // Without an enhanced code of its own: Exim adds none.
    let exim = setup.at_data("deny message = not this one").start();
    let mut service = before(&exim, "");
    from_alice(&service, &["carol@hop.example", "bob@hop.example"]);
    reported(
        &mut service,
        &[
            "Final-Recipient: rfc822; carol@hop.example\n",
            "Final-Recipient: rfc822; bob@hop.example\n",
            "Action: failed\n",
            "Status: 5.0.0\n",
            "Diagnostic-Code: smtp; 550 not this one\n",
        ],
    );
    service.stop();
}

/// The sender hears that one recipient waits; it is tried again until it is taken.
#[test]
fn a_recipient_that_exim_defers_is_reported_delayed_and_then_delivered() {
    let Some(setup) = Setup::new("Exim as a next hop that defers a recipient") else {
        return;
    };
    let mut exim = setup
        .at_recipient(
            "defer local_parts = later\n condition = ${if exists{FOLDER/later}}\n \
             message = 450 4.2.1 come back",
        )
        .start();
    fs::write(exim.file("later"), "").unwrap();
    let mut service = before(
        &exim,
        "[retry]\nfirst = \"100ms\"\nlongest = \"1s\"\ndelay_notice = \"200ms\"",
    );
    from_alice(&service, &["later@hop.example", "bob@hop.example"]);
    let report = reported(
        &mut service,
        &[
            "Final-Recipient: rfc822; later@hop.example\n",
            "Action: delayed\n",
            "Status: 4.2.1\n",
            "Diagnostic-Code: smtp; 450 4.2.1 come back\n",
            "Will-Retry-Until: ",
        ],
    );
    assert!(!report.contains("bob@hop.example"), "{report}");
    fs::remove_file(exim.file("later")).unwrap();
    assert_eq!(exim.delivered(2).len(), 2);
    exim.wait_for("Completed");
    exim.wait_for("Completed");
    service.stop();
}

/// Exim understands our refusal, and reports it to the reverse-path: through us, from the null
/// reverse-path.
#[test]
fn exim_takes_a_refusal_and_reports_it() {
    let Some(setup) = Setup::new("Exim as a client that is refused") else {
        return;
    };
    let mut service = service::Setup::new().start();
    let mut exim = setup.start();
    exim.route("*.example", service.address());
    let recipients = ["a@local.example", "b@elsewhere.example"];
    let message = Message::plain("alice@local.example", &recipients);
    send_all(exim.address(), &[message]);
    let refused = exim.wait_for(" ** ");
    assert!(refused.contains("b@elsewhere.example"), "{refused}");
    assert!(refused.contains("550 5.7.1 "), "{refused}");
    exim.wait_for("Completed");
    exim.wait_for("Completed");
    service.wait_for_each(2, "outcome=\"delivered\"");
    let mailbox = service.delivered();
    assert_eq!(mailbox.len(), 2);
    let report = report(&mailbox);
    for line in [
        "Return-Path: <>\n",
        "\nReporting-MTA: dns; exim.test.example\n",
        "\nFinal-Recipient: rfc822;b@elsewhere.example\n",
        "\nAction: failed\n",
        "smtp; 550 5.7.1 ",
    ] {
        assert!(report.contains(line), "{line:?}\n{report}");
    }
    service.stop();
}
