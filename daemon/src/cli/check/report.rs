//! A verdict as `check` prints it: for people a few lines and a table, for programs one object.
//!
//! The object's keys are stable: what a version adds, it adds beside them. What others published
//! is escaped in the text, and JSON strings in the object.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vouchsafe_proto::dns::{Answer, Lookup, Name, Records, Trouble};
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::verify::mail_from::{Identity, Report};
use vouchsafe_proto::verify::{Evidence, Step, Verdict};

/// What MAIL is answered when the verdict lets it go on: the session's words.
fn go_on() -> Reply {
    Reply::new(250, (2, 1, 0), "sender ok")
}

/// What MAIL is answered.
fn reply(verdict: &Verdict) -> Reply {
    verdict.refusal().unwrap_or_else(go_on)
}

/// The object.
pub fn json(verdict: &Verdict) -> Value {
    let reply = reply(verdict);
    let steps = verdict.mail_from().map_or(&[][..], |report| &report.steps);
    let mut object = json!({
        "verdict": verdict.result().to_string(),
        "reply": {
            "code": reply.code(),
            "enhanced": reply.enhanced().map(|status| status.to_string()),
            "text": reply.lines().join(" "),
        },
        "mail_from_mx": verdict.mail_from().map(mail_from_json),
        "dns": { "queries": verdict.mail_from().map_or(0, |report| report.questions) },
        "steps": steps.iter().map(step_json).collect::<Vec<_>>(),
    });
    if let Some(local_domain) = relay_client(verdict)
        && let Some(object) = object.as_object_mut()
    {
        object.insert(
            "relay_client".into(),
            json!({ "local_domain": local_domain }),
        );
    }
    object
}

/// The MAIL-FROM MX check.
fn mail_from_json(report: &Report) -> Value {
    json!({
        "result": report.result.to_string(),
        "reason": report.reason.as_str(),
        "explanation": report.explanation(),
        "client": report.client.to_string(),
        "identity": match report.identity {
            Identity::ReversePath => "reverse_path",
            Identity::Helo => "helo",
        },
        "domain": report.domain.as_ref().map(|domain| domain.as_ascii().to_owned()),
        "secure": report.is_secure(),
        "ttl": report.ttl,
        "keep_for": report.keep_for(),
        "sets": report.sets.iter().map(|set| json!({
            "owner": set.owner.to_string(),
            "aliases": names_json(&set.aliases),
            "level": set.level,
            "records": set.records.iter().map(|mx| json!({
                "preference": mx.preference,
                "exchange": mx.exchange.to_string(),
            })).collect::<Vec<_>>(),
            "count": set.count,
            "secure": set.secure,
        })).collect::<Vec<_>>(),
        "hosts": report.hosts.iter().map(|host| json!({
            "name": host.name.to_string(),
            "level": host.level,
            "addresses": host.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "matched": host.matched,
            "secure": host.secure,
        })).collect::<Vec<_>>(),
        "void": names_json(&report.void),
        "over": report.over.iter().map(|budget| budget.as_str()).collect::<Vec<_>>(),
        "trouble": report.trouble.iter().map(|at| json!({
            "name": at.name.to_string(),
            "type": at.kind.to_string(),
            "trouble": trouble_word(at.trouble),
        })).collect::<Vec<_>>(),
    })
}

/// One question and its answer; an answer that never came is null.
fn step_json(step: &Step) -> Value {
    json!({
        "pass": step.pass,
        "name": step.question.name.to_string(),
        "type": step.question.kind.to_string(),
        "answer": step.answer.as_ref().map(|answer| json!({
            "result": lookup_word(&answer.lookup),
            "records": records(&answer.lookup),
            "aliases": names_json(&answer.aliases),
            "ttl": answer.ttl,
            "age": answer.age,
            "secure": answer.secure,
            "signed_labels": answer.signed_labels,
        })),
        "cached": step.is_cached(),
    })
}

/// Names as strings.
fn names_json(names: &[Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What was found, in a word.
fn lookup_word(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Found(_) => "found",
        Lookup::NoData => "nodata",
        Lookup::NxDomain => "nxdomain",
        Lookup::AliasLimit => "alias_limit",
        Lookup::Trouble(trouble) => trouble_word(*trouble),
    }
}

/// A trouble in a word.
fn trouble_word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::ServFail => "servfail",
        Trouble::Refused => "refused",
        Trouble::Timeout => "timeout",
        Trouble::Bogus => "bogus",
        Trouble::Unreadable => "unreadable",
    }
}

/// The records in presentation form; texts quoted and escaped.
fn records(lookup: &Lookup) -> Vec<String> {
    match lookup {
        Lookup::Found(Records::A(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Aaaa(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Mx(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Ptr(all)) => all.iter().map(ToString::to_string).collect(),
        Lookup::Found(Records::Txt(all)) => all
            .iter()
            .map(|text| format!("\"{}\"", text.escape_ascii()))
            .collect(),
        Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit | Lookup::Trouble(_) => Vec::new(),
    }
}

/// Whether the reverse-path's domain is one of ours, if the client is in a relay network.
fn relay_client(verdict: &Verdict) -> Option<bool> {
    verdict.evidence().iter().find_map(|piece| match piece {
        Evidence::RelayClient { local_domain } => Some(*local_domain),
        _ => None,
    })
}

/// The lines and the table.
pub fn text(verdict: &Verdict) -> String {
    let (reason, because) = match (verdict.mail_from(), relay_client(verdict)) {
        (Some(report), _) => (format!(" ({})", report.reason), report.explanation()),
        (None, local) => (
            String::new(),
            format!(
                "the client is in a network that we relay for, and the domain is {}one of ours",
                if local == Some(true) { "" } else { "not " }
            ),
        ),
    };
    let mut text = format!(
        "verdict  {}{reason}\nbecause  {because}\nreply    {}\n",
        verdict.result(),
        reply(verdict)
    );
    let Some(report) = verdict.mail_from() else {
        return text;
    };
    let plural = if report.questions == 1 { "y" } else { "ies" };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "dns      {} quer{plural}", report.questions);
    if !report.steps.is_empty() {
        text.push('\n');
        text += &table(&report.steps);
    }
    text
}

/// One row for each step, a line more for each further record.
fn table(steps: &[Step]) -> String {
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
