//! The operator's hand on the queue: each subcommand with the real binary, on a running service and on
//! the queue of a stopped one.

use std::sync::Arc;

use tempfile::TempDir;

use super::cli::{texts, vouchsafe};
use super::client::Client;
use super::service::{Service, Setup};
use super::sink::Sink;

/// A next hop with which no session ever comes to be.
const DEAD: &str = "lmtp+unix:/nonexistent/vouchsafe-test";

/// Three domains behind a next hop that is dead.
fn setup(folder: Option<Arc<TempDir>>) -> Setup {
    let setup = folder.map_or_else(Setup::new, Setup::in_folder);
    let names = ["one.example", "two.example", "three.example"];
    setup.domains(&names, DEAD).stored()
}

/// Gives the service a message; its queue id.
fn send(service: &Service, from: &str, to: &str) -> String {
    let mut client = Client::greeted(service.address());
    client.expect("EHLO out.example.net", 250);
    client.expect(&format!("MAIL FROM:<{from}>"), 250);
    client.expect(&format!("RCPT TO:<{to}>"), 250);
    client.expect("DATA", 354);
    client.send(b"Subject: x\r\n\r\nbody\r\n");
    let reply = client.say(".");
    let id = reply.strip_prefix("250 2.0.0 queued as ").unwrap();
    id.trim().to_owned()
}

/// What the command line says of a queue.
struct Hand(String);

impl Hand {
    fn of(setup: &Setup) -> Self {
        Self(setup.config().display().to_string())
    }

    /// Runs `queue …`; its exit code, and what it said.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let all = [&["queue"], arguments, &["-c", &self.0]].concat();
        let output = vouchsafe(&all);
        let (out, err) = texts(&output);
        (output.status.code().unwrap(), out, err)
    }

    /// The same, which must end well.
    fn does(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        out
    }

    /// The ids that a listing has.
    fn listed(&self, conditions: &[&str]) -> Vec<String> {
        let text = self.does(&[&["list", "--json"], conditions].concat());
        let each = |line: &str| {
            let message: serde_json::Value = serde_json::from_str(line).unwrap();
            message["id"].as_str().unwrap().to_owned()
        };
        text.lines().map(each).collect()
    }

    /// Waits until a listing has these: an attempt is logged before it is recorded.
    fn comes_to(&self, conditions: &[&str], wanted: &[String]) {
        for _ in 0..1_000 {
            if self.listed(conditions) == wanted {
                return;
            }
        }
        assert_eq!(self.listed(conditions), wanted);
    }

    /// Waits until a message's life tells this: notes are written a moment behind what they note.
    fn tells(&self, id: &str, wanted: &[&str]) {
        let trace = || texts(&vouchsafe(&["trace", id, "-c", &self.0])).0;
        let is_there = |trace: &str| wanted.iter().all(|each| trace.contains(each));
        let there = (0..1_000).any(|_| is_there(&trace()));
        assert!(there, "{wanted:?} in\n{}", trace());
    }
}

/// Every condition alone means the right ones of these three.
fn conditions(hand: &Hand, [one, two, three]: &[String; 3]) {
    let all = [one, two, three].map(String::clone).to_vec();
    assert_eq!(hand.listed(&[]), all);
    for (condition, wanted) in [
        (&["--domain", "two.example"][..], vec![two]),
        (&["--domain", "TWO.example"], vec![two]),
        (&["--domain", "none.example"], vec![]),
        (&["--sender", "a@net.example"], vec![one, three]),
        (&["--sender", "@other.example"], vec![two]),
        (&["--sender", "<>"], vec![]),
        (&["--older-than", "1h"], vec![]),
        (&["--younger-than", "1h"], vec![one, two, three]),
        (&["--id", one, "--id", three], vec![one, three]),
        (&["--id", one, "--domain", "two.example"], vec![]),
        (&["--held"], vec![two]),
        (&["--limit", "1"], vec![one]),
    ] {
        let found = hand.listed(condition);
        assert!(found.iter().eq(wanted), "{condition:?}: {found:?}");
    }
}

