//! What a sender asks about reports (RFC 3461) goes through us from Postfix to Postfix, and through
//! two of us; where the next hop makes no reports, we do.

use super::super::client::Client;
use super::super::service::{self, Service};
use super::postfix::{Postfix, Setup};

/// Alice wants to hear of Bob's copy, and never of Carol's.
const MAIL: &str = "MAIL FROM:<alice@local.example> RET=HDRS ENVID=QQ+20314159";
const BOB: &str = "RCPT TO:<bob@hop.example> NOTIFY=SUCCESS ORCPT=rfc822;Bob+2Bx@hop.example";
const CAROL: &str = "RCPT TO:<carol@hop.example> NOTIFY=NEVER";

/// Sends it.
pub(super) fn send(server: std::net::SocketAddr) {
    let mut client = Client::greeted(server);
    client.expect("EHLO client.example", 250);
    for command in [MAIL, BOB, CAROL] {
        client.expect(command, 250);
    }
    client.expect("DATA", 354);
    client.send("From: alice@local.example\r\nSubject: lunch\r\n\r\nhello\r\n.\r\n");
    assert_eq!(client.code(), 250);
    client.expect("QUIT", 221);
}

/// Bob's and Carol's host. Its own reports go back by us.
fn last_hop(setup: Setup) -> Postfix {
    setup
        .file("transport", "")
        .with("transport_maps = texthash:$config_directory/transport")
        .start()
}

/// Us in front of it; Alice's mailbox is here.
fn before(hop: &Postfix) -> Service {
    let service = service::Setup::new()
        .domain("hop.example", &hop.next_hop())
        .stored()
        .start();
    let address = service.address();
    let back = format!("local.example smtp:[{}]:{}\n", address.ip(), address.port());
    hop.rewrite("transport", &back);
    service
}

/// The report in these messages.
pub(super) fn report(mailbox: &[Vec<u8>]) -> String {
    let texts = mailbox.iter().map(|kept| String::from_utf8_lossy(kept));
    let mut reports = texts.filter(|text| text.contains("delivery-status"));
    let report = reports.next().expect("a report").into_owned();
    assert_eq!(reports.next(), None, "only one");
    report
}

/// What any report on it must say.
pub(super) fn check(report: &str, by: &str, action: &str) {
    // Postfix leaves the blank behind a type away.
    let text = report
        .replace("rfc822;", "rfc822; ")
        .replace("rfc822;  ", "rfc822; ");
    for line in [
        "Return-Path: <>\n",
        by,
        "\nOriginal-Envelope-Id: QQ 314159\n",
        "\nOriginal-Recipient: rfc822; Bob+x@hop.example\n",
        "\nFinal-Recipient: rfc822; bob@hop.example\n",
        action,
        "\nSubject: lunch\n",
    ] {
        assert!(text.contains(line), "{line:?}\n{text}");
    }
    assert!(!text.contains("Recipient: rfc822; carol"), "{text}");
    assert!(!text.contains("\nhello\n"), "{text}");
}

#[test]
fn from_postfix_to_postfix_nothing_is_lost_of_what_was_asked() {
    let left_out = "reports asked for from Postfix through us to Postfix";
    let (Some(first), Some(last)) = (Setup::new(left_out), Setup::new(left_out)) else {
        return;
    };
    let mut hop = last_hop(last);
    let mut service = before(&hop);
    let address = service.address();
    let front = first
        .with(&format!(
            "virtual_mailbox_domains =\nrelayhost = [{}]:{}",
            address.ip(),
            address.port()
        ))
        .start();
    send(front.address());
    assert_eq!(hop.delivered(2).len(), 2);
    service.wait_for("next_hop=maildir:");
    let by = "\nReporting-MTA: dns; postfix.test.example\n";
    check(&report(&service.delivered()), by, "\nAction: delivered\n");
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

#[test]
fn where_postfix_makes_no_reports_we_say_that_it_has_the_message() {
    let Some(setup) = Setup::new("reports where Postfix makes none") else {
        return;
    };
    let mut hop = last_hop(setup.with("smtpd_discard_ehlo_keywords = dsn, silent-discard"));
    let mut service = before(&hop);
    send(service.address());
    assert_eq!(hop.delivered(2).len(), 2);
    service.wait_for("report to the reverse-path");
    service.wait_for("next_hop=maildir:");
    let by = "\nReporting-MTA: dns; mx.example.org\n";
    check(&report(&service.delivered()), by, "\nAction: relayed\n");
    service.stop();
}

#[test]
fn through_two_of_us_the_one_with_the_mailbox_reports() {
    let maildir = tempfile::tempdir().unwrap();
    let next_hop = format!("maildir:{}", maildir.path().join("box").display());
    let mut last = service::Setup::new()
        .domains(&["hop.example", "local.example"], &next_hop)
        .stored()
        .start();
    let edge = service::Setup::new()
        .domain("hop.example", &format!("smtp://{}", last.address()))
        .stored()
        .start();
    send(edge.address());
    last.wait_for("report to the reverse-path");
    last.wait_for("recipient=alice@local.example next_hop=maildir:");
    let mailbox = super::maildir(&maildir.path().join("box"));
    let by = "\nReporting-MTA: dns; mx.example.org\n";
    check(&report(&mailbox), by, "\nAction: delivered\n");
    last.stop();
    let log = edge.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}
