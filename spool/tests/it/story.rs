//! A story: several clients and runners at once on one queue, with messages of all sizes, drafts
//! given up, leases dropped, settlements of every kind, an operator who says otherwise, and a clock
//! that jumps. Everything that is asked and answered goes into the [`History`].
//!
//! Failures of the disk are part of it: an operation that fails is one that was not answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::task::JoinSet;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{
    Amendment, Ask, Lease, LocalSpool, OpenError, Options, Progress, Settlement, Spool,
};

use crate::chance::Chance;
use crate::disk::MemoryDisk;
use crate::history::History;
use crate::mail::{at, content, deferred, delivered, envelope, read, report};

/// Later than anything here is due.
pub const HORIZON: Wall = at(40 * 365 * 24 * 3600);

/// How much happens.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Clients at the same time.
    pub clients: u64,
    /// Messages of each.
    pub messages: usize,
    /// Runners at the same time.
    pub runners: u64,
    /// Times that each leases.
    pub turns: usize,
    /// The largest content: one in eight may have up to this.
    pub largest: usize,
}

/// A story that can be gone on with.
#[derive(Clone, Debug)]
pub struct Story {
    pub disk: MemoryDisk,
    pub history: Arc<Mutex<History>>,
    /// So that no two contents and no two outcomes are the same.
    number: Arc<Mutex<u64>>,
}

pub fn options() -> Options {
    // So small that a story needs many segments.
    Options::default().with_reserve(0).with_segment(256 * 1024)
}

/// Starts a server on the disk.
pub fn open(disk: &MemoryDisk) -> Result<LocalSpool, OpenError> {
    disk.restart();
    LocalSpool::open_on(Arc::new(disk.clone()), options())
}

impl Story {
    pub fn new(disk: &MemoryDisk) -> Self {
        Self::after(disk, History::default(), 0)
    }

