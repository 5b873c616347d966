//! Which session is given out, which is left, and whom nobody waits for.
//!
//! Which session it is shows in the number of the connection over which the next hop hears QUIT.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{Host, NextHop};

use super::super::health::SHORTEST;
use super::super::pool::Keeping;
use super::super::{Kept, NextHops, Reach};
use super::hop::{Say, TestHop};
use super::world::World;
use crate::current::Current;
use crate::dns::Resolver;
use crate::mta_sts;
use crate::tls::next_hop::Client;

/// What such tests are about takes moments; nothing of them waits for this to be over.
const SOON: Duration = Duration::from_secs(20);

/// Patience that is not what a test is about.
pub(super) const PATIENT: Duration = Duration::from_mins(1);

/// Next hops with these lines of configuration.
pub(super) fn next_hops(
    more: &str,
    world: World,
    keeping: Keeping,
    shortest: Duration,
) -> NextHops {
    let text = format!(
        "hostname = \"mx.example.org\"\ndata_dir = \"/nowhere\"\n\
         postmaster = \"postmaster@example.org\"\nrelay.from = [\"127.0.0.1\"]\n{more}\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\n"
    );
    let loaded = crate::config::parse(&text, Path::new("test.toml"));
    let config = loaded.unwrap_or_else(|error| panic!("{error}")).config;
    let tls = Arc::new(Client::new(rustls::RootCertStore::empty()).unwrap());
    let resolver: Arc<dyn Resolver> = Arc::new(world);
    let reach = Reach {
        policies: Arc::new(mta_sts::Policies::open(
            Arc::clone(&resolver),
            Arc::clone(&tls),
            None,
        )),
        resolver,
        tls,
    };
    let current = Arc::new(Current::new(config, None).unwrap());
    NextHops::with(Arc::new(reach), current, keeping, shortest)
}

/// Those of a service.
pub(super) fn ordinary() -> NextHops {
    keeping(Keeping::default())
}

/// Those that keep sessions so.
fn keeping(keeping: Keeping) -> NextHops {
    next_hops("", World::default(), keeping, SHORTEST)
}

/// Those that do not ask a next hop which is down again while a test runs.
pub(super) fn patient() -> NextHops {
    let keeping = Keeping::default();
    next_hops("", World::default(), keeping, Duration::from_hours(1))
}

/// Those that ask a next hop which is down again at once.
fn eager() -> NextHops {
    next_hops("", World::default(), Keeping::default(), Duration::ZERO)
}

/// Where a scripted next hop is.
fn at(address: SocketAddr) -> NextHop {
    NextHop::Smtp {
        host: Host::Address(address.ip()),
        port: address.port(),
    }
}

/// A next hop that says what any would.
pub(super) async fn any() -> (TestHop, NextHop) {
    let hop = TestHop::start(|_, _| Say::Ordinary).await;
    let next_hop = at(hop.address);
    (hop, next_hop)
}

/// A next hop that greets each connection as this says, by its number.
async fn greeting(say: impl Fn(usize) -> Say + Send + Sync + 'static) -> (TestHop, NextHop) {
    let hop = TestHop::start(move |number, line| match line {
        "GREETING" => say(number),
        _ => Say::Ordinary,
    });
    let hop = hop.await;
    let next_hop = at(hop.address);
    (hop, next_hop)
}

/// What comes of it, soon.
pub(super) async fn soon<Output>(what: impl Future<Output = Output>) -> Output {
    timeout(SOON, what).await.expect("not that long")
}

impl NextHops {
    /// A session that is kept, or a new one, with an answer over it.
    async fn take(&self, next_hop: &NextHop, patience: Duration) -> Result<Kept, Outcome> {
        let mut approach = self.approach(next_hop, false, PATIENT);
        let kept = approach.next(patience).await?;
        approach.answered();
        Ok(kept)
    }
}

/// A session.
async fn take(next_hops: &NextHops, next_hop: &NextHop) -> Result<Kept, Outcome> {
    soon(next_hops.take(next_hop, PATIENT)).await
}

/// One that there is.
async fn taken(next_hops: &NextHops, next_hop: &NextHop) -> Kept {
    let taken = take(next_hops, next_hop).await;
    taken.unwrap_or_else(|outcome| panic!("{outcome:?}"))
}

/// Gives them back, in this order.
fn give_back(next_hops: &NextHops, all: impl IntoIterator<Item = Kept>) {
    for kept in all {
        next_hops.give_back(kept.origin, kept.connection);
    }
}

