//! Dovecot's LMTP server from Debian as a peer, with one mailbox: `alice`.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::super::harness::{self, Process};
use super::{Log, account, maildir, open_folder};

/// Its first process, where Debian puts it.
const PROGRAM: &str = "/usr/sbin/dovecot";

/// What speaks LMTP, in a package of its own.
const LMTP: &str = "/usr/lib/dovecot/lmtp";

/// A running instance. Ends with all its processes, and removes its folder, when dropped.
pub struct Dovecot {
    process: Process,
    log: Log,
    folder: TempDir,
    address: SocketAddr,
}

impl Dovecot {
    /// Starts one, on a free port and on a Unix socket; `None` if it cannot be started here, which
    /// is said.
    pub fn start(left_out: &str) -> Option<Self> {
        if !harness::installed(Path::new(LMTP), left_out) {
            return None;
        }
        // It delivers as the account that owns the mailbox.
        let own = fs::metadata("/proc/self").unwrap().uid();
        if !harness::there(own == 0, "Dovecot is started by root only", left_out) {
            return None;
        }
        let folder = open_folder();
        make_mailbox(folder.path());
        let config = folder.path().join("dovecot.conf");
        let mut seen = String::new();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            fs::write(&config, configuration(folder.path(), address)).unwrap();
            let mut command = Command::new(PROGRAM);
            command.arg("-F").arg("-c").arg(&config);
            let (mut process, mut log) = Log::of(&mut command);
            if log.until_open(&mut process, address) {
                return Some(Self {
                    process,
                    log,
                    folder,
                    address,
                });
            }
            seen.push_str(&log.seen);
        }
        panic!("Dovecot does not start:\n{seen}");
    }

    /// Its port as a next hop.
    pub fn next_hop(&self) -> String {
        format!("lmtp://{}", self.address)
    }

    /// Its Unix socket as a next hop.
    pub fn next_hop_on_this_host(&self) -> String {
        format!("lmtp+unix:{}", self.folder.path().join("socket").display())
    }

    /// Waits for a line of its log that holds `text` and was not waited for before.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// Waits for `count` messages to be in alice's mailbox, and gives them.
    pub fn delivered(&mut self, count: usize) -> Vec<Vec<u8>> {
        for _ in 0..count {
            self.wait_for("saved mail to INBOX");
        }
        maildir(&self.folder.path().join("mail/alice/Maildir"))
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.process.end();
        // Its processes end after it: the folder is removed when the last one has.
        self.log.until_end();
    }
}

/// The only mailbox, and the list of mailboxes.
fn make_mailbox(folder: &Path) {
    let (user, group) = account("dovecot");
    let mail = folder.join("mail");
    fs::create_dir(&mail).unwrap();
    chown(&mail, Some(user), Some(group)).unwrap();
    fs::set_permissions(&mail, Permissions::from_mode(0o700)).unwrap();
    let alice = mail.join("alice");
    let line = format!("alice:{{PLAIN}}x:{user}:{group}::{}::\n", alice.display());
    fs::write(folder.join("users"), line).unwrap();
}

/// Its configuration: LMTP and nothing else.
fn configuration(folder: &Path, address: SocketAddr) -> String {
    let at = folder.display();
    format!(
        "base_dir = {at}/run\n\
         state_dir = {at}/state\n\
         protocols = lmtp\n\
         listen = 127.0.0.1\n\
         log_path = /dev/stderr\n\
         ssl = no\n\
         mail_location = maildir:~/Maildir\n\
         first_valid_uid = 1\n\
         auth_username_format = %Ln\n\
         passdb {{\n\
         \x20 driver = passwd-file\n\
         \x20 args = {at}/users\n\
         }}\n\
         userdb {{\n\
         \x20 driver = passwd-file\n\
         \x20 args = {at}/users\n\
         }}\n\
         service lmtp {{\n\
         \x20 inet_listener lmtp {{\n\
         \x20   address = {}\n\
         \x20   port = {}\n\
         \x20 }}\n\
         \x20 unix_listener {at}/socket {{\n\
         \x20 }}\n\
         }}\n",
        address.ip(),
        address.port(),
    )
}
