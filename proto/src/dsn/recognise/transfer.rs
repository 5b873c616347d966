//! Transfer encodings (RFC 2045 §6.7, §6.8), read as leniently as mail is written: what is no
//! encoding stays as it is. Linear; what comes out is never longer than what went in.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::lines::Lines;

/// How the octets of a part are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As they are.
    #[default]
    Plain,
    /// `=3D`.
    QuotedPrintable,
    /// Four letters for three octets.
    Base64,
}

impl Encoding {
    /// What Content-Transfer-Encoding says.
    pub(super) fn named(value: &str) -> Self {
        let word = value.split([';', ' ']).next().unwrap_or_default();
        if word.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else if word.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else {
            Self::Plain
        }
    }

    /// The octets themselves.
    pub(super) fn decode(self, text: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Plain => Cow::Borrowed(text),
            Self::QuotedPrintable => Cow::Owned(quoted_printable(text)),
            Self::Base64 => Cow::Owned(base64(text)),
        }
    }
}

/// Each line end becomes LF, soft ones go.
fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    for line in Lines::of(text) {
        let mut rest = line.text.trim_ascii_end();
        let soft = rest.strip_suffix(b"=");
        rest = soft.unwrap_or(rest);
        while let Some(at) = memchr::memchr(b'=', rest) {
            let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            octets.extend_from_slice(plain);
            let (octet, length) = escaped(behind).map_or((b'=', 1), |octet| (octet, 3));
            octets.push(octet);
            rest = behind.get(length..).unwrap_or_default();
        }
        octets.extend_from_slice(rest);
        if soft.is_none() {
            octets.push(b'\n');
        }
    }
    octets
}

/// What is written as `=3D`.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'=', high, low, ..] = text else {
        return None;
    };
    Some(hex(*high)?.wrapping_shl(4) | hex(*low)?)
}

/// A hexadecimal digit.
fn hex(octet: u8) -> Option<u8> {
    let digit = char::from(octet).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Octets that are no letters of Base64 are passed over (RFC 2045 §6.8).
fn base64(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bits: u32 = 0;
    let mut count = 0u32;
    for sextet in text.iter().filter_map(|octet| sextet(*octet)) {
        bits = bits.wrapping_shl(6) | u32::from(sextet);
        count = count.saturating_add(6);
        if count >= 8 {
            count = count.saturating_sub(8);
            let [.., octet] = bits.wrapping_shr(count).to_be_bytes();
            octets.push(octet);
        }
    }
    octets
}

/// The six bits of a letter.
const fn sextet(octet: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet.wrapping_sub(b'A')),
        b'a'..=b'z' => Some(octet.wrapping_sub(b'a').wrapping_add(26)),
        b'0'..=b'9' => Some(octet.wrapping_sub(b'0').wrapping_add(52)),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_read_and_what_is_not_stays() {
        let quoted = Encoding::named("Quoted-Printable");
        assert_eq!(
            quoted.decode(b"a=3Db =\r\nc=\r\n=zz=4"),
            &b"a=b c=zz=4\n"[..]
        );
        let base64 = Encoding::named("BASE64 ");
        assert_eq!(base64.decode(b"aGVs\r\nbG8=\r\n"), &b"hello"[..]);
        assert_eq!(base64.decode(b"aGVs!bG8"), &b"hello"[..]);
        assert_eq!(Encoding::named("7bit").decode(b"=3D"), &b"=3D"[..]);
    }
}
