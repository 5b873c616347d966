//! What keeps a segment, and what does not.

use super::*;

fn place(segment: u32, len: u32) -> Place {
    let offset = 12_288;
    Place {
        segment,
        offset,
        len,
    }
}

fn id(number: u128) -> QueueId {
    QueueId::from_u128(number).unwrap()
}

fn index(segments: u32) -> Index {
    let mut index = Index::default();
    for segment in 1..=segments {
        index.open(segment);
    }
    index
}

#[test]
fn what_says_that_a_message_left_outlives_what_says_that_it_came() {
    let id = id(1);
    let mut index = index(4);
    index.insert(id, Item::new(place(2, 100), 0, 0, &[(1, 50), (2, 7)]));
    assert!(!index.is_free(1) && !index.is_free(2) && index.is_free(3));
    index.settle(id, 7, place(3, 10));
    assert!(!index.is_free(3), "it counts");
    index.settle(id, 9, place(4, 20));
    index.settle(id, 8, place(4, 30));
    assert_eq!(index.get(id).unwrap().state, 9);
    assert!(index.is_free(3), "of no use while a later one counts");
    index.remove(id, 4);
    assert!(index.is_free(1), "content alone brings nothing back");
    assert!(index.is_free(2) && index.is_free(3) && !index.is_free(4));
    index.free(2);
    assert!(!index.is_free(4), "the first attempt is still there");
    index.free(3);
    assert!(index.is_free(4));
    assert_eq!(index.unsaid(), None);
}

#[test]
fn a_segment_that_was_used_again_is_not_the_one_that_was_meant() {
    let id = id(1);
    let mut index = index(3);
    index.insert(id, Item::new(place(1, 100), 0, 0, &[]));
    index.settle(id, 7, place(2, 10));
    index.settle(id, 8, place(3, 10));
    index.free(2);
    index.open(2);
    index.remove(id, 3);
    index.free(1);
    assert!(index.is_free(3), "it waits for no later use of 2");
}

#[test]
fn what_becomes_of_a_message_while_it_is_moved_counts() {
    let id = id(1);
    let mut index = index(4);
    index.insert(id, Item::new(place(1, 100), 0, 0, &[(1, 50)]));
    index.settle(id, 5, place(2, 10));
    // Nothing: all that is known of it is in the copy.
    assert!(index.begin_move(id));
    index.moved(id, 5, Item::new(place(3, 90), 5, 1, &[(3, 50)]));
    let item = index.get(id).unwrap();
    assert_eq!((item.state, item.progress, item.copy()), (5, None, 1));
    assert!(index.is_free(1) && index.is_free(2) && !index.is_free(3));
    // A settlement: it stays, wherever it was written.
    assert!(index.begin_move(id));
    index.settle(id, 6, place(3, 10));
    index.moved(id, 5, Item::new(place(4, 90), 5, 2, &[(4, 50)]));
    let item = index.get(id).unwrap();
    assert_eq!((item.state, item.progress), (6, Some(place(3, 10))));
    assert_eq!(item.body.segment, 4);
    index.remove(id, 4);
    assert!(!index.is_free(4), "four others have older frames");
    for segment in 1..=3 {
        assert!(index.is_free(segment));
        index.free(segment);
    }
    assert!(index.is_free(4));
}

#[test]
fn that_a_message_left_while_it_was_moved_is_said_once_more() {
    let id = id(1);
    let mut index = index(3);
    index.insert(id, Item::new(place(1, 100), 0, 0, &[]));
    assert!(index.begin_move(id));
    index.remove(id, 2);
    assert_eq!(index.unsaid(), None, "not while it is being moved");
    index.free(1);
    assert!(!index.is_free(2), "nothing else says that it left");
    index.moved(id, 0, Item::new(place(3, 100), 0, 1, &[]));
    assert!(index.get(id).is_none());
    assert_eq!(index.unsaid(), Some(id));
    assert!(!index.is_free(2));
    index.open(4);
    index.said(id, 4);
    assert_eq!(index.unsaid(), None);
    assert!(index.is_free(2) && index.is_free(3) && !index.is_free(4));
    index.free(3);
    assert!(index.is_free(4));
}

#[test]
fn that_a_message_left_is_said_once_more_if_its_copy_lies_behind() {
    let id = id(1);
    let mut index = index(3);
    index.insert(id, Item::new(place(1, 100), 0, 0, &[]));
    assert!(index.begin_move(id));
    index.moved(id, 0, Item::new(place(3, 100), 0, 1, &[]));
    // Its room was handed out before that of the copy.
    index.remove(id, 2);
    assert_eq!(index.unsaid(), Some(id));
    assert!(!index.is_free(2));
    index.said(id, 3);
    assert_eq!(index.unsaid(), None);
    assert!(!index.is_free(2), "the first frame is still there");
    index.free(1);
    assert!(index.is_free(2) && index.is_free(3));
}

#[test]
fn the_emptiest_go_first_and_only_where_much_is_dead() {
    let mut index = index(6);
    for (segment, len) in [(1, 900), (2, 100), (3, 50), (4, 200), (5, 10)] {
        let item = Item::new(place(segment, len), 0, 0, &[]);
        index.insert(id(u128::from(segment)), item);
        index.close(segment);
    }
    let sizes: Vec<_> = (1..=5).map(|segment| (segment, 1000)).collect();
    assert_eq!(
        index.victims(&sizes, Some(3_000)),
        [] as [u32; 0],
        "5,000 of 5,520"
    );
    assert_eq!(index.victims(&sizes, Some(2_000)), [5], "4,520 wanted");
    assert_eq!(index.victims(&sizes, Some(1_000)), [5, 3]);
    assert_eq!(index.victims(&sizes, Some(0)), [5, 3, 2]);
    // What is empty needs no help, unless it waits for one that is not.
    index.remove(id(5), 6);
    assert_eq!(index.victims(&sizes, Some(0)), [3, 2]);
    let dead: Vec<_> = sizes.iter().copied().chain([(6, 9_000)]).collect();
    index.close(6);
    assert_eq!(index.victims(&dead, Some(0)), [3, 2], "6 waits for 5 only");
    index.outlives(6, 1);
    assert_eq!(
        index.victims(&dead, Some(0)),
        [3, 1],
        "without 1, 6 stays for good"
    );
    assert_eq!(index.victims(&sizes, None), [3, 2], "no room to waste");
}
