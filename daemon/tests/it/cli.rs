//! The command line: exit codes, help, the queue of a stopped service.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

/// Runs the binary.
pub fn vouchsafe(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output and standard error as text.
pub fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// A configuration file with its data folder, and whatever stands behind it.
pub fn configuration(tail: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let text = format!(
        "hostname = \"mx.example.org\"\ndata_dir = \"{}\"\n[[listen]]\naddress = \
         \"127.0.0.1:0\"\n[domains.\"example.org\"]\nnext_hop = \"smtp://192.0.2.1:25\"\n{tail}",
        data.display()
    );
    let file = folder.path().join("vouchsafe.toml");
    write(&file, &text);
    let file = file.to_str().unwrap().to_owned();
    (folder, file)
}

/// Writes a file of the test.
#[expect(clippy::disallowed_methods, reason = "a file of a test")]
pub fn write(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

#[test]
fn wrong_usage_ends_with_64() {
    for arguments in [
        &[][..],
        &["fly"],
        &["queue"],
        &["queue", "show"],
        &["queue", "show", "not-an-id"],
        &["config", "check", "--format", "xml"],
        &["queue", "list", "--nonsense"],
    ] {
        let output = vouchsafe(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn help_and_version_end_with_0() {
    let (help, _) = texts(&vouchsafe(&["--help"]));
    for word in ["config", "queue", "Examples:", "sysexits"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    let version = vouchsafe(&["--version"]);
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(
        texts(&version).0,
        format!("vouchsafe {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn a_queue_that_is_not_there_ends_with_66() {
    let (_folder, file) = configuration("");
    for arguments in [
        &["queue", "list", "--config", &file][..],
        &["queue", "show", "0123456789ABCDEFGHJK", "--config", &file],
    ] {
        let output = vouchsafe(arguments);
        assert_eq!(output.status.code(), Some(66), "{arguments:?}");
        assert!(texts(&output).1.contains("there is no queue here"));
    }
    let output = vouchsafe(&["queue", "list", "--config", "/no/such/file"]);
    assert_eq!(output.status.code(), Some(66));
}

#[test]
fn the_queue_of_a_stopped_service_can_be_looked_at_in_the_middle_of_an_edit() {
    let (folder, file) = configuration("nonsense = 1\n");
    let data = folder.path().join("data");
    drop(vouchsafe_spool::LocalSpool::open(&data, vouchsafe_spool::Options::default()).unwrap());

    // A process that another test is starting shares our open files until its exec, and so holds
    // the lock of the queue a moment longer than we do.
    let output = loop {
        let output = vouchsafe(&["queue", "list", "--config", &file]);
        if output.status.code() != Some(75) {
            break output;
        }
    };
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert_eq!(out, "the queue is empty\n");
    assert!(err.contains("no server answers"), "{err}");

    let json = vouchsafe(&["queue", "list", "--config", &file, "--format", "json"]);
    assert_eq!(
        (json.status.code(), json.stdout.as_slice()),
        (Some(0), &b""[..])
    );

    let id = "0123456789ABCDEFGHJK";
    let show = vouchsafe(&["queue", "show", id, "--config", &file]);
    assert_eq!(show.status.code(), Some(66));
    assert!(
        texts(&show)
            .1
            .contains(&format!("message {id} is not in the queue"))
    );
}
