//! Records: what the parser takes, what it refuses and where, and that it reads what it writes.

use alloc::string::ToString;

use super::{Record, SyntaxErrorKind as Kind};

/// Texts, and how they are written back.
const GOOD: &[(&str, &str)] = &[
    ("v=spf1", "v=spf1"),
    ("V=SpF1  ", "v=spf1"),
    ("v=spf1 all -all", "v=spf1 all -all"),
    ("v=spf1 +A ~MX ?PTR -ALL", "v=spf1 a ~mx ?ptr -all"),
    ("v=spf1   a   -all ", "v=spf1 a -all"),
    (
        "v=spf1 a/24//64 mx//0 a:x.y/0",
        "v=spf1 a/24//64 mx//0 a:x.y/0",
    ),
    (
        "v=spf1 a:foo:bar/baz.example.com",
        "v=spf1 a:foo:bar/baz.example.com",
    ),
    (
        "v=spf1 a:%{i}/24 mx:%{d/}//64",
        "v=spf1 a:%{i}/24 mx:%{d/}//64",
    ),
    (
        "v=spf1 a:museum.%{d} a:x%_ a:x%- a:%%",
        "v=spf1 a:museum.%{d} a:x%_ a:x%- a:%%",
    ),
    (
        "v=spf1 a:foo.example.xn--zckzah.",
        "v=spf1 a:foo.example.xn--zckzah.",
    ),
    (
        "v=spf1 a:x.1a a:x.a-1 a:x.1-1",
        "v=spf1 a:x.1a a:x.a-1 a:x.1-1",
    ),
    (
        "v=spf1 ip4:1.2.3.4/32 IP4:1.2.3.4/0",
        "v=spf1 ip4:1.2.3.4 ip4:1.2.3.4/0",
    ),
    (
        "v=spf1 ip6:::FFFF:1.2.3.4 ip6:::1/0",
        "v=spf1 ip6:::ffff:1.2.3.4 ip6:::1/0",
    ),
    (
        "v=spf1 REDIRECT=_spf.x.y exp=e.x.y",
        "v=spf1 redirect=_spf.x.y exp=e.x.y",
    ),
    (
        "v=spf1 exp=a.b a moo= m.-_o=%{c}%{t}/&",
        "v=spf1 a exp=a.b moo= m.-_o=%{c}%{t}/&",
    ),
    ("v=spf1 ip4=1.2.3.4 all=x", "v=spf1 ip4=1.2.3.4 all=x"),
    (
        "v=spf1 exists:%{L1R+-.,/_=}.%{d20}.x-y",
        "v=spf1 exists:%{L1r+-.,/_=}.%{d20}.x-y",
    ),
    ("v=spf1 a:%{d99999999999}", "v=spf1 a:%{d4294967295}"),
    (
        "v=spf1 include:_x.example.com",
        "v=spf1 include:_x.example.com",
    ),
];