/// What is not said whole changes nothing.
fn refuses_what_is_not_said_whole(hand: &Hand, one: &str) {
    for (wrong, says) in [
        (&["hold"][..], "say which messages"),
        (&["hold", "--all", "--held"], "without other conditions"),
        (&["remove", "--id", one], "<--report|--silently>"),
        (&["hold", "--domain", "a b"], "no domain"),
        (&["hold", "--older-than", "soon"], "age"),
        (&["reroute", "--id", one, "--to", "nonsense"], "smtp://"),
        (&["reroute", "--id", one], "--to"),
    ] {
        let (code, out, err) = hand.run(wrong);
        assert_eq!((code, out.as_str()), (64, ""), "{wrong:?}: {err}");
        assert!(err.contains(says), "{wrong:?}: {err}");
    }
}

#[test]
fn messages_are_held_released_retried_and_removed_live_and_at_rest() {
    let setup = setup(None);
    let hand = Hand::of(&setup);
    let mut service = setup.start();
    let (net, other) = ("a@net.example", "b@other.example");
    let ids = [
        send(&service, net, "x@one.example"),
        send(&service, other, "x@two.example"),
        send(&service, net, "x@three.example"),
    ];
    let [one, two, three] = &ids;
    service.wait_for("no session with this host");

    refuses_what_is_not_said_whole(&hand, one);
    let dry = hand.does(&["hold", "--domain", "two.example", "--dry-run"]);
    assert!(
        dry.contains(two) && dry.contains("1 message would be held"),
        "{dry}"
    );
    assert_eq!(hand.listed(&["--held"]), [""; 0]);

    let held = hand.does(&["hold", "--domain", "two.example"]);
    assert_eq!(held, "1 message held\n");
    service.wait_for("by the operator");
    assert_eq!(
        hand.does(&["hold", "--id", two]),
        "0 messages held; 1 so before\n"
    );
    conditions(&hand, &ids);
    hand.tells(two, &["held by the operator"]);
    let (code, out, _) = hand.run(&["release", "--id", "0123456789ABCDEFGHJK"]);
    assert_eq!(code, 66, "{out}");
    let retried = hand.does(&["retry", "--id", one, "--id", two]);
    assert!(retried.contains("1 message due now; 1 held"), "{retried}");

    // The same on the queue at rest.
    let folder = service.folder();
    service.stop();
    conditions(&hand, &ids);
    assert_eq!(hand.does(&["release", "--held"]), "1 message released\n");
    assert_eq!(hand.listed(&["--held"]), [""; 0]);
    assert_eq!(
        hand.does(&["hold", "--domain", "two.example"]),
        "1 message held\n"
    );
    let removed = hand.does(&[
        "remove",
        "--silently",
        "--sender",
        net,
        "--domain",
        "three.example",
    ]);
    assert_eq!(removed, "1 message removed silently\n");
    assert_eq!(hand.listed(&[]), [one.clone(), two.clone()]);
    hand.tells(three, &["removed by the operator", "left the queue"]);
    let top = hand.does(&["top"]);
    assert!(
        top.contains("two.example") && !top.contains("three.example"),
        "{top}"
    );

    // What was said at rest holds for the service that starts there, and it goes on from there.
    let service = self::setup(Some(folder)).start();
    assert_eq!(hand.listed(&["--held"]), std::slice::from_ref(two));
    let removed = hand.does(&["remove", "--report", "--id", one]);
    assert_eq!(
        removed,
        "1 message removed, with reports to their senders\n"
    );
    hand.tells(one, &["report to a@net.example"]);
    assert!(!hand.listed(&[]).contains(one));
    assert_eq!(hand.listed(&["--held"]), std::slice::from_ref(two));
    assert_eq!(hand.does(&["release", "--all"]).lines().count(), 1);
    drop(service);
}

