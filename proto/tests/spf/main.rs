//! SPF against the RFC 7208 test suite of openspf (the half that is given) and against cases of
//! our own, all through the pure machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod evidence;
mod properties;
#[allow(dead_code, reason = "some of it is for the daemon's tests")]
mod world;

use std::path::Path;

use world::{Case, Silence, World, load, request, run};

/// What is wrong with a case's outcome, if anything.
fn wrong(world: &World, case: &Case, silence: Silence) -> Option<String> {
    let report = run(
        request(case),
        |question| world.answer(question),
        silence,
        |_| 0,
    );
    let result = report.result.as_str();
    if !case.results.iter().any(|wanted| wanted == result) {
        return Some(format!(
            "{result} where {:?} is right: {}",
            case.results,
            report.sentence()
        ));
    }
    let wanted = case.explanation.as_deref()?;
    // A check whose time is over does without an explanation.
    if report.explanation.is_none() && report.steps.iter().any(|step| step.answer.is_none()) {
        return None;
    }
    let said = report.explanation.as_deref().unwrap_or("DEFAULT");
    (said != wanted).then(|| format!("says {said:?} where {wanted:?} is right"))
}

/// Runs every case of a suite; gives how many there are.
fn all_hold(path: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let mut failures = Vec::new();
    let mut count = 0;
    for scenario in load(&path) {
        for case in &scenario.cases {
            count += 1;
            for silence in [Silence::GivenUp, Silence::Lasting] {
                if let Some(wrong) = wrong(&scenario.world, case, silence) {
                    let Case { name, .. } = case;
                    failures.push(format!("{} / {name}: {wrong}", scenario.description));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    count
}

#[test]
fn the_given_half_of_the_openspf_suite_holds() {
    assert_eq!(all_hold("../../shared/testdata/spf/rfc7208-given.yml"), 92);
}

#[test]
fn our_own_cases_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/spf");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yml") {
            count += all_hold(path.to_str().unwrap());
        }
    }
    assert!(count >= 150, "{count} cases");
}
