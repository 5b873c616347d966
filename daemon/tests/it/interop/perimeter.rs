//! Hosts in front of us: the verdict is about the client that *they* have. Postfix as before-queue
//! filter (XFORWARD), swaks as a mail proxy (XCLIENT), haproxy with both versions of its header,
//! and a Postfix that queues, as somebody else's backup MX.
//!
//! Clients are told apart by their loopback addresses: `.7` is the border relay of
//! `honest.example`, `.8` a forger.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::super::client::Client;
use super::super::harness::{self, Process};
use super::super::nsd::{Nsd, Zone};
use super::super::service::{self, Service};
use super::Log;
use super::postfix::{Postfix, Setup};

/// The domain's border relay.
const RELAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

/// Who is none.
const FORGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);

/// The backup MX of `local.example`.
const BACKUP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// What they send.
const REVERSE_PATH: &str = "alice@honest.example";

/// The world; `last` keeps name servers of tests apart.
fn world(last: u8) -> Nsd {
    let zones = [
        Zone {
            apex: "honest.example",
            records: Some("MAIL-FROM MX 0 relay\nrelay A 127.0.0.7\n"),
        },
        Zone {
            apex: "local.example",
            records: Some("@ MX 20 backup\nbackup A 127.0.0.9\n"),
        },
        Zone::ROOT,
    ];
    Nsd::start(Ipv4Addr::new(127, 53, 3, last).into(), &zones)
}

/// A service in that world that listens to fronts on this host.
fn service(nsd: &Nsd, perimeter: &str) -> Service {
    service::Setup::new()
        .dns(nsd.address())
        .with(perimeter)
        .start()
}

/// Sends one message from an address; gives the reply that ended it.
fn send_from(source: Ipv4Addr, server: SocketAddr) -> String {
    let mut client = Client::connect_from(IpAddr::V4(source), server);
    assert_eq!(client.code(), 220);
    client.expect("EHLO client.example", 250);
    for line in [
        format!("MAIL FROM:<{REVERSE_PATH}>"),
        String::from("RCPT TO:<a@local.example>"),
        String::from("DATA"),
    ] {
        let reply = client.say(&line);
        if !reply.starts_with(['2', '3']) {
            return reply;
        }
    }
    client.send("Subject: x\r\n\r\nhello\r\n.\r\n");
    client.reply()
}

/// The relay's message is accepted as authorised and delivered, the forger's refused.
fn told_apart(service: &mut Service, front: SocketAddr) {
    let reply = send_from(FORGER, front);
    let expected = "550 5.7.1 delivery not authorized: 127.0.0.8 is not a border relay of \
                    honest.example (MAIL-FROM.honest.example MX)";
    assert_eq!(reply, expected);
    service.wait_for("verdict=repudiated");
    let reply = send_from(RELAY, front);
    assert!(reply.starts_with("250 "), "{reply}");
    service.wait_for("verdict=authorised");
    service.wait_for("outcome=\"delivered\"");
}

#[test]
fn a_before_queue_filter_speaks_by_xforward() {
    let left_out = "Postfix as before-queue filter in front, with XFORWARD";
    if !Nsd::installed(left_out) {
        return;
    }
    let Some(setup) = Setup::new(left_out) else {
        return;
    };
    let nsd = world(1);
    let mut service = service(&nsd, "[perimeter]\nxclient = [\"127.0.0.1\"]");
    let postfix = setup
        .with(&format!("smtpd_proxy_filter = {}", service.address()))
        .start();
    told_apart(&mut service, postfix.address());
    // Who connected is in the trace field all the same.
    let delivered = service.delivered();
    let text = String::from_utf8_lossy(&delivered[0]);
    assert!(
        text.contains("([127.0.0.1])\n\tby mx.example.org"),
        "{text}"
    );
    service.stop();
}

