//! Signatures made by mail-auth's own signer, keys in the small authority on loopback.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mail_auth::dkim::Canonicalization;
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::verify::Weight;
use vouchsafe_proto::verify::dkim::{MAX_ARC_SETS, SignatureResult};

use super::signing::{
    Differently, EDWARDS, RSA, base64, record, rsa_key, signed, signer, txt, zone,
};
use super::*;
use crate::dns::authority::{Authority, Zones};
use crate::dns::{self, Asking, Stub};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25));

const MESSAGE: &str = "From: Alice <alice@example.org>\r\n\
    To: bob@example.net\r\n\
    Subject: Hello\r\n\
    Date: Sun, 22 Nov 2026 03:00:00 +0000\r\n\
    \r\n\
    Hello,\r\n\
    \r\n\
    this is it.\r\n";

/// A verifier, the world it asks, and what it asked.
struct World {
    verifier: DkimVerifier,
    asked: Arc<Recorder>,
    _authority: Authority,
}

/// Writes down every question.
struct Recorder {
    inner: Stub,
    asked: Mutex<Vec<String>>,
}

impl Resolver for Recorder {
    fn ask(&self, question: Question) -> Asking<'_> {
        self.asked.lock().unwrap().push(question.to_string());
        self.inner.ask(question)
    }

    fn ask_for(&self, client: IpAddr, question: Question) -> Asking<'_> {
        assert_eq!(client, CLIENT);
        self.ask(question)
    }
}

impl World {
    async fn of(zones: &str) -> Self {
        Self::with(
            zones,
            Settings {
                on: true,
                size: 1 << 20,
            },
        )
        .await
    }

    async fn with(zones: &str, settings: Settings) -> Self {
        let zones = Zones::parse(zones).expect("zones");
        let loopback = (Ipv4Addr::LOCALHOST, 0).into();
        let authority = Authority::start(loopback, zones).await.expect("a port");
        let asked = Arc::new(Recorder {
            inner: Stub::new(dns::Settings {
                deadline: Duration::from_secs(2),
                ..dns::Settings::new(vec![authority.address()])
            }),
            asked: Mutex::default(),
        });
        let resolver: Arc<dyn Resolver> = Arc::<Recorder>::clone(&asked);
        Self {
            verifier: DkimVerifier::new(resolver, settings),
            asked,
            _authority: authority,
        }
    }

    async fn report(&self, message: &str) -> Report {
        let message = Bytes::copy_from_slice(message.as_bytes());
        self.verifier.verify(CLIENT, message).await
    }

    /// The reason of the one signature there is.
    async fn reason(&self, message: &str) -> Reason {
        let report = self.report(message).await;
        assert_eq!(report.signatures.len(), 1, "{report:?}");
        report.signatures[0].reason
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.asked.lock().unwrap())
    }
}

/// What a report says of a reverse-path about which nothing else is known.
fn weight(report: &Report, reverse_path: &str) -> Weight {
    let path = ReversePath::parse_inside(reverse_path).unwrap();
    report.weight(&path, Weight::Silent, false)
}

