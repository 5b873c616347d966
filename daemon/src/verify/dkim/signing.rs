//! Signed messages for the tests: keys made on the spot, mail-auth's own signer, and the key
//! records as zone lines.

use std::sync::OnceLock;

use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, DkimSigner, Done};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A signer that has all it needs.
pub(crate) type Signer = DkimSigner<DkimKey, Done>;

/// The selector of the RSA key, and that of the Ed25519 key.
pub(crate) const RSA: &str = "rsa";
pub(crate) const EDWARDS: &str = "ed";

/// Both private keys, PKCS #8.
fn private(selector: &str) -> &'static [u8] {
    static KEYS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    let (rsa, edwards) = KEYS.get_or_init(|| {
        let size = rcgen::RsaKeySize::_2048;
        let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap();
        (rsa.serialize_der(), Ed25519Key::generate_pkcs8().unwrap())
    });
    if selector == RSA { rsa } else { edwards }
}

/// The RSA key.
pub(crate) fn rsa_key() -> RsaKey<Sha256> {
    let der = PrivatePkcs8KeyDer::from(private(RSA));
    RsaKey::from_key_der(PrivateKeyDer::Pkcs8(der)).unwrap()
}

/// The key of a selector.
fn key(selector: &str) -> DkimKey {
    if selector == RSA {
        return DkimKey::Rsa(rsa_key());
    }
    let key = Ed25519Key::from_pkcs8_maybe_unchecked_der(private(EDWARDS));
    DkimKey::Ed25519(key.unwrap())
}

/// A signer for this domain, over the fields that matter, relaxed.
pub(crate) fn signer(domain: &str, selector: &str) -> Signer {
    DkimSigner::from_key(key(selector))
        .domain(domain)
        .selector(selector)
        .headers(["From", "To", "Subject", "Date"])
        .header_canonicalization(Canonicalization::Relaxed)
        .body_canonicalization(Canonicalization::Relaxed)
}

/// What the signer's own builder has no way back to.
pub(crate) trait Differently {
    /// The same signer under another selector.
    fn with_selector(self, selector: &str) -> Self;
    /// The same signer over other fields.
    fn headers_of(self, names: &[&str]) -> Self;
}

impl Differently for Signer {
    fn with_selector(mut self, selector: &str) -> Self {
        selector.clone_into(&mut self.template.s);
        self
    }

    fn headers_of(mut self, names: &[&str]) -> Self {
        self.template.h = names.iter().map(ToString::to_string).collect();
        self
    }
}

/// The message with its signature on top.
pub(crate) fn signed(signer: &Signer, message: &str) -> String {
    let signature = signer.sign(message.as_bytes()).unwrap();
    format!("{}{message}", signature.to_header())
}

/// The key record of a selector.
pub(crate) fn record(selector: &str) -> String {
    match key(selector) {
        DkimKey::Rsa(key) => format!("v=DKIM1; k=rsa; p={}", base64(&key.public_key())),
        DkimKey::Ed25519(key) => format!("v=DKIM1; k=ed25519; p={}", base64(&key.public_key())),
    }
}

/// A TXT record as a line of a zone, in strings that fit.
pub(crate) fn txt(name: &str, text: &str) -> String {
    let strings: Vec<_> = text
        .as_bytes()
        .chunks(200)
        .map(|part| format!("\"{}\"", str::from_utf8(part).unwrap()))
        .collect();
    format!("{name} 300 TXT {}\n", strings.join(" "))
}

/// The zone of a domain with both keys.
pub(crate) fn zone(domain: &str) -> String {
    let keys = [RSA, EDWARDS].map(|selector| {
        let name = format!("{selector}._domainkey.{domain}");
        txt(&name, &record(selector))
    });
    format!("zone {domain}\n{}", keys.concat())
}

/// RFC 4648 §4.
pub(crate) fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(bits >> shift & 63) as usize]))
    };
    let groups = octets.chunks(3).flat_map(|three| {
        let letters = group(three);
        (0..4).map(move |at| if at <= three.len() { letters[at] } else { '=' })
    });
    groups.collect()
}
