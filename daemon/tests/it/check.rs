//! `vouchsafe check` as a command: what it prints, how it ends, what it refuses.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use super::nsd::{Nsd, Zone};

/// How a check ended.
pub struct Checked {
    /// Exit code.
    pub code: i32,
    /// What it printed.
    pub object: Value,
}

/// Runs `check --format json` with this perimeter, and with the MAIL-FROM MX check alone: the other
/// tests have scenarios of their own.
pub fn check(
    resolvers: &[SocketAddr],
    request: (IpAddr, &str, &str),
    perimeter: &[String],
) -> Checked {
    let settings =
        format!("[perimeter]\nhosts = {perimeter:?}\n[verify]\nspf = false\nsender_domain = false");
    check_with(resolvers, request, &settings, &[])
}

/// Runs `check --format json` with these settings and these further arguments.
pub fn check_with(
    resolvers: &[SocketAddr],
    (client, helo, mail_from): (IpAddr, &str, &str),
    settings: &str,
    more: &[&str],
) -> Checked {
    let folder = TempDir::new().unwrap();
    let mut arguments: Vec<String> = more.iter().map(ToString::to_string).collect();
    let file = folder.path().join("vouchsafe.toml");
    fs::write(&file, configuration(settings)).unwrap();
    arguments.push(format!("--config={}", file.display()));
    for resolver in resolvers {
        arguments.push(format!("--resolver={resolver}"));
    }
    arguments.extend([
        format!("--ip={client}"),
        format!("--helo={helo}"),
        format!("--mail-from={mail_from}"),
        "--format=json".to_owned(),
    ]);
    let output = run(&arguments);
    let printed = String::from_utf8(output.stdout).unwrap();
    Checked {
        code: output.status.code().unwrap(),
        object: serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{error}: {printed}{:?}", output.stderr)),
    }
}

/// A smallest configuration, and something more.
fn configuration(more: &str) -> String {
    format!(
        "hostname = \"mx.example.com\"\n\
         data_dir = \"/nonexistent\"\n\
         [[listen]]\n\
         address = \"127.0.0.1:25\"\n\
         [domains.\"example.com\"]\n\
         next_hop = \"smtp://127.0.0.1:26\"\n\
         {more}\n"
    )
}

/// Runs `check` with these arguments.
fn run<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe"));
    command.arg("check").args(arguments).output().unwrap()
}

/// Standard output as text.
fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A server with the zones of the tests below; none if it is not installed.
fn nsd() -> Option<Nsd> {
    if !Nsd::installed("`check` against a real name server") {
        return None;
    }
    let records = "MAIL-FROM 3600 MX 0 relay\n\
         relay 600 A 192.0.2.1\n\
         relay 600 A 192.0.2.2\n\
         alias 60 CNAME relay\n\
         mx2 60 A 192.0.2.77\n";
    let zones = [
        Zone {
            apex: "example.org",
            records: Some(records),
        },
        Zone {
            apex: "broken.example",
            records: None,
        },
    ];
    Some(Nsd::start(Ipv4Addr::new(127, 53, 1, 1).into(), &zones))
}

#[test]
fn text_is_a_verdict_a_reason_a_reply_and_a_table() {
    let Some(nsd) = nsd() else { return };
    let resolver = nsd.address().to_string();
    let arguments = |ip| {
        [
            "--resolver",
            &resolver,
            "--ip",
            ip,
            "--helo",
            "x",
            "--mail-from",
            "<alice@example.org>",
        ]
        .map(str::to_owned)
    };
    let output = run(&arguments("192.0.2.2"));
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        printed(&output),
        "\
verdict  authorised (host)
because  192.0.2.2 is a border relay of example.org: relay.example.org has that address, listed at mail-from.example.org
reply    250 2.1.0 sender ok
dns      2 queries

question                  answer               ttl   secure  cached
mail-from.example.org MX  0 relay.example.org  3600  no      no
relay.example.org A       192.0.2.1            600   no      no
                          192.0.2.2
"
    );
    let output = run(&arguments("192.0.2.3"));
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).starts_with("verdict  repudiated (not_listed)\n"));
    assert!(printed(&output).contains("\nreply    550 5.7.1 delivery not authorized: "));
}

#[test]
fn the_object_has_its_keys_whatever_the_verdict() {
    let Some(nsd) = nsd() else { return };
    for (client, mail_from, verdict, code, reply) in [
        ("192.0.2.1", "a@example.org", "authorised", 0, 250),
        ("192.0.2.9", "a@example.org", "repudiated", 1, 550),
        ("192.0.2.9", "a@broken.example", "tempfail", 75, 450),
        // Nobody serves this one: refused, which is no answer.
        ("192.0.2.9", "a@elsewhere.example", "tempfail", 75, 450),
        ("192.0.2.9", "", "unknown", 0, 250),
        ("192.0.2.9", "a@[192.0.2.9]", "unknown", 0, 250),
    ] {
        let request = (client.parse().unwrap(), "x", mail_from);
        let checked = check(&[nsd.address()], request, &[]);
        let object = &checked.object;
        assert_eq!(object["verdict"], verdict, "{object:#}");
        assert_eq!(checked.code, code, "{object:#}");
        assert_eq!(object["reply"]["code"], reply, "{object:#}");
        assert_eq!(object["mail_from_mx"]["result"], verdict, "{object:#}");
        let steps = object["steps"].as_array().unwrap();
        assert_eq!(object["dns"]["queries"], steps.len(), "{object:#}");
    }
}

