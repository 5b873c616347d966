//! The service under test: a real `vouchsafe serve` in a process and a folder of its own.
//!
//! Its log is read as it is written, which is also how tests wait: for a line, not for a time.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::nowhere::Nowhere;

/// What every service here calls itself.
pub const HOSTNAME: &str = "mx.example.org";

/// Longer than anything here takes on a busy machine; reached only by a failure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running service. Killed when dropped.
pub struct Service {
    child: Child,
    lines: Receiver<String>,
    seen: String,
    folder: Arc<TempDir>,
    address: SocketAddr,
    /// Answers its questions to the DNS, unless the test brings a server of its own.
    _dns: Option<Nowhere>,
}

/// What a service is started with.
pub struct Setup {
    folder: Arc<TempDir>,
    dns: Option<SocketAddr>,
    in_dns: String,
    top: String,
    sections: String,
    local: Vec<(String, String)>,
    stored: bool,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Setup {
    /// A service with one local domain, `local.example`, delivered to a Maildir.
    pub fn new() -> Self {
        Self::in_folder(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// The same in a folder that another service has left.
    pub fn in_folder(folder: Arc<TempDir>) -> Self {
        let maildir = format!("maildir:{}", folder.path().join("mail").display());
        Self {
            folder,
            dns: None,
            in_dns: String::new(),
            top: String::new(),
            sections: String::new(),
            local: vec![(String::from("local.example"), maildir)],
            stored: false,
            environment: Vec::new(),
        }
    }

    /// A variable of the process.
    pub fn environment(mut self, name: &'static str, value: &Path) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Its resolver; without this one, no name exists.
    pub fn dns(mut self, server: SocketAddr) -> Self {
        self.dns = Some(server);
        self
    }

    /// Further keys about the DNS.
    pub fn in_dns(mut self, keys: &str) -> Self {
        self.in_dns.push_str(keys);
        self.in_dns.push('\n');
        self
    }

    /// Keys that stand before any section.
    pub fn top(mut self, keys: &str) -> Self {
        self.top.push_str(keys);
        self.top.push('\n');
        self
    }

    /// Further sections of the configuration.
    pub fn with(mut self, sections: &str) -> Self {
        self.sections.push_str(sections);
        self.sections.push('\n');
        self
    }

    /// These local domains and no others.
    pub fn domains(mut self, names: &[&str], next_hop: &str) -> Self {
        let all = names
            .iter()
            .map(|name| (String::from(*name), next_hop.into()));
        self.local = all.collect();
        self
    }

    /// Another local domain, beside `local.example`.
    pub fn domain(mut self, name: &str, next_hop: &str) -> Self {
        self.local.push((name.into(), next_hop.into()));
        self
    }

    /// All mail for local domains is queued first: what the test is about is the queue.
    pub fn stored(mut self) -> Self {
        self.stored = true;
        self
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the configuration stands.
    pub fn config(&self) -> PathBuf {
        self.folder().join("vouchsafe.toml")
    }

    /// Writes the configuration. A running service reads it again at SIGHUP.
    pub fn write(&self, dns: SocketAddr) {
        let mut text = format!(
            "hostname = \"{HOSTNAME}\"\n{}\
             data_dir = \"{}\"\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\n\
             [dns]\nservers = [\"{dns}\"]\n{}\
             [log]\nlevel = \"debug\"\n",
            self.top,
            self.folder().join("data").display(),
            self.in_dns
        );
        for (name, next_hop) in &self.local {
            writeln!(text, "[domains.\"{name}\"]\nnext_hop = \"{next_hop}\"").unwrap();
            if self.stored {
                text.push_str("path = \"store\"\n");
            }
        }
        text.push_str(&self.sections);
        std::fs::write(self.config(), text).unwrap();
    }

    /// Starts the service and waits until it listens.
    pub fn start(self) -> Service {
        let nowhere = self.dns.is_none().then(Nowhere::start);
        let dns = self.dns.or(nowhere.as_ref().map(Nowhere::address)).unwrap();
        self.write(dns);
        let (child, lines) = spawn(&self.config(), &self.environment);
        let mut service = Service {
            child,
            lines,
            seen: String::new(),
            folder: Arc::clone(&self.folder),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            _dns: nowhere,
        };
        let line = service.wait_for("listening address=");
        let (_, address) = line.split_once("address=").unwrap();
        service.address = address.split(' ').next().unwrap().parse().unwrap();
        service.wait_for("ready");
        service
    }
}

impl Setup {
    /// Starts the service, which must end by itself, and gives its exit code and its log.
    pub fn refused(self) -> (Option<i32>, String) {
        self.write(SocketAddr::from(([127, 0, 0, 1], 9)));
        let (mut child, lines) = spawn(&self.config(), &self.environment);
        let log: Vec<_> = lines.iter().collect();
        (child.wait().unwrap().code(), log.join("\n"))
    }
}

/// The process, and its log line by line.
fn spawn(config: &Path, environment: &[(&str, PathBuf)]) -> (Child, Receiver<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .arg("serve")
        .arg("--config")
        .arg(config)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    (child, lines)
}

impl Service {
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let lines = self.seen.lines();
        let addresses = lines.filter_map(|line| line.split_once("listening address="));
        addresses
            .map(|(_, address)| address.split(' ').next().unwrap().parse().unwrap())
            .collect()
    }

    /// Where it answers for the ledger.
    pub fn answering(&self) -> SocketAddr {
        let mut lines = self.seen.lines();
        let address = lines.find_map(|line| Some(line.split_once("answering address=")?.1));
        address.unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    /// Where its figures can be had.
    pub fn monitor(&self) -> SocketAddr {
        let mut lines = self.seen.lines();
        let address = lines.find_map(|line| Some(line.split_once("figures address=")?.1));
        address.unwrap().split(' ').next().unwrap().parse().unwrap()
    }

    /// Its folder, for a service that comes after it.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a log line that holds `text`, from the last such wait on.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {text:?} in the log:\n{}", self.seen);
            };
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The same from the start on, for what may have been said already.
    pub fn wait_from_start(&mut self, text: &str) -> String {
        match self.seen.lines().find(|line| line.contains(text)) {
            Some(line) => line.to_owned(),
            None => self.wait_for(text),
        }
    }

    /// Waits for `count` log lines that hold `text`.
    pub fn wait_for_each(&mut self, count: usize, text: &str) {
        for _ in 0..count {
            self.wait_for(text);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(self.pid().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end, and says how that was, with the whole log.
    pub fn ended(mut self) -> (ExitStatus, String) {
        // The log ends when the process does.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        let status = self.child.wait().unwrap();
        (status, std::mem::take(&mut self.seen))
    }

    /// Stops it as a supervisor does, which must go well.
    pub fn stop(self) -> String {
        self.signal("TERM");
        let (status, log) = self.ended();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }

    /// The messages in the Maildir of `local.example`; lines end in LF there.
    pub fn delivered(&self) -> Vec<Vec<u8>> {
        let Ok(folder) = std::fs::read_dir(self.folder.path().join("mail/new")) else {
            return Vec::new();
        };
        folder
            .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
            .collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
