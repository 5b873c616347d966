//! Holds the sections against each other and against the machine: what is right by itself can
//! still be wrong together. Works on a draft, so that these mistakes show beside all others.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::route::{Host, NextHop, PathMode, WhenUnproven};

use super::load::{Draft, DraftDomain};
use super::read::Reader;
use super::units::show_duration;

/// By then the sender of every stored message has heard (DESIGN §2, promise 3).
const HEARD_WITHIN: Duration = Duration::from_hours(6);

/// Writes down whatever does not agree.
pub fn check(draft: &Draft, reader: &mut Reader<'_>) {
    check_reach(draft, reader);
    check_data_dir(draft, reader);
    check_proxies(draft, reader);
    check_domains(draft, reader);
    check_relay_next_hop(draft, reader);
    check_tls(draft, reader);
    check_limits(draft, reader);
    check_retry(draft, reader);
    check_ledger(draft, reader);
}

/// There is somewhere to listen, and something to do.
fn check_reach(draft: &Draft, reader: &mut Reader<'_>) {
    let (listen, sound) = &draft.listen;
    if listen.is_empty() && *sound {
        reader.problem(
            None,
            "no [[listen]]: nothing would ever be received; for example\n\
             [[listen]]\naddress = \"[::]:25\""
                .replace('\n', " "),
        );
    }
    let mut seen = BTreeSet::new();
    let lines: Vec<_> = reader
        .settings
        .iter()
        .filter(|setting| setting.header == "[[listen]]" && setting.key == "address")
        .map(|setting| setting.line)
        .collect();
    for (address, line) in listen.iter().map(|listen| listen.address).zip(lines) {
        if address.port() != 0 && !seen.insert(address) {
            reader.problem(line, format!("[[listen]]: {address} stands twice"));
        }
    }
    let relays = draft
        .relay
        .as_ref()
        .is_none_or(|relay| !relay.from.is_empty());
    if draft.domains.is_empty() && !relays {
        reader.problem(
            None,
            "neither [domains.\"...\"] nor \"from\" in [relay]: every recipient would be refused",
        );
    }
}

/// Where a PROXY header is wanted, somebody may give it.
fn check_proxies(draft: &Draft, reader: &mut Reader<'_>) {
    let nobody = draft
        .perimeter
        .as_ref()
        .is_some_and(|perimeter| perimeter.proxies.is_empty());
    if nobody && draft.listen.0.iter().any(|listen| listen.proxy) {
        let line = reader
            .settings
            .iter()
            .find(|setting| setting.key == "proxy" && setting.value == "true")
            .and_then(|setting| setting.line);
        let why = "\"proxy\" in [[listen]]: there is no \"proxies\" in [perimeter], so nobody could \
                   connect";
        reader.problem(line, why);
    }
}

/// The data folder is there or can be made.
fn check_data_dir(draft: &Draft, reader: &mut Reader<'_>) {
    let Some(folder) = &draft.data_dir else {
        return;
    };
    if folder.exists() && !folder.is_dir() {
        reader.conflict(
            "",
            "data_dir",
            &format!("{} is no folder", folder.display()),
        );
    } else if !parent_is_there(folder) {
        let why = format!("the parent of {} is not there", folder.display());
        reader.conflict("", "data_dir", &why);
    }
}

/// No domain twice, no next hop that is ourselves, every Maildir's parent there.
fn check_domains(draft: &Draft, reader: &mut Reader<'_>) {
    let mut seen = BTreeSet::new();
    for domain in &draft.domains {
        if let Some(name) = &domain.name
            && !seen.insert(name)
        {
            let message = format!("{}: this domain stands twice", domain.header);
            reader.problem(domain.line, message);
        }
        check_when_unproven(domain, reader);
        let Some(next_hop) = &domain.next_hop else {
            continue;
        };
        if is_ourselves(next_hop, draft) {
            reader.conflict(&domain.header, "next_hop", &loops(next_hop));
        }
        if let NextHop::Maildir(path) = next_hop
            && !parent_is_there(Path::new(path.as_ref()))
        {
            let why = format!("the parent of {path} is not there");
            reader.conflict(&domain.header, "next_hop", &why);
        }
    }
}

/// Nothing is put off for want of a reply where nobody is asked before the message is stored.
fn check_when_unproven(domain: &DraftDomain, reader: &mut Reader<'_>) {
    if domain.when_unproven == Some(WhenUnproven::Defer)
        && let Some(cause) = domain.always_stores()
    {
        let instead = match domain.path {
            Some(PathMode::Store) => "path = \"hold\" or when-unproven = \"store\"",
            _ => "when-unproven = \"store\"",
        };
        let why = format!(
            "\"defer\" has no meaning with {cause}: every message is stored before the next hop \
             is asked; write {instead}"
        );
        reader.conflict(&domain.header, "when-unproven", &why);
    }
}

