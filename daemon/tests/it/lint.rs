//! `vouchsafe lint` as a command: it finds over the real DNS what the pure study finds, and nothing
//! in what `publish` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::bind::Bind;
use super::cli::{texts, vouchsafe};
use super::nsd::{Nsd, Zone};
use super::publish::{publish, zones};

/// Runs `lint --format json`; gives the exit code and the object.
fn lint(domain: &str, resolver: SocketAddr, more: &[&str]) -> (i32, Value) {
    let resolver = format!("--resolver={resolver}");
    let arguments = [&["lint", domain, "--format=json", &resolver], more].concat();
    let output = vouchsafe(&arguments);
    let (out, err) = texts(&output);
    let object = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (output.status.code().unwrap(), object)
}

/// The words of findings, of these severities.
fn words(object: &Value, severities: &[&str]) -> BTreeSet<String> {
    let all = object["findings"].as_array().unwrap().iter();
    all.filter(|finding| severities.contains(&finding["severity"].as_str().unwrap()))
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect()
}

/// One file of testdata/lint, as far as it concerns a server.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    domain: Option<String>,
    findings: BTreeSet<String>,
    writers: Option<Vec<String>>,
    #[serde(default)]
    failing_zones: Vec<String>,
    zones: BTreeMap<String, ZoneText>,
}

/// A zone's lines.
#[derive(Deserialize)]
struct ZoneText {
    records: String,
}

/// That of a service which takes the domain's mail; the first writer is its host.
fn configuration(domain: &str, writers: &[String]) -> String {
    let (host, others) = writers.split_first().unwrap();
    let tables = others.iter();
    let tables = tables.map(|other| format!("[ledger.writers.\"{other}\"]"));
    let others = tables.collect::<Vec<_>>().join("\n");
    format!(
        "hostname = \"{host}\"\ndata_dir = \"/nonexistent\"\n[[listen]]\naddress = \"127.0.0.1:25\"\n\
         [domains.\"{domain}\"]\nnext_hop = \"smtp://127.0.0.1:26\"\n{others}"
    )
}

#[test]
fn every_finding_is_found_over_the_real_dns() {
    if !Nsd::installed("files of testdata/lint against a real name server") {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/lint");
    let mut tried = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        tried += 1;
        let failing = file.failing_zones.iter().map(|apex| Zone {
            apex,
            records: None,
        });
        let mut zones: Vec<Zone<'_>> = file
            .zones
            .iter()
            .map(|(apex, zone)| Zone {
                apex,
                records: Some(&zone.records),
            })
            .chain(failing)
            .collect();
        zones.push(Zone::ROOT);
        let nsd = Nsd::start(Ipv4Addr::new(127, 53, 7, tried).into(), &zones);
        let domain = file.domain.as_deref().unwrap_or("example.org");
        let written = tempfile::tempdir().unwrap();
        let config = file.writers.map(|hosts| {
            let path = written.path().join("vouchsafe.toml");
            fs::write(&path, configuration(domain, &hosts)).unwrap();
            format!("--config={}", path.display())
        });
        let more: Vec<_> = config.as_deref().into_iter().collect();
        let (code, object) = lint(domain, nsd.address(), &more);
        let name = path.display();
        let all = words(&object, &["info", "warning", "error"]);
        let missing: Vec<_> = file.findings.difference(&all).collect();
        assert!(missing.is_empty(), "{name}: {missing:?} {object:#}");
        let loud = words(&object, &["warning", "error"]);
        assert!(loud.is_subset(&file.findings), "{name}: {object:#}");
        let errors = !words(&object, &["error"]).is_empty();
        let expected = if errors {
            2
        } else {
            i32::from(!loud.is_empty())
        };
        assert_eq!(code, expected, "{name}: {object:#}");
    }
    assert!(tried >= 50, "{tried}");
}

/// What is ordered of `publish`, besides the domain.
const ORDERS: [&[&str]; 6] = [
    &["--host=mail.example.org"],
    &[
        "--host=mail.example.org",
        "--changing",
        "--network=2001:db8::25",
    ],
    &["--network=198.51.100.0/24", "--network=192.0.2.8/29"],
    &["--group=isp.example.org", "--host=192.0.2.9"],
    &["--never"],
    // More than one set holds: a second one of the domain's own.
    &[
        "--network=198.51.100.0/25",
        "--network=203.0.113.0/24",
        "--network=192.0.2.64/26",
        "--network=2001:db8:1::/120",
        "--host=mail.example.org",
    ],
];

