//! How a domain says that it answers (PROTOCOLS B.3):
//! `_sent.<domain> TXT "v=vouch1 h=sha256-128 b=24 w=336 l=80 p=none"`.
//!
//! Promised: an offer that is not understood in every respect is none; then nothing follows for the domain. Unknown
//! tags are passed over, so that some can be added.

use alloc::format;
use alloc::string::String;

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
