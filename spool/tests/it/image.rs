//! What a crash leaves of what was written: the legal images of a disk.
//!
//! Everything behind a flush that had ended is there. Of the rest, any part may be: names one by
//! one, contents sector by sector in any order, lengths apart from contents. What a sector holds
//! is what the cache held of it at some moment since its last flush, never a mixture. Changes of
//! one name, and of one file's length, keep their order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chance::Chance;
use crate::disk::{Of, Op, folder_of};

/// What a crash does to what was not flushed.
#[derive(Clone, Copy, Debug)]
pub enum Crash {
    /// Only the process ends: everything is there, and can still be lost to what comes after.
    Process,
    /// None of it is there.
    Power,
    /// Some of it is there, as this seed has it.
    Partly(u64),
}

/// What lies on a disk and lasts.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub names: BTreeMap<String, usize>,
    /// By number; those without a name too, since what is still to come may speak of them.
    pub files: Vec<Arc<[u8]>>,
}

/// One file while its past is played again.
struct Playing {
    /// What the cache holds.
    cached: Vec<u8>,
    /// What has reached the disk, as far as it goes.
    reached: Vec<u8>,
    /// The length that has reached the disk.
    len: u64,
}

/// How a seed decides.
enum Mood {
    /// Each by itself, with so many chances of eight.
    Each(u64),
    /// The first so many, and the next in part.
    First(usize),
    /// Just this one.
    Only(usize),
    /// All but this one.
    AllBut(usize),
}

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Torn,
    Lost,
}

/// What is left of `base` and what was done to it.
pub fn after(base: &Image, log: &[Op], crash: Crash) -> Image {
    let mut chance = Chance::new(match crash {
        Crash::Partly(seed) => seed,
        Crash::Process | Crash::Power => 0,
    });
    let sector = if chance.one_in(2) { 512 } else { 4096 };
    let fates = fates(log, crash, &mut chance);
    let lengths = lengths(base.files.len(), log, &fates, &mut chance);
    let mut names = base.names.clone();
    let of_base = base.files.iter().map(|octets| Playing {
        cached: octets.to_vec(),
        reached: octets.to_vec(),
        len: octets.len() as u64,
    });
    let mut files: Vec<_> = of_base.collect();
    for (at, (op, fate)) in log.iter().zip(&fates).enumerate() {
        match op {
            Op::Create { name } => {
                // The file itself is needed for what is flushed into it later.
                files.push(Playing {
                    cached: Vec::new(),
                    reached: Vec::new(),
                    len: 0,
                });
                if *fate == Fate::Stays {
                    names.insert(name.clone(), files.len() - 1);
                }
            }
            Op::Rename { from, to } if *fate == Fate::Stays => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Op::Remove { name } if *fate == Fate::Stays => {
                names.remove(name);
            }
            Op::Write {
                file,
                offset,
                octets,
            } => {
                let playing = &mut files[*file];
                put(&mut playing.cached, *offset, octets);
                let end = offset + octets.len() as u64;
                if lengths[*file].is_some_and(|last| at <= last) {
                    playing.len = playing.len.max(end);
                }
                let sectors = offset / sector..end.div_ceil(sector);
                for number in sectors {
                    let reaches = match fate {
                        Fate::Stays => true,
                        Fate::Torn => chance.one_in(2),
                        Fate::Lost => false,
                    };
                    if reaches {
                        playing.reach(number * sector, sector);
                    }
                }
            }
            Op::SetLen { file, len } => {
                let playing = &mut files[*file];
                cut(&mut playing.cached, *len);
                if lengths[*file].is_some_and(|last| at <= last) {
                    playing.len = *len;
                    let reached = playing.reached.len() as u64;
                    cut(&mut playing.reached, reached.min(*len));
                }
            }
            Op::Rename { .. } | Op::Remove { .. } | Op::Sync { .. } => {}
        }
    }
    let files = files.into_iter().map(|mut playing| {
        cut(&mut playing.reached, playing.len);
        playing.reached.into()
    });
    Image {
        names,
        files: files.collect(),
    }
}

impl Playing {
    /// A sector goes to the disk as the cache has it.
    fn reach(&mut self, start: u64, len: u64) {
        let start = usize::try_from(start).unwrap();
        let end = self.cached.len().min(start + usize::try_from(len).unwrap());
        if start < end {
            put(&mut self.reached, start as u64, &self.cached[start..end]);
        }
    }
}