    /// One that goes on where another has ended.
    pub fn after(disk: &MemoryDisk, history: History, number: u64) -> Self {
        Self {
            disk: disk.clone(),
            history: Arc::new(Mutex::new(history)),
            number: Arc::new(Mutex::new(number)),
        }
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn number(&self) -> u64 {
        let mut number = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        *number += 1;
        *number
    }

    /// Everybody at once, until all have done what they had to.
    pub async fn play(&self, spool: &Arc<LocalSpool>, seed: u64, size: Size) {
        let mut tasks = JoinSet::new();
        for client in 0..size.clients {
            let (story, spool) = (self.clone(), Arc::clone(spool));
            let mut chance = Chance::new(seed * 1_000 + client + 1);
            tasks.spawn(async move {
                for _ in 0..size.messages {
                    story.send(&spool, &mut chance, size.largest).await;
                }
            });
        }
        for runner in 0..size.runners {
            let (story, spool) = (self.clone(), Arc::clone(spool));
            let mut chance = Chance::new(seed * 1_000 + 500 + runner);
            tasks.spawn(async move {
                for _ in 0..size.turns {
                    story.run(&spool, &mut chance).await;
                    if chance.one_in(2) {
                        story.operate(&spool, &mut chance).await;
                    }
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.expect("a part of the story");
        }
    }

    /// One message, or the beginning of one. False if the spool would not have it.
    pub async fn send(&self, spool: &LocalSpool, chance: &mut Chance, largest: usize) -> bool {
        let years = chance.of(&[0, 0, 0, 0, 0, 10, 20]);
        let now = at(years * 365 * 24 * 3600 + chance.next() % 1_000);
        let number = self.number();
        let content = Bytes::from(content(number, some_size(chance, largest)));
        let Ok(mut draft) = spool.begin(now).await else {
            return false;
        };
        let id = draft.id();
        let envelope = some_envelope(chance, number);
        self.history()
            .begin(id, now, envelope.clone(), content.clone());
        let mut left = content.clone();
        while !left.is_empty() {
            let piece = left.split_to(left.len().min(1 + chance.below(60_000)));
            if draft.append(piece).await.is_err() {
                return false;
            }
            if chance.one_in(16)
                && let Ok(Some(back)) = draft.read_back(usize::MAX).await
            {
                assert!(back == content[..content.len() - left.len()]);
            }
            if chance.one_in(24) {
                return true;
            }
        }
        if chance.one_in(10) {
            return true;
        }
        let asked = self.disk.log_len();
        self.history().ask(id, asked);
        let due = at(chance.next() % 100);
        let mut commit = draft.commit(envelope, due);
        if chance.one_in(20) {
            // Nobody waits for the answer.
            let mut waits = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = commit.as_mut().poll(&mut waits);
            return true;
        }
        match commit.await {
            Ok(custody) => {
                assert_eq!(custody.queue_id(), id);
                self.believe(asked);
                let now = self.disk.log_len();
                self.history().taken(id, now);
                true
            }
            Err(_) => false,
        }
    }

    /// Leases a few messages, and does something with each.
    pub async fn run(&self, spool: &LocalSpool, chance: &mut Chance) {
        let ask = Ask::up_to(1 + chance.below(4));
        let Ok(leased) = spool.lease(HORIZON, ask).await else {
            return;
        };
        for lease in leased.leases {
            let Ok(content) = read(spool, lease.entry().id).await else {
                // The disk did not give it; the lease goes back.
                continue;
            };
            let now = self.disk.log_len();
            let met = self.history().meet(lease.entry(), &content, now);
            let mut upon = met.unwrap_or_else(|wrong| panic!("while it runs: {wrong}"));
            if chance.one_in(8) {
                continue;
            }
            if chance.one_in(4) {
                let Some(recorded) = self.record(spool, &lease, upon, chance).await else {
                    continue;
                };
                upon = Some(recorded);
            }
            let settlement = self.some_settlement(&lease, chance);
            self.settle(spool, lease, settlement, upon).await;
        }
    }

    /// Claims a message, whatever it waits for, and says something of it; or settles it, held or not.
    pub async fn operate(&self, spool: &LocalSpool, chance: &mut Chance) {
        let Ok(listed) = spool.list(None, 12).await else {
            return;
        };
        if listed.is_empty() {
            return;
        }
        let id = listed[chance.below(listed.len())].id;
        let Ok(lease) = spool.claim(id).await else {
            // It is in hand, or has just left.
            return;
        };
        let Ok(content) = read(spool, id).await else {
            return;
        };
        let now = self.disk.log_len();
        let met = self.history().meet(lease.entry(), &content, now);
        let upon = met.unwrap_or_else(|wrong| panic!("in an operator's hand: {wrong}"));
        let Some(amendment) = self.some_amendment(&lease, chance) else {
            let settlement = self.some_settlement(&lease, chance);
            self.settle(spool, lease, settlement, upon).await;
            return;
        };
        let asked = self.disk.log_len();
        let told = self.history().amend(lease.entry(), &amendment, upon, asked);
        let Some(nth) = told else {
            return;
        };
        if spool.amend(lease, amendment).await.is_ok() {
            self.believe(asked);
            let now = self.disk.log_len();
            self.history().settled(id, nth, now);
        }
    }

    /// A word of an operator; now and then there is none.
    fn some_amendment(&self, lease: &Lease, chance: &mut Chance) -> Option<Amendment> {
        let number = self.number();
        let is_report = lease.entry().envelope.recipients == report(Vec::new()).envelope.recipients;
        Some(match chance.below(8) {
            0 | 1 => Amendment::Hold,
            2 => Amendment::Release,
            3 => Amendment::Retry(at(number)),
            4 => Amendment::Reroute {
                next_hop: Some(format!("smtp://h{number}:25").into()),
                due: at(number),
            },
            5 => Amendment::Reroute {
                next_hop: None,
                due: at(number),
            },
            6 if is_report => Amendment::Remove(Vec::new()),
            6 => Amendment::Remove(vec![report(content(number, 40))]),
            _ => return None,
        })
    }

    /// Many messages come, of which all but every `nth` leave: what stays is moved together. Gives
    /// how much had happened when they began to leave, and how large the log was.
    pub async fn thin_out(&self, spool: &LocalSpool, count: usize, nth: usize) -> (usize, u64) {
        let mut chance = Chance::new(self.number());
        for _ in 0..count {
            self.send(spool, &mut chance, 30_000).await;
        }
        let began = (self.disk.log_len(), crate::compact::log_size(&self.disk));
        let Ok(leased) = spool.lease(HORIZON, Ask::up_to(usize::MAX)).await else {
            return began;
        };
        for (at, lease) in leased.leases.into_iter().enumerate() {
            let Ok(content) = read(spool, lease.entry().id).await else {
                continue;
            };
            let now = self.disk.log_len();
            let met = self.history().meet(lease.entry(), &content, now);
            let upon = met.unwrap_or_else(|wrong| panic!("while it runs: {wrong}"));
            let settlement = if at % nth == 0 {
                deferred(&lease, crate::mail::at(self.number()))
            } else {
                delivered(&lease)
            };
            self.settle(spool, lease, settlement, upon).await;
        }
        began
    }

    /// Records what has become of it so far. Gives the number of that; `None` if it failed.
    async fn record(
        &self,
        spool: &LocalSpool,
        lease: &Lease,
        upon: Option<usize>,
        chance: &mut Chance,
    ) -> Option<usize> {
        let mut so_far = self.some_settlement(lease, chance);
        so_far.due = Some(lease.entry().due);
        so_far.attempts = lease.entry().attempts;
        let (id, asked) = (lease.entry().id, self.disk.log_len());
        let nth = self.history().settle(lease, &so_far, upon, asked);
        spool.record(lease, so_far).await.ok()?;
        self.believe(asked);
        let now = self.disk.log_len();
        self.history().settled(id, nth, now);
        Some(nth)
    }

    /// Settles, and notes it. False if it failed.
    pub async fn settle(
        &self,
        spool: &LocalSpool,
        lease: Lease,
        settlement: Settlement,
        upon: Option<usize>,
    ) -> bool {
        let (id, asked) = (lease.entry().id, self.disk.log_len());
        let nth = self.history().settle(&lease, &settlement, upon, asked);
        let settled = spool.settle(lease, settlement).await.is_ok();
        if settled {
            self.believe(asked);
            let now = self.disk.log_len();
            self.history().settled(id, nth, now);
        }
        settled
    }

    /// Nothing may be acknowledged that was asked for after a flush had failed.
    fn believe(&self, asked: usize) {
        if let Some(failed) = self.disk.failed_sync() {
            assert!(asked < failed, "acknowledged behind a failed flush");
        }
    }

    fn some_settlement(&self, lease: &Lease, chance: &mut Chance) -> Settlement {
        let entry = lease.entry();
        let number = self.number();
        let done = Progress::Done(Outcome::local((2, 0, 0), None, format!("done {number}")));
        let waits = Progress::Waiting(Some(Outcome::local(
            (4, 4, 1),
            None,
            format!("no {number}"),
        )));
        let mut progress: Vec<_> = entry
            .progress
            .iter()
            .map(|before| match before {
                Progress::Done(_) => before.clone(),
                Progress::Waiting(_) if chance.one_in(2) => done.clone(),
                Progress::Waiting(_) => waits.clone(),
            })
            .collect();
        if progress
            .iter()
            .all(|each| *each == done || !each.is_waiting())
            && chance.one_in(3)
        {
            progress[0] = waits;
        }
        let leaves = progress.iter().all(|each| !each.is_waiting()) || chance.one_in(8);
        if leaves {
            progress = vec![done; progress.len()];
        }
        let is_report = entry.envelope.recipients == report(Vec::new()).envelope.recipients;
        let reports = if is_report {
            0
        } else {
            chance.of(&[0, 0, 0, 1, 1, 2])
        };
        Settlement {
            progress,
            attempts: entry.attempts + 1,
            due: (!leaves).then(|| at(chance.next() % 1_000)),
            later: Vec::new(),
            delay_reported: chance.one_in(2),
            deadline_reported: chance.one_in(4),
            reports: (0..reports)
                .map(|_| report(content(self.number(), chance.of(&[40, 3_000, 17_000]))))
                .collect(),
        }
    }
}

/// Nothing, a little, around the edges, and much.
fn some_size(chance: &mut Chance, largest: usize) -> usize {
    let edges = [0, 10, 4_096, 16_383, 16_384, 16_385, 30_000, 102_400];
    if chance.one_in(8) {
        largest
    } else {
        chance.of(&edges).min(largest)
    }
}

/// One to four recipients, with and without trace fields.
fn some_envelope(chance: &mut Chance, number: u64) -> Envelope {
    let all = [
        "ann@example.net",
        "bob@example.com",
        "eve@example.net",
        "kim@a.example",
    ];
    let trace = chance.of(&[0, 1, 3, 40]);
    Envelope {
        trace: format!("Received: from x; number {number}\r\n")
            .repeat(trace)
            .into(),
        ..envelope(&all[..=chance.below(4)])
    }
}
