//! Whose copy of a message it is (XTID), and which hops it has come by (XVIA).
//!
//! A token is the first 40 bits of HMAC-SHA-256 over XTID's value under the hop's own key, in base32: to
//! all others it is eight letters that mean nothing, and differ from copy to copy. The MAC itself is made
//! by whoever has the key, and a library for it; here is what becomes of its octets.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::str;

use crate::addr::Domain;
use crate::smtp::parameters::ParseParameterError;

/// Characters of what stands left of the `@` in XTID.
pub const MAX_ID: usize = 64;

/// Characters of a token.
pub const TOKEN: usize = 8;

/// The alphabet of tokens: base32 of RFC 4648 §6, no padding. Read in either case, kept in upper case.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// XTID: `<id>@<domain>`, with up to 64 letters, digits, `-`, `.` and `_` for the id, in which case counts,
/// and a domain of the DNS, in which it does not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(Box<str>);

impl TransactionId {
    /// XTID's value.
    pub fn parse(value: &str) -> Result<Self, ParseParameterError> {
        let read = || {
            let (id, domain) = value.split_once('@')?;
            let is_sound = (1..=MAX_ID).contains(&id.len()) && id.bytes().all(is_of_id);
            // No U-labels: it is compared and hashed as it stands.
            let domain = Domain::parse(domain).ok().filter(|_| domain.is_ascii())?;
            let whole = alloc::format!("{id}@{}", domain.as_ascii());
            is_sound.then(|| Self(whole.into_boxed_str()))
        };
        read().ok_or(ParseParameterError::TransactionId)
    }

    /// Its value as it is written, hashed and compared: the domain in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an id is made of.
const fn is_of_id(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_')
}

/// One hop's mark on one copy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN]);

impl Token {
    /// The token of a hop: its MAC over [`TransactionId::as_str`], of which the first 40 bits count.
    pub fn of_mac(mac: &[u8; 32]) -> Self {
        let first = mac.iter().take(5);
        let mut left = first.fold(0_u64, |bits, octet| bits << 8 | u64::from(*octet));
        let mut token = [0; TOKEN];
        for slot in token.iter_mut().rev() {
            *slot = letter(left & 31);
            left >>= 5;
        }
        Self(token)
    }

    /// Reads one as another hop has written it.
    pub fn parse(text: &str) -> Option<Self> {
        let mut token: [u8; TOKEN] = text.as_bytes().try_into().ok()?;
        token.make_ascii_uppercase();
        let fits = token.iter().all(|octet| ALPHABET.contains(octet));
        fits.then_some(Self(token))
    }

    /// Its eight characters.
    pub fn as_str(&self) -> &str {
        // All of them are of the alphabet.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes the tokens of one hop. What is inside has the hop's key, and HMAC-SHA-256; clones are the same.
#[derive(Clone)]
pub struct Marker(Mac);

/// HMAC-SHA-256 under the key, of a text.
type Mac = Arc<dyn Fn(&str) -> [u8; 32] + Send + Sync>;

impl Marker {
    /// One whose MAC this is. It must be the same for the same text, restarts included.
    pub fn new(mac: impl Fn(&str) -> [u8; 32] + Send + Sync + 'static) -> Self {
        Self(Arc::new(mac))
    }

    /// This hop's token on a copy.
    pub fn token(&self, id: &TransactionId) -> Token {
        Token::of_mac(&(self.0)(id.as_str()))
    }
}

/// Nothing of the key.
impl fmt::Debug for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marker")
    }
}

/// The character of five bits.
fn letter(bits: u64) -> u8 {
    let at = usize::try_from(bits).unwrap_or(0);
    ALPHABET.get(at).copied().unwrap_or(b'A')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_is_compared_as_it_is_written() {
        let id = TransactionId::parse("aB-1.x_2@MX.Example.ORG").unwrap();
        assert_eq!(id.as_str(), "aB-1.x_2@mx.example.org");
        assert_ne!(id, TransactionId::parse("ab-1.x_2@mx.example.org").unwrap());
        let long = "a".repeat(MAX_ID + 1);
        for value in [
            "",
            "a",
            "@example.org",
            "a@",
            "a@b@c",
            "a b@example.org",
            "a+b@example.org",
            "a=b@example.org",
            "a@exa mple.org",
            "a@[192.0.2.1]",
            "a@bücher.example",
            &alloc::format!("{long}@example.org"),
        ] {
            let read = TransactionId::parse(value);
            assert_eq!(read, Err(ParseParameterError::TransactionId), "{value}");
        }
        let most = alloc::format!("{}@example.org", &long[1..]);
        assert!(TransactionId::parse(&most).is_ok());
    }

    /// RFC 4648 §10 has the letters of `fooba`.
    #[test]
    fn a_token_is_forty_bits_in_base32() {
        let mut mac = [0xFF; 32];
        mac[..5].copy_from_slice(b"fooba");
        assert_eq!(Token::of_mac(&mac).as_str(), "MZXW6YTB");
        assert_eq!(Token::of_mac(&[0; 32]).as_str(), "AAAAAAAA");
        assert_eq!(Token::of_mac(&[0xFF; 32]).as_str(), "77777777");
    }

    proptest! {
        #[test]
        fn a_token_reads_back_and_has_its_bits_alone(mac: [u8; 32], other: [u8; 32]) {
            let token = Token::of_mac(&mac);
            prop_assert_eq!(Token::parse(token.as_str()), Some(token));
            prop_assert_eq!(Token::parse(&token.as_str().to_ascii_lowercase()), Some(token));
            let same = mac[..5] == other[..5];
            prop_assert_eq!(token == Token::of_mac(&other), same);
            let mut tail = other;
            tail[..5].copy_from_slice(&mac[..5]);
            prop_assert_eq!(token, Token::of_mac(&tail));
        }
    }
}
