//! Datagrams to whoever answers for a ledger: what is said is a message that can be read, belongs to the query, and is
//! no longer than half as much again where a question is answered.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::Name;
use vouchsafe_proto::dns::message::Layout;
use vouchsafe_proto::residue::wire::{
    Asked, Query, Rcode, Response, Terms, Unread, Way, Zone, Zones,
};
use vouchsafe_proto::residue::{Answer, Hour, Offer, Policy, Span, Word};

fn zones() -> Zones {
    let host = Name::parse("ns.example.org").expect("a name");
    let offer = Offer {
        window: 336,
        least_revealed: 80,
        policy: Policy::None,
    };
    let domains = ["example.org", "a.b"].map(|domain| Domain::parse(domain).expect("a domain"));
    let zone = |domain| Zone::new(domain, offer, std::slice::from_ref(&host), &host);
    domains.into_iter().filter_map(zone).collect()
}

fuzz_target!(|datagram: &[u8]| {
    let (zones, mut response) = (zones(), Vec::new());
    let query = match Query::read(datagram) {
        Ok(query) => query,
        Err(Unread::Silence) => return,
        Err(Unread::Malformed | Unread::OtherOpcode) => {
            Response::to_unread(datagram, Rcode::FormErr, &mut response);
            assert!(response.len() == 12 && Layout::of(&response).is_some());
            return;
        }
    };
    let cookie = query.edns().and_then(|edns| edns.cookie);
    let cookie = cookie.map(|cookie| [&cookie[..8], &[7; 8]].concat());
    let terms = Terms {
        way: Way::Datagram,
        cookie: cookie.as_deref(),
    };
    let asked = zones.find(&query);
    if !Response::of_zone(&query, &asked, terms, &mut response) {
        assert!(matches!(asked, Asked::Sent(..)));
        let covered = Span {
            first: Hour::new(0xf_ffff).expect("an hour"),
            hours: u16::MAX,
        };
        let answer = Answer {
            word: Word::Unknown,
            covered,
        };
        Response::answer(&query, answer, terms, &mut response);
        assert!(response.len() * 2 <= datagram.len() * 3);
    }
    assert!(Layout::of(&response).is_some());
    assert_eq!(response[..2], datagram[..2]);
    Response::truncated(&query, terms, &mut response);
    assert!(Layout::of(&response).is_some());
});
