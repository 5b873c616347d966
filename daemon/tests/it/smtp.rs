//! SMTP over real sockets: what the pure machine cannot show, because it has no connection to
//! lose, no TLS to start, no time that passes and no neighbours.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use super::certificate::{over_tls, tls_section, trusting, write_certificate};
use super::client::Client;
use super::service::{Service, Setup};

/// A service that offers STARTTLS, and a client's configuration that trusts its certificate.
fn with_tls() -> (Service, Arc<ClientConfig>) {
    let setup = Setup::new();
    write_certificate(setup.folder());
    let client = trusting(&setup.folder().join("cert.pem"));
    let files = tls_section(setup.folder());
    (setup.with(&files).start(), client)
}

#[test]
fn starttls_carries_a_message() {
    let (mut service, config) = with_tls();
    let mut client = Client::greeted(service.address());
    assert!(
        client
            .expect("EHLO client.example", 250)
            .contains("STARTTLS")
    );
    client.expect("STARTTLS", 220);
    let mut client = Client::over(over_tls(client.into_stream(), config));
    let hello = client.expect("EHLO client.example", 250);
    assert!(!hello.contains("STARTTLS"), "{hello}");
    client.expect("MAIL FROM:<someone@sender.example>", 250);
    client.expect("RCPT TO:<a@local.example>", 250);
    client.expect("DATA", 354);
    client.expect("Subject: sealed\r\n\r\nhello\r\n.", 250);
    client.expect("QUIT", 221);
    service.wait_for("delivered");
    let messages = service.delivered();
    let text = String::from_utf8_lossy(&messages[0]);
    assert!(text.contains("with ESMTPS"), "{text}");
    assert!(text.contains("TLSv1.3"), "{text}");
    service.stop();
}

/// What is sent in clear behind STARTTLS must not be taken for something said under TLS: it is
/// neither answered nor remembered.
#[test]
fn nothing_sent_in_clear_behind_starttls_survives() {
    let (mut service, config) = with_tls();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    let mut injected = String::from(
        "STARTTLS\r\nEHLO injected.example\r\nMAIL FROM:<injected@sender.example>\r\n\
         RCPT TO:<a@local.example>\r\n",
    );
    // More than the machine is given at once, so that both it and its driver have to forget.
    injected.push_str(&"RCPT TO:<b@local.example>\r\n".repeat(200));
    client.send(injected);
    assert_eq!(client.code(), 220);
    let mut client = Client::over(over_tls(client.into_stream(), config));
    // No EHLO has been said under TLS, and no transaction is open.
    client.expect("MAIL FROM:<someone@sender.example>", 503);
    client.expect("EHLO client.example", 250);
    client.expect("RCPT TO:<a@local.example>", 503);
    client.expect("QUIT", 221);
    client.expect_end();
    service.wait_for("behind STARTTLS");
    service.stop();
}

#[test]
fn a_failed_handshake_ends_the_session_and_no_other() {
    let (mut service, _) = with_tls();
    let mut other = Client::greeted(service.address());
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.expect("STARTTLS", 220);
    client.send("EHLO in.clear.example\r\n");
    service.wait_for("TLS failed");
    other.expect("EHLO client.example", 250);
    service.stop();
}

/// The reader and the writer of a client that pipelines are two, so neither waits for the other.
#[test]
fn a_pipelined_flood_is_answered_in_full_and_in_order() {
    const GROUPS: usize = 2_000;
    let service = Setup::new().start();
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    let mut writer = Client::over(client.stream());
    let flood = std::thread::spawn(move || {
        for _ in 0..GROUPS {
            writer.send("NOOP\r\nRSET\r\nVRFY a@local.example\r\nMAIL FROM:<>\r\nRSET\r\n");
        }
        writer.send("QUIT\r\n");
    });
    for _ in 0..GROUPS {
        let codes: Vec<u16> = (0..5).map(|_| client.code()).collect();
        assert_eq!(codes, [250, 250, 252, 250, 250]);
    }
    assert_eq!(client.code(), 221);
    client.expect_end();
    flood.join().unwrap();
    service.stop();
}

/// A client that sends and never reads fills our send buffer; it must hold up nobody, and be let
/// go of.
#[test]
fn a_client_that_does_not_read_is_given_up() {
    let mut service = Setup::new()
        .with("[limits]\ncommand_timeout = \"500ms\"")
        .start();
    let deaf = Client::greeted(service.address());
    let mut writer = Client::over(deaf.stream());
    let flood = std::thread::spawn(move || {
        writer.send("EHLO client.example\r\n");
        let group = b"MAIL FROM:<someone@sender.example>\r\nRSET\r\n".repeat(500);
        while writer.try_send(&group).is_ok() {}
    });
    let mut other = Client::greeted(service.address());
    other.expect("EHLO client.example", 250);
    service.wait_for("connection lost");
    flood.join().unwrap();
    drop(deaf.stream());
    service.stop();
}

