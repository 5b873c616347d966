//! From a host that is lost to the next one, and what its silence in a session means for others.

use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;

use super::super::Approach;
use super::super::pool::Keeping;
use super::hop::{Say, TestHop};
use super::sessions::{PATIENT, any, next_hops, ordinary, patient, soon};
use super::world::World;
use crate::clock;

/// A session is lost, by silence or at once.
async fn lose(approach: &mut Approach<'_>, was_silent: bool) {
    let Ok(kept) = soon(approach.next(PATIENT)).await else {
        panic!("no session");
    };
    let outcome = Outcome::local((4, 4, 2), None, "lost");
    approach.lost(kept.connection.remote(), outcome, was_silent);
}

/// No host is left, and this is why.
async fn none_left(mut approach: Approach<'_>) -> String {
    let end = soon(approach.next(PATIENT)).await.err().unwrap();
    end.diagnostic.text().to_owned()
}

#[tokio::test]
async fn whoever_is_silent_in_a_session_is_down_for_others() {
    let (_hop, next_hop) = any().await;
    for (was_silent, is_down) in [(true, true), (false, false)] {
        let next_hops = patient();
        let mut approach = next_hops.approach(&next_hop, false, PATIENT);
        lose(&mut approach, was_silent).await;
        assert_eq!(none_left(approach).await, "lost");
        let mut second = next_hops.approach(&next_hop, false, PATIENT);
        let told = soon(second.next(PATIENT)).await;
        assert_eq!(told.is_err(), is_down);
        if let Err(outcome) = told {
            assert_eq!(outcome.diagnostic.text(), "lost");
        }
    }
}

/// A session that was kept tells as much as a new one.
#[tokio::test]
async fn the_silence_of_a_session_that_was_kept_counts_too() {
    let (_hop, next_hop) = any().await;
    let next_hops = patient();
    let mut first = next_hops.approach(&next_hop, false, PATIENT);
    let kept = soon(first.next(PATIENT))
        .await
        .unwrap_or_else(|_| panic!("none"));
    first.answered();
    next_hops.give_back(kept.origin, kept.connection);
    let answered = clock::mono();
    while clock::mono() <= answered {
        tokio::task::yield_now().await;
    }
    let mut second = next_hops.approach(&next_hop, false, PATIENT);
    lose(&mut second, true).await;
    assert_eq!(none_left(second).await, "lost");
    let mut third = next_hops.approach(&next_hop, false, PATIENT);
    assert!(soon(third.next(PATIENT)).await.is_err());
}

#[tokio::test]
async fn silence_to_one_while_others_are_answered_says_nothing() {
    let (_hop, next_hop) = any().await;
    let next_hops = patient();
    let mut silent = next_hops.approach(&next_hop, false, PATIENT);
    lose(&mut silent, true).await;
    let mut other = next_hops.approach(&next_hop, false, PATIENT);
    assert!(soon(other.next(PATIENT)).await.is_ok());
    other.answered();
    assert_eq!(none_left(silent).await, "lost");
    let mut third = next_hops.approach(&next_hop, false, PATIENT);
    assert!(soon(third.next(PATIENT)).await.is_ok());
}

/// Three hosts: two are lost one after the other, and none is asked twice.
#[tokio::test]
async fn a_lost_host_leads_to_the_next_one() {
    let first = TestHop::start_on("127.0.0.1:0".parse().unwrap(), |_, _| Say::Ordinary).await;
    let port = first.address.port();
    let mut others = Vec::new();
    for host in ["127.0.0.2", "127.0.0.3"] {
        let address = (host.parse::<std::net::IpAddr>().unwrap(), port).into();
        others.push(TestHop::start_on(address, |_, _| Say::Ordinary).await);
    }
    let world = World::default()
        .mx(
            "example.net",
            &[(10, "a.example"), (20, "b.example"), (30, "c.example")],
        )
        .a("a.example", "127.0.0.1")
        .a("b.example", "127.0.0.2")
        .a("c.example", "127.0.0.3");
    let more = "[delivery]\nstarttls = \"off\"\n";
    let next_hops = next_hops(more, world, Keeping::default(), Duration::from_hours(1));
    let next_hop = NextHop::Mx {
        domain: Domain::parse("example.net").unwrap(),
        port,
    };
    let mut approach = next_hops.approach(&next_hop, false, PATIENT);
    for host in ["a.example", "b.example", "c.example"] {
        let kept = soon(approach.next(PATIENT)).await;
        let remote = kept.unwrap_or_else(|outcome| panic!("{outcome:?}"));
        let remote = remote.connection.remote().clone();
        assert_eq!(remote.name, host);
        approach.lost(&remote, Outcome::local((4, 4, 2), None, host), false);
    }
    assert_eq!(none_left(approach).await, "a.example");
    // Whoever has lost a host elsewhere does not begin with it, nor with what is kept of it.
    let mut approach = next_hops.approach(&next_hop, false, PATIENT);
    let kept = soon(approach.next(PATIENT))
        .await
        .unwrap_or_else(|_| panic!("none"));
    let remote = kept.connection.remote().clone();
    approach.answered();
    next_hops.give_back(kept.origin, kept.connection);
    let mut approach = next_hops.approach(&next_hop, false, PATIENT);
    approach.lost(&remote, Outcome::local((4, 4, 2), None, "lost"), false);
    let kept = soon(approach.next(PATIENT))
        .await
        .unwrap_or_else(|_| panic!("none"));
    assert_eq!(kept.connection.remote().name, "b.example");
    assert!(!kept.origin.is_reused());
}

#[tokio::test]
async fn with_no_patience_left_nobody_is_called() {
    let (hop, next_hop) = any().await;
    let next_hops = ordinary();
    let mut approach = next_hops.approach(&next_hop, false, Duration::ZERO);
    let remote = vouchsafe_proto::outcome::Remote {
        name: String::from("elsewhere.example"),
        address: None,
    };
    approach.lost(&remote, Outcome::local((4, 4, 2), None, "lost"), true);
    assert_eq!(none_left(approach).await, "lost");
    assert!(hop.lines.is_empty());
}
