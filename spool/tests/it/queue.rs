//! What the contract promises, on a real folder.

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use vouchsafe_proto::envelope::{ByMode, DeliverBy, Envelope};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::retry::Policy;
use vouchsafe_spool::{
    Amendment, Ask, BeginError, ClaimError, CommitError, ContentError, Lane, LocalSpool,
    OfflineSpool, OpenError, Options, Orders, Progress, SettleError, Settlement, Spool,
};

use crate::mail::{at, content, deferred, delivered, envelope, lease_all, read, report, take};

/// No reserve: a test must not depend on the room of the machine it runs on.
fn options() -> Options {
    Options::default().with_reserve(0).with_segment(256 * 1024)
}

fn open(folder: &tempfile::TempDir) -> LocalSpool {
    LocalSpool::open(folder.path(), options()).unwrap()
}

/// Around one piece of the log, and more than one of its segments.
const SIZES: [usize; 8] = [0, 1, 5_000, 32_687, 32_688, 32_689, 65_536, 300_001];

#[tokio::test]
async fn what_is_taken_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let mut taken = Vec::new();
    let spool = open(&folder);
    for (seed, size) in (1..).zip(SIZES) {
        let content = content(seed, size);
        let id = take(&spool, at(seed), at(seed + 10), &content).await;
        taken.push((id.unwrap(), content));
    }
    let before = spool.list(None, 100).await.unwrap();
    drop(spool);
    let spool = open(&folder);
    assert!(spool.is_sound() && spool.findings().is_empty());
    for (id, content) in &taken {
        assert_eq!(&read(&spool, *id).await.unwrap(), content);
    }
    assert_eq!(spool.list(None, 100).await.unwrap(), before);
}

/// A deadline of the sender's is a time to hear, whatever the lane is held back for: before any
/// settlement, after one, and for whoever opens the folder later.
#[tokio::test]
async fn a_deadline_is_known_after_reopening_until_it_was_reported() {
    let folder = tempfile::tempdir().unwrap();
    let ask = Ask {
        overdue: 9,
        horizon: Some(Policy::default().horizon()),
        ..Ask::up_to(0)
    };
    let mut spool = open(&folder);
    let mut late = envelope(&["ann@example.net"]);
    late.requests.deliver_by = Some(DeliverBy {
        deadline: at(600),
        mode: ByMode::Notify,
        trace: false,
    });
    let draft = spool.begin(at(0)).await.unwrap();
    drop(draft.commit(late, at(0)).await.unwrap());
    for _ in 0..2 {
        let found = spool.lease(at(599), ask).await.unwrap();
        assert!(found.leases.is_empty());
        assert_eq!(found.next_overdue, Some(at(600)));
        drop(spool);
        spool = open(&folder);
    }
    let mut leases = spool.lease(at(600), ask).await.unwrap().leases;
    let lease = leases.pop().unwrap();
    assert!(lease.is_overdue());
    // Recorded without a word of it, it is still to come.
    let settlement = deferred(&lease, at(900));
    spool.settle(lease, settlement).await.unwrap();
    drop(spool);
    spool = open(&folder);
    let mut leases = spool.lease(at(600), ask).await.unwrap().leases;
    let lease = leases.pop().unwrap();
    let told = Settlement {
        delay_reported: true,
        deadline_reported: true,
        ..deferred(&lease, at(900))
    };
    spool.settle(lease, told).await.unwrap();
    let expiry = Some(at(5 * 24 * 3_600));
    for _ in 0..2 {
        let found = spool.lease(at(601), ask).await.unwrap();
        assert!(found.leases.is_empty());
        assert_eq!(found.next_overdue, expiry);
        drop(spool);
        spool = open(&folder);
    }
    let entry = spool.list(None, 1).await.unwrap().pop().unwrap();
    assert!(entry.delay_reported && entry.deadline_reported);
}