#[test]
fn what_is_held_back_says_why_and_a_reroute_brings_it_there() {
    let sink = Sink::start();
    let setup = setup(None);
    let hand = Hand::of(&setup);
    let mut service = setup.start();
    let first = send(&service, "a@net.example", "x@one.example");
    service.wait_for("no session with this host");
    let second = send(&service, "a@net.example", "y@one.example");
    let shown = || hand.does(&["show", &second]);
    // That its lane is held back is known once the first has been tried.
    let text = shown();
    assert!(
        text.contains("Held back") && text.contains("(in "),
        "{text}"
    );
    let listed = hand.does(&["list", "--domain", "one.example"]);
    assert!(!listed.contains(" due "), "{listed}");
    let top = hand.does(&["top"]);
    assert!(
        top.contains("one.example by lmtp+unix:") && top.contains("next try in"),
        "{top}"
    );
    assert_eq!(
        hand.listed(&["--reason", "NO connection"]).len(),
        2,
        "{top}"
    );

    let sent = hand.does(&["reroute", "--id", &second, "--to", &sink.next_hop()]);
    assert_eq!(sent, "1 message sent another way\n");
    assert!(String::from_utf8_lossy(&sink.next().content).contains("body"));
    service.wait_for("delivered");
    hand.comes_to(&["--domain", "one.example"], std::slice::from_ref(&first));
    hand.tells(&second, &["rerouted by the operator, to smtp://"]);

    // Kept over a restart, and taken back.
    hand.does(&["hold", "--id", &first]);
    hand.does(&["reroute", "--id", &first, "--to", &sink.next_hop()]);
    let folder = service.folder();
    service.stop();
    let service = self::setup(Some(folder)).start();
    assert!(
        hand.does(&["show", &first])
            .contains("rerouted by the operator")
    );
    hand.does(&["reroute", "--id", &first, "--to", "normal"]);
    assert!(!hand.does(&["show", &first]).contains("rerouted"));
    hand.does(&["reroute", "--id", &first, "--to", &sink.next_hop()]);
    hand.does(&["release", "--id", &first]);
    sink.next();
    drop(service);
}

#[test]
fn a_frozen_domain_waits_over_restarts_until_it_is_thawed() {
    let sink = Sink::start();
    let towards = |setup: Setup| {
        let names = ["one.example", "two.example"];
        setup.domains(&names, &sink.next_hop()).stored()
    };
    let first = towards(Setup::new());
    let hand = Hand::of(&first);
    let mut service = first.start();
    let frozen = hand.does(&["freeze", "one.example"]);
    assert!(frozen.starts_with("one.example: frozen"), "{frozen}");
    service.wait_for("freeze");
    assert!(hand.does(&["freeze", "one.example"]).contains("already"));
    let waits = send(&service, "a@net.example", "x@one.example");
    send(&service, "a@net.example", "x@two.example");
    let message = sink.next();
    assert!(String::from_utf8_lossy(&message.content).contains("body"));
    let text = hand.does(&["show", &waits]);
    assert!(text.contains("frozen by the operator"), "{text}");
    let folder = service.folder();
    service.stop();

    let again = towards(Setup::in_folder(folder));
    let mut service = again.start();
    service.wait_from_start("frozen by the operator");
    service.signal("HUP");
    service.wait_for("reload");
    send(&service, "a@net.example", "y@two.example");
    sink.next();
    service.wait_for("outcome=\"delivered\"");
    assert_eq!(
        hand.listed(&["--domain", "one.example"]),
        std::slice::from_ref(&waits)
    );
    assert!(hand.does(&["thaw", "one.example"]).contains("thawed"));
    sink.next();
    service.wait_for(&waits);
    assert!(
        hand.does(&["thaw", "one.example"])
            .contains("was not frozen")
    );
    let folder = service.folder();
    service.stop();
    // At rest too.
    assert!(
        hand.does(&["freeze", "two.example"])
            .contains("two.example: frozen")
    );
    let kept = folder.path().join("data/frozen");
    let kept = [kept, folder.path().join("frozen")];
    assert!(kept.iter().any(|file| file.exists()));
}
