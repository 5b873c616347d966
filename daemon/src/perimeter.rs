//! The perimeter: our own outer hosts, which pass on to us what others sent (PROTOCOLS A.4).
//!
//! Configured networks and names, and what the DNS of the local domains adds; `proto::perimeter`
//! says what to ask and what follows, here it is asked, by TTL, and looked at. As long as something
//! that matters has never been looked up with success, the perimeter is *incomplete*: a client may
//! be inside it without our knowing, and whoever would reject on its being outside must not
//! (draft §1.6).
//!
//! Not here: finding the client behind the perimeter (the receive machine, `proto::message`).

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Answer, Name, Question};
use vouchsafe_proto::perimeter::Hosts;
use vouchsafe_proto::smtp::receive::UNKNOWN_CLIENT;

use crate::clock;
use crate::config::Config;
use crate::config::schema::any_contains;
use crate::dns::Resolver;

/// What the perimeter is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Hosts by address.
    pub networks: Vec<IpNet>,
    /// Hosts by name.
    pub names: Vec<Domain>,
    /// Domains whose MX and MAIL-FROM sets count.
    pub domains: Vec<Domain>,
}

impl Sources {
    /// What a configuration makes of it.
    pub fn of(config: &Config) -> Self {
        let perimeter = &config.perimeter;
        let mut networks = perimeter.networks.clone();
        // They speak for others, so what they say of their own is no client's either.
        networks.extend(&perimeter.xclient);
        let mut domains = Vec::new();
        if perimeter.automatic {
            let ours = config.listening().into_iter().map(|address| address.ip());
            // Loopback is where other programs of this host are, and no outer host of ours.
            let ours = ours.filter(|ip| !ip.is_unspecified() && !ip.to_canonical().is_loopback());
            networks.extend(ours.map(|ip| IpNet::from(ip.to_canonical())));
            domains.extend(config.domains.keys().cloned());
        }
        Self {
            networks,
            names: perimeter.names.clone(),
            domains,
        }
    }
}

/// Our own outer hosts.
#[derive(Debug, Default)]
pub struct Perimeter {
    state: Mutex<State>,
    changed: Notify,
}

/// What is known of them.
#[derive(Debug, Default)]
struct State {
    networks: Vec<IpNet>,
    hosts: Hosts,
}

impl Perimeter {
    /// A perimeter whose names are yet to be looked up.
    pub fn new(sources: &Sources) -> Self {
        let perimeter = Self::default();
        perimeter.configure(sources);
        perimeter
    }

    /// Takes a new configuration; names that stay keep what they led to.
    pub fn configure(&self, sources: &Sources) {
        let mut state = self.lock();
        state.networks.clone_from(&sources.networks);
        state.hosts.configure(&sources.names, &sources.domains);
        drop(state);
        self.changed.notify_one();
    }

    /// True if the client is known to be one of our own hosts, or one that a host of ours has and
    /// does not know.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let state = self.lock();
        client == UNKNOWN_CLIENT
            || any_contains(&state.networks, client)
            || state.hosts.contains(client)
    }

    /// A name that matters and has never been looked up with success, if there is one.
    pub fn missing(&self) -> Option<Name> {
        let state = self.lock();
        state.hosts.missing().map(|(name, _)| name.clone())
    }

    /// Looks up what is due, and what that leads to.
    pub async fn refresh(&self, resolver: &Arc<dyn Resolver>) {
        let mut asking: JoinSet<(Question, Answer)> = JoinSet::new();
        loop {
            let room = ASKED_AT_ONCE.saturating_sub(asking.len());
            let due = self.lock().hosts.ask(clock::now().mono, room);
            for question in due {
                let resolver = Arc::clone(resolver);
                asking.spawn(async move {
                    let answer = resolver.ask(question.clone()).await;
                    (question, answer)
                });
            }
            match asking.join_next().await {
                Some(Ok((question, answer))) => self.note(&question, &answer),
                Some(Err(_)) => {}
                None => return,
            }
        }
    }

    /// Refreshes for ever, by TTL. For a task of its own.
    pub async fn keep_fresh(&self, resolver: Arc<dyn Resolver>) {
        loop {
            self.refresh(&resolver).await;
            tracing::debug!("perimeter looked up");
            let next = self.lock().hosts.next_due();
            match next {
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(clock::instant(due)) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Takes an answer in.
    fn note(&self, question: &Question, answer: &Answer) {
        let taken = self.lock().hosts.take(question, answer, clock::now().mono);
        if !taken {
            tracing::warn!(
                name = %question.name,
                kind = %question.kind,
                lookup = ?answer.lookup,
                "perimeter host not looked up; keeping what is known"
            );
        }
    }

    /// The state, whoever panicked while holding it: each change is whole in itself.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions open at the same time. A site with thousands of domains must not crowd its resolver,
/// which verdicts need too.
const ASKED_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::authority::{Authority, Zones};
    use crate::dns::{Settings, Stub};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn resolver(authority: &Authority) -> Arc<dyn Resolver> {
        Arc::new(Stub::new(Settings::new(vec![authority.address()])))
    }

    async fn serve(world: &str) -> Authority {
        let zones = Zones::parse(world).expect("zones");
        Authority::start(([127, 0, 0, 1], 0).into(), zones)
            .await
            .expect("an authority")
    }

    #[tokio::test]
    async fn names_networks_and_local_domains_make_the_perimeter() {
        let world = "zone example.net\nmx2.example.net 60 A 127.0.0.7\n\
                     mx2.example.net AAAA ::7\n\
                     zone example.org\nexample.org MX 10 mx.example.org\n\
                     example.org MX 20 backup.example.net\nmx.example.org A 127.0.0.8\n\
                     backup.example.net A 127.0.0.9\n\
                     mail-from.example.org MX 0 relay.example.org\nrelay.example.org A 127.0.0.10";
        let authority = serve(world).await;
        let sources = Sources {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            names: vec![Domain::parse("mx2.example.net").unwrap()],
            domains: vec![Domain::parse("example.org").unwrap()],
        };
        let perimeter = Perimeter::new(&sources);
        for inside in ["192.0.2.9", "::ffff:192.0.2.9", "0.0.0.0"] {
            assert!(perimeter.contains(address(inside)), "{inside}");
        }
        assert!(!perimeter.contains(address("127.0.0.7")));
        assert!(perimeter.missing().is_some());

        perimeter.refresh(&resolver(&authority)).await;
        assert_eq!(perimeter.missing(), None);
        let looked_up = [
            "127.0.0.7",
            "::ffff:127.0.0.7",
            "::7",
            "127.0.0.8",
            "127.0.0.9",
        ];
        for inside in looked_up.into_iter().chain(["127.0.0.10"]) {
            assert!(perimeter.contains(address(inside)), "{inside}");
        }
        assert!(!perimeter.contains(address("127.0.0.11")));

        perimeter.configure(&Sources::default());
        assert!(!perimeter.contains(address("127.0.0.7")));
        assert_eq!(perimeter.missing(), None);
    }

    #[tokio::test]
    async fn a_failed_lookup_leaves_the_perimeter_incomplete() {
        let authority = serve("servfail example.net").await;
        let name = Domain::parse("mx2.example.net").unwrap();
        let perimeter = Perimeter::new(&Sources {
            names: vec![name.clone()],
            ..Sources::default()
        });
        perimeter.refresh(&resolver(&authority)).await;
        assert_eq!(perimeter.missing(), Some(Name::from(&name)));
    }
}
