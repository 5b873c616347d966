//! Which questions are asked about one message, and what the answers come to (PROTOCOLS B.5), as far as they alone say it.
//!
//! First it is asked whether the message was sent to the recipients' domains. If it was to none, whether it was sent
//! elsewhere: to a forwarder that a recipient has declared, or to those that it names. If to nobody, whether there is a
//! message of its identity at all. Six questions are asked at most, one of which is left for asking again.
//!
//! Promised: only "not sent" to every question comes to [`Meaning::NotSent`]; whatever is missing or odd makes it
//! unknown. Left to others: digests and names, who answers, how often it is asked before "not sent" counts, what the
//! domain wants then, and what other evidence says.

use alloc::vec::Vec;

use super::Word;
use crate::addr::Domain;

/// Questions asked about a message: each tells the domain that it came, and costs its servers something.
pub const MOST_QUESTIONS: usize = 6;

/// Of them, those about the recipients' domains.
const MOST_RECIPIENTS: usize = 4;

/// Of them, those that are left for its identity, and for asking again.
const LEFT: usize = 2;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The message, as it would have been sent to this domain.
    Message(Domain),
    /// Its reverse-path and Message-ID.
    Identity,
}

/// What the answers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The domain sent it, to all of the recipients' domains: the reverse-path is proven.
    Sent,
    /// It sent it to some of them.
    SentToSome,
    /// It sent it to this domain, and from there it came here: it is the domain's own message.
    SentElsewhere(Domain),
    /// It sent a message of this name, but not this one: it was altered on its way, or sent where nobody asked.
    Altered,
    /// It did not send it.
    NotSent,
    /// That is not known.
    Unknown,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// These are to be asked, all at the same time, and all their answers given.
    Ask(Vec<About>),
    /// That is all.
    Done(Meaning),
}

/// Asking about one message.
#[derive(Debug)]
pub struct Inquiry {
    recipients: Vec<Domain>,
    elsewhere: Vec<Domain>,
    /// Of the questions, those that were spent before.
    spent: usize,
    stage: Stage,
    /// Every answer so far was "not sent".
    nowhere: bool,
}

/// What is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Recipients,
    Elsewhere,
    Identity,
}

impl Meaning {
    /// The stable word, for logs and commands.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::SentToSome => "sent_to_some",
            Self::SentElsewhere(_) => "sent_elsewhere",
            Self::Altered => "altered",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }
}

impl Inquiry {
    /// About a message for these recipients' domains, which may have come by way of those `elsewhere`, the likeliest
    /// first.
    pub fn new(recipients: &[Domain], elsewhere: &[Domain]) -> Self {
        let recipients = each_once(recipients, &[]);
        let elsewhere = each_once(elsewhere, &recipients);
        let all = Self {
            recipients,
            elsewhere,
            spent: 0,
            stage: Stage::Recipients,
            nowhere: true,
        };
        all.after(0)
    }

    /// The same when so many questions were spent before it begins: others are left out for them.
    #[must_use]
    pub fn after(mut self, spent: usize) -> Self {
        self.spent = spent;
        let left = self.left().saturating_sub(self.recipients.len());
        self.elsewhere.truncate(left);
        self
    }

    /// Questions about the message for domains, of any kind.
    const fn left(&self) -> usize {
        MOST_QUESTIONS
            .saturating_sub(LEFT)
            .saturating_sub(self.spent)
    }

    /// The first questions.
    pub fn begin(&self) -> Next {
        if self.recipients.is_empty() {
            return Next::Done(Meaning::Unknown);
        }
        let most = MOST_RECIPIENTS.min(self.left());
        let asked = self.recipients.iter().take(most);
        Next::Ask(asked.cloned().map(About::Message).collect())
    }

    /// Takes the answers to the questions that were asked last, in their order; none where there was no answer.
    pub fn answered(&mut self, words: &[Option<Word>]) -> Next {
        let nowhere = self.nowhere;
        self.nowhere &= words.iter().all(|word| *word == Some(Word::NotSent));
        let sent = |word: &Option<Word>| *word == Some(Word::Sent);
        match self.stage {
            Stage::Recipients => {
                // Of recipients that were not asked about nothing is known.
                if words.len() == self.recipients.len() && words.iter().all(sent) {
                    return Next::Done(Meaning::Sent);
                }
                if words.iter().any(sent) {
                    return Next::Done(Meaning::SentToSome);
                }
                self.ask_elsewhere()
            }
            Stage::Elsewhere => {
                let found = self
                    .elsewhere
                    .iter()
                    .zip(words)
                    .find(|(_, word)| sent(word));
                match found {
                    Some((domain, _)) => Next::Done(Meaning::SentElsewhere(domain.clone())),
                    None => self.ask_identity(),
                }
            }
            Stage::Identity => Next::Done(match words {
                [Some(Word::Sent)] if nowhere => Meaning::Altered,
                [Some(Word::NotSent)] if nowhere => Meaning::NotSent,
                _ => Meaning::Unknown,
            }),
        }
    }

    fn ask_elsewhere(&mut self) -> Next {
        if self.elsewhere.is_empty() {
            return self.ask_identity();
        }
        self.stage = Stage::Elsewhere;
        Next::Ask(self.elsewhere.iter().cloned().map(About::Message).collect())
    }

    fn ask_identity(&mut self) -> Next {
        self.stage = Stage::Identity;
        Next::Ask(alloc::vec![About::Identity])
    }
}

