//! What the ledger is to have of a message of ours, computed as its content streams by (PROTOCOLS B.1, B.2).
//!
//! Promises: an entry for each domain of its recipients, for each way in which its identity may be written, and for
//! ourselves one for its ENVID and one for its Message-ID alone; and where there is less than that, of which hours the
//! ledger must not say that it knows all. Left to others: which messages are ours (proto), and entering it before
//! anything leaves (the spool).

use std::collections::BTreeSet;

use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::dsn::recognise::message_id;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::residue::covered::{
    Covered, NoDigest, NoHour, Reader, envelope_id, identity, reference,
};
use vouchsafe_proto::residue::{Digest, Hour, Kind};
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::ledger::{Entry, Missed};

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

/// What the ledger is to have of a message.
#[derive(Clone, Debug, Default)]
pub struct Vouched {
    /// Its digests.
    pub entries: Vec<Entry>,
    /// What is missing of it, and why.
    pub missed: Option<(Missed, NotWhole)>,
}

/// Why not all of a message is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// It has no entry.
    #[error(transparent)]
    Nothing(#[from] NoEntry),
    /// Its identity has none: an altered copy of it could not be told from a forgery, nor a report about it.
    #[error("it has not one Message-ID")]
    Identity,
}

impl Vouching {
    /// Takes the next octets of the content, as it will leave.
    pub fn read(&mut self, octets: &[u8]) {
        self.0.read(octets);
    }

