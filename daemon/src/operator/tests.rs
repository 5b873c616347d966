//! A million messages of one domain are not read to list some.

use bytes::Bytes;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{LocalSpool, Options};

use super::*;

/// A queue with messages to these domains, one each.
async fn hand(folder: &Path, domains: &[&str]) -> Hand {
    let spool = LocalSpool::open(folder, Options::default().with_reserve(0)).unwrap();
    let now = crate::clock::now().wall;
    for domain in domains {
        let mut draft = spool.begin(now).await.unwrap();
        draft.append(Bytes::from_static(b"a: b\r\n")).await.unwrap();
        let envelope = Envelope::plain(
            ReversePath::parse_inside("a@net.example").unwrap(),
            VerdictResult::Unknown,
            Origin::Ourselves,
            [ForwardPath::parse_inside(&format!("b@{domain}")).unwrap()],
        );
        drop(draft.commit(envelope, now).await.unwrap());
    }
    Hand::new(Arc::new(spool), Desk::empty(), folder)
}

/// What is listed, and whether there is more.
async fn listed(hand: &Hand, filter: &Filter, limit: usize) -> (usize, bool) {
    let (told, mut answers) = mpsc::channel(100);
    let more = list(hand, filter, Some(limit), &told)
        .await
        .unwrap()
        .unwrap();
    drop(told);
    let mut count = 0;
    while answers.recv().await.is_some() {
        count += 1;
    }
    (count, more)
}

#[tokio::test]
async fn a_domain_is_listed_up_to_the_limit_and_wherever_its_messages_stand() {
    let folder = tempfile::tempdir().unwrap();
    let hand = hand(
        folder.path(),
        &["one.example", "two.example", "one.example"],
    )
    .await;
    let filter = Filter {
        domain: Some(String::from("one.example")),
        ..Filter::default()
    };
    assert_eq!(listed(&hand, &filter, 9).await, (2, false));
    assert_eq!(listed(&hand, &filter, 2).await, (2, false));
    assert_eq!(listed(&hand, &filter, 1).await, (1, true));
    let first = hand.spool.list(None, 1).await.unwrap().remove(0);
    let lease = hand.spool.claim(first.id).await.unwrap();
    let reroute = vouchsafe_spool::Amendment::Reroute {
        next_hop: Some("smtp://other.example:25".into()),
        due: first.due,
    };
    hand.spool.amend(lease, reroute).await.unwrap();
    assert_eq!(listed(&hand, &filter, 9).await, (2, false));
    let nonsense = Filter {
        domain: Some(String::from("a b")),
        ..Filter::default()
    };
    assert!(nonsense.mistake().is_some());
}

#[tokio::test]
async fn what_is_counted_at_rest_is_what_a_service_counts() {
    let folder = tempfile::tempdir().unwrap();
    let hand = hand(
        folder.path(),
        &["one.example", "two.example", "one.example"],
    )
    .await;
    let (told, mut answers) = mpsc::channel(100);
    top(&hand, (9, 9), &told).await.unwrap().unwrap();
    drop(told);
    let mut live = Vec::new();
    while let Some(reply) = answers.recv().await {
        live.push(reply);
    }
    let mut count = Count::default();
    let now = crate::clock::now().wall;
    for entry in hand.spool.list(None, 9).await.unwrap() {
        count.add(&entry, now);
    }
    let counted = |replies: &[Reply]| -> Vec<(String, usize)> {
        let rows = replies.iter().filter_map(|reply| match reply {
            Reply::Lane(row) => Some((row.lane.clone(), row.messages)),
            Reply::Reason(row) => Some((row.reason.clone(), row.messages)),
            _ => None,
        });
        rows.collect()
    };
    let wanted = [("one.example", 2), ("two.example", 1), ("not tried yet", 3)];
    assert_eq!(
        counted(&live),
        wanted.map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(counted(&count.rows(9, false)), counted(&live));
}
