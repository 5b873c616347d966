//! How a request comes to its answers: from the running service; or, when none answers, from the queue
//! of the stopped one, opened for that under its lock.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use vouchsafe_spool::{LocalSpool, OpenError, Options};

use super::super::{Ended, Exit, Failure, OrExit, print};
use crate::config::load;
use crate::control::client::{AskError, ask};
use crate::control::wire::{Reply, Request};
use crate::current::Current;
use crate::operator::{self, FreezeError, Hand};
use crate::runner::Desk;
use crate::serve::{open_history, with_history};

/// Has a request that changes something done, and shows each answer to `each`.
pub fn exchange(
    (config, folder, socket): (&Path, &Path, &Path),
    request: &Request,
    each: &mut dyn FnMut(Reply) -> Result<(), Failure>,
) -> Ended {
    match ask(socket, request) {
        Ok(answer) => {
            for reply in answer {
                each(reply.map_err(super::refused)?)?;
            }
            Ok(Exit::Ok)
        }
        Err(AskError::Nobody) => at_rest(config, folder, request, each),
        Err(error) => Err(super::refused(error)),
    }
}

/// The same on the queue of a service that does not run.
fn at_rest(
    config: &Path,
    folder: &Path,
    request: &Request,
    each: &mut dyn FnMut(Reply) -> Result<(), Failure>,
) -> Ended {
    let config = load(config)?.config;
    let owner = match std::fs::metadata(folder.join("queue.redb")) {
        Ok(found) => found.uid(),
        Err(error) => {
            let what = format!("queue in {}", folder.display());
            return Err(error).context(what).or_exit(Exit::NoInput);
        }
    };
    // What root makes there its service could not open.
    if rustix::process::geteuid().as_raw() != owner {
        let why = anyhow!(
            "no server answers, and the queue in {} is another user's: run this as user {owner}",
            folder.display()
        );
        return Err(why).or_exit(Exit::Usage);
    }
    print::error("vouchsafe: no server answers; this works on the queue at rest");
    let spool = LocalSpool::open(folder, Options::default()).map_err(|error| Failure {
        exit: match &error {
            OpenError::InUse => Exit::Temporary,
            _ => Exit::Io,
        },
        error: anyhow::Error::from(error).context(format!("queue in {}", folder.display())),
    })?;
    let spool = Arc::new(spool);
    let notebook = open_history(&config)?;
    let kept = with_history(&spool, notebook.as_ref());
    let hand = Hand::new(kept, Desk::empty(), folder);
    let terms = Current::new(config, None).or_exit(Exit::Config)?.take();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Software)?;
    runtime.block_on(async {
        let (told, mut answers) = tokio::sync::mpsc::channel(ANSWERS);
        let request = request.clone();
        let working = tokio::spawn(async move { operate(&hand, &terms, &request, &told).await });
        while let Some(reply) = answers.recv().await {
            each(reply)?;
        }
        working.await.or_exit(Exit::Software)?
    })
}

/// Does it.
async fn operate(
    hand: &Hand,
    terms: &operator::Terms,
    request: &Request,
    told: &operator::Told,
) -> Ended {
    match request {
        Request::Act {
            act,
            filter,
            dry_run,
            ..
        } => {
            let done = operator::act(hand, terms, (act, filter, *dry_run), told).await;
            // Nobody listens any more: nothing more is to be done.
            if let Ok(done) = done {
                done.or_exit(Exit::Io)?;
            }
        }
        Request::Freeze { domain, frozen } => {
            let changed = operator::freeze(hand, domain, *frozen).await;
            let changed = changed.map_err(|error| Failure {
                exit: match &error {
                    FreezeError::Domain(_) => Exit::Usage,
                    FreezeError::List(_) => Exit::Io,
                },
                error: error.into(),
            })?;
            let _ = told.send(Reply::Frozen(changed)).await;
        }
        _ => {}
    }
    Ok(Exit::Ok)
}

/// Answers that may wait to be shown.
const ANSWERS: usize = 256;
