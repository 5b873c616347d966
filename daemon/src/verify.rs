//! Is it really from there? Drives proto's check with the resolver, and gives the verdict.
//!
//! Promises: one verdict for each call, within the check's own ten seconds; the same machine, the
//! same policy and the same words for the service and for `vouchsafe check`. Trouble that lasts is
//! remembered here, and so are verdicts for as long as they may stand (PROTOCOLS A.2).
//!
//! Leaves to others: every decision (proto), every question (the resolver), what is replied and
//! logged (the session).

pub mod bounce;
pub mod dkim;
mod kept;
pub mod ledger;
mod outside;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::task::JoinSet;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::verify::bounce as reports;
use vouchsafe_proto::verify::dkim as signatures;
use vouchsafe_proto::verify::forwarder::{self, Declared};
use vouchsafe_proto::verify::inquiry::{self, Inquiry, Tests};
use vouchsafe_proto::verify::lasting::Lasting;
use vouchsafe_proto::verify::mail_from::{self, budget};
use vouchsafe_proto::verify::{Action, Evidence, Input, Machine, Verdict, VerdictResult};

use self::dkim::DkimVerifier;
use self::kept::Kept;
use crate::bounded::Figures;
use crate::chance;
use crate::clock;
use crate::config::Config;
use crate::dns::Resolver;
use crate::ledger::Secret;
use crate::perimeter::Perimeter;
use crate::together::Together;

/// What verdicts go by, beside the DNS.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `[relay] from`.
    pub relay_from: Vec<IpNet>,
    /// The domains whose reverse-paths such a client may use.
    pub local_domains: BTreeSet<Domain>,
    /// Which tests are made beside the MAIL-FROM MX check.
    pub tests: Tests,
    /// Our own name, which SPF's explanations may use.
    pub hostname: Box<str>,
    /// Whose forwarded mail is expected.
    pub forwarders: Declared,
    /// Repudiated mail may reach a postmaster.
    pub postmaster_exempt: bool,
    /// Whose signatures are looked at.
    pub dkim: dkim::Settings,
    /// A signature may clear what the MAIL-FROM MX check repudiates.
    pub dkim_rescues: bool,
    /// How the ledgers of domains are asked.
    pub ledger: ledger::Settings,
    /// Reports about what was not sent from here are refused.
    pub refuses_bounces: bool,
}

impl Policy {
    /// What the configuration makes of it.
    pub fn of(config: &Config) -> Self {
        let verify = &config.verify;
        let ledger = ledger::Settings::of(config);
        Self {
            relay_from: config.relay.from.clone(),
            local_domains: config.domains.keys().cloned().collect(),
            tests: Tests {
                spf: verify.spf,
                sender_domain: verify.sender_domain,
                ledger: ledger.when,
            },
            hostname: config.hostname.as_ascii().into(),
            forwarders: config.forwarders(),
            postmaster_exempt: verify.postmaster_exempt,
            dkim: dkim::Settings::of(verify),
            dkim_rescues: verify.dkim_rescues,
            ledger,
            refuses_bounces: config.bounces.refuse,
        }
    }

    /// Whether the client is in one of our networks.
    fn relays_for(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let mut networks = self.relay_from.iter();
        networks.any(|network| network.contains(&client))
    }

    /// The evidence that the client's network is, if it is any.
    fn relay_client(&self, reverse_path: &ReversePath, client: IpAddr) -> Option<Evidence> {
        self.relays_for(client).then(|| Evidence::RelayClient {
            local_domain: reverse_path
                .domain()
                .is_some_and(|domain| self.local_domains.contains(domain)),
        })
    }
}

/// Gives verdicts.
pub struct Verifier {
    resolver: Arc<dyn Resolver>,
    perimeter: Arc<Perimeter>,
    policy: ArcSwap<Policy>,
    dkim: DkimVerifier,
    asking: ledger::Asking,
    lasting: Mutex<Lasting>,
    kept: Mutex<Kept>,
}

