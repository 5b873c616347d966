//! What a transaction comes to, by what its next hops say: each case as a short play, and a world of
//! chance in which no promise may break.

mod anything;
mod each;
mod repeated;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::outcome::{OutcomeClass, Remote};
use crate::reply::{EnhancedStatus, Reply};
use crate::time::Wall;
use crate::verify::VerdictResult;

fn id() -> QueueId {
    QueueId::new(Wall::from_secs(0), 7)
}

fn hop(number: u16) -> NextHop {
    NextHop::Smtp {
        host: crate::route::Host::Address("192.0.2.1".parse().unwrap()),
        port: number,
    }
}

fn held(number: u16, when_unproven: WhenUnproven) -> Way {
    Way::Held {
        next_hop: hop(number),
        answers_each: false,
        when_unproven,
        remembered: None,
        opens: Opens::Now,
    }
}

fn sender(verdict: VerdictResult) -> Sender {
    Sender {
        verdict,
        is_null: false,
        was_queued: false,
    }
}

const AUTHORISED: VerdictResult = VerdictResult::Authorised;
const UNKNOWN: VerdictResult = VerdictResult::Unknown;

/// What the next hop says.
fn reply(code: u16) -> Outcome {
    let remote = Remote {
        name: "inner.example".into(),
        address: None,
    };
    let reply = Reply::received(code, None, vec!["by inner.example".into()]);
    Outcome::from_reply(&reply, Some(remote))
}

/// That it says nothing.
fn silence() -> Outcome {
    Outcome::local((4, 4, 2), None, "the connection was lost")
}

/// A transaction, step by step.
struct Play {
    path: Path,
    actions: Vec<Action>,
}

impl Play {
    fn of(verdict: VerdictResult) -> Self {
        Self {
            path: Path::new(sender(verdict), id()),
            actions: Vec::new(),
        }
    }

    /// One input, and what follows from it.
    fn step(&mut self, input: Input) -> Vec<Action> {
        self.path.step(input, &mut self.actions);
        core::mem::take(&mut self.actions)
    }

    /// RCPT, and what its branch says; the reply.
    fn rcpt(&mut self, way: Way, said: Said) -> Result<(), Reply> {
        let mut actions = self.step(Input::Recipient(way));
        if let Some(Action::Open(branch, ..) | Action::Ask(branch, _)) = actions.first() {
            let branch = *branch;
            actions = self.step(Input::Said(branch, said));
        }
        match actions.pop() {
            Some(Action::Recipient(answer)) if actions.is_empty() => answer,
            other => panic!("{other:?} after {actions:?}"),
        }
    }

    /// DATA to the end of the content; what follows.
    fn content(&mut self) -> Vec<Action> {
        self.step(Input::Begin(id()));
        self.step(Input::End)
    }

    /// Every branch prepares and completes with these last words, in the order of the branches.
    fn finish(&mut self, words: &[&[Outcome]]) -> Vec<Action> {
        let mut actions = self.content();
        for branch in 0..words.len() {
            assert!(!actions.contains(&Action::Complete(BranchId(0))));
            actions = self.step(Input::Prepared(BranchId(branch)));
        }
        for (branch, words) in words.iter().enumerate() {
            assert!(branch > 0 || actions.contains(&Action::Complete(BranchId(branch))));
            let ends = words.iter().cloned().enumerate().collect();
            actions = self.step(Input::Completed(BranchId(branch), ends));
        }
        actions
    }
}

/// The reply of the last action.
fn answer(actions: &[Action]) -> alloc::string::String {
    match actions.last() {
        Some(Action::End(Ok(_))) => "custody".to_string(),
        Some(Action::End(Err(reply)) | Action::Begin(Err(reply))) => reply.to_string(),
        Some(Action::Store(places)) => alloc::format!("store {places:?}"),
        other => panic!("{other:?}"),
    }
}

const NO_ANSWER: &str = "451 4.4.1 no answer from the host ahead, try again later";

