//! Every scenario of testdata/zone through the real `vouchsafe check`, with a real authoritative
//! server in front: what the pure machine concludes of a world, the daemon concludes of the same
//! world over sockets. The form of the files stands in testdata/zone/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::check::{Checked, check};
use super::corpus::{self, ZoneText};
use super::nsd::Nsd;

/// One file, as far as it concerns a server. What is read here is checked whole by proto's tests.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    only: Option<String>,
    #[serde(default)]
    zones: BTreeMap<String, ZoneText>,
    #[serde(default)]
    failing_zones: Vec<String>,
    #[serde(default)]
    scenario: Vec<Scenario>,
}

/// One client and one reverse-path, and what must come of them.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Scenario {
    name: String,
    client: IpAddr,
    #[serde(default = "default_helo")]
    helo: String,
    mail_from: String,
    #[serde(default)]
    perimeter: Vec<String>,
    verdict: String,
    reason: String,
    reply: Option<String>,
    hosts: Option<Vec<String>>,
    sets: Option<Vec<String>>,
    void: Option<Vec<String>>,
    over: Option<Vec<String>>,
    questions: Option<u32>,
    keep_for: Option<u32>,
}

fn default_helo() -> String {
    "client.example.net".to_owned()
}

/// Files tried at the same time: each has a server of its own.
const AT_ONCE: usize = 4;

#[test]
fn every_scenario_comes_out_as_written_over_the_real_dns() {
    if !Nsd::installed("scenarios of testdata/zone against a real name server") {
        return;
    }
    let tried = corpus::try_all("zone", AT_ONCE, try_file);
    // Most of the corpus needs nothing that only a made-up world can give.
    assert!(tried >= 60, "{tried} scenarios");
}

/// Tries each scenario of a file; gives how many there were.
fn try_file(number: usize, path: &Path) -> usize {
    let file: File = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    if file.only.as_deref() == Some("machine") {
        return 0;
    }
    let zones = corpus::zones(&file.zones, &file.failing_zones);
    // An address for each file, so that none meets another's questions.
    let last = u8::try_from(number % 250).unwrap();
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 0, last + 1).into(), &zones);
    for scenario in &file.scenario {
        let checked = check(
            &[nsd.address()],
            (scenario.client, &scenario.helo, &scenario.mail_from),
            &scenario.perimeter,
        );
        hold(
            &format!("{}: {}", path.display(), scenario.name),
            scenario,
            &checked,
        );
    }
    file.scenario.len()
}

/// Everything that a scenario says must hold.
fn hold(name: &str, scenario: &Scenario, checked: &Checked) {
    let object = &checked.object;
    let said = || format!("{name}\n{object:#}");
    let report = &object["mail_from_mx"];
    assert_eq!(object["verdict"], scenario.verdict, "{}", said());
    assert_eq!(report["reason"], scenario.reason, "{}", said());
    let code = match scenario.verdict.as_str() {
        "repudiated" => 1,
        "tempfail" => 75,
        _ => 0,
    };
    assert_eq!(checked.code, code, "{}", said());
    let reply = &object["reply"];
    if let Some(wanted) = &scenario.reply {
        let seen = format!(
            "{} {} {}",
            reply["code"],
            reply["enhanced"].as_str().unwrap_or_default(),
            reply["text"].as_str().unwrap_or_default()
        );
        assert_eq!(&seen, wanted, "{}", said());
    } else if code == 0 {
        assert_eq!(reply["code"], 250, "{}", said());
    }
    let matched = |host: &&Value| host["matched"] == true;
    let hosts = report["hosts"].as_array().unwrap().iter().filter(matched);
    let sets = report["sets"].as_array().unwrap().iter();
    for (wanted, seen, what) in [
        (
            &scenario.hosts,
            strings(hosts.map(|host| &host["name"])),
            "hosts",
        ),
        (
            &scenario.sets,
            strings(sets.map(|set| &set["owner"])),
            "sets",
        ),
        (
            &scenario.void,
            strings(report["void"].as_array().unwrap()),
            "void",
        ),
        (
            &scenario.over,
            strings(report["over"].as_array().unwrap()),
            "over",
        ),
    ] {
        if let Some(wanted) = wanted {
            assert_eq!(&seen, wanted, "{what} {}", said());
        }
    }
    if let Some(wanted) = scenario.questions {
        assert_eq!(object["dns"]["queries"], wanted, "{}", said());
    }
    if let Some(wanted) = scenario.keep_for {
        assert_eq!(report["keep_for"], wanted, "{}", said());
    }
}

/// JSON strings as strings.
fn strings<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let values = values.into_iter();
    values
        .map(|value| value.as_str().unwrap().to_owned())
        .collect()
}
