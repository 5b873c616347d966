//! DANE (RFC 7672) with other people's software in every other part: Postfix as the MX of a domain
//! whose zone BIND's tools have signed, NSD serves and Unbound validates.

use std::net::Ipv4Addr;

use aws_lc_rs::digest;
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::super::dnssec::{self, Signed, signed};
use super::super::nsd::{Nsd, zone_file};
use super::super::service::{self, Service};
use super::super::unbound::Unbound;
use super::postfix::{Postfix, Setup};
use super::{Message, arrived, send_all};

/// The name servers of one test.
struct Names {
    unbound: Unbound,
    _nsd: Nsd,
}

/// How the zone of `hop.example` is served.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    /// Signed.
    Signed,
    /// Signed, and then its TLSA record was changed.
    Forged,
    /// As it was written.
    Unsigned,
}

/// Postfix in this shape; `None` if not all that is needed is here, which is said.
fn setup() -> Option<Setup> {
    let left_out = "DANE towards Postfix";
    if !dnssec::installed(left_out) {
        return None;
    }
    Setup::new(left_out)
}

/// `hop.example`, whose MX is the Postfix, with this TLSA record.
fn names(postfix: &Postfix, last: u8, zone: Zone, tlsa: &str) -> Names {
    let port = postfix.address().port();
    let records = format!("@ MX 10 mx\nmx A 127.0.0.1\n_{port}._tcp.mx TLSA {tlsa}\n");
    let Signed { mut file, anchor } = match zone {
        Zone::Unsigned => Signed {
            file: zone_file("hop.example", &records),
            anchor: String::new(),
        },
        Zone::Signed | Zone::Forged => signed("hop.example", &records),
    };
    if zone == Zone::Forged {
        // The signer writes digests in capitals, in groups.
        let digits = tlsa.rsplit(' ').next().unwrap()[..16].to_uppercase();
        assert!(file.contains(&digits), "{file}");
        file = file.replace(&digits, "0123456789ABCDEF");
    }
    let zones = [(".", Some(zone_file(".", ""))), ("hop.example", Some(file))];
    let nsd = Nsd::serve(Ipv4Addr::new(127, 53, 6, last).into(), &zones);
    let unbound = Unbound::start(nsd.address(), &[".", "hop.example"], &anchor);
    Names { unbound, _nsd: nsd }
}

/// A service that sends to the Postfix by MX.
fn service(postfix: &Postfix, names: &Names, sections: &str) -> Service {
    let port = postfix.address().port();
    service::Setup::new()
        .dns(names.unbound.address())
        .with(&format!(
            "[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {port}\n\
             [retry]\nfirst = \"100ms\"\nlongest = \"1s\"\n\
             [delivery]\n{sections}"
        ))
        .start()
}

/// `3 1 1` of Postfix's certificate.
fn own_key(postfix: &Postfix) -> String {
    let certificate = CertificateDer::from_pem_file(postfix.file("cert.pem")).unwrap();
    let parsed = ParsedCertificate::try_from(&certificate).unwrap();
    let key = parsed.subject_public_key_info();
    let digest = digest::digest(&digest::SHA256, key.as_ref());
    let octets = digest.as_ref().iter().map(|octet| format!("{octet:02x}"));
    format!("3 1 1 {}", octets.collect::<String>())
}

/// `3 1 1` of nobody's.
fn other_key() -> String {
    format!("3 1 1 {}", "5a".repeat(32))
}

fn message() -> Message {
    Message::plain("alice@local.example", &["bob@hop.example"])
}

/// Sends one message, which must arrive under TLS that was demanded like this.
fn arrives(mut postfix: Postfix, names: &Names, demanded: &str) {
    let mut service = service(&postfix, names, "");
    let messages = [message()];
    send_all(service.address(), &messages);
    let session = service.wait_for("session with next hop");
    let wanted = format!("demanded=\"{demanded}\"");
    assert!(session.contains(&wanted), "{session}");
    assert!(session.contains("TLSv1.3"), "{session}");
    let traces = arrived(&messages, &postfix.delivered(1));
    assert!(traces[0].contains("with ESMTPS id"), "{}", traces[0]);
    let policy = if demanded == "none" {
        "no-policy-found"
    } else {
        "tlsa"
    };
    let counted = format!("domain=hop.example policy=\"{policy}\" result=\"success\" sessions=1 ");
    let log = service.stop();
    assert!(log.contains(&counted), "{log}");
}

