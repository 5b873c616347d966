//! What lies in the data folder, opened for the service: the queue, and what is kept beside it.
//!
//! Promises: what cannot be opened ends the start, with the reason and the exit code, unless mail goes on well without.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use tracing::{error, info, warn};
use vouchsafe_proto::smtp::xhold::Marker;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::{
    Finding, Frozen, Lane, LocalSpool, OpenError, Options, OutcomeCaps, Outcomes, Spool,
};

use crate::cli::{Exit, Failure, OrExit as _};
use crate::config::Config;
use crate::dns::Resolver;
use crate::history::{Keeping, Kept, Notebook};
use crate::ledger::Secret;
use crate::log::chain;
use crate::smtp_in::Copies;
use crate::tls::next_hop::Client;
use crate::{clock, hop_mark, mta_sts};

/// Opens the queue, and says what was not in order.
pub(super) async fn open_spool(config: &Config) -> Result<Arc<LocalSpool>, Failure> {
    let folder = config.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || LocalSpool::open(&folder, Options::default()))
        .await
        .or_exit(Exit::Software)?;
    let folder = config.data_dir.display();
    let spool = opened.map_err(|error| {
        let exit = match &error {
            OpenError::InUse => Exit::Temporary,
            // To start again would not help: the folder must be mended.
            OpenError::Lost => Exit::Config,
            _ => Exit::Io,
        };
        let told = match &error {
            OpenError::InUse => format!("another vouchsafe serves {folder}"),
            OpenError::Lost => format!(
                "the queue in {folder} is not whole: queue.redb and log/ belong together. Put back what is \
                 missing, or, to give its messages up, move the rest away"
            ),
            _ => format!("cannot open the queue in {folder}"),
        };
        Failure {
            exit,
            error: anyhow::Error::new(error).context(told),
        }
    })?;
    for finding in spool.findings() {
        if let Finding::Orphan(_) = finding {
            info!(%finding, "recovery");
        } else {
            warn!(%finding, "recovery");
        }
    }
    Ok(Arc::new(spool))
}

/// The domains that the operator has frozen. Not to know them is no reason to send their mail.
pub(super) async fn read_frozen(config: &Config) -> Result<BTreeSet<Lane>, Failure> {
    let frozen = Frozen::new(Arc::new(LocalDisk::new(config.data_dir.clone())));
    let read = tokio::task::spawn_blocking(move || frozen.read())
        .await
        .or_exit(Exit::Software)?;
    let lanes = read
        .context("cannot read the list of frozen domains, the file \"frozen\" in data_dir")
        .or_exit(Exit::Io)?;
    for lane in &lanes {
        warn!(domain = %lane, "frozen by the operator: its mail waits");
    }
    Ok(lanes)
}

/// What makes our marks on held paths.
pub(super) async fn read_marker(config: &Config) -> Result<Marker, Failure> {
    let disk = LocalDisk::new(config.data_dir.clone());
    let key = tokio::task::spawn_blocking(move || vouchsafe_spool::hop_key(&disk))
        .await
        .or_exit(Exit::Software)?
        .context("cannot read or make the file \"hop-key\" in data_dir")
        .or_exit(Exit::Io)?;
    Ok(hop_mark::marker(&key))
}

/// What the primes follow from by which ledgers are asked.
pub(super) async fn read_secret(config: &Config) -> Result<Secret, Failure> {
    let disk = LocalDisk::new(config.data_dir.clone());
    let key = tokio::task::spawn_blocking(move || vouchsafe_spool::asking_key(&disk))
        .await
        .or_exit(Exit::Software)?
        .context("cannot read or make the file \"asking-key\" in data_dir")
        .or_exit(Exit::Io)?;
    Ok(Secret::new(&key))
}

/// What is remembered of messages that may come again. Before the runner gives any of the queue away.
pub(super) async fn read_copies(config: &Config, spool: &LocalSpool) -> Result<Copies, Failure> {
    let disk = Arc::new(LocalDisk::new(config.data_dir.clone()));
    let now = clock::now().wall;
    let open = move || Outcomes::open(disk, now, OutcomeCaps::default());
    let outcomes = tokio::task::spawn_blocking(open)
        .await
        .or_exit(Exit::Software)?
        .context("cannot read the file \"outcomes\" in data_dir")
        .or_exit(Exit::Io)?;
    Ok(Copies::open(outcomes, spool).await)
}

/// The memory of what has left the queue, if one is wanted.
pub fn open_history(config: &Config) -> Result<Option<Notebook>, Failure> {
    if config.history.is_zero() {
        return Ok(None);
    }
    let keeping = Keeping {
        data_dir: config.data_dir.clone(),
        keep: config.history,
    };
    let notebook = Notebook::open(&keeping, clock::now().wall)
        .context("cannot keep history")
        .or_exit(Exit::Io)?;
    Ok(Some(notebook))
}

/// The queue, with that memory.
pub fn with_history(spool: &Arc<LocalSpool>, notebook: Option<&Notebook>) -> Arc<dyn Spool> {
    let spool = Arc::clone(spool) as Arc<dyn Spool>;
    match notebook {
        Some(notebook) => Arc::new(Kept::new(spool, notebook.clone())),
        None => spool,
    }
}

/// What is kept of other domains' policies. Where it cannot be kept, mail goes on without.
pub(super) async fn open_policies(
    config: &Config,
    resolver: Arc<dyn Resolver>,
    tls: Arc<Client>,
) -> Result<Arc<mta_sts::Policies>, Failure> {
    let folder = config.data_dir.clone();
    let opening = move || {
        let store = vouchsafe_spool::Policies::open(Arc::new(LocalDisk::new(folder)));
        if let Err(error) = &store {
            error!(error = %chain(error), "MTA-STS policies will not outlast a restart");
        }
        Arc::new(mta_sts::Policies::open(resolver, tls, store.ok()))
    };
    tokio::task::spawn_blocking(opening)
        .await
        .or_exit(Exit::Software)
}
