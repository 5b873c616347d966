//! Anything at any time: whoever has had a copy (XTID) gets it no second time.

use alloc::collections::VecDeque;

use proptest::collection::vec as many;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::repeated::{in_the_spool, now, of, repeated};
use super::*;

/// Something that may come at any time, whether it was asked for or not.
#[derive(Clone, Debug)]
enum Any {
    Recipient(Way),
    Said(usize, u64),
    Begin,
    Broke(usize, u64),
    DraftLost,
    Repeated(Vec<usize>),
    End,
    Replayed,
    Prepared(usize),
    Completed(usize, u64),
    Stored,
    Abandon,
    /// An answer to the oldest question that has none yet, by lot.
    Answer(u64),
}

fn ways() -> impl Strategy<Value = Way> {
    let opens = prop_oneof![
        Just(Opens::Now),
        Just(Opens::AfterVerdict),
        Just(Opens::UnlessRepeated)
    ];
    let held = (1_u16..4, opens, any::<bool>()).prop_map(|(number, opens, answers_each)| {
        let Way::Held { next_hop, .. } = now(number) else {
            unreachable!("it is one");
        };
        Way::Held {
            next_hop,
            answers_each: answers_each && number == 3,
            when_unproven: WhenUnproven::Store,
            remembered: None,
            opens,
        }
    });
    prop_oneof![8 => held, 1 => Just(Way::Stored)]
}

fn anything() -> impl Strategy<Value = Any> {
    let branch = || 0_usize..3;
    let lot = any::<u64>;
    prop_oneof![
        12 => lot().prop_map(Any::Answer),
        1 => ways().prop_map(Any::Recipient),
        1 => (branch(), lot()).prop_map(|(id, lot)| Any::Said(id, lot)),
        1 => Just(Any::Begin),
        2 => (branch(), lot()).prop_map(|(id, lot)| Any::Broke(id, lot)),
        1 => Just(Any::DraftLost),
        3 => many(0_usize..5, 0..3).prop_map(Any::Repeated),
        1 => Just(Any::End),
        1 => Just(Any::Replayed),
        1 => branch().prop_map(Any::Prepared),
        1 => (branch(), lot()).prop_map(|(id, lot)| Any::Completed(id, lot)),
        1 => Just(Any::Stored),
        1 => Just(Any::Abandon),
    ]
}

/// A story that mostly goes as a transaction does, with anything in between.
fn stories() -> impl Strategy<Value = Vec<Any>> {
    let recipient = (ways(), any::<u64>());
    let recipients = many(recipient, 1..5).prop_map(|all| {
        let each = |(way, lot)| [Any::Recipient(way), Any::Answer(lot)];
        all.into_iter().flat_map(each).collect::<Vec<_>>()
    });
    let some = || many(anything(), 0..3);
    let places = many(0_usize..5, 0..4).prop_map(|places| vec![Any::Repeated(places)]);
    let just = |one: Any| Just(vec![one]);
    let parts = (
        recipients,
        some(),
        just(Any::Begin),
        some(),
        places,
        some(),
        just(Any::End),
        many(anything(), 0..30),
    );
    parts.prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].concat())
}

/// A transaction to which anything may come, and what must not come of it.
struct Watch {
    play: Play,
    questions: VecDeque<Action>,
    /// Answers to the end of the content, and how often that came.
    answers: usize,
    ends: usize,
}

impl Watch {
    fn input(&mut self, any: Any) -> Option<Input> {
        let ends = |lot: u64| {
            let mut chance = Chance(lot);
            (0..5).map(|place| (place, chance.outcome())).collect()
        };
        Some(match any {
            Any::Recipient(way) => Input::Recipient(way),
            Any::Said(id, lot) => Input::Said(BranchId(id), Chance(lot).said()),
            Any::Begin => Input::Begin(id()),
            Any::Broke(id, lot) => {
                Input::Broke(BranchId(id), not_delivered(&[0, 1, 2], &mut Chance(lot)))
            }
            Any::DraftLost => Input::DraftLost(Reply::new(452, (4, 3, 1), "no room")),
            Any::Repeated(places) => repeated(&places),
            Any::End => Input::End,
            Any::Replayed => Input::Replayed,
            Any::Prepared(id) => Input::Prepared(BranchId(id)),
            Any::Completed(id, lot) => Input::Completed(BranchId(id), ends(lot)),
            Any::Stored => in_the_spool(),
            Any::Abandon => Input::Abandon,
            Any::Answer(lot) => match self.questions.pop_front()? {
                Action::Open(id, ..) | Action::Ask(id, _) => Input::Said(id, Chance(lot).said()),
                Action::Replay => Input::Replayed,
                Action::Prepare(id) => Input::Prepared(id),
                Action::Complete(id) => Input::Completed(id, ends(lot)),
                _ => in_the_spool(),
            },
        })
    }

    fn fates(&self) -> Vec<Fate> {
        let all = self.play.path.recipients.iter();
        all.map(|one| one.fate.clone()).collect()
    }

    /// One step: nobody who has had it gets it again, or is forgotten to have had it.
    fn step(&mut self, input: Input) {
        let before = self.fates();
        self.ends += usize::from(matches!(input, Input::End));
        let actions = self.play.step(input);
        let after = self.fates();
        for (was, is) in before.iter().zip(&after) {
            assert!(!matches!(was, Fate::Repeated(_)) || was == is);
        }
        let has_had = |place: usize| matches!(after[place], Fate::Repeated(_));
        assert!(!self.play.path.delivered().any(has_had));
        for action in &actions {
            match action {
                Action::Complete(id) => {
                    let all = self.play.path.recipients.iter();
                    let mut asked =
                        all.filter(|one| one.branch.is_some_and(|(of, at)| of == *id && at < 1000));
                    assert!(!asked.any(|one| matches!(one.fate, Fate::Repeated(_))));
                }
                Action::Store(places) => assert!(!places.iter().copied().any(has_had)),
                Action::Open(.., place) | Action::Ask(_, place) => {
                    assert!(*place >= after.len() || !has_had(*place));
                }
                Action::EndForEach(ends) => {
                    let all = ends.iter().zip(&after);
                    for (end, fate) in all {
                        assert!(end.is_ok() || !matches!(fate, Fate::Repeated(_)));
                    }
                    self.answers += 1;
                }
                Action::End(_) => self.answers += 1,
                _ => {}
            }
        }
        let asks = |action: &Action| {
            use Action::{Ask, Complete, Open, Prepare, Replay, Store};
            matches!(
                action,
                Open(..) | Ask(..) | Prepare(_) | Complete(_) | Store(_) | Replay
            )
        };
        self.questions.extend(actions.into_iter().filter(asks));
        assert!(self.answers <= self.ends);
    }
}

proptest! {
    #![proptest_config(Config { cases: 4096, ..Config::default() })]

    /// Whatever comes, and whenever: who has had a copy gets it no second time.
    #[test]
    fn whoever_has_had_a_copy_gets_no_second_whatever_comes(
        story in stories(),
        is_proven in any::<bool>(),
        for_each in any::<bool>(),
    ) {
        let mut watch = Watch {
            play: of(if is_proven { AUTHORISED } else { UNKNOWN }, for_each),
            questions: VecDeque::new(),
            answers: 0,
            ends: 0,
        };
        for any in story {
            if let Some(input) = watch.input(any) {
                watch.step(input);
            }
        }
    }
}
