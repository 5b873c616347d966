//! What Authentication-Results says of signatures and of the ARC chain (RFC 8601 §2.7.1,
//! RFC 8617 §10.1).

use alloc::vec::Vec;

use super::{Arc, Report, Signature, SignatureResult, Skipped};
use crate::message::{Method, Property};

impl Report {
    /// One result for each signature that was looked at, or one that says why there is none; then
    /// the chain's, if there is one to tell.
    pub fn methods(&self) -> Vec<Method> {
        let mut methods: Vec<_> = self.signatures.iter().map(Signature::method).collect();
        if methods.is_empty() {
            methods.extend(self.without_signature());
        }
        match self.arc {
            Arc::Pass => methods.push(Method::new("arc", "pass")),
            Arc::Fail => methods.push(Method::new("arc", "fail")),
            Arc::None | Arc::Unchecked => {}
        }
        methods
    }

    /// What is said where no signature was looked at.
    fn without_signature(&self) -> Option<Method> {
        let (result, reason) = match self.skipped {
            Some(Skipped::Off) => return None,
            Some(Skipped::NoSignature) | None => return Some(Method::new("dkim", "none")),
            Some(Skipped::TooLarge) => (SignatureResult::Neutral, "message too large"),
            Some(Skipped::TooManyFields) => (SignatureResult::Neutral, "too many header fields"),
            Some(Skipped::Busy) => (SignatureResult::TempError, "no room for the message"),
        };
        Some(Method::new("dkim", result.as_str()).because(reason))
    }
}

impl Signature {
    /// Its result.
    fn method(&self) -> Method {
        let domain = self.domain.as_ref();
        let selector = self.selector.as_ref();
        let algorithm = self.algorithm;
        let start = Some(&*self.start).filter(|start| !start.is_empty());
        let method = Method::new("dkim", self.result().as_str());
        let method = match self.result() {
            SignatureResult::Pass if self.testing => method.because("the key is only a test"),
            SignatureResult::Pass => method,
            _ => method.because(self.reason.words()),
        };
        method
            .about(domain.map(|domain| Property::domain("header.d", domain)))
            .about(selector.map(|selector| Property::domain("header.s", selector)))
            .about(algorithm.map(|algorithm| Property::text("header.a", algorithm)))
            .about(start.map(|start| Property::text("header.b", start)))
    }
}
