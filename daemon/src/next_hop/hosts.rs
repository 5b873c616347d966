//! The hosts of a next hop, in the order in which they are tried, each with the TLS that it must
//! give.
//!
//! A message with REQUIRETLS has fewer of them: those whose names somebody answers for ([`protected`]).
//!
//! Left to others: how many of them are tried, and what follows (`tries`); the searches themselves
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

use super::Reach;
use crate::chance;
use crate::config::Config;
use crate::dns::Resolver;
use crate::mta_sts::Standing;
use crate::smtp_out::{Endpoint, Place};
use crate::{mx_lookup, tls};

/// Those of these hosts that a message may have which no hop without TLS may have (RFC 8689 §4.2.1),
/// with what must hold of a session then: nobody but DNSSEC, a policy that lists it, or the
/// operator's word makes a host's name the right one. Who takes LMTP on this machine is no hop.
pub(super) fn protected(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let one = |mut endpoint: Endpoint| {
        if endpoint.protocol == Protocol::Smtp || !endpoint.place.is_private() {
            endpoint.requirement = endpoint.requirement.for_required_tls(endpoint.secure)?;
        }
        Some(endpoint)
    };
    endpoints.into_iter().filter_map(one).collect()
}

/// What it means for such a message if none is left. It is a matter of the moment where a policy
/// could not be had that may list them.
pub(super) fn unprotected(certain: bool) -> Outcome {
    let text = "the message may go under TLS only, and nobody answers for the names of the next \
                hop's hosts: neither DNSSEC nor an MTA-STS policy";
    // X.7.10: encryption needed.
    let class = if certain { 5 } else { 4 };
    Outcome::local((class, 7, 10), None, text)
}

/// All hosts of a next hop.
pub(super) struct All {
    /// In the order in which they are tried, with what their domain demands.
    pub endpoints: Vec<Endpoint>,
    /// Whether the domain has a policy is known.
    pub certain: bool,
}

impl From<Vec<Endpoint>> for All {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            certain: true,
        }
    }
}

/// The hosts of the next hop, in the order in which they are tried.
pub(super) async fn of(next_hop: &NextHop, reach: &Reach, config: &Config) -> Result<All, Outcome> {
    let resolver = &reach.resolver;
    match next_hop {
        NextHop::Smtp { host, port } => {
            let dane = config.delivery.follows_dane().then_some(*port);
            let named = addresses(host, dane, resolver).await?;
            Ok(endpoints(named, *port, Protocol::Smtp).into())
        }
        NextHop::Lmtp { host, port } => {
            let named = addresses(host, None, resolver).await?;
            Ok(endpoints(named, *port, Protocol::Lmtp).into())
        }
        NextHop::Mx { domain, port } => by_mx(domain, *port, reach, config).await,
        NextHop::LmtpUnix(path) => Ok(All::from(vec![Endpoint {
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
        }])),
        NextHop::Maildir(_) => Ok(Vec::new().into()),
    }
}

/// The mail hosts of a domain, called on this port.
async fn by_mx(domain: &Domain, port: u16, reach: &Reach, config: &Config) -> Result<All, Outcome> {
    let listening = config.listening();
    let ourselves = mx_lookup::ourselves(&config.hostname, &listening, port);
    let mut search = Search::for_domain(domain.clone(), ourselves, chance::number());
    if config.delivery.follows_dane() {
        search = search.with_dane(port);
    }
    let all = mx_lookup::run(search, &reach.resolver).await?;
    let others = mx_lookup::without_this_machine(all, &listening, port);
    if others.is_empty() {
        let text = format!("mail for {domain} loops back to this server");
        return Err(Outcome::local((5, 4, 6), None, text));
    }
    let standing = if config.delivery.follows_mta_sts() {
        let port = config.relay.policy_port;
        reach.policies.of(domain, port).await
    } else {
        Standing::None
    };
    let named = others.into_iter().map(|candidate| Found {
        requirement: match &standing {
            Standing::Holds(policy) => {
                let own = candidate.requirement;
                own.under(policy, domain, &candidate.host)
            }
            Standing::None | Standing::Unknown => candidate.requirement,
        },
        name: candidate.host.as_str().to_owned(),
        address: candidate.address,
        secure: candidate.secure,
    });
    let mut found = endpoints(named.collect(), port, Protocol::Smtp);
    for endpoint in &mut found {
        endpoint.domain = Some(domain.clone());
    }
    Ok(All {
        endpoints: found,
        certain: standing != Standing::Unknown,
    })
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
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// What TLS the host must give.
    pub requirement: Requirement,
    /// Its name is the one that its domain, or the operator, meant.
    pub secure: bool,
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
