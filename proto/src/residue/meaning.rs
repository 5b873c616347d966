//! What a domain's answers about one message come to (PROTOCOLS B.5), as far as they alone say it.
//!
//! Promised: only "not sent" from everyone asked, about the message and about its identity, comes to
//! [`Meaning::NotSent`]; whatever is missing or odd makes it unknown. Left to others: how often it is asked before that
//! counts, what the domain wants then, and what other evidence says.

use super::Word;

/// What the answers come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The domain sent it, to all of these recipients' domains.
    Sent,
    /// The domain sent it, to some of them.
    SentToSome,
    /// It sent a message of this name, but not this one to these: it was altered on its way, or sent elsewhere.
    Altered,
    /// It did not send it.
    NotSent,
    /// That is not known.
    Unknown,
}

impl Meaning {
    /// Of the answers about the message, one a recipient's domain, and the one about its identity; none where there was
    /// no answer, or no question.
    pub fn of(messages: &[Option<Word>], identity: Option<Word>) -> Self {
        let is = |word| move |answer: &&Option<Word>| **answer == Some(word);
        let sent = messages.iter().filter(is(Word::Sent)).count();
        let not_sent = messages.iter().filter(is(Word::NotSent)).count();
        if messages.is_empty() {
            return Self::Unknown;
        }
        if sent == messages.len() {
            return Self::Sent;
        }
        if sent > 0 {
            return Self::SentToSome;
        }
        match identity {
            Some(Word::Sent) => Self::Altered,
            Some(Word::NotSent) if not_sent == messages.len() => Self::NotSent,
            _ => Self::Unknown,
        }
    }

    /// The stable word, for logs and commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::SentToSome => "sent_to_some",
            Self::Altered => "altered",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_word_from_everyone_counts_against() {
        let (yes, no, unknown) = (Some(Word::Sent), Some(Word::NotSent), Some(Word::Unknown));
        for (messages, identity, expected) in [
            (&[][..], no, Meaning::Unknown),
            (&[yes], None, Meaning::Sent),
            (&[yes, yes], no, Meaning::Sent),
            (&[yes, no], no, Meaning::SentToSome),
            (&[None, yes], no, Meaning::SentToSome),
            (&[no], yes, Meaning::Altered),
            (&[None], yes, Meaning::Altered),
            (&[no, no], no, Meaning::NotSent),
            (&[no, unknown], no, Meaning::Unknown),
            (&[no, None], no, Meaning::Unknown),
            (&[no], unknown, Meaning::Unknown),
            (&[no], None, Meaning::Unknown),
        ] {
            assert_eq!(
                Meaning::of(messages, identity),
                expected,
                "{messages:?} {identity:?}"
            );
        }
    }
}