/// The number of the connection that is left next.
async fn left(hop: &mut TestHop) -> usize {
    soon(hop.line("QUIT")).await.0
}

/// The number of this session's connection.
async fn number(hop: &mut TestHop, kept: Kept) -> usize {
    kept.connection.quit().await;
    left(hop).await
}

#[tokio::test]
async fn one_connection_serves_many() {
    let (mut hop, next_hop) = any().await;
    let next_hops = ordinary();
    for nth in 0..20 {
        let kept = taken(&next_hops, &next_hop).await;
        assert_eq!(kept.origin.is_reused(), nth > 0);
        give_back(&next_hops, [kept]);
    }
    let mut approach = next_hops.approach(&next_hop, false, PATIENT);
    let idle = soon(approach.next(PATIENT)).await.unwrap();
    assert!(idle.origin.is_reused());
    // One that was kept had ended: then a new one.
    let kept = soon(approach.next(PATIENT)).await.unwrap();
    approach.answered();
    give_back(&next_hops, [idle]);
    assert!(!kept.origin.is_reused());
    assert_eq!(number(&mut hop, kept).await, 1);
    let kept = taken(&next_hops, &next_hop).await;
    assert_eq!(number(&mut hop, kept).await, 0);
}

#[tokio::test]
async fn a_session_carries_its_share_and_is_left() {
    let (mut hop, next_hop) = any().await;
    let more = "[delivery]\nmessages_per_connection = 3\n";
    let next_hops = next_hops(more, World::default(), Keeping::default(), SHORTEST);
    for _ in 0..3 {
        let kept = taken(&next_hops, &next_hop).await;
        give_back(&next_hops, [kept]);
    }
    let kept = taken(&next_hops, &next_hop).await;
    assert!(!kept.origin.is_reused());
    assert_eq!(left(&mut hop).await, 0);
    assert_eq!(number(&mut hop, kept).await, 1);
}

/// A message that is taken makes good what was refused before.
#[tokio::test]
async fn a_session_over_which_much_was_refused_is_left() {
    let (mut hop, next_hop) = any().await;
    let next_hops = ordinary();
    let told = |code| {
        let reply = Reply::received(code, None, vec!["x".into()]);
        (0, Outcome::from_reply(&reply, None))
    };
    for (nth, outcomes) in [
        vec![told(550), told(450), told(550), told(550)],
        vec![told(550), told(250)],
        vec![told(550), told(550), told(550)],
        vec![told(550)],
        vec![told(550)],
    ]
    .into_iter()
    .enumerate()
    {
        let mut kept = taken(&next_hops, &next_hop).await;
        assert_eq!(kept.origin.is_reused(), nth > 0);
        kept.origin.heard(&outcomes);
        give_back(&next_hops, [kept]);
    }
    let kept = taken(&next_hops, &next_hop).await;
    assert!(!kept.origin.is_reused());
    assert_eq!(left(&mut hop).await, 0);
    assert_eq!(number(&mut hop, kept).await, 1);
}

#[tokio::test]
async fn the_one_used_last_is_given_out_first_and_only_to_its_next_hop() {
    let ((mut hop, next_hop), (mut other_hop, other)) = (any().await, any().await);
    let next_hops = ordinary();
    let mut all = Vec::new();
    for _ in 0..3 {
        all.push(taken(&next_hops, &next_hop).await);
    }
    all.push(taken(&next_hops, &other).await);
    give_back(&next_hops, all);
    for wanted in [2, 1, 0, 3] {
        let kept = taken(&next_hops, &next_hop).await;
        assert_eq!(number(&mut hop, kept).await, wanted);
    }
    let kept = taken(&next_hops, &other).await;
    assert!(kept.origin.is_reused());
    assert_eq!(number(&mut other_hop, kept).await, 0);
}

