//! What all segments together say about each message: the newest counts.
//!
//! Here it is decided what of a group that may never have been durable is whole, and what of one that
//! was durable is damaged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vouchsafe_proto::queue_id::QueueId;

use super::log::body::Place;
use super::log::frame::Kind;
use super::log::index::Item;
use super::log::scan::{Note, Scan};
use super::recover::{Corruption, Finding, Recovered};
use super::threads::lock;
use crate::Waits;

/// A segment by its age, and by its number.
type From = (u64, u32);

/// The number of a settlement, how often the message was moved since, and where that is.
type Age = (u64, u32, From);

/// What is known of a message so far.
#[derive(Default)]
struct Gathered {
    /// The newest body.
    body: Option<(Age, Item, Waits)>,
    /// The newest progress.
    progress: Option<(Age, Place, Waits)>,
    /// What says that it left.
    gone: Option<From>,
    /// Wherever something older is.
    older: Vec<From>,
}

/// What is known of all messages so far.
#[derive(Default)]
pub(super) struct Gathering {
    messages: BTreeMap<QueueId, Gathered>,
    /// The highest number of a settlement.
    settlements: u64,
    damage: Vec<Note>,
    /// Messages of which a copy is not whole.
    doubted: Vec<QueueId>,
    durable: HashMap<u64, u64>,
}

impl Gathering {
    /// All that a segment says.
    pub(super) fn add(&mut self, generation: u64, number: u32, notes: Vec<Note>) {
        let from = (generation, number);
        for note in notes {
            match note {
                Note::Accepted {
                    id,
                    state,
                    copy,
                    body,
                    waits,
                    content,
                } => {
                    self.settlements = self.settlements.max(state);
                    let item = Item::new(body, state, copy, &content);
                    let message = self.messages.entry(id).or_default();
                    let newer = ((state, copy, from), item, waits);
                    message.older.extend(newest(&mut message.body, newer));
                }
                Note::Progress {
                    id,
                    state,
                    record,
                    waits,
                } => {
                    self.settlements = self.settlements.max(state);
                    let message = self.messages.entry(id).or_default();
                    let newer = ((state, 0, from), record, waits);
                    message.older.extend(newest(&mut message.progress, newer));
                }
                Note::Gone { id } => {
                    let message = self.messages.entry(id).or_default();
                    message.gone = message.gone.max(Some(from));
                }
                damage @ (Note::Bad { .. } | Note::Hole { .. }) => self.damage.push(damage),
            }
        }
    }

    /// How far each run had come, as a segment says.
    pub(super) fn hear(&mut self, durable: &HashMap<u64, u64>) {
        for (run, upto) in durable {
            let known = self.durable.entry(*run).or_default();
            *known = *upto.max(known);
        }
    }

    /// True if a group was durable once.
    fn was_durable(&self, run: u64, batch: u64) -> bool {
        self.durable.get(&run).is_some_and(|upto| batch < *upto)
    }

    /// Of a group that may never have been durable, a frame counts only if all the content that it
    /// speaks of is there: a torn write leaves any part of it.
    pub(super) fn doubt(&mut self, scan: &mut Scan, recovered: &mut Recovered) {
        let mut notes = std::mem::take(&mut scan.notes).into_iter();
        for (run, batch, count) in &scan.frames {
            let frame: Vec<Note> = notes.by_ref().take(*count).collect();
            let torn = frame.iter().find_map(|note| match note {
                Note::Accepted { id, body, copy, .. } => Some((*id, *copy))
                    .filter(|_| !self.was_durable(*run, *batch) && !recovered.is_whole(*id, *body)),
                _ => None,
            });
            match torn {
                Some((id, 0)) => recovered.findings.push(Finding::Orphan(id)),
                // What it was copied from is there, unless the copy was damaged later.
                Some((id, _)) => self.doubted.push(id),
                None => scan.notes.extend(frame),
            }
        }
    }