#[test]
fn the_last_word_of_the_next_hop_is_ours() {
    for (word, said) in [
        (reply(250), "custody"),
        (
            reply(452),
            "452 4.0.0 message not taken now by the host that takes it on",
        ),
        (
            reply(554),
            "554 5.0.0 message refused by the host that takes it on",
        ),
    ] {
        for verdict in [AUTHORISED, UNKNOWN] {
            let mut play = Play::of(verdict);
            let way = held(1, WhenUnproven::Defer);
            assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
            assert_eq!(answer(&play.finish(&[core::slice::from_ref(&word)])), said);
        }
    }
}

#[test]
fn a_refused_recipient_is_refused_with_its_code_and_no_word_of_the_host() {
    let mut play = Play::of(UNKNOWN);
    let way = || held(1, WhenUnproven::Defer);
    let refused = play.rcpt(way(), Said::Refused(reply(553))).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "553 5.0.0 recipient refused by the host that takes its mail on"
    );
    let later = play.rcpt(way(), Said::Refused(reply(450))).unwrap_err();
    assert_eq!(later.code(), 450);
    // The branch is still good for another, which is its third.
    assert_eq!(play.rcpt(way(), Said::Accepted), Ok(()));
    play.content();
    play.step(Input::Prepared(BranchId(0)));
    let end = play.step(Input::Completed(BranchId(0), vec![(2, reply(250))]));
    assert_eq!(answer(&end), "custody");
}

#[test]
fn what_the_next_hop_cannot_take_is_refused_for_good() {
    let cannot = Outcome::local((5, 3, 4), None, "too large");
    let mut play = Play::of(UNKNOWN);
    let way = held(1, WhenUnproven::Store);
    let refused = play.rcpt(way, Said::Refused(cannot)).unwrap_err();
    assert!(refused.to_string().starts_with("552 5.3.4 "));
}

#[test]
fn without_a_reply_at_rcpt_the_rule_says_what_follows() {
    for (verdict, when, stored) in [
        (AUTHORISED, WhenUnproven::Defer, true),
        (UNKNOWN, WhenUnproven::Store, true),
        (UNKNOWN, WhenUnproven::Defer, false),
    ] {
        let mut play = Play::of(verdict);
        let said = play.rcpt(held(1, when), Said::Lost(silence()));
        if stored {
            assert_eq!(said, Ok(()));
            // Nobody is asked again, and the second one has the same fate.
            assert_eq!(play.rcpt(held(1, when), Said::Accepted), Ok(()));
            let begun = play.step(Input::Begin(id()));
            assert_eq!(begun, [Action::Begin(Ok(true))]);
            assert_eq!(answer(&play.step(Input::End)), "store [0, 1]");
        } else {
            assert_eq!(said.unwrap_err().to_string(), NO_ANSWER);
        }
    }
}

/// Whoever holds a path strictly keeps what could be stored here, and hears one end for all.
#[test]
fn in_strict_mode_nothing_is_stored_and_no_report_stands_for_a_reply() {
    let strict = || {
        let mut play = Play::of(AUTHORISED);
        play.path = Path::new(sender(AUTHORISED), id()).held(Mode::Strict);
        play
    };
    let mut play = strict();
    let way = || held(1, WhenUnproven::Store);
    assert_eq!(
        play.rcpt(way(), Said::Lost(silence())),
        Err(replies::no_answer())
    );
    let mut play = strict();
    play.rcpt(way(), Said::Accepted).unwrap();
    assert_eq!(
        play.rcpt(held(2, WhenUnproven::Store), Said::Accepted),
        Err(replies::separate_transaction())
    );
    assert!(
        play.step(Input::Begin(id()))
            .contains(&Action::Begin(Ok(false)))
    );
    play.step(Input::End);
    play.step(Input::Prepared(BranchId(0)));
    let ends = vec![(0, silence())];
    let actions = play.step(Input::Completed(BranchId(0), ends));
    assert_eq!(actions, [Action::End(Err(replies::no_answer()))]);
}

