//! The client's side of TLS towards next hops, by what is demanded of the host
//! (`proto::tls_policy`).
//!
//! Mail between hosts encrypts when it can (RFC 3207, RFC 7435): where nothing is demanded, the
//! certificate is neither verified nor trusted, since the alternative is clear text, and the log
//! says so with each session. Under DANE the host's own certificate is compared with its TLSA
//! records, or its chain is verified up to one that they name (RFC 7672 §3); and the key must have
//! signed the handshake, else the certificate would be anybody's. Under MTA-STS the chain is verified
//! up to an authority that this system trusts, by rustls' own verifier; and so where the message itself
//! demands it (REQUIRETLS).
//!
//! A session of one requirement is never resumed for another: only the opportunistic configuration
//! keeps sessions.

use std::io;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use vouchsafe_proto::tls_policy::Requirement;
use vouchsafe_proto::tls_policy::dane::{Associations, Certificate, Digests};
use vouchsafe_proto::tls_policy::report::Ended;

use super::tally::Tally;

/// What sessions with next hops are begun with.
#[derive(Debug)]
pub struct Client {
    provider: Arc<CryptoProvider>,
    opportunistic: Arc<ClientConfig>,
    /// By the authorities that are trusted.
    web_pki: Option<Arc<WebPkiServerVerifier>>,
    tally: Tally,
}

/// What a session is begun with.
#[derive(Debug)]
pub struct Begin {
    /// The configuration.
    pub config: Arc<ClientConfig>,
    /// Where a verifier that lets everything pass leaves what it would have refused.
    pub tested: Option<Arc<OnceLock<Error>>>,
}

impl From<Arc<ClientConfig>> for Begin {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self {
            config,
            tested: None,
        }
    }
}

impl Client {
    /// With the one provider. Under MTA-STS these roots are trusted; without any, nobody is.
    pub fn new(roots: RootCertStore) -> Result<Self, Error> {
        let provider = super::provider();
        let schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        let opportunistic = verified_by(&provider, Arc::new(Unverified { schemes }))?;
        // Without roots it cannot be built, which is nobody's mistake: then nobody is trusted.
        let web_pki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Ok(Self {
            provider,
            opportunistic: Arc::new(opportunistic),
            web_pki: web_pki.build().ok(),
            tally: Tally::default(),
        })
    }

    /// How it goes.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Encrypts with whoever answers.
    pub fn opportunistic(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.opportunistic)
    }

    /// Encrypts with hosts whose certificates are by a trusted authority.
    pub fn web_pki(&self) -> Result<Arc<ClientConfig>, Error> {
        let verifier = self.web_pki.clone();
        let verifier = verifier.ok_or_else(|| Error::General("no authority is trusted".into()))?;
        unresumed(&self.provider, verifier)
    }

    /// Encrypts with a host of which this is demanded.
    pub fn demanding(&self, requirement: &Requirement) -> Result<Begin, Error> {
        match requirement {
            Requirement::Opportunistic | Requirement::Encrypted => Ok(self.opportunistic().into()),
            Requirement::WebPki | Requirement::ByMessage => self.web_pki().map(Begin::from),
            Requirement::Tested => {
                let Some(verifier) = self.web_pki.clone() else {
                    return Ok(self.opportunistic().into());
                };
                let tested = Arc::new(OnceLock::new());
                let verifier = Tested {
                    verifier,
                    refused: Arc::clone(&tested),
                };
                Ok(Begin {
                    config: unresumed(&self.provider, Arc::new(verifier))?,
                    tested: Some(tested),
                })
            }
            Requirement::Dane(associations) => {
                let verifier = Dane {
                    associations: (**associations).clone(),
                    provider: Arc::clone(&self.provider),
                };
                unresumed(&self.provider, Arc::new(verifier)).map(Begin::from)
            }
            Requirement::Withheld(_) => Err(Error::General("the host is not to be used".into())),
        }
    }
}

/// What a handshake that was given up counts as (RFC 8460 §4.3.2).
pub fn ended(error: &Error) -> Ended {
    let Error::InvalidCertificate(why) = error else {
        return Ended::ValidationFailure;
    };
    match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Ended::CertificateHostMismatch
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Ended::CertificateExpired
        }
        // Another authority under the name of one that is trusted.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            Ended::CertificateNotTrusted
        }
        _ => Ended::ValidationFailure,
    }
}

