//! An end for each recipient (PRDR, draft-hall-prdr-00), with Exim as the client that asks for it and as the next
//! hop that gives it: nobody is written to, and nothing is queued, for what was refused so.

use std::net::SocketAddr;

use super::super::client::Client;
use super::super::interop::exim;
use super::hop::{Hop, Speaks, To};
use super::unheard::assert_report;
use super::{
    CONTENT, KNOWN, UNKNOWN, World, assert_bland, assert_whole, nothing_queued, send, stuffed,
};

/// Exim, which refuses the content of `strict` alone; where it cannot say so, that of all.
fn particular(left_out: &str) -> Option<exim::Exim> {
    let setup = exim::Setup::new(left_out)?
        .with("prdr_enable\nacl_smtp_data_prdr = each")
        .at_data(
            "deny !condition = $prdr_requested\n \
             condition = ${if match{$recipients}{strict@}}\n \
             message = 554 5.6.0 inner words\n\
             accept\n\
             each:\n\
             deny local_parts = strict\n message = 550 5.6.0 inner words",
        );
    Some(setup.start())
}

const TWO: [&str; 2] = ["bob@hop.example", "strict@hop.example"];

/// A message whose end is asked for each recipient; all that is said to its end.
fn send_for_each(server: SocketAddr, reverse_path: &str, recipients: &[&str]) -> Vec<String> {
    let mut client = Client::greeted(server);
    let offered = client.expect("EHLO client.example", 250);
    assert!(offered.contains("PRDR"), "{offered}");
    client.expect(&format!("MAIL FROM:<{reverse_path}> PRDR"), 250);
    for recipient in recipients {
        client.expect(&format!("RCPT TO:<{recipient}>"), 250);
    }
    client.expect("DATA", 354);
    client.send(stuffed(CONTENT));
    let mut said = vec![client.say(".")];
    if said[0].starts_with("353 ") {
        // One for each, and one for all.
        said.extend(recipients.iter().map(|_| client.reply()));
        said.push(client.reply());
    }
    client.expect("QUIT", 221);
    said
}

/// Each begins so, and says nothing of who is behind us.
fn assert_said(said: &[String], each: &[&str]) {
    assert_eq!(said.len(), each.len(), "{said:?}");
    for (reply, begins) in said.iter().zip(each) {
        assert_bland(reply, begins);
    }
}

#[test]
fn exim_refuses_one_of_two_and_whoever_asked_hears_it() {
    let Some(mut last) = particular("Exim as a next hop that answers for each recipient") else {
        return;
    };
    let world = World::start();
    let service = world.front(&last.next_hop()).start();
    for (to, each) in [
        (
            &TWO[..],
            &["353 ", "250 2.0.0 ", "550 5.6.0 ", "250 2.0.0 "][..],
        ),
        // Where both end so there is one reply; and a recipient that is given twice is had once.
        (&["bob@hop.example", "carol@hop.example"], &["250 2.0.0 "]),
        (&["bob@hop.example", "bob@hop.example"], &["250 2.0.0 "]),
    ] {
        for sender in [UNKNOWN, KNOWN, ""] {
            assert_said(&send_for_each(service.address(), sender, to), each);
        }
    }
    nothing_queued([&service]);
    for kept in last.delivered(3 + 6 + 3) {
        assert_whole(&kept, CONTENT);
    }
    // Whoever does not ask, and hears no reports, is told one thing for both; Exim is not asked for more.
    let told = send(service.address(), UNKNOWN, &TWO);
    assert_bland(&told.end, "554 5.6.0 ");
    nothing_queued([&service]);
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

#[test]
fn whoever_does_not_ask_hears_of_it_by_a_report_if_he_is_proven() {
    let Some(mut last) = particular("Exim's answer for each recipient, and a report") else {
        return;
    };
    let world = World::start();
    let elsewhere = Hop::willing();
    let relay = format!("[relay]\nnext_hop = \"{}\"", elsewhere.next_hop());
    let service = world.front(&last.next_hop()).with(&relay).start();
    let told = send(service.address(), KNOWN, &TWO);
    assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
    assert_report(&elsewhere, "strict@hop.example", "5.6.0");
    assert_eq!(last.delivered(1).len(), 1);
    service.stop();
}

#[test]
fn exim_asks_and_hears_for_each() {
    let left_out = "Exim before us and behind us, with an answer for each recipient";
    let Some(last) = particular(left_out) else {
        return;
    };
    let Some(first) = exim::Setup::new(left_out) else {
        return;
    };
    let world = World::start();
    let service = world.front(&last.next_hop()).start();
    let (mut last, mut first) = (last, first.start());
    first.route("hop.example", service.address());
    let told = send(first.address(), UNKNOWN, &TWO);
    assert!(told.end.starts_with("250 "), "{told:?}");
    // In whatever order it says so.
    let mut said = Vec::new();
    while said.len() < 2 {
        let line = first.wait_for("@hop.example ");
        if line.contains(" => ") || line.contains(" ** ") {
            said.push(line);
        }
    }
    said.sort_by_key(|line| line.contains(" ** "));
    assert!(
        said[0].contains(" => bob@") && said[0].contains(" PRDR"),
        "{said:?}"
    );
    assert!(
        said[1].contains(" ** strict@") && said[1].contains("550 5.6.0 "),
        "{said:?}"
    );
    assert_eq!(last.delivered(1).len(), 1);
    nothing_queued([&service]);
    let log = service.stop();
    assert!(!log.contains("report to the reverse-path"), "{log}");
}

/// Two domains behind two next hops, for one who is not proven: one transaction, two ends.
#[test]
fn next_hops_end_differently_in_one_transaction_of_anybody() {
    let world = World::start();
    for (last_word, own) in [
        ("554 5.7.1 inner words", "550 5.7.1 "),
        ("452 4.2.2 inner words", "452 4.2.2 "),
        ("421 4.3.2 inner words", "451 4.4.1 "),
    ] {
        let first = Hop::willing();
        let second = Hop::start(Speaks::Smtp, move |to, _| match to {
            To::Mail | To::Recipient => String::from("250 2.1.5 ok"),
            To::End => String::from(last_word),
        });
        let service = world
            .front(&first.next_hop())
            .domain("other.example", &second.next_hop())
            .start();
        let both = ["carol@other.example", "bob@hop.example"];
        let said = send_for_each(service.address(), UNKNOWN, &both);
        assert_said(&said, &["353 ", own, "250 2.0.0 ", "250 2.0.0 "]);
        assert_eq!(first.next().recipients, ["bob@hop.example"]);
        // Without it the second comes in a transaction of its own.
        let told = send(service.address(), UNKNOWN, &both);
        assert!(told.recipients[1].starts_with("452 4.5.3 "), "{told:?}");
        nothing_queued([&service]);
        let log = service.stop();
        assert!(!log.contains("report to the reverse-path"), "{log}");
        assert!(first.rest().is_empty() && second.rest().is_empty());
    }
}