    /// What all of it means.
    pub(super) fn settle(mut self, recovered: &mut Recovered) {
        recovered.settlements = self.settlements;
        let damage = std::mem::take(&mut self.damage);
        for id in std::mem::take(&mut self.doubted) {
            if !self.messages.contains_key(&id) {
                recovered.findings.push(Finding::Orphan(id));
            }
        }
        let mut bad = HashMap::new();
        for note in &damage {
            self.look_at(note, recovered, &mut bad);
        }
        for (id, message) in std::mem::take(&mut self.messages) {
            message.settle(id, bad.remove(&id), recovered);
        }
        for (id, (_, frame)) in bad {
            let raw = recovered.raw(frame);
            let segments = vec![frame.segment];
            recovered.doom(id, Corruption::Checksum, (&raw, &[]), segments);
        }
    }

    /// What a damaged piece means.
    fn look_at(
        &self,
        note: &Note,
        recovered: &mut Recovered,
        bad: &mut HashMap<QueueId, (u64, Place)>,
    ) {
        match note {
            Note::Hole { at, run, batch } if self.was_durable(*run, *batch) => {
                recovered.findings.push(Finding::Damaged {
                    segment: at.segment,
                    offset: at.offset,
                    octets: at.len,
                });
                recovered.holes.push(*at);
            }
            Note::Bad {
                id,
                kind,
                state,
                frame,
                run,
                batch,
            } => {
                let known = self.messages.contains_key(id);
                if self.was_durable(*run, *batch) {
                    bad.insert(*id, (*state, *frame));
                } else if *kind == Kind::Accepted && !known {
                    recovered.findings.push(Finding::Orphan(*id));
                }
            }
            _ => {}
        }
    }
}

/// Puts the newer of two in place, and says where the other is.
fn newest<T>(held: &mut Option<(Age, T, Waits)>, found: (Age, T, Waits)) -> Option<From> {
    match held {
        Some(held) if held.0 >= found.0 => Some(found.0.2),
        held => held.replace(found).map(|older| older.0.2),
    }
}

/// Messages that have left, of which that is known after a start: far more than could be taken and delivered while
/// one flush lasts. Some megabytes.
const LEFT: usize = 1 << 16;

impl Gathered {
    /// Where anything about it is.
    fn all(&self) -> Vec<From> {
        let body = self.body.iter().map(|(age, ..)| age.2);
        let progress = self.progress.iter().map(|(age, ..)| age.2);
        self.older
            .iter()
            .copied()
            .chain(body)
            .chain(progress)
            .collect()
    }

    /// What it means.
    fn settle(self, id: QueueId, bad: Option<(u64, Place)>, recovered: &mut Recovered) {
        let all = self.all();
        let store = Arc::clone(&recovered.store);
        let segments: Vec<u32> = all.iter().map(|(_, number)| *number).collect();
        if let Some(gone) = self.gone {
            recovered.left.insert(id);
            if recovered.left.len() > LEFT {
                recovered.left.pop_first();
            }
            let mut index = lock(&store.index);
            for from in all {
                if from > gone {
                    index.say_again(id, Some(gone.1), from.1);
                } else {
                    index.outlives(gone.1, from.1);
                }
            }
            return;
        }
        let Some(((state, ..), mut item, mut waits)) = self.body else {
            let progress = self.progress.map(|(_, place, _)| recovered.raw(place));
            let progress = progress.unwrap_or_default();
            let raw = (&[][..], &progress[..]);
            return recovered.doom(id, Corruption::NoEnvelope, raw, segments);
        };
        if let Some(((later, ..), place, later_waits)) = self.progress
            && later > state
        {
            item.progress = Some(place);
            item.state = later;
            waits = later_waits;
        }
        let is_bad = bad.is_some_and(|(state, _)| state > item.state);
        let is_there = |(segment, _)| store.segment(segment).is_some();
        let lost = !item.shares().all(is_there);
        if is_bad || lost {
            let why = if is_bad {
                Corruption::Checksum
            } else {
                Corruption::NoContent
            };
            let body = recovered.raw(item.body);
            let progress = item.progress.map(|place| recovered.raw(place));
            let raw = (&body[..], &progress.unwrap_or_default()[..]);
            return recovered.doom(id, why, raw, segments);
        }
        waits.octets = item.octets();
        let mut index = lock(&store.index);
        index.insert(id, item);
        for segment in segments {
            index.note_older(id, segment);
        }
        drop(index);
        recovered.due.insert(id, waits);
    }
}
