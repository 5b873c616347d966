//! `vouchsafe simulate` as a command: what it prints and draws, and that it can be had again.

use serde_json::Value;

use super::cli::{texts, vouchsafe};

/// A run that takes a moment.
const SMALL: [&str; 7] = [
    "simulate",
    "--domains",
    "100",
    "--messages",
    "400",
    "--levels",
    "0,100",
];

#[test]
fn the_same_seed_prints_and_draws_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str| {
        let file = folder.path().join(name);
        let file = file.to_str().unwrap();
        let output = vouchsafe(&[&SMALL[..], &["--seed", "7", "--svg", file]].concat());
        let (printed, errors) = texts(&output);
        assert_eq!(
            (output.status.code(), errors.as_str()),
            (Some(0), ""),
            "{printed}"
        );
        (printed, std::fs::read_to_string(file).unwrap())
    };
    let (printed, drawn) = run("a.svg");
    assert_eq!(run("b.svg"), (printed.clone(), drawn.clone()));
    assert!(
        printed.contains("\n  0 %") && printed.contains("\n100 %"),
        "{printed}"
    );
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    // A curve for each heading, with a point for each level that has a value.
    assert_eq!(drawn.matches("<polyline").count(), 9);
    assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
    let (other, _) = texts(&vouchsafe(&[&SMALL[..], &["--seed", "8"]].concat()));
    assert_ne!(other, printed);
}

#[test]
fn json_has_every_count_and_a_rule_left_out_shows() {
    let run = |more: &[&str]| {
        let output = vouchsafe(&[&SMALL[..], &["--format", "json"], more].concat());
        let (printed, errors) = texts(&output);
        let object: Value = serde_json::from_str(&printed).unwrap();
        (output.status.code(), object, errors)
    };
    let (code, object, _) = run(&[]);
    assert_eq!(code, Some(0));
    let levels = object["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 2);
    let last = &levels[1];
    assert_eq!(last["adoption_percent"], 100);
    assert_eq!(last["legitimate"]["refused"], 0);
    assert!(last["forged"]["refused"].as_u64() > levels[0]["forged"]["refused"].as_u64());
    assert_eq!(last["classes"].as_object().unwrap().len(), 12);

    let (code, object, errors) = run(&["--without", "tempfail"]);
    let refused = object["levels"][1]["legitimate"]["refused"]
        .as_u64()
        .unwrap();
    assert!(refused > 0);
    assert_eq!(code, Some(70));
    assert_eq!(
        errors,
        format!("vouchsafe: {refused} legitimate messages were refused\n")
    );
}

#[test]
fn what_cannot_be_simulated_or_written_is_said() {
    for (arguments, code) in [
        (&["simulate", "--levels", "101"][..], 64),
        (&["simulate", "--domains", "3"], 64),
        (&["simulate", "--without", "mercy"], 64),
        (&[&SMALL[..], &["--svg", "/nonexistent/a.svg"]].concat(), 74),
    ] {
        let output = vouchsafe(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}