    /// The entries of the message with this envelope, which is sent now.
    pub fn finish(mut self, envelope: &Envelope, now: Wall) -> Vouched {
        let dated = self.0.dated();
        let missed = || {
            // Whoever mends its header on the way may give it another date, most likely that of the day.
            match (dated.hours(), Hour::at(now)) {
                (Some(hours), Some(now)) => Missed::Hours([hours, &[now]].concat()),
                _ => Missed::Everything,
            }
        };
        let paths = envelope.recipients.iter().map(|recipient| &recipient.path);
        let covered = self.0.finish().map_err(NoEntry::from);
        let entries = covered
            .and_then(|covered| Ok((entries(&covered, &envelope.reverse_path, paths)?, covered)));
        let named = envelope_ids(envelope, now);
        match entries {
            Ok((entries, covered)) => Vouched {
                entries: [entries, named].concat(),
                missed: covered
                    .message_id()
                    .is_none()
                    .then(|| (missed(), NotWhole::Identity)),
            },
            Err(why) => Vouched {
                entries: named,
                missed: Some((missed(), why.into())),
            },
        }
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
    let bare = bare_id(covered);
    let identities = identities(covered, reverse_path, bare.as_deref()).into_iter();
    let identities = identities.chain(bare.as_deref().and_then(reference::<Sha256>));
    let all = digests.chain(identities.map(|digest| (Kind::Identity, digest)));
    Ok(all
        .map(|(kind, digest)| Entry { kind, hour, digest })
        .collect())
}

/// Its identity as others ask for it, and as reports may name it: to the address in small letters, and by what stands in
/// the brackets of the Message-ID.
fn identities(
    covered: &Covered,
    reverse_path: &ReversePath,
    bare: Option<&[u8]>,
) -> BTreeSet<Digest> {
    let mut all = BTreeSet::new();
    for path in spellings(reverse_path.clone()) {
        all.extend(covered.identity::<Sha256>(&path));
        all.extend(bare.and_then(|bare| identity::<Sha256>(&path, bare)));
    }
    all
}

/// Its Message-ID as reports are read: in brackets, without comments and spaces.
fn bare_id(covered: &Covered) -> Option<Vec<u8>> {
    let id = message_id(&String::from_utf8_lossy(covered.message_id()?))?;
    Some(format!("<{id}>").into_bytes())
}

/// Its ENVID, by which reports may name it: for ourselves, so filed under the hour in which it leaves, whatever its Date.
fn envelope_ids(envelope: &Envelope, now: Wall) -> Vec<Entry> {
    let (Some(envid), Some(hour)) = (&envelope.requests.envid, Hour::at(now)) else {
        return Vec::new();
    };
    let paths = spellings(envelope.reverse_path.clone());
    let digests = paths.filter_map(|path| envelope_id::<Sha256>(&path, envid));
    digests
        .map(|digest| Entry {
            kind: Kind::Identity,
            hour,
            digest,
        })
        .collect()
}

/// A reverse-path as it is, and in small letters, in which some hosts write addresses.
pub fn spellings(path: ReversePath) -> impl Iterator<Item = ReversePath> {
    let small = as_small(&path);
    [Some(path), small].into_iter().flatten()
}

/// The same reverse-path with its local part in small letters; none where it has no others.
fn as_small(reverse_path: &ReversePath) -> Option<ReversePath> {
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

#[cfg(test)]
mod tests {
    use vouchsafe_proto::envelope::Origin;
    use vouchsafe_proto::verify::VerdictResult;

    use super::*;

    /// Eleven o'clock.
    const NOW: u64 = 1_795_258_800;

    fn hour(number: u64) -> Hour {
        Hour::at(Wall::from_secs(NOW - 3600 * number)).unwrap()
    }

    /// What becomes of a message with this header.
    fn vouched(header: &str) -> Vouched {
        let to = ForwardPath::parse_inside("b@far.example").unwrap();
        let path = ReversePath::parse_inside("a@local.example").unwrap();
        let envelope = Envelope::plain(path, VerdictResult::Authorised, Origin::Ourselves, [to]);
        let mut vouching = Vouching::default();
        vouching.read(header.as_bytes());
        vouching.read(b"\r\nHi.\r\n");
        vouching.finish(&envelope, Wall::from_secs(NOW))
    }

    fn date(ago: u64) -> String {
        let date = Wall::from_secs(NOW - 3600 * ago).to_rfc5322();
        format!("Date: {date}\r\n")
    }

    #[test]
    fn what_cannot_be_entered_is_missed_in_each_hour_that_it_may_be_taken_to_have() {
        let malformed = format!("{}Message-ID: <1@a>\r\nno field\r\n{}", date(3), date(5));
        let several = format!("{}Message-ID: <1@a>\r\n{}", date(3), date(5));
        let folded = format!("no field\r\n{}", date(3).replacen(' ', "\r\n ", 1));
        let large = format!("To: {}\r\n{}", "a@b, ".repeat(40_000), date(3));
        for (header, hours) in [
            (malformed, vec![hour(3), hour(5), hour(0)]),
            (several, vec![hour(3), hour(5), hour(0)]),
            (folded, vec![hour(3), hour(0)]),
            (large, vec![hour(3), hour(0)]),
        ] {
            let Vouched { entries, missed } = vouched(&header);
            assert!(entries.is_empty());
            let (missed, _) = missed.unwrap();
            assert_eq!(missed, Missed::Hours(hours), "{header:.60}");
        }
        let many: String = (0..9).map(date).collect();
        for header in ["no field\r\n", "Date: soon\r\n", &many] {
            let (missed, _) = vouched(header).missed.unwrap();
            assert_eq!(missed, Missed::Everything, "{header}");
        }
    }

    #[test]
    fn a_message_without_one_name_has_a_digest_and_is_missed_all_the_same() {
        for names in [
            "",
            "Message-ID:\r\n",
            "Message-ID: <1@a>\r\nMessage-ID: <2@a>\r\n",
        ] {
            let Vouched { entries, missed } = vouched(&format!("{}{names}", date(2)));
            assert!(entries.iter().all(|entry| entry.kind == Kind::Message));
            assert_eq!((entries.len(), entries[0].hour), (1, hour(2)));
            let expected = Missed::Hours(vec![hour(2), hour(0)]);
            assert_eq!(missed, Some((expected, NotWhole::Identity)), "{names}");
        }
    }

    #[test]
    fn an_envid_is_entered_under_the_hour_in_which_it_leaves_whatever_becomes_of_the_rest() {
        let to = ForwardPath::parse_inside("b@far.example").unwrap();
        let path = ReversePath::parse_inside("Al@local.example").unwrap();
        let mut envelope =
            Envelope::plain(path, VerdictResult::Authorised, Origin::Ourselves, [to]);
        envelope.requests.envid = Some("one of ours".into());
        for (header, others) in [
            (format!("{}Message-ID: <1@a>\r\n", date(300)), 4),
            (String::from("no field\r\n"), 0),
        ] {
            let mut vouching = Vouching::default();
            vouching.read(header.as_bytes());
            vouching.read(b"\r\nHi.\r\n");
            let Vouched { entries, .. } = vouching.finish(&envelope, Wall::from_secs(NOW));
            assert_eq!(entries.len(), others + 2);
            for sender in ["Al@local.example", "al@local.example"] {
                let sender = ReversePath::parse_inside(sender).unwrap();
                let digest = envelope_id::<Sha256>(&sender, "one of  ours ").unwrap();
                let expected = Entry {
                    kind: Kind::Identity,
                    hour: hour(0),
                    digest,
                };
                assert!(entries.contains(&expected), "{header} {sender:?}");
                // Whoever asks after a Message-ID like it is told nothing of it.
                assert_ne!(
                    identity::<Sha256>(&sender, b"one of ours"),
                    Some(expected.digest)
                );
            }
        }
    }

    #[test]
    fn a_name_is_entered_as_it_stands_and_as_reports_give_it() {
        let path = ReversePath::parse_inside("a@local.example").unwrap();
        for (value, count) in [("<1@a>", 1), ("1@a", 2), ("< 1@a >", 2), ("<1@a> (one)", 2)] {
            let Vouched { entries, missed } =
                vouched(&format!("{}Message-ID: {value}\r\n", date(2)));
            assert_eq!(missed, None);
            let has = |value: &str| {
                let digest = identity::<Sha256>(&path, value.as_bytes()).unwrap();
                entries.iter().any(|entry| entry.digest == digest)
            };
            assert!(has(value) && has("<1@a>"), "{value}");
            let known = reference::<Sha256>(b"<1@a>").unwrap();
            assert!(entries.iter().any(|entry| entry.digest == known));
            assert_eq!(entries.len(), 2 + count, "{value}");
        }
    }
}
