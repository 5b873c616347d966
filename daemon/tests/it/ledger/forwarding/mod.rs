//! Forwarded by a real `.forward`, whose host no list of the sender's domain names: what the domain says of the message
//! decides where it was left as it was, and where it was altered the lists do (PROTOCOLS B.5). And what a mailing list
//! sends on, which has a reverse-path of its own.

mod scene;

use scene::{ALICE, BODY, Letter, Scene, installed};

use crate::sink::Sink;

/// Accounts whose mail goes on, and to whom.
const TO_BOB: &str = "games@forwarder.example";
const TO_CAROL: &str = "news@forwarder.example";
const TO_DAVE: &str = "backup@moved.example";

/// What is told of the forwarder where nothing helps.
const REFUSED: &str = "550 5.7.1 delivery not authorized: 127.0.0.9 is not a border relay of origin.example \
                       (MAIL-FROM.origin.example MX)";

/// It was sent, elsewhere: accepted as unknown, though the lists are against it.
fn saved(scene: &mut Scene, them: &str, subject: &str) {
    let line = scene.heard(them);
    assert!(line.contains("status=sent (250 "), "{line}");
    assert_eq!(scene.finding(), "sent_elsewhere");
    let text = scene.delivered(subject);
    for told in [
        "x-vouchsafe=unknown ",
        "x-mailfrom-mx=fail reason=not_listed ",
        "spf=fail ",
        "x-ledger=neutral reason=\"sent elsewhere\" ",
        BODY.trim_end(),
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(
        text.starts_with(&format!("Return-Path: <{ALICE}>\n")),
        "{text}"
    );
}

/// It was altered: nothing follows, and the lists are against it.
fn lost(scene: &mut Scene, them: &str, subject: &str) {
    let line = scene.heard(them);
    assert!(line.contains("status=bounced"), "{line}");
    assert!(line.contains(REFUSED), "{line}");
    assert!(line.contains("in reply to end of DATA"), "{line}");
    assert_eq!(scene.finding(), "altered");
    scene.reported(subject);
}

/// It was altered by him whose relay the recipient takes mail from: nothing follows, and the lists are against nobody.
fn let_in(scene: &mut Scene, them: &str, subject: &str) -> String {
    let line = scene.heard(them);
    assert!(line.contains("status=sent (250 "), "{line}");
    assert_eq!(scene.finding(), "altered");
    let text = scene.delivered(subject);
    for told in [
        "x-vouchsafe=unknown ",
        "x-mailfrom-mx=fail reason=not_listed ",
        "x-ledger=neutral reason=altered ",
    ] {
        assert!(text.contains(told), "{told}: {text}");
    }
    text
}

#[test]
fn what_is_forwarded_untouched_was_sent_elsewhere_and_is_taken() {
    let Some(postfix) = installed("messages forwarded untouched") else {
        return;
    };
    let mut scene = Scene::new(postfix, "");
    // Declared, and by its lists: it is let in anyhow, and the domain is asked where it was sent.
    scene.send(&Letter::open(TO_BOB, "declared"));
    saved(&mut scene, "bob@local.example", "declared");
    // Declared by nobody, and found in To.
    scene.send(&Letter::open(TO_CAROL, "undeclared"));
    saved(&mut scene, "carol@local.example", "undeclared");
    // Found nowhere but among what the recipient has declared, which names no such host.
    scene.send(&Letter::blind(TO_DAVE, "blind-declared"));
    saved(&mut scene, "dave@local.example", "blind-declared");
    // Found nowhere: where it was sent cannot be known, only that it was. The lists decide.
    scene.send(&Letter::blind(TO_CAROL, "blind-undeclared"));
    lost(&mut scene, "carol@local.example", "blind-undeclared");
}

#[test]
fn what_is_forged_is_not_saved_by_the_way_it_takes_and_the_report_about_it_is_refused() {
    let Some(postfix) = installed("forgeries that are forwarded") else {
        return;
    };
    let mut scene = Scene::new(postfix, "");
    scene.forge(&Letter::open(TO_CAROL, "forged"));
    let line = scene.heard("carol@local.example");
    assert!(
        line.contains("status=bounced") && line.contains(REFUSED),
        "{line}"
    );
    assert_eq!(scene.finding(), "not_sent_once");
    // Postfix believes that it was Alice.
    let line = scene.heard(ALICE);
    let told = "550 5.7.1 not in reply to anything sent from here";
    assert!(
        line.contains("status=bounced") && line.contains(told),
        "{line}"
    );
    assert!(scene.sender.delivered().is_empty());
}

#[test]
fn what_gets_a_footer_is_altered_and_judged_by_the_lists() {
    let Some(postfix) = installed("messages forwarded with a footer") else {
        return;
    };
    // All that comes from the sender's relay goes by way of a filter, which gives it back from another address.
    let filter = Sink::start();
    let settings = format!(
        "smtpd_client_restrictions = check_client_access inline:{{ {{ 127.0.0.1 = FILTER smtp:[127.0.0.1]:{} }} }}",
        filter.address().port()
    );
    let mut scene = Scene::new(postfix, &settings);
    let add_footer = |scene: &Scene, recipient: &str| {
        let text = String::from_utf8(filter.next().content).unwrap();
        let footer = "-- \r\nSent on by forwarder.example\r\n";
        scene.give_back(recipient, &format!("{text}{footer}"));
    };
    scene.send(&Letter::open(TO_BOB, "declared").plain());
    add_footer(&scene, TO_BOB);
    let text = let_in(&mut scene, "bob@local.example", "declared");
    assert!(text.contains("Sent on by forwarder.example"), "{text}");
    scene.send(&Letter::open(TO_CAROL, "undeclared").plain());
    add_footer(&scene, TO_CAROL);
    lost(&mut scene, "carol@local.example", "undeclared");
}

#[test]
fn what_is_encoded_anew_on_its_way_is_altered_and_judged_by_the_lists() {
    let Some(postfix) = installed("messages of eight bits forwarded to a host without 8BITMIME")
    else {
        return;
    };
    let mut scene = Scene::new(postfix, "smtp_discard_ehlo_keywords = 8bitmime, smtputf8");
    scene.send(&Letter::open(TO_BOB, "declared"));
    let text = let_in(&mut scene, "bob@local.example", "declared");
    assert!(
        text.contains("Transfer-Encoding: quoted-printable"),
        "{text}"
    );
    assert!(text.contains("Viele Gr=C3=BC=C3=9Fe"), "{text}");
    scene.send(&Letter::open(TO_CAROL, "undeclared"));
    lost(&mut scene, "carol@local.example", "undeclared");
    // Declared, but by its lists not the host that brings it.
    scene.send(&Letter::open(TO_DAVE, "elsewhere"));
    lost(&mut scene, "dave@local.example", "elsewhere");
    // What needs no encoding goes through such a host as it is.
    scene.send(&Letter::open(TO_CAROL, "plain").plain());
    let line = scene.heard("carol@local.example");
    assert!(line.contains("status=sent (250 "), "{line}");
    assert_eq!(scene.finding(), "sent_elsewhere");
}

/// What a mailing list at this domain sends on to Carol: what Postfix heard, and all that the receiver has to say.
fn by_list(domain: &str) -> Option<(String, Vec<String>, String)> {
    let postfix = installed("what a mailing list sends on")?;
    let postfix = postfix.file(
        "aliases",
        "friends carol@local.example\nowner-friends games\n",
    );
    let settings = format!("myorigin = {domain}\nalias_maps = texthash:$config_directory/aliases");
    let mut scene = Scene::new(postfix, &settings);
    scene.send(&Letter::open(&format!("friends@{domain}"), "list"));
    let line = scene.heard("carol@local.example");
    if line.contains("status=sent") {
        scene.delivered("list");
    }
    let delivered = scene.receiver.delivered();
    let texts = delivered
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    Some((line, texts, scene.receiver.stop()))
}

#[test]
fn what_a_mailing_list_sends_on_is_judged_by_the_lists_domain() {
    let Some((line, delivered, log)) = by_list("lists.example") else {
        return;
    };
    assert!(line.contains("status=sent (250 "), "{line}");
    for told in [
        "Return-Path: <owner-friends@lists.example>\n",
        "x-vouchsafe=authorised smtp.mailfrom=owner-friends@lists.example",
        "x-mailfrom-mx=pass ",
    ] {
        assert!(delivered[0].contains(told), "{told}: {}", delivered[0]);
    }
    // The author's domain is not asked, since the reverse-path is not its.
    assert!(!log.contains("asked the sender's domain"), "{log}");
    assert!(!log.contains("origin.example"), "{log}");
    // A list whose own domain does not name its host.
    let (line, delivered, log) = by_list("strays.example").unwrap();
    let told = "127.0.0.9 is not a border relay of strays.example";
    assert!(
        line.contains("status=bounced") && line.contains(told),
        "{line}"
    );
    let is_the_letter = |text: &&String| text.starts_with("Return-Path: <owner");
    assert_eq!(delivered.iter().find(is_the_letter), None);
    assert!(!log.contains("asked the sender's domain"), "{log}");
}