/// Texts, where they are wrong and how.
const BAD: &[(&str, usize, Kind)] = &[
    ("v=spf10 all", 0, Kind::Version),
    ("v=spf2 all", 0, Kind::Version),
    ("", 0, Kind::Version),
    ("v=spf1\tall", 0, Kind::Version),
    ("v=spf1 a\tall", 8, Kind::Character),
    ("v=spf1 a:x.y\u{0} all", 12, Kind::Character),
    ("v=spf1 \u{96}all", 7, Kind::Character),
    ("v=spf1 a:x.y\u{7f}", 12, Kind::Character),
    ("v=spf1 -all.", 8, Kind::UnknownMechanism),
    ("v=spf1 a -all:foobar", 13, Kind::Argument),
    ("v=spf1 -all/8", 11, Kind::Argument),
    ("v=spf1 foo:x.y", 7, Kind::UnknownMechanism),
    ("v=spf1 --all", 8, Kind::UnknownMechanism),
    ("v=spf1 - all", 8, Kind::UnknownMechanism),
    ("v=spf1 =x", 7, Kind::UnknownMechanism),
    ("v=spf1 1x=x", 7, Kind::UnknownMechanism),
    ("v=spf1 +redirect=x.y", 8, Kind::UnknownMechanism),
    ("v=spf1 redirect:x.y", 7, Kind::UnknownMechanism),
    ("v=spf1 a:", 9, Kind::EmptyDomain),
    ("v=spf1 a:/24", 9, Kind::EmptyDomain),
    ("v=spf1 mx: -all", 10, Kind::EmptyDomain),
    ("v=spf1 ptr:", 11, Kind::EmptyDomain),
    ("v=spf1 ptr/24", 10, Kind::Argument),
    ("v=spf1 include", 14, Kind::EmptyDomain),
    ("v=spf1 include:", 15, Kind::EmptyDomain),
    ("v=spf1 include/24", 14, Kind::Argument),
    ("v=spf1 include:x.y/24", 17, Kind::TopLabel),
    ("v=spf1 exists:x.y/24", 16, Kind::TopLabel),
    ("v=spf1 exists", 13, Kind::EmptyDomain),
    ("v=spf1 redirect=", 16, Kind::EmptyDomain),
    ("v=spf1 exp=", 11, Kind::EmptyDomain),
    ("v=spf1 a:museum", 9, Kind::TopLabel),
    ("v=spf1 a:museum.", 9, Kind::TopLabel),
    ("v=spf1 a:1.2.3.4", 15, Kind::TopLabel),
    ("v=spf1 a:x.-y", 11, Kind::TopLabel),
    ("v=spf1 a:x.y-", 11, Kind::TopLabel),
    ("v=spf1 a:x.y..", 13, Kind::TopLabel),
    ("v=spf1 a:%{d}com", 9, Kind::TopLabel),
    ("v=spf1 a:x.y:8080", 11, Kind::TopLabel),
    ("v=spf1 a/33", 9, Kind::PrefixLength),
    ("v=spf1 a/032", 9, Kind::PrefixLength),
    ("v=spf1 a/00", 9, Kind::PrefixLength),
    ("v=spf1 a//129", 10, Kind::PrefixLength),
    ("v=spf1 a/24/64", 12, Kind::PrefixLength),
    ("v=spf1 a/24/24", 8, Kind::PrefixLength),
    ("v=spf1 a/", 8, Kind::PrefixLength),
    ("v=spf1 a//", 8, Kind::PrefixLength),
    ("v=spf1 a/256", 9, Kind::PrefixLength),
    ("v=spf1 mx/24//", 9, Kind::PrefixLength),
    ("v=spf1 ip4", 10, Kind::Address),
    ("v=spf1 ip4:", 11, Kind::Address),
    ("v=spf1 ip4/24", 10, Kind::Address),
    ("v=spf1 ip4:1.2.3", 11, Kind::Address),
    ("v=spf1 ip4:01.2.3.4", 11, Kind::Address),
    ("v=spf1 ip4:1.2.3.4:8080", 11, Kind::Address),
    ("v=spf1 ip4:1.2.3.256", 11, Kind::Address),
    ("v=spf1 ip4:::1", 11, Kind::Address),
    ("v=spf1 ip4:1.2.3.4/33", 19, Kind::PrefixLength),
    ("v=spf1 ip4:1.2.3.4/032", 19, Kind::PrefixLength),
    ("v=spf1 ip4:1.2.3.4//32", 19, Kind::PrefixLength),
    ("v=spf1 ip4:1.2.3.4/+8", 19, Kind::PrefixLength),
    ("v=spf1 ip4:1.2.3.4/", 19, Kind::PrefixLength),
    ("v=spf1 ip6:1.2.3.4", 11, Kind::Address),
    ("v=spf1 ip6:::1%eth0", 11, Kind::Address),
    ("v=spf1 ip6:::1/129", 15, Kind::PrefixLength),
    ("v=spf1 ip6:::1//32", 15, Kind::PrefixLength),
    ("v=spf1 a:%", 9, Kind::Macro),
    ("v=spf1 a:%abc.com", 9, Kind::Macro),
    ("v=spf1 a:%(x).com", 9, Kind::Macro),
    ("v=spf1 a:x%{d", 10, Kind::Macro),
    ("v=spf1 a:%{d0}", 9, Kind::Macro),
    ("v=spf1 a:%{dr2}", 9, Kind::Macro),
    ("v=spf1 a:%{d*}", 9, Kind::Macro),
    ("v=spf1 a:%{}", 9, Kind::MacroLetter),
    ("v=spf1 a:%{x}", 9, Kind::MacroLetter),
    ("v=spf1 a:%{c}", 9, Kind::MacroLetter),
    ("v=spf1 exp=%{r}.x.y", 11, Kind::MacroLetter),
    ("v=spf1 exp=%{t}.x.y", 11, Kind::MacroLetter),
    ("v=spf1 moo=%abc", 11, Kind::Macro),
    (
        "v=spf1 redirect=a.b all redirect=a.b",
        24,
        Kind::DuplicateRedirect,
    ),
    ("v=spf1 EXP=a.b exp=a.b", 15, Kind::DuplicateExp),
];

#[test]
fn good_records_are_written_back() {
    for (text, written) in GOOD {
        let record = Record::parse(text.as_bytes());
        let record = record.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(record.to_string(), *written, "{text}");
        assert_eq!(Record::parse(written.as_bytes()), Ok(record), "{text}");
    }
}

#[test]
fn bad_records_say_where_and_how() {
    for (text, at, kind) in BAD {
        let error = Record::parse(text.as_bytes()).expect_err(text);
        assert_eq!((error.at, error.kind), (*at, *kind), "{text}: {error}");
    }
}

#[test]
fn a_record_has_a_length_that_can_be_kept() {
    let fits = alloc::format!("v=spf1{}", " a".repeat(4093));
    assert!(Record::parse(fits.as_bytes()).is_ok());
    let error = Record::parse(alloc::format!("{fits} ").as_bytes()).unwrap_err();
    assert_eq!(error.kind, Kind::TooLong);
}
