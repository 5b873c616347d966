//! `vouchsafe bounce parse`: what it prints, and how it ends.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::cli::{texts, vouchsafe, write};

/// A host's answer, as it comes by SMTP: without Return-Path.
const BOUNCE: &str = "\
From: MAILER-DAEMON@mx.example.net\r
To: alice@example.org\r
Subject: failure notice\r
\r
<bob@example.net>:\r
550 5.1.1 no such user \x1b[2J\r
\r
--- What you sent:\r
\r
Received: from laptop.example.org by out.example.org\r
Message-ID: <1234@out.example.org>\r
Date: Mon, 2 Nov 2026 09:59:59 +0100\x1b[2J\r
From: alice@example.org\r
To: bob@example.net\r
\r
Shall we meet?\r
";

#[test]
fn a_bounce_names_its_message_for_programs_and_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("message.eml");
    for message in [BOUNCE.to_owned(), BOUNCE.replace('\r', "")] {
        write(&file, &message);
        let path = file.to_str().unwrap();
        let output = vouchsafe(&["bounce", "parse", path, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = json!({
            "is_bounce": true,
            "recognised_by": "returned-message",
            "original_envelope_id": null,
            "original_message_id": "1234@out.example.org",
            "original_date": "Mon, 2 Nov 2026 09:59:59 +0100\u{1b}[2J",
            "recipients": ["bob@example.net"],
        });
        assert_eq!(told, expected);
        let (text, _) = texts(&vouchsafe(&["bounce", "parse", path]));
        for part in [
            "Bounce       returned-message\n",
            "Envelope id  not said\n",
            "Message-ID   1234@out.example.org\n",
            "Recipient    bob@example.net\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }
}

#[test]
fn what_is_no_bounce_is_said_to_be_none_and_that_is_no_failure() {
    let run = |message: &str, arguments: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
            .args(["bounce", "parse", "-"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(message.as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    };
    let output = run("From: bob@example.net\n\nHello.\n", &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(texts(&output).0, "Not a bounce\n");
    let output = run("", &["--format", "json"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["is_bounce"], json!(false));
    assert_eq!(told["original_message_id"], Value::Null);
    assert_eq!(told["recipients"], json!([]));

    // A host that writes in a person's name is believed only where nobody is its sender.
    let message = BOUNCE.replace("MAILER-DAEMON@", "robot@");
    assert_eq!(texts(&run(&message, &[])).0, "Not a bounce\n");
    let (told, _) = texts(&run(&message, &["--null-reverse-path"]));
    assert!(
        told.starts_with("Bounce       returned-message\n"),
        "{told}"
    );
}

#[test]
fn a_file_that_cannot_be_read_ends_with_66() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.eml");
    for path in [missing.as_path(), folder.path()] {
        let output = vouchsafe(&["bounce", "parse", path.to_str().unwrap()]);
        let (out, error) = texts(&output);
        assert_eq!(output.status.code(), Some(66), "{error}");
        assert!(out.is_empty() && error.contains("cannot read"), "{error}");
    }
    assert_eq!(vouchsafe(&["bounce", "parse"]).status.code(), Some(64));
    assert_eq!(vouchsafe(&["bounce"]).status.code(), Some(64));
}
