//! What a ledger answers (PROTOCOLS B.4): one TXT of at most twenty octets, `v=1 s=1 c=79aaa+150`.
//!
//! Promised: what is not exactly that is no answer, so nothing odd is ever taken for a word. Left to others: what may be
//! said when (the ledger's coverage), and packets.

use alloc::string::String;

use super::Hour;

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is said.
    pub word: Word,
    /// The hours that the ledger can speak of.
    pub covered: Span,
}

/// What a ledger says of a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is in it.
    Sent,
    /// It is not, and would be.
    NotSent,
    /// It is not, and might be missing.
    Unknown,
}

/// Hours, from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Hour,
    /// How many; at most [`MOST_HOURS`] are said.
    pub hours: u16,
}

/// Octets of the longest answer.
pub const LONGEST_ANSWER: usize = 20;

/// Hours that three digits hold: half a year.
const MOST_HOURS: u16 = 0xfff;

impl Span {
    /// Whether an hour lies in it.
    pub const fn contains(self, hour: Hour) -> bool {
        match hour.number().checked_sub(self.first.number()) {
            Some(behind) => behind < self.hours as u32,
            None => false,
        }
    }
}

impl Answer {
    /// What it says of a digest filed under this hour: "not sent" of an hour that it does not cover says nothing.
    pub const fn about(self, hour: Hour) -> Word {
        match self.word {
            Word::NotSent if !self.covered.contains(hour) => Word::Unknown,
            word => word,
        }
    }

    /// The text.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(LONGEST_ANSWER);
        self.write(|octet| text.push(char::from(octet)));
        text
    }

    /// Gives the text octet by octet, since an answer is written for each datagram.
    pub fn write(self, mut give: impl FnMut(u8)) {
        b"v=1 s=".iter().for_each(|octet| give(*octet));
        give(match self.word {
            Word::NotSent => b'0',
            Word::Sent => b'1',
            Word::Unknown => b'2',
        });
        b" c=".iter().for_each(|octet| give(*octet));
        give_hex(self.covered.first.number(), &mut give);
        give(b'+');
        give_hex(u32::from(self.covered.hours.min(MOST_HOURS)), &mut give);
    }

    /// Reads a text; `None` if it is no answer.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (word, covered) = text.strip_prefix("v=1 s=")?.split_once(" c=")?;
        let word = match word {
            "0" => Word::NotSent,
            "1" => Word::Sent,
            "2" => Word::Unknown,
            _ => return None,
        };
        let (first, hours) = covered.split_once('+')?;
        let first = Hour::new(hex(first, 5)?)?;
        let hours = u16::try_from(hex(hours, 4)?).ok()?;
        let is_short = text.len() <= LONGEST_ANSWER;
        is_short.then_some(Self {
            word,
            covered: Span { first, hours },
        })
    }
}

/// A number in base 16, without zeros before it.
fn give_hex(number: u32, give: &mut impl FnMut(u8)) {
    let digits = 8_u32.saturating_sub(number.leading_zeros() / 4).max(1);
    for place in (0..digits).rev() {
        let digit = number >> place.saturating_mul(4) & 0xf;
        give(char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8));
    }
}

/// One to `most` digits of base 16, which are fewer than nine.
fn hex(text: &str, most: usize) -> Option<u32> {
    let is_number = (1..=most).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    is_number.then(|| u32::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_example_comes_out() {
        let answer = Answer {
            word: Word::Sent,
            covered: Span {
                first: Hour::new(0x79aaa).unwrap(),
                hours: 336,
            },
        };
        assert_eq!(answer.to_text(), "v=1 s=1 c=79aaa+150");
        assert_eq!(Answer::parse(b"v=1 s=1 c=79AAA+150"), Some(answer));
        let longest = Answer {
            word: Word::NotSent,
            covered: Span {
                first: Hour::new(0xfffff).unwrap(),
                hours: u16::MAX,
            },
        };
        assert_eq!(longest.to_text(), "v=1 s=0 c=fffff+fff");
        assert!(longest.to_text().len() <= LONGEST_ANSWER);
    }

    #[test]
    fn what_is_odd_is_no_answer() {
        for text in [
            "",
            "v=1",
            "v=2 s=1 c=0+0",
            "v=1 s=3 c=0+0",
            "v=1 s= c=0+0",
            "v=1 s=1 c=0",
            "v=1 s=1 c=+0",
            "v=1 s=1 c=0+",
            "v=1 s=1 c=0++0",
            "v=1 s=1 c=100000+0",
            "v=1 s=1 c=0+10000",
            "v=1 s=1 c=fffff+ffff0",
            "v=1 s=1 c=0+0 ",
            " v=1 s=1 c=0+0",
            "v=1  s=1 c=0+0",
            "v=1 s=11 c=0+0",
            "v=1 s=1 c=-1+0",
            "v=1 s=1 c=é+0",
        ] {
            assert_eq!(Answer::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Answer::parse(b"v=1 s=1 c=0+\xff"), None);
    }

    #[test]
    fn a_span_contains_its_hours() {
        let hour = |number| Hour::new(number).unwrap();
        for (word, first, said) in [
            (Word::NotSent, 10, Word::NotSent),
            (Word::NotSent, 9, Word::Unknown),
            (Word::Sent, 9, Word::Sent),
        ] {
            let covered = Span {
                first: hour(10),
                hours: 2,
            };
            assert_eq!(Answer { word, covered }.about(hour(first)), said);
        }
        let span = Span {
            first: hour(10),
            hours: 2,
        };
        assert!(!span.contains(hour(9)) && span.contains(hour(10)));
        assert!(span.contains(hour(11)) && !span.contains(hour(12)));
    }

    proptest! {
        #[test]
        fn what_is_said_is_read(word in 0..3_usize, first in 0..1_u32 << 20, hours in 0..=MOST_HOURS) {
            let word = [Word::Sent, Word::NotSent, Word::Unknown][word];
            let covered = Span { first: Hour::new(first).unwrap(), hours };
            let answer = Answer { word, covered };
            prop_assert_eq!(Answer::parse(answer.to_text().as_bytes()), Some(answer));
        }

        #[test]
        fn no_octets_make_it_panic(text: alloc::vec::Vec<u8>) {
            let _ = Answer::parse(&text);
        }
    }
}
