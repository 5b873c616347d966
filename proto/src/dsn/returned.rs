//! The last part: the header of the message that is reported on (RFC 6522 §4), or all of it where
//! RET=FULL asked for that (RFC 3461 §4.3) and every host takes what comes of it: up to
//! [`MAX_RETURNED`] octets, and seven-bit lines unless the report has to be UTF-8 anyway. A report
//! that a host on its way cannot take would be lost, and its sender wrote the message.

use alloc::vec::Vec;

use super::Returned;
use super::text::push_quoted_printable;

/// Octets of the header that are returned: far more than any has that people or lists wrote, and
/// no more than one buffer.
pub const MAX_HEADER: usize = 65_536;

/// Octets of a message that is returned whole: a long text, and no attachments. A report is made in
/// memory, as many at once as there are messages being settled.
pub const MAX_RETURNED: usize = 131_072;

/// Octets of a line, without its end (RFC 5322 §2.1.1).
const MAX_LINE: usize = 998;

/// The part, header and all; `None` if the message has no header.
pub(super) fn part(message: Returned<'_>, full: bool, utf8: bool) -> Option<Vec<u8>> {
    let beginning = match message {
        Returned::Whole(whole) if full && whole.len() <= MAX_RETURNED => {
            if let Some(part) = whole_part(whole, utf8) {
                return Some(part);
            }
            whole
        }
        Returned::Beginning(octets) | Returned::Whole(octets) => octets,
    };
    let header = cut(beginning);
    if header.is_empty() {
        return None;
    }
    let mut part = Vec::with_capacity(header.len().saturating_add(100));
    if is_plain(header) {
        part.extend_from_slice(b"Content-Type: text/rfc822-headers\r\n\r\n");
        part.extend_from_slice(header);
    } else if utf8 && is_lines(header) && core::str::from_utf8(header).is_ok() {
        part.extend_from_slice(
            b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
        );
        part.extend_from_slice(header);
    } else {
        part.extend_from_slice(
            b"Content-Type: text/rfc822-headers\r\n\
              Content-Transfer-Encoding: quoted-printable\r\n\r\n",
        );
        push_quoted_printable(&mut part, header);
    }
    Some(part)
}

/// The part that holds the message as it is; `None` where not every host would take it.
fn whole_part(whole: &[u8], utf8: bool) -> Option<Vec<u8>> {
    let head: &[u8] = if is_plain(whole) {
        b"Content-Type: message/rfc822\r\n\r\n"
    } else if utf8 && is_lines(whole) && core::str::from_utf8(whole).is_ok() {
        b"Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    } else {
        return None;
    };
    let mut part = Vec::with_capacity(head.len().saturating_add(whole.len()));
    part.extend_from_slice(head);
    part.extend_from_slice(whole);
    Some(part)
}

/// The whole fields at the start of `beginning`, up to the empty line, within the bound.
fn cut(beginning: &[u8]) -> &[u8] {
    let mut fields_end = 0;
    let mut at = 0;
    let up_to = |end: usize| beginning.get(..end).unwrap_or_default();
    loop {
        let rest = beginning.get(at..).unwrap_or_default();
        match rest.first() {
            // A continuation belongs to the field before it.
            Some(b' ' | b'\t') if at > 0 => {}
            _ => fields_end = at,
        }
        if rest.is_empty() || rest.starts_with(b"\r\n") {
            return up_to(fields_end);
        }
        let Some(line) = memchr::memmem::find(rest, b"\r\n") else {
            return up_to(fields_end);
        };
        at = at.saturating_add(line).saturating_add(2);
        if at > MAX_HEADER {
            return up_to(fields_end);
        }
    }
}

/// Lines that any mail host takes.
fn is_plain(header: &[u8]) -> bool {
    header.is_ascii() && is_lines(header)
}

/// No line too long, no octet that no header has.
fn is_lines(header: &[u8]) -> bool {
    let mut lines = header.split(|octet| *octet == b'\n');
    !header.contains(&0)
        && lines.all(|line| line.strip_suffix(b"\r").unwrap_or(line).len() <= MAX_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn whole_fields_up_to_the_empty_line() {
        for (beginning, header) in [
            ("", ""),
            ("\r\nbody", ""),
            (
                "A: 1\r\nB: 2\r\n 3\r\n\r\nbody\r\n",
                "A: 1\r\nB: 2\r\n 3\r\n",
            ),
            ("A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n"),
            ("A: 1\r\nB: 2\r\n 3", "A: 1\r\n"),
            ("no header at all", ""),
        ] {
            assert_eq!(
                cut(beginning.as_bytes()),
                header.as_bytes(),
                "{beginning:?}"
            );
        }
        let long = format!("A: 1\r\nB: {}\r\n", " x\r\n".repeat(MAX_HEADER));
        assert_eq!(cut(long.as_bytes()), b"A: 1\r\n");
    }

    #[test]
    fn the_form_follows_the_octets() {
        let form = |header: &[u8], utf8| {
            let part = part(Returned::Beginning(header), false, utf8).unwrap();
            let end = memchr::memmem::find(&part, b"\r\n\r\n").unwrap();
            alloc::string::String::from_utf8(part[..end].to_vec()).unwrap()
        };
        let utf8 = "A: é\r\n".as_bytes();
        assert_eq!(form(b"A: 1\r\n", true), "Content-Type: text/rfc822-headers");
        assert!(form(utf8, false).ends_with("quoted-printable"));
        assert!(form(utf8, true).contains("message/global-headers"));
        assert!(form(b"A: \xe9\r\n", true).ends_with("quoted-printable"));
        let long = format!("A: {}\r\n", "x".repeat(1_000));
        assert!(form(long.as_bytes(), false).ends_with("quoted-printable"));
    }
}