#[tokio::test]
async fn listing_goes_by_arrival_and_shows_all_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let mut ids = Vec::new();
    for second in 0..5 {
        ids.push(take(&spool, at(second), at(50), b"x").await.unwrap());
    }
    let listed = spool.list(None, 100).await.unwrap();
    assert!(listed.iter().map(|entry| entry.id).eq(ids.iter().copied()));
    let behind = spool.list(Some(ids[1]), 2).await.unwrap();
    assert!(behind.iter().map(|entry| entry.id).eq([ids[2], ids[3]]));
    let entry = spool.show(ids[3]).await.unwrap().unwrap();
    assert_eq!(entry, listed[3]);
    assert_eq!(entry.envelope, envelope(&["ann@example.net"]));
    assert_eq!((entry.arrived, entry.due), (at(3), at(50)));
    assert_eq!((entry.size, entry.attempts), (1, 0));
    assert_eq!(entry.progress, [Progress::Waiting(None)]);
    assert!(!entry.active && !entry.delay_reported);
    let unknown = QueueId::new(at(0), 1);
    assert_eq!(spool.show(unknown).await.unwrap(), None);
    assert!(matches!(
        spool.content(unknown).await.map(|_| ()),
        Err(ContentError::Unknown(id)) if id == unknown
    ));
}

/// The first lease has it from memory, the second reads it: nobody is to see a difference. Sizes are
/// on both sides of what is kept in memory.
#[tokio::test]
async fn what_is_leased_at_once_is_what_is_read_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut spool = open(&folder);
    for (seed, size) in [(1, 0), (2, 4_000), (3, 16_384), (4, 16_385)] {
        let now = at(seed);
        let mut draft = spool.begin(now).await.unwrap();
        let content = content(seed, size);
        draft.append(Bytes::from(content.clone())).await.unwrap();
        let mut asked = envelope(&["Ann@Example.net", "\"b c\"@example.org", "d@[192.0.2.7]"]);
        asked.trace = "Received: by us\r\n\tfor you\r\n".into();
        asked.smtputf8 = seed == 2;
        let id = draft.commit(asked, now).await.unwrap().queue_id();
        let whole = [b"Received: by us\r\n\tfor you\r\n".as_slice(), &content].concat();
        let first = lease_all(&spool, now).await.pop().unwrap();
        let at_once = (first.entry().clone(), read(&spool, id).await.unwrap());
        assert_eq!(at_once.1, whole);
        drop(first);
        let second = lease_all(&spool, now).await.pop().unwrap();
        assert_eq!(*second.entry(), at_once.0);
        drop(second);
        drop(spool);
        spool = open(&folder);
        let third = lease_all(&spool, now).await.pop().unwrap();
        let later = (third.entry().clone(), read(&spool, id).await.unwrap());
        assert_eq!(later, at_once);
        let gone = delivered(&third);
        spool.settle(third, gone).await.unwrap();
        assert!(matches!(
            spool.content(id).await.map(|_| ()),
            Err(ContentError::Unknown(_))
        ));
    }
}

/// An operator's word on a message that is still in memory is not forgotten by it.
#[tokio::test]
async fn what_is_amended_before_its_first_lease_stays_amended() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let id = take(&spool, at(0), at(0), b"x").await.unwrap();
    let lease = spool.claim(id).await.unwrap();
    let elsewhere = Amendment::Reroute {
        next_hop: Some("smtp://elsewhere.example".into()),
        due: at(1),
    };
    spool.amend(lease, elsewhere).await.unwrap();
    let lease = lease_all(&spool, at(1)).await.pop().unwrap();
    let next_hop = lease.entry().orders.next_hop.as_deref();
    assert_eq!(next_hop, Some("smtp://elsewhere.example"));
}

#[tokio::test]
async fn settlements_handed_over_together_each_have_their_own_end() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    for second in 0..4 {
        take(&spool, at(second), at(5), b"x").await.unwrap();
    }
    let leases = lease_all(&spool, at(5)).await;
    let ids: Vec<_> = leases.iter().map(|lease| lease.entry().id).collect();
    let settle = |(number, lease)| {
        let settlement = match number {
            0 => delivered(&lease),
            1 => deferred(&lease, at(900)),
            2 => Settlement {
                progress: Vec::new(),
                ..delivered(&lease)
            },
            _ => Settlement {
                reports: vec![report(b"gone".to_vec())],
                ..delivered(&lease)
            },
        };
        (lease, settlement)
    };
    let all = (0..).zip(leases).map(settle).collect();
    let settled = spool.settle_all(all).await;
    assert!(settled[0].is_ok() && settled[1].is_ok() && settled[3].is_ok());
    assert!(matches!(
        settled[2],
        Err(SettleError::Recipients {
            found: 0,
            wanted: 1,
            ..
        })
    ));
    drop(spool);
    let spool = open(&folder);
    let left = spool.list(None, 9).await.unwrap();
    assert_eq!(left.len(), 3, "a deferred one, one in doubt, a report");
    assert_eq!((left[0].id, left[0].due), (ids[1], at(900)));
    assert_eq!((left[1].id, left[1].attempts), (ids[2], 0));
    assert_eq!(
        left[2].envelope.recipients[0].to_string(),
        "joe@example.org"
    );
    assert!(spool.settle_all(Vec::new()).await.is_empty());
}

