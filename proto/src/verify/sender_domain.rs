//! Could mail ever come from this domain? One question to the DNS: does it exist, and does it take
//! mail at all?
//!
//! A domain that does not exist sent nothing, and one with a null MX says that no mail belongs to
//! it (RFC 7505 §4.2): a report to either could never arrive. Both are definite answers, and what
//! is not definite says nothing here: trouble never rejects (draft §1.6). Before a rejection an
//! answer older than [`MAX_AGE`](super::mail_from::budget::MAX_AGE) seconds is asked for again past
//! the cache, since a domain may have been registered a minute ago.
//!
//! Left to others: whether the test is on, and what weighs more (the fusion in [`super`]).

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::addr::Domain;
use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble};
use crate::reply::Reply;
use crate::time::{Mono, Now};

use super::mail_from::budget::{DEADLINE, MAX_AGE};
use super::{Action, AskId, Input, Machine, Step, Weight};

/// What is known of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// It exists, and does not say that it takes no mail.
    Sound,
    /// The name does not exist.
    Absent,
    /// Its one MX is `.`: it neither takes nor sends mail (RFC 7505).
    NullMx,
    /// Not to be known now.
    NotKnown,
}

impl Finding {
    /// The stable word, for logs and `check`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Absent => "absent",
            Self::NullMx => "null_mx",
            Self::NotKnown => "not_known",
        }
    }
}

/// What the test found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The reverse-path's domain.
    pub domain: Domain,
    /// What is known of it.
    pub finding: Finding,
    /// What went wrong, if it is not known.
    pub trouble: Option<Trouble>,
    /// TTL of the last answer, if it was definite.
    pub ttl: Option<u32>,
    /// Questions asked of the resolver.
    pub questions: u32,
    /// Each question with its answer.
    pub steps: Vec<Step>,
}

impl Report {
    /// What this evidence says (DESIGN §3): against, and nothing clears it; or nothing.
    pub const fn weight(&self) -> Weight {
        match self.finding {
            Finding::Absent | Finding::NullMx => Weight::Condemns,
            Finding::Sound | Finding::NotKnown => Weight::Silent,
        }
    }

    /// Seconds for which it may stand for the same domain; 0 for not at all.
    pub fn keep_for(&self) -> u32 {
        match self.finding {
            Finding::NotKnown => 0,
            Finding::Absent | Finding::NullMx => self.ttl.unwrap_or(0).min(MAX_AGE),
            Finding::Sound => self.ttl.unwrap_or(0),
        }
    }

    /// The reply that refuses mail from it (RFC 3463 §3.2, RFC 7505 §4.2).
    pub fn refusal(&self) -> Option<Reply> {
        let domain = self.domain.as_ascii();
        match self.finding {
            Finding::Absent => Some(Reply::new(
                550,
                (5, 1, 8),
                format!("sender's domain {domain} does not exist"),
            )),
            Finding::NullMx => Some(Reply::new(
                550,
                (5, 7, 27),
                format!("sender's domain {domain} takes no mail (null MX)"),
            )),
            Finding::Sound | Finding::NotKnown => None,
        }
    }
}

/// The machine: one question, or two.
#[derive(Debug)]
pub struct Check {
    state: State,
}

/// Where a check stands.
#[derive(Debug)]
enum State {
    /// Not begun.
    Idle(Domain),
    /// A question is open.
    Asking(Asking),
    /// The report is out.
    Ended,
}

/// A check whose question is open.
#[derive(Debug)]
struct Asking {
    domain: Domain,
    freshness: Freshness,
    open: AskId,
    steps: Vec<Step>,
    deadline: Mono,
}

impl Check {
    /// A check that has not begun.
    pub const fn new(domain: Domain) -> Self {
        Self {
            state: State::Idle(domain),
        }
    }
}

impl Machine for Check {
    type Report = Report;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Report>> {
        let (state, actions) = match (core::mem::replace(&mut self.state, State::Ended), input) {
            (State::Idle(domain), Input::Begin) => begin(domain, now.mono),
            (State::Asking(asking), Input::Answer(id, answer)) if id == asking.open => {
                asking.answered(answer)
            }
            (State::Asking(asking), Input::TimerFired) => asking.timer_fired(now.mono),
            (state, _) => (state, Vec::new()),
        };
        self.state = state;
        actions
    }
}

