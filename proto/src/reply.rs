//! SMTP replies: code, enhanced status, text. Built by us for peers, parsed from next hops.
//!
//! What we say is bland and fixed: the code carries the meaning, the log the detail. A reply is
//! named once, as a constant or function here or beside the machine that says it, with its RFC.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// `class.subject.detail` of RFC 3463.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnhancedStatus {
    /// 2 success, 4 transient, 5 permanent.
    pub class: u8,
    /// Up to 999.
    pub subject: u16,
    /// Up to 999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The status of these three numbers.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self {
            class,
            subject,
            detail,
        }
    }

    /// Reads `c.s.d` with no sign, blank or leading nothing; class 2, 4 or 5.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits =
                (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u16>().ok().filter(|_| digits)
        });
        let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let class = u8::try_from(class)
            .ok()
            .filter(|class| matches!(class, 2 | 4 | 5))?;
        numbers.next().is_none().then_some(Self {
            class,
            subject,
            detail,
        })
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// First digit of a reply code (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReplyClass {
    /// 2yz.
    Positive,
    /// 3yz.
    Intermediate,
    /// 4yz.
    Transient,
    /// 5yz.
    Permanent,
}

/// A whole reply, of one line or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedStatus>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply of one line with its enhanced status: the ordinary form (RFC 2034).
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<Cow<'static, str>>) -> Self {
        let (class, subject, detail) = enhanced;
        Self {
            code,
            enhanced: Some(EnhancedStatus::new(class, subject, detail)),
            lines: vec![text.into()],
        }
    }

    /// A reply that has no enhanced status: the greeting, EHLO's, and 3yz (RFC 2034 §3).
    pub fn plain(code: u16, lines: Vec<Cow<'static, str>>) -> Self {
        Self {
            code,
            enhanced: None,
            lines,
        }
    }

    /// A reply as a peer gave it.
    pub fn received(
        code: u16,
        enhanced: Option<EnhancedStatus>,
        lines: Vec<Cow<'static, str>>,
    ) -> Self {
        Self {
            code,
            enhanced,
            lines,
        }
    }

    /// The three digits.
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status, if it has one.
    pub const fn enhanced(&self) -> Option<EnhancedStatus> {
        self.enhanced
    }

    /// The text of each line, without codes.
    pub fn lines(&self) -> &[Cow<'static, str>] {
        &self.lines
    }

    /// What the first digit says; a code outside 2yz to 5yz counts as permanent.
    pub const fn class(&self) -> ReplyClass {
        match self.code / 100 {
            2 => ReplyClass::Positive,
            3 => ReplyClass::Intermediate,
            4 => ReplyClass::Transient,
            _ => ReplyClass::Permanent,
        }
    }

    /// True for 2yz.
    pub const fn is_positive(&self) -> bool {
        matches!(self.class(), ReplyClass::Positive)
    }

    /// Appends the octets for the wire, each line ended by CRLF.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let text: usize = self.lines.iter().map(|line| line.len()).sum();
        into.reserve(text.saturating_add(self.lines.len().saturating_mul(LINE_AROUND)));
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            push_number(self.code, 3, into);
            into.push(if at == last { b' ' } else { b'-' });
            if let Some(enhanced) = self.enhanced {
                push_number(enhanced.class.into(), 1, into);
                into.push(b'.');
                push_number(enhanced.subject, 1, into);
                into.push(b'.');
                push_number(enhanced.detail, 1, into);
                into.push(b' ');
            }
            into.extend_from_slice(line.as_bytes());
            into.extend_from_slice(b"\r\n");
        }
    }
}

/// What stands around a line's text at most: code, mark, enhanced status, CRLF.
const LINE_AROUND: usize = 20;

/// Appends a number in decimal, with so many digits at least. By hand, because replies are what a
/// busy server makes most of.
fn push_number(number: u16, least: usize, into: &mut Vec<u8>) {
    let digits = [10_000, 1000, 100, 10, 1].map(|unit| number.checked_div(unit).unwrap_or(0) % 10);
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let skipped = leading.min(digits.len().saturating_sub(least));
    let shown = digits.iter().skip(skipped);
    into.extend(shown.map(|digit| b'0' | u8::try_from(*digit).unwrap_or(0)));
}

/// On one line, lines joined by a blank: for logs and diagnostic-code fields.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        self.lines.iter().try_for_each(|line| write!(f, " {line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn lines_carry_code_and_enhanced_status() {
        let mut wire = Vec::new();
        Reply::new(250, (2, 1, 0), "ok").encode(&mut wire);
        Reply::plain(250, vec!["mx.example".into(), "PIPELINING".into()]).encode(&mut wire);
        assert_eq!(
            wire,
            b"250 2.1.0 ok\r\n250-mx.example\r\n250 PIPELINING\r\n"
        );
    }

    #[test]
    fn the_wire_and_the_log_have_the_same_numbers() {
        for number in [
            0, 1, 7, 9, 10, 99, 100, 101, 250, 421, 554, 999, 1000, 65535,
        ] {
            for class in [2, 4, 5, 255] {
                let reply = Reply::new(number, (class, number, number / 3), "text");
                let mut wire = Vec::new();
                reply.encode(&mut wire);
                assert_eq!(wire, format!("{reply}\r\n").into_bytes());
            }
        }
    }

    #[test]
    fn enhanced_status_is_three_plain_numbers() {
        assert_eq!(
            EnhancedStatus::parse("5.7.1"),
            Some(EnhancedStatus::new(5, 7, 1))
        );
        for text in [
            "", "5", "5.7", "5.7.1.2", "3.0.0", "5.+7.1", "5..1", "5.7.1234", "55.7.1",
        ] {
            assert_eq!(EnhancedStatus::parse(text), None, "{text}");
        }
        assert_eq!(
            Reply::new(450, (4, 4, 3), "later").to_string(),
            "450 4.4.3 later"
        );
    }
}
