//! What MAIL and RCPT ask about reports and time, read and written: RET, ENVID, NOTIFY and ORCPT
//! (RFC 3461 §4), the `utf-8` addresses of ORCPT (RFC 6533 §3), and BY (RFC 2852).
//!
//! Reading is strict: a value that is passed on must mean the same to the next hop, and one that
//! comes back in a report must be what the sender wrote. What was read is kept decoded, and what
//! is written reads back as the same. One form that is not lawful is read all the same, because
//! Postfix writes it and the mail is good: an address beyond ASCII as `rfc822`.
//!
//! What hosts that hold a path together say is in `xhold`, and the claim in `residue`; their errors are here with the
//! others.
//!
//! Left to others: whether a parameter may stand where it stands (the session), and what comes of
//! it (reports, deliveries).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::envelope::{
    ByMode, DeliverBy, MAX_ENVID, Notify, OriginalRecipient, Recipient, Requests, Ret,
};
use crate::time::Wall;

/// BY as MAIL gives it: a span from then on, which may lie behind it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    /// Seconds; more than 0 where the message is to be returned.
    pub seconds: i64,
    /// What is to happen then.
    pub mode: ByMode,
    /// Every relay on the way is to be reported.
    pub trace: bool,
}

impl By {
    /// The same as a moment, for MAIL given at `now`.
    pub fn from(self, now: Wall) -> DeliverBy {
        let millis = self.seconds.saturating_mul(1_000);
        DeliverBy {
            deadline: Wall::from_millis(now.as_millis().saturating_add_signed(millis)),
            mode: self.mode,
            trace: self.trace,
        }
    }

    /// What is left of a deadline at `now`, for the next hop: whole seconds, never one more than
    /// there is.
    pub fn left(by: DeliverBy, now: Wall) -> Self {
        let millis = |wall: Wall| i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        let left = millis(by.deadline).saturating_sub(millis(now));
        Self {
            seconds: left.div_euclid(1_000).clamp(-MAX_BY, MAX_BY),
            mode: by.mode,
            trace: by.trace,
        }
    }
}

/// What is wrong with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseParameterError {
    /// RET.
    #[error("RET takes FULL or HDRS")]
    Ret,
    /// ENVID.
    #[error("ENVID takes up to 100 characters of xtext")]
    Envid,
    /// NOTIFY.
    #[error("NOTIFY takes NEVER alone, or SUCCESS, FAILURE, DELAY once each")]
    Notify,
    /// ORCPT.
    #[error("ORCPT takes a type, a semicolon and an address, up to 500 characters of xtext")]
    Original,
    /// BY.
    #[error("BY takes up to 9 digits, a semicolon, R or N, and T; with R more than 0")]
    By,
    /// XHOLD.
    #[error("XHOLD takes S or P, two numbers of seconds and one of hops")]
    Hold,
    /// XTID.
    #[error(
        "XTID takes up to 64 letters, digits, dots, dashes and underscores, an at sign and a domain"
    )]
    TransactionId,
    /// XVOUCH.
    #[error("XVOUCH takes an hour and a digest in base 16, with a dot between")]
    Claim,
    /// XVIA.
    #[error("XVIA takes up to 16 tokens of 8 characters, and XTID beside it")]
    Via,
}

impl ParseParameterError {
    /// What the peer is told: the same, without anything of its own.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Ret => "RET takes FULL or HDRS",
            Self::Envid => "ENVID takes up to 100 characters of xtext",
            Self::Notify => "NOTIFY takes NEVER alone, or SUCCESS, FAILURE, DELAY once each",
            Self::Original => "ORCPT takes type;address in xtext, up to 500 characters",
            Self::By => "BY takes seconds;R or seconds;N, with R more than 0",
            Self::Hold => "XHOLD takes S or P, seconds, seconds and hops, with colons between",
            Self::TransactionId => "XTID takes id@domain",
            Self::Claim => "XVOUCH takes hour.digest in hexadecimal",
            Self::Via => "XVIA takes up to 16 tokens of 8 characters, and XTID beside it",
        }
    }
}

