//! What a line of a dialogue stands for: the octets it is on the wire, and the lines that it matches.

/// The octets of a line: escapes undone, CRLF added unless it ends in `\c`.
pub fn octets_of(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            octets.extend(character.to_string().bytes());
            continue;
        }
        octets.push(match characters.next()? {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '\\' => b'\\',
            'x' => {
                let digits: String = characters.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            'c' if characters.as_str().is_empty() => return Some(octets),
            _ => return None,
        });
    }
    octets.extend(b"\r\n");
    Some(octets)
}

/// True if `line` is what `pattern` says; a `*` in it stands for any text.
pub fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((front, back)) => {
            line.len() >= front.len() + back.len()
                && line.starts_with(front)
                && line.ends_with(back)
        }
    }
}
