//! What an operator asks about the ledger's files, whether or not a process has it open. Nothing is changed.

use std::io;

use vouchsafe_proto::residue::Kind;
use vouchsafe_proto::time::Wall;

use super::coverage::Gap;
use super::error::LedgerError;
use super::files::{self, Named};
use super::kept;
use super::question::Hours;
use super::segment::Segment;
use crate::fs::Disk;

/// What a file says of itself.
#[derive(Debug)]
#[non_exhaustive]
pub struct Surveyed {
    /// Its name, with the folder.
    pub name: String,
    /// Of what the digests are.
    pub kind: Kind,
    /// The hours that they are of.
    pub hours: Hours,
    /// How many there are, or what is wrong with the file.
    pub digests: Result<u32, LedgerError>,
}

/// What the record says of coverage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// When the service last said that it runs.
    pub beat: Wall,
    /// The last gap, of all domains.
    pub gap: Gap,
    /// Each domain's own last gap, and whether nobody else may send in its name.
    pub domains: Vec<(Box<str>, Wall, bool)>,
    /// When each writer was last heard of.
    pub writers: Vec<(Box<str>, Wall)>,
    /// Hours that single messages are missing of.
    pub holes: usize,
    /// Files that should be there and are not.
    pub missing: Vec<Box<str>>,
}

/// What is recorded of coverage; none if nothing is, or if it is damaged.
pub fn recorded(disk: &dyn Disk) -> io::Result<Option<Recorded>> {
    let (record, _) = kept::read(disk)?;
    let files = match files::list(disk) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    Ok(record.map(|record| record.recorded(&files)))
}

/// The segments there are, by kind and hour. Reads no more than their headers.
pub fn survey(disk: &dyn Disk) -> io::Result<Vec<Surveyed>> {
    look(disk, |_| Ok(()))
}

/// The same; reads all of them, and compares everything in them with everything else.
pub fn verify(disk: &dyn Disk) -> io::Result<Vec<Surveyed>> {
    look(disk, Segment::verify)
}

fn look(
    disk: &dyn Disk,
    each: impl Fn(&Segment) -> Result<(), LedgerError>,
) -> io::Result<Vec<Surveyed>> {
    let mut files = match files::list(disk) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        files => files?,
    };
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut all = Vec::new();
    for (name, named) in files {
        let Named::Segment { kind, hours, .. } = named else {
            continue;
        };
        let digests = Segment::open(disk, &name).and_then(|segment| {
            each(&segment)?;
            Ok(segment.header.count)
        });
        // A process that has the ledger open may have merged it in the meantime.
        let is_gone = matches!(&digests, Err(LedgerError::Read(error)) if error.kind() == io::ErrorKind::NotFound);
        if !is_gone {
            all.push(Surveyed {
                name,
                kind,
                hours,
                digests,
            });
        }
    }
    Ok(all)
}
