//! Other people's mail software as peers: Postfix and Exim on both sides of us, Dovecot's LMTP behind
//! us, swaks in front, haproxy between, readers of bounces behind our reports. Each test has a service
//! and peers of its own, in processes and folders of their own.
//!
//! What stands here is what the tests share: a peer's log, messages that are hard to carry, and
//! the comparison of what went in with what came out.

mod authority;
mod bounce_readers;
mod dane;
mod dovecot;
pub mod exim;
mod forwarding;
mod from_postfix;
mod mta_sts;
mod perimeter;
pub mod postfix;
mod reports;
mod requiretls;
mod swaks;
mod to_dovecot;
mod to_postfix;
mod with_exim;

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use super::client::Client;
use super::harness::{Process, TRIES, TRY};
use super::service::PATIENCE;

/// What a peer writes, line by line; also how tests wait for it.
struct Log {
    lines: Receiver<String>,
    /// All there was, for whoever has to be told why a test failed.
    seen: String,
    /// Lines that nobody has waited for yet.
    passed: VecDeque<String>,
}

impl Log {
    /// Starts a peer whose output goes into a log.
    fn of(command: &mut Command) -> (Process, Self) {
        let (read, write) = std::io::pipe().unwrap();
        command.stdout(write.try_clone().unwrap()).stderr(write);
        let process = Process::start(command).unwrap();
        // The pipe ends with its last writer: that must not be the command.
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        (process, Self::read(read))
    }