/// Sends one message, which must be deferred twice, and not arrive.
fn waits(mut postfix: Postfix, names: &Names, status: &str, why: &str) {
    let mut service = service(&postfix, names, "");
    send_all(service.address(), &[message()]);
    for _ in 0..2 {
        let deferred = service.wait_for("outcome=\"deferred\"");
        assert!(
            deferred.contains(&format!("status={status} ")),
            "{deferred}"
        );
        assert!(deferred.contains(why), "{deferred}");
    }
    let log = service.stop();
    assert!(!log.contains("in clear"), "{log}");
    assert!(!log.contains("outcome=\"delivered\""), "{log}");
    assert!(postfix.delivered(0).is_empty());
}

#[test]
fn the_right_key_gets_the_mail() {
    let Some(setup) = setup() else { return };
    let postfix = setup.tls("may").start();
    let names = names(&postfix, 1, Zone::Signed, &own_key(&postfix));
    arrives(postfix, &names, "dane");
}

#[test]
fn another_key_gets_nothing() {
    let Some(setup) = setup() else { return };
    let postfix = setup.tls("may").start();
    let names = names(&postfix, 2, Zone::Signed, &other_key());
    waits(
        postfix,
        &names,
        "4.7.5",
        "which its TLSA records demand, failed",
    );
}

/// Whoever takes STARTTLS out of the way of a host with keys gains nothing.
#[test]
fn a_host_with_keys_that_offers_no_tls_gets_nothing() {
    let Some(setup) = setup() else { return };
    let postfix = setup.start();
    let names = names(&postfix, 3, Zone::Signed, &other_key());
    waits(postfix, &names, "4.7.4", "did not offer STARTTLS");
}

#[test]
fn a_record_that_was_changed_on_the_way_stops_the_mail() {
    let Some(setup) = setup() else { return };
    let postfix = setup.tls("may").start();
    let names = names(&postfix, 4, Zone::Forged, &own_key(&postfix));
    waits(postfix, &names, "4.4.3", "cannot be looked up now: bogus");
}

/// RFC 7672 §2.2: whoever publishes keys at all speaks TLS, so without any there is no mail.
#[test]
fn records_that_cannot_be_used_demand_tls_all_the_same() {
    let Some(first) = setup() else { return };
    let unusable = format!("1 1 1 {}", "5a".repeat(32));
    let postfix = first.tls("may").start();
    let signed = names(&postfix, 5, Zone::Signed, &unusable);
    arrives(postfix, &signed, "tls");

    let broken = setup().unwrap().tls("may");
    let broken = broken.with("smtpd_tls_protocols = TLSv1\ntls_preempt_cipherlist = no");
    let postfix = broken.start();
    let signed = names(&postfix, 6, Zone::Signed, &unusable);
    waits(
        postfix,
        &signed,
        "4.7.5",
        "which its TLSA records demand, failed",
    );
}

/// Without DNSSEC, or where the operator says so, a record demands nothing.
#[test]
fn a_record_that_nobody_vouches_for_demands_nothing() {
    let Some(first) = setup() else { return };
    let postfix = first.tls("may").start();
    let unsigned = names(&postfix, 7, Zone::Unsigned, &other_key());
    arrives(postfix, &unsigned, "none");

    let mut postfix = setup().unwrap().tls("may").start();
    let signed = names(&postfix, 8, Zone::Signed, &other_key());
    let mut service = service(&postfix, &signed, "dane = false");
    send_all(service.address(), &[message()]);
    let session = service.wait_for("session with next hop");
    assert!(session.contains("demanded=\"none\""), "{session}");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop();
}
