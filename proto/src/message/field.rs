//! Fields that we write: folded, and with nothing in them that could end, fold or hide anything.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

/// Octets of a line without its end that should not be passed (RFC 5322 §2.1.1).
const LINE: usize = 78;

/// Characters shown of somebody else's word: as many as an address has at most
/// (RFC 5321 §4.5.3.1).
const SHOWN: usize = 320;

/// A field being written, word by word.
#[derive(Debug)]
pub(super) struct Field {
    text: String,
    /// Octets of its last line.
    line: usize,
}

impl Field {
    /// A field of this name, with its first word.
    pub(super) fn new(name: &str, first: &str) -> Self {
        let text = format!("{name}: {first}");
        let line = text.len();
        Self { text, line }
    }

    /// One more word, on the same line if there is room.
    pub(super) fn word(&mut self, word: &str) {
        let line = self.line.saturating_add(1).saturating_add(word.len());
        if line > LINE {
            self.line_of(word);
        } else {
            self.text.push(' ');
            self.text.push_str(word);
            self.line = line;
        }
    }

    /// One more word, on a line of its own.
    pub(super) fn line_of(&mut self, word: &str) {
        self.text.push_str("\r\n\t");
        self.text.push_str(word);
        self.line = word.len().saturating_add(1);
    }

    /// The field with its CRLF.
    pub(super) fn finish(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

/// A word of somebody else's in quotes (RFC 5322 §3.2.4), in ASCII.
pub(super) fn quoted(text: &str) -> String {
    quoted_characters(text.chars().map(|c| if c.is_ascii() { c } else { '?' }))
}

/// An address in quotes. One beyond ASCII came with SMTPUTF8, and goes on with it.
pub(super) fn quoted_address(text: &str) -> String {
    quoted_characters(text.chars())
}

/// Characters in quotes, those that would not stay there replaced.
fn quoted_characters(text: impl Iterator<Item = char>) -> String {
    let mut quoted = String::from("\"");
    for character in text.take(SHOWN) {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            _ if character.is_control() => quoted.push('?'),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// The word as it is, if it is a dot-atom (RFC 5322 §3.2.3) of few enough characters; else in
/// quotes.
pub(super) fn atom_or_quoted(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN && is_dot_atom(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(quoted(text))
    }
}

/// Whether a text is a dot-atom in ASCII.
pub(super) fn is_dot_atom(text: &str) -> bool {
    let of_atom =
        |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    let mut atoms = text.split('.');
    atoms.all(|atom| !atom.is_empty() && atom.bytes().all(of_atom))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_short_where_words_do() {
        let mut field = Field::new("A", "b");
        for _ in 0..40 {
            field.word("seven77");
        }
        field.word(&"x".repeat(100));
        field.line_of("c");
        field.word("d");
        let text = field.finish();
        assert!(text.ends_with("\r\n\tc d\r\n"));
        let lines = text.split_terminator("\r\n");
        assert_eq!(lines.filter(|line| line.len() > 78).count(), 1);
    }

    #[test]
    fn words_of_others_stay_words() {
        for (text, written) in [
            ("example.org", "example.org"),
            ("a+b=c", "a+b=c"),
            ("", "\"\""),
            ("a..b", "\"a..b\""),
            ("a b", "\"a b\""),
            ("a;b", "\"a;b\""),
            ("a(b", "\"a(b\""),
            ("a\"\\", "\"a\\\"\\\\\""),
            ("a\r\nSubject: x\0\u{85}", "\"a??Subject: x??\""),
            ("bücher", "\"b?cher\""),
        ] {
            assert_eq!(atom_or_quoted(text), written);
        }
        assert_eq!(quoted_address("é@b;\0"), "\"é@b;?\"");
        assert_eq!(quoted(&"é".repeat(1000)).len(), 322);
    }
}
