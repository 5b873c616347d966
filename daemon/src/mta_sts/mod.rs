//! MTA-STS (RFC 8461): which policy of a domain holds now. Asks the DNS, fetches over HTTPS where
//! `proto::tls_policy::sts` says so, and keeps what was fetched across restarts.
//!
//! Promises: a policy that was fetched holds until it runs out or another is fetched, whatever the
//! DNS and the policy's host say meanwhile; nobody waits for a policy's host longer than
//! [`PATIENCE`]; one that fails is left alone for [`HOLD_OFF`].
//!
//! Left to others: what a policy means (`proto`), the files (the spool), HTTPS ([`fetch`]).

mod fetch;
mod file;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout_at;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Freshness, Lookup, Name, Question, RecordType};
use vouchsafe_proto::mx::Search;
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::tls_policy::report::Kind;
use vouchsafe_proto::tls_policy::sts::{Announcement, Consult, Kept, Policy, consult};

use crate::dns::Resolver;
use crate::log::{Peer, chain};
use crate::tls::next_hop::Client;
use crate::{clock, mx_lookup};
use fetch::FetchError;

/// All domains' policies.
pub struct Policies {
    resolver: Arc<dyn Resolver>,
    tls: Arc<Client>,
    /// Where they outlast a restart; none where that cannot be.
    store: Option<vouchsafe_spool::Policies>,
    known: Mutex<HashMap<Domain, Known>>,
}

/// What is known of one domain.
#[derive(Clone, Debug, Default)]
struct Known {
    kept: Option<Arc<Kept>>,
    /// When its policy's host may be asked next.
    not_before: Mono,
}

/// What is known of a domain's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// This one holds.
    Holds(Policy),
    /// It has none.
    None,
    /// It may have one, which cannot be had now. For most mail that is as none (RFC 8461 §3.3).
    Unknown,
}

impl Policies {
    /// With what the store holds; one that cannot be read is said, and begins empty. Blocks.
    pub fn open(
        resolver: Arc<dyn Resolver>,
        tls: Arc<Client>,
        store: Option<vouchsafe_spool::Policies>,
    ) -> Self {
        let mut known = HashMap::new();
        let files = store.as_ref().map(vouchsafe_spool::Policies::all);
        let files = files.transpose().unwrap_or_else(|error| {
            tracing::error!(error = %chain(&error), "kept MTA-STS policies cannot be read");
            None
        });
        let now = clock::now().wall;
        for (domain, octets) in files.unwrap_or_default() {
            match file::read(&octets) {
                Some(kept) if kept.holds(now) => {
                    let kept = Some(Arc::new(kept));
                    let not_before = Mono::default();
                    known.insert(domain, Known { kept, not_before });
                }
                stale => {
                    if stale.is_none() {
                        tracing::warn!(%domain, "a kept MTA-STS policy cannot be read");
                    }
                    if let Some(Err(error)) = store.as_ref().map(|store| store.forget(&domain)) {
                        tracing::warn!(error = %chain(&error), %domain, "an MTA-STS policy stays");
                    }
                }
            }
        }
        Self {
            resolver,
            tls,
            store,
            known: Mutex::new(known),
        }
    }

