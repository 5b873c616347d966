//! Every scenario of `testdata/verdict`: whole worlds, in which everything that DESIGN §3 knows
//! speaks about one reverse-path. The inquiry, the fusion and the receive machine run as they do in
//! the service; what they come to, and at which reply it is said, must be as the files have it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../world/mod.rs"]
mod world;

mod corpus;
mod ledger;
mod pairs;
mod session;

use vouchsafe_proto::verify::timing::Moment;

use crate::session::{Ended, run};

/// Evidence as the files write it: kind and weight.
fn told(ended: &Ended) -> Vec<String> {
    let weighed = ended.verdict.weighed();
    weighed
        .map(|(piece, weight)| format!("{} {}", piece.kind(), weight.as_str()))
        .collect()
}

#[test]
fn every_scenario_comes_out_as_written() {
    let mut wrong = Vec::new();
    for (file, scenario, ended) in outcomes() {
        let seen = (
            told(&ended),
            ended.verdict.result().to_string(),
            ended.reply.clone(),
            ended.moment.map(Moment::as_str),
        );
        let wanted = (
            scenario.evidence.clone(),
            scenario.verdict.clone(),
            scenario.reply.clone(),
            scenario.at.as_deref(),
        );
        if seen != wanted {
            let name = &scenario.name;
            wrong.push(format!("{file}: {name}\n  {seen:?}, not\n  {wanted:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All scenarios with what came of them.
fn outcomes() -> Vec<(String, corpus::Scenario, Ended)> {
    let mut all = Vec::new();
    for (name, file) in corpus::files() {
        let world = file.world();
        for scenario in file.scenario {
            let ended = run(&world, &scenario);
            all.push((name.clone(), scenario, ended));
        }
    }
    all
}

/// The corpus is as large as promised, and each file says what it is about.
#[test]
fn the_corpus_is_whole() {
    let files = corpus::files();
    let scenarios: usize = files.iter().map(|(_, file)| file.scenario.len()).sum();
    assert!(scenarios >= 270, "{scenarios} scenarios");
    for (name, file) in &files {
        assert!(!file.about.is_empty(), "{name}");
        assert!(!file.scenario.is_empty(), "{name}");
        let machine_only = file.only.as_deref() == Some("machine");
        assert_eq!(machine_only, file.why.is_some(), "{name}");
        assert_eq!(machine_only, !file.fixed.is_empty(), "{name}");
        let mut names: Vec<_> = file.scenario.iter().map(|one| &one.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(
            names.len(),
            file.scenario.len(),
            "{name}: names are told apart"
        );
    }
}
