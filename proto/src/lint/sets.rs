//! What is wrong with the MAIL-FROM sets themselves.

use alloc::format;
use alloc::string::String;

use crate::dns::{Answer, Lookup, Mx, Name};
use crate::publish::TTL;
use crate::publish::records::shown;
use crate::survey::mail_from::{Host, MailFrom, Root, Set, is_group};
use crate::verify::mail_from::Budget;

use super::{Kind, Notes, mx_of};

/// Looks at the sets, with what a name beside the root set says (none if that cannot be named).
pub(super) fn look(found: &MailFrom, beside: Option<&Answer>, notes: &mut Notes<'_>) {
    let owner = shown(&found.owner);
    let own = found.answer.as_ref().map_or(&[][..], mx_of);
    let others = beside.map_or(&[][..], mx_of);
    let wild = !own.is_empty() && (own == others || made_by_wildcard(found));
    match found.root {
        Root::Set | Root::Never => wildcard(found, wild, !others.is_empty(), notes),
        Root::Ordinary if wild => notes.add(
            Kind::WildcardOnly,
            record(&found.owner, own.first()),
            "a wildcard MX answers for MAIL-FROM; with this preference it is no set, and the \
             domain's mail is unknown to receivers",
        ),
        Root::Ordinary => notes.add(
            Kind::NoPreferenceZero,
            record(&found.owner, own.first()),
            "without a record of preference 0 it is taken for an ordinary MX, and the domain's \
             mail is unknown to receivers",
        ),
        Root::Aliases | Root::Unpublished | Root::Trouble => {}
    }
    for set in &found.sets {
        one_set(set, notes);
    }
    for host in &found.hosts {
        one_host(host, notes);
    }
    for name in found.void.iter().filter(|name| is_group(name)) {
        notes.add(
            Kind::GroupWithoutSet,
            format!("{} MX", shown(name)),
            "mail from its hosts is refused, since nobody can know them",
        );
    }
    for name in &found.again {
        notes.add(
            Kind::GroupAgain,
            format!("MX 0 {}", shown(name)),
            "the group was entered already, so naming it again adds nothing: a loop, or twice the \
             same",
        );
    }
    for budget in &found.over {
        let (kind, effect) = over(*budget);
        notes.add(kind, owner.clone(), effect);
    }
    let none = found.hosts.iter().all(|host| host.addresses().is_empty());
    let settled = found.trouble.is_empty() && found.over.is_empty();
    if found.root == Root::Set && none && settled {
        let effect = "no host of it has an address: receivers take no notice of the set";
        notes.add(Kind::EmptySet, format!("{owner} MX"), effect);
    }
    if let (Root::Set | Root::Never, Some(false)) = (
        found.root,
        found.answer.as_ref().map(|answer| answer.secure),
    ) {
        notes.add(
            Kind::Unsigned,
            format!("{owner} MX"),
            "the resolver does not vouch for the answer: whoever forges DNS answers can forge mail",
        );
    }
}

/// The set and the wildcard beside it.
fn wildcard(found: &MailFrom, same: bool, there: bool, notes: &mut Notes<'_>) {
    if found.deliberate != Some(false) {
        return;
    }
    let own = found.answer.as_ref().map_or(&[][..], mx_of);
    let (kind, effect) = if same {
        (
            Kind::WildcardShadow,
            "a name that nobody published has the same MX: receivers take the set for a wildcard's \
             and refuse nobody",
        )
    } else if there {
        (
            Kind::NoTextBesideWildcard,
            "the domain has a wildcard MX, and only a comparison with it tells that the set is \
             meant: should the two ever be the same, the set no longer counts",
        )
    } else {
        (
            Kind::NoText,
            "before it refuses mail a receiver asks for a name beside the set, to see whether a \
             wildcard made it: one question more",
        )
    };
    notes.add(kind, record(&found.owner, own.first()), effect);
}

/// The signature says that a wildcard made the root set (RFC 4035 §5.3.4).
fn made_by_wildcard(found: &MailFrom) -> bool {
    let Some(answer) = &found.answer else {
        return false;
    };
    let owner = answer.aliases.last().unwrap_or(&found.owner);
    let signed = answer.signed_labels.map(usize::from);
    signed.is_some_and(|signed| signed < owner.labels().count())
}

