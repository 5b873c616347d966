//! One Received field: whom its writer had it from. The forms of Postfix, Sendmail, Exim, qmail,
//! Exchange, Gmail, `OpenSMTPD` and ourselves.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use super::Outside;

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hop {
    /// The writer had the message from this client.
    Client(Outside),
    /// Nothing by itself: the same host's next field says it.
    Nothing,
    /// The message began at the writer, or the field cannot be relied on.
    End,
}

/// A piece of a field outside any comment, or a comment without its parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Word(String),
    Comment(String),
}

/// Reads a field's value.
pub(super) fn read(value: &[u8]) -> Hop {
    let text = String::from_utf8_lossy(value);
    let Some(pieces) = pieces(&text) else {
        return Hop::End;
    };
    let (name, comments, rest) = match pieces.split_first() {
        // qmail's queue writes a field of its own above that of its SMTP server.
        Some((Piece::Comment(comment), [])) if is_qmail_network(comment) => return Hop::Nothing,
        Some((Piece::Word(from), rest)) if from.eq_ignore_ascii_case("from") => {
            match from_clause(rest) {
                Some(clause) => clause,
                None => return Hop::End,
            }
        }
        _ => return Hop::End,
    };
    if began_here(rest) {
        return Hop::End;
    }
    match client(name, &comments) {
        Some(client) => Hop::Client(client),
        None => Hop::End,
    }
}

/// `(qmail 4711 invoked from network)`.
fn is_qmail_network(comment: &str) -> bool {
    comment.starts_with("qmail ") && comment.ends_with("invoked from network")
}

/// The name behind `from`, the comments up to `by`, and what follows; none if anything else stands
/// there, or if a second clause of either kind begins.
fn from_clause(pieces: &[Piece]) -> Option<(&str, Vec<&str>, &[Piece])> {
    let is_by =
        |piece: &Piece| matches!(piece, Piece::Word(word) if word.eq_ignore_ascii_case("by"));
    let (Piece::Word(name), rest) = pieces.split_first()? else {
        return None;
    };
    let at = rest.iter().position(is_by)?;
    let (between, rest) = rest.split_at_checked(at)?;
    let comments = between.iter().map(|piece| match piece {
        Piece::Comment(comment) => Some(comment.as_str()),
        Piece::Word(_) => None,
    });
    let comments = comments.collect::<Option<Vec<_>>>()?;
    let again = |piece: &Piece| match piece {
        Piece::Word(word) => ["by", "from"]
            .iter()
            .any(|key| word.eq_ignore_ascii_case(key)),
        Piece::Comment(_) => false,
    };
    let twice = rest.iter().skip(1).any(again);
    (!twice).then_some((name, comments, rest))
}

/// The client had logged in (RFC 3848), or there was no SMTP client: the writer answers for it.
fn began_here(rest: &[Piece]) -> bool {
    const KINDS: [&str; 9] = [
        "esmtpa",
        "esmtpsa",
        "lmtpa",
        "lmtpsa",
        "utf8smtpa",
        "utf8smtpsa",
        "utf8lmtpa",
        "utf8lmtpsa",
        "local",
    ];
    let mut words = rest.iter().filter_map(|piece| match piece {
        Piece::Word(word) => Some(word),
        Piece::Comment(_) => None,
    });
    let protocol = words
        .position(|word| word.eq_ignore_ascii_case("with"))
        .and_then(|_| words.next());
    protocol.is_some_and(|word| KINDS.iter().any(|kind| word.eq_ignore_ascii_case(kind)))
}

/// The one address that the writer saw, and the name that it was given.
fn client(name: &str, comments: &[&str]) -> Option<Outside> {
    let mut seen = BTreeSet::new();
    let mut helo = None;
    for comment in comments {
        let mut words = comment.split_ascii_whitespace();
        let first = words.clone().next().unwrap_or_default();
        // qmail: what the client said is a comment of its own.
        if ["HELO", "EHLO"].contains(&first) {
            helo = words.nth(1);
            continue;
        }
        if let Some(address) = bare_address(comment) {
            seen.insert(address);
            continue;
        }
        for word in words {
            // Exim: what the client said is a word of its own, and may look like an address.
            match word.strip_prefix("helo=") {
                Some(said) => helo = Some(said),
                None => seen.extend(literals(word)),
            }
        }
    }
    // Exim, without a name in the DNS: the address stands in the place of the name. Elsewhere that
    // is what the client said, which is why it takes Exim's other words beside it.
    let exim = comments
        .iter()
        .any(|comment| comment.contains("helo=") || comment.starts_with("port="));
    let in_place = literals(name).next();
    if let (true, true, Some(address)) = (seen.is_empty(), exim, in_place) {
        seen.insert(address);
    } else {
        helo = helo.or(Some(name));
    }
    let mut seen = seen.into_iter();
    match (seen.next(), seen.next()) {
        (Some(address), None) => Some(Outside {
            address,
            helo: helo.map(Box::from),
        }),
        _ => None,
    }
}

/// Exchange and qmail: a comment that is an address, or `user@address` where the client was asked.
fn bare_address(comment: &str) -> Option<IpAddr> {
    let text = comment.trim();
    let text = text.rsplit_once('@').map_or(text, |(_, address)| address);
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

/// The addresses in brackets, IPv6 with its prefix or without.
fn literals(text: &str) -> impl Iterator<Item = IpAddr> {
    text.split('[').skip(1).filter_map(|behind| {
        let (inside, _) = behind.split_once(']')?;
        let v6 = inside
            .split_at_checked(IPV6.len())
            .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(IPV6));
        let address = match v6 {
            Some((_, address)) => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
            None => inside.parse().ok()?,
        };
        Some(address.to_canonical())
    })
}

/// Before an IPv6 address in a literal (RFC 5321 §4.1.3).
const IPV6: &str = "IPv6:";

/// Words and comments up to the date; none if a comment or a string does not end.
fn pieces(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars();
    let end = |word: &mut String, pieces: &mut Vec<Piece>| {
        if !word.is_empty() {
            pieces.push(Piece::Word(core::mem::take(word)));
        }
    };
    while let Some(character) = characters.next() {
        match character {
            ';' => break,
            '(' => {
                end(&mut word, &mut pieces);
                pieces.push(Piece::Comment(comment(&mut characters)?));
            }
            '"' => {
                word.push('"');
                string(&mut characters, &mut word)?;
            }
            ' ' | '\t' => end(&mut word, &mut pieces),
            // Closes what was never opened: somebody's text has got out of its comment.
            ')' => return None,
            other => word.push(other),
        }
    }
    end(&mut word, &mut pieces);
    Some(pieces)
}

/// A comment up to its end, with those inside it (RFC 5322 §3.2.2).
fn comment(characters: &mut core::str::Chars<'_>) -> Option<String> {
    let (mut depth, mut text) = (1u32, String::new());
    loop {
        let character = characters.next()?;
        match character {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            '\\' => {
                text.push(characters.next()?);
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            return Some(text);
        }
        text.push(character);
    }
}

/// A quoted string up to its end.
fn string(characters: &mut core::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match characters.next()? {
            '"' => {
                word.push('"');
                return Some(());
            }
            '\\' => word.push(characters.next()?),
            other => word.push(other),
        }
    }
}
