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
use vouchsafe_proto::residue::servers::{LABEL, Report, Search, Servers};
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
    /// On whose account they are looked for.
    client: Option<IpAddr>,
}

/// What the servers said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// An answer.
    Answer(Answer),
    /// None: nothing follows.
    Odd(Oddity),
}

/// What was heard, and of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// It.
    pub said: Said,
    /// The server; none where no server gave a definite answer.
    pub server: Option<IpAddr>,
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
            client: None,
        }
    }

    /// The same on account of this client, whose message makes us ask.
    #[must_use]
    pub const fn on_account_of(mut self, client: IpAddr) -> Self {
        self.client = Some(client);
        self
    }

    /// Who answers a question to this domain, in the order of this seed ([`Secret::seed`](super::Secret::seed)).
    pub async fn find(&self, domain: &Domain, question: &Question, seed: u64) -> Report {
        let search = Search::new(domain, question.branch_label(), self.special, seed);
        drive(search, self.client, &self.resolver).await
    }

    /// Asks these servers, one after the other until one has answered.
    pub async fn ask(&self, domain: &Domain, question: &Question, servers: &Servers) -> Heard {
        self.ask_at(domain, question, servers.addresses()).await
    }

    async fn ask_at(&self, domain: &Domain, question: &Question, servers: Vec<IpAddr>) -> Heard {
        let Ok(name) = name(domain, question) else {
            return Heard {
                said: Said::Odd(Oddity::TooLong),
                server: None,
            };
        };
        // As many at a time as for the resolver: a flood of claims or messages must not use up what sessions need.
        let _turn = self.resolver.turn_for(self.client).await;
        let at_port = |address| SocketAddr::new(address, self.port);
        let servers = servers.into_iter().map(at_port).collect();
        let stub = Stub::new(Settings::of_zone(servers, DEADLINE));
        let asked = dns::Question {
            name,
            kind: RecordType::Txt,
            freshness: Freshness::Fresh,
        };
        let (answer, server) = stub.ask_once(&asked).await;
        Heard {
            said: read(&answer),
            server: server.map(|server| server.ip()),
        }
    }

    /// Asks the same question again, of other hosts: what `first` has said is to be confirmed by another (PROTOCOLS B.5).
    /// `None` where there is no other.
    pub async fn ask_another(
        &self,
        domain: &Domain,
        question: &Question,
        servers: &Servers,
        first: IpAddr,
    ) -> Option<Heard> {
        let others = servers.apart_from(first);
        if others.is_empty() {
            return None;
        }
        Some(self.ask_at(domain, question, others).await)
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
    use std::net::Ipv4Addr;

    use vouchsafe_proto::residue::{Digest, Hours, Kind, Residues, Width, Word};

    use super::*;
    use crate::dns::authority::{Authority, Zones};

    #[tokio::test]
    async fn another_server_is_asked_the_same_again() {
        let digest = Digest::new(0x0049_d26a);
        let residues = Residues::of(digest, Width::Bits64, &[u64::MAX - 58]).unwrap();
        let question = Question::new(Kind::Message, Hours::Window, digest.index(), residues);
        let question = question.unwrap();
        let domain = Domain::parse("example.org").unwrap();
        let name = name(&domain, &question).unwrap();
        let zone = |said| format!("zone example.org\n{name} TXT \"v=1 s={said} c=79aaa+150\"\n");
        let zones = |said| Zones::parse(&zone(said)).unwrap();
        let one = Authority::start((Ipv4Addr::LOCALHOST, 0).into(), zones(0));
        let one = one.await.unwrap();
        let port = one.address().port();
        let second = Ipv4Addr::new(127, 0, 0, 2);
        let two = Authority::start((second, port).into(), zones(1));
        let _two = two.await.unwrap();
        let at: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), second.into()];
        let host = |name: &str| Name::parse(name).unwrap();
        let servers = |names: [&str; 2]| {
            let each = at.iter().zip(names);
            Servers::new(each.map(|(at, name)| (*at, host(name))).collect())
        };
        let two_hosts = servers(["ns1.example.org", "ns2.example.org"]);
        let resolver = Arc::new(Stub::new(Settings::new(Vec::new())));
        let asker = Asker::new(resolver, port, true);
        let word = |heard: Heard| match heard.said {
            Said::Answer(answer) => Some(answer.word),
            Said::Odd(_) => None,
        };
        let heard = asker.ask(&domain, &question, &two_hosts).await;
        assert_eq!(heard.server, Some(at[0]));
        assert_eq!(word(heard), Some(Word::NotSent));
        let again = |servers| asker.ask_another(&domain, &question, servers, heard.server.unwrap());
        let heard = again(&two_hosts).await.unwrap();
        assert_eq!(heard.server, Some(at[1]));
        assert_eq!(word(heard), Some(Word::Sent));
        // Another address of the same host is no other server.
        let one_host = servers(["ns1.example.org", "ns1.example.org"]);
        assert_eq!(again(&one_host).await, None);
    }

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
