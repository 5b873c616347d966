//! `check_host()` (RFC 7208 §4): what follows from the answers at hand, or which answers it cannot
//! do without. A function of the plan and the answers, run again from the start whenever answers
//! have come in: nothing is carried from one run to the next.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::dns::{Lookup, RecordType, Records};
use crate::verify::TroubleAt;

use super::answers::{Answers, Known, Wanted};
use super::expand::{Target, Values};
use super::limits::{MAX_LOOKUPS, MAX_VOID};
use super::macro_string::MacroString;
use super::record::{Directive, Record};
use super::{Link, Matched, Problem, ProblemKind, SpfResult};

/// How far a walk came, and what it saw on the way.
pub(super) struct Walked {
    /// The result, once the answers lead to it.
    pub settled: Option<Settled>,
    /// Questions whose answers are needed to go on: for the result, or only for the explanation.
    pub wanted: Vec<Wanted>,
    /// Terms that asked the DNS.
    pub lookups: u32,
    /// Those of them that found nothing.
    pub void_lookups: u32,
    /// What was not to be known.
    pub trouble: Vec<TroubleAt>,
}

/// A result, with what it came from.
pub(super) struct Settled {
    /// The result.
    pub result: SpfResult,
    /// The directive that decided.
    pub matched: Option<Matched>,
    /// Why permerror.
    pub problem: Option<Problem>,
    /// The domain's words about a fail.
    pub explanation: Option<Box<str>>,
}

/// Why the walk does not go on.
pub(super) enum Stop {
    /// An answer is missing, and the question is noted.
    Open,
    /// Something was not to be known, and is noted.
    Trouble,
    /// What is published cannot be followed.
    Problem(Problem),
}

/// Everything the walk starts from.
#[derive(Debug)]
pub(super) struct Plan {
    /// The domain whose record comes first.
    pub target: Target,
    /// What macros stand for.
    pub values: Values,
}

/// What came of one record.
struct Outcome {
    /// The result; none if there is no record.
    result: SpfResult,
    /// The directive that decided.
    matched: Option<Matched>,
    /// The record's own `exp=`, with the domain it stands at.
    exp: Option<(MacroString, Target)>,
}

/// Walks as far as the answers lead.
pub(super) fn walk(plan: &Plan, answers: &Answers) -> Walked {
    let mut trail = Trail {
        values: &plan.values,
        answers,
        wanted: Vec::new(),
        lookups: 0,
        void: BTreeSet::new(),
        trouble: Vec::new(),
    };
    let settled = match trail.check_host(&plan.target) {
        Ok(outcome) => Some(trail.settle(outcome)),
        Err(Stop::Open) => None,
        Err(Stop::Trouble) => Some(Settled {
            result: SpfResult::TempError,
            matched: None,
            problem: None,
            explanation: None,
        }),
        Err(Stop::Problem(problem)) => Some(Settled {
            result: SpfResult::PermError,
            matched: None,
            problem: Some(problem),
            explanation: None,
        }),
    };
    Walked {
        settled,
        wanted: trail.wanted,
        lookups: trail.lookups,
        void_lookups: u32::try_from(trail.void.len()).unwrap_or(u32::MAX),
        trouble: trail.trouble,
    }
}

/// What a walk has seen so far.
pub(super) struct Trail<'a> {
    pub values: &'a Values,
    answers: &'a Answers,
    wanted: Vec<Wanted>,
    lookups: u32,
    /// Questions that found nothing; a question that is repeated costs nobody anything.
    void: BTreeSet<Wanted>,
    trouble: Vec<TroubleAt>,
}

impl<'a> Trail<'a> {
    /// Evaluates the record at `target` (RFC 7208 §4.3 to §4.7).
    fn check_host(&mut self, target: &Target) -> Result<Outcome, Stop> {
        let nothing = Outcome {
            result: SpfResult::None,
            matched: None,
            exp: None,
        };
        let known = self.need(target, RecordType::Txt)?;
        let Some(Records::Txt(texts)) = self.records(known, target, RecordType::Txt)? else {
            return Ok(nothing);
        };
        match &known.record {
            Some(Ok(record)) => self.evaluate(record, target),
            Some(Err(error)) => Err(Stop::Problem(Problem {
                at: Some(error.at),
                ..problem(ProblemKind::Syntax(error.kind), target)
            })),
            None if texts.iter().any(|text| Record::is_spf(text)) => {
                Err(stop(ProblemKind::ManyRecords, target))
            }
            None => Ok(nothing),
        }
    }