/// Mail for the world goes to a host of SMTP that is not ourselves.
fn check_relay_next_hop(draft: &Draft, reader: &mut Reader<'_>) {
    let Some(next_hop) = draft
        .relay
        .as_ref()
        .and_then(|relay| relay.next_hop.as_ref())
    else {
        return;
    };
    if !matches!(next_hop, NextHop::Smtp { .. }) {
        let why = format!("{next_hop} takes mail for local mailboxes only; write smtp://host:port");
        reader.conflict("[relay]", "next_hop", &why);
    } else if is_ourselves(next_hop, draft) {
        reader.conflict("[relay]", "next_hop", &loops(next_hop));
    }
}

/// Why a next hop that is ourselves will not do.
fn loops(next_hop: &NextHop) -> String {
    format!("{next_hop} is where this host listens: mail would go round in a loop")
}

/// True for a next hop at which we listen, as far as can be told without the DNS.
fn is_ourselves(next_hop: &NextHop, draft: &Draft) -> bool {
    let NextHop::Smtp { host, port } = next_hop else {
        return false;
    };
    draft
        .listen
        .0
        .iter()
        .map(|listen| listen.address)
        .any(|listen| listen.port() == *port && reaches(listen, host, draft.hostname.as_ref()))
}

/// True when connecting to `host` may end at the listener.
fn reaches(listen: SocketAddr, host: &Host, hostname: Option<&Domain>) -> bool {
    let listen = listen.ip().to_canonical();
    match host {
        Host::Name(name) => hostname == Some(name) || name.as_ascii() == "localhost",
        Host::Address(address) => {
            let address = address.to_canonical();
            let every_interface = match listen {
                IpAddr::V4(_) => listen.is_unspecified() && address.is_ipv4(),
                IpAddr::V6(_) => listen.is_unspecified(),
            };
            address == listen || (every_interface && address.is_loopback())
        }
    }
}

/// Both files or neither, and they belong together.
fn check_tls(draft: &Draft, reader: &mut Reader<'_>) {
    match (&draft.certificate, &draft.key) {
        (Some(certificate), Some(key)) => {
            if let Err(why) = crate::tls::server(certificate, key) {
                let key = if why.is_about_key() {
                    "key"
                } else {
                    "certificate"
                };
                reader.conflict("[tls]", key, &crate::log::chain(&why));
            }
        }
        (Some(_), None) => reader.conflict("[tls]", "certificate", "there is no \"key\" with it"),
        (None, Some(_)) => reader.conflict("[tls]", "key", "there is no \"certificate\" with it"),
        (None, None) => {}
    }
}

/// A part is not larger than its whole.
fn check_limits(draft: &Draft, reader: &mut Reader<'_>) {
    if let Some(limits) = &draft.limits
        && limits.sessions_per_client > limits.sessions
    {
        let why = format!("more than \"sessions\", which is {}", limits.sessions);
        reader.conflict("[limits]", "sessions_per_client", &why);
    }
    if let Some(delivery) = &draft.delivery
        && delivery.connections_per_destination > delivery.connections
    {
        let why = format!(
            "more than \"connections\", which is {}",
            delivery.connections
        );
        reader.conflict("[delivery]", "connections_per_destination", &why);
    }
}

/// The schedule runs forwards, and the sender hears in time.
fn check_retry(draft: &Draft, reader: &mut Reader<'_>) {
    let Some(retry) = &draft.retry else {
        return;
    };
    if retry.first > retry.longest {
        let why = format!(
            "longer than \"longest\", which is {}",
            show_duration(retry.longest)
        );
        reader.conflict("[retry]", "first", &why);
    }
    if retry.delay_notice >= retry.expire {
        let why = format!(
            "not before \"expire\", which is {}",
            show_duration(retry.expire)
        );
        reader.conflict("[retry]", "delay_notice", &why);
    }
    let heard = retry.delay_notice.saturating_add(retry.longest);
    if heard > HEARD_WITHIN {
        let why = format!(
            "with \"longest\" it makes {}, but every sender must hear within {}",
            show_duration(heard),
            show_duration(HEARD_WITHIN)
        );
        reader.conflict("[retry]", "delay_notice", &why);
    }
}

/// Somebody answers for the zones, for mail that he knows of, and no address is answered at twice.
fn check_ledger(draft: &Draft, reader: &mut Reader<'_>) {
    let Some(ledger) = &draft.ledger else {
        return;
    };
    if ledger.name_servers.is_empty() {
        let why = "none: every zone has one at least; leave the key out for this host";
        reader.conflict("[ledger]", "name_servers", why);
    }
    // A host that answers has a ledger of its own. This one cannot say of its mail that it was not sent.
    for host in &ledger.name_servers {
        if draft.hostname.as_ref() != Some(host) && ledger.writers.get(host) == Some(&None) {
            let why = format!(
                "{host} answers by a ledger of its own, so what it sends is not known here: it is to hand that in \
                 (silent_after), or is no writer"
            );
            reader.conflict("[ledger]", "name_servers", &why);
        }
    }
    let mut seen = BTreeSet::new();
    for address in &ledger.address {
        if address.port() != 0 && !seen.insert(address) {
            reader.conflict("[ledger]", "address", &format!("{address} stands twice"));
        }
    }
}

/// True when a folder could be made there.
fn parent_is_there(path: &Path) -> bool {
    path.is_dir() || path.parent().is_none_or(Path::is_dir)
}
