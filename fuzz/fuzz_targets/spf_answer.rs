//! The SPF check on answers of any shape, in any order: it always ends, once, within its limits.

#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records, Trouble};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::Machine;
use vouchsafe_proto::verify::spf::limits::{MAX_LOOKUPS, MAX_VOID};
use vouchsafe_proto::verify::spf::{Action, Check, Input, Report, Request, SpfResult};

/// Few names, so that they meet again.
const NAMES: [&str; 6] = [
    "",
    "a.x",
    "b.x",
    "c.a.x",
    "1.2.0.192.in-addr.arpa",
    "\\046\\255.b.x",
];

/// Terms that records are made of.
const TERMS: [&str; 20] = [
    "a",
    "mx",
    "ptr",
    "-all",
    "?all",
    "mx/24//64",
    "ip4:192.0.2.0/24",
    "ip6:::/0",
    "a:b.x",
    "mx:c.a.x",
    "include:b.x",
    "-include:c.a.x",
    "redirect=a.x",
    "redirect=b.x",
    "exists:%{ir}.%{v}.b.x",
    "a:%{h}",
    "exp=b.x",
    "exists:%{p}",
    "ptr:a.x",
    "include:%{l}.a.x",
];

/// More questions than the limits allow.
const MANY_QUESTIONS: u32 = 160;

fn name(u: &mut Unstructured<'_>) -> arbitrary::Result<Name> {
    Ok(Name::parse(u.choose(&NAMES)?).expect("a name"))
}

fn text(u: &mut Unstructured<'_>) -> arbitrary::Result<Box<[u8]>> {
    if u.ratio(1, 6)? {
        return Box::<[u8]>::arbitrary(u);
    }
    let mut text = String::from("v=spf1");
    for _ in 0..u.int_in_range(0..=6)? {
        text.push(' ');
        text.push_str(u.choose(&TERMS)?);
    }
    Ok(text.into_bytes().into())
}

fn records(u: &mut Unstructured<'_>, kind: RecordType) -> arbitrary::Result<Records> {
    let count = u.int_in_range(1..=12)?;
    let times = 0..count;
    Ok(match kind {
        RecordType::A => Records::A(
            times
                .map(|_| Ok(Ipv4Addr::new(192, 0, 2, u.int_in_range(0..=3)?)))
                .collect::<arbitrary::Result<_>>()?,
        ),
        RecordType::Aaaa => Records::Aaaa(
            times
                .map(|_| Ok(Ipv6Addr::from(u128::from(u.int_in_range(0..=3u8)?))))
                .collect::<arbitrary::Result<_>>()?,
        ),
        RecordType::Mx => Records::Mx(
            times
                .map(|_| {
                    Ok(Mx {
                        preference: u.int_in_range(0..=20)?,
                        exchange: name(u)?,
                    })
                })
                .collect::<arbitrary::Result<_>>()?,
        ),
        RecordType::Tlsa => Records::Tlsa(Vec::new()),
        RecordType::Ns => Records::Ns(Vec::new()),
        RecordType::Ptr => Records::Ptr(times.map(|_| name(u)).collect::<arbitrary::Result<_>>()?),
        RecordType::Txt => {
            let count = count.min(2);
            Records::Txt(
                (0..count)
                    .map(|_| text(u))
                    .collect::<arbitrary::Result<_>>()?,
            )
        }
    })
}

fn answer(u: &mut Unstructured<'_>, question: &Question) -> arbitrary::Result<Answer> {
    let lookup = match u.int_in_range(0..=9)? {
        0 => Lookup::NxDomain,
        1 => Lookup::NoData,
        2 => Lookup::AliasLimit,
        3 => Lookup::Trouble(*u.choose(&[Trouble::ServFail, Trouble::Timeout, Trouble::Bogus])?),
        // Records of another type than asked for: a driver's mistake must not be a panic.
        4 => {
            let kind = *u.choose(&[
                RecordType::A,
                RecordType::Aaaa,
                RecordType::Mx,
                RecordType::Txt,
                RecordType::Ptr,
            ])?;
            Lookup::Found(records(u, kind)?)
        }
        _ => Lookup::Found(records(u, question.kind)?),
    };
    let aliases = (0..u.int_in_range(0..=9)?)
        .map(|_| name(u))
        .collect::<arbitrary::Result<_>>()?;
    Ok(Answer {
        lookup,
        aliases,
        ttl: u.arbitrary()?,
        age: u.arbitrary()?,
        secure: u.arbitrary()?,
        signed_labels: u.arbitrary()?,
    })
}

/// What must hold of every report.
fn hold(report: &Report) {
    assert!(report.questions <= MANY_QUESTIONS);
    assert!(report.lookups <= MAX_LOOKUPS + 1 && report.void_lookups <= MAX_VOID + 1);
    assert_eq!(
        report.problem.is_some(),
        report.result == SpfResult::PermError
    );
    assert!(report.explanation.is_none() || report.result == SpfResult::Fail);
    assert!(report.result != SpfResult::Pass || report.matched.is_some());
    assert!(report.result == SpfResult::Pass || !report.proves_if_mail_from_silent());
    assert!(!report.sentence().is_empty());
}

fn check(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let reverse_path = ReversePath::parse_inside(u.choose(&["x@a.x", "", "x.y@b.x", "x"])?);
    let client = if u.arbitrary()? {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::from(1).into()
    };
    let helo = *u.choose(&["a.x", "x", "[192.0.2.1]"])?;
    let mut check = Check::new(Request::new(
        &reverse_path.expect("a path"),
        helo,
        client,
        "us.x",
    ));
    let now = |millis| Now {
        mono: Mono::from_millis(millis),
        wall: Wall::from_millis(millis),
    };
    let mut open = Vec::new();
    let mut inputs = vec![Input::Begin];
    // Milliseconds; a timer that runs out has waited for longer than any check may take.
    let mut time = 0;
    for _ in 0..2000 {
        let Some(input) = inputs.pop() else {
            // The check waits: answer one of its questions, any of them, or let time run out.
            if open.is_empty() || u.ratio(1, 50)? {
                time += 60_000;
                inputs.push(Input::TimerFired);
                continue;
            }
            let at = u.choose_index(open.len())?;
            let (id, question) = open.swap_remove(at);
            let answer = answer(u, &question)?;
            inputs.push(Input::Answer(id, answer));
            continue;
        };
        for action in check.step(input, now(time)) {
            match action {
                Action::Ask(id, question) => open.push((id, question)),
                Action::SetTimer(_) => {}
                Action::Done(report) => {
                    hold(&report);
                    return Ok(());
                }
            }
        }
    }
    panic!("the check does not end");
}

fuzz_target!(|octets: &[u8]| {
    // Octets that run out end the world, not the check.
    let _ = check(&mut Unstructured::new(octets));
});
