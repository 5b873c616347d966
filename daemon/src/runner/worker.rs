//! One worker: carries works to one next hop, one after the other, over one session as long as
//! that lasts. A worker that has nothing to do keeps its session for a few seconds.
//!
//! The next host of a next hop is tried when no session comes to be, and when one is lost before
//! the octets that complete the message were sent and nobody replied; never after them, since the
//! message may be there (RFC 5321 §5.1, §4.5.4.1).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::outcome::{Diagnostic, Outcome, OutcomeClass};
use vouchsafe_proto::residue::Claim;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_proto::smtp::xhold::{Through, TransactionId};
use vouchsafe_spool::Content;

use super::Environment;
use super::schedule::{Carried, Work, WorkerId};
use crate::ledger::claiming;
use crate::next_hop::Tries;
use crate::smtp_out::Connection;
use crate::{clock, maildir};

/// What a worker tells the dispatcher.
#[derive(Debug)]
pub(super) enum News {
    /// A session has come to be.
    Stands(WorkerId),
    /// A work is over.
    Finished(WorkerId, Box<Carried>),
    /// Nothing more will come of this worker.
    Left(WorkerId),
}

/// One worker.
pub(super) struct Worker {
    /// Its name.
    pub(super) id: WorkerId,
    /// Where it carries to.
    pub(super) next_hop: NextHop,
    /// What all workers share.
    pub(super) environment: Arc<Environment>,
    /// To the dispatcher.
    pub(super) news: mpsc::Sender<News>,
    /// The session, while there is one.
    pub(super) connection: Option<Connection>,
}

impl Worker {
    /// Carries `first`, and whatever comes then, until nothing does.
    pub(super) async fn run(mut self, first: Work, mut incoming: mpsc::Receiver<Work>) {
        let mut next = Some(first);
        while let Some(work) = next {
            let mut carried = self.carry(work).await;
            let keeps = self.connection.is_some() || matches!(self.next_hop, NextHop::Maildir(_));
            carried.open = keeps && !incoming.is_closed();
            let open = carried.open;
            // A dispatcher that is gone has no use for news.
            let _ = self
                .news
                .send(News::Finished(self.id, Box::new(carried)))
                .await;
            if !open {
                break;
            }
            next = self.await_work(&mut incoming).await;
        }
        let _ = self.news.send(News::Left(self.id)).await;
        if let Some(connection) = self.connection.take() {
            connection.quit().await;
        }
    }

    /// The next work; none if the session ends, the time is up, or the dispatcher says so.
    async fn await_work(&mut self, incoming: &mut mpsc::Receiver<Work>) -> Option<Work> {
        let patience = clock::instant(clock::now().mono.plus(IDLE));
        let stirs = async {
            match &mut self.connection {
                Some(connection) => connection.stirs().await,
                None => std::future::pending().await,
            }
        };
        let lost = tokio::select! {
            biased;
            work = incoming.recv() => return work,
            () = stirs => true,
            () = sleep_until(patience) => false,
        };
        if lost {
            self.connection = None;
        }
        // A work may be on its way: it is still carried, and then none comes any more.
        incoming.close();
        incoming.recv().await
    }

    /// Brings one work to its end.
    async fn carry(&mut self, work: Work) -> Carried {
        match &self.next_hop {
            NextHop::Maildir(folder) => {
                let folder = PathBuf::from(&**folder);
                self.carry_to_maildir(work, folder).await
            }
            _ => self.carry_in_sessions(work).await,
        }
    }

    /// One file for each recipient.
    async fn carry_to_maildir(&mut self, mut work: Work, folder: PathBuf) -> Carried {
        let hostname = self.environment.current.take().config.hostname.clone();
        let _ = self.news.send(News::Stands(self.id)).await;
        let mut outcomes = Vec::new();
        for (index, recipient) in std::mem::take(&mut work.recipients) {
            let letter = maildir::Letter {
                folder: folder.clone(),
                hostname: hostname.clone(),
                id: work.id,
                reverse_path: work.reverse_path.clone(),
                recipient: recipient.path,
                index,
            };
            let outcome = match self.content(&work).await {
                Ok(mut content) => maildir::deliver(letter, &mut *content).await,
                Err(outcome) => outcome,
            };
            outcomes.push((index, outcome));
        }
        Carried {
            untried: work,
            outcomes,
            unreachable: None,
            open: true,
        }
    }

