//! Bounces to us (PROTOCOLS B.6): those about what was sent from here pass, whoever made them; with `refuse = true` a storm
//! of forged ones does not; and what is unclear always does.
//!
//! `VOUCHSAFE_BOUNCES` says how many forged ones come; the processor time that each costs is printed.

use std::fs;
use std::net::IpAddr;

use super::known::{keep_since, now};
use crate::client::Client;
use crate::nsd::{Nsd, Zone};
use crate::service::{HOSTNAME, Service, Setup};

/// A host of ours.
pub const OURS: &str = "127.0.0.2";

/// Where `local.example` publishes that only this service sends in its name.
pub fn names() -> Nsd {
    let host = Zone {
        apex: "example.org.",
        records: Some("mx 300 A 127.0.0.1\n"),
    };
    let records = format!("mail-from 300 MX 0 {HOSTNAME}.\n");
    let local = Zone {
        apex: "local.example.",
        records: Some(&records),
    };
    Nsd::start([127, 0, 0, 1].into(), &[Zone::ROOT, host, local])
}

pub fn setup(names: &Nsd, bounces: &str) -> Setup {
    Setup::new()
        .dns(names.address())
        .with(&format!("[relay]\nfrom = [\"{OURS}/32\"]\n"))
        .with(bounces)
}

fn date(past: u64) -> String {
    vouchsafe_proto::time::Wall::from_secs(now() - past).to_rfc5322()
}

/// A report as Postfix writes it.
fn report(message_id: &str, date: &str) -> String {
    format!(
        "From: MAILER-DAEMON@far.example (Mail Delivery System)\r\nSubject: Undelivered Mail Returned to Sender\r\n\
         To: a@local.example\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"B\"\r\n\r\n\
         --B\r\nContent-Description: Notification\r\nContent-Type: text/plain\r\n\r\n\
         I'm sorry to have to inform you that your message could not be delivered.\r\n\r\n\
         --B\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; far.example\r\n\r\nFinal-Recipient: rfc822; b@far.example\r\n\
         Action: failed\r\nStatus: 5.1.1\r\n\r\n\
         --B\r\nContent-Type: text/rfc822-headers\r\n\r\n\
         From: a@local.example\r\nTo: b@far.example\r\nMessage-ID: {message_id}\r\n{date}\
         Subject: hello\r\n\r\n--B--\r\n"
    )
}

/// Sends with a null reverse-path, and gives the reply to the end of the data.
pub fn bounce(client: &mut Client, content: &str) -> String {
    client.expect("MAIL FROM:<>", 250);
    client.expect("RCPT TO:<a@local.example>", 250);
    client.expect("DATA", 354);
    client.send(content);
    client.say(".")
}

pub fn greeted(service: &Service, from: &str) -> Client {
    let mut client = Client::connect_from(from.parse::<IpAddr>().unwrap(), service.address());
    assert_eq!(client.code(), 220);
    client.expect("EHLO far.example", 250);
    client
}

/// Sends a message of ours, which goes nowhere for the moment.
fn send(service: &Service, number: u32) -> (String, String) {
    let (message_id, date) = (format!("<{number}@local.example>"), date(0));
    let mut client = greeted(service, OURS);
    client.expect("MAIL FROM:<A@local.example>", 250);
    client.expect("RCPT TO:<c@local.example>", 250);
    client.expect("DATA", 354);
    client.send(format!(
        "From: a@local.example\r\nDate: {date}\r\nMessage-ID: {message_id}\r\n\r\nhello\r\n"
    ));
    client.expect(".", 250);
    (message_id, format!("Date: {date}\r\n"))
}

/// Processor time of a process, in seconds.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

