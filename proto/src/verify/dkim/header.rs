//! A message cut into the fields of its header and its body (RFC 5322 §2.1, §2.2).
//!
//! Everybody who looks at a signature looks through this one cut: what is hashed, which field is a
//! `From`, where the body begins. A difference of opinion there is how a signature comes to stand
//! for what it does not cover. The header ends at the first empty line and nowhere else; a line
//! that is no field is kept as one without a name, which nobody can have signed.

use alloc::vec::Vec;

use super::MAX_FIELDS;

/// One field, as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// What stands before the colon, blanks and all (RFC 5322 §4.5.8); empty if there is none.
    pub name: &'a [u8],
    /// What stands behind it, every line with its CRLF.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// True if a reader takes it for a field of this name: blanks before the colon do not hide it.
    pub fn is(&self, name: &str) -> bool {
        self.name
            .trim_ascii_end()
            .eq_ignore_ascii_case(name.as_bytes())
    }
}

/// A message, cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// The header's fields, from the top.
    pub fields: Vec<Field<'a>>,
    /// Behind the empty line; empty if there is none.
    pub body: &'a [u8],
}

/// The header has more than [`MAX_FIELDS`] fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_FIELDS} fields in the header")]
pub struct TooManyFields;

impl<'a> Content<'a> {
    /// Cuts a message.
    pub fn of(message: &'a [u8]) -> Result<Self, TooManyFields> {
        let mut fields = Vec::new();
        let mut rest = message;
        while !rest.is_empty() {
            let (line, behind) = split_line(rest);
            if matches!(line, b"\r\n" | b"\n") {
                return Ok(Self {
                    fields,
                    body: behind,
                });
            }
            if fields.len() >= MAX_FIELDS {
                return Err(TooManyFields);
            }
            let (field, behind) = split_field(rest);
            fields.push(named(field));
            rest = behind;
        }
        Ok(Self { fields, body: &[] })
    }

    /// The `From` field, if there is just one and its name is written plainly. Where a reader could
    /// find another, or one that a signature over `From` does not reach, there is none.
    pub fn sole_from(&self) -> Option<&Field<'a>> {
        let mut all = self.fields.iter().filter(|field| field.is("from"));
        let from = all.next()?;
        let plain = from.name.eq_ignore_ascii_case(b"from");
        (plain && all.next().is_none()).then_some(from)
    }

    /// The fields of this name, from the top.
    pub fn named<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }
}

/// The first line with its end, and what follows it.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', text).map_or(text.len(), |at| at.saturating_add(1));
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// The first field with the lines it was folded into, and what follows it.
fn split_field(text: &[u8]) -> (&[u8], &[u8]) {
    let mut end = split_line(text).0.len();
    loop {
        let behind = text.get(end..).unwrap_or_default();
        if !is_folded(behind) {
            return text.split_at_checked(end).unwrap_or((text, &[]));
        }
        end = end.saturating_add(split_line(behind).0.len());
    }
}

/// True if the line goes on with the field before it.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Name and value. The name must be there, end on the field's first line, and not begin with a
/// blank.
fn named(field: &[u8]) -> Field<'_> {
    let (first, _) = split_line(field);
    let colon = memchr::memchr(b':', first).filter(|at| *at > 0 && !is_folded(field));
    match colon.and_then(|at| Some((field.get(..at)?, field.get(at.checked_add(1)?..)?))) {
        Some((name, value)) => Field { name, value },
        None => Field {
            name: &[],
            value: field,
        },
    }
}
