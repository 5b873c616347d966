//! DKIM in the service: a refusal that waits for the content, and what the content makes of it.

use std::net::Ipv4Addr;

use vouchsafe::dns::authority::{Authority, Zones};

use super::client::Client;
use super::service::{Service, Setup};
use super::signing::{Differently as _, EDWARDS, RSA, Signer, signed, signer, txt, zone};

const MESSAGE: &str = "From: Alice <alice@example.org>\r\n\
    To: bob@local.example\r\n\
    Subject: Hello\r\n\
    \r\n\
    Hello.\r\n";

/// The domains of the test, none of which lets this host send: by SPF, or by MAIL-FROM MX.
fn zones() -> String {
    [
        zone("example.org"),
        txt("example.org", "v=spf1 -all"),
        String::from("lost._domainkey.example.org CNAME key.servfail.example\n"),
        zone("example.net"),
        String::from("mail-from.example.net MX 0 out.example.net\n"),
        txt("mail-from.example.net", "v=MFMX1"),
        String::from("out.example.net A 192.0.2.1\nzone example.com\n"),
        txt("example.com", "v=spf1 -all"),
        String::from("servfail servfail.example\n"),
    ]
    .concat()
}

/// The world's name server, and the runtime that it lives in.
struct World {
    authority: Authority,
    _runtime: tokio::runtime::Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let zones = Zones::parse(&zones()).unwrap();
        let starting = Authority::start((Ipv4Addr::LOCALHOST, 0).into(), zones);
        let authority = runtime.block_on(starting).unwrap();
        Self {
            authority,
            _runtime: runtime,
        }
    }

    fn service(&self, sections: &str) -> Service {
        let setup = Setup::new().dns(self.authority.address());
        setup.with(sections).start()
    }
}

/// The reply to a message with this reverse-path, and by which command it was given.
fn reply(service: &Service, reverse_path: &str, message: &str) -> (&'static str, u16) {
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.send(format!("MAIL FROM:<{reverse_path}>\r\n"));
    let code = client.code();
    if code != 250 {
        return ("MAIL", code);
    }
    client.expect("RCPT TO:<bob@local.example>", 250);
    client.expect("DATA", 354);
    client.send(message);
    client.send(".\r\n");
    ("content", client.code())
}

fn by(domain: &str) -> Signer {
    signer(domain, EDWARDS)
}

#[test]
fn a_refusal_by_spf_waits_for_the_signatures() {
    let world = World::start();
    let service = world.service("");
    let own = signed(&by("example.org"), MESSAGE);
    for (what, reverse_path, message, expected) in [
        ("unsigned", "alice@example.org", MESSAGE, 550),
        ("signed", "alice@example.org", &own, 250),
        (
            "RSA",
            "alice@example.org",
            &signed(&signer("example.org", RSA), MESSAGE),
            250,
        ),
        ("a colleague's", "carol@example.org", &own, 250),
        ("another domain's", "eve@example.com", &own, 550),
        (
            "by others",
            "alice@example.org",
            &signed(&by("example.com"), MESSAGE),
            550,
        ),
        (
            "changed",
            "alice@example.org",
            &own.replace("Hello.", "Hallo."),
            550,
        ),
        (
            "no key now",
            "alice@example.org",
            &signed(&by("example.org").with_selector("lost"), MESSAGE),
            451,
        ),
    ] {
        assert_eq!(
            reply(&service, reverse_path, message),
            ("content", expected),
            "{what}"
        );
    }
}

#[test]
fn a_refusal_by_mail_from_mx_waits_only_where_the_site_says_so() {
    let world = World::start();
    let message = MESSAGE.replace("example.org", "example.net");
    let message = signed(&by("example.net"), &message);
    let service = world.service("");
    assert_eq!(
        reply(&service, "alice@example.net", &message),
        ("MAIL", 550)
    );
    let service = world.service("[verify]\ndkim_rescues = true");
    assert_eq!(
        reply(&service, "alice@example.net", &message),
        ("content", 250)
    );
    let changed = message.replace("Hello.", "Hallo.");
    assert_eq!(
        reply(&service, "alice@example.net", &changed),
        ("content", 550)
    );
    let service = world.service("[verify]\ndkim = false");
    assert_eq!(reply(&service, "alice@example.org", MESSAGE), ("MAIL", 550));
}

#[test]
fn a_message_larger_than_is_looked_at_counts_as_unsigned() {
    let world = World::start();
    let service = world.service("[verify]\ndkim_size = \"64 KiB\"");
    let small = signed(
        &by("example.org"),
        &format!("{MESSAGE}{}", "line\r\n".repeat(8000)),
    );
    let large = signed(
        &by("example.org"),
        &format!("{MESSAGE}{}", "line\r\n".repeat(12_000)),
    );
    assert_eq!(
        reply(&service, "alice@example.org", &small),
        ("content", 250)
    );
    assert_eq!(
        reply(&service, "alice@example.org", &large),
        ("content", 550)
    );
}

/// `check --message` on a message from 127.0.0.1, as JSON.
fn check(world: &World, reverse_path: &str, message: &str) -> (i32, serde_json::Value) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), message).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .args([
            "check",
            "--ip=127.0.0.1",
            "--helo=client.example",
            "--format=json",
        ])
        .arg(format!("--resolver={}", world.authority.address()))
        .arg(format!("--mail-from={reverse_path}"))
        .arg(format!("--message={}", file.path().display()))
        .output()
        .unwrap();
    let object = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), object)
}

#[test]
fn check_shows_what_the_signatures_say() {
    let world = World::start();
    let own = signed(&by("example.org"), MESSAGE);
    let lost = signed(&by("example.org").with_selector("lost"), MESSAGE);
    let net = MESSAGE.replace("example.org", "example.net");
    let net = signed(&by("example.net"), &net);
    let large = format!("{own}{}", "line\r\n".repeat(200_000));
    let saved = own.replace('\r', "");
    let bare = String::from(MESSAGE);
    #[rustfmt::skip]
    let cases = [
        ("signed", "alice@example.org", &own, 0, "authorised", "mail", "pass"),
        ("LF", "alice@example.org", &saved, 0, "authorised", "mail", "pass"),
        ("a colleague's", "carol@example.org", &own, 0, "unknown", "mail", "pass"),
        ("another's", "eve@example.com", &own, 1, "repudiated", "end_of_data", "pass"),
        ("unsigned", "alice@example.org", &bare, 1, "repudiated", "end_of_data", "none"),
        ("no key now", "alice@example.org", &lost, 75, "tempfail", "end_of_data", "temperror"),
        ("at MAIL", "alice@example.net", &net, 1, "repudiated", "mail", "pass"),
        ("too large", "alice@example.org", &large, 1, "repudiated", "end_of_data", "none"),
    ];
    for (what, path, message, code, verdict, at, result) in cases {
        let (ended, object) = check(&world, path, message);
        assert_eq!(ended, code, "{what}: {object:#}");
        assert_eq!(object["verdict"], verdict, "{what}: {object:#}");
        assert_eq!(object["dkim"]["result"], result, "{what}: {object:#}");
        assert_eq!(object["reply"]["at"], at, "{what}: {object:#}");
        let steps = object["steps"].as_array().unwrap();
        let keys = steps.iter().filter(|step| {
            let name = step["name"].as_str().unwrap();
            name.contains("._domainkey.")
        });
        let asked = usize::from(result != "none");
        assert_eq!(keys.count(), asked, "{what}: {object:#}");
    }
}
