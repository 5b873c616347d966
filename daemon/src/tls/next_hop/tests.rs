//! Handshakes with certificates of every kind, against TLSA records that name them or others.

use super::*;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use vouchsafe_proto::dns::{Name, Tlsa};

/// An authority, and a host's certificate by it.
struct Host {
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

/// A host of this name; its certificate has long expired, if it is to be.
fn host(name: &str, expired: bool) -> Host {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Host {
        authority: issuer.der().clone(),
        certificate: certificate.der().clone(),
        key: key.serialize_der(),
    }
}

/// A record of these numbers about a certificate.
fn tlsa(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Tlsa {
    let key = key(certificate).unwrap();
    let selected: &[u8] = if selector == 0 { certificate } else { &key };
    let data: Box<[u8]> = match matching {
        0 => selected.into(),
        1 => digest::digest(&digest::SHA256, selected).as_ref().into(),
        _ => digest::digest(&digest::SHA512, selected).as_ref().into(),
    };
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

/// How a handshake with the host ends that shows this chain, under these records.
async fn handshake(host: &Host, chain: &[&CertificateDer<'static>], records: &[Tlsa]) -> bool {
    let names = ["mx.example", "example"].map(|name| Name::parse(name).unwrap());
    let associations = Associations::of(records.to_vec(), names).unwrap();
    let requirement = Requirement::Dane(Box::new(associations));
    let config = Client::new(RootCertStore::empty())
        .unwrap()
        .demanding(&requirement)
        .unwrap()
        .config;
    let chain = chain.iter().map(|one| (*one).clone()).collect();
    let key = PrivateKeyDer::try_from(host.key.clone()).unwrap();
    let mut ends = Vec::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let server = ServerConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(Vec::clone(&chain), key.clone_key())
            .unwrap();
        let (near, far) = tokio::io::duplex(16_384);
        let serving = tokio::spawn(TlsAcceptor::from(Arc::new(server)).accept(far));
        let name = ServerName::try_from("mx.example").unwrap();
        let connected = TlsConnector::from(Arc::clone(&config)).connect(name, near);
        ends.push(connected.await.is_ok());
        let _ = serving.await.unwrap();
    }
    assert_eq!(ends[0], ends[1], "the version makes no difference");
    ends[0]
}

#[tokio::test]
async fn the_hosts_own_certificate_is_named_or_it_is_not() {
    let (right, other) = (host("elsewhere.example", true), host("mx.example", false));
    for selector in [0, 1] {
        for matching in [0, 1, 2] {
            let record = |of: &Host| tlsa(3, selector, matching, &of.certificate);
            // Neither its name nor its dates matter.
            let chain = [&right.certificate];
            assert!(handshake(&right, &chain, &[record(&right)]).await);
            assert!(handshake(&right, &chain, &[record(&other), record(&right)]).await);
            assert!(!handshake(&right, &chain, &[record(&other)]).await);
        }
    }
}

#[tokio::test]
async fn a_named_trust_anchor_vouches_for_its_own() {
    let (right, other) = (host("mx.example", false), host("mx.example", false));
    let (domain, elsewhere) = (host("example", false), host("elsewhere.example", false));
    let expired = host("mx.example", true);
    for (selector, matching) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        for (host, anchor, wanted) in [
            (&right, &right, true),
            (&domain, &domain, true),
            (&right, &other, false),
            (&elsewhere, &elsewhere, false),
            (&expired, &expired, false),
        ] {
            let record = [tlsa(2, selector, matching, &anchor.authority)];
            let chain = [&host.certificate, &host.authority];
            assert_eq!(handshake(host, &chain, &record).await, wanted);
            // Without the anchor in the chain only a record that holds it will do.
            let wanted = wanted && (selector, matching) == (0, 0);
            assert_eq!(handshake(host, &chain[..1], &record).await, wanted);
        }
    }
    // An anchor that is shown, but has not signed the certificate.
    let chain = [&right.certificate, &other.authority];
    let record = [tlsa(2, 0, 1, &other.authority)];
    assert!(!handshake(&right, &chain, &record).await);
    // Usage 3 speaks of the host's own certificate only.
    let chain = [&right.certificate, &right.authority];
    let record = [tlsa(3, 0, 1, &right.authority)];
    assert!(!handshake(&right, &chain, &record).await);
}

#[tokio::test]
async fn a_certificate_without_its_key_is_nobodys() {
    let (right, thief) = (host("mx.example", false), host("mx.example", false));
    let stolen = Host {
        key: thief.key,
        authority: right.authority.clone(),
        certificate: right.certificate.clone(),
    };
    // rustls' own server would not take a key that does not belong to the certificate.
    let key = PrivateKeyDer::try_from(stolen.key.clone()).unwrap();
    let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![stolen.certificate.clone()], signing);
    let server = ServerConfig::builder_with_provider(crate::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let (near, far) = tokio::io::duplex(16_384);
    let serving = tokio::spawn(TlsAcceptor::from(Arc::new(server)).accept(far));
    let names = [Name::parse("mx.example").unwrap()];
    let records = vec![tlsa(3, 1, 1, &right.certificate)];
    let requirement = Requirement::Dane(Box::new(Associations::of(records, names).unwrap()));
    let config = Client::new(RootCertStore::empty())
        .unwrap()
        .demanding(&requirement)
        .unwrap()
        .config;
    let name = ServerName::try_from("mx.example").unwrap();
    let error = TlsConnector::from(config).connect(name, near).await;
    assert!(error.unwrap_err().to_string().contains("BadSignature"));
    let _ = serving.await.unwrap();
}
