//! What a report keeps of the way to its result, and what it may be used for.

use std::net::IpAddr;

use vouchsafe_proto::addr::{Domain, ReversePath};
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::verify::spf::{
    Identity, MechanismKind, ProblemKind, Report, Request, SpfResult, SyntaxErrorKind,
};

use crate::world::{Record, Silence, World, name_of, run};

/// A world of these texts and records.
fn world(texts: &[(&str, &str)], more: &[(&str, Record)]) -> World {
    let mut world = World::default();
    for (name, text) in texts {
        world.put(name, Record::Txt(text.as_bytes().to_vec()));
    }
    for (name, record) in more {
        world.put(name, record.clone());
    }
    world
}

fn a(address: &str) -> Record {
    Record::A(address.parse().unwrap())
}

fn check(world: &World, client: &str, mail_from: &str) -> Report {
    let reverse_path = ReversePath::parse_inside(mail_from).unwrap();
    let client: IpAddr = client.parse().unwrap();
    let request = Request::new(&reverse_path, "mx.client.example", client, "us.example");
    run(
        request,
        |question| world.answer(question),
        Silence::GivenUp,
        |_| 0,
    )
}

#[test]
fn a_match_keeps_the_way_to_it() {
    let world = world(
        &[
            ("a.example", "v=spf1 redirect=b.example"),
            ("b.example", "v=spf1 include:c.example -all"),
            ("c.example", "v=spf1 mx:d.example/28 -all"),
        ],
        &[
            ("d.example", Record::Mx(0, name_of("host.example"))),
            ("host.example", a("192.0.2.1")),
        ],
    );
    let report = check(&world, "192.0.2.9", "u@a.example");
    assert_eq!(report.result, SpfResult::Pass);
    let matched = report.matched.as_ref().unwrap();
    assert_eq!(&*matched.directive, "mx:d.example/28");
    assert_eq!(matched.mechanism, MechanismKind::Mx);
    assert_eq!(matched.owner, Name::parse("c.example").unwrap());
    let chain: Vec<_> = matched
        .chain
        .iter()
        .map(|link| (link.owner.as_str(), &*link.term))
        .collect();
    assert_eq!(
        chain,
        [
            ("a.example", "redirect=b.example"),
            ("b.example", "include:c.example")
        ]
    );
    assert_eq!(matched.network.unwrap().to_string(), "192.0.2.0/28");
    assert!(report.proves_if_mail_from_silent());
    assert_eq!(
        (report.lookups, report.void_lookups, report.questions),
        (3, 0, 5)
    );
    assert_eq!(report.steps.len(), 5);
    assert_eq!(report.keep_for(), 300);
    assert_eq!(
        report.sentence(),
        "192.0.2.9 may send for a.example: mx:d.example/28 in the record of c.example leads to \
         192.0.2.0/28, by include:c.example in that of b.example, by redirect=b.example in that \
         of a.example"
    );
}