/// Each domain once, in their order, but for those that are known already.
fn each_once(domains: &[Domain], known: &[Domain]) -> Vec<Domain> {
    let mut all: Vec<Domain> = Vec::new();
    for domain in domains {
        if !known.contains(domain) && !all.contains(domain) {
            all.push(domain.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    const YES: Option<Word> = Some(Word::Sent);
    const NO: Option<Word> = Some(Word::NotSent);
    const UNKNOWN: Option<Word> = Some(Word::Unknown);

    fn domains(names: &str) -> Vec<Domain> {
        names
            .split_whitespace()
            .map(|name| Domain::parse(name).unwrap())
            .collect()
    }

    /// Plays an inquiry whose every wave is answered by these words; gives what was asked, and the end.
    fn play(recipients: &str, elsewhere: &str, waves: &[&[Option<Word>]]) -> (String, Meaning) {
        let mut inquiry = Inquiry::new(&domains(recipients), &domains(elsewhere));
        let mut next = inquiry.begin();
        let mut waves = waves.iter();
        let mut asked = Vec::new();
        loop {
            match next {
                Next::Done(meaning) => return (asked.join("; "), meaning),
                Next::Ask(about) => {
                    let names = about.iter().map(|about| match about {
                        About::Message(domain) => domain.as_ascii(),
                        About::Identity => "id",
                    });
                    asked.push(names.collect::<Vec<_>>().join(" "));
                    let words = waves.next().expect("words for each wave");
                    assert_eq!(words.len(), about.len(), "{asked:?}");
                    next = inquiry.answered(words);
                }
            }
        }
    }

    /// Recipients, others, words, what is asked, what it comes to.
    type Row<'a> = (&'a str, &'a str, &'a [&'a [Option<Word>]], &'a str, Meaning);

    #[test]
    fn what_is_asked_follows_from_what_was_answered() {
        let elsewhere = |name| Meaning::SentElsewhere(Domain::parse(name).unwrap());
        let rows: &[Row<'_>] = &[
            ("", "x.example", &[], "", Meaning::Unknown),
            ("a.example", "", &[&[YES]], "a.example", Meaning::Sent),
            (
                "a.example A.example",
                "",
                &[&[YES]],
                "a.example",
                Meaning::Sent,
            ),
            (
                "a.example b.example",
                "",
                &[&[YES, YES]],
                "a.example b.example",
                Meaning::Sent,
            ),
            (
                "a.example b.example",
                "x.example",
                &[&[NO, YES]],
                "a.example b.example",
                Meaning::SentToSome,
            ),
            (
                "a.example b.example",
                "",
                &[&[None, YES]],
                "a.example b.example",
                Meaning::SentToSome,
            ),
            (
                "a.example",
                "x.example",
                &[&[NO], &[YES]],
                "a.example; x.example",
                elsewhere("x.example"),
            ),
            (
                "a.example",
                "x.example y.example",
                &[&[UNKNOWN], &[None, YES]],
                "a.example; x.example y.example",
                elsewhere("y.example"),
            ),
            (
                "a.example",
                "x.example",
                &[&[NO], &[NO], &[YES]],
                "a.example; x.example; id",
                Meaning::Altered,
            ),
            (
                "a.example",
                "x.example",
                &[&[NO], &[NO], &[NO]],
                "a.example; x.example; id",
                Meaning::NotSent,
            ),
            (
                "a.example",
                "a.example",
                &[&[NO], &[NO]],
                "a.example; id",
                Meaning::NotSent,
            ),
        ];
        for (recipients, others, waves, asked, meaning) in rows {
            let played = play(recipients, others, waves);
            assert_eq!(
                played,
                (String::from(*asked), meaning.clone()),
                "{recipients} {others}"
            );
        }
    }

    #[test]
    fn what_was_spent_before_leaves_fewer_to_ask() {
        let recipients = domains("a.example b.example c.example d.example");
        let elsewhere = domains("w.example x.example y.example z.example");
        for (count, spent) in [(1, 0), (1, 1), (3, 1), (4, 0), (4, 1)] {
            let recipients = &recipients[..count];
            let mut inquiry = Inquiry::new(recipients, &elsewhere).after(spent);
            let mut asked = spent;
            let mut next = inquiry.begin();
            while let Next::Ask(about) = next {
                asked += about.len();
                next = inquiry.answered(&alloc::vec![NO; about.len()]);
            }
            // One is left for asking again, and none is left unused.
            assert_eq!((asked, next), (5, Next::Done(Meaning::NotSent)), "{count}");
        }
    }

    #[test]
    fn only_the_same_word_from_every_question_counts_against() {
        for words in [
            [NO, NO, NO],
            [UNKNOWN, NO, NO],
            [NO, UNKNOWN, NO],
            [NO, NO, UNKNOWN],
            [None, NO, NO],
            [NO, None, NO],
            [NO, NO, None],
        ] {
            let [to_us, other, identity] = words;
            let (_, meaning) = play("a.example", "x.example", &[&[to_us], &[other], &[identity]]);
            let all = words.iter().all(|word| *word == NO);
            assert_eq!(meaning == Meaning::NotSent, all, "{words:?}");
            assert!(all || meaning == Meaning::Unknown);
        }
    }

    #[test]
    fn no_more_than_six_are_asked_and_not_all_may_prove() {
        let many = "a.example b.example c.example d.example e.example";
        let (asked, meaning) = play(many, "x.example", &[&[YES; 4]]);
        assert_eq!(asked, "a.example b.example c.example d.example");
        assert_eq!(
            meaning,
            Meaning::SentToSome,
            "of the fifth nothing is known"
        );
        let (asked, _) = play("a.example", many, &[&[NO], &[NO; 3], &[NO]]);
        assert_eq!(asked, "a.example; b.example c.example d.example; id");
        let (asked, _) = play(
            "a.example b.example",
            "x.example y.example z.example",
            &[&[NO; 2], &[NO; 2], &[NO]],
        );
        assert_eq!(asked, "a.example b.example; x.example y.example; id");
    }
}