/// The same of an error of the stream that TLS is put on.
pub fn ended_by(error: &io::Error) -> Ended {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or(Ended::ValidationFailure, ended)
}

/// TLS 1.2 and 1.3 with this verifier, no certificate of ours.
fn verified_by(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The same, whose sessions are never resumed: another host's certificate was looked at then, or by
/// another demand.
fn unresumed(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<ClientConfig>, Error> {
    let mut config = verified_by(provider, verifier)?;
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes what the TLSA records of one host name.
#[derive(Debug)]
struct Dane {
    associations: Associations,
    provider: Arc<CryptoProvider>,
}

impl Dane {
    /// The trust anchors that the records name: certificates of the chain, or of the DNS itself.
    fn anchors(&self, chain: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        let from_dns = self.associations.trust_anchors().map(CertificateDer::from);
        let named = chain.iter().filter(|one| {
            self.associations
                .name_trust_anchor(seen(one, key(one).as_deref()), DIGESTS)
        });
        for certificate in named.cloned().chain(from_dns) {
            // One that cannot be read can be no anchor; others may.
            let _ = anchors.add(certificate);
        }
        anchors
    }
}

impl ServerCertVerifier for Dane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let own_key = key(end_entity);
        let own = seen(end_entity, own_key.as_deref());
        if self.associations.name_end_entity(own, DIGESTS) {
            return Ok(ServerCertVerified::assertion());
        }
        let anchors = self.anchors(intermediates);
        let mut last = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        if anchors.is_empty() {
            return Err(last);
        }
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(anchors), provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        for name in self.associations.names() {
            let Ok(name) = ServerName::try_from(name.as_str()) else {
                continue;
            };
            match verifier.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
            {
                Ok(accepted) => return Ok(accepted),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A certificate for the comparison.
fn seen<'a>(certificate: &'a CertificateDer<'_>, key: Option<&'a [u8]>) -> Certificate<'a> {
    Certificate {
        whole: certificate,
        key,
    }
}

/// The `SubjectPublicKeyInfo` of a certificate, if it can be read.
fn key(certificate: &CertificateDer<'_>) -> Option<Box<[u8]>> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(parsed.subject_public_key_info().as_ref().into())
}

/// The digests of TLSA records.
const DIGESTS: Digests = Digests {
    sha256: |octets| hash(&digest::SHA256, octets),
    sha512: |octets| hash(&digest::SHA512, octets),
};

/// A digest of `N` octets.
fn hash<const N: usize>(algorithm: &'static digest::Algorithm, octets: &[u8]) -> [u8; N] {
    let digest = digest::digest(algorithm, octets);
    // The lengths agree, as the test shows; nothing matches zeros by chance.
    digest.as_ref().try_into().unwrap_or([0; N])
}

/// Takes any certificate, and remembers why it should not have.
#[derive(Debug)]
struct Tested {
    verifier: Arc<WebPkiServerVerifier>,
    refused: Arc<OnceLock<Error>>,
}

impl Tested {
    /// What was refused passes all the same.
    fn pass<T>(&self, verified: Result<T, Error>, assertion: T) -> T {
        verified.unwrap_or_else(|error| {
            // The first reason is the one that would have ended the handshake.
            let _ = self.refused.set(error);
            assertion
        })
    }
}

impl ServerCertVerifier for Tested {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .verifier
            .verify_server_cert(end_entity, intermediates, name, ocsp, now);
        Ok(self.pass(verified, ServerCertVerified::assertion()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self
            .verifier
            .verify_tls12_signature(message, certificate, signature);
        Ok(self.pass(verified, HandshakeSignatureValid::assertion()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self
            .verifier
            .verify_tls13_signature(message, certificate, signature);
        Ok(self.pass(verified, HandshakeSignatureValid::assertion()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Takes any certificate, expired, self-signed or not of X.509's third version, and any signature:
/// nobody vouches for the certificate, so a signature by its key would prove nothing.
#[derive(Debug)]
struct Unverified {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests;
