//! Messages made octet by octet: what is read, and what is none.

use super::*;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

/// A response with one question, `a.example MX`, and these sections.
fn message(sections: [&[&[u8]]; 3]) -> Vec<u8> {
    let mut octets = vec![0, 7, 0x80, 0, 0, 1];
    for section in sections {
        octets.extend([0, u8::try_from(section.len()).unwrap()]);
    }
    octets.extend(b"\x01a\x07example\0\0\x0f\0\x01");
    octets.extend(sections.concat().concat());
    octets
}

/// A record whose owner is the question's name.
fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut octets = vec![0xc0, 12];
    octets.extend(kind.to_be_bytes());
    octets.extend([0, 1, 0, 0, 0, 60]);
    octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    octets.extend(data);
    octets
}

fn is_read(kind: u16, data: &[u8]) -> bool {
    Layout::of(&message([&[&record(kind, data)], &[], &[]])).is_some()
}

#[test]
fn data_is_what_its_type_says_or_there_is_no_message() {
    let soa = [&b"\0\xc0\x0c"[..], &[0; 16], &[0, 0, 0, 9]].concat();
    let rrsig = [&[0, 15, 13, 2][..], &[0; 14], b"\xc0\x0c", &[1; 64]].concat();
    for (kind, data, longer) in [
        (1, &b"abcd"[..], false),
        (28, &[7; 16][..], false),
        (15, b"\0\x0a\x02mx\xc0\x0c", false),
        (16, b"\x02ab\0\x01c", false),
        (12, b"\xc0\x0c", false),
        (5, b"\x01b\0", false),
        (2, b"\xc0\x0c", false),
        (6, &soa, false),
        (46, &rrsig, true),
        (52, b"\x03\x01\x01", true),
        (99, b"anything", true),
    ] {
        assert!(is_read(kind, data), "{kind}");
        assert_eq!(is_read(kind, &[data, &[1]].concat()), longer, "{kind}");
        let most = if longer { 0 } else { data.len() };
        for cut in 0..most {
            // All but a text that happens to end there.
            assert_eq!(
                is_read(kind, &data[..cut]),
                kind == 16 && [3, 4].contains(&cut)
            );
        }
    }
}

#[test]
fn what_it_says_is_what_was_put_in() {
    let soa = [&b"\0\0"[..], &[0; 16], &[0, 0, 1, 9]].concat();
    let mx = record(15, b"\0\x0a\x02Mx\xc0\x0c");
    let octets = message([
        &[&mx, &record(16, b"\x02ab\0\x01c")],
        &[&record(6, &soa)],
        &[b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x06\0\x0f\0\x02\0\x06"],
    ]);
    let layout = Layout::of(&octets).unwrap();
    assert_eq!((layout.code, layout.extended_error), (16, Some(6)));
    let message = Message::new(&octets, &layout);
    let answers: Vec<_> = message.answers().collect();
    let owner = Name::parse("A.example").unwrap();
    assert!(answers.iter().all(|record| record.owner().is(&owner)));
    assert!(answers[0].is_of(RecordType::Mx) && !answers[0].is_of(RecordType::Txt));
    let Some(Data::Mx(10, exchange)) = answers[0].data() else {
        panic!("{:?}", answers[0]);
    };
    assert_eq!(exchange.to_name().unwrap().to_string(), "mx.a.example");
    let Some(Data::Txt(text)) = answers[1].data() else {
        panic!("{:?}", answers[1]);
    };
    assert_eq!(strings(text).collect::<Vec<_>>(), [&b"ab"[..], b"", b"c"]);
    let authority = message.authorities().next().unwrap();
    assert!(matches!(authority.data(), Some(Data::Soa(265))));
}

#[test]
fn a_name_is_told_from_others_whatever_its_octets() {
    let octets = b"\x03a.B\x01\xff\x07example\0\x07EXAMPLE\0";
    let odd = WireName { octets, at: 0 };
    assert!(odd.is(&Name::parse(r"a\046b.\255.example").unwrap()));
    assert!(!odd.is(&Name::parse(r"a\046b.\254.example").unwrap()));
    let plain = WireName { octets, at: 15 };
    for (name, same) in [
        ("example", true),
        ("example.org", false),
        ("exampl", false),
        ("a.example", false),
        (".", false),
    ] {
        assert_eq!(plain.is(&Name::parse(name).unwrap()), same, "{name}");
    }
    assert!(WireName { octets, at: 23 }.is(&Name::root()));
    // One label, with a dot in it or a backslash, is not what the same letters mean as text.
    for (octets, text) in [(&b"\x03a.b\0"[..], "a.b"), (&b"\x05a\\046\0"[..], r"a\046")] {
        assert!(
            !WireName { octets, at: 0 }.is(&Name::parse(text).unwrap()),
            "{text}"
        );
    }
    for (below, inside) in [
        ("example", true),
        ("a.example", true),
        ("anexample", false),
        ("example.org", false),
        (".", false),
    ] {
        assert_eq!(plain.holds(&Name::parse(below).unwrap()), inside, "{below}");
    }
    assert!(odd.holds(&Name::parse(r"c.a\046b.\255.example").unwrap()));
    assert!(!odd.holds(&Name::parse("b.example").unwrap()));
    assert!(WireName { octets, at: 23 }.holds(&Name::root()));
}

#[test]
fn pointers_lead_backwards_and_names_are_no_longer_than_names_are() {
    for (octets, from, end) in [
        (&b"\x01a\0\xc0\x00"[..], 3, Some(5)),
        (b"\x01a\0\x01b\xc0\x00", 3, Some(7)),
        (b"\x01a\0\xc0\x03", 3, None),
        (b"\x01a\xc0\x00\xc0\x02", 4, None),
        (b"\x01a\0\xc0\x04", 3, None),
        (b"\x01a\0\x40", 3, None),
        (b"\x01a\0\x05ab", 3, None),
    ] {
        assert_eq!(end_of_name(octets, from), end, "{octets:?}");
    }
    let long = [&[63; 64][..]; 3].concat();
    for (last, fits) in [(61, true), (62, false)] {
        let octets = [&long[..], &[last], &[b'a'; 62][..usize::from(last)], &[0]].concat();
        assert_eq!(end_of_name(&octets, 0).is_some(), fits);
    }
}
