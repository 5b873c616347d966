//! `vouchsafe publish` as a command: what it prints loads into NSD and BIND, and `check` then says
//! what was meant.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::Value;

use super::bind::{Bind, check_zone};
use super::check::check;
use super::cli::{texts, vouchsafe};
use super::nsd::{Nsd, Zone};

/// Runs `publish` with these arguments; gives the exit code and both outputs.
pub fn publish(arguments: &[&str]) -> (i32, String, String) {
    let output = vouchsafe(&[&["publish"], arguments].concat());
    let (out, err) = texts(&output);
    (output.status.code().unwrap(), out, err)
}

/// The root zone and one more.
pub fn zones<'a>(apex: &'a str, records: &'a str) -> [Zone<'a>; 2] {
    [
        Zone {
            apex,
            records: Some(records),
        },
        Zone::ROOT,
    ]
}

/// `check` of a client with a reverse-path of the domain.
fn verdict(resolver: SocketAddr, client: IpAddr, domain: &str) -> String {
    let mail_from = format!("alice@{domain}");
    let checked = check(&[resolver], (client, "client.example.net", &mail_from), &[]);
    checked.object["mail_from_mx"]["result"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Orders without the DNS, with whom they allow and whom they do not.
const ORDERS: [(&[&str], &[&str], &[&str]); 5] = [
    (
        &["--host", "mail.example.org"],
        &["192.0.2.1"],
        &["192.0.2.2"],
    ),
    (
        &[
            "--network",
            "198.51.100.0/24",
            "--network",
            "2001:db8::25",
            "--changing",
        ],
        &["198.51.100.0", "198.51.100.255", "2001:db8::25"],
        &["198.51.101.0", "192.0.2.1"],
    ),
    (
        &["--group", "isp.example.org", "--host", "192.0.2.9"],
        &["192.0.2.9", "203.0.113.1"],
        &["203.0.113.2"],
    ),
    (&["--never"], &[], &["192.0.2.1"]),
    (
        &[
            "--network",
            "198.51.100.0/25",
            "--network",
            "203.0.113.0/24",
            "--network",
            "192.0.2.64/26",
            "--network",
            "192.0.2.4/30",
            "--network",
            "2001:db8:1::/120",
            "--host",
            "mail.example.org",
        ],
        &[
            "198.51.100.127",
            "203.0.113.255",
            "192.0.2.127",
            "2001:db8:1::ff",
            "192.0.2.1",
        ],
        &["198.51.100.128", "2001:db8:1::100"],
    ),
];

/// What the orders lean on.
const BESIDE: &str = "mail 3600 A 192.0.2.1\n\
    mail 3600 AAAA 2001:db8::1\n\
    MAIL-FROM.isp 3600 MX 0 out.isp\n\
    out.isp 3600 A 203.0.113.1\n\
    out.isp 3600 AAAA 2001:db8::2\n";

#[test]
fn what_is_printed_loads_into_nsd_and_bind() {
    if !Nsd::installed("`publish` loaded into NSD")
        || !Bind::installed("`publish` loaded into BIND")
    {
        return;
    }
    for (at, (order, allowed, refused)) in ORDERS.iter().enumerate() {
        let (code, printed, err) = publish(&[&["example.org"], *order].concat());
        assert_eq!((code, &*err), (0, ""), "{order:?}");
        let records = format!("{BESIDE}{printed}");
        let (loads, said) = check_zone("example.org", &records);
        assert!(loads, "{order:?}: {said}");
        let last = u8::try_from(at + 1).unwrap();
        let zones = zones("example.org", &records);
        let nsd = Nsd::start(Ipv4Addr::new(127, 53, 3, last).into(), &zones);
        let bind = Bind::start(&zones);
        for server in [nsd.address(), bind.address()] {
            for (clients, expected) in [(allowed, "authorised"), (refused, "repudiated")] {
                for client in *clients {
                    let client = client.parse().unwrap();
                    let seen = verdict(server, client, "example.org");
                    assert_eq!(seen, expected, "{order:?} {client}");
                }
            }
        }
    }
}

/// One file of testdata/publish, as far as it concerns a command.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    domain: Option<String>,
    zones: BTreeMap<String, ZoneText>,
    covers: Vec<String>,
    #[serde(default)]
    left_out: Vec<String>,
    #[serde(default)]
    doubts: Vec<String>,
}

/// A zone's lines.
#[derive(Deserialize)]
struct ZoneText {
    records: String,
}

#[test]
fn spf_records_of_every_shape_come_back_over_the_real_dns() {
    if !Nsd::installed("`publish --from-spf` against NSD")
        || !Bind::installed("`publish --from-spf` against BIND")
    {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/publish");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    assert!(files.len() >= 20);
    for (number, path) in files.iter().enumerate() {
        let file: File = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        there_and_back(
            u8::try_from(number + 1).unwrap(),
            &path.display().to_string(),
            &file,
        );
    }
}

/// Makes a set of the published record, publishes it, and checks whom it covers.
fn there_and_back(number: u8, name: &str, file: &File) {
    let domain = file.domain.as_deref().unwrap_or("example.org");
    let served = |more: &str| -> BTreeMap<String, String> {
        let mut all: BTreeMap<_, _> = file
            .zones
            .iter()
            .map(|(apex, zone)| (apex.clone(), zone.records.clone()))
            .collect();
        all.entry(".".to_owned()).or_default();
        all.entry(domain.to_owned()).or_default().push_str(more);
        all
    };
    let zones = |all: &BTreeMap<String, String>| -> Server {
        let zones: Vec<Zone<'_>> = all
            .iter()
            .map(|(apex, records)| Zone {
                apex,
                records: Some(records),
            })
            .collect();
        // One server or the other: both read every form of record somewhere.
        if number.is_multiple_of(2) {
            Server::Nsd(Nsd::start(Ipv4Addr::new(127, 53, 5, number).into(), &zones))
        } else {
            Server::Bind(Bind::start(&zones))
        }
    };
    let before = zones(&served(""));
    let resolver = format!("--resolver={}", before.address());
    let (code, printed, err) = publish(&[domain, "--from-spf", &resolver]);
    let (_, object, _) = publish(&[domain, "--from-spf", &resolver, "--format=json"]);
    let object: Value =
        serde_json::from_str(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(code, i32::from(!file.left_out.is_empty()), "{name}: {err}");
    let left_out: Vec<_> = object["not_covered"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let what = one["network"].as_str().or(one["from"].as_str()).unwrap();
            format!("{what} {}", one["why"].as_str().unwrap())
        })
        .collect();
    assert_eq!(left_out, file.left_out, "{name}");
    assert_eq!(
        object["doubts"].as_array().unwrap().len(),
        file.doubts.len(),
        "{name}"
    );
    // The new SPF record takes the old one's place; the set beside it is what is looked at.
    let printed: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with(&format!("{domain}. ")))
        .collect();
    let after = zones(&served(&format!("\n{}", printed.join("\n"))));
    let client = |text: &String| {
        let network = text.parse::<IpAddr>().map(IpNet::from);
        network
            .unwrap_or_else(|_| text.parse().unwrap())
            .broadcast()
    };
    for client in file.covers.iter().map(client) {
        assert_eq!(
            verdict(after.address(), client, domain),
            "authorised",
            "{name} {client}"
        );
    }
    if !file.covers.is_empty() {
        let stranger = "203.0.113.254".parse().unwrap();
        assert_eq!(
            verdict(after.address(), stranger, domain),
            "repudiated",
            "{name}"
        );
    }
}

/// Either server.
enum Server {
    Nsd(Nsd),
    Bind(Bind),
}

impl Server {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Nsd(nsd) => nsd.address(),
            Self::Bind(bind) => bind.address(),
        }
    }
}

