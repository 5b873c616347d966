//! Searches in zones written down here, a line a record; the answers come in both orders.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};

use super::*;
use crate::residue::Policy;
use crate::time::Wall;

const OFFER: &str = "_sent.example.org TXT v=vouch1 h=sha256-128 b=24 w=336 l=80 p=none";
const ADDRESSES: &str =
    "ns.example.net A 192.0.9.1\nns.example.net AAAA 2600::1\nns2.example.net A 192.0.9.2";

fn now(seconds: u64) -> Now {
    Now {
        mono: Mono::from_millis(seconds * 1000),
        wall: Wall::from_secs(seconds),
    }
}

/// What the world says: records, `!` for trouble, `>` for an alias, `@` for aliases without end.
fn answer(world: &str, question: &Question) -> Answer {
    let name = question.name.to_string();
    let kind = question.kind.to_string();
    let rows = || {
        world.lines().filter_map(|line| {
            let (owner, rest) = line.split_once(' ')?;
            let (of, value) = rest.split_once(' ')?;
            (owner == name && of == kind).then_some(value)
        })
    };
    let names = || rows().map(|value| Name::parse(value).unwrap()).collect();
    match (rows().next(), question.kind) {
        (None, _) => Answer::bare(Lookup::NoData),
        (Some("@"), _) => Answer::bare(Lookup::AliasLimit),
        (Some("!"), _) => Answer::trouble(Trouble::ServFail),
        (Some(">"), _) => Answer {
            aliases: alloc::vec![Name::root()],
            ..Answer::bare(Lookup::Found(Records::Ns(alloc::vec![Name::root()])))
        },
        (_, RecordType::A) => Answer::bare(Lookup::Found(Records::A(
            rows().map(|value| value.parse().unwrap()).collect(),
        ))),
        (_, RecordType::Aaaa) => Answer::bare(Lookup::Found(Records::Aaaa(
            rows().map(|value| value.parse().unwrap()).collect(),
        ))),
        (_, RecordType::Ns) => Answer::bare(Lookup::Found(Records::Ns(names()))),
        (_, _) => Answer::bare(Lookup::Found(Records::Txt(
            rows().map(|value| value.as_bytes().into()).collect(),
        ))),
    }
}

fn search_from(world: &str, special: bool, last_first: bool) -> Report {
    search_by(world, special, last_first, 0)
}

fn search_by(world: &str, special: bool, last_first: bool, seed: u64) -> Report {
    let domain = Domain::parse("example.org").unwrap();
    let mut search = Search::new(&domain, '9', special, seed);
    let mut open: VecDeque<(AskId, Question)> = VecDeque::new();
    let mut input = Input::Begin;
    loop {
        for action in search.step(input, now(0)) {
            match action {
                Action::Ask(id, question) => open.push_back((id, question)),
                Action::SetTimer(_) => {}
                Action::Done(report) => return *report,
            }
        }
        let next = if last_first {
            open.pop_back()
        } else {
            open.pop_front()
        };
        let (id, question) = next.expect("a question is open until the end");
        input = Input::Answer(id, answer(world, &question));
    }
}

fn search(world: &str) -> Report {
    let report = search_from(world, false, false);
    assert_eq!(search_from(world, false, true), report, "{world}");
    report
}

fn world(lines: &[&str]) -> String {
    lines.join("\n")
}

fn addresses(report: &Report) -> String {
    match report {
        Report::Answers(_, all) => all
            .addresses()
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" "),
        other => alloc::format!("{other:?}"),
    }
}

