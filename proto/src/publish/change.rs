//! What is different from what is published now, and how to say it to a name server: lines of a
//! difference for people, an update (RFC 2136) for `nsupdate`.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::records::{Absolute, Rdata, Record};

/// From what is published to what is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To be added.
    pub add: Vec<Record>,
    /// To be deleted.
    pub delete: Vec<Record>,
    /// To stay.
    pub keep: Vec<Record>,
}

impl Change {
    /// The difference. TTLs do not count: a resolver does not tell the one that was published.
    pub fn between(published: &[Record], wanted: &[Record]) -> Self {
        let same = |a: &Record, b: &Record| a.owner == b.owner && a.rdata == b.rdata;
        let (keep, add) = wanted
            .iter()
            .cloned()
            .partition(|record| published.iter().any(|other| same(record, other)));
        let delete = published
            .iter()
            .filter(|record| !wanted.iter().any(|other| same(record, other)))
            .cloned()
            .collect();
        Self { add, delete, keep }
    }

    /// True if nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.delete.is_empty()
    }

    /// `-` and `+` before what goes and what comes.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (mark, records) in [("-", &self.delete), ("+", &self.add), (" ", &self.keep)] {
            for record in records {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{mark} {record}");
            }
        }
        text
    }

    /// The update that makes it so; nothing if nothing is to be done.
    pub fn update(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut text = String::new();
        for record in &self.delete {
            let (owner, kind) = (Absolute(&record.owner), record.rdata.kind());
            let _ = writeln!(text, "update delete {owner} {kind} {}", record.rdata);
        }
        for record in &self.add {
            text += &added(record);
        }
        text + "send\n"
    }
}

/// The update where nobody knows what is published: all of a set goes before its records come, but
/// for texts, which others use as well.
pub fn replacement(wanted: &[Record]) -> String {
    let mut text = String::new();
    let mut emptied = BTreeSet::new();
    for record in wanted {
        let kind = record.rdata.kind();
        if !matches!(record.rdata, Rdata::Txt(_)) && emptied.insert((&record.owner, kind)) {
            let _ = writeln!(text, "update delete {} {kind}", Absolute(&record.owner));
        }
    }
    for record in wanted {
        text += &added(record);
    }
    text + "send\n"
}

/// The line that adds a record.
fn added(record: &Record) -> String {
    let (owner, kind) = (Absolute(&record.owner), record.rdata.kind());
    format!(
        "update add {owner} {} {kind} {}\n",
        record.ttl, record.rdata
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;

    fn record(owner: &str, ttl: u32, last: u8) -> Record {
        Record {
            owner: Name::parse(owner).unwrap(),
            ttl,
            rdata: Rdata::A([192, 0, 2, last].into()),
        }
    }

    #[test]
    fn what_goes_and_what_comes() {
        let published = [record("a.example", 17, 1), record("a.example", 17, 2)];
        let wanted = [record("a.example", 3600, 2), record("a.example", 3600, 3)];
        let change = Change::between(&published, &wanted);
        assert_eq!(
            change.text(),
            "- a.example. 17 IN A 192.0.2.1\n\
             + a.example. 3600 IN A 192.0.2.3\n\
             \x20 a.example. 3600 IN A 192.0.2.2\n"
        );
        assert_eq!(
            change.update(),
            "update delete a.example. A 192.0.2.1\n\
             update add a.example. 3600 A 192.0.2.3\n\
             send\n"
        );
        let same = Change::between(&published, &published);
        assert!(same.is_empty() && same.update().is_empty());
    }

    #[test]
    fn where_nothing_is_known_sets_go_and_texts_stay() {
        let mut wanted = [
            record("a.example", 60, 1),
            record("a.example", 60, 2),
            record("b.example", 60, 0),
        ];
        wanted[2].rdata = Rdata::Txt(b"v=spf1 -all"[..].into());
        assert_eq!(
            replacement(&wanted),
            "update delete a.example. A\n\
             update add a.example. 60 A 192.0.2.1\n\
             update add a.example. 60 A 192.0.2.2\n\
             update add b.example. 60 TXT \"v=spf1 -all\"\n\
             send\n"
        );
    }
}
