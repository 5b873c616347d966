//! Copies that come again (XTID): whoever has had one gets it no second time, and hears what was said the first.

use super::*;
use crate::custody::Whither;

/// What is remembered of an earlier copy.
fn earlier(number: u64) -> Earlier {
    Earlier {
        queue_id: QueueId::new(Wall::from_secs(0), number),
        whither: Whither::Onward,
    }
}

fn opened(number: u16, opens: Opens) -> Way {
    Way::Held {
        next_hop: hop(number),
        answers_each: false,
        when_unproven: WhenUnproven::Defer,
        remembered: None,
        opens,
    }
}

pub(super) fn now(number: u16) -> Way {
    opened(number, Opens::Now)
}

fn late(number: u16) -> Way {
    opened(number, Opens::UnlessRepeated)
}

pub(super) fn of(from: VerdictResult, for_each: bool) -> Play {
    let mut play = Play::of(from);
    if for_each {
        play.path = Path::new(sender(from), id()).for_each_recipient();
    }
    play
}

/// Up to the content, with what every recipient is accepted by.
fn begun(from: VerdictResult, for_each: bool, ways: impl IntoIterator<Item = Way>) -> Play {
    let mut play = of(from, for_each);
    for way in ways {
        assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
    }
    let begun = play.step(Input::Begin(id()));
    assert!(matches!(begun.last(), Some(Action::Begin(Ok(_)))));
    play
}

pub(super) fn repeated(places: &[usize]) -> Input {
    let each = places.iter().map(|place| (*place, earlier(1)));
    Input::Repeated(each.collect())
}

/// What is said in the end, whole.
fn said(actions: Vec<Action>) -> Vec<alloc::string::String> {
    let ends = actions.into_iter().find_map(|action| match action {
        Action::End(end) => Some(vec![end]),
        Action::EndForEach(ends) => Some(ends),
        _ => None,
    });
    let ends = ends.expect("an answer").into_iter();
    ends.map(|end| end.map_or_else(|reply| reply, Custody::spend).to_string())
        .collect()
}

const BEFORE: &str = "250 2.0.0 delivered onward as 00000000000000000001";
const THIS: &str = "250 2.0.0 delivered onward as 00000000000000000007";

#[expect(clippy::disallowed_methods, reason = "the spool of this test")]
pub(super) fn in_the_spool() -> Input {
    Input::Stored(Ok(Custody::of_durable_message(id())))
}

#[test]
fn a_copy_that_all_have_had_goes_nowhere_and_hears_what_was_said_before() {
    let abandoned = |count| {
        let each = (0..count).map(|id| Action::Abandon(BranchId(id)));
        each.collect::<Vec<_>>()
    };
    for (ways, for_each, branches) in [
        (vec![now(1)], false, 1),
        (vec![late(1)], false, 0),
        (vec![Way::Stored], false, 0),
        (vec![now(1), now(1)], false, 1),
        (vec![now(1), now(2)], false, 2),
        (vec![late(1), late(1)], false, 0),
        (vec![late(1), late(2), Way::Stored], false, 0),
        (vec![now(1), now(1), now(2)], true, 2),
        (vec![now(1), now(2), Way::Stored], true, 2),
    ] {
        let places: Vec<_> = (0..ways.len()).collect();
        let mut play = begun(AUTHORISED, for_each, ways);
        let actions = play.step(repeated(&places));
        assert_eq!(actions, abandoned(branches), "{places:?}");
        let actions = play.step(Input::End);
        assert!(actions.contains(&Action::DropDraft));
        assert_eq!(actions.len(), 2, "{actions:?}");
        let answers = if for_each { places.len() } else { 1 };
        assert_eq!(said(actions), vec![BEFORE; answers]);
        assert_eq!(play.path.delivered().count(), 0);
    }
}

#[test]
fn who_is_not_proven_hears_the_same_and_nothing_was_ever_written() {
    let mut play = begun(UNKNOWN, false, [now(1), now(1)]);
    let given_up = play.step(repeated(&[0, 1]));
    assert_eq!(given_up, [Action::Abandon(BranchId(0))]);
    let actions = play.step(Input::End);
    assert!(matches!(actions[..], [Action::End(Ok(_))]), "{actions:?}");
    assert_eq!(said(actions), [BEFORE]);
}

