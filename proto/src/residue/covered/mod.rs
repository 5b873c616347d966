//! What of a message its digest covers, as the message streams by (PROTOCOLS B.1).
//!
//! Covered are thirteen fields and the body, each in the relaxed form of RFC 6376 §3.4, the envelope's reverse-path
//! and the domain of the recipient. So the digest stays the same where fields are folded anew, are put in another
//! order, change the case of their names, or get others above them, where spaces at line ends go, and however the
//! content was transferred; a word changed makes it another. A header with a line that is no field has no digest: some
//! readers show that line, and those below, as the body.
//!
//! Promised: the same digest however the content is split; no more memory than [`MOST_HELD`] octets of fields, a
//! part of it where the message is an ordinary one. The hash is handed in, because the sums are a library's work, and
//! because a demonstration wants a weak one.
//!
//! Left to others: content without dot-stuffing, with CRLF line ends (a bare LF is taken for one, a bare CR for an
//! octet like others); whether a message is entered, or asked about, at all.

mod addressees;
mod body;
mod header;

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Digest, Hour};
use crate::addr::{Domain, ReversePath};
use body::Body;
use header::Header;
pub use header::{Dated, MOST_HELD, NoDigest, NoHour};

/// A hash of 256 bits, being computed: SHA-256, except where it is shown why.
pub trait Hasher: Default {
    /// Takes the next octets.
    fn update(&mut self, octets: &[u8]);

    /// The hash of all of them.
    fn finish(self) -> [u8; 32];
}

/// Reads content for what of it is covered.
#[derive(Debug, Default)]
pub struct Reader<H> {
    header: Header,
    body: Body,
    hash: H,
}

/// What is covered of a message, whoever it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The fields, in their order and form.
    fields: Vec<u8>,
    /// The hash of the body.
    body: [u8; 32],
    hour: Result<Hour, NoHour>,
    message_id: Option<Box<[u8]>>,
}

impl<H: Hasher> Reader<H> {
    /// Takes the next octets of the content.
    pub fn read(&mut self, octets: &[u8]) {
        let rest = self.header.read(octets);
        if !rest.is_empty() {
            self.body.read(rest, |octets| self.hash.update(octets));
        }
    }

    /// When it says that it was written, as far as it has come: known also where [`Self::finish`] gives nothing.
    pub fn dated(&mut self) -> Dated {
        self.header.dated()
    }

    /// What the whole comes to.
    ///
    /// # Errors
    /// It has none: too many covered fields, or a header that is none.
    pub fn finish(mut self) -> Result<Covered, NoDigest> {
        self.body.finish(|octets| self.hash.update(octets));
        let fields = self.header.finish()?;
        Ok(Covered {
            fields: fields.canonical,
            body: self.hash.finish(),
            hour: fields.hour,
            message_id: fields.message_id,
        })
    }
}

impl Covered {
    /// The message digest, for recipients in `recipient`; `None` where the reverse-path has no domain that could be
    /// asked.
    pub fn digest<H: Hasher>(
        &self,
        recipient: &Domain,
        reverse_path: &ReversePath,
    ) -> Option<Digest> {
        let mut hash = H::default();
        hash.update(b"vouch1 msg\0");
        hash.update(recipient.as_ascii().as_bytes());
        hash.update(b"\0");
        add_reverse_path(&mut hash, reverse_path)?;
        hash.update(b"\0");
        hash.update(&self.fields);
        hash.update(&self.body);
        Some(first_half(hash))
    }

    /// The identity digest; `None` too where there is not just one Message-ID.
    pub fn identity<H: Hasher>(&self, reverse_path: &ReversePath) -> Option<Digest> {
        relaxed_identity::<H>(reverse_path, self.message_id.as_deref()?)
    }

    /// Its Message-ID in relaxed form, if it has just one.
    pub fn message_id(&self) -> Option<&[u8]> {
        self.message_id.as_deref()
    }

    /// The first `most` domains that its To and Cc fields name.
    pub fn addressees(&self, most: usize) -> Vec<Domain> {
        let lines = || self.fields.split(|octet| *octet == b'\n');
        let of = |name: &'static [u8]| lines().filter_map(move |line| line.strip_prefix(name));
        let values = of(b"to:").chain(of(b"cc:"));
        let bare = values.map(|value| value.strip_suffix(b"\r").unwrap_or(value));
        addressees::domains(bare, most)
    }

    /// The hour of its Date field: where its digests are filed.
    ///
    /// # Errors
    /// There is not just one Date field that can be read: nobody is to be asked about it.
    pub const fn hour(&self) -> Result<Hour, NoHour> {
        self.hour
    }
}

/// The identity digest of the message with this Message-ID that `reverse_path` sent: the field's value, brackets and all,
/// folded or not. `None` where the reverse-path has no domain that could be asked, or the value is empty.
pub fn identity<H: Hasher>(reverse_path: &ReversePath, message_id: &[u8]) -> Option<Digest> {
    relaxed_identity::<H>(reverse_path, &header::relaxed(message_id))
}

/// The digest of the ENVID (RFC 3461 §4.4) that came with `reverse_path`: a host enters it for itself alone, to know it
/// again in a report (PROTOCOLS B.6). Nobody asks for it, and no Message-ID has the same one. `None` as for an identity.
pub fn envelope_id<H: Hasher>(reverse_path: &ReversePath, envid: &str) -> Option<Digest> {
    named::<H>(
        b"vouch1 env\0",
        reverse_path,
        &header::relaxed(envid.as_bytes()),
    )
}

/// The digest of a Message-ID, whichever of its addresses a host sent it from: for itself alone, as that of an ENVID.
pub fn reference<H: Hasher>(message_id: &[u8]) -> Option<Digest> {
    let message_id = header::relaxed(message_id);
    if message_id.is_empty() {
        return None;
    }
    let mut hash = H::default();
    hash.update(b"vouch1 ref\0");
    hash.update(&message_id);
    Some(first_half(hash))
}

/// The identity of a value in relaxed form.
fn relaxed_identity<H: Hasher>(reverse_path: &ReversePath, message_id: &[u8]) -> Option<Digest> {
    named::<H>(b"vouch1 id\0", reverse_path, message_id)
}

/// The digest of a name that a message of `reverse_path` has.
fn named<H: Hasher>(tag: &[u8], reverse_path: &ReversePath, name: &[u8]) -> Option<Digest> {
    if name.is_empty() {
        return None;
    }
    let mut hash = H::default();
    hash.update(tag);
    add_reverse_path(&mut hash, reverse_path)?;
    hash.update(b"\0");
    hash.update(name);
    Some(first_half(hash))
}

/// The reverse-path without brackets: the local-part as it is, the domain as A-labels in small letters.
fn add_reverse_path(hash: &mut impl Hasher, reverse_path: &ReversePath) -> Option<()> {
    let (ReversePath::Mailbox(mailbox), Some(domain)) = (reverse_path, reverse_path.domain())
    else {
        return None;
    };
    hash.update(mailbox.local_part.as_str().as_bytes());
    hash.update(b"@");
    hash.update(domain.as_ascii().as_bytes());
    Some(())
}

/// The first 128 bits.
fn first_half(hash: impl Hasher) -> Digest {
    let sum = hash.finish();
    // Of 32 octets there are 16.
    let half = sum.first_chunk().copied().unwrap_or_default();
    Digest::new(u128::from_be_bytes(half))
}

#[cfg(test)]
mod tests;
