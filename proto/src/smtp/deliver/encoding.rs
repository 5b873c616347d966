//! Content on its way out, in one of two forms: dot-stuffed lines (RFC 5321 §4.5.2) or counted
//! chunks (RFC 3030 §2). Piece by piece, so that memory does not follow the message's size.
//!
//! Promises: what the peer reads back is the content octet for octet (with a CRLF added at the end
//! where dot-stuffed content has none); content with a bare CR or LF is a fault in both forms, so
//! that no next hop can take a part of it for the end (RFC 5321 §2.3.8); so are octets above 127
//! where they must not be sent.

use alloc::format;
use alloc::vec::Vec;

/// What content can be that must not leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A CR without LF, or an LF without CR.
    BareLineEnd,
    /// An octet above 127, and the peer takes none.
    EightBit,
}

/// Which form content has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// After DATA.
    Lines,
    /// BDAT.
    Chunks,
}

/// Octets that ride with BDAT LAST, so that it is not empty, which some servers take badly. Two,
/// because they are the last line's end and the shortest that says nothing of its own.
const TAIL: usize = 2;

/// Turns the pieces of one message into what is written.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    takes_eight_bits: bool,
    /// The last octets: those the last chunk will carry, or the last one of a line.
    tail: Vec<u8>,
}

impl Encoder {
    /// For one message.
    pub const fn new(form: Form, takes_eight_bits: bool) -> Self {
        Self {
            form,
            takes_eight_bits,
            tail: Vec::new(),
        }
    }

    /// The form.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// What is written for `piece`; may be nothing.
    pub fn piece(&mut self, piece: &[u8]) -> Result<Vec<u8>, Fault> {
        if !self.takes_eight_bits && !piece.is_ascii() {
            return Err(Fault::EightBit);
        }
        Ok(match self.form {
            Form::Lines => self.stuff(piece)?,
            Form::Chunks => {
                self.lines(piece, |_| {})?;
                self.chunk(piece)
            }
        })
    }