    /// Over the session that stands, else over one with each host in turn.
    async fn carry_in_sessions(&mut self, mut work: Work) -> Carried {
        let mut outcomes = Vec::new();
        let mut tries: Option<Tries> = None;
        let mut unreachable = None;
        let mut stood = false;
        let demands_tls = work.requests.demands_tls(&work.reverse_path);
        while !work.recipients.is_empty() {
            if demands_tls {
                self.leave_unless_protected().await;
            }
            if self.connection.is_none() {
                let tries = match &mut tries {
                    Some(tries) => tries,
                    None => tries.insert(self.find_hosts(demands_tls).await),
                };
                match self.open_next(tries, demands_tls).await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        stood = true;
                    }
                    Err(outcome) if stood || tries.is_choosy() => {
                        // Hosts that do answer, and then break off, may have this message's reasons,
                        // and so have those that are not safe enough for it: others are not to share
                        // its fate.
                        let left = std::mem::take(&mut work.recipients).into_iter();
                        outcomes.extend(left.map(|(index, _)| (index, outcome.clone())));
                    }
                    Err(outcome) => {
                        unreachable = Some(outcome);
                        break;
                    }
                }
            }
            if self.connection.is_none() {
                continue;
            }
            let lost = self.carry_batch(&mut work, &mut outcomes).await;
            if let (Some(outcome), Some(tries)) = (lost, &mut tries) {
                tries.failed(outcome);
            }
        }
        Carried {
            untried: work,
            outcomes,
            unreachable,
            open: false,
        }
    }

    /// One transaction, for as many recipients as it may have. Those that have an outcome leave
    /// the work; the outcome of those that stay, to be tried elsewhere, is given back.
    async fn carry_batch(
        &mut self,
        work: &mut Work,
        outcomes: &mut Vec<(usize, Outcome)>,
    ) -> Option<Outcome> {
        let later = work
            .recipients
            .split_off(work.recipients.len().min(RECIPIENTS_AT_ONCE));
        let batch = std::mem::replace(&mut work.recipients, later);
        let mut content = match self.content(work).await {
            Ok(content) => content,
            Err(outcome) => {
                outcomes.extend(batch.iter().map(|(index, _)| (*index, outcome.clone())));
                return None;
            }
        };
        let through = if self.connection.as_ref()?.holds_paths() {
            self.through(work)
        } else {
            Through::default()
        };
        let claim = self.claim(work, &batch).await;
        let connection = self.connection.as_mut()?;
        let transaction = Transaction {
            reverse_path: work.reverse_path.clone(),
            recipients: batch.iter().map(|(_, each)| each.clone()).collect(),
            body: work.body,
            smtputf8: work.smtputf8,
            requests: work.requests.clone(),
            per_recipient: true,
            size: Some(work.size),
            through,
            claim,
        };
        let mut carried = connection.deliver(transaction, &mut *content).await;
        if !carried.open {
            self.connection = None;
        }
        let mut lost = None;
        for (place, (index, recipient)) in batch.into_iter().enumerate() {
            let told = carried.outcomes.iter().position(|(of, _)| *of == place);
            let outcome = told.map(|at| carried.outcomes.swap_remove(at).1);
            match outcome {
                Some(outcome) if !is_untried(&outcome, carried.completed, carried.open) => {
                    outcomes.push((index, outcome));
                }
                // Not tried, or cut off with nobody saying why.
                outcome => {
                    lost = lost.or(outcome);
                    work.recipients.push((index, recipient));
                }
            }
        }
        lost
    }

    /// What a next hop that remembers is told, so that an attempt whose last word was lost makes no duplicate there: the
    /// id under which it was asked before, or one that is the same for every attempt.
    fn through(&self, work: &Work) -> Through {
        let of_name = || {
            let in_force = self.environment.current.take();
            let host = in_force.config.hostname.as_ascii();
            TransactionId::parse(&format!("{}@{host}", work.id)).ok()
        };
        Through {
            id: work.transaction.clone().or_else(of_name),
            ..Through::default()
        }
    }

    /// What a next hop that asks is told beforehand of the message (XVOUCH): its content is read once more for that.
    async fn claim(&self, work: &Work, batch: &[(usize, Recipient)]) -> Option<Claim> {
        let connection = self.connection.as_ref()?;
        let paths = batch.iter().map(|(_, recipient)| &recipient.path);
        let domain = claiming::only_domain(paths).filter(|_| connection.takes_claims())?;
        let mut content = self.content(work).await.ok()?;
        let ways = (&work.reverse_path, domain);
        let ledger = &self.environment.ledger;
        claiming::claim(ledger, &mut *content, ways, work.claim).await
    }

    /// Opens content. Without it no session is troubled.
    async fn content(&self, work: &Work) -> Result<Box<dyn Content>, Outcome> {
        self.environment
            .spool
            .content(work.id)
            .await
            .map_err(|error| {
                tracing::error!(
                    queue_id = %work.id,
                    error = %crate::log::chain(&error),
                    "content cannot be read"
                );
                let text = "the message could not be read from this server's own storage";
                Outcome::local((4, 3, 0), None, text)
            })
    }

    /// Leaves a session over which a message with REQUIRETLS may not go.
    async fn leave_unless_protected(&mut self) {
        let unfit = |connection: &mut Connection| connection.cannot_require_tls().is_some();
        if let Some(connection) = self.connection.take_if(unfit) {
            connection.quit().await;
        }
    }

    /// A session with the first host, of those that are left, with which one comes to be, and over
    /// which the message may go.
    async fn open_next(&self, tries: &mut Tries, demands_tls: bool) -> Result<Connection, Outcome> {
        let in_force = self.environment.current.take();
        let terms = self.environment.reach.terms(&in_force.config);
        loop {
            let connection = tries.open(&terms, None).await?;
            let _ = self.news.send(News::Stands(self.id)).await;
            match connection.cannot_require_tls().filter(|_| demands_tls) {
                None => return Ok(connection),
                Some(outcome) => tries.refuse(connection, outcome).await,
            }
        }
    }

    /// Looks up the hosts of the next hop that the message may have.
    async fn find_hosts(&self, demands_tls: bool) -> Tries {
        let in_force = self.environment.current.take();
        let reach = &self.environment.reach;
        Tries::find(&self.next_hop, reach, &in_force.config, demands_tls).await
    }
}

/// True for an outcome that says no more than that the session ended, while the message cannot
/// have arrived.
fn is_untried(outcome: &Outcome, completed: bool, open: bool) -> bool {
    !completed
        && !open
        && outcome.class == OutcomeClass::Transient
        && matches!(outcome.diagnostic, Diagnostic::Local(_))
        && outcome.remote.is_some()
}

/// Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_AT_ONCE: usize = 100;

/// How long an idle session is kept: long enough for the next message of a burst, short enough
/// not to take a place that the next hop could give to others.
const IDLE: Duration = Duration::from_secs(5);
