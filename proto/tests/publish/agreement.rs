//! A survey of a MAIL-FROM set and the check of a client walk the same sets: in every world of
//! `testdata/zone`, an address is covered if and only if the check finds it listed.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use serde::Deserialize;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::survey::mail_from::{self, MailFrom};
use vouchsafe_proto::survey::{Study, View};
use vouchsafe_proto::verify::mail_from::{LABEL, Reason};

use super::surveying::survey;
use super::world::World;
use super::world::drive::{Order, request, run};

/// The sets of one domain.
struct Sets(Name);

impl Study for Sets {
    type Findings = MailFrom;

    fn look(&self, view: &mut View<'_>) -> MailFrom {
        mail_from::walk(view, &self.0)
    }
}

/// As much of a file of `testdata/zone` as there is to ask of it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    zones: BTreeMap<String, Zone>,
    #[serde(default)]
    failing_zones: Vec<String>,
    #[serde(default)]
    fixed: Vec<toml::Table>,
    scenario: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Zone {
    records: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Scenario {
    client: IpAddr,
    mail_from: String,
}

#[test]
fn what_is_covered_is_what_the_check_authorises() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/zone");
    let (mut authorised, mut others) = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        if !file.fixed.is_empty() {
            continue;
        }
        let mut world = World::new();
        for (origin, zone) in &file.zones {
            world.zone(origin, &zone.records);
        }
        for zone in &file.failing_zones {
            world.failing_zone(zone);
        }
        for scenario in &file.scenario {
            let Some((_, domain)) = scenario.mail_from.rsplit_once('@') else {
                continue;
            };
            let Some(owner) = Domain::parse(domain)
                .ok()
                .and_then(|domain| Name::from(&domain).child(LABEL).ok())
            else {
                continue;
            };
            let found = survey(&world, Sets(owner)).findings;
            let listed: Vec<IpAddr> = found
                .hosts
                .iter()
                .flat_map(mail_from::Host::addresses)
                .collect();
            for client in listed.iter().chain([&scenario.client]) {
                let request = request(&client.to_string(), "x", &scenario.mail_from);
                let report = run(&world, request, Order::Asked).report;
                let covered = found.cover.holds(*client);
                assert_eq!(
                    report.reason == Reason::Host,
                    covered,
                    "{}: {client} {}",
                    path.display(),
                    scenario.mail_from
                );
                if report.reason == Reason::Limits {
                    assert!(!found.over.is_empty(), "{}: {client}", path.display());
                }
                *(if covered {
                    &mut authorised
                } else {
                    &mut others
                }) += 1;
            }
        }
    }
    assert!(authorised > 50 && others > 30, "{authorised} {others}");
}
