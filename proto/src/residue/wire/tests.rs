//! Datagrams written down octet by octet, and answers read back by the reader that reads other servers' answers.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::addr::Domain;
use crate::dns::Name;
use crate::dns::message::{Data, Layout, Message, strings};
use crate::residue::{Answer, Hour, Offer, Policy, Span, Word};

/// The question of PROTOCOLS B.3.
const VECTOR: &str = "45srv429q9lfvvvvvvvvvvu5lqvtd7kpmj72o.9._sent.example.org";

fn zones() -> Zones {
    let offer = Offer {
        window: 336,
        least_revealed: 80,
        policy: Policy::None,
    };
    let name = |text| Name::parse(text).unwrap();
    let hosts = [name("ns1.example.org"), name("ns2.example.net")];
    ["example.org", "a.b", "xn--bcher-kva.example"]
        .iter()
        .filter_map(|domain| {
            let domain = Domain::parse(domain).unwrap();
            Zone::new(domain, offer, &hosts, &name("hostmaster.example.org"))
        })
        .collect()
}

/// A query for a name and a type, with these octets behind the question, that make so many records.
fn query(name: &str, kind: u16, (more, records): (&[u8], u8)) -> Vec<u8> {
    let mut octets = vec![0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, records];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).unwrap());
        octets.extend_from_slice(label.as_bytes());
    }
    octets.push(0);
    octets.extend_from_slice(&kind.to_be_bytes());
    octets.extend_from_slice(&[0, 1]);
    octets.extend_from_slice(more);
    octets
}

const BY_DATAGRAM: Terms<'_> = Terms {
    way: Way::Datagram,
    cookie: None,
};

const BARE: (&[u8], u8) = (&[], 0);
/// An OPT record of 1232 octets.
const EDNS: (&[u8], u8) = (&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0], 1);
/// The same with a client's cookie.
const COOKIE: (&[u8], u8) = (
    &[
        0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 12, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8,
    ],
    1,
);

fn answer(word: Word) -> Answer {
    Answer {
        word,
        covered: Span {
            first: Hour::new(0x79aaa).unwrap(),
            hours: 336,
        },
    }
}

/// What is said to a datagram: the response, with "sent" to whatever is asked of the ledger.
fn respond(datagram: &[u8]) -> Vec<u8> {
    let (zones, mut into) = (zones(), Vec::new());
    let query = match Query::read(datagram) {
        Ok(query) => query,
        Err(Unread::Silence) => return into,
        Err(Unread::Malformed) => {
            Response::to_unread(datagram, Rcode::FormErr, &mut into);
            return into;
        }
        Err(Unread::OtherOpcode) => {
            Response::to_unread(datagram, Rcode::NotImp, &mut into);
            return into;
        }
    };
    let cookie = query.edns().and_then(|edns| edns.cookie);
    let whole = cookie.map(|cookie| [&cookie[..8], &[9; 8]].concat());
    let terms = Terms {
        way: Way::Datagram,
        cookie: whole.as_deref(),
    };
    let asked = zones.find(&query);
    if !Response::of_zone(&query, &asked, terms, &mut into) {
        Response::answer(&query, answer(Word::Sent), terms, &mut into);
    }
    into
}

/// A response as a line: code, flags, and the records of answer and authority.
fn shown(response: &[u8]) -> String {
    let Some(layout) = Layout::of(response) else {
        return "none".into();
    };
    let message = Message::new(response, &layout);
    let mut text = alloc::format!("{} {:02x}", response[3] & 0xf, response[2]);
    for (section, records) in [
        ("", message.answers().collect::<Vec<_>>()),
        (" /", message.authorities().collect()),
    ] {
        if !records.is_empty() {
            text.push_str(section);
        }
        for record in records {
            let owner = record.owner().to_name().unwrap();
            let data = match record.data().unwrap() {
                Data::Txt(text) => {
                    String::from_utf8(strings(text).flatten().copied().collect()).unwrap()
                }
                Data::Ns(name) => name.to_name().unwrap().to_string(),
                Data::Soa(minimum) => alloc::format!("soa {minimum}"),
                other => alloc::format!("{other:?}"),
            };
            write!(text, " [{owner} {data}]").unwrap();
        }
    }
    text
}

