//! Who gets what, and what becomes of the rest.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use vouchsafe_proto::time::Wall;
use vouchsafe_spool::Progress;

use super::{Bench, Changing, LETTER, QUICK};
use crate::clock;
use crate::next_hop::tests::hop::{Say, TestHop};
use crate::next_hop::tests::world::{TRAP, World};

fn ordinary(_: usize, _: &str) -> Say {
    Say::Ordinary
}

#[tokio::test]
async fn a_message_arrives_as_it_came() {
    let mut hop = TestHop::start(ordinary).await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), QUICK);
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let got = hop.next().await;
    assert_eq!(got.content, LETTER);
    assert_eq!(got.recipients, ["RCPT TO:<b@example.org>"]);
    let heard = bench.heard().await;
    assert_eq!(
        (heard.status(0).as_str(), heard.due, heard.attempts),
        ("2.0.0", None, 1)
    );
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty());
}

#[tokio::test]
async fn a_next_hop_that_was_down_gets_it_when_it_is_up() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut bench = Bench::towards(&format!("smtp://{address}"), QUICK);
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let heard = bench.heard().await;
    assert_eq!(heard.status(0), "4.4.1");
    assert!(heard.due.is_some() && heard.progress[0].is_waiting());
    let mut hop = TestHop::start_on(address, ordinary).await;
    assert_eq!(hop.next().await.content, LETTER);
}

#[tokio::test]
async fn one_message_tries_a_dead_next_hop_and_the_others_stay_as_they_are() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let hop = TestHop::start(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Say::LastLine("421 4.3.2 going down")
    })
    .await;
    let mut live = TestHop::start(ordinary).await;
    let config = format!(
        "[domains.\"dead.example\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n",
        hop.address, live.address
    );
    let mut bench = Bench::start(&config, World::default());
    for _ in 0..5 {
        bench
            .put("a@example.net", &["b@dead.example"], LETTER)
            .await;
    }
    let heard = bench.heard().await;
    // No attempt of the message's own: its schedule begins when somebody speaks about it.
    assert_eq!((heard.status(0).as_str(), heard.attempts), ("4.3.2", 0));
    assert!(heard.progress[0].is_waiting());
    for _ in 0..5 {
        bench
            .put("a@example.net", &["b@dead.example"], LETTER)
            .await;
    }
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    live.next().await;
    assert_eq!(bench.heard().await.status(0), "2.0.0");
    bench.stop(Duration::from_secs(5)).await;
    let queue = bench.queue().await;
    let touched = queue
        .iter()
        .filter(|entry| entry.progress != [Progress::Waiting(None)]);
    assert_eq!((queue.len(), touched.count()), (10, 1));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn when_it_is_up_again_one_goes_first_and_all_follow() {
    let tries = AtomicUsize::new(0);
    let mut hop = TestHop::start(move |_, line| match line {
        "GREETING" if tries.fetch_add(1, Ordering::SeqCst) == 0 => {
            Say::LastLine("421 4.3.2 not yet")
        }
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), QUICK);
    for _ in 0..20 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
    }
    assert_eq!(bench.heard().await.status(0), "4.3.2");
    for _ in 0..20 {
        hop.next().await;
        let heard = bench.heard().await;
        assert_eq!((heard.status(0).as_str(), heard.attempts), ("2.0.0", 1));
    }
}

#[tokio::test]
async fn who_is_to_hear_hears_though_the_next_hop_is_held_back() {
    let hop = TestHop::start(|_, _| Say::LastLine("421 4.3.2 going down")).await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    bench.heard().await;
    let hours = |hours: u64| {
        let ago = clock::now().wall.as_millis() - hours * 3_600_000;
        Wall::from_millis(ago)
    };
    let late = bench
        .put_at(hours(5), "a@example.net", &["b@example.org"], LETTER)
        .await;
    let heard = bench.heard_of(late).await;
    assert_eq!((heard.reports, heard.status(0).as_str()), (1, "4.3.2"));
    assert!(heard.progress[0].is_waiting() && heard.attempts == 0);
    let over = bench
        .put_at(hours(130), "a@example.net", &["b@example.org"], LETTER)
        .await;
    let heard = bench.heard_of(over).await;
    assert_eq!(heard.status(0), "4.3.2");
    assert_eq!((heard.due, heard.reports), (None, 1));
}

