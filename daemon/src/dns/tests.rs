//! The stub resolver against servers on loopback: the small authority, and some that misbehave.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use vouchsafe_proto::dns::{
    Answer, Freshness, Lookup, Name, Question, RecordType, Records, Trouble,
};

use super::authority::{Authority, ParseZonesError, ZoneFault, Zones};
use super::interpret::MAX_NEGATIVE_TTL;
use super::turns::MAX_OPEN;
use super::{Resolver, Settings, Stub};

const WORLD: &str = r#"
zone example.org
example.org 300 MX 0 mail.example.org
example.org 300 MX 10 backup.example.net
mail.example.org 120 A 127.0.0.9
mail.example.org 90 A 127.0.0.10
mail.example.org AAAA ::1
one.example.org 30 CNAME two.example.org
two.example.org 20 CNAME mail.example.org
away.example.org 40 CNAME host.example.net
gone.example.org CNAME nothing.example.org
dangling.example.org CNAME host.servfail.example
txt.example.org TXT "v=MFMX1; " "x=1"
a.b.ent.example.org A 127.0.0.1
*.wild.example.org MX 10 mail.example.org
real.wild.example.org A 127.0.0.1
loop1.example.org CNAME loop2.example.org
loop2.example.org CNAME loop1.example.org
null.example.org MX 0 .
zone example.net
host.example.net 50 A 127.0.0.11
servfail servfail.example
silent silent.example
"#;

fn question(name: &str, kind: RecordType) -> Question {
    Question {
        name: Name::parse(name).expect("a name"),
        kind,
        freshness: Freshness::Cached,
    }
}

fn fresh(name: &str, kind: RecordType) -> Question {
    Question {
        freshness: Freshness::Fresh,
        ..question(name, kind)
    }
}

fn a(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn serve(world: &str) -> Authority {
    let zones = Zones::parse(world).expect("zones");
    Authority::start(loopback(), zones).await.expect("a port")
}

/// A resolver that waits two seconds at most.
fn stub(servers: &[SocketAddr]) -> Stub {
    Stub::new(Settings {
        deadline: Duration::from_secs(2),
        ..Settings::new(servers.to_vec())
    })
}

/// A server over UDP that does to each query what it is told, until dropped.
async fn odd_server<F, R>(conduct: F) -> (SocketAddr, JoinSet<()>)
where
    F: Fn(Vec<u8>) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<Vec<u8>>> + Send,
{
    let socket = UdpSocket::bind(loopback()).await.expect("a port");
    let address = socket.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut octets = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut octets).await {
            for response in conduct(octets[..length].to_vec()).await {
                socket.send_to(&response, peer).await.expect("sent");
            }
        }
    });
    (address, tasks)
}

/// The query turned into an empty response with a code.
fn respond(query: &[u8], code: ResponseCode) -> Message {
    let mut message = Message::from_vec(query).expect("a query");
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message
}

