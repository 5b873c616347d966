//! Macro strings (RFC 7208 §7): literals and `%{…}`, parsed into parts and written back.
//!
//! Parsed are exactly the `domain-spec`, `macro-string` and `explain-string` of RFC 7208 §12; where
//! something is wrong, the error has the octet. What the macros stand for is filled in elsewhere
//! (`expand`): this file knows neither sender nor client.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use crate::dns::Name;

use super::syntax::{SyntaxError, SyntaxErrorKind};

/// A text with macros in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MacroString {
    parts: Box<[Part]>,
}

/// One piece of a macro string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Characters that stand for themselves; blanks in an explanation only.
    Literal(Box<str>),
    /// `%%`: a percent sign.
    Percent,
    /// `%_`: a blank.
    Blank,
    /// `%-`: a blank that is URL-encoded, `%20`.
    UrlBlank,
    /// `%{…}`.
    Expand(Macro),
}

/// One `%{…}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Macro {
    /// What it stands for.
    pub letter: Letter,
    /// The letter is in upper case: the value is URL-encoded.
    pub url: bool,
    /// How many of the right-hand parts are kept; all, if there is no number. Never 0.
    pub keep: Option<u32>,
    /// The parts are taken in reverse order.
    pub reverse: bool,
    /// Where the value is split into parts; at dots if empty.
    pub delimiters: Box<str>,
}

/// What a macro stands for (RFC 7208 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Letter {
    /// `s`: the sender.
    Sender,
    /// `l`: its local-part.
    LocalPart,
    /// `o`: its domain.
    SenderDomain,
    /// `d`: the domain whose record is evaluated.
    Domain,
    /// `i`: the client's address, dotted.
    Ip,
    /// `p`: the client's name, as far as the DNS confirms it.
    ValidatedName,
    /// `v`: `in-addr` or `ip6`.
    Version,
    /// `h`: the HELO name.
    Helo,
    /// `c`: the client's address as people write it.
    ClientAddress,
    /// `r`: the name of the host that checks.
    Receiver,
    /// `t`: seconds since 1970.
    Time,
}

/// Which of the three grammars is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    /// `domain-spec`: ends in a top label or in a macro.
    DomainSpec,
    /// `macro-string`, as an unknown modifier has it.
    Modifier,
    /// `explain-string`: blanks may stand in it.
    Explanation,
}

impl Letter {
    /// Every letter with what it stands for.
    const ALL: [(u8, Self); 11] = [
        (b's', Self::Sender),
        (b'l', Self::LocalPart),
        (b'o', Self::SenderDomain),
        (b'd', Self::Domain),
        (b'i', Self::Ip),
        (b'p', Self::ValidatedName),
        (b'v', Self::Version),
        (b'h', Self::Helo),
        (b'c', Self::ClientAddress),
        (b'r', Self::Receiver),
        (b't', Self::Time),
    ];

    /// Reads the letter, in either case.
    fn of(octet: u8) -> Option<Self> {
        let lower = octet.to_ascii_lowercase();
        let mut all = Self::ALL.iter();
        all.find(|(letter, _)| *letter == lower)
            .map(|(_, what)| *what)
    }

    /// The letter in lower case.
    pub fn as_char(self) -> char {
        let mut all = Self::ALL.iter();
        all.find(|(_, what)| *what == self)
            .map_or('?', |(letter, _)| char::from(*letter))
    }

    /// True for the three that only an explanation may use (RFC 7208 §7.2).
    const fn is_for_explanations(self) -> bool {
        matches!(self, Self::ClientAddress | Self::Receiver | Self::Time)
    }
}

impl MacroString {
    /// Reads a `domain-spec` that stands alone.
    pub fn parse_domain_spec(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text, 0, Grammar::DomainSpec)
    }

    /// Reads the text that an `exp=` leads to.
    pub fn parse_explanation(text: &[u8]) -> Result<Self, SyntaxError> {
        let text = super::syntax::printable(text)?;
        Self::parse(text, 0, Grammar::Explanation)
    }

    /// Reads `text`, which starts at octet `base` of what errors are counted from.
    pub(super) fn parse(text: &str, base: usize, grammar: Grammar) -> Result<Self, SyntaxError> {
        let mut reader = Reader {
            text,
            base,
            at: 0,
            grammar,
        };
        let mut parts = Vec::new();
        while let Some(part) = reader.part()? {
            parts.push(part);
        }
        if grammar == Grammar::DomainSpec {
            check_end(text, base, &parts)?;
        }
        Ok(Self {
            parts: parts.into_boxed_slice(),
        })
    }

    /// Its pieces from the left.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The macros in it.
    pub fn macros(&self) -> impl Iterator<Item = &Macro> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expand(found) => Some(found),
            _ => None,
        })
    }

    /// True if a macro with this letter is in it.
    pub fn uses(&self, letter: Letter) -> bool {
        self.macros().any(|found| found.letter == letter)
    }

    /// The name it stands for, whoever the sender and the client are; none if a macro is in it, or
    /// if it is no name.
    pub fn as_name(&self) -> Option<Name> {
        let plain = self.parts.iter().map(|part| match part {
            Part::Literal(text) => Some(&**text),
            Part::Percent => Some("%"),
            Part::Blank => Some(" "),
            Part::UrlBlank => Some("%20"),
            Part::Expand(_) => None,
        });
        super::expand::name_of(&plain.collect::<Option<String>>()?)
    }
}