    /// Goes through a record from the left.
    fn evaluate(&mut self, record: &Record, target: &Target) -> Result<Outcome, Stop> {
        for directive in &record.directives {
            if let Some(matched) = self.try_directive(directive, target)? {
                return Ok(Outcome {
                    result: directive.qualifier.result(),
                    matched: Some(matched),
                    exp: record.exp.clone().map(|exp| (exp, target.clone())),
                });
            }
        }
        match &record.redirect {
            Some(spec) => self.redirect(spec, target),
            None => Ok(Outcome {
                result: SpfResult::Neutral,
                matched: None,
                exp: None,
            }),
        }
    }

    /// `redirect=` (RFC 7208 §6.1): the other record's result, and its explanation.
    fn redirect(&mut self, spec: &MacroString, target: &Target) -> Result<Outcome, Stop> {
        self.count_lookup(target)?;
        let Some(next) = self.target(Some(spec), target)? else {
            return Err(stop(ProblemKind::NoRecord, target));
        };
        let mut outcome = self.check_host(&next)?;
        if outcome.result == SpfResult::None {
            return Err(stop(ProblemKind::NoRecord, target));
        }
        if let Some(matched) = &mut outcome.matched {
            lead(matched, target, format!("redirect={spec}"), spec);
        }
        Ok(outcome)
    }

    /// `include:` (RFC 7208 §5.2): only the other record's pass is a match.
    pub(super) fn include(
        &mut self,
        directive: &Directive,
        spec: &MacroString,
        target: &Target,
    ) -> Result<Option<Matched>, Stop> {
        let Some(next) = self.target(Some(spec), target)? else {
            return Err(stop(ProblemKind::NoRecord, target));
        };
        let outcome = self.check_host(&next)?;
        match (outcome.result, outcome.matched) {
            (SpfResult::None, _) => Err(stop(ProblemKind::NoRecord, target)),
            (SpfResult::Pass, Some(mut matched)) => {
                lead(&mut matched, target, directive.to_string(), spec);
                Ok(Some(matched))
            }
            _ => Ok(None),
        }
    }

    /// The result, and the explanation of a fail as far as its answers are in.
    fn settle(&mut self, outcome: Outcome) -> Settled {
        let exp = outcome.exp.filter(|_| outcome.result == SpfResult::Fail);
        let seen = self.trouble.len();
        let explanation = exp.and_then(|(spec, target)| self.explain(&spec, &target).ok()?);
        // What an explanation lacks makes the result no less certain.
        self.trouble.truncate(seen);
        Settled {
            result: outcome.result,
            matched: outcome.matched,
            problem: None,
            explanation,
        }
    }

    /// The explanation that `exp=` leads to (RFC 7208 §6.2); whatever is wrong with it, there is
    /// none, and nothing else follows.
    fn explain(&mut self, spec: &MacroString, target: &Target) -> Result<Option<Box<str>>, Stop> {
        let Some(at) = self.target(Some(spec), target)? else {
            return Ok(None);
        };
        let known = self.need(&at, RecordType::Txt)?;
        let Lookup::Found(Records::Txt(texts)) = &known.answer.lookup else {
            return Ok(None);
        };
        let [text] = texts.as_slice() else {
            return Ok(None);
        };
        let Ok(text) = MacroString::parse_explanation(text) else {
            return Ok(None);
        };
        let name = self.name_for(&text, target)?;
        let said = self.values.explanation(&text, &target.text, &name);
        Ok((!said.is_empty()).then(|| said.into_boxed_str()))
    }

