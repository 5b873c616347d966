//! REQUIRETLS (RFC 8689): a message that no hop without TLS may have goes from one of us to the next
//! with its demand, and comes back where a host does not keep it. Postfix 3.7 keeps none.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use super::super::certificate::{over_tls, tls_section, trusting, write_certificate};
use super::super::client::Client;
use super::super::nsd::{Nsd, Zone};
use super::super::service::{self, Service};
use super::authority::Authority;
use super::postfix::{Postfix, Setup};

/// A service under TLS that offers REQUIRETLS and trusts the authority.
fn offering(setup: service::Setup, authority: &Authority) -> service::Setup {
    offering_again_after(setup, authority, "100ms")
}

/// The same, which tries again after so long.
fn offering_again_after(
    setup: service::Setup,
    authority: &Authority,
    first: &str,
) -> service::Setup {
    let roots = setup.folder().join("roots.pem");
    authority.write(&roots);
    let tls = tls_section(setup.folder());
    setup.with(&format!(
        "{tls}\n[retry]\nfirst = \"{first}\"\nlongest = \"1h\"\n\
         [delivery]\nrequiretls = true\nroots = \"{}\"",
        roots.display()
    ))
}

/// One that calls `hop.example` at this port of a host of that name.
fn edge(authority: &Authority, names: &Nsd, port: u16) -> Service {
    let setup = service::Setup::new().dns(names.address());
    write_certificate(setup.folder());
    let setup = setup
        .domain("hop.example", &format!("smtp://mx.hop.example:{port}"))
        .stored();
    offering(setup, authority).start()
}

/// `hop.example` and its host, and Alice's domain.
fn names(last: u8) -> Nsd {
    names_with(last, "@ MX 10 mx\nmx A 127.0.0.1\n")
}

/// The same with these records of `hop.example`.
fn names_with(last: u8, records: &str) -> Nsd {
    let zones = [
        Zone::ROOT,
        Zone {
            apex: "hop.example",
            records: Some(records),
        },
        Zone {
            apex: "local.example",
            records: Some("@ MX 10 mx\nmx A 127.0.0.1\n"),
        },
    ];
    Nsd::start(Ipv4Addr::new(127, 53, 8, last).into(), &zones)
}

/// Alice's message for Bob, under TLS, with or without the demand.
fn send(service: &Service, demand: &str) {
    let mut client = up_to_recipient(service, demand);
    client.expect("RCPT TO:<bob@hop.example>", 250);
    client.expect("DATA", 354);
    client.send("From: alice@local.example\r\nSubject: secret\r\n\r\nhello\r\n.\r\n");
    assert_eq!(client.code(), 250);
    client.expect("QUIT", 221);
}

/// MAIL with or without the demand, under TLS.
fn up_to_recipient(service: &Service, demand: &str) -> Client<impl Read + Write + use<>> {
    let mut client = Client::greeted(service.address());
    client.expect("EHLO client.example", 250);
    client.expect("STARTTLS", 220);
    let config = trusting(&service.folder().path().join("cert.pem"));
    let mut client = Client::over(over_tls(client.into_stream(), config));
    client.send("EHLO client.example\r\n");
    let offers = client.reply();
    assert!(offers.contains("REQUIRETLS"), "{offers}");
    let mail = format!("MAIL FROM:<alice@local.example>{demand}");
    client.expect(&mail, 250);
    client
}

/// The demand, for a host that will not keep it, and then the same message without: that one
/// arrives.
fn comes_back(mut postfix: Postfix, mut service: Service, status: &str, why: &str) {
    send(&service, " REQUIRETLS");
    let failed = service.wait_for("outcome=\"failed\"");
    assert!(failed.contains(&format!("status={status} ")), "{failed}");
    assert!(failed.contains(why), "{failed}");
    service.wait_for("recipient=alice@local.example next_hop=maildir:");
    let kept = service.delivered();
    let report = String::from_utf8_lossy(&kept[0]);
    assert!(
        report.contains(&format!("\nStatus: {status}\n")),
        "{report}"
    );
    assert!(postfix.delivered(0).is_empty());
    send(&service, "");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop();
}

#[test]
fn it_is_offered_under_tls_only() {
    let authority = Authority::new();
    let setup = service::Setup::new();
    write_certificate(setup.folder());
    let service = offering(setup, &authority).start();
    let mut client = Client::greeted(service.address());
    client.send("EHLO client.example\r\n");
    let offers = client.reply();
    assert!(offers.contains("STARTTLS"), "{offers}");
    assert!(!offers.contains("REQUIRETLS"), "{offers}");
    client.expect("MAIL FROM:<a@local.example> REQUIRETLS", 555);
    client.expect("MAIL FROM:<a@local.example>", 250);
    client.expect("QUIT", 221);
    service.stop();
}

