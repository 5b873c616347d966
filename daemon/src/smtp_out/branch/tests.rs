//! Branches against peers that say what a script says, over loopback.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{BodyType, Requests};
use vouchsafe_proto::outcome::{Diagnostic, OutcomeClass};
use vouchsafe_proto::smtp::deliver::{Protocol, Timeouts};
use vouchsafe_proto::time::Mono;
use vouchsafe_proto::tls_policy::Requirement;

use super::super::{Endpoint, Place, Terms, open};
use super::*;
use crate::stream::Stream;

/// MAIL and RCPT for one, who is taken.
const ENVELOPE: &str =
    "C: MAIL FROM:<a@x.example>\nS: 250 ok\nC: RCPT TO:<b@y.example>\nS: 250 ok\n";

/// The same, DATA, and leave to send content.
fn in_data() -> String {
    format!("{ENVELOPE}C: DATA\nS: 354 go\n")
}

/// What is waited for: the peer for us, or we for the peer.
#[derive(Default)]
struct Signals {
    to_peer: Notify,
    from_peer: Notify,
}

/// A session with a peer that goes on as `script` says, a line each: `S:` it says; `C:` is what it must
/// hear next, with CR and LF, or without (`R:`); `wait` and `tell` are the signals; `silence` is the
/// end of us, before which we say nothing more; `drain` the same, but we may say what completes nothing.
/// At the end of its script it leaves.
async fn meet<T>(
    protocol: Protocol,
    timeouts: Timeouts,
    script: &str,
    ours: impl AsyncFnOnce(Connection, &Signals) -> T,
) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Endpoint {
        remote: Remote {
            name: String::from("peer.example"),
            address: Some(address.ip()),
        },
        place: Place::Tcp(address),
        protocol,
        server_name: None,
        requirement: Requirement::Opportunistic,
        secure: false,
        domain: None,
    };
    let terms = Terms {
        hostname: Domain::parse("relay.example").unwrap(),
        connect_timeout: LONG,
        timeouts,
        tls: None,
    };
    let signals = Signals::default();
    let peer = async {
        let (stream, _) = listener.accept().await.unwrap();
        play(stream, script, &signals).await;
    };
    let client = async {
        let connection = open(&endpoint, &terms).await.unwrap();
        ours(connection, &signals).await
    };
    let both = async { tokio::join!(client, peer) };
    timeout(LONG, both).await.expect("somebody waits").0
}

async fn play(mut stream: TcpStream, script: &str, signals: &Signals) {
    for line in script.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "S:" => {
                let line = format!("{rest}\r\n");
                stream.write_all(line.as_bytes()).await.unwrap();
            }
            "C:" => hear(&mut stream, &format!("{rest}\r\n")).await,
            "R:" => hear(&mut stream, rest).await,
            "wait" => signals.to_peer.notified().await,
            "tell" => signals.from_peer.notify_one(),
            "silence" => assert_eq!(rest_of(&mut stream).await, b""),
            "drain" => {
                let rest = rest_of(&mut stream).await;
                assert!(!rest.windows(5).any(|part| part == b"\r\n.\r\n"));
            }
            _ => panic!("{line}?"),
        }
    }
}

async fn hear(stream: &mut TcpStream, wanted: &str) {
    let mut heard = vec![0; wanted.len()];
    let read = stream.read_exact(&mut heard).await;
    assert_eq!(String::from_utf8_lossy(&heard), wanted, "{read:?}");
}

async fn rest_of(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest).await {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    rest
}

/// Longer than any of this takes.
const LONG: Duration = Duration::from_secs(30);

/// What a silent peer is given.
const SHORT: Duration = Duration::from_millis(50);

fn greeting(keywords: &str) -> String {
    format!("S: 220 hi\nC: EHLO relay.example\nS: 250-peer\n{keywords}S: 250 HELP\n")
}

async fn smtp<T>(
    keywords: &str,
    script: &str,
    ours: impl AsyncFnOnce(Connection, &Signals) -> T,
) -> T {
    let script = greeting(keywords) + script;
    meet(Protocol::Smtp, Timeouts::default(), &script, ours).await
}

fn to(path: &str) -> Recipient {
    Recipient::from(ForwardPath::parse_inside(path).unwrap())
}