    /// The name that a term is about: the record's own domain if it names none. None if macros
    /// made something that is no name.
    pub(super) fn target(
        &mut self,
        spec: Option<&MacroString>,
        target: &Target,
    ) -> Result<Option<Target>, Stop> {
        let Some(spec) = spec else {
            return Ok(Some(target.clone()));
        };
        let name = self.name_for(spec, target)?;
        Ok(self.values.target(spec, &target.text, &name))
    }

    /// The address type of the client's family.
    pub(super) const fn family(&self) -> RecordType {
        match self.values.client {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::Aaaa,
        }
    }

    /// The answer; noted as wanted if it is not in.
    pub(super) fn want(&mut self, target: &Target, kind: RecordType) -> Option<&'a Known> {
        let known = self.answers.of(&target.name, kind);
        if known.is_none() {
            self.wanted.push((target.name.clone(), kind));
        }
        known
    }

    /// The answer without which there is no going on.
    pub(super) fn need(&mut self, target: &Target, kind: RecordType) -> Result<&'a Known, Stop> {
        self.want(target, kind).ok_or(Stop::Open)
    }

    /// The records of an answer, if there are any. Trouble ends the check (RFC 7208 §5), and so do
    /// aliases without end: what lies behind them is not known, and not to be waited for either.
    pub(super) fn records(
        &mut self,
        known: &'a Known,
        target: &Target,
        kind: RecordType,
    ) -> Result<Option<&'a Records>, Stop> {
        self.trouble_at(known, target, kind)?;
        match &known.answer.lookup {
            Lookup::Found(records) => Ok(Some(records)),
            Lookup::AliasLimit => Err(stop(ProblemKind::Aliases, target)),
            Lookup::NoData | Lookup::NxDomain | Lookup::Trouble(_) => Ok(None),
        }
    }

    /// Ends the check if that is what the answer says.
    pub(super) fn trouble_at(
        &mut self,
        known: &Known,
        target: &Target,
        kind: RecordType,
    ) -> Result<(), Stop> {
        self.note_trouble(known, target, kind);
        match known.answer.lookup {
            Lookup::Trouble(_) => Err(Stop::Trouble),
            _ => Ok(()),
        }
    }

    /// Notes what was not to be known, if that is what the answer says.
    pub(super) fn note_trouble(&mut self, known: &Known, target: &Target, kind: RecordType) {
        let Lookup::Trouble(trouble) = known.answer.lookup else {
            return;
        };
        let at = TroubleAt {
            name: target.name.clone(),
            kind,
            trouble,
        };
        if !self.trouble.contains(&at) {
            self.trouble.push(at);
        }
    }

    /// One more term that asks the DNS.
    pub(super) fn count_lookup(&mut self, target: &Target) -> Result<(), Stop> {
        self.lookups = self.lookups.saturating_add(1);
        if self.lookups > MAX_LOOKUPS {
            return Err(stop(ProblemKind::Lookups, target));
        }
        Ok(())
    }

    /// A term found nothing: its question counts, unless it has been asked before.
    pub(super) fn count_void(
        &mut self,
        asked: &Target,
        kind: RecordType,
        target: &Target,
    ) -> Result<(), Stop> {
        self.void.insert((asked.name.clone(), kind));
        if u32::try_from(self.void.len()).unwrap_or(u32::MAX) > MAX_VOID {
            return Err(stop(ProblemKind::Void, target));
        }
        Ok(())
    }
}

/// Notes that a term of the record at `target` led to the match.
fn lead(matched: &mut Matched, target: &Target, term: impl Into<Box<str>>, spec: &MacroString) {
    let link = Link {
        owner: target.name.clone(),
        term: term.into(),
    };
    matched.chain.splice(0..0, vec![link]);
    matched.client_named |= super::terms::is_client_named(spec);
}

/// What is wrong in the record at `target`.
fn problem(kind: ProblemKind, target: &Target) -> Problem {
    Problem {
        kind,
        owner: target.name.clone(),
        at: None,
    }
}

/// The end, because of what is wrong in the record at `target`.
pub(super) fn stop(kind: ProblemKind, target: &Target) -> Stop {
    Stop::Problem(problem(kind, target))
}
