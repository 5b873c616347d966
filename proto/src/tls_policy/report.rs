//! What is counted about TLS with the hosts of a domain (RFC 8460): under which policy a session
//! was held, and how it ended.
//!
//! Left to others: counting, and telling anybody (the daemon).

/// Whose rules a session was held under (`policy-type`, RFC 8460 §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// TLSA records.
    Tlsa,
    /// An MTA-STS policy.
    Sts,
    /// Nobody's.
    NoPolicyFound,
}

/// How a session ended, or what was wrong with a policy (`result-type`, RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ended {
    /// As the policy wants it; without a policy, under TLS.
    Success,
    /// STARTTLS was not offered.
    StarttlsNotSupported,
    /// The certificate is for other names, or the host is none that the policy lists.
    CertificateHostMismatch,
    /// The certificate has run out.
    CertificateExpired,
    /// The certificate is by nobody who is trusted.
    CertificateNotTrusted,
    /// Anything else in the handshake or the certificate.
    ValidationFailure,
    /// TLSA records could not be looked up.
    DnssecInvalid,
    /// The policy's host did not give one.
    StsPolicyFetchError,
    /// What it gave was none.
    StsPolicyInvalid,
    /// The certificate of the policy's host did not hold.
    StsWebpkiInvalid,
}

impl Kind {
    /// The standard's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
        }
    }
}

impl Ended {
    /// The standard's word; `success` is ours, which only counts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}
