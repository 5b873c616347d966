//! The shape of every machine that asks the DNS, and the steps it leaves behind.
//!
//! A check under the drain contract takes an [`Input`] and the time, and gives [`Action`]s until it
//! is done. Each question with its answer becomes a [`Step`], for logs and `check`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::time::{Mono, Now};

/// A machine that asks the DNS and ends in a report.
pub trait Machine {
    /// What it ends in.
    type Report;

    /// Advances by one input. Nothing comes of an input that does not belong to the state.
    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Self::Report>>;
}

/// The questions of one check: each has a name of its own, and none is open twice.
#[derive(Debug, Default)]
pub(in crate::verify) struct Questions {
    /// In the order of asking; few at a time.
    open: Vec<(AskId, Question)>,
    /// Questions asked so far, which is also the next question's name.
    asked: u32,
}

impl Questions {
    /// Asks, in this order, what is not open already.
    pub(in crate::verify) fn ask<Report>(
        &mut self,
        wanted: Vec<(Name, RecordType)>,
        freshness: Freshness,
    ) -> Vec<Action<Report>> {
        let mut actions = Vec::with_capacity(wanted.len().saturating_add(1));
        for (name, kind) in wanted {
            let question = Question {
                name,
                kind,
                freshness,
            };
            if self.open.iter().any(|(_, open)| *open == question) {
                continue;
            }
            let id = AskId(self.asked);
            self.asked = self.asked.saturating_add(1);
            self.open.push((id, question.clone()));
            actions.push(Action::Ask(id, question));
        }
        actions
    }

    /// The question that an answer is for, if it is open; it is not, from then on.
    pub(in crate::verify) fn answered(&mut self, id: AskId) -> Option<Question> {
        let place = self.open.iter().position(|(open, _)| *open == id)?;
        // The order of the others stays.
        Some(self.open.remove(place).1)
    }

    /// True if none is open.
    pub(in crate::verify) fn are_answered(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives up those that are open, in the order of asking.
    pub(in crate::verify) fn give_up(&mut self) -> impl Iterator<Item = (AskId, Question)> + use<> {
        core::mem::take(&mut self.open).into_iter()
    }

    /// Questions asked so far.
    pub(in crate::verify) const fn asked(&self) -> u32 {
        self.asked
    }
}

/// What advances a check.
#[derive(Clone, Debug)]
pub enum Input {
    /// The first input.
    Begin,
    /// The DNS has answered a question. Late and unasked-for answers are dropped.
    Answer(AskId, Answer),
    /// The timer that was set last has run out.
    TimerFired,
}

/// What the driver of a check does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<Report> {
    /// Ask the DNS; several may be open at the same time.
    Ask(AskId, Question),
    /// Give [`Input::TimerFired`] at this moment; replaces the timer before.
    SetTimer(Mono),
    /// The check has ended; no more inputs.
    Done(Box<Report>),
}

/// Names one question of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u32);

/// One question and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// 1, or 2 in the repeated walk.
    pub pass: u8,
    /// What was asked.
    pub question: Question,
    /// What was said, its records sorted and cut; none if it was still open at the end. Shared
    /// with whoever concludes from it.
    pub answer: Option<Arc<Answer>>,
}

/// Something that was not to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TroubleAt {
    /// Asked for this name,
    pub name: Name,
    /// and this type.
    pub kind: RecordType,
    /// What went wrong.
    pub trouble: Trouble,
}

impl Step {
    /// True if the answer came from our own cache.
    pub fn is_cached(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.age > 0)
    }
}

/// `mail-from.example.org MX: 0 rc.example.org (ttl 3600, age 0, secure)`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.question)?;
        let Some(answer) = &self.answer else {
            return f.write_str("no answer in time");
        };
        for alias in &answer.aliases {
            write!(f, "alias of {alias}, ")?;
        }
        write_lookup(f, &answer.lookup)?;
        if !matches!(answer.lookup, Lookup::Trouble(_)) {
            write!(f, " (ttl {}, age {}", answer.ttl, answer.age)?;
            f.write_str(if answer.secure { ", secure)" } else { ")" })?;
        }
        Ok(())
    }
}

/// What was found, on one line.
fn write_lookup(f: &mut fmt::Formatter<'_>, lookup: &Lookup) -> fmt::Result {
    match lookup {
        Lookup::NoData => f.write_str("no such record"),
        Lookup::NxDomain => f.write_str("no such name"),
        Lookup::AliasLimit => f.write_str("too many aliases, or a loop of them"),
        Lookup::Trouble(trouble) => write!(f, "{trouble}"),
        Lookup::Found(Records::A(list)) => write_list(f, list),
        Lookup::Found(Records::Aaaa(list)) => write_list(f, list),
        Lookup::Found(Records::Mx(list)) => write_list(f, list),
        Lookup::Found(Records::Ptr(list) | Records::Ns(list)) => write_list(f, list),
        Lookup::Found(Records::Tlsa(list)) => write_list(f, list),
        Lookup::Found(Records::Txt(list)) => {
            let texts: Vec<_> = list.iter().map(|text| Text(text.as_ref())).collect();
            write_list(f, &texts)
        }
    }
}

/// Records, a comma between them.
fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, list: &[T]) -> fmt::Result {
    for (at, record) in list.iter().enumerate() {
        let mark = if at == 0 { "" } else { ", " };
        write!(f, "{mark}{record}")?;
    }
    Ok(())
}

/// A text as it may stand in a log: quoted and escaped, whatever its publisher wrote.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::Step;
    use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records};
    use alloc::string::ToString;
    use alloc::sync::Arc;
    use alloc::vec;

    #[test]
    fn a_step_is_one_line_with_nothing_raw_in_it() {
        let step = |lookup| Step {
            pass: 1,
            question: Question {
                name: Name::parse("MAIL-FROM.example.org").unwrap(),
                kind: RecordType::Txt,
                freshness: Freshness::Cached,
            },
            answer: Some(Arc::new(Answer {
                ttl: 30,
                age: 7,
                secure: true,
                ..Answer::bare(lookup)
            })),
        };
        let text = step(Lookup::Found(Records::Txt(vec![
            b"v=MFMX1\r\n\x1b\"".as_slice().into(),
        ])));
        assert_eq!(
            text.to_string(),
            "mail-from.example.org TXT: \"v=MFMX1\\r\\n\\x1b\\\"\" (ttl 30, age 7, secure)"
        );
        assert!(text.is_cached());
        let none = step(Lookup::NxDomain);
        assert_eq!(
            none.to_string(),
            "mail-from.example.org TXT: no such name (ttl 30, age 7, secure)"
        );
    }
}