#[test]
fn nothing_is_found_in_what_publish_prints() {
    if !Nsd::installed("`lint` of what `publish` prints, with NSD")
        || !Bind::installed("`lint` of what `publish` prints, with BIND")
    {
        return;
    }
    let beside = "mail 3600 A 192.0.2.1\n\
        mail 3600 AAAA 2001:db8::1\n\
        MAIL-FROM.isp 3600 MX 0 out.isp\n\
        MAIL-FROM.isp 3600 TXT \"v=MFMX1\"\n\
        out.isp 3600 A 203.0.113.1\n\
        * 3600 MX 10 mail\n";
    for (at, order) in ORDERS.iter().enumerate() {
        let (code, printed, err) = publish(&[&["example.org"], *order].concat());
        assert_eq!((code, &*err), (0, ""), "{order:?}");
        let records = format!("{beside}{printed}");
        let zones = zones("example.org", &records);
        let last = u8::try_from(at + 1).unwrap();
        let nsd = Nsd::start(Ipv4Addr::new(127, 53, 8, last).into(), &zones);
        let bind = Bind::start(&zones);
        for server in [nsd.address(), bind.address()] {
            let (code, object) = lint("example.org", server, &["--ignore=unsigned"]);
            assert_eq!(code, 0, "{order:?} {object:#}");
            let infos = words(&object, &["info"]);
            // Made names have one family, and nobody has named the addresses.
            let known = ["no-ipv4", "no-ipv6", "no-reverse-name"];
            assert!(
                infos.iter().all(|word| known.contains(&&**word)),
                "{order:?} {object:#}"
            );
        }
    }
}

#[test]
fn a_relay_that_greets_strangers_is_found_only_when_asked_for() {
    if !Nsd::installed("`lint --probe`") {
        return;
    }
    let relay = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = relay.local_addr().unwrap().port();
    let records = "MAIL-FROM 3600 MX 0 relay\n\
        MAIL-FROM 3600 TXT \"v=MFMX1\"\n\
        @ 3600 TXT \"v=spf1 a:relay.example.org -all\"\n\
        relay 3600 A 127.0.0.1\n";
    let nsd = Nsd::start(
        Ipv4Addr::new(127, 53, 9, 1).into(),
        &zones("example.org", records),
    );
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = relay.accept().unwrap();
        stream
            .write_all(b"220 relay.example.org ESMTP\r\n")
            .unwrap();
    });
    // Whoever knocks without being asked finds this greeting used up, and the next one missing.
    let (code, object) = lint("example.org", nsd.address(), &[]);
    assert_eq!(code, 1, "{object:#}");
    assert!(!words(&object, &["warning"]).contains("open-door"));
    let probe = format!("--probe={port}");
    let (_, object) = lint("example.org", nsd.address(), &[&probe]);
    greeter.join().unwrap();
    assert!(
        words(&object, &["warning"]).contains("open-door"),
        "{object:#}"
    );
}

#[test]
fn text_says_what_where_and_what_to_do_and_trouble_is_75() {
    let output = vouchsafe(&["lint", "exam ple"]);
    assert_eq!(output.status.code(), Some(64));
    let output = vouchsafe(&["lint", "example.org", "--ignore=nonsense"]);
    assert_eq!(output.status.code(), Some(64));
    if !Nsd::installed("`lint` as text") {
        return;
    }
    let zones = [
        Zone {
            apex: "example.org",
            records: Some("@ 3600 TXT \"v=spf1 +all\""),
        },
        Zone {
            apex: "broken.example",
            records: None,
        },
    ];
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 9, 2).into(), &zones);
    let resolver = format!("--resolver={}", nsd.address());
    let output = vouchsafe(&["lint", "example.org", &resolver]);
    let (out, _) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{out}");
    assert!(
        out.starts_with(
            "error    spf-plus-all\n         record  example.org TXT \"v=spf1 +all\"\n         \
             effect  every host of the world passes: a forgery as well\n         \
             cure    end the record with -all\n\n"
        ),
        "{out}"
    );
    assert!(out.ends_with("example.org: 1 error, 1 info\n"), "{out}");
    let output = vouchsafe(&["lint", "broken.example", &resolver]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(75), "{out}{err}");
    assert!(
        out.is_empty() && err.contains("nothing could be checked"),
        "{err}"
    );
}
