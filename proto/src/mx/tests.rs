//! Small worlds of DNS, and whom mail goes to in them.

use super::*;
use alloc::string::ToString;
use alloc::vec;
use core::fmt::Write as _;
use proptest::prelude::*;

/// Lines `name TYPE value`; a name not among them does not exist; value `-` is NODATA, `!` trouble.
/// What a name below `signed` answers is secure.
fn answer(world: &str, question: &Question) -> Answer {
    let plain = bare_answer(world, question);
    let secure = question.name.as_str().ends_with("signed");
    Answer {
        secure: secure && !matches!(plain.lookup, Lookup::Trouble(_)),
        ..plain
    }
}

fn bare_answer(world: &str, question: &Question) -> Answer {
    let rows = world
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows: Vec<_> = rows
        .filter(|row| row.len() >= 3 && Name::parse(row[0]).as_ref() == Ok(&question.name))
        .collect();
    if rows.is_empty() {
        return Answer::bare(Lookup::NxDomain);
    }
    let kind = question.kind.to_string();
    let values: Vec<_> = rows.iter().filter(|row| row[1] == kind).collect();
    if values.is_empty() || values[0][2] == "-" {
        return Answer::bare(Lookup::NoData);
    }
    if values[0][2] == "!" {
        return Answer::trouble(Trouble::ServFail);
    }
    Answer::bare(Lookup::Found(match question.kind {
        RecordType::A => Records::A(values.iter().map(|row| row[2].parse().unwrap()).collect()),
        RecordType::Aaaa => {
            Records::Aaaa(values.iter().map(|row| row[2].parse().unwrap()).collect())
        }
        RecordType::Tlsa => Records::Tlsa(
            values
                .iter()
                .map(|row| crate::dns::Tlsa {
                    usage: row[2].parse().unwrap(),
                    selector: 1,
                    matching: 1,
                    data: vec![0; 32].into(),
                })
                .collect(),
        ),
        _ => Records::Mx(
            values
                .iter()
                .map(|row| Mx {
                    preference: row[2].parse().unwrap(),
                    exchange: Name::parse(row[3]).unwrap(),
                })
                .collect(),
        ),
    }))
}

/// Runs a search; answers come in the order that `pick` makes of the open questions.
fn run(mut search: Search, world: &str, pick: impl Fn(usize) -> usize) -> Action {
    let mut actions = vec![];
    let mut open = vec![];
    search.step(Input::Start, &mut actions);
    loop {
        for action in actions.drain(..) {
            match action {
                Action::Ask(id, question) => open.push((id, question)),
                end => {
                    assert!(open.is_empty(), "ended with open questions");
                    return end;
                }
            }
        }
        let (id, question) = open.remove(pick(open.len()) % open.len());
        search.step(Input::Answer(id, answer(world, &question)), &mut actions);
        search.step(
            Input::Answer(AskId(999), Answer::trouble(Trouble::Timeout)),
            &mut actions,
        );
    }
}

fn search(domain: &str, chance: u64) -> Search {
    let ourselves = Ourselves {
        names: vec![Domain::parse("MX.us.example").unwrap()],
        addresses: vec!["192.0.2.99".parse().unwrap()],
    };
    Search::for_domain(Domain::parse(domain).unwrap(), ourselves, chance)
}

fn shown(end: &Action) -> String {
    match end {
        Action::Found(hosts) => {
            let host = |found: &Candidate| format!("{} {}", found.host, found.address);
            hosts.iter().map(host).collect::<Vec<_>>().join(", ")
        }
        Action::Failed(outcome) => format!("{} {}", outcome.status, outcome.diagnostic.text()),
        Action::Ask(..) => String::new(),
    }
}

const WORLD: &str = "
    two.example MX 20 b.host
    two.example MX 10 a.host
    two.example MX 30 a.host
    a.host A 192.0.2.1
    a.host A 192.0.2.2
    a.host AAAA 2001:db8::1
    b.host A 192.0.2.3
    plain.example A 192.0.2.4
    nothing.example TXT x
    null.example MX 0 .
    halfnull.example MX 0 .
    halfnull.example MX 5 b.host
    broken.example MX !
    dangling.example MX 0 gone.host
    shaky.example MX 0 shaky.host
    shaky.example MX 0 gone.host
    shaky.host A !
    mended.example MX 0 shaky.host
    mended.example MX 9 b.host
    half.example MX 0 half.host
    half.host A 192.0.2.5
    half.host AAAA !
    backup.example MX 10 a.host
    backup.example MX 20 mx.us.example
    backup.example MX 20 b.host
    backup.example MX 30 b.host
    byaddress.example MX 10 b.host
    byaddress.example MX 20 alias.us.example
    alias.us.example A 192.0.2.99
    ours.example MX 10 mx.us.example
    ours.example MX 10 b.host
    implicit.example A 192.0.2.99
    mx.us.example A 192.0.2.99