#[test]
fn a_branch_lost_between_rcpt_and_data_defers_who_is_not_proven() {
    let mut play = Play::of(UNKNOWN);
    let way = || held(1, WhenUnproven::Defer);
    assert_eq!(play.rcpt(way(), Said::Accepted), Ok(()));
    assert!(play.rcpt(way(), Said::Lost(silence())).is_err());
    assert_eq!(answer(&play.step(Input::Begin(id()))), NO_ANSWER);
}

#[test]
fn in_doubt_is_stored_where_there_is_a_draft_and_deferred_where_there_is_none() {
    for (verdict, when, said) in [
        (AUTHORISED, WhenUnproven::Defer, "store [0]"),
        (UNKNOWN, WhenUnproven::Store, "store [0]"),
        (UNKNOWN, WhenUnproven::Defer, NO_ANSWER),
    ] {
        for word in [silence(), reply(421)] {
            let mut play = Play::of(verdict);
            assert_eq!(play.rcpt(held(1, when), Said::Accepted), Ok(()));
            assert_eq!(answer(&play.finish(&[&[word]])), said);
        }
        // The same before anything could complete.
        let mut play = Play::of(verdict);
        assert_eq!(play.rcpt(held(1, when), Said::Accepted), Ok(()));
        play.step(Input::Begin(id()));
        play.step(Input::Broke(BranchId(0), vec![(0, silence())]));
        assert_eq!(answer(&play.step(Input::End)), said);
    }
}

#[test]
fn a_draft_that_is_lost_matters_only_where_it_is_needed() {
    let full = || Reply::new(452, (4, 3, 1), "no room");
    for (word, said) in [(reply(250), "custody"), (silence(), "452 4.3.1 no room")] {
        let mut play = Play::of(AUTHORISED);
        let way = held(1, WhenUnproven::Defer);
        assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
        play.step(Input::Begin(id()));
        play.step(Input::DraftLost(full()));
        play.step(Input::End);
        play.step(Input::Prepared(BranchId(0)));
        let end = play.step(Input::Completed(BranchId(0), vec![(0, word)]));
        assert_eq!(answer(&end), said);
    }
}

#[test]
fn who_is_not_proven_has_one_branch_a_transaction() {
    let mut play = Play::of(UNKNOWN);
    let way = |number| held(number, WhenUnproven::Store);
    assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
    assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
    for other in [way(2), Way::Stored] {
        let refused = play.rcpt(other, Said::Accepted).unwrap_err();
        assert_eq!(
            (refused.code(), refused.enhanced().unwrap().detail),
            (452, 3)
        );
    }
    let mut play = Play::of(UNKNOWN);
    let lmtp = || Way::Held {
        next_hop: hop(1),
        answers_each: true,
        when_unproven: WhenUnproven::Store,
        remembered: None,
        opens: Opens::Now,
    };
    assert_eq!(play.rcpt(lmtp(), Said::Accepted), Ok(()));
    assert!(play.rcpt(lmtp(), Said::Accepted).is_err());
}

#[test]
fn a_mixed_end_is_stored_for_a_sender_who_hears_of_it() {
    let way = |number| held(number, WhenUnproven::Defer);
    for (words, said) in [
        ([reply(250), reply(250)], "custody"),
        ([reply(250), reply(550)], "store [1]"),
        ([reply(450), reply(250)], "store [0]"),
        ([reply(250), silence()], "store [1]"),
        ([silence(), reply(550)], "store [0, 1]"),
        (
            [reply(550), reply(550)],
            "550 5.0.0 message refused by the host that takes it on",
        ),
        (
            [reply(550), reply(450)],
            "450 4.0.0 message not taken now by the host that takes it on",
        ),
    ] {
        let mut play = Play::of(AUTHORISED);
        assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
        assert_eq!(play.rcpt(way(2), Said::Accepted), Ok(()));
        let words: Vec<_> = words.iter().map(core::slice::from_ref).collect();
        assert_eq!(answer(&play.finish(&words)), said);
    }
    // And beside one that goes through the queue.
    let mut play = Play::of(AUTHORISED);
    assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
    assert_eq!(play.rcpt(Way::Stored, Said::Accepted), Ok(()));
    assert_eq!(answer(&play.finish(&[&[reply(250)]])), "store [1]");
}