#[test]
fn an_update_makes_it_so_and_then_there_is_no_difference() {
    if !Bind::installed("`publish --format nsupdate` through nsupdate") {
        return;
    }
    let records = "@ 3600 TXT \"v=spf1 a:old.example.org ~all\"\n\
        @ 3600 TXT \"site-verification=abc\"\n\
        MAIL-FROM 3600 MX 0 mfr-192-0-2-77\n\
        MAIL-FROM 3600 MX 0 old\n\
        mfr-192-0-2-77 3600 A 192.0.2.77\n\
        old 3600 A 192.0.2.5\n\
        mail 3600 A 192.0.2.1\n";
    let bind = Bind::start(&zones("example.org", records));
    let resolver = format!("--resolver={}", bind.address());
    let order = [
        "example.org",
        "--host=mail.example.org",
        "--network=192.0.2.8/30",
        &resolver,
    ];
    let with = |more: &[&'static str]| publish(&[&order[..], more].concat());
    let (code, difference, err) = with(&["--diff"]);
    assert_eq!((code, &*err), (0, ""));
    for line in [
        "- MAIL-FROM.example.org. 3600 IN MX 0 old.example.org.",
        "- mfr-192-0-2-77.example.org. 3600 IN A 192.0.2.77",
        "- example.org. 3600 IN TXT \"v=spf1 a:old.example.org ~all\"",
        "+ MAIL-FROM.example.org. 3600 IN TXT \"v=MFMX1\"",
        "+ mfr-192-0-2-8-30.example.org. 3600 IN A 192.0.2.11",
    ] {
        assert!(difference.contains(line), "{line} in {difference}");
    }
    assert!(!difference.contains("site-verification"));
    let (_, update, _) = with(&["--format=nsupdate"]);
    bind.update(&update);
    let (_, object, _) = with(&["--diff", "--format=json"]);
    let object: Value = serde_json::from_str(&object).unwrap();
    for what in ["add", "delete"] {
        assert_eq!(
            object["change"][what].as_array().unwrap().len(),
            0,
            "{object:#}"
        );
    }
    assert_eq!(object["change"]["keep"], object["records"]);
    // The text of another is still there, so the update took nothing that is not ours.
    let (_, nothing, _) = with(&["--format=nsupdate"]);
    assert_eq!(nothing, "");
    let client = "192.0.2.11".parse().unwrap();
    assert_eq!(verdict(bind.address(), client, "example.org"), "authorised");
    // Where nobody is asked what is there, a set is replaced as a whole.
    let (code, update, err) = publish(&["example.org", "--never", "--format=nsupdate"]);
    assert_eq!(code, 0);
    assert!(err.contains("nobody was asked"), "{err}");
    bind.update(&update);
    assert_eq!(verdict(bind.address(), client, "example.org"), "repudiated");
}

#[test]
fn what_cannot_be_is_said_with_its_own_exit_code() {
    let hosts: Vec<String> = (0..31)
        .map(|n| format!("--host=h{n}.example.org"))
        .collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let wide = ["example.org", "--network=198.18.0.0/15", "--host=192.0.2.1"];
    let (code, out, err) = publish(&wide);
    assert_eq!(code, 1);
    assert!(err.contains("not covered: 198.18.0.0/15"), "{err}");
    assert!(out.contains("; INCOMPLETE") && out.contains("MX   0 mfr-192-0-2-1.example.org."));
    for (arguments, expected) in [
        (&["example.org"][..], 64),
        (&["example.org", "--never", "--host=a.example"], 64),
        (&["example.org", "--host=a b"], 64),
        (&["example.org", "--network=192.0.2.0/33"], 64),
        (&["example.org", "--ttl=7200", "--never"], 64),
        (&["exam ple", "--never"], 64),
        (&["--never"], 64),
        (&[&["example.org"], &hosts[..]].concat(), 65),
    ] {
        let (code, out, err) = publish(arguments);
        assert_eq!(code, expected, "{arguments:?} {err}");
        assert!(out.is_empty() && !err.is_empty());
    }
    if !Nsd::installed("`publish` against a name server that fails") {
        return;
    }
    let zones = [
        Zone {
            apex: "broken.example",
            records: None,
        },
        Zone {
            apex: "example.org",
            records: Some("@ 3600 TXT \"v=spf1 ip4:1.2.3 -all\""),
        },
    ];
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 6, 2).into(), &zones);
    let resolver = format!("--resolver={}", nsd.address());
    let (code, _, err) = publish(&["--from-spf", "broken.example", &resolver]);
    assert_eq!(code, 75, "{err}");
    let (code, _, err) = publish(&["--from-spf", "example.org", &resolver]);
    assert_eq!(code, 65, "{err}");
    assert!(err.contains("cannot be read"), "{err}");
}