/// RET (RFC 3461 §4.3).
pub(super) fn parse_ret(value: &str) -> Result<Ret, ParseParameterError> {
    if value.eq_ignore_ascii_case("FULL") {
        Ok(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Ok(Ret::Headers)
    } else {
        Err(ParseParameterError::Ret)
    }
}

/// ENVID (RFC 3461 §4.4): decoded, printable ASCII and blanks.
pub(super) fn parse_envid(value: &str) -> Result<Box<str>, ParseParameterError> {
    let fits = (1..=MAX_ENVID).contains(&value.len());
    fits.then(|| xtext_decoded(value))
        .flatten()
        .ok_or(ParseParameterError::Envid)
}

/// NOTIFY (RFC 3461 §4.1). A word twice is no harm to anybody, but no client of sense sends it.
pub(super) fn parse_notify(value: &str) -> Result<Notify, ParseParameterError> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Ok(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        let slot = if word.eq_ignore_ascii_case("SUCCESS") {
            &mut success
        } else if word.eq_ignore_ascii_case("FAILURE") {
            &mut failure
        } else if word.eq_ignore_ascii_case("DELAY") {
            &mut delay
        } else {
            return Err(ParseParameterError::Notify);
        };
        if core::mem::replace(slot, true) {
            return Err(ParseParameterError::Notify);
        }
    }
    Ok(Notify::On {
        success,
        failure,
        delay,
    })
}

/// ORCPT (RFC 3461 §4.2, RFC 6533 §3): an atom, a semicolon, the address encoded.
pub(super) fn parse_original(value: &str) -> Result<OriginalRecipient, ParseParameterError> {
    let read = || {
        let (address_type, address) = value.split_once(';')?;
        let sound = (1..=MAX_ORIGINAL).contains(&value.len())
            && !address.is_empty()
            && !address_type.is_empty()
            && address_type.bytes().all(is_atom_octet);
        let (address_type, address) = if address_type.eq_ignore_ascii_case("utf-8") {
            (address_type, unitext_decoded(address)?)
        } else if let Some(address) = xtext_decoded(address) {
            (address_type, address)
        } else if address_type.eq_ignore_ascii_case("rfc822") {
            ("utf-8", xtext_of_utf8(address)?)
        } else {
            return None;
        };
        sound.then(|| OriginalRecipient {
            address_type: address_type.into(),
            address,
        })
    };
    read().ok_or(ParseParameterError::Original)
}

/// BY (RFC 2852 §4).
pub(super) fn parse_by(value: &str) -> Result<By, ParseParameterError> {
    let read = || {
        let (time, mode) = value.split_once(';')?;
        let (sign, digits) = match time.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, time.strip_prefix('+').unwrap_or(time)),
        };
        let sound =
            (1..=9).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit());
        let seconds = digits.parse::<i64>().ok().filter(|_| sound)?;
        let (mode, trace) = match mode.to_ascii_uppercase().as_str() {
            "N" => (ByMode::Notify, false),
            "NT" => (ByMode::Notify, true),
            "R" => (ByMode::Return, false),
            "RT" => (ByMode::Return, true),
            _ => return None,
        };
        let seconds = seconds.saturating_mul(sign);
        (mode == ByMode::Notify || seconds > 0).then_some(By {
            seconds,
            mode,
            trace,
        })
    };
    read().ok_or(ParseParameterError::By)
}

/// Appends what MAIL asked for about reports, for a next hop that offers DSN (RFC 3461 §5.2.1).
pub(super) fn push_mail(line: &mut String, requests: &Requests) {
    match requests.ret {
        Some(Ret::Full) => line.push_str(" RET=FULL"),
        Some(Ret::Headers) => line.push_str(" RET=HDRS"),
        None => {}
    }
    if let Some(envid) = &requests.envid {
        line.push_str(" ENVID=");
        push_xtext(line, envid);
    }
}

