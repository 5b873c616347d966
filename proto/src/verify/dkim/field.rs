//! A `DKIM-Signature` field, read and judged as far as that goes without the key
//! (RFC 6376 §3.5, §6.1.1).

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::tags::{BadTags, Tags, items};
use super::{MAX_SIGNED_FIELDS, Reason};
use crate::addr::Domain;
use crate::dns::Name;

/// Name of the field.
pub const NAME: &str = "DKIM-Signature";

/// Signature algorithms that are believed (RFC 8301 §3.1, RFC 8463 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// rsa-sha256
    Rsa,
    /// ed25519-sha256
    Ed25519,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "rsa-sha256",
            Self::Ed25519 => "ed25519-sha256",
        })
    }
}

/// How octets are brought into one form before they are hashed (RFC 6376 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canonicalisation {
    /// As they are.
    Simple,
    /// Without the changes that hosts make on the way.
    Relaxed,
}

/// What a signature says of itself; nothing of it is true before the key has been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who signs: `d=`.
    pub domain: Domain,
    /// Which of its keys: `s=`.
    pub selector: Domain,
    /// Where that key is.
    pub key_name: Name,
    /// `a=`
    pub algorithm: Algorithm,
    /// First half of `c=`.
    pub header_form: Canonicalisation,
    /// Second half of `c=`.
    pub body_form: Canonicalisation,
    /// The signed fields, in their order: `h=`. `From` is among them.
    pub signed: Vec<Box<str>>,
    /// How much of the body is signed: `l=`; all of it without.
    pub length: Option<u64>,
    /// When it runs out, in seconds since 1970: `x=`.
    pub expires: Option<u64>,
    /// `i=` names a domain below `d=`, not `d=` itself.
    pub identity_below: bool,
}

impl Claim {
    /// True if it has run out at this second after 1970.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

/// What can be told of a signature whatever is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// `d=`, if it is a domain.
    pub domain: Option<Domain>,
    /// `s=`, if it is one.
    pub selector: Option<Domain>,
    /// `a=` as it stands there, if it is one of those that were ever defined.
    pub algorithm: Option<&'static str>,
    /// The first eight characters of `b=`, which tell two signatures of one key apart
    /// (RFC 6008 §3).
    pub start: Box<str>,
    /// An `l=` is there.
    pub has_length: bool,
}

/// Reads the value of a field: what it is called, and what it claims or why it cannot hold.
pub fn read(value: &[u8]) -> (Label, Result<Claim, Reason>) {
    match Tags::parse(value) {
        Ok(tags) => (label(&tags), claim(&tags)),
        Err(BadTags) => (Label::default(), Err(Reason::Syntax)),
    }
}

/// A domain name in a tag.
fn domain(tags: &Tags<'_>, tag: &str) -> Option<Domain> {
    Domain::parse(tags.text(tag)?.ok()?).ok()
}

/// What the signature is called.
fn label(tags: &Tags<'_>) -> Label {
    let known = ["rsa-sha256", "ed25519-sha256", "rsa-sha1"];
    let base64 = |octet: &&u8| octet.is_ascii_alphanumeric() || b"+/=".contains(octet);
    let signature = tags.value("b").unwrap_or_default().iter();
    Label {
        domain: domain(tags, "d"),
        selector: domain(tags, "s"),
        algorithm: known.into_iter().find(|known| {
            tags.value("a")
                .is_some_and(|value| value.eq_ignore_ascii_case(known.as_bytes()))
        }),
        start: signature
            .filter(base64)
            .take(8)
            .map(|octet| char::from(*octet))
            .collect::<String>()
            .into_boxed_str(),
        has_length: tags.value("l").is_some(),
    }
}