fn transaction() -> Transaction {
    Transaction {
        reverse_path: ReversePath::parse_inside("a@x.example").unwrap(),
        recipients: vec![],
        body: BodyType::SevenBit,
        smtputf8: false,
        requests: Requests::default(),
        size: None,
        per_recipient: false,
        through: vouchsafe_proto::smtp::xhold::Through::default(),
        claim: None,
    }
}

/// A branch whose first recipient is taken.
async fn begun(connection: Connection) -> Branch {
    let mut branch = Branch::new(connection);
    let said = branch.begin(transaction(), to("b@y.example")).await;
    assert_eq!(said, Said::Accepted);
    branch
}

/// A piece of content, sent.
async fn pushed(branch: &mut Branch, piece: &[u8]) -> bool {
    branch.push(piece).await && branch.push(b"").await
}

/// Until the peer has said something, or left.
async fn spoken(branch: &Branch) {
    let Stream::Tcp(socket) = &branch.connection.stream else {
        panic!("no TLS here");
    };
    let _ = socket.peek(&mut [0]).await;
}

/// The only outcome: its status, and whether it is the peer's own word.
fn outcome(branch: &Branch) -> (String, bool) {
    let [(0, outcome)] = branch.outcomes() else {
        panic!("{:?}", branch.outcomes());
    };
    let replied = matches!(outcome.diagnostic, Diagnostic::Reply(_));
    (outcome.status.to_string(), replied)
}