#[test]
fn the_nearest_zone_has_the_servers() {
    let all = "192.0.9.1 2600::1";
    for zone in [
        "9._sent.example.org",
        "_sent.example.org",
        "example.org",
        "org",
    ] {
        let near = alloc::format!("{zone} NS ns.example.net");
        let above = "com NS ns2.example.net\norg NS ns.example.net";
        let given = search(&world(&[OFFER, &near, above, ADDRESSES]));
        assert_eq!(addresses(&given), all, "{zone}");
    }
    let two = "example.org NS ns.example.net\nexample.org NS ns2.example.net\norg NS else.example";
    assert_eq!(
        addresses(&search(&world(&[OFFER, two, ADDRESSES]))),
        "192.0.9.1 192.0.9.2 2600::1"
    );
    // An alias is no zone.
    let alias = "_sent.example.org NS >\nexample.org NS ns.example.net";
    assert_eq!(addresses(&search(&world(&[OFFER, alias, ADDRESSES]))), all);
    let Report::Answers(offer, _) = search(&world(&[OFFER, two, ADDRESSES])) else {
        panic!("no answer");
    };
    assert_eq!((offer.window, offer.policy), (336, Policy::None));
}

#[test]
fn who_offers_nothing_takes_no_part() {
    for offer in [
        "",
        "_sent.example.org TXT v=spf1 -all",
        "_sent.example.org TXT v=vouch2 x",
    ] {
        assert_eq!(search(offer), Report::Absent);
    }
}

#[test]
fn trouble_is_no_conclusion() {
    let dns = Report::NotKnown(Why::Dns(Trouble::ServFail));
    let ns = "example.org NS ns.example.net";
    assert_eq!(search("_sent.example.org TXT !"), dns);
    let aliases = Report::NotKnown(Why::Aliases);
    assert_eq!(search("_sent.example.org TXT @"), aliases);
    assert_eq!(
        search(&world(&[OFFER, ns, "_sent.example.org NS !", ADDRESSES])),
        dns
    );
    assert_eq!(search(&world(&[OFFER, ns, "ns.example.net A !"])), dns);
    assert_eq!(search(OFFER), Report::NotKnown(Why::NoServer));
    assert_eq!(
        search(&world(&[OFFER, ns])),
        Report::NotKnown(Why::NoServer)
    );
    // Above the zone it is nothing to us; and one address will do.
    let beside = "org NS !\nns.example.net AAAA !\nns.example.net A 192.0.9.1";
    assert_eq!(
        addresses(&search(&world(&[OFFER, ns, beside]))),
        "192.0.9.1"
    );
}

