//! True bounces of what we sent, by those who could not deliver it: Postfix, Exim, and a service of our own. With
//! `[bounces] refuse = true` they pass (PROTOCOLS B.6), and the same text about another message does not.

use std::fs;

use super::bounces::{OURS, bounce, greeted, names, setup};
use super::known::keep_since;
use crate::held::hop::{Hop, Speaks, To};
use crate::interop::{exim, postfix};
use crate::nsd::Nsd;
use crate::service::{Service, Setup};

/// The ENVID of what is sent, as it stands in MAIL and as a report is to have it.
const ENVIDS: [&str; 2] = ["one+20of+2Bours", "one of+ours"];

/// One that refuses bounces, and has kept its ledger for a day.
fn refusing(setup: Setup) -> Service {
    keep_since(setup.folder(), "local.example", 24);
    let mut service = setup.start();
    service.wait_from_start("standing=nobody else may send in its name");
    service
}

/// From now on it sends through this next hop.
fn send_through(service: &mut Service, next_hop: &str) {
    let config = service.folder().path().join("vouchsafe.toml");
    let text = fs::read_to_string(&config).unwrap();
    let from = format!("from = [\"{OURS}/32\"]");
    let to = format!("{from}\nnext_hop = \"{next_hop}\"");
    fs::write(&config, text.replace(&from, &to)).unwrap();
    service.signal("HUP");
    service.wait_for("sessions go by the new configuration");
}

/// A message of ours to somebody who does not exist.
fn send(service: &Service, recipient: &str) {
    let mut client = greeted(service, OURS);
    client.expect(
        &format!("MAIL FROM:<a@local.example> ENVID={}", ENVIDS[0]),
        250,
    );
    client.expect(&format!("RCPT TO:<{recipient}>"), 250);
    client.expect("DATA", 354);
    client.send("From: a@local.example\r\nSubject: to nobody\r\n\r\nhello\r\n");
    client.expect(".", 250);
}

/// What came back, once the next hop has had the message and that has been delivered.
fn returned(service: &mut Service) -> String {
    service.wait_for("next_hop=maildir:");
    let told = service.delivered().into_iter();
    let mut told: Vec<_> = told
        .map(|message| String::from_utf8_lossy(&message).into_owned())
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// What stands in the last field of this name.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, value) = text.rsplit_once(&format!("\n{name}: ")).unwrap();
    value.lines().next().unwrap().trim()
}

/// What is said to the same report, where it names another message and another ENVID.
fn reply_to(service: &Service, report: &str, message_id: &str, envid: &str) -> String {
    let other = report.replace(value(report, "Message-ID"), message_id);
    let other = other.replace(ENVIDS[0], envid).replace(ENVIDS[1], envid);
    // What the delivery has put before it does not matter.
    let other = other.lines().map(|line| format!("{line}\r\n"));
    let mut client = greeted(service, "127.0.0.3");
    bounce(&mut client, &other.collect::<String>())
}

/// The same report about a message that was never sent is refused.
fn refused_of_another(service: &Service, report: &str) {
    let reply = reply_to(service, report, "<never@local.example>", "another");
    assert_eq!(reply, "550 5.7.1 not in reply to anything sent from here");
}

/// Each of its names is enough.
fn known_by_either_name(service: &Service, report: &str) {
    let returns = |envid| {
        report.contains(&format!("\nOriginal-Envelope-ID: {envid}"))
            || report.contains(&format!("\nOriginal-Envelope-Id: {envid}"))
    };
    assert!(ENVIDS.into_iter().any(returns), "{report}");
    for envid in ENVIDS {
        let reply = reply_to(service, report, "<never@local.example>", envid);
        assert!(reply.starts_with("250"), "{envid}: {reply}");
    }
    let reply = reply_to(service, report, value(report, "Message-ID"), "another");
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn postfix_reports_to_us_what_it_could_not_deliver() {
    let Some(postfix) = postfix::Setup::new("Postfix's own bounces of what we sent") else {
        return;
    };
    if !Nsd::installed("bounces, where coverage needs a domain's records") {
        return;
    }
    let names = names();
    let mut service = refusing(setup(&names, "[bounces]\nrefuse = true\n"));
    let server = service.address();
    let postfix = postfix
        .with(&format!(
            "virtual_mailbox_maps =\nsmtpd_reject_unlisted_recipient = no\n\
             local_recipient_maps =\nrelayhost = [{}]:{}",
            server.ip(),
            server.port()
        ))
        .start();
    send_through(&mut service, &postfix.next_hop());
    send(&service, "nobody@hop.example");
    let told = returned(&mut service);
    assert!(told.contains("multipart/report"), "{told}");
    assert!(told.contains("x-bounce=pass"), "{told}");
    refused_of_another(&service, &told);
    known_by_either_name(&service, &told);
    service.stop();
}

#[test]
fn exim_reports_to_us_what_it_could_not_deliver() {
    if !Nsd::installed("bounces, where coverage needs a domain's records") {
        return;
    }
    // What it gives back of the message: all, its header, a little.
    for settings in [
        "",
        "bounce_return_body = false",
        "bounce_return_size_limit = 1",
        "dsn_advertise_hosts = *",
    ] {
        let Some(exim) = exim::Setup::new("Exim's own bounces of what we sent") else {
            return;
        };
        let exim = exim.with(settings).start();
        let names = names();
        let mut service = refusing(setup(&names, "[bounces]\nrefuse = true\n"));
        send_through(&mut service, &exim.next_hop());
        exim.route("local.example", service.address());
        send(&service, "nobody@gone.example");
        let told = returned(&mut service);
        assert!(
            told.contains("This message was created automatically by mail delivery software."),
            "{told}"
        );
        assert!(told.contains("x-bounce=pass"), "{settings}: {told}");
        refused_of_another(&service, &told);
        if settings.starts_with("dsn") {
            known_by_either_name(&service, &told);
        }
        service.stop();
    }
}

#[test]
fn another_of_us_reports_to_us_what_it_could_not_deliver() {
    if !Nsd::installed("bounces, where coverage needs a domain's records") {
        return;
    }
    let names = names();
    let mut service = refusing(setup(&names, "[bounces]\nrefuse = true\n"));
    let last = Hop::start(Speaks::Smtp, |to, _| {
        let reply = match to {
            To::Recipient => "550 5.1.1 nobody here",
            To::Mail | To::End => "250 2.0.0 ok",
        };
        String::from(reply)
    });
    // It has the message before it hears of that, and sends what is not its own through the first.
    let other = Setup::new()
        .domains(&["far.example"], &last.next_hop())
        .domain("local.example", &format!("smtp://{}", service.address()))
        .stored()
        .start();
    send_through(&mut service, &format!("smtp://{}", other.address()));
    send(&service, "nobody@far.example");
    let told = returned(&mut service);
    assert!(told.contains("multipart/report"), "{told}");
    assert!(told.contains("x-bounce=pass"), "{told}");
    refused_of_another(&service, &told);
    known_by_either_name(&service, &told);
    other.stop();
    service.stop();
}