#[test]
fn each_thing_that_can_be_asked_has_its_answer() {
    let offer = "[_sent.example.org v=vouch1 h=sha256-128 b=24 w=336 l=80 p=none]";
    let sent = alloc::format!("0 85 [{VECTOR} v=1 s=1 c=79aaa+150]");
    let (txt, ns, soa, a, any) = (16, 2, 6, 1, 255);
    for (name, kind, expected) in [
        (VECTOR, txt, &*sent),
        (VECTOR, any, &sent),
        (VECTOR, a, "0 85 / [_sent.example.org soa 300]"),
        ("_sent.example.org", txt, &alloc::format!("0 85 {offer}")),
        ("_SENT.Example.ORG", txt, &alloc::format!("0 85 {offer}")),
        (
            "_sent.example.org",
            ns,
            "0 85 [_sent.example.org ns1.example.org] [_sent.example.org ns2.example.net]",
        ),
        ("_sent.example.org", soa, "0 85 [_sent.example.org soa 300]"),
        ("_sent.example.org", a, "0 85 / [_sent.example.org soa 300]"),
        (
            "9._sent.example.org",
            ns,
            "0 85 / [_sent.example.org soa 300]",
        ),
        (
            "9._sent.example.org",
            txt,
            "0 85 / [_sent.example.org soa 300]",
        ),
        (
            "w._sent.example.org",
            txt,
            "3 85 / [_sent.example.org soa 300]",
        ),
        (
            "x.y.9._sent.example.org",
            txt,
            "3 85 / [_sent.example.org soa 300]",
        ),
        ("x.9._sent.example.org", txt, "1 81"),
        (&VECTOR.replace(".9.", ".8."), txt, "1 81"),
        ("_sent.example.com", txt, "5 81"),
        ("_sent.sub.example.org", txt, "5 81"),
        ("_sent.org", txt, "5 81"),
        ("example.org", txt, "5 81"),
        ("", txt, "5 81"),
    ] {
        for more in [BARE, EDNS, COOKIE] {
            let response = respond(&query(name, kind, more));
            assert_eq!(shown(&response), expected, "{name} {kind}");
            assert_eq!(response[..2], [0xab, 0xcd]);
        }
    }
}