/// The verify connection of Exim's that was used again in the midst of what it had verified.
#[tokio::test]
async fn what_was_given_up_is_not_mixed_with_what_comes_next() {
    let script = format!(
        "{ENVELOPE}C: NOOP\nwait\nS: 250 ok\nC: RSET\nS: 250 reset\nC: MAIL FROM:<a@x.example>\nS: 250 ok\n\
         C: RCPT TO:<c@y.example>\nS: 250 ok\nC: DATA\nS: 354 go\nC: \nC: hello\nC: .\nS: 250 done\n\
         C: QUIT\nS: 221 bye\n"
    );
    smtp("", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.noop().await);
        branch.abandon().await;
        assert_eq!(outcome(&branch), ("4.3.2".into(), false));
        signals.to_peer.notify_one();
        let connection = branch.into_connection().await.unwrap();
        let mut branch = Branch::new(connection);
        let said = branch.begin(transaction(), to("c@y.example")).await;
        assert_eq!(said, Said::Accepted);
        assert!(branch.proceed().await && pushed(&mut branch, b"\r\nhello\r\n").await);
        assert!(branch.prepare(false).await);
        branch.complete(None).await;
        assert_eq!(outcome(&branch), ("2.0.0".into(), true));
        assert!(branch.completed());
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

/// A reply too many is not the reply to what is asked next.
#[tokio::test]
async fn what_is_said_before_it_is_asked_is_no_answer() {
    let script = format!("{ENVELOPE}S: 250 ok\nsilence\n");
    smtp("", &script, async |connection, _| {
        let mut branch = begun(connection).await;
        spoken(&branch).await;
        let said = branch.recipient(to("c@y.example")).await;
        assert!(matches!(said, Said::Lost(_)), "{said:?}");
        assert_eq!(branch.recipient(to("d@y.example")).await, said);
        assert_eq!(branch.outcomes().len(), 3);
        assert!(!branch.proceed().await && branch.into_connection().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn each_recipient_is_answered_for_at_once() {
    let envelope = "C: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>\nS: 250 ok\nS: 550 5.1.1 no\n\
                    C: RCPT TO:<c@y.example>\nS: 250 ok\nC: RCPT TO:<d@y.example>\nS: 451 later\n\
                    C: RCPT TO:<e@y.example>\nS: 250 ok\nC: DATA\nS: 354 go\nC: .\n\
                    S: 250 2.0.0 one\nS: 452 4.2.2 full\nC: QUIT\n";
    let script = greeting("S: 250-PIPELINING\n").replace("EHLO", "LHLO") + envelope;
    meet(
        Protocol::Lmtp,
        Timeouts::default(),
        &script,
        async |connection, _| {
            let mut branch = Branch::new(connection);
            let first = branch.begin(transaction(), to("b@y.example")).await;
            assert!(
                matches!(first, Said::Refused(outcome) if outcome.class == OutcomeClass::Permanent)
            );
            assert_eq!(branch.recipient(to("c@y.example")).await, Said::Accepted);
            let third = branch.recipient(to("d@y.example")).await;
            assert!(
                matches!(third, Said::Refused(outcome) if outcome.class == OutcomeClass::Transient)
            );
            assert_eq!(branch.recipient(to("e@y.example")).await, Said::Accepted);
            assert!(branch.proceed().await && branch.prepare(false).await);
            branch.complete(None).await;
            let mut statuses: Vec<_> = branch.outcomes().iter().collect();
            statuses.sort_by_key(|(index, _)| *index);
            let statuses: Vec<_> = statuses
                .iter()
                .map(|(_, each)| each.status.to_string())
                .collect();
            assert_eq!(statuses, ["5.1.1", "2.0.0", "4.0.0", "4.2.2"]);
            branch.into_connection().await.unwrap().quit().await;
        },
    )
    .await;
}

#[tokio::test]
async fn mail_refused_is_the_answer_for_all() {
    let script = "C: MAIL FROM:<a@x.example>\nS: 550 5.7.1 not you\nC: QUIT\n";
    smtp("", script, async |connection, _| {
        let mut branch = Branch::new(connection);
        let said = branch.begin(transaction(), to("b@y.example")).await;
        assert!(matches!(&said, Said::Refused(outcome) if outcome.status.to_string() == "5.7.1"));
        assert_eq!(branch.recipient(to("c@y.example")).await, said);
        assert_eq!(branch.outcomes().len(), 2);
        assert!(
            !branch.proceed().await
                && !pushed(&mut branch, b"x").await
                && !branch.prepare(false).await
        );
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

#[tokio::test]
async fn what_the_hop_does_not_take_is_a_refusal_too() {
    smtp("S: 250-SIZE 50\n", "C: QUIT\n", async |connection, _| {
        let mut branch = Branch::new(connection);
        let large = Transaction {
            size: Some(51),
            ..transaction()
        };
        let said = branch.begin(large, to("b@y.example")).await;
        assert!(matches!(said, Said::Refused(outcome) if outcome.status.to_string() == "5.3.4"));
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

/// A lone dot in content never ends it, however it is cut.
#[tokio::test]
async fn a_lone_dot_truncates_nothing() {
    let content = b"\r\n.\r\n.\r\nQUIT\r\n.";
    let stuffed = "C: \nC: ..\nC: ..\nC: QUIT\nC: ..\nC: .\nS: 250 done\nC: QUIT\n";
    for size in 1..=content.len() {
        smtp("", &(in_data() + stuffed), async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await);
            for piece in content.chunks(size) {
                assert!(pushed(&mut branch, piece).await);
            }
            assert!(branch.prepare(false).await);
            branch.complete(None).await;
            assert_eq!(outcome(&branch), ("2.0.0".into(), true));
            branch.into_connection().await.unwrap().quit().await;
        })
        .await;
    }
    // Counted, nothing of it is changed.
    let script = format!(
        "{ENVELOPE}C: BDAT 15\nC: \nC: .\nC: .\nC: QUIT\nR: .\nS: 250 ok\nC: BDAT 2 LAST\nR: xx\n\
         S: 250 done\nC: QUIT\n"
    );
    smtp("S: 250-CHUNKING\n", &script, async |connection, _| {
        let mut branch = begun(connection).await;
        assert!(
            branch.proceed().await && pushed(&mut branch, &[&content[..], b"xx"].concat()).await
        );
        assert!(branch.prepare(false).await);
        branch.complete(None).await;
        assert_eq!(outcome(&branch), ("2.0.0".into(), true));
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

/// What is pushed is on its way when the client is waited for, and so is all when it is prepared.
#[tokio::test]
async fn nothing_is_held_back() {
    let script = in_data() + "C: hello\ntell\nC: there\ntell\nC: .\nS: 250 done\n";
    smtp("", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && pushed(&mut branch, b"hello\r\n").await);
        signals.from_peer.notified().await;
        assert!(pushed(&mut branch, b"there").await && branch.prepare(false).await);
        signals.from_peer.notified().await;
        branch.complete(None).await;
        assert_eq!(outcome(&branch), ("2.0.0".into(), true));
    })
    .await;
}

/// A small message leaves whole, with what completes it, if no other branch is to be prepared first.
#[tokio::test]
async fn what_is_small_is_gathered_up_to_its_end() {
    for is_only in [true, false] {
        let script = in_data() + "C: hello\nC: there\nC: .\nS: 250 done\n";
        smtp("", &script, async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await && branch.push(b"hello\r\n").await);
            assert!(branch.push(b"there").await && branch.prepare(is_only).await);
            let gathered = if is_only { "hello\r\nthere\r\n" } else { "" };
            assert_eq!(branch.connection.unsent, gathered.as_bytes());
            branch.complete(None).await;
            assert_eq!(outcome(&branch), ("2.0.0".into(), true));
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_large_is_not_gathered() {
    let line = [b'x'; 64];
    let piece = [&line[..], b"\r\n"].concat().repeat(300);
    let script = in_data() + &format!("C: {}\n", "x".repeat(64)).repeat(300) + "tell\ndrain\n";
    smtp("", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && branch.push(&piece).await);
        signals.from_peer.notified().await;
        branch.abandon().await;
    })
    .await;
}

/// Given up, or dropped, what was gathered is not completed.
#[tokio::test]
async fn what_was_gathered_is_not_completed_by_giving_it_up() {
    for is_prepared in [false, true] {
        let script = in_data() + "drain\n";
        smtp("", &script, async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await && branch.push(b"hello\r\n").await);
            assert!(!is_prepared || branch.prepare(true).await);
            branch.abandon().await;
            assert!(!branch.completed() && branch.into_connection().await.is_none());
        })
        .await;
    }
}

/// Between commands, and never in content; where one is not answered yet there is no second.
#[tokio::test]
async fn noop_is_said_between_commands_only() {
    let script = format!(
        "{ENVELOPE}C: NOOP\nwait\nS: 250 ok\nC: RCPT TO:<c@y.example>\nS: 250 ok\n\
         C: DATA\ntell\nwait\nS: 354 go\nC: hello\nC: there\nC: .\ntell\nwait\nS: 250 done\nC: QUIT\n"
    );
    smtp("", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.noop().await && branch.noop().await);
        signals.to_peer.notify_one();
        let said = branch.recipient(to("c@y.example")).await;
        assert_eq!(said, Said::Accepted);
        assert!(branch.proceed().await);
        // DATA is not answered.
        signals.from_peer.notified().await;
        assert!(branch.noop().await);
        signals.to_peer.notify_one();
        for piece in [&b"hello\r\n"[..], b"there\r\n"] {
            assert!(pushed(&mut branch, piece).await && branch.noop().await);
        }
        assert!(branch.prepare(false).await && branch.noop().await);
        let ending = async {
            signals.from_peer.notified().await;
            signals.to_peer.notify_one();
        };
        tokio::join!(branch.complete(None), ending);
        assert!(!branch.noop().await);
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

#[tokio::test]
async fn a_full_window_waits_for_its_reply_when_more_is_there() {
    let script = format!(
        "{ENVELOPE}C: BDAT 7\nR: abcdefg\nwait\nS: 250 ok\nC: BDAT 9\nR: hiabcdefg\nS: 250 ok\n\
         C: BDAT 2 LAST\nR: hi\nS: 250 done\nC: QUIT\n"
    );
    smtp("S: 250-CHUNKING\n", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && pushed(&mut branch, b"abcdefghi").await);
        signals.to_peer.notify_one();
        assert!(pushed(&mut branch, b"abcdefghi").await && branch.prepare(false).await);
        branch.complete(None).await;
        assert_eq!(outcome(&branch), ("2.0.0".into(), true));
        branch.into_connection().await.unwrap().quit().await;
    })
    .await;
}

/// With BDAT it can go on, with RSET; the chunk's reply is waited for.
#[tokio::test]
async fn given_up_among_chunks_the_session_is_kept() {
    let script = format!(
        "{ENVELOPE}C: BDAT 7\nR: abcdefg\nwait\nS: 250 ok\nC: RSET\nS: 250 ok\n\
         C: MAIL FROM:<a@x.example>\nS: 550 no\n"
    );
    smtp("S: 250-CHUNKING\n", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && pushed(&mut branch, b"abcdefghi").await);
        branch.abandon().await;
        assert!(!pushed(&mut branch, b"more").await && !branch.completed());
        signals.to_peer.notify_one();
        let connection = branch.into_connection().await.unwrap();
        let mut branch = Branch::new(connection);
        let said = branch.begin(transaction(), to("b@y.example")).await;
        assert!(matches!(said, Said::Refused(_)), "{said:?}");
    })
    .await;
}

#[tokio::test]
async fn given_up_behind_data_nothing_more_is_said() {
    for (pieces, prepare) in [(0, false), (1, false), (1, true)] {
        let content = if pieces == 0 { "" } else { "C: hello\n" };
        let script = in_data() + content + "silence\n";
        smtp("", &script, async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await);
            for _ in 0..pieces {
                assert!(pushed(&mut branch, b"hello\r\n").await);
            }
            assert!(!prepare || branch.prepare(false).await);
            branch.abandon().await;
            branch.complete(None).await;
            assert!(!branch.completed());
            assert_eq!(outcome(&branch), ("4.3.2".into(), false));
            assert!(branch.into_connection().await.is_none());
        })
        .await;
    }
    // The same if it is dropped.
    let script = in_data() + "C: hello\nsilence\n";
    smtp("", &script, async |connection, _| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && pushed(&mut branch, b"hello\r\n").await);
        assert!(branch.prepare(false).await);
        drop(branch);
    })
    .await;
}

/// Says what it has had enough of in the midst of content, and is believed.
#[tokio::test]
async fn an_early_refusal_is_the_peers_own_word() {
    for last in ["S: 552 5.3.4 big\ndrain\n", "S: 552 5.3.4 big\n"] {
        let script = in_data() + "C: hello\n" + last;
        smtp("", &script, async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await && pushed(&mut branch, b"hello\r\n").await);
            spoken(&branch).await;
            assert!(!pushed(&mut branch, b"more\r\n").await && !branch.prepare(false).await);
            branch.complete(None).await;
            assert_eq!(outcome(&branch), ("5.3.4".into(), true));
            assert!(!branch.completed() && branch.into_connection().await.is_none());
        })
        .await;
    }
}

