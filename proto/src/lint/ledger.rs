//! Whether those who ask a domain's ledger are answered (PROTOCOLS B.3, B.4).
//!
//! Promised: nothing is found where no offer is published, since taking part is nobody's duty; one harmless question is
//! asked, about a digest that nobody has. Left to others: whether what the ledger says is true.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::{Kind, Lint, Notes};
use crate::dns::{Answer, Lookup, Name, RecordType, Records};
use crate::publish::records::shown;
use crate::residue::servers::{LABEL, is_special_use};
use crate::residue::writers::Standing;
use crate::residue::{self, Offer, Policy, Word};
use crate::survey::mail_from::Root;
use crate::survey::{Study as _, View};
use crate::verify::mail_from::LABEL as MAIL_FROM;

/// Bits that receivers reveal, of a question in the form that all of them use: more would give a message away.
const MOST_REVEALED: u32 = 87;

/// What all such texts begin with.
const BEGINS: &[u8] = b"v=vouch1";

/// Looks at what `_sent` in front of a domain offers, at its servers, and at the answer to this question.
pub(super) fn look(
    view: &mut View<'_>,
    lint: &Lint,
    (apex, root): (&Name, Root),
    notes: &mut Notes<'_>,
) {
    let Ok(sent) = apex.child(LABEL) else {
        return;
    };
    let Some(answer) = view.want(&sent, RecordType::Txt) else {
        return;
    };
    let record = format!("{} TXT", shown(&sent));
    let texts = match &answer.lookup {
        Lookup::Found(Records::Txt(texts)) => texts,
        Lookup::Trouble(trouble) => {
            return notes.add(
                Kind::NotChecked,
                record,
                &format!("the DNS said: {trouble}"),
            );
        }
        _ => return,
    };
    if !texts.iter().any(|text| text.starts_with(BEGINS)) {
        return;
    }
    let Some(offer) = Offer::of_records(texts.iter().map(|text| &**text)) else {
        let effect = "receivers find no offer that they understand, and ask nothing";
        return notes.add(Kind::LedgerOffer, record, effect);
    };
    one_offer(offer, record, root, notes);
    servers(view, apex, &sent, notes);
    let others = lint.writers.as_ref().map(|writers| writers.look(view));
    let others = others.and_then(|standing| who_else_sends(&standing, apex, notes));
    if let Ok(name) = sent.child(&lint.question)
        && let Some(answer) = view.want(&name, RecordType::Txt)
    {
        // Where no set is published, nobody expects "not sent"; where others send, that has been found.
        let may_deny = root != Root::Unpublished && others.is_none();
        one_answer(answer, (&sent, may_deny), notes);
    }
}

/// Those who may send and enter nothing; something if there are any.
fn who_else_sends(standing: &Standing, apex: &Name, notes: &mut Notes<'_>) -> Option<()> {
    let effect = match standing {
        Standing::Others(others) => format!(
            "{others} may send in its name, and nothing enters what is sent there: the ledger never says \"not sent\""
        ),
        Standing::Unclear => String::from(
            "they do not say for certain who may send in its name: the ledger never says \"not sent\"",
        ),
        Standing::Whole | Standing::Unpublished | Standing::Trouble => return None,
    };
    let record = format!("{LABEL}.{0}, {1}.{0} MX, {0} TXT", shown(apex), MAIL_FROM);
    notes.add(Kind::LedgerOthersSend, record, &effect);
    Some(())
}

/// What is offered.
fn one_offer(offer: Offer, record: String, root: Root, notes: &mut Notes<'_>) {
    if offer.least_revealed > MOST_REVEALED {
        let least = offer.least_revealed;
        let effect = format!(
            "it answers only questions that reveal {least} bits, and nobody asks by more than \
             {MOST_REVEALED}: nobody asks"
        );
        notes.add(Kind::LedgerAsksTooMuch, record.clone(), &effect);
    }
    let is_known = matches!(root, Root::Set | Root::Never | Root::Trouble);
    if offer.policy == Policy::Reject && !is_known {
        let effect = "a ledger says \"not sent\" only where a set says who sends: what the domain \
                      did not send is never refused by it";
        notes.add(Kind::LedgerWithoutSet, record, effect);
    }
}

