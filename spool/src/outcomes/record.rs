//! The file's octets. It is made of groups, each of which begins a page: what was made durable shares no
//! page with what is written later. A group has four octets of magic, its length and a CRC-32 of its lines
//! (both little-endian), then the lines, then zeros to the end of the page. It is read whole or not at all.
//!
//! A line is JSON, for one key: what is remembered, or nothing, which forgets it. The newest line of a key
//! counts. A page that begins no whole group is passed over: a crash has left it, or it is damaged, and the
//! groups behind it are as good as before. No line can pass for a group, since no JSON holds a zero
//! octet and every length does.

use std::fmt::Write as _;
use std::io;

use serde::{Deserialize, Serialize};
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::custody::{Earlier, Whither};
use vouchsafe_proto::smtp::xhold::TransactionId;
use vouchsafe_proto::time::Wall;

use super::{Ending, OutcomeKey, Remembered};
use crate::fs::DiskFile;

/// Where groups begin.
const PAGE: usize = 4096;

/// How a group begins.
const MAGIC: [u8; 4] = *b"VQO1";
/// Octets before the lines.
const HEAD: usize = 12;
/// The longest group that is believed: below 16 MiB, so that the last octet of its length is zero.
const LONGEST: u64 = 4 << 20;

/// A key, and what is remembered under it.
pub(super) type Line = (OutcomeKey, Option<Remembered>);

/// A line as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineSchema {
    client: Box<str>,
    id: String,
    from: String,
    to: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<KeptSchema>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptSchema {
    /// SHA-256, in hex.
    content: String,
    /// Milliseconds since 1970.
    at: u64,
    ending: EndingSchema,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EndingSchema {
    /// Taken into the queue.
    Stored(String),
    /// Taken by the next hops.
    Onward(String),
    /// On its way into the queue.
    Storing(String),
}

/// The lines, one behind the other.
pub(super) fn encode(lines: &[Line]) -> Result<Vec<u8>, serde_json::Error> {
    let mut octets = Vec::new();
    for (key, remembered) in lines {
        let schema = LineSchema {
            client: key.client.clone(),
            id: key.id.to_string(),
            from: key.reverse_path.to_string(),
            to: key.recipient.to_string(),
            kept: remembered.as_ref().map(KeptSchema::from),
        };
        serde_json::to_writer(&mut octets, &schema)?;
        octets.push(b'\n');
    }
    Ok(octets)
}

/// How long each of these lines is.
pub(super) fn lens(lines: &[u8]) -> impl Iterator<Item = u64> {
    let lines = lines.split_inclusive(|octet| *octet == b'\n');
    lines.map(|line| line.len() as u64)
}

/// A group of these lines, whole pages of it.
pub(super) fn group(lines: &[u8]) -> Vec<u8> {
    let whole = HEAD.saturating_add(lines.len()).next_multiple_of(PAGE);
    let mut octets = Vec::with_capacity(whole);
    octets.extend(MAGIC);
    octets.extend(u32::try_from(lines.len()).unwrap_or(u32::MAX).to_le_bytes());
    octets.extend(crc32fast::hash(lines).to_le_bytes());
    octets.extend(lines);
    octets.resize(whole, 0);
    octets
}

/// Gives every line of a file, in order, with its length. Returns where the next group goes.
pub(super) fn read(file: &dyn DiskFile, mut each: impl FnMut(Line, u64)) -> io::Result<u64> {
    let len = file.len()?;
    let mut at = 0_u64;
    while at < len {
        let mut next = at.saturating_add(PAGE as u64);
        if let Some(lines) = read_group(file, at, len)? {
            let extent = HEAD.saturating_add(lines.len()).next_multiple_of(PAGE);
            next = at.saturating_add(extent as u64);
            for line in lines.split_inclusive(|octet| *octet == b'\n') {
                // A whole group of ours has no other lines, but for those of a program to come.
                if let Some(read) = decode(line) {
                    each(read, line.len() as u64);
                }
            }
        }
        at = next;
    }
    Ok(at)
}

/// The lines of the group that begins here, if one does.
fn read_group(file: &dyn DiskFile, at: u64, len: u64) -> io::Result<Option<Vec<u8>>> {
    let left = len.saturating_sub(at);
    if left < HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; HEAD];
    file.read_at(at, &mut head)?;
    let [m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let count = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let fits = count <= LONGEST && count <= left.saturating_sub(HEAD as u64);
    if [m0, m1, m2, m3] != MAGIC || !fits {
        return Ok(None);
    }
    let mut lines = vec![0; usize::try_from(count).unwrap_or(0)];
    file.read_at(at.saturating_add(HEAD as u64), &mut lines)?;
    let is_whole = crc32fast::hash(&lines) == u32::from_le_bytes([c0, c1, c2, c3]);
    Ok(is_whole.then_some(lines))
}

/// One line.
fn decode(line: &[u8]) -> Option<Line> {
    let schema: LineSchema = serde_json::from_slice(line).ok()?;
    let key = OutcomeKey {
        client: schema.client,
        id: TransactionId::parse(&schema.id).ok()?,
        reverse_path: ReversePath::parse_inside(&schema.from).ok()?,
        recipient: ForwardPath::parse_inside(&schema.to).ok()?,
    };
    let remembered = match schema.kept {
        None => None,
        Some(kept) => Some(kept.read()?),
    };
    Some((key, remembered))
}

impl From<&Remembered> for KeptSchema {
    fn from(remembered: &Remembered) -> Self {
        Self {
            content: hex(&remembered.digest),
            at: remembered.at.as_millis(),
            ending: EndingSchema::from(remembered.ending),
        }
    }
}

impl KeptSchema {
    fn read(self) -> Option<Remembered> {
        Some(Remembered {
            digest: unhex(&self.content)?,
            ending: self.ending.read()?,
            at: Wall::from_millis(self.at),
        })
    }
}

impl From<Ending> for EndingSchema {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Taken(Earlier { queue_id, whither }) => match whither {
                Whither::Storage => Self::Stored(queue_id.to_string()),
                Whither::Onward => Self::Onward(queue_id.to_string()),
            },
            Ending::Storing(queue_id) => Self::Storing(queue_id.to_string()),
        }
    }
}

