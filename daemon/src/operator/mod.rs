//! The operator's hand on the queue: which messages he means, and what he does with them.
//!
//! The same code serves both ways to it: a running service does it for whoever speaks to its control
//! socket, and the command line does it by itself on the queue of a stopped one, under its lock.
//!
//! Promises: what is answered as done is durable; a message that is in hand is said to be, and left as
//! it is; each word is noted in the message's history (`crate::history`) and logged. It does not wait
//! for anything but the disk.
//!
//! Files: `filter` which messages; `act` what is done; `top` where they wait; `freeze` domains.

mod act;
mod filter;
mod freeze;
#[cfg(test)]
mod tests;
mod top;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::{Entry, Frozen, Lane, ListError, Spool};

pub use self::act::{Act, Did, Touched, act};
pub use self::filter::Filter;
pub use self::freeze::{FreezeError, freeze};
pub use self::top::{Count, LaneRow, ReasonRow, Summary, top};
use crate::control::wire::{Message, Reply};
use crate::current::InForce;
use crate::runner::{Desk, HeldBack};

/// What the operator works on.
#[derive(Clone)]
pub struct Hand {
    /// The queue.
    pub spool: Arc<dyn Spool>,
    /// Where he speaks to the runner.
    pub desk: Desk,
    /// The domains that are frozen.
    pub frozen: Frozen,
}

/// Where answers go. Whoever has gone hears no more, and nothing more is done for him.
pub type Told = mpsc::Sender<Reply>;

/// Nobody listens any more.
#[derive(Debug)]
pub struct Gone;

/// Messages that are read at a time.
const PAGE: usize = 500;

impl Hand {
    /// On this queue, at whose desk `desk` is.
    pub fn new(spool: Arc<dyn Spool>, desk: Desk, data_dir: &Path) -> Self {
        let frozen = Frozen::new(Arc::new(LocalDisk::new(data_dir.to_path_buf())));
        Self {
            spool,
            desk,
            frozen,
        }
    }

    /// Why nothing goes from lanes now; nothing is said of those from which mail goes.
    pub async fn views(&self) -> Views {
        let all = self.desk.held_back().await;
        Views(all.into_iter().map(|one| (one.lane.clone(), one)).collect())
    }

    /// Where messages of a domain may stand: in its lane, and in those of next hops to which some
    /// were sent.
    fn lanes_of(&self, lane: &Lane) -> Vec<Lane> {
        let others = self.spool.lanes().into_iter().map(|entry| entry.lane);
        let mut lanes = vec![lane.clone()];
        lanes.extend(others.filter(Lane::is_of_next_hop));
        lanes
    }
}

/// Why nothing goes from lanes.
#[derive(Debug, Default)]
pub struct Views(HashMap<Lane, HeldBack>);

impl Views {
    /// The lane's, if nothing goes from it.
    pub fn of(&self, lane: &Lane) -> Option<&HeldBack> {
        self.0.get(lane)
    }

    /// The message as it is seen at `now`: with what holds it back, if it is due and does not go.
    pub fn show(&self, entry: &Entry, now: Wall) -> Message {
        let message = Message::of(entry, now);
        if entry.active || entry.orders.held {
            return message;
        }
        let held_back = lanes_of(entry).into_iter().find_map(|lane| self.of(&lane));
        match held_back {
            Some(held_back) => message.held_back_by(held_back, now),
            None => message,
        }
    }
}

/// The lanes that a message waits in.
fn lanes_of(entry: &Entry) -> BTreeSet<Lane> {
    if let Some(next_hop) = &entry.orders.next_hop {
        return [Lane::of_next_hop(next_hop)].into();
    }
    let all = entry.envelope.recipients.iter().zip(&entry.progress);
    let waiting = all.filter(|(_, progress)| progress.is_waiting());
    waiting
        .map(|(recipient, _)| Lane::of(&recipient.path))
        .collect()
}

/// Reads messages that a filter may mean, page by page. They may change while this goes on; none is
/// given twice but where a message stands in two lanes that are asked for, which nobody does.
struct Pages {
    /// Lanes that are left; none if all messages are read.
    lanes: Option<Vec<Lane>>,
    after: Option<vouchsafe_proto::queue_id::QueueId>,
}

impl Pages {
    /// All that the filter may mean.
    fn of(hand: &Hand, filter: &Filter) -> Self {
        let mut lanes = filter.lane().map(|lane| hand.lanes_of(&lane));
        if let Some(lanes) = &mut lanes {
            lanes.reverse();
        }
        Self { lanes, after: None }
    }

    /// The next, at most so many; none at the end.
    async fn next(&mut self, spool: &dyn Spool, most: usize) -> Result<Vec<Entry>, ListError> {
        let Some(lanes) = &mut self.lanes else {
            let page = spool.list(self.after, most).await?;
            self.after = page.last().map(|entry| entry.id);
            return Ok(page);
        };
        while let Some(lane) = lanes.last() {
            let page = spool.list_lane(lane, self.after, most).await?;
            if let Some(last) = page.last() {
                self.after = Some(last.id);
                return Ok(page);
            }
            lanes.pop();
            self.after = None;
        }
        Ok(Vec::new())
    }
}

/// Tells every message that the filter means, the oldest first, up to `limit` of them. Gives true if
/// there are more.
pub async fn list(
    hand: &Hand,
    filter: &Filter,
    limit: Option<usize>,
    told: &Told,
) -> Result<Result<bool, ListError>, Gone> {
    let views = hand.views().await;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut pages = Pages::of(hand, filter);
    loop {
        // One more than is wanted says whether there are more.
        let most = PAGE.max(left.saturating_add(1).min(2 * PAGE));
        let page = match pages.next(&*hand.spool, most).await {
            Ok(page) if page.is_empty() => return Ok(Ok(false)),
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let now = crate::clock::now().wall;
        for entry in page {
            if !filter.means(&entry, &views, now) {
                continue;
            }
            if left == 0 {
                return Ok(Ok(true));
            }
            left = left.saturating_sub(1);
            let message = Reply::Message(Box::new(views.show(&entry, now)));
            told.send(message).await.map_err(|_| Gone)?;
        }
    }
}

/// What is in force, for reports.
pub type Terms = Arc<InForce>;