/// A lookup on one line, for tables.
fn shown(lookup: &Lookup) -> String {
    fn list<T: ToString>(all: &[T]) -> String {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.join(", ")
    }
    match lookup {
        Lookup::Found(Records::A(all)) => list(all),
        Lookup::Found(Records::Aaaa(all)) => list(all),
        Lookup::Found(Records::Ptr(all) | Records::Ns(all)) => list(all),
        Lookup::Found(Records::Tlsa(all)) => list(all),
        Lookup::Found(Records::Mx(all)) => {
            let all: Vec<String> = all
                .iter()
                .map(|mx| format!("{} {}", mx.preference, mx.exchange))
                .collect();
            list(&all)
        }
        Lookup::Found(Records::Txt(all)) => {
            let all: Vec<_> = all.iter().map(|text| text.escape_ascii()).collect();
            list(&all)
        }
        nothing => format!("{nothing:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_answer_is_told_from_the_others() {
    use RecordType::{A, Aaaa, Mx, Txt};
    let authority = serve(WORLD).await;
    let stub = stub(&[authority.address()]);
    for (name, kind, expected, ttl) in [
        ("mail.example.org", A, "127.0.0.9, 127.0.0.10", 90),
        ("mail.example.org", Aaaa, "::1", 60),
        (
            "example.org",
            Mx,
            "0 mail.example.org, 10 backup.example.net",
            300,
        ),
        ("null.example.org", Mx, "0 .", 60),
        ("txt.example.org", Txt, "v=MFMX1; x=1", 60),
        ("mail.example.org", Mx, "NoData", 60),
        ("none.example.org", Mx, "NxDomain", 60),
        ("b.ent.example.org", A, "NoData", 60),
        ("one.example.org", A, "127.0.0.9, 127.0.0.10", 20),
        ("one.example.org", Mx, "NoData", 20),
        ("gone.example.org", A, "NxDomain", 60),
        ("away.example.org", A, "127.0.0.11", 40),
        ("x.wild.example.org", Mx, "10 mail.example.org", 60),
        ("x.wild.example.org", A, "NoData", 60),
        ("real.wild.example.org", Mx, "NoData", 60),
        ("x.real.wild.example.org", Mx, "NxDomain", 60),
        ("loop1.example.org", A, "AliasLimit", 60),
        ("dangling.example.org", A, "Trouble(ServFail)", 0),
        ("servfail.example", Mx, "Trouble(ServFail)", 0),
        ("elsewhere.example", Mx, "Trouble(Refused)", 0),
    ] {
        let answer = stub.ask(question(name, kind)).await;
        let seen = (shown(&answer.lookup), answer.ttl);
        assert_eq!(seen, (expected.to_owned(), ttl), "{name} {kind}");
        assert!(!answer.secure, "{name} {kind}");
    }
}

#[tokio::test]
async fn aliases_are_told_and_bounded_across_servers_answers() {
    // Every link lies in a zone of its own, so that each costs a question.
    let chain = |links: usize| {
        let mut world = String::new();
        for link in 0..links {
            let next = link + 1;
            let _ = writeln!(world, "zone z{link}.example");
            let _ = writeln!(world, "z{link}.example CNAME z{next}.example");
        }
        world + &format!("zone z{links}.example\nz{links}.example A 127.0.0.1\n")
    };
    let authority = serve(&chain(8)).await;
    let answer = stub(&[authority.address()])
        .ask(question("z0.example", RecordType::A))
        .await;
    assert_eq!(answer.lookup, Lookup::Found(Records::A(vec![a(1)])));
    assert_eq!(answer.aliases.len(), 8);
    authority.replace(Zones::parse(&chain(9)).unwrap());
    let answer = stub(&[authority.address()])
        .ask(question("z0.example", RecordType::A))
        .await;
    assert_eq!(answer.lookup, Lookup::AliasLimit);
}

#[tokio::test]
async fn a_long_answer_comes_over_tcp() {
    let mut world = "zone big.example\n".to_owned();
    for host in 0..100 {
        let _ = writeln!(
            world,
            "big.example MX 0 a-border-relay-with-a-long-name-{host}.example.net"
        );
    }
    let authority = serve(&world).await;
    let answer = stub(&[authority.address()])
        .ask(question("big.example", RecordType::Mx))
        .await;
    let Lookup::Found(Records::Mx(all)) = answer.lookup else {
        panic!("{answer:?}");
    };
    assert_eq!(all.len(), 100);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_a_second_server_saves_the_question() {
    let authority = serve(WORLD).await;
    let stub_of = |servers: &[SocketAddr]| {
        Stub::new(Settings {
            deadline: Duration::from_millis(400),
            ..Settings::new(servers.to_vec())
        })
    };
    let begun = crate::clock::mono().as_millis();
    let answer = stub_of(&[authority.address()])
        .ask(question("silent.example", RecordType::Mx))
        .await;
    let taken = crate::clock::mono().as_millis() - begun;
    assert_eq!(answer, Answer::trouble(Trouble::Timeout));
    assert!(taken >= 400, "{taken} ms");

    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (silent, _tasks) = odd_server(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Vec::new() }
    })
    .await;
    let stub = Stub::new(Settings::new(vec![silent, authority.address()]));
    let answer = stub.ask(question("mail.example.org", RecordType::A)).await;
    assert!(matches!(answer.lookup, Lookup::Found(_)));
    let before = asked.load(Ordering::Relaxed);
    assert!(before > 0);
    // The one that answered is asked first from now on.
    stub.ask(question("example.org", RecordType::Mx)).await;
    assert_eq!(asked.load(Ordering::Relaxed), before);
}

#[tokio::test]
async fn a_server_in_trouble_hands_on_to_the_next() {
    let authority = serve(WORLD).await;
    let closed = {
        let socket = UdpSocket::bind(loopback()).await.unwrap();
        socket.local_addr().unwrap()
    };
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::NotImp,
        ResponseCode::NotAuth,
    ] {
        let (failing, _tasks) = odd_server(move |query| async move {
            vec![respond(&query, code).to_vec().expect("octets")]
        })
        .await;
        let both = stub(&[closed, failing, authority.address()]);
        let answer = both.ask(question("mail.example.org", RecordType::A)).await;
        assert!(matches!(answer.lookup, Lookup::Found(_)), "{code}");
        let alone = stub(&[failing]);
        let answer = alone.ask(question("mail.example.org", RecordType::A)).await;
        assert!(matches!(answer.lookup, Lookup::Trouble(_)), "{code}");
    }
    let answer = stub(&[closed])
        .ask(question("mail.example.org", RecordType::A))
        .await;
    assert_eq!(answer.lookup, Lookup::Trouble(Trouble::Timeout));
}

