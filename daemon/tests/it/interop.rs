//! Postfix on both sides, each instance with folders and ports of its own, and STARTTLS on both ways:
//! Postfix, as the client that insists on TLS → the service → Postfix, as the next hop → a sink here,
//! which is where the test waits.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::certificate::{tls_section, write_certificate};
use super::harness::{free_port, installed};
use super::service::{HOSTNAME, PATIENCE, Setup};

/// Where Debian puts it.
const POSTFIX: &str = "/usr/sbin/postfix";

/// One running instance; its master is ended by its pid when this is dropped.
struct Postfix {
    folder: TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// Starts one that relays everything to `relay_to`; returns when it listens.
    fn start(relay_to: SocketAddr, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        for inside in ["conf", "queue", "data"] {
            fs::create_dir(at.join(inside)).unwrap();
        }
        let owned = Command::new("chown")
            .arg("postfix")
            .arg(at.join("data"))
            .status();
        assert!(owned.unwrap().success());
        let address = free_port(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        let (port, shown) = (relay_to.port(), at.display());
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {shown}/queue\n\
             data_directory = {shown}/data\nmaillog_file = {shown}/maillog\n\
             maillog_file_prefixes = {shown}\nmyhostname = postfix.test.example\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmydestination =\n\
             mynetworks = 127.0.0.0/8\nalias_maps =\nrelayhost = [127.0.0.1]:{port}\n\
             minimal_backoff_time = 1s\nqueue_run_delay = 1s\n{more}\n"
        );
        fs::write(at.join("conf/main.cf"), main).unwrap();
        fs::write(at.join("conf/dynamicmaps.cf"), "").unwrap();
        fs::write(at.join("conf/master.cf"), services(address)).unwrap();
        let started = Command::new(POSTFIX)
            .arg("-c")
            .arg(at.join("conf"))
            .arg("start")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(
            started.unwrap().success(),
            "{}",
            fs::read_to_string(at.join("maillog")).unwrap_or_default()
        );
        Self { folder, address }
    }

    /// Its log, for a test that fails.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("maillog")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let file = self.folder.path().join("queue/pid/master.pid");
        if let Ok(pid) = fs::read_to_string(file) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        }
    }
}

/// The few services that receive and relay.
fn services(address: SocketAddr) -> String {
    format!(
        "{address} inet n - n - - smtpd\n\
         cleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\n\
         error unix - - n - - error\nretry unix - - n - - error\n\
         anvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\n\
         scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
    )
}

/// Sends one message, as a client of the simplest kind.
fn send(to: SocketAddr, body: &str) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    for (line, code) in [
        ("", "220"),
        ("HELO client.test.example", "250"),
        ("MAIL FROM:<a@sender.example>", "250"),
        ("RCPT TO:<b@local.example>", "250"),
        ("DATA", "354"),
        (body, "250"),
        ("QUIT", "221"),
    ] {
        if !line.is_empty() {
            stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        }
        let reply = replies.next().unwrap().unwrap();
        assert!(reply.starts_with(code), "{reply} to {line}");
    }
}

/// Takes one message in one session; what stands between DATA and the dot.
fn take(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    stream.write_all(b"220 sink\r\n").unwrap();
    loop {
        let line = lines.next().unwrap().unwrap();
        if line != "DATA" {
            stream.write_all(b"250 ok\r\n").unwrap();
            continue;
        }
        stream.write_all(b"354 go on\r\n").unwrap();
        let content: Vec<_> = lines
            .by_ref()
            .map(Result::unwrap)
            .take_while(|line| line != ".")
            .collect();
        stream.write_all(b"250 ok\r\n").unwrap();
        return content.join("\n");
    }
}

#[test]
fn postfix_on_both_sides_with_tls() {
    if !installed(Path::new(POSTFIX), "Postfix as client and as next hop") {
        return;
    }
    let id = Command::new("id").arg("-u").output().unwrap();
    if id.stdout != b"0\n" {
        // Postfix starts as nobody else.
        let _ = writeln!(
            std::io::stderr().lock(),
            "left out: Postfix as client and as next hop, which only root can start"
        );
        return;
    }
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let certificates = tempfile::tempdir().unwrap();
    write_certificate(certificates.path());
    let at = certificates.path().display();
    let next_hop = Postfix::start(
        sink.local_addr().unwrap(),
        &format!(
            "relay_domains = local.example\nsmtpd_tls_security_level = may\n\
             smtpd_tls_cert_file = {at}/cert.pem\nsmtpd_tls_key_file = {at}/key.pem\n\
             smtpd_tls_received_header = yes"
        ),
    );
    let mut service = Setup::new()
        .domains(&["local.example"], &format!("smtp://{}", next_hop.address))
        .with(&tls_section(certificates.path()))
        .start();
    let client = Postfix::start(service.address(), "smtp_tls_security_level = encrypt");
    send(
        client.address,
        "Subject: through three\r\n\r\n..\r\nend\r\n.",
    );
    service.wait_for("outcome=\"delivered\"");
    let got = take(&sink);
    let shown = format!("{got}\n{}\n{}", client.log(), next_hop.log());
    let by_us = got.contains(&format!("by {HOSTNAME}")) && got.contains("with ESMTPS");
    assert!(by_us, "{shown}");
    assert!(got.contains("(using TLSv1.3"), "{shown}");
    assert!(got.ends_with("\n\n..\nend"), "{shown}");
}
