//! The header of the message that is reported on: in a part of its own, or in the midst of text, as hosts
//! return it that know no MIME.
//!
//! In text no words are looked for ("below this line ..." is said in every language): a header is lines
//! of fields, one below the other, among them those that only a message has.
//!
//! Nothing is reported to the author of a report (RFC 5321 §6.1). So where text goes before one, somebody has
//! wrapped it up to pass it on, and the message is the one that it returns itself. A part that holds a report is
//! another matter: that report could not be delivered, and postmaster is told.

use alloc::string::String;
use core::mem::take;

use super::content_type::ContentType;
use super::lines::{Field, Fields, Line, Lines, field, is_blank, is_continuation};

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Original {
    /// Without its brackets.
    pub message_id: Option<String>,
    /// As it stands there.
    pub date: Option<String>,
    /// To whom it says that it went, as it stands there.
    pub to: Option<String>,
    /// Whether a host has written in it, or a program that makes messages: no person quotes that.
    pub has_trace: bool,
    /// Whether it is a report itself.
    is_report: bool,
}

impl Original {
    /// From its fields.
    fn read<'a>(fields: impl Iterator<Item = Field<'a>>) -> Self {
        let mut read = Self::default();
        for field in fields {
            if field.is("Message-ID") {
                if read.message_id.is_none() {
                    read.message_id = message_id(&field.value());
                }
            } else if field.is("Date") {
                said(&mut read.date, &field);
            } else if field.is("To") {
                said(&mut read.to, &field);
            } else if field.is("Content-Type") {
                read.is_report |= ContentType::read(&field.value()).is_delivery_report();
            }
            read.has_trace |= MACHINES.iter().any(|name| field.is(name));
        }
        read
    }

    /// Of a part that holds a message or its header.
    pub(super) fn of_part(content: &[u8]) -> Self {
        // Some put an empty line too many before it.
        let start = Lines::of(content).find(|line| !is_blank(line.text));
        let start = start.map_or(0, |line| line.start);
        Self::read(Fields::of(content.get(start..).unwrap_or_default()))
    }
}

/// Keeps the first that says anything.
fn said(kept: &mut Option<String>, field: &Field<'_>) {
    if kept.is_none() {
        *kept = Some(field.value()).filter(|value| !value.is_empty());
    }
}

/// Fields that hosts and programs write, and that nobody quotes who answers a message.
const MACHINES: [&str; 4] = ["Received", "Message-ID", "Return-Path", "MIME-Version"];

/// Fields that every message may have.
const PEOPLES: [&str; 4] = ["From", "To", "Subject", "Date"];

/// What stands in a Message-ID's brackets, without white space; where there are none, all of it. So reports are read,
/// and whoever looks for what they name must know messages by the same.
pub fn message_id(value: &str) -> Option<String> {
    let inside = match value.split_once('<') {
        // An identifier that was cut off is none.
        Some((_, behind)) => behind.split_once('>')?.0,
        None => value,
    };
    let id: String = inside.chars().filter(|c| !c.is_whitespace()).collect();
    (!id.is_empty()).then_some(id)
}

/// A header found in text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What it says.
    pub original: Original,
    /// Where it begins.
    pub start: usize,
}

/// Lines that may be a header.
#[derive(Clone, Copy, Debug, Default)]
struct Block<'a> {
    start: usize,
    end: usize,
    /// What each line begins with, where it is indented or quoted.
    prefix: &'a [u8],
    machines: usize,
    peoples: usize,
    has_message_id: bool,
}

impl<'a> Block<'a> {
    /// Takes the line in, if it may stand in the header.
    fn take(&mut self, line: Line<'a>) -> bool {
        if self.end == 0 {
            let indent = line.text.iter().position(|octet| !is_quoting(*octet));
            let prefix = line.text.get(..indent.unwrap_or(0)).unwrap_or_default();
            *self = Self {
                start: line.start,
                prefix,
                ..Self::default()
            };
        }
        let Some(text) = line.text.strip_prefix(self.prefix) else {
            return false;
        };
        if let Some((name, _)) = field(text) {
            let among = |names: &[&str]| {
                let mut names = names.iter();
                usize::from(names.any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
            };
            self.machines = self.machines.saturating_add(among(&MACHINES));
            self.peoples = self.peoples.saturating_add(among(&PEOPLES));
            self.has_message_id |= among(&["Message-ID"]) > 0;
        } else if self.end == 0 || is_blank(text) || !is_continuation(text) {
            return false;
        }
        self.end = line.next;
        true
    }

    /// Whether this is the header of a message.
    const fn is_header(&self) -> bool {
        self.machines >= 1 && (self.peoples >= 2 || (self.has_message_id && self.peoples >= 1))
    }
}

/// What quotes: `> Received: ...`.
const fn is_quoting(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'>' | b'|')
}

/// The first header in the text that names its message and is not that of a report, else the first.
pub(super) fn in_text(text: &[u8]) -> Option<Found> {
    let mut first = None;
    let mut block = Block::default();
    let end = Line {
        text: b"",
        start: text.len(),
        next: text.len(),
    };
    for line in Lines::of(text).chain([end]) {
        if block.take(line) {
            continue;
        }
        let ended = take(&mut block);
        if ended.is_header() && (ended.has_message_id || first.is_none()) {
            let header = text.get(ended.start..ended.end).unwrap_or_default();
            let found = Found {
                original: Original::read(Fields::behind(header, ended.prefix)),
                start: ended.start,
            };
            if found.original.message_id.is_some() && !found.original.is_report {
                return Some(found);
            }
            first.get_or_insert(found);
        }
        // It may be the first of the next.
        if !block.take(line) {
            block = Block::default();
        }
    }
    first
}
