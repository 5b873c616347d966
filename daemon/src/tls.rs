//! TLS, both sides: our certificate here, the client's way with other hosts' certificates in
//! [`next_hop`].
//!
//! The provider is named wherever a configuration is built: a process default would depend on what
//! other crates switch on.

pub mod next_hop;
pub mod tally;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, CommonState, RootCertStore, ServerConfig};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use vouchsafe_proto::route::Host;

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate's file cannot be read, or holds no PEM.
    #[error("cannot read the certificate {}", path.display())]
    ReadCertificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error("no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// The key's file cannot be read, or holds none.
    #[error("cannot read the private key {}", path.display())]
    ReadKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// They cannot be used, or not together.
    #[error("certificate and key cannot be used")]
    Unusable(#[source] rustls::Error),
}

impl CertificateError {
    /// True when the key's file is to blame.
    pub const fn is_about_key(&self) -> bool {
        matches!(self, Self::ReadKey { .. })
    }
}

/// The one provider.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The server's side with this chain and key, TLS 1.2 and 1.3, no client certificates.
pub fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, CertificateError> {
    let unread = |source| CertificateError::ReadCertificate {
        path: certificate.to_owned(),
        source,
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unread)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(certificate.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|source| CertificateError::ReadKey {
        path: key.to_owned(),
        source,
    })?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(CertificateError::Unusable)?;
    Ok(Arc::new(config))
}

/// The authorities that are trusted: those of a file, else the system's. What cannot be read is
/// left out, and said.
pub fn roots(file: Option<&Path>) -> RootCertStore {
    let found = match file {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    };
    for error in &found.errors {
        tracing::warn!(error = %crate::log::chain(error), "certificates of authorities");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no authority is trusted: no MTA-STS policy can be fetched");
    }
    roots
}

/// The client's side of whoever must name one and never connects: it trusts no certificate at all.
pub fn trusting_nobody() -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(config)
}

/// What the client says it wants to reach.
pub fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Name(name) => ServerName::try_from(name.as_ascii().to_owned()).ok(),
        Host::Address(address) => Some(ServerName::from(*address)),
    }
}

/// Version and suite of a connection that stands, for trace fields and the log:
/// `TLSv1.3 TLS13_AES_256_GCM_SHA384`.
pub fn describe(connection: &CommonState) -> Box<str> {
    let version = connection
        .protocol_version()
        .and_then(|version| version.as_str())
        .unwrap_or("TLS")
        .replace('_', ".");
    let suite = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str());
    match suite {
        Some(suite) => format!("{version} {suite}").into(),
        None => version.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    #[tokio::test]
    async fn a_client_encrypts_with_a_certificate_that_nobody_vouches_for() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = crate::config::test_certificate(folder.path());
        let acceptor = TlsAcceptor::from(server(certificate.as_ref(), key.as_ref()).unwrap());
        let connector = TlsConnector::from(
            next_hop::Client::new(RootCertStore::empty())
                .unwrap()
                .opportunistic(),
        );
        // Another name than the certificate's, and an address.
        for host in [
            Host::Name(vouchsafe_proto::addr::Domain::parse("mail.example.net").unwrap()),
            Host::Address("192.0.2.1".parse().unwrap()),
        ] {
            let (near, far) = tokio::io::duplex(4096);
            let serving = tokio::spawn({
                let acceptor = acceptor.clone();
                async move {
                    let mut stream = acceptor.accept(far).await.unwrap();
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                    describe(stream.get_ref().1)
                }
            });
            let name = server_name(&host).unwrap();
            let mut stream = connector.connect(name, near).await.unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).await.unwrap();
            assert_eq!(said, "hello");
            let description = serving.await.unwrap();
            assert_eq!(description, describe(stream.get_ref().1));
            assert!(description.starts_with("TLSv1.3 TLS13_"), "{description}");
        }
    }
}
