//! Dovecot is our next hop, by LMTP (RFC 2033): a reply for each recipient.

use super::super::service::Setup;
use super::dovecot::Dovecot;
use super::{Message, arrived, send_all};

/// A service whose domain `hop.example` is behind Dovecot.
fn in_front_of(next_hop: &str) -> Setup {
    Setup::new().domain("hop.example", next_hop)
}

#[test]
fn everything_arrives_over_tcp() {
    let Some(mut dovecot) = Dovecot::start("Dovecot as a next hop, LMTP over TCP") else {
        return;
    };
    let service = in_front_of(&dovecot.next_hop()).start();
    let messages = Message::hard_ones("someone@sender.example", "alice@hop.example");
    send_all(service.address(), &messages);
    for trace in arrived(&messages, &dovecot.delivered(messages.len())) {
        assert!(trace.contains("with LMTP"), "{trace}");
        assert!(trace.contains("by mx.example.org with ESMTP"), "{trace}");
    }
    service.stop();
}

#[test]
fn everything_arrives_over_a_unix_socket() {
    let Some(mut dovecot) = Dovecot::start("Dovecot as a next hop, LMTP on a Unix socket") else {
        return;
    };
    let service = in_front_of(&dovecot.next_hop_on_this_host()).start();
    let messages = Message::hard_ones("someone@sender.example", "alice@hop.example");
    send_all(service.address(), &messages);
    arrived(&messages, &dovecot.delivered(messages.len()));
    service.stop();
}

#[test]
fn an_unknown_mailbox_is_reported_and_the_other_delivered() {
    let Some(mut dovecot) = Dovecot::start("Dovecot as a next hop that refuses a recipient") else {
        return;
    };
    for next_hop in [dovecot.next_hop(), dovecot.next_hop_on_this_host()] {
        let mut service = in_front_of(&next_hop).stored().start();
        let recipients = ["nobody@hop.example", "alice@hop.example"];
        let message = Message::plain("alice@local.example", &recipients);
        send_all(service.address(), &[message]);
        dovecot.delivered(1);

        service.wait_for("report to the reverse-path");
        service.wait_for("next_hop=maildir:");
        let mailbox = service.delivered();
        assert_eq!(mailbox.len(), 1);
        let report = String::from_utf8_lossy(&mailbox[0]);
        assert!(
            report.contains("Final-Recipient: rfc822; nobody@hop.example\n"),
            "{report}"
        );
        assert!(report.contains("Status: 5.1.1\n"), "{report}");
        assert!(
            report.contains("Diagnostic-Code: smtp; 550 5.1.1 "),
            "{report}"
        );
        assert!(!report.contains("alice@hop.example"), "{report}");
        service.stop();
    }
}
