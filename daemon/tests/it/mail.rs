//! Real mail through the relay: what comes out behind our trace field is what went in.
//!
//! The corpus (`../shared/testdata/mail`, not ours) is list mail, spam, broken MIME, 8-bit and odd
//! folding. Files are sent as a mail client would: every line ended by CRLF. What is refused is
//! known beforehand by one rule, that of RFC 5321 §2.3.8: a CR that ends no line, or a NUL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::client::Client;
use super::harness;
use super::service::Setup;
use super::sink::{Sink, split_trace};

/// Where the corpus is.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/mail")
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The message with its lines ended by CRLF; a CR elsewhere stays.
fn with_line_ends(file: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(file.len() + file.len() / 32);
    for line in file.split_inclusive(|octet| *octet == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        message.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        message.extend_from_slice(b"\r\n");
    }
    message
}

/// Why a message may not pass, if it may not.
fn fault(message: &[u8]) -> Option<&'static str> {
    let bare = |at: usize| message[at] == b'\r' && message.get(at + 1) != Some(&b'\n');
    if (0..message.len()).any(bare) {
        Some("a bare CR")
    } else if message.contains(&0) {
        Some("a NUL")
    } else {
        None
    }
}

/// The message as DATA carries it, up to the final dot.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire
}

#[test]
fn real_mail_passes_octet_for_octet() {
    if !harness::installed(&corpus(), "real mail through the relay") {
        return;
    }
    let sink = Sink::start();
    let service = Setup::new()
        .domains(&["local.example"], &sink.next_hop())
        .stored()
        .start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    let mut sent = BTreeMap::new();
    let mut refused = Vec::new();
    for path in files(&corpus()) {
        let name = path.strip_prefix(corpus()).unwrap().display().to_string();
        let message = with_line_ends(&std::fs::read(&path).unwrap());
        client.expect("MAIL FROM:<someone@sender.example> BODY=8BITMIME", 250);
        client.expect("RCPT TO:<a@local.example>", 250);
        client.expect("DATA", 354);
        client.send(stuffed(&message));
        let reply = client.say(".");
        match fault(&message) {
            None => {
                let id = reply.strip_prefix("250 2.0.0 queued as ");
                let id = id.unwrap_or_else(|| panic!("{name}: {reply}"));
                sent.insert(String::from(id), (name, message));
            }
            Some(fault) => {
                assert!(reply.starts_with("55"), "{name}: {reply}");
                refused.push(format!("{name}: {fault}: {reply}"));
            }
        }
    }
    println!("{} passed; refused: {refused:#?}", sent.len());
    assert!(sent.len() > 400, "{} messages", sent.len());
    for _ in 0..sent.len() {
        let content = sink.next().content;
        let (id, behind) = identified(&content);
        let (name, message) = sent.remove(&id).unwrap();
        assert!(behind == message, "{name} has changed on its way");
    }
    service.stop();
}

/// The queue id in our trace fields, and what stands behind them.
fn identified(content: &[u8]) -> (String, Vec<u8>) {
    let (trace, behind) = split_trace(content);
    let (_, received) = trace.rsplit_once("\r\nReceived: ").unwrap();
    let (_, id) = received.split_once(" id ").unwrap();
    (id.split([' ', ';']).next().unwrap().into(), behind)
}
