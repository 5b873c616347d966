//! All segments at one moment, by hour, and how questions are looked up in them.
//!
//! A batch is looked up in passes, so that memory is waited for once and not once for each question: the directories'
//! entries are fetched, then the digests, then they are tested. What is only on the disk is read afterwards, for
//! questions that memory had no "sent" for.

use std::sync::Arc;

use vouchsafe_proto::residue::Kind;

use super::open::{Lists, OpenHours};
use super::question::{Answer, Hours, Question};
use super::segment::{Resident, Segment, is_among};
use super::sort::Raw;

/// Places that are fetched together: about what a processor can have under way.
const TOGETHER: usize = 32;

/// The segments of one moment.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    segments: Vec<Arc<Segment>>,
    /// What is damaged: of it nothing is known but its hours.
    damaged: Vec<Damage>,
    messages: ByHour,
    identities: ByHour,
}

/// A segment that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    pub(super) hours: Hours,
    pub(super) serial: u64,
}

/// Which segments each hour is in.
#[derive(Debug, Default)]
struct ByHour {
    /// The hour of the first of `starts`.
    first: u32,
    /// Where each hour's segments begin among `segments`; and where the last one's end.
    starts: Vec<u32>,
    /// Places on the shelf.
    segments: Vec<u32>,
}

impl ByHour {
    fn of(kind: Kind, segments: &[Arc<Segment>]) -> Self {
        let all = || {
            let all = (0_u32..).zip(segments);
            all.filter(|(_, segment)| segment.header.kind == kind)
                .map(|(place, segment)| (place, segment.header.hours))
        };
        let first = all().map(|(_, hours)| hours.first()).min();
        let end = all().map(|(_, hours)| hours.end()).max();
        let (Some(first), Some(end)) = (first, end) else {
            return Self::default();
        };
        let mut by_hour = Self {
            first,
            ..Self::default()
        };
        for hour in first..end {
            by_hour.mark();
            let here = all().filter(|(_, hours)| hours.touch(Hours::of(hour, 1)));
            by_hour.segments.extend(here.map(|(place, _)| place));
        }
        by_hour.mark();
        by_hour
    }

    fn mark(&mut self) {
        let start = u32::try_from(self.segments.len()).unwrap_or(u32::MAX);
        self.starts.push(start);
    }

    /// The segments of an hour.
    fn at(&self, hour: u32) -> &[u32] {
        let range = hour.checked_sub(self.first).and_then(|hour| {
            let hour = hour as usize;
            match self.starts.get(hour..hour.checked_add(2)?)? {
                &[start, end] => self.segments.get(start as usize..end as usize),
                _ => None,
            }
        });
        range.unwrap_or_default()
    }

    /// Those of the given hours that some segment is in.
    fn within(&self, hours: Hours) -> std::ops::Range<u32> {
        let count = u32::try_from(self.starts.len().saturating_sub(1)).unwrap_or(u32::MAX);
        hours.first().max(self.first)..hours.end().min(self.first.saturating_add(count))
    }
}

/// One question in one place.
struct Probe<'a, P, D> {
    number: usize,
    question: &'a Question,
    place: &'a P,
    found: D,
}

impl Shelf {
    /// A shelf of these.
    pub(super) fn new(segments: Vec<Arc<Segment>>, damaged: Vec<Damage>) -> Self {
        Self {
            messages: ByHour::of(Kind::Message, &segments),
            identities: ByHour::of(Kind::Identity, &segments),
            segments,
            damaged,
        }
    }

    pub(super) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    pub(super) fn damaged(&self) -> &[Damage] {
        &self.damaged
    }

    /// The segments of a question, each once.
    fn of(&self, question: &Question) -> impl Iterator<Item = &Arc<Segment>> {
        let by_hour = match question.kind {
            Kind::Message => &self.messages,
            Kind::Identity => &self.identities,
        };
        let asked = question.hours.first();
        by_hour
            .within(question.hours)
            .flat_map(move |hour| by_hour.at(hour).iter().map(move |place| (hour, place)))
            .filter_map(move |(hour, place)| {
                let segment = self.segments.get(*place as usize)?;
                // One of many hours is met in the first of them that is asked for.
                (segment.header.hours.first().max(asked) == hour).then_some(segment)
            })
    }

    /// Answers questions that nothing was found for yet, from memory and then from the disk.
    pub(super) fn look_up(&self, questions: &[Question], answers: &mut [Answer]) {
        let mut probes: Vec<Probe<'_, Resident, &[Raw]>> = Vec::with_capacity(TOGETHER);
        let mut is_all = true;
        for (number, question) in questions.iter().enumerate() {
            if answers.get(number) == Some(&Answer::Sent) {
                continue;
            }
            for segment in self.of(question) {
                let Some(place) = segment.resident() else {
                    is_all = false;
                    continue;
                };
                place.fetch_entry(question.index);
                probes.push(Probe {
                    number,
                    question,
                    place,
                    found: &[],
                });
                if probes.len() == TOGETHER {
                    test(&mut probes, answers);
                }
            }
        }
        test(&mut probes, answers);
        if !is_all || !self.damaged.is_empty() {
            self.look_on_disk(questions, answers);
        }
    }

    /// The same, of what is not in memory.
    fn look_on_disk(&self, questions: &[Question], answers: &mut [Answer]) {
        for (question, answer) in questions.iter().zip(answers) {
            if *answer == Answer::Sent {
                continue;
            }
            let on_disk = self
                .of(question)
                .filter(|segment| segment.resident().is_none());
            for segment in on_disk {
                match segment.look_on_disk(question) {
                    Ok(true) => {
                        *answer = Answer::Sent;
                        break;
                    }
                    Ok(false) => {}
                    Err(_) => *answer = Answer::Unreadable,
                }
            }
            let is_damaged = self
                .damaged
                .iter()
                .any(|damage| damage.kind == question.kind && damage.hours.touch(question.hours));
            if is_damaged && *answer == Answer::NotFound {
                *answer = Answer::Unreadable;
            }
        }
    }
}

/// The passes behind the first: fetches the digests, and tests them.
fn test<'a>(probes: &mut Vec<Probe<'a, Resident, &'a [Raw]>>, answers: &mut [Answer]) {
    for probe in &mut *probes {
        probe.found = probe.place.fetch_digests(probe.question.index);
    }
    for probe in probes.drain(..) {
        if is_among(probe.found, probe.question)
            && let Some(answer) = answers.get_mut(probe.number)
        {
            *answer = Answer::Sent;
        }
    }
}

/// The same for hours that are open.
pub(super) fn look_up_open(open: &OpenHours, questions: &[Question], answers: &mut [Answer]) {
    if open.is_empty() {
        return;
    }
    let mut probes: Vec<Probe<'_, Lists, u32>> = Vec::with_capacity(TOGETHER);
    for (number, question) in questions.iter().enumerate() {
        for place in open.of(question.kind, question.hours) {
            place.fetch_head(question.index);
            probes.push(Probe {
                number,
                question,
                place,
                found: 0,
            });
            if probes.len() == TOGETHER {
                test_open(&mut probes, answers);
            }
        }
    }
    test_open(&mut probes, answers);
}

fn test_open(probes: &mut Vec<Probe<'_, Lists, u32>>, answers: &mut [Answer]) {
    for probe in &mut *probes {
        probe.found = probe.place.fetch_first(probe.question.index);
    }
    for probe in probes.drain(..) {
        if probe.place.is_listed(probe.found, probe.question)
            && let Some(answer) = answers.get_mut(probe.number)
        {
            *answer = Answer::Sent;
        }
    }
}