/// Says so only when all but the dot is there.
#[tokio::test]
async fn a_refusal_before_the_dot_keeps_the_dot_back() {
    let script = in_data() + "C: hello\nS: 554 5.6.0 no\nsilence\n";
    smtp("", &script, async |connection, _| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await && pushed(&mut branch, b"hello\r\n").await);
        assert!(branch.prepare(false).await);
        spoken(&branch).await;
        branch.complete(None).await;
        assert_eq!(outcome(&branch), ("5.6.0".into(), true));
        assert!(!branch.completed());
    })
    .await;
}

/// Carries a message as far as the peer lets it; whether it was completed, and its outcome.
async fn whole(connection: Connection) -> (bool, (String, bool)) {
    let mut branch = Branch::new(connection);
    let said = branch.begin(transaction(), to("b@y.example")).await;
    if said == Said::Accepted && branch.proceed().await && pushed(&mut branch, b"hello\r\n").await {
        assert!(branch.prepare(false).await);
        branch.complete(None).await;
    }
    let end = (branch.completed(), outcome(&branch));
    assert!(branch.into_connection().await.is_none());
    end
}

/// Wherever the peer leaves, or falls silent, the outcome is transient and our own; and only behind the
/// dot may the message be there all the same: its 250 is lost, or late.
#[tokio::test]
async fn a_peer_that_is_gone_leaves_doubt_only_behind_the_dot() {
    let mail = "C: MAIL FROM:<a@x.example>\n";
    let recipient = format!("{mail}S: 250 ok\nC: RCPT TO:<b@y.example>\n");
    let data = format!("{ENVELOPE}C: DATA\n");
    let dot = in_data() + "C: hello\nC: .\n";
    let all = Timeouts::default();
    for (script, timeouts, completed) in [
        (mail, Timeouts { mail: SHORT, ..all }, false),
        (
            &recipient,
            Timeouts {
                recipient: SHORT,
                ..all
            },
            false,
        ),
        (&data, Timeouts { data: SHORT, ..all }, false),
        (
            &dot,
            Timeouts {
                completion: SHORT,
                ..all
            },
            true,
        ),
    ] {
        let gone = (completed, (String::from("4.4.2"), false));
        let left = smtp("", script, async |connection, _| whole(connection).await).await;
        assert_eq!(left, gone, "{script}");
        let script = greeting("") + script + "silence\n";
        let silent = async |connection, _: &_| whole(connection).await;
        let silent = meet(Protocol::Smtp, timeouts, &script, silent).await;
        assert_eq!(silent, gone, "{script}");
    }
}

