//! The figures over real HTTP: what a monitor reads is what has happened.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::client::Client;
use super::service::{PATIENCE, Setup};

/// One page, as a monitor gets it: the status line and the body.
pub fn page(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: monitor\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// One sample's value.
pub fn sample(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

#[test]
fn a_monitor_sees_what_has_happened() {
    let setup = Setup::new().with("[metrics]\naddress = \"127.0.0.1:0\"");
    let mut service = setup.start();
    let monitor = service.monitor();
    assert_eq!(page(monitor, "/health").0, "HTTP/1.1 200 OK");
    assert_eq!(page(monitor, "/ready").1, "ready\n");
    assert_eq!(page(monitor, "/other").0, "HTTP/1.1 404 Not Found");
    let before = page(monitor, "/metrics").1;
    assert_eq!(
        sample(
            &before,
            "vouchsafe_messages_accepted_total{verdict=\"unknown\"}"
        ),
        0
    );

    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.expect("MAIL FROM:<someone@sender.example>", 250);
    client.expect("RCPT TO:<a@elsewhere.example>", 550);
    client.expect("RCPT TO:<a@local.example>", 250);
    client.expect("DATA", 354);
    client.expect("Subject: counted\r\n\r\nhello\r\n.", 250);
    service.wait_for("outcome=\"delivered\"");

    let after = page(monitor, "/metrics").1;
    for (name, value) in [
        ("vouchsafe_sessions_total", 1),
        ("vouchsafe_sessions_open", 1),
        ("vouchsafe_queue_sound", 1),
        ("vouchsafe_verdicts_total{verdict=\"unknown\"}", 1),
        (
            "vouchsafe_refusals_total{of=\"recipient\",reply=\"5yz\"}",
            1,
        ),
        ("vouchsafe_messages_accepted_total{verdict=\"unknown\"}", 1),
        ("vouchsafe_custody_duration_seconds_count", 1),
        ("vouchsafe_deliveries_total{outcome=\"delivered\"}", 1),
        ("vouchsafe_delivery_delay_seconds_count", 1),
    ] {
        assert_eq!(sample(&after, name), value, "{name}");
    }
    assert!(sample(&after, "vouchsafe_messages_accepted_bytes_total") > 20);
    assert!(after.ends_with("# EOF\n"));
    client.expect("QUIT", 221);
    service.stop();
}

#[test]
fn an_address_that_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let setup = Setup::new().with(&format!("[metrics]\naddress = \"{address}\""));
    let (code, told) = setup.refused();
    assert_eq!(code, Some(69), "{told}");
    assert!(
        told.contains(&format!("cannot give figures out at {address}")),
        "{told}"
    );
}