/// One peer sends its end, the other says that it will, and goes on listening.
#[tokio::test]
async fn a_session_whose_peer_stirs_is_dropped_and_not_given_out() {
    for last in ["", "421 4.3.2 leaving\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let next_hop = at(listener.local_addr().unwrap());
        let next_hops = ordinary();
        let greeted = async || {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"220 next.hop\r\n").await.unwrap();
            let mut line = String::new();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(b"250 next.hop\r\n").await.unwrap();
            stream
        };
        let both = join(take(&next_hops, &next_hop), greeted());
        let (kept, mut stream) = Box::pin(both).await;
        give_back(&next_hops, kept);
        stream.write_all(last.as_bytes()).await.unwrap();
        if last.is_empty() {
            stream.shutdown().await.unwrap();
        }
        // Our end comes without a farewell: there is nobody to hear it.
        let mut farewell = Vec::new();
        soon(stream.read_to_end(&mut farewell)).await.unwrap();
        assert!(farewell.is_empty());
        let both = join(take(&next_hops, &next_hop), greeted());
        let (kept, _stream) = soon(Box::pin(both)).await;
        assert!(
            !kept
                .unwrap_or_else(|_| panic!("no session"))
                .origin
                .is_reused()
        );
    }
}

#[tokio::test]
async fn an_idle_session_is_left_when_its_time_is_over() {
    let (mut hop, next_hop) = any().await;
    let idle = Duration::from_millis(20);
    let next_hops = keeping(Keeping {
        idle,
        ..Keeping::default()
    });
    // Twice: who leaves them has ended in between.
    for nth in [0, 1] {
        let kept = taken(&next_hops, &next_hop).await;
        assert!(!kept.origin.is_reused());
        give_back(&next_hops, [kept]);
        assert_eq!(left(&mut hop).await, nth);
    }
}

#[tokio::test]
async fn one_whose_time_is_over_is_not_given_out() {
    for over in [
        Keeping {
            idle: Duration::ZERO,
            ..Keeping::default()
        },
        Keeping {
            age: Duration::ZERO,
            ..Keeping::default()
        },
    ] {
        let (mut hop, next_hop) = any().await;
        let next_hops = keeping(over);
        let kept = taken(&next_hops, &next_hop).await;
        give_back(&next_hops, [kept]);
        assert!(!taken(&next_hops, &next_hop).await.origin.is_reused());
        assert_eq!(left(&mut hop).await, 0);
    }
}

#[tokio::test]
async fn no_more_are_kept_than_there_may_be() {
    let ((mut hop, next_hop), (mut other_hop, other)) = (any().await, any().await);
    let next_hops = keeping(Keeping {
        per_next_hop: 2,
        total: 3,
        ..Keeping::default()
    });
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        here.push(taken(&next_hops, &next_hop).await);
    }
    for _ in 0..2 {
        there.push(taken(&next_hops, &other).await);
    }
    // Of one next hop the oldest goes; over all, the one that comes.
    give_back(&next_hops, here);
    assert_eq!(left(&mut hop).await, 0);
    give_back(&next_hops, there);
    assert_eq!(left(&mut other_hop).await, 1);
    for wanted in [2, 1] {
        let kept = taken(&next_hops, &next_hop).await;
        assert_eq!(number(&mut hop, kept).await, wanted);
    }
    let kept = taken(&next_hops, &other).await;
    assert_eq!(number(&mut other_hop, kept).await, 0);
    let kept = taken(&next_hops, &other).await;
    assert!(!kept.origin.is_reused());
    // There is room again.
    give_back(&next_hops, [kept]);
    assert!(taken(&next_hops, &other).await.origin.is_reused());
}

#[tokio::test]
async fn closing_leaves_them_all_and_keeps_none_later() {
    let (mut hop, next_hop) = any().await;
    let next_hops = ordinary();
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(taken(&next_hops, &next_hop).await);
    }
    let last = all.pop();
    give_back(&next_hops, all);
    soon(next_hops.close()).await;
    // They have been left by now.
    let mut numbers = Vec::new();
    while let Ok((number, line)) = hop.lines.try_recv() {
        if line == "QUIT" {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    give_back(&next_hops, last);
    assert_eq!(left(&mut hop).await, 3);
}

/// A next hop that does not answer: the second to ask is told at once, and it is not asked.
#[tokio::test]
async fn who_did_not_answer_is_not_asked_again_at_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&calls);
    let (_hop, next_hop) = greeting(move |_| {
        counting.fetch_add(1, Ordering::SeqCst);
        Say::LastLine("421 4.3.2 busy")
    })
    .await;
    let (_other_hop, other) = any().await;
    let next_hops = patient();
    let first = take(&next_hops, &next_hop).await.err().unwrap();
    for _ in 0..3 {
        assert_eq!(take(&next_hops, &next_hop).await.err().unwrap(), first);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    taken(&next_hops, &other).await;
}

