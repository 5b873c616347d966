//! Keeps the ledger: its hours, its coverage, and whether others may send in our domains' names.
//!
//! Promises: what the ledger covers is never more than what was seen; everything that opens a gap is in the log. Left
//! to others: entering (`smtp_in`, the spool), answering (responder), what a gap is (the spool), and saying when a
//! configuration comes into force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep_until;
use tracing::{error, info, warn};
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::residue::Hour;
use vouchsafe_proto::residue::writers::{Standing, Writers};
use vouchsafe_proto::survey::Survey;
use vouchsafe_proto::survey::cover::Cover;
use vouchsafe_proto::time::Now;
use vouchsafe_spool::ledger::{BEAT, Gap, Ledger, LedgerError, Opened};

use crate::clock;
use crate::config::Config;
use crate::current::{Current, InForce};
use crate::dns::Resolver;
use crate::log::chain;
use crate::together::Together;
use crate::verify::drive;

/// How often it is looked whether others may send: a record that is changed has a TTL of five minutes at most (draft
/// 3.5), and answers come from a cache in between.
const LOOK: Duration = Duration::from_mins(1);

/// Domains that are looked at at the same time: with a minute for each at most, hundreds whose names are late are gone
/// through before what was seen of the others is too old.
const AT_ONCE: usize = 16;

/// Keeps one ledger.
pub struct Keeper {
    ledger: Arc<Ledger>,
    current: Arc<Current>,
    resolver: Arc<dyn Resolver>,
    /// A new configuration is in force ([`follow`]).
    followed: Arc<Notify>,
}

impl Keeper {
    /// Begins: what was found is told, and only from now on is anything covered.
    pub async fn begin(
        ledger: &Arc<Ledger>,
        found: &Opened,
        current: &Arc<Current>,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, LedgerError> {
        for name in &found.damaged {
            error!(file = %name, "a file of the ledger is damaged");
        }
        for (name, octets) in &found.unread {
            info!(file = %name, octets, "the ledger's journal ends in what was never flushed");
        }
        let keeper = Self {
            ledger: Arc::clone(ledger),
            current: Arc::clone(current),
            resolver,
            followed: Arc::default(),
        };
        let in_force = current.take();
        let writers = writers(&in_force.config);
        let domains = domains(&in_force.config);
        let gaps = keeper.blocking(move |ledger| {
            ledger.set_writers(writers);
            ledger.begin(clock::now(), &domains)
        });
        for gap in gaps.await? {
            tell(&gap);
        }
        Ok(keeper)
    }

    /// To be told when [`follow`] has ended.
    pub fn followed(&self) -> Arc<Notify> {
        Arc::clone(&self.followed)
    }

    /// Does what is due, for ever. Beats wait for nobody's DNS: without them nothing is covered.
    pub async fn keep(self) {
        tokio::join!(self.keep_time(), self.keep_looking());
    }

    async fn keep_time(&self) {
        let mut turned = None;
        loop {
            let next = clock::mono().plus(BEAT);
            // The hour is that of the beat: a clock that has jumped is noticed before anything is let go by it.
            if let Some(now) = self.beat().await
                && let Some(hour) = Hour::at(now.wall).filter(|hour| turned != Some(*hour))
            {
                turned = Some(hour);
                said("the ledger's hours cannot be sealed", self.turn(hour).await);
            }
            sleep_until(clock::instant(next)).await;
        }
    }

    async fn keep_looking(&self) {
        loop {
            let next = clock::instant(clock::mono().plus(LOOK));
            self.look().await;
            tokio::select! {
                () = sleep_until(next) => {}
                () = self.followed.notified() => {}
            }
        }
    }

    /// Gives the moment that was compared with the one before.
    async fn beat(&self) -> Option<Now> {
        let beat = |ledger: &Ledger| {
            let now = clock::now();
            ledger.beat(now).map(|gap| (now, gap))
        };
        match self.blocking(beat).await {
            Ok((now, gap)) => {
                gap.iter().for_each(tell);
                Some(now)
            }
            Err(error) => {
                error!(error = %chain(&error), "the ledger's coverage cannot be written");
                None
            }
        }
    }

    async fn turn(&self, hour: Hour) -> Result<(), LedgerError> {
        self.blocking(move |ledger| ledger.turn(hour)).await
    }

    /// Looks who may send for each domain, some at a time: one whose names are late keeps no others waiting.
    async fn look(&self) {
        let in_force = self.current.take();
        let mut domains = in_force.config.domains.keys();
        let mut looking: Together<(), dyn Future<Output = ()> + Send + '_> = Together::default();
        for domain in domains.by_ref().take(AT_ONCE) {
            looking.push((), Box::pin(self.witness(&in_force, domain)));
        }
        while looking.next().await.is_some() {
            if let Some(domain) = domains.next() {
                looking.push((), Box::pin(self.witness(&in_force, domain)));
            }
        }
    }

    /// Looks who may send for this one, and has the ledger know.
    async fn witness(&self, in_force: &Arc<InForce>, domain: &Domain) {
        let standing = self.look_at(&in_force.config, domain).await;
        // What was found by a configuration that is not in force any more is found anew in a moment.
        let is_in_force = Arc::ptr_eq(in_force, &self.current.take());
        // What cannot be known now is as it was, for as long as the ledger believes that.
        if standing != Standing::Trouble && is_in_force {
            let is_whole = standing == Standing::Whole;
            let domain = domain.clone();
            let witnessed = self
                .blocking(move |ledger| ledger.witness(clock::now().wall, &domain, is_whole))
                .await;
            said("the ledger's coverage cannot be written", witnessed);
        }
        tracing::debug!(%domain, %standing, "who may send in its name");
    }

    async fn look_at(&self, config: &Config, domain: &Domain) -> Standing {
        let study = Survey::new(who_enters(config, domain));
        drive(study, None, &self.resolver).await.findings
    }

    /// Does something that waits for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        what: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        blocking(&self.ledger, what).await
    }
}

