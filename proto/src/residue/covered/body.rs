//! The body in relaxed form (RFC 6376 §3.4.4): one space for each run of blanks in a line, none at its end, no empty
//! lines at the end of all, a CRLF behind the last line.

/// Where in the body the reader is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Body {
    /// Empty lines that were not given on, because only more content tells that they are not the last.
    empty: u64,
    /// Something of this line was given on.
    filled: bool,
    /// Blanks wait for what stands behind them.
    blank: bool,
    /// A CR waits for what stands behind it.
    cr: bool,
}

impl Body {
    /// Takes the next octets, and gives on what they come to.
    pub(super) fn read(&mut self, octets: &[u8], give: impl FnMut(&[u8])) {
        let mut out = Out::new(give);
        let mut rest = octets;
        while let Some((first, behind)) = rest.split_first() {
            if core::mem::take(&mut self.cr) && *first != b'\n' {
                self.plain(b"\r", &mut out);
            }
            rest = behind;
            match first {
                b'\n' => self.end_line(&mut out),
                b'\r' => self.cr = true,
                b' ' | b'\t' => self.blank = true,
                _ => {
                    let ends = behind
                        .iter()
                        .position(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
                    let more = ends.unwrap_or(behind.len());
                    self.plain(core::slice::from_ref(first), &mut out);
                    if let Some((run, behind)) = behind.split_at_checked(more) {
                        out.add(run);
                        rest = behind;
                    }
                }
            }
        }
        out.flush();
    }

    /// The content is over.
    pub(super) fn finish(&mut self, give: impl FnMut(&[u8])) {
        let mut out = Out::new(give);
        if core::mem::take(&mut self.cr) {
            self.plain(b"\r", &mut out);
        }
        if self.filled {
            self.end_line(&mut out);
        }
        out.flush();
    }

    /// Octets that are no blanks and no line end.
    fn plain(&mut self, octets: &[u8], out: &mut Out<impl FnMut(&[u8])>) {
        if !self.filled {
            (0..core::mem::take(&mut self.empty)).for_each(|_| out.add(b"\r\n"));
            self.filled = true;
        }
        if core::mem::take(&mut self.blank) {
            out.add(b" ");
        }
        out.add(octets);
    }

    fn end_line(&mut self, out: &mut Out<impl FnMut(&[u8])>) {
        self.blank = false;
        if core::mem::take(&mut self.filled) {
            out.add(b"\r\n");
        } else {
            self.empty = self.empty.saturating_add(1);
        }
    }
}

/// Gathers what is given on: words are short, and each call of a hash costs something.
struct Out<G> {
    give: G,
    gathered: [u8; GATHERED],
    len: usize,
}

/// Octets gathered: some lines.
const GATHERED: usize = 512;

impl<G: FnMut(&[u8])> Out<G> {
    const fn new(give: G) -> Self {
        Self {
            give,
            gathered: [0; GATHERED],
            len: 0,
        }
    }

    #[inline]
    fn add(&mut self, octets: &[u8]) {
        let end = self.len.saturating_add(octets.len());
        if let Some(room) = self.gathered.get_mut(self.len..end) {
            room.copy_from_slice(octets);
            self.len = end;
        } else {
            self.flush();
            (self.give)(octets);
        }
    }

    fn flush(&mut self) {
        let len = core::mem::take(&mut self.len);
        if let Some(gathered) = self.gathered.get(..len)
            && !gathered.is_empty()
        {
            (self.give)(gathered);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn relaxed(body: &[u8], step: usize) -> Vec<u8> {
        let mut given = Vec::new();
        let mut state = Body::default();
        for piece in body.chunks(step) {
            state.read(piece, |octets| given.extend_from_slice(octets));
        }
        state.finish(|octets| given.extend_from_slice(octets));
        given
    }

    #[test]
    fn the_form_is_the_relaxed_one() {
        let long = "x".repeat(3 * GATHERED);
        for (body, expected) in [
            // RFC 6376 §3.4.5.
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("", ""),
            ("\r\n\r\n \t\r\n", ""),
            ("a", "a\r\n"),
            ("a ", "a\r\n"),
            ("a\r\n \t", "a\r\n"),
            ("\r\n\t\r\na\r\n\r\nb", "\r\n\r\na\r\n\r\nb\r\n"),
            ("a\nb\n", "a\r\nb\r\n"),
            ("a\r \rb\r", "a\r \rb\r\r\n"),
            ("\r", "\r\r\n"),
            (&long, &(String::new() + &long + "\r\n")),
        ] {
            for step in 1..=body.len().clamp(1, 20) {
                let given = relaxed(body.as_bytes(), step);
                assert_eq!(
                    String::from_utf8_lossy(&given),
                    expected,
                    "{body:?} by {step}"
                );
            }
        }
    }
}
