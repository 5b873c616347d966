//! What a domain publishes, gathered for its owner: the ground on which `publish` and `lint` stand.
//!
//! A [`Survey`] is a machine of the same shape as the checks. What is gathered is said by a
//! [`Study`]: a function of the answers at hand, which notes the questions that it lacks an answer
//! to. The machine asks those, all at the same time, and runs the study again, until nothing is
//! lacking. So what is found hangs on what the answers say, and not on when they came.
//!
//! # What it promises
//!
//! It ends within [`DEADLINE`], and asks no more than [`MAX_QUESTIONS`] questions; what is not
//! known by then is trouble, and [`Report::cut`] says so. It does not panic on any answer.
//!
//! # What it leaves to others
//!
//! Asking (the driver); what to conclude for mail: the checks of [`crate::verify`] decide that, and
//! a survey of an address is no verdict about it.

pub mod cover;
pub mod mail_from;
pub mod spf;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::time::{Mono, Now};
use crate::verify::{Action, AskId, Input, Machine, Step};

/// Questions of one survey. A set at the edge of every budget and an SPF record at the edge of its
/// own need fewer; this keeps a record made with ill will from turning its reader on others.
pub const MAX_QUESTIONS: usize = 500;

/// Time for a whole survey. Somebody waits at a terminal, and nobody's mail does.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// What is to be found out.
pub trait Study {
    /// What is found.
    type Findings;

    /// Looks at the answers at hand. Whatever it gives is dropped, and it is run again, as long as
    /// it has asked the view for an answer that was not there.
    fn look(&self, view: &mut View<'_>) -> Self::Findings;
}

/// A question by name and type.
type Key = (Name, RecordType);

/// The answers at hand, and those that are lacking.
#[derive(Debug)]
pub struct View<'a> {
    known: &'a BTreeMap<Key, Answer>,
    wanted: BTreeSet<Key>,
}

impl<'a> View<'a> {
    /// The answer; noted as wanted if it is not in.
    pub fn want(&mut self, name: &Name, kind: RecordType) -> Option<&'a Answer> {
        let key = (name.clone(), kind);
        let known = self.known.get(&key);
        if known.is_none() {
            self.wanted.insert(key);
        }
        known
    }
}

/// What a survey ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<Findings> {
    /// What the study found.
    pub findings: Findings,
    /// Every question with its answer.
    pub steps: Vec<Step>,
    /// Time or questions ran out: something is missing, and is shown as trouble.
    pub cut: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Survey<S> {
    study: S,
    known: BTreeMap<Key, Answer>,
    open: BTreeMap<AskId, Question>,
    steps: Vec<Step>,
    asked: u32,
    cut: bool,
    ended: bool,
}

impl<S: Study> Survey<S> {
    /// A survey that has not begun.
    pub const fn new(study: S) -> Self {
        Self {
            study,
            known: BTreeMap::new(),
            open: BTreeMap::new(),
            steps: Vec::new(),
            asked: 0,
            cut: false,
            ended: false,
        }
    }

    /// Runs the study as often as it can be, and asks for what it lacks.
    fn advance(&mut self) -> Vec<Action<Report<S::Findings>>> {
        loop {
            let mut view = View {
                known: &self.known,
                wanted: BTreeSet::new(),
            };
            let findings = self.study.look(&mut view);
            let wanted = view.wanted;
            if wanted.is_empty() {
                self.ended = true;
                return vec![Action::Done(Box::new(Report {
                    findings,
                    steps: core::mem::take(&mut self.steps),
                    cut: self.cut,
                }))];
            }
            let asks: Vec<_> = wanted.into_iter().filter_map(|key| self.ask(key)).collect();
            if !asks.is_empty() {
                return asks;
            }
        }
    }

    /// Asks, or settles at once what is not to be asked any more.
    fn ask(&mut self, key: Key) -> Option<Action<Report<S::Findings>>> {
        let room = usize::try_from(self.asked).is_ok_and(|asked| asked < MAX_QUESTIONS);
        if self.cut || !room {
            self.cut = true;
            self.known.insert(key, Answer::trouble(Trouble::Timeout));
            return None;
        }
        let id = AskId(self.asked);
        self.asked = self.asked.saturating_add(1);
        let question = Question {
            name: key.0,
            kind: key.1,
            freshness: Freshness::Cached,
        };
        self.open.insert(id, question.clone());
        Some(Action::Ask(id, question))
    }

    /// Takes an answer in.
    fn take(&mut self, question: Question, answer: Option<Answer>) {
        let kept = answer.clone().map_or_else(
            || Answer::trouble(Trouble::Timeout),
            |answer| readable(question.kind, answer),
        );
        let key = (question.name.clone(), question.kind);
        self.known.insert(key, kept);
        self.steps.push(Step {
            pass: 1,
            question,
            answer: answer.map(Arc::new),
        });
    }
}