/// Before a new configuration is in force: what is not its own is entered no longer, and what is taken away is not known
/// when it comes back, however soon.
pub async fn leave(ledger: &Arc<Ledger>, config: &Config) {
    let domains = domains(config);
    let dropped = blocking(ledger, move |ledger| ledger.drop_others(&domains));
    said("the ledger's coverage cannot be written", dropped.await);
}

/// Once a new configuration is in force: what is its own is entered from now on.
pub async fn follow(ledger: &Arc<Ledger>, config: &Config) {
    let (writers, domains) = (writers(config), domains(config));
    let set = blocking(ledger, move |ledger| {
        ledger.set_writers(writers);
        ledger.set_domains(clock::now().wall, &domains)
    });
    said("the ledger's coverage cannot be written", set.await);
}

async fn blocking<T: Send + 'static>(
    ledger: &Arc<Ledger>,
    what: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    let ledger = Arc::clone(ledger);
    let done = tokio::task::spawn_blocking(move || what(&ledger)).await;
    done.unwrap_or(Err(LedgerError::Poisoned))
}

fn said(what: &'static str, result: Result<(), LedgerError>) {
    if let Err(error) = result {
        error!(error = %chain(&error), "{what}");
    }
}

/// Who enters what he sends in this domain's name.
pub fn who_enters(config: &Config, domain: &Domain) -> Writers {
    let named = config.ledger.writers.keys();
    let hosts = [&config.hostname].into_iter().chain(named);
    Writers {
        domain: domain.clone(),
        hosts: hosts.map(Name::from).collect(),
        networks: listening(config),
    }
}

/// The last beat of a process that ends as it should: a start within minutes makes no gap.
pub fn end(ledger: &Ledger) {
    if let Err(error) = ledger.beat(clock::now()) {
        error!(error = %chain(&error), "the ledger's coverage cannot be written");
    }
}

/// The names of the local domains.
fn domains(config: &Config) -> BTreeSet<Box<str>> {
    let names = config.domains.keys();
    names.map(|domain| domain.as_ascii().into()).collect()
}

/// Whether this host hands in what it sends, and must be heard of.
pub fn hands_in(config: &Config, host: &Domain) -> bool {
    config.ledger.writers.get(host).is_some_and(Option::is_some)
}

/// The hosts that do, and how long each may be silent.
fn writers(config: &Config) -> BTreeMap<Box<str>, Duration> {
    let writers = config.ledger.writers.iter();
    writers
        .filter_map(|(host, patience)| Some((host.as_ascii().into(), (*patience)?)))
        .collect()
}

/// The addresses that this host listens on, and may send from.
fn listening(config: &Config) -> Cover {
    let ours = config.listening().into_iter();
    let ours = ours.map(|address| address.ip().to_canonical());
    ours.filter(|ip| !ip.is_unspecified()).collect()
}

fn tell(gap: &Gap) {
    let until = vouchsafe_proto::time::Wall::from_secs(gap.until);
    warn!(%until, why = %gap.why, "the ledger does not cover what was sent before");
}
