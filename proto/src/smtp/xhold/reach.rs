//! What a positive reply to RCPT tells of a held path: where it ends, and how many hops away. It is all that
//! is told: no names, no addresses.

use core::fmt;

use super::{MAX_HOPS, hops};

/// Where a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// At the mailbox: its store has taken the recipient.
    Mailbox,
    /// At a host that does not speak of what is behind it: its word is its own.
    Edge,
    /// In a queue on the way.
    Stored,
}

/// How far a path goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Where it ends.
    pub end: End,
    /// Hops behind whoever says it.
    pub hops: u8,
}

impl Reach {
    /// Reads the text of a next hop's reply; none if it does not say both.
    pub fn read(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut words = text.split_ascii_whitespace();
            words.find_map(|word| word.strip_prefix(name))
        };
        let end = match value("end=")? {
            "mailbox" => End::Mailbox,
            "edge" => End::Edge,
            "stored" => End::Stored,
            _ => return None,
        };
        let hops = hops(value("hops=")?)?;
        Some(Self { end, hops })
    }

    /// The same path as it is one hop earlier.
    #[must_use]
    pub fn before(self) -> Self {
        Self {
            hops: self.hops.saturating_add(1).min(MAX_HOPS),
            ..self
        }
    }
}

/// `end=edge hops=2`.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match self.end {
            End::Mailbox => "mailbox",
            End::Edge => "edge",
            End::Stored => "stored",
        };
        write!(f, "end={end} hops={}", self.hops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn what_is_said_of_a_path_is_read_and_nothing_is_guessed() {
        for end in [End::Mailbox, End::Edge, End::Stored] {
            for hops in [0, 1, MAX_HOPS] {
                let reach = Reach { end, hops };
                assert_eq!(Reach::read(&reach.to_string()), Some(reach));
                assert!(reach.before().hops <= MAX_HOPS);
            }
        }
        let reach = Reach::read("ok, end=mailbox for now hops=3");
        let before = reach.unwrap().before();
        assert_eq!((before.end, before.hops), (End::Mailbox, 4));
        for text in [
            "",
            "ok",
            "end=edge",
            "hops=1",
            "end=sea hops=1",
            "end=edge hops=17",
        ] {
            assert_eq!(Reach::read(text), None, "{text}");
        }
    }
}
