//! The grammar of paths (RFC 5321 §4.1.2), as far as it is obeyed; see the module above.

use super::domain::check_domain_characters;
use super::{
    LocalPart, MAX_DOMAIN, MAX_PATH, MailDomain, Mailbox, ParseDomainError, ParsePathError,
};

/// What was found between the brackets.
pub(super) enum Inside {
    Empty,
    Bare(LocalPart),
    Mailbox(Mailbox),
}

/// Splits `<inside>rest`, minding that a quoted local-part may hold a `>`.
pub(super) fn split_path(text: &str) -> Result<(&str, &str), ParsePathError> {
    let body = text.strip_prefix('<').ok_or(ParsePathError::Brackets)?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let (inside, rest) = body.split_at_checked(at).ok_or(ParsePathError::Brackets)?;
                return Ok((inside, rest.strip_prefix('>').unwrap_or(rest)));
            }
            _ => {}
        }
    }
    Err(ParsePathError::Brackets)
}

/// No control characters. Those beyond ASCII are in no U-label, and a terminal obeys them; only what
/// the queue holds from earlier days may have them in a domain.
pub(super) fn check_printable(inside: &str) -> Result<(), ParsePathError> {
    match inside.char_indices().find(|(_, each)| each.is_control()) {
        Some((at, _)) => Err(ParseDomainError::Character(at).into()),
        None => Ok(()),
    }
}

/// Reads what stands between the brackets.
pub(super) fn parse_inside(text: &str) -> Result<Inside, ParsePathError> {
    if text.is_empty() {
        return Ok(Inside::Empty);
    }
    if text.len().saturating_add(2) > MAX_PATH {
        return Err(ParsePathError::TooLong);
    }
    let text = strip_route(text)?;
    let end = local_part_end(text)?;
    let (local, rest) = text
        .split_at_checked(end)
        .ok_or(ParsePathError::LocalPart(end))?;
    if local.is_empty() {
        return Err(ParsePathError::NoLocalPart);
    }
    let local_part = LocalPart(local.into());
    match rest.strip_prefix('@') {
        Some("") => Err(ParsePathError::NoDomain),
        Some(domain) if domain.len() > MAX_DOMAIN => Err(ParsePathError::TooLong),
        Some(domain) => Ok(Inside::Mailbox(Mailbox {
            local_part,
            domain: MailDomain::parse(domain)?,
        })),
        None if rest.is_empty() => Ok(Inside::Bare(local_part)),
        None => Err(ParsePathError::LocalPart(end)),
    }
}

/// Drops `@a,@b:` (RFC 5321 §4.1.1.3: accepted, and ignored), each part of which must be a domain.
fn strip_route(text: &str) -> Result<&str, ParsePathError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let (route, rest) = text.split_once(':').ok_or(ParsePathError::Route)?;
    for hop in route.split(',') {
        let hop = hop.strip_prefix('@').ok_or(ParsePathError::Route)?;
        check_domain_characters(hop.strip_suffix('.').unwrap_or(hop))
            .map_err(|_| ParsePathError::Route)?;
    }
    Ok(rest)
}

/// Where the local-part at the start of `text` ends: at an `@`, or at the end.
fn local_part_end(text: &str) -> Result<usize, ParsePathError> {
    if text.starts_with('"') {
        return quoted_end(text);
    }
    for (at, character) in text.char_indices() {
        if character == '@' {
            return Ok(at);
        }
        let atext = character.is_ascii_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~".contains(character);
        if !atext && (character.is_ascii() || character.is_control()) {
            return Err(ParsePathError::LocalPart(at));
        }
    }
    Ok(text.len())
}

/// Where the quoted-string at the start of `text` ends, just behind its second quote.
fn quoted_end(text: &str) -> Result<usize, ParsePathError> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if character.is_control() => return Err(ParsePathError::LocalPart(at)),
            // quoted-pairSMTP is a backslash and printable ASCII (RFC 5321 §4.1.2).
            _ if escaped && !character.is_ascii() => return Err(ParsePathError::LocalPart(at)),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Ok(at.saturating_add(1)),
            _ => {}
        }
    }
    Err(ParsePathError::LocalPart(text.len()))
}