#[test]
fn a_mail_proxy_speaks_by_xclient() {
    let left_out = "swaks with XCLIENT";
    let swaks = Path::new("/usr/bin/swaks");
    if !Nsd::installed(left_out) || !harness::installed(swaks, left_out) {
        return;
    }
    let nsd = world(2);
    let mut service = service(&nsd, "[perimeter]\nxclient = [\"127.0.0.1\"]");
    for (client, accepted, verdict) in [(FORGER, false, "repudiated"), (RELAY, true, "authorised")]
    {
        let output = Command::new(swaks)
            .args(["--server", "127.0.0.1", "--port"])
            .arg(service.address().port().to_string())
            .args(["--helo", "proxy.example", "--to", "a@local.example"])
            .args(["--from", REVERSE_PATH, "--xclient-name", "client.example"])
            .args(["--xclient-addr", &client.to_string()])
            .args(["--xclient-proto", "ESMTP", "--xclient-helo", "c.example"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(" -> XCLIENT "), "{said}");
        assert_eq!(output.status.success(), accepted, "{said}");
        service.wait_for(&format!("speaks_for={client}"));
        service.wait_for(&format!("verdict={verdict}"));
    }
    service.wait_for("outcome=\"delivered\"");
    let delivered = service.delivered();
    let text = String::from_utf8_lossy(&delivered[0]);
    assert!(
        text.contains("([127.0.0.7])\n\tby mx.example.org"),
        "{text}"
    );
    service.stop();
}

/// A load balancer between `front` and the service. Ends when dropped.
struct HaProxy {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl HaProxy {
    /// Where Debian puts it.
    const PROGRAM: &str = "/usr/sbin/haproxy";

    /// Starts one that gives its header in this form.
    fn start(service: SocketAddr, header: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("haproxy.cfg");
        let mut seen = String::new();
        // Another process may take the port first: then another is tried.
        for _ in 0..5 {
            let address = harness::free_port(Ipv4Addr::LOCALHOST.into()).unwrap();
            let text = format!(
                "defaults\n  mode tcp\n  timeout connect 30s\n  timeout client 60s\n  \
                 timeout server 60s\nlisten mail\n  bind {address}\n  \
                 server vouchsafe {service} {header}\n"
            );
            std::fs::write(&file, text).unwrap();
            let (mut process, mut log) =
                Log::of(Command::new(Self::PROGRAM).arg("-db").arg("-f").arg(&file));
            if log.until_open(&mut process, address) {
                return Self {
                    address,
                    _process: process,
                    _folder: folder,
                };
            }
            seen.push_str(&log.seen);
        }
        panic!("HAProxy does not start:\n{seen}");
    }
}

#[test]
fn a_load_balancer_speaks_by_its_header() {
    let left_out = "HAProxy in front, with PROXY headers";
    let program = Path::new(HaProxy::PROGRAM);
    if !Nsd::installed(left_out) || !harness::installed(program, left_out) {
        return;
    }
    let nsd = world(3);
    let mut service = service(
        &nsd,
        "[perimeter]\nproxies = [\"127.0.0.1\"]\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\nproxy = true",
    );
    let behind = service.addresses()[1];
    for header in ["send-proxy", "send-proxy-v2"] {
        let proxy = HaProxy::start(behind, header);
        told_apart(&mut service, proxy.address);
    }
    // Directly nobody gets in there: neither without a header nor with one of his own making.
    for source in [Ipv4Addr::LOCALHOST, FORGER] {
        let mut client = Client::connect_from(source.into(), behind);
        // It may have been closed already.
        let _ = client.try_send(b"EHLO client.example\r\n");
        let mut rest = Vec::new();
        let _ = client.stream().read_to_end(&mut rest);
        assert!(rest.is_empty(), "{}", rest.escape_ascii());
    }
    assert!(send_from(FORGER, service.address()).starts_with("550 5.7.1 "));
    service.stop();
}

/// A Postfix that has said 250 and sends on to us, as a backup MX does.
fn backup(setup: Setup, service: &Service) -> Postfix {
    let server = service.address();
    setup
        .with(&format!(
            "virtual_mailbox_domains =\n\
             relayhost = [{}]:{}\nsmtp_bind_address = {BACKUP}",
            server.ip(),
            server.port()
        ))
        .start()
}

#[test]
fn what_a_backup_mx_has_queued_is_not_bounced() {
    let left_out = "Postfix as somebody else's backup MX";
    if !Nsd::installed(left_out) {
        return;
    }
    let Some(setup) = Setup::new(left_out) else {
        return;
    };
    let nsd = world(4);
    // Nothing is configured: that it is a backup MX stands in the DNS.
    let mut service = service(&nsd, "");
    service.wait_from_start("perimeter looked up");
    let mut postfix = backup(setup, &service);
    let reply = send_from(FORGER, postfix.address());
    assert!(reply.starts_with("250 "), "{reply}");
    let line = postfix.wait_for("relay=127.0.0.1[127.0.0.1]");
    assert!(line.contains("status=sent"), "{line}");
    // It is the forger's, and is taken all the same.
    service.wait_for("speaks_for=127.0.0.8");
    let line = service.wait_for(" accepted ");
    assert!(line.contains("verdict=repudiated"), "{line}");
    service.wait_for("outcome=\"delivered\"");
    let delivered = service.delivered();
    assert_eq!(delivered.len(), 1);
    let text = String::from_utf8_lossy(&delivered[0]);
    let mark = "Authentication-Results: mx.example.org;\n\tx-vouchsafe=repudiated";
    assert!(text.contains(mark), "{text}");
    assert!(text.contains("smtp.remote-ip=127.0.0.8;"), "{text}");
    assert!(send_from(RELAY, postfix.address()).starts_with("250 "));
    service.wait_for("speaks_for=127.0.0.7");
    let line = service.wait_for(" accepted ");
    assert!(line.contains("verdict=authorised"), "{line}");
    // From anywhere else the same message does not get in.
    let reply = send_from(FORGER, service.address());
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    service.stop();
}
