//! One worker: carries works to one next hop, one after the other, over one session as long as
//! that lasts. A worker that has nothing to do keeps its session for a few seconds.
//!
//! The next host of a next hop is tried when no session comes to be, and when one is lost before
//! the octets that complete the message were sent and nobody replied; never after them, since the
//! message may be there (RFC 5321 §5.1, §4.5.4.1).

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep_until;
use vouchsafe_proto::outcome::{Diagnostic, Outcome, OutcomeClass};
use vouchsafe_proto::reply::EnhancedStatus;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_spool::Content;

use super::Environment;
use super::schedule::{Carried, Work, WorkerId};
use crate::log::Peer;
use crate::next_hop::hosts;
use crate::smtp_out::{self, Connection, Endpoint, Terms};
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
        let mut hosts: Option<Hosts> = None;
        let mut unreachable = None;
        let mut stood = false;
        let demands_tls = work.requests.demands_tls(&work.reverse_path);
        while !work.recipients.is_empty() {
            if demands_tls {
                self.leave_unless_protected().await;
            }
            if self.connection.is_none() {
                let hosts = match &mut hosts {
                    Some(hosts) => hosts,
                    None => hosts.insert(self.find_hosts(demands_tls).await),
                };
                match self.open_next(hosts, demands_tls).await {
                    Ok(connection) => {
                        self.connection = Some(connection);
                        stood = true;
                    }
                    Err(outcome) if stood || hosts.choosy => {
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
            if let (Some(outcome), Some(hosts)) = (lost, &mut hosts) {
                hosts.failed(outcome);
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
        let connection = self.connection.as_mut()?;
        let transaction = Transaction {
            reverse_path: work.reverse_path.clone(),
            recipients: batch.iter().map(|(_, each)| each.clone()).collect(),
            body: work.body,
            smtputf8: work.smtputf8,
            requests: work.requests.clone(),
            size: work.size,
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
    async fn open_next(&self, hosts: &mut Hosts, demands_tls: bool) -> Result<Connection, Outcome> {
        let in_force = self.environment.current.take();
        let terms = Terms {
            hostname: in_force.config.hostname.clone(),
            connect_timeout: in_force.config.delivery.connect_timeout,
            timeouts: in_force.config.delivery.timeouts(),
            tls: in_force
                .config
                .delivery
                .starttls
                .then(|| Arc::clone(&self.environment.reach.tls)),
        };
        while let Some(endpoint) = hosts.left.pop_front() {
            match smtp_out::open(&endpoint, &terms).await {
                Ok(connection) => {
                    tracing::info!(
                        next_hop = %self.next_hop,
                        remote = %Peer(&endpoint.remote.name),
                        address = endpoint.remote.address.map(tracing::field::display),
                        tls = connection.tls().unwrap_or("-"),
                        demanded = endpoint.requirement.name(),
                        "session with next hop"
                    );
                    let _ = self.news.send(News::Stands(self.id)).await;
                    match connection.cannot_require_tls().filter(|_| demands_tls) {
                        None => return Ok(connection),
                        Some(outcome) => {
                            self.log_useless(&endpoint, &outcome);
                            connection.quit().await;
                            hosts.choosy = true;
                            hosts.failed(outcome);
                        }
                    }
                }
                Err(outcome) => {
                    self.log_useless(&endpoint, &outcome);
                    // A host that answered may do for others.
                    hosts.choosy |= demands_tls && outcome.status != NO_ANSWER;
                    hosts.failed(outcome);
                }
            }
        }
        Err(hosts.verdict.clone().unwrap_or_else(|| {
            Outcome::local((4, 4, 4), None, "the next hop has no host to be tried")
        }))
    }

    /// A host did not do.
    fn log_useless(&self, endpoint: &Endpoint, outcome: &Outcome) {
        tracing::info!(
            next_hop = %self.next_hop,
            remote = %Peer(&endpoint.remote.name),
            address = endpoint.remote.address.map(tracing::field::display),
            status = %outcome.status,
            diagnostic = %Peer(outcome.diagnostic.text()),
            "no session with this host"
        );
    }

    /// Looks up the hosts of the next hop that the message may have.
    async fn find_hosts(&self, demands_tls: bool) -> Hosts {
        let in_force = self.environment.current.take();
        let (next_hop, config) = (&self.next_hop, &in_force.config);
        let mut hosts = Hosts::default();
        match hosts::of(next_hop, &self.environment.reach, config).await {
            Ok(all) if demands_tls => {
                let count = all.endpoints.len();
                let protected = hosts::protected(all.endpoints);
                hosts.choosy = protected.len() < count;
                if protected.is_empty() {
                    hosts.verdict = Some(hosts::unprotected(all.certain));
                }
                hosts.left = those_tried(protected);
            }
            Ok(all) => hosts.left = those_tried(all.endpoints),
            Err(outcome) => hosts.verdict = Some(outcome),
        }
        hosts
    }
}

/// The hosts that are left for one work, and what those said that are not.
#[derive(Default)]
struct Hosts {
    /// Not yet tried.
    left: VecDeque<Endpoint>,
    /// What it means if none is left.
    verdict: Option<Outcome>,
    /// The message had fewer of them than others have, by what it demands: that none will do says
    /// nothing of the next hop.
    choosy: bool,
}

impl Hosts {
    /// One more of them is no use. A transient outcome is stronger than a permanent one, since
    /// that host may yet take the message; a reply tells more than our own words.
    fn failed(&mut self, outcome: Outcome) {
        let rank = |outcome: &Outcome| {
            (
                outcome.class == OutcomeClass::Transient,
                matches!(outcome.diagnostic, Diagnostic::Reply(_)),
            )
        };
        if self
            .verdict
            .as_ref()
            .is_none_or(|best| rank(&outcome) > rank(best))
        {
            self.verdict = Some(outcome);
        }
    }
}

/// Those of them that one attempt tries, in their order. Addresses of one host are likely to be
/// dead together, so they do not use up all the tries if there are other hosts.
fn those_tried(endpoints: Vec<Endpoint>) -> VecDeque<Endpoint> {
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for endpoint in &endpoints {
        count.insert(endpoint.remote.name.clone(), 0);
    }
    let of_each = ADDRESSES_AT_MOST.div_ceil(count.len().clamp(1, ADDRESSES_AT_MOST));
    let mut chosen = VecDeque::from(endpoints);
    chosen.retain(|endpoint| {
        let nth = count.entry(endpoint.remote.name.clone()).or_default();
        *nth = nth.saturating_add(1);
        *nth <= of_each
    });
    chosen.truncate(ADDRESSES_AT_MOST);
    chosen
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

/// No connection stands (RFC 3463 §3.5).
const NO_ANSWER: EnhancedStatus = EnhancedStatus::new(4, 4, 1);

/// Recipients of one transaction: what every server must take (RFC 5321 §4.5.3.1.8).
const RECIPIENTS_AT_ONCE: usize = 100;

/// Addresses tried in one attempt: at least two are due (RFC 5321 §5.1), and each dead one costs
/// the connect timeout.
const ADDRESSES_AT_MOST: usize = 5;

/// How long an idle session is kept: long enough for the next message of a burst, short enough
/// not to take a place that the next hop could give to others.
const IDLE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next_hop::hosts::{Found, endpoints};
    use vouchsafe_proto::smtp::deliver::Protocol;
    use vouchsafe_proto::tls_policy::Requirement;

    #[test]
    fn a_host_of_many_addresses_leaves_tries_to_the_others() {
        for (found, wanted) in [
            (&["a", "a", "a", "a", "a", "a"][..], &["a"; 5][..]),
            (&["a", "a", "a", "a", "a", "a", "b"], &["a", "a", "a", "b"]),
            (
                &["a", "a", "a", "b", "b", "b", "c", "c"],
                &["a", "a", "b", "b", "c"],
            ),
            (&["a", "b", "c", "d", "e", "f"], &["a", "b", "c", "d", "e"]),
            (&[], &[]),
        ] {
            let all = found.iter().map(|name| Found {
                name: format!("{name}.example"),
                address: "192.0.2.1".parse().unwrap(),
                requirement: Requirement::Opportunistic,
                secure: false,
            });
            let chosen = those_tried(endpoints(all.collect(), 25, Protocol::Smtp));
            let names = chosen.iter().map(|each| each.remote.name.chars().next());
            let wanted = wanted.iter().map(|name| name.chars().next());
            assert!(names.eq(wanted), "{found:?}");
        }
    }
}
