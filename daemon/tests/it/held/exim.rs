//! Exim's past mistakes with paths that it holds open (its changelog, cut-through delivery): one test named
//! after each.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;

use super::super::cli::{texts, vouchsafe};
use super::super::client::Client;
use super::super::service::{PATIENCE, Service};
use super::hop::{Hop, Speaks, To};
use super::{CONTENT, KNOWN, UNKNOWN, World, assert_whole, begun, nothing_queued, send, stuffed};

/// Has all tried at once that is queued for the next hop: nothing is.
fn try_the_queue(service: &Service) {
    let config = service.folder().path().join("vouchsafe.toml");
    let config = config.display().to_string();
    let output = vouchsafe(&["queue", "retry", "--domain", "hop.example", "-c", &config]);
    let (out, err) = texts(&output);
    assert!(!output.status.success(), "{out}{err}");
    assert!(out.contains("no message is meant"), "{out}{err}");
}

/// A message that was being passed on lay in the spool, unlocked for a moment: a queue runner
/// found it and delivered it once more.
#[test]
fn duplicates_by_an_unlocked_spool_window() {
    let world = World::start();
    let (arrived, at_the_end) = channel();
    let (send_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let hop = Hop::start(Speaks::Smtp, move |to, _| {
        if to == To::End {
            arrived.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
        }
        String::from("250 2.0.0 ok")
    });
    let service = world.front(&hop.next_hop()).start();
    // The one has a draft, the other has none.
    for sender in [KNOWN, UNKNOWN] {
        let mut client = begun(service.address(), sender);
        client.send([&stuffed(CONTENT)[..], b".\r\n"].concat());
        at_the_end.recv_timeout(PATIENCE).unwrap();
        nothing_queued([&service]);
        try_the_queue(&service);
        send_on.send(()).unwrap();
        assert_eq!(client.code(), 250);
        nothing_queued([&service]);
        try_the_queue(&service);
        assert_whole(&hop.next().content, CONTENT);
    }
    service.stop();
    assert!(hop.rest().is_empty());
    assert_eq!(hop.connections(), 1, "nobody else has called");
}

/// A connection over which a recipient had only been verified carried the next message, and its
/// conversation was out of step.
#[test]
fn a_corrupted_conversation_after_a_verify_connection_is_reused() {
    let world = World::start();
    let hop = Hop::start(Speaks::Smtp, |to, address| {
        let refused = to == To::Recipient && address.starts_with("gone@");
        String::from(if refused {
            "550 5.1.1 no"
        } else {
            "250 2.0.0 ok"
        })
    });
    let service = world.front(&hop.next_hop()).start();
    for asked in ["bob@hop.example", "gone@hop.example"] {
        for leaves in ["RSET", "EHLO client.example", "QUIT", ""] {
            let mut client = Client::greeted(service.address());
            client.expect("EHLO client.example", 250);
            client.expect(&format!("MAIL FROM:<{UNKNOWN}>"), 250);
            let code = if asked.starts_with("gone") { 550 } else { 250 };
            client.expect(&format!("RCPT TO:<{asked}>"), code);
            if !leaves.is_empty() {
                let code = if leaves == "QUIT" { 221 } else { 250 };
                client.expect(leaves, code);
            }
            drop(client);
            let told = send(service.address(), UNKNOWN, &["ann@hop.example"]);
            assert!(told.end.starts_with("250 "), "{asked} {leaves}: {told:?}");
            let message = hop.next();
            assert_eq!(message.recipients, ["ann@hop.example"]);
            assert_whole(&message.content, CONTENT);
        }
    }
    assert!(hop.rest().is_empty());
    // Who goes without a word may be seen to go only when the next one has come.
    assert!(hop.connections() <= 3, "{}", hop.connections());
    service.stop();
}

/// A lone dot in content never truncates it, on either side.
#[test]
fn a_lone_dot_truncating_mail() {
    let world = World::start();
    let hop = Hop::willing();
    let service = world.front(&hop.next_hop()).start();
    let content = b"Subject: dots\r\n\r\n.\r\n..\r\n.\r\n.a\r\n\r\n.\r\n";
    for cut in 1..content.len() {
        let mut client = begun(service.address(), UNKNOWN);
        let wire = stuffed(content);
        // In two pieces, wherever they part.
        let (first, second) = wire.split_at(cut.min(wire.len()));
        client.send(first);
        client.send(second);
        client.expect(".", 250);
        assert_whole(&hop.next().content, content);
    }
    service.stop();
}

/// Silence behind the final dot is for now, and never a refusal.
#[test]
fn a_final_dot_timeout_that_must_be_450() {
    let world = World::start();
    let calls = AtomicU32::new(0);
    let (send_on, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let hop = Hop::start(Speaks::Smtp, move |to, _| {
        // The first two are never answered within the test.
        if to == To::End && calls.fetch_add(1, Ordering::AcqRel) < 2 {
            let _ = wait.lock().unwrap().recv();
        }
        String::from("250 2.0.0 ok")
    });
    let service = world
        .front(&hop.next_hop())
        .with("[delivery]\ncompletion_timeout = \"200ms\"")
        .start();
    let told = send(service.address(), UNKNOWN, &["bob@hop.example"]);
    assert!(told.end.starts_with("451 "), "{told:?}");
    nothing_queued([&service]);
    // Who is authorised need not send again.
    let told = send(service.address(), KNOWN, &["bob@hop.example"]);
    assert!(told.end.starts_with("250 2.0.0 queued as "), "{told:?}");
    assert_whole(&hop.next().content, CONTENT);
    drop(send_on);
    service.stop();
}
