//! The MAIL-FROM walk on answers of any shape: it always ends, once, with a reply to match.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::dns::{Answer, Lookup, Mx, Name, Question, RecordType, Records, Trouble};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::Machine;
use vouchsafe_proto::verify::mail_from::{Action, Check, Input, Request};

/// Few names, so that they meet again.
const NAMES: [&str; 8] = [
    "",
    "a.example",
    "b.example",
    "mail-from.a.example",
    "mail-from.b.example",
    "mail-from.mail-from.a.example",
    "c.a.example",
    "mail-from.c.a.example",
];

fn name(u: &mut Unstructured<'_>) -> arbitrary::Result<Name> {
    Ok(Name::parse(u.choose(&NAMES)?).expect("a name"))
}

fn records(u: &mut Unstructured<'_>, kind: RecordType) -> arbitrary::Result<Records> {
    let count = u.int_in_range(1..=24)?;
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
                        preference: u.int_in_range(0..=1)?,
                        exchange: name(u)?,
                    })
                })
                .collect::<arbitrary::Result<_>>()?,
        ),
        RecordType::Tlsa => Records::Tlsa(Vec::new()),
        RecordType::Ns => Records::Ns(Vec::new()),
        RecordType::Ptr => Records::Ptr(times.map(|_| name(u)).collect::<arbitrary::Result<_>>()?),
        RecordType::Txt => Records::Txt(
            times
                .map(|_| {
                    Ok(if u.arbitrary()? {
                        Box::from(&b"v=MFMX1"[..])
                    } else {
                        Box::<[u8]>::arbitrary(u)?
                    })
                })
                .collect::<arbitrary::Result<_>>()?,
        ),
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

fn walk(u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let client: IpAddr = if u.arbitrary()? {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::from(1).into()
    };
    let reverse_path = *u.choose(&["x@a.example", "", "x@b.example", "x"])?;
    let mut check = Check::new(Request {
        reverse_path: ReversePath::parse_inside(reverse_path).expect("a path"),
        helo: Box::from(*u.choose(&["a.example", "x", "[192.0.2.1]"])?),
        client,
        in_perimeter: false,
        sibling: Box::from("abcdefghi"),
    });
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
                    let refused = report.refusal().map(|reply| reply.code());
                    assert!(matches!(refused, None | Some(450 | 550)));
                    return Ok(());
                }
            }
        }
    }
    panic!("the walk does not end");
}

fuzz_target!(|octets: &[u8]| {
    // Octets that run out end the world, not the walk.
    let _ = walk(&mut Unstructured::new(octets));
});