#[test]
fn addresses_of_special_use_are_not_asked_unless_allowed() {
    let world = world(&[
        OFFER,
        "example.org NS ns.example.net",
        "ns.example.net A 127.0.0.1",
    ]);
    assert_eq!(search(&world), Report::NotKnown(Why::SpecialUse));
    assert_eq!(addresses(&search_from(&world, true, false)), "127.0.0.1");
    for address in [
        "0.1.2.3",
        "10.1.2.3",
        "100.64.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.9",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "2002:a00:1::",
        "3fff::1",
    ] {
        assert!(is_special_use(address.parse().unwrap()), "{address}");
    }
    for address in [
        "1.1.1.1",
        "100.128.0.1",
        "192.0.9.1",
        "198.20.0.1",
        "223.255.255.1",
        "2600::1",
        "2001:4860::1",
    ] {
        assert!(!is_special_use(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn each_server_comes_first_for_some_messages_and_always_for_the_same() {
    let world = world(&[
        OFFER,
        "example.org NS ns.example.net\nexample.org NS ns2.example.net",
        ADDRESSES,
    ]);
    let mut first: BTreeMap<IpAddr, u32> = BTreeMap::new();
    for seed in 0..300 {
        let report = search_by(&world, false, false, seed);
        assert_eq!(search_by(&world, false, true, seed), report, "{seed}");
        let Report::Answers(_, all) = report else {
            panic!("{report:?}");
        };
        let all = all.addresses();
        assert_eq!(all.len(), 3);
        *first.entry(all[0]).or_default() += 1;
    }
    assert!(
        first.len() == 3 && first.values().all(|count| *count > 50),
        "{first:?}"
    );
}

#[test]
fn one_silent_address_does_not_hide_the_others() {
    let domain = Domain::parse("example.org").unwrap();
    let world = world(&[OFFER, "example.org NS ns.example.net", ADDRESSES]);
    for (silent, expected) in [
        (&[RecordType::Aaaa][..], "192.0.9.1"),
        (&[RecordType::A], "2600::1"),
        (&[RecordType::A, RecordType::Aaaa], "NotKnown(Dns(Timeout))"),
        (&[RecordType::Ns], "NotKnown(Dns(Timeout))"),
    ] {
        let mut search = Search::new(&domain, '9', false, 0);
        let mut open: VecDeque<_> = search.step(Input::Begin, now(0)).into();
        while let Some(action) = open.pop_front() {
            match action {
                Action::Ask(_, question) if silent.contains(&question.kind) => {}
                Action::Ask(id, question) => {
                    let answer = answer(&world, &question);
                    open.extend(search.step(Input::Answer(id, answer), now(0)));
                }
                Action::SetTimer(_) => {}
                Action::Done(report) => panic!("too early: {report:?}"),
            }
        }
        let Some(Action::Done(report)) = search.step(Input::TimerFired, now(6)).pop() else {
            panic!("it goes on");
        };
        assert_eq!(addresses(&report), expected);
    }
}

#[test]
fn a_silent_zone_above_the_nearest_is_not_waited_for() {
    let domain = Domain::parse("example.org").unwrap();
    for (zone, silent, expected) in [
        ("_sent.example.org", "example.org", "192.0.9.1 2600::1"),
        ("example.org", "org", "192.0.9.1 2600::1"),
        // One that is nearer could have others.
        ("example.org", "_sent.example.org", ""),
    ] {
        let near = alloc::format!("{zone} NS ns.example.net");
        let world = world(&[OFFER, &near, ADDRESSES]);
        let mut search = Search::new(&domain, '9', false, 0);
        let mut open: VecDeque<_> = search.step(Input::Begin, now(0)).into();
        let mut given = String::new();
        while let Some(action) = open.pop_front() {
            match action {
                Action::Ask(_, question)
                    if question.kind == RecordType::Ns && question.name.to_string() == silent => {}
                Action::Ask(id, question) => {
                    let answer = answer(&world, &question);
                    open.extend(search.step(Input::Answer(id, answer), now(0)));
                }
                Action::SetTimer(_) => {}
                Action::Done(report) => given = addresses(&report),
            }
        }
        assert_eq!(given, expected, "{zone} {silent}");
    }
}

#[test]
fn what_is_late_ends_it() {
    let domain = Domain::parse("example.org").unwrap();
    let mut search = Search::new(&domain, '9', false, 0);
    let begun = search.step(Input::Begin, now(0));
    assert!(matches!(
        begun[..],
        [Action::Ask(AskId(0), _), Action::SetTimer(_)]
    ));
    let early = search.step(Input::TimerFired, now(1));
    assert!(matches!(early[..], [Action::SetTimer(_)]));
    let Some(Action::Done(report)) = search.step(Input::TimerFired, now(6)).pop() else {
        panic!("it goes on");
    };
    assert_eq!(*report, Report::NotKnown(Why::Dns(Trouble::Timeout)));
    let late = Input::Answer(AskId(0), Answer::bare(Lookup::NoData));
    assert!(search.step(late, now(7)).is_empty());
    assert!(search.step(Input::TimerFired, now(8)).is_empty());
    // Unasked for.
    let mut search = Search::new(&domain, '9', false, 0);
    search.step(Input::Begin, now(0));
    assert!(
        search
            .step(
                Input::Answer(AskId(7), Answer::bare(Lookup::NoData)),
                now(0)
            )
            .is_empty()
    );
}

#[test]
fn a_name_that_is_too_long_is_not_asked() {
    let label = "a".repeat(60);
    let long = alloc::format!("{label}.{label}.{label}.{label}.example");
    let Ok(domain) = Domain::parse(&long) else {
        panic!("{} octets", long.len());
    };
    let done = Search::new(&domain, '9', false, 0)
        .step(Input::Begin, now(0))
        .pop();
    assert!(
        matches!(done, Some(Action::Done(report)) if *report == Report::NotKnown(Why::TooLong))
    );
}
