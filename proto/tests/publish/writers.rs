//! Whether all who may send for a domain enter it: by what it publishes, and what cannot be known is never "yes".

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::residue::writers::{Standing, Writers};
use vouchsafe_proto::survey::cover::Cover;

use super::surveying::survey;
use super::world::World;

/// A set of two hosts, one of which is behind an alias.
const SET: &str = "\
mail-from.example.org. 300 MX 0 mx1.example.org.
mail-from.example.org. 300 MX 0 mx2.example.org.
mx1.example.org. 300 A 192.0.2.1
mx1.example.org. 300 AAAA 2001:db8::1
mx2.example.org. 300 A 192.0.2.2
";

fn standing(records: &str, failing: &[&str]) -> Standing {
    let mut world = World::new();
    world.zone("example.org", records);
    for origin in failing {
        world.failing_zone(origin);
    }
    let study = Writers {
        domain: Domain::parse("example.org").unwrap(),
        hosts: vec![Name::parse("mx1.example.org").unwrap()],
        networks: Cover::of("192.0.2.2/32".parse().unwrap()),
    };
    survey(&world, study).findings
}

#[test]
fn a_domain_is_whole_where_its_set_and_its_record_name_none_but_writers() {
    let spf = |text: &str| format!("{SET}example.org. 300 TXT \"{text}\"\n");
    assert_eq!(standing(SET, &[]), Standing::Whole);
    for text in [
        "v=spf1 -all",
        "v=spf1 ip4:192.0.2.1 a:mx1.example.org ?all",
        "v=spf1 mx:mail-from.example.org -all",
    ] {
        assert_eq!(standing(&spf(text), &[]), Standing::Whole, "{text}");
    }
    let never = "mail-from.example.org. 300 MX 0 .\n";
    assert_eq!(standing(never, &[]), Standing::Whole);
    let others = |text: &str| Standing::Others(Cover::of(text.parse().unwrap()));
    for (text, expected) in [
        ("v=spf1 ip4:192.0.2.0/30 -all", None),
        ("v=spf1 ip4:192.0.2.7 -all", Some(others("192.0.2.7/32"))),
        ("v=spf1 +all", None),
        (
            "v=spf1 exists:%{i}.example.org -all",
            Some(Standing::Unclear),
        ),
        ("v=spf1 nonsense", Some(Standing::Unclear)),
        (
            "v=spf1 include:gone.example.org -all",
            Some(Standing::Unclear),
        ),
    ] {
        let found = standing(&spf(text), &[]);
        match expected {
            Some(expected) => assert_eq!(found, expected, "{text}"),
            None => assert!(matches!(found, Standing::Others(_)), "{text}: {found:?}"),
        }
    }
    let third = format!(
        "{SET}mail-from.example.org. 300 MX 0 mx3.example.org.\nmx3.example.org. 300 A 192.0.2.3\n"
    );
    assert_eq!(standing(&third, &[]), others("192.0.2.3/32"));
}

#[test]
fn what_is_not_known_is_never_whole() {
    assert_eq!(
        standing("example.org. 300 A 192.0.2.1\n", &[]),
        Standing::Unpublished
    );
    let ordinary = "mail-from.example.org. 300 MX 10 mx1.example.org.\n";
    assert_eq!(standing(ordinary, &[]), Standing::Unpublished);
    assert_eq!(standing(SET, &["example.org"]), Standing::Trouble);
}