#[test]
fn a_repetition_says_for_each_where_it_went_and_for_all_what_the_first_was_told() {
    let queued = Earlier {
        whither: Whither::Storage,
        ..earlier(2)
    };
    for for_each in [false, true] {
        let mut play = begun(AUTHORISED, for_each, [now(1), Way::Stored]);
        play.step(Input::Repeated(vec![(0, earlier(1)), (1, queued)]));
        let answers = said(play.step(Input::End));
        let both = [BEFORE, "250 2.0.0 queued as 00000000000000000002"];
        assert_eq!(answers, both[..if for_each { 2 } else { 1 }]);
    }
}

#[test]
fn the_custody_of_a_repetition_is_none_of_this_message() {
    let mut play = begun(UNKNOWN, false, [late(1)]);
    play.step(repeated(&[0]));
    let mut actions = play.step(Input::End);
    let Some(Action::End(Ok(custody))) = actions.pop() else {
        panic!("{actions:?}");
    };
    assert!(custody.is_repetition() && custody.is_onward());
    assert_eq!(custody.queue_id(), earlier(1).queue_id);
}

#[test]
fn others_beside_who_has_had_it_go_on_as_ever() {
    for for_each in [false, true] {
        for (word, answer, each) in [
            (reply(250), "custody", THIS),
            (
                reply(550),
                "store [1]",
                "550 5.0.0 recipient refused by the host that takes its mail on",
            ),
            (silence(), "store [1]", "store [1]"),
        ] {
            let mut play = begun(AUTHORISED, for_each, [now(1), now(2)]);
            let given_up = play.step(repeated(&[0]));
            assert_eq!(given_up, [Action::Abandon(BranchId(0))]);
            assert_eq!(play.step(Input::End), [Action::Prepare(BranchId(1))]);
            let complete = play.step(Input::Prepared(BranchId(1)));
            assert_eq!(complete, [Action::Complete(BranchId(1))]);
            let mut actions = play.step(Input::Completed(BranchId(1), vec![(0, word)]));
            let taken = answer == "custody";
            assert_eq!(play.path.delivered().count(), usize::from(taken));
            let wanted = if for_each { each } else { answer };
            if wanted == "store [1]" {
                assert_eq!(actions, [Action::Store(vec![1])]);
                actions = play.step(in_the_spool());
            }
            let queued = "250 2.0.0 queued as 00000000000000000007";
            let last = match wanted {
                "custody" => THIS,
                "store [1]" => queued,
                said => said,
            };
            let answers = said(actions);
            if for_each {
                assert_eq!(answers, [BEFORE, last]);
            } else {
                assert_eq!(answers, [last]);
            }
        }
    }
}

#[test]
fn who_is_lost_or_stored_beside_who_has_had_it_is_stored_alone() {
    for for_each in [false, true] {
        // One that goes through the queue, and one whose next hop dies in the content.
        let mut play = begun(AUTHORISED, for_each, [now(1), Way::Stored, now(2)]);
        play.step(Input::Broke(BranchId(1), vec![(0, silence())]));
        play.step(repeated(&[0]));
        assert_eq!(play.step(Input::End), [Action::Store(vec![1, 2])]);
        let answers = said(play.step(in_the_spool()));
        let queued = "250 2.0.0 queued as 00000000000000000007";
        let each = [BEFORE, queued, queued];
        assert_eq!(answers, each[if for_each { 0..3 } else { 1..2 }]);
    }
}

#[test]
fn a_spool_in_trouble_is_told_of_to_those_who_need_it() {
    let full = || Reply::new(452, (4, 3, 1), "no room");
    for for_each in [false, true] {
        let mut play = begun(AUTHORISED, for_each, [now(1), Way::Stored]);
        play.step(repeated(&[0]));
        assert_eq!(play.step(Input::End), [Action::Store(vec![1])]);
        let answers = said(play.step(Input::Stored(Err(full()))));
        let each = [BEFORE, "452 4.3.1 no room"];
        assert_eq!(answers, each[usize::from(!for_each)..]);
    }
}

#[test]
fn who_was_lost_before_and_has_had_it_is_stored_no_second_time() {
    for for_each in [false, true] {
        // Its next hop is down, or dies in the content.
        for dies in [false, true] {
            let mut play = of(AUTHORISED, for_each);
            let said_first = if dies {
                Said::Accepted
            } else {
                Said::Lost(silence())
            };
            assert_eq!(play.rcpt(now(1), said_first), Ok(()));
            play.step(Input::Begin(id()));
            if dies {
                play.step(Input::Broke(BranchId(0), vec![(0, silence())]));
            }
            assert_eq!(play.step(repeated(&[0])), []);
            assert_eq!(said(play.step(Input::End)), [BEFORE]);
        }
    }
}