#[test]
fn only_a_pass_that_names_the_client_proves() {
    let records: &[(&str, bool)] = &[
        ("ip4:192.0.2.1", true),
        ("ip4:192.0.0.0/16", true),
        ("ip4:192.0.0.0/15", false),
        ("a", true),
        ("a/16", true),
        ("a/15", false),
        ("mx", true),
        ("all", false),
        ("ptr:host.example", false),
        ("exists:host.example", false),
        ("include:narrow.example", true),
        ("include:everybody.example", false),
        ("include:named.example", false),
        ("redirect=everybody.example", false),
        ("a:%{h}", false),
        ("mx:%{p}", false),
        ("include:%{h1}.narrow.example", false),
        ("?ip4:192.0.2.1", false),
        ("~ip4:192.0.2.1", false),
        ("-ip4:192.0.2.1", false),
    ];
    for (terms, proves) in records {
        let text = format!("v=spf1 {terms}");
        let world = world(
            &[
                ("a.example", &text),
                ("narrow.example", "v=spf1 ip4:192.0.2.0/24 -all"),
                ("example.narrow.example", "v=spf1 ip4:192.0.2.0/24 -all"),
                ("everybody.example", "v=spf1 +all"),
                ("named.example", "v=spf1 ptr:host.example"),
            ],
            &[
                ("a.example", a("192.0.2.1")),
                ("a.example", Record::Mx(0, name_of("host.example"))),
                ("host.example", Record::Mx(0, name_of("host.example"))),
                ("host.example", a("192.0.2.1")),
                ("mx.client.example", a("192.0.2.1")),
                (
                    "1.2.0.192.in-addr.arpa",
                    Record::Ptr(name_of("host.example")),
                ),
            ],
        );
        let report = check(&world, "192.0.2.1", "u@a.example");
        assert!(report.matched.is_some(), "{terms}");
        assert_eq!(report.proves_if_mail_from_silent(), *proves, "{terms}");
        assert!(report.is_firm(), "{terms}");
    }
    let six = world(
        &[
            ("a.example", "v=spf1 ip6:2001:db8::/32"),
            ("b.example", "v=spf1 ip6:2001:db8::/31"),
        ],
        &[],
    );
    assert!(check(&six, "2001:db8::1", "u@a.example").proves_if_mail_from_silent());
    let wide = check(&six, "2001:db8::1", "u@b.example");
    assert_eq!(wide.result, SpfResult::Pass);
    assert!(!wide.proves_if_mail_from_silent());
}

#[test]
fn through_all_and_ptr_shows_behind_includes() {
    let world = world(
        &[
            ("a.example", "v=spf1 include:b.example -all"),
            ("b.example", "v=spf1 include:c.example"),
            ("c.example", "v=spf1 all"),
            ("p.example", "v=spf1 include:q.example"),
            ("q.example", "v=spf1 ptr:q.example"),
        ],
        &[
            (
                "1.2.0.192.in-addr.arpa",
                Record::Ptr(name_of("x.q.example")),
            ),
            ("x.q.example", a("192.0.2.1")),
        ],
    );
    let matched = |from| check(&world, "192.0.2.1", from).matched.unwrap();
    assert!(matched("u@a.example").is_through_all());
    assert_eq!(matched("u@a.example").chain.len(), 2);
    assert!(matched("u@p.example").is_through_ptr());
}

#[test]
fn a_fail_over_silent_reverse_dns_is_not_firm() {
    let mut world = world(
        &[
            ("a.example", "v=spf1 ptr -all"),
            ("b.example", "v=spf1 ptr ip4:192.0.2.1"),
        ],
        &[],
    );
    world.silence("1.2.0.192.in-addr.arpa");
    let report = check(&world, "192.0.2.1", "u@a.example");
    assert_eq!(report.result, SpfResult::Fail);
    assert!(!report.is_firm());
    assert_eq!(report.keep_for(), 0);
    assert_eq!(report.trouble.len(), 1);
    assert!(!check(&world, "192.0.2.1", "u@b.example").proves_if_mail_from_silent());
    assert!(check(&world, "192.0.2.2", "u@a.example").is_firm());
}

#[test]
fn a_problem_says_where() {
    let cases = [
        (
            "v=spf1 include:bad.example",
            "bad.example",
            ProblemKind::Syntax(SyntaxErrorKind::PrefixLength),
            Some(19),
        ),
        (
            "v=spf1 a:x..example",
            "a.example",
            ProblemKind::BadName,
            None,
        ),
        (
            "v=spf1 include:no.example",
            "a.example",
            ProblemKind::NoRecord,
            None,
        ),
        (
            "v=spf1 redirect=no.example",
            "a.example",
            ProblemKind::NoRecord,
            None,
        ),
        (
            "v=spf1 a:n1.example a:n2.example a:n3.example",
            "a.example",
            ProblemKind::Void,
            None,
        ),
        (
            "v=spf1 include:a.example",
            "a.example",
            ProblemKind::Lookups,
            None,
        ),
    ];
    for (text, owner, kind, at) in cases {
        let world = world(
            &[
                ("a.example", text),
                ("bad.example", "v=spf1 ip4:1.2.3.4/99"),
            ],
            &[],
        );
        let report = check(&world, "192.0.2.1", "u@a.example");
        assert_eq!(report.result, SpfResult::PermError, "{text}");
        let problem = report.problem.as_ref().unwrap();
        assert_eq!(
            (problem.owner.as_str(), problem.kind, problem.at),
            (owner, kind, at),
            "{text}"
        );
        assert!(report.sentence().contains(owner), "{}", report.sentence());
        assert!(!report.proves_if_mail_from_silent());
    }
}

