//! What `publish` prints, and what it says beside that on standard error.

use serde_json::{Value, json};
use vouchsafe_proto::publish::change::{Change, replacement};
use vouchsafe_proto::publish::order::Outcome;
use vouchsafe_proto::publish::plan::Plan;
use vouchsafe_proto::publish::records::{Record, shown};
use vouchsafe_proto::publish::text;

use super::print;

/// A piece of a zone file; what it does not cover is said on standard error as well, since a pipe
/// swallows comments.
pub fn zone(plan: &Plan) -> String {
    left_out(plan);
    text::zone(plan)
}

/// What goes and what comes.
pub fn difference(plan: &Plan, outcome: &Outcome) -> String {
    left_out(plan);
    Change::between(&outcome.published, &plan.records()).text()
}

/// An update.
pub fn update(plan: &Plan, outcome: &Outcome, compare: bool) -> String {
    left_out(plan);
    if compare {
        return Change::between(&outcome.published, &plan.records()).update();
    }
    print::error(
        "vouchsafe: nobody was asked what is published now: an SPF record that is there already \
         must be deleted (give --diff or --resolver)",
    );
    replacement(&plan.records())
}

/// Everything, for programs.
pub fn json(plan: &Plan, outcome: &Outcome, compare: bool) -> Value {
    let records = plan.records();
    let change = compare.then(|| {
        let change = Change::between(&outcome.published, &records);
        json!({
            "add": all(&change.add),
            "delete": all(&change.delete),
            "keep": all(&change.keep),
        })
    });
    json!({
        "domain": plan.domain.as_ascii(),
        "complete": plan.is_complete(),
        "records": all(&records),
        "spf": plan.spf,
        "not_covered": plan.left_out.iter().map(|left_out| json!({
            "network": left_out.network.map(|network| network.to_string()),
            "from": left_out.origin,
            "why": left_out.why.as_str(),
            "advice": left_out.why.advice(),
        })).collect::<Vec<_>>(),
        "doubts": outcome.doubts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "change": change,
    })
}

/// Records as objects.
fn all(records: &[Record]) -> Vec<Value> {
    records
        .iter()
        .map(|record| {
            json!({
                "owner": format!("{}.", shown(&record.owner)),
                "ttl": record.ttl,
                "type": record.rdata.kind(),
                "data": record.rdata.to_string(),
            })
        })
        .collect()
}

/// What is to be looked at first.
pub fn doubts(outcome: &Outcome) {
    for doubt in &outcome.doubts {
        print::error(&format!("vouchsafe: {doubt}"));
    }
}

/// What is not covered.
fn left_out(plan: &Plan) {
    for left_out in &plan.left_out {
        print::error(&format!("vouchsafe: not covered: {left_out}"));
    }
}
