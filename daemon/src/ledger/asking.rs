//! Asks a domain's own servers whether it sent a message (PROTOCOLS B.3).
//!
//! Promised: what is no exact answer is told as what it is, and never taken for one; an asking ends within ten seconds,
//! six for who answers and four for the question. Left to others: what is asked, and what follows.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{self, Freshness, Lookup, Name, RecordType, Records, Trouble};
use vouchsafe_proto::residue::servers::{LABEL, Report, Search};
use vouchsafe_proto::residue::{Answer, Question};

use crate::dns::{Resolver, Settings, Stub};
use crate::verify::drive;

/// How long the servers have for a question, all of them together.
const DEADLINE: Duration = Duration::from_secs(4);

/// Who asks.
pub struct Asker {
    /// Finds the servers.
    resolver: Arc<dyn Resolver>,
    /// Where servers answer.
    port: u16,
    /// They may have addresses of special use.
    special: bool,
}

/// What the servers said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer.
    Answer(Answer),
    /// None: nothing follows.
    Odd(Oddity),
}

/// What came in place of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// The question's name is too long.
    TooLong,
    /// Nothing that can be used.
    Trouble(Trouble),
    /// That there is no such name, or no text at it.
    Nothing,
    /// An alias, several texts, or one that is no answer.
    Junk,
}

impl fmt::Display for Oddity {
    fn fmt(&self, into: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => into.write_str("name too long"),
            Self::Trouble(trouble) => trouble.fmt(into),
            Self::Nothing => into.write_str("no such record"),
            Self::Junk => into.write_str("no answer that can be read"),
        }
    }
}

impl Asker {
    /// Finds servers by `resolver`, and asks them at `port`; addresses of special use only if `special`.
    pub fn new(resolver: Arc<dyn Resolver>, port: u16, special: bool) -> Self {
        Self {
            resolver,
            port,
            special,
        }
    }

    /// Who answers a question to this domain.
    pub async fn find(&self, domain: &Domain, question: &Question) -> Report {
        let search = Search::new(domain, question.branch_label(), self.special);
        drive(search, None, &self.resolver).await
    }

    /// Asks these servers, one after the other until one has answered.
    pub async fn ask(&self, domain: &Domain, question: &Question, servers: &[IpAddr]) -> Said {
        let Ok(name) = name(domain, question) else {
            return Said::Odd(Oddity::TooLong);
        };
        let at_port = |address: &IpAddr| SocketAddr::new(*address, self.port);
        let servers = servers.iter().map(at_port).collect();
        let stub = Stub::new(Settings::of_zone(servers, DEADLINE));
        let asked = dns::Question {
            name,
            kind: RecordType::Txt,
            freshness: Freshness::Fresh,
        };
        read(&stub.ask(asked).await)
    }
}

/// The name of a question.
///
/// # Errors
/// It is too long.
pub fn name(domain: &Domain, question: &Question) -> Result<Name, dns::ParseNameError> {
    let sent = Name::from(domain).child(LABEL)?;
    sent.child(&question.to_labels())
}

/// What a server's answer says.
fn read(answer: &dns::Answer) -> Said {
    match &answer.lookup {
        _ if !answer.aliases.is_empty() => Said::Odd(Oddity::Junk),
        Lookup::Found(Records::Txt(texts)) => match &texts[..] {
            [text] => Answer::parse(text).map_or(Said::Odd(Oddity::Junk), Said::Answer),
            _ => Said::Odd(Oddity::Junk),
        },
        Lookup::NoData | Lookup::NxDomain => Said::Odd(Oddity::Nothing),
        Lookup::Trouble(trouble) => Said::Odd(Oddity::Trouble(*trouble)),
        Lookup::Found(_) | Lookup::AliasLimit => Said::Odd(Oddity::Junk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vouchsafe_proto::residue::Word;

    #[test]
    fn what_is_odd_is_no_answer() {
        let texts = |all: &[&str]| {
            let all = all.iter().map(|text| text.as_bytes().into()).collect();
            dns::Answer::bare(Lookup::Found(Records::Txt(all)))
        };
        let good = "v=1 s=0 c=79aaa+150";
        let Said::Answer(answer) = read(&texts(&[good])) else {
            panic!("no answer");
        };
        assert_eq!(answer.word, Word::NotSent);
        let mut alias = texts(&[good]);
        alias.aliases.push(Name::root());
        let mut away = dns::Answer::trouble(Trouble::Refused);
        away.aliases.push(Name::root());
        for odd in [alias, away, texts(&[good, good]), texts(&["v=1 s=0"])] {
            assert_eq!(read(&odd), Said::Odd(Oddity::Junk));
        }
        let none = dns::Answer::bare(Lookup::NxDomain);
        assert_eq!(read(&none), Said::Odd(Oddity::Nothing));
        let trouble = dns::Answer::trouble(Trouble::ServFail);
        assert_eq!(
            read(&trouble),
            Said::Odd(Oddity::Trouble(Trouble::ServFail))
        );
    }
}
