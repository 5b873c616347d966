//! Does the reverse-path's domain answer at all? One question at MAIL, beside the others: TXT of `_sent.<domain>`.
//!
//! Promised: an offer that is not there, cannot be understood or is not to be had now is none, and then the ledger
//! changes nothing: neither what a message is worth nor when that is said. Left to others: who answers (residue), which is
//! found out only when there is something to ask.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use crate::addr::Domain;
use crate::dns::{Answer, Freshness, Lookup, Name, Question, RecordType, Records};
use crate::residue::Offer;
use crate::residue::servers::LABEL;
use crate::time::{Mono, Now};
use crate::verify::{Action, AskId, Input, Machine, Step};

/// What a domain offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// It.
    pub offer: Offer,
    /// For how long.
    pub ttl: u32,
    /// The question and its answer.
    pub steps: Vec<Step>,
}

/// Less than the other tests have: nothing waits for a ledger that is slow to be found.
const DEADLINE: Duration = Duration::from_secs(5);

/// The machine.
#[derive(Debug)]
pub struct Discovery {
    domain: Domain,
    open: Option<Question>,
    deadline: Mono,
}

impl Discovery {
    /// One that has not begun.
    pub const fn new(domain: Domain) -> Self {
        Self {
            domain,
            open: None,
            deadline: Mono::from_millis(0),
        }
    }

    fn begin(&mut self, now: Mono) -> Vec<Action<Option<Offered>>> {
        let Ok(name) = Name::from(&self.domain).child(LABEL) else {
            return vec![Action::Done(Box::new(None))];
        };
        let question = Question {
            name,
            kind: RecordType::Txt,
            freshness: Freshness::Cached,
        };
        self.deadline = now.plus(DEADLINE);
        self.open = Some(question.clone());
        vec![
            Action::Ask(AskId(0), question),
            Action::SetTimer(self.deadline),
        ]
    }
}

impl Machine for Discovery {
    type Report = Option<Offered>;

    fn step(&mut self, input: Input, now: Now) -> Vec<Action<Option<Offered>>> {
        match input {
            Input::Begin => self.begin(now.mono),
            Input::Answer(AskId(0), answer) => match self.open.take() {
                Some(question) => vec![Action::Done(Box::new(read(question, answer)))],
                None => Vec::new(),
            },
            Input::TimerFired if self.open.is_some() && now.mono < self.deadline => {
                vec![Action::SetTimer(self.deadline)]
            }
            Input::TimerFired => match self.open.take() {
                Some(_) => vec![Action::Done(Box::new(None))],
                None => Vec::new(),
            },
            Input::Answer(..) => Vec::new(),
        }
    }
}

/// The offer in an answer.
fn read(question: Question, answer: Answer) -> Option<Offered> {
    let Lookup::Found(Records::Txt(texts)) = &answer.lookup else {
        return None;
    };
    let offer = Offer::of_records(texts.iter().map(|text| &**text))?;
    Some(Offered {
        offer,
        ttl: answer.ttl,
        steps: vec![Step {
            pass: 1,
            question,
            answer: Some(Arc::new(answer)),
        }],
    })
}