impl EndingSchema {
    fn read(self) -> Option<Ending> {
        let taken = |id: &str, whither| {
            let queue_id = id.parse().ok()?;
            Some(Ending::Taken(Earlier { queue_id, whither }))
        };
        match self {
            Self::Stored(id) => taken(&id, Whither::Storage),
            Self::Onward(id) => taken(&id, Whither::Onward),
            Self::Storing(id) => id.parse().ok().map(Ending::Storing),
        }
    }
}

/// In hex.
fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// The other way.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != octets.len() * 2 {
        return None;
    }
    for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
        *octet = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use vouchsafe_proto::queue_id::QueueId;

    use super::*;

    /// It may change only with its magic.
    #[test]
    fn the_octets_stay_as_they_are() {
        let key = OutcomeKey {
            client: "203.0.113.7".into(),
            id: TransactionId::parse("q1@a.example").unwrap(),
            reverse_path: ReversePath::parse_inside("ann@example.org").unwrap(),
            recipient: ForwardPath::parse_inside("bob@example.net").unwrap(),
        };
        let queue_id = QueueId::new(Wall::from_secs(0), 7);
        let taken = |whither| Ending::Taken(Earlier { queue_id, whither });
        let endings = [
            taken(Whither::Storage),
            taken(Whither::Onward),
            Ending::Storing(queue_id),
        ];
        let kept = |ending| Some(Remembered::new([0xAB; 32], ending, Wall::from_secs(5)));
        let lines: Vec<_> = endings
            .map(|ending| (key.clone(), kept(ending)))
            .into_iter()
            .chain([(key.clone(), None)])
            .collect();
        let octets = encode(&lines).unwrap();
        let read: Vec<_> = octets
            .split_inclusive(|octet| *octet == b'\n')
            .map(|line| decode(line).unwrap())
            .collect();
        assert_eq!(read, lines);
        let content = "ab".repeat(32);
        let key = r#""client":"203.0.113.7","id":"q1@a.example","from":"ann@example.org","to":"bob@example.net""#;
        let id = queue_id.to_string();
        let mut expected = String::new();
        for word in ["stored", "onward", "storing"] {
            let kept =
                format!(r#"{{"content":"{content}","at":5000,"ending":{{"{word}":"{id}"}}}}"#);
            writeln!(expected, "{{{key},\"kept\":{kept}}}").unwrap();
        }
        writeln!(expected, "{{{key}}}").unwrap();
        let lines = octets;
        assert_eq!(String::from_utf8(lines.clone()).unwrap(), expected);
        let group = group(&lines);
        assert_eq!(group.len(), PAGE);
        assert_eq!(group[..HEAD], *b"VQO1\x16\x03\0\0\xb3\x73\xcf\x41");
        assert!(group[HEAD..].starts_with(&lines) && group.ends_with(&[0; 1024]));
    }
}
