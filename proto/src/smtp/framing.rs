//! Octets into command lines and content, before anything is parsed.
//!
//! Line ends are strict: a line ends at CRLF and nowhere else (RFC 5321 §2.3.8). A bare CR, a bare
//! LF or a NUL never ends anything and never passes: it taints the command line or the content it
//! stands in, which is read to its true end all the same, so that both sides stay in step. Hosts
//! that disagree about where content ends are what message smuggling lives on.
//!
//! Memory is bounded: a command line beyond its cap is swallowed, not kept; content is handed on
//! as it comes, and its state is a few octets. Content lines have no cap, although RFC 5321
//! §4.5.3.1.6 lets one stop at 1000 octets: legitimate mail has longer ones, and as content is
//! streamed they cost nothing.
//!
//! Every result is the same however the octets are split.

use alloc::vec::Vec;
use core::mem;

use memchr::{memchr, memchr2_iter, memchr3};

/// One command line, without its CRLF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Within the cap and clean.
    Clean(&'a [u8]),
    /// It cannot be obeyed.
    Faulty(Fault),
}

/// What is wrong with a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A bare CR, a bare LF or a NUL stood in it.
    Stray,
    /// Longer than the cap.
    TooLong,
    /// Either of these, and it began as a BDAT: octets follow it, and nobody knows how many.
    Uncounted,
}

/// Cuts command lines out of octets.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// The line so far, and that of the last one until the next is read; emptied once it is tainted
    /// or too long.
    held: Vec<u8>,
    /// The line that is held has ended.
    ended: bool,
    /// Its first octets, as many as there are: kept even when the line is not.
    verb: ([u8; BDAT.len()], usize),
    /// What is wrong with the line so far.
    fault: Option<Fault>,
    /// The last octet was a CR.
    after_cr: bool,
}

impl Lines {
    /// Reads from `octets` up to the end of one line. Gives how many were used, and the line if it
    /// has ended. `cap` counts the CRLF.
    pub fn read<'a>(&'a mut self, octets: &'a [u8], cap: usize) -> (usize, Option<Line<'a>>) {
        if let Some((used, line)) = self.whole_line(octets, cap) {
            return (used, Some(Line::Clean(line)));
        }
        if mem::take(&mut self.ended) {
            self.held.clear();
        }
        let mut used = 0usize;
        while let Some(rest) = octets.get(used..).filter(|rest| !rest.is_empty()) {
            let Some(at) = memchr(b'\n', rest) else {
                self.hold(rest, cap);
                self.after_cr = rest.last() == Some(&b'\r');
                return (octets.len(), None);
            };
            let (text, _) = rest.split_at(at);
            used = used.saturating_add(at).saturating_add(1);
            let ended = text.last().map_or(self.after_cr, |last| *last == b'\r');
            self.hold(text, cap);
            self.hold(b"\n", cap);
            self.after_cr = false;
            if ended {
                return (used, Some(self.finish()));
            }
            self.spoil(Fault::Stray);
        }
        (used, None)
    }

    /// Forgets a line begun.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// A line that begins and ends in these octets, and is clean: the ordinary case, in which
    /// nothing needs to be kept.
    fn whole_line<'a>(&mut self, octets: &'a [u8], cap: usize) -> Option<(usize, &'a [u8])> {
        let begun = !self.ended && (self.after_cr || self.verb.1 > 0);
        let end = memchr(b'\n', octets).filter(|_| !begun)?;
        let used = end.saturating_add(1);
        let line = octets.get(..end)?.strip_suffix(b"\r")?;
        (used <= cap && memchr3(b'\r', b'\n', 0, line).is_none()).then_some((used, line))
    }

    /// Keeps octets of a line, within the cap.
    fn hold(&mut self, octets: &[u8], cap: usize) {
        let (verb, known) = &mut self.verb;
        let unknown = verb.iter_mut().skip(*known);
        for (place, octet) in unknown.zip(octets) {
            *place = *octet;
            *known = known.saturating_add(1);
        }
        if self.fault.is_some() {
            return;
        }
        if self.held.len().saturating_add(octets.len()) > cap {
            self.spoil(Fault::TooLong);
        } else {
            self.held.extend_from_slice(octets);
        }
    }

    /// The first fault is the one that is told; the octets are no longer of use.
    fn spoil(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.held = Vec::new();
    }

    /// The line that has ended.
    fn finish(&mut self) -> Line<'_> {
        self.ended = true;
        let text = self.held.len().saturating_sub(2);
        self.held.truncate(text);
        let (verb, _) = mem::take(&mut self.verb);
        let fault = match self.fault.take() {
            None if memchr3(b'\r', b'\n', 0, &self.held).is_some() => Some(Fault::Stray),
            fault => fault,
        };
        match fault {
            Some(_) if verb.eq_ignore_ascii_case(BDAT) => Line::Faulty(Fault::Uncounted),
            Some(fault) => Line::Faulty(fault),
            None => Line::Clean(&self.held),
        }
    }
}

