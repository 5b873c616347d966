//! What the ledger is to have of a message of ours, computed as its content streams by (PROTOCOLS B.1, B.2).
//!
//! Promises: an entry for each domain of its recipients, and one for its identity, or the word that it cannot be asked
//! about. Left to others: which messages are ours (proto), and entering it before anything leaves (the spool).

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::residue::Kind;
use vouchsafe_proto::residue::covered::{Covered, NoDigest, NoHour, Reader};
use vouchsafe_spool::ledger::Entry;

use super::Sha256;

/// A message of ours, being read.
#[derive(Default)]
pub struct Vouching(Reader<Sha256>);

/// Why a message has no entry. Those who would ask about it cannot, for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEntry {
    /// It has no digest.
    #[error(transparent)]
    Digest(#[from] NoDigest),
    /// It has no hour.
    #[error(transparent)]
    Hour(#[from] NoHour),
}

impl Vouching {
    /// Takes the next octets of the content, as it will leave.
    pub fn read(&mut self, octets: &[u8]) {
        self.0.read(octets);
    }

    /// The entries of the message with this envelope.
    pub fn finish(self, envelope: &Envelope) -> Result<Vec<Entry>, NoEntry> {
        let paths = envelope.recipients.iter().map(|recipient| &recipient.path);
        let covered = self.0.finish()?;
        entries(&covered, &envelope.reverse_path, paths)
    }
}

/// The entries of a message, however it was read.
pub fn entries<'a>(
    covered: &Covered,
    reverse_path: &ReversePath,
    recipients: impl IntoIterator<Item = &'a ForwardPath>,
) -> Result<Vec<Entry>, NoEntry> {
    let hour = covered.hour()?;
    let mut domains: Vec<&Domain> = recipients
        .into_iter()
        .filter_map(ForwardPath::domain)
        .collect();
    domains.sort_unstable();
    domains.dedup();
    let digests = domains.into_iter().filter_map(|domain| {
        let digest = covered.digest::<Sha256>(domain, reverse_path)?;
        Some((Kind::Message, digest))
    });
    // Reports may come to the address in small letters.
    let paths = [Some(reverse_path.clone()), as_small(reverse_path)];
    let identities = paths.into_iter().flatten();
    let identities = identities.filter_map(|path| covered.identity::<Sha256>(&path));
    let identities = identities.map(|digest| (Kind::Identity, digest));
    let all = digests.chain(identities);
    Ok(all
        .map(|(kind, digest)| Entry { kind, hour, digest })
        .collect())
}

/// The same reverse-path with its local part in small letters; none where it has no others.
pub fn as_small(reverse_path: &ReversePath) -> Option<ReversePath> {
    let ReversePath::Mailbox(mailbox) = reverse_path else {
        return None;
    };
    let local_part = mailbox.local_part.as_str();
    if !local_part.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return None;
    }
    let domain = reverse_path.domain()?;
    let small = format!("{}@{domain}", local_part.to_ascii_lowercase());
    ReversePath::parse_inside(&small).ok()
}