#[test]
fn names_come_back_as_they_came() {
    let mixed = VECTOR.replace("srv", "SrV").replace("example", "eXample");
    let asked = query(&mixed, 16, BARE);
    let response = respond(&asked);
    assert_eq!(response[12..asked.len()], asked[12..]);
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let good = query(VECTOR, 16, EDNS);
    let with = |at: usize, octet| {
        let mut datagram = good.clone();
        datagram[at] = octet;
        respond(&datagram)
    };
    // Responses and fragments stay unanswered.
    assert!(with(2, 0x81).is_empty());
    assert!(respond(&good[..11]).is_empty());
    // Another opcode; no question, two, an answer, an authority; a name that goes on for ever, or points.
    assert_eq!(with(2, 0x21)[2..12], [0xa1, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (at, octet) in [
        (5, 0),
        (5, 2),
        (7, 1),
        (9, 1),
        (11, 2),
        (11, 0),
        (12, 0xc0),
        (12, 62),
    ] {
        assert_eq!(
            with(at, octet)[2..12],
            [0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            "{at}"
        );
    }
    for length in 12..good.len() {
        assert_eq!(respond(&good[..length])[2..4], [0x81, 1], "{length}");
    }
    // Another class, another version of EDNS, cookies of no length.
    let class = query(VECTOR, 16, BARE).len() - 1;
    assert_eq!(with(class, 3)[3], 5);
    let version = respond(&query(
        VECTOR,
        16,
        (&[0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0], 1),
    ));
    assert_eq!((version[3] & 15, version[7]), (0, 0));
    assert_eq!(version[version.len() - 6], 1, "BADVERS is 16");
    for cookie in [0, 7, 9, 15] {
        let mut opt = vec![
            0,
            0,
            41,
            4,
            208,
            0,
            0,
            0,
            0,
            0,
            4 + cookie,
            0,
            10,
            0,
            cookie,
        ];
        opt.extend((0..cookie).map(|_| 1));
        assert_eq!(respond(&query(VECTOR, 16, (&opt, 1)))[3], 1, "{cookie}");
    }
    // Not one OPT record.
    assert_eq!(respond(&query(VECTOR, 16, (&EDNS.0.repeat(2), 2)))[3], 1);
    assert_eq!(
        respond(&query(VECTOR, 16, (&[0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0], 1)))[3],
        1
    );
}

#[test]
fn an_answer_is_no_longer_than_half_as_much_again() {
    let q = VECTOR.split("._sent").next().unwrap();
    let with_cookie = |octets: u8| {
        let mut opt = vec![
            0,
            0,
            41,
            4,
            208,
            0,
            0,
            0,
            0,
            0,
            4 + octets,
            0,
            10,
            0,
            octets,
        ];
        opt.extend(0..octets);
        opt
    };
    let cookies: Vec<_> = core::iter::once(8)
        .chain(16..=40)
        .map(with_cookie)
        .collect();
    let cookies = cookies.iter().map(|opt| (&opt[..], 1));
    for domain in ["example.org", "a.b"] {
        for more in [BARE, EDNS].into_iter().chain(cookies.clone()) {
            let asked = query(&alloc::format!("{q}._sent.{domain}"), 16, more);
            let response = respond(&asked);
            assert_eq!((response[2], response[3], response[7]), (0x85, 0, 1));
            assert!(
                response.len() * 2 <= asked.len() * 3,
                "{} of {}",
                response.len(),
                asked.len()
            );
        }
    }
}

#[test]
fn what_would_be_longer_goes_without_its_cookie_or_not_at_all() {
    let datagram = query(VECTOR, 16, COOKIE);
    let read = Query::read(&datagram).unwrap();
    let mut into = Vec::new();
    let mut say = |way, cookie: &[u8]| {
        let cookie = Some(cookie);
        Response::answer(&read, answer(Word::Sent), Terms { way, cookie }, &mut into);
        (into[2], into[7], into.ends_with(&[9; 8]))
    };
    assert_eq!(say(Way::Datagram, &[9; 16]), (0x85, 1, true));
    assert_eq!(say(Way::Datagram, &[9; 40]), (0x85, 1, false));
    assert_eq!(say(Way::Stream, &[9; 40]), (0x85, 1, true));
}

#[test]
fn what_is_cut_says_so_and_is_no_longer_than_the_question() {
    for more in [BARE, EDNS] {
        let datagram = query(VECTOR, 16, more);
        let read = Query::read(&datagram).unwrap();
        let mut into = Vec::new();
        Response::truncated(&read, BY_DATAGRAM, &mut into);
        assert_eq!((into[2], into[3], into.len()), (0x87, 0, datagram.len()));
    }
}

#[test]
fn cookies_go_back_whole() {
    let response = respond(&query(VECTOR, 16, COOKIE));
    let tail = [0, 10, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 9, 9, 9, 9];
    assert!(response.ends_with(&tail));
}

#[test]
fn more_than_fits_is_left_to_tcp() {
    let name = |at: usize| {
        Name::parse(&alloc::format!("{}.example.net", "n".repeat(50 + at % 10))).unwrap()
    };
    let hosts: Vec<_> = (0..12).map(name).collect();
    let domain = Domain::parse("example.org").unwrap();
    let offer = Offer {
        window: 1,
        least_revealed: 80,
        policy: Policy::Reject,
    };
    let zones: Zones = Zone::new(domain, offer, &hosts, &hosts[0])
        .into_iter()
        .collect();
    let datagram = query("_sent.example.org", 2, BARE);
    let read = Query::read(&datagram).unwrap();
    let mut into = Vec::new();
    assert!(Response::of_zone(
        &read,
        &zones.find(&read),
        BY_DATAGRAM,
        &mut into
    ));
    assert_eq!((into[2], into.len()), (0x87, datagram.len()));
    let by_stream = Terms {
        way: Way::Stream,
        cookie: None,
    };
    assert!(Response::of_zone(
        &read,
        &zones.find(&read),
        by_stream,
        &mut into
    ));
    assert_eq!((into[2], into[7]), (0x85, 12));
    assert!(into.len() > 512);
    let datagram = query("_sent.example.org", 2, EDNS);
    let read = Query::read(&datagram).unwrap();
    assert!(Response::of_zone(
        &read,
        &zones.find(&read),
        BY_DATAGRAM,
        &mut into
    ));
    assert_eq!((into[2], into[7]), (0x85, 12));
}

#[test]
fn times_to_live_follow_from_what_is_said() {
    let datagram = query(VECTOR, 16, BARE);
    let read = Query::read(&datagram).unwrap();
    let mut into = Vec::new();
    for (word, ttl) in [(Word::Sent, 3600), (Word::NotSent, 30), (Word::Unknown, 0)] {
        Response::answer(&read, answer(word), BY_DATAGRAM, &mut into);
        let layout = Layout::of(&into).unwrap();
        let record = Message::new(&into, &layout).answers().next().unwrap();
        assert_eq!(record.ttl, ttl);
    }
}

proptest! {
    #[test]
    fn no_datagram_makes_it_panic(head in proptest::collection::vec(any::<u8>(), 0..40), at in 0..80_usize, octet: u8) {
        let _ = respond(&head);
        let mut datagram = query(VECTOR, 16, COOKIE);
        if let Some(place) = datagram.get_mut(at) {
            *place = octet;
        }
        let response = respond(&datagram);
        prop_assert!(response.len() <= 3 * datagram.len());
    }
}
