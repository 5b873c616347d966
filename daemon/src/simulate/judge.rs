//! The verdict of a receiving site, by the very machines of the service: here they are driven with
//! the made-up DNS, whose answers come at once, or fail.
//!
//! What a site remembers (trouble that lasts, answers within their TTL) is remembered for each site
//! on its own, as it is in the service.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::dns::{Answer, Freshness, Lookup, Question, Trouble};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::inquiry::{self, Inquiry, Tests};
use vouchsafe_proto::verify::lasting::Lasting;
use vouchsafe_proto::verify::mail_from::{self, budget};
use vouchsafe_proto::verify::timing::{Moment, Possible};
use vouchsafe_proto::verify::{
    Action, Evidence, Input, Machine, Verdict, VerdictResult, forwarder,
};

use super::chance::{Chance, number_of};
use super::world::{SiteId, wide};
use super::zone::Zone;

/// A rule that can be left out, to see what it is good for: without any of them legitimate mail is
/// refused, and a simulator that did not show it would be worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rule {
    /// What is not to be known now is put off, not refused
    Tempfail,
    /// Trouble that lasts ends in unknown, not in the mail's return
    Lasting,
    /// A declared forwarder clears a repudiation
    Forwarders,
    /// No rejection rests on an answer older than a minute
    Fresh,
    /// Behind a backup host the test moves to the client outside
    Perimeter,
}

/// What a site is asked to judge.
#[derive(Clone, Debug)]
pub struct Case {
    /// The site that judges.
    pub receiver: SiteId,
    /// MAIL FROM's argument.
    pub reverse_path: ReversePath,
    /// What the client calls itself.
    pub helo: Box<str>,
    /// The client.
    pub client: IpAddr,
    /// The forwarder that the recipient has declared.
    pub forwarder: Option<Domain>,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Ruling {
    /// The verdict.
    pub result: VerdictResult,
    /// Questions that had to be asked of a server.
    pub asked: u64,
    /// Questions in all.
    pub questions: u64,
}

/// All receiving sites' memory at one level.
#[derive(Debug)]
pub struct Judge {
    /// How many in a thousand answers fail.
    failing: usize,
    without: Option<Rule>,
    lasting: HashMap<SiteId, Lasting>,
    cache: HashMap<u64, Cached>,
}

/// When an answer came, and until when it may be used, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Cached {
    since: u64,
    until: u64,
}

/// The questions of one case.
struct Asking<'a> {
    judge: &'a mut Judge,
    zone: &'a Zone<'a>,
    receiver: SiteId,
    chance: &'a mut Chance,
    asked: u64,
    questions: u64,
}

impl Judge {
    /// Sites that remember nothing yet.
    pub fn new(failing: usize, without: Option<Rule>) -> Self {
        Self {
            failing,
            without,
            lasting: HashMap::new(),
            cache: HashMap::new(),
        }
    }

    /// True if the rule holds.
    pub fn keeps(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// The verdict, when all that may clear it has been looked at.
    pub fn judge(&mut self, zone: &Zone<'_>, case: &Case, now: u64, chance: &mut Chance) -> Ruling {
        let mut asking = Asking {
            judge: self,
            zone,
            receiver: case.receiver,
            chance,
            asked: 0,
            questions: 0,
        };
        let mut verdict = asking.verdict(case.reverse_path.clone(), case, now);
        let possible = Possible {
            forwarders: case.forwarder.is_some(),
            ..Possible::default()
        };
        let waits = possible.said_at(&verdict) == Moment::Recipient;
        if let Some(forwarder) = case.forwarder.as_ref().filter(|_| waits) {
            let path = ReversePath::postmaster_of(forwarder);
            let about = asking.verdict(path, case, now);
            let report = forwarder::Report::of(forwarder.clone(), &about);
            verdict = verdict.with([Evidence::Forwarder(Arc::new(report))]);
        }
        let (asked, questions) = (asking.asked, asking.questions);
        let mut result = verdict.result();
        if result == VerdictResult::Tempfail && !self.keeps(Rule::Tempfail) {
            result = VerdictResult::Repudiated;
        }
        Ruling {
            result,
            asked,
            questions,
        }
    }
}

impl Asking<'_> {
    /// The verdict on a reverse-path, as the service gives it at MAIL.
    fn verdict(&mut self, reverse_path: ReversePath, case: &Case, now: u64) -> Verdict {
        let request = inquiry::Request {
            mail_from: mail_from::Request {
                reverse_path,
                helo: case.helo.clone(),
                client: case.client,
                in_perimeter: false,
                sibling: sibling(self.chance),
            },
            receiver: "mx.example".into(),
            tests: Tests::default(),
        };
        let verdict = self.drive(Inquiry::new(request), now);
        if !self.judge.keeps(Rule::Lasting) {
            return verdict;
        }
        let lasting = self.judge.lasting.entry(case.receiver).or_default();
        lasting.settle(verdict, Mono::from_millis(now))
    }

