//! What is wrong with the SPF record, and with those behind it.

use alloc::format;
use alloc::string::String;

use ipnet::IpNet;

use crate::publish::TTL;
use crate::publish::records::shown;
use crate::survey::mail_from::Root;
use crate::survey::spf::{Spf, State, Term};
use crate::verify::spf::limits::{MAX_LOOKUPS, MAX_MX, MAX_VOID};
use crate::verify::spf::{Mechanism, Qualifier};

use super::{Kind, Notes};

/// The widest IPv4 network by which a pass proves anything (DESIGN §3); wider is other people.
const WIDE_FOUR: u8 = 16;

/// The same for IPv6.
const WIDE_SIX: u8 = 32;

/// Looks at the record, beside what stands at MAIL-FROM.
pub(super) fn look(spf: &Spf, root: Root, notes: &mut Notes<'_>) {
    let record = format!("{} TXT", shown(&spf.domain));
    match spf.state {
        State::Missing => missing(record, root, notes),
        State::Several(count) => {
            let effect = format!("of {count} SPF records none counts: permerror at every receiver");
            notes.add(Kind::SpfSeveral, record, &effect);
        }
        State::Syntax(error) => {
            let effect = format!("{error}: permerror at every receiver");
            notes.add(Kind::SpfSyntax, text(spf), &effect);
        }
        State::Aliases => notes.add(
            Kind::OverAliases,
            record,
            "the SPF record stands behind more aliases than are followed",
        ),
        State::Found => found(spf, root, notes),
        State::Trouble(_) | State::Loop => {}
    }
}

/// There is none.
fn missing(record: String, root: Root, notes: &mut Notes<'_>) {
    match root {
        Root::Set | Root::Never => notes.add(
            Kind::NoSpf,
            record,
            "receivers that know only SPF cannot tell the domain's mail from a forgery",
        ),
        Root::Unpublished | Root::Ordinary => notes.add(
            Kind::NothingPublished,
            record,
            "nobody can tell the domain's mail from a forgery",
        ),
        Root::Trouble | Root::Aliases => {}
    }
}

/// There is one.
fn found(spf: &Spf, root: Root, notes: &mut Notes<'_>) {
    if root == Root::Unpublished {
        notes.add(
            Kind::NoSet,
            format!("MAIL-FROM.{} MX", shown(&spf.domain)),
            "receivers that check MAIL-FROM have only SPF to go by",
        );
    }
    counts(spf, notes);
    open_end(spf, notes);
    for one in spf.all() {
        if let Some(ttl) = one.ttl.filter(|ttl| *ttl > TTL && one.domain == spf.domain) {
            notes.add(
                Kind::TtlTooLong,
                format!("{} {ttl} TXT", shown(&one.domain)),
                "who is added to SPF is refused by those who remember the old record",
            );
        }
        behind(spf, one, notes);
        for term in &one.terms {
            one_term(one, term, notes);
        }
    }
}

/// The limits of RFC 7208 §4.6.4.
fn counts(spf: &Spf, notes: &mut Notes<'_>) {
    let tally = spf.tally();
    let over = |count: usize, limit: u32| u32::try_from(count).is_ok_and(|count| count > limit);
    if over(tally.lookups, MAX_LOOKUPS) {
        let effect = format!(
            "it takes {} lookups, and receivers give up after {MAX_LOOKUPS}: permerror",
            tally.lookups
        );
        notes.add(Kind::SpfLookups, text(spf), &effect);
    }
    if over(tally.void, MAX_VOID) {
        let effect = format!(
            "{} names in it do not exist, and receivers put up with {MAX_VOID}: permerror",
            tally.void
        );
        notes.add(Kind::SpfVoid, text(spf), &effect);
    }
    if tally.exchanges > MAX_MX {
        let effect = format!(
            "an mx in it has {} hosts, and receivers look up {MAX_MX}: permerror",
            tally.exchanges
        );
        notes.add(Kind::SpfManyExchanges, text(spf), &effect);
    }
}

/// What becomes of those whom no term names.
fn open_end(spf: &Spf, notes: &mut Notes<'_>) {
    let end = match (spf.all_term(), &spf.redirect) {
        (None, Some(redirect)) => redirect.all_term(),
        (end, _) => end,
    };
    match end {
        Some(Qualifier::Pass) => notes.add(
            Kind::SpfPlusAll,
            text(spf),
            "every host of the world passes: a forgery as well",
        ),
        Some(Qualifier::Fail) => {}
        _ if spf.redirect_unclear => {}
        _ => notes.add(
            Kind::SpfOpenEnd,
            text(spf),
            "nobody fails: a forgery is not refused for it",
        ),
    }
}

/// A record behind the domain's own.
fn behind(spf: &Spf, one: &Spf, notes: &mut Notes<'_>) {
    let record = format!("{} TXT", shown(&one.domain));
    match one.state {
        State::Missing | State::Several(_) | State::Syntax(_) | State::Aliases => {
            let effect = format!(
                "no record to go on with there ({}): permerror for mail that gets so far in the \
                 record of {}",
                one.state,
                shown(&spf.domain)
            );
            notes.add(Kind::SpfBrokenInclude, record, &effect);
        }
        State::Loop => notes.add(
            Kind::SpfLoop,
            record,
            "the record leads back to itself, or too deep: permerror for mail that gets so far",
        ),
        State::Found | State::Trouble(_) => {}
    }
}

/// One directive, wherever it stands.
fn one_term(spf: &Spf, term: &Term, notes: &mut Notes<'_>) {
    let record = format!("{} TXT: {}", shown(&spf.domain), term.directive);
    match &term.directive.mechanism {
        Mechanism::Ptr(_) => notes.add(
            Kind::SpfPtr,
            record.clone(),
            "it goes by the client's own reverse DNS, costs many questions, and some receivers \
             pass over it",
        ),
        Mechanism::All | Mechanism::Include(_) => {}
        _ if term.directive.qualifier == Qualifier::Pass => {
            if let Some(wide) = term.matches.networks().into_iter().find(is_wide) {
                let effect =
                    format!("{wide} has more hosts than any sender: others in it pass too");
                notes.add(Kind::SpfWide, record.clone(), &effect);
            }
        }
        _ => {}
    }
    for name in &term.void {
        let effect = format!("{} does not exist: the lookup is in vain", shown(name));
        notes.add(Kind::SpfDeadName, record.clone(), &effect);
    }
}

/// Wider than a pass may be that proves anything.
fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < WIDE_FOUR,
        IpNet::V6(network) => network.prefix_len() < WIDE_SIX,
    }
}

/// The record, escaped: it is somebody's text.
fn text(spf: &Spf) -> String {
    let text = spf.text.as_deref().unwrap_or_default();
    format!("{} TXT \"{}\"", shown(&spf.domain), text.escape_ascii())
}
