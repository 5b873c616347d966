//! Where mail waits, and why: by lane from what the queue has in memory, by reason from the messages
//! themselves, of which only so many are read.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Entry, ListError, Progress};

use super::{Gone, Hand, PAGE, Told, Views, lanes_of};
use crate::clock;
use crate::control::wire::{HeldBack, Reply};

/// One lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneRow {
    /// The domain, or the next hop to which the operator has sent what is here.
    pub lane: String,
    /// Messages: all of them.
    pub messages: usize,
    /// Of these, in hand.
    pub active: usize,
    /// Of these, held by the operator.
    pub held: usize,
    /// What they take of the disk.
    pub octets: u64,
    /// Since the oldest came.
    pub oldest_seconds: u64,
    /// Why nothing goes, if nothing does.
    pub held_back: Option<HeldBack>,
}

/// One reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonRow {
    /// What was said last, or is seen of where they go; `not tried yet`.
    pub reason: String,
    /// Messages.
    pub messages: usize,
    /// Of these, held by the operator.
    pub held: usize,
    /// Octets of trace fields and content.
    pub octets: u64,
    /// Since the oldest came.
    pub oldest_seconds: u64,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Lanes there are.
    pub lanes: usize,
    /// Messages that were read for the reasons.
    pub read: usize,
    /// There are more that were not read.
    pub more: bool,
}

/// Rows that are counted message by message, where no lanes are in memory.
#[derive(Debug, Default)]
pub struct Count {
    lanes: HashMap<String, LaneRow>,
    reasons: HashMap<String, ReasonRow>,
    read: usize,
}

/// Tells the rows, those with the most messages first, up to `rows` of each kind; `sample`: how many
/// messages are read.
pub async fn top(
    hand: &Hand,
    (rows, sample): (usize, usize),
    told: &Told,
) -> Result<Result<(), ListError>, Gone> {
    let views = hand.views().await;
    let now = clock::now().wall;
    let mut count = Count::default();
    for entry in hand.spool.lanes() {
        let row = LaneRow {
            lane: entry.lane.to_string(),
            messages: entry
                .waiting
                .saturating_add(entry.leased)
                .saturating_add(entry.held),
            active: entry.leased,
            held: entry.held,
            octets: entry.octets,
            oldest_seconds: entry.oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
            held_back: views.of(&entry.lane).map(|one| HeldBack::of(one, now)),
        };
        count.lanes.insert(row.lane.clone(), row);
    }
    let (mut after, mut more) = (None, false);
    loop {
        let page = match hand.spool.list(after, PAGE).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for entry in &page {
            if count.read >= sample {
                more = true;
                break;
            }
            count.reason(entry, &views, now);
        }
        if more {
            break;
        }
    }
    for reply in count.rows(rows, more) {
        told.send(reply).await.map_err(|_| Gone)?;
    }
    Ok(Ok(()))
}

impl Count {
    /// One message more, of a queue whose lanes nobody knows.
    pub fn add(&mut self, entry: &Entry, now: Wall) {
        let age = now.since(entry.arrived).as_secs();
        for lane in lanes_of(entry) {
            let name = lane.to_string();
            let row = self.lanes.entry(name.clone()).or_default();
            row.lane = name;
            row.messages = row.messages.saturating_add(1);
            row.held = row.held.saturating_add(usize::from(entry.orders.held));
            row.octets = row.octets.saturating_add(entry.size);
            row.oldest_seconds = row.oldest_seconds.max(age);
        }
        self.reason(entry, &Views::default(), now);
    }

    /// Why one message waits.
    fn reason(&mut self, entry: &Entry, views: &Views, now: Wall) {
        self.read = self.read.saturating_add(1);
        let said = entry.progress.iter().find_map(|progress| match progress {
            Progress::Waiting(Some(outcome)) => Some(outcome.diagnostic.text().to_owned()),
            _ => None,
        });
        let seen = || {
            lanes_of(entry).iter().find_map(|lane| {
                let held_back = HeldBack::of(views.of(lane)?, now);
                Some(held_back.reason)
            })
        };
        let reason = seen().or(said);
        let reason = reason.unwrap_or_else(|| String::from("not tried yet"));
        let row = self.reasons.entry(reason.clone()).or_default();
        row.reason = reason;
        row.messages = row.messages.saturating_add(1);
        row.held = row.held.saturating_add(usize::from(entry.orders.held));
        row.octets = row.octets.saturating_add(entry.size);
        row.oldest_seconds = row.oldest_seconds.max(now.since(entry.arrived).as_secs());
    }

    /// What is told.
    pub fn rows(self, most: usize, more: bool) -> Vec<Reply> {
        let summary = Summary {
            lanes: self.lanes.len(),
            read: self.read,
            more,
        };
        let mut lanes: Vec<_> = self.lanes.into_values().collect();
        lanes.sort_by(|one, other| (other.messages, &one.lane).cmp(&(one.messages, &other.lane)));
        let mut reasons: Vec<_> = self.reasons.into_values().collect();
        reasons.sort_by(|one, other| {
            (other.messages, &one.reason).cmp(&(one.messages, &other.reason))
        });
        let lanes = lanes
            .into_iter()
            .take(most)
            .map(|row| Reply::Lane(Box::new(row)));
        let reasons = reasons
            .into_iter()
            .take(most)
            .map(|row| Reply::Reason(Box::new(row)));
        lanes
            .chain(reasons)
            .chain([Reply::Summary(summary)])
            .collect()
    }
}