#[test]
fn a_verdict_that_waits_opens_no_path_before_it() {
    let way = || Way::Held {
        next_hop: hop(1),
        answers_each: false,
        when_unproven: WhenUnproven::Defer,
        remembered: None,
        opens: Opens::AfterVerdict,
    };
    for (said, last, answered) in [
        (Said::Accepted, reply(250), "custody"),
        (
            Said::Refused(reply(550)),
            silence(),
            "550 5.0.0 message refused by the host that takes it on",
        ),
        (Said::Lost(silence()), silence(), NO_ANSWER),
        (Said::Accepted, silence(), NO_ANSWER),
    ] {
        let mut play = Play::of(VerdictResult::Repudiated);
        let taken = play.step(Input::Recipient(way()));
        assert_eq!(taken, [Action::Recipient(Ok(()))]);
        assert!(play.rcpt(way(), Said::Accepted).is_err(), "one alone");
        assert_eq!(play.step(Input::Begin(id())), [Action::Begin(Ok(true))]);
        play.step(Input::Judged(sender(UNKNOWN)));
        let opened = play.step(Input::End);
        assert_eq!(opened, [Action::Open(BranchId(0), hop(1), 0)]);
        let accepted = said == Said::Accepted;
        let mut actions = play.step(Input::Said(BranchId(0), said));
        if accepted {
            assert_eq!(actions, [Action::Proceed(BranchId(0)), Action::Replay]);
            assert_eq!(play.step(Input::Replayed), [Action::Prepare(BranchId(0))]);
            play.step(Input::Prepared(BranchId(0)));
            actions = play.step(Input::Completed(BranchId(0), vec![(0, last)]));
        }
        assert_eq!(answer(&actions), answered);
        assert!(actions.contains(&Action::DropDraft));
    }
}

/// A recipient that the next hop has refused with this before.
fn refused_before(opens: Opens) -> Way {
    let before = Reply::received(550, EnhancedStatus::parse("5.1.1"), vec!["no".into()]);
    let Way::Held { next_hop, .. } = held(1, WhenUnproven::Defer) else {
        unreachable!("it is one");
    };
    Way::Held {
        next_hop,
        answers_each: false,
        when_unproven: WhenUnproven::Store,
        remembered: Some(Outcome::from_reply(&before, None)),
        opens,
    }
}

const REFUSED_BEFORE: &str = "550 5.1.1 recipient was refused by the host that takes its mail on";

#[test]
fn who_was_refused_before_is_refused_again_where_no_reply_is_to_be_had() {
    let way = || refused_before(Opens::Now);
    for from in [sender(AUTHORISED), sender(UNKNOWN)] {
        let null = Sender {
            is_null: true,
            ..from
        };
        for from in [from, null] {
            let mut play = Play::of(AUTHORISED);
            play.path = Path::new(from, id());
            let said = play.rcpt(way(), Said::Lost(silence())).unwrap_err();
            assert_eq!(said.to_string(), REFUSED_BEFORE);
            // The branch is over: nobody is asked for the next one, for whom the same holds.
            assert_eq!(
                play.step(Input::Recipient(way())),
                [Action::Recipient(Err(said))]
            );
            // Others are stored, alone.
            let other = held(1, WhenUnproven::Store);
            assert_eq!(play.rcpt(other, Said::Accepted), Ok(()));
            assert_eq!(answer(&play.content()), "store [0]");
        }
    }
}

