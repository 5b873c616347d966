//! `vouchsafe trace`: a message's life, told while it waits and after it has left.

use std::path::Path;
use std::process::{Command, Output};

use super::client::Client;
use super::service::Setup;
use super::sink::Sink;

fn trace(config: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .arg("trace")
        .args(more)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap()
}

#[test]
fn a_message_is_traced_to_its_end() {
    let setup = Setup::new();
    let config = setup.config();
    let mut service = setup.start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<someone@sender.example>", 250);
    client.expect("RCPT TO:<a@local.example>", 250);
    client.expect("RCPT TO:<b@local.example>", 250);
    client.expect("DATA", 354);
    let said = client.expect("Subject: followed\r\n\r\nhello\r\n.", 250);
    let id = said.split_whitespace().last().unwrap().to_owned();
    service.wait_for_each(2, "outcome=\"delivered\"");
    client.expect("QUIT", 221);
    let stranger = trace(&config, &["00000000000000000000"]);
    assert_eq!(stranger.status.code(), Some(66));
    // What it has noted is written by its end; the folder outlives it.
    let _folder = service.folder();
    service.stop();

    let told = trace(&config, &[&id]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(0), "{text}");
    for line in [
        "taken: <someone@sender.example> is unknown",
        "from 127.0.0.1 (client.example), ",
        "Received: from client.example",
        "Authentication-Results: mx.example.org",
        "attempt 1",
        "a@local.example: delivered",
        "b@local.example: delivered",
        "done: it left the queue",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    let json = trace(&config, &[&id, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["notes"][0]["event"], "accepted");
    assert_eq!(json["notes"][2]["event"], "gone");
    assert!(json["queued"].is_null());
}

#[test]
fn a_message_that_was_never_queued_is_traced_down_its_path() {
    let sink = Sink::start();
    let setup = Setup::new().domain("held.example", &sink.next_hop());
    let config = setup.config();
    let service = setup.start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<someone@sender.example>", 250);
    client.expect("RCPT TO:<a@held.example>", 250);
    client.expect("DATA", 354);
    let said = client.expect("Subject: held\r\n\r\nhello\r\n.", 250);
    assert!(said.contains("delivered onward"), "{said}");
    let id = said.split_whitespace().last().unwrap().to_owned();
    client.expect("QUIT", 221);
    sink.next();
    let _folder = service.folder();
    service.stop();

    let told = trace(&config, &[&id]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(0), "{text}");
    let path = format!("path to {}", sink.next_hop());
    let places = [
        &format!("{path}: recipient accepted, "),
        &format!("{path}: message delivered, "),
        "2.0.0, 250 ",
        "taken: <someone@sender.example> is unknown",
        "to a@held.example",
        "done: every next hop had it",
    ]
    .map(|line| {
        text.find(line)
            .unwrap_or_else(|| panic!("{line} in\n{text}"))
    });
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains("attempt"), "{text}");
}
