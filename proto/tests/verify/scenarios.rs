//! Every `testdata/zone/*.toml`, as testdata/zone/README.md describes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use vouchsafe_proto::dns::{Answer, Lookup, Name, RecordType, Trouble};
use vouchsafe_proto::verify::mail_from::{PublishedSet, Reason, Report, Request};
use vouchsafe_proto::verify::{Evidence, Verdict, VerdictResult};

use crate::world::World;
use crate::world::drive::{Order, Random, Run, request, run};
use crate::world::zone_file;

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    about: String,
    #[serde(default)]
    only: Option<String>,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    zones: BTreeMap<String, ZoneText>,
    #[serde(default)]
    failing_zones: Vec<String>,
    #[serde(default)]
    signed: Vec<String>,
    #[serde(default)]
    fixed: Vec<Fixed>,
    #[serde(default)]
    scenario: Vec<Scenario>,
}

/// A zone's lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneText {
    records: String,
}

/// An answer that no name server gives as asked: from a cache, bogus, or never.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Fixed {
    name: String,
    r#type: String,
    #[serde(default)]
    records: String,
    #[serde(default)]
    trouble: Option<String>,
    #[serde(default)]
    cached_for: Option<u32>,
    #[serde(default)]
    ttl: Option<u32>,
    #[serde(default)]
    signed_labels: Option<u8>,
}

/// One client and one reverse-path, and what must come of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Scenario {
    name: String,
    client: String,
    #[serde(default = "default_helo")]
    helo: String,
    mail_from: String,
    #[serde(default)]
    perimeter: Vec<String>,
    verdict: String,
    reason: String,
    #[serde(default)]
    reply: Option<String>,
    #[serde(default)]
    hosts: Option<Vec<String>>,
    #[serde(default)]
    sets: Option<Vec<String>>,
    #[serde(default)]
    void: Option<Vec<String>>,
    #[serde(default)]
    over: Option<Vec<String>>,
    #[serde(default)]
    other_preferences: Option<Vec<u16>>,
    #[serde(default)]
    secure: Option<bool>,
    #[serde(default)]
    keep_for: Option<u32>,
    #[serde(default)]
    questions: Option<u32>,
    #[serde(default)]
    seconds: Option<u64>,
}

fn default_helo() -> String {
    String::from("client.example.net")
}

/// The world of a file.
fn world_of(file: &File) -> World {
    let mut world = World::new();
    for (origin, zone) in &file.zones {
        world.zone(origin, &zone.records);
    }
    for origin in &file.failing_zones {
        world.failing_zone(origin);
    }
    for name in &file.signed {
        world.sign(name);
    }
    for fixed in &file.fixed {
        apply(&mut world, fixed);
    }
    world
}

/// Puts a fixed answer into the world.
fn apply(world: &mut World, fixed: &Fixed) {
    let kind = match fixed.r#type.as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "MX" => RecordType::Mx,
        "TXT" => RecordType::Txt,
        other => panic!("type {other}"),
    };
    let trouble = match fixed.trouble.as_deref() {
        None => None,
        Some("timeout") => {
            world.silence(&fixed.name, kind);
            return;
        }
        Some("servfail") => Some(Trouble::ServFail),
        Some("refused") => Some(Trouble::Refused),
        Some("bogus") => Some(Trouble::Bogus),
        Some("unreadable") => Some(Trouble::Unreadable),
        Some(other) => panic!("trouble {other}"),
    };
    let parsed = zone_file::parse(&Name::root(), &fixed.records).unwrap();
    let lookup = match (
        trouble,
        zone_file::records(kind, &parsed.iter().collect::<Vec<_>>()),
    ) {
        (Some(trouble), _) => Lookup::Trouble(trouble),
        (None, Some(records)) => Lookup::Found(records),
        (None, None) => Lookup::NxDomain,
    };
    let answer = Answer {
        ttl: fixed.ttl.unwrap_or(300),
        age: fixed.cached_for.unwrap_or(0),
        signed_labels: fixed.signed_labels,
        ..Answer::bare(lookup)
    };
    if fixed.cached_for.is_some() {
        world.cache(&fixed.name, kind, answer);
    } else {
        world.fix(&fixed.name, kind, answer);
    }
}

/// The request of a scenario.
fn request_of(scenario: &Scenario) -> Request {
    let mut request = request(&scenario.client, &scenario.helo, &scenario.mail_from);
    let client = request.client.to_canonical();
    let within = |net: &String| net.parse::<ipnet::IpNet>().unwrap().contains(&client);
    request.in_perimeter = scenario.perimeter.iter().any(within);
    request
}

