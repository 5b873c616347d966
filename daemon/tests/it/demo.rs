//! The demo: every story as it is told, a world that can be spoken to, and nothing left behind.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

use super::cli::texts;
use super::client::Client;

/// The command, with a folder for temporary files that is empty and its own.
fn demo(arguments: &[&str]) -> (Command, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null());
    (command, folder)
}

/// Nothing is left in the folder.
fn assert_empty(folder: &TempDir) {
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// A demo that runs, and what it prints.
struct Running {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// The next line that holds `text`, which must come before the end of the output.
    fn line_with(&mut self, text: &str) -> String {
        let mut lines = self.output.by_ref().map(Result::unwrap);
        let found = lines.find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line with {text:?}"))
    }

    /// Runs the next command that it offers and that holds `text`, as a shell would.
    fn offered(&mut self, text: &str) -> Output {
        let mut command = self.line_with(text);
        while command.ends_with('\\') {
            command.push('\n');
            command.push_str(&self.line_with(""));
        }
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(command).output().unwrap()
    }

    /// Sends it a signal.
    fn signal(&self, signal: &str) {
        let told = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(told.unwrap().success());
    }

    /// Sends it a signal, and gives its exit code.
    fn end_by(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        // What is still printed must not block it.
        self.output.by_ref().for_each(drop);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines of the stories, in their order.
const KEY_LINES: &[&str] = &[
    "1. A listed relay",
    "MAIL-FROM.bank.example.  MX  0 out.bank.example.",
    "verdict  authorised (host)",
    "| Subject: Your new account",
    "2. A forger",
    "S: 550 5.7.1 delivery not authorized: 127.0.66.6 is not a border relay of bank.example",
    "S: 503 5.5.1 ",
    "S: 451 4.5.1 session invalidated, send RSET",
    "verdict  repudiated (not_listed)",
    "3. A domain whose DNS fails",
    "S: 450 4.4.3 temporary DNS failure checking MAIL-FROM.broken.example",
    "verdict  tempfail (temporary)",
    "4. A domain that publishes nothing",
    "verdict  unknown (unpublished)",
    "5. A relay of the provider",
    "MAIL-FROM.shop.example.  MX  0 MAIL-FROM.isp.example.",
    "because  127.0.40.25 is a border relay of shop.example",
    "6. A next hop that is down, then up",
    "To           bob@branch.example.org: waiting, 4.4.1",
    "C: RCPT TO:<bob@branch.example.org>",
    "7. A next hop that refuses",
    "S: 550 5.1.1 no such user here",
    "C: MAIL FROM:<>",
    "C: RCPT TO:<alice@bank.example>",
    "| Action: failed",
    "| Diagnostic-Code: smtp; 550 5.1.1 no such user here",
    "C: RCPT TO:<ann@old.example.org>",
    "8. Three servers, and a mailbox that is not there",
    "C: RCPT TO:<gus@lab.example.org>",
    "S: 550 5.1.1 recipient refused",
    "C: RCPT TO:<fay@lab.example.org>",
    "S: 452 4.2.2 recipient not taken now",
    "S: 221 ",
    "verdict  unknown (unpublished)",
    "S: 550 5.1.1 gus moved out",
    "S: 452 4.2.2 fay has",
    "mx.example.org        the queue is empty",
    "campus.example.org    the queue is empty",
    "faculty.example.org   the queue is empty",
    "C: RCPT TO:<hal@lab.example.org>",
    "S: 250 2.0.0 delivered onward as ",
    "faculty.example.org   the queue is empty",
    ": recipient accepted, ",
    ": message delivered, ",
    "done: every next hop had it before 250 was said, and nothing was queued",
    "9. A forward that SPF would break",
    "C: RCPT TO:<ann@alumni.example>",
    "127.0.50.25 connects to",
    "S: 250 2.0.0 ",
    "x-mailfrom-mx=fail reason=not_listed",
    "spf=fail",
    "x-ledger=neutral reason=\"sent elsewhere\"",
    "10. A forged bounce",
    "S: 550 5.7.1 not in reply to anything sent from here",
    "S: 250 2.0.0 ",
    "C: RCPT TO:<alice@college.example>",
    "11. A replay",
    "C: RCPT TO:<bob@example.org>",
    "S: 250 2.0.0 ",
    "C: It is on Sunday, and costs 90 euros.",
    "S: 550 5.7.1 delivery not authorized: 127.0.66.6 is not a border relay of college.example",
    "12. Why the digest is not MD5",
    "| Lunch is at noon, table ",
    "| Please pay Eve ",
    "24 bits, harmless",
    "SHA-256, the other",
    "All twelve stories went as they are told.",
];

#[test]
fn the_demo_tells_every_story_as_it_is() {
    let (mut command, folder) = demo(&[]);
    let output = command.output().unwrap();
    let (told, errors) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{told}{errors}");
    assert_eq!(errors, "");
    let mut rest = told.as_str();
    for line in KEY_LINES {
        let Some((_, behind)) = rest.split_once(line) else {
            panic!("{line:?} is missing, or not in its place, in\n{told}");
        };
        rest = behind;
    }
    assert!(!told.contains('\u{1b}'), "colours in a pipe");
    assert_empty(&folder);
}

#[test]
fn a_demo_that_stays_can_be_spoken_to_and_ends_by_sigterm() {
    let (mut command, folder) = demo(&["--stay"]);
    let mut demo = Running::start(&mut command);
    let service = demo.line_with("service        ");
    let service = service.split_whitespace().last().unwrap().parse().unwrap();

    // The commands it offers are run as they stand.
    demo.line_with("2. A forger");
    let checked = demo.offered(" check --resolver ");
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    let listed = demo.offered(" queue list");
    assert_eq!(texts(&listed).0, "the queue is empty\n", "{listed:?}");

    let mut client = Client::connect_from("127.0.10.25".parse().unwrap(), service);
    assert_eq!(client.code(), 220);
    client.expect("EHLO out.bank.example", 250);
    client.expect("MAIL FROM:<alice@bank.example>", 250);
    client.expect("RCPT TO:<ann@example.org>", 250);
    client.expect("DATA", 354);
    client.expect("Subject: x\r\n\r\nx\r\n.", 250);
    demo.line_with("mail.example.org took a message");

    assert_eq!(demo.end_by("TERM"), Some(0));
    assert_empty(&folder);
}

#[test]
fn a_second_signal_does_not_wait_for_a_client_and_leaves_nothing() {
    let (mut command, folder) = demo(&["--stay"]);
    let mut demo = Running::start(&mut command);
    let service = demo.line_with("service        ");
    let service = service.split_whitespace().last().unwrap().parse().unwrap();
    demo.line_with("dig @");
    let mut client = Client::greeted(service);
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<dave@quiet.example>", 250);
    client.expect("RCPT TO:<ann@example.org>", 250);
    client.expect("DATA", 354);
    demo.signal("INT");
    // It has heard the first once it takes no more connections.
    while std::net::TcpStream::connect(service).is_ok() {}
    assert_eq!(demo.end_by("INT"), Some(0));
    assert_empty(&folder);
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let (mut command, folder) = demo(&[]);
    let mut demo = Running::start(command.stderr(Stdio::null()));
    // The sixth story, a second long at least, is still to come.
    demo.line_with("1. A listed relay");
    assert_eq!(demo.end_by("INT"), Some(75));
    assert_empty(&folder);
}