#[tokio::test]
async fn what_does_not_belong_to_the_question_is_passed_over() {
    let (server, _tasks) = odd_server(|query| async move {
        let good = respond(&query, ResponseCode::NXDomain);
        let mut wrong_id = good.clone();
        wrong_id.metadata.id ^= 1;
        wrong_id.metadata.response_code = ResponseCode::NoError;
        let mut wrong_question = good.clone();
        wrong_question.queries[0].set_name(hickory_proto::rr::Name::root());
        let mut octets = vec![b"?".to_vec(), b"garbage of some length".to_vec(), query];
        for message in [wrong_id, wrong_question, good] {
            octets.push(message.to_vec().expect("octets"));
        }
        octets
    })
    .await;
    let answer = stub(&[server])
        .ask(question("mail.example.org", RecordType::A))
        .await;
    assert_eq!(answer.lookup, Lookup::NxDomain);
}

#[tokio::test]
async fn what_cannot_be_read_is_trouble_and_so_is_a_referral() {
    // The id and flags of a response, then octets that are no message.
    let (garbled, _tasks) = odd_server(|query| async move {
        vec![[&query[..2], b"\x81\x80\x00\x01\xff\xff\xff\xff\xff\xff!"].concat()]
    })
    .await;
    let (referring, _tasks) = odd_server(|query| async move {
        let mut message = respond(&query, ResponseCode::NoError);
        message.add_authority(hickory_proto::rr::Record::from_rdata(
            hickory_proto::rr::Name::root(),
            60,
            hickory_proto::rr::RData::NS(hickory_proto::rr::rdata::NS(
                hickory_proto::rr::Name::root(),
            )),
        ));
        vec![message.to_vec().expect("octets")]
    })
    .await;
    for (server, trouble) in [
        (garbled, Trouble::Unreadable),
        (referring, Trouble::Refused),
    ] {
        let answer = stub(&[server])
            .ask(question("mail.example.org", RecordType::A))
            .await;
        assert_eq!(answer, Answer::trouble(trouble));
    }
}