#[test]
fn what_was_said_before_is_of_no_use_while_the_next_hop_answers() {
    let way = || refused_before(Opens::Now);
    let mut play = Play::of(UNKNOWN);
    let later = play.rcpt(way(), Said::Refused(reply(450))).unwrap_err();
    assert_eq!(later.code(), 450);
    assert_eq!(play.rcpt(way(), Said::Accepted), Ok(()));
    // Lost behind the answer: what was taken is not refused.
    play.step(Input::Begin(id()));
    play.step(Input::Broke(BranchId(0), vec![(1, silence())]));
    assert_eq!(answer(&play.step(Input::End)), "store [0]");

    // Nor where a limit of ours kept us from asking.
    let mut play = Play::of(UNKNOWN);
    let full = Outcome::local((4, 3, 2), None, "too many");
    assert_eq!(play.rcpt(way(), Said::NotAsked(full)), Ok(()));
    assert_eq!(play.rcpt(way(), Said::Accepted), Ok(()));
    assert_eq!(answer(&play.content()), "store [0, 1]");
}

#[test]
fn who_was_refused_before_is_refused_behind_the_verdict_too() {
    let lost = Said::Lost(silence());
    let full = Said::NotAsked(silence());
    for (said, answered) in [
        (
            lost,
            "550 5.1.1 message refused by the host that takes it on",
        ),
        (full, "store [0]"),
    ] {
        let mut play = Play::of(VerdictResult::Repudiated);
        play.step(Input::Recipient(refused_before(Opens::AfterVerdict)));
        play.step(Input::Begin(id()));
        play.step(Input::Judged(sender(UNKNOWN)));
        play.step(Input::End);
        let actions = play.step(Input::Said(BranchId(0), said));
        assert_eq!(answer(&actions), answered);
    }
}

#[test]
fn nothing_completes_where_the_answer_will_be_no_all_the_same() {
    let mut play = Play::of(AUTHORISED);
    for number in [1, 2] {
        let way = held(number, WhenUnproven::Defer);
        assert_eq!(play.rcpt(way, Said::Accepted), Ok(()));
    }
    play.step(Input::Begin(id()));
    play.step(Input::DraftLost(Reply::new(452, (4, 3, 1), "no room")));
    play.step(Input::Broke(BranchId(0), vec![(0, silence())]));
    play.step(Input::End);
    let actions = play.step(Input::Prepared(BranchId(1)));
    assert_eq!(actions.first(), Some(&Action::Abandon(BranchId(1))));
    assert_eq!(answer(&actions), "452 4.3.1 no room");
}

#[test]
fn a_next_hop_is_not_asked_without_end() {
    let mut play = Play::of(UNKNOWN);
    let way = || held(1, WhenUnproven::Defer);
    for _ in 0..200 {
        let refused = play.rcpt(way(), Said::Refused(reply(450))).unwrap_err();
        assert_eq!(refused.code(), 450);
    }
    let refused = play.rcpt(way(), Said::Accepted).unwrap_err();
    assert_eq!(refused.to_string(), "452 4.5.3 too many recipients");
}

#[test]
fn what_is_given_up_leaves_nothing_behind() {
    let way = |number| held(number, WhenUnproven::Store);
    for until in 0..4 {
        let mut play = Play::of(AUTHORISED);
        assert_eq!(play.rcpt(way(1), Said::Accepted), Ok(()));
        assert_eq!(play.rcpt(way(2), Said::Accepted), Ok(()));
        if until > 0 {
            play.step(Input::Begin(id()));
        }
        if until > 1 {
            play.step(Input::End);
        }
        if until > 2 {
            play.step(Input::Prepared(BranchId(1)));
        }
        let mut wanted = vec![Action::Abandon(BranchId(0)), Action::Abandon(BranchId(1))];
        if until > 0 {
            wanted.push(Action::DropDraft);
        }
        assert_eq!(play.step(Input::Abandon), wanted);
        assert_eq!(play.step(Input::Abandon), []);
    }
}