#[test]
fn the_configuration_gives_perimeter_and_relay_networks() {
    let Some(nsd) = nsd() else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vouchsafe.toml");
    let more = format!(
        "[dns]\nservers = [\"{}\"]\n\
         [relay]\nfrom = [\"10.0.0.0/8\"]\n\
         [perimeter]\nhosts = [\"mx2.example.org\", \"198.51.100.0/24\"]",
        nsd.address()
    );
    fs::write(&file, configuration(&more)).unwrap();
    for (client, mail_from, verdict, reason) in [
        ("192.0.2.77", "a@example.org", "unknown", Some("perimeter")),
        (
            "198.51.100.7",
            "a@example.org",
            "unknown",
            Some("perimeter"),
        ),
        (
            "192.0.2.78",
            "a@example.org",
            "repudiated",
            Some("not_listed"),
        ),
        ("10.1.2.3", "a@example.com", "authorised", None),
        ("10.1.2.3", "a@example.org", "unknown", None),
    ] {
        let output = run(&[
            &format!("--config={}", file.display()),
            &format!("--ip={client}"),
            "--helo=x",
            &format!("--mail-from={mail_from}"),
            "--format=json",
        ]);
        let object: Value = serde_json::from_str(printed(&output)).unwrap();
        assert_eq!(
            object["verdict"], verdict,
            "{client} {mail_from} {object:#}"
        );
        assert_eq!(
            object["mail_from_mx"]["reason"].as_str(),
            reason,
            "{object:#}"
        );
    }
}

#[test]
fn a_resolver_that_is_silent_is_no_rejection_and_a_second_one_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vouchsafe.toml");
    let ask = |servers: &[SocketAddr], timeout: &str| {
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let dns = format!("[dns]\nservers = {servers:?}\ntimeout = \"{timeout}\"");
        fs::write(&file, configuration(&dns)).unwrap();
        run(&[
            &format!("--config={}", file.display()),
            "--ip=192.0.2.1",
            "--helo=x",
            "--mail-from=a@example.org",
        ])
    };
    let output = ask(&[silent_at], "200ms");
    assert_eq!(output.status.code(), Some(75));
    assert!(printed(&output).contains("mail-from.example.org MX  timeout  -    no      no"));
    let Some(nsd) = nsd() else { return };
    let output = ask(&[silent_at, nsd.address()], "2s");
    assert_eq!(output.status.code(), Some(0));
    assert!(printed(&output).starts_with("verdict  authorised"));
}

#[test]
fn wrong_usage_is_64_and_a_missing_or_wrong_configuration_its_own_code() {
    let good = ["--ip=192.0.2.1", "--helo=x", "--mail-from=a@example.org"];
    let with = |at: usize, other: &'static str| {
        let mut arguments = good;
        arguments[at] = other;
        arguments
    };
    for arguments in [
        with(0, "--ip=192.0.2"),
        with(2, "--mail-from=a b@example.org"),
        with(2, "--mail-from=a@b@example.org"),
        with(2, "--mail-from=<a@example.org"),
        with(2, "--mail-from=a@example.org>"),
        with(2, "--mail-from=a@"),
        with(0, "--resolver=localhost"),
        with(0, "--helo=again"),
        with(0, "--nonsense"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vouchsafe.toml");
    let config = format!("--config={}", file.display());
    let arguments = [&config, good[0], good[1], good[2]];
    assert_eq!(run(&arguments).status.code(), Some(66));
    fs::write(&file, "nonsense = 1").unwrap();
    assert_eq!(run(&arguments).status.code(), Some(78));
}

#[test]
fn the_dns_of_the_local_domains_adds_to_the_perimeter() {
    if !Nsd::installed("`check` with a perimeter from the DNS") {
        return;
    }
    let zones = [
        Zone {
            apex: "example.org",
            records: Some("MAIL-FROM MX 0 relay\nrelay A 192.0.2.1\n"),
        },
        Zone {
            apex: "example.com",
            records: Some(
                "@ MX 10 mx\n@ MX 20 backup.example.net.\nmx A 192.0.2.10\n\
                 MAIL-FROM MX 0 MAIL-FROM.example.net.\n",
            ),
        },
        Zone {
            apex: "example.net",
            records: Some("backup AAAA 2001:db8::20\nMAIL-FROM MX 0 out\nout A 192.0.2.30\n"),
        },
    ];
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 1, 2).into(), &zones);
    for (client, inside) in [
        ("192.0.2.10", true),
        ("2001:db8::20", true),
        ("192.0.2.30", true),
        ("192.0.2.40", false),
    ] {
        let client: IpAddr = client.parse().unwrap();
        let asked = (client, "client.example", "alice@example.org");
        let checked = check(&[nsd.address()], asked, &[]);
        let verdict = if inside { "unknown" } else { "repudiated" };
        assert_eq!(checked.object["verdict"], verdict, "{client}");
        let reason = &checked.object["mail_from_mx"]["reason"];
        assert_eq!(reason == "perimeter", inside, "{client}: {reason}");
    }
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vouchsafe.toml");
    fs::write(&file, configuration("[perimeter]\nautomatic = false")).unwrap();
    let output = run(&[
        format!("--config={}", file.display()),
        format!("--resolver={}", nsd.address()),
        String::from("--ip=192.0.2.10"),
        String::from("--helo=client.example"),
        String::from("--mail-from=alice@example.org"),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
}
