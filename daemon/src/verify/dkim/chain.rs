//! The ARC chain (RFC 8617), read so that Authentication-Results can say whether it holds.
//!
//! Who sealed a message is not who sent it, and to believe a seal one must know its maker: nothing
//! here has any weight. A chain that is longer than we look at, or whose keys are not to be had,
//! is said to be unchecked and not to have failed.

use std::collections::BTreeSet;

use mail_auth::arc;
use mail_auth::common::crypto::{Algorithm, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::verify::VerifySignature;
use mail_auth::{ArcOutput, AuthenticatedMessage, DkimResult};
use vouchsafe_proto::dns::{Lookup, Name, Records};
use vouchsafe_proto::verify::dkim::header::{Content, Field};
use vouchsafe_proto::verify::dkim::{Arc, MAX_ARC_SETS, MAX_SIGNED_FIELDS, Reason, field};

use super::library::{Answered, Library, message, usable};
use super::{Answers, answer_of};

/// The three fields of a set.
const SEAL: &str = "ARC-Seal";
const SIGNATURE: &str = "ARC-Message-Signature";
const RESULTS: &str = "ARC-Authentication-Results";

/// Sets that RFC 8617 §4.2.1 allows.
const MOST_SETS: usize = 50;

/// A chain whose fields could be read, each kind by its instance.
struct Chain<'a> {
    seals: Vec<Header<'a, arc::Seal>>,
    signatures: Vec<Header<'a, arc::Signature>>,
    results: Vec<Header<'a, arc::Results>>,
}

/// True if there is anything of a chain.
pub(super) fn is_there(content: &Content<'_>) -> bool {
    [SEAL, SIGNATURE, RESULTS]
        .iter()
        .any(|name| content.named(name).next().is_some())
}

/// The keys that are needed for it; none if it fails without.
pub(super) fn keys(content: &Content<'_>) -> BTreeSet<Name> {
    let Ok(chain) = Chain::read(content) else {
        return BTreeSet::new();
    };
    let last = chain.signatures.last();
    let seals = chain.seals.iter();
    seals
        .map(|seal| seal.header.domain_key())
        .chain(last.map(|signature| signature.header.domain_key()))
        .filter_map(|name| Name::parse(&name).ok())
        .collect()
}

/// Whether it holds.
pub(super) fn verify(library: &Library, content: &Content<'_>, answers: &Answers) -> Arc {
    if !is_there(content) {
        return Arc::None;
    }
    let chain = match Chain::read(content) {
        Ok(chain) => chain,
        Err(result) => return result,
    };
    let known = chain.answered(answers);
    let message = chain.into_message(content);
    let output = library.run_arc(&message, &known);
    match output.as_ref().map(ArcOutput::result) {
        Some(DkimResult::Pass) => Arc::Pass,
        Some(DkimResult::TempError(_)) | None => Arc::Unchecked,
        Some(_) => Arc::Fail,
    }
}

/// The key for one field of the chain.
fn key(
    signature: &impl VerifySignature,
    answers: &Answers,
) -> Result<mail_auth::common::verify::DomainKey, Reason> {
    let name = Name::parse(&signature.domain_key()).map_err(|_| Reason::Syntax)?;
    let answer = answer_of(answers, &name);
    let algorithm = match signature.algorithm() {
        Algorithm::Ed25519Sha256 => field::Algorithm::Ed25519,
        Algorithm::RsaSha256 | Algorithm::RsaSha1 => field::Algorithm::Rsa,
    };
    match &answer.lookup {
        Lookup::Found(Records::Txt(texts)) => {
            let mut keys = texts.iter().filter_map(|text| usable(text, algorithm).ok());
            keys.next().ok_or(Reason::KeySyntax)
        }
        Lookup::Trouble(trouble) => Err(Reason::KeyTrouble(*trouble)),
        _ => Err(Reason::NoKey),
    }
}

impl<'a> Chain<'a> {
    /// Reads all fields of the chain, or says what it comes to without a key.
    fn read(content: &Content<'a>) -> Result<Self, Arc> {
        let sets = content.named(SEAL).count();
        if sets > MOST_SETS {
            return Err(Arc::Fail);
        }
        if u32::try_from(sets).is_ok_and(|sets| sets > MAX_ARC_SETS) {
            return Err(Arc::Unchecked);
        }
        let mut chain = Self {
            seals: read_all(content, SEAL, arc::Seal::parse)?,
            signatures: read_all(content, SIGNATURE, arc::Signature::parse)?,
            results: read_all(content, RESULTS, arc::Results::parse)?,
        };
        let sound = chain.signatures.iter().all(|signature| {
            let signature = &signature.header;
            // l= leaves the body open, and the work for h= must have an end.
            signature.l == 0
                && signature.h.len() <= MAX_SIGNED_FIELDS
                && signature.a != Algorithm::RsaSha1
        });
        let believed = |seal: &Header<'_, arc::Seal>| seal.header.a != Algorithm::RsaSha1;
        if !sound || !chain.seals.iter().all(believed) {
            return Err(Arc::Fail);
        }
        chain.seals.sort_by_key(|seal| seal.header.i);
        chain.signatures.sort_by_key(|signature| signature.header.i);
        chain.results.sort_by_key(|results| results.header.i);
        Ok(chain)
    }
}

impl<'a> Chain<'a> {
    /// Its keys, under the names by which the library looks for them.
    fn answered(&self, answers: &Answers) -> Answered {
        let mut known = Answered::default();
        for seal in &self.seals {
            known.add(&seal.header, key(&seal.header, answers));
        }
        for signature in &self.signatures {
            known.add(&signature.header, key(&signature.header, answers));
        }
        known
    }

    /// The message as the library has it.
    fn into_message(self, content: &Content<'a>) -> AuthenticatedMessage<'a> {
        let mut message = message(content);
        // Of all signatures the last is verified, the others are only sealed.
        if let Some(last) = self.signatures.last() {
            let (form, algorithm) = (last.header.cb, HashAlgorithm::Sha256);
            let hash = algorithm.hash(form.canonical_body(content.body, 0));
            let hash = hash.as_ref().to_vec();
            message.body_hashes.push((form, algorithm, 0, hash));
        }
        message.as_headers = self.seals;
        message.ams_headers = self.signatures;
        message.aar_headers = self.results;
        message
    }
}

/// All fields of one name, which hold only together.
fn read_all<'a, T>(
    content: &Content<'a>,
    name: &str,
    parse: impl Fn(&[u8]) -> mail_auth::Result<T>,
) -> Result<Vec<Header<'a, T>>, Arc> {
    let fields = content.fields.iter().filter(|field| field.is(name));
    let mut read = Vec::new();
    for Field { name, value } in fields {
        if read.len() >= MOST_SETS {
            return Err(Arc::Fail);
        }
        let parsed = parse(value).map_err(|_| Arc::Fail)?;
        read.push(Header::new(name, value, parsed));
    }
    Ok(read)
}
