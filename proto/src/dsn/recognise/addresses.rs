//! Addresses in text that people read: whom a host says that it could not reach.

use alloc::string::String;
use alloc::vec::Vec;

use super::keep;
use super::lines::Lines;

/// Octets of an address (RFC 5321 §4.5.3.1: local-part, @, domain).
const MAX_ADDRESS: usize = 320;

/// Those in the text, each once: those that begin a line if any does, since that is how whom a report
/// is about is set off from prose; else all. The `known` ones, who wrote or get the report, count only
/// where no other does, and where they begin a line.
pub(super) fn in_text(text: &[u8], known: &[String]) -> Vec<String> {
    let mut lists: [Vec<String>; 3] = Default::default();
    let [leading, others, known_ones] = &mut lists;
    for line in Lines::of(text) {
        let line = line.text.trim_ascii();
        let words = line.split(|octet| is_between(*octet));
        for (at, word) in words.filter(|word| !word.is_empty()).enumerate() {
            let Some(address) = address(word) else {
                continue;
            };
            let is_known = known.iter().any(|it| it.eq_ignore_ascii_case(&address));
            match (at, is_known) {
                (0, false) => keep(leading, address),
                (0, true) => keep(known_ones, address),
                (_, false) => keep(others, address),
                (_, true) => {}
            }
        }
    }
    let found = lists.into_iter().find(|list| !list.is_empty());
    found.unwrap_or_default()
}

/// All in the value of a field.
pub(super) fn in_field(value: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in value.as_bytes().split(|octet| is_between(*octet)) {
        if let Some(address) = address(word) {
            keep(&mut found, address);
        }
    }
    found
}

/// What stands around an address, and in none.
const fn is_between(octet: u8) -> bool {
    octet.is_ascii_whitespace()
        || octet.is_ascii_control()
        || matches!(
            octet,
            b'<' | b'>' | b'(' | b')' | b'[' | b']' | b',' | b';' | b':' | b'"' | b'\''
        )
}

/// A word that is an address, in the way that hosts write them.
fn address(word: &[u8]) -> Option<String> {
    let word = word.strip_suffix(b".").unwrap_or(word);
    if word.len() > MAX_ADDRESS {
        return None;
    }
    let word = core::str::from_utf8(word).ok()?;
    let word = word.trim_end_matches("...");
    let (local_part, domain) = word.rsplit_once('@')?;
    let labels = domain.split('.').all(|label| {
        let inside = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(inside)
    });
    (!local_part.is_empty() && !local_part.contains('@') && labels).then(|| String::from(word))
}
