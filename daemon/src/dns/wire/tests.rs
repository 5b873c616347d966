//! Queries against another writer and reader of messages, and what responses mean.

use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::rdata::{CNAME, MX, NULL, TXT};
use hickory_proto::rr::{RData, Record};
use vouchsafe_proto::dns::message::{Data, strings};
use vouchsafe_proto::dns::{Lookup, MAX_ALIASES, Records, Tlsa};

use super::super::interpret::{MAX_TTL, Step, interpret};
use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn record(owner: &str, ttl: u32, content: RData) -> Record {
    Record::from_rdata(to_wire(&name(owner)).expect("a name"), ttl, content)
}

fn response(code: ResponseCode, answers: Vec<Record>) -> Message {
    let mut message = Message::response(1, OpCode::Query);
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.insert_answers(answers);
    message
}

fn gone_over(message: &Message) -> Response {
    let octets = message.to_vec().expect("a message").into_boxed_slice();
    let layout = Layout::of(&octets).expect("a message");
    Response { octets, layout }
}

fn query(name: &Name, kind: RecordType, exact_case: bool, edns: bool) -> Query {
    Query::new((name, kind), Whose::Ours, exact_case, edns).expect("chance")
}

fn mx(owner: &str, ttl: u32) -> Record {
    let exchange = to_wire(&name("a.example")).expect("a name");
    record(owner, ttl, RData::MX(MX::new(0, exchange)))
}

fn signature(owner: &str, covered: u16, labels: u8) -> Record {
    let [high, low] = covered.to_be_bytes();
    let mut octets = vec![high, low, 13, labels];
    // TTL, expiry, inception, key tag, the root as signer; then the signature itself.
    octets.extend([0; 4 + 4 + 4 + 2 + 1]);
    octets.extend([7; 64]);
    let rdata = NULL::with(octets);
    let code = rr::RecordType::RRSIG;
    record(owner, 60, RData::Unknown { code, rdata })
}

#[test]
fn names_keep_their_odd_octets_both_ways() {
    for text in [".", "mail-from.example.org", r"a\046b\092\000\255.example"] {
        let wire = to_wire(&name(text)).unwrap();
        assert_eq!(from_wire(&wire), Some(name(text)), "{text}");
    }
}

#[test]
fn the_labels_field_is_that_of_the_records_asked_for() {
    let answers = vec![
        mx("mail-from.example.org", 60),
        signature("mail-from.example.org", 16, 1),
        signature("other.example.org", 15, 1),
        signature("mail-from.example.org", 15, 2),
    ];
    let message = gone_over(&response(ResponseCode::NoError, answers));
    let at = name("mail-from.example.org");
    let said = interpret(&message, (&at, RecordType::Mx), &at, &mut Vec::new());
    assert_eq!(said.signed_labels, Some(2));
}

#[test]
fn the_least_ttl_of_what_was_used_counts() {
    for (alias, first, second, expected) in [
        (30, 60, 50, 30),
        (100, 60, 50, 50),
        (1 << 31, 60, 50, 0),
        (2_000_000, 3_000_000, 1_000_000, MAX_TTL),
    ] {
        let target = CNAME(to_wire(&name("b.example")).unwrap());
        let answers = vec![
            mx("b.example", first),
            record("a.example", alias, RData::CNAME(target)),
            mx("b.example", second),
            mx("d.example", 1),
        ];
        let message = gone_over(&response(ResponseCode::NoError, answers));
        let at = name("a.example");
        let mut followed = Vec::new();
        let said = interpret(&message, (&at, RecordType::Mx), &at, &mut followed);
        assert_eq!(said.ttl, expected);
        assert_eq!(followed, [name("b.example")]);
    }
}

#[test]
fn an_alias_without_its_end_is_asked_on_unless_the_end_is_denied() {
    let alias = || {
        let target = CNAME(to_wire(&name("b.example.net")).expect("a name"));
        vec![record("a.example", 60, RData::CNAME(target))]
    };
    let at = name("a.example");
    let step = |message: &Message| {
        interpret(
            &gone_over(message),
            (&at, RecordType::Mx),
            &at,
            &mut Vec::new(),
        )
        .step
    };
    let open = response(ResponseCode::NoError, alias());
    assert_eq!(step(&open), Step::AskOn(name("b.example.net")));
    let denied = response(ResponseCode::NXDomain, alias());
    assert_eq!(step(&denied), Step::End(Lookup::NxDomain));
    for (zone, expected) in [
        ("example.net", Step::End(Lookup::NoData)),
        ("example", Step::AskOn(name("b.example.net"))),
    ] {
        let mut message = response(ResponseCode::NoError, alias());
        let root = rr::Name::root();
        let soa = rr::rdata::SOA::new(root.clone(), root, 1, 1, 1, 1, 60);
        message.add_authority(record(zone, 60, RData::SOA(soa)));
        assert_eq!(step(&message), expected, "{zone}");
    }
}