/// The one command that has octets behind its line unasked (RFC 3030 §2).
const BDAT: &[u8; 4] = b"BDAT";

/// A bare CR, a bare LF or a NUL was found in content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray;

/// Looks for stray line ends in content that is counted, not delimited (BDAT, RFC 3030). Its state
/// goes over chunk edges: a CRLF may be cut in two by them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEnds {
    /// The last octet was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// Looks at the next octets of the content.
    pub fn check(&mut self, octets: &[u8]) -> Result<(), Stray> {
        let Some(last) = octets.last() else {
            return Ok(());
        };
        if memchr(0, octets).is_some() {
            return Err(Stray);
        }
        // Where an LF must stand: behind each CR. Nowhere else may one.
        let mut due = self.after_cr.then_some(0);
        for at in memchr2_iter(b'\r', b'\n', octets) {
            let is_lf = octets.get(at) == Some(&b'\n');
            if is_lf != due.is_some() || due.is_some_and(|due| due != at) {
                return Err(Stray);
            }
            due = (!is_lf).then_some(at.saturating_add(1));
        }
        // Neither CR nor LF stood there, or the loop would have come by.
        if due.is_some_and(|due| due < octets.len()) {
            return Err(Stray);
        }
        self.after_cr = *last == b'\r';
        Ok(())
    }

    /// The content has ended: a CR may not stand last.
    pub const fn end(self) -> Result<(), Stray> {
        if self.after_cr { Err(Stray) } else { Ok(()) }
    }
}

/// Decodes content that is delimited by CRLF.CRLF (DATA, RFC 5321 §4.5.2).
#[derive(Clone, Debug, Default)]
pub struct DotText {
    /// Where in the content we are.
    place: Place,
    /// A bare CR, a bare LF or a NUL has been seen.
    tainted: bool,
}

/// Where in the content we are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Behind a CRLF, or at the very start.
    #[default]
    LineStart,
    /// Behind a dot at a line's start, which is dropped.
    Dot,
    /// Behind that and a CR.
    DotCr,
    /// Within a line.
    Within,
    /// Within a line, behind a CR.
    Cr,
}

impl DotText {
    /// Decodes from `octets` up to the end of the content, appending to `into`. Gives how many
    /// were used, and true once the content has ended. What is appended after the content is
    /// tainted is of no meaning.
    pub fn read(&mut self, octets: &[u8], into: &mut Vec<u8>) -> (usize, bool) {
        self.read_in_blocks(octets, into, BLOCK)
    }

    /// The same, by blocks of so many octets: most have nothing in them but whole octets of lines, which
    /// is seen without going from line to line.
    fn read_in_blocks(&mut self, octets: &[u8], into: &mut Vec<u8>, block: usize) -> (usize, bool) {
        let mut used = 0usize;
        for block in octets.chunks(block) {
            if let Some(place) = self.behind_plain(block) {
                into.extend_from_slice(block);
                self.place = place;
                used = used.saturating_add(block.len());
                continue;
            }
            let (more, ended) = self.read_closely(block, into);
            used = used.saturating_add(more);
            if ended {
                return (used, true);
            }
        }
        (used, false)
    }

    /// Where we are behind octets that are content as they stand; `None` if they may not be: a dot begins
    /// a line, or something stands where it must not.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without branches many octets are looked at in one step"
    )]
    fn behind_plain(&self, octets: &[u8]) -> Option<Place> {
        let (first, last) = (*octets.first()?, *octets.last()?);
        let goes_on = match self.place {
            Place::LineStart => first != b'.' && first != b'\n',
            Place::Within => first != b'\n',
            Place::Cr => first == b'\n',
            Place::Dot | Place::DotCr => false,
        };
        let odd = octets.iter().zip(octets.iter().skip(1));
        let odd = odd.fold(last == 0, |odd, (one, next)| {
            odd | ((*one == b'\r') != (*next == b'\n'))
                | ((*one == b'\n') & (*next == b'.'))
                | (*one == 0)
        });
        (goes_on && !odd).then_some(match last {
            b'\n' => Place::LineStart,
            b'\r' => Place::Cr,
            _ => Place::Within,
        })
    }

    /// The same octet by octet where it matters.
    fn read_closely(&mut self, octets: &[u8], into: &mut Vec<u8>) -> (usize, bool) {
        // Octets from here to the current one are still to be copied.
        let mut from = 0usize;
        let mut at = 0usize;
        while let Some(octet) = octets.get(at).copied() {
            let next = at.saturating_add(1);
            match (self.place, octet) {
                (Place::DotCr, b'\n') => return (next, true),
                (Place::LineStart, b'.') => {
                    into.extend_from_slice(octets.get(from..at).unwrap_or_default());
                    from = next;
                    self.place = Place::Dot;
                }
                (Place::Dot, b'\r') => {
                    // Not content yet, and never: either it ends here or it is tainted.
                    from = next;
                    self.place = Place::DotCr;
                }
                (Place::Cr, b'\n') => self.place = Place::LineStart,
                (Place::Cr | Place::DotCr, b'\r') => {
                    self.tainted = true;
                    self.place = Place::Cr;
                }
                (Place::LineStart | Place::Within, b'\r') => self.place = Place::Cr,
                (place, octet) => {
                    self.tainted |=
                        matches!(place, Place::Cr | Place::DotCr) || matches!(octet, b'\n' | 0);
                    self.place = Place::Within;
                    let rest = octets.get(next..).unwrap_or_default();
                    at = next.saturating_add(memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len()));
                    continue;
                }
            }
            at = next;
        }
        into.extend_from_slice(octets.get(from..at).unwrap_or_default());
        (octets.len(), false)
    }

    /// A bare CR, a bare LF or a NUL has been seen.
    pub const fn is_tainted(&self) -> bool {
        self.tainted
    }
}