/// A name as a `domain-spec`. Of a name of one label or none, which SPF cannot express, the text
/// does not parse again.
impl From<&Name> for MacroString {
    fn from(name: &Name) -> Self {
        let mut parts = Vec::new();
        for (at, literal) in name.as_str().split('%').enumerate() {
            if at > 0 {
                parts.push(Part::Percent);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.into()));
            }
        }
        Self {
            parts: parts.into_boxed_slice(),
        }
    }
}

impl fmt::Display for MacroString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(text),
            Self::Percent => f.write_str("%%"),
            Self::Blank => f.write_str("%_"),
            Self::UrlBlank => f.write_str("%-"),
            Self::Expand(found) => found.fmt(f),
        }
    }
}

impl fmt::Display for Macro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = self.letter.as_char();
        f.write_str("%{")?;
        f.write_char(if self.url {
            letter.to_ascii_uppercase()
        } else {
            letter
        })?;
        if let Some(keep) = self.keep {
            write!(f, "{keep}")?;
        }
        f.write_str(if self.reverse { "r" } else { "" })?;
        write!(f, "{}}}", self.delimiters)
    }
}

/// Where the reading stands.
struct Reader<'a> {
    text: &'a str,
    base: usize,
    at: usize,
    grammar: Grammar,
}

impl Reader<'_> {
    /// The next part; none at the end.
    fn part(&mut self) -> Result<Option<Part>, SyntaxError> {
        match self.peek() {
            None => Ok(None),
            Some(b'%') => self.percent().map(Some),
            Some(_) => self.literal().map(Some),
        }
    }

    /// The octet that comes next.
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes the octet that comes next.
    fn next(&mut self) -> Option<u8> {
        let octet = self.peek()?;
        self.at = self.at.saturating_add(1);
        Some(octet)
    }

    /// Something is wrong at `at`.
    fn error(&self, at: usize, kind: SyntaxErrorKind) -> SyntaxError {
        SyntaxError {
            at: self.base.saturating_add(at),
            kind,
        }
    }

    /// Characters up to a percent sign or the end.
    fn literal(&mut self) -> Result<Part, SyntaxError> {
        let start = self.at;
        while let Some(octet) = self.peek().filter(|octet| *octet != b'%') {
            let blank = octet == b' ' && self.grammar == Grammar::Explanation;
            if !octet.is_ascii_graphic() && !blank {
                return Err(self.error(self.at, SyntaxErrorKind::Character));
            }
            self.at = self.at.saturating_add(1);
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(Part::Literal(text.into()))
    }

    /// What begins with a percent sign.
    fn percent(&mut self) -> Result<Part, SyntaxError> {
        let start = self.at;
        self.next();
        match self.next() {
            Some(b'%') => Ok(Part::Percent),
            Some(b'_') => Ok(Part::Blank),
            Some(b'-') => Ok(Part::UrlBlank),
            Some(b'{') => self.expand(start),
            _ => Err(self.error(start, SyntaxErrorKind::Macro)),
        }
    }

    /// What stands between the braces.
    fn expand(&mut self, start: usize) -> Result<Part, SyntaxError> {
        let wrong = self.error(start, SyntaxErrorKind::Macro);
        let octet = self.next().ok_or(wrong)?;
        let letter = Letter::of(octet)
            .filter(|letter| self.grammar != Grammar::DomainSpec || !letter.is_for_explanations())
            .ok_or_else(|| self.error(start, SyntaxErrorKind::MacroLetter))?;
        let keep = self.number().map_err(|()| wrong)?;
        let reverse = self
            .peek()
            .is_some_and(|octet| octet.eq_ignore_ascii_case(&b'r'));
        if reverse {
            self.next();
        }
        let delimiters = self.at;
        while self.peek().is_some_and(|octet| DELIMITERS.contains(&octet)) {
            self.next();
        }
        let delimiters = self.text.get(delimiters..self.at).unwrap_or_default();
        if self.next() != Some(b'}') {
            return Err(wrong);
        }
        Ok(Part::Expand(Macro {
            letter,
            url: octet.is_ascii_uppercase(),
            keep,
            reverse,
            delimiters: delimiters.into(),
        }))
    }

    /// The number of parts to keep: any but 0 (RFC 7208 §7.3). One too large to hold keeps all.
    fn number(&mut self) -> Result<Option<u32>, ()> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            self.next();
            let so_far: u32 = number.unwrap_or(0);
            let digit = u32::from(digit.saturating_sub(b'0'));
            number = Some(so_far.saturating_mul(10).saturating_add(digit));
        }
        if number == Some(0) {
            Err(())
        } else {
            Ok(number)
        }
    }
}

/// What a macro may be split at (RFC 7208 §7.1).
const DELIMITERS: &[u8] = b".-+,/_=";

/// `domain-end`: a dot and a top label, or a macro (RFC 7208 §7.1).
fn check_end(text: &str, base: usize, parts: &[Part]) -> Result<(), SyntaxError> {
    let kind = match parts.last() {
        None => SyntaxErrorKind::EmptyDomain,
        Some(Part::Literal(literal)) => {
            let undotted = literal.strip_suffix('.').unwrap_or(literal);
            match undotted.rsplit_once('.') {
                Some((_, label)) if is_top_label(label) => return Ok(()),
                _ => SyntaxErrorKind::TopLabel,
            }
        }
        Some(_) => return Ok(()),
    };
    let undotted = text.strip_suffix('.').unwrap_or(text);
    let at = undotted.rfind('.').map_or(0, |dot| dot.saturating_add(1));
    Err(SyntaxError {
        at: base.saturating_add(at),
        kind,
    })
}

/// Letters, digits and inner hyphens, and not digits alone.
fn is_top_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|octet| octet.is_ascii_digit())
}