#[test]
fn whoever_sends_and_enters_nothing_is_named_beside_a_ledger() {
    let order = [
        "example.org",
        "--host=mail.example.org",
        "--network=192.0.2.8/29",
    ];
    let (code, out, err) = publish(&order);
    assert_eq!((code, out.contains("_sent"), &err[..]), (0, false, ""));
    let with = |more: &[&str]| publish(&[&order[..], more].concat());
    let (code, out, err) = with(&["--ledger=mail.example.org"]);
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("_sent.example.org. 3600 IN NS   mail.example.org.\n"),
        "{out}"
    );
    assert!(
        err.contains("192.0.2.8/29 sends") && err.contains("[ledger.writers]"),
        "{err}"
    );
    assert_eq!(err.lines().count(), 1, "{err}");
    let (_, _, err) = with(&["--ledger=ns.example.org"]);
    assert!(err.contains("mail.example.org sends"), "{err}");
    let (code, _, err) = with(&["--ledger=ns._sent.example.org"]);
    assert_eq!(code, 64, "{err}");
}

#[test]
fn a_configuration_says_who_answers_and_who_enters() {
    if !Nsd::installed("`publish` by a configuration") {
        return;
    }
    let records = "mail 3600 A 192.0.2.1\nout 3600 A 192.0.2.2\nns 3600 A 192.0.2.3\n";
    let nsd = Nsd::start(
        Ipv4Addr::new(127, 53, 11, 1).into(),
        &zones("example.org", records),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vouchsafe.toml");
    let config = format!("--config={}", path.display());
    let resolver = format!("--resolver={}", nsd.address());
    let write = |address: &str, more: &str| {
        let text = format!(
            "hostname = \"mail.example.org\"\ndata_dir = \"/nonexistent\"\n[[listen]]\naddress = \"127.0.0.1:25\"\n\
             [domains.\"example.org\"]\nnext_hop = \"smtp://127.0.0.1:26\"\n\
             [ledger]\naddress = [{address}]\nname_servers = [\"ns.example.org\"]\n{more}"
        );
        fs::write(&path, text).unwrap();
    };
    let order = |domain| {
        let hosts = ["--host=mail.example.org", "--host=out.example.org"];
        publish(&[&[domain, config.as_str(), &resolver], &hosts[..]].concat())
    };
    let delegation = "_sent.example.org. 3600 IN NS   ns.example.org.\n";
    write("\"192.0.2.3:53\"", "");
    let (_, out, err) = order("example.org");
    assert!(out.contains(delegation), "{out}{err}");
    assert!(
        err.contains("out.example.org sends") && !err.contains("mail.example.org sends"),
        "{err}"
    );
    write("\"192.0.2.3:53\"", "[ledger.writers.\"out.example.org\"]\n");
    let (_, out, err) = order("example.org");
    assert!(out.contains(delegation) && err.is_empty(), "{out}{err}");
    // Of another's domain it says nothing, and where it answers nobody it is not named.
    assert!(!order("other.example").1.contains("_sent"));
    write("", "");
    assert!(!order("example.org").1.contains("_sent"));
}