    /// Reads in the background, so that the peer never waits for us.
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            lines,
            seen: String::new(),
            passed: VecDeque::new(),
        }
    }

    /// Waits for a line that holds `text` and was not waited for before. A peer's processes write
    /// side by side: what happened later may stand earlier, so lines passed over still count.
    fn wait_for(&mut self, text: &str) -> String {
        let passed = self.passed.iter().position(|line| line.contains(text));
        if let Some(line) = passed.and_then(|at| self.passed.remove(at)) {
            return line;
        }
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} in the log:\n{}", self.seen);
            };
            self.note(&line);
            if line.contains(text) {
                return line;
            }
            self.passed.push_back(line);
        }
    }

    /// Waits until the peer takes connections; false if it ends before.
    fn until_open(&mut self, process: &mut Process, address: SocketAddr) -> bool {
        for _ in 0..TRIES {
            if TcpStream::connect(address).is_ok() {
                return true;
            }
            // A line, or the pause until the next try.
            match self.lines.recv_timeout(TRY) {
                Ok(line) => self.note(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if !process.runs() {
                return false;
            }
        }
        false
    }

    /// Waits until it has said this since its start; false if it does not in the time that a start may take.
    fn until_said(&mut self, text: &str) -> bool {
        for _ in 0..TRIES {
            if self.seen.contains(text) {
                return true;
            }
            match self.lines.recv_timeout(TRY) {
                Ok(line) => {
                    self.note(&line);
                    self.passed.push_back(line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
        false
    }

    /// Waits until all processes that write here are gone.
    fn until_end(&mut self) {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.note(&line);
        }
    }

    /// Keeps a line for whoever has to be told why a test failed.
    fn note(&mut self, line: &str) {
        self.seen.push_str(line);
        self.seen.push('\n');
    }
}

/// A message with its envelope.
struct Message {
    reverse_path: &'static str,
    recipients: Vec<&'static str>,
    /// What stands behind the reverse-path in MAIL.
    parameters: &'static str,
    content: Vec<u8>,
}

impl Message {
    /// An ordinary one.
    fn plain(reverse_path: &'static str, recipients: &[&'static str]) -> Self {
        Self {
            reverse_path,
            recipients: recipients.to_vec(),
            parameters: "",
            content: b"From: someone@sender.example\r\nSubject: plain\r\nDate: Sat, 21 Nov 2026 10:15:00 +0000\r\nMessage-ID: <plain@sender.example>\r\n\r\nhello\r\n".to_vec(),
        }
    }

    /// One of each kind that is easily damaged on the way.
    fn hard_ones(reverse_path: &'static str, recipient: &'static str) -> Vec<Self> {
        let kinds: [(&str, &[u8]); 5] = [
            ("dots", b".\r\n..\r\n.leading\r\n...\r\n\r\n.\r\n"),
            (
                "spaces",
                b"trailing  \t\r\n \r\n\t\r\nFrom here\r\n>From there\r\n\r\n\r\n",
            ),
            ("control", b"\x01\x07\x0b\x0c\x1b[0m\x7f\r\n"),
            ("longest line", &[&[b'x'; 998][..], b"\r\n"].concat()),
            (
                "large",
                &b"0123456789abcdef, again and again\r\n".repeat(10_000),
            ),
        ];
        let mut messages: Vec<Self> = kinds
            .iter()
            .map(|(subject, body)| Self {
                content: content(subject, body),
                ..Self::plain(reverse_path, &[recipient])
            })
            .collect();
        messages.push(Self {
            parameters: " BODY=8BITMIME",
            content: content(
                "eight bits",
                b"Latin-1: \xe4\xf6\xfc\r\nUTF-8: \xc3\xa4\r\n",
            ),
            ..Self::plain(reverse_path, &[recipient])
        });
        messages
    }

    /// One that only internationalised mail can carry (RFC 6531).
    fn international(reverse_path: &'static str, recipient: &'static str) -> Self {
        Self {
            parameters: " BODY=8BITMIME SMTPUTF8",
            content: content("Grüße", "Жизнь прекрасна\r\n".as_bytes()),
            ..Self::plain(reverse_path, &[recipient])
        }
    }

    /// The protocol that trace fields name where TLS is on (RFC 3848, RFC 6531 §4.3).
    fn protocol(&self) -> &'static str {
        if self.parameters.contains("SMTPUTF8") {
            "UTF8SMTPS"
        } else {
            "ESMTPS"
        }
    }

    /// Sends it, and gives the codes of the recipients and of the content. All of it must be
    /// offered by the server; the rest must be accepted.
    fn send(&self, client: &mut Client) -> Vec<u16> {
        client.expect(
            &format!("MAIL FROM:<{}>{}", self.reverse_path, self.parameters),
            250,
        );
        let mut codes: Vec<u16> = self
            .recipients
            .iter()
            .map(|recipient| {
                let reply = client.say(&format!("RCPT TO:<{recipient}>"));
                reply[..3].parse().unwrap()
            })
            .collect();
        if codes.contains(&250) {
            client.expect("DATA", 354);
            client.send(stuffed(&self.content));
            client.send(".\r\n");
            codes.push(client.code());
        } else {
            client.expect("RSET", 250);
        }
        codes
    }
}

/// Sends messages in one session, all of which must be accepted.
fn send_all(server: SocketAddr, messages: &[Message]) {
    let mut client = Client::greeted(server);
    client.expect("EHLO client.example", 250);
    for message in messages {
        let codes = message.send(&mut client);
        assert!(codes.iter().all(|code| *code == 250), "{codes:?}");
    }
    client.expect("QUIT", 221);
}

/// A message's header and body.
fn content(subject: &str, body: &[u8]) -> Vec<u8> {
    let mut content = format!(
        "From: someone@sender.example\r\n\
         Subject: {subject}\r\n\
         X-Folded: once,\r\n\
         \t twice\r\n\
         \r\n"
    )
    .into_bytes();
    content.extend_from_slice(body);
    content
}

/// Dot-stuffed (RFC 5321 §4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    stuffed
}

/// Every message must have arrived, octet for octet, behind trace fields and nothing else; gives
/// the trace fields, in the order of the messages. In a Maildir lines end with LF.
fn arrived(messages: &[Message], mailbox: &[Vec<u8>]) -> Vec<String> {
    assert_eq!(mailbox.len(), messages.len());
    messages
        .iter()
        .map(|message| {
            let mut content = message.content.clone();
            content.retain(|octet| *octet != b'\r');
            let trace = mailbox
                .iter()
                .find_map(|kept| kept.strip_suffix(&content[..]));
            let Some(trace) = trace else {
                let told: Vec<_> = mailbox
                    .iter()
                    .map(|kept| String::from_utf8_lossy(&kept[..kept.len().min(2000)]))
                    .collect();
                let wanted = String::from_utf8_lossy(&content[..content.len().min(500)]);
                panic!("{wanted}\nis not in\n{told:#?}");
            };
            let trace = String::from_utf8(trace.to_vec()).unwrap();
            for line in trace.lines() {
                let name = line.split(':').next().unwrap();
                let known = [
                    "Return-Path",
                    "Received",
                    "Delivered-To",
                    "X-Original-To",
                    "Authentication-Results",
                    "Received-SPF",
                ];
                assert!(
                    line.starts_with([' ', '\t']) || known.contains(&name),
                    "{trace}"
                );
            }
            trace
        })
        .collect()
}

/// The messages in the Maildir of this name.
fn maildir(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder.join("new")) else {
        return Vec::new();
    };
    files
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect()
}

/// User and group of a name in /etc/passwd, as numbers.
fn account(name: &str) -> (u32, u32) {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))
        .unwrap_or_else(|| panic!("no account {name}"));
    let mut numbers = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A folder that other accounts can pass through.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let passable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder.path(), passable).unwrap();
    folder
}
