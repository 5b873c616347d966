//! A certificate of our own for the service under test, and a client that trusts it.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::service::HOSTNAME;

/// `[tls]` with the files of [`write_certificate`].
pub fn tls_section(folder: &Path) -> String {
    let folder = folder.display();
    format!("[tls]\ncertificate = \"{folder}/cert.pem\"\nkey = \"{folder}/key.pem\"")
}

/// A new self-signed certificate and its key.
pub fn write_certificate(folder: &Path) {
    let names = vec![String::from(HOSTNAME)];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// A client that trusts this certificate and no other.
pub fn trusting(certificate: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A client's side of TLS over a connection on which STARTTLS has been answered.
pub fn over_tls(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(HOSTNAME).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream)
}