#[tokio::test]
async fn a_draft_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(Bytes::from(vec![b'x'; 50_000])).await.unwrap();
    drop(draft);
    let refused = spool
        .begin(at(0))
        .await
        .unwrap()
        .commit(envelope(&[]), at(0));
    assert!(matches!(refused.await, Err(CommitError::NoRecipients)));
    drop(spool);
    let spool = open(&folder);
    assert!(spool.findings().is_empty());
    assert!(spool.list(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn leases_are_exclusive_until_settled_or_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    for second in [3, 1, 2, 9] {
        take(&spool, at(0), at(second), b"x").await.unwrap();
    }
    let mut leased = spool.lease(at(5), Ask::up_to(2)).await.unwrap();
    let due: Vec<_> = leased
        .leases
        .iter()
        .map(|lease| lease.entry().due)
        .collect();
    assert_eq!(due, [at(1), at(2)]);
    assert_eq!(leased.next_due, Some(at(5)), "there is more at once");
    let third = lease_all(&spool, at(5)).await;
    assert_eq!(third.len(), 1);
    assert!(third[0].entry().active);
    assert!(lease_all(&spool, at(5)).await.is_empty());
    let second = leased.leases.pop().unwrap();
    let back = second.entry().id;
    drop(second);
    let again = lease_all(&spool, at(5)).await;
    assert!(again.iter().map(|lease| lease.entry().id).eq([back]));
    drop((leased, third, again));
    assert_eq!(lease_all(&spool, at(5)).await.len(), 3);
}

#[tokio::test]
async fn a_settlement_is_all_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(Bytes::from_static(b"hello")).await.unwrap();
    let two = envelope(&["ann@example.net", "bob@example.com"]);
    drop(draft.commit(two, at(0)).await.unwrap());
    let lease = lease_all(&spool, at(1)).await.pop().unwrap();
    let id = lease.entry().id;
    let progress = vec![
        Progress::Done(Outcome::local((5, 1, 1), None, "no such mailbox")),
        Progress::Waiting(Some(Outcome::local((4, 2, 1), None, "not now"))),
    ];
    let large = content(1, 20_000);
    let settlement = Settlement {
        progress: progress.clone(),
        attempts: 1,
        due: Some(at(600)),
        later: Vec::new(),
        delay_reported: true,
        deadline_reported: false,
        reports: vec![report(large.clone()), report(b"small".to_vec())],
    };
    spool.settle(lease, settlement).await.unwrap();
    drop(spool);
    let spool = open(&folder);
    let entry = spool.show(id).await.unwrap().unwrap();
    assert_eq!(entry.progress, progress);
    assert_eq!((entry.attempts, entry.due), (1, at(600)));
    assert!(entry.delay_reported);
    let reports = lease_all(&spool, at(1)).await;
    assert_eq!(reports.len(), 2, "due at once");
    let mut contents = Vec::new();
    for lease in &reports {
        contents.push(read(&spool, lease.entry().id).await.unwrap());
    }
    contents.sort_by_key(Vec::len);
    assert_eq!(contents, [b"small".to_vec(), large]);
}

#[tokio::test]
async fn a_clock_that_ran_ahead_and_was_set_right_delays_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    let wrong = at(10 * 365 * 24 * 3600);
    drop(spool.begin(wrong).await.unwrap());
    let lease = lease_all(&spool, at(1)).await.pop().unwrap();
    let mut settlement = delivered(&lease);
    settlement.reports = vec![report(b"report".to_vec())];
    spool.settle(lease, settlement).await.unwrap();
    assert_eq!(lease_all(&spool, at(1)).await.len(), 1);
}