impl Verifier {
    /// A verifier that remembers nothing yet.
    pub fn new(resolver: Arc<dyn Resolver>, perimeter: Arc<Perimeter>, policy: Policy) -> Self {
        Self {
            dkim: DkimVerifier::new(Arc::clone(&resolver), policy.dkim),
            resolver,
            perimeter,
            policy: ArcSwap::from_pointee(policy),
            asking: ledger::Asking::default(),
            lasting: Mutex::new(Lasting::default()),
            kept: Mutex::new(Kept::default()),
        }
    }

    /// The same, with questions that follow from this secret, so that the next process asks the same.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.asking = ledger::Asking::new(secret);
        self
    }

    /// Goes by another policy from now on. Verdicts that were kept are forgotten, since other tests
    /// may have been made for them; what was learnt of trouble stays.
    pub fn set_policy(&self, policy: Policy) {
        self.dkim.set_settings(policy.dkim);
        self.policy.store(Arc::new(policy));
        lock(&self.kept).clear();
    }

    /// What has come of the verdicts that were kept.
    pub fn figures(&self) -> Figures {
        lock(&self.kept).figures()
    }

    /// The verdict at MAIL on a reverse-path given by this client, which called itself `helo`.
    pub async fn verify(
        &self,
        reverse_path: ReversePath,
        helo: Box<str>,
        client: IpAddr,
    ) -> Arc<Verdict> {
        if let Some(verdict) = self.of_relay_client(&reverse_path, client) {
            return verdict;
        }
        self.verify_stranger(reverse_path, helo, client).await
    }

    /// The evidence that a report is, by what our own ledger says.
    pub fn about_report(&self, finding: reports::Finding) -> Evidence {
        let refuses = self.policy.load().refuses_bounces;
        Evidence::Bounce(reports::Report { finding, refuses })
    }

    /// Whether this is a client that we relay for.
    pub fn relays_for(&self, client: IpAddr) -> bool {
        self.policy.load().relays_for(client)
    }

    /// The verdict that needs no question: that of a client we relay for. `None` for any other.
    pub fn of_relay_client(
        &self,
        reverse_path: &ReversePath,
        client: IpAddr,
    ) -> Option<Arc<Verdict>> {
        let evidence = self.policy.load().relay_client(reverse_path, client)?;
        Some(Arc::new(Verdict::of(evidence, [])))
    }

    /// The same, whatever the client's network.
    async fn verify_stranger(
        &self,
        reverse_path: ReversePath,
        helo: Box<str>,
        client: IpAddr,
    ) -> Arc<Verdict> {
        let request = mail_from::Request {
            reverse_path,
            helo,
            client,
            in_perimeter: self.perimeter.contains(client),
            sibling: Box::default(),
        };
        let Some(key) = kept::key_of(&request) else {
            return Arc::new(self.inquire(request).await);
        };
        let found = lock(&self.kept).find(&key, clock::mono());
        if let Some(verdict) = found {
            return verdict;
        }
        let verdict = Arc::new(self.inquire(request).await);
        lock(&self.kept).keep(key, &verdict, clock::mono());
        verdict
    }

    /// Makes the inquiry, and brings in what only this host knows.
    async fn inquire(&self, mut request: mail_from::Request) -> Verdict {
        let client = request.client;
        // Not before: a verdict that still stands needs none, and it costs more than finding that.
        request.sibling = random_label();
        let inquiry = {
            let policy = self.policy.load();
            Inquiry::new(inquiry::Request {
                mail_from: request,
                receiver: policy.hostname.clone(),
                tests: policy.tests,
            })
        };
        let verdict = drive(inquiry, Some(client), &self.resolver).await;
        let verdict = self.unless_perimeter_is_open(verdict);
        lock(&self.lasting).settle(verdict, clock::mono())
    }

    /// What is known of this recipient alone that may clear a refusal: the forwarders that were
    /// declared for it, each asked about the client, and whether it is a postmaster's.
    pub async fn about_recipient(
        self: &Arc<Self>,
        recipient: &ForwardPath,
        helo: &str,
        client: IpAddr,
    ) -> Vec<Evidence> {
        let policy = self.policy.load_full();
        if policy.postmaster_exempt && recipient.is_postmaster() {
            return vec![Evidence::Postmaster];
        }
        // All at the same time: a silent one must not keep the others waiting.
        let mut asking = JoinSet::new();
        for (at, forwarder) in policy.forwarders.of(recipient).into_iter().enumerate() {
            let (verifier, helo) = (Arc::clone(self), helo.into());
            asking.spawn(
                async move { (at, verifier.about_forwarder(forwarder, helo, client).await) },
            );
        }
        let mut reports = asking.join_all().await;
        reports.sort_by_key(|(at, _)| *at);
        let each = reports.into_iter().map(|(_, report)| Arc::new(report));
        each.map(Evidence::Forwarder).collect()
    }

    /// Who looks at signatures.
    pub const fn dkim(&self) -> &DkimVerifier {
        &self.dkim
    }

    /// The evidence that a message's signatures are about its reverse-path.
    pub fn about_content(&self, report: signatures::Report, reverse_path: ReversePath) -> Evidence {
        Evidence::Dkim {
            report: Arc::new(report),
            reverse_path,
            rescues: self.policy.load().dkim_rescues,
        }
    }

    /// What the client is to a forwarder: what it would be if the forwarder's domain stood in the
    /// reverse-path.
    async fn about_forwarder(
        &self,
        forwarder: Domain,
        helo: Box<str>,
        client: IpAddr,
    ) -> forwarder::Report {
        let path = ReversePath::postmaster_of(&forwarder);
        let verdict = self.verify_stranger(path, helo, client).await;
        forwarder::Report::of(forwarder, &verdict)
    }

    /// A rejection stands only if the client cannot be one of our own hosts. As long as a host of
    /// the perimeter was never found in the DNS nobody knows that: temporary.
    fn unless_perimeter_is_open(&self, verdict: Verdict) -> Verdict {
        match self.perimeter.missing() {
            Some(name) if verdict.result() == VerdictResult::Repudiated => {
                verdict.with([Evidence::PerimeterOpen { name }])
            }
            _ => verdict,
        }
    }
}