#[tokio::test]
async fn both_algorithms_in_every_form_prove() {
    let world = World::of(&zone("example.org")).await;
    let forms = [Canonicalization::Simple, Canonicalization::Relaxed];
    for selector in [RSA, EDWARDS] {
        for (header, body) in forms
            .into_iter()
            .flat_map(|header| forms.map(|body| (header, body)))
        {
            let signer = signer("example.org", selector)
                .header_canonicalization(header)
                .body_canonicalization(body);
            let message = signed(&signer, MESSAGE);
            let report = world.report(&message).await;
            assert_eq!(report.result(), Some(SignatureResult::Pass), "{message}");
            assert_eq!(weight(&report, "alice@example.org"), Weight::Proves);
            assert_eq!(report.from.unwrap().to_string(), "alice@example.org");

            // What a relay may do to a message, by the form.
            let spaced = message
                .replace("Subject: Hello", "Subject:  Hello ")
                .replace("this is", "this  is");
            let expected = match (header, body) {
                (_, Canonicalization::Simple) => Reason::Body,
                (Canonicalization::Simple, _) => Reason::Header,
                _ => Reason::Valid,
            };
            assert_eq!(world.reason(&spaced).await, expected, "{spaced}");
        }
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_fails() {
    let world = World::of(&zone("example.org")).await;
    let message = signed(&signer("example.org", RSA), MESSAGE);
    for (from, to, reason) in [
        ("this is it", "this is bad", Reason::Body),
        ("Hello\r\nDate", "Hallo\r\nDate", Reason::Header),
        ("bob@", "eve@", Reason::Header),
        ("s=rsa", "s=ed", Reason::KeyType),
        ("s=rsa", "s=none", Reason::NoKey),
        ("v=1;", "v=2;", Reason::Version),
        ("a=rsa-sha256", "a=rsa-sha1", Reason::Sha1),
        ("h=", "h=Sender:", Reason::Header),
        ("bh=", "bh=!", Reason::Syntax),
    ] {
        assert!(message.contains(from), "{from}");
        let changed = message.replacen(from, to, 1);
        assert_eq!(world.reason(&changed).await, reason, "{changed}");
    }
}

#[tokio::test]
async fn a_signature_binds_what_it_signs_and_no_more() {
    let world = World::of(&format!("{}zone example.com\n", zone("example.org"))).await;
    let plain = signed(&signer("example.org", EDWARDS), MESSAGE);
    let open = signed(&signer("example.org", EDWARDS).body_length(true), MESSAGE);
    let trailing = format!("{open}Buy this.\r\n");
    let twice = format!("From: eve@evil.example\r\n{plain}");
    let hidden = format!("FROM : eve@evil.example\r\n{plain}");
    let below = plain.replace("From: Alice", "From: eve@evil.example\r\nFrom: Alice");
    let unsigned = signed(
        &signer("example.org", EDWARDS).headers_of(&["Subject", "To"]),
        MESSAGE,
    );
    let several = signed(
        &signer("example.org", EDWARDS),
        &MESSAGE.replace(
            "<alice@example.org>",
            "<alice@example.org>, bob@example.org",
        ),
    );
    for (message, reverse_path, reason, expected) in [
        (&plain, "alice@example.org", Reason::Valid, Weight::Proves),
        (&plain, "alice@EXAMPLE.ORG", Reason::Valid, Weight::Proves),
        // Sent again with another envelope.
        (&plain, "eve@example.com", Reason::Valid, Weight::Silent),
        (&plain, "bob@example.org", Reason::Valid, Weight::Clears),
        (&plain, "alice@a.example.org", Reason::Valid, Weight::Silent),
        (&plain, "", Reason::Valid, Weight::Silent),
        (&open, "alice@example.org", Reason::Valid, Weight::Clears),
        (
            &trailing,
            "alice@example.org",
            Reason::Valid,
            Weight::Clears,
        ),
        (&twice, "alice@example.org", Reason::Valid, Weight::Clears),
        (&twice, "eve@evil.example", Reason::Valid, Weight::Silent),
        (&hidden, "alice@example.org", Reason::Valid, Weight::Clears),
        (&below, "alice@example.org", Reason::Valid, Weight::Clears),
        (
            &unsigned,
            "alice@example.org",
            Reason::FromUnsigned,
            Weight::Silent,
        ),
        (&several, "alice@example.org", Reason::Valid, Weight::Clears),
    ] {
        let report = world.report(message).await;
        assert_eq!(report.signatures[0].reason, reason, "{message}");
        assert_eq!(
            weight(&report, reverse_path),
            expected,
            "{reverse_path} {message}"
        );
    }
}

#[tokio::test]
async fn a_from_that_was_not_there_when_it_was_signed_is_not_signed() {
    let world = World::of(&zone("example.org")).await;
    let bare = MESSAGE.replacen("From: Alice <alice@example.org>\r\n", "", 1);
    let message = signed(&signer("example.org", EDWARDS), &bare);
    let added = format!("From : alice@example.org\r\n{message}");
    let report = world.report(&added).await;
    assert_eq!(report.signatures[0].reason, Reason::Valid);
    assert!(!report.signatures[0].signed_from);
    assert_eq!(weight(&report, "alice@example.org"), Weight::Clears);
    // Plainly written it is found, and the signature was made over none.
    let added = format!("From: alice@example.org\r\n{message}");
    assert_eq!(world.reason(&added).await, Reason::Header);
}

#[tokio::test]
async fn an_l_counts_octets_of_the_form_that_is_signed() {
    // By RFC 6376 §3.4.5 the count is of the canonical body: blanks that the relaxed form drops do
    // not count, and of l=0 nothing is hashed.
    let world = World::of(&zone("example.org")).await;
    let open = signed(&signer("example.org", EDWARDS).body_length(true), MESSAGE);
    let spaced = open.replace("this is it.", "this  \t is   it.   ");
    assert_eq!(world.reason(&spaced).await, Reason::Valid);
    let appended = spaced + "more\r\n";
    assert_eq!(world.reason(&appended).await, Reason::Valid);
    let cut = open.replace("this is it.\r\n", "");
    assert_eq!(world.reason(&cut).await, Reason::Body);
}

#[tokio::test]
async fn each_state_of_a_key_has_its_result() {
    let ed = record(EDWARDS);
    // 64 octets of modulus: half of what is believed.
    let short = [
        &[0x30, 0x48, 0x02, 0x41, 0x00, 0xff][..],
        &[0x55; 63],
        &[0x02, 0x03, 0x01, 0x00, 0x01],
    ]
    .concat();
    let zones = [
        zone("example.org"),
        txt(
            "testing._domainkey.example.org",
            &ed.replacen("k=", "t=y; k=", 1),
        ),
        txt("revoked._domainkey.example.org", "v=DKIM1; k=ed25519; p="),
        txt(
            "short._domainkey.example.org",
            &format!("p={}", base64(&short)),
        ),
        txt(
            "other._domainkey.example.org",
            &ed.replacen("k=", "s=other; k=", 1),
        ),
        txt("junk._domainkey.example.org", "v=DKIM1; k=ed25519; p=!"),
        txt("junkrsa._domainkey.example.org", "v=DKIM1; p=AAAA"),
        txt("spf._domainkey.example.org", "v=spf1 -all"),
        txt("two._domainkey.example.org", &ed),
        txt("two._domainkey.example.org", &record(RSA)),
        String::from("alias._domainkey.example.org CNAME ed._domainkey.example.org\n"),
        String::from("lost._domainkey.example.org CNAME x.servfail.example\n"),
        String::from("servfail servfail.example\nsilent silent.example\n"),
    ]
    .concat();
    let world = World::of(&zones).await;
    for (domain, selector, reason) in [
        ("example.org", "ed", Reason::Valid),
        ("example.org", "alias", Reason::Valid),
        ("example.org", "testing", Reason::Valid),
        ("example.org", "revoked", Reason::KeyRevoked),
        ("example.org", "other", Reason::KeyUse),
        ("example.org", "junk", Reason::KeySyntax),
        ("example.org", "spf", Reason::KeySyntax),
        ("example.org", "two", Reason::SeveralKeys),
        ("example.org", "none", Reason::NoKey),
        ("example.org", "lost", Reason::KeyTrouble(Trouble::ServFail)),
        (
            "servfail.example",
            "ed",
            Reason::KeyTrouble(Trouble::ServFail),
        ),
        ("silent.example", "ed", Reason::KeyTrouble(Trouble::Timeout)),
    ] {
        let text = MESSAGE.replace("example.org", domain);
        let signer = signer(domain, EDWARDS).with_selector(selector);
        let report = world.report(&signed(&signer, &text)).await;
        assert_eq!(report.signatures[0].reason, reason, "{selector} {domain}");
        let expected = match (selector, reason) {
            ("testing", _) => Weight::Silent,
            (_, Reason::Valid) => Weight::Proves,
            (_, Reason::KeyTrouble(_)) => Weight::Trouble,
            _ => Weight::Silent,
        };
        let author = format!("alice@{domain}");
        assert_eq!(weight(&report, &author), expected, "{selector} {domain}");
        assert_eq!(report.questions, 1);
        assert_eq!(report.steps.len(), 1);
    }
    for (selector, reason) in [
        ("short", Reason::KeyTooShort),
        ("junkrsa", Reason::KeySyntax),
    ] {
        let signer = signer("example.org", RSA).with_selector(selector);
        assert_eq!(world.reason(&signed(&signer, MESSAGE)).await, reason);
    }
}

#[tokio::test]
async fn what_is_wrong_anyway_needs_no_key() {
    // Otherwise whoever wants a tempfail instead of a rejection names a key that never comes.
    let world = World::of("silent silent.example\n").await;
    let text = MESSAGE.replace("example.org", "silent.example");
    let message = signed(&signer("silent.example", EDWARDS), &text);
    let changed = message.replace("this is it", "this is bad");
    assert_eq!(world.reason(&changed).await, Reason::Body);
    let _ = world.asked();

    let run_out = message.replacen("; bh=", "; x=1000000000; bh=", 1);
    let run_out = run_out.replacen("; t=", "; q=dns/txt; z=", 1);
    assert_eq!(world.reason(&run_out).await, Reason::Expired);
    assert_eq!(world.asked(), [] as [String; 0]);
}

#[tokio::test]
async fn no_question_leaves_but_ours() {
    let world = World::of(&zone("example.org")).await;
    // Both would make the library ask for more: third-party signatures and failure reports.
    let signer = signer("example.org", EDWARDS)
        .atps("example.org")
        .reporting(true);
    let message = signed(&signer, MESSAGE);
    assert!(message.contains("atps=") && message.contains("r=y"));
    let report = world.report(&message).await;
    assert_eq!(report.result(), Some(SignatureResult::Pass));
    assert_eq!(world.asked(), ["ed._domainkey.example.org TXT"]);
    assert_eq!((report.questions, report.ttl), (1, Some(300)));

    let broken = message.replace("this is it", "this is bad");
    assert_eq!(world.reason(&broken).await, Reason::Body);
    assert_eq!(world.asked(), ["ed._domainkey.example.org TXT"]);
}

#[tokio::test]
async fn the_library_asks_nobody() {
    use mail_auth::hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
    use mail_auth::{AuthenticatedMessage, MessageAuthenticator};

    // The library with a resolver that, unlike ours, has a server to ask: this socket.
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut server = NameServerConfig::udp(IpAddr::V4(Ipv4Addr::LOCALHOST));
    server.connections[0].port = socket.local_addr().unwrap().port();
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let library = Library::with_resolver(config.clone());

    let zones = zone("example.org");
    let world = World::of(&zones).await;
    let signer = signer("example.org", EDWARDS)
        .atps("example.org")
        .reporting(true);
    let message = sealed(&signed(&signer, MESSAGE));
    let found = find(message.as_bytes(), 0).unwrap();
    let answers = world.verifier.ask(CLIENT, &found.keys).await;
    let judged = judge(&library, message.as_bytes(), found, &answers);
    assert_eq!(judged.signatures[0].reason, Reason::Valid);
    assert_eq!(judged.arc, dkim::Arc::Pass);
    // And when no key has come.
    let found = find(message.as_bytes(), 0).unwrap();
    let judged = judge(&library, message.as_bytes(), found, &Answers::new());
    assert_eq!(
        judged.signatures[0].reason,
        Reason::KeyTrouble(Trouble::Timeout)
    );
    assert_eq!(judged.arc, dkim::Arc::Unchecked);

    // Left to itself it asks, which shows that the socket would have heard: the first question
    // there is of this message, under a name that the one above does not have.
    let control = message.replace("s=ed", "s=control");
    let control = AuthenticatedMessage::parse(control.as_bytes()).unwrap();
    let alone = MessageAuthenticator::new(config, ResolverOpts::default()).unwrap();
    let mut heard = [0; 512];
    let heard = tokio::select! {
        _ = alone.verify_dkim(&control) => panic!("an answer, though nobody answers"),
        received = socket.recv(&mut heard) => &heard[..received.unwrap()],
    };
    let heard = heard.to_ascii_lowercase();
    assert!(
        heard.windows(7).any(|part| part == b"control"),
        "{}",
        heard.escape_ascii()
    );
}

#[tokio::test]
async fn the_signatures_of_one_message_are_bounded() {
    let world = World::of(&format!("{}{}", zone("example.org"), zone("example.net"))).await;
    let mut message = signed(&signer("example.org", EDWARDS), MESSAGE);
    for _ in 1..MAX_SIGNATURES {
        message = signed(&signer("example.net", EDWARDS), &message);
    }
    let report = world.report(&message).await;
    assert_eq!((report.signatures.len(), report.more), (MAX_SIGNATURES, 0));
    assert_eq!(report.questions, 2);
    assert_eq!(weight(&report, "alice@example.org"), Weight::Proves);

    let message = signed(&signer("example.net", EDWARDS), &message);
    let report = world.report(&message).await;
    assert_eq!((report.signatures.len(), report.more), (MAX_SIGNATURES, 1));
    assert_eq!(weight(&report, "alice@example.org"), Weight::Silent);
}

#[tokio::test]
async fn what_is_not_looked_at_is_said() {
    let settings = Settings {
        on: true,
        size: 64 << 10,
    };
    let world = World::with(&zone("example.org"), settings).await;
    let message = signed(&signer("example.org", EDWARDS), MESSAGE);
    let large = format!("{message}{}", "line\r\n".repeat(11_000));
    let many = format!("{}{message}", "X: y\r\n".repeat(1000));
    for (text, skipped) in [
        (MESSAGE, Some(Skipped::NoSignature)),
        (&message, None),
        (&large, Some(Skipped::TooLarge)),
        (&many, Some(Skipped::TooManyFields)),
        ("", Some(Skipped::NoSignature)),
    ] {
        let report = world.report(text).await;
        assert_eq!(report.skipped, skipped);
        assert_eq!(report.signatures.is_empty(), skipped.is_some());
    }
    world.verifier.set_settings(Settings {
        on: false,
        ..settings
    });
    assert_eq!(world.report(&message).await.skipped, Some(Skipped::Off));
}

#[tokio::test]
async fn room_is_given_by_size_and_not_waited_for_for_ever() {
    let settings = Settings {
        on: true,
        size: 64 << 10,
    };
    let nobody: Arc<dyn Resolver> = Arc::new(Stub::new(dns::Settings::new(Vec::new())));
    let mut verifier = DkimVerifier::new(nobody, settings);
    verifier.wait = Duration::ZERO;
    let mut held = Vec::new();
    for _ in 0..ROOM {
        held.push(verifier.room_for(settings.size).await.expect("room"));
    }
    assert_eq!(verifier.room_for(1).await.unwrap_err(), Skipped::Busy);
    held.pop();
    // In the place of one large message there are many small ones.
    for _ in 0..64 {
        held.push(verifier.room_for(1000).await.expect("room"));
    }
    assert_eq!(verifier.room_for(1).await.unwrap_err(), Skipped::Busy);
    // A larger size at a reload takes more of the same room.
    verifier.set_settings(Settings {
        size: 10 << 20,
        ..settings
    });
    held.clear();
    assert!(verifier.room_for(10 << 20).await.is_ok());
}

#[tokio::test]
async fn blank_lines_at_the_end_are_a_fault_of_the_library() {
    // RFC 6376 §3.4.4: lines of nothing but blanks at the end of a relaxed body are ignored, so
    // this is the signed body still. mail-auth 0.13.3 keeps them (its #62, mended in 0.15.0). The
    // day this fails is the day to say so in docs/dkim.md.
    let world = World::of(&zone("example.org")).await;
    let message = signed(&signer("example.org", EDWARDS), MESSAGE);
    assert_eq!(
        world.reason(&format!("{message}\r\n\r\n")).await,
        Reason::Valid
    );
    assert_eq!(
        world.reason(&format!("{message} \t\r\n")).await,
        Reason::Body
    );
}

/// The message with an ARC set on top.
fn sealed(message: &str) -> String {
    use mail_auth::arc::ArcSealer;
    use mail_auth::common::headers::HeaderWriter;
    use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults};

    let parsed = AuthenticatedMessage::parse(message.as_bytes()).unwrap();
    let results = AuthenticationResults::new("mx.example.org");
    let chain = ArcOutput::default();
    let set = ArcSealer::from_key(rsa_key())
        .domain("example.org")
        .selector(RSA)
        .headers(["From", "Subject"])
        .seal(&parsed, &results, &chain)
        .unwrap();
    format!("{}{message}", set.to_header())
}

#[tokio::test]
async fn an_arc_chain_is_read_and_weighs_nothing() {
    let world = World::of(&zone("example.org")).await;
    let once = sealed(MESSAGE);
    let report = world.report(&once).await;
    assert_eq!(
        (report.arc, report.skipped),
        (dkim::Arc::Pass, None),
        "{once}"
    );
    assert_eq!(report.result(), None);
    assert_eq!(weight(&report, "alice@example.org"), Weight::Silent);
    let _ = world.asked();

    for (text, expected) in [
        (once.replace("this is it", "this is bad"), dkim::Arc::Fail),
        (once.replacen("cv=none", "cv=pass", 1), dkim::Arc::Fail),
        (once.replacen("i=1", "i=2", 1), dkim::Arc::Fail),
        (once.replacen("ARC-Seal:", "X-Seal:", 1), dkim::Arc::Fail),
        (once.replacen("rsa-sha256", "rsa-sha1", 1), dkim::Arc::Fail),
        (once.replace("s=rsa", "s=none"), dkim::Arc::Fail),
        (format!("ARC-Seal: x\r\n{once}"), dkim::Arc::Fail),
        (String::from(MESSAGE), dkim::Arc::None),
    ] {
        assert_eq!(world.report(&text).await.arc, expected, "{text}");
    }
    let seal = once.split("ARC-Seal:").nth(1).unwrap();
    let seal = seal.split("\r\n").next().unwrap();
    let long = format!("ARC-Seal:{seal}\r\n").repeat(MAX_ARC_SETS as usize + 1) + MESSAGE;
    assert_eq!(world.report(&long).await.arc, dkim::Arc::Unchecked);

    let world = World::of("servfail example.org\n").await;
    assert_eq!(world.report(&once).await.arc, dkim::Arc::Unchecked);
}

/// The corpus beside the checkout; not ours, so never in it.
fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/testdata/mail")
}