/// Behind 354: whatever was written by then, the dot was not.
#[tokio::test]
async fn a_peer_that_leaves_in_content_has_nothing() {
    for content in ["", "C: hello\n"] {
        let script = in_data() + content;
        smtp("", &script, async |connection, _| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await);
            if !content.is_empty() {
                assert!(pushed(&mut branch, b"hello\r\n").await && branch.prepare(false).await);
                spoken(&branch).await;
            }
            while pushed(&mut branch, b"more\r\n").await {}
            branch.complete(None).await;
            assert_eq!(outcome(&branch), ("4.4.2".into(), false));
            assert!(!branch.completed() && branch.into_connection().await.is_none());
        })
        .await;
    }
}

/// A peer that does not read is waited for no longer than the timer says.
#[tokio::test]
async fn a_peer_that_does_not_read_is_not_waited_for() {
    let timeouts = Timeouts {
        block: SHORT,
        ..Timeouts::default()
    };
    let script = greeting("") + &in_data() + "wait\n";
    meet(
        Protocol::Smtp,
        timeouts,
        &script,
        async |connection, signals| {
            let mut branch = begun(connection).await;
            assert!(branch.proceed().await);
            let piece = [&[b'x'; 998][..], b"\r\n"].concat().repeat(60);
            while pushed(&mut branch, &piece).await {}
            assert_eq!(outcome(&branch), ("4.4.2".into(), false));
            signals.to_peer.notify_one();
        },
    )
    .await;
}

