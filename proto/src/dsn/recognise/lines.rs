//! Lines and header fields of text that somebody else wrote, in place.
//!
//! Promises: LF and CRLF are the same; every octet is looked at a fixed number of times; nothing is
//! copied but the value that is asked for, and that is bounded.

use alloc::string::String;

use super::MAX_VALUE;

/// A line, without its end, and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Its octets.
    pub text: &'a [u8],
    /// Where it begins.
    pub start: usize,
    /// Where the next one begins.
    pub next: usize,
}

/// The lines of a text.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    /// From its beginning.
    pub(super) const fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let (mut line, length) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end).unwrap_or(rest), end.saturating_add(1)),
            None => (rest, rest.len()),
        };
        while let [bare @ .., b'\r'] = line {
            line = bare;
        }
        let start = self.at;
        self.at = start.saturating_add(length);
        Some(Line {
            text: line,
            start,
            next: self.at,
        })
    }
}

/// Whether nothing can be seen on it.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Whether it goes on with the field above it (RFC 5322 §2.2.3).
pub(super) fn is_continuation(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// The name of the field that begins here, if one does (RFC 5322 §2.2), and what stands behind the colon.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    // No name of a field comes near this; prose with a colon far out is not looked through.
    const MAX_NAME: usize = 80;
    let start = line.get(..MAX_NAME).unwrap_or(line);
    let colon = memchr::memchr(b':', start)?;
    let name = line.get(..colon)?.trim_ascii_end();
    let value = line.get(colon.saturating_add(1)..)?;
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, value))
}

/// A field, where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Its name, as it is written.
    name: &'a [u8],
    /// What stands behind the colon, folded as it is.
    raw: &'a [u8],
    /// What stands before each of its lines.
    prefix: &'a [u8],
}

impl Field<'_> {
    /// Whether this is its name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// What it says, on one line and bounded.
    pub(super) fn value(&self) -> String {
        let mut value = String::new();
        for line in Lines::of(self.raw) {
            let text = line.text.strip_prefix(self.prefix).unwrap_or(line.text);
            let left = MAX_VALUE.saturating_sub(value.len());
            if left == 0 {
                break;
            }
            let text = text.trim_ascii();
            let text = text.get(..left).unwrap_or(text);
            if !value.is_empty() && !text.is_empty() {
                value.push(' ');
            }
            value.push_str(&String::from_utf8_lossy(text));
        }
        value
    }
}

/// The fields of a header, up to the first empty line. Lines that are no field are passed over, like
/// those with which mailboxes begin.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    text: &'a [u8],
    lines: core::iter::Peekable<Lines<'a>>,
    prefix: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of a header.
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self::behind(text, &[])
    }

    /// Of a header each of whose lines begins with `prefix`: one that was quoted or indented.
    pub(super) fn behind(text: &'a [u8], prefix: &'a [u8]) -> Self {
        Self {
            text,
            lines: Lines::of(text).peekable(),
            prefix,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let line = self.lines.next()?;
            let text = line.text.strip_prefix(self.prefix).unwrap_or(line.text);
            if text.is_empty() {
                return None;
            }
            let Some((name, value)) = field(text) else {
                continue;
            };
            let start = line
                .start
                .saturating_add(line.text.len())
                .saturating_sub(value.len());
            let mut end = line.next;
            let prefix = self.prefix;
            while let Some(more) = self
                .lines
                .next_if(|line| is_continuation(line.text.strip_prefix(prefix).unwrap_or_default()))
            {
                end = more.next;
            }
            let raw = self.text.get(start..end).unwrap_or_default();
            return Some(Field { name, raw, prefix });
        }
    }
}