#[tokio::test]
async fn one_greylisted_message_keeps_no_other_waiting() {
    let mut hop = TestHop::start(|_, line| match line {
        "RCPT TO:<new@example.org>" => Say::Line("450 4.2.0 greylisted"),
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    let before = clock::now().wall;
    bench
        .put("a@example.net", &["new@example.org"], LETTER)
        .await;
    let heard = bench.heard().await;
    assert_eq!((heard.status(0).as_str(), heard.attempts), ("4.2.0", 1));
    let wait = heard.due.unwrap().since(before);
    assert!(wait >= Duration::from_mins(5) && wait <= Duration::from_mins(7));
    for _ in 0..3 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
        hop.next().await;
        assert_eq!(bench.heard().await.status(0), "2.0.0");
    }
}

#[tokio::test]
async fn a_dead_next_hop_does_not_keep_others_waiting() {
    let silent = TestHop::start(|_, _| Say::Nothing).await;
    let mut live = TestHop::start(ordinary).await;
    let config = format!(
        "[domains.\"dead.example\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [delivery]\nconnections = 2\nconnections_per_destination = 2\n",
        silent.address, live.address
    );
    let bench = Bench::start(&config, World::default());
    // Eight may be in hand; four are left to the other once these have their one worker.
    for _ in 0..4 {
        bench
            .put("a@example.net", &["b@dead.example"], LETTER)
            .await;
    }
    for _ in 0..20 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
    }
    for _ in 0..20 {
        live.next().await;
    }
}

#[tokio::test]
async fn many_dead_domains_do_not_keep_our_own_waiting() {
    let silent = TestHop::start(|_, _| Say::Nothing).await;
    let mut live = TestHop::start(ordinary).await;
    let names: Vec<_> = (0..20).map(|n| format!("d{n}.example")).collect();
    let mut world = World::default().a("dead.example", "127.0.0.1");
    for name in &names {
        world = world.mx(name.clone().leak(), &[(10, "dead.example")]);
    }
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {}\n\
         [delivery]\nconnections = 4\nconnections_per_destination = 2\n",
        live.address,
        silent.address.port()
    );
    let bench = Bench::start(&config, world);
    for name in &names {
        bench
            .put("a@example.net", &[&format!("b@{name}")], LETTER)
            .await;
    }
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    live.next().await;
}

#[tokio::test]
async fn silence_ends_with_a_timer() {
    for (place, status) in [("GREETING", "4.4.2"), ("MAIL", "4.4.2"), (".", "4.4.2")] {
        let hop = TestHop::start(move |_, line| {
            if line.starts_with(place) {
                Say::Nothing
            } else {
                Say::Ordinary
            }
        })
        .await;
        let timers = "[delivery]\ncommand_timeout = \"50ms\"\ncompletion_timeout = \"50ms\"\n";
        let mut bench = Bench::towards(&format!("smtp://{}", hop.address), timers);
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
        let heard = bench.heard().await;
        assert_eq!(heard.status(0), status, "silent at {place}");
        assert!(heard.progress[0].is_waiting() && heard.due.is_some());
    }
}

#[tokio::test]
async fn greylisting_is_waited_out() {
    let asked = AtomicUsize::new(0);
    let mut hop = TestHop::start(move |_, line| {
        if line.starts_with("RCPT") && asked.fetch_add(1, Ordering::SeqCst) < 2 {
            Say::Line("450 4.2.0 greylisted")
        } else {
            Say::Ordinary
        }
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), QUICK);
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    hop.next().await;
    let heard = [
        bench.heard().await,
        bench.heard().await,
        bench.heard().await,
    ];
    let seen: Vec<_> = heard
        .iter()
        .map(|one| (one.status(0), one.attempts))
        .collect();
    assert_eq!(
        seen,
        [
            ("4.2.0".into(), 1),
            ("4.2.0".into(), 2),
            ("2.0.0".into(), 3)
        ]
    );
}