#[tokio::test]
async fn a_server_without_edns_is_asked_without() {
    let (server, _tasks) = odd_server(|query| async move {
        let code = match Message::from_vec(&query).expect("a query").edns {
            Some(_) => ResponseCode::FormErr,
            None => ResponseCode::NXDomain,
        };
        vec![respond(&query, code).to_vec().expect("octets")]
    })
    .await;
    let answer = stub(&[server])
        .ask(question("mail.example.org", RecordType::A))
        .await;
    assert_eq!(answer.lookup, Lookup::NxDomain);
}

#[tokio::test]
async fn the_authentic_data_bit_counts_from_whom_it_is_believed() {
    let (server, _tasks) = odd_server(|query| async move {
        let mut message = respond(&query, ResponseCode::NXDomain);
        message.metadata.authentic_data = true;
        vec![message.to_vec().expect("octets")]
    })
    .await;
    for (trust_ad, secure) in [(None, true), (Some(true), true), (Some(false), false)] {
        let stub = Stub::new(Settings {
            trust_ad,
            ..Settings::new(vec![server])
        });
        let answer = stub.ask(question("mail.example.org", RecordType::A)).await;
        assert_eq!(answer.secure, secure);
    }
}

/// A server that counts what it is asked, and says NXDOMAIN for an hour and more.
async fn counting_server() -> (SocketAddr, JoinSet<()>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let (server, tasks) = odd_server(move |query| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut message = respond(&query, ResponseCode::NXDomain);
            let root = hickory_proto::rr::Name::root();
            let soa = hickory_proto::rr::rdata::SOA::new(
                root.clone(),
                root.clone(),
                1,
                1,
                1,
                1,
                1_000_000,
            );
            message.add_authority(hickory_proto::rr::Record::from_rdata(
                root,
                1_000_000,
                hickory_proto::rr::RData::SOA(soa),
            ));
            vec![message.to_vec().expect("octets")]
        }
    })
    .await;
    (server, tasks, count)
}