#[tokio::test]
async fn what_is_kept_serves_though_new_sessions_are_not_to_be_had() {
    let (_hop, next_hop) = greeting(|number| match number {
        0 => Say::Ordinary,
        _ => Say::LastLine("421 4.3.2 too many"),
    })
    .await;
    let next_hops = patient();
    let kept = taken(&next_hops, &next_hop).await;
    assert!(take(&next_hops, &next_hop).await.is_err());
    give_back(&next_hops, [kept]);
    assert!(taken(&next_hops, &next_hop).await.origin.is_reused());
}

#[tokio::test]
async fn one_asks_again_and_an_answer_brings_it_back() {
    let (mut hop, next_hop) = greeting(|number| match number {
        0 => Say::LastLine("421 4.3.2 busy"),
        1 => Say::Nothing,
        _ => Say::Ordinary,
    })
    .await;
    let next_hops = eager();
    let busy = take(&next_hops, &next_hop).await.err().unwrap();
    {
        let mut probe = std::pin::pin!(next_hops.take(&next_hop, PATIENT));
        // It hangs, and nobody else waits beside it.
        for _ in 0..2 {
            let told = tokio::select! {
                biased;
                _ = &mut probe => panic!("nothing was said to it"),
                told = take(&next_hops, &next_hop) => told,
            };
            assert_eq!(told.err().unwrap(), busy);
        }
    }
    // Who was asking has gone away, so the next may; then all may.
    let kept = taken(&next_hops, &next_hop).await;
    let (second, third) = soon(join(
        next_hops.take(&next_hop, PATIENT),
        next_hops.take(&next_hop, PATIENT),
    ))
    .await;
    assert!(second.is_ok() && third.is_ok());
    assert!(number(&mut hop, kept).await >= 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_its_patience() {
    let (_hop, next_hop) = greeting(|_| Say::Nothing).await;
    let next_hops = ordinary();
    let patience = Duration::from_millis(50);
    let told = soon(next_hops.take(&next_hop, patience)).await.err();
    assert_eq!(told.unwrap().status.to_string(), "4.4.1");
}

/// Three mail hosts in their order: one refuses, one says nothing, one answers.
#[tokio::test]
async fn a_dead_host_and_a_silent_one_leave_time_for_a_live_one() {
    let mut live = TestHop::start_on("127.0.0.3:0".parse().unwrap(), |_, _| Say::Ordinary).await;
    let port = live.address.port();
    let silent_at = SocketAddr::new("127.0.0.2".parse().unwrap(), port);
    let _silent = TestHop::start_on(silent_at, |_, _| Say::Nothing).await;
    let dead_at = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    let _dead = TestHop::start_on(dead_at, |_, _| Say::Close).await;
    let world = World::default()
        .mx(
            "example.net",
            &[
                (10, "dead.example"),
                (20, "silent.example"),
                (30, "live.example"),
            ],
        )
        .a("dead.example", "127.0.0.1")
        .a("silent.example", "127.0.0.2")
        .a("live.example", "127.0.0.3");
    let more = "[delivery]\nstarttls = \"off\"\n";
    let next_hops = next_hops(more, world, Keeping::default(), SHORTEST);
    let next_hop = NextHop::Mx {
        domain: Domain::parse("example.net").unwrap(),
        port,
    };
    let patience = Duration::from_secs(6);
    let kept = soon(next_hops.take(&next_hop, patience)).await;
    let kept = kept.unwrap_or_else(|outcome| panic!("{outcome:?}"));
    assert_eq!(kept.connection.remote().name, "live.example");
    assert_eq!(number(&mut live, kept).await, 0);
}

#[tokio::test]
async fn who_answers_is_told_once_for_each_new_session() {
    let next_hops = eager();
    let (mut up, there) = any().await;
    let kept = taken(&next_hops, &there).await;
    assert_eq!(soon(next_hops.next_answering()).await, there);
    // A kept session is no news, and neither is one that does not come to be.
    give_back(&next_hops, [kept]);
    let kept = taken(&next_hops, &there).await;
    let (_down, silent) = greeting(|_| Say::Close).await;
    take(&next_hops, &silent).await.err().unwrap();
    let (_other, back) = any().await;
    let other = taken(&next_hops, &back).await;
    assert_eq!(soon(next_hops.next_answering()).await, back);
    number(&mut up, kept).await;
    drop(other);
}
