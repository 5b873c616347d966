//! What a message vouches for: in the ledger before it is in custody, or, where it never is, before it leaves.

use std::sync::Arc;

use bytes::Bytes;
use vouchsafe_proto::residue::{Hour, Kind};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::ledger::{Answer, Entry, Ledger};
use vouchsafe_spool::{CommitError, LocalSpool, Options, Spool};

use crate::disk::{Fault, MemoryDisk};
use crate::image::Crash;
use crate::ledger::{PRIME, ask, entry, question};
use crate::mail::envelope;

/// A moment, and the same long after it.
const NOW: u64 = 1_795_256_100;
const LATER: u64 = NOW + 90 * 86_400;

fn at(seconds: u64) -> Wall {
    Wall::from_secs(seconds)
}

fn open(disk: &MemoryDisk) -> LocalSpool {
    let options = Options::default().with_reserve(0);
    LocalSpool::open_on(Arc::new(disk.clone()), options).unwrap()
}

fn of(seconds: u64, digest: u128) -> Entry {
    let hour = Hour::at(at(seconds)).unwrap();
    entry(Kind::Message, hour.number(), digest << 90)
}

fn knows(ledger: &Ledger, entry: Entry) -> bool {
    ask(ledger, question(entry, &[PRIME])) == Answer::Sent
}

async fn store(spool: &LocalSpool, seconds: u64, vouched: Entry) -> Result<(), CommitError> {
    let mut draft = spool.begin(at(seconds)).await.unwrap();
    draft.append(Bytes::from_static(b"a: b\r\n")).await.unwrap();
    draft.vouch(vec![vouched]);
    let committed = draft
        .commit(envelope(&["a@example.net"]), at(seconds))
        .await;
    committed.map(drop)
}

#[tokio::test]
async fn it_is_found_after_a_power_cut_under_the_hour_that_it_has_by_then() {
    let disk = MemoryDisk::default();
    let spool = open(&disk);
    let stored = of(NOW, 1);
    store(&spool, NOW, stored).await.unwrap();
    // Nothing else has told the spool of the time in between.
    let left = of(LATER, 2);
    spool.vouch(at(LATER), vec![left]).await.unwrap();
    assert!(!spool.ledger().misses(left.hour));
    let disk = disk.after(disk.log_len(), Crash::Power);
    let spool = open(&disk);
    assert!(knows(spool.ledger(), stored) && knows(spool.ledger(), left));
}

#[tokio::test]
async fn what_cannot_be_entered_is_not_taken_and_what_vouches_for_nothing_is() {
    // Each call of a commit fails in turn, until none does.
    let mut taken = false;
    for call in 0.. {
        let disk = MemoryDisk::default();
        let spool = open(&disk);
        disk.fail(Fault::Call(call));
        let vouched = of(NOW, 3);
        let Ok(mut draft) = spool.begin(at(NOW)).await else {
            continue;
        };
        draft.vouch(vec![vouched]);
        let committed = draft.commit(envelope(&["a@example.net"]), at(NOW)).await;
        disk.fail(Fault::Never);
        let is_taken = committed.is_ok();
        drop(spool);
        let disk = disk.after(disk.log_len(), Crash::Power);
        let known = Ledger::open(Arc::new(disk)).unwrap().0;
        assert!(!is_taken || knows(&known, vouched), "call {call}");
        if is_taken && std::mem::replace(&mut taken, true) {
            break;
        }
    }
}
