//! Who is told of what could not be delivered, and who never is.

use std::time::Duration;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{
    ByMode, Clearance, DeliverBy, Envelope, Notify, Origin, OriginalRecipient, Ret,
};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;

use crate::clock;

use super::{Bench, LETTER};
use crate::next_hop::tests::hop::{Got, Say, TestHop};
use crate::next_hop::tests::world::World;

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
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n\
         [domains.\"example.net\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n{more}",
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
        "[domains.\"example.org\"]\nnext_hop = \"smtp://{0}\"\npath = \"store\"\n\
         [domains.\"example.net\"]\nnext_hop = \"smtp://{0}\"\npath = \"store\"\n",
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
    let schedule = "[retry]\nfirst = \"20ms\"\nlongest = \"20ms\"\ndelay_notice = \"1900ms\"\n\
                    expire = \"2s\"\n";
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
    while last.reports == 0 || last.due.is_some() {
        last = bench.heard().await;
    }
    assert!(last.attempts >= 2);
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

/// Alice's message to these, and what she asks for.
fn asking(to: &[&str], ask: impl FnOnce(&mut Envelope)) -> Envelope {
    let origin = Origin::Client {
        address: "192.0.2.1".parse().unwrap(),
        helo: "client.example".into(),
    };
    let mut envelope = Envelope::plain(
        ReversePath::parse_inside("a@example.net").unwrap(),
        VerdictResult::Authorised,
        origin,
        to.iter().map(|to| ForwardPath::parse_inside(to).unwrap()),
    );
    ask(&mut envelope);
    envelope
}

const ALL: Option<Notify> = Some(Notify::On {
    success: true,
    failure: true,
    delay: true,
});

/// Offers these keywords, and does what any would.
fn offers(ehlo: &'static str) -> impl Fn(usize, &str) -> Say + Send + Sync + 'static {
    move |_, line| {
        if line.starts_with("EHLO") {
            Say::Line(ehlo)
        } else {
            Say::Ordinary
        }
    }
}

#[tokio::test]
async fn a_success_is_reported_once_and_only_where_it_was_asked_for() {
    let (mut hop, mut home, mut bench) = with_home(|_, _| Say::Ordinary, "").await;
    let all = ["b@example.org", "c@example.org", "d@example.org"];
    let envelope = asking(&all, |envelope| {
        envelope.requests.envid = Some("QQ 1".into());
        envelope.recipients[0].notify = ALL;
        envelope.recipients[0].original = Some(OriginalRecipient {
            address_type: "rfc822".into(),
            address: "B+x@example.org".into(),
        });
        envelope.recipients[1].notify = Some(Notify::Never);
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    assert_eq!(hop.next().await.recipients.len(), 3);
    let got = home.next().await;
    is_report(&got, "relayed");
    for part in [
        "\r\nOriginal-Envelope-Id: QQ 1\r\n",
        "\r\nOriginal-Recipient: rfc822; B+x@example.org\r\n",
        "\r\nFinal-Recipient: rfc822; b@example.org\r\n",
        "\r\nStatus: 2.",
    ] {
        assert!(got.content.contains(part), "{part}: {}", got.content);
    }
    assert_eq!(got.content.matches("Final-Recipient").count(), 1);
    let (first, report) = (bench.heard().await, bench.heard().await);
    assert_eq!((first.reports, report.reports), (1, 0));
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty() && home.got.try_recv().is_err());
}

#[tokio::test]
async fn whoever_offers_to_report_is_given_what_was_asked_and_we_say_nothing() {
    let script = offers("250-hop\r\n250-DSN\r\n250 DELIVERBY");
    let (mut hop, mut home, mut bench) = with_home(script, "").await;
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.requests.ret = Some(Ret::Full);
        envelope.requests.envid = Some("QQ 1".into());
        envelope.requests.deliver_by = Some(DeliverBy {
            deadline: clock::now().wall.plus(Duration::from_hours(1)),
            mode: ByMode::Return,
            trace: false,
        });
        envelope.recipients[0].notify = ALL;
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    let got = hop.next().await;
    assert!(
        got.mail.contains(" RET=FULL ENVID=QQ+201 BY=35"),
        "{}",
        got.mail
    );
    let rcpt = "RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE,DELAY";
    assert_eq!(got.recipients, [rcpt]);
    let heard = bench.heard().await;
    assert_eq!((heard.reports, heard.due), (0, None));
    bench.stop(Duration::from_secs(5)).await;
    assert!(bench.queue().await.is_empty() && home.got.try_recv().is_err());
}

#[tokio::test]
async fn what_lies_in_the_mailbox_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let home = TestHop::start(|_, _| Say::Ordinary).await;
    let config = format!(
        "[domains.\"example.org\"]\nnext_hop = \"maildir:{}\"\npath = \"store\"\n\
         [domains.\"example.net\"]\nnext_hop = \"smtp://{}\"\npath = \"store\"\n",
        folder.path().join("box").display(),
        home.address
    );
    let (mut home, bench) = (home, Bench::start(&config, World::default()));
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.recipients[0].notify = ALL;
        envelope.requests.ret = Some(Ret::Full);
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    is_report(&home.next().await, "delivered");
}

#[tokio::test]
async fn a_failed_message_comes_back_whole_if_that_was_asked() {
    let (_hop, mut home, bench) = with_home(refuses, "").await;
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.requests.ret = Some(Ret::Full);
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    let got = home.next().await;
    let whole = format!("Content-Type: message/rfc822\r\n\r\n{LETTER}");
    assert!(got.content.contains(&whole), "{}", got.content);
}

#[tokio::test]
async fn who_never_wants_to_hear_never_hears() {
    let (_hop, mut home, mut bench) = with_home(refuses, "").await;
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.recipients[0].notify = Some(Notify::Never);
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    let heard = bench.heard().await;
    assert_eq!((heard.reports, heard.due), (0, None));
    // Let in on the recipient's word alone: what fails is the operator's to know, whatever is asked.
    let envelope = asking(&["b@example.com"], |envelope| {
        envelope.verdict = VerdictResult::Unknown;
        envelope.clearance = Clearance::Declared;
        envelope.recipients[0].notify = Some(Notify::Never);
    });
    bench
        .put_envelope(clock::now().wall, envelope, LETTER)
        .await;
    assert_eq!(bench.heard().await.reports, 1);
    bench.stop(Duration::from_secs(5)).await;
    assert!(home.got.try_recv().is_err());
}

/// RFC 2852 §4: returned, without another try, once the time is over.
#[tokio::test]
async fn what_is_to_be_returned_in_time_is_not_tried_behind_it() {
    let (mut hop, mut home, bench) = with_home(|_, _| Say::Ordinary, "").await;
    let now = clock::now().wall;
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.requests.deliver_by = Some(DeliverBy {
            deadline: Wall::from_millis(now.as_millis() - 1),
            mode: ByMode::Return,
            trace: false,
        });
    });
    bench.put_envelope(now, envelope, LETTER).await;
    let got = home.next().await;
    is_report(&got, "failed");
    for part in ["\r\nStatus: 5.4.7\r\n", "\r\nDeliver-By-Date: "] {
        assert!(got.content.contains(part), "{part}: {}", got.content);
    }
    assert!(hop.lines.try_recv().is_err(), "not even a connection");
}

