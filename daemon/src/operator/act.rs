//! What an operator does with messages: many at the same time, so that they share the disk's flushes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tracing::{error, info};
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Amendment, ClaimError, Entry, Lane, Lease, ListError, SettleError};

use super::{Filter, Gone, Hand, PAGE, Pages, Terms, Told, Views, lanes_of};
use crate::clock;
use crate::control::wire::Reply;
use crate::log::{Peer, chain};
use crate::runner::removal_reports;

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// It is not tried until it is released.
    Hold,
    /// It is tried again.
    Release,
    /// It is due now, and so is where it goes.
    Retry,
    /// It goes to this next hop; without one, where its routes lead.
    Reroute {
        /// As the configuration writes it.
        next_hop: Option<String>,
    },
    /// It leaves.
    Remove {
        /// Its sender is told so.
        report: bool,
    },
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// Which.
    pub id: String,
    /// What.
    pub did: Did,
    /// Without brackets; empty for the null reverse-path, and for a message that is not there.
    pub reverse_path: String,
    /// The first recipient that is not done with.
    pub recipient: String,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// Done, durably.
    Done,
    /// It would be done (a dry run).
    Would,
    /// It was so before.
    Already,
    /// It is held, and must be released first.
    Held,
    /// It is in hand at this moment; nothing was changed.
    InHand,
    /// It is not in the queue (any more).
    Missing,
    /// The disk refused; nothing was changed.
    Failed,
}

/// Messages that are worked on at the same time.
const AT_ONCE: usize = 128;

/// Does it to every message that the filter means, and tells what became of each. With `dry`
/// nothing is changed.
pub async fn act(
    hand: &Hand,
    terms: &Terms,
    (act, filter, dry): (&Act, &Filter, bool),
    told: &Told,
) -> Result<Result<(), ListError>, Gone> {
    let views = hand.views().await;
    told.send(Reply::Scope(scope(hand, filter)))
        .await
        .map_err(|_| Gone)?;
    let mut lanes = BTreeSet::new();
    let done = all(hand, terms, (act, filter, dry), &views, told, &mut lanes).await;
    // Also when it came to no end: what was done is done.
    if !lanes.is_empty() {
        hand.desk.let_go(lanes).await;
    }
    done
}

/// How many messages there are that the filter may mean. One that stands in several lanes is counted in
/// each.
fn scope(hand: &Hand, filter: &Filter) -> usize {
    if !filter.ids.is_empty() {
        return filter.ids.len();
    }
    let lanes = filter.lane().map(|lane| hand.lanes_of(&lane));
    let all = hand.spool.lanes().into_iter();
    let meant = all.filter(|entry| {
        lanes
            .as_ref()
            .is_none_or(|lanes| lanes.contains(&entry.lane))
    });
    meant
        .map(|entry| {
            entry
                .waiting
                .saturating_add(entry.leased)
                .saturating_add(entry.held)
        })
        .sum()
}

/// The same, without the end. `lanes`: those that are to be let go.
async fn all(
    hand: &Hand,
    terms: &Terms,
    (act, filter, dry): (&Act, &Filter, bool),
    views: &Views,
    told: &Told,
    lanes: &mut BTreeSet<Lane>,
) -> Result<Result<(), ListError>, Gone> {
    let tell =
        |touched: Touched| async { told.send(Reply::Touched(touched)).await.map_err(|_| Gone) };
    let mut pages = Source::of(hand, filter);
    loop {
        let page = match pages.next(hand).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        };
        let now = clock::now().wall;
        let looked = page.len();
        let mut working: JoinSet<Touched> = JoinSet::new();
        for found in page {
            let entry = match found {
                Found::Entry(entry) => entry,
                Found::Missing(id) => {
                    tell(Touched::missing(id)).await?;
                    continue;
                }
            };
            if !filter.means(&entry, views, now) {
                continue;
            }
            if dry || !is_new(act, &entry) {
                tell(Touched::of(&entry, would(act, &entry))).await?;
                continue;
            }
            if matches!(act, Act::Retry | Act::Reroute { .. }) {
                lanes.extend(lanes_of(&entry));
            }
            if working.len() >= AT_ONCE
                && let Some(Ok(touched)) = working.join_next().await
            {
                tell(touched).await?;
            }
            let (hand, terms, act) = (hand.clone(), Terms::clone(terms), act.clone());
            working.spawn(async move { one(&hand, &terms, &act, *entry, now).await });
        }
        while let Some(ended) = working.join_next().await {
            if let Ok(touched) = ended {
                tell(touched).await?;
            }
        }
        told.send(Reply::Looked(looked)).await.map_err(|_| Gone)?;
    }
}

/// Where messages come from: by their ids, or by pages.
enum Source {
    Ids(std::vec::IntoIter<QueueId>),
    Pages(Pages),
}

/// What was found.
enum Found {
    Entry(Box<Entry>),
    Missing(QueueId),
}