#[tokio::test]
async fn a_message_that_is_done_leaves_with_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    for size in [10, 50_000] {
        take(&spool, at(0), at(0), &content(7, size)).await.unwrap();
    }
    for lease in lease_all(&spool, at(0)).await {
        let id = lease.entry().id;
        let settlement = delivered(&lease);
        spool.settle(lease, settlement).await.unwrap();
        assert!(matches!(
            read(&spool, id).await,
            Err(ContentError::Unknown(_))
        ));
    }
    assert!(spool.list(None, 9).await.unwrap().is_empty());
    drop(spool);
    let spool = open(&folder);
    assert!(spool.list(None, 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn settlements_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, other) = (open(&folder), tempfile::tempdir().unwrap());
    let other = open(&other);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let settlement = delivered(&lease);
    assert!(matches!(
        other.settle(lease, settlement).await,
        Err(SettleError::Unknown(_))
    ));
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let mut settlement = delivered(&lease);
    settlement.progress.clear();
    assert!(matches!(
        spool.settle(lease, settlement).await,
        Err(SettleError::Recipients {
            found: 0,
            wanted: 1,
            ..
        })
    ));
    assert!(lease_all(&spool, at(59)).await.is_empty(), "not at once");
    assert_eq!(lease_all(&spool, at(60)).await.len(), 1);
}

#[tokio::test]
async fn whoever_waits_hears_of_what_is_due_earlier() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let mut context = Context::from_waker(Waker::noop());
    take(&spool, at(0), at(100), b"x").await.unwrap();
    spool.arrived().await;
    let leased = spool.lease(at(0), Ask::up_to(9)).await.unwrap();
    assert_eq!(leased.next_due, Some(at(100)));
    take(&spool, at(0), at(200), b"x").await.unwrap();
    assert_eq!(
        pin!(spool.arrived()).as_mut().poll(&mut context),
        Poll::Pending,
        "nothing earlier"
    );
    take(&spool, at(0), at(50), b"x").await.unwrap();
    spool.arrived().await;
    let lease = lease_all(&spool, at(60)).await.pop().unwrap();
    let settlement = deferred(&lease, at(70));
    spool.settle(lease, settlement).await.unwrap();
    spool.arrived().await;
    let lease = lease_all(&spool, at(70)).await.pop().unwrap();
    drop(lease);
    spool.arrived().await;
}

#[tokio::test]
async fn the_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        OfflineSpool::open(folder.path()).map(|_| ()),
        Err(OpenError::Missing)
    ));
    let spool = open(&folder);
    let id = take(&spool, at(0), at(0), b"x").await.unwrap();
    let listed = spool.list(None, 9).await.unwrap();
    assert!(matches!(
        LocalSpool::open(folder.path(), options()).map(|_| ()),
        Err(OpenError::InUse)
    ));
    assert!(matches!(
        OfflineSpool::open(folder.path()).map(|_| ()),
        Err(OpenError::InUse)
    ));
    drop(spool);
    let offline = OfflineSpool::open(folder.path()).unwrap();
    assert_eq!(offline.list(None, 9).unwrap(), listed);
    assert_eq!(offline.show(id).unwrap(), listed.first().cloned());
    let second = OfflineSpool::open(folder.path());
    assert!(second.is_ok(), "any number may look");
    assert!(matches!(
        LocalSpool::open(folder.path(), options()).map(|_| ()),
        Err(OpenError::InUse)
    ));
}

#[tokio::test]
async fn what_outlives_the_spool_does_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    take(&spool, at(0), at(0), b"x").await.unwrap();
    let lease = lease_all(&spool, at(0)).await.pop().unwrap();
    let mut draft = spool.begin(at(0)).await.unwrap();
    draft.append(Bytes::from_static(b"small")).await.unwrap();
    drop(spool);
    let again = open(&folder);
    assert!(matches!(
        draft.commit(envelope(&["ann@example.net"]), at(0)).await,
        Err(CommitError::Poisoned)
    ));
    drop(lease);
    assert_eq!(lease_all(&again, at(0)).await.len(), 1);
}

#[tokio::test]
async fn the_reserve_is_kept_free() {
    let folder = tempfile::tempdir().unwrap();
    let options = options().with_reserve(u64::MAX);
    let spool = LocalSpool::open(folder.path(), options).unwrap();
    assert!(matches!(
        spool.begin(at(0)).await.map(|_| ()),
        Err(BeginError::NoSpace)
    ));
}

