//! Small worlds, and what the perimeter makes of them.

use super::*;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;

/// A small DNS: name and type to what is said. What is not in it does not exist.
struct World(BTreeMap<(&'static str, RecordType), Lookup>);

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn domains(of: &[&str]) -> Vec<Domain> {
    of.iter().map(|text| Domain::parse(text).unwrap()).collect()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn a(text: &str) -> Lookup {
    Lookup::Found(Records::A(vec![text.parse().unwrap()]))
}

fn aaaa(text: &str) -> Lookup {
    Lookup::Found(Records::Aaaa(vec![text.parse().unwrap()]))
}

fn mx(list: &[(u16, &str)]) -> Lookup {
    let list = list.iter().map(|(preference, exchange)| Mx {
        preference: *preference,
        exchange: name(exchange),
    });
    Lookup::Found(Records::Mx(list.collect()))
}

const TROUBLE: Lookup = Lookup::Trouble(Trouble::ServFail);

impl World {
    fn new(of: impl IntoIterator<Item = (&'static str, RecordType, Lookup)>) -> Self {
        Self(
            of.into_iter()
                .map(|(name, kind, said)| ((name, kind), said))
                .collect(),
        )
    }

    /// Asks and answers until nothing is due. Gives the questions.
    fn answer(&self, hosts: &mut Hosts, now: Mono) -> Vec<String> {
        let mut asked = Vec::new();
        loop {
            let questions = hosts.ask(now, 2);
            if questions.is_empty() {
                return asked;
            }
            for question in questions {
                asked.push(question.to_string());
                let said = self.0.get(&(question.name.as_str(), question.kind));
                let answer = Answer {
                    ttl: 300,
                    ..Answer::bare(said.cloned().unwrap_or(Lookup::NxDomain))
                };
                hosts.take(&question, &answer, now);
            }
        }
    }
}

fn world() -> World {
    use RecordType::{A, Aaaa, Mx};
    World::new([
        ("outer.example.com", A, a("192.0.2.1")),
        ("outer.example.com", Aaaa, aaaa("2001:db8::1")),
        (
            "example.org",
            Mx,
            mx(&[(10, "mx.example.org"), (20, "backup.example.net")]),
        ),
        ("mx.example.org", A, a("127.0.0.1")),
        ("backup.example.net", A, a("192.0.2.2")),
        (
            "mail-from.example.org",
            Mx,
            mx(&[(0, "relay.example.org"), (0, "mail-from.isp.example")]),
        ),
        ("relay.example.org", A, a("192.0.2.3")),
        (
            "mail-from.isp.example",
            Mx,
            mx(&[(0, "out.isp.example"), (0, "mail-from.example.org")]),
        ),
        ("out.isp.example", A, a("192.0.2.4")),
    ])
}

#[test]
fn names_exchanges_and_border_relays_are_inside() {
    let mut hosts = Hosts::default();
    let start = Mono::default();
    hosts.configure(
        &domains(&["outer.example.com"]),
        &domains(&["example.org", "none.example"]),
    );
    assert!(hosts.missing().is_some());
    let asked = world().answer(&mut hosts, start);
    let (hosts_asked, sets_asked) = (2 * (1 + 2 + 1 + 1), 2 + 2 + 1);
    assert_eq!(asked.len(), hosts_asked + sets_asked, "{asked:?}");
    assert_eq!(hosts.missing(), None, "a domain without MX is no hole");
    for last in 1..=4 {
        assert!(hosts.contains([192, 0, 2, last].into()), "192.0.2.{last}");
    }
    assert!(hosts.contains(address("2001:db8::1")));
    assert!(
        !hosts.contains(address("127.0.0.1")),
        "an MX that means nothing"
    );
    assert!(!hosts.contains(address("192.0.2.5")));

    // Nothing again before its time, and everything then.
    let later = start.plus(Duration::from_secs(299));
    assert!(world().answer(&mut hosts, later).is_empty());
    assert_eq!(hosts.next_due(), Some(start.plus(Duration::from_mins(5))));
    let due = start.plus(Duration::from_mins(5));
    assert_eq!(world().answer(&mut hosts, due).len(), asked.len());
}

#[test]
fn trouble_leaves_what_was_known_by_name_and_type() {
    use RecordType::{A, Mx};
    let mut hosts = Hosts::default();
    let mut now = Mono::default();
    hosts.configure(&domains(&["outer.example.com"]), &domains(&["example.org"]));
    world().answer(&mut hosts, now);
    let failing = World::new([
        ("outer.example.com", A, TROUBLE),
        ("example.org", Mx, TROUBLE),
        ("backup.example.net", A, Lookup::AliasLimit),
        ("mail-from.example.org", Mx, TROUBLE),
        ("relay.example.org", A, Lookup::NxDomain),
        ("mail-from.isp.example", Mx, TROUBLE),
        ("out.isp.example", A, TROUBLE),
    ]);
    now = now.plus(Duration::from_hours(1));
    failing.answer(&mut hosts, now);
    for (inside, last) in [(true, 1), (true, 2), (false, 3), (true, 4)] {
        assert_eq!(hosts.contains([192, 0, 2, last].into()), inside, "{last}");
    }
    assert!(!hosts.contains(address("2001:db8::1")), "definitely gone");
    assert_eq!(hosts.missing(), None);
}

#[test]
fn a_host_that_is_no_exchange_any_more_is_forgotten() {
    let mut hosts = Hosts::default();
    let now = Mono::default();
    hosts.configure(&[], &domains(&["example.org"]));
    world().answer(&mut hosts, now);
    let moved = World::new([("example.org", RecordType::Mx, mx(&[(10, "mx.example.org")]))]);
    moved.answer(&mut hosts, now.plus(Duration::from_hours(1)));
    for last in 1..=4 {
        assert!(!hosts.contains([192, 0, 2, last].into()), "192.0.2.{last}");
    }
    hosts.configure(&[], &[]);
    assert_eq!((hosts.wanted.len(), hosts.next_due()), (0, None));
}

#[test]
fn what_was_never_known_is_missing_only_where_it_matters() {
    use RecordType::{A, Mx};
    let start = |failing: &'static [(&'static str, RecordType)]| {
        let mut world = world();
        for key in failing {
            world.0.insert(*key, TROUBLE);
        }
        let mut hosts = Hosts::default();
        hosts.configure(&domains(&["outer.example.com"]), &domains(&["example.org"]));
        world.answer(&mut hosts, Mono::default());
        hosts.missing().map(|(name, kind)| (name.to_string(), kind))
    };
    for key in [
        &[("outer.example.com", A)],
        &[("example.org", Mx)],
        &[("backup.example.net", A)],
        &[("mail-from.example.org", Mx)],
        &[("relay.example.org", A)],
    ] {
        assert_eq!(start(key), Some((key[0].0.to_string(), key[0].1)));
    }
    for key in [&[("mail-from.isp.example", Mx)], &[("out.isp.example", A)]] {
        assert_eq!(start(key), None, "{key:?}");
    }
    let mut hosts = Hosts::default();
    hosts.configure(&domains(&["loop.example"]), &[]);
    let aliases = World::new([
        ("loop.example", A, Lookup::AliasLimit),
        ("loop.example", RecordType::Aaaa, Lookup::AliasLimit),
    ]);
    aliases.answer(&mut hosts, Mono::default());
    assert_eq!(hosts.missing(), None, "waiting would not help");
    let refused = Lookup::Trouble(Trouble::Refused);
    hosts.configure(&[], &domains(&["example.org"]));
    let not_served = World::new([
        ("example.org", Mx, refused.clone()),
        ("mail-from.example.org", Mx, refused.clone()),
    ]);
    not_served.answer(&mut hosts, Mono::default());
    assert_eq!(hosts.missing(), None, "nor here");
    hosts.configure(&domains(&["named.example"]), &[]);
    World::new([("named.example", A, refused)]).answer(&mut hosts, Mono::default());
    assert!(
        hosts.missing().is_some(),
        "written down, so it must be found"
    );
}

#[test]
fn what_others_publish_cannot_make_us_ask_without_end() {
    // Every set leads to the next and to 40 hosts.
    let mut hosts = Hosts::default();
    hosts.configure(&[], &domains(&["example.org"]));
    let mut asked = 0;
    loop {
        let questions = hosts.ask(Mono::default(), 10);
        if questions.is_empty() {
            break;
        }
        for question in questions {
            asked += 1;
            let said = match question.kind {
                RecordType::Mx => {
                    let next = Name::parse(&alloc::format!("mail-from.{}", question.name)).unwrap();
                    let hosts = (0..40).map(|at| {
                        let host = alloc::format!("h{at}.{}", question.name);
                        Name::parse(&host).unwrap()
                    });
                    let all = hosts.chain([next]).map(|exchange| Mx {
                        preference: 0,
                        exchange,
                    });
                    Lookup::Found(Records::Mx(all.collect()))
                }
                _ => Lookup::NoData,
            };
            hosts.take(&question, &Answer::bare(said), Mono::default());
        }
    }
    assert!(
        asked <= 2 + 2 * (MAX_EXCHANGES + MAX_HOSTS) + MAX_SETS,
        "{asked}"
    );
}

#[test]
fn an_ordinary_mx_under_mail_from_is_no_set() {
    use RecordType::{A, Mx};
    let world = World::new([
        ("mail-from.example.org", Mx, mx(&[(10, "wild.example.org")])),
        ("wild.example.org", A, a("192.0.2.9")),
        ("example.org", Mx, mx(&[(0, ".")])),
    ]);
    let mut hosts = Hosts::default();
    hosts.configure(&[], &domains(&["example.org"]));
    assert_eq!(world.answer(&mut hosts, Mono::default()).len(), 2);
    assert!(!hosts.contains(address("192.0.2.9")));
}