impl Source {
    fn of(hand: &Hand, filter: &Filter) -> Self {
        if filter.ids.is_empty() {
            return Self::Pages(Pages::of(hand, filter));
        }
        let ids: BTreeSet<QueueId> = filter.ids.iter().filter_map(|id| id.parse().ok()).collect();
        Self::Ids(ids.into_iter().collect::<Vec<_>>().into_iter())
    }

    async fn next(&mut self, hand: &Hand) -> Result<Option<Vec<Found>>, ListError> {
        let mut all = Vec::new();
        match self {
            Self::Pages(pages) => {
                let page = pages.next(&*hand.spool, PAGE).await?;
                all.extend(page.into_iter().map(|entry| Found::Entry(Box::new(entry))));
            }
            Self::Ids(ids) => {
                for id in ids.take(PAGE) {
                    let found = hand.spool.show(id).await?;
                    all.push(match found {
                        Some(entry) => Found::Entry(Box::new(entry)),
                        None => Found::Missing(id),
                    });
                }
            }
        }
        Ok(Some(all).filter(|all| !all.is_empty()))
    }
}

/// False if a message is already as it is to be, or cannot be made so.
fn is_new(act: &Act, entry: &Entry) -> bool {
    match act {
        Act::Hold | Act::Retry => !entry.orders.held,
        Act::Release => entry.orders.held,
        Act::Reroute { next_hop } => entry.orders.next_hop.as_deref() != next_hop.as_deref(),
        Act::Remove { .. } => true,
    }
}

/// What would become of it.
fn would(act: &Act, entry: &Entry) -> Did {
    match act {
        _ if entry.active => Did::InHand,
        Act::Retry if entry.orders.held => Did::Held,
        _ if is_new(act, entry) => Did::Would,
        _ => Did::Already,
    }
}

/// Does it to one.
async fn one(hand: &Hand, terms: &Terms, act: &Act, found: Entry, now: Wall) -> Touched {
    let lease = match hand.spool.claim(found.id).await {
        Ok(lease) => lease,
        Err(why) => {
            let did = match why {
                ClaimError::InHand(_) => Did::InHand,
                ClaimError::Unknown(_) => Did::Missing,
                _ => Did::Failed,
            };
            if did == Did::Failed {
                error!(queue_id = %found.id, error = %chain(&why), "the operator's word cannot be kept");
            }
            return Touched::of(&found, did);
        }
    };
    // It may have changed since it was found.
    if !is_new(act, lease.entry()) {
        return Touched::of(lease.entry(), would(act, lease.entry()));
    }
    let mut touched = Touched::of(lease.entry(), Did::Done);
    let amendment = amendment(hand, terms, act, &lease, now).await;
    match hand.spool.amend(lease, amendment).await {
        Ok(()) => info!(
            queue_id = %touched.id,
            reverse_path = %Peer(&touched.reverse_path),
            action = act.name(),
            next_hop = act.next_hop(),
            "by the operator"
        ),
        Err(why) => {
            error!(queue_id = %touched.id, error = %chain(&why), "the operator's word cannot be kept");
            touched.did = match why {
                SettleError::Unknown(_) => Did::Missing,
                _ => Did::Failed,
            };
        }
    }
    touched
}

/// What is said of it.
async fn amendment(hand: &Hand, terms: &Terms, act: &Act, lease: &Lease, now: Wall) -> Amendment {
    match act {
        Act::Hold => Amendment::Hold,
        Act::Release => Amendment::Release,
        Act::Retry => Amendment::Retry(now),
        Act::Reroute { next_hop } => Amendment::Reroute {
            next_hop: next_hop.as_deref().map(Into::into),
            due: now,
        },
        Act::Remove { report: false } => Amendment::Remove(Vec::new()),
        Act::Remove { report: true } => {
            let reports = removal_reports(&*hand.spool, terms, lease.entry()).await;
            Amendment::Remove(reports)
        }
    }
}

impl Act {
    /// As the log has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Reroute { .. } => "reroute",
            Self::Remove { report: true } => "remove, with a report",
            Self::Remove { report: false } => "remove, silently",
        }
    }

    /// Where to.
    fn next_hop(&self) -> Option<&str> {
        match self {
            Self::Reroute { next_hop } => next_hop.as_deref(),
            _ => None,
        }
    }

    /// What is wrong with it, if anything is.
    pub fn mistake(&self) -> Option<String> {
        let next_hop = self.next_hop()?;
        let read = vouchsafe_proto::route::NextHop::parse(next_hop);
        read.err().map(|error| format!("{next_hop:?}: {error}"))
    }
}

impl Touched {
    fn of(entry: &Entry, did: Did) -> Self {
        let all = entry.envelope.recipients.iter().zip(&entry.progress);
        let mut waiting = all.filter(|(_, progress)| progress.is_waiting());
        let first = waiting.next().map(|(recipient, _)| recipient.to_string());
        Self {
            id: entry.id.to_string(),
            did,
            reverse_path: entry.envelope.reverse_path.to_string(),
            recipient: first.unwrap_or_default(),
        }
    }

    fn missing(id: QueueId) -> Self {
        Self {
            id: id.to_string(),
            did: Did::Missing,
            reverse_path: String::new(),
            recipient: String::new(),
        }
    }
}