#[tokio::test]
async fn recipients_part_ways() {
    let mut hop = TestHop::start(|_, line| match line {
        "RCPT TO:<bad@example.org>" => Say::Line("550 5.1.1 nobody here"),
        "RCPT TO:<full@example.org>" => Say::Line("452 4.2.2 full"),
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    let all = ["ok@example.org", "bad@example.org", "full@example.org"];
    bench.put("", &all, LETTER).await;
    assert_eq!(hop.next().await.recipients, ["RCPT TO:<ok@example.org>"]);
    let heard = bench.heard().await;
    let statuses = [heard.status(0), heard.status(1), heard.status(2)];
    assert_eq!(statuses, ["2.0.0", "5.1.1", "4.2.2"]);
    let waiting: Vec<_> = heard.progress.iter().map(Progress::is_waiting).collect();
    assert_eq!((waiting, heard.reports), (vec![false, false, true], 0));
}

#[tokio::test]
async fn a_message_for_two_next_hops_leaves_when_both_have_it() {
    let mut one = TestHop::start(ordinary).await;
    let mut two = TestHop::start(ordinary).await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [domains.\"example.com\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n",
        one.address, two.address
    );
    let mut bench = Bench::start(&config, World::default());
    bench
        .put("a@example.net", &["b@example.org", "b@example.com"], LETTER)
        .await;
    assert_eq!(one.next().await.recipients, ["RCPT TO:<b@example.org>"]);
    assert_eq!(two.next().await.recipients, ["RCPT TO:<b@example.com>"]);
    // What the first took may have been recorded before.
    while bench.heard().await.due.is_some() {}
}

#[tokio::test]
async fn what_one_next_hop_has_is_recorded_while_another_is_still_tried() {
    let mut fast = TestHop::start(ordinary).await;
    let (go, wait) = tokio::sync::watch::channel(false);
    let slow = TestHop::start(move |_, line| match line {
        "GREETING" if !*wait.borrow() => Say::Nothing,
        _ => Say::Ordinary,
    })
    .await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [domains.\"example.com\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n",
        fast.address, slow.address
    );
    let mut bench = Bench::start(&config, World::default());
    let both = ["b@example.org", "b@example.com"];
    let id = bench.put("a@example.net", &both, LETTER).await;
    fast.next().await;
    let heard = bench.heard().await;
    let waiting: Vec<_> = heard.progress.iter().map(Progress::is_waiting).collect();
    assert_eq!((heard.id, waiting), (id, vec![false, true]));
    assert!(bench.queue().await[0].active, "the lease goes on");
    drop((go, slow));
    // What a crash would find now.
    bench.stop(Duration::ZERO).await;
    let queue = bench.queue().await;
    let waiting = queue[0].progress.iter().map(Progress::is_waiting);
    assert!(waiting.eq([false, true]));
}

#[tokio::test]
async fn a_new_answer_of_the_dns_holds_at_the_next_attempt() {
    let mut live = TestHop::start(ordinary).await;
    let port = live.address.port();
    let before = World::default()
        .mx("example.com", &[(10, "dead.example.com")])
        .a("dead.example.com", "127.0.0.2");
    let after = World::default()
        .mx("example.com", &[(10, "live.example.com")])
        .a("live.example.com", "127.0.0.1");
    let (change, world) = Changing::new(before);
    let config = format!("[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {port}\n{QUICK}");
    let mut bench = Bench::start(&config, world);
    bench.put("a@example.net", &["b@example.com"], LETTER).await;
    assert_eq!(bench.heard().await.status(0), "4.4.1");
    change.send_replace(after);
    live.next().await;
    assert_eq!(bench.heard().await.status(0), "2.0.0");
}

#[tokio::test]
async fn the_second_mx_takes_what_the_first_cannot() {
    let mut live = TestHop::start(ordinary).await;
    let port = live.address.port();
    let world = World::default()
        .mx(
            "example.com",
            &[(10, "dead.example.com"), (20, "live.example.com")],
        )
        .a("dead.example.com", "127.0.0.2")
        .a("live.example.com", "127.0.0.1");
    let config = format!("[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {port}\n");
    let mut bench = Bench::start(&config, world);
    bench.put("a@example.net", &["b@example.com"], LETTER).await;
    live.next().await;
    assert_eq!(bench.heard().await.status(0), "2.0.0");
}

/// A second mail host of example.com behind this one, and a bench that has mail for both.
async fn behind(first: &TestHop) -> (TestHop, Bench) {
    let port = first.address.port();
    let second_at = format!("127.0.0.3:{port}").parse().unwrap();
    let second = TestHop::start_on(second_at, ordinary).await;
    let world = World::default()
        .mx(
            "example.com",
            &[(10, "one.example.com"), (20, "two.example.com")],
        )
        .a("one.example.com", "127.0.0.1")
        .a("two.example.com", "127.0.0.3");
    let config = format!("[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {port}\n");
    (second, Bench::start(&config, world))
}

#[tokio::test]
async fn the_second_mx_is_not_asked_once_the_message_may_be_there() {
    let mut first = TestHop::start(|_, line| match line {
        "." => Say::Close,
        _ => Say::Ordinary,
    })
    .await;
    let (mut second, mut bench) = behind(&first).await;
    bench.put("a@example.net", &["b@example.com"], LETTER).await;
    first.line("DATA").await;
    let heard = bench.heard().await;
    assert!(heard.progress[0].is_waiting() && heard.text(0).contains("may have arrived"));
    assert!(second.got.try_recv().is_err() && second.lines.try_recv().is_err());
}

#[tokio::test]
async fn a_host_that_breaks_off_before_that_is_not_the_last_one() {
    let first = TestHop::start(|_, line| match line {
        "DATA" => Say::Close,
        _ => Say::Ordinary,
    })
    .await;
    let (mut second, bench) = behind(&first).await;
    bench.put("a@example.net", &["b@example.com"], LETTER).await;
    assert_eq!(second.next().await.content, LETTER);
}

#[tokio::test]
async fn broken_tls_is_followed_by_a_session_in_clear() {
    let mut hop = TestHop::start(|_, line| match line.split(' ').next() {
        Some("EHLO") => Say::Line("250-next.hop\r\n250 STARTTLS"),
        // What follows is no handshake.
        Some("STARTTLS") => Say::LastLine("220 go on"),
        _ => Say::Ordinary,
    })
    .await;
    let bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let got = hop.next().await;
    assert_eq!((got.connection, got.content.as_str()), (1, LETTER));
}

#[tokio::test]
async fn lmtp_answers_for_each() {
    let mut hop = TestHop::start(|_, line| {
        if line == ". RCPT TO:<full@example.org>" {
            Say::Line("452 4.2.2 mailbox full")
        } else {
            Say::Ordinary
        }
    })
    .await;
    let mut bench = Bench::towards(&format!("lmtp://{}", hop.address), "");
    let all = ["one@example.org", "full@example.org"];
    bench.put("a@example.net", &all, LETTER).await;
    assert_eq!(hop.next().await.recipients, ["RCPT TO:<one@example.org>"]);
    let heard = bench.heard().await;
    assert_eq!([heard.status(0), heard.status(1)], ["2.0.0", "4.2.2"]);
}

#[tokio::test]
async fn a_session_carries_message_after_message_up_to_its_limit() {
    let mut hop = TestHop::start(ordinary).await;
    let limits = "[delivery]\nmessages_per_connection = 3\nconnections_per_destination = 1\n";
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), limits);
    let mut connections = Vec::new();
    for _ in 0..7 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
        connections.push(hop.next().await.connection);
        bench.heard().await;
    }
    assert_eq!(connections, [0, 0, 0, 1, 1, 1, 2]);
}

