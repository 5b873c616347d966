//! What a start finds, and what it completes or undoes ([`super`] has the table).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::coverage::{Coverage, Findings, Origin, Record};
use super::files::{self, FOLDER, Named};
use super::open::OpenHours;
use super::segment::Segment;
use super::shelf::{Damage, Shelf};
use super::{Closed, Opened, journal, kept};
use crate::fs::Disk;

/// A ledger, found.
pub(super) struct Found {
    pub(super) shelf: Shelf,
    /// What journals hold.
    pub(super) closed: Option<Closed>,
    /// The next that may be given out.
    pub(super) serial: u64,
    pub(super) opened: Opened,
    pub(super) coverage: Coverage,
    pub(super) start: Start,
}

/// What the record of the last process says, compared with what there is.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) origin: Origin,
    pub(super) findings: Findings,
    /// The segments there are.
    pub(super) segments: BTreeSet<Box<str>>,
    /// The journals there are, and how much of each is durable.
    pub(super) journals: BTreeMap<Box<str>, u64>,
}

impl Start {
    fn compare(
        record: Option<&Record>,
        origin: Origin,
        shelf: &Shelf,
        journals: BTreeMap<Box<str>, u64>,
    ) -> Self {
        let sound = shelf.segments().iter().map(|segment| &segment.name);
        let damaged = shelf.damaged().iter().map(|damage| &damage.name);
        let segments: BTreeSet<_> = sound
            .chain(damaged)
            .map(|name| Box::from(&**name))
            .collect();
        let unsound = shelf.damaged().iter();
        let unsound = unsound.map(|damage| (Box::from(&*damage.name), damage.hours.end()));
        let mut findings = Findings {
            segments: unsound.collect(),
            journals: Vec::new(),
        };
        if let Some(record) = record {
            let lost = record.segments.difference(&segments);
            findings.segments.extend(lost.filter_map(|name| {
                let end = missing(shelf, name)?;
                Some((name.clone(), end))
            }));
            let cut = record.journals.iter().filter(|(name, durable)| {
                let found = journals.get(*name);
                found.is_none_or(|found| found < *durable)
            });
            findings.journals.extend(cut.map(|(name, _)| name.clone()));
        }
        Self {
            origin,
            findings,
            segments,
            journals,
        }
    }
}

/// The hour behind those of a segment that is not there; none if a merger holds what it held.
fn missing(shelf: &Shelf, name: &str) -> Option<u32> {
    let Named::Segment {
        kind,
        hours,
        serial,
    } = Named::of_path(name)?
    else {
        return None;
    };
    let is_merged = shelf.segments().iter().any(|segment| {
        let over = segment.header;
        over.is_merger && over.kind == kind && over.hours.hold(hours) && serial < over.serial
    });
    (!is_merged).then_some(hours.end())
}

/// Reads the folder, which is made if it is not there.
pub(super) fn start(disk: &dyn Disk) -> io::Result<Found> {
    disk.create_dir("")?;
    disk.create_dir(FOLDER)?;
    let files = files::list(disk)?;
    let serials = files.iter().map(|(_, named)| named.serial());
    let serial = serials.max().map_or(0, |serial| serial.saturating_add(1));
    let mut opened = Opened::default();
    let mut changed = false;
    let (mut segments, mut damaged) = (Vec::new(), Vec::new());
    for (name, named) in &files {
        match named {
            Named::Unborn { .. } => {
                disk.remove(name)?;
                changed = true;
            }
            Named::Segment { .. } => match open(disk, name, named) {
                Ok(segment) => segments.push(Arc::new(segment)),
                Err(damage) => damaged.extend(damage),
            },
            Named::Journal { .. } => {}
        }
    }
    let held = superseded(&mut segments, &mut damaged);
    if !held.is_empty() {
        // The merger's name may be in the cache alone, if only the process has ended.
        disk.sync_dir(FOLDER)?;
    }
    for name in held {
        disk.remove(&name)?;
        changed = true;
    }
    if changed {
        // Durably: else a crash could bring back a name that is given to another file by then.
        disk.sync_dir(FOLDER)?;
    }
    let mut journals = BTreeMap::new();
    let closed = read_back(disk, &files, &mut opened, &mut journals)?;
    let names = damaged.iter().map(|damage| damage.name.to_string());
    opened.damaged = names.collect();
    let shelf = Shelf::new(segments, damaged);
    let (record, origin) = kept::read(disk)?;
    let start = Start::compare(record.as_ref(), origin, &shelf, journals);
    Ok(Found {
        shelf,
        closed,
        serial,
        opened,
        coverage: Coverage::new(record),
        start,
    })
}

/// Opens a segment that is what its name says.
fn open(disk: &dyn Disk, name: &str, named: &Named) -> Result<Segment, Option<Damage>> {
    let Named::Segment {
        kind,
        hours,
        serial,
    } = *named
    else {
        return Err(None);
    };
    let segment = Segment::open(disk, name).ok().filter(|segment| {
        let header = segment.header;
        (header.kind, header.hours, header.serial) == (kind, hours, serial)
    });
    segment.ok_or_else(|| {
        Some(Damage {
            name: name.into(),
            kind,
            hours,
            serial,
        })
    })
}

/// Takes out what mergers have taken the place of, and gives its names.
fn superseded(segments: &mut Vec<Arc<Segment>>, damaged: &mut Vec<Damage>) -> Vec<Arc<str>> {
    let mut gone = Vec::new();
    let mergers: Vec<_> = segments
        .iter()
        .filter(|segment| segment.header.is_merger)
        .cloned()
        .collect();
    for merger in mergers {
        let over = merger.header;
        let is_held = |kind, hours, serial| {
            over.kind == kind && over.hours.hold(hours) && serial < over.serial
        };
        let of_segment = |segment: &Arc<Segment>| {
            let header = segment.header;
            is_held(header.kind, header.hours, header.serial)
        };
        let of_damage = |damage: &Damage| is_held(damage.kind, damage.hours, damage.serial);
        let holds_any = segments.iter().any(of_segment) || damaged.iter().any(of_damage);
        // What it was made of is worth more than one that is not sound.
        if !holds_any || merger.verify().is_err() {
            continue;
        }
        let held = segments.extract_if(.., |segment| of_segment(segment));
        gone.extend(held.map(|segment| Arc::clone(&segment.name)));
        let held = damaged.extract_if(.., |damage| of_damage(damage));
        gone.extend(held.map(|damage| damage.name));
    }
    gone
}

/// Reads the journals.
fn read_back(
    disk: &dyn Disk,
    files: &[(String, Named)],
    opened: &mut Opened,
    durable: &mut BTreeMap<Box<str>, u64>,
) -> io::Result<Option<Closed>> {
    let mut hours = OpenHours::default();
    let mut journals = Vec::new();
    for (name, named) in files {
        let Named::Journal { serial } = *named else {
            continue;
        };
        let (read, unread) = journal::read_back(disk, serial, |entries| {
            hours.insert_all(entries);
            opened.read_back = opened.read_back.saturating_add(entries.len() as u64);
        })?;
        if unread > 0 {
            opened.unread.push((name.clone(), unread));
        }
        durable.insert(name.as_str().into(), read);
        journals.push(name.clone());
    }
    Ok((!journals.is_empty()).then_some(Closed { hours, journals }))
}
