//! What must hold in any world, tried in small ones that are full of collisions: few names, few
//! addresses, loops, trouble, broken records.

use std::collections::BTreeSet;

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records, Trouble};
use vouchsafe_proto::verify::spf::{MacroString, Record, Report, Request, SpfResult};

use crate::world::{Silence, run};

/// Random worlds; each is checked for several clients.
const WORLDS: u64 = 3000;

/// More questions than the limits allow: a record and eleven more, ten terms of at most eleven
/// questions, a client's names, an explanation.
const MANY_QUESTIONS: u32 = 160;

/// A random sequence that a seed repeats (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let next = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        usize::try_from(next >> 33).unwrap() % bound.max(1)
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const NAMES: [&str; 6] = ["a.x", "b.x", "c.x", "d.x", "e.x", "f.x"];

const CLIENTS: [&str; 4] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];

/// Pieces of records: good ones more often than bad ones.
const TERMS: [&str; 30] = [
    "a",
    "mx",
    "ptr",
    "-all",
    "~all",
    "?a",
    "-mx/24//64",
    "ip4:192.0.2.1",
    "-ip4:192.0.2.0/24",
    "ip6:2001:db8::/64",
    "a:b.x",
    "a:c.x",
    "mx:d.x",
    "include:b.x",
    "include:c.x",
    "include:d.x",
    "-include:e.x",
    "redirect=f.x",
    "redirect=a.x",
    "exists:%{l}.x",
    "exists:%{ir}.%{v}.x",
    "a:%{h}",
    "exp=e.x",
    "exp=%{p}.x",
    "include:%{p}",
    "ptr:x.x",
    "exists:%{l}%{o}.x",
    "moo=%{t}",
    "a:b..x",
    "all.",
];

fn record(random: &mut Random) -> String {
    let mut text = String::from("v=spf1");
    let length = random.below(6);
    for _ in 0..length {
        text.push(' ');
        // The last is the one that breaks a record.
        let bound = if random.below(12) == 0 {
            TERMS.len()
        } else {
            TERMS.len() - 1
        };
        text.push_str(TERMS[random.below(bound)]);
    }
    text
}