/// What the signature claims.
fn claim(tags: &Tags<'_>) -> Result<Claim, Reason> {
    match tags.value("v") {
        Some(b"1") => {}
        Some(_) => return Err(Reason::Version),
        None => return Err(Reason::MissingTag),
    }
    for tag in ["a", "b", "bh", "d", "h", "s"] {
        if tags.value(tag).is_none_or(<[u8]>::is_empty) {
            return Err(Reason::MissingTag);
        }
    }
    let signer = domain(tags, "d").ok_or(Reason::Syntax)?;
    let selector = domain(tags, "s").ok_or(Reason::Syntax)?;
    let key_name = format!("{}._domainkey.{}", selector.as_ascii(), signer.as_ascii());
    let (header_form, body_form) = forms(tags.value("c"))?;
    let (made, expires) = (number(tags, "t", 12)?, number(tags, "x", 12)?);
    if expires.is_some_and(|expires| made.is_some_and(|made| expires <= made)) {
        return Err(Reason::Syntax);
    }
    if let Some(methods) = tags.value("q")
        && !items(methods).any(|method| method.eq_ignore_ascii_case(b"dns/txt"))
    {
        return Err(Reason::QueryMethod);
    }
    Ok(Claim {
        identity_below: identity_below(tags, &signer)?,
        key_name: Name::parse(&key_name).map_err(|_| Reason::Syntax)?,
        domain: signer,
        selector,
        algorithm: algorithm(tags.value("a").unwrap_or_default())?,
        header_form,
        body_form,
        signed: signed(tags.value("h").unwrap_or_default())?,
        // RFC 6376 §3.5 allows 76 digits; a body that long does not come.
        length: number(tags, "l", 19)?,
        expires,
    })
}

/// `a=`
fn algorithm(value: &[u8]) -> Result<Algorithm, Reason> {
    if value.eq_ignore_ascii_case(b"rsa-sha256") {
        Ok(Algorithm::Rsa)
    } else if value.eq_ignore_ascii_case(b"ed25519-sha256") {
        Ok(Algorithm::Ed25519)
    } else if value.eq_ignore_ascii_case(b"rsa-sha1") {
        Err(Reason::Sha1)
    } else {
        Err(Reason::Algorithm)
    }
}

/// `c=`, of which either half is simple unless it says otherwise.
fn forms(value: Option<&[u8]>) -> Result<(Canonicalisation, Canonicalisation), Reason> {
    let form = |word: &[u8]| {
        if word.eq_ignore_ascii_case(b"simple") {
            Ok(Canonicalisation::Simple)
        } else if word.eq_ignore_ascii_case(b"relaxed") {
            Ok(Canonicalisation::Relaxed)
        } else {
            Err(Reason::Canonicalisation)
        }
    };
    let Some(value) = value else {
        return Ok((Canonicalisation::Simple, Canonicalisation::Simple));
    };
    let mut halves = value.splitn(2, |octet| *octet == b'/');
    let header = form(halves.next().unwrap_or_default().trim_ascii())?;
    let body = halves.next().map(<[u8]>::trim_ascii).map(form);
    Ok((
        header,
        body.transpose()?.unwrap_or(Canonicalisation::Simple),
    ))
}

/// A number of up to so many digits.
fn number(tags: &Tags<'_>, tag: &str, digits: usize) -> Result<Option<u64>, Reason> {
    let Some(text) = tags.text(tag) else {
        return Ok(None);
    };
    let text = text.map_err(|BadTags| Reason::Syntax)?;
    let plain = text.len() <= digits && text.bytes().all(|digit| digit.is_ascii_digit());
    let number = plain.then(|| text.parse().ok()).flatten();
    number.map(Some).ok_or(Reason::Syntax)
}

/// `h=`, which must list `From` (RFC 6376 §6.1.1).
fn signed(value: &[u8]) -> Result<Vec<Box<str>>, Reason> {
    let mut names: Vec<Box<str>> = Vec::new();
    for name in items(value) {
        if names.len() >= MAX_SIGNED_FIELDS {
            return Err(Reason::TooManySigned);
        }
        let printable = name.iter().all(u8::is_ascii_graphic);
        match core::str::from_utf8(name) {
            Ok(name) if printable && !name.is_empty() => names.push(name.into()),
            _ => return Err(Reason::Syntax),
        }
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        Ok(names)
    } else {
        Err(Reason::FromUnsigned)
    }
}

/// Whether `i=` is below the signing domain; outside of it the signature does not count
/// (RFC 6376 §6.1.1). Its local-part means nothing to others.
fn identity_below(tags: &Tags<'_>, signer: &Domain) -> Result<bool, Reason> {
    let Some(identity) = tags.text("i") else {
        return Ok(false);
    };
    let identity = identity.map_err(|BadTags| Reason::Syntax)?;
    let (_, identity) = identity.rsplit_once('@').ok_or(Reason::Syntax)?;
    let identity = Domain::parse(identity).map_err(|_| Reason::Syntax)?;
    if identity == *signer {
        return Ok(false);
    }
    let parent = identity.as_ascii().strip_suffix(signer.as_ascii());
    if parent.is_some_and(|parent| parent.ends_with('.')) {
        Ok(true)
    } else {
        Err(Reason::Identity)
    }
}
