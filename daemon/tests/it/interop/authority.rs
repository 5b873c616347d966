//! An authority of the test's own, which services trust by their configuration.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::postfix::{Postfix, Setup};

/// The authority that the service trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate, and its key.
pub struct Issued {
    pub certificate: rcgen::Certificate,
    pub key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Issued { certificate, key }
    }

    /// A Postfix with a certificate for this name.
    pub fn postfix(&self, setup: Setup, name: &str) -> Postfix {
        let issued = self.issue(name);
        setup
            .tls("may")
            .file("cert.pem", &issued.certificate.pem())
            .file("key.pem", &issued.key.serialize_pem())
            .start()
    }

    /// Its own certificate, for whoever is to trust it.
    pub fn write(&self, file: &Path) {
        std::fs::write(file, self.0.pem()).unwrap();
    }
}

impl Issued {
    /// As `cert.pem` and `key.pem` of a folder.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("cert.pem"), self.certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), self.key.serialize_pem()).unwrap();
    }
}
