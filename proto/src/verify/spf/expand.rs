//! Text that macros have been filled into, as a name that the DNS can be asked for.

use alloc::string::String;

use crate::dns::{Name, push_label};

use super::limits::MAX_NAME;

/// The name that a text means: each dot separates, every other octet stands for itself. None if
/// it is none: an empty label, one of more than 63 octets, nothing at all (RFC 7208 §4.8 leaves
/// open what follows; here such a name does not exist).
pub(super) fn name_of(text: &str) -> Option<Name> {
    let text = fitted(text.strip_suffix('.').unwrap_or(text));
    let mut presentation = String::with_capacity(text.len());
    for (at, label) in text.split('.').enumerate() {
        if at > 0 {
            presentation.push('.');
        }
        push_label(&mut presentation, label.as_bytes());
    }
    Name::parse(&presentation)
        .ok()
        .filter(|name| !name.is_root())
}

/// Labels are cut off at the left until the rest fits (RFC 7208 §7.3).
fn fitted(mut text: &str) -> &str {
    while text.len() > MAX_NAME {
        text = text.split_once('.').map_or("", |(_, rest)| rest);
    }
    text
}