/// Asks.
fn begin(domain: Domain, now: Mono) -> (State, Vec<Action<Report>>) {
    let deadline = now.plus(DEADLINE);
    let asking = Asking {
        domain,
        freshness: Freshness::Cached,
        open: AskId(0),
        steps: Vec::new(),
        deadline,
    };
    let ask = Action::Ask(asking.open, asking.question());
    (State::Asking(asking), vec![ask, Action::SetTimer(deadline)])
}

impl Asking {
    /// The question that is open.
    fn question(&self) -> Question {
        Question {
            name: Name::from(&self.domain),
            kind: RecordType::Mx,
            freshness: self.freshness,
        }
    }

    /// Which walk the question belongs to, as the steps say it.
    const fn pass(&self) -> u8 {
        match self.freshness {
            Freshness::Cached => 1,
            Freshness::Fresh => 2,
        }
    }

    /// Ends, or asks once more past the cache.
    fn answered(mut self, mut answer: Answer) -> (State, Vec<Action<Report>>) {
        let finding = finding_of(&answer);
        let (old, ttl) = (answer.age > MAX_AGE, answer.ttl);
        let trouble = match answer.lookup {
            Lookup::Trouble(trouble) => Some(trouble),
            _ => None,
        };
        cut(&mut answer);
        self.steps.push(Step {
            pass: self.pass(),
            question: self.question(),
            answer: Some(Arc::new(answer)),
        });
        if matches!(finding, Finding::Absent | Finding::NullMx)
            && old
            && self.freshness == Freshness::Cached
        {
            self.freshness = Freshness::Fresh;
            self.open = AskId(1);
            let ask = Action::Ask(self.open, self.question());
            return (State::Asking(self), vec![ask]);
        }
        self.end(finding, trouble, trouble.is_none().then_some(ttl))
    }

    /// The time is over.
    fn timer_fired(mut self, now: Mono) -> (State, Vec<Action<Report>>) {
        if now < self.deadline {
            let deadline = self.deadline;
            return (State::Asking(self), vec![Action::SetTimer(deadline)]);
        }
        self.steps.push(Step {
            pass: self.pass(),
            question: self.question(),
            answer: None,
        });
        self.end(Finding::NotKnown, Some(Trouble::Timeout), None)
    }

    /// Hands out the report.
    fn end(
        self,
        finding: Finding,
        trouble: Option<Trouble>,
        ttl: Option<u32>,
    ) -> (State, Vec<Action<Report>>) {
        let report = Report {
            domain: self.domain,
            finding,
            trouble,
            ttl,
            questions: u32::from(self.freshness == Freshness::Fresh).saturating_add(1),
            steps: self.steps,
        };
        (State::Ended, vec![Action::Done(Box::new(report))])
    }
}

/// What an answer says. A name that does not exist behind an alias is the alias's mistake: the
/// domain itself is there.
fn finding_of(answer: &Answer) -> Finding {
    match &answer.lookup {
        Lookup::NxDomain if answer.aliases.is_empty() => Finding::Absent,
        Lookup::Found(Records::Mx(list)) => match list.as_slice() {
            [only] if only.exchange.is_root() => Finding::NullMx,
            _ => Finding::Sound,
        },
        Lookup::Trouble(_) => Finding::NotKnown,
        Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit => Finding::Sound,
    }
}

/// Keeps a few of a set's records: a publisher cannot make us keep much.
fn cut(answer: &mut Answer) {
    if let Lookup::Found(Records::Mx(list)) = &mut answer.lookup {
        list.sort_unstable();
        list.truncate(KEPT_RECORDS);
    }
}

