//! Replies from a next hop's octets (RFC 5321 §4.2).
//!
//! Promises: memory is bounded whatever comes; octets that are no reply are an error, after which
//! the connection is of no use; the same octets give the same replies however they are split.
//! Taken though the grammar does not allow it: a bare LF as line end, a line up to 2,048 octets
//! (RFC 5321 §4.5.3.1.5 has 512), a code alone, any second and third digit. None of that leaves a
//! doubt about what was meant. The text comes without control characters.
//!
//! Left to others: what a reply means, and whether one was due.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::reply::{EnhancedStatus, Reply};

/// Octets of one line with its end. RFC 5321 §4.5.3.1.5 has 512; some servers explain at length.
pub const MAX_LINE: usize = 2_048;

/// Lines of one reply: EHLO's longest in the wild are near 30. Protects memory and patience.
pub const MAX_LINES: usize = 100;

/// Octets of one reply: what a hostile peer can make us hold.
pub const MAX_REPLY: usize = 16_384;

/// Octets that are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadReplyError {
    /// A line that does not begin with a code, or with one that no reply has.
    #[error("a line without a reply code")]
    Code,
    /// Lines of one reply with different codes.
    #[error("a reply with more than one code")]
    MixedCodes,
    /// A line longer than [`MAX_LINE`].
    #[error("a reply line of more than {MAX_LINE} octets")]
    LineTooLong,
    /// More than [`MAX_LINES`] lines or [`MAX_REPLY`] octets.
    #[error("a reply without end")]
    ReplyTooLong,
}

/// Cuts what a peer sends into replies.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<Cow<'static, str>>,
    octets: usize,
}

/// One line, read.
struct Line {
    code: u16,
    last: bool,
    text: String,
}

impl ReplyReader {
    /// Takes octets from the front of `bytes`, up to the end of the first whole reply, and leaves
    /// the rest there. `None` when all were taken and the reply is not whole.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Reply>, ReadReplyError> {
        while !bytes.is_empty() {
            let (taken, rest, ended) = match memchr::memchr(b'\n', bytes) {
                Some(at) => {
                    let (line, rest) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
                    (line, rest.get(1..).unwrap_or_default(), true)
                }
                None => (*bytes, &[][..], false),
            };
            if self.line.len().saturating_add(taken.len()) >= MAX_LINE {
                return Err(ReadReplyError::LineTooLong);
            }
            self.line.extend_from_slice(taken);
            *bytes = rest;
            if ended && self.end_line()? {
                return Ok(Some(self.end_reply()));
            }
        }
        Ok(None)
    }

    /// Takes in the line that stands in the buffer; true if it was the reply's last.
    fn end_line(&mut self) -> Result<bool, ReadReplyError> {
        self.octets = self.octets.saturating_add(self.line.len());
        let line = parse_line(&self.line)?;
        self.line.clear();
        if self.code.is_some_and(|code| code != line.code) {
            return Err(ReadReplyError::MixedCodes);
        }
        if self.lines.len() >= MAX_LINES || self.octets > MAX_REPLY {
            return Err(ReadReplyError::ReplyTooLong);
        }
        self.code = Some(line.code);
        self.lines.push(Cow::Owned(line.text));
        Ok(line.last)
    }

    /// Makes the reply of the lines, and is ready for the next.
    fn end_reply(&mut self) -> Reply {
        let mut lines = core::mem::take(&mut self.lines);
        let code = self.code.take().unwrap_or_default();
        self.octets = 0;
        let enhanced = lines.first().and_then(|line| leading_status(line));
        if let Some(status) = enhanced {
            // Each line repeats it (RFC 2034 §3); it is kept once.
            for line in &mut lines {
                if leading_status(line) == Some(status) {
                    let text = line.split_once(' ').map_or("", |(_, text)| text);
                    *line = Cow::Owned(String::from(text));
                }
            }
        }
        Reply::received(code, enhanced, lines)
    }
}

/// The enhanced status at the start of a line's text.
fn leading_status(text: &str) -> Option<EnhancedStatus> {
    EnhancedStatus::parse(text.split(' ').next()?)
}

