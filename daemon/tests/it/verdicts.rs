//! Every scenario of testdata/verdict that has no signature, through the real `vouchsafe check`
//! with a real authoritative server in front: all evidence that is known before the content. The
//! form of the files stands in testdata/verdict/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::check::{Checked, check_with};
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
    scenario: Vec<Scenario>,
}

/// One message, and what must come of it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Scenario {
    name: String,
    #[serde(default = "default_client")]
    client: IpAddr,
    #[serde(default = "default_helo")]
    helo: String,
    mail_from: String,
    #[serde(default)]
    forwarders: Vec<String>,
    #[serde(default)]
    relay_from: Vec<String>,
    #[serde(default)]
    dkim_rescues: bool,
    #[serde(default)]
    signatures: Vec<toml::Value>,
    evidence: Vec<String>,
    verdict: String,
    reply: Option<String>,
    at: Option<String>,
}

fn default_client() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 9).into()
}

fn default_helo() -> String {
    "client.example.net".to_owned()
}

/// The recipient of all of them.
const RECIPIENT: &str = "bob@example.com";

/// Files tried at the same time: each has a server of its own.
const AT_ONCE: usize = 3;

#[test]
fn every_verdict_comes_out_as_written_over_the_real_dns() {
    if !Nsd::installed("scenarios of testdata/verdict against a real name server") {
        return;
    }
    let tried = corpus::try_all("verdict", AT_ONCE, try_file);
    assert!(tried >= 150, "{tried} scenarios");
}

/// Tries each scenario of a file that has no signature; gives how many there were.
fn try_file(number: usize, path: &Path) -> usize {
    let file: File = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let unsigned = |scenario: &&Scenario| scenario.signatures.is_empty();
    let scenarios: Vec<_> = file.scenario.iter().filter(unsigned).collect();
    if file.only.as_deref() == Some("machine") || scenarios.is_empty() {
        return 0;
    }
    let zones = corpus::zones(&file.zones, &file.failing_zones);
    let last = u8::try_from(number % 250).unwrap();
    let nsd = Nsd::start(Ipv4Addr::new(127, 53, 4, last + 1).into(), &zones);
    for scenario in &scenarios {
        let settings = format!(
            "[relay]\nfrom = {:?}\nnext_hop = \"smtp://127.0.0.1:26\"\n\
             [verify]\ndkim_rescues = {}\n\
             [recipients.\"{RECIPIENT}\"]\nforwarders = {:?}\n",
            scenario.relay_from, scenario.dkim_rescues, scenario.forwarders
        );
        let checked = check_with(
            &[nsd.address()],
            (scenario.client, &scenario.helo, &scenario.mail_from),
            &settings,
            &[&format!("--recipient={RECIPIENT}")],
        );
        let name = format!("{}: {}", path.display(), scenario.name);
        hold(&name, scenario, &checked);
    }
    scenarios.len()
}

/// Everything that a scenario says must hold.
fn hold(name: &str, scenario: &Scenario, checked: &Checked) {
    let object = &checked.object;
    let said = || format!("{name}\n{object:#}");
    assert_eq!(object["verdict"], scenario.verdict, "{}", said());
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let evidence = object["evidence"].as_array().unwrap().iter();
    let evidence: Vec<_> = evidence
        .map(|piece| format!("{} {}", word(&piece["kind"]), word(&piece["weight"])))
        .collect();
    assert_eq!(evidence, scenario.evidence, "{}", said());
    let reply = &object["reply"];
    let refused = scenario.reply.as_deref();
    let seen = format!("{} {}", reply["code"], word(&reply["enhanced"]));
    assert_eq!(seen, refused.unwrap_or("250 2.1.0"), "{}", said());
    if let Some(at) = &scenario.at {
        assert_eq!(&reply["at"], at, "{}", said());
    }
    let code = match scenario.verdict.as_str() {
        "repudiated" => 1,
        "tempfail" => 75,
        _ => 0,
    };
    assert_eq!(checked.code, code, "{}", said());
}
