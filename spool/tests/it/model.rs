//! Random operations against a map, with one call to the disk failing, and a crash at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{Ask, Finding, LocalSpool, Options, Spool};

use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::mail::{at, content, deferred, delivered, read, take};

/// The queue as it should be.
struct Model {
    disk: MemoryDisk,
    spool: LocalSpool,
    known: BTreeMap<QueueId, Known>,
    /// What was not taken as far as we were told; a failed barrier may have kept it all the same.
    doubtful: Vec<Vec<u8>>,
}

/// What is known of a message.
struct Known {
    content: Vec<u8>,
    /// Attempts recorded; `None` if the last settlement was answered by an error.
    attempts: Option<u32>,
}

fn open(disk: &MemoryDisk) -> Result<LocalSpool, vouchsafe_spool::OpenError> {
    let options = Options::default().with_reserve(0).with_segment(256 * 1024);
    LocalSpool::open_on(Arc::new(disk.clone()), options)
}

impl Model {
    fn new() -> Self {
        let disk = MemoryDisk::default();
        Self {
            spool: open(&disk).unwrap(),
            disk,
            known: BTreeMap::new(),
            doubtful: Vec::new(),
        }
    }

    async fn turn(&mut self, turn: u64, chance: u64) {
        match chance % 8 {
            0..4 => self.take(turn, chance).await,
            4..7 => self.settle(turn, chance).await,
            // The fault may fall into opening; it comes only once.
            _ => {
                let other = MemoryDisk::default();
                drop(std::mem::replace(&mut self.spool, open(&other).unwrap()));
                self.spool = open(&self.disk).or_else(|_| open(&self.disk)).unwrap();
            }
        }
    }

    async fn take(&mut self, turn: u64, chance: u64) {
        let size = [0, 900, 32_689, 70_000][usize::try_from(chance >> 8 & 0b11).unwrap()];
        let content = content(chance, size);
        match take(&self.spool, at(turn), at(turn), &content).await {
            Ok(id) => {
                let attempts = Some(0);
                self.known.insert(id, Known { content, attempts });
            }
            Err(_) => self.doubtful.push(content),
        }
    }

    async fn settle(&mut self, turn: u64, chance: u64) {
        let Ok(leased) = self.spool.lease(at(turn), Ask::up_to(2)).await else {
            return;
        };
        for lease in leased.leases {
            let id = lease.entry().id;
            let goes = chance >> 16 & 1 == 0;
            let settlement = if goes {
                delivered(&lease)
            } else {
                deferred(&lease, at(turn + 2))
            };
            let attempts = settlement.attempts;
            let settled = self.spool.settle(lease, settlement).await;
            let Some(message) = self.known.get_mut(&id) else {
                continue;
            };
            match settled {
                Ok(()) if goes => drop(self.known.remove(&id)),
                Ok(()) => message.attempts = Some(attempts),
                Err(_) => message.attempts = None,
            }
        }
    }

    /// Opens what a crash leaves, and compares.
    async fn compare(&self, crash: Crash, what: &str) {
        let spool = open(&self.disk.after(self.disk.log_len(), crash)).expect(what);
        for finding in spool.findings() {
            assert!(matches!(finding, Finding::Orphan(_)), "{what}: {finding}");
        }
        for entry in spool.list(None, 100).await.unwrap() {
            let whole = read(&spool, entry.id).await.unwrap();
            match self.known.get(&entry.id) {
                Some(known) => {
                    assert_eq!(whole, known.content, "{what}");
                    let attempts = known.attempts.unwrap_or(entry.attempts);
                    assert_eq!(entry.attempts, attempts, "{what}");
                }
                None => assert!(self.doubtful.contains(&whole), "{what}: {}", entry.id),
            }
        }
        for (id, known) in &self.known {
            let there = spool.show(*id).await.unwrap().is_some();
            assert!(there || known.attempts.is_none(), "{what}: {id} is lost");
        }
    }
}

/// Plays random turns with one fault; every settlement that got no answer leaves both ends open.
async fn play(seed: u64, fault: Fault) {
    let mut model = Model::new();
    model.disk.fail(fault);
    let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for turn in 0..24 {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        model.turn(turn, chance).await;
    }
    drop(std::mem::replace(
        &mut model.spool,
        open(&MemoryDisk::default()).unwrap(),
    ));
    model.disk.fail(Fault::Never);
    for crash in [Crash::Process, Crash::Power, Crash::Partly(seed)] {
        let what = format!("seed {seed}, {fault:?}, {crash:?}");
        model.compare(crash, &what).await;
    }
}

#[tokio::test]
async fn random_operations_with_a_failure_at_any_call() {
    for seed in 0..150 {
        let fault = match seed % 6 {
            0 => Fault::Never,
            1 | 2 => Fault::Call(seed * 7 % 400),
            3 => Fault::Room(seed * 7 % 200),
            4 => Fault::Torn(seed * 7 % 200),
            _ => Fault::Sync(seed % 40),
        };
        play(seed, fault).await;
    }
}