/// Preferences, dots, aliases, TTL.
fn one_set(set: &Set, notes: &mut Notes<'_>) {
    for mx in set.records.iter().filter(|mx| mx.preference != 0) {
        let effect = if mx.exchange.is_root() {
            "the record says nothing in a set"
        } else {
            "it counts all the same while another record has preference 0; if that one goes, the \
             whole set no longer counts"
        };
        notes.add(
            Kind::PreferenceNotZero,
            record(&set.owner, Some(mx)),
            effect,
        );
    }
    let dot = set.records.iter().find(|mx| mx.exchange.is_root());
    if let (Some(dot), true) = (dot, set.records.len() > 1) {
        let effect =
            "the dot means \"never sends\" only where it stands alone: here it says nothing";
        notes.add(
            Kind::NullBesideOthers,
            record(&set.owner, Some(dot)),
            effect,
        );
    }
    if let Some(target) = set.aliases.last() {
        notes.add(
            Kind::SetAlias,
            format!("{} CNAME {}", shown(&set.owner), shown(target)),
            "the set is somebody else's to change",
        );
    }
    if set.ttl > TTL {
        notes.add(
            Kind::TtlTooLong,
            format!("{} {} MX", shown(&set.owner), set.ttl),
            "a relay that is added is refused by those who remember the old set, for as long as \
             they may",
        );
    }
}

/// Addresses and aliases of a host.
fn one_host(host: &Host, notes: &mut Notes<'_>) {
    let name = shown(&host.name);
    let listed = format!("{} MX 0 {name}", shown(&host.listed_at));
    if let Some(target) = host.alias_of() {
        let effect = format!(
            "an MX must not name an alias (RFC 2181 §10.3): {} is asked for besides",
            shown(target)
        );
        notes.add(Kind::ExchangeAlias, listed.clone(), &effect);
    }
    if host.is_trouble() || host.is_endless() {
        return;
    }
    let has = |answer: &Answer| matches!(answer.lookup, Lookup::Found(_));
    let ttl = [&host.four, &host.six]
        .into_iter()
        .filter(|answer| has(answer))
        .map(|answer| answer.ttl)
        .max();
    match (has(&host.four), has(&host.six)) {
        (true, true) => {}
        (false, false) => notes.add(
            Kind::HostWithoutAddress,
            listed,
            "receivers look it up in vain, and put up with four such names",
        ),
        (false, true) => {
            let effect = "mail that it sends over IPv4 is refused";
            notes.add(Kind::NoIpv4, format!("{name} A"), effect);
        }
        (true, false) => {
            let effect = "mail that it sends over IPv6 is refused";
            notes.add(Kind::NoIpv6, format!("{name} AAAA"), effect);
        }
    }
    if let Some(ttl) = ttl.filter(|ttl| *ttl > TTL) {
        notes.add(
            Kind::AddressTtlTooLong,
            format!("{name} {ttl}"),
            "when the host moves, its mail is refused by those who remember the old address",
        );
    }
}

/// A budget that is gone over.
const fn over(budget: Budget) -> (Kind, &'static str) {
    match budget {
        Budget::Sets => (
            Kind::OverSets,
            "more sets than a receiver follows: it refuses nobody",
        ),
        Budget::Hosts => (
            Kind::OverHosts,
            "more hosts than a receiver looks up: it refuses nobody",
        ),
        Budget::Records => (
            Kind::OverRecords,
            "a set with more records than a receiver takes: it refuses nobody",
        ),
        Budget::Void => (
            Kind::OverVoid,
            "more names that lead nowhere than a receiver puts up with: it refuses nobody",
        ),
        Budget::Depth => (
            Kind::OverDepth,
            "groups behind groups, deeper than a receiver follows: it refuses nobody",
        ),
        Budget::Aliases => (
            Kind::OverAliases,
            "a loop of aliases, or more than a receiver follows: it refuses nobody",
        ),
    }
}

/// `MAIL-FROM.example.org MX 0 mail.example.org`
fn record(owner: &Name, mx: Option<&Mx>) -> String {
    let owner = shown(owner);
    match mx {
        Some(mx) if mx.exchange.is_root() => format!("{owner} MX {} .", mx.preference),
        Some(mx) => format!("{owner} MX {} {}", mx.preference, shown(&mx.exchange)),
        None => format!("{owner} MX"),
    }
}
