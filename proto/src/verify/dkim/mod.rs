//! What the DKIM signatures of a message say about its reverse-path (RFC 6376).
//!
//! Whether a signature holds is cryptography, and the daemon's; what it means is decided here, and
//! so is everything that keeps a signature from meaning anything: a malformed field, a `From` that
//! is not signed, a key that was withdrawn. Where the RFC leaves a choice, the stricter one is
//! taken: a signature that is set aside is no harm, since none is ever a reason to reject.
//!
//! Map: [`header`] cuts a message into fields and body · `tags` reads tag-lists · [`field`] a
//! `DKIM-Signature` before its key is known · [`key`] the key record · `author` the mailbox of a
//! `From` field · `report` what all of them come to ·
//! `told` how Authentication-Results says it.
//!
//! Left to others: hashes and signatures, the questions to the DNS, ARC chains (daemon); when the
//! verdict that follows is said (`timing`).

mod author;
pub mod field;
pub mod header;
pub mod key;
mod reason;
mod report;
mod tags;
#[cfg(test)]
mod tests;
mod told;

pub use author::author;
pub use reason::{Reason, SignatureResult};
pub use report::{Arc, Report, Signature, Skipped};

/// Signatures of one message that are looked at, from the top; more are counted and left alone.
/// Each costs a question to the DNS and a signature to verify, and the sender chooses their number
/// (RFC 6376 §6.1). A message signed by its author, a provider and two lists has four.
pub const MAX_SIGNATURES: usize = 10;

/// Fields of a header that are cut. For every name that a signature lists the fields are searched,
/// so the two numbers together bound that work at a quarter of a million comparisons a signature.
/// Messages have thirty to a hundred; the loop stop ends them at a few hundred.
pub const MAX_FIELDS: usize = 1000;

/// Names that one signature may list in `h=`. Signers that list every name they know twice, so
/// that none can be added, come to a hundred.
pub const MAX_SIGNED_FIELDS: usize = 256;

/// Sets of an ARC chain that are looked at, each with a key to ask for. RFC 8617 §4.2.1 allows 50;
/// chains of more than four are mail that goes in circles, and nothing depends on them here.
pub const MAX_ARC_SETS: u32 = 10;
