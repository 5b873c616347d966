//! The hosts of a next hop, in the order in which they are tried, each with the TLS that it must
//! give.
//!
//! A message with REQUIRETLS has fewer of them: those whose names somebody answers for.
//!
//! Left to others: how many of them are tried, and what follows (`worker`); the searches themselves
//! (`crate::mx_lookup`).

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::mx::{Candidate, Search};
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::route::{Host, NextHop};
use vouchsafe_proto::smtp::deliver::Protocol;
use vouchsafe_proto::tls_policy::Requirement;

use super::Environment;
use crate::config::Config;
use crate::dns::Resolver;
use crate::smtp_out::{Endpoint, Place};
use crate::{mx_lookup, tls};

/// The hosts of the next hop, in the order in which they are tried. `require_tls`: for a message
/// that no hop without TLS may have (RFC 8689).
pub(super) async fn of(
    next_hop: &NextHop,
    require_tls: bool,
    environment: &Environment,
    config: &Config,
) -> Result<Vec<Endpoint>, Outcome> {
    let mut found = all_of(next_hop, environment, config).await?;
    if require_tls {
        found.retain_mut(|endpoint| {
            // Who takes LMTP gives into mailboxes: nothing goes on from there.
            if endpoint.protocol == Protocol::Smtp {
                let demanded = std::mem::take(&mut endpoint.requirement);
                let demanded = demanded.for_required_tls(endpoint.secure);
                let fits = demanded.is_some();
                endpoint.requirement = demanded.unwrap_or_default();
                return fits;
            }
            true
        });
        if found.is_empty() && !matches!(next_hop, NextHop::Maildir(_)) {
            let text = "the message may go under TLS only, and nobody answers for the names of \
                        the next hop's hosts: neither DNSSEC nor an MTA-STS policy";
            // X.7.10: encryption needed (RFC 8689 §4.2.1).
            return Err(Outcome::local((5, 7, 10), None, text));
        }
    }
    Ok(found)
}

/// All hosts of the next hop, with what their domain demands.
async fn all_of(
    next_hop: &NextHop,
    environment: &Environment,
    config: &Config,
) -> Result<Vec<Endpoint>, Outcome> {
    let resolver = &environment.resolver;
    match next_hop {
        NextHop::Smtp { host, port } => {
            let dane = config.delivery.follows_dane().then_some(*port);
            let named = addresses(host, dane, resolver).await?;
            Ok(endpoints(named, *port, Protocol::Smtp))
        }
        NextHop::Lmtp { host, port } => {
            let named = addresses(host, None, resolver).await?;
            Ok(endpoints(named, *port, Protocol::Lmtp))
        }
        NextHop::Mx { domain, port } => {
            let listening = config.listening();
            let ourselves = mx_lookup::ourselves(&config.hostname, &listening, *port);
            let mut search = Search::for_domain(domain.clone(), ourselves, super::chance());
            if config.delivery.follows_dane() {
                search = search.with_dane(*port);
            }
            let all = mx_lookup::run(search, resolver).await?;
            let others = mx_lookup::without_this_machine(all, &listening, *port);
            if others.is_empty() {
                let text = format!("mail for {domain} loops back to this server");
                return Err(Outcome::local((5, 4, 6), None, text));
            }
            let policy = if config.delivery.follows_mta_sts() {
                let port = config.relay.policy_port;
                environment.policies.of(domain, port).await
            } else {
                None
            };
            let named = others.into_iter().map(|candidate| Found {
                requirement: match &policy {
                    Some(policy) => candidate.requirement.under(policy, domain, &candidate.host),
                    None => candidate.requirement,
                },
                name: candidate.host.as_str().to_owned(),
                address: candidate.address,
                secure: candidate.secure,
            });
            let mut found = endpoints(named.collect(), *port, Protocol::Smtp);
            for endpoint in &mut found {
                endpoint.domain = Some(domain.clone());
            }
            Ok(found)
        }
        NextHop::LmtpUnix(path) => Ok(vec![Endpoint {
            remote: Remote {
                name: path.to_string(),
                address: None,
            },
            place: Place::Unix(PathBuf::from(&**path)),
            protocol: Protocol::Lmtp,
            server_name: None,
            requirement: Requirement::Opportunistic,
            secure: true,
            domain: None,
        }]),
        NextHop::Maildir(_) => Ok(Vec::new()),
    }
}

/// A configured host's addresses, each with the host's name. DANE is followed for hosts called
/// on this port.
async fn addresses(
    host: &Host,
    dane: Option<u16>,
    resolver: &Arc<dyn Resolver>,
) -> Result<Vec<Found>, Outcome> {
    match host {
        Host::Address(address) => Ok(vec![Found {
            name: address.to_string(),
            address: *address,
            requirement: Requirement::Opportunistic,
            secure: true,
        }]),
        Host::Name(name) => {
            let mut search = Search::for_host(name.clone());
            if let Some(port) = dane {
                search = search.with_dane(port);
            }
            let found = mx_lookup::run(search, resolver).await?;
            let named = |candidate: Candidate| Found {
                name: name.as_ascii().to_owned(),
                address: candidate.address,
                requirement: candidate.requirement,
                secure: candidate.secure,
            };
            Ok(found.into_iter().map(named).collect())
        }
    }
}

/// One address of a host.
pub(super) struct Found {
    /// The host, as it was looked up.
    pub(super) name: String,
    /// The address.
    pub(super) address: IpAddr,
    /// What TLS the host must give.
    pub(super) requirement: Requirement,
    /// Its name is the one that its domain, or the operator, meant.
    pub(super) secure: bool,
}

/// Endpoints of addresses with the names they were found under.
pub(super) fn endpoints(found: Vec<Found>, port: u16, protocol: Protocol) -> Vec<Endpoint> {
    let one = |found: Found| {
        let Found {
            name,
            address,
            requirement,
            secure,
        } = found;
        let host = match requirement.server_name().map(Name::as_str) {
            None if name.parse::<IpAddr>().is_ok() => Host::Address(address),
            asked => {
                Domain::parse(asked.unwrap_or(&name)).map_or(Host::Address(address), Host::Name)
            }
        };
        Endpoint {
            place: Place::Tcp(SocketAddr::new(address, port)),
            protocol,
            server_name: tls::server_name(&host),
            remote: Remote {
                name,
                address: Some(address),
            },
            requirement,
            secure,
            domain: None,
        }
    };
    found.into_iter().map(one).collect()
}