/// A number that looks like chance and is not.
struct Chance(u64);

impl Chance {
    fn draw(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % of
    }

    fn outcome(&mut self) -> Outcome {
        match self.draw(8) {
            0 => reply(421),
            1 => reply(450),
            2 => reply(550),
            3 => silence(),
            4 => Outcome::local((5, 6, 3), None, "eight bits"),
            _ => reply(250),
        }
    }

    fn said(&mut self) -> Said {
        match self.draw(6) {
            0 => Said::Refused(reply(550)),
            1 => Said::Refused(reply(450)),
            2 => Said::Lost(silence()),
            3 if self.draw(4) == 0 => Said::NotAsked(silence()),
            _ => Said::Accepted,
        }
    }

    fn sender(&mut self) -> Sender {
        Sender {
            verdict: [AUTHORISED, UNKNOWN][usize::try_from(self.draw(2)).unwrap()],
            is_null: self.draw(6) == 0,
            was_queued: false,
        }
    }
}

/// What a world of chance has seen of one transaction.
#[derive(Debug, Default)]
struct Seen {
    accepted: usize,
    /// By branch: who was accepted there, by its number among those asked; and whether it was told to complete.
    branches: Vec<(Vec<usize>, usize, Vec<Outcome>)>,
    tees: bool,
    stored: Option<Vec<usize>>,
    ended: Vec<bool>,
    refused: Option<Reply>,
}

/// One transaction in a world of chance: whatever happens, the promises of the file's head hold.
fn transaction(number: u64) -> (Sender, Seen) {
    let mut chance = Chance(number);
    let from = chance.sender();
    let unproven =
        [WhenUnproven::Defer, WhenUnproven::Store][usize::try_from(chance.draw(2)).unwrap()];
    let mut play = Play::of(AUTHORISED);
    play.path = Path::new(from, id());
    let mut seen = Seen::default();
    for _ in 0..=chance.draw(4) {
        let way = match chance.draw(5) {
            0 => Way::Stored,
            1 if chance.draw(2) == 0 => refused_before(Opens::Now),
            number => held(u16::try_from(number).unwrap() % 3, unproven),
        };
        let mut actions = play.step(Input::Recipient(way));
        if let [Action::Open(BranchId(branch), ..) | Action::Ask(BranchId(branch), _)] = actions[..]
        {
            seen.branches
                .resize(seen.branches.len().max(branch + 1), Default::default());
            let said = chance.said();
            let (taken, asked, _) = &mut seen.branches[branch];
            if said == Said::Accepted {
                taken.push(*asked);
            }
            *asked += 1;
            actions = play.step(Input::Said(BranchId(branch), said));
        }
        let [Action::Recipient(answer)] = &actions[..] else {
            panic!("{actions:?}");
        };
        seen.accepted += usize::from(answer.is_ok());
    }
    assert_eq!(play.path.accepted(), seen.accepted);
    let begun = play.step(Input::Begin(id()));
    let Some(Action::Begin(Ok(tees))) = begun.last() else {
        assert!(matches!(begun.last(), Some(Action::Begin(Err(_)))));
        return (from, seen);
    };
    seen.tees = *tees;
    let mut open: Vec<usize> = (begun.iter())
        .filter_map(|action| match action {
            Action::Proceed(BranchId(branch)) => Some(*branch),
            _ => None,
        })
        .collect();
    break_some(&mut play, &mut open, &mut seen, &mut chance);
    if chance.draw(8) == 0 {
        play.step(Input::DraftLost(Reply::new(452, (4, 3, 1), "no room")));
    }
    let mut actions = play.step(Input::End);
    finish(&mut play, &mut open, &mut seen, &mut chance, &mut actions);
    (from, seen)
}

/// Some branches end before they are to complete.
fn break_some(play: &mut Play, open: &mut Vec<usize>, seen: &mut Seen, chance: &mut Chance) {
    open.retain(|branch| {
        let breaks = chance.draw(5) == 0;
        if breaks {
            let ends = not_delivered(&seen.branches[*branch].0, chance);
            play.step(Input::Broke(BranchId(*branch), ends));
        }
        !breaks
    });
}