#[test]
fn an_extended_error_tells_bogus_from_failed() {
    for (extended, trouble) in [
        (None, Trouble::ServFail),
        (Some(22), Trouble::ServFail),
        (Some(6), Trouble::Bogus),
        (Some(9), Trouble::Bogus),
    ] {
        let mut message = response(ResponseCode::ServFail, Vec::new());
        let mut options = Edns::new();
        if let Some(code) = extended {
            options
                .options_mut()
                .insert(EdnsOption::Unknown(15, vec![0, code, b'x']));
        }
        message.set_edns(options);
        let layout = gone_over(&message).layout;
        assert_eq!(trouble_of(&layout), trouble, "{extended:?}");
    }
}

#[test]
fn letters_in_another_case_are_noticed() {
    // Long enough that the case is all but never left as it was.
    let at = name("a-long-name-with-many-letters.in-the-middle.example.org");
    let query = query(&at, RecordType::Mx, true, true);
    let sent = Message::from_vec(query.octets()).unwrap();
    assert!(sent.metadata.recursion_desired && sent.metadata.authentic_data);
    assert_eq!(sent.max_payload(), UDP_PAYLOAD);
    let mut back = response(ResponseCode::NXDomain, Vec::new());
    back.metadata.id = sent.metadata.id;
    back.queries.clone_from(&sent.queries);
    let octets = back.to_vec().unwrap();
    assert!(matches!(query.read(&octets), Reading::Definite(_)));
    let lower = back.queries[0].name().to_lowercase();
    back.queries[0].set_name(lower);
    let octets = back.to_vec().unwrap();
    assert!(matches!(query.read(&octets), Reading::CaseChanged));
    for length in 0..octets.len() {
        // Whatever is cut off, it is no answer.
        assert!(!matches!(
            query.read(&octets[..length]),
            Reading::Definite(_)
        ));
    }
}

#[test]
fn keys_of_a_service_are_read_with_their_numbers() {
    let at = name("_25._tcp.mx.example");
    let octets = |usage: u8| [&[usage, 1, 1][..], &[0xab; 32]].concat();
    let tlsa = |usage: u8| rr::rdata::TLSA::new(usage.into(), 1.into(), 1.into(), vec![0xab; 32]);
    let answers = [3, 0, 255].map(|usage| record(at.as_str(), 60, RData::TLSA(tlsa(usage))));
    let message = gone_over(&response(ResponseCode::NoError, answers.to_vec()));
    let said = interpret(&message, (&at, RecordType::Tlsa), &at, &mut Vec::new());
    let Step::End(Lookup::Found(Records::Tlsa(found))) = said.step else {
        panic!("{said:?}");
    };
    let kept = |tlsa: &Tlsa| [&[tlsa.usage, tlsa.selector, tlsa.matching][..], &tlsa.data].concat();
    let kept: Vec<_> = found.iter().map(kept).collect();
    assert_eq!(kept, [3, 0, 255].map(octets));
    assert!(found[0].to_string().starts_with("3 1 1 abab"));
}

#[test]
fn a_query_says_what_it_should_and_no_more() {
    for (kind, edns, wants_signatures) in [
        (RecordType::Mx, true, true),
        (RecordType::Txt, true, false),
        (RecordType::Mx, false, false),
    ] {
        let at = name(r"a\046b.\255x.example");
        let query = query(&at, kind, false, edns);
        let sent = Message::from_vec(query.octets()).unwrap();
        assert_eq!(sent.metadata.message_type, MessageType::Query);
        let asked = &sent.queries[0];
        assert_eq!(u16::from(asked.query_type()), wire_type(kind));
        assert_eq!(asked.query_class(), rr::DNSClass::IN);
        assert_eq!(sent.queries.len(), 1);
        assert_eq!(from_wire(sent.queries[0].name()), Some(at));
        assert_eq!(sent.edns.is_some(), edns);
        let flags = sent.edns.map(|edns| edns.flags().dnssec_ok);
        assert_eq!(flags.unwrap_or_default(), wants_signatures);
    }
    let longest = name(
        &[
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(61),
        ]
        .join("."),
    );
    let query = query(&longest, RecordType::Mx, true, true);
    assert_eq!(query.octets().len(), MAX_QUERY);
}

