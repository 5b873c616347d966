//! What hosts that hold one path together say to each other (PROTOCOLS C): the EHLO keyword `XHOLD`, and
//! the parameters `XHOLD`, `XTID` and `XVIA` of MAIL, read and written.
//!
//! ```text
//! 250-XHOLD <min-s> <max-s> <max-hops>
//! MAIL FROM:<…> XHOLD=<mode>:<rcpt-s>:<final-s>:<hops-left> XTID=<id>@<domain> XVIA=<token>,…
//! ```
//!
//! All three parameters belong to the one keyword: who offers it takes any of them. What was read is
//! written back as the same. Numbers have hard limits ([`MAX_SECONDS`], [`MAX_HOPS`]), so that no sum of
//! theirs overflows and no line grows beyond what a session reads.
//!
//! Files: the words here; `identity` whose copy it is and which hops it has seen; `below` what of a message is the
//! same for every retry of a copy; `budget` what becomes of
//! the times and hops on the way; `reach` what the reply to RCPT tells of the path.
//!
//! Left to others: who may ask, what is done when nothing is left, and what is remembered.

mod below;
mod budget;
mod identity;
mod reach;

pub use below::BelowTrace;
pub use budget::{Budget, GUARD, Spent};
pub use identity::{MAX_ID, Marker, TOKEN, Token, TransactionId};
pub use reach::{End, Reach};

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::parameters::ParseParameterError;

/// The most seconds that can be said: a day. No transaction is held longer.
pub const MAX_SECONDS: u32 = 86_400;

/// The most hops that one path can have, and tokens that XVIA can hold.
pub const MAX_HOPS: u8 = 16;

/// What stands behind XHOLD in EHLO's reply: on what terms a path is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Seconds; with less left for a reply a path is not tried.
    pub min: u32,
    /// Seconds; no reply is waited for longer, whatever is asked. Not below `min`.
    pub max: u32,
    /// Hops that may follow.
    pub hops: u8,
}

impl Terms {
    /// Reads the words behind the keyword; none if they make no sense. More words may follow.
    pub fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut words = words.into_iter();
        let (min, max) = (seconds(words.next()?)?, seconds(words.next()?)?);
        let hops = hops(words.next()?)?;
        (min <= max).then_some(Self { min, max, hops })
    }
}

/// `XHOLD 5 600 8`, as EHLO's reply has it.
impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "XHOLD {} {} {}", self.min, self.max, self.hops)
    }
}

/// How this server holds paths with others.
#[derive(Clone, Debug)]
pub struct Holding {
    /// What EHLO says.
    pub terms: Terms,
    /// Makes our tokens.
    pub marker: Marker,
}

/// What may be done where no reply is to be had from the path ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// `S`: nothing is stored; the sender keeps it.
    Strict,
    /// `P`: it may be stored, by the 250 rule.
    Prefer,
}

/// How MAIL wants the path held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wish {
    /// What may be done where no reply is to be had.
    pub mode: Mode,
    /// Seconds within which RCPT wants its reply. For the first RCPT they count from MAIL, since that and it
    /// may come together; for each later one from itself.
    pub recipient: u32,
    /// Seconds within which the end of the content wants its reply, counted from that end.
    pub last: u32,
    /// Hops that may still follow whoever reads this.
    pub hops: u8,
}

impl Wish {
    /// XHOLD's value.
    pub(super) fn parse(value: &str) -> Result<Self, ParseParameterError> {
        let read = || {
            let mut fields = value.split(':');
            let mode = match fields.next()? {
                "S" | "s" => Mode::Strict,
                "P" | "p" => Mode::Prefer,
                _ => return None,
            };
            let wish = Self {
                mode,
                recipient: seconds(fields.next()?)?,
                last: seconds(fields.next()?)?,
                hops: hops(fields.next()?)?,
            };
            fields.next().is_none().then_some(wish)
        };
        read().ok_or(ParseParameterError::Hold)
    }
}

/// XHOLD's value.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Strict => 'S',
            Mode::Prefer => 'P',
        };
        let Self {
            recipient,
            last,
            hops,
            ..
        } = self;
        write!(f, "{mode}:{recipient}:{last}:{hops}")
    }
}

