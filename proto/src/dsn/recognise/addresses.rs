//! Addresses in text that people read: whom a host says that it could not reach.

use alloc::string::String;
use alloc::vec::Vec;

use super::lines::Lines;
use super::{MAX_RECIPIENTS, keep};

/// Octets of an address (RFC 5321 §4.5.3.1: local-part, @, domain).
const MAX_ADDRESS: usize = 320;

/// Those in the text, each once: those that begin a line if any does, since that is how whom a report
/// is about is set off from prose; else all. Without those for whom `known` holds.
pub(super) fn in_text(text: &[u8], known: impl Fn(&str) -> bool) -> Vec<String> {
    let (mut leading, mut others) = (Vec::new(), Vec::new());
    for line in Lines::of(text) {
        let line = line.text.trim_ascii();
        let mut first = true;
        for word in line.split(|octet| is_between(*octet)) {
            if word.is_empty() {
                continue;
            }
            if let Some(address) = address(word).filter(|address| !known(address)) {
                keep(if first { &mut leading } else { &mut others }, address);
            }
            first = false;
        }
        if leading.len() >= MAX_RECIPIENTS {
            break;
        }
    }
    if leading.is_empty() { others } else { leading }
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
