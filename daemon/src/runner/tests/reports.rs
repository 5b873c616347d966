//! Who is told of what could not be delivered, and who never is.

use std::time::Duration;

use vouchsafe_proto::verify::VerdictResult;

use super::hop::{Got, Say, TestHop};
use super::{Bench, LETTER, World};

/// Refuses every recipient of the domain example.org.
fn refuses(_: usize, line: &str) -> Say {
    if line.starts_with("RCPT") {
        Say::Line("550 5.1.1 nobody here")
    } else {
        Say::Ordinary
    }
}

/// Refuses one of them.
fn refuses_bob(_: usize, line: &str) -> Say {
    if line.starts_with("RCPT TO:<b@") {
        Say::Line("550 5.1.1 no bob here")
    } else {
        Say::Ordinary
    }
}

/// A bench with a next hop for example.org and one for the reverse-path's domain.
async fn with_home(
    script: impl Fn(usize, &str) -> Say + Send + Sync + 'static,
    more: &str,
) -> (TestHop, TestHop, Bench) {
    let hop = TestHop::start(script).await;
    let home = TestHop::start(|_, _| Say::Ordinary).await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\n\
         [domains.\"example.net\"]\nnext_hop = \"smtp://{}\"\n{more}",
        hop.address, home.address
    );
    (hop, home, Bench::start(&config, World::default()))
}

/// The checks that every report must pass.
fn is_report(got: &Got, action: &str) {
    assert!(got.mail.starts_with("MAIL FROM:<>"), "{}", got.mail);
    assert_eq!(got.recipients, ["RCPT TO:<a@example.net>"]);
    let action = format!("\r\nAction: {action}\r\n");
    assert!(got.content.contains(&action), "{}", got.content);
    assert!(
        got.content.contains("Subject: hello\r\n"),
        "the header comes back"
    );
    assert!(!got.content.contains("\r\nend\r\n"), "the body does not");
}

#[tokio::test]
async fn a_refusal_is_reported_exactly_once() {
    let (_hop, mut home, mut bench) = with_home(refuses, "").await;
    let all = ["b@example.org", "c@example.org"];
    bench.put("a@example.net", &all, LETTER).await;
    let got = home.next().await;
    is_report(&got, "failed");
    assert!(got.content.contains("550 5.1.1 nobody here"));
    assert_eq!(got.content.matches("Final-Recipient").count(), 2);
    let (failed, report) = (bench.heard().await, bench.heard().await);
    assert_eq!((failed.reports, failed.due), (1, None));
    assert_ne!(failed.id, report.id);
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty() && home.got.try_recv().is_err());
}

#[tokio::test]
async fn nothing_is_reported_to_nobody_or_to_the_repudiated() {
    let (mut hop, mut home, mut bench) = with_home(refuses_bob, "").await;
    for verdict in [VerdictResult::Unknown, VerdictResult::Repudiated] {
        bench.put_as("", verdict, &["b@example.org"], LETTER).await;
        let heard = bench.heard().await;
        assert_eq!((heard.reports, heard.due), (0, None));
    }
    // The failure of a message that an outer host had accepted is the operator's to know.
    let forged = bench
        .put_as(
            "a@example.net",
            VerdictResult::Repudiated,
            &["b@example.org"],
            LETTER,
        )
        .await;
    let got = hop.next().await;
    assert!(got.mail.starts_with("MAIL FROM:<>"), "{}", got.mail);
    assert_eq!(got.recipients, ["RCPT TO:<postmaster@example.org>"]);
    for part in [
        "\r\nAction: failed\r\n",
        "<a@example.net>",
        "\r\nSubject: hello\r\n",
    ] {
        assert!(got.content.contains(part), "{part}: {}", got.content);
    }
    let heard = bench.heard().await;
    assert_eq!((heard.id, heard.reports, heard.due), (forged, 1, None));
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty() && home.got.try_recv().is_err());
}

#[tokio::test]
async fn a_report_that_fails_is_the_last_word() {
    let hop = TestHop::start(refuses).await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{0}\"\n\
         [domains.\"example.net\"]\nnext_hop = \"smtp://{0}\"\n",
        hop.address
    );
    let mut bench = Bench::start(&config, World::default());
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let (first, report) = (bench.heard().await, bench.heard().await);
    assert_eq!((first.reports, report.reports, report.due), (1, 0, None));
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty());
}

#[tokio::test]
async fn when_time_is_up_the_sender_hears() {
    let schedule = "[retry]\nfirst = \"20ms\"\nlongest = \"20ms\"\ndelay_notice = \"99ms\"\n\
                    expire = \"100ms\"\n";
    let (_hop, mut home, mut bench) = with_home(
        |_, line| match line {
            "." => Say::Line("451 4.3.0 not now"),
            _ => Say::Ordinary,
        },
        schedule,
    )
    .await;
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let mut got = home.next().await;
    if got.content.contains("\r\nAction: delayed\r\n") {
        // The notice of the delay is due a moment before.
        got = home.next().await;
    }
    is_report(&got, "failed");
    assert!(got.content.contains("451 4.3.0 not now"));
    let mut last = bench.heard().await;
    while last.reports == 0 {
        last = bench.heard().await;
    }
    assert!(last.attempts >= 2 && last.due.is_none());
}

#[tokio::test]
async fn a_delay_is_reported_once_and_the_message_tried_on() {
    let schedule = "[retry]\nfirst = \"20ms\"\nlongest = \"40ms\"\ndelay_notice = \"60ms\"\n";
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let (mut hop, mut home, bench) = with_home(
        move |_, line| {
            let refuse = line == "." && tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 8;
            if refuse {
                Say::Line("451 4.3.0 not now")
            } else {
                Say::Ordinary
            }
        },
        schedule,
    )
    .await;
    bench.put("a@example.net", &["b@example.org"], LETTER).await;
    let got = home.next().await;
    is_report(&got, "delayed");
    assert!(got.content.contains("\r\nWill-Retry-Until: "));
    hop.next().await;
    assert!(home.got.try_recv().is_err());
}
