//! The claim at MAIL (PROTOCOLS D): "what follows is the message of this hour with this digest", as `XVOUCH=79bf9.870834…`.
//!
//! Promised: a claim is written in one way, the hour as answers write it (base 16, without zeros before it) and the digest
//! in 32 digits, and read whatever the case of its letters. Left to others: whether it is true, which the domain says
//! before the content and the content itself behind it.

use core::fmt;

use super::{Digest, Hour};
use crate::smtp::parameters::ParseParameterError;

/// What a client says of a message before its content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The hour of its Date field.
    pub hour: Hour,
    /// Its message digest for the domain of its recipients.
    pub digest: Digest,
}

/// Digits of the hour: 20 bits.
const HOUR: usize = 5;

/// Digits of the digest.
const DIGEST: usize = 32;

impl Claim {
    /// XVOUCH's value.
    pub fn parse(value: &str) -> Result<Self, ParseParameterError> {
        let read = || {
            let (hour, digest) = value.split_once('.')?;
            let is_number = |text: &str| text.bytes().all(|octet| octet.is_ascii_hexdigit());
            let is_sound = (1..=HOUR).contains(&hour.len())
                && digest.len() == DIGEST
                && is_number(hour)
                && is_number(digest);
            let hour = u32::from_str_radix(hour, 16).ok().filter(|_| is_sound)?;
            let digest = u128::from_str_radix(digest, 16).ok()?;
            Some(Self {
                hour: Hour::new(hour)?,
                digest: Digest::new(digest),
            })
        };
        read().ok_or(ParseParameterError::Claim)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            into,
            "{:x}.{:032x}",
            self.hour.number(),
            self.digest.number()
        )
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    /// The message of PROTOCOLS B.1.
    const VECTOR: &str = "79bf9.870834f17f8ca9078fdba2f63449d26a";

    #[test]
    fn a_claim_names_the_hour_and_the_digest() {
        let claim = Claim::parse(VECTOR).unwrap();
        assert_eq!(claim.hour, Hour::new(498_681).unwrap());
        let digest = Digest::new(0x8708_34f1_7f8c_a907_8fdb_a2f6_3449_d26a);
        assert_eq!(claim.digest, digest);
        assert_eq!(claim.to_string(), VECTOR);
        assert_eq!(Claim::parse(&VECTOR.to_ascii_uppercase()), Ok(claim));
    }

    #[test]
    fn what_is_not_exactly_a_claim_is_none() {
        let digest = &VECTOR[6..];
        for value in [
            String::new(),
            ".".to_string(),
            VECTOR.replace('.', ""),
            VECTOR.replace('.', ":"),
            format!("{VECTOR}0"),
            VECTOR[..VECTOR.len() - 1].to_string(),
            format!(".{digest}"),
            format!("179bf9.{digest}"),
            format!("+79bf.{digest}"),
            format!("79bfg.{digest}"),
            format!("79bf9.+{}", &digest[1..]),
            format!("79bf9.{}é", &digest[2..]),
        ] {
            assert!(Claim::parse(&value).is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(hour in 0_u32..1 << 20, digest: u128) {
            let claim = Claim { hour: Hour::new(hour).unwrap(), digest: Digest::new(digest) };
            prop_assert_eq!(Claim::parse(&claim.to_string()), Ok(claim));
        }

        #[test]
        fn no_value_is_too_odd(value in any::<String>()) {
            let _ = Claim::parse(&value);
        }
    }
}
