//! The SPF record that says the same as a set.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use ipnet::IpNet;

use crate::dns::Name;
use crate::survey::cover::Shown;

use super::plan::{Facts, PlanError, Senders, parent};
use super::records::shown;

/// DNS lookups of one SPF record (RFC 7208 §4.6.4); hosts of one `mx` term as well.
pub(super) const MAX_LOOKUPS: usize = 10;

/// The SPF record that says the same: networks first, since they cost no lookup.
pub(super) fn record(senders: &Senders, facts: &Facts) -> Result<Box<str>, PlanError> {
    let mut networks: Vec<IpNet> = senders
        .networks
        .iter()
        .map(|(network, _)| *network)
        .collect();
    let lookups = senders.hosts.len().saturating_add(senders.groups.len());
    let mut terms = Vec::new();
    if lookups <= MAX_LOOKUPS {
        terms.extend(
            senders
                .hosts
                .iter()
                .map(|host| format!("a:{}", host.as_str())),
        );
    } else {
        if senders.groups.len() > MAX_LOOKUPS {
            return Err(PlanError::Lookups(lookups));
        }
        for host in &senders.hosts {
            let known = facts.hosts.get(host).ok_or(PlanError::Lookups(lookups))?;
            networks.extend(known.iter().copied().map(IpNet::from));
        }
    }
    for group in &senders.groups {
        if let Some(term) = group_term(group, facts) {
            terms.push(term);
        } else {
            let cover = facts.groups.get(group).map(|set| set.cover.networks());
            networks.extend(cover.into_iter().flatten());
        }
    }
    networks.sort_unstable();
    networks.dedup();
    let mut text = String::from("v=spf1");
    for network in networks {
        let kind = if matches!(network, IpNet::V4(_)) {
            "ip4"
        } else {
            "ip6"
        };
        // Writing to a String cannot fail.
        let _ = write!(text, " {kind}:{}", Shown(network));
    }
    for term in terms {
        text += " ";
        text += &term;
    }
    text += " -all";
    Ok(text.into())
}

/// A group in SPF: the set itself as an `mx`, which follows it as it changes, where that finds all
/// of it; else its domain's own record; none if only its addresses will do.
fn group_term(group: &Name, facts: &Facts) -> Option<String> {
    let known = facts.groups.get(group);
    let found_by_mx = known.is_none_or(|set| {
        set.sets.len() <= 1 && set.hosts.len() <= MAX_LOOKUPS && set.over.is_empty()
    });
    if found_by_mx {
        return Some(format!("mx:{}", shown(group)));
    }
    let domain = parent(group)?;
    facts
        .with_spf
        .contains(&domain)
        .then(|| format!("include:{}", domain.as_str()))
}
