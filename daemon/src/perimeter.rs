//! The perimeter: our own outer hosts, which pass on to us what others sent (PROTOCOLS A.4).
//!
//! Networks and addresses are configured; hosts may be named instead, and their names are looked
//! up by TTL. What a name last led to stays when a refresh fails. As long as a name has never been
//! looked up with success, the perimeter is *incomplete*: a client may be inside it without our
//! knowing, and whoever would reject on its being outside must not (draft §1.6).
//!
//! Not here: the MX hosts of local domains, and finding the client behind the perimeter.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records};
use vouchsafe_proto::time::Mono;

use crate::clock;
use crate::dns::Resolver;

/// A name is looked up again at least this often, so that a short TTL costs one question a minute,
/// and at most this late after trouble.
const MIN_REFRESH: Duration = Duration::from_mins(1);

/// A name is looked up again after this at the latest, however long its TTL.
const MAX_REFRESH: Duration = Duration::from_hours(1);

/// Our own outer hosts.
#[derive(Debug, Default)]
pub struct Perimeter {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    networks: Vec<IpNet>,
    names: BTreeMap<(Name, Family), Known>,
}

/// A and AAAA are refreshed apart from each other, since either may fail alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

/// What one name led to.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The last good set; `None` until there was one.
    addresses: Option<Vec<IpAddr>>,
    /// When to look again.
    due: Mono,
}

impl Perimeter {
    /// A perimeter whose names are yet to be looked up.
    pub fn new(networks: Vec<IpNet>, names: &[Domain]) -> Self {
        let perimeter = Self::default();
        perimeter.configure(networks, names);
        perimeter
    }

    /// Takes a new configuration; names that stay keep what they led to.
    pub fn configure(&self, networks: Vec<IpNet>, names: &[Domain]) {
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.names);
        for name in names {
            for family in [Family::V4, Family::V6] {
                let key = (Name::from(name), family);
                let known = before.remove(&key).unwrap_or_default();
                state.names.insert(key, known);
            }
        }
        state.networks = networks;
        drop(state);
        self.changed.notify_one();
    }

    /// True if the client is known to be one of our own hosts.
    pub fn contains(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let state = self.lock();
        state
            .networks
            .iter()
            .any(|network| network.contains(&client))
            || state
                .names
                .values()
                .filter_map(|known| known.addresses.as_ref())
                .any(|addresses| addresses.contains(&client))
    }

    /// A name that has never been looked up with success, if there is one.
    pub fn missing(&self) -> Option<Name> {
        let state = self.lock();
        let mut names = state.names.iter();
        names.find_map(|((name, _), known)| known.addresses.is_none().then(|| name.clone()))
    }

    /// Looks up, all at the same time, the names that are due.
    pub async fn refresh(&self, resolver: &Arc<dyn Resolver>) {
        let now = clock::now().mono;
        let due: Vec<(Name, Family)> = {
            let state = self.lock();
            let due = state.names.iter().filter(|(_, known)| known.due <= now);
            due.map(|(key, _)| key.clone()).collect()
        };
        let mut asking = JoinSet::new();
        for key in due {
            let resolver = Arc::clone(resolver);
            asking.spawn(async move {
                let (name, family) = key.clone();
                let question = Question {
                    name,
                    kind: family.kind(),
                    freshness: Freshness::Cached,
                };
                (key, resolver.ask(question).await)
            });
        }
        while let Some(done) = asking.join_next().await {
            if let Ok((key, answer)) = done {
                self.note(&key, &answer);
            }
        }
    }

    /// Refreshes for ever, by TTL. For a task of its own.
    pub async fn keep_fresh(&self, resolver: Arc<dyn Resolver>) {
        loop {
            self.refresh(&resolver).await;
            let next = self.lock().names.values().map(|known| known.due).min();
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
    fn note(&self, key: &(Name, Family), answer: &Answer) {
        let mut state = self.lock();
        // The configuration may have changed while the question was open.
        let Some(known) = state.names.get_mut(key) else {
            return;
        };
        let wait = Duration::from_secs(answer.ttl.into());
        known.due = clock::now().mono.plus(wait.clamp(MIN_REFRESH, MAX_REFRESH));
        let found = addresses(&answer.lookup);
        if found.is_none() {
            let (name, family) = key;
            let kind = family.kind();
            tracing::warn!(%name, %kind, lookup = ?answer.lookup, "perimeter host not looked up; keeping what is known");
        } else {
            known.addresses = found;
        }
    }

    /// The state, whoever panicked while holding it: each change is whole in itself.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Family {
    /// The type to ask for.
    const fn kind(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::Aaaa,
        }
    }
}

/// What a definite answer says; `None` for trouble. An endless alias is the owner's mistake, and
/// taken as trouble here: it must not empty the set.
fn addresses(lookup: &Lookup) -> Option<Vec<IpAddr>> {
    match lookup {
        Lookup::Found(Records::A(all)) => Some(all.iter().copied().map(IpAddr::V4).collect()),
        Lookup::Found(Records::Aaaa(all)) => Some(
            all.iter()
                .map(|address| IpAddr::V6(*address).to_canonical())
                .collect(),
        ),
        Lookup::NoData | Lookup::NxDomain => Some(Vec::new()),
        Lookup::Found(Records::Mx(_) | Records::Txt(_) | Records::Ptr(_))
        | Lookup::AliasLimit
        | Lookup::Trouble(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::authority::{Authority, Zones};
    use crate::dns::{Settings, Stub};

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn names_and_networks_make_the_perimeter_and_failures_leave_it() {
        let world = "zone example.net\nmx2.example.net 60 A 127.0.0.7\nmx2.example.net AAAA ::7";
        let authority = Authority::start(([127, 0, 0, 1], 0).into(), Zones::parse(world).unwrap())
            .await
            .unwrap();
        let resolver: Arc<dyn Resolver> =
            Arc::new(Stub::new(Settings::new(vec![authority.address()])));
        let names = [Domain::parse("mx2.example.net").unwrap()];
        let perimeter = Perimeter::new(vec!["192.0.2.0/24".parse().unwrap()], &names);
        assert!(perimeter.contains(address("192.0.2.9")));
        assert!(perimeter.contains(address("::ffff:192.0.2.9")));
        assert!(!perimeter.contains(address("127.0.0.7")));
        assert_eq!(perimeter.missing(), Some(Name::from(&names[0])));

        perimeter.refresh(&resolver).await;
        assert_eq!(perimeter.missing(), None);
        for inside in ["127.0.0.7", "::ffff:127.0.0.7", "::7"] {
            assert!(perimeter.contains(address(inside)), "{inside}");
        }

        // A new resolver, so that no cache answers in the place of the server that now fails.
        authority.replace(Zones::parse("servfail example.net").unwrap());
        let resolver: Arc<dyn Resolver> =
            Arc::new(Stub::new(Settings::new(vec![authority.address()])));
        for known in perimeter.lock().names.values_mut() {
            known.due = Mono::default();
        }
        perimeter.refresh(&resolver).await;
        assert!(perimeter.contains(address("127.0.0.7")));

        perimeter.configure(Vec::new(), &[]);
        assert!(!perimeter.contains(address("127.0.0.7")));
        assert_eq!(perimeter.missing(), None);
    }
}
