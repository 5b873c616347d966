//! Breadth first over the levels of sets (PROTOCOLS A.2 steps 4 and 5): the hosts of a level, then,
//! if none matched, the sets that its groups and hosts lead to.
//!
//! A budget is looked at when the answers of a stage are in. Over it, the walk ends: the next
//! stage's answers could change nothing then, and are not asked for.

use alloc::vec;
use alloc::vec::Vec;

use crate::dns::{Lookup, Name, RecordType};

use super::budget::{MAX_DEPTH, MAX_HOSTS, MAX_LEVEL_HOSTS, MAX_RECORDS, MAX_SETS, MAX_VOID};
use super::subject::{LABEL, Plan};
use super::walk::{Open, Publication, Trail, exchanges};
use super::{Budget, Reason, wildcard};

/// What one level adds, in the order of the names.
struct Level {
    /// The root set's is 1.
    number: u8,
    /// Hosts that no level before listed.
    hosts: Vec<Name>,
    /// Groups: their sets are followed, their addresses are nobody's.
    groups: Vec<Name>,
}

/// What all levels so far have shown: lists that are gone through, since the budgets keep them short
/// and most have one name or two.
struct Seen {
    /// Sets, by the name at the end of their aliases: a set met again is skipped, so loops end.
    sets: Vec<Name>,
    /// Hosts, by name.
    hosts: Vec<Name>,
}

/// Adds a name; false if it was there.
fn add(names: &mut Vec<Name>, name: &Name) -> bool {
    let is_new = !names.contains(name);
    if is_new {
        names.push(name.clone());
    }
    is_new
}

/// Each name once, in order.
fn in_order(mut names: Vec<Name>) -> Vec<Name> {
    names.sort_unstable();
    names.dedup();
    names
}

/// Walks the published set of `owner` to its end.
pub(super) fn descend(trail: &mut Trail<'_>, plan: &Plan, owner: &Name) -> Result<Reason, Open> {
    let mut seen = Seen {
        sets: vec![end_of_aliases(trail, owner)],
        hosts: Vec::new(),
    };
    let mut sets = vec![owner.clone()];
    let mut number = 1;
    while !sets.is_empty() {
        let helo_host = plan.helo_host.as_ref().filter(|_| number == 1);
        let level = open_level(trail, &mut seen, number, &sets, helo_host);
        if match_hosts(trail, &level)? {
            return Ok(Reason::Host);
        }
        look_at_budgets(trail, &seen);
        if !trail.over.is_empty() {
            break;
        }
        sets = second_stage(trail, &mut seen, &level)?;
        look_at_budgets(trail, &seen);
        if number >= MAX_DEPTH && !sets.is_empty() {
            trail.over.insert(Budget::Depth);
        }
        if !trail.over.is_empty() {
            break;
        }
        number = number.saturating_add(1);
    }
    conclude(trail, plan, owner)
}

/// No match. The order is the law: temporary, limits, empty, and only then a rejection.
fn conclude(trail: &mut Trail<'_>, plan: &Plan, owner: &Name) -> Result<Reason, Open> {
    if !trail.trouble.is_empty() {
        Ok(Reason::Temporary)
    } else if !trail.over.is_empty() {
        Ok(Reason::Limits)
    } else if trail.hosts.iter().all(|host| host.addresses.is_empty()) {
        Ok(Reason::Empty)
    } else {
        wildcard::test(trail, plan, owner, Reason::NotListed)
    }
}

/// Enters the sets of a level, and tells its hosts from its groups.
fn open_level(
    trail: &mut Trail<'_>,
    seen: &mut Seen,
    number: u8,
    sets: &[Name],
    helo_host: Option<&Name>,
) -> Level {
    let (mut hosts, mut groups) = (Vec::new(), Vec::new());
    hosts.extend(helo_host.cloned());
    for owner in sets {
        let records = trail.enter(owner, number);
        for exchange in exchanges(records).map(|mx| &mx.exchange) {
            if exchange.labels().next() == Some(LABEL) {
                groups.push(exchange.clone());
            } else {
                hosts.push(exchange.clone());
            }
        }
    }
    let hosts = in_order(hosts).into_iter();
    let new = hosts.filter(|host| add(&mut seen.hosts, host));
    Level {
        number,
        hosts: new.take(MAX_LEVEL_HOSTS).collect(),
        groups: in_order(groups),
    }
}