#[tokio::test]
async fn nobody_else_can_read_the_mail() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let spool = LocalSpool::open(&folder, options()).unwrap();
    take(&spool, at(0), at(0), &content(1, 20_000))
        .await
        .unwrap();
    let mut left = vec![folder];
    while let Some(path) = left.pop() {
        let about = std::fs::metadata(&path).unwrap();
        assert_eq!(about.permissions().mode() & 0o077, 0, "{}", path.display());
        if about.is_dir() {
            let inside = std::fs::read_dir(&path).unwrap();
            left.extend(inside.map(|entry| entry.unwrap().path()));
        }
    }
}

#[tokio::test]
async fn the_trace_fields_come_first() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let long = "Received: from x\r\n".repeat(5_000);
    for (trace, size) in [("", 0), ("A: b\r\n", 0), ("A: b\r\n", 7), (&long, 40_000)] {
        let content = content(3, size);
        let mut draft = spool.begin(at(0)).await.unwrap();
        draft.append(content.clone().into()).await.unwrap();
        let envelope = Envelope {
            trace: trace.into(),
            ..envelope(&["ann@example.net"])
        };
        let id = draft.commit(envelope, at(0)).await.unwrap().queue_id();
        let whole = [trace.as_bytes(), &content].concat();
        assert!(read(&spool, id).await.unwrap() == whole, "{size}");
        let entry = spool.show(id).await.unwrap().unwrap();
        assert_eq!(entry.size, whole.len() as u64);
    }
}

#[tokio::test]
async fn a_draft_gives_back_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let whole = content(4, 100_000);
    let mut draft = spool.begin(at(0)).await.unwrap();
    let mut appended = 0;
    for piece in whole.chunks(7_001) {
        let so_far = draft.read_back(appended).await.unwrap();
        assert!(so_far.unwrap() == whole[..appended], "{appended}");
        draft.append(piece.to_vec().into()).await.unwrap();
        assert!(draft.read_back(appended).await.unwrap().is_none());
        appended += piece.len();
    }
    assert!(draft.read_back(usize::MAX).await.unwrap().unwrap() == whole);
    let mut pieces = Vec::new();
    for number in 0.. {
        let Some(piece) = draft.piece(number).await.unwrap() else {
            assert!(number > 2, "in pieces");
            break;
        };
        assert!((1..=64 * 1024).contains(&piece.len()));
        pieces.extend_from_slice(&piece);
    }
    assert!(pieces == whole);
    let custody = draft.commit(envelope(&["ann@example.net"]), at(0)).await;
    let id = custody.unwrap().queue_id();
    assert!(read(&spool, id).await.unwrap() == whole);
}

