//! A verdict as `check` prints it: for people a few lines and a table, for programs one object.
//!
//! The object's keys are stable: what a version adds, it adds beside them. What others published
//! is escaped in the text, and JSON strings in the object.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::verify::timing::Moment;
use vouchsafe_proto::verify::{Evidence, Step, Verdict};

use super::table::table;
use super::{dkim, evidence};

/// What MAIL is answered when the verdict lets it go on: the session's words.
fn go_on() -> Reply {
    Reply::new(250, (2, 1, 0), "sender ok")
}

/// What is answered when the verdict is said.
fn reply(verdict: &Verdict) -> Reply {
    verdict.refusal().unwrap_or_else(go_on)
}

/// All steps, in the order of the evidence.
fn steps(verdict: &Verdict) -> Vec<&Step> {
    let evidence = verdict.evidence().iter();
    evidence.flat_map(Evidence::steps).collect()
}

/// The object.
pub fn json(verdict: &Verdict, moment: Moment) -> Value {
    let reply = reply(verdict);
    let mut object = Map::new();
    object.insert("verdict".into(), verdict.result().to_string().into());
    object.insert(
        "reply".into(),
        json!({
            "code": reply.code(),
            "enhanced": reply.enhanced().map(|status| status.to_string()),
            "text": reply.lines().join(" "),
            "at": moment.as_str(),
        }),
    );
    evidence::insert(verdict, &mut object);
    object.insert("dns".into(), json!({ "queries": verdict.questions() }));
    let steps = steps(verdict).into_iter().map(evidence::step_json);
    object.insert("steps".into(), steps.collect());
    Value::Object(object)
}

/// The lines and the table.
pub fn text(verdict: &Verdict, moment: Moment) -> String {
    let reason = match verdict.decisive() {
        Some(Evidence::MailFrom(report)) => format!(" ({})", report.reason),
        Some(Evidence::RelayClient { .. }) | None => String::new(),
        Some(piece) => format!(" ({})", piece.kind()),
    };
    let said = match moment {
        Moment::Mail => "",
        Moment::Recipient => "  (to RCPT)",
        Moment::EndOfData => "  (at the end of the content)",
    };
    let mut text = format!(
        "verdict  {}{reason}\nbecause  {}\nreply    {}{said}\n",
        verdict.result(),
        verdict.explanation(),
        reply(verdict)
    );
    let questions = verdict.questions();
    let plural = if questions == 1 { "y" } else { "ies" };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(text, "dns      {questions} quer{plural}");
    if verdict.evidence().len() > 1 {
        text.push('\n');
        for (piece, weight) in verdict.weighed() {
            let (kind, weight) = (piece.kind(), weight.as_str());
            let _ = writeln!(text, "{kind:14} {weight:8}  {}", piece.explanation());
        }
    }
    if let Some(report) = verdict.dkim() {
        text += &dkim::text(report);
    }
    let steps = steps(verdict);
    if !steps.is_empty() {
        text.push('\n');
        text += &table(&steps);
    }
    text
}
