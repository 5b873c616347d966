//! Unbound, a validating resolver from Debian, as a peer: somebody else's software says which
//! answers are secure, and which are bogus.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::{self, Process};
use super::nsd::answers;

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/unbound";

/// A running resolver. Ends, and removes its folder, when dropped.
pub struct Unbound {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Unbound {
    /// True if it is installed; says so if not.
    pub fn installed(left_out: &str) -> bool {
        harness::installed(Path::new(PROGRAM), left_out)
    }

    /// Resolves these zones, and nothing else, by one authoritative server; validates what lies
    /// below the anchors, which are DNSKEY records.
    pub fn start(authority: SocketAddr, zones: &[&str], anchors: &str) -> Self {
        let stubs: Vec<_> = zones.iter().map(|zone| (*zone, authority)).collect();
        Self::with(&stubs, anchors)
    }

    /// The same, each zone by its own server.
    pub fn with(stubs: &[(&str, SocketAddr)], anchors: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("anchors"), anchors).unwrap();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            let config = folder.path().join("unbound.conf");
            fs::write(&config, configuration(folder.path(), address, stubs)).unwrap();
            let log = File::create(folder.path().join("unbound.log")).unwrap();
            let mut command = Command::new(PROGRAM);
            command.args(["-d", "-p", "-c"]).arg(&config);
            command.stdout(Stdio::null()).stderr(log);
            let mut process = Process::start(&mut command).unwrap();
            if answers(&mut process, address) {
                return Self {
                    address,
                    _process: process,
                    _folder: folder,
                };
            }
        }
        let log = fs::read_to_string(folder.path().join("unbound.log")).unwrap_or_default();
        panic!("Unbound does not start:\n{log}");
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Its configuration: it asks nobody but the one server, so never leaves this host.
fn configuration(folder: &Path, address: SocketAddr, stubs: &[(&str, SocketAddr)]) -> String {
    let at = folder.display();
    let mut text = format!(
        "server:\n\
         \x20 interface: {}@{}\n\
         \x20 access-control: 127.0.0.0/8 allow\n\
         \x20 username: \"\"\n\
         \x20 chroot: \"\"\n\
         \x20 directory: \"{at}\"\n\
         \x20 use-syslog: no\n\
         \x20 num-threads: 1\n\
         \x20 do-ip6: no\n\
         \x20 do-not-query-localhost: no\n\
         \x20 local-zone: \"example.\" transparent\n\
         \x20 target-fetch-policy: \"0 0 0 0 0\"\n\
         \x20 module-config: \"validator iterator\"\n\
         \x20 trust-anchor-file: \"{at}/anchors\"\n\
         \x20 ede: yes\n\
         remote-control:\n\
         \x20 control-enable: no\n",
        address.ip(),
        address.port(),
    );
    for (zone, authority) in stubs {
        write!(
            text,
            "stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n",
            authority.ip(),
            authority.port()
        )
        .unwrap();
    }
    text
}
