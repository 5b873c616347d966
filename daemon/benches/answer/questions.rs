//! The datagrams that are sent, made before anything is measured, and what is looked for in the answers.

use anyhow::Context as _;
use vouchsafe_proto::residue::{Hour, Hours, Kind, Question, Residues, Width, first_prime};

use super::fill::{Spread, digest};

/// Questions that are asked: what they touch of a large ledger is more than a processor's cache holds.
pub const COUNT: usize = 1 << 20;
/// Prime moduli, each for many questions.
const PRIMES: u64 = 1024;
/// One in so many is of a digest that is in the ledger.
const HITS: usize = 2;
/// Octets of a header.
const HEADER: usize = 12;
/// The asker's half of the cookie.
pub const COOKIE: [u8; 8] = *b"askerask";

/// Datagrams of one length, one behind the other.
pub struct Questions {
    octets: Vec<u8>,
    /// How many.
    count: usize,
    /// Octets of each.
    length: usize,
    /// Octets of each up to the end of its question.
    question: usize,
    /// Octets of the server's half of the cookie.
    cookie: usize,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// What the ledger says: "sent" for what is in it, something else for what is not.
    Ledger,
    /// "Sent" for everything, of a zone that has one record for all names.
    Zone,
    /// The query as it was.
    Echo,
}

impl Questions {
    /// So many, for what is in a ledger and what is not; with the server's halves of the askers' cookies, in turn.
    pub fn new(
        count: usize,
        spread: Spread,
        last: Hour,
        domain: &str,
        cookies: &[Vec<u8>],
    ) -> anyhow::Result<Self> {
        let mut octets = Vec::new();
        let (mut length, mut question) = (0, 0);
        let primes: Vec<_> = (0..PRIMES)
            .filter_map(|number| first_prime((0..).map(|more| random(number << 20 | more))))
            .collect();
        for place in 0..count {
            let drawn = random(place as u64);
            let number = if is_hit(place) {
                drawn % spread.digests()
            } else {
                1 << 60 | drawn >> 8
            };
            let age = spread.age(number % spread.digests());
            let hour = Hour::new(last.number() - age).context("an hour")?;
            let digest = digest(number);
            let prime = primes.get(place % primes.len()).context("primes")?;
            let residues = Residues::of(digest, Width::Bits64, &[*prime])?;
            let asked = Question::new(
                Kind::Message,
                Hours::From(hour, 1),
                digest.index(),
                residues,
            )?;
            let start = octets.len();
            octets.extend([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
            for label in format!("{}._sent.{domain}", asked.to_labels()).split('.') {
                octets.push(u8::try_from(label.len())?);
                octets.extend(label.as_bytes());
            }
            octets.extend([0, 0, 16, 0, 1]);
            question = octets.len() - start;
            octets.extend(opt(cookies
                .get(place % cookies.len())
                .context("cookies")?)?);
            length = octets.len() - start;
        }
        Ok(Self {
            octets,
            count,
            length,
            question,
            cookie: cookies.first().map_or(0, Vec::len),
        })
    }

    /// The octets of each.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// The datagram of a number, which goes round.
    pub fn get(&self, number: usize) -> &[u8] {
        let start = number % self.count * self.length;
        self.octets
            .get(start..start + self.length)
            .unwrap_or_default()
    }

    /// Whether these octets answer the question of a number as they should.
    pub fn is_answer(&self, number: usize, answer: &[u8], expected: Expected) -> bool {
        let asked = self.get(number);
        let same = |from: usize, to: usize| {
            let said = answer.get(from..to);
            said.is_some() && said == asked.get(from..to)
        };
        if expected == Expected::Echo {
            return same(2, self.length);
        }
        // A response without an error, with one question and one answer; an OPT record at its end.
        let [_, _, flags, low, 0, 1, 0, 1, _, _, 0, 1, ..] = answer else {
            return false;
        };
        let Some(record) = answer.get(self.question..) else {
            return false;
        };
        let [0xc0, 12, 0, 16, 0, 1, _, _, _, _, _, _, _, text @ ..] = record else {
            return false;
        };
        let Some(word) = text.strip_prefix(b"v=1 s=").and_then(<[u8]>::first) else {
            return false;
        };
        let is_sent = expected == Expected::Zone || is_hit(number);
        let cookie = answer
            .len()
            .checked_sub(self.cookie + COOKIE.len())
            .and_then(|start| answer.get(start..start + COOKIE.len()));
        flags & 0x80 != 0
            && low % 16 == 0
            && same(HEADER, self.question)
            && (*word == b'1') == is_sent
            && cookie == Some(&COOKIE)
    }
}

/// An OPT record with a cookie.
fn opt(servers: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u8::try_from(COOKIE.len() + servers.len())?;
    let mut octets = vec![
        0,
        0,
        41,
        4,
        208,
        0,
        0,
        0,
        0,
        0,
        length + 4,
        0,
        10,
        0,
        length,
    ];
    octets.extend(COOKIE);
    octets.extend(servers);
    Ok(octets)
}

const fn is_hit(number: usize) -> bool {
    (number % COUNT).is_multiple_of(HITS)
}

/// The number's mixed bits (splitmix64).
const fn random(number: u64) -> u64 {
    let mut mixed = number
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(0x1234_5678_9abc_def1);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