/// What another reader of messages finds in the same octets, if it finds a message.
fn assert_same(ours: &Response, octets: &[u8]) {
    let Ok(theirs) = Message::from_vec(octets) else {
        return;
    };
    assert_eq!(ours.layout.code, u16::from(theirs.metadata.response_code));
    assert_eq!(ours.is_authentic(), theirs.metadata.authentic_data);
    assert_eq!(ours.is_authoritative(), theirs.metadata.authoritative);
    assert_eq!(ours.recurses(), theirs.metadata.recursion_available);
    assert_eq!(ours.answers().count(), theirs.answers.len());
    for (ours, theirs) in ours.answers().zip(&theirs.answers) {
        assert_eq!(ours.owner().to_name(), from_wire(&theirs.name));
        assert!(ours.owner().is(&from_wire(&theirs.name).unwrap()));
        assert_eq!(ours.class, u16::from(theirs.dns_class));
        assert_eq!(ours.ttl, theirs.ttl);
        match (ours.data().unwrap(), &theirs.data) {
            (Data::A(ours), RData::A(theirs)) => assert_eq!(ours, theirs.0),
            (Data::Aaaa(ours), RData::AAAA(theirs)) => assert_eq!(ours, theirs.0),
            (Data::Mx(preference, exchange), RData::MX(theirs)) => {
                assert_eq!(preference, theirs.preference);
                assert_eq!(exchange.to_name(), from_wire(&theirs.exchange));
            }
            (Data::Cname(ours), RData::CNAME(theirs)) => {
                assert_eq!(ours.to_name(), from_wire(&theirs.0));
            }
            (Data::Ptr(ours), RData::PTR(theirs)) => {
                assert_eq!(ours.to_name(), from_wire(&theirs.0));
            }
            (Data::Txt(ours), RData::TXT(theirs)) => {
                let theirs = theirs.txt_data.iter().map(|text| &**text);
                assert!(strings(ours).eq(theirs));
            }
            (Data::Rrsig(covered, labels), RData::DNSSEC(DNSSECRData::RRSIG(signature))) => {
                let theirs = signature.input();
                assert_eq!(covered, u16::from(theirs.type_covered));
                assert_eq!(labels, theirs.num_labels);
            }
            (Data::Tlsa(numbers, data), RData::TLSA(theirs)) => {
                let of_theirs = [
                    theirs.cert_usage.into(),
                    theirs.selector.into(),
                    theirs.matching.into(),
                ];
                assert_eq!((numbers, data), (of_theirs, &*theirs.cert_data));
            }
            (Data::Soa(minimum), RData::SOA(theirs)) => assert_eq!(minimum, theirs.minimum),
            (Data::Ns(ours), RData::NS(theirs)) => {
                assert_eq!(ours.to_name(), from_wire(&theirs.0));
            }
            (Data::Other, _) => {}
            (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
        }
    }
}

#[test]
fn no_octet_of_a_response_can_do_harm() {
    let at = name("a.example");
    let query = query(&at, RecordType::Mx, true, true);
    let sent = Message::from_vec(query.octets()).unwrap();
    let target = CNAME(to_wire(&name("b.example")).unwrap());
    let answers = vec![
        record("a.example", 60, RData::CNAME(target)),
        mx("b.example", 60),
        signature("b.example", 15, 2),
        record(
            "b.example",
            60,
            RData::TXT(TXT::new(vec!["v=spf1".into(), "x".into()])),
        ),
        record("b.example", 60, RData::A(rr::rdata::A::new(192, 0, 2, 1))),
    ];
    let mut back = response(ResponseCode::NoError, answers);
    back.metadata.id = sent.metadata.id;
    back.queries.clone_from(&sent.queries);
    back.set_edns(Edns::new());
    let whole = back.to_vec().unwrap();
    assert!(matches!(query.read(&whole), Reading::Definite(_)));
    for index in 0..whole.len() {
        for value in 0..=u8::MAX {
            let mut octets = whole.clone();
            octets[index] = value;
            if let Reading::Definite(message) = query.read(&octets) {
                let mut followed = Vec::new();
                let said = interpret(&message, (&at, RecordType::Mx), &at, &mut followed);
                assert!(said.ttl <= MAX_TTL && followed.len() <= MAX_ALIASES);
                assert_same(&message, &octets);
            }
        }
    }
}