/// Octets of content that are looked at together: a few lines, since the block with the final dot is
/// read closely.
const BLOCK: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// A line that outlives the octets.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Kept {
        Clean(Vec<u8>),
        Faulty(Fault),
    }

    /// Every line, and what is left of the octets, read in pieces of at most `step` octets.
    fn lines(octets: &[u8], step: usize, cap: usize) -> Vec<Kept> {
        let (mut reader, mut found) = (Lines::default(), Vec::new());
        for mut piece in octets.chunks(step) {
            while !piece.is_empty() {
                let (used, line) = reader.read(piece, cap);
                found.extend(line.map(|line| match line {
                    Line::Clean(text) => Kept::Clean(text.to_vec()),
                    Line::Faulty(fault) => Kept::Faulty(fault),
                }));
                piece = &piece[used..];
                assert!(reader.held.len() <= cap);
            }
        }
        found
    }

    /// Decoded content, whether it is tainted, and the octets used to its end, if it ended.
    fn decode(octets: &[u8], step: usize) -> (Option<usize>, bool, Vec<u8>) {
        let (mut text, mut decoded, mut seen) = (DotText::default(), Vec::new(), 0);
        for piece in octets.chunks(step) {
            let (used, ended) = text.read(piece, &mut decoded);
            seen += used;
            if ended {
                return (Some(seen), text.is_tainted(), decoded);
            }
        }
        (None, text.is_tainted(), decoded)
    }

    fn check_ends(octets: &[u8], step: usize) -> Result<(), Stray> {
        let mut ends = LineEnds::default();
        octets
            .chunks(step)
            .try_for_each(|piece| ends.check(piece))?;
        ends.end()
    }

    #[test]
    fn a_bdat_whose_count_is_lost_is_told_from_other_lines() {
        let long = [b"BDAT 6 LAST".as_slice(), &[b' '; 80]].concat();
        for (line, expected) in [
            (b"BDAT 6\rLAST".as_slice(), Kept::Faulty(Fault::Uncounted)),
            (b"bdat 6\n", Kept::Faulty(Fault::Uncounted)),
            (b"BDAT 6 \0", Kept::Faulty(Fault::Uncounted)),
            (b"\nBDAT 6", Kept::Faulty(Fault::Stray)),
            (b"BDA\0", Kept::Faulty(Fault::Stray)),
            (b"BDAT 6", Kept::Clean(b"BDAT 6".to_vec())),
            (&long, Kept::Faulty(Fault::Uncounted)),
        ] {
            let octets = [line, b"\r\nNOOP\0\r\n"].concat();
            for step in 1..octets.len() {
                assert_eq!(
                    lines(&octets, step, 40),
                    [expected.clone(), Kept::Faulty(Fault::Stray)],
                    "{}",
                    line.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn lines_end_at_crlf_alone() {
        let clean = |text: &str| Kept::Clean(text.into());
        for (octets, expected) in [
            ("NOOP\r\nQUIT\r\n", vec![clean("NOOP"), clean("QUIT")]),
            ("\r\n", vec![clean("")]),
            (
                "a\nb\r\nc\r\n",
                vec![Kept::Faulty(Fault::Stray), clean("c")],
            ),
            ("a\rb\r\n", vec![Kept::Faulty(Fault::Stray)]),
            ("a\r\r\n", vec![Kept::Faulty(Fault::Stray)]),
            ("\n\r\n", vec![Kept::Faulty(Fault::Stray)]),
            ("a\0\r\n", vec![Kept::Faulty(Fault::Stray)]),
            ("123456\r\n", vec![clean("123456")]),
            (
                "1234567\r\nx\r\n",
                vec![Kept::Faulty(Fault::TooLong), clean("x")],
            ),
            ("12345678\n\r\n", vec![Kept::Faulty(Fault::TooLong)]),
            ("NOOP\r", vec![]),
        ] {
            for step in 1..=octets.len() {
                assert_eq!(lines(octets.as_bytes(), step, 8), expected, "{octets:?}");
            }
        }
    }

    #[test]
    fn content_ends_at_crlf_dot_crlf_alone() {
        for (octets, ended, tainted, decoded) in [
            (".\r\n", true, false, ""),
            ("a\r\n.\r\n", true, false, "a\r\n"),
            ("..\r\n.a\r\n.\r\n", true, false, ".\r\na\r\n"),
            ("a.\r\n.\r\n", true, false, "a.\r\n"),
            ("a\n.\r\n", false, true, "a\n.\r\n"),
            ("a\r\n.\n.\r\n", false, true, "a\r\n\n.\r\n"),
            ("a\0\r\n.\r\n", true, true, "a\0\r\n"),
            ("\r\r\n.\r\n", true, true, "\r\r\n"),
        ] {
            for step in 1..=octets.len() {
                let whole = ended.then_some(octets.len());
                let expected = (whole, tainted, decoded.as_bytes().to_vec());
                assert_eq!(decode(octets.as_bytes(), step), expected, "{octets:?}");
            }
        }
    }

    #[test]
    fn counted_content_holds_no_stray_line_end() {
        for (octets, fits) in [
            ("", true),
            ("a\r\nb\r\n\r\n", true),
            ("no line end", true),
            ("a\rb", false),
            ("a\nb", false),
            ("\ra\r\n", false),
            ("\r\r\n", false),
            ("a\r", false),
            ("a\0", false),
            ("\n", false),
        ] {
            for step in 1..=octets.len().max(1) {
                let found = check_ends(octets.as_bytes(), step);
                assert_eq!(found.is_ok(), fits, "{octets:?}");
            }
        }
    }

    /// Octets in which line ends and dots are frequent.
    fn odd_octets() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![
            Just(b'\r'),
            Just(b'\n'),
            Just(b'.'),
            Just(b'a'),
            Just(0),
            Just(200)
        ];
        let piece = prop_oneof![
            octet.prop_map(|octet| vec![octet]),
            Just(b"\r\n".to_vec()),
            Just(b"\r\n.".to_vec())
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// The end and the taint, said again the slow way.
    fn decode_slowly(octets: &[u8]) -> (Option<usize>, bool) {
        let start = octets.starts_with(b".\r\n").then_some(3);
        let end = start.or_else(|| {
            let at = octets.windows(5).position(|five| five == b"\r\n.\r\n")?;
            Some(at + 5)
        });
        let content = &octets[..end.unwrap_or(octets.len())];
        let stray = |at: usize| match content[at] {
            0 => true,
            b'\r' => content.get(at + 1).is_some_and(|next| *next != b'\n'),
            b'\n' => at == 0 || content[at - 1] != b'\r',
            _ => false,
        };
        (end, (0..content.len()).any(stray))
    }

    proptest! {
        #[test]
        fn no_split_changes_anything(octets in odd_octets(), step in 1usize..8) {
            let whole = octets.len().max(1);
            prop_assert_eq!(lines(&octets, step, 9), lines(&octets, whole, 9));
            prop_assert_eq!(decode(&octets, step), decode(&octets, whole));
            prop_assert_eq!(check_ends(&octets, step), check_ends(&octets, whole));
        }

        #[test]
        fn blocks_change_nothing(octets in odd_octets(), block in 1usize..12) {
            let (mut close, mut closely) = (DotText::default(), Vec::new());
            let (mut quick, mut quickly) = (DotText::default(), Vec::new());
            let one = close.read_closely(&octets, &mut closely);
            let other = quick.read_in_blocks(&octets, &mut quickly, block);
            prop_assert_eq!((one, closely, close.place), (other, quickly, quick.place));
            prop_assert_eq!(close.tainted, quick.tainted);
        }

        #[test]
        fn the_end_of_content_is_where_it_is(octets in odd_octets()) {
            let (end, tainted, _) = decode(&octets, octets.len().max(1));
            prop_assert_eq!((end, tainted), decode_slowly(&octets));
        }

        #[test]
        fn stuffed_content_comes_back(text in "([a.]{0,4}\r\n){0,12}") {
            let mut stuffed = text.replace("\r\n.", "\r\n..");
            if stuffed.starts_with('.') {
                stuffed.insert(0, '.');
            }
            stuffed.push_str(".\r\n");
            let (end, tainted, decoded) = decode(stuffed.as_bytes(), stuffed.len());
            prop_assert_eq!((end, tainted), (Some(stuffed.len()), false));
            prop_assert_eq!(decoded, text.as_bytes());
        }
    }
}
