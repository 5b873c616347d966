//! Exim, a mail server from Debian, as a peer: an instance with a queue of its own, which listens
//! on a free port, keeps mail for `hop.example` in a Maildir, and sends other mail where it is told.
//!
//! It cannot be installed beside Postfix: `./test` unpacks it, and names the program in `EXIM`.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::certificate::write_certificate;
use super::super::harness::{self, Process};
use super::{Log, account, maildir, open_folder};

/// The account that Debian's Exim insists on.
const ACCOUNT: &str = "Debian-exim";

/// What an instance is started with.
pub struct Setup {
    folder: TempDir,
    settings: String,
    tls: &'static str,
    at_recipient: String,
    at_data: String,
    aliases: String,
}

/// A running instance. Ends, and removes its folder, when dropped.
pub struct Exim {
    process: Process,
    /// What it says besides its log; open as long as it or a child of it runs.
    output: Log,
    log: Log,
    folder: TempDir,
    address: SocketAddr,
}

impl Setup {
    /// An instance in a new folder; `None` if it cannot be started here, which is said.
    pub fn new(left_out: &str) -> Option<Self> {
        let program = std::env::var_os("EXIM").unwrap_or_else(|| "/usr/sbin/exim4".into());
        // It does not say its version without its account.
        let version = Command::new(&program)
            .args(["-C", "/dev/null", "-bV"])
            .output();
        let is_there = version.is_ok_and(|output| output.status.success());
        let reason = format!("{} is not installed", program.display());
        if !harness::there(is_there, &reason, left_out) {
            return None;
        }
        let own = fs::metadata("/proc/self").unwrap().uid();
        if !harness::there(own == 0, "Exim can be started by root only", left_out) {
            return None;
        }
        let folder = open_folder();
        make_folders(folder.path(), Path::new(&program));
        Some(Self {
            folder,
            settings: String::new(),
            tls: "tls_advertise_hosts =",
            at_recipient: String::new(),
            at_data: String::new(),
            aliases: String::new(),
        })
    }

    /// Further settings of the main section.
    pub fn with(mut self, settings: &str) -> Self {
        self.settings.push_str(settings);
        self.settings.push('\n');
        self
    }

    /// With a certificate, and TLS for those who begin it.
    pub fn tls(mut self) -> Self {
        write_certificate(self.folder.path());
        self.tls = "tls_advertise_hosts = *\n\
                    tls_certificate = FOLDER/cert.pem\n\
                    tls_privatekey = FOLDER/key.pem";
        self
    }

    /// What it says to a recipient, as lines of an ACL, before it accepts.
    pub fn at_recipient(mut self, lines: &str) -> Self {
        self.at_recipient = lines.into();
        self
    }

    /// What it says to a message, as lines of an ACL, before it accepts.
    pub fn at_data(mut self, lines: &str) -> Self {
        self.at_data = lines.into();
        self
    }

    /// An address of `hop.example`, by its local part, whose mail goes on to another address.
    pub fn alias(mut self, local_part: &str, to: &str) -> Self {
        self.aliases = format!(
            "alias:\n  driver = redirect\n  domains = hop.example\n  \
             local_parts = {local_part}\n  data = {to}\n"
        );
        self
    }

