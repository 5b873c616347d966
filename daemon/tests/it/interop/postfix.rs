//! Postfix, a mail server from Debian, as a peer: an instance with a queue of its own, which
//! listens on a free port and keeps mail for `hop.example` in a Maildir.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::certificate::write_certificate;
use super::super::harness::{self, Process};
use super::{Log, account, maildir, open_folder};

/// Its first process, where Debian puts it.
const MASTER: &str = "/usr/lib/postfix/sbin/master";

/// What an instance is started with.
pub struct Setup {
    folder: TempDir,
    settings: String,
}

/// A running instance. Ends with all its processes, and removes its folder, when dropped.
pub struct Postfix {
    process: Process,
    log: Log,
    folder: TempDir,
    address: SocketAddr,
}

impl Setup {
    /// An instance in a new folder; `None` if it cannot be started here, which is said.
    pub fn new(left_out: &str) -> Option<Self> {
        if !harness::installed(Path::new(MASTER), left_out) {
            return None;
        }
        // It gives its queue to an account of its own.
        let own = fs::metadata("/proc/self").unwrap().uid();
        if !harness::there(own == 0, "Postfix can be started by root only", left_out) {
            return None;
        }
        let folder = open_folder();
        fs::create_dir(folder.path().join("etc")).unwrap();
        make_queue(folder.path());
        Some(Self {
            folder,
            settings: String::new(),
        })
    }

    /// Further settings, `main.cf` lines.
    pub fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }

    /// With a certificate, and TLS on this level (`may`, `encrypt`).
    pub fn tls(self, level: &str) -> Self {
        let folder = self.folder.path().join("etc");
        write_certificate(&folder);
        self.with(&format!(
            "smtpd_tls_security_level = {level}\n\
             smtpd_tls_cert_file = $config_directory/cert.pem\n\
             smtpd_tls_key_file = $config_directory/key.pem\n\
             smtpd_tls_received_header = yes"
        ))
    }

    /// With mailboxes at these domains for the accounts of this machine, each of whom has his mail sent on to another
    /// address by a `.forward`.
    pub fn forwards(self, domains: &str, people: &[(&str, &str)]) -> Self {
        let homes = self.folder.path().join("etc/homes");
        for (account, to) in people {
            let home = homes.join(account);
            fs::create_dir_all(&home).unwrap();
            fs::write(home.join(".forward"), format!("{to}\n")).unwrap();
        }
        let homes = homes.display();
        self.with(&format!(
            "virtual_mailbox_domains =\n\
             mydestination = {domains}\n\
             forward_path = {homes}/$user/.forward"
        ))
    }

    /// Writes a file that settings name as `$config_directory/NAME`.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.folder.path().join("etc").join(name), text).unwrap();
        self
    }

    /// Starts it, and waits until it listens.
    pub fn start(self) -> Postfix {
        let etc = self.folder.path().join("etc");
        fs::write(etc.join("main.cf"), self.main()).unwrap();
        let mut seen = String::new();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            fs::write(etc.join("master.cf"), services(address)).unwrap();
            let mut command = Command::new(MASTER);
            // `-s`: in the foreground, with the log on standard output.
            command.arg("-s").arg("-c").arg(&etc);
            let (mut process, mut log) = Log::of(&mut command);
            // The port may be open because somebody else has it: its log tells.
            if log.until_open(&mut process, address) && log.until_said("daemon started") {
                return Postfix {
                    process,
                    log,
                    folder: self.folder,
                    address,
                };
            }
            process.end();
            seen.push_str(&log.seen);
        }
        panic!("Postfix does not start:\n{seen}");
    }

    /// Its `main.cf`. It looks nothing up in the DNS, and changes no content.
    fn main(&self) -> String {
        let folder = self.folder.path().display();
        let (user, group) = account("postfix");
        format!(
            "compatibility_level = 3.6\n\
             queue_directory = {folder}/queue\n\
             data_directory = {folder}/data\n\
             maillog_file = /dev/stdout\n\
             myhostname = postfix.test.example\n\
             mydestination =\n\
             mynetworks = 127.0.0.0/8\n\
             inet_protocols = ipv4\n\
             smtp_host_lookup = native\n\
             local_header_rewrite_clients =\n\
             alias_maps =\n\
             virtual_mailbox_domains = hop.example\n\
             virtual_mailbox_base = {folder}/mail\n\
             virtual_mailbox_maps = static:box/\n\
             virtual_uid_maps = static:{user}\n\
             virtual_gid_maps = static:{group}\n\
             virtual_minimum_uid = 1\n\
             {}",
            self.settings
        )
    }
}

/// Its `master.cf`: what `main.cf` above needs, nothing in a chroot.
fn services(address: SocketAddr) -> String {
    let mut text = format!("{address} inet n - n - - smtpd\n");
    for (name, columns, program) in [
        ("cleanup", "unix n - n - 0", "cleanup"),
        ("qmgr", "unix n - n 300 1", "qmgr"),
        ("tlsmgr", "unix - - n 1000? 1", "tlsmgr"),
        ("rewrite", "unix - - n - -", "trivial-rewrite"),
        ("bounce", "unix - - n - 0", "bounce"),
        ("defer", "unix - - n - 0", "bounce"),
        ("trace", "unix - - n - 0", "bounce"),
        ("proxymap", "unix - - n - -", "proxymap"),
        ("smtp", "unix - - n - -", "smtp"),
        ("retry", "unix - - n - -", "error"),
        ("error", "unix - - n - -", "error"),
        ("local", "unix - n n - -", "local"),
        ("virtual", "unix - n n - -", "virtual"),
        ("anvil", "unix - - n - 1", "anvil"),
        ("scache", "unix - - n - 1", "scache"),
        ("postlog", "unix-dgram n - n - 1", "postlogd"),
    ] {
        writeln!(text, "{name} {columns} {program}").unwrap();
    }
    text
}

/// The folders it wants, each with the owner it wants.
fn make_queue(folder: &Path) {
    let (user, group) = account("postfix");
    let make = |name: &str, mode| {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        chown(&path, Some(user), Some(group)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    make("data", 0o700);
    make("mail", 0o700);
    for name in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
        "maildrop", "private", "saved", "trace",
    ] {
        make(&format!("queue/{name}"), 0o700);
    }
    make("queue/public", 0o710);
    // Of root, as is the queue itself.
    fs::create_dir(folder.join("queue/pid")).unwrap();
}

impl Postfix {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file of its configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("etc").join(name)
    }

    /// It as a next hop.
    pub fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Waits for a line of its log that holds `text` and was not waited for before.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// All of its log that was read so far.
    pub fn log(&self) -> &str {
        &self.log.seen
    }

    /// Waits for `count` messages to be in the Maildir, and gives them.
    pub fn delivered(&mut self, count: usize) -> Vec<Vec<u8>> {
        for _ in 0..count {
            self.wait_for("delivered to maildir");
        }
        maildir(&self.folder.path().join("mail/box"))
    }

    /// Writes a file of [`Setup::file`] anew; processes started from now on read it.
    pub fn rewrite(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("etc").join(name), text).unwrap();
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.process.end();
        // Its processes end after it: the folder is removed when the last one has.
        self.log.until_end();
        if std::thread::panicking() {
            println!("Postfix has said:\n{}", self.log.seen);
        }
    }
}
