//! Tag-lists: `a=1; b=2` (RFC 6376 §3.2), in signatures and key records.

use alloc::vec::Vec;

/// Tags of one list; more is no signature, and the search for duplicates is quadratic.
const MAX_TAGS: usize = 64;

/// A tag-list that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tags<'a>(Vec<(&'a str, &'a [u8])>);

/// The text is no tag-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadTags;

impl<'a> Tags<'a> {
    /// Reads a list. A tag that is there twice makes the whole of it invalid (RFC 6376 §3.2); so
    /// do two that differ in case only, because not every reader minds the case.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, BadTags> {
        let mut tags: Vec<(&str, &[u8])> = Vec::new();
        let mut specs = text.split(|octet| *octet == b';').peekable();
        while let Some(spec) = specs.next() {
            // One semicolon may end the list.
            if spec.trim_ascii().is_empty() && specs.peek().is_none() && !tags.is_empty() {
                break;
            }
            let (name, value) = parse_tag(spec).ok_or(BadTags)?;
            let twice = tags
                .iter()
                .any(|(other, _)| other.eq_ignore_ascii_case(name));
            if twice || tags.len() >= MAX_TAGS {
                return Err(BadTags);
            }
            tags.push((name, value));
        }
        Ok(Self(tags))
    }

    /// The value of a tag, without blanks around it. Names are compared with their case.
    pub(super) fn value(&self, name: &str) -> Option<&'a [u8]> {
        let found = self.0.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| *value)
    }

    /// The same as text, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<Result<&'a str, BadTags>> {
        self.value(name)
            .map(|value| core::str::from_utf8(value).map_err(|_| BadTags))
    }

    /// The name of the first tag.
    pub(super) fn first(&self) -> Option<&'a str> {
        self.0.first().map(|(name, _)| *name)
    }
}

/// The parts of a list within a value, without blanks around them.
pub(super) fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b':').map(<[u8]>::trim_ascii)
}

/// `name = value`.
fn parse_tag(spec: &[u8]) -> Option<(&str, &[u8])> {
    let at = memchr::memchr(b'=', spec)?;
    let name = core::str::from_utf8(spec.get(..at)?).ok()?;
    let name = name.trim_ascii();
    let value = spec.get(at.checked_add(1)?..)?.trim_ascii();
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'_');
    let clean = value
        .iter()
        .all(|octet| matches!(octet, b'\t' | b'\r' | b'\n' | b' '..=0x7e | 0x80..));
    (named && clean).then_some((name, value))
}
