//! A message taken apart (RFC 2046): the parts that can be read, in their order, decoded.
//!
//! Promises: one pass over the lines, and at each of them no more is compared than there may be
//! multiparts in each other; parts and depth are bounded; whatever the octets are, there is an answer. What
//! stands where a boundary should have come and did not is given as text: hosts that rewrite a report often
//! forget one of the two.
//!
//! A message within the message is a part, and is not taken apart: it is what is reported on.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::content_type::ContentType;
use super::lines::{Fields, Lines, field, is_continuation};
use super::transfer::Encoding;

/// Multiparts in each other. A report is one; lists and gateways put another one or two around it.
const MAX_DEPTH: usize = 8;

/// Parts that are kept. A report has three.
const MAX_PARTS: usize = 64;

/// Octets of a boundary (RFC 2046 §5.1.1 allows 70).
const MAX_BOUNDARY: usize = 200;

/// A part that holds something.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    /// `type/subtype`, in small letters.
    pub kind: String,
    /// What it holds, decoded.
    pub content: Cow<'a, [u8]>,
}

/// A message, taken apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Apart<'a> {
    /// What the message itself says that it is.
    pub top: ContentType,
    /// What the multiparts within say that they report.
    pub report_types: Vec<String>,
    /// What it holds.
    pub parts: Vec<Part<'a>>,
}

/// Where in the message we are.
#[derive(Debug)]
enum At {
    /// In a header that begins there.
    Header(usize),
    /// In content that begins there.
    Content {
        start: usize,
        kind: String,
        encoding: Encoding,
        /// Of the multipart whose first part has not come, by how many are open with it.
        before: Option<usize>,
    },
    /// Behind the last part of a multipart.
    Behind,
}

/// The walk.
#[derive(Debug)]
struct Walk<'a> {
    message: &'a [u8],
    /// The boundaries of the multiparts whose end has not come.
    open: Vec<Vec<u8>>,
    at: At,
    found: Apart<'a>,
    /// Whether the header read is that of a part, not of the message.
    inside: bool,
}

/// Takes a message apart.
pub(super) fn take_apart(message: &[u8]) -> Apart<'_> {
    let mut walk = Walk {
        message,
        open: Vec::new(),
        at: At::Header(0),
        found: Apart::default(),
        inside: false,
    };
    for line in Lines::of(message) {
        if let Some((level, last)) = walk.boundary(line.text) {
            walk.finish(line.start, Some(level));
            walk.open.truncate(level.saturating_sub(usize::from(last)));
            walk.at = if last {
                At::Behind
            } else {
                At::Header(line.next)
            };
            continue;
        }
        let At::Header(start) = walk.at else {
            continue;
        };
        if line.text.is_empty() {
            walk.begin(start, line.start, line.next);
        } else if walk.inside && !is_continuation(line.text) && field(line.text).is_none() {
            // The empty line was forgotten.
            walk.begin(start, line.start, line.start);
        }
    }
    if let At::Header(start) = walk.at {
        walk.begin(start, message.len(), message.len());
    }
    walk.finish(message.len(), None);
    walk.found
}

impl Walk<'_> {
    /// Whether the line parts the parts: of how many open multiparts, and whether it is the last.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        let mut level = self.open.len();
        for open in self.open.iter().rev() {
            match line.strip_prefix(open.as_slice()) {
                Some(b"") => return Some((level, false)),
                Some(b"--") => return Some((level, true)),
                _ => level = level.saturating_sub(1),
            }
        }
        None
    }

    /// A header has ended, and content begins.
    fn begin(&mut self, header: usize, end: usize, content: usize) {
        let header = self.message.get(header..end).unwrap_or_default();
        let mut content_type = None;
        let mut encoding = None;
        for field in Fields::of(header) {
            if field.is("Content-Type") {
                content_type.get_or_insert_with(|| ContentType::read(&field.value()));
            } else if field.is("Content-Transfer-Encoding") {
                encoding.get_or_insert_with(|| Encoding::named(&field.value()));
            }
        }
        let content_type = content_type.unwrap_or_default();
        let before = self.enter(&content_type);
        let kind = match content_type.kind.as_str() {
            _ if content_type.is_multipart() => "text/plain",
            "" => "text/plain",
            kind => kind,
        };
        self.at = At::Content {
            start: content,
            kind: String::from(kind),
            encoding: encoding.unwrap_or_default(),
            before,
        };
        if self.inside {
            self.found.report_types.extend(content_type.report_type);
        } else {
            self.found.top = content_type;
            self.inside = true;
        }
    }

    /// Opens a multipart; gives how many are open with it.
    fn enter(&mut self, content_type: &ContentType) -> Option<usize> {
        let boundary = content_type.boundary.as_deref()?.trim_ascii_end();
        let fits = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
        if !content_type.is_multipart() || !fits || self.open.len() >= MAX_DEPTH {
            return None;
        }
        self.open.push(boundary.as_bytes().to_vec());
        Some(self.open.len())
    }

    /// A part has ended, by a boundary of the multipart `by` or by the message's end.
    fn finish(&mut self, end: usize, by: Option<usize>) {
        if let At::Header(start) = self.at {
            self.begin(start, end, end);
        }
        let At::Content {
            start,
            kind,
            encoding,
            before,
        } = core::mem::replace(&mut self.at, At::Behind)
        else {
            return;
        };
        // What stands before the first part is for programs that know no MIME.
        if (before.is_some() && before == by) || self.found.parts.len() >= MAX_PARTS {
            return;
        }
        let octets = self.message.get(start..end).unwrap_or_default();
        self.found.parts.push(Part {
            kind,
            content: encoding.decode(octets),
        });
    }
}