/// First stage: the addresses of the level's hosts in the client's family. A match does not wait
/// for the other answers, and no failure among them takes it away.
fn match_hosts(trail: &mut Trail<'_>, level: &Level) -> Result<bool, Open> {
    let family = trail.family();
    let mut matched = false;
    for host in &level.hosts {
        let known = trail.want(host, family);
        matched |= trail.note_host(host, level.number);
        if let Some(known) = known {
            trail.settled(host, family, known);
            if known.answer.lookup == Lookup::NxDomain {
                trail.void.insert(host.clone());
            }
        }
    }
    if !matched {
        trail.nothing_open()?;
    }
    Ok(matched)
}

/// Second stage: the other family for hosts without an address, and the sets behind the level.
/// Gives those that are published and new.
fn second_stage(trail: &mut Trail<'_>, seen: &mut Seen, level: &Level) -> Result<Vec<Name>, Open> {
    let behind = owners_behind(level);
    for host in hosts_without_address(trail, level) {
        trail.want(host, trail.other_family());
    }
    for owner in &behind {
        trail.want(owner, RecordType::Mx);
    }
    trail.nothing_open()?;
    for host in hosts_without_address(trail, level) {
        look_at_other_family(trail, host);
    }
    let mut sets = Vec::new();
    for owner in behind {
        let Some(known) = trail.known(&owner, RecordType::Mx) else {
            continue;
        };
        if trail.settled(&owner, RecordType::Mx, known).is_some() {
            continue;
        }
        if Publication::of(known) != Publication::Set {
            // Only a group that is named must be there; what was only looked for may be missing.
            if level.groups.contains(&owner) {
                trail.void.insert(owner);
            }
        } else if add(&mut seen.sets, &end_of_aliases(trail, &owner)) {
            sets.push(owner);
        }
    }
    Ok(sets)
}

/// Every group, and `MAIL-FROM.<host>` for every host; a name that would be too long is none.
fn owners_behind(level: &Level) -> Vec<Name> {
    let probes = level.hosts.iter().filter_map(|host| host.child(LABEL).ok());
    in_order(probes.chain(level.groups.iter().cloned()).collect())
}

/// Hosts that exist without an address of the client's family.
fn hosts_without_address<'l>(trail: &Trail<'_>, level: &'l Level) -> Vec<&'l Name> {
    let has_none = |host: &&Name| {
        trail
            .known(host, trail.family())
            .is_some_and(|known| known.answer.lookup == Lookup::NoData)
    };
    level.hosts.iter().filter(has_none).collect()
}

/// Adds what the other family shows of a host.
fn look_at_other_family(trail: &mut Trail<'_>, host: &Name) {
    let kind = trail.other_family();
    let Some(known) = trail.known(host, kind) else {
        return;
    };
    trail.settled(host, kind, known);
    if matches!(known.answer.lookup, Lookup::NoData | Lookup::NxDomain) {
        trail.void.insert(host.clone());
    }
}

/// Where the records of a set really stand.
fn end_of_aliases(trail: &Trail<'_>, owner: &Name) -> Name {
    trail
        .known(owner, RecordType::Mx)
        .and_then(|known| known.answer.aliases.last())
        .unwrap_or(owner)
        .clone()
}

/// Notes every budget that is gone over by now.
fn look_at_budgets(trail: &mut Trail<'_>, seen: &Seen) {
    let over = [
        (Budget::Sets, seen.sets.len() > MAX_SETS),
        (Budget::Hosts, seen.hosts.len() > MAX_HOSTS),
        (
            Budget::Records,
            trail.sets.iter().any(|set| set.count > MAX_RECORDS),
        ),
        (Budget::Void, trail.void.len() > MAX_VOID),
    ];
    trail.over.extend(
        over.into_iter()
            .filter(|(_, over)| *over)
            .map(|(budget, _)| budget),
    );
}