#[tokio::test]
async fn a_lane_is_listed_limited_and_left_by_what_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let mut ids = Vec::new();
    for to in [
        &["a@one.example"][..],
        &["b@two.example"],
        &["c@one.example", "d@two.example"],
    ] {
        let draft = spool
            .begin(at(ids.len().try_into().unwrap()))
            .await
            .unwrap();
        let custody = draft.commit(envelope(to), at(0)).await.unwrap();
        ids.push(custody.queue_id());
    }
    let lane = |name: &str| {
        let lanes = spool.lanes().into_iter();
        let found = lanes
            .map(|entry| entry.lane)
            .find(|lane| lane.as_str() == name);
        found.unwrap()
    };
    let (one, two) = (lane("one.example"), lane("two.example"));
    spool.limit(&two, Some(0));
    let mut leases = lease_all(&spool, at(9)).await;
    let found = leases.iter().map(|lease| lease.entry().id);
    assert!(found.eq([ids[0], ids[2]]));
    // The first half of the third is done; that is remembered while the lease goes on.
    let both = leases.pop().unwrap();
    let mut settlement = deferred(&both, at(9));
    settlement.progress[0] = delivered(&both).progress.remove(0);
    spool.record(&both, settlement).await.unwrap();
    let list = |lane: &Lane, after| {
        let listed = spool.list_lane(lane, after, 9);
        async {
            listed
                .await
                .unwrap()
                .into_iter()
                .map(|entry| (entry.id, entry.active))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(list(&one, None).await, [(ids[0], true), (ids[2], true)]);
    assert_eq!(list(&two, None).await, [(ids[1], false), (ids[2], true)]);
    assert_eq!(list(&two, Some(ids[1])).await, [(ids[2], true)]);
    drop((both, leases, spool));
    let spool = open(&folder);
    let shown = spool.show(ids[2]).await.unwrap().unwrap();
    let waiting: Vec<_> = shown.progress.iter().map(Progress::is_waiting).collect();
    assert_eq!((waiting, shown.attempts), (vec![false, true], 1));
    let listed = spool.list_lane(&one, None, 9).await.unwrap();
    assert_eq!(listed.len(), 1, "it waits for the other only");
}

/// Says one thing of a message.
async fn amend(spool: &LocalSpool, id: QueueId, amendment: Amendment) {
    let lease = spool.claim(id).await.unwrap();
    spool.amend(lease, amendment).await.unwrap();
}

/// What a message's operator has said, and when it is due.
async fn orders(spool: &LocalSpool, id: QueueId) -> (Orders, vouchsafe_proto::time::Wall) {
    let entry = spool.show(id).await.unwrap().unwrap();
    (entry.orders, entry.due)
}

#[tokio::test]
async fn what_an_operator_says_holds_over_settlements_and_restarts_until_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let id = take(&spool, at(0), at(1), b"one").await.unwrap();
    amend(&spool, id, Amendment::Hold).await;
    let other_way = |next_hop: Option<&str>| Amendment::Reroute {
        next_hop: next_hop.map(Into::into),
        due: at(7),
    };
    amend(&spool, id, other_way(Some("smtp://[::1]:2525"))).await;
    amend(&spool, id, Amendment::Retry(at(9))).await;
    let said = Orders {
        held: true,
        next_hop: Some("smtp://[::1]:2525".into()),
    };
    assert_eq!(orders(&spool, id).await, (said.clone(), at(9)));
    assert!(lease_all(&spool, at(99)).await.is_empty());
    drop(spool);

    let spool = open(&folder);
    assert_eq!(orders(&spool, id).await, (said.clone(), at(9)));
    assert!(lease_all(&spool, at(99)).await.is_empty());
    let lane = Lane::of_next_hop("smtp://[::1]:2525");
    let listed = spool.list_lane(&lane, None, 9).await.unwrap();
    assert_eq!((listed.len(), spool.lanes().len()), (1, 1));
    assert_eq!((spool.lanes()[0].held, spool.lanes()[0].waiting), (1, 0));
    // A settlement, as when its sender is told that it waits, changes nothing of it.
    let lease = spool.claim(id).await.unwrap();
    let told = deferred(&lease, at(20));
    spool.settle(lease, told).await.unwrap();
    assert_eq!(orders(&spool, id).await, (said, at(20)));
    assert!(lease_all(&spool, at(99)).await.is_empty());

    amend(&spool, id, other_way(None)).await;
    amend(&spool, id, Amendment::Release).await;
    assert_eq!(orders(&spool, id).await, (Orders::default(), at(7)));
    assert_eq!(spool.lanes()[0].lane.as_str(), "example.net");
    drop(spool);
    let spool = open(&folder);
    assert_eq!(lease_all(&spool, at(99)).await.len(), 1);
}

#[tokio::test]
async fn what_is_in_hand_cannot_be_claimed_and_what_is_removed_leaves_with_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder);
    let id = take(&spool, at(0), at(1), b"one").await.unwrap();
    let lease = lease_all(&spool, at(5)).await.pop().unwrap();
    let refused = spool.claim(id).await.unwrap_err();
    assert!(matches!(refused, ClaimError::InHand(which) if which == id));
    drop(lease);
    // A claim that says nothing changes nothing.
    drop(spool.claim(id).await.unwrap());
    assert_eq!(lease_all(&spool, at(5)).await.len(), 1);
    let removal = Amendment::Remove(vec![report(b"it was removed".to_vec())]);
    amend(&spool, id, removal).await;
    assert!(matches!(spool.claim(id).await, Err(ClaimError::Unknown(_))));
    drop(spool);
    let spool = open(&folder);
    let left = spool.list(None, 9).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(read(&spool, left[0].id).await.unwrap(), b"it was removed");
}
