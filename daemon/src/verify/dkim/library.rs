//! mail-auth 0.13.3, and all that must be known about it.
//!
//! Its verifier is built around a resolver, but looks into a cache first. The cache here has an
//! answer to everything (a key that we asked for, or that there is none), so a question never
//! arises; the resolver behind it has no server to ask; and its futures are polled just once, so
//! nothing could wait for an answer if there were one.
//!
//! What it does otherwise than RFC 6376 wants, and is therefore not left to it: it takes tags in
//! any case and twice, versions and numbers that are none, signatures that do not cover `From`,
//! keys for other uses, and `l=` counted before canonicalisation. All of these are read by proto,
//! and the library is handed the values. What it does otherwise and keeps doing here: the relaxed
//! form of a body keeps lines of nothing but blanks at the end (its #62, mended in 0.15.0), so a
//! valid signature over such a body fails. A test holds that fast, for the day it changes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use mail_auth::common::crypto::HashAlgorithm;
use mail_auth::common::headers::{Header, Writable, Writer};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::resolver::ToFqdn;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::canonicalize::CanonicalBody;
use mail_auth::dkim::{self, Canonicalization, DkimError};
use mail_auth::hickory_resolver::TokioResolver;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimResult, DnsError, Error, MessageAuthenticator, Parameters,
    ResolverCache, Txt,
};
use vouchsafe_proto::dns::Answer;
use vouchsafe_proto::verify::dkim::field::{Algorithm, Canonicalisation, Claim};
use vouchsafe_proto::verify::dkim::header::Content;
use vouchsafe_proto::verify::dkim::{Reason, key};

use crate::tls;

/// The least bits of an RSA key that is believed (RFC 8301 §3.2).
const LEAST_RSA_BITS: usize = 1024;

/// The library's verifier.
pub(super) struct Library {
    /// None if it could not be built, which nothing about it explains; then nothing verifies.
    verifier: Option<MessageAuthenticator>,
}

/// Every answer there is; what is not in it does not exist.
#[derive(Default)]
pub(super) struct Answered(HashMap<Box<str>, Txt>);

/// Body hashes, each computed once: by form, and by how much of the body is meant.
#[derive(Default)]
pub(super) struct BodyHashes(Vec<(SignedPart, Vec<u8>)>);

/// The body in this form, and how much of it.
type SignedPart = (Canonicalisation, Option<u64>);

impl Library {
    /// The verifier, with a resolver that has nobody to ask.
    pub(super) fn new() -> Self {
        Self::with_resolver(ResolverConfig::from_parts(None, Vec::new(), Vec::new()))
    }

    /// The verifier with this resolver behind it.
    pub(super) fn with_resolver(config: ResolverConfig) -> Self {
        let verifier = authenticator(config);
        if let Err(error) = &verifier {
            tracing::error!(%error, "DKIM signatures cannot be verified");
        }
        Self {
            verifier: verifier.ok(),
        }
    }

    /// Verifies the signature in one field, with the key in this answer: the reason of its result,
    /// and whether the key is only a test.
    pub(super) fn verify(
        &self,
        content: &Content<'_>,
        at: usize,
        claim: &Claim,
        answer: &Answer,
        bodies: &mut BodyHashes,
    ) -> (Reason, bool) {
        let (key, testing) = match key::choose(answer, claim) {
            Ok(record) => (usable(record.text, claim.algorithm), record.testing),
            Err(reason) => (Err(reason), false),
        };
        let Some(field) = content.fields.get(at) else {
            return (Reason::Internal, testing);
        };
        let Some(signature) = signature(field.value, claim) else {
            return (Reason::Syntax, testing);
        };
        let mut keys = Answered::default();
        let no_key = key.as_ref().err().copied();
        keys.add(&signature, key);
        let mut message = message(content);
        message.body_hashes.push((
            signature.cb,
            HashAlgorithm::Sha256,
            signature.l,
            bodies.hash(content.body, claim).to_vec(),
        ));
        let header = Header::new(field.name, field.value, signature);
        message.dkim_headers.push(header);
        let result = self.run(&message, &keys);
        let reason = match (result, no_key) {
            (Some(DkimResult::Pass), None) => Reason::Valid,
            (Some(DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch))), _) => {
                Reason::Body
            }
            (_, Some(reason)) => reason,
            (Some(DkimResult::Fail(_)), None) => Reason::Header,
            (_, None) => Reason::Internal,
        };
        (reason, testing)
    }

    /// The library's result for the one signature of a message.
    fn run(&self, message: &AuthenticatedMessage<'_>, keys: &Answered) -> Option<DkimResult> {
        let parameters = Parameters::new(message).with_txt_cache(keys);
        let outputs = at_once(self.verifier.as_ref()?.verify_dkim(parameters))?;
        Some(outputs.first()?.result().clone())
    }

    /// The library's result for the ARC chain of a message.
    pub(super) fn run_arc<'x>(
        &self,
        message: &'x AuthenticatedMessage<'x>,
        keys: &'x Answered,
    ) -> Option<ArcOutput<'x>> {
        let parameters = Parameters::new(message).with_txt_cache(keys);
        at_once(self.verifier.as_ref()?.verify_arc(parameters))
    }
}

