//! Is it really from there? Drives proto's check with the resolver, and gives the verdict.
//!
//! Promises: one verdict for each call, within the check's own ten seconds; the same machine, the
//! same policy and the same words for the service and for `vouchsafe check`. Trouble that lasts is
//! remembered here, and so are verdicts for as long as they may stand (PROTOCOLS A.2).
//!
//! Leaves to others: every decision (proto), every question (the resolver), what is replied and
//! logged (the session).

pub mod dkim;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::task::JoinSet;
use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::dns::{RecordType, Trouble};
use vouchsafe_proto::verify::lasting::Lasting;
use vouchsafe_proto::verify::mail_from::{
    Action, Check, Input, Reason, Report, Request, TroubleAt, budget,
};
use vouchsafe_proto::verify::{Evidence, Machine, Verdict, VerdictResult};

use self::kept::Kept;
use crate::bounded::Figures;
use crate::clock;
use crate::dns::Resolver;
use crate::perimeter::Perimeter;

/// Whose mail is taken without a question to the DNS.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `[relay] from`.
    pub relay_from: Vec<IpNet>,
    /// The domains whose reverse-paths such a client may use.
    pub local_domains: BTreeSet<Domain>,
}

impl Policy {
    /// The evidence that the client's network is, if it is any.
    fn relay_client(&self, reverse_path: &ReversePath, client: IpAddr) -> Option<Evidence> {
        let client = client.to_canonical();
        let inside = self
            .relay_from
            .iter()
            .any(|network| network.contains(&client));
        inside.then(|| Evidence::RelayClient {
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
    lasting: Mutex<Lasting>,
    kept: Mutex<Kept>,
}

impl Verifier {
    /// A verifier that remembers nothing yet.
    pub fn new(resolver: Arc<dyn Resolver>, perimeter: Arc<Perimeter>, policy: Policy) -> Self {
        Self {
            resolver,
            perimeter,
            policy: ArcSwap::from_pointee(policy),
            lasting: Mutex::new(Lasting::default()),
            kept: Mutex::new(Kept::default()),
        }
    }

    /// Goes by another policy from now on; what was learnt of domains stays.
    pub fn set_policy(&self, policy: Policy) {
        self.policy.store(Arc::new(policy));
    }

    /// What has come of the verdicts that were kept.
    pub fn figures(&self) -> Figures {
        lock(&self.kept).figures()
    }

    /// The verdict on a reverse-path given by this client, which called itself `helo`.
    pub async fn verify(
        &self,
        reverse_path: ReversePath,
        helo: Box<str>,
        client: IpAddr,
    ) -> Verdict {
        if let Some(evidence) = self.policy.load().relay_client(&reverse_path, client) {
            return Verdict::of(evidence, []);
        }
        let request = Request {
            reverse_path,
            helo,
            client,
            in_perimeter: self.perimeter.contains(client),
            sibling: random_label(),
        };
        let report = match kept::key_of(&request) {
            Some(key) => self.kept_or_checked(key, request).await,
            None => self.check(request).await,
        };
        Verdict::of(Evidence::MailFrom(report), [])
    }

    /// The report that still stands, or a new one.
    async fn kept_or_checked(&self, key: kept::Key, request: Request) -> Report {
        let found = lock(&self.kept).find(&key, clock::now().mono);
        if let Some(report) = found {
            return report;
        }
        let report = self.check(request).await;
        lock(&self.kept).keep(key, &report, clock::now().mono);
        report
    }

    /// Makes the check, and brings in what only this host knows.
    async fn check(&self, request: Request) -> Report {
        let client = request.client;
        let report = drive(Check::new(request), client, &self.resolver).await;
        let report = self.unless_perimeter_is_open(report);
        lock(&self.lasting).settle(report, clock::now().mono)
    }

    /// A rejection stands only if the client cannot be one of our own hosts. As long as a host of
    /// the perimeter was never found in the DNS nobody knows that: temporary.
    fn unless_perimeter_is_open(&self, mut report: Report) -> Report {
        if report.result == VerdictResult::Repudiated
            && let Some(name) = self.perimeter.missing()
        {
            report.reason = Reason::Temporary;
            report.result = report.reason.result();
            report.trouble.push(TroubleAt {
                name,
                kind: RecordType::A,
                trouble: Trouble::Timeout,
            });
        }
        report
    }
}

/// Performs the check's actions until it is done, its questions on account of the client. Those
/// still open are dropped then.
async fn drive(mut check: Check, client: IpAddr, resolver: &Arc<dyn Resolver>) -> Report {
    let mut asking = JoinSet::new();
    // The check sets its timer itself; until it does, this one holds.
    let mut timer = clock::now().mono.plus(budget::DEADLINE);
    let mut input = Input::Begin;
    loop {
        for action in check.step(input, clock::now()) {
            match action {
                Action::Ask(id, question) => {
                    let resolver = Arc::clone(resolver);
                    asking.spawn(async move { (id, resolver.ask_for(client, question).await) });
                }
                Action::SetTimer(at) => timer = at,
                Action::Done(report) => return *report,
            }
        }
        input = tokio::select! {
            Some(Ok((id, answer))) = asking.join_next() => Input::Answer(id, answer),
            () = tokio::time::sleep_until(clock::instant(timer)) => {
                timer = clock::now().mono.plus(budget::DEADLINE);
                Input::TimerFired
            }
        };
    }
}

/// The sibling label of the wildcard test: nine letters and digits that nobody can foresee. All
/// 32 of the alphabet are equally likely.
fn random_label() -> Box<str> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut octets = [0; 9];
    // Without randomness the label is a fixed one, which only a publisher who knows of that could
    // make use of, against himself.
    let _ = getrandom::fill(&mut octets);
    let letters = octets
        .iter()
        .filter_map(|octet| ALPHABET.get(usize::from(octet % 32)).copied());
    letters.map(char::from).collect::<String>().into_boxed_str()
}

/// The value, whoever panicked while holding it: each change to these tables is whole in itself.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
