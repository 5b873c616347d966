//! BIND, the other authoritative name server of Debian, as a peer: it reads zone files by rules of
//! its own, and takes updates.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::{self, Process};
use super::nsd::{Zone, answers, zone_file};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/named";

/// A running server. Ends, and removes its folder, when dropped.
pub struct Bind {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Bind {
    /// True if it is installed; says so if not.
    pub fn installed(left_out: &str) -> bool {
        harness::installed(Path::new(PROGRAM), left_out)
    }

    /// Serves zones on a free port of 127.0.0.1, the one loopback address that it finds on an
    /// interface; from loopback it takes updates.
    pub fn start(zones: &[Zone<'_>]) -> Self {
        let folder = TempDir::new().unwrap();
        // Another process may take the port first: then it ends at once, and another port is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            let config = folder.path().join("named.conf");
            fs::write(&config, configuration(folder.path(), address, zones)).unwrap();
            let log = File::create(folder.path().join("named.log")).unwrap();
            let mut command = Command::new(PROGRAM);
            command.args(["-g", "-4", "-n", "1", "-c"]).arg(&config);
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
        let log = fs::read_to_string(folder.path().join("named.log")).unwrap_or_default();
        panic!("BIND does not start:\n{log}");
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Performs the lines of an update; panics with what nsupdate says if that fails.
    pub fn update(&self, lines: &str) {
        let (ip, port) = (self.address.ip(), self.address.port());
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("update");
        fs::write(&file, format!("server {ip} {port}\n{lines}")).unwrap();
        let output = Command::new("/usr/bin/nsupdate")
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{lines}");
    }
}

/// What named-checkzone says of a zone: its status, and its words.
pub fn check_zone(apex: &str, records: &str) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("zone");
    fs::write(&file, zone_file(apex, records)).unwrap();
    let output = Command::new("/usr/bin/named-checkzone")
        .arg(apex)
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// Its configuration; the zone files are written on the way.
fn configuration(folder: &Path, address: SocketAddr, zones: &[Zone<'_>]) -> String {
    let at = folder.display();
    let (ip, port) = (address.ip(), address.port());
    let mut text = format!(
        "options {{\n\
         \x20 directory \"{at}\";\n\
         \x20 pid-file \"{at}/named.pid\";\n\
         \x20 session-keyfile \"{at}/session.key\";\n\
         \x20 listen-on port {port} {{ {ip}; }};\n\
         \x20 listen-on-v6 {{ none; }};\n\
         \x20 recursion no;\n\
         \x20 notify no;\n\
         \x20 dnssec-validation no;\n\
         \x20 minimal-responses yes;\n\
         }};\n\
         controls {{ }};\n"
    );
    for (number, zone) in zones.iter().enumerate() {
        let file = folder.join(format!("{number}.zone"));
        if let Some(records) = zone.records {
            // A name server inside a zone must have an address there.
            let glue = if zone.apex == "." {
                "ns.invalid. 300 A 127.0.0.1"
            } else {
                ""
            };
            let records = format!("{records}\n{glue}");
            fs::write(&file, zone_file(zone.apex, &records)).unwrap();
        }
        let (apex, file) = (zone.apex, file.display());
        writeln!(
            text,
            "zone \"{apex}\" {{ type primary; file \"{file}\"; allow-update {{ 127.0.0.0/8; }}; }};"
        )
        .unwrap();
    }
    text
}
