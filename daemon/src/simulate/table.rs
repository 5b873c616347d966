//! The figures, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::tally::{Class, Fates, Tally};
use super::{Command, Level};

/// One column: its heading in lines, what it says, and what stands in it.
struct Column {
    heading: [&'static str; 3],
    legend: &'static str,
    cell: fn(&Level) -> String,
}

/// All columns.
const COLUMNS: [Column; 13] = [
    Column {
        heading: ["", "adop-", "tion"],
        legend: "share of the sites that publish, and share that check",
        cell: |level| format!("{} %", level.adoption.0),
    },
    Column {
        heading: ["legiti-", "mate", "sent"],
        legend: "true mail by a listed path or a declared forwarder, and true reports",
        cell: |level| level.tally.sum(Class::is_legitimate).sent.to_string(),
    },
    Column {
        heading: ["", "re-", "fused"],
        legend: "of that, refused or never taken in five days: must be 0",
        cell: |level| level.tally.legitimate_refused().to_string(),
    },
    Column {
        heading: ["", "", "late"],
        legend: "of that, taken more than four hours after it was sent",
        cell: |level| level.tally.sum(Class::is_legitimate).late.to_string(),
    },
    Column {
        heading: ["forged", "re-", "fused"],
        legend: "all forged mail, of every kind: share refused",
        cell: |level| share(level.tally.sum(Class::is_forged)),
    },
    Column {
        heading: ["from", "out-", "side"],
        legend: "forged, client outside what the domain publishes, to a site that checks: share refused",
        cell: |level| checked_share(level.tally.of(Class::Outside)),
    },
    Column {
        heading: ["unde-", "clared", "fwd"],
        legend: "true mail through a forwarder that the recipient has not declared: share refused",
        cell: |level| share(level.tally.of(Class::Undeclared)),
    },
    Column {
        heading: ["over-", "wide", "SPF"],
        legend: "forged, the domain's SPF record lets half of the Internet in: share refused",
        cell: |level| share(level.tally.of(Class::OverWide)),
    },
    Column {
        heading: ["cap-", "tive", "relay"],
        legend: "forged, sent by a relay that the domain lists: share refused",
        cell: |level| share(level.tally.of(Class::Captive)),
    },
    Column {
        heading: ["DSNs to", "inno-", "cent"],
        legend: "failure reports to domains that had not sent the message, for 1,000 forged messages",
        cell: |level| format!("{:.1}", innocent(&level.tally)),
    },
    Column {
        heading: ["DSNs", "miss-", "ing"],
        legend: "failures of which the true sender never hears",
        cell: |level| level.tally.missing.to_string(),
    },
    Column {
        heading: ["DNS", "a true", "verdict"],
        legend: "questions to name servers for a verdict on true mail; what lay in the cache is not counted",
        cell: |level| {
            ratio(level.tally.true_questions, level.tally.true_verdicts)
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        },
    },
    Column {
        heading: ["DNS", "a false", "verdict"],
        legend: "the same on forged mail",
        cell: |level| {
            ratio(level.tally.forged_questions, level.tally.forged_verdicts)
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
        },
    },
];

/// The table, and what its columns mean.
pub fn text(command: &Command, levels: &[Level]) -> String {
    let mut text = format!(
        "seed {}, {} domains, {} messages at each level, {} % of DNS answers fail\n\n",
        command.seed, command.domains, command.messages, command.dns_failing
    );
    let rows: Vec<Vec<String>> = levels
        .iter()
        .map(|level| COLUMNS.iter().map(|column| (column.cell)(level)).collect())
        .collect();
    let widths: Vec<usize> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let lengths = cells.map(String::len);
            let heading = column.heading.iter().map(|line| line.len());
            lengths.chain(heading).max().unwrap_or(0)
        })
        .collect();
    for line in 0..3 {
        let cells = COLUMNS.iter();
        let cells = cells.map(|column| column.heading.get(line).copied().unwrap_or_default());
        write_row(&mut text, &widths, cells);
    }
    for row in &rows {
        write_row(&mut text, &widths, row.iter().map(String::as_str));
    }
    text.push('\n');
    for column in &COLUMNS {
        let heading = column.heading.join(" ").replace("- ", "");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<20}{}", heading.trim(), column.legend);
    }
    text
}

/// One row, its cells at the right of their columns.
fn write_row<'a>(text: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        let _ = write!(line, "{cell:>width$}  ");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// Everything that was counted.
pub fn json(command: &Command, levels: &[Level]) -> Value {
    let levels: Vec<Value> = levels.iter().map(level_object).collect();
    json!({
        "seed": command.seed,
        "domains": command.domains,
        "messages_per_level": command.messages,
        "dns_failing_percent": command.dns_failing,
        "levels": levels,
    })
}

/// One level.
fn level_object(level: &Level) -> Value {
    let tally = &level.tally;
    let class = |class: Class| (class.word().to_owned(), json!(tally.of(class)));
    let classes: Map<String, Value> = Class::ALL.into_iter().map(class).collect();
    json!({
        "adoption_percent": level.adoption.0,
        "legitimate": tally.sum(Class::is_legitimate),
        "forged": tally.sum(Class::is_forged),
        "classes": classes,
        "innocent_dsns": {
            "by_checking": tally.innocent_by_adopters,
            "by_others": tally.innocent_by_others,
        },
        "dsns_missing": tally.missing,
        "true_mail": {
            "verdicts": tally.true_verdicts,
            "questions": tally.true_questions,
        },
        "forged_mail": {
            "verdicts": tally.forged_verdicts,
            "questions": tally.forged_questions,
        },
        "questions_with_cached": tally.all_questions,
        "tempfail_verdicts": tally.tempfails,
    })
}

/// Reports to the innocent, for 1,000 forged messages.
pub fn innocent(tally: &Tally) -> f64 {
    let reports = tally.innocent_by_adopters + tally.innocent_by_others;
    ratio(reports, tally.sum(Class::is_forged).sent).unwrap_or(0.0) * 1000.0
}

/// The share that is refused, of all that were sent.
pub fn refused(fates: Fates) -> Option<f64> {
    ratio(fates.refused, fates.sent)
}

/// The share that is refused, of those sent to sites that check.
pub fn refused_by_checking(fates: Fates) -> Option<f64> {
    ratio(fates.refused_by_checking, fates.sent_to_checking)
}

fn share(fates: Fates) -> String {
    percent(refused(fates))
}

fn checked_share(fates: Fates) -> String {
    percent(refused_by_checking(fates))
}

/// A share in percent; two places, which are cut and not rounded, so that only all is 100.
fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "-".to_owned(),
        |share| format!("{:.2}", (share * 10_000.0).floor() / 100.0),
    )
}

/// One number for each of another; `None` if there is none of that.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of messages, far below 2^52"
)]
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