#[test]
fn clients_over_a_cap_are_told_421() {
    let mut service = Setup::new()
        .with("[limits]\nsessions = 3\nsessions_per_client = 2")
        .start();
    let (first, second) = ("127.0.0.3".parse().unwrap(), "127.0.0.2".parse().unwrap());
    let first_client = [0; 2].map(|_| {
        let mut client = Client::connect_from(first, service.address());
        assert_eq!(client.code(), 220);
        client
    });
    let mut over = Client::connect_from(first, service.address());
    let reply = over.reply();
    assert!(reply.starts_with("421 4.7.0 "), "{reply}");
    over.expect_end();

    // This host itself counts among all.
    let _third = Client::greeted(service.address());
    let mut over = Client::connect_from(second, service.address());
    let reply = over.reply();
    assert!(reply.starts_with("421 4.3.2 "), "{reply}");
    over.expect_end();

    // Who leaves makes room.
    let [mut leaver, _stays] = first_client;
    leaver.expect("QUIT", 221);
    leaver.expect_end();
    service.wait_for("disconnect");
    let mut third = Client::connect_from(second, service.address());
    assert_eq!(third.code(), 220);
    service.stop();
}

#[test]
fn a_house_nearly_full_lets_idle_clients_go_and_keeps_those_with_mail() {
    let mut service = Setup::new()
        .with("[limits]\nsessions = 10\nsessions_per_client = 10\npressed_timeout = \"10ms\"")
        .start();
    let mut sends = Client::greeted(service.address());
    sends.expect("EHLO client.example", 250);
    sends.expect("MAIL FROM:<someone@sender.example>", 250);
    // With it, eight: no pressure yet, and nobody is let go.
    let mut idle: Vec<_> = (0..7).map(|_| Client::greeted(service.address())).collect();
    for client in &mut idle {
        client.expect("NOOP", 250);
    }
    let mut ninth = Client::connect(service.address());
    for client in &mut idle {
        let reply = client.line().unwrap();
        assert!(reply.starts_with("421 4.3.2 "), "{reply}");
        assert_eq!(client.line(), None);
    }
    assert_eq!(ninth.code(), 220);
    // Who was in a transaction still is.
    sends.expect("RCPT TO:<a@local.example>", 250);
    sends.expect("DATA", 354);
    sends.send("Subject: under pressure\r\n\r\nx\r\n.\r\n");
    assert_eq!(sends.code(), 250);
    // The others have made room, and newcomers have all their time again.
    drop((idle, ninth));
    service.wait_for("no longer nearly full");
    let mut later = Client::greeted(service.address());
    later.expect("NOOP", 250);
}

#[test]
fn silence_is_ended_with_421_between_commands_and_within_content() {
    let service = Setup::new()
        .with("[limits]\ncommand_timeout = \"300ms\"\ncontent_timeout = \"300ms\"")
        .start();
    let mut silent = Client::greeted(service.address());
    assert_eq!(silent.code(), 421);
    silent.expect_end();

    let mut within_a_line = Client::greeted(service.address());
    within_a_line.send("EH");
    assert_eq!(within_a_line.code(), 421);
    within_a_line.expect_end();

    let mut within_content = Client::greeted(service.address());
    within_content.begin_content("a@local.example");
    within_content.send("Subject: never to end\r\n");
    assert_eq!(within_content.code(), 421);
    within_content.expect_end();
    assert_eq!(service.delivered().len(), 0);
    service.stop();
}

#[test]
fn a_client_that_leaves_within_content_leaves_nothing() {
    let mut service = Setup::new().start();
    let mut client = Client::greeted(service.address());
    client.begin_content("a@local.example");
    client.send("Subject: half\r\n\r\n");
    // Far more than is kept in memory, so that there is a file to leave behind.
    client.send(b"0123456789abcdef0123456789abcdef\r\n".repeat(10_000));
    drop(client);
    service.wait_for("disconnect");
    let folder = service.folder();
    assert_eq!(service.delivered().len(), 0);
    service.stop();
    let again = Setup::in_folder(folder).start();
    assert_eq!(again.delivered().len(), 0);
    again.stop();
}