#[tokio::test]
async fn a_session_that_ended_while_idle_costs_no_attempt() {
    let mut hop = TestHop::start(|number, line| match (number, line) {
        (0, ".") => Say::LastLine("250 2.0.0 and goodbye"),
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    for _ in 0..2 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
        let heard = bench.heard().await;
        assert_eq!((heard.status(0).as_str(), heard.attempts), ("2.0.0", 1));
    }
    assert_eq!(hop.next().await.connection, 1);
}

#[tokio::test]
async fn a_next_hop_that_limits_sessions_still_gets_everything_at_once() {
    let open = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&open);
    let mut hop = TestHop::start(move |_, line| match line {
        "GREETING" if counted.fetch_add(1, Ordering::SeqCst) > 0 => {
            Say::LastLine("421 4.7.0 one at a time")
        }
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    for _ in 0..30 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
    }
    for _ in 0..30 {
        assert_eq!(hop.next().await.connection, 0);
        assert_eq!(bench.heard().await.attempts, 1);
    }
}

#[tokio::test]
async fn more_than_a_hundred_recipients_take_two_transactions() {
    let mut hop = TestHop::start(ordinary).await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    let all: Vec<_> = (0..150).map(|n| format!("u{n}@example.org")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    bench.put("a@example.net", &all, LETTER).await;
    assert_eq!(hop.next().await.recipients.len(), 100);
    assert_eq!(hop.next().await.recipients.len(), 50);
    assert_eq!(bench.heard().await.due, None);
}

#[tokio::test]
async fn a_maildir_gets_a_file() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("box");
    let mut bench = Bench::towards(&format!("maildir:{}", folder.display()), "");
    let id = bench.put("a@example.net", &["b@example.org"], LETTER).await;
    assert_eq!(bench.heard().await.due, None);
    let mut new = fs::read_dir(folder.join("new")).unwrap();
    let file = new.next().unwrap().unwrap().path();
    assert!(file.display().to_string().contains(&id.to_string()));
    let expected = format!(
        "Return-Path: <a@example.net>\nDelivered-To: b@example.org\n{}",
        LETTER.replace("\r\n", "\n")
    );
    assert_eq!(fs::read_to_string(file).unwrap(), expected);
}

#[tokio::test]
async fn without_a_route_it_waits_for_a_better_configuration() {
    let mut bench = Bench::towards("smtp://127.0.0.1:1", "");
    bench
        .put("a@example.net", &["b@nowhere.example"], LETTER)
        .await;
    assert_eq!(
        bench.heard().await.status(0),
        "5.1.2",
        "by MX: no such domain"
    );
}

#[tokio::test]
async fn what_could_not_be_recorded_is_not_delivered_again() {
    let mut hop = TestHop::start(ordinary).await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    bench.spool.full.store(1, Ordering::SeqCst);
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    hop.next().await;
    let heard = bench.heard().await;
    assert_eq!((heard.due, heard.attempts), (None, 1));
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty() && hop.got.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn once_nothing_can_be_recorded_nothing_more_is_delivered() {
    let reached = Arc::new(Notify::new());
    let tell = Arc::clone(&reached);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let mut hop = TestHop::start(move |_, line| {
        if line == "." {
            tell.notify_one();
            tokio::task::block_in_place(|| wait.lock().unwrap().recv()).ok();
        }
        Say::Ordinary
    })
    .await;
    let one = "[delivery]\nconnections_per_destination = 1\n";
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), one);
    for _ in 0..5 {
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
    }
    reached.notified().await;
    bench.spool.unsound.store(true, Ordering::SeqCst);
    drop(go);
    hop.next().await;
    bench.heard().await;
    bench.stop(Duration::from_secs(5)).await;
    let queue = bench.queue().await;
    assert_eq!(queue.len(), 4);
    assert!(queue.iter().all(|left| left.attempts == 0 && !left.active));
    assert!(hop.got.try_recv().is_err());
}