/// All that MAIL says of the path that it comes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Through {
    /// XHOLD: it is to be held.
    pub wish: Option<Wish>,
    /// XTID: the same for every retry of this copy.
    pub id: Option<TransactionId>,
    /// XVIA: the hops that it has come by, the first one first; at most [`MAX_HOPS`]. Not without `id`, of
    /// which they are made.
    pub via: Vec<Token>,
}

impl Through {
    /// True if nothing is said.
    pub const fn is_empty(&self) -> bool {
        self.wish.is_none() && self.id.is_none() && self.via.is_empty()
    }

    /// True if the hop of these tokens has had it already: a loop.
    pub fn loops(&self, own: &Marker) -> bool {
        let id = self.id.as_ref().filter(|_| !self.via.is_empty());
        id.is_some_and(|id| self.via.contains(&own.token(id)))
    }

    /// What is said to the next hop, with this wish of ours, if there is one, and our own token behind the others. A
    /// path with as many tokens as there may be goes no further.
    pub fn onward(&self, wish: impl Into<Option<Wish>>, own: &Marker) -> Result<Self, Spent> {
        let mut via = self.via.clone();
        if let Some(id) = &self.id {
            if via.len() >= usize::from(MAX_HOPS) {
                return Err(Spent::Hops);
            }
            via.push(own.token(id));
        }
        Ok(Self {
            wish: wish.into(),
            id: self.id.clone(),
            via,
        })
    }

    /// Appends the parameters, for a next hop that offers them.
    pub(super) fn push(&self, line: &mut String) {
        // Writing to a String cannot fail.
        if let Some(wish) = self.wish {
            let _ = write!(line, " XHOLD={wish}");
        }
        let Some(id) = &self.id else {
            return;
        };
        let _ = write!(line, " XTID={id}");
        let most = usize::from(MAX_HOPS);
        for (at, token) in self.via.iter().take(most).enumerate() {
            line.push_str(if at == 0 { " XVIA=" } else { "," });
            line.push_str(token.as_str());
        }
    }
}

/// XVIA's value.
pub(super) fn parse_via(value: &str) -> Result<Vec<Token>, ParseParameterError> {
    let most = usize::from(MAX_HOPS);
    let mut via = Vec::new();
    for word in value.split(',') {
        let token = Token::parse(word).filter(|_| via.len() < most);
        via.push(token.ok_or(ParseParameterError::Via)?);
    }
    Ok(via)
}

/// One to five digits, [`MAX_SECONDS`] at most.
fn seconds(text: &str) -> Option<u32> {
    number(text, 5).filter(|seconds| *seconds <= MAX_SECONDS)
}

/// One or two digits, [`MAX_HOPS`] at most.
fn hops(text: &str) -> Option<u8> {
    let hops = u8::try_from(number(text, 2)?).ok()?;
    (hops <= MAX_HOPS).then_some(hops)
}