/// Appends what RCPT asked for, for a next hop that offers DSN. `utf8`: for a message with SMTPUTF8.
pub(super) fn push_recipient(line: &mut String, recipient: &Recipient, utf8: bool) {
    match recipient.notify {
        Some(Notify::Never) => line.push_str(" NOTIFY=NEVER"),
        Some(Notify::On {
            success,
            failure,
            delay,
        }) => {
            let words: Vec<_> = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")]
                .into_iter()
                .filter_map(|(wanted, word)| wanted.then_some(word))
                .collect();
            line.push_str(" NOTIFY=");
            line.push_str(&words.join(","));
        }
        None => {}
    }
    if let Some(original) = &recipient.original {
        line.push_str(" ORCPT=");
        line.push_str(&original.address_type);
        line.push(';');
        if original.address_type.eq_ignore_ascii_case("utf-8") {
            line.push_str(&unitext(&original.address, utf8));
        } else {
            push_xtext(line, &original.address);
        }
    }
}

/// Appends BY, for a next hop that offers DELIVERBY.
pub(super) fn push_by(line: &mut String, by: By) {
    let mode = match by.mode {
        ByMode::Notify => "N",
        ByMode::Return => "R",
    };
    let trace = if by.trace { "T" } else { "" };
    // Writing to a String cannot fail.
    let _ = write!(line, " BY={};{mode}{trace}", by.seconds);
}

/// An address beyond ASCII: as it is where UTF-8 may stand, else escaped (RFC 6533 §3).
pub(crate) fn unitext(address: &str, utf8: bool) -> String {
    let mut text = String::with_capacity(address.len());
    for character in address.chars() {
        let plain = if character.is_ascii() {
            character.is_ascii_graphic() && !"\\+=".contains(character)
        } else {
            utf8
        };
        if plain {
            text.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{{{:02X}}}", u32::from(character));
        }
    }
    text
}

/// Undoes the escapes of RFC 6533 §3. What is left may hold no control character.
fn unitext_decoded(value: &str) -> Option<Box<str>> {
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(character) = rest.chars().next() {
        if character == '\\' {
            let (digits, behind) = rest.strip_prefix("\\x{")?.split_once('}')?;
            let sound = (2..=6).contains(&digits.len())
                && digits
                    .bytes()
                    .all(|octet| matches!(octet, b'0'..=b'9' | b'A'..=b'F'));
            let number = u32::from_str_radix(digits, 16).ok().filter(|_| sound)?;
            decoded.push(char::from_u32(number)?);
            rest = behind;
        } else {
            if "+=".contains(character) || (character.is_ascii() && !character.is_ascii_graphic()) {
                return None;
            }
            decoded.push(character);
            rest = rest.get(character.len_utf8()..).unwrap_or_default();
        }
    }
    let sound = decoded.chars().all(|character| !character.is_control());
    sound.then(|| decoded.into_boxed_str())
}

/// Undoes xtext. What is left is printable ASCII and blanks.
pub(crate) fn xtext_decoded(value: &str) -> Option<Box<str>> {
    let octets = xtext_octets(value)?;
    let sound = |octet: &u8| octet.is_ascii_graphic() || matches!(octet, b' ' | b'\t');
    let text = String::from_utf8(octets).ok()?;
    text.bytes()
        .all(|octet| sound(&octet))
        .then(|| text.into_boxed_str())
}

/// Undoes xtext. What is left is UTF-8 without control characters.
fn xtext_of_utf8(value: &str) -> Option<Box<str>> {
    let text = String::from_utf8(xtext_octets(value)?).ok()?;
    let sound = text.chars().all(|character| !character.is_control());
    sound.then(|| text.into_boxed_str())
}