/// The library's own, with this resolver behind it. Whom TLS trusts is said, though nothing ever
/// goes over it: all the system's certificates are read otherwise.
fn authenticator(config: ResolverConfig) -> anyhow::Result<MessageAuthenticator> {
    let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(ResolverOpts::default())
        .with_tls_config(tls::trusting_nobody()?)
        .build()?;
    Ok(MessageAuthenticator(resolver))
}

/// The key in a record, if it can be used.
pub(super) fn usable(record: &[u8], algorithm: Algorithm) -> Result<DomainKey, Reason> {
    let key = DomainKey::parse(record).map_err(|_| Reason::KeySyntax)?;
    match (algorithm, key.p.public_key_bits()) {
        (Algorithm::Ed25519, _) | (Algorithm::Rsa, LEAST_RSA_BITS..) => Ok(key),
        (Algorithm::Rsa, 0) => Err(Reason::KeySyntax),
        (Algorithm::Rsa, _) => Err(Reason::KeyTooShort),
    }
}

/// The signature as the library has it: the octets by its reading, everything else by ours. None
/// if it cannot read them.
fn signature(value: &[u8], claim: &Claim) -> Option<dkim::Signature> {
    let read = dkim::Signature::parse(value).ok()?;
    Some(dkim::Signature {
        v: 1,
        a: match claim.algorithm {
            Algorithm::Rsa => mail_auth::common::crypto::Algorithm::RsaSha256,
            Algorithm::Ed25519 => mail_auth::common::crypto::Algorithm::Ed25519Sha256,
        },
        d: claim.domain.as_ascii().to_owned(),
        s: claim.selector.as_ascii().to_owned(),
        b: read.b,
        bh: read.bh,
        h: claim.signed.iter().map(ToString::to_string).collect(),
        z: Vec::new(),
        // Judged by now, so that the library need not: i=, x= and t=; l= is in the body's hash.
        // Reports and third-party signatures (RFC 6651, RFC 6541) are not for us.
        i: String::new(),
        l: 0,
        x: 0,
        t: 0,
        r: false,
        atps: None,
        atpsh: None,
        ch: form(claim.header_form),
        cb: form(claim.body_form),
    })
}

/// The library's word for a form.
const fn form(form: Canonicalisation) -> Canonicalization {
    match form {
        Canonicalisation::Simple => Canonicalization::Simple,
        Canonicalisation::Relaxed => Canonicalization::Relaxed,
    }
}

/// The message as the library has it, cut as we cut it, without any signature yet.
pub(super) fn message<'x>(content: &Content<'x>) -> AuthenticatedMessage<'x> {
    AuthenticatedMessage {
        headers: content
            .fields
            .iter()
            .map(|field| (field.name, field.value))
            .collect(),
        ..AuthenticatedMessage::default()
    }
}

impl BodyHashes {
    /// The hash that a claim's `bh=` should be.
    fn hash(&mut self, body: &[u8], claim: &Claim) -> &[u8] {
        let wanted = (claim.body_form, claim.length);
        let known = self.0.iter().position(|(form, _)| *form == wanted);
        let at = known.unwrap_or_else(|| {
            let hash = HashAlgorithm::Sha256.hash(SignedBody {
                body: form(claim.body_form).canonical_body(body, 0),
                length: claim.length,
            });
            self.0.push((wanted, hash.as_ref().to_vec()));
            self.0.len() - 1
        });
        self.0.get(at).map_or(&[], |(_, hash)| hash)
    }
}

/// A body in one form, of which only the first octets are signed (RFC 6376 §3.4.5).
struct SignedBody<'a> {
    body: CanonicalBody<'a>,
    length: Option<u64>,
}

impl Writable for SignedBody<'_> {
    fn write(self, writer: &mut impl Writer) {
        self.body.write(&mut UpTo {
            writer,
            left: self.length.unwrap_or(u64::MAX),
        });
    }
}

/// Writes so many octets and no more.
struct UpTo<'a, W: Writer> {
    writer: &'a mut W,
    left: u64,
}

impl<W: Writer> Writer for UpTo<'_, W> {
    fn write(&mut self, octets: &[u8]) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let written = octets.get(..left).unwrap_or(octets);
        self.writer.write(written);
        self.left = self
            .left
            .saturating_sub(u64::try_from(written.len()).unwrap_or(u64::MAX));
    }
}

impl Answered {
    /// Adds the key that this signature will look for, or that there is none.
    pub(super) fn add(&mut self, signature: &impl VerifySignature, key: Result<DomainKey, Reason>) {
        let name = signature.domain_key().to_fqdn().into_owned();
        let answer = match key {
            Ok(key) => Txt::DomainKey(key.into()),
            Err(Reason::KeyTrouble(_)) => Txt::Error(Error::Dns(DnsError::Resolver(String::new()))),
            Err(_) => nothing(),
        };
        self.0.insert(name.into_boxed_str(), answer);
    }
}

/// There is no such record.
const fn nothing() -> Txt {
    Txt::Error(Error::Dns(DnsError::InvalidRecordType))
}

/// It always has an answer: a miss would make the library ask.
impl ResolverCache<Box<str>, Txt> for Answered {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        Some(self.0.get(name).cloned().unwrap_or_else(nothing))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

/// What a future has at its first poll; none if it would wait.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
