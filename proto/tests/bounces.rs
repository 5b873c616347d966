//! Bounces of other people's mail systems (`../shared/testdata/dsn`, not a part of this repository): the
//! message that they are about is found, and nothing else is taken for a bounce.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use vouchsafe_proto::dsn::recognise::{Sign, recognise};

/// The folder, and what is expected of each file in it, if it lies beside the checkout.
fn expected() -> Option<(&'static Path, Map<String, Value>)> {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/testdata/dsn"
    ));
    let Ok(text) = std::fs::read(folder.join("expected.json")) else {
        let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!in_ci, "shared/testdata is not there");
        println!("not run: shared/testdata is not beside the checkout");
        return None;
    };
    Some((folder, serde_json::from_slice(&text).unwrap()))
}

/// With the line ends that content has on the wire.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|octet| *octet == b'\n').map(|line| {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        [bare.strip_suffix(b"\r").unwrap_or(bare), b"\r\n"].concat()
    });
    lines.flatten().collect()
}

/// A list of texts in small letters.
fn list(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap().to_lowercase())
        .collect()
}

/// So many of so many.
#[derive(Debug, Default)]
struct Share {
    found: usize,
    of: usize,
}

impl Share {
    fn count(&mut self, name: &str, what: &str, found: bool) {
        self.of += 1;
        self.found += usize::from(found);
        if !found {
            println!("{name}: no {what}");
        }
    }

    /// At least so many of a hundred.
    fn is_at_least(&self, percent: usize) -> bool {
        self.of > 0 && self.found * 100 >= self.of * percent
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn of_other_mail_only_what_is_a_delivery_report_is_a_bounce() {
    let Some((folder, _)) = expected() else {
        return;
    };
    let files = files(&folder.join("../mail"));
    let mut reports = 0;
    for path in &files {
        let message = std::fs::read(path).unwrap();
        for null_reverse_path in [false, true] {
            let Some(bounce) = recognise(&message, null_reverse_path) else {
                continue;
            };
            assert_eq!(bounce.sign, Sign::Report, "{}", path.display());
            let text = String::from_utf8_lossy(&message).to_lowercase();
            assert!(
                text.contains("message/delivery-status"),
                "{}",
                path.display()
            );
            reports += 1;
        }
    }
    println!("{reports} of twice {} messages", files.len());
    assert!(files.len() > 400 && reports < 20);
}

#[test]
fn real_bounces_name_the_message_that_they_are_about_and_nothing_else_is_one() {
    let Some((folder, expected)) = expected() else {
        return;
    };
    let (mut bounces, mut firm, mut recipients) =
        (Share::default(), Share::default(), Share::default());
    for (name, about) in &expected {
        let message = std::fs::read(folder.join(name)).unwrap();
        let bounce = recognise(&message, false);
        assert_eq!(bounce, recognise(&with_crlf(&message), false), "{name}");
        if about["is_bounce"] == false {
            assert_eq!(bounce, None, "{name}");
            assert_eq!(recognise(&message, true), None, "{name}");
            continue;
        }
        bounces.count(name, "bounce", bounce.is_some());
        let id = bounce
            .as_ref()
            .and_then(|bounce| bounce.original_message_id.as_ref());
        if about["firm"] == true {
            let accepted = about["message_id"].as_array().unwrap();
            let is_right = id.is_some_and(|id| accepted.iter().any(|it| it == id.as_str()));
            firm.count(name, "Message-ID", is_right);
        }
        let named = bounce.map_or_else(Vec::new, |bounce| bounce.recipients);
        let named: Vec<_> = named.iter().map(|it| it.to_lowercase()).collect();
        let all = list(&about["recipients"])
            .iter()
            .all(|it| named.contains(it));
        recipients.count(name, "recipient", all);
    }
    println!("bounces {bounces:?}, firm Message-IDs {firm:?}, recipients {recipients:?}");
    assert!(firm.is_at_least(98), "{firm:?}");
    assert!(bounces.is_at_least(96), "{bounces:?}");
    assert!(recipients.is_at_least(95), "{recipients:?}");
}