/// The servers that are asked.
fn servers(view: &mut View<'_>, apex: &Name, sent: &Name, notes: &mut Notes<'_>) {
    // Who serves `_sent` is the nearest that has name servers.
    let mut hosts: &[Name] = &[];
    let mut owner = sent;
    for zone in [sent, apex] {
        let Some(answer) = view.want(zone, RecordType::Ns) else {
            return;
        };
        if let Lookup::Found(Records::Ns(names)) = &answer.lookup {
            (hosts, owner) = (names, zone);
            break;
        }
    }
    let mut alive = 0_usize;
    for host in hosts {
        let record = format!("{} NS {}", shown(owner), shown(host));
        let Some(addresses) = addresses(view, host) else {
            continue;
        };
        if addresses.is_empty() {
            let effect = "nobody can ask there";
            notes.add(Kind::LedgerServerWithoutAddress, record, effect);
            continue;
        }
        alive = alive.saturating_add(1);
        if addresses.iter().all(|address| is_special_use(*address)) {
            let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let effect = format!("receivers do not ask at {}", all.join(", "));
            notes.add(Kind::LedgerServerPrivate, record, &effect);
        }
    }
    if alive == 1 {
        notes.add(
            Kind::LedgerOneServer,
            format!("{} NS", shown(owner)),
            "\"not sent\" counts when another host says it too: until half a minute has passed a \
             forgery is put off and not refused",
        );
    }
}

/// A host's addresses; none while they are not known.
fn addresses(view: &mut View<'_>, host: &Name) -> Option<BTreeSet<IpAddr>> {
    let both = [
        view.want(host, RecordType::A),
        view.want(host, RecordType::Aaaa),
    ];
    let mut all = BTreeSet::new();
    for answer in both {
        match &answer?.lookup {
            Lookup::Found(Records::A(list)) => all.extend(list.iter().copied().map(IpAddr::V4)),
            Lookup::Found(Records::Aaaa(list)) => all.extend(list.iter().copied().map(IpAddr::V6)),
            Lookup::Trouble(_) => return None,
            _ => {}
        }
    }
    Some(all)
}

/// The answer to a question about what nobody has sent; whether it could be "not sent".
fn one_answer(answer: &Answer, (sent, may_deny): (&Name, bool), notes: &mut Notes<'_>) {
    let record = format!("{} TXT, asked about a message", shown(sent));
    let said = match &answer.lookup {
        Lookup::Trouble(trouble) => {
            let effect = format!("the DNS said: {trouble}");
            return notes.add(Kind::NotChecked, record, &effect);
        }
        Lookup::NxDomain => Err("that there is no such name"),
        Lookup::Found(Records::Txt(texts)) => match &texts[..] {
            [text] => residue::Answer::parse(text).ok_or("a text that is no answer"),
            _ => Err("several texts"),
        },
        _ => Err("nothing"),
    };
    let said = match said {
        Ok(said) => said,
        Err(what) => {
            let effect = format!("the answer was {what}: receivers learn nothing");
            return notes.add(Kind::LedgerNoAnswer, record, &effect);
        }
    };
    if said.word == Word::Sent {
        let effect = "it says \"sent\" of a message that nobody wrote: any forgery is proven by it";
        notes.add(Kind::LedgerSaysSent, record.clone(), effect);
    }
    if said.word == Word::Unknown && may_deny {
        let effect = "it says \"unknown\" of a message of the last hour that nobody wrote: what the domain did not \
                      send is not refused by it";
        notes.add(Kind::LedgerSaysUnknown, record.clone(), effect);
    }
    let longest = match said.word {
        Word::Sent => 3600,
        Word::NotSent => 30,
        Word::Unknown => 0,
    };
    if answer.ttl > longest {
        let effect = format!(
            "it may be kept for {} seconds, by which time it may be untrue",
            answer.ttl
        );
        notes.add(Kind::LedgerAnswerKept, record, &effect);
    }
}
