//! The steps of a verdict as an aligned table, for people: question, answer, TTL, whether a
//! validating resolver vouches for it, and whether it came from our cache. What others published is
//! escaped.

use vouchsafe_proto::dns::{Answer, Lookup, Records};
use vouchsafe_proto::verify::Step;

/// One row for each step, a line more for each further record.
pub(super) fn table(steps: &[&Step]) -> String {
    let mut rows = vec![["question", "answer", "ttl", "secure", "cached"].map(String::from)];
    for (at, step) in steps.iter().enumerate() {
        let repeated = step.pass > 1
            && at
                .checked_sub(1)
                .and_then(|before| steps.get(before))
                .is_none_or(|before| before.pass != step.pass);
        if repeated {
            let again = "(again, past the cache)".to_owned();
            rows.push([
                again,
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        rows.extend(rows_of(step));
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text += line.join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// The rows of one step.
fn rows_of(step: &Step) -> Vec<[String; 5]> {
    let question = step.question.to_string();
    let Some(answer) = &step.answer else {
        let open = "no answer in time".to_owned();
        return vec![[question, open, dash(), dash(), dash()]];
    };
    let mut lines = answer_lines(answer).into_iter();
    let mut rows = vec![[
        question,
        lines.next().unwrap_or_default(),
        ttl_cell(answer),
        yes_or_no(answer.secure),
        if step.is_cached() {
            format!("{} s", answer.age)
        } else {
            "no".to_owned()
        },
    ]];
    rows.extend(lines.map(|line| {
        [
            String::new(),
            line,
            String::new(),
            String::new(),
            String::new(),
        ]
    }));
    rows
}

/// The aliases, then the records or what there is instead of them.
fn answer_lines(answer: &Answer) -> Vec<String> {
    let mut lines: Vec<String> = answer
        .aliases
        .iter()
        .map(|alias| format!("alias of {alias}"))
        .collect();
    match &answer.lookup {
        Lookup::Found(_) => lines.extend(records(&answer.lookup)),
        Lookup::NoData => lines.push("no such record".into()),
        Lookup::NxDomain => lines.push("no such name".into()),
        Lookup::AliasLimit => lines.push("too many aliases, or a loop of them".into()),
        Lookup::Trouble(trouble) => lines.push(trouble.to_string()),
    }
    lines
}

/// The TTL; trouble has none.
fn ttl_cell(answer: &Answer) -> String {
    match answer.lookup {
        Lookup::Trouble(_) => dash(),
        _ => answer.ttl.to_string(),
    }
}

/// For people.
fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// Nothing to say.
fn dash() -> String {
    "-".to_owned()
}

/// The records in presentation form; texts quoted and escaped.
pub(super) fn records(lookup: &Lookup) -> Vec<String> {
    match lookup {
        Lookup::Found(Records::A(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Aaaa(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Mx(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Ptr(all) | Records::Ns(all)) => {
            all.iter().map(ToString::to_string).collect()
        }
        Lookup::Found(Records::Tlsa(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Txt(all)) => all
            .iter()
            .map(|text| format!("\"{}\"", text.escape_ascii()))
            .collect(),
        Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit | Lookup::Trouble(_) => Vec::new(),
    }
}