/// The branch would bring it to both, so it brings it to none.
#[test]
fn a_branch_with_one_who_has_had_it_and_one_who_has_not_completes_for_nobody() {
    for (from, for_each) in [(UNKNOWN, false), (AUTHORISED, false), (UNKNOWN, true)] {
        for place in [0, 1] {
            let mut play = begun(from, for_each, [now(1), now(1)]);
            let mut actions = play.step(repeated(&[place]));
            assert_eq!(actions.remove(0), Action::Abandon(BranchId(0)));
            assert_eq!(actions.pop().is_some(), from == AUTHORISED, "the draft");
            assert_eq!(play.step(Input::Prepared(BranchId(0))), []);
            assert_eq!(said(play.step(Input::End)), [NO_ANSWER]);
        }
    }
    // Nor does any other.
    let mut play = begun(AUTHORISED, false, [now(1), now(1), now(2), Way::Stored]);
    let actions = play.step(repeated(&[1]));
    let given_up = [0, 1].map(|branch| Action::Abandon(BranchId(branch)));
    assert_eq!(actions[..2], given_up);
    assert_eq!(actions[2..], [Action::DropDraft]);
    assert_eq!(said(play.step(Input::End)), [NO_ANSWER]);
    assert_eq!(play.path.delivered().count(), 0);
}

#[test]
fn a_path_that_waited_goes_on_from_the_draft_where_the_content_is_another() {
    for (said_late, word, answer) in [
        (Said::Accepted, Some(reply(250)), THIS),
        (
            Said::Accepted,
            Some(reply(452)),
            "452 4.0.0 message not taken now by the host that takes it on",
        ),
        (
            Said::Refused(reply(550)),
            None,
            "550 5.0.0 message refused by the host that takes it on",
        ),
        (Said::Lost(silence()), None, NO_ANSWER),
    ] {
        let mut play = begun(UNKNOWN, false, [late(1)]);
        let opened = play.step(Input::End);
        assert_eq!(opened, [Action::Open(BranchId(0), hop(1), 0)]);
        let mut actions = play.step(Input::Said(BranchId(0), said_late));
        if let Some(word) = word {
            assert_eq!(actions, [Action::Proceed(BranchId(0)), Action::Replay]);
            assert_eq!(play.step(Input::Replayed), [Action::Prepare(BranchId(0))]);
            play.step(Input::Prepared(BranchId(0)));
            actions = play.step(Input::Completed(BranchId(0), vec![(0, word)]));
        }
        assert!(actions.contains(&Action::DropDraft), "{actions:?}");
        assert_eq!(said(actions), [answer]);
    }
}

#[test]
fn of_those_who_waited_only_the_others_are_asked_for() {
    for for_each in [false, true] {
        let mut play = begun(AUTHORISED, for_each, [late(1), late(1), late(2)]);
        assert_eq!(play.step(repeated(&[0, 2])), []);
        let opened = play.step(Input::End);
        assert_eq!(opened, [Action::Open(BranchId(0), hop(1), 1)]);
        let actions = play.step(Input::Said(BranchId(0), Said::Accepted));
        assert_eq!(actions, [Action::Proceed(BranchId(0)), Action::Replay]);
        play.step(Input::Replayed);
        play.step(Input::Prepared(BranchId(0)));
        let actions = play.step(Input::Completed(BranchId(0), vec![(0, reply(250))]));
        assert!(play.path.delivered().eq([1]));
        let each = [BEFORE, THIS, BEFORE];
        assert_eq!(said(actions), each[if for_each { 0..3 } else { 1..2 }]);
    }
}

