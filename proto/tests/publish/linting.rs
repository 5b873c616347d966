//! Every file of `testdata/lint`: a small DNS, and what is found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde::Deserialize;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::lint::{Kind, Lint, Severity};
use vouchsafe_proto::residue::writers::Writers;
use vouchsafe_proto::survey::cover::Cover;

use super::surveying::survey;
use super::world::World;

/// One file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[expect(dead_code, reason = "for readers")]
    about: String,
    #[serde(default = "default_domain")]
    domain: String,
    findings: BTreeSet<String>,
    #[serde(default)]
    exact: bool,
    #[serde(default)]
    signed: Vec<String>,
    #[serde(default)]
    failing_zones: Vec<String>,
    /// Hosts that enter what they send, where that is known.
    writers: Option<Vec<String>>,
    zones: BTreeMap<String, Zone>,
}

#[derive(Deserialize)]
struct Zone {
    records: String,
}

fn default_domain() -> String {
    "example.org".to_owned()
}

#[test]
fn every_finding_is_found_where_it_is_and_nowhere_else() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/lint");
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file: File = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = findings(&file);
        let words = |least: Severity| -> BTreeSet<String> {
            let words = found.iter().filter(|kind| kind.severity() >= least);
            words.map(|kind| kind.as_str().to_owned()).collect()
        };
        let all = words(Severity::Info);
        let expected: BTreeSet<String> = if file.exact {
            file.findings.clone()
        } else {
            let infos = all.difference(&file.findings).cloned().collect();
            let loud = words(Severity::Warning);
            let missed: BTreeSet<String> = loud.intersection(&infos).cloned().collect();
            if !missed.is_empty() {
                wrong.push(format!("{}: {missed:?} as well", path.display()));
            }
            file.findings.union(&infos).cloned().collect()
        };
        if all != expected {
            wrong.push(format!("{}: {all:?}, not {expected:?}", path.display()));
        }
        seen.extend(file.findings);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for kind in Kind::ALL.iter().filter(|kind| **kind != Kind::OpenDoor) {
        assert!(
            seen.contains(kind.as_str()),
            "no file for {}",
            kind.as_str()
        );
    }
}

/// The question of PROTOCOLS B.3.
const QUESTION: &str = "45srv429q9lfvvvvvvvvvvu5lqvtd7kpmj72o.9";

/// The kinds of what is found in a file's world.
fn findings(file: &File) -> Vec<Kind> {
    let mut world = World::new();
    for (origin, zone) in &file.zones {
        world.zone(origin, &zone.records);
    }
    for zone in &file.failing_zones {
        world.failing_zone(zone);
    }
    for name in &file.signed {
        world.sign(name);
    }
    let domain = Domain::parse(&file.domain).unwrap();
    let writers = file.writers.as_ref().map(|hosts| Writers {
        domain: domain.clone(),
        hosts: hosts
            .iter()
            .map(|host| Name::from(&Domain::parse(host).unwrap()))
            .collect(),
        networks: Cover::default(),
    });
    let lint = Lint {
        domain,
        sibling: "k3v9x0q2z".into(),
        question: QUESTION.into(),
        writers,
    };
    let report = survey(&world, lint);
    assert!(!report.cut);
    let findings = report.findings;
    assert!(!findings.nothing_known);
    for finding in &findings.list {
        assert!(!finding.record.is_empty() && !finding.effect.is_empty());
    }
    findings.list.iter().map(|finding| finding.kind).collect()
}

#[test]
fn where_nothing_answers_nothing_is_found() {
    let mut world = World::new();
    world.failing_zone("example.org");
    let lint = Lint {
        domain: Domain::parse("example.org").unwrap(),
        sibling: "k3v9x0q2z".into(),
        question: QUESTION.into(),
        writers: None,
    };
    let findings = survey(&world, lint).findings;
    assert!(findings.nothing_known);
    let other = |kind: Kind| kind != Kind::NotChecked;
    assert!(!findings.list.iter().any(|finding| other(finding.kind)));
}

#[test]
fn records_that_lead_everywhere_twice_end_soon() {
    let mut world = World::new();
    for level in 0..12 {
        let next = format!("include:s{}.example ", level + 1).repeat(9);
        let record = format!("@ 60 TXT \"v=spf1 {next}-all\"");
        world.zone(&format!("s{level}.example"), &record);
    }
    let lint = Lint {
        domain: Domain::parse("s0.example").unwrap(),
        sibling: "k3v9x0q2z".into(),
        question: QUESTION.into(),
        writers: None,
    };
    let found = survey(&world, lint).findings.list;
    let kinds: Vec<Kind> = found.iter().map(|finding| finding.kind).collect();
    assert!(kinds.contains(&Kind::SpfLookups) && kinds.contains(&Kind::SpfLoop));
    assert!(found.len() < 50, "{}", found.len());
}

#[test]
fn every_finding_is_in_the_book() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/lint.md");
    let book = fs::read_to_string(book).unwrap();
    for kind in Kind::ALL {
        let row = format!("| `{}` | {} |", kind.as_str(), kind.severity());
        assert!(book.contains(&row), "docs/lint.md has no row {row}");
    }
}
