//! What monitors read: names, units, the page that lists them, and what counting does.

use std::collections::BTreeMap;

use super::*;
use prometheus_client::encoding::text::encode;

/// Every family: its kind and its help.
fn families(text: &str) -> BTreeMap<String, (String, String)> {
    let mut found: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let head = (words.next(), words.next(), words.next(), words.next());
        if let (Some("#"), Some(what), Some(name), Some(rest)) = head {
            let family = found.entry(name.to_owned()).or_default();
            match what {
                "TYPE" => rest.clone_into(&mut family.0),
                "HELP" => rest.clone_into(&mut family.1),
                _ => {}
            }
        }
    }
    found
}

/// The samples' names, without their labels.
fn samples(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| line.split(['{', ' ']).next());
    names.collect()
}

fn text() -> String {
    let mut text = String::new();
    encode(&mut text, &Table::new().registry).unwrap();
    text
}

#[test]
fn names_and_units_are_as_monitors_expect() {
    let text = text();
    for (name, (kind, help)) in families(&text) {
        assert!(name.starts_with("vouchsafe_"), "{name}");
        assert!(help.ends_with('.') && help.len() > 10, "{name}: {help}");
        let samples: Vec<_> = samples(&text)
            .into_iter()
            .filter(|sample| sample.starts_with(&name))
            .collect();
        assert!(!samples.is_empty(), "{name} is there from the start");
        match kind.as_str() {
            "counter" => assert!(
                samples.contains(&format!("{name}_total").as_str()),
                "{name}"
            ),
            "histogram" => assert!(name.ends_with("_seconds"), "{name}"),
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            other => panic!("{name} is a {other}"),
        }
    }
}

#[test]
fn the_page_lists_every_figure_and_no_other() {
    let rows: Vec<String> = families(&text())
        .iter()
        .map(|(name, (kind, help))| {
            let shown = if kind == "counter" { "_total" } else { "" };
            format!(
                "| `{name}{shown}` | {kind} | {} |",
                help.trim_end_matches('.')
            )
        })
        .collect();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| `vouchsafe_"))
        .collect();
    assert_eq!(
        listed,
        rows,
        "docs/metrics.md should have\n{}\n",
        rows.join("\n")
    );
}

#[test]
fn what_is_counted_shows_under_its_labels() {
    let table = Table::new();
    table.figures.mail.refusals.count(["recipient", "5yz"]);
    table.figures.mail.refusals.count(["recipient", "5yz"]);
    table.figures.mail.custody_duration.observe(0.002);
    let mut text = String::new();
    encode(&mut text, &table.registry).unwrap();
    for line in [
        r#"vouchsafe_refusals_total{of="recipient",reply="5yz"} 2"#,
        r#"vouchsafe_refusals_total{of="recipient",reply="4yz"} 0"#,
        r#"vouchsafe_custody_duration_seconds_bucket{le="0.001"} 0"#,
        r#"vouchsafe_custody_duration_seconds_bucket{le="0.0025"} 1"#,
    ] {
        assert!(text.lines().any(|there| there == line), "{line} in\n{text}");
    }
}