/// The answer that a world, which is a seed, gives to a question; `None` never comes.
fn answer(seed: u64, trouble: usize, question: &Question) -> Answer {
    let text = format!("{question}");
    let hash = text.bytes().fold(seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut random = Random::new(hash);
    let failing = random.below(100) < trouble;
    let mut answer = Answer::bare(definite(&mut random, question.kind));
    if failing {
        answer.lookup = Lookup::Trouble(Trouble::ServFail);
    }
    answer.ttl = 1 + u32::try_from(random.below(1000)).unwrap();
    answer
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn definite(random: &mut Random, kind: RecordType) -> Lookup {
    match random.below(12) {
        0 => return Lookup::NxDomain,
        1 => return Lookup::NoData,
        2 if kind != RecordType::Txt => return Lookup::AliasLimit,
        _ => {}
    }
    let most = if random.below(9) == 0 { 14 } else { 3 };
    let count = 1 + random.below(most);
    Lookup::Found(match kind {
        RecordType::A => Records::A(
            (0..count)
                .map(|_| [192, 0, 2, u8::try_from(random.below(6)).unwrap()].into())
                .collect(),
        ),
        RecordType::Aaaa => Records::Aaaa(
            (0..count)
                .map(|_| format!("2001:db8::{}", random.below(4)).parse().unwrap())
                .collect(),
        ),
        RecordType::Mx => Records::Mx(
            (0..count)
                .map(|_| Mx {
                    preference: u16::try_from(random.below(20)).unwrap(),
                    exchange: name(random.of(&["a.x", "b.x", "c.x", "."])),
                })
                .collect(),
        ),
        RecordType::Ptr => Records::Ptr((0..count).map(|_| name(random.of(&NAMES))).collect()),
        RecordType::Tlsa => Records::Tlsa(Vec::new()),
        RecordType::Ns => Records::Ns(Vec::new()),
        RecordType::Txt => Records::Txt(
            (0..=random.below(8) / 7)
                .map(|_| match random.below(8) {
                    0 => b"free text %{l} %{p}".as_slice().into(),
                    1 => b"%".as_slice().into(),
                    _ => record(random).into_bytes().into(),
                })
                .collect(),
        ),
    })
}

/// The same answer with its records the other way round; PTR has an order that counts.
fn reversed(mut answer: Answer) -> Answer {
    if let Lookup::Found(records) = &mut answer.lookup {
        match records {
            Records::A(list) => list.reverse(),
            Records::Aaaa(list) => list.reverse(),
            Records::Mx(list) => list.reverse(),
            Records::Txt(list) => list.reverse(),
            Records::Tlsa(list) => list.reverse(),
            Records::Ptr(_) | Records::Ns(_) => {}
        }
    }
    answer
}

fn request(client: &str) -> Request {
    let reverse_path = ReversePath::parse_inside("u@a.x").unwrap();
    Request::new(&reverse_path, "b.x", client.parse().unwrap(), "us.x")
}

fn check(seed: u64, trouble: usize, client: &str) -> Report {
    let answer = |question: &Question| Some(answer(seed, trouble, question));
    run(request(client), answer, Silence::GivenUp, |_| 0)
}

#[test]
fn a_report_hangs_on_what_is_said_and_not_on_when_or_in_which_order() {
    let mut results = BTreeSet::new();
    for seed in 0..WORLDS {
        for client in CLIENTS {
            let straight = check(seed, 5, client);
            let mut random = Random::new(seed);
            let answer = |question: &Question| Some(reversed(answer(seed, 5, question)));
            let mixed = run(request(client), answer, Silence::GivenUp, |n| {
                random.below(n)
            });
            assert_eq!(straight, mixed, "seed {seed}, client {client}");
            assert!(straight.questions < MANY_QUESTIONS, "seed {seed}");
            assert!(
                straight.lookups <= 11 && straight.void_lookups <= 3,
                "seed {seed}"
            );
            results.insert(straight.result);
        }
    }
    assert_eq!(
        results.len(),
        7,
        "the worlds have all results in them: {results:?}"
    );
}

#[test]
fn no_firm_result_rests_on_trouble() {
    let (mut firm, mut passed_over) = (0, 0);
    for seed in 0..WORLDS {
        for client in CLIENTS {
            let with = check(seed, 15, client);
            if with.result == SpfResult::TempError {
                assert!(!with.trouble.is_empty(), "seed {seed}");
                continue;
            }
            let troubled = with.steps.iter().any(|step| {
                let answer = step.answer.as_ref().unwrap();
                matches!(answer.lookup, Lookup::Trouble(_))
            });
            if with.is_firm() && troubled {
                // Whatever those questions would have brought, it is the same.
                let without = check(seed, 0, client);
                assert_eq!(with.result, without.result, "seed {seed}, client {client}");
                firm += 1;
            }
            passed_over += u32::from(!with.is_firm());
        }
    }
    assert!(
        firm > 50 && passed_over > 50,
        "{firm} firm, {passed_over} not"
    );
}

#[test]
fn no_answer_makes_it_panic_or_run_on() {
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let client = random.of(&CLIENTS);
        let junk = |question: &Question| {
            let mut random =
                Random::new(seed ^ u64::try_from(question.name.as_str().len()).unwrap());
            let kinds = [
                RecordType::A,
                RecordType::Aaaa,
                RecordType::Mx,
                RecordType::Txt,
                RecordType::Ptr,
            ];
            match random.below(8) {
                0 => None,
                1 => Some(Answer::bare(Lookup::Found(Records::Txt(Vec::new())))),
                2 => Some(Answer::bare(definite(
                    &mut random,
                    kinds[usize::try_from(seed).unwrap() % 5],
                ))),
                _ => Some(answer(seed, 3, question)),
            }
        };
        let report = run(request(client), junk, Silence::Lasting, |n| random.below(n));
        assert!(report.questions < MANY_QUESTIONS);
        assert!(!report.sentence().is_empty());
    }
}

#[test]
fn what_a_record_is_written_as_parses_to_the_same() {
    let pieces = [
        "a",
        "mx",
        "ptr",
        "all",
        "ip4:",
        "ip6:",
        "include:",
        "exists:",
        "redirect=",
        "exp=",
        "x=",
        ":",
        "/",
        "//",
        "24",
        "0",
        "129",
        "1.2.3.4",
        "::1",
        "::ffff:1.2.3.4",
        "%{",
        "}",
        "d",
        "I",
        "l1r-",
        "%%",
        "%_",
        "%-",
        ".com",
        ".x",
        "-",
        "+",
        "~",
        "?",
        " ",
        "  ",
        ".",
        "%{d}",
        "%{H2r.-}",
        "_",
    ];
    let mut good = 0;
    for seed in 0..200_000 {
        let mut random = Random::new(seed);
        let mut text = String::from("v=spf1 ");
        for _ in 0..=random.below(6) {
            text.push_str(random.of(&pieces));
        }
        let Ok(record) = Record::parse(text.as_bytes()) else {
            continue;
        };
        let written = record.to_string();
        assert_eq!(
            Record::parse(written.as_bytes()),
            Ok(record),
            "{text:?} as {written:?}"
        );
        good += 1;
    }
    assert!(good > 10_000, "{good}");
}

#[test]
fn a_name_written_into_a_record_is_that_name() {
    for text in [
        "example.org",
        "100%.example.org",
        "_spf.%{d}.example.org",
        "foo:bar/baz.example.org",
    ] {
        let name = Name::parse(text).unwrap();
        let spec = MacroString::from(&name);
        let parsed = MacroString::parse_domain_spec(&spec.to_string()).unwrap();
        assert_eq!(parsed.to_string(), spec.to_string(), "{text}");
        assert_eq!(parsed.as_name(), Some(name), "{text}");
    }
}