/// Performs a machine's actions until it is done, its questions on account of the client if there
/// is one. Those still open are dropped then.
pub async fn drive<M: Machine>(
    mut machine: M,
    client: Option<IpAddr>,
    resolver: &Arc<dyn Resolver>,
) -> M::Report {
    // In this task, since a question costs less than a task of its own would.
    let mut asking = Together::default();
    // A machine sets its timer itself; until it does, this one holds.
    let mut due = clock::mono().plus(budget::DEADLINE);
    let mut armed = due;
    let mut timer = pin!(tokio::time::sleep_until(clock::instant(armed)));
    let mut input = Input::Begin;
    loop {
        for action in machine.step(input, clock::now()) {
            match action {
                Action::Ask(id, question) => {
                    let answer = match client {
                        Some(client) => resolver.ask_for(client, question),
                        None => resolver.ask(question),
                    };
                    asking.push(id, answer);
                }
                Action::SetTimer(at) => due = at,
                Action::Done(report) => return *report,
            }
        }
        // One that is put off runs out first all the same, and is armed again then: most checks end
        // before.
        if due < armed {
            armed = due;
            timer.as_mut().reset(clock::instant(armed));
        }
        input = loop {
            tokio::select! {
                biased;
                Some((id, answer)) = asking.next() => break Input::Answer(id, answer),
                () = &mut timer => {
                    let now = clock::mono();
                    let is_due = now >= due;
                    if is_due {
                        due = now.plus(budget::DEADLINE);
                    }
                    armed = due;
                    timer.as_mut().reset(clock::instant(armed));
                    if is_due {
                        break Input::TimerFired;
                    }
                }
            }
        };
    }
}

/// The sibling label of the wildcard test: nine letters and digits that nobody can foresee. All
/// 32 of the alphabet are equally likely.
pub(crate) fn random_label() -> Box<str> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    // Without randomness the label is a fixed one, which only a publisher who knows of that could
    // make use of, against himself.
    let octets = chance::octets::<9>().unwrap_or_default();
    let letters = octets
        .iter()
        .filter_map(|octet| ALPHABET.get(usize::from(octet % 32)).copied());
    letters.map(char::from).collect::<String>().into_boxed_str()
}

/// The value, whoever panicked while holding it: each change to these tables is whole in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
