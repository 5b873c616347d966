//! Our mark on the paths that we hold (XVIA): HMAC-SHA-256 by the library that TLS uses, since proto has
//! neither keys nor digests.

use aws_lc_rs::hmac;
use vouchsafe_proto::smtp::xhold::Marker;

/// What makes our tokens under this key (`vouchsafe_spool::hop_key`).
pub fn marker(key: &[u8]) -> Marker {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    Marker::new(move |text| {
        let tag = hmac::sign(&key, text.as_bytes());
        // A tag of HMAC-SHA-256 has as many.
        tag.as_ref().try_into().unwrap_or([0; 32])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::smtp::xhold::TransactionId;

    /// As another implementation has them (Python's hmac and base64).
    #[test]
    fn a_mark_follows_from_key_and_copy_alone() {
        let key: Vec<u8> = (0..32).collect();
        let id = TransactionId::parse("q1@A.example").unwrap();
        assert_eq!(marker(&key).token(&id).as_str(), "REGFVLZZ");
        assert_eq!(marker(&key).token(&id), marker(&key).token(&id));
        let other = TransactionId::parse("q2@a.example").unwrap();
        assert_ne!(marker(&key).token(&other), marker(&key).token(&id));
        assert_ne!(marker(&[0; 32]).token(&id), marker(&key).token(&id));
    }
}