#[tokio::test]
async fn a_kept_session_that_has_ended_is_stale() {
    for (last, end) in [
        ("wait\n", "S: 421 idle\n"),
        ("wait\n", ""),
        ("C: RSET\n", "S: 421 idle\n"),
        ("C: RSET\n", ""),
    ] {
        let script = format!("{ENVELOPE}{last}{end}");
        smtp("", &script, async |connection, signals| {
            let mut branch = begun(connection).await;
            branch.abandon().await;
            let connection = branch.into_connection().await.unwrap();
            let mut branch = Branch::new(connection);
            if last == "wait\n" {
                signals.to_peer.notify_one();
                spoken(&branch).await;
            }
            let said = branch.begin(transaction(), to("b@y.example")).await;
            assert_eq!(said, Said::Stale, "{script}");
            assert_eq!(branch.recipient(to("c@y.example")).await, Said::Stale);
            assert!(branch.outcomes().is_empty() && !branch.proceed().await);
            assert!(branch.into_connection().await.is_none());
        })
        .await;
    }
    // A new one that ends is lost: asking again on a newer one need not end.
    smtp("", "", async |connection, _| {
        let mut branch = Branch::new(connection);
        spoken(&branch).await;
        let said = branch.begin(transaction(), to("b@y.example")).await;
        assert!(matches!(said, Said::Lost(_)), "{said:?}");
    })
    .await;
}

/// The timer of DATA has run out by the clock, but it was the client that was waited for.
#[tokio::test]
async fn the_timer_stands_still_while_the_client_is_waited_for() {
    let script = format!("{ENVELOPE}C: DATA\nwait\nS: 354 go\nC: hello\n");
    smtp("", &script, async |connection, signals| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await);
        assert!(
            branch
                .left
                .is_some_and(|left| left > Duration::from_secs(20))
        );
        branch.connection.timer = Some(Mono::from_millis(0));
        let push = pushed(&mut branch, b"hello\r\n");
        let (sent, ()) = tokio::join!(biased; push, async { signals.to_peer.notify_one() });
        assert!(sent);
    })
    .await;
}

/// What a dropped future had in hand is not sent twice, nor left out.
#[tokio::test]
async fn a_dropped_future_ends_the_branch() {
    let script = format!("{ENVELOPE}C: DATA\nsilence\n");
    smtp("", &script, async |connection, _| {
        let mut branch = begun(connection).await;
        assert!(branch.proceed().await);
        tokio::select! {
            biased;
            _ = branch.push(b"hello\r\n") => panic!("there is no 354"),
            () = std::future::ready(()) => {}
        }
        assert!(!pushed(&mut branch, b"there\r\n").await);
        assert_eq!(outcome(&branch), ("4.4.2".into(), false));
        assert!(branch.into_connection().await.is_none());
    })
    .await;
}
