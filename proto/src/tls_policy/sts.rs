//! MTA-STS (RFC 8461): what a domain's policy says, and which policy holds now.
//!
//! [`Announcement`] reads the TXT record that says there is a policy, [`Policy`] the policy itself,
//! [`consult`] decides from what is kept, what the DNS says and the time whether to use what is kept
//! or to fetch anew. Whatever goes wrong on the way, a policy that is kept and has not run out holds
//! (§3.3): else whoever keeps the DNS or the policy's host from us could switch it off.
//!
//! Left to others: asking, fetching over HTTPS, keeping (the daemon and the spool).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use crate::addr::Domain;
use crate::dns::{Answer, Lookup, Name, Records};
use crate::time::Wall;

/// Octets of a policy that are read (§3.3 advises a limit of 64 KiB).
pub const MAX_POLICY: usize = 64 << 10;

/// The longest `max_age`: about a year (§3.2).
const MAX_AGE: u64 = 31_557_600;

/// Patterns of one policy that are kept: more hosts than anybody looks up in an MX set.
const MAX_PATTERNS: usize = 200;

/// The longest `id` (§3.1).
const MAX_ID: usize = 32;

/// What is kept is fetched anew after a day at the latest, so that a change of policy is not found
/// out only when a delivery fails (§3.3 advises it).
const REFRESH: Duration = Duration::from_hours(24);

/// The `id` of the policy that a domain announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement(Box<str>);

impl Announcement {
    /// What the answer to `_mta-sts.<domain> TXT` announces; none unless it is exactly one policy.
    pub fn of(answer: &Answer) -> Option<Self> {
        let Lookup::Found(Records::Txt(texts)) = &answer.lookup else {
            return None;
        };
        let mut records = texts.iter().filter_map(|text| {
            let text = core::str::from_utf8(text).ok()?;
            let rest = text.strip_prefix("v=STSv1")?;
            let rest = rest.trim_start_matches([' ', '\t']);
            rest.strip_prefix(';')
                .or_else(|| rest.is_empty().then_some(rest))
        });
        let (Some(record), None) = (records.next(), records.next()) else {
            return None;
        };
        let mut fields = record
            .split(';')
            .map(|field| field.trim_matches([' ', '\t']));
        let id = fields.find_map(|field| field.strip_prefix("id="))?;
        let is_id = (1..=MAX_ID).contains(&id.len())
            && id.bytes().all(|octet| octet.is_ascii_alphanumeric());
        is_id.then(|| Self(id.into()))
    }

    /// As it was written.
    pub fn id(&self) -> &str {
        &self.0
    }
}

/// What a policy asks of senders (§5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No mail to a host that does not hold to it.
    Enforce,
    /// Only reports.
    Testing,
    /// Nothing: the domain takes its policy back.
    None,
}

impl Mode {
    /// The policy's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it asks.
    pub mode: Mode,
    /// For how long it holds from when it was fetched.
    pub max_age: Duration,
    /// The hosts that mail may go to.
    patterns: Vec<Pattern>,
}

/// One `mx` of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// This host.
    Host(Name),
    /// Any with one label in front of this.
    Below(Name),
}

/// Why a file is no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePolicyError {
    /// More than [`MAX_POLICY`] octets.
    #[error("longer than 64 KiB")]
    TooLong,
    /// Octets that are not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// A line that is no `key: value`.
    #[error("a line without a key")]
    Line,
    /// No `version: STSv1`.
    #[error("no version STSv1")]
    Version,
    /// No `mode`, or none that is known.
    #[error("no mode that is known")]
    Mode,
    /// No `max_age`, or none within a year.
    #[error("no max_age of up to a year")]
    MaxAge,
    /// An `mx` that is no host and no pattern of hosts, or none at all.
    #[error("no mx that names hosts")]
    Mx,
}

