//! Every kind of malformed question (PROTOCOLS B.3), over UDP and over TCP: each is answered FORMERR, and the ledger is not
//! looked at for it, which the figures show, since every look-up is counted by the word that came of it.

use std::io::Write as _;
use std::net::TcpStream;

use super::super::metrics::{page, sample};
use super::super::service::Setup;
use super::datagrams::{EDNS, PATIENCE, connected, exchange, framed, next, query, says};
use super::{Answering, DIGEST, PRIME};

/// A question whose every part may be wrong.
#[derive(Clone)]
struct Raw {
    version: u8,
    /// One less than there are residues.
    more: u8,
    width: u8,
    /// Octets of a number.
    octets: usize,
    hour: u32,
    span: u32,
    index: u32,
    residues: Vec<(u64, u64)>,
}

/// Primes of 32 bits with the top bit set, ascending.
const PRIMES: [u64; 4] = [4_294_967_197, 4_294_967_231, 4_294_967_279, 4_294_967_291];

impl Raw {
    /// The one by one prime of 64 bits.
    fn wide(hour: u32) -> Self {
        Self {
            version: 1,
            more: 0,
            width: 1,
            octets: 8,
            hour,
            span: 0,
            index: DIGEST.index().number(),
            residues: vec![left(PRIME)],
        }
    }

    /// One by these numbers of 32 bits.
    fn by(hour: u32, moduli: &[u64]) -> Self {
        Self {
            more: u8::try_from(moduli.len()).unwrap().wrapping_sub(1) & 3,
            width: 0,
            octets: 4,
            residues: moduli.iter().map(|modulus| left(*modulus)).collect(),
            ..Self::wide(hour)
        }
    }

    fn octets(&self) -> Vec<u8> {
        let mut octets = vec![self.version << 5 | self.more << 2 | self.width];
        octets.extend(&(self.hour << 4 | self.span).to_be_bytes()[1..]);
        octets.extend(&self.index.to_be_bytes()[1..]);
        for (modulus, remainder) in &self.residues {
            for number in [modulus, remainder] {
                octets.extend(&number.to_be_bytes()[8 - self.octets..]);
            }
        }
        octets
    }

    fn branch(&self) -> char {
        char::from(DIGITS[usize::try_from(self.index >> 19).unwrap()])
    }

    /// The labels `q` and `x`.
    fn labels(&self) -> String {
        format!("{}.{}", base32(&self.octets()), self.branch())
    }
}