/// What becomes of each operation.
fn fates(log: &[Op], crash: Crash, chance: &mut Chance) -> Vec<Fate> {
    let mut fates = vec![Fate::Lost; log.len()];
    let waiting = not_flushed(log, &mut fates);
    if !matches!(crash, Crash::Partly(_)) || waiting.is_empty() {
        return fates;
    }
    let one = chance.below(waiting.len());
    let mood = match chance.below(8) {
        0 | 1 => Mood::First(one),
        2 => Mood::Only(one),
        3 => Mood::AllBut(one),
        4 => Mood::Each(1),
        5 => Mood::Each(7),
        _ => Mood::Each(4),
    };
    for (nth, at) in waiting.into_iter().enumerate() {
        let torn = if chance.one_in(2) {
            Fate::Torn
        } else {
            Fate::Lost
        };
        fates[at] = match mood {
            Mood::Each(of_eight) if (chance.below(8) as u64) < of_eight => {
                if chance.one_in(4) {
                    Fate::Torn
                } else {
                    Fate::Stays
                }
            }
            Mood::First(count) if nth < count => Fate::Stays,
            Mood::First(count) if nth == count => torn,
            Mood::Only(only) if nth == only => Fate::Stays,
            Mood::AllBut(but) if nth != but => Fate::Stays,
            Mood::AllBut(_) => torn,
            Mood::Each(_) | Mood::First(_) | Mood::Only(_) => Fate::Lost,
        };
        // Only contents come in parts.
        if fates[at] == Fate::Torn && !matches!(log[at], Op::Write { .. }) {
            fates[at] = Fate::Stays;
        }
    }
    fates
}

/// Marks what was flushed as staying; gives the rest.
fn not_flushed(log: &[Op], fates: &mut [Fate]) -> Vec<usize> {
    let mut waiting: Vec<usize> = Vec::new();
    let mut dropped = Vec::new();
    for (at, op) in log.iter().enumerate() {
        let Op::Sync { of, began, failed } = op else {
            waiting.push(at);
            continue;
        };
        // Names are not dropped: they are the filesystem's own, and it remembers or gives up.
        if *failed && matches!(of, Of::Folder(_)) {
            continue;
        }
        let covered = |at: usize| {
            at < *began
                && match (&log[at], of) {
                    (
                        Op::Create { name } | Op::Remove { name } | Op::Rename { to: name, .. },
                        Of::Folder(folder),
                    ) => folder_of(name) == folder,
                    (Op::Write { file, .. } | Op::SetLen { file, .. }, Of::File(of)) => file == of,
                    _ => false,
                }
        };
        waiting.retain(|at| {
            if covered(*at) {
                // No flush covers any more what a failed one was to cover.
                if *failed {
                    dropped.push(*at);
                } else {
                    fates[*at] = Fate::Stays;
                }
            }
            !covered(*at)
        });
    }
    waiting.extend(dropped);
    waiting.sort_unstable();
    waiting
}

/// For each file, the last operation of which the length has reached the disk.
fn lengths(before: usize, log: &[Op], fates: &[Fate], chance: &mut Chance) -> Vec<Option<usize>> {
    let made = log.iter().filter(|op| matches!(op, Op::Create { .. }));
    let files = before + made.count();
    let (mut kept, mut last) = (vec![None; files], vec![None; files]);
    for (at, (op, fate)) in log.iter().zip(fates).enumerate() {
        if let Op::Write { file, .. } | Op::SetLen { file, .. } = op {
            last[*file] = Some(at);
            if *fate != Fate::Lost {
                kept[*file] = Some(at);
            }
        }
    }
    let any_lost = fates.contains(&Fate::Stays) && fates.contains(&Fate::Lost);
    for (kept, last) in kept.iter_mut().zip(last) {
        // A length may be ahead of the contents; what they have not filled reads as zeros.
        if any_lost && chance.is_random() && chance.one_in(8) {
            *kept = last;
        }
    }
    kept
}

/// Puts octets where they belong, behind zeros if need be.
pub fn put(into: &mut Vec<u8>, offset: u64, octets: &[u8]) {
    let start = usize::try_from(offset).unwrap();
    if into.len() < start {
        cut(into, offset);
    }
    let over = octets.len().min(into.len() - start);
    into[start..start + over].copy_from_slice(&octets[..over]);
    into.extend_from_slice(&octets[over..]);
}

/// Cuts or extends with zeros.
pub fn cut(octets: &mut Vec<u8>, len: u64) {
    let len = usize::try_from(len).unwrap();
    match len.checked_sub(octets.len()) {
        Some(more) => octets.extend_from_slice(&vec![0; more]),
        None => octets.truncate(len),
    }
}