impl<S: Study> Machine for Survey<S> {
    type Report = Report<S::Findings>;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Self::Report>> {
        if self.ended {
            return Vec::new();
        }
        match input {
            Input::Begin if self.asked == 0 => {
                let mut actions = self.advance();
                if !self.ended {
                    let deadline: Mono = now.mono.plus(DEADLINE);
                    actions.push(Action::SetTimer(deadline));
                }
                actions
            }
            Input::Begin => Vec::new(),
            Input::Answer(id, answer) => {
                let Some(question) = self.open.remove(&id) else {
                    return Vec::new();
                };
                self.take(question, Some(answer));
                if self.open.is_empty() {
                    self.advance()
                } else {
                    Vec::new()
                }
            }
            Input::TimerFired => {
                self.cut = true;
                for question in core::mem::take(&mut self.open).into_values() {
                    self.take(question, None);
                }
                self.advance()
            }
        }
    }
}

/// Brings an answer into one order. Records of another type than was asked for, or none where some
/// are promised, are an answer that cannot be read.
fn readable(kind: RecordType, mut answer: Answer) -> Answer {
    let count = match (&mut answer.lookup, kind) {
        (Lookup::Found(Records::A(list)), RecordType::A) => sorted(list),
        (Lookup::Found(Records::Aaaa(list)), RecordType::Aaaa) => sorted(list),
        (Lookup::Found(Records::Mx(list)), RecordType::Mx) => sorted(list),
        (Lookup::Found(Records::Txt(list)), RecordType::Txt) => {
            list.sort();
            list.len()
        }
        (Lookup::Found(Records::Ptr(list)), RecordType::Ptr)
        | (Lookup::Found(Records::Ns(list)), RecordType::Ns) => sorted(list),
        (Lookup::Found(Records::Tlsa(list)), RecordType::Tlsa) => sorted(list),
        (Lookup::Found(_), _) => 0,
        (_, _) => return answer,
    };
    if count == 0 {
        answer.lookup = Lookup::Trouble(Trouble::Unreadable);
    }
    answer
}

/// Sorts, drops doubles, counts.
fn sorted<T: Ord>(list: &mut Vec<T>) -> usize {
    list.sort();
    list.dedup();
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Wall;
    use alloc::format;

    /// Asks for one name after the other, as long as there is an answer.
    struct Chain;

    impl Study for Chain {
        type Findings = usize;

        fn look(&self, view: &mut View<'_>) -> usize {
            let mut length = 0;
            let name = |at: usize| Name::parse(&format!("n{at}.example")).unwrap();
            while let Some(answer) = view.want(&name(length), RecordType::A)
                && !matches!(answer.lookup, Lookup::Trouble(_))
            {
                length += 1;
            }
            length
        }
    }

    fn now() -> Now {
        Now {
            mono: Mono::from_millis(5),
            wall: Wall::from_secs(1),
        }
    }

    #[test]
    fn it_asks_until_nothing_lacks_and_never_for_too_much() {
        let mut survey = Survey::new(Chain);
        let mut actions = survey.step(Input::Begin, now());
        assert!(matches!(actions[1], Action::SetTimer(_)));
        let mut asked = 0;
        while let Action::Ask(id, _) = actions[0] {
            asked += 1;
            actions = survey.step(Input::Answer(id, Answer::bare(Lookup::NoData)), now());
        }
        let Action::Done(report) = &actions[0] else {
            panic!("done");
        };
        assert_eq!((asked, report.findings), (MAX_QUESTIONS, MAX_QUESTIONS));
        assert!(report.cut);
        assert!(survey.step(Input::TimerFired, now()).is_empty());
    }

    #[test]
    fn time_that_is_over_ends_it() {
        let mut survey = Survey::new(Chain);
        let actions = survey.step(Input::Begin, now());
        let Action::Ask(id, _) = actions[0] else {
            panic!("asks");
        };
        let answer = Answer::bare(Lookup::NoData);
        assert_eq!(
            survey.step(Input::Answer(id, answer.clone()), now()).len(),
            1
        );
        assert!(survey.step(Input::Answer(id, answer), now()).is_empty());
        let actions = survey.step(Input::TimerFired, now());
        let Action::Done(report) = &actions[0] else {
            panic!("done");
        };
        assert_eq!((report.findings, report.cut), (1, true));
        assert_eq!(report.steps.len(), 2);
        assert_eq!(report.steps[1].answer, None);
    }

    #[test]
    fn records_of_another_type_cannot_be_read() {
        for records in [Records::A(vec![]), Records::Txt(vec![b"x"[..].into()])] {
            let answer = readable(RecordType::A, Answer::bare(Lookup::Found(records)));
            assert_eq!(answer.lookup, Lookup::Trouble(Trouble::Unreadable));
        }
    }
}