/// Through two of us: the second one hears of the demand, since it keeps it.
#[test]
fn the_demand_goes_on_with_the_message() {
    let Some(new) = Setup::new("REQUIRETLS through two of us to Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(1));
    let mut postfix = authority.postfix(new, "127.0.0.1");
    let hop = service::Setup::new().dns(names.address());
    authority.issue("mx.hop.example").write(hop.folder());
    let hop = hop.domain("hop.example", &postfix.next_hop()).stored();
    let mut hop = offering(hop, &authority).start();
    let mut edge = edge(&authority, &names, hop.address().port());
    // The session of a message that demands nothing will not do for one that does.
    send(&edge, "");
    let session = edge.wait_for("session with next hop");
    assert!(session.contains("demanded=\"none\""), "{session}");
    edge.wait_for("outcome=\"delivered\"");
    assert_eq!(postfix.delivered(1).len(), 1);
    send(&edge, " REQUIRETLS");
    let session = edge.wait_for("session with next hop");
    assert!(session.contains("demanded=\"requiretls\""), "{session}");
    edge.wait_for("outcome=\"delivered\"");
    let failed = hop.wait_for("outcome=\"failed\"");
    assert!(failed.contains("status=5.7.30 "), "{failed}");
    hop.wait_for("recipient=alice@local.example next_hop=maildir:");
    assert_eq!(postfix.delivered(0).len(), 1);
    hop.stop();
    edge.stop();
}

/// A path that is held is held over a session that will do; where there is none, no reply is to be had.
#[test]
fn a_held_path_keeps_the_demand() {
    let authority = Authority::new();
    let names = names(6);
    let hop = service::Setup::new().dns(names.address());
    authority.issue("mx.hop.example").write(hop.folder());
    let maildir = format!("maildir:{}/bob", hop.folder().display());
    let hop = hop.domain("hop.example", &maildir);
    let mut hop = offering(hop, &authority).start();
    let setup = service::Setup::new().dns(names.address());
    write_certificate(setup.folder());
    let port = hop.address().port();
    let setup = setup.domain("hop.example", &format!("smtp://mx.hop.example:{port}"));
    let mut edge = offering(setup, &authority).start();
    // The session of a message that demands nothing is kept, and will not do for one that does.
    send(&edge, "");
    send(&edge, " REQUIRETLS");
    let session = edge.wait_for("demanded=\"requiretls\"");
    assert!(session.contains("session with next hop"), "{session}");
    hop.wait_for_each(2, "outcome=\"delivered\"");
    hop.stop();
    edge.stop();
}

#[test]
fn a_held_path_without_a_safe_host_puts_the_demand_off() {
    let Some(new) = Setup::new("REQUIRETLS down a held path to Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(7));
    let mut postfix = authority.postfix(new, "mx.hop.example");
    let setup = service::Setup::new().dns(names.address());
    write_certificate(setup.folder());
    let port = postfix.address().port();
    let setup = setup.domain("hop.example", &format!("smtp://mx.hop.example:{port}"));
    let service = offering(setup, &authority).start();
    let mut client = up_to_recipient(&service, " REQUIRETLS");
    client.expect("RCPT TO:<bob@hop.example>", 451);
    client.expect("QUIT", 221);
    send(&service, "");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop();
}

#[test]
fn a_host_that_does_not_offer_it_gets_nothing() {
    let Some(new) = Setup::new("REQUIRETLS towards Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(2));
    let postfix = authority.postfix(new, "mx.hop.example");
    let service = edge(&authority, &names, postfix.address().port());
    let why = "only where REQUIRETLS is offered";
    comes_back(postfix, service, "5.7.30", why);
}

/// What one message demands is no reason to hold others back, though one of the hosts is dead.
#[test]
fn a_message_that_no_host_may_have_holds_no_other_back() {
    let Some(new) = Setup::new("REQUIRETLS beside other mail for Postfix") else {
        return;
    };
    let authority = Authority::new();
    let names = names_with(5, "@ MX 10 mx\nmx A 127.0.0.2\nmx A 127.0.0.1\n");
    let mut postfix = authority.postfix(new, "mx.hop.example");
    let setup = service::Setup::new().dns(names.address());
    write_certificate(setup.folder());
    let port = postfix.address().port();
    let setup = setup
        .domain("hop.example", &format!("smtp://mx.hop.example:{port}"))
        .stored();
    let mut service = offering_again_after(setup, &authority, "1h").start();
    send(&service, " REQUIRETLS");
    let deferred = service.wait_for("outcome=\"deferred\"");
    assert!(deferred.contains("status=4.4.1 "), "{deferred}");
    send(&service, "");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop();
}

/// A certificate is mended within days: the message waits for that.
#[test]
fn a_host_that_is_another_gets_nothing_now() {
    let Some(new) = Setup::new("REQUIRETLS towards a wrong Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(3));
    let mut postfix = authority.postfix(new, "elsewhere.example");
    let mut service = edge(&authority, &names, postfix.address().port());
    send(&service, " REQUIRETLS");
    for _ in 0..2 {
        let deferred = service.wait_for("outcome=\"deferred\"");
        assert!(deferred.contains("status=4.7.5 "), "{deferred}");
        assert!(deferred.contains("(REQUIRETLS), failed"), "{deferred}");
    }
    assert!(postfix.delivered(0).is_empty());
    send(&service, "");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop();
}

/// Whoever answers for the DNS could name any host as the domain's.
#[test]
fn a_host_that_nobody_vouches_for_gets_nothing() {
    let Some(new) = Setup::new("REQUIRETLS towards an MX without a policy") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(4));
    let postfix = authority.postfix(new, "mx.hop.example");
    let setup = service::Setup::new().dns(names.address());
    write_certificate(setup.folder());
    let relay = relay(postfix.address());
    let service = offering(setup.with(&relay), &authority).start();
    let why = "neither DNSSEC nor an MTA-STS policy";
    comes_back(postfix, service, "5.7.10", why);
}

/// Everybody here may send anywhere, by MX at this port.
fn relay(postfix: SocketAddr) -> String {
    let port = postfix.port();
    format!("[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {port}")
}
