//! Framing: lines and content come out the same however the octets are split, and nothing but
//! CRLF ends anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::smtp::framing::{DotText, Fault, Line, LineEnds, Lines};

/// What DATA's decoder makes of octets that come in pieces.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, usize, bool, bool) {
    let (mut text, mut content, mut total) = (DotText::default(), Vec::new(), 0);
    for piece in pieces {
        let (used, ended) = text.read(piece, &mut content);
        total += used;
        if ended {
            return (content, total, true, text.is_tainted());
        }
        assert_eq!(used, piece.len(), "octets may be left only behind the end");
    }
    (content, total, false, text.is_tainted())
}

/// The lines in octets that come in pieces.
fn lines<'a>(pieces: impl Iterator<Item = &'a [u8]>, cap: usize) -> Vec<Result<Vec<u8>, Fault>> {
    let (mut lines, mut found) = (Lines::default(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let (used, line) = lines.read(piece, cap);
            assert!(used > 0);
            found.extend(line.map(|line| match line {
                Line::Clean(text) => Ok(text.to_vec()),
                Line::Faulty(fault) => Err(fault),
            }));
            piece = &piece[used..];
        }
    }
    found
}

/// True if content that is counted has no stray line end.
fn judge<'a>(mut pieces: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut ends = LineEnds::default();
    pieces
        .try_for_each(|piece| ends.check(piece))
        .and_then(|()| ends.end())
        .is_ok()
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (size, cap, octets) = (usize::from(input.0) + 1, usize::from(input.1), input.2);

    let whole = decode([octets].into_iter());
    let split = decode(octets.chunks(size));
    // What is appended after a taint means nothing, and nobody may use it.
    assert_eq!((whole.1, whole.2, whole.3), (split.1, split.2, split.3));
    if !whole.3 {
        assert_eq!(whole.0, split.0);
        let stray = |at: usize| match whole.0[at] {
            0 => true,
            b'\n' => at == 0 || whole.0[at - 1] != b'\r',
            b'\r' => whole.0.get(at + 1).is_some_and(|next| *next != b'\n'),
            _ => false,
        };
        assert!(
            !(0..whole.0.len()).any(stray),
            "a stray line end in content that is not tainted"
        );
    }
    if whole.2 {
        let ends = octets[..whole.1].ends_with(b"\r\n.\r\n") || &octets[..whole.1] == b".\r\n";
        assert!(ends, "content ended by something else than CRLF.CRLF");
    }

    let first = lines([octets].into_iter(), cap);
    assert_eq!(first, lines(octets.chunks(size), cap));
    for line in first {
        if let Ok(text) = line {
            assert!(text.len() + 2 <= cap);
            assert!(!text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
        }
    }

    assert_eq!(judge([octets].into_iter()), judge(octets.chunks(size)));
});