";

#[test]
fn whom_mail_goes_to() {
    for (domain, end) in [
        (
            "two.example",
            "a.host 2001:db8::1, a.host 192.0.2.1, a.host 192.0.2.2, b.host 192.0.2.3",
        ),
        ("plain.example", "plain.example 192.0.2.4"),
        (
            "nothing.example",
            "5.4.4 no mail host of nothing.example has an address",
        ),
        (
            "gone.example",
            "5.1.2 the domain gone.example does not exist",
        ),
        (
            "null.example",
            "5.1.10 the domain null.example takes no mail (null MX)",
        ),
        ("halfnull.example", "b.host 192.0.2.3"),
        (
            "broken.example",
            "4.4.3 the mail hosts of broken.example cannot be looked up now: SERVFAIL",
        ),
        (
            "dangling.example",
            "5.4.4 no mail host of dangling.example has an address",
        ),
        (
            "shaky.example",
            "4.4.3 no mail host of shaky.example can be looked up now: SERVFAIL",
        ),
        ("mended.example", "b.host 192.0.2.3"),
        ("half.example", "half.host 192.0.2.5"),
        (
            "backup.example",
            "a.host 2001:db8::1, a.host 192.0.2.1, a.host 192.0.2.2",
        ),
        ("byaddress.example", "b.host 192.0.2.3"),
        (
            "ours.example",
            "5.4.6 mail for ours.example loops back to this server",
        ),
        (
            "implicit.example",
            "5.4.6 mail for implicit.example loops back to this server",
        ),
        (
            "mx.us.example",
            "5.4.6 mail for mx.us.example loops back to this server",
        ),
    ] {
        for pick in [|_| 0, |open: usize| open - 1] {
            assert_eq!(shown(&run(search(domain, 7), WORLD, pick)), end, "{domain}");
        }
    }
}

#[test]
fn a_configured_host_is_looked_up_by_address_and_never_fails_for_good() {
    for (host, end) in [
        ("plain.example", "plain.example 192.0.2.4"),
        (
            "two.example",
            "4.4.4 the next hop two.example has no address",
        ),
        (
            "gone.example",
            "4.4.4 the next hop gone.example has no address",
        ),
        ("mx.us.example", "mx.us.example 192.0.2.99"),
        ("LocalHost", "localhost 127.0.0.1, localhost ::1"),
    ] {
        let search = Search::for_host(Domain::parse(host).unwrap());
        assert_eq!(shown(&run(search, WORLD, |_| 0)), end, "{host}");
    }
}

#[test]
fn equal_preferences_are_shuffled_by_chance_alone() {
    let mut world = String::new();
    for n in 0..4 {
        let _ = writeln!(
            world,
            "even.example MX 5 h{n}.host\nh{n}.host A 192.0.2.{n}"
        );
    }
    world += "even.example MX 1 first.host\nfirst.host A 192.0.2.50\n";
    let mut orders = alloc::collections::BTreeSet::new();
    for chance in 0..200 {
        let end = shown(&run(search("even.example", chance), &world, |_| 0));
        assert!(end.starts_with("first.host"), "{end}");
        assert_eq!(
            end,
            shown(&run(search("even.example", chance), &world, |open| open - 1))
        );
        orders.insert(end);
    }
    assert_eq!(orders.len(), 24);
}

proptest! {
    /// Nothing permanent rests on trouble, and nobody of our own preference or worse is tried.
    #[test]
    fn trouble_is_never_permanent(
        rows in proptest::collection::vec((0u16..4, 0usize..6, 0usize..4), 1..8),
        chance: u64,
        turn: usize,
    ) {
        let names = ["a.host", "b.host", "c.host", "d.host", "e.host", "mx.us.example"];
        let mut world = String::from("mx.us.example A 192.0.2.99\n");
        let mut ours = u16::MAX;
        for (preference, name, state) in rows {
            let _ = writeln!(world, "x.example MX {preference} {}", names[name]);
            if names[name].contains("us") {
                ours = ours.min(preference);
            } else if !world.contains(&format!("{} A ", names[name])) {
                let value = ["-", "!", "192.0.2.1", "192.0.2.2"][state];
                let _ = writeln!(world, "{} A {value}", names[name]);
            }
        }
        match run(search("x.example", chance), &world, |open| turn % open) {
            Action::Found(hosts) => {
                prop_assert!(hosts.iter().all(|host| host.preference < ours));
                prop_assert!(hosts.is_sorted_by_key(|host| host.preference));
            }
            Action::Failed(outcome) => {
                let text = outcome.diagnostic.text();
                prop_assert_eq!(text.contains("SERVFAIL"), outcome.status.class == 4, "{}", text);
            }
            Action::Ask(..) => prop_assert!(false),
        }
    }
}

