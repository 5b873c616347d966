//! Other people's mail (`../shared/testdata`, not a part of this repository) through the header's
//! filter.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::message::HeaderFilter;

/// All messages below a folder; none if it is not there.
fn messages(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| match path.extension() {
        _ if path.is_dir() => messages(&path),
        Some(end) if end == "eml" => vec![path],
        _ => Vec::new(),
    });
    found.collect()
}

/// With the line ends that content has on its way through.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|octet| *octet == b'\n').map(|line| {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        [bare.strip_suffix(b"\r").unwrap_or(bare), b"\r\n"].concat()
    });
    lines.flatten().collect()
}

fn pass(content: &[u8], step: usize, ours: &Domain) -> (Vec<u8>, usize) {
    let mut filter = HeaderFilter::default();
    let mut passed = Vec::new();
    for piece in content.chunks(step) {
        passed.extend(filter.pass(piece.to_vec(), ours));
    }
    passed.extend(filter.finish(ours));
    (passed, filter.removed())
}

#[test]
fn other_peoples_mail_goes_through_unchanged_unless_it_claims_to_be_ours() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/testdata");
    let messages = messages(Path::new(shared));
    if messages.is_empty() {
        println!("left out: {shared} is not there");
        return;
    }
    let stranger = Domain::parse("mx.vouchsafe.example").unwrap();
    let provider = Domain::parse("mx.google.com").unwrap();
    let mut claims = 0;
    for path in &messages {
        let content = with_crlf(&std::fs::read(path).unwrap());
        for step in [1, 7, 2048, content.len().max(1)] {
            let (passed, removed) = pass(&content, step, &stranger);
            assert!(
                passed == content && removed == 0,
                "{} in {step}",
                path.display()
            );
        }
        let (passed, removed) = pass(&content, 2048, &provider);
        assert_eq!(passed == content, removed == 0, "{}", path.display());
        let header = |octets: &[u8]| {
            let end = octets.windows(4).position(|four| four == b"\r\n\r\n");
            String::from_utf8_lossy(&octets[..end.unwrap_or(octets.len())]).to_lowercase()
        };
        let field = "\r\nauthentication-results: mx.google.com";
        assert!(
            !format!("\r\n{}", header(&passed)).contains(field),
            "{}",
            path.display()
        );
        claims += removed;
    }
    println!(
        "{} messages, {claims} fields of another receiver's",
        messages.len()
    );
    assert!(messages.len() > 100 && claims > 10, "{claims}");
}
