//! NSD, an authoritative name server from Debian, as a peer: the same zones that the pure machine
//! is tried on, answered by somebody else's software.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::{self, Process, TRIES, TRY};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/nsd";

/// A running server. Ends, and removes its folder, when dropped.
pub struct Nsd {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// A zone to be served.
pub struct Zone<'a> {
    /// Its apex, in absolute form; `.` for the root.
    pub apex: &'a str,
    /// Its records but SOA and NS, relative to the apex; `None` for a zone that cannot be loaded,
    /// so that every question about it fails.
    pub records: Option<&'a str>,
}

impl Zone<'_> {
    /// The root with nothing in it: what is in no other zone does not exist.
    pub const ROOT: Self = Self {
        apex: ".",
        records: Some(""),
    };
}

impl Nsd {
    /// True if it is installed; says so if not.
    pub fn installed(left_out: &str) -> bool {
        harness::installed(Path::new(PROGRAM), left_out)
    }

    /// Serves zones on a free port of a loopback address.
    pub fn start(address: IpAddr, zones: &[Zone<'_>]) -> Self {
        let file = |zone: &Zone<'_>| zone.records.map(|records| zone_file(zone.apex, records));
        let files: Vec<_> = zones.iter().map(|zone| (zone.apex, file(zone))).collect();
        Self::serve(address, &files)
    }

    /// Serves whole zone files, each with its apex; `None` for one that is not there.
    pub fn serve(address: IpAddr, zones: &[(&str, Option<String>)]) -> Self {
        let folder = TempDir::new().unwrap();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(address).unwrap();
            let config = folder.path().join("nsd.conf");
            fs::write(&config, configuration(folder.path(), address, zones)).unwrap();
            let mut command = Command::new(PROGRAM);
            command.arg("-d").arg("-c").arg(&config);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut process = Process::start(&mut command).unwrap();
            if answers(&mut process, address) {
                return Self {
                    address,
                    _process: process,
                    _folder: folder,
                };
            }
        }
        let log = fs::read_to_string(folder.path().join("nsd.log")).unwrap_or_default();
        panic!("NSD does not start:\n{log}");
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Its configuration; the zone files are written on the way.
fn configuration(folder: &Path, address: SocketAddr, zones: &[(&str, Option<String>)]) -> String {
    let at = folder.display();
    let mut text = format!(
        "server:\n\
         \x20 server-count: 1\n\
         \x20 ip-address: {}@{}\n\
         \x20 username: \"\"\n\
         \x20 zonesdir: \"{at}\"\n\
         \x20 database: \"\"\n\
         \x20 pidfile: \"{at}/nsd.pid\"\n\
         \x20 xfrdfile: \"{at}/xfrd.state\"\n\
         \x20 zonelistfile: \"{at}/zone.list\"\n\
         \x20 logfile: \"{at}/nsd.log\"\n\
         \x20 rrl-ratelimit: 0\n\
         remote-control:\n\
         \x20 control-enable: no\n",
        address.ip(),
        address.port(),
    );
    for (number, (apex, zone)) in zones.iter().enumerate() {
        let file = folder.join(format!("{number}.zone"));
        if let Some(zone) = zone {
            fs::write(&file, zone).unwrap();
        }
        let file = file.display();
        write!(text, "zone:\n  name: \"{apex}\"\n  zonefile: \"{file}\"\n").unwrap();
    }
    text
}

/// A zone file: the least that a zone must have, then the records.
pub(super) fn zone_file(apex: &str, records: &str) -> String {
    let apex = apex.trim_end_matches('.');
    format!(
        "$ORIGIN {apex}.\n\
         $TTL 300\n\
         @ 300 SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 300\n\
         @ 300 NS ns.invalid.\n\
         {records}\n"
    )
}

/// True as soon as it answers any question; false if it ends before that.
pub(super) fn answers(process: &mut Process, address: SocketAddr) -> bool {
    // Id 1, one question: the root's SOA, class IN.
    const QUESTION: &[u8] = b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x06\0\x01";
    let socket = UdpSocket::bind((address.ip(), 0)).unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(TRY)).unwrap();
    for _ in 0..TRIES {
        if !process.runs() {
            return false;
        }
        // Before it listens this fails at once, by ICMP; the timeout of a second read is the pause.
        let sent = socket.send(QUESTION);
        let mut octets = [0; 512];
        if sent.is_ok() && socket.recv(&mut octets).is_ok() {
            return true;
        }
        if socket.recv(&mut octets).is_ok() {
            return true;
        }
    }
    false
}
