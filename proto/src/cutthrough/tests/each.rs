//! Paths whose client hears the end of each recipient (PRDR).

use super::*;

fn each(from: Sender) -> Play {
    Play {
        path: Path::new(from, id()).for_each_recipient(),
        actions: Vec::new(),
    }
}

/// The replies, or what is to be stored before them.
fn answers(actions: &[Action]) -> Vec<alloc::string::String> {
    let end = actions.iter().find_map(|action| match action {
        Action::EndForEach(ends) => Some(ends),
        _ => None,
    });
    let show = |end: &Result<Custody, Reply>| match end {
        Ok(custody) if custody.is_onward() => "onward".to_string(),
        Ok(_) => "stored".to_string(),
        Err(reply) => alloc::format!("{} {}", reply.code(), reply.enhanced().unwrap()),
    };
    match (end, actions.last()) {
        (Some(ends), _) => ends.iter().map(show).collect(),
        (None, Some(Action::Store(places))) => vec![alloc::format!("store {places:?}")],
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_hears_each_end_may_have_any_number_of_branches() {
    for from in [sender(UNKNOWN), sender(AUTHORISED)] {
        for null in [false, true] {
            let mut play = each(Sender {
                is_null: null,
                ..from
            });
            for number in [1, 2, 1, 3] {
                let way = held(number, WhenUnproven::Defer);
                assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
            }
            assert_eq!(play.rcpt(Way::Stored, Said::Accepted), Ok(()));
        }
    }
}

#[test]
fn what_is_refused_is_told_and_neither_stored_nor_reported() {
    for verdict in [UNKNOWN, AUTHORISED] {
        let mut play = each(sender(verdict));
        for number in [1, 2, 3] {
            let way = held(number, WhenUnproven::Defer);
            assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
        }
        let (yes, never, later) = ([reply(250)], [reply(554)], [reply(452)]);
        let actions = play.finish(&[&yes, &never, &later]);
        // 554 is nothing that RCPT is told.
        assert_eq!(answers(&actions), ["onward", "550 5.0.0", "452 4.0.0"]);
    }
}

#[test]
fn a_next_hop_that_answers_each_is_passed_on_for_each() {
    let mut play = each(sender(UNKNOWN));
    for _ in 0..2 {
        let way = held(1, WhenUnproven::Defer);
        assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
    }
    let actions = play.finish(&[&[reply(550), reply(250)]]);
    assert_eq!(answers(&actions), ["550 5.0.0", "onward"]);
}

#[test]
fn one_refusal_of_all_keeps_the_code_that_only_the_end_of_a_message_can_have() {
    for recipients in [1, 2] {
        let mut play = each(sender(UNKNOWN));
        for _ in 0..recipients {
            let way = held(1, WhenUnproven::Defer);
            assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
        }
        let words = vec![reply(554); recipients];
        let said = "554 5.0.0 message refused by the host that takes it on";
        assert_eq!(answer(&play.finish(&[&words])), said);
    }
}

#[test]
fn silence_is_ruled_on_for_each_recipient() {
    // The queue's own, one whose next hop is stored for, and one whose is not.
    let mut play = each(sender(UNKNOWN));
    let ways = [
        (Way::Stored, true),
        (held(1, WhenUnproven::Store), true),
        (held(2, WhenUnproven::Defer), true),
        (held(3, WhenUnproven::Defer), true),
    ];
    for (way, _) in ways {
        assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
    }
    let actions = play.finish(&[&[silence()], &[silence()], &[reply(250)]]);
    assert_eq!(answers(&actions), ["store [0, 1]"]);
    #[expect(clippy::disallowed_methods, reason = "the spool of this test")]
    let stored = Custody::of_durable_message(id());
    let actions = play.step(Input::Stored(Ok(stored)));
    assert_eq!(
        answers(&actions),
        ["stored", "stored", "451 4.4.1", "onward"]
    );
}

#[test]
fn a_spool_in_trouble_keeps_nobody_else_from_his_end() {
    let full = || Reply::new(452, (4, 3, 1), "no room");
    for lost_before in [false, true] {
        let mut play = each(sender(AUTHORISED));
        for number in [1, 2] {
            let way = held(number, WhenUnproven::Defer);
            assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
        }
        play.step(Input::Begin(id()));
        if lost_before {
            play.step(Input::DraftLost(full()));
        }
        play.step(Input::Broke(BranchId(0), vec![(0, silence())]));
        play.step(Input::End);
        let actions = play.step(Input::Prepared(BranchId(1)));
        assert_eq!(actions, [Action::Complete(BranchId(1))]);
        let mut actions = play.step(Input::Completed(BranchId(1), vec![(0, reply(250))]));
        if !lost_before {
            assert_eq!(answers(&actions), ["store [0]"]);
            actions = play.step(Input::Stored(Err(full())));
        }
        assert_eq!(answers(&actions), ["452 4.3.1", "onward"]);
    }
}

#[test]
fn content_comes_while_there_is_a_way_for_anybody() {
    for others in [false, true] {
        let mut play = each(sender(UNKNOWN));
        let way = |number| held(number, WhenUnproven::Defer);
        assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
        if others {
            assert_eq!(play.rcpt(way(2), Said::Accepted), Ok(()));
        }
        play.step(Input::Broke(BranchId(0), vec![(0, silence())]));
        let begun = play.step(Input::Begin(id()));
        if !others {
            assert_eq!(answer(&begun), NO_ANSWER);
            continue;
        }
        assert_eq!(begun.last(), Some(&Action::Begin(Ok(false))));
        play.step(Input::End);
        play.step(Input::Prepared(BranchId(1)));
        let actions = play.step(Input::Completed(BranchId(1), vec![(0, reply(250))]));
        assert_eq!(answers(&actions), ["451 4.4.1", "onward"]);
    }
}

#[test]
fn several_may_wait_for_one_verdict() {
    let way = |number| Way::Held {
        next_hop: hop(number),
        answers_each: false,
        when_unproven: WhenUnproven::Defer,
        remembered: None,
        opens: Opens::AfterVerdict,
    };
    let mut play = each(sender(VerdictResult::Repudiated));
    for number in [1, 1, 2] {
        assert_eq!(play.rcpt(way(number), Said::Accepted), Ok(()));
    }
    play.step(Input::Begin(id()));
    play.step(Input::Judged(sender(UNKNOWN)));
    assert!(play.path.wants_each());
    play.step(Input::End);
    let said = [
        Said::Accepted,
        Said::Refused(reply(550)),
        Said::Lost(silence()),
    ];
    let mut actions = Vec::new();
    for (branch, said) in [0, 0, 1].into_iter().zip(said) {
        actions = play.step(Input::Said(BranchId(branch), said));
    }
    assert_eq!(actions, [Action::Proceed(BranchId(0)), Action::Replay]);
    play.step(Input::Replayed);
    play.step(Input::Prepared(BranchId(0)));
    let actions = play.step(Input::Completed(BranchId(0), vec![(0, reply(250))]));
    assert_eq!(answers(&actions), ["onward", "550 5.0.0", "451 4.4.1"]);
    assert!(actions.contains(&Action::DropDraft));
}

#[test]
fn next_hops_are_asked_for_each_where_somebody_hears_it() {
    let wants = |from: Sender| Path::new(from, id()).wants_each();
    let null = Sender {
        is_null: true,
        ..sender(AUTHORISED)
    };
    assert!(wants(sender(AUTHORISED)));
    assert!(!wants(sender(UNKNOWN)) && !wants(null));
    assert!(each(null).path.wants_each() && each(sender(UNKNOWN)).path.wants_each());
}
