//! Macros: what parses is written as text that parses to the same; filled in, it asks only for
//! names, and explains only in short printable text.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Answer, Lookup, Name, Question, RecordType, Records};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::Machine;
use vouchsafe_proto::verify::spf::limits::{MAX_EXPLANATION, MAX_NAME};
use vouchsafe_proto::verify::spf::{
    Action, Check, Input, MacroString, Report, Request, Sender, SpfResult,
};

/// Everything that a macro can be given, and the texts that use them.
#[derive(Arbitrary, Debug)]
struct Given<'a> {
    six: bool,
    local_part: &'a str,
    helo: &'a str,
    receiver: &'a str,
    explanation: &'a [u8],
    spec: &'a str,
}

/// A record with the text in it, an explanation at one name, a client's name at another.
fn answer(given: &Given<'_>, question: &Question) -> Answer {
    let text = |text: &[u8]| Lookup::Found(Records::Txt(vec![text.into()]));
    let lookup = match (question.name.as_str(), question.kind) {
        ("a.example", RecordType::Txt) => {
            text(format!("v=spf1 exists:{} -all exp=e.example", given.spec).as_bytes())
        }
        ("e.example", RecordType::Txt) => text(given.explanation),
        (_, RecordType::Ptr) => Lookup::Found(Records::Ptr(vec![
            Name::parse("c.a.example").expect("a name"),
        ])),
        ("c.a.example", RecordType::A) => Lookup::Found(Records::A(vec![[192, 0, 2, 1].into()])),
        _ => Lookup::NxDomain,
    };
    assert!(question.name.wire_length() <= MAX_NAME + 2 && !question.name.is_root());
    Answer::bare(lookup)
}

fn check(given: &Given<'_>) -> Report {
    let client = if given.six {
        "2001:db8::1"
    } else {
        "192.0.2.1"
    };
    let mut check = Check::new(Request {
        sender: Sender::Address {
            local_part: given.local_part.into(),
            domain: Domain::parse("a.example").expect("a domain"),
        },
        helo: given.helo.into(),
        client: client.parse().expect("an address"),
        receiver: given.receiver.into(),
    });
    let now = Now {
        mono: Mono::from_millis(0),
        wall: Wall::from_millis(0),
    };
    let mut inputs = vec![Input::Begin];
    while let Some(input) = inputs.pop() {
        for action in check.step(input, now) {
            match action {
                Action::Ask(id, question) => {
                    inputs.push(Input::Answer(id, answer(given, &question)));
                }
                Action::SetTimer(_) => {}
                Action::Done(report) => return *report,
            }
        }
    }
    panic!("the check does not end");
}

fuzz_target!(|octets: &[u8]| {
    let Ok(given) = Given::arbitrary_take_rest(Unstructured::new(octets)) else {
        return;
    };
    let parsed = MacroString::parse_domain_spec(given.spec);
    if let Ok(spec) = &parsed {
        assert_eq!(
            MacroString::parse_domain_spec(&spec.to_string()).as_ref(),
            Ok(spec)
        );
    }
    if let Ok(text) = MacroString::parse_explanation(given.explanation) {
        assert_eq!(
            MacroString::parse_explanation(text.to_string().as_bytes()),
            Ok(text)
        );
    }
    let report = check(&given);
    if parsed.is_ok() && !given.spec.contains(' ') && given.spec.len() < 8000 {
        assert!(matches!(
            report.result,
            SpfResult::Fail | SpfResult::Pass | SpfResult::PermError
        ));
    }
    if let Some(said) = &report.explanation {
        assert!(said.len() <= MAX_EXPLANATION);
        assert!(said.bytes().all(|octet| matches!(octet, b' '..=b'~')));
    }
});