/// RFC 2852 §4: told at the deadline, though the ordinary notice is hours away, and tried on.
#[tokio::test]
async fn a_deadline_that_passes_is_reported_as_a_delay() {
    let (_hop, mut home, mut bench) = with_home(
        |_, line| match line {
            "." => Say::Line("451 4.3.0 not now"),
            _ => Say::Ordinary,
        },
        "[retry]\nfirst = \"1h\"\nlongest = \"1h\"\n",
    )
    .await;
    let now = clock::now().wall;
    let envelope = asking(&["b@example.org"], |envelope| {
        envelope.requests.deliver_by = Some(DeliverBy {
            deadline: now.plus(Duration::from_secs(2)),
            mode: ByMode::Notify,
            trace: false,
        });
    });
    bench.put_envelope(now, envelope, LETTER).await;
    is_report(&home.next().await, "delayed");
    let first = bench.heard().await;
    assert_eq!((first.attempts, first.reports), (1, 0));
    let second = bench.heard().await;
    assert_eq!((second.attempts, second.reports), (2, 1));
    assert!(second.due.is_some());
}

/// The destination is held back for an hour; the deadline passes in the meantime, and is acted upon
/// then and not behind it. The same after a restart.
#[tokio::test]
async fn a_deadline_is_kept_though_the_destination_is_held_back() {
    for (mode, action, status) in [
        (ByMode::Return, "failed", "5.4.7"),
        (ByMode::Notify, "delayed", "4.3.2"),
    ] {
        let (_hop, mut home, mut bench) = with_home(
            |_, line| match line {
                "GREETING" => Say::Line("421 4.3.2 not now"),
                _ => Say::Ordinary,
            },
            "[retry]\nfirst = \"1h\"\nlongest = \"1h\"\n",
        )
        .await;
        let now = clock::now().wall;
        // It is tried first, and so the destination is held back.
        bench.put("a@example.net", &["x@example.org"], LETTER).await;
        let first = bench.heard().await;
        assert_eq!((first.attempts, first.reports), (0, 0));
        let envelope = asking(&["b@example.org"], |envelope| {
            envelope.requests.deliver_by = Some(DeliverBy {
                deadline: now.plus(Duration::from_millis(1_500)),
                mode,
                trace: false,
            });
        });
        bench.put_envelope(now, envelope, LETTER).await;
        let got = home.next().await;
        is_report(&got, action);
        let status = format!("\r\nStatus: {status}\r\n");
        assert!(got.content.contains(&status), "{}", got.content);
        let told = bench.heard().await;
        assert_eq!(
            (told.reports, told.due.is_some()),
            (1, mode == ByMode::Notify)
        );
        assert!(clock::now().wall.since(now) < Duration::from_mins(10));
    }
}

/// `expire = "6h"` for sites that want a final answer: within six hours it is one.
#[tokio::test]
async fn a_final_answer_comes_within_six_hours_where_that_is_configured() {
    let (_hop, mut home, bench) = with_home(
        |_, line| match line {
            "." => Say::Line("451 4.3.0 not now"),
            _ => Say::Ordinary,
        },
        "[retry]\nexpire = \"6h\"\n",
    )
    .await;
    let arrived = clock::now().wall.as_millis() - 6 * 3_600_000;
    let all = ["b@example.org"];
    bench
        .put_at(Wall::from_millis(arrived), "a@example.net", &all, LETTER)
        .await;
    is_report(&home.next().await, "failed");
}