    /// Which policy holds for a domain now. Policies' hosts are called on `port`.
    pub async fn of(&self, domain: &Domain, port: u16) -> Standing {
        let Ok(name) = Name::from(domain).child("_mta-sts") else {
            return Standing::None;
        };
        let answer = self
            .resolver
            .ask(Question {
                name,
                kind: RecordType::Txt,
                freshness: Freshness::Cached,
            })
            .await;
        let now = clock::now();
        let known = self.lock().get(domain).cloned().unwrap_or_default();
        let kept = known.kept.filter(|kept| kept.holds(now.wall));
        let holding = |otherwise| match &kept {
            Some(kept) => Standing::Holds(kept.policy.clone()),
            None => otherwise,
        };
        let Consult::Fetch(announced) = consult(kept.as_deref(), &answer, now.wall) else {
            let in_doubt = matches!(answer.lookup, Lookup::Trouble(_));
            return holding(if in_doubt {
                Standing::Unknown
            } else {
                Standing::None
            });
        };
        if now.mono < known.not_before || !self.takes_turn(domain, now.mono) {
            return holding(Standing::Unknown);
        }
        match self.fetch(domain, port, &announced).await {
            Ok(fetched) => Standing::Holds(fetched),
            Err(error) => {
                let ended = error.ended();
                self.tls.tally().count(domain, Kind::Sts, ended, now.wall);
                tracing::warn!(
                    %domain,
                    error = %Peer(chain(&error)),
                    kept = kept.is_some(),
                    "an MTA-STS policy could not be fetched"
                );
                holding(Standing::Unknown)
            }
        }
    }

    /// True if this caller is to fetch: until the hold-off is over nobody else does.
    fn takes_turn(&self, domain: &Domain, now: Mono) -> bool {
        let mut known = self.lock();
        if known.len() >= MAX_DOMAINS && !known.contains_key(domain) {
            // What holds nothing is only a hold-off.
            known.retain(|_, each| each.kept.is_some() || now < each.not_before);
            if known.len() >= MAX_DOMAINS {
                return false;
            }
        }
        let entry = known.entry(domain.clone()).or_default();
        let free = entry.not_before <= now;
        entry.not_before = now.plus(HOLD_OFF);
        free
    }

    /// Fetches a policy, and keeps it.
    async fn fetch(
        &self,
        domain: &Domain,
        port: u16,
        announced: &Announcement,
    ) -> Result<Policy, FetchError> {
        let deadline = clock::instant(clock::now().mono.plus(PATIENCE));
        let fetching = async {
            let host = Domain::parse(&format!("mta-sts.{domain}")).map_err(|_| FetchError::Name)?;
            let search = Search::for_host(host.clone());
            let found = mx_lookup::run(search, &self.resolver).await;
            let found =
                found.map_err(|outcome| FetchError::Host(outcome.diagnostic.text().into()))?;
            let addresses = found.into_iter().map(|candidate| candidate.address);
            let tls = self.tls.web_pki().map_err(FetchError::Trust)?;
            fetch::policy(&host, addresses.collect(), port, tls).await
        };
        let octets = timeout_at(deadline, fetching)
            .await
            .map_err(|_| FetchError::TimedOut)??;
        let policy = Policy::parse(&octets)?;
        let fetched = clock::now();
        let kept = Kept {
            id: announced.id().into(),
            fetched: fetched.wall,
            policy: policy.clone(),
        };
        tracing::info!(
            %domain,
            id = announced.id(),
            mode = policy.mode.as_str(),
            max_age = policy.max_age.as_secs(),
            "MTA-STS policy fetched"
        );
        self.keep(domain, &kept, &octets).await;
        let known = Known {
            kept: Some(Arc::new(kept)),
            not_before: fetched.mono.plus(HOLD_OFF),
        };
        self.lock().insert(domain.clone(), known);
        Ok(policy)
    }

    /// Makes a policy outlast a restart. That it cannot is said; it holds until then.
    async fn keep(&self, domain: &Domain, kept: &Kept, octets: &[u8]) {
        let Some(store) = self.store.clone() else {
            return;
        };
        let (of, octets) = (domain.clone(), file::write(kept, octets));
        let keeping = tokio::task::spawn_blocking(move || store.keep(&of, &octets)).await;
        if let Ok(Err(error)) = keeping {
            tracing::error!(error = %chain(&error), %domain, "an MTA-STS policy could not be kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Domain, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long fetching a policy may take in all. A delivery waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a policy's host is left alone after a try (RFC 8461 §3.3).
const HOLD_OFF: Duration = Duration::from_mins(5);

/// Domains remembered: a few hundred octets each. Beyond, further ones are as without a policy.
const MAX_DOMAINS: usize = 50_000;