const KEYS: &str = "
    five.signed MX 10 ee.signed
    five.signed MX 20 odd.signed
    five.signed MX 30 kept.signed
    five.signed MX 40 bare.signed
    five.signed MX 50 ee.plain
    ee.signed A 192.0.2.1
    _25._tcp.ee.signed TLSA 3
    odd.signed A 192.0.2.2
    _25._tcp.odd.signed TLSA 0
    kept.signed A 192.0.2.3
    _25._tcp.kept.signed TLSA !
    bare.signed AAAA 2001:db8::4
    ee.plain A 192.0.2.5
    _25._tcp.ee.plain TLSA 3
    pointing.plain MX 10 ee.signed
    only.signed MX 10 kept.signed
    half.signed MX 10 halfhost.signed
    halfhost.signed A 192.0.2.6
    halfhost.signed AAAA !
    _25._tcp.halfhost.signed TLSA 3
    _2525._tcp.ee.signed TLSA 0
";

/// What is demanded of each host, in order.
fn demands(search: &Search) -> String {
    let mut last = None;
    for order in [0, 1, usize::MAX / 2] {
        let Action::Found(hosts) = run(search_again(search), KEYS, |_| order) else {
            panic!("nobody found");
        };
        let demand = |host: &Candidate| host.requirement.name();
        let all = hosts.iter().map(demand).collect::<Vec<_>>().join(" ");
        assert!(last.is_none_or(|last| last == all), "{all}");
        last = Some(all);
    }
    last.unwrap()
}

/// The same search from its beginning.
fn search_again(search: &Search) -> Search {
    let again = Search::new(
        search.target.clone(),
        search.by_mx,
        search.ourselves.clone(),
        search.chance,
    );
    Search {
        dane: search.dane,
        ..again
    }
}

#[test]
fn keys_are_asked_for_where_dnssec_reaches() {
    for (domain, demanded) in [
        ("five.signed", "dane tls withheld none none"),
        // Who can change the MX set can send us to a host of his own.
        ("pointing.plain", "none"),
        // A host that cannot be used stays in the list: it is what the outcome speaks of.
        ("only.signed", "withheld"),
        ("half.signed", "dane"),
        // The implicit MX.
        ("ee.signed", "dane"),
    ] {
        assert_eq!(
            demands(&search(domain, 0).with_dane(25)),
            demanded,
            "{domain}"
        );
        let without = demands(&search(domain, 0));
        assert!(without.split(' ').all(|each| each == "none"), "{domain}");
    }
    let host = |port| Search::for_host(Domain::parse("ee.signed").unwrap()).with_dane(port);
    assert_eq!(demands(&host(25)), "dane");
    assert_eq!(demands(&host(2525)), "tls");
    assert_eq!(demands(&host(26)), "none");
}

/// Who answers for a host's name, where the message demands that somebody does (RFC 8689 §4.2.1).
#[test]
fn a_hosts_name_is_meant_by_a_secure_mx_set_or_is_the_domains_own() {
    let host = "h.example A 192.0.2.1";
    for (domain, world, secure) in [
        ("d.signed", "d.signed MX 10 h.example", true),
        ("d.example", "d.example MX 10 h.example", false),
        ("d.example", "d.example A 192.0.2.2", true),
    ] {
        let domain = Domain::parse(domain).unwrap();
        let search = Search::for_domain(domain, Ourselves::default(), 0);
        let Action::Found(found) = run(search, &format!("{world}\n{host}"), |_| 0) else {
            panic!("{world}");
        };
        assert!(found.iter().all(|each| each.secure == secure), "{world}");
    }
    let search = Search::for_host(Domain::parse("h.example").unwrap());
    let Action::Found(found) = run(search, host, |_| 0) else {
        panic!("no host");
    };
    assert!(found[0].secure, "the operator's word");
}
