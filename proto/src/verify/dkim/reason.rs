//! Why a signature counts or does not, and the result that it is given for that.

use core::fmt;

use crate::dns::Trouble;

/// The result of one signature, in the words of RFC 8601 §2.7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignatureResult {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It could not be made sense of.
    Neutral,
    /// Not to be known now.
    TempError,
    /// Not to be known, today or tomorrow.
    PermError,
}

impl SignatureResult {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for SignatureResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a signature has its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Header and body are as they were signed.
    Valid,
    /// The body is not as it was signed.
    Body,
    /// Signed fields are not as they were signed, or this is not the key.
    Header,
    /// The signature has run out by its `x=`.
    Expired,
    /// The field is no tag-list, or a value in it has the wrong form.
    Syntax,
    /// `h=` lists more than [`super::MAX_SIGNED_FIELDS`] names.
    TooManySigned,
    /// Our own trouble.
    Internal,
    /// The key is not to be had now.
    KeyTrouble(Trouble),
    /// A `v=` other than 1.
    Version,
    /// A tag that must be there is not.
    MissingTag,
    /// An algorithm we do not know.
    Algorithm,
    /// rsa-sha1, which must not be believed (RFC 8301 §3.1).
    Sha1,
    /// A canonicalisation we do not know.
    Canonicalisation,
    /// No way to the key that we know (`q=`).
    QueryMethod,
    /// `From` is not among the signed fields.
    FromUnsigned,
    /// `i=` is outside the signing domain, or below it against the key's wish (`t=s`).
    Identity,
    /// There is no key.
    NoKey,
    /// What stands where the key should be is none.
    KeySyntax,
    /// More than one key: which of them is meant is undefined (RFC 6376 §3.6.2.2).
    SeveralKeys,
    /// The key was withdrawn.
    KeyRevoked,
    /// The key is for another algorithm.
    KeyType,
    /// The key is not for mail, or not for this hash.
    KeyUse,
    /// An RSA key below 1024 bits (RFC 8301 §3.2).
    KeyTooShort,
}

impl Reason {
    /// The result that it gives.
    pub const fn result(self) -> SignatureResult {
        match self {
            Self::Valid => SignatureResult::Pass,
            Self::Body | Self::Header | Self::Expired => SignatureResult::Fail,
            Self::Syntax | Self::TooManySigned => SignatureResult::Neutral,
            Self::KeyTrouble(_) | Self::Internal => SignatureResult::TempError,
            Self::Version
            | Self::MissingTag
            | Self::Algorithm
            | Self::Sha1
            | Self::Canonicalisation
            | Self::QueryMethod
            | Self::FromUnsigned
            | Self::Identity
            | Self::NoKey
            | Self::KeySyntax
            | Self::SeveralKeys
            | Self::KeyRevoked
            | Self::KeyType
            | Self::KeyUse
            | Self::KeyTooShort => SignatureResult::PermError,
        }
    }

    /// One word for machines: JSON, and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Body => "body",
            Self::Header => "header",
            Self::Expired => "expired",
            Self::Syntax => "syntax",
            Self::TooManySigned => "too_many_signed",
            Self::Internal => "internal",
            Self::KeyTrouble(_) => "key_trouble",
            Self::Version => "version",
            Self::MissingTag => "missing_tag",
            Self::Algorithm => "algorithm",
            Self::Sha1 => "sha1",
            Self::Canonicalisation => "canonicalisation",
            Self::QueryMethod => "query_method",
            Self::FromUnsigned => "from_unsigned",
            Self::Identity => "identity",
            Self::NoKey => "no_key",
            Self::KeySyntax => "key_syntax",
            Self::SeveralKeys => "several_keys",
            Self::KeyRevoked => "key_revoked",
            Self::KeyType => "key_type",
            Self::KeyUse => "key_use",
            Self::KeyTooShort => "key_too_short",
        }
    }

    /// A few plain words, nothing of the message in them.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Valid => "header and body are as signed",
            Self::Body => "the body is not as signed",
            Self::Header => "the header is not as signed, or by another key",
            Self::Expired => "run out",
            Self::Syntax => "malformed",
            Self::TooManySigned => "too many names in h=",
            Self::Internal => "trouble of our own",
            Self::KeyTrouble(_) => "the key is not to be had now",
            Self::Version => "unknown version",
            Self::MissingTag => "a tag is missing",
            Self::Algorithm => "unknown algorithm",
            Self::Sha1 => "rsa-sha1 is not believed",
            Self::Canonicalisation => "unknown canonicalisation",
            Self::QueryMethod => "unknown way to the key",
            Self::FromUnsigned => "From is not signed",
            Self::Identity => "i= is outside the signing domain",
            Self::NoKey => "no key",
            Self::KeySyntax => "malformed key",
            Self::SeveralKeys => "more than one key",
            Self::KeyRevoked => "key withdrawn",
            Self::KeyType => "key for another algorithm",
            Self::KeyUse => "key for another use",
            Self::KeyTooShort => "RSA key below 1024 bits",
        }
    }
}

/// Its words, and which trouble.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())?;
        match self {
            Self::KeyTrouble(trouble) => write!(f, " ({trouble})"),
            _ => Ok(()),
        }
    }
}