#[tokio::test]
async fn stopping_lets_what_is_in_hand_end() {
    let reached = Arc::new(Notify::new());
    let tell = Arc::clone(&reached);
    let mut hop = TestHop::start(move |_, line| {
        if line == "." {
            tell.notify_one();
        }
        Say::Ordinary
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    reached.notified().await;
    bench.stop(Duration::from_secs(30)).await;
    hop.next().await;
    assert!(bench.queue().await.is_empty());
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end_and_keeps_it() {
    let mut hop = TestHop::start(|_, line| match line {
        "DATA" => Say::Nothing,
        _ => Say::Ordinary,
    })
    .await;
    let mut bench = Bench::towards(&format!("smtp://{}", hop.address), "");
    let id = bench.put("a@example.net", &["b@example.org"], LETTER).await;
    hop.line("DATA").await;
    bench.stop(Duration::from_millis(20)).await;
    let queue = bench.queue().await;
    assert_eq!((queue.len(), queue[0].id, queue[0].attempts), (1, id, 0));
    assert!(!queue[0].active && bench.folder.path().exists());
}

#[tokio::test]
async fn a_message_that_breaks_a_worker_is_put_off_and_others_go_on() {
    let mut hop = TestHop::start(ordinary).await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [relay]\nfrom = [\"127.0.0.0/8\"]\n",
        hop.address
    );
    let mut bench = Bench::start(&config, World::default());
    let now = clock::now().wall;
    let to = format!("b@{TRAP}");
    let long_ago = Wall::from_secs(1_000_000_000);
    for (arrived, status, attempts) in [(now, "-", 0), (long_ago, "4.3.0", 1)] {
        let broken = bench.put_at(arrived, "", &[&to], LETTER).await;
        let heard = bench.heard().await;
        assert_eq!((heard.id, heard.attempts), (broken, attempts));
        assert_eq!(heard.status(0), status);
        let waits = heard
            .due
            .map(|due| due.since(now) >= Duration::from_mins(59));
        assert_eq!(waits, (attempts == 0).then_some(true));
        bench.put("a@example.net", &["b@example.org"], LETTER).await;
        hop.next().await;
        bench.heard().await;
    }
}
