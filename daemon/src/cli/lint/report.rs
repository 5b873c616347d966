//! Findings as `lint` prints them: for people in wrapped paragraphs, for programs one object.

use std::fmt::Write as _;
use std::io::IsTerminal;

use serde_json::{Value, json};
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::lint::{Findings, Severity};

use crate::log::Peer;

/// Columns where there is no terminal to ask, and the most on a wide one: lines that are longer are
/// hard to read.
const WIDTH: usize = 90;

/// Where the words begin, below `error    wildcard-shadow`.
const INDENT: &str = "         ";

/// The object.
pub fn json(domain: &Domain, findings: &Findings, questions: usize, cut: bool) -> Value {
    let list = findings.list.iter().map(|finding| {
        json!({
            "id": finding.kind.as_str(),
            "severity": finding.kind.severity().as_str(),
            "record": finding.record,
            "effect": finding.effect,
            "cure": finding.kind.cure(),
        })
    });
    json!({
        "domain": domain.as_ascii(),
        "findings": list.collect::<Vec<_>>(),
        "errors": count(findings, Severity::Error),
        "warnings": count(findings, Severity::Warning),
        "infos": count(findings, Severity::Info),
        "complete": !cut,
        "dns": { "queries": questions },
    })
}

/// How many there are of a severity.
fn count(findings: &Findings, severity: Severity) -> usize {
    let all = findings.list.iter();
    all.filter(|finding| finding.kind.severity() == severity)
        .count()
}

/// A paragraph for each, and a line at the end.
pub fn text(domain: &Domain, findings: &Findings) -> String {
    let width = std::io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten()
        .map_or(WIDTH, |(width, _)| usize::from(width.0).min(WIDTH));
    let mut text = String::new();
    for finding in &findings.list {
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:8} {}",
            finding.kind.severity(),
            finding.kind.as_str()
        );
        for (title, words) in [
            ("record", finding.record.as_str()),
            ("effect", &finding.effect),
            ("cure", finding.kind.cure()),
        ] {
            text += &wrapped(title, words, width);
        }
        text.push('\n');
    }
    let counted = [
        (Severity::Error, "error"),
        (Severity::Warning, "warning"),
        (Severity::Info, "info"),
    ];
    let parts: Vec<String> = counted
        .into_iter()
        .filter_map(|(severity, word)| match count(findings, severity) {
            0 => None,
            1 => Some(format!("1 {word}")),
            many => Some(format!("{many} {word}s")),
        })
        .collect();
    let said = if parts.is_empty() {
        "nothing is wrong".to_owned()
    } else {
        parts.join(", ")
    };
    let _ = writeln!(text, "{}: {said}", domain.as_ascii());
    text
}

/// A title and words behind it, wrapped. They hold what others published, so they are escaped.
fn wrapped(title: &str, words: &str, width: usize) -> String {
    let words = Peer(words).to_string();
    let room = width.saturating_sub(INDENT.len() + 8).max(20);
    let mut text = String::new();
    let mut line = String::new();
    let mut title = title;
    let mut flush = |line: &mut String| {
        let _ = writeln!(text, "{INDENT}{title:7} {line}");
        title = "";
        line.clear();
    };
    for word in words.split(' ') {
        if !line.is_empty() && line.len() + 1 + word.len() > room {
            flush(&mut line);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    flush(&mut line);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::lint::{Finding, Kind};

    #[test]
    fn findings_are_paragraphs_that_fit_and_hold_nothing_raw() {
        let domain = Domain::parse("example.org").unwrap();
        let findings = Findings {
            list: vec![Finding {
                kind: Kind::SpfSyntax,
                record: "example.org TXT \u{1b}[2J".to_owned(),
                effect: "a word and another ".repeat(8).trim().to_owned(),
            }],
            ..Findings::default()
        };
        let text = text(&domain, &findings);
        assert!(text.starts_with("error    spf-syntax\n         record  example.org TXT \\u{1b}"));
        assert!(text.ends_with("\n         cure    mend the record\n\nexample.org: 1 error\n"));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert_eq!(
            super::text(&domain, &Findings::default()),
            "example.org: nothing is wrong\n"
        );
    }
}