    /// What is written after the last piece and before the completing octets.
    pub fn finish(&self) -> Result<&'static [u8], Fault> {
        match (self.form, self.tail.last()) {
            (_, Some(b'\r')) => Err(Fault::BareLineEnd),
            (Form::Lines, Some(last)) if *last != b'\n' => Ok(b"\r\n"),
            _ => Ok(b""),
        }
    }

    /// The octets that complete the message.
    pub fn completion(&mut self) -> Vec<u8> {
        match self.form {
            Form::Lines => b".\r\n".to_vec(),
            Form::Chunks => {
                let mut octets = format!("BDAT {} LAST\r\n", self.tail.len()).into_bytes();
                octets.append(&mut self.tail);
                octets
            }
        }
    }

    /// Looks for line ends that must not leave. `begins` hears where each line begins that begins in
    /// `piece`, but the first.
    fn lines(&self, piece: &[u8], mut begins: impl FnMut(usize)) -> Result<(), Fault> {
        if piece.is_empty() {
            return Ok(());
        }
        let mut ends = 0usize;
        for at in memchr::memchr_iter(b'\n', piece) {
            let previous = match at.checked_sub(1) {
                Some(previous) => piece.get(previous),
                None => self.tail.last(),
            };
            if previous != Some(&b'\r') {
                return Err(Fault::BareLineEnd);
            }
            ends = ends.saturating_add(1);
            begins(at.saturating_add(1));
        }
        // Every LF has its CR. A CR that is left over is bare, unless it is the last octet there is yet.
        let before = usize::from(self.tail.last() == Some(&b'\r'));
        let returns = memchr::memchr_iter(b'\r', piece).count();
        let open = usize::from(piece.last() == Some(&b'\r'));
        if before.saturating_add(returns) == ends.saturating_add(open) {
            Ok(())
        } else {
            Err(Fault::BareLineEnd)
        }
    }

    /// Doubles the dot at the start of each line.
    fn stuff(&mut self, piece: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut octets = Vec::with_capacity(piece.len().saturating_add(16));
        if piece.first() == Some(&b'.') && self.tail.last().is_none_or(|last| *last == b'\n') {
            octets.push(b'.');
        }
        let mut done = 0;
        self.lines(piece, |begin| {
            if piece.get(begin) == Some(&b'.') {
                octets.extend_from_slice(piece.get(done..begin).unwrap_or_default());
                octets.push(b'.');
                done = begin;
            }
        })?;
        octets.extend_from_slice(piece.get(done..).unwrap_or_default());
        if let Some(last) = piece.last() {
            self.tail.clear();
            self.tail.push(*last);
        }
        Ok(octets)
    }

    /// A chunk of all but the last octets; nothing if there are no others.
    fn chunk(&mut self, piece: &[u8]) -> Vec<u8> {
        let held = self.tail.len();
        let count = held.saturating_add(piece.len()).saturating_sub(TAIL);
        if count == 0 {
            self.tail.extend_from_slice(piece);
            return Vec::new();
        }
        let mut octets = format!("BDAT {count}\r\n").into_bytes();
        octets.reserve(count);
        let (from_tail, from_piece) = (held.min(count), count.saturating_sub(held));
        octets.extend(self.tail.drain(..from_tail));
        let (now, later) = piece.split_at_checked(from_piece).unwrap_or((piece, &[]));
        octets.extend_from_slice(now);
        self.tail.extend_from_slice(later);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn encode(form: Form, content: &[u8], size: usize) -> Result<Vec<u8>, Fault> {
        let mut encoder = Encoder::new(form, true);
        let mut octets = vec![];
        for piece in content.chunks(size) {
            octets.extend(encoder.piece(piece)?);
        }
        octets.extend_from_slice(encoder.finish()?);
        octets.extend(encoder.completion());
        Ok(octets)
    }

    /// Reads BDAT commands back.
    fn unchunk(mut octets: &[u8]) -> Vec<u8> {
        let mut content = vec![];
        loop {
            let end = octets.iter().position(|octet| *octet == b'\n').unwrap();
            let command = core::str::from_utf8(&octets[..end]).unwrap().trim_end();
            let count: usize = command.split(' ').nth(1).unwrap().parse().unwrap();
            content.extend_from_slice(&octets[end + 1..end + 1 + count]);
            octets = &octets[end + 1 + count..];
            if command.ends_with("LAST") {
                assert_eq!(octets, b"");
                return content;
            }
        }
    }

    #[test]
    fn dots_are_doubled_and_the_last_line_ended() {
        for (content, wire) in [
            ("", ".\r\n"),
            (".", "..\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("a\r\n.\r\n..b\r\nc.", "a\r\n..\r\n...b\r\nc.\r\n.\r\n"),
            ("\r\n\r\n", "\r\n\r\n.\r\n"),
        ] {
            for size in 1..9 {
                let octets = encode(Form::Lines, content.as_bytes(), size);
                assert_eq!(octets, Ok(wire.into()), "{content:?} by {size}");
            }
        }
    }

    #[test]
    fn the_last_chunk_is_not_empty_unless_all_is() {
        for (content, wire) in [
            ("", "BDAT 0 LAST\r\n"),
            (".", "BDAT 1 LAST\r\n."),
            ("\r\n", "BDAT 2 LAST\r\n\r\n"),
            ("abcd\r\n", "BDAT 4\r\nabcdBDAT 2 LAST\r\n\r\n"),
        ] {
            let octets = encode(Form::Chunks, content.as_bytes(), 100);
            assert_eq!(octets, Ok(wire.into()), "{content:?}");
        }
    }

    #[test]
    fn bare_line_ends_are_found_however_they_are_cut() {
        for content in [
            "a\nb", "\n", "a\rb", "\r\r\n", "a\r", "\r\n\n", "\r\n.\n", "a\r\n.\r",
        ] {
            for (form, size) in [
                (Form::Lines, 1),
                (Form::Lines, 9),
                (Form::Chunks, 1),
                (Form::Chunks, 2),
                (Form::Chunks, 9),
            ] {
                let result = encode(form, content.as_bytes(), size);
                assert_eq!(result, Err(Fault::BareLineEnd), "{content:?} by {size}");
            }
        }
    }

    /// All contents of up to seven of the octets that matter, cut in all ways.
    #[test]
    fn every_short_content_leaves_as_its_lines_say_or_not_at_all() {
        const OCTETS: [char; 4] = ['\r', '\n', '.', 'a'];
        for count in 0..8 {
            for number in 0..4usize.pow(count) {
                let octet = |place| OCTETS[number / 4usize.pow(place) % 4];
                let content: alloc::string::String = (0..count).map(octet).collect();
                let lines: Vec<_> = content.split("\r\n").collect();
                let sound = lines.iter().all(|line| !line.contains(['\r', '\n']));
                let stuffed = |line: &&str| line.replacen('.', "..", line.starts_with('.').into());
                let mut wire = lines.iter().map(stuffed).collect::<Vec<_>>().join("\r\n");
                if !content.is_empty() && !content.ends_with("\r\n") {
                    wire.push_str("\r\n");
                }
                wire.push_str(".\r\n");
                for size in 1..=content.len().max(1) {
                    let octets = encode(Form::Lines, content.as_bytes(), size);
                    let wanted = if sound {
                        Ok(wire.clone().into_bytes())
                    } else {
                        Err(Fault::BareLineEnd)
                    };
                    assert_eq!(octets, wanted, "{content:?} by {size}");
                    let chunks = encode(Form::Chunks, content.as_bytes(), size);
                    assert_eq!(chunks.is_ok(), sound, "{content:?} by {size}");
                }
            }
        }
    }

    #[test]
    fn eight_bits_go_only_where_they_are_taken() {
        let mut encoder = Encoder::new(Form::Lines, false);
        assert_eq!(encoder.piece(b"plain\r\n"), Ok(b"plain\r\n".to_vec()));
        assert_eq!(encoder.piece(b"\xe9"), Err(Fault::EightBit));
    }

    proptest! {
        #[test]
        fn content_is_read_back_octet_for_octet(
            lines in proptest::collection::vec("[.a\u{e9}]{0,5}", 0..8),
            size in 1usize..12,
        ) {
            let content = lines.join("\r\n").into_bytes();
            let chunks = encode(Form::Chunks, &content, size).unwrap();
            prop_assert_eq!(unchunk(&chunks), content);
        }
    }
}