#[test]
fn two_hundred_sessions_at_once_are_all_served() {
    const SESSIONS: usize = 200;
    let mut service = Setup::new()
        .with("[limits]\nsessions_per_client = 200")
        .start();
    let address = service.address();
    // All are open before the first sends anything.
    let clients: Vec<Client> = (0..SESSIONS).map(|_| Client::greeted(address)).collect();
    let sessions: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, mut client)| {
            std::thread::spawn(move || {
                let content = format!("Subject: {number}\r\n\r\none of many\r\n");
                client.deliver("a@local.example", content.as_bytes());
                client.expect("QUIT", 221);
                client.expect_end();
            })
        })
        .collect();
    for session in sessions {
        session.join().unwrap();
    }
    service.wait_for_each(SESSIONS, "delivered");
    let mut subjects: Vec<usize> = service
        .delivered()
        .iter()
        .map(|message| {
            let text = String::from_utf8_lossy(message);
            let (_, rest) = text.split_once("Subject: ").unwrap();
            rest.split('\n').next().unwrap().parse().unwrap()
        })
        .collect();
    subjects.sort_unstable();
    assert!(subjects.into_iter().eq(0..SESSIONS));
    service.stop();
}

#[test]
fn a_stop_lets_the_message_in_hand_be_finished() {
    let mut service = Setup::new().start();
    let mut idle = Client::greeted(service.address());
    let mut busy = Client::greeted(service.address());
    busy.begin_content("a@local.example");
    busy.send("Subject: in hand\r\n\r\nfirst half\r\n");
    service.signal("TERM");
    assert_eq!(idle.code(), 421);
    idle.expect_end();
    service.wait_for("no longer listening");
    assert!(TcpStream::connect(service.address()).is_err());
    busy.send("second half\r\n");
    busy.expect(".", 250);
    // Nothing new is begun.
    assert_eq!(busy.code(), 421);
    busy.expect_end();
    let folder = service.folder();
    let (status, log) = service.ended();
    assert_eq!(status.code(), Some(0), "{log}");

    // Acknowledged is kept: if not delivered before the end, then after it.
    let mut again = Setup::in_folder(folder).start();
    if again.delivered().is_empty() {
        again.wait_for("delivered");
    }
    let messages = again.delivered();
    assert!(messages[0].ends_with(b"first half\nsecond half\n"));
    again.stop();
}

#[test]
fn a_reload_is_for_sessions_to_come() {
    let setup = Setup::new().with("[limits]\nmessage_size = \"1 MiB\"");
    let folder = setup.folder().to_owned();
    let mut service = setup.start();
    let size = |client: &mut Client| {
        let hello = client.expect("EHLO client.example", 250);
        let (_, rest) = hello.split_once("SIZE ").unwrap();
        let digits = rest.split('\n').next().unwrap();
        digits.parse::<u64>().unwrap()
    };
    let mut open = Client::greeted(service.address());
    assert_eq!(size(&mut open), 1 << 20);

    rewrite(&folder, "1 MiB", "2 MiB");
    service.signal("HUP");
    service.wait_for("sessions go by the new configuration");
    assert_eq!(size(&mut open), 1 << 20);
    assert_eq!(size(&mut Client::greeted(service.address())), 2 << 20);

    // With a mistake in the file, everything stays as it was.
    rewrite(&folder, "2 MiB", "two");
    service.signal("HUP");
    service.wait_for("configuration not reloaded");
    assert_eq!(size(&mut Client::greeted(service.address())), 2 << 20);
    service.stop();
}

/// Changes the configuration of the service in `folder`.
fn rewrite(folder: &Path, from: &str, to: &str) {
    let file = folder.join("vouchsafe.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    std::fs::write(file, text.replace(from, to)).unwrap();
}

/// A renewed certificate is taken without a restart.
#[test]
fn a_reload_takes_a_new_certificate() {
    let (mut service, old) = with_tls();
    let folder = service.folder();
    write_certificate(folder.path());
    service.signal("HUP");
    service.wait_for("sessions go by the new configuration");
    let new = trusting(&folder.path().join("cert.pem"));
    for (config, works) in [(new, true), (old, false)] {
        let mut client = Client::greeted(service.address());
        client.expect("EHLO client.example", 250);
        client.expect("STARTTLS", 220);
        let mut client = Client::over(over_tls(client.into_stream(), config));
        assert_eq!(client.try_send(b"NOOP\r\n").is_ok(), works);
    }
    service.stop();
}

#[test]
fn a_folder_has_one_service() {
    let service = Setup::new().start();
    let folder = service.folder();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_vouchsafe"))
        .arg("serve")
        .arg("--config")
        .arg(folder.path().join("vouchsafe.toml"))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(75), "{log}");
    assert!(log.contains("another"), "{log}");
    service.stop();
}
