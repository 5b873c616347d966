//! What a plan lists, makes, leaves out and refuses.

use super::*;
use crate::survey::mail_from::is_group;
use alloc::borrow::ToOwned;
use alloc::string::String;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// `host`, `192.0.2.0/24`, or a name that begins with `mail-from.`.
fn entries(text: &str) -> Vec<Entry> {
    text.split_whitespace()
        .map(|word| Entry {
            sender: match word.parse::<IpNet>() {
                Ok(network) => Sender::Network(network),
                Err(_) if is_group(&name(word)) => Sender::Group(name(word)),
                Err(_) => Sender::Host(name(word)),
            },
            origin: "--given".into(),
        })
        .collect()
}

fn plan_with(text: &str, facts: &Facts) -> Result<Plan, PlanError> {
    let wanted = Wanted {
        domain: Domain::parse("example.org").unwrap(),
        senders: entries(text),
        spf: None,
        ttl: 3600,
    };
    Plan::of(wanted, facts, Vec::new())
}

fn plan(text: &str) -> Plan {
    plan_with(text, &Facts::default()).unwrap()
}

fn lines(plan: &Plan) -> Vec<String> {
    plan.records().iter().map(ToString::to_string).collect()
}

/// Every address that the plan's own names have.
fn made(plan: &Plan) -> Cover {
    plan.made
        .iter()
        .flat_map(|(_, all)| all.iter().copied())
        .collect()
}

#[test]
fn hosts_groups_and_networks_become_records() {
    let plan = plan(
        "relay.example.org mail-from.isp.example 192.0.2.1/32 2001:db8::25/128 relay.example.org",
    );
    assert_eq!(
        lines(&plan),
        [
            "MAIL-FROM.example.org. 3600 IN MX 0 MAIL-FROM.isp.example.",
            "MAIL-FROM.example.org. 3600 IN MX 0 relay.example.org.",
            "MAIL-FROM.example.org. 3600 IN MX 0 mfr-192-0-2-1.example.org.",
            "MAIL-FROM.example.org. 3600 IN MX 0 mfr-20010db8000000000000000000000025.example.org.",
            "MAIL-FROM.example.org. 3600 IN TXT \"v=MFMX1\"",
            "mfr-192-0-2-1.example.org. 3600 IN A 192.0.2.1",
            "mfr-20010db8000000000000000000000025.example.org. 3600 IN AAAA 2001:db8::25",
            "example.org. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 ip6:2001:db8::25 a:relay.example.org \
             mx:MAIL-FROM.isp.example -all\"",
        ]
    );
    assert!(plan.is_complete());
}

#[test]
fn a_domain_that_never_sends_says_so() {
    let plan = Plan::never(Domain::parse("example.org").unwrap(), 300).unwrap();
    assert_eq!(
        lines(&plan),
        [
            "MAIL-FROM.example.org. 300 IN MX 0 .",
            "MAIL-FROM.example.org. 300 IN TXT \"v=MFMX1\"",
            "example.org. 300 IN TXT \"v=spf1 -all\"",
        ]
    );
}

#[test]
fn a_network_is_spread_over_names_that_tell_it() {
    let plan = plan("192.0.2.0/26 2001:db8::/124 192.0.2.7/32 ::ffff:192.0.2.9/128");
    let names: Vec<_> = plan
        .made
        .iter()
        .map(|(name, all)| (name.to_string(), all.len()))
        .collect();
    let expected = [
        (
            "mfr-20010db8000000000000000000000000-124.example.org".to_owned(),
            16,
        ),
        ("mfr-192-0-2-0-27.example.org".to_owned(), 32),
        ("mfr-192-0-2-32-27.example.org".to_owned(), 32),
    ];
    assert_eq!(names, expected);
    assert!(plan.is_complete());
}

#[test]
fn many_addresses_are_packed_and_all_of_them_are_there() {
    let text: Vec<_> = (0..90)
        .map(|n| format!("192.0.2.{}/32 2001:db8::{n:x}/128", n * 2))
        .collect();
    let plan = plan(&text.join(" "));
    let given: Cover = entries(&text.join(" "))
        .iter()
        .map(|entry| match entry.sender {
            Sender::Network(network) => network,
            _ => unreachable!(),
        })
        .collect();
    assert_eq!(made(&plan), given);
    assert_eq!(plan.made.len(), 6);
    assert!(plan.made.iter().all(|(_, all)| all.len() <= 48));
    assert!(plan.is_complete());
}

#[test]
fn what_is_too_wide_is_left_out_with_a_reason_and_kept_in_spf() {
    let plan = plan("relay.example.org 192.0.2.0/24 198.51.0.0/16 2001:db8::/64");
    let left: Vec<_> = plan
        .left_out
        .iter()
        .map(|out| (out.network.unwrap().to_string(), out.why))
        .collect();
    assert_eq!(
        left,
        [
            ("198.51.0.0/16".to_owned(), Why::Wide),
            ("2001:db8::/64".to_owned(), Why::Wide)
        ]
    );
    assert!(
        plan.left_out[0]
            .to_string()
            .starts_with("198.51.0.0/16 (--given) has too many")
    );
    assert_eq!(made(&plan), Cover::of("192.0.2.0/24".parse().unwrap()));
    assert_eq!(
        &*plan.spf,
        "v=spf1 ip4:192.0.2.0/24 ip4:198.51.0.0/16 ip6:2001:db8::/64 a:relay.example.org -all"
    );
}

#[test]
fn what_has_no_room_goes_the_widest_first() {
    let nets: Vec<_> = (0..5).map(|n| format!("192.0.{n}.0/24")).collect();
    let plan = plan(&format!("{} 203.0.113.1/32", nets.join(" ")));
    // 30 names hold 960 addresses: three networks and the one address.
    let left: Vec<_> = plan.left_out.iter().map(|out| out.why).collect();
    assert_eq!(left, [Why::NoRoom, Why::NoRoom]);
    assert_eq!(plan.made.len(), 25);
    assert!(made(&plan).holds("203.0.113.1".parse().unwrap()));
}

#[test]
fn more_than_one_set_holds_is_split_and_stays_within_every_budget() {
    let hosts: Vec<_> = (0..30).map(|n| format!("h{n}.example.org")).collect();
    let facts = Facts {
        hosts: hosts
            .iter()
            .map(|host| (name(host), vec![[192, 0, 2, 1].into()]))
            .collect(),
        ..Facts::default()
    };
    assert_eq!(
        plan_with(&hosts.join(" "), &Facts::default()),
        Err(PlanError::Lookups(30))
    );
    let plan = plan_with(&hosts.join(" "), &facts).unwrap();
    let sizes: Vec<_> = plan
        .sets
        .iter()
        .map(|(owner, set)| (owner.to_string(), set.len()))
        .collect();
    assert_eq!(
        sizes,
        [
            ("mail-from.example.org".to_owned(), 20),
            ("mail-from.g1.example.org".to_owned(), 11)
        ]
    );
    assert_eq!(&*plan.spf, "v=spf1 ip4:192.0.2.1 -all");
    let text = format!("{} one-more.example.org", hosts.join(" "));
    assert_eq!(plan_with(&text, &facts), Err(PlanError::Hosts(31)));
}

#[test]
fn too_many_groups_are_refused() {
    let groups = |count: usize| {
        let all: Vec<_> = (0..count)
            .map(|n| format!("mail-from.isp{n}.example"))
            .collect();
        plan_with(&all.join(" "), &Facts::default())
    };
    assert!(groups(9).is_ok());
    assert_eq!(groups(10), Err(PlanError::Sets(11)));
}
