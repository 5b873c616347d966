//! The evidence behind a verdict, as JSON. The keys are stable: what a version adds, it adds beside
//! them.

use serde_json::{Value, json};
use vouchsafe_proto::dns::{Lookup, Name, Trouble};
use vouchsafe_proto::verify::mail_from::{Identity, Report};
use vouchsafe_proto::verify::{Evidence, Step, Verdict, forwarder, sender_domain, spf};

use super::table::records;

/// The keys of each kind of evidence, in the object of the verdict; null for what was not asked.
pub(super) fn insert(verdict: &Verdict, object: &mut serde_json::Map<String, Value>) {
    let mut put = |key: &str, value: Value| {
        object.insert(key.into(), value);
    };
    put(
        "mail_from_mx",
        verdict.mail_from().map(mail_from_json).into(),
    );
    put("spf", verdict.spf().map(spf_json).into());
    put(
        "sender_domain",
        verdict.sender_domain().map(sender_domain_json).into(),
    );
    put("dkim", verdict.dkim().map(super::dkim::json).into());
    let forwarders = verdict.evidence().iter().filter_map(|piece| match piece {
        Evidence::Forwarder(report) => Some(forwarder_json(report)),
        _ => None,
    });
    put("forwarders", forwarders.collect());
    if let Some(local_domain) = relay_client(verdict) {
        put("relay_client", json!({ "local_domain": local_domain }));
    }
    let evidence = verdict.weighed().map(|(piece, weight)| {
        json!({
            "kind": piece.kind(),
            "weight": weight.as_str(),
            "explanation": piece.explanation(),
        })
    });
    put("evidence", evidence.collect());
}

/// Whether the reverse-path's domain is one of ours, if the client is in a relay network.
fn relay_client(verdict: &Verdict) -> Option<bool> {
    verdict.evidence().iter().find_map(|piece| match piece {
        Evidence::RelayClient { local_domain } => Some(*local_domain),
        _ => None,
    })
}

/// SPF. `explanation` is what a sender would be told of a fail: the domain's own words, or ours
/// where it has none.
pub(super) fn spf_json(report: &spf::Report) -> Value {
    let own = report.explanation.as_deref().map(str::to_owned);
    let explanation = own.or_else(|| {
        let fails = report.result == spf::SpfResult::Fail;
        fails.then(|| report.sentence())
    });
    json!({
        "result": report.result.as_str(),
        "explanation": explanation,
        "reason": report.sentence(),
        "identity": report.identity.as_str(),
        "domain": report.domain.as_ref().map(|domain| domain.as_ascii().to_owned()),
        "client": report.client.to_string(),
        "matched": report.matched.as_ref().map(|matched| json!({
            "directive": matched.directive,
            "owner": matched.owner.to_string(),
            "network": matched.network.map(|network| network.to_string()),
            "chain": matched.chain.iter().map(|link| json!({
                "owner": link.owner.to_string(),
                "term": link.term,
            })).collect::<Vec<_>>(),
        })),
        "problem": report.problem.as_ref().map(ToString::to_string),
        "proves": report.proves_if_mail_from_silent(),
        "lookups": report.lookups,
        "void_lookups": report.void_lookups,
        "ttl": report.ttl,
        "keep_for": report.keep_for(),
    })
}

/// The sender-domain test.
fn sender_domain_json(report: &sender_domain::Report) -> Value {
    json!({
        "result": report.finding.as_str(),
        "domain": report.domain.as_ascii(),
        "ttl": report.ttl,
    })
}

/// A declared forwarder.
fn forwarder_json(report: &forwarder::Report) -> Value {
    json!({
        "domain": report.forwarder.as_ascii(),
        "result": report.standing.as_str(),
    })
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
pub(super) fn step_json(step: &Step) -> Value {
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
