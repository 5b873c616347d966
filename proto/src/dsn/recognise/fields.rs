//! The fields of a delivery report (RFC 3464 §2), read leniently: wherever they stand, in any order.

use alloc::string::String;
use alloc::vec::Vec;

use super::MAX_VALUE;
use super::lines::{Lines, field, is_blank, is_continuation};

/// What they say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Original-Envelope-Id: the ENVID that its sender gave (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// Whom it is about, each once.
    pub recipients: Vec<String>,
    /// Whether anything is said of a recipient: without that, it is no report.
    pub is_report: bool,
}

/// The fields of one recipient.
#[derive(Debug, Default)]
struct Group {
    finally: Option<String>,
    originally: Option<String>,
}

impl Status {
    /// Takes in what the text says.
    pub(super) fn add(&mut self, text: &[u8]) {
        let mut group = Group::default();
        let mut lines = Lines::of(text).peekable();
        while let Some(line) = lines.next() {
            let Some((name, value)) = field(line.text) else {
                if is_blank(line.text) {
                    self.end_group(&mut group);
                }
                continue;
            };
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("Original-Envelope-Id") {
                let value = text_of(value);
                if self.envelope_id.is_none() && !value.is_empty() {
                    self.envelope_id = Some(value);
                }
            } else if is("Final-Recipient") {
                if group.finally.is_some() {
                    // The empty line between two was lost.
                    self.end_group(&mut group);
                }
                let folded = lines.next_if(|line| is_continuation(line.text));
                let folded = folded.map_or(&b""[..], |line| line.text);
                group.finally = recipient(&[text_of(value), text_of(folded)].join(" "));
                self.is_report = true;
            } else if is("Original-Recipient") {
                group.originally = recipient(&text_of(value));
                self.is_report = true;
            } else if is("Action") {
                self.is_report = true;
            }
        }
        self.end_group(&mut group);
    }

    /// One recipient's fields have ended.
    fn end_group(&mut self, group: &mut Group) {
        let Group {
            finally,
            originally,
        } = core::mem::take(group);
        if let Some(recipient) = finally.or(originally) {
            super::keep(&mut self.recipients, recipient);
        }
    }
}

/// The address behind its type: `rfc822; a@example.org`.
fn recipient(value: &str) -> Option<String> {
    let (_, address) = value.split_once(';').unwrap_or(("", value));
    let inside = address
        .split_once('<')
        .map_or(address, |(_, behind)| behind);
    let inside = inside.split_once('>').map_or(inside, |(inside, _)| inside);
    // A comment may stand behind it.
    let address = inside.split_whitespace().next()?;
    address.contains('@').then(|| String::from(address))
}

/// A value on one line, bounded.
fn text_of(value: &[u8]) -> String {
    let value = value.trim_ascii();
    String::from_utf8_lossy(value.get(..MAX_VALUE).unwrap_or(value)).into_owned()
}