/// One to so many digits, and nothing else.
fn number(text: &str, most: usize) -> Option<u32> {
    let digits =
        (1..=most).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::command::Command;
    use alloc::format;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn terms_are_read_where_they_make_sense() {
        let read = |text: &str| Terms::read(text.split(' '));
        let terms = Terms {
            min: 5,
            max: 600,
            hops: 8,
        };
        assert_eq!(read("5 600 8"), Some(terms));
        assert_eq!(read("5 600 8 more"), Some(terms));
        assert_eq!(terms.to_string(), "XHOLD 5 600 8");
        for text in [
            "",
            "5",
            "5 600",
            "600 5 8",
            "5 600 17",
            "5 86401 8",
            "-5 600 8",
            "+5 600 8",
            "5 600 x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_wish_has_four_fields_within_their_limits() {
        let wish = Wish::parse("p:300:86400:16").unwrap();
        assert_eq!(wish.to_string(), "P:300:86400:16");
        assert_eq!(Wish::parse("S:0:00000:0").unwrap().mode, Mode::Strict);
        for value in [
            "",
            "S",
            "S:1:2",
            "S:1:2:3:4",
            "X:1:2:3",
            "SP:1:2:3",
            "S::2:3",
            "S:1:2:",
            "S:86401:2:3",
            "S:1:86401:3",
            "S:000001:2:3",
            "S:1:2:17",
            "S:1:2:003",
            "S:-1:2:3",
            "S:1 :2:3",
            "S:99999999999999999999:2:3",
        ] {
            assert_eq!(
                Wish::parse(value),
                Err(ParseParameterError::Hold),
                "{value}"
            );
        }
    }

    #[test]
    fn a_path_has_sixteen_tokens_of_eight_characters() {
        let via = parse_via("ABCDEFGH,abcd2345").unwrap();
        let texts: Vec<_> = via.iter().map(Token::as_str).collect();
        assert_eq!(texts, ["ABCDEFGH", "ABCD2345"]);
        let most = ["ABCDEFGH"; 16].join(",");
        assert_eq!(parse_via(&most).unwrap().len(), 16);
        let more = format!("{most},ABCDEFGH");
        for value in [
            "",
            ",",
            "ABCDEFGH,",
            "ABCDEFG",
            "ABCDEFGHI",
            "ABCDEFG1",
            "ABCDEFG=",
            "ABCDEFGé",
            &more,
        ] {
            assert_eq!(parse_via(value), Err(ParseParameterError::Via), "{value}");
        }
    }

    #[test]
    fn what_has_no_id_is_written_without_tokens() {
        let token = Token::parse("ABCDEFGH").unwrap();
        let through = Through {
            via: alloc::vec![token],
            ..Through::default()
        };
        let mut line = String::new();
        through.push(&mut line);
        assert_eq!(line, "");
    }

    /// A hop whose tokens follow from its number.
    fn hop(number: u8) -> Marker {
        Marker::new(move |id| {
            let mut mac = [number; 32];
            for (slot, octet) in mac.iter_mut().zip(id.bytes()) {
                *slot ^= octet;
            }
            mac
        })
    }

    #[test]
    fn a_hop_knows_its_own_token_and_loops_of_any_length_are_seen() {
        let wish = Wish::parse("S:60:60:9").unwrap();
        for length in 1..=16 {
            let mut through = Through {
                id: Some(TransactionId::parse("q1@a.example").unwrap()),
                ..Through::default()
            };
            for number in 0..length {
                assert!(!through.loops(&hop(number)), "{length} {number}");
                through = through.onward(wish, &hop(number)).unwrap();
            }
            assert!((0..length).all(|number| through.loops(&hop(number))));
            assert!(!through.loops(&hop(length)));
            let next = through.onward(wish, &hop(length));
            assert_eq!(next.is_err(), length == 16, "{length}");
            // Another copy by the same hops is none.
            through.id = Some(TransactionId::parse("q2@a.example").unwrap());
            assert!(!through.loops(&hop(0)));
        }
        let nameless = Through::default();
        assert!(!nameless.loops(&hop(0)));
        assert_eq!(nameless.onward(wish, &hop(0)).unwrap().via, []);
    }

    fn through() -> impl Strategy<Value = Through> {
        let wish = (
            any::<bool>(),
            0..=MAX_SECONDS,
            0..=MAX_SECONDS,
            0..=MAX_HOPS,
        )
            .prop_map(|(strict, recipient, last, hops)| Wish {
                mode: if strict { Mode::Strict } else { Mode::Prefer },
                recipient,
                last,
                hops,
            });
        let named = (
            "[A-Za-z0-9._-]{1,64}@[a-z]{1,9}\\.example",
            prop::collection::vec("[A-Z2-7]{8}", 0..=16),
        );
        (prop::option::of(wish), prop::option::of(named)).prop_map(|(wish, named)| {
            let (id, via) = named.unzip();
            let tokens = via.unwrap_or_default();
            Through {
                wish,
                id: id.map(|id| TransactionId::parse(&id).unwrap()),
                via: tokens
                    .iter()
                    .map(|token| Token::parse(token).unwrap())
                    .collect(),
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(through in through()) {
            let mut line = String::new();
            through.push(&mut line);
            prop_assert!(line.is_ascii() && line.len() < 600);
            let Ok(Command::Mail(mail)) = Command::parse(format!("MAIL FROM:<>{line}").as_bytes()) else {
                panic!("{line}");
            };
            prop_assert_eq!(mail.through, through);
        }

        #[test]
        fn no_value_is_too_odd(value in any::<String>()) {
            let _ = (Wish::parse(&value), parse_via(&value), TransactionId::parse(&value));
            let _ = (Terms::read(value.split(' ')), Reach::read(&value));
        }
    }
}