/// Everything a scenario says must hold.
fn check(scenario: &Scenario, run: &Run) {
    let Run { report, took, .. } = run;
    let said = |what: &str| format!("{what}: {} ({report:#?})", report.explanation());
    let verdict = Verdict::of(Evidence::MailFrom(std::sync::Arc::new(report.clone())), []);
    assert_eq!(
        verdict.result().to_string(),
        scenario.verdict,
        "{}",
        said("verdict")
    );
    assert_eq!(
        report.reason.as_str(),
        scenario.reason,
        "{}",
        said("reason")
    );
    assert_eq!(report.reason.result(), report.result);
    let refusal = verdict.refusal().map(|reply| reply.to_string());
    if scenario.reply.is_some() {
        assert_eq!(refusal, scenario.reply, "{}", said("reply"));
    }
    let refused = matches!(
        report.result,
        VerdictResult::Repudiated | VerdictResult::Tempfail
    );
    assert_eq!(refusal.is_some(), refused, "{}", said("reply"));
    assert!(!report.explanation().is_empty());
    let names = |names: Vec<&Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let evidence = [
        (
            &scenario.hosts,
            names(report.matched().map(|host| &host.name).collect()),
            "hosts",
        ),
        (
            &scenario.sets,
            names(report.sets.iter().map(|set| &set.owner).collect()),
            "sets",
        ),
        (&scenario.void, names(report.void.iter().collect()), "void"),
        (
            &scenario.over,
            report.over.iter().map(ToString::to_string).collect(),
            "over",
        ),
    ];
    for (wanted, seen, what) in evidence {
        if let Some(wanted) = wanted {
            assert_eq!(&seen, wanted, "{}", said(what));
        }
    }
    if let Some(wanted) = &scenario.other_preferences {
        let seen: Vec<_> = report
            .sets
            .iter()
            .flat_map(PublishedSet::other_preferences)
            .collect();
        assert_eq!(&seen, wanted, "{}", said("other preferences"));
    }
    check_numbers(scenario, report, *took);
}

/// What a scenario says in numbers.
fn check_numbers(scenario: &Scenario, report: &Report, took: u64) {
    let numbers = [
        (scenario.questions, report.questions, "questions"),
        (scenario.keep_for, report.keep_for(), "keep-for"),
    ];
    for (wanted, seen, what) in numbers {
        if let Some(wanted) = wanted {
            assert_eq!(seen, wanted, "{what} ({report:#?})");
        }
    }
    if let Some(wanted) = scenario.secure {
        assert_eq!(report.is_secure(), wanted, "secure ({report:#?})");
    }
    assert_eq!(
        scenario.seconds.unwrap_or(0) * 1000,
        took,
        "seconds ({report:#?})"
    );
}

/// All files, by name.
fn files() -> Vec<(String, File)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/zone");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let file = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name, file)
        })
        .collect();
    files.sort_by(|a: &(String, File), b| a.0.cmp(&b.0));
    files
}

/// Each scenario as it stands, and again with answers and records in other orders.
#[test]
fn every_scenario_comes_out_as_written() {
    for (file_name, file) in files() {
        let world = world_of(&file);
        for scenario in &file.scenario {
            println!("{file_name}: {}", scenario.name);
            let ordered = run(&world, request_of(scenario), Order::Asked);
            check(scenario, &ordered);
            for seed in 0..5 {
                let order = Order::Shuffled(Random::new(seed));
                let shuffled = run(&world, request_of(scenario), order);
                check(scenario, &shuffled);
            }
        }
    }
}

/// The corpus is as large as promised, each gap is in it, and each file says what it is about.
#[test]
fn the_corpus_is_whole() {
    let files = files();
    let scenarios: usize = files.iter().map(|(_, file)| file.scenario.len()).sum();
    assert!(scenarios >= 80, "{scenarios} scenarios");
    for gap in 1..=24 {
        let prefix = format!("gap-{gap:02}-");
        assert!(
            files.iter().any(|(name, _)| name.starts_with(&prefix)),
            "{prefix}"
        );
    }
    for (name, file) in &files {
        assert!(!file.about.is_empty(), "{name}");
        assert!(!file.scenario.is_empty(), "{name}");
        let machine_only = file.only.as_deref() == Some("machine");
        assert_eq!(machine_only, file.why.is_some(), "{name}");
        assert_eq!(
            machine_only,
            !file.fixed.is_empty() || !file.signed.is_empty(),
            "{name}"
        );
    }
    let machine_only = files.iter().filter(|(_, file)| file.only.is_some()).count();
    assert!(
        machine_only * 4 <= files.len(),
        "{machine_only} of {}",
        files.len()
    );
}

/// Every reason that the machine alone can give stands in some scenario.
#[test]
fn every_reason_is_shown() {
    let files = files();
    let shown: Vec<_> = files
        .iter()
        .flat_map(|(_, file)| {
            file.scenario
                .iter()
                .map(|scenario| scenario.reason.as_str())
        })
        .collect();
    for reason in [
        Reason::Host,
        Reason::HeloHost,
        Reason::NotListed,
        Reason::NeverSends,
        Reason::Temporary,
        Reason::Unpublished,
        Reason::OrdinaryMx,
        Reason::Limits,
        Reason::Empty,
        Reason::Wildcard,
        Reason::Perimeter,
        Reason::Null,
        Reason::Literal,
        Reason::NoDomain,
        Reason::Unusable,
        Reason::TooLong,
    ] {
        assert!(shown.contains(&reason.as_str()), "{reason}");
    }
}
