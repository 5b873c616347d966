//! Asked by dig, drill, delv and Unbound, and by `vouchsafe ask` by way of a delegation.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::residue::Kind;
use vouchsafe_proto::residue::covered::Reader;
use vouchsafe_spool::ledger::Entry;

use super::super::cli::{texts, vouchsafe};
use super::super::harness::installed;
use super::super::ledger::known::Sha256;
use super::super::nsd::{Nsd, zone_file};
use super::super::service::Setup;
use super::super::unbound::Unbound;
use super::{Answering, DIGEST, OTHER, hour};

/// What a program prints.
fn run(program: &str, at: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg(format!("@{}", at.ip()));
    command.args(["-p", &at.port().to_string()]).args(arguments);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn dig_hears_what_is_known() {
    if !installed("/usr/bin/dig".as_ref(), "the responder asked by dig") {
        return;
    }
    let answering = Answering::new(Setup::new(), "");
    let (sent, other) = (answering.name(DIGEST), answering.name(OTHER));
    let dig = |arguments: &[&str]| run("dig", answering.at, arguments);
    let here = format!("{:x}", answering.hour.number());
    for more in [
        &["+noedns"][..],
        &[],
        &["+nocookie"],
        &["+tcp"],
        &["+tcp", "+keepopen"],
        &["+bufsize=512"],
    ] {
        let said = dig(&[&["-t", "TXT", &sent], more].concat());
        assert!(said.contains("status: NOERROR"), "{more:?}: {said}");
        assert!(said.contains("v=1 s=1 c="), "{more:?}: {said}");
        assert!(said.contains("flags: qr aa rd;"), "{more:?}: {said}");
    }
    let mixed: String = sent
        .chars()
        .enumerate()
        .map(|(at, c)| {
            if at % 3 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect();
    let said = dig(&["-t", "TXT", &mixed]);
    assert!(
        said.contains("v=1 s=1 c=") && said.contains(&mixed),
        "{said}"
    );
    // Nothing is covered by a ledger that has just begun.
    let said = dig(&["-t", "TXT", &other]);
    assert!(
        said.contains("v=1 s=2 c=") && said.contains(&here[..4]),
        "{said}"
    );
    let cookie = dig(&["-t", "TXT", &sent, "+cookie=0102030405060708"]);
    let cookie = cookie.split("COOKIE: ").nth(1).unwrap();
    let cookie = cookie.split(' ').next().unwrap().to_owned();
    assert!(
        cookie.starts_with("0102030405060708") && cookie.len() == 32,
        "{cookie}"
    );
    let said = dig(&["-t", "TXT", &sent, &format!("+cookie={cookie}")]);
    assert!(said.contains(&format!("COOKIE: {cookie} (good)")), "{said}");
}

#[test]
fn dig_hears_what_the_zone_is() {
    if !installed("/usr/bin/dig".as_ref(), "the zone of the responder") {
        return;
    }
    let setup = Setup::new().domain("other.example", "lmtp://127.0.0.1:1");
    let mut answering = Answering::new(setup, "policy = \"reject\"");
    let at = answering.at;
    let dig = |arguments: &[&str]| run("dig", at, arguments);
    for domain in ["local.example", "other.example"] {
        let said = dig(&["-t", "TXT", &format!("_sent.{domain}")]);
        assert!(
            said.contains("\"v=vouch1 h=sha256-128 b=24 w=336 l=80 p=reject\""),
            "{said}"
        );
    }
    let said = dig(&["-t", "NS", "_sent.local.example"]);
    assert!(said.contains("ns.local.example."), "{said}");
    let said = dig(&["-t", "SOA", "_sent.local.example"]);
    assert!(
        said.contains("hostmaster.local.example. 1 3600 600 86400 300"),
        "{said}"
    );
    for (name, status) in [
        ("nothing.at.all._sent.local.example", "NXDOMAIN"),
        ("9._sent.local.example", "NOERROR"),
        ("x.9._sent.local.example", "FORMERR"),
        ("_sent.third.example", "REFUSED"),
        ("local.example", "REFUSED"),
    ] {
        let said = dig(&["-t", "TXT", name]);
        assert!(
            said.contains(&format!("status: {status}")),
            "{name}: {said}"
        );
    }
    let said = dig(&[
        "-t",
        "TXT",
        "_sent.local.example",
        "+edns=1",
        "+noednsnegotiation",
    ]);
    assert!(said.contains("BADVERS"), "{said}");
    // A reload takes zones and policy over.
    let config = answering.service.folder().path().join("vouchsafe.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text
        .replace("other.example", "third.example")
        .replace("\"reject\"", "\"none\"");
    std::fs::write(&config, text).unwrap();
    answering.service.signal("HUP");
    answering
        .service
        .wait_for("sessions go by the new configuration");
    let said = dig(&["-t", "TXT", "_sent.third.example"]);
    assert!(said.contains("l=80 p=none"), "{said}");
    let said = dig(&["-t", "TXT", "_sent.other.example"]);
    assert!(said.contains("REFUSED"), "{said}");
    answering.service.stop();
}

#[test]
fn drill_and_delv_hear_the_same() {
    let answering = Answering::new(Setup::new(), "");
    let sent = answering.name(DIGEST);
    if installed("/usr/bin/drill".as_ref(), "the responder asked by drill") {
        for more in [&[][..], &["-t"]] {
            let said = run("drill", answering.at, &[more, &[&sent, "TXT"]].concat());
            assert!(said.contains("v=1 s=1 c="), "{said}");
        }
    }
    if installed("/usr/bin/delv".as_ref(), "the responder asked by delv") {
        let said = run("delv", answering.at, &["-i", &sent, "TXT"]);
        assert!(said.contains("v=1 s=1 c="), "{said}");
    }
}

#[test]
fn ask_finds_the_way_by_a_delegation() {
    if !Nsd::installed("the way to the responder") || !Unbound::installed("the same") {
        return;
    }
    let date = Command::new("date").args(["-R", "-u"]).output().unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    let message = format!(
        "From: <alice@local.example>\r\nTo: <bob@example.net>\r\nDate: {}\r\n\
         Message-ID: <1@local.example>\r\n\r\nHi Bob\r\n",
        date.trim()
    );
    let mut reader = Reader::<Sha256>::default();
    reader.read(message.as_bytes());
    let covered = reader.finish().unwrap();
    let path = ReversePath::parse_inside("alice@local.example").unwrap();
    let domain = Domain::parse("example.net").unwrap();
    let entry = Entry {
        kind: Kind::Message,
        hour: covered.hour().unwrap(),
        digest: covered.digest::<Sha256>(&domain, &path).unwrap(),
    };
    assert!(entry.hour <= hour());
    let answering = Answering::with(Setup::new(), "", &[entry]);
    let delegation = "_sent NS ns\nns A 127.0.0.1\n";
    let parent = Nsd::serve(
        Ipv4Addr::LOCALHOST.into(),
        &[(
            "local.example",
            Some(zone_file("local.example", delegation)),
        )],
    );
    let unbound = Unbound::with(
        &[
            ("local.example", parent.address()),
            ("_sent.local.example", answering.at),
        ],
        "",
    );
    let said = run(
        "dig",
        unbound.address(),
        &["-t", "TXT", &answering.name(DIGEST)],
    );
    assert!(said.contains("v=1 s=2 c="), "{said}");
    let file = answering.service.folder().path().join("message.eml");
    std::fs::write(&file, message.replace("\r\n", "\n")).unwrap();
    let ask = |recipient: &str| {
        let output = vouchsafe(&[
            "ask",
            file.to_str().unwrap(),
            "--mail-from=alice@local.example",
            &format!("--recipient={recipient}"),
            &format!("--resolver={}", unbound.address()),
            &format!("--authority-port={}", answering.at.port()),
            "--special-use",
        ]);
        let (out, err) = texts(&output);
        format!("{out}{err}")
    };
    let said = ask("bob@example.net");
    assert!(
        said.contains("sent: it is local.example's own message"),
        "{said}"
    );
    let said = ask("bob@example.com");
    assert!(said.contains(" s=2 c="), "{said}");
}

/// An address of loopback at which port 53 is free, which is where resolvers go when they follow a delegation; none
/// where it may not be opened.
fn port_53() -> Option<SocketAddr> {
    for _ in 0..20 {
        let mut octets = [0; 3];
        getrandom::fill(&mut octets).unwrap();
        let [a, b, c] = octets;
        let address = Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254));
        let at = SocketAddr::from((address, 53));
        let opened =
            TcpListener::bind(at).and_then(|tcp| UdpSocket::bind(at).map(|udp| (tcp, udp)));
        match opened {
            Ok(_) => return Some(at),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                eprintln!("left out: Unbound following a delegation (port 53 may not be opened)");
                return None;
            }
            Err(_) => {}
        }
    }
    panic!("no address of loopback has port 53 free");
}

#[test]
fn unbound_follows_the_delegation() {
    if !Nsd::installed("a delegation that is followed") || !Unbound::installed("the same") {
        return;
    }
    let Some(at) = port_53() else { return };
    let entry = Entry {
        kind: Kind::Message,
        hour: hour(),
        digest: DIGEST,
    };
    let answering = Answering::at(
        &at.to_string(),
        Setup::new(),
        "policy = \"reject\"",
        &[entry],
    );
    assert_eq!(answering.at, at);
    let delegation = format!("_sent NS ns\nns A {}\n", at.ip());
    let zone = zone_file("local.example", &delegation);
    let parent = Nsd::serve(Ipv4Addr::LOCALHOST.into(), &[("local.example", Some(zone))]);
    // It knows the parent alone; the way from there it finds by the records.
    let unbound = Unbound::with(&[("local.example", parent.address())], "");
    let dig = |name: &str, kind: &str| run("dig", unbound.address(), &["-t", kind, name]);
    for more in [&[][..], &["+tcp"]] {
        let name = answering.name(DIGEST);
        let said = run(
            "dig",
            unbound.address(),
            &[&["-t", "TXT", &name], more].concat(),
        );
        assert!(said.contains("v=1 s=1 c="), "{said}");
    }
    let said = dig(&answering.name(OTHER), "TXT");
    assert!(said.contains("v=1 s=2 c="), "{said}");
    let said = dig("_sent.local.example", "TXT");
    assert!(
        said.contains("\"v=vouch1 ") && said.contains("p=reject"),
        "{said}"
    );
    let said = dig("_sent.local.example", "NS");
    assert!(said.contains("NS\tns.local.example."), "{said}");
    let said = dig("nothing.at.all._sent.local.example", "TXT");
    assert!(said.contains("status: NXDOMAIN"), "{said}");
}

#[test]
fn what_publish_delegates_answers_and_lint_finds_what_a_laboratory_lacks() {
    if !Nsd::installed("a delegation by publish") || !Unbound::installed("the same") {
        return;
    }
    let order = [
        "publish",
        "local.example",
        "--host=mail.local.example",
        "--ledger=ns.local.example",
    ];
    let (records, _) = texts(&vouchsafe(&order));
    let delegation = "_sent.local.example. 3600 IN NS   ns.local.example.\n";
    assert!(records.ends_with(delegation), "{records}");
    let (update, _) = texts(&vouchsafe(&[&order[..], &["--format=nsupdate"]].concat()));
    for line in [
        "update delete _sent.local.example. NS\n",
        "update add _sent.local.example. 3600 NS ns.local.example.\n",
    ] {
        assert!(update.contains(line), "{update}");
    }
    let answering = Answering::new(Setup::new(), "policy = \"reject\"");
    let hosts = "mail A 192.0.2.1\nns A 127.0.0.1\n";
    let zone = zone_file("local.example", &format!("{hosts}{records}"));
    let parent = Nsd::serve(Ipv4Addr::LOCALHOST.into(), &[("local.example", Some(zone))]);
    let names = |stubs: &[(&str, SocketAddr)]| Unbound::with(stubs, "");
    let find = |names: &Unbound| {
        let resolver = format!("--resolver={}", names.address());
        let (out, err) = texts(&vouchsafe(&[
            "lint",
            "local.example",
            "--format=json",
            &resolver,
        ]));
        let found: serde_json::Value =
            serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let found = found["findings"].as_array().unwrap().iter();
        let words = found.map(|finding| finding["id"].as_str().unwrap().to_owned());
        words
            .filter(|word| word.starts_with("ledger-") || word == "not-checked")
            .collect::<Vec<_>>()
    };
    let there = names(&[
        ("local.example", parent.address()),
        ("_sent.local.example", answering.at),
    ]);
    // The one server is in a laboratory, and has only just begun.
    let found = [
        "ledger-server-private",
        "ledger-says-unknown",
        "ledger-one-server",
    ];
    assert_eq!(find(&there), found);
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let lame = names(&[
        ("local.example", parent.address()),
        ("_sent.local.example", nowhere),
    ]);
    assert_eq!(find(&lame), ["not-checked"]);
}