#[test]
fn every_result_has_its_sentence() {
    let mut world = world(
        &[
            ("pass.example", "v=spf1 +all"),
            ("fail.example", "v=spf1 -all"),
            ("soft.example", "v=spf1 ~all"),
            ("neutral.example", "v=spf1 ?all"),
            ("nothing.example", "v=spf1"),
            ("many.example", "v=spf1"),
            ("many.example", "v=spf1 a"),
        ],
        &[],
    );
    world.silence("quiet.example");
    for (from, said) in [
        (
            "u@pass.example",
            "192.0.2.1 may send for pass.example: all in the record of pass.example",
        ),
        (
            "u@fail.example",
            "192.0.2.1 may not send for fail.example: -all in the record of fail.example",
        ),
        (
            "u@soft.example",
            "192.0.2.1 probably may not send for soft.example: ~all in the record of soft.example",
        ),
        (
            "u@neutral.example",
            "neutral.example does not say whether 192.0.2.1 may send: ?all in the record of neutral.example",
        ),
        (
            "u@nothing.example",
            "nothing.example says nothing about 192.0.2.1: nothing in its SPF record matches",
        ),
        ("u@none.example", "none.example publishes no SPF record"),
        (
            "u@many.example",
            "what many.example publishes as SPF cannot be followed: many.example has more than one record",
        ),
        (
            "u@quiet.example",
            "no SPF result for quiet.example now: timeout for quiet.example TXT",
        ),
        (
            "u@[192.0.2.1]",
            "the reverse-path has no domain that could publish SPF",
        ),
        (
            "postmaster",
            "the reverse-path has no domain that could publish SPF",
        ),
    ] {
        assert_eq!(check(&world, "192.0.2.1", from).sentence(), said);
    }
}

#[test]
fn a_domain_as_a_whole_is_its_postmaster() {
    let world = world(
        &[("a.example", "v=spf1 exists:%{l}.%{d} -all")],
        &[("postmaster.a.example", a("192.0.2.9"))],
    );
    let domain = Domain::parse("a.example").unwrap();
    let client = "::ffff:192.0.2.1".parse().unwrap();
    let request = Request::of_domain(domain, "mx.client.example", client, "us.example");
    let report = run(
        request,
        |question| world.answer(question),
        Silence::GivenUp,
        |_| 0,
    );
    assert_eq!(report.result, SpfResult::Pass);
    assert_eq!(report.identity, Identity::MailFrom);
    assert_eq!(report.client, "192.0.2.1".parse::<IpAddr>().unwrap());
}

#[test]
fn what_comes_back_from_the_sender_is_printable_and_short() {
    let world = world(
        &[
            ("a.example", "v=spf1 -all exp=t.example"),
            ("t.example", "%{l} %{h} %{h} %{h} %{h}"),
        ],
        &[],
    );
    let reverse_path = ReversePath::parse_inside("b\u{fc}cher@a.example").unwrap();
    let helo = "h".repeat(100_000);
    let client = "192.0.2.1".parse().unwrap();
    let request = Request::new(&reverse_path, &helo, client, "us.example");
    let report = run(
        request,
        |question| world.answer(question),
        Silence::GivenUp,
        |_| 0,
    );
    let said = report.explanation.unwrap();
    assert!(said.starts_with("b?cher hhh"), "{said}");
    assert_eq!(said.len(), 400);
}