#[tokio::test]
async fn negative_answers_are_kept_for_an_hour_and_fresh_ones_are_not_taken_from_there() {
    let (server, _tasks, count) = counting_server().await;
    let stub = stub(&[server]);
    let first = stub.ask(question("a.example", RecordType::Mx)).await;
    assert_eq!((first.ttl, first.age), (MAX_NEGATIVE_TTL, 0));
    let second = stub.ask(question("A.example", RecordType::Mx)).await;
    assert_eq!(second.lookup, Lookup::NxDomain);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    stub.ask(fresh("a.example", RecordType::Mx)).await;
    assert_eq!(count.load(Ordering::SeqCst), 2);
    stub.ask(question("a.example", RecordType::A)).await;
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_asked_once() {
    let (server, _tasks, count) = counting_server().await;
    let stub = stub(&[server]);
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let stub = stub.clone();
        asking.spawn(async move { stub.ask(question("a.example", RecordType::Mx)).await });
    }
    for answer in asking.join_all().await {
        assert_eq!(answer.lookup, Lookup::NxDomain);
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_question_that_was_begun_is_answered_though_whoever_asked_has_gone() {
    let (server, _tasks, count) = counting_server().await;
    let stub = stub(&[server]);
    let mut first = stub.ask(question("a.example", RecordType::Mx));
    let mut second = stub.ask(question("a.example", RecordType::Mx));
    for asked in [&mut first, &mut second] {
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
    }
    drop(first);
    assert_eq!(second.await.lookup, Lookup::NxDomain);
    let third = stub.ask(question("a.example", RecordType::Mx)).await;
    assert_eq!(third.lookup, Lookup::NxDomain);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_names_silent_domains_delays_nobody_else() {
    let authority = serve(WORLD).await;
    // Far longer than the test takes: whoever waits for the flood is seen to.
    let stub = Stub::new(Settings {
        deadline: Duration::from_mins(1),
        ..Settings::new(vec![authority.address()])
    });
    let mut flood = JoinSet::new();
    for host in 0..2 * MAX_OPEN {
        let stub = stub.clone();
        let question = question(&format!("h{host}.silent.example"), RecordType::A);
        flood.spawn(async move { stub.ask_for(a(66).into(), question).await });
    }
    // Each of them has asked, or waits, before this one goes on.
    tokio::task::yield_now().await;
    let other = stub.ask_for(a(67).into(), question("mail.example.org", RecordType::A));
    assert!(matches!(other.await.lookup, Lookup::Found(_)));
    let nobodys = stub.ask(question("example.org", RecordType::Mx));
    assert!(matches!(nobodys.await.lookup, Lookup::Found(_)));
    assert!(flood.try_join_next().is_none(), "the flood still waits");
}

/// All of them are open before the first is answered, the last one first.
#[tokio::test]
async fn many_questions_share_a_few_ports_and_each_has_its_own_answer() {
    const ASKED: u8 = 200;
    let socket = UdpSocket::bind(loopback()).await.expect("a port");
    let stub = stub(&[socket.local_addr().expect("an address")]);
    let mut asking = JoinSet::new();
    for host in 0..ASKED {
        let stub = stub.clone();
        let question = question(&format!("h{host}.example"), RecordType::A);
        asking.spawn(async move { (host, stub.ask(question).await.lookup) });
    }
    let (mut queries, mut ports) = (Vec::new(), BTreeSet::new());
    let mut octets = [0; 4096];
    while queries.len() < ASKED.into() {
        let (length, peer) = socket.recv_from(&mut octets).await.expect("a query");
        ports.insert(peer.port());
        queries.push((octets[..length].to_vec(), peer));
    }
    // Four of 64, and another should an id be taken on all of them.
    assert!(ports.len() <= 5, "{ports:?}");
    for (query, peer) in queries.iter().rev() {
        let mut message = respond(query, ResponseCode::NoError);
        let name = message.queries[0].name().clone();
        let host = name.to_lowercase().to_ascii();
        let host = host
            .strip_prefix('h')
            .and_then(|host| host.strip_suffix(".example."));
        let address = a(host.expect("a host").parse().expect("a number"));
        let data = hickory_proto::rr::RData::A(address.into());
        message.add_answer(hickory_proto::rr::Record::from_rdata(name, 60, data));
        let octets = message.to_vec().expect("octets");
        socket.send_to(&octets, peer).await.expect("sent");
    }
    while let Some(answered) = asking.join_next().await {
        let (host, lookup) = answered.expect("asked");
        assert_eq!(lookup, Lookup::Found(Records::A(vec![a(host)])), "{host}");
    }
}

#[tokio::test]
async fn silence_over_tcp_ends_at_the_deadline() {
    let (server, _tasks) = odd_server(|query| async move {
        let mut message = respond(&query, ResponseCode::NoError);
        message.metadata.truncation = true;
        vec![message.to_vec().expect("octets")]
    })
    .await;
    // Whose connections are taken, and nothing else.
    let listener = TcpListener::bind(server).await.expect("the same port");
    let answer = stub(&[server])
        .ask(question("mail.example.org", RecordType::A))
        .await;
    assert_eq!(answer, Answer::trouble(Trouble::Timeout));
    assert!(listener.accept().await.is_ok());
}

/// What carried the questions ends with the runtime in which the first was asked.
#[test]
fn a_resolver_outlives_a_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let other = tokio::runtime::Runtime::new().expect("a runtime");
    let authority = other.block_on(serve(WORLD));
    let stub = stub(&[authority.address()]);
    for _ in 0..3 {
        let asked = stub.ask(fresh("mail.example.org", RecordType::A));
        let answer = runtime().expect("a runtime").block_on(asked);
        assert!(matches!(answer.lookup, Lookup::Found(_)));
    }
}

#[tokio::test]
async fn trouble_is_forgotten_at_once() {
    let authority = serve("servfail example.org").await;
    let stub = stub(&[authority.address()]);
    let asked = || stub.ask(question("mail.example.org", RecordType::A));
    assert_eq!(asked().await, Answer::trouble(Trouble::ServFail));
    authority.replace(Zones::parse(WORLD).unwrap());
    assert!(matches!(asked().await.lookup, Lookup::Found(_)));
}

#[test]
fn lines_that_are_no_zone_are_named() {
    for (text, line, fault) in [
        ("\nmail.example A 127.0.0.1", 2, ZoneFault::Outside),
        ("zone a..b", 1, ZoneFault::Name),
        ("zone example\nexample", 2, ZoneFault::Form),
        ("zone example\nexample A mail", 2, ZoneFault::Content),
        ("zone example\nexample MX mail", 2, ZoneFault::Content),
        ("zone example\nexample SRV mail", 2, ZoneFault::Content),
        ("zone example\nexample CNAME a..b", 2, ZoneFault::Name),
    ] {
        assert_eq!(
            Zones::parse(text).unwrap_err(),
            ParseZonesError { line, fault },
            "{text}"
        );
    }
}

/// What an authority is made to say: flags, and where it leads.
#[derive(Clone, Copy)]
struct Conduct {
    aa: bool,
    leads_on: bool,
    alias: bool,
}

/// A server that says so of everything, and notes whether it was asked to ask others.
async fn odd_authority(conduct: Conduct) -> (SocketAddr, JoinSet<()>, Arc<AtomicUsize>) {
    use hickory_proto::rr::rdata::{A, CNAME, NS};
    use hickory_proto::rr::{Name, RData, Record};

    let recursive = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&recursive);
    let (server, tasks) = odd_server(move |query| {
        let mut message = respond(&query, ResponseCode::NoError);
        counted.fetch_add(
            usize::from(message.metadata.recursion_desired),
            Ordering::Relaxed,
        );
        message.metadata.authoritative = conduct.aa;
        let owner = message.queries[0].name().clone();
        let elsewhere = Name::from_ascii("elsewhere.example.").expect("a name");
        if conduct.leads_on {
            let data = RData::NS(NS(elsewhere));
            message.add_authority(Record::from_rdata(owner, 60, data));
        } else if conduct.alias {
            let data = RData::CNAME(CNAME(elsewhere));
            message.add_answer(Record::from_rdata(owner, 60, data));
        } else {
            let data = RData::A(A(a(7)));
            message.add_answer(Record::from_rdata(owner, 60, data));
        }
        async move { vec![message.to_vec().expect("octets")] }
    })
    .await;
    (server, tasks, recursive)
}

#[tokio::test]
async fn a_zones_own_server_is_believed_only_where_it_speaks_for_the_zone() {
    let of_zone = |servers| Stub::new(Settings::of_zone(servers, Duration::from_secs(5)));
    let conduct = |aa, leads_on, alias| Conduct {
        aa,
        leads_on,
        alias,
    };
    let found = Lookup::Found(Records::A(vec![a(7)]));
    let refused = Lookup::Trouble(Trouble::Refused);
    let (good, _good_tasks, _) = odd_authority(conduct(true, false, false)).await;
    for (conduct, expected) in [
        (conduct(true, false, false), &found),
        (conduct(false, false, false), &refused),
        (conduct(false, true, false), &refused),
        (conduct(true, false, true), &refused),
    ] {
        let (server, _tasks, recursive) = odd_authority(conduct).await;
        let asked = question("mail.example.org", RecordType::A);
        let alone = of_zone(vec![server]).ask(asked.clone()).await;
        assert_eq!(alone.lookup, *expected);
        assert_eq!(alone.aliases.len(), usize::from(conduct.alias));
        // A lame one hands on to the next; an alias is the zone's word.
        let both = of_zone(vec![server, good]).ask(asked.clone()).await;
        let last = if conduct.alias { &refused } else { &found };
        assert_eq!(both.lookup, *last);
        assert_eq!(recursive.load(Ordering::Relaxed), 0);
        // Of a resolver AA is not wanted, and recursion is.
        stub(&[server]).ask(asked).await;
        assert!(recursive.load(Ordering::Relaxed) > 0);
    }
}
