//! What `ask` prints: each question with its answer, and what they come to.

use std::fmt::Write as _;

use serde_json::{Value, json};
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::inquiry::{About as Subject, Meaning};
use vouchsafe_proto::residue::{Answer, Hour, Word};

use super::key::Primes;
use super::{About, Asked, Outcome};
use crate::ledger::{Said, name};

/// The object.
pub fn json(about: &About, asked: &[Asked], meaning: &Meaning) -> Value {
    json!({
        "domain": about.domain.as_ascii(),
        "reverse_path": about.reverse_path.to_string(),
        "recipients": about.recipients.iter().map(Domain::as_ascii).collect::<Vec<_>>(),
        "hour": about.hour.number(),
        "primes": primes(&about.primes),
        "meaning": meaning.as_str(),
        "explanation": sentence(about, asked, meaning),
        "questions": asked.iter().map(|asked| question(about, asked)).collect::<Vec<_>>(),
    })
}

/// One question.
fn question(about: &About, asked: &Asked) -> Value {
    let residue = asked.question.residues().iter().next();
    let mut object = json!({
        "about": if sent_to(asked).is_some() { "message" } else { "identity" },
        "sent_to": sent_to(asked),
        "name": name(&about.domain, &asked.question).ok().map(|name| name.to_string()),
        "index": format!("{:06x}", asked.question.index().number()),
        "modulus": residue.map(|residue| format!("{:016x}", residue.modulus())),
        "remainder": residue.map(|residue| format!("{:016x}", residue.remainder())),
        "trouble": trouble(&asked.outcome),
    });
    if let (Outcome::Unanswered(offer, _), Some(object)) = (&asked.outcome, object.as_object_mut())
    {
        object.insert("offer".into(), offer.to_text().into());
    }
    if let (Outcome::Said(offer, servers, said), Some(object)) =
        (&asked.outcome, object.as_object_mut())
    {
        object.insert("offer".into(), offer.to_text().into());
        let servers = servers.iter().map(ToString::to_string).collect::<Vec<_>>();
        object.insert("servers".into(), servers.into());
        if let Said::Answer(answer) = said {
            object.insert("answer".into(), answer.to_text().into());
            object.insert("said".into(), word(*answer, about.hour).into());
        }
    }
    object
}

/// The domain that the message would have been sent to.
fn sent_to(asked: &Asked) -> Option<&str> {
    match &asked.subject {
        Subject::Message(domain) => Some(domain.as_ascii()),
        Subject::Identity => None,
    }
}

/// Why there is no answer.
fn trouble(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Said(_, _, Said::Answer(_)) => None,
        Outcome::Said(_, _, Said::Odd(oddity)) => Some(oddity.to_string()),
        Outcome::Unanswered(_, why) => Some(why.to_string()),
        Outcome::Absent => Some("the domain does not offer to answer".to_owned()),
        Outcome::NotKnown(why) => Some(why.to_string()),
    }
}

/// Where the primes come from, in a word.
const fn primes(primes: &Primes) -> &'static str {
    match primes {
        Primes::Kept => "kept",
        Primes::Fresh(_) => "fresh",
        Primes::Given => "given",
    }
}

/// What an answer says about a message of this hour.
fn word(answer: Answer, hour: Hour) -> &'static str {
    match answer.word {
        Word::Sent => "sent",
        Word::NotSent if answer.about(hour) == Word::Unknown => "unknown, the hour is not covered",
        Word::NotSent => "not sent",
        Word::Unknown => "unknown",
    }
}

/// A paragraph for each question, and a line at the end.
pub fn text(about: &About, asked: &[Asked], meaning: &Meaning) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    if let Primes::Fresh(Some(why)) = &about.primes {
        let _ = writeln!(text, "{why}: another call asks by other primes");
    }
    for asked in asked {
        let _ = match sent_to(asked) {
            Some(domain) => writeln!(text, "the message, to {domain}"),
            None => writeln!(text, "its reverse-path and Message-ID"),
        };
        if let Ok(name) = name(&about.domain, &asked.question) {
            let _ = writeln!(text, "  question  {name}");
        }
        for residue in asked.question.residues().iter() {
            let index = asked.question.index().number();
            let _ = writeln!(
                text,
                "  that is   hour {}, index {index:06x}, remainder {:016x} modulo {:016x}",
                about.hour.number(),
                residue.remainder(),
                residue.modulus()
            );
        }
        if let Outcome::Said(_, servers, _) = &asked.outcome {
            let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
            let _ = writeln!(text, "  servers   {}", servers.join(", "));
        }
        match &asked.outcome {
            Outcome::Said(_, _, Said::Answer(answer)) => {
                let _ = writeln!(
                    text,
                    "  answer    {}: {}",
                    answer.to_text(),
                    word(*answer, about.hour)
                );
            }
            outcome => {
                let why = trouble(outcome).unwrap_or_default();
                let _ = writeln!(text, "  answer    none: {why}");
            }
        }
    }
    let _ = writeln!(text, "{}", sentence(about, asked, meaning));
    text
}

/// The domains that it was sent to, by what was answered.
fn sent_to_these<'a>(about: &About, asked: &'a [Asked]) -> Vec<&'a str> {
    let sent = |asked: &&Asked| asked.word(about.hour) == Some(Word::Sent);
    asked.iter().filter(sent).filter_map(sent_to).collect()
}

/// What it comes to.
fn sentence(about: &About, asked: &[Asked], meaning: &Meaning) -> String {
    let domain = about.domain.as_ascii();
    let absent = asked
        .iter()
        .any(|asked| matches!(asked.outcome, Outcome::Absent));
    match meaning {
        Meaning::Sent => format!("sent: it is {domain}'s own message"),
        Meaning::SentToSome => {
            let sent = sent_to_these(about, asked);
            let others = about.recipients.iter().map(Domain::as_ascii);
            let others: Vec<_> = others.filter(|other| !sent.contains(other)).collect();
            format!(
                "sent to some: it is {domain}'s own message, sent to {}; that it was sent to {} is not known",
                sent.join(", "),
                others.join(", ")
            )
        }
        Meaning::SentElsewhere(other) => format!(
            "sent elsewhere: it is {domain}'s own message, sent to {}",
            other.as_ascii()
        ),
        Meaning::Altered => format!(
            "altered: {domain} sent a message of this name, but not in these words or not to these"
        ),
        Meaning::NotSent => format!("not sent: {domain} says that it did not send this"),
        Meaning::Unknown if absent => {
            format!("unknown: {domain} does not take part, and nothing follows")
        }
        Meaning::Unknown => "unknown: nothing follows".to_owned(),
    }
}