/// A modulus, and what the digest leaves for it.
fn left(modulus: u64) -> (u64, u64) {
    let remainder = DIGEST.number() % u128::from(modulus.max(1));
    (modulus, u64::try_from(remainder).unwrap())
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn base32(octets: &[u8]) -> String {
    let bit = |number: usize| {
        let octet = octets.get(number / 8).copied().unwrap_or(0);
        usize::from(octet >> (7 - number % 8) & 1)
    };
    (0..octets.len() * 8)
        .step_by(5)
        .map(|first| (first..first + 5).fold(0, |place, number| place << 1 | bit(number)))
        .map(|place| char::from(DIGITS[place]))
        .collect()
}

/// Questions that are well-formed.
fn good(hour: u32) -> Vec<(&'static str, String)> {
    let wide = Raw::wide(hour);
    let all = Raw {
        hour: 0,
        span: 15,
        ..wide.clone()
    };
    vec![
        ("one prime of 64 bits", wide.labels()),
        ("the same in capitals", wide.labels().to_uppercase()),
        ("two of 32 bits", Raw::by(hour, &PRIMES[..2]).labels()),
        ("three", Raw::by(hour, &PRIMES[..3]).labels()),
        ("four", Raw::by(hour, &PRIMES).labels()),
        ("the whole window", all.labels()),
    ]
}

/// Those whose octets are not as they must be.
fn wrong_octets(hour: u32) -> Vec<(&'static str, String)> {
    let wide = Raw::wide(hour);
    let mut all = Vec::new();
    for version in [0, 2, 3, 4, 5, 6, 7] {
        let wide = wide.clone();
        all.push(("a version that is none", Raw { version, ..wide }.labels()));
    }
    for width in [2, 3] {
        let wide = wide.clone();
        all.push(("a width that is none", Raw { width, ..wide }.labels()));
    }
    for more in 1..4 {
        let wide = wide.clone();
        all.push(("fewer residues than said", Raw { more, ..wide }.labels()));
    }
    let branch = wide.branch();
    let octets = wide.octets();
    for length in 0..octets.len() {
        let label = base32(&octets[..length]);
        if !label.is_empty() {
            all.push(("cut short", format!("{label}.{branch}")));
        }
    }
    let longer = base32(&[&octets[..], &[0]].concat());
    all.push(("an octet too many", format!("{longer}.{branch}")));
    let three = Raw::by(hour, &PRIMES[..3]);
    let more = Raw { more: 1, ..three };
    all.push(("more residues than said", more.labels()));
    all
}

/// Those whose numbers are not.
fn wrong_numbers(hour: u32) -> Vec<(&'static str, String)> {
    let by = |moduli: &[u64]| Raw::by(hour, moduli).labels();
    let wide = |modulus, remainder| {
        let residues = vec![(modulus, remainder)];
        Raw {
            residues,
            ..Raw::wide(hour)
        }
        .labels()
    };
    let [p, q, r, _] = PRIMES;
    vec![
        ("one prime of 32 bits reveals too little", by(&[p])),
        ("descending", by(&[q, p])),
        ("not ascending at the end", by(&[p, r, q])),
        ("the same twice", by(&[p, p])),
        (
            "a common divisor",
            by(&[3 * 1_431_655_751, 3 * 1_431_655_763]),
        ),
        ("even", by(&[p - 1, q])),
        ("without the top bit", by(&[2_147_483_647, q])),
        ("nought", by(&[0, q])),
        ("a remainder as large as its modulus", wide(PRIME, PRIME)),
        ("a larger remainder", wide(PRIME, u64::MAX)),
        ("even, of 64 bits", wide(PRIME - 1, 1)),
        ("without the top bit, of 64 bits", wide(u64::MAX >> 1, 1)),
        ("nought, of 64 bits", wide(0, 0)),
    ]
}

/// Those whose labels are not.
fn wrong_labels(hour: u32) -> Vec<(&'static str, String)> {
    let wide = Raw::wide(hour);
    let label = base32(&wide.octets());
    let branch = wide.branch();
    let cut = &label[..label.len() - 1];
    let last = label.chars().last().unwrap();
    let other = 'a';
    assert_ne!(branch, other);
    // 37 characters hold a bit more than 23 octets have, which must be nought.
    let place = DIGITS.iter().position(|digit| char::from(*digit) == last);
    let stray = char::from(DIGITS[place.unwrap() | 1]);
    assert_ne!(stray, last);
    vec![
        ("another branch", format!("{label}.{other}")),
        (
            "a branch of two characters",
            format!("{label}.{branch}{branch}"),
        ),
        ("a branch that is no digit", format!("{label}.z")),
        ("bits behind the end", format!("{cut}{stray}.{branch}")),
        ("no digit", format!("{cut}w.{branch}")),
        ("a sign", format!("{cut}-.{branch}")),
        ("padding", format!("{label}===.{branch}")),
        ("a character too few", format!("{cut}.{branch}")),
        ("a character too many", format!("{label}0.{branch}")),
    ]
}

#[test]
fn every_kind_of_malformed_question_is_told_so_and_the_ledger_is_left_alone() {
    let setup = Setup::new().with("[metrics]\naddress = \"127.0.0.1:0\"");
    let answering = Answering::new(setup, "per_second = 100000\nzone_per_second = 100000");
    let monitor = answering.service.monitor();
    let hour = answering.hour.number();
    assert_eq!(
        format!("{}._sent.local.example", Raw::wide(hour).labels()),
        answering.name(DIGEST)
    );
    let wrong = [wrong_octets(hour), wrong_numbers(hour), wrong_labels(hour)].concat();
    let socket = connected(answering.at);
    let mut stream = TcpStream::connect(answering.at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut ask = |labels: &str| {
        let query = query(&format!("{labels}._sent.local.example"), EDNS);
        let by_datagram = exchange(&socket, &query);
        stream.write_all(&framed(&query)).unwrap();
        [by_datagram, next(&mut stream)]
    };
    let counts = || {
        let figures = page(monitor, "/metrics").1;
        let of = |answer: &str| {
            let name = format!("vouchsafe_ledger_questions_total{{answer=\"{answer}\"}}");
            sample(&figures, &name)
        };
        let looked_up: u64 = ["sent", "not_sent", "unknown"].map(of).iter().sum();
        (looked_up, of("malformed"))
    };
    for (kind, labels) in &wrong {
        for answer in ask(labels) {
            assert_eq!(answer[3] & 0xf, 1, "{kind}: {labels}");
            assert_eq!(answer[6..8], [0, 0], "{kind}: {labels}");
        }
    }
    let each = |all: &[(&str, String)]| 2 * u64::try_from(all.len()).unwrap();
    assert_eq!(counts(), (0, each(&wrong)));
    let good = good(hour);
    for (kind, labels) in &good {
        for answer in ask(labels) {
            assert!(says(&answer, "v=1 s=1 c="), "{kind}: {labels}");
        }
    }
    assert_eq!(counts(), (each(&good), each(&wrong)));
    answering.service.stop();
}