fn not_delivered(taken: &[usize], chance: &mut Chance) -> Vec<(usize, Outcome)> {
    let outcome = match chance.draw(3) {
        0 => reply(451),
        1 => reply(554),
        _ => silence(),
    };
    taken
        .iter()
        .map(|place| (*place, outcome.clone()))
        .collect()
}

/// From the end of the content to the answer.
fn finish(
    play: &mut Play,
    open: &mut Vec<usize>,
    seen: &mut Seen,
    chance: &mut Chance,
    actions: &mut Vec<Action>,
) {
    let mut prepared = 0;
    while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
        match action {
            Action::Prepare(BranchId(branch)) => {
                assert!(open.contains(&branch));
                prepared += 1;
                let breaks = chance.draw(6) == 0;
                let input = if breaks {
                    open.retain(|one| *one != branch);
                    Input::Broke(
                        BranchId(branch),
                        not_delivered(&seen.branches[branch].0, chance),
                    )
                } else {
                    Input::Prepared(BranchId(branch))
                };
                actions.extend(play.step(input));
            }
            Action::Complete(BranchId(branch)) => {
                assert!(prepared >= open.len(), "completes before all are prepared");
                let outcome = chance.outcome();
                let taken = seen.branches[branch].0.clone();
                let ends: Vec<_> = taken
                    .iter()
                    .map(|place| (*place, outcome.clone()))
                    .collect();
                seen.branches[branch].2 = vec![outcome; taken.len()];
                actions.extend(play.step(Input::Completed(BranchId(branch), ends)));
            }
            Action::Store(places) => {
                seen.stored = Some(places);
                let answer = if chance.draw(5) == 0 {
                    Err(Reply::new(452, (4, 3, 1), "no room"))
                } else {
                    // A proof that is easily had: what it says is not looked at here.
                    #[expect(clippy::disallowed_methods, reason = "the spool of this world")]
                    Ok(Custody::of_durable_message(id()))
                };
                actions.extend(play.step(Input::Stored(answer)));
            }
            Action::End(answer) => {
                seen.ended.push(answer.is_ok());
                seen.refused = answer.err();
            }
            Action::DropDraft => {}
            Action::Abandon(BranchId(branch)) => open.retain(|one| *one != branch),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn in_a_world_of_chance_every_transaction_ends_once_and_honestly() {
    let (mut held, mut stored, mut refused) = (0, 0, 0);
    for seed in 0..100_000 {
        let (from, seen) = transaction(seed);
        if seen.ended.is_empty() {
            continue;
        }
        let delivered = |outcome: &Outcome| outcome.class == OutcomeClass::Delivered;
        let taken: usize = (seen.branches.iter())
            .map(|(.., words)| words.iter().filter(|word| delivered(word)).count())
            .sum();
        let told = alloc::format!("seed {seed}: {from:?} {seen:?}");
        assert_eq!(seen.ended.len(), 1, "{told}");
        match (seen.ended[0], &seen.stored) {
            (true, None) => {
                held += 1;
                assert_eq!(taken, seen.accepted, "{told}");
            }
            (true, Some(places)) => {
                stored += 1;
                assert!(seen.tees, "{told}");
                assert_eq!(taken + places.len(), seen.accepted, "{told}");
            }
            (false, _) => {
                refused += 1;
                // Where somebody has it, only our own storage's trouble may say no; never for good.
                let class = seen.refused.as_ref().map(Reply::class);
                let transient = class == Some(crate::reply::ReplyClass::Transient);
                assert!(taken == 0 || transient && from.hears_reports(), "{told}");
            }
        }
    }
    assert!(
        held > 5_000 && stored > 5_000 && refused > 5_000,
        "{held} {stored} {refused}"
    );
}