/// Records kept of a set, for `check`: more only show that they are there.
const KEPT_RECORDS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Mx;
    use crate::time::Wall;
    use alloc::string::ToString;

    fn at(millis: u64) -> Now {
        Now {
            mono: Mono::from_millis(millis),
            wall: Wall::from_secs(1_795_256_100),
        }
    }

    /// Runs a check whose questions are answered by these in turn.
    fn run(answers: Vec<Answer>) -> Report {
        let mut check = Check::new(Domain::parse("example.org").unwrap());
        let mut answers = answers.into_iter();
        let mut actions = check.step(Input::Begin, at(0));
        loop {
            match actions.remove(0) {
                Action::Ask(id, question) => {
                    assert_eq!(question.to_string(), "example.org MX");
                    assert!(
                        check
                            .step(Input::Answer(AskId(9), answer(Lookup::NxDomain)), at(1))
                            .is_empty()
                    );
                    actions = check.step(Input::Answer(id, answers.next().unwrap()), at(1));
                }
                Action::Done(report) => {
                    assert_eq!(answers.next(), None);
                    assert_eq!(
                        usize::try_from(report.questions).unwrap(),
                        report.steps.len()
                    );
                    return *report;
                }
                Action::SetTimer(_) => unreachable!(),
            }
        }
    }

    fn answer(lookup: Lookup) -> Answer {
        Answer {
            ttl: 300,
            ..Answer::bare(lookup)
        }
    }

    fn set(exchanges: &[&str]) -> Lookup {
        let mx = exchanges.iter().map(|exchange| Mx {
            preference: 0,
            exchange: Name::parse(exchange).unwrap(),
        });
        Lookup::Found(Records::Mx(mx.collect()))
    }

    #[test]
    fn what_is_definite_condemns_and_the_rest_says_nothing() {
        let alias = Answer {
            aliases: vec![Name::parse("gone.example").unwrap()],
            ..answer(Lookup::NxDomain)
        };
        let table = [
            (
                answer(Lookup::NxDomain),
                Finding::Absent,
                60,
                Some("550 5.1.8"),
            ),
            (answer(set(&["."])), Finding::NullMx, 60, Some("550 5.7.27")),
            (answer(set(&[".", "mx.example"])), Finding::Sound, 300, None),
            (answer(set(&["mx.example"])), Finding::Sound, 300, None),
            (answer(Lookup::NoData), Finding::Sound, 300, None),
            (answer(Lookup::AliasLimit), Finding::Sound, 300, None),
            (alias, Finding::Sound, 300, None),
            (
                Answer::trouble(Trouble::ServFail),
                Finding::NotKnown,
                0,
                None,
            ),
            (Answer::trouble(Trouble::Bogus), Finding::NotKnown, 0, None),
        ];
        for (answer, finding, keep_for, code) in table {
            let report = run(vec![answer]);
            assert_eq!((report.finding, report.keep_for()), (finding, keep_for));
            let reply = report.refusal().map(|reply| reply.to_string());
            assert_eq!(reply.is_some(), code.is_some());
            assert!(reply.is_none_or(|reply| reply.starts_with(code.unwrap_or_default())));
            let condemns = report.weight() == Weight::Condemns;
            assert_eq!(condemns, code.is_some());
        }
    }

    #[test]
    fn an_old_answer_is_asked_for_again_before_it_rejects() {
        let old = |lookup| Answer {
            age: MAX_AGE + 1,
            ..answer(lookup)
        };
        let report = run(vec![old(Lookup::NxDomain), answer(set(&["mx.example"]))]);
        assert_eq!(report.finding, Finding::Sound);
        let report = run(vec![old(set(&["."])), answer(set(&["."]))]);
        assert_eq!(report.finding, Finding::NullMx);
        let report = run(vec![
            old(Lookup::NxDomain),
            Answer::trouble(Trouble::Timeout),
        ]);
        assert_eq!(report.finding, Finding::NotKnown);
        // What rejects nobody may be old.
        assert_eq!(run(vec![old(Lookup::NoData)]).finding, Finding::Sound);
    }

    #[test]
    fn silence_ends_in_nothing_known() {
        let mut check = Check::new(Domain::parse("example.org").unwrap());
        check.step(Input::Begin, at(0));
        let early = check.step(Input::TimerFired, at(1));
        assert!(matches!(early.as_slice(), [Action::SetTimer(_)]));
        let late = check.step(Input::TimerFired, at(10_000));
        let [Action::Done(report)] = late.as_slice() else {
            panic!("{late:?}");
        };
        assert_eq!(report.finding, Finding::NotKnown);
        assert_eq!(report.weight(), Weight::Silent);
    }
}
