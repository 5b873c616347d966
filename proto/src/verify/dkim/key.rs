//! The key record of a signature (RFC 6376 §3.6.1, §6.1.2), as far as it can be judged without
//! looking into the key.

use alloc::boxed::Box;

use super::Reason;
use super::field::{Algorithm, Claim};
use super::tags::{Tags, items};
use crate::dns::{Answer, Lookup, Records};

/// The record to verify a signature with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRecord<'a> {
    /// As it was published.
    pub text: &'a [u8],
    /// The domain only tests: its mail is to be treated as if unsigned (RFC 6376 §3.6.1, `t=y`).
    pub testing: bool,
}

/// The key that an answer gives for this claim, or why it gives none.
pub fn choose<'a>(answer: &'a Answer, claim: &Claim) -> Result<KeyRecord<'a>, Reason> {
    match &answer.lookup {
        Lookup::Found(Records::Txt(texts)) => among(texts, claim),
        Lookup::Trouble(trouble) => Err(Reason::KeyTrouble(*trouble)),
        Lookup::Found(_) | Lookup::NoData | Lookup::NxDomain | Lookup::AliasLimit => {
            Err(Reason::NoKey)
        }
    }
}

/// The one key among these texts. Others, such as an SPF record that a wildcard brought, are none.
fn among<'a>(texts: &'a [Box<[u8]>], claim: &Claim) -> Result<KeyRecord<'a>, Reason> {
    let mut keys = texts.iter().filter_map(|text| {
        let tags = Tags::parse(text).ok()?;
        is_key(&tags).then_some((text, tags))
    });
    let (text, tags) = keys.next().ok_or(Reason::KeySyntax)?;
    if keys.next().is_some() {
        return Err(Reason::SeveralKeys);
    }
    if tags.value("p").is_some_and(<[u8]>::is_empty) {
        return Err(Reason::KeyRevoked);
    }
    let kind = tags.value("k").unwrap_or(b"rsa");
    let wanted: &[u8] = match claim.algorithm {
        Algorithm::Rsa => b"rsa",
        Algorithm::Ed25519 => b"ed25519",
    };
    if !kind.eq_ignore_ascii_case(wanted) {
        return Err(Reason::KeyType);
    }
    let lists = |tag, words: &[&str]| {
        tags.value(tag).is_none_or(|value| {
            items(value).any(|item| {
                words
                    .iter()
                    .any(|word| item.eq_ignore_ascii_case(word.as_bytes()))
            })
        })
    };
    if !lists("h", &["sha256"]) || !lists("s", &["*", "email"]) {
        return Err(Reason::KeyUse);
    }
    let flags = tags.value("t").unwrap_or_default();
    if claim.identity_below && items(flags).any(|flag| flag == b"s") {
        return Err(Reason::Identity);
    }
    Ok(KeyRecord {
        text,
        testing: items(flags).any(|flag| flag == b"y"),
    })
}

/// True if the list is a key record: a key is in it, and its version, if it has one, comes first
/// and is the one we know.
fn is_key(tags: &Tags<'_>) -> bool {
    let version = match tags.value("v") {
        Some(version) => version == b"DKIM1" && tags.first() == Some("v"),
        None => true,
    };
    version && tags.value("p").is_some()
}