/// Reads a line without its LF.
fn parse_line(line: &[u8]) -> Result<Line, ReadReplyError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (digits, rest) = line.split_at_checked(3).ok_or(ReadReplyError::Code)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReadReplyError::Code);
    }
    let code = digits.iter().fold(0u16, |code, digit| {
        code.saturating_mul(10)
            .saturating_add(u16::from(digit.saturating_sub(b'0')))
    });
    if !(200..600).contains(&code) {
        return Err(ReadReplyError::Code);
    }
    let (last, text) = match rest.split_first() {
        None => (true, rest),
        Some((b' ', text)) => (true, text),
        Some((b'-', text)) => (false, text),
        Some(_) => return Err(ReadReplyError::Code),
    };
    Ok(Line {
        code,
        last,
        text: printable(text),
    })
}

/// The text of a line, without control characters: it goes into fields and listings of one line.
fn printable(text: &[u8]) -> String {
    let shown = |character: char| match character {
        '\t' => ' ',
        character if character.is_control() => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    String::from_utf8_lossy(text).chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn read(mut bytes: &[u8]) -> (Vec<Reply>, Option<ReadReplyError>) {
        let mut reader = ReplyReader::default();
        let mut replies = Vec::new();
        loop {
            match reader.next(&mut bytes) {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => return (replies, None),
                Err(error) => return (replies, Some(error)),
            }
        }
    }

    #[test]
    fn replies_are_read_tolerantly() {
        for (wire, shown) in [
            ("250 ok\r\n", "250 ok"),
            ("250 2.1.0 ok\n", "250 2.1.0 ok"),
            ("250-2.0.0 a\r\n250 2.0.0 b\r\n", "250 2.0.0 a b"),
            ("250-2.0.0 a\r\n250 2.0.1 b\r\n", "250 2.0.0 a 2.0.1 b"),
            ("354\r\n", "354 "),
            (
                "250 a\tb\r\u{0}\u{1b}\u{85}\r\n",
                "250 a b\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            ("550 5.7.1\r\n", "550 5.7.1 "),
            ("299 \u{fffd}\r\n", "299 \u{fffd}"),
        ] {
            let (replies, error) = read(wire.as_bytes());
            assert_eq!(error, None, "{wire:?}");
            assert_eq!(replies.len(), 1, "{wire:?}");
            assert_eq!(replies[0].to_string(), shown, "{wire:?}");
        }
        assert_eq!(
            read(b"250 a\r\n550 b\r\n25").0,
            [
                Reply::received(250, None, vec!["a".into()]),
                Reply::received(550, None, vec!["b".into()])
            ]
        );
    }

    #[test]
    fn what_is_no_reply_is_said_to_be_none() {
        let long = "250-".to_string() + &"a".repeat(MAX_LINE);
        let many = "250-a\r\n".repeat(MAX_LINES + 1);
        let wide = ("250-".to_string() + &"a".repeat(1_000) + "\r\n").repeat(20);
        for (wire, error) in [
            ("\r\n", ReadReplyError::Code),
            ("25\r\n", ReadReplyError::Code),
            ("199 a\r\n", ReadReplyError::Code),
            ("600 a\r\n", ReadReplyError::Code),
            ("+50 a\r\n", ReadReplyError::Code),
            ("250a\r\n", ReadReplyError::Code),
            ("HTTP/1.1 400 Bad Request\r\n", ReadReplyError::Code),
            ("250-a\r\n251 b\r\n", ReadReplyError::MixedCodes),
            (long.as_str(), ReadReplyError::LineTooLong),
            (many.as_str(), ReadReplyError::ReplyTooLong),
            (wide.as_str(), ReadReplyError::ReplyTooLong),
        ] {
            assert_eq!(read(wire.as_bytes()), (vec![], Some(error)), "{wire:.40?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_in_any_pieces_read_the_same(
            wire in proptest::collection::vec(prop_oneof![
                "[2-5][0-9][0-9][ -][a-z. 0-9]{0,9}\r\n".prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..6),
            ], 0..8),
            size in 1usize..7,
        ) {
            let wire = wire.concat();
            let whole = read(&wire);
            let mut reader = ReplyReader::default();
            let mut replies = Vec::new();
            let mut error = None;
            'pieces: for mut piece in wire.chunks(size) {
                loop {
                    match reader.next(&mut piece) {
                        Ok(Some(reply)) => replies.push(reply),
                        Ok(None) => break,
                        Err(found) => {
                            error = Some(found);
                            break 'pieces;
                        }
                    }
                }
            }
            prop_assert_eq!(whole, (replies, error));
        }
    }
}
