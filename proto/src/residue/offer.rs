//! How a domain says that it answers (PROTOCOLS B.3):
//! `_sent.<domain> TXT "v=vouch1 h=sha256-128 b=24 w=336 l=80 p=none"`.
//!
//! Promised: an offer that is not understood in every respect is none; then nothing follows for the domain. Unknown
//! tags are passed over, so that some can be added.

use alloc::format;
use alloc::string::String;

use super::{Hour, Residues};

/// What a domain offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Hours that it answers for, the newest ones.
    pub window: u16,
    /// Bits that a question is to reveal at least.
    pub least_revealed: u32,
    /// What it wants done with mail that it did not send.
    pub policy: Policy,
}

/// What a domain wants done with mail that it says it did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Nothing.
    None,
    /// That it be refused.
    Reject,
}

/// Why a domain's offer leaves a question out: it is not to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It reveals too little. Asking by more moduli would tell the domain too much of a message that is not its own.
    #[error("it answers only questions that reveal {0} bits")]
    Reveals(u32),
    /// The message is too old.
    #[error("it answers only for the last {0} hours")]
    TooOld(u16),
}

/// What stands first.
const VERSION: &str = "v=vouch1";

impl Offer {
    /// The text of the record.
    pub fn to_text(self) -> String {
        let policy = match self.policy {
            Policy::None => "none",
            Policy::Reject => "reject",
        };
        format!(
            "{VERSION} h=sha256-128 b=24 w={} l={} p={policy}",
            self.window, self.least_revealed
        )
    }

    /// Whether a question by these residues, about a message of this hour, is one that is answered.
    ///
    /// # Errors
    /// It is not: it is not to be asked.
    pub fn answers(&self, residues: &Residues, hour: Hour, now: Hour) -> Result<(), Unanswered> {
        if residues.revealed() < self.least_revealed {
            return Err(Unanswered::Reveals(self.least_revealed));
        }
        if now.number().saturating_sub(hour.number()) > u32::from(self.window) {
            return Err(Unanswered::TooOld(self.window));
        }
        Ok(())
    }

    /// Reads the TXT records at `_sent.<domain>`, each with its strings joined. `None` without just one that begins as
    /// an offer does, and is one.
    pub fn of_records<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut offers = records
            .into_iter()
            .filter_map(|record| core::str::from_utf8(record).ok())
            .filter(|text| text.split(' ').next() == Some(VERSION));
        let only = offers.next()?;
        if offers.next().is_some() {
            return None;
        }
        Self::parse(only)
    }

    fn parse(text: &str) -> Option<Self> {
        let tags = || text.split(' ').filter(|tag| !tag.is_empty());
        let value = |name| {
            let mut values = tags()
                .filter_map(|tag| tag.split_once('='))
                .filter(|tag| tag.0 == name);
            match (values.next(), values.next()) {
                (Some((_, value)), None) => Ok(Some(value)),
                (None, _) => Ok(None),
                (Some(_), Some(_)) => Err(()),
            }
        };
        let is_known = value("h").ok()?? == "sha256-128" && value("b").ok()?? == "24";
        let policy = match value("p").ok()? {
            Some("reject") => Policy::Reject,
            // A wish that is not understood is none.
            None | Some(_) => Policy::None,
        };
        let offer = Self {
            window: decimal(value("w").ok()??)?,
            least_revealed: u32::from(decimal(value("l").ok()??)?),
            policy,
        };
        is_known.then_some(offer)
    }
}

/// A number that `u16` holds, in digits alone.
fn decimal(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::residue::{Digest, Width};

    fn read(records: &[&str]) -> Option<Offer> {
        Offer::of_records(records.iter().map(|text| text.as_bytes()))
    }

    #[test]
    fn an_offer_is_read_as_it_is_written() {
        for policy in [Policy::None, Policy::Reject] {
            let offer = Offer {
                window: 336,
                least_revealed: 80,
                policy,
            };
            assert_eq!(read(&[&offer.to_text()]), Some(offer));
        }
        let offer = Offer {
            window: 24,
            least_revealed: 90,
            policy: Policy::None,
        };
        for text in [
            "v=vouch1 b=24  l=90 h=sha256-128 w=24 x=y z",
            "v=vouch1 h=sha256-128 b=24 w=24 l=90 p=quarantine",
        ] {
            assert_eq!(read(&["v=spf1 -all", text]), Some(offer), "{text}");
        }
    }

    #[test]
    fn what_an_offer_leaves_out_is_not_to_be_asked() {
        let residues = |moduli: &[u64]| Residues::of(Digest::new(1), Width::Bits64, moduli);
        let one = residues(&[u64::MAX - 58]).unwrap();
        let least = residues(&[(1 << 63) + 29]).unwrap();
        let hour = |number| Hour::new(number).unwrap();
        let offer = |window, least_revealed| Offer {
            window,
            least_revealed,
            policy: Policy::None,
        };
        assert_eq!((one.revealed(), least.revealed()), (87, 87));
        for (least_revealed, window, now, expected) in [
            (80, 336, 1000, Ok(())),
            (87, 336, 1000, Ok(())),
            (0, 336, 1336, Ok(())),
            (88, 336, 1000, Err(Unanswered::Reveals(88))),
            (80, 336, 1337, Err(Unanswered::TooOld(336))),
            (80, 0, 1001, Err(Unanswered::TooOld(0))),
            (80, 0, 1000, Ok(())),
            // A date in the future is another matter.
            (80, 336, 900, Ok(())),
        ] {
            let given = offer(window, least_revealed).answers(&one, hour(1000), hour(now));
            assert_eq!(given, expected, "{least_revealed} {window} {now}");
        }
    }

    #[test]
    fn what_is_not_understood_is_none() {
        let offer = "v=vouch1 h=sha256-128 b=24 w=336 l=80 p=reject";
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[offer, offer]), None);
        for (from, to) in [
            ("v=vouch1", "v=vouch2"),
            ("v=vouch1 ", " v=vouch1 "),
            ("sha256-128", "md5"),
            ("b=24", "b=16"),
            ("b=24 ", ""),
            ("w=336", "w=-1"),
            ("w=336", "w=+1"),
            ("w=336", "w="),
            ("w=336", "w=65536"),
            ("l=80", "l=80 l=80"),
            ("l=80", "l=e"),
        ] {
            assert_eq!(read(&[&offer.replace(from, to)]), None, "{to}");
        }
        assert_eq!(Offer::of_records([&b"v=vouch1 \xff"[..]]), None);
    }
}
