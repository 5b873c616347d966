//! The verifier against the small authority on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::dns::authority::{Authority, Zones};
use crate::dns::{Settings, Stub};
use crate::perimeter::Sources;

const WORLD: &str = "
zone example.org
mail-from.example.org 40 MX 0 relay.example.org
relay.example.org 30 A 127.0.0.9
zone example.net
example.net A 127.0.0.1
servfail broken.example
silent silent.example
";

async fn serve(world: &str) -> Authority {
    let zones = Zones::parse(world).expect("zones");
    Authority::start(([127, 0, 0, 1], 0).into(), zones)
        .await
        .expect("a port")
}

fn resolver(server: SocketAddr) -> Arc<dyn Resolver> {
    Arc::new(Stub::new(Settings {
        deadline: Duration::from_secs(2),
        ..Settings::new(vec![server])
    }))
}

fn path(text: &str) -> ReversePath {
    ReversePath::parse_inside(text).expect("a reverse-path")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn each_verdict_is_reached_over_real_sockets() {
    let authority = serve(WORLD).await;
    let verifier = Verifier::new(
        resolver(authority.address()),
        Arc::default(),
        Policy {
            relay_from: vec!["10.0.0.0/8".parse().unwrap()],
            local_domains: BTreeSet::from([Domain::parse("example.org").unwrap()]),
            ..Policy::default()
        },
    );
    for (reverse_path, client, expected, refusal) in [
        (
            "a@example.org",
            "127.0.0.9",
            VerdictResult::Authorised,
            None,
        ),
        (
            "a@example.org",
            "127.0.0.8",
            VerdictResult::Repudiated,
            Some(550),
        ),
        ("a@example.net", "127.0.0.8", VerdictResult::Unknown, None),
        (
            "a@broken.example",
            "127.0.0.8",
            VerdictResult::Tempfail,
            Some(450),
        ),
        (
            "a@silent.example",
            "127.0.0.8",
            VerdictResult::Tempfail,
            Some(450),
        ),
        ("", "127.0.0.8", VerdictResult::Unknown, None),
        ("a@example.org", "10.1.2.3", VerdictResult::Authorised, None),
        (
            "a@example.org",
            "::ffff:10.1.2.3",
            VerdictResult::Authorised,
            None,
        ),
        ("a@broken.example", "10.1.2.3", VerdictResult::Unknown, None),
    ] {
        // Twice: the second may come from what was kept, and must be the same.
        for _ in 0..2 {
            let verdict = verifier
                .verify(path(reverse_path), "client".into(), address(client))
                .await;
            let code = verdict.refusal().map(|reply| reply.code());
            assert_eq!(
                (verdict.result(), code),
                (expected, refusal),
                "{reverse_path} from {client}"
            );
        }
    }
}

#[tokio::test]
async fn verdicts_are_kept_but_for_temporary_ones() {
    let authority = serve(WORLD).await;
    let verifier = Verifier::new(
        resolver(authority.address()),
        Arc::default(),
        Policy::default(),
    );
    let ask = |reverse_path: &str, client: &str| {
        let verdict = verifier.verify(path(reverse_path), "client".into(), address(client));
        async move { verdict.await.result() }
    };
    assert_eq!(
        ask("a@example.org", "127.0.0.9").await,
        VerdictResult::Authorised
    );
    assert_eq!(
        ask("a@broken.example", "127.0.0.9").await,
        VerdictResult::Tempfail
    );
    authority.replace(
        Zones::parse("zone broken.example\nbroken.example A 127.0.0.1\nservfail example.org")
            .unwrap(),
    );
    assert_eq!(
        ask("b@Example.ORG", "127.0.0.9").await,
        VerdictResult::Authorised
    );
    assert_eq!(
        ask("a@broken.example", "127.0.0.9").await,
        VerdictResult::Unknown
    );
}

#[tokio::test]
async fn nothing_is_rejected_while_a_perimeter_host_is_not_known() {
    let authority = serve(WORLD).await;
    let resolver = resolver(authority.address());
    let perimeter = Arc::new(Perimeter::new(&Sources {
        networks: vec!["127.0.0.7/32".parse().unwrap()],
        names: vec![Domain::parse("mx2.broken.example").unwrap()],
        ..Sources::default()
    }));
    let verifier = Verifier::new(
        Arc::clone(&resolver),
        Arc::clone(&perimeter),
        Policy::default(),
    );
    let ask = async |client: &str| {
        verifier
            .verify(path("a@example.org"), "client".into(), address(client))
            .await
            .result()
    };
    perimeter.refresh(&resolver).await;
    assert_eq!(ask("127.0.0.8").await, VerdictResult::Tempfail);
    assert_eq!(ask("127.0.0.7").await, VerdictResult::Unknown);
    assert_eq!(ask("127.0.0.9").await, VerdictResult::Authorised);
    perimeter.configure(&Sources::default());
    assert_eq!(ask("127.0.0.8").await, VerdictResult::Repudiated);
    assert_eq!(ask("127.0.0.7").await, VerdictResult::Repudiated);
}

/// PROTOCOLS A.6: one MX question and one address question for each listed host; no SPF and no other
/// test, whose questions would be counted too; and nothing out of a cache.
#[tokio::test]
async fn a_legitimate_message_costs_a_question_for_the_set_and_one_for_each_host() {
    for (hosts, client, other) in [
        (1, "127.0.0.101", "127.0.0.101"),
        (3, "127.0.0.103", "127.0.0.101"),
        (5, "127.0.0.102", "127.0.0.104"),
        (4, "2001:db8::3", "2001:db8::1"),
    ] {
        let relays = (1..=hosts).map(|host| {
            let name = format!("relay{host}.example.org");
            format!(
                "mail-from.example.org MX 0 {name}\n{name} A 127.0.0.10{host}\n{name} AAAA \
                 2001:db8::{host}\n"
            )
        });
        let spf = String::from("zone example.org\nexample.org TXT \"v=spf1 mx -all\"\n");
        let world = spf + &relays.collect::<String>();
        let authority = serve(&world).await;
        let stub = Stub::new(Settings::new(vec![authority.address()]));
        let verifier = Verifier::new(Arc::new(stub.clone()), Arc::default(), Policy::default());
        let asked = async |reverse_path: &str, client: &str| {
            let verdict = verifier.verify(path(reverse_path), "client".into(), address(client));
            assert_eq!(verdict.await.result(), VerdictResult::Authorised);
            stub.figures().misses
        };
        assert_eq!(asked("a@example.org", client).await, 1 + hosts);
        // The verdict stands for the domain and the client, the answers for any client.
        assert_eq!(asked("b@Example.org", client).await, 1 + hosts);
        assert_eq!(asked("a@example.org", other).await, 1 + hosts);
        assert_eq!(verifier.figures().hits, if client == other { 2 } else { 1 });
    }
}

#[test]
fn sibling_labels_are_nine_letters_or_digits_and_never_the_same() {
    let labels: BTreeSet<_> = (0..100).map(|_| random_label()).collect();
    assert_eq!(labels.len(), 100);
    assert!(labels.iter().all(|label| label.len() == 9));
}
