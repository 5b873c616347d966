//! Which addresses a next hop has: the driver of proto's searches, with the resolver.
//!
//! Left to others: the order of hosts and what answers mean (`proto::mx`), deadlines of questions
//! (the resolver).

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::task::JoinSet;
use vouchsafe_proto::mx::{Action, Candidate, Input, Ourselves, Search};
use vouchsafe_proto::outcome::Outcome;

use crate::dns::Resolver;

/// Runs one search to its end. All questions that are open at the same time are asked at once.
pub async fn run(
    mut search: Search,
    resolver: &Arc<dyn Resolver>,
) -> Result<Vec<Candidate>, Outcome> {
    let mut asking = JoinSet::new();
    let mut actions = Vec::new();
    search.step(Input::Start, &mut actions);
    loop {
        for action in actions.drain(..) {
            match action {
                Action::Ask(id, question) => {
                    let resolver = Arc::clone(resolver);
                    asking.spawn(async move { (id, resolver.ask(question).await) });
                }
                Action::Found(candidates) => return Ok(candidates),
                Action::Failed(outcome) => return Err(outcome),
            }
        }
        match asking.join_next().await {
            Some(Ok((id, answer))) => search.step(Input::Answer(id, answer), &mut actions),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Nothing is open and nothing was concluded: the search asks no more.
            Some(Err(_)) | None => {
                return Err(Outcome::local(
                    (4, 4, 3),
                    None,
                    "the lookup of the next hop was given up",
                ));
            }
        }
    }
}

/// How we would be found in an MX set: by name, or by an address at which we listen on this port.
pub fn ourselves(
    hostname: &vouchsafe_proto::addr::Domain,
    listen: &[SocketAddr],
    port: u16,
) -> Ourselves {
    let here = listen.iter().filter(|address| address.port() == port);
    Ourselves {
        names: vec![hostname.clone()],
        addresses: here.map(|address| address.ip().to_canonical()).collect(),
    }
}

/// Takes out of an ordered list what leads back to us where we listen on every address: the first
/// host with an address of this machine, and all that are no better (RFC 5321 §5.1).
pub fn without_this_machine(
    candidates: Vec<Candidate>,
    listen: &[SocketAddr],
    port: u16,
) -> Vec<Candidate> {
    let everywhere = |family: IpAddr| {
        listen.iter().any(|address| {
            // A wildcard of IPv6 takes IPv4 as well.
            let covers = address.is_ipv6() || family.is_ipv4();
            address.port() == port && address.ip().is_unspecified() && covers
        })
    };
    let bound = candidates
        .iter()
        .filter(|candidate| everywhere(candidate.address) && is_of_this_machine(candidate.address))
        .map(|candidate| candidate.preference)
        .min();
    match bound {
        Some(bound) => candidates
            .into_iter()
            .filter(|candidate| candidate.preference < bound)
            .collect(),
        None => candidates,
    }
}

/// True for an address of one of this machine's interfaces: only to such a one a socket can be
/// bound, which asks the kernel without listing interfaces.
fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Asking;
    use vouchsafe_proto::addr::Domain;
    use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records};
    use vouchsafe_proto::tls_policy::Requirement;

    /// One domain with two exchanges, of which one has an address.
    struct World;

    impl Resolver for World {
        fn ask(&self, question: Question) -> Asking<'_> {
            let name = |text| Name::parse(text).unwrap();
            let lookup = match (question.name.as_str(), question.kind) {
                ("example.net", RecordType::Mx) => Lookup::Found(Records::Mx(vec![
                    Mx {
                        preference: 10,
                        exchange: name("dead.example.net"),
                    },
                    Mx {
                        preference: 20,
                        exchange: name("live.example.net"),
                    },
                ])),
                ("live.example.net", RecordType::A) => {
                    Lookup::Found(Records::A(vec!["192.0.2.7".parse().unwrap()]))
                }
                _ => Lookup::NoData,
            };
            Box::pin(async move { Answer::bare(lookup) })
        }
    }

    #[tokio::test]
    async fn a_search_runs_to_its_end() {
        let resolver: Arc<dyn Resolver> = Arc::new(World);
        let domain = |text| Domain::parse(text).unwrap();
        let search = Search::for_domain(domain("example.net"), Ourselves::default(), 1);
        let found = run(search, &resolver).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address.to_string(), "192.0.2.7");
        let failed = run(Search::for_host(domain("nowhere.example")), &resolver).await;
        assert_eq!(failed.unwrap_err().status.class, 4);
    }

    #[test]
    fn a_wildcard_listener_is_found_by_its_machines_addresses() {
        let candidate = |address: &str, preference| Candidate {
            host: Name::parse("mx.example.net").unwrap(),
            address: address.parse().unwrap(),
            preference,
            requirement: Requirement::Opportunistic,
            secure: false,
        };
        let all = vec![
            candidate("192.0.2.1", 5),
            candidate("127.0.0.1", 10),
            candidate("192.0.2.2", 10),
        ];
        let left = |listen: &str, port| {
            without_this_machine(all.clone(), &[listen.parse().unwrap()], port).len()
        };
        assert_eq!(left("0.0.0.0:25", 25), 1);
        assert_eq!(left("[::]:25", 25), 1);
        assert_eq!(left("0.0.0.0:25", 2525), 3);
        assert_eq!(left("192.0.2.9:25", 25), 3);
    }
}