#[test]
fn a_storm_of_forged_bounces_is_refused_and_true_ones_pass() {
    if !Nsd::installed("bounces, where coverage needs a domain's records") {
        return;
    }
    let names = names();
    let setup = setup(&names, "[bounces]\nrefuse = true\n");
    keep_since(setup.folder(), "local.example", 3 * 24);
    let mut service = setup.start();
    service.wait_from_start("standing=nobody else may send in its name");
    let (message_id, sent) = send(&service, 1);
    let storm = std::env::var("VOUCHSAFE_BOUNCES").ok();
    let storm: u32 = storm.map_or(300, |count| count.parse().unwrap());
    let mut client = greeted(&service, "127.0.0.3");
    let before = cpu(service.pid());
    for number in 0..storm {
        let dated = format!("Date: {}\r\n", date(u64::from(number % 48) * 3600 + 7200));
        let forged = report(&format!("<forged{number}@local.example>"), &dated);
        let reply = bounce(&mut client, &forged);
        assert_eq!(
            reply, "550 5.7.1 not in reply to anything sent from here",
            "{number}"
        );
        // The sessions of those who err too often end.
        if number % 8 == 7 {
            client = greeted(&service, "127.0.0.3");
        }
    }
    let each = (cpu(service.pid()) - before) / f64::from(storm);
    println!(
        "{storm} forged bounces refused, {:.0} µs of CPU each",
        each * 1e6
    );
    // About what was sent, in the case in which it was sent, and in another.
    for recipient in ["A@local.example", "a@local.example"] {
        let mut client = greeted(&service, "127.0.0.3");
        client.expect("MAIL FROM:<>", 250);
        client.expect(&format!("RCPT TO:<{recipient}>"), 250);
        client.expect("DATA", 354);
        client.send(report(&message_id, &sent));
        client.expect(".", 250);
    }
    // To another who has sent nothing, about what was sent: as some hosts report to From.
    let mut client = greeted(&service, "127.0.0.3");
    client.expect("MAIL FROM:<>", 250);
    client.expect("RCPT TO:<b@local.example>", 250);
    client.expect("DATA", 354);
    let told = report(&message_id, &sent);
    client.send(told.replace("To: a@local.example", "To: b@local.example"));
    client.expect(".", 250);
    // What is unclear: no date, one before all that is covered, no reference, one that is only answered, what was
    // forwarded to here, no report.
    let never = report("<other@local.example>", &sent);
    let nameless = report("", &sent).replace("Message-ID: \r\n", "");
    let old = format!("Date: {}\r\n", date(4 * 24 * 3600));
    let mut client = greeted(&service, "127.0.0.3");
    for unclear in [
        report("<other@local.example>", ""),
        report("<other@local.example>", &old),
        report("", &sent),
        nameless.replacen("To: ", "In-Reply-To: <3@far.example>\r\nTo: ", 1),
        never.replacen("To: a@local.example", "To: a@elsewhere.example", 1),
        String::from(
            "From: c@far.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nBack on Monday.\r\n",
        ),
    ] {
        let reply = bounce(&mut client, &unclear);
        assert!(reply.starts_with("250"), "{reply}\n{unclear}");
    }
    service.wait_for_each(9, "outcome=\"delivered\"");
    let marks = service.delivered();
    let marked = |mark: &str| {
        let has = |message: &&Vec<u8>| String::from_utf8_lossy(message).contains(mark);
        marks.iter().filter(has).count()
    };
    assert_eq!(marked("x-bounce=pass"), 2);
    assert_eq!(marked("x-bounce=fail"), 0);
    assert_eq!(marked("x-bounce=none"), 6);
    for why in ["other_sender", "forwarded", "no_date", "not_covered"] {
        assert_eq!(marked(&format!("x-bounce=none reason={why}")), 1, "{why}");
    }
    assert_eq!(marked("x-bounce=none reason=no_reference"), 2);
    service.stop();
}

#[test]
fn a_forged_bounce_is_marked_where_it_is_not_to_be_refused_and_nothing_is_said_without_coverage() {
    if !Nsd::installed("bounces, where coverage needs a domain's records") {
        return;
    }
    for (hours, mark) in [(48, "x-bounce=fail"), (0, "x-bounce=none")] {
        let names = names();
        let setup = setup(&names, "").stored();
        if hours > 0 {
            keep_since(setup.folder(), "local.example", hours);
        }
        let mut service = setup.start();
        service.wait_from_start("standing=nobody else may send in its name");
        let dated = format!("Date: {}\r\n", date(7200));
        let mut client = greeted(&service, "127.0.0.3");
        let reply = bounce(&mut client, &report("<forged@local.example>", &dated));
        assert!(reply.starts_with("250"), "{reply}");
        service.wait_for("outcome=\"delivered\"");
        let text = service.delivered().remove(0);
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains(mark), "{hours}: {text}");
        service.stop();
    }
}
