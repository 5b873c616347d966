//! MTA-STS (RFC 8461) towards Postfix: the policy comes over HTTPS from a host of the test's own,
//! whose authority the service trusts by its configuration; the zone is NSD's.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::nsd::{Nsd, Zone};
use super::super::service::{self, Service};
use super::authority::Authority;
use super::postfix::{Postfix, Setup};
use super::{Message, send_all};

/// Postfix's name as an MX.
const MX: &str = "mx.hop.example";

/// Gives everybody the same response, until the test ends.
struct PolicyHost {
    address: SocketAddr,
}

impl PolicyHost {
    /// A host with a certificate of this authority, and this response.
    fn start(authority: &Authority, response: String) -> Self {
        let issued = authority.issue("mta-sts.hop.example");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(issued.key.serialize_der()).unwrap();
        let chain: Vec<CertificateDer<'static>> = vec![issued.certificate.der().clone()];
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that does not trust us leaves; the next one may.
                let _ = answer(stream, Arc::clone(&config), &response);
            }
        });
        Self { address }
    }
}

/// Answers one request.
fn answer(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    response: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut octet = [0];
        stream.read_exact(&mut octet)?;
        request.push(octet[0]);
    }
    let request = String::from_utf8(request)?;
    assert!(request.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
    assert!(
        request
            .to_lowercase()
            .contains("\r\nhost: mta-sts.hop.example\r\n")
    );
    stream.write_all(response.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(())
}

/// 200 with a policy.
fn policy(mode: &str, mx: &str) -> String {
    let body = format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
    ok("text/plain; charset=utf-8", &body)
}

/// 200 with this body.
fn ok(kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The zone, with a policy of this id.
fn names(last: u8, id: u8) -> Nsd {
    let records = format!(
        "@ MX 10 mx\nmx A 127.0.0.1\nmta-sts A 127.0.0.1\n\
         _mta-sts TXT \"v=STSv1; id={id};\"\n"
    );
    let zones = [
        Zone::ROOT,
        Zone {
            apex: "hop.example",
            records: Some(&records),
        },
    ];
    Nsd::start(Ipv4Addr::new(127, 53, 7, last).into(), &zones)
}

/// A service that trusts the authority, with this policy's host.
fn setup(
    setup: service::Setup,
    postfix: &Postfix,
    authority: &Authority,
    (names, host): (&Nsd, SocketAddr),
) -> service::Setup {
    let roots = setup.folder().join("roots.pem");
    authority.write(&roots);
    setup.dns(names.address()).with(&format!(
        "[relay]\nfrom = [\"127.0.0.0/8\"]\nmx_port = {}\npolicy_port = {}\n\
         [retry]\nfirst = \"100ms\"\nlongest = \"1s\"\n\
         [delivery]\nroots = \"{}\"",
        postfix.address().port(),
        host.port(),
        roots.display()
    ))
}

/// The same, running, with a message for the domain in it.
fn sending(postfix: &Postfix, authority: &Authority, names: &Nsd, response: String) -> Service {
    let host = PolicyHost::start(authority, response);
    let new = service::Setup::new();
    let service = setup(new, postfix, authority, (names, host.address)).start();
    let message = Message::plain("alice@local.example", &["bob@hop.example"]);
    send_all(service.address(), &[message]);
    service
}

/// Waits for the session and the message in it.
fn arrives(mut postfix: Postfix, mut service: Service, demanded: &str) -> String {
    let session = service.wait_for("session with next hop");
    let wanted = format!("demanded=\"{demanded}\"");
    assert!(session.contains(&wanted), "{session}");
    assert!(session.contains("TLSv1.3"), "{session}");
    assert_eq!(postfix.delivered(1).len(), 1);
    service.stop()
}

/// Waits until the message has been deferred, twice.
fn waits(service: &mut Service, status: &str, why: &str) {
    for _ in 0..2 {
        let deferred = service.wait_for("outcome=\"deferred\"");
        assert!(
            deferred.contains(&format!("status={status} ")),
            "{deferred}"
        );
        assert!(deferred.contains(why), "{deferred}");
    }
}

#[test]
fn a_host_that_holds_to_the_policy_gets_the_mail() {
    let Some(new) = Setup::new("MTA-STS towards Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(1, 1));
    let postfix = authority.postfix(new, MX);
    let service = sending(
        &postfix,
        &authority,
        &names,
        policy("enforce", "*.hop.example"),
    );
    arrives(postfix, service, "mta-sts");
}

#[test]
fn a_host_that_does_not_gets_nothing() {
    let authority = Authority::new();
    let left_out = "MTA-STS towards a wrong Postfix";
    let demanded = "which the MTA-STS policy of its domain demands, failed";
    for (last, certificate, mx, (status, why, counted)) in [
        (
            2,
            Some("elsewhere.example"),
            MX,
            ("4.7.5", demanded, "certificate-host-mismatch"),
        ),
        (
            3,
            Some(MX),
            "other.hop.example",
            (
                "4.7.1",
                "does not list mx.hop.example",
                "certificate-host-mismatch",
            ),
        ),
        (
            4,
            None,
            MX,
            ("4.7.4", "did not offer STARTTLS", "starttls-not-supported"),
        ),
    ] {
        let Some(new) = Setup::new(left_out) else {
            return;
        };
        let names = names(last, 1);
        let mut postfix = match certificate {
            Some(name) => authority.postfix(new, name),
            None => new.start(),
        };
        let mut service = sending(&postfix, &authority, &names, policy("enforce", mx));
        waits(&mut service, status, why);
        let log = service.stop();
        let counted = format!("domain=hop.example policy=\"sts\" result=\"{counted}\"");
        assert!(log.contains(&counted), "{log}");
        assert!(!log.contains("in clear"), "{log}");
        assert!(postfix.delivered(0).is_empty());
    }
}

/// A certificate of nobody that is trusted, then: what would have stopped the mail is said.
#[test]
fn testing_delivers_and_tells() {
    let Some(new) = Setup::new("MTA-STS in testing, towards Postfix") else {
        return;
    };
    let (authority, names) = (Authority::new(), names(5, 1));
    let postfix = Authority::new().postfix(new, MX);
    let service = sending(&postfix, &authority, &names, policy("testing", MX));
    let log = arrives(postfix, service, "mta-sts testing");
    assert!(log.contains("would have refused this certificate"), "{log}");
    let counted =
        "domain=hop.example policy=\"sts\" result=\"certificate-not-trusted\" sessions=1 ";
    assert!(log.contains(counted), "{log}");
}

#[test]
fn a_kept_policy_holds_after_a_restart_though_its_host_is_gone() {
    let Some(new) = Setup::new("MTA-STS after a restart") else {
        return;
    };
    let authority = Authority::new();
    let mut postfix = authority.postfix(new, "elsewhere.example");
    let first = names(6, 1);
    let mut service = sending(&postfix, &authority, &first, policy("enforce", MX));
    service.wait_for("MTA-STS policy fetched");
    waits(&mut service, "4.7.5", "MTA-STS policy");
    let folder = service.folder();
    service.stop();

    // Another policy is announced, and nobody is there to give it.
    let second = names(7, 2);
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    let again = service::Setup::in_folder(folder);
    let mut service = setup(again, &postfix, &authority, (&second, gone)).start();
    let told = service.wait_for("could not be fetched");
    assert!(told.contains("kept=true"), "{told}");
    waits(&mut service, "4.7.5", "MTA-STS policy");
    service.stop();
    assert!(postfix.delivered(0).is_empty());
}

/// RFC 8461 §3.3: without a policy the domain is as one that has none.
#[test]
fn what_is_no_policy_demands_nothing() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let moved = "HTTP/1.1 301 Moved\r\nLocation: https://mta-sts.hop.example/\r\n\
                 Content-Length: 0\r\n\r\n";
    let long = "x: y\r\n".repeat(20_000);
    for (last, host, response) in [
        (8, &authority, moved.to_owned()),
        (9, &authority, ok("text/html", "<html></html>")),
        (10, &authority, ok("text/plain", "hello")),
        (11, &authority, ok("text/plain", &long)),
        (12, &stranger, policy("enforce", "other.hop.example")),
    ] {
        let Some(new) = Setup::new("MTA-STS without a policy") else {
            return;
        };
        let names = names(last, 1);
        let mut postfix = authority.postfix(new, "elsewhere.example");
        let host = PolicyHost::start(host, response);
        let setup = setup(
            service::Setup::new(),
            &postfix,
            &authority,
            (&names, host.address),
        );
        let mut service = setup.start();
        let message = Message::plain("alice@local.example", &["bob@hop.example"]);
        send_all(service.address(), &[message]);
        let told = service.wait_for("could not be fetched");
        assert!(told.contains("kept=false"), "{told}");
        let session = service.wait_for("session with next hop");
        assert!(session.contains("demanded=\"none\""), "{session}");
        assert_eq!(postfix.delivered(1).len(), 1);
        service.stop();
    }
}