impl Policy {
    /// Reads a policy (§3.2). Keys that are not known are passed over; of those that may stand once
    /// the first counts.
    pub fn parse(octets: &[u8]) -> Result<Self, ParsePolicyError> {
        if octets.len() > MAX_POLICY {
            return Err(ParsePolicyError::TooLong);
        }
        let text = core::str::from_utf8(octets).map_err(|_| ParsePolicyError::NotText)?;
        let (mut version, mut mode, mut max_age) = (None, None, None);
        let mut patterns = Vec::new();
        for line in text.split('\n') {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() {
                continue;
            }
            let (key, value) = line.split_once(':').ok_or(ParsePolicyError::Line)?;
            let value = value.trim();
            match key.trim() {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if patterns.len() < MAX_PATTERNS => {
                    patterns.push(Pattern::parse(value).ok_or(ParsePolicyError::Mx)?);
                }
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(ParsePolicyError::Version);
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(ParsePolicyError::Mode),
        };
        if patterns.is_empty() && mode != Mode::None {
            return Err(ParsePolicyError::Mx);
        }
        let max_age = max_age
            .filter(|age| age.bytes().all(|octet| octet.is_ascii_digit()))
            .and_then(|age| age.parse().ok())
            .filter(|age| *age <= MAX_AGE)
            .ok_or(ParsePolicyError::MaxAge)?;
        Ok(Self {
            mode,
            max_age: Duration::from_secs(max_age),
            patterns,
        })
    }

    /// True if mail may go to this host of an MX set (§4.1).
    pub fn lists(&self, host: &Name) -> bool {
        self.patterns.iter().any(|pattern| match pattern {
            Pattern::Host(name) => name == host,
            Pattern::Below(parent) => host
                .as_str()
                .split_once('.')
                .is_some_and(|(_, rest)| rest == parent.as_str()),
        })
    }
}

impl Pattern {
    /// `host` or `*.parent`.
    fn parse(text: &str) -> Option<Self> {
        let name = |text| Domain::parse(text).ok().map(|domain| Name::from(&domain));
        match text.strip_prefix("*.") {
            Some(parent) => name(parent).map(Self::Below),
            None => name(text).map(Self::Host),
        }
    }
}

/// A policy with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What announced it.
    pub id: Box<str>,
    /// When it was fetched.
    pub fetched: Wall,
    /// What it says.
    pub policy: Policy,
}

impl Kept {
    /// When it runs out.
    pub fn expires(&self) -> Wall {
        self.fetched.plus(self.policy.max_age)
    }

    /// True as long as it holds.
    pub fn holds(&self, now: Wall) -> bool {
        now < self.expires()
    }
}

/// What to do about one domain's policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consult {
    /// What is kept holds, if anything is.
    UseKept,
    /// Fetch the policy with this announcement; without success what is kept holds, if anything is.
    Fetch(Announcement),
}

