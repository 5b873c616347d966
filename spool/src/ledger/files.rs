//! The ledger's files: how they are called, and which there are.

use std::io;

use vouchsafe_proto::residue::Kind;

use super::question::Hours;
use crate::fs::Disk;

/// The folder.
pub(super) const FOLDER: &str = "ledger";

/// Hours that a segment spans at most.
const LONGEST: u32 = 24;

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A segment.
    Segment {
        kind: Kind,
        hours: Hours,
        serial: u64,
    },
    /// A journal.
    Journal { serial: u64 },
    /// A segment that was being written.
    Unborn { serial: u64 },
}

impl Named {
    pub(super) const fn serial(&self) -> u64 {
        match *self {
            Self::Segment { serial, .. } | Self::Journal { serial } | Self::Unborn { serial } => {
                serial
            }
        }
    }

    /// The same, with the folder.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Self::of(path.strip_prefix(FOLDER)?.strip_prefix('/')?)
    }

    /// What the name of a file in the folder says; `None` if it is not one of ours.
    fn of(name: &str) -> Option<Self> {
        if let Some(serial) = name.strip_prefix("journal-") {
            let serial = number(serial)?;
            return Some(Self::Journal { serial });
        }
        if let Some(name) = name.strip_suffix(".new") {
            let serial = Self::of(name)?.serial();
            return Some(Self::Unborn { serial });
        }
        let mut parts = name.split('-');
        let kind = match parts.next()? {
            "message" => Kind::Message,
            "identity" => Kind::Identity,
            _ => return None,
        };
        let first = u32::try_from(number(parts.next()?)?).ok()?;
        let count = u32::try_from(number(parts.next()?)?).ok()?;
        let serial = number(parts.next()?)?;
        (parts.next().is_none() && (1..=LONGEST).contains(&count)).then_some(Self::Segment {
            kind,
            hours: Hours::of(first, count),
            serial,
        })
    }
}

fn number(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// What a segment is called.
pub(super) fn segment_name(kind: Kind, hours: Hours, serial: u64) -> String {
    let kind = match kind {
        Kind::Message => "message",
        Kind::Identity => "identity",
    };
    let (first, count) = (hours.first(), hours.count());
    format!("{FOLDER}/{kind}-{first:05x}-{count:02x}-{serial:x}")
}

/// What a journal is called.
pub(super) fn journal_name(serial: u64) -> String {
    format!("{FOLDER}/journal-{serial:x}")
}

/// What lies in the folder, with the folder in the names; what is not ours is left out.
pub(super) fn list(disk: &dyn Disk) -> io::Result<Vec<(String, Named)>> {
    let listed = disk.list(FOLDER)?.into_iter();
    Ok(listed
        .filter_map(|file| {
            let named = Named::of(&file.name)?;
            Some((format!("{FOLDER}/{}", file.name), named))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_were_made_of_and_no_others_say_anything() {
        let hours = Hours::of(498_681, 24);
        let name = segment_name(Kind::Identity, hours, 0x1f);
        assert_eq!(name, "ledger/identity-79bf9-18-1f");
        let kind = Kind::Identity;
        let segment = Named::Segment {
            kind,
            hours,
            serial: 0x1f,
        };
        assert_eq!(Named::of("identity-79bf9-18-1f"), Some(segment));
        let unborn = Named::Unborn { serial: 0x1f };
        assert_eq!(Named::of("identity-79bf9-18-1f.new"), Some(unborn));
        let journal = Named::Journal { serial: 7 };
        assert_eq!(Named::of("journal-7"), Some(journal));
        for other in [
            "",
            "journal-",
            "message-1-19-1",
            "message-1-1-1-1",
            "letter-1-1-1",
            "x.new",
        ] {
            assert_eq!(Named::of(other), None, "{other}");
        }
    }
}
