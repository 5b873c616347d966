//! Programs that read bounces for a living read ours: flufl.bounce, which is Mailman's, and Sisimai.
//! They are given every golden report, and must find what its own fields say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::harness;

/// The golden reports.
fn golden() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/dsn");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "eml"))
        .collect();
    files.sort();
    assert!(files.len() >= 40, "{}", files.len());
    files
}

/// What a report says of one recipient.
#[derive(Debug, Default)]
struct Told {
    original: Option<String>,
    recipient: String,
    action: String,
    status: String,
}

/// The fields of each recipient, as they stand.
fn told(report: &Path) -> Vec<Told> {
    let text = String::from_utf8(fs::read(report).unwrap()).unwrap();
    let mut all = Vec::new();
    let mut next = Told::default();
    for line in text.split("\r\n") {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        let address = || value.split_once("; ").unwrap().1.to_owned();
        match name {
            "Original-Recipient" => next.original = Some(address()),
            "Final-Recipient" => next.recipient = address(),
            "Action" => value.clone_into(&mut next.action),
            "Status" => {
                value.clone_into(&mut next.status);
                all.push(std::mem::take(&mut next));
            }
            _ => {}
        }
    }
    assert!(!all.is_empty(), "{}", report.display());
    all
}

/// What the program says of each report: one line each.
fn read_by(program: &str, arguments: &[&str], reports: &[PathBuf]) -> Vec<String> {
    let output = Command::new(program)
        .args(arguments)
        .args(reports)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(String::from)
        .collect();
    assert_eq!(lines.len(), reports.len(), "{said}");
    lines
}

/// True if a command ends well.
fn works(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// Prints `temporary/permanent`, the addresses of each joined by commas.
const FLUFL: &str = r#"
import email, sys
from flufl.bounce import all_failures
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        both = all_failures(email.message_from_binary_file(file))
    print("/".join(",".join(sorted(address.decode() for address in each)) for each in both))
"#;

#[test]
fn flufl_bounce_finds_who_failed_and_who_waits() {
    // Debian's own Python has Debian's modules.
    let python = "/usr/bin/python3";
    let is_there = works(python, &["-c", "import flufl.bounce"]);
    let reason = "python3-flufl.bounce is not installed";
    if !harness::there(is_there, reason, "flufl.bounce reads our reports") {
        return;
    }
    let reports = golden();
    let lines = read_by(python, &["-c", FLUFL], &reports);
    let mut found = 0;
    for (report, line) in reports.iter().zip(lines) {
        let told = told(report);
        // It knows no addresses of type utf-8, and takes an X.400 address for several.
        let foreign = told.iter().any(|told| {
            let original = told.original.as_deref().unwrap_or_default();
            original.starts_with('/') || !told.recipient.is_ascii() || told.recipient.contains('\\')
        });
        if foreign {
            continue;
        }
        let with = |action: &str| {
            let of: BTreeSet<&str> = told
                .iter()
                .filter(|told| told.action == action)
                .map(|told| told.original.as_ref().unwrap_or(&told.recipient).as_str())
                .collect();
            of.into_iter().collect::<Vec<_>>().join(",")
        };
        let expected = format!("{}/{}", with("delayed"), with("failed"));
        assert_eq!(line, expected, "{}", report.display());
        found += 1;
    }
    assert!(found >= 40, "{found}");
}

/// Prints `action recipient status` of each, joined by commas.
const SISIMAI: &str = r#"
use Sisimai;
for my $name (@ARGV) {
    my $found = Sisimai->make($name, delivered => 1) || [];
    print join(",", sort map {
        join(" ", $_->action, $_->recipient->address, $_->deliverystatus)
    } @$found), "\n";
}
"#;

#[test]
fn sisimai_finds_each_recipient_its_action_and_its_status() {
    let is_there = works("perl", &["-MSisimai", "-e", "1"]);
    let reason = "libsisimai-perl is not installed";
    if !harness::there(is_there, reason, "Sisimai reads our reports") {
        return;
    }
    let reports = golden();
    let lines = read_by("perl", &["-e", SISIMAI, "--"], &reports);
    let mut found = 0;
    for (report, line) in reports.iter().zip(lines) {
        let told = told(report);
        // It knows no message/global-delivery-status, and of addresses of type utf-8 the original.
        let foreign = |told: &Told| !told.recipient.is_ascii() || told.recipient.contains('\\');
        if told.iter().any(foreign) {
            continue;
        }
        let mut expected: Vec<_> = told
            .iter()
            .map(|told| format!("{} {} {}", told.action, told.recipient, told.status))
            .collect();
        expected.sort();
        assert_eq!(line, expected.join(","), "{}", report.display());
        found += 1;
    }
    assert!(found >= 40, "{found}");
}