/// Undoes xtext: `+` and two upper-case digits, or a graphic character that is neither `+` nor `=`
/// (RFC 3461 §4).
fn xtext_octets(value: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        let octet = match octet {
            b'+' => {
                let mut digit = || {
                    let digit = char::from(rest.next()?);
                    let upper = !digit.is_ascii_lowercase();
                    digit.to_digit(16).filter(|_| upper)
                };
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?
            }
            b'=' => return None,
            octet if octet.is_ascii_graphic() => octet,
            _ => return None,
        };
        decoded.push(octet);
    }
    Some(decoded)
}

/// Appends as xtext (RFC 3461 §4).
fn push_xtext(into: &mut String, text: &str) {
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=') {
            into.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(into, "+{octet:02X}");
        }
    }
}

/// What an address type is made of (RFC 3461 §4.2, RFC 5321 §4.1.2).
const fn is_atom_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.')
}

/// Characters of ORCPT (RFC 3461 §4.2).
const MAX_ORIGINAL: usize = 500;

/// Seconds that BY can say: nine digits (RFC 2852 §4).
const MAX_BY: i64 = 999_999_999;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::ForwardPath;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn what_is_read_is_what_was_meant() {
        assert_eq!(parse_ret("full"), Ok(Ret::Full));
        assert_eq!(parse_ret("HDRS"), Ok(Ret::Headers));
        assert_eq!(parse_envid("QQ+20314159+2B").as_deref(), Ok("QQ 314159+"));
        assert_eq!(parse_notify("never"), Ok(Notify::Never));
        let on = Notify::On {
            success: true,
            failure: false,
            delay: true,
        };
        assert_eq!(parse_notify("Delay,SUCCESS"), Ok(on));
        for (value, address) in [
            ("rfc822;Bob+2Bx@example.net", "Bob+x@example.net"),
            ("x400;/C=US", ""),
            ("utf-8;j\\x{F6}rg@example.net", "jörg@example.net"),
            ("utf-8;jörg\\x{2B}x@example.net", "jörg+x@example.net"),
            ("UTF-8;a@b\\x{10FFFF}", "a@b\u{10FFFF}"),
        ] {
            let read = parse_original(value).map(|original| original.address.to_string());
            match address {
                "" => assert_eq!(read, Err(ParseParameterError::Original), "{value}"),
                address => assert_eq!(read.as_deref(), Ok(address)),
            }
        }
        for (value, seconds, mode, trace) in [
            ("120;R", 120, ByMode::Return, false),
            ("+120;rt", 120, ByMode::Return, true),
            ("-5;N", -5, ByMode::Notify, false),
            ("0;NT", 0, ByMode::Notify, true),
            ("999999999;N", 999_999_999, ByMode::Notify, false),
        ] {
            let by = By {
                seconds,
                mode,
                trace,
            };
            assert_eq!(parse_by(value), Ok(by), "{value}");
        }
    }

    #[test]
    fn an_address_beyond_ascii_is_one_whatever_it_is_called() {
        // As Postfix 3.7 writes it.
        let original = parse_original("rfc822;gr+C3+BC+C3+9Fe@hop.example").unwrap();
        assert_eq!(&*original.address_type, "utf-8");
        assert_eq!(&*original.address, "grüße@hop.example");
        for value in ["rfc822;a+FF@b", "rfc822;a+C2+85@b", "x400;gr+C3+BC"] {
            assert!(parse_original(value).is_err(), "{value}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for value in ["", "SOME", "FULL,HDRS", " FULL"] {
            assert!(parse_ret(value).is_err(), "{value}");
        }
        let long = "a".repeat(MAX_ENVID + 1);
        for value in [
            "", "a=b", "a+2b", "a+2", "a+", "a+GG", "é", "a+0A", "a+FF", &long,
        ] {
            assert!(parse_envid(value).is_err(), "{value}");
        }
        assert!(parse_envid(&long[1..]).is_ok());
        for value in [
            "",
            "NEVER,DELAY",
            "DELAY,NEVER",
            "DELAY,",
            "DELAY,DELAY",
            "DELAY SUCCESS",
        ] {
            assert!(parse_notify(value).is_err(), "{value}");
        }
        let long = format!("rfc822;{}", "a".repeat(MAX_ORIGINAL));
        for value in [
            "",
            "rfc822",
            ";a@b",
            "rfc822;",
            "rfc 822;a@b",
            "rfc822;a+b",
            "rfc822;é@b",
            "rfc822;a+0D+0A@b",
            "utf-8;a\\xF6@b",
            "utf-8;a\\x{D800}@b",
            "utf-8;a\\x{f6}@b",
            "utf-8;a\\x{0A}@b",
            "utf-8;a+2Bb@c",
            &long,
        ] {
            assert!(parse_original(value).is_err(), "{value}");
        }
        for value in [
            "",
            "120",
            "120;",
            "120;X",
            "120;TR",
            ";R",
            "0;R",
            "-1;R",
            "1x;N",
            "1234567890;N",
        ] {
            assert!(parse_by(value).is_err(), "{value}");
        }
    }

    #[test]
    fn what_is_left_of_a_deadline_is_never_more_than_there_is() {
        let now = Wall::from_secs(1_795_256_100);
        let by = parse_by("120;R").unwrap().from(now);
        for (millis, left) in [
            (0, 120),
            (1, 119),
            (119_999, 0),
            (120_000, 0),
            (120_001, -1),
        ] {
            let then = Wall::from_millis(now.as_millis() + millis);
            assert_eq!(By::left(by, then).seconds, left, "{millis}");
        }
        let far = DeliverBy {
            deadline: Wall::from_millis(u64::MAX),
            ..by
        };
        assert_eq!(By::left(far, now).seconds, MAX_BY);
        assert_eq!(
            parse_by("-999999999;N")
                .unwrap()
                .from(Wall::from_secs(1))
                .deadline
                .as_millis(),
            0
        );
    }

    fn notify() -> impl Strategy<Value = Option<Notify>> {
        let on = (any::<bool>(), any::<bool>(), any::<bool>())
            .prop_filter("never none", |(a, b, c)| *a || *b || *c)
            .prop_map(|(success, failure, delay)| {
                Some(Notify::On {
                    success,
                    failure,
                    delay,
                })
            });
        prop_oneof![Just(None), Just(Some(Notify::Never)), on]
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            notify in notify(), envid in "[ -~]{1,33}", ascii in "[ -~]{1,100}",
            wide in "[ -~é\u{1F4E7}]{1,50}", is_wide: bool, utf8: bool,
        ) {
            let original = if is_wide {
                OriginalRecipient { address_type: "utf-8".into(), address: wide.into() }
            } else {
                OriginalRecipient { address_type: "rfc822".into(), address: ascii.into() }
            };
            let recipient = Recipient {
                path: ForwardPath::Postmaster,
                notify,
                original: Some(original.clone()),
            };
            let mut line = String::new();
            push_recipient(&mut line, &recipient, utf8);
            prop_assert!(utf8 || line.is_ascii());
            let mut words = line.trim_start().split(' ');
            if notify.is_some() {
                let value = words.next().unwrap().strip_prefix("NOTIFY=").unwrap();
                prop_assert_eq!(Some(parse_notify(value).unwrap()), notify);
            }
            let value = words.next().unwrap().strip_prefix("ORCPT=").unwrap();
            if value.len() <= MAX_ORIGINAL {
                prop_assert_eq!(parse_original(value), Ok(original));
            }
            let requests = Requests { envid: Some(envid.clone().into()), ..Requests::default() };
            let mut line = String::new();
            push_mail(&mut line, &requests);
            let value = line.strip_prefix(" ENVID=").unwrap();
            let read = parse_envid(value);
            prop_assert_eq!(read.as_deref(), Ok(envid.as_str()));
        }

        #[test]
        fn no_value_is_too_odd(value in any::<String>()) {
            let _ = (parse_ret(&value), parse_envid(&value), parse_notify(&value));
            let _ = (parse_original(&value), parse_by(&value));
        }
    }
}
