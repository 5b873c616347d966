//! swaks, a client from Debian that shows the whole dialogue: plain, pipelined, under TLS, and in
//! a forger's hand.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output};

use super::super::certificate::{tls_section, write_certificate};
use super::super::harness;
use super::super::nsd::{Nsd, Zone};
use super::super::service::{self, Service};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/bin/swaks";

/// True if swaks is there, and what it needs for TLS.
fn installed(left_out: &str) -> bool {
    if !harness::installed(Path::new(PROGRAM), left_out) {
        return false;
    }
    let support = Command::new(PROGRAM).arg("--support").output().unwrap();
    let support = String::from_utf8_lossy(&support.stdout).into_owned();
    let reason = "swaks has no TLS (libnet-ssleay-perl)";
    harness::there(support.contains("=== TLS supported"), reason, left_out)
}

/// One run against a service.
fn swaks(service: &Service, from: &str, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(["--server", "127.0.0.1", "--port"])
        .arg(service.address().port().to_string())
        .args(["--helo", "client.example", "--to", "a@local.example"])
        .args(["--from", from, "--body", "hello from swaks"])
        .args(arguments)
        .output()
        .unwrap()
}

/// Its dialogue; the run must have gone well.
fn dialogue(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

#[test]
fn plain_pipelined_and_under_tls() {
    if !installed("swaks: plain, pipelined and under TLS") {
        return;
    }
    let setup = service::Setup::new();
    write_certificate(setup.folder());
    let files = tls_section(setup.folder());
    let mut service = setup.with(&files).start();
    for (arguments, with, sent) in [
        (&[][..], "with ESMTP\n", " -> EHLO client.example"),
        (
            &["--protocol", "SMTP"],
            "with SMTP\n",
            " -> HELO client.example",
        ),
        (
            &["--pipeline"],
            "with ESMTP\n",
            " -> RCPT TO:<a@local.example>\n -> DATA",
        ),
        (&["--tls"], "with ESMTPS (TLSv1.3", " ~> DATA"),
        (
            &["--tls", "--tls-protocol", "tlsv1_2", "--pipeline"],
            "with ESMTPS (TLSv1.2",
            " ~> RCPT TO:<a@local.example>\n ~> DATA",
        ),
    ] {
        let before = service.delivered();
        let said = dialogue(&swaks(&service, "someone@sender.example", arguments));
        assert!(said.contains(sent), "{said}");
        service.wait_for("outcome=\"delivered\"");
        let mut new = service.delivered();
        new.retain(|message| !before.contains(message));
        let text = String::from_utf8_lossy(&new[0]);
        assert!(text.contains(with), "{with} {text}");
        assert!(text.contains("\n\nhello from swaks\n"), "{text}");
    }
    service.stop();
}

#[test]
fn a_listed_relay_is_accepted_and_a_forger_repudiated() {
    if !installed("swaks: a forger") || !Nsd::installed("swaks: a forger") {
        return;
    }
    let zones = [
        Zone {
            apex: "honest.example",
            records: Some("MAIL-FROM MX 0 relay\nrelay A 127.0.0.1\n"),
        },
        Zone {
            apex: "forged.example",
            records: Some("MAIL-FROM MX 0 relay\nrelay A 192.0.2.1\n"),
        },
        Zone {
            apex: "broken.example",
            records: None,
        },
    ];
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 2, 1).into(), &zones);
    let mut service = service::Setup::new().dns(nsd.address()).start();

    dialogue(&swaks(&service, "alice@honest.example", &[]));
    service.wait_for("verdict=authorised");
    service.wait_for("outcome=\"delivered\"");
    for (from, reply, verdict) in [
        (
            "alice@forged.example",
            "<** 550 5.7.1 delivery not authorized: ",
            "verdict=repudiated",
        ),
        ("alice@broken.example", "<** 450 4.4.3 ", "verdict=tempfail"),
    ] {
        for arguments in [&[][..], &["--pipeline"]] {
            let output = swaks(&service, from, arguments);
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(!output.status.success(), "{said}");
            assert!(said.contains(reply), "{said}");
            service.wait_for(verdict);
        }
    }
    assert_eq!(service.delivered().len(), 1);
    service.stop();
}