    /// Performs a machine's actions until it is done. Answers come at once, in the order of the
    /// questions; where one is lost, the machine's timer runs out.
    fn drive<M: Machine>(&mut self, mut machine: M, now: u64) -> M::Report {
        let mut now = now;
        let mut timer = now + millis(budget::DEADLINE);
        let mut waiting = vec![Input::Begin];
        loop {
            let input = waiting.pop().unwrap_or_else(|| {
                now = timer;
                timer += millis(budget::DEADLINE);
                Input::TimerFired
            });
            let mut answers = Vec::new();
            for action in machine.step(input, clocks(now)) {
                match action {
                    Action::Ask(id, question) => {
                        let answer = self.ask(&question, now);
                        answers.extend(answer.map(|answer| Input::Answer(id, answer)));
                    }
                    Action::SetTimer(at) => timer = at.as_millis().max(now),
                    Action::Done(report) => return *report,
                }
            }
            answers.reverse();
            waiting.extend(answers);
        }
    }

    /// The answer, as the site's resolver gives it; none if it never comes.
    fn ask(&mut self, question: &Question, now: u64) -> Option<Answer> {
        self.questions += 1;
        let parts = [
            wide(self.receiver),
            number_of(question.name.as_str()),
            question.kind as u64,
        ];
        let key = Chance::of(&parts).number();
        if question.freshness == Freshness::Cached
            && let Some(cached) = self.judge.cache.get(&key)
            && now < cached.until
        {
            let mut answer = self.zone.answer(question, cached.since);
            if self.judge.keeps(Rule::Fresh) {
                // An inquiry that waited for a lost answer has put its last ones a little later
                // than now.
                answer.age = seconds(now.saturating_sub(cached.since));
            }
            answer.ttl = seconds(cached.until - now);
            return Some(answer);
        }
        self.asked += 1;
        if self.chance.happens(self.judge.failing) {
            return self.failed();
        }
        let answer = self.zone.answer(question, now);
        if !matches!(answer.lookup, Lookup::Trouble(_)) {
            let until = now + u64::from(answer.ttl) * 1000;
            self.judge.cache.insert(key, Cached { since: now, until });
        }
        Some(answer)
    }

    /// One of the ways in which a question ends in nothing.
    fn failed(&mut self) -> Option<Answer> {
        let trouble = match self.chance.below(6) {
            0 => Trouble::ServFail,
            1 => Trouble::Refused,
            2 => Trouble::Timeout,
            3 => Trouble::Bogus,
            4 => Trouble::Unreadable,
            _ => return None,
        };
        Some(Answer::trouble(trouble))
    }
}

/// The sibling label of the wildcard test: nine letters.
fn sibling(chance: &mut Chance) -> Box<str> {
    let letter = || char::from(b'a' + u8::try_from(chance.below(26)).unwrap_or(0));
    std::iter::repeat_with(letter)
        .take(9)
        .collect::<String>()
        .into()
}

/// Both clocks: in the made-up world they are one.
fn clocks(now: u64) -> Now {
    Now {
        mono: Mono::from_millis(now),
        wall: Wall::from_millis(now),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(millis: u64) -> u32 {
    u32::try_from(millis / 1000).unwrap_or(u32::MAX)
}