/// Decides from what is kept, which has not run out, and what the DNS says now.
pub fn consult(kept: Option<&Kept>, answer: &Answer, now: Wall) -> Consult {
    let Some(announced) = Announcement::of(answer) else {
        return Consult::UseKept;
    };
    let current = kept.is_some_and(|kept| {
        let stale = REFRESH.min(kept.policy.max_age / 2);
        *kept.id == *announced.id() && now < kept.fetched.plus(stale)
    });
    if current {
        Consult::UseKept
    } else {
        Consult::Fetch(announced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Trouble;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;

    fn txt(texts: &[&str]) -> Answer {
        let texts = texts.iter().map(|text| text.as_bytes().into());
        Answer::bare(Lookup::Found(Records::Txt(texts.collect())))
    }

    fn id(texts: &[&str]) -> Option<String> {
        Announcement::of(&txt(texts)).map(|announced| announced.id().into())
    }

    #[test]
    fn one_policy_is_announced_or_none() {
        assert_eq!(
            id(&["v=STSv1; id=20160831085700Z;"]).as_deref(),
            Some("20160831085700Z")
        );
        assert_eq!(id(&["v=STSv1;id=1"]).as_deref(), Some("1"));
        assert_eq!(id(&["v=STSv1 ; x=y; id=a1 ;"]).as_deref(), Some("a1"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1; id=1"]).as_deref(), Some("1"));
        let long = format!("v=STSv1; id={}", "a".repeat(33));
        for texts in [
            &[][..],
            &["v=STSv1"],
            &["v=STSv1;"],
            &["v=STSv1; id="],
            &["v=STSv1; id=a-b"],
            &[&long],
            &["v=STSv10; id=1"],
            &["id=1; v=STSv1"],
            &["v=STSv1; id=1", "v=STSv1; id=1"],
        ] {
            assert_eq!(id(texts), None, "{texts:?}");
        }
        assert!(Announcement::of(&Answer::trouble(Trouble::Timeout)).is_none());
    }

    #[test]
    fn a_policy_is_read_or_said_to_be_none() {
        let read = |text: &str| Policy::parse(text.as_bytes());
        let policy = read(
            "version: STSv1\r\nmode: enforce\r\nmx: mail.Example.com\r\nmx: *.example.net\r\n\
             max_age: 604800\r\nmode: none\r\nunknown: x\r\n",
        )
        .unwrap();
        assert_eq!(policy.mode, Mode::Enforce);
        assert_eq!(policy.max_age, Duration::from_hours(168));
        for (host, listed) in [
            ("mail.example.com", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            ("other.example.com", false),
            ("x.mail.example.com", false),
        ] {
            assert_eq!(policy.lists(&Name::parse(host).unwrap()), listed, "{host}");
        }
        assert!(read("version:STSv1\nmode:none\nmax_age:0").is_ok());
        for (text, why) in [
            ("", ParsePolicyError::Version),
            (
                "version: STSv2\nmode: none\nmax_age: 1",
                ParsePolicyError::Version,
            ),
            (
                "version: STSv1\nmode: on\nmax_age: 1",
                ParsePolicyError::Mode,
            ),
            (
                "version: STSv1\nmode: testing\nmax_age: 1",
                ParsePolicyError::Mx,
            ),
            (
                "version: STSv1\nmode: enforce\nmx: a b\nmax_age: 1",
                ParsePolicyError::Mx,
            ),
            (
                "version: STSv1\nmode: enforce\nmx: *\nmax_age: 1",
                ParsePolicyError::Mx,
            ),
            ("version: STSv1\nmode: none", ParsePolicyError::MaxAge),
            (
                "version: STSv1\nmode: none\nmax_age: +1",
                ParsePolicyError::MaxAge,
            ),
            (
                "version: STSv1\nmode: none\nmax_age: 31557601",
                ParsePolicyError::MaxAge,
            ),
            ("<html>", ParsePolicyError::Line),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(Policy::parse(b"\xff"), Err(ParsePolicyError::NotText));
        let long = vec![b'\n'; MAX_POLICY + 1];
        assert_eq!(Policy::parse(&long), Err(ParsePolicyError::TooLong));
    }

    #[test]
    fn what_is_kept_holds_until_another_is_fetched() {
        let policy = Policy::parse(b"version: STSv1\nmode: enforce\nmx: a.b\nmax_age: 604800");
        let start = Wall::default();
        let kept = Kept {
            id: "1".into(),
            fetched: start,
            policy: policy.unwrap(),
        };
        let at = |hours| start.plus(Duration::from_hours(hours));
        let (same, other) = (txt(&["v=STSv1; id=1"]), txt(&["v=STSv1; id=2"]));
        let decide = |kept, answer: &Answer, hours| match consult(kept, answer, at(hours)) {
            Consult::UseKept => "kept",
            Consult::Fetch(_) => "fetch",
        };
        for (answer, hours, wanted) in [
            (&same, 1, "kept"),
            (&same, 25, "fetch"),
            (&other, 1, "fetch"),
            (&txt(&["v=spf1 -all"]), 1, "kept"),
            (&Answer::bare(Lookup::NxDomain), 25, "kept"),
            (&Answer::trouble(Trouble::Bogus), 25, "kept"),
        ] {
            assert_eq!(decide(Some(&kept), answer, hours), wanted, "{answer:?}");
        }
        assert_eq!(decide(None, &same, 0), "fetch");
        assert_eq!(decide(None, &Answer::bare(Lookup::NoData), 0), "kept");
        assert!(kept.holds(at(167)) && !kept.holds(at(168)));
    }
}
