//! The published wrong ends of DATA: none ends the content, none is passed on, by DATA and by BDAT,
//! whole and split at every octet.

use std::path::Path;

use crate::machine::Machine;
use crate::script::Script;

/// The sequences, if the folder of other people's test material lies beside the checkout.
fn sequences() -> Option<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("shared/testdata/smtp/eod-sequences.json"));
    let Ok(text) = text else {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "shared/testdata is not there");
        println!("not run: shared/testdata is not beside the checkout");
        return None;
    };
    let file: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let listed = file["sequences"].as_array().expect("a list");
    Some(
        listed
            .iter()
            .map(|one| one.as_str().expect("a text").to_owned())
            .collect(),
    )
}

/// What a smuggler puts behind the wrong end, to be read as commands.
const SMUGGLED: &str = "MAIL FROM:<forged@example.net>\r\nRCPT TO:<b@example.org>\r\n\
                        DATA\r\nSubject: smuggled\r\n\r\nx";

/// Sends everything in two pieces, split behind `at` octets, and then NOOP.
fn replies(octets: &[u8], at: usize) -> Vec<String> {
    let mut machine = Machine::new(&Script::default());
    machine.send(&[b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\n"]);
    machine.heard();
    let (front, back) = octets.split_at(at);
    machine.send(&[front, back, b"NOOP\r\n"]);
    assert!(machine.queued().is_empty(), "passed on: {octets:?}");
    let heard = machine.heard();
    machine.send(&[b"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nclean\r\n.\r\n"]);
    assert_eq!(machine.queued().len(), 1, "the session goes on");
    machine.end();
    heard
}

#[test]
fn no_wrong_end_ends_data() {
    for sequence in sequences().unwrap_or_default() {
        let octets = format!("DATA\r\nSubject: x\r\n\r\nfirst{sequence}{SMUGGLED}\r\n.\r\n");
        for at in 0..=octets.len() {
            let heard = replies(octets.as_bytes(), at);
            let codes: Vec<_> = heard.iter().map(|line| &line[..9]).collect();
            assert_eq!(
                codes,
                ["354 end d", "550 5.6.0", "250 2.0.0"],
                "{sequence:?}"
            );
        }
    }
}

#[test]
fn no_wrong_end_passes_by_bdat() {
    for sequence in sequences().unwrap_or_default() {
        let content = format!("Subject: x\r\n\r\nfirst{sequence}{SMUGGLED}\r\n.\r\n");
        let octets = format!("BDAT {} LAST\r\n{content}", content.len());
        for at in 0..=octets.len() {
            let heard = replies(octets.as_bytes(), at);
            let codes: Vec<_> = heard.iter().map(|line| &line[..9]).collect();
            assert_eq!(codes, ["550 5.6.0", "250 2.0.0"], "{sequence:?}");
        }
        // Cut into two chunks at every octet of the sequence and its neighbours.
        for cut in 18..=20 + sequence.len() {
            let (front, back) = content.split_at(cut);
            let octets = format!(
                "BDAT {}\r\n{front}BDAT {} LAST\r\n{back}RSET\r\n",
                front.len(),
                back.len()
            );
            let heard = replies(octets.as_bytes(), 0);
            let refused = heard
                .iter()
                .filter(|line| line.starts_with("550 5.6.0"))
                .count();
            assert_eq!(refused, 1, "{sequence:?} {heard:?}");
        }
    }
}
