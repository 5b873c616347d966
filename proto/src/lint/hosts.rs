//! The relays themselves, as far as the DNS tells: whose names their addresses bear, and whether
//! they receive as well.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::IpAddr;

use crate::dns::{Lookup, Name, RecordType, Records};
use crate::publish::plan::parent;
use crate::publish::records::shown;
use crate::survey::View;
use crate::survey::mail_from::{MailFrom, exchanges};

use super::{Kind, Notes, mx_of};

/// Addresses whose names are asked for: one for each host that a set may hold.
const MAX_REVERSE: usize = 30;

/// Looks at the relays; gives those that receive the domain's mail.
pub(super) fn look(
    view: &mut View<'_>,
    apex: &Name,
    set: &MailFrom,
    notes: &mut Notes<'_>,
) -> Vec<Name> {
    let mut left = MAX_REVERSE;
    for host in &set.hosts {
        for address in host.addresses() {
            if is_private(address) {
                notes.add(
                    Kind::PrivateAddress,
                    format!("{} {address}", shown(&host.name)),
                    "no receiver outside ever sees a client with this address",
                );
            } else if left > 0 {
                left = left.saturating_sub(1);
                reverse(view, &host.name, address, notes);
            }
        }
    }
    inbound(view, apex, set, notes)
}

/// Addresses of special use that are no one's on the Internet.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// Whose name an address bears.
fn reverse(view: &mut View<'_>, host: &Name, address: IpAddr, notes: &mut Notes<'_>) {
    let Some(answer) = reverse_name(address).and_then(|name| view.want(&name, RecordType::Ptr))
    else {
        return;
    };
    let record = format!("{} {address}", shown(host));
    match &answer.lookup {
        Lookup::Found(Records::Ptr(names)) => {
            let strangers: Vec<String> = names
                .iter()
                .filter(|name| !is_near(name, host))
                .take(3)
                .map(shown)
                .collect();
            if !strangers.is_empty() {
                let effect = format!(
                    "the address bears the name of {}: whoever sends from there can use the \
                     domain's name",
                    strangers.join(", ")
                );
                notes.add(Kind::SharedAddress, record, &effect);
            }
        }
        Lookup::NoData | Lookup::NxDomain => notes.add(
            Kind::NoReverseName,
            record,
            "many receivers refuse mail from an address without a name",
        ),
        // Another's zone, and nothing hangs on it.
        Lookup::Found(_) | Lookup::AliasLimit | Lookup::Trouble(_) => {}
    }
}

/// The same host, or one in the domain that the host is in.
fn is_near(name: &Name, host: &Name) -> bool {
    let domain = parent(host);
    let within = |domain: &Name| {
        let above = name.as_str().strip_suffix(domain.as_str());
        above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    name == host || domain.is_some_and(|domain| !domain.is_root() && within(&domain))
}

/// `1.2.0.192.in-addr.arpa` (RFC 1035 §3.5), or the nibbles below `ip6.arpa` (RFC 3596 §2.5).
fn reverse_name(address: IpAddr) -> Option<Name> {
    let mut text = String::new();
    // Writing to a String cannot fail.
    match address {
        IpAddr::V4(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(text, "{octet}.");
            }
            text += "in-addr.arpa";
        }
        IpAddr::V6(address) => {
            for octet in address.octets().iter().rev() {
                let _ = write!(text, "{:x}.{:x}.", octet & 15, octet >> 4);
            }
            text += "ip6.arpa";
        }
    }
    Name::parse(&text).ok()
}

/// Listed hosts that are the domain's own MX as well.
fn inbound(view: &mut View<'_>, apex: &Name, set: &MailFrom, notes: &mut Notes<'_>) -> Vec<Name> {
    let Some(answer) = view.want(apex, RecordType::Mx) else {
        return Vec::new();
    };
    let receives: Vec<&Name> = exchanges(mx_of(answer)).collect();
    let both = set
        .hosts
        .iter()
        .filter(|host| receives.contains(&&host.name));
    let both: Vec<Name> = both.map(|host| host.name.clone()).collect();
    for name in &both {
        notes.add(
            Kind::RelayIsInbound,
            format!("{} MX {}", shown(apex), shown(name)),
            "it takes mail from anybody and sends in the domain's name: what it lets through by \
             mistake passes everywhere",
        );
    }
    both
}
