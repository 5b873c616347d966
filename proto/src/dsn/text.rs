//! How text is written into a report: fields folded, lines wrapped, peers' words made harmless,
//! octets above 127 as quoted-printable.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::addr::Mailbox;

/// Characters of a peer's text that are shown: enough for any explanation that is meant to be read.
const MAX_QUOTED: usize = 1_000;

/// Columns after which lines of text and fields are broken (RFC 5322 §2.1.1).
const WIDTH: usize = 76;

/// A word longer than this is cut, so that no line comes near 998 octets (RFC 5322 §2.1.1).
const MAX_WORD: usize = 200;

/// A peer's text without anything that could pass for structure: no control characters, runs of
/// blanks as one, bounded; ASCII only unless `utf8`.
pub(super) fn harmless(text: &str, utf8: bool) -> String {
    let plain: String = text
        .chars()
        .take(MAX_QUOTED)
        .map(|character| match character {
            character if character.is_whitespace() || character.is_control() => ' ',
            // What turns or hides text is control too, whatever Unicode calls it.
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => ' ',
            character if character.is_ascii() || utf8 => character,
            _ => '?',
        })
        .collect();
    let mut words: Vec<&str> = plain.split_ascii_whitespace().collect();
    if text.chars().nth(MAX_QUOTED).is_some() {
        words.push("[...]");
    }
    words.join(" ")
}

/// The words of `text`, none too long for a line.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_ascii_whitespace().flat_map(|word| {
        let characters: Vec<char> = word.chars().collect();
        let pieces: Vec<String> = characters
            .chunks(MAX_WORD)
            .map(|piece| piece.iter().collect())
            .collect();
        pieces
    })
}

/// Appends `text`, each line behind `indent` and broken between words.
pub(super) fn push_wrapped(into: &mut String, indent: &str, text: &str) {
    let mut column = 0;
    for word in words(text) {
        let length = word.chars().count();
        if column == 0 {
            into.push_str(indent);
            column = indent.len();
        } else if column.saturating_add(1).saturating_add(length) > WIDTH {
            into.push_str("\r\n");
            into.push_str(indent);
            column = indent.len();
        } else {
            into.push(' ');
            column = column.saturating_add(1);
        }
        into.push_str(&word);
        column = column.saturating_add(length);
    }
    into.push_str("\r\n");
}

/// Appends `name: value`, folded (RFC 5322 §2.2.3).
pub(super) fn push_field(into: &mut String, name: &str, value: &str) {
    into.push_str(name);
    into.push(':');
    let mut column = name.len().saturating_add(1);
    for (at, word) in words(value).enumerate() {
        let length = word.chars().count();
        // The first word stays beside the name: a line of nothing but blanks is not allowed.
        if at > 0 && column.saturating_add(1).saturating_add(length) > WIDTH {
            into.push_str("\r\n");
            column = 0;
        }
        into.push(' ');
        into.push_str(&word);
        column = column.saturating_add(length).saturating_add(1);
    }
    into.push_str("\r\n");
}

/// The mailbox as RFC 5322 §3.4.1 wants it: a local-part that is no dot-atom is quoted.
pub(super) fn header_address(mailbox: &Mailbox) -> String {
    let local_part = mailbox.local_part.as_str();
    if !local_part.starts_with('"') && local_part.split('.').any(str::is_empty) {
        format!("\"{local_part}\"@{}", mailbox.domain)
    } else {
        mailbox.to_string()
    }
}

/// Appends octets as quoted-printable (RFC 2045 §6.7). Each CRLF stays a line end.
pub(super) fn push_quoted_printable(into: &mut Vec<u8>, octets: &[u8]) {
    let mut rest = octets;
    while !rest.is_empty() {
        let end = memchr::memmem::find(rest, b"\r\n");
        let (line, behind) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or((rest, &[]));
        push_quoted_line(into, line);
        into.extend_from_slice(b"\r\n");
        rest = behind.get(2..).unwrap_or_default();
    }
}

/// Appends one line, with soft breaks where it is long.
fn push_quoted_line(into: &mut Vec<u8>, line: &[u8]) {
    let mut column = 0usize;
    for (at, octet) in line.iter().enumerate() {
        let last = at.saturating_add(1) == line.len();
        let literal = match octet {
            b'=' => false,
            b' ' | b'\t' => !last,
            octet => octet.is_ascii_graphic(),
        };
        let width = if literal { 1 } else { 3 };
        if column.saturating_add(width) > WIDTH.saturating_sub(1) {
            into.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if literal {
            into.push(*octet);
        } else {
            into.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column = column.saturating_add(width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn peers_text_cannot_pass_for_structure() {
        assert_eq!(
            harmless("a\r\nTo: x\u{0}\t\u{7f}b\u{202e}c é", false),
            "a To: x b c ?"
        );
        assert_eq!(harmless("é\u{85}ü", true), "é ü");
        let long = harmless(&"ab ".repeat(1_000), false);
        assert!(long.len() < 1_010 && long.ends_with("[...]"));
    }

    #[test]
    fn quoted_printable_is_as_the_standard_has_it() {
        let mut into = Vec::new();
        push_quoted_printable(&mut into, "é=\t\r\n\r\na b ".as_bytes());
        assert_eq!(into, b"=C3=A9=3D=09\r\n\r\na b=20\r\n");
        into.clear();
        push_quoted_printable(&mut into, &[b'a'; 80]);
        let lines: Vec<_> = into
            .split(|octet| *octet == b'\n')
            .map(<[u8]>::len)
            .collect();
        assert_eq!(lines, [77, 6, 0]);
    }

    proptest! {
        #[test]
        fn fields_stay_fields(value in any::<String>()) {
            let mut field = String::new();
            push_field(&mut field, "X", &harmless(&value, false));
            let lines: Vec<_> = field.split_terminator("\r\n").collect();
            prop_assert!(lines[0].starts_with("X:"));
            prop_assert!(lines[1..].iter().all(|line| line.starts_with(' ') && !line.trim().is_empty()));
            prop_assert!(lines.iter().all(|line| line.len() <= 998));
            prop_assert!(field.bytes().all(|byte| byte == b'\r' || byte == b'\n'
                || byte == b' ' || byte.is_ascii_graphic()));
        }
    }
}