    /// Starts it, and waits until it listens.
    pub fn start(self) -> Exim {
        let path = self.folder.path();
        // Open for writing too: so it neither waits for a writer here nor ends with one.
        let fifo = path.join("log/main");
        let fifo = File::options().read(true).write(true).open(fifo).unwrap();
        let log = Log::read(fifo);
        let mut seen = String::new();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            fs::write(path.join("exim.conf"), self.configuration(address)).unwrap();
            let mut command = Command::new(path.join("exim"));
            command.arg("-C").arg(path.join("exim.conf")).arg("-bdf");
            let (mut process, mut output) = Log::of(&mut command);
            if output.until_open(&mut process, address) {
                return Exim {
                    process,
                    output,
                    log,
                    folder: self.folder,
                    address,
                };
            }
            seen.push_str(&output.seen);
        }
        panic!("Exim does not start:\n{seen}");
    }

    /// Its configuration. It looks nothing up in the DNS.
    fn configuration(&self, address: SocketAddr) -> String {
        format!(
            "FOLDER = {}\n\
             exim_path = FOLDER/exim\n\
             spool_directory = FOLDER/spool\n\
             log_file_path = FOLDER/log/%s\n\
             write_rejectlog = false\n\
             primary_hostname = exim.test.example\n\
             local_interfaces = {}\n\
             daemon_smtp_ports = {}\n\
             daemon_startup_retries = 0\n\
             disable_ipv6\n\
             keep_environment = NONE\n\
             host_lookup =\n\
             rfc1413_query_timeout = 0s\n\
             smtputf8_advertise_hosts = *\n\
             deliver_drop_privilege\n\
             acl_smtp_rcpt = recipient\n\
             acl_smtp_data = data\n\
             {}\n\
             {}\
             begin acl\n\
             recipient:\n\
             {}\n\
             accept\n\
             data:\n\
             {}\n\
             accept\n\
             begin routers\n\
             {}\
             {ROUTERS}",
            self.folder.path().display(),
            address.ip(),
            address.port(),
            self.tls,
            self.settings,
            self.at_recipient,
            self.at_data,
            self.aliases,
        )
    }
}

/// Where its mail goes, and how.
const ROUTERS: &str = "\
sent:
  driver = manualroute
  domains = wildlsearch;FOLDER/routes
  route_data = $domain_data
  self = send
  transport = next
kept:
  driver = accept
  domains = hop.example
  transport = box
begin transports
box:
  driver = appendfile
  user = Debian-exim
  directory = FOLDER/spool/box
  maildir_format
  create_directory
next:
  driver = smtp
  allow_localhost
begin retry
* * F,1h,1m
";

/// What it wants to find: itself too, where its account can run it.
fn make_folders(folder: &Path, program: &Path) {
    let (user, group) = account(ACCOUNT);
    for name in ["spool", "log"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("routes"), "").unwrap();
    chown(folder.join("spool"), Some(user), Some(group)).unwrap();
    let ran = |command: &mut Command| assert!(command.status().unwrap().success());
    // By another process: a child of this one, begun meanwhile, must not have it open for writing.
    ran(Command::new("cp").arg(program).arg(folder.join("exim")));
    ran(Command::new("mkfifo").arg(folder.join("log/main")));
    chown(folder.join("log/main"), Some(user), Some(group)).unwrap();
    std::os::unix::fs::symlink("main", folder.join("log/panic")).unwrap();
}

impl Exim {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It as a next hop.
    pub fn next_hop(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// From now on it sends mail of this domain, or of all behind `*`, and no other, there.
    pub fn route(&self, domain: &str, server: SocketAddr) {
        self.routes(&[(domain, server)]);
    }

    /// The same for several; the first that fits.
    pub fn routes(&self, routes: &[(&str, SocketAddr)]) {
        let line = |(domain, server): &(&str, SocketAddr)| {
            format!("{domain}: {}::{}\n", server.ip(), server.port())
        };
        let lines: String = routes.iter().map(line).collect();
        fs::write(self.file("routes"), lines).unwrap();
    }

    /// A file of its folder, FOLDER in its settings.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for a line of its log that holds `text` and was not waited for before.
    pub fn wait_for(&mut self, text: &str) -> String {
        self.log.wait_for(text)
    }

    /// Waits for `count` messages to be in the Maildir, and gives them.
    pub fn delivered(&mut self, count: usize) -> Vec<Vec<u8>> {
        for _ in 0..count {
            self.wait_for(" T=box");
        }
        maildir(&self.file("spool/box"))
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        self.process.end();
        // Its processes end after it: the folder is removed when the last one has.
        self.output.until_end();
    }
}