/// All files below a folder.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[tokio::test]
async fn other_peoples_mail_is_read_without_a_panic() {
    if !corpus().exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "shared/testdata is not there"
        );
        println!("not run: shared/testdata is not beside the checkout");
        return;
    }
    let world = World::of(&zone("example.org")).await;
    let mut paths = Vec::new();
    files(&corpus(), &mut paths);
    let mut seen = 0;
    for path in &paths {
        let text = std::fs::read(path).unwrap();
        let mut message = Vec::with_capacity(text.len());
        for line in text.split_inclusive(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            message.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            message.extend_from_slice(b"\r\n");
        }
        let report = world.verifier.verify(CLIENT, message.clone().into()).await;
        let panicked = report
            .signatures
            .iter()
            .any(|s| s.reason == Reason::Internal);
        assert!(!panicked, "{}", path.display());

        // The same under a signature of ours, which holds however odd the rest is.
        let from = b"From: alice@example.org\r\n";
        let whole = [&from[..], &message].concat();
        if let Ok(signature) = signer("example.org", EDWARDS)
            .headers_of(&["From"])
            .sign(from)
        {
            use mail_auth::common::headers::HeaderWriter;
            let mut text = signature.to_header().into_bytes();
            text.extend_from_slice(&whole);
            let report = world.verifier.verify(CLIENT, text.into()).await;
            let ok = report.skipped.is_some()
                || report
                    .signatures
                    .iter()
                    .all(|s| s.reason != Reason::Internal);
            assert!(ok, "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen >= 489, "{seen}");
}