#[test]
fn a_draft_that_is_lost_matters_only_to_who_has_not_had_it() {
    let full = || Reply::new(452, (4, 3, 1), "no room");
    let lost = |ways: &[Way], places: &[usize]| {
        let mut play = begun(AUTHORISED, false, ways.iter().cloned());
        play.step(Input::DraftLost(full()));
        play.step(repeated(places));
        (play.step(Input::End), play)
    };
    // All have had it.
    for way in [now(1), late(1), Way::Stored] {
        let (actions, _) = lost(&[way], &[0]);
        assert_eq!(said(actions), [BEFORE]);
    }
    // One that waited and has not cannot go on, and one that goes through the queue neither.
    for way in [late(2), Way::Stored] {
        let (actions, _) = lost(&[late(1), way], &[0]);
        assert_eq!(said(actions), ["452 4.3.1 no room"]);
    }
    // One that had it as it came needs none.
    let (actions, mut play) = lost(&[now(1), now(2)], &[0]);
    assert_eq!(actions, [Action::Prepare(BranchId(1))]);
    play.step(Input::Prepared(BranchId(1)));
    let actions = play.step(Input::Completed(BranchId(1), vec![(0, reply(250))]));
    assert_eq!(said(actions), [THIS]);
}

#[test]
fn what_comes_when_it_is_of_no_use_changes_nothing() {
    // Before the content, behind its end, or for places that there are not.
    let mut play = of(UNKNOWN, false);
    play.rcpt(now(1), Said::Accepted).unwrap();
    assert_eq!(play.step(repeated(&[0])), []);
    play.step(Input::Begin(id()));
    assert_eq!(play.step(repeated(&[1, 7])), []);
    assert_eq!(play.step(Input::End), [Action::Prepare(BranchId(0))]);
    assert_eq!(play.step(repeated(&[0])), []);
    play.step(Input::Prepared(BranchId(0)));
    assert_eq!(play.step(repeated(&[0])), []);
    let actions = play.step(Input::Completed(BranchId(0), vec![(0, reply(250))]));
    assert_eq!(said(actions), [THIS]);
    assert!(play.path.delivered().eq([0]));
}

/// Where nobody hears of ends that differ, who may have had it shares a transaction only with others who may, behind any
/// next hop: most likely they all have.
#[test]
fn those_who_may_have_had_it_come_in_one_transaction() {
    for (from, for_each) in [(UNKNOWN, false), (UNKNOWN, true), (AUTHORISED, false)] {
        let mut play = of(from, for_each);
        for way in [late(1), late(1), late(2)] {
            assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
        }
        let stored = play.rcpt(Way::Stored, Said::Accepted);
        assert_eq!(stored.is_ok(), for_each || from == AUTHORISED);
        let actions = play.step(Input::Begin(id()));
        assert_eq!(actions, [Action::Begin(Ok(true))]);
        let all: Vec<_> = (0..play.path.accepted()).collect();
        assert_eq!(play.step(repeated(&all)), []);
        let actions = play.step(Input::End);
        assert_eq!(said(actions)[0], BEFORE);
    }
}

/// What gets the content as it comes would get it again out of the draft; and who is asked for over an open branch has
/// nothing to wait for.
#[test]
fn all_paths_of_a_transaction_open_at_one_time() {
    let elsewhere = Err(replies::separate_transaction());
    for (from, for_each) in [(AUTHORISED, false), (UNKNOWN, true)] {
        for number in [1, 2] {
            for (first, second) in [(now(1), late(number)), (late(1), now(number))] {
                let mut play = of(from, for_each);
                assert_eq!(play.rcpt(first.clone(), Said::Accepted), Ok(()));
                let answered = play.step(Input::Recipient(second));
                assert_eq!(answered, [Action::Recipient(elsewhere.clone())]);
                // Others of the same kind may come, and what goes through the queue.
                assert_eq!(play.rcpt(first, Said::Accepted), Ok(()));
                assert_eq!(play.rcpt(Way::Stored, Said::Accepted), Ok(()));
            }
        }
    }
    // Where no reply is to be had nothing is open.
    let mut play = of(AUTHORISED, false);
    assert_eq!(play.rcpt(now(1), Said::Lost(silence())), Ok(()));
    assert_eq!(play.rcpt(late(2), Said::Accepted), Ok(()));
}

/// It was in hand when RCPT came; its next hop may have known it, or not.
#[test]
fn who_has_had_it_hears_so_whatever_the_next_hop_has_said_in_its_midst() {
    for word in [reply(552), reply(452), silence()] {
        let mut play = begun(UNKNOWN, false, [now(1)]);
        play.step(Input::Broke(BranchId(0), vec![(0, word)]));
        assert_eq!(play.step(repeated(&[0])), []);
        assert_eq!(said(play.step(Input::End)), [BEFORE]);
    }
}
