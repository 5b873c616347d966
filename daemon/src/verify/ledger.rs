//! Did you send this? Asks the domain of a reverse-path about a message that lies in a draft (PROTOCOLS B.5).
//!
//! Promises: ten seconds at most for all of it, whatever the domain's servers do; what is late, odd or missing is no
//! answer; the same message gets the same questions; alarm is given of what a listed relay brings and its domain did not
//! send. What was said of a message that may come again is kept in memory, within bounds.
//!
//! Leaves to others: what is asked, how often, and what it means (proto); the questions themselves (`exchange`,
//! `crate::ledger`); what is claimed before the message comes (`claim`).

mod claim;
mod exchange;

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tracing::{error, info};
use vouchsafe_proto::addr::{Domain, ForwardPath, ReversePath};
use vouchsafe_proto::residue::covered::Covered;
use vouchsafe_proto::residue::covered::Hasher as _;
use vouchsafe_proto::residue::inquiry::About;
use vouchsafe_proto::residue::{Digest, Kind, Offer, Word};
use vouchsafe_proto::verify::ledger::course::{Course, Heard, Move};
use vouchsafe_proto::verify::ledger::{Asked, Claimed, Finding, Memory, NotAsked, Report, When};
use vouchsafe_proto::verify::{Verdict, VerdictResult};

use self::exchange::{Exchange, Reply};
use super::{Verifier, lock};
use crate::config::Config;
use crate::ledger::{Secret, Sha256};
use crate::metrics::figures;
use crate::together::Together;
use crate::{chance, clock, log};

/// Time for all questions about a message.
const DEADLINE: Duration = Duration::from_secs(10);

/// Domains of To and Cc that are looked at: more than are asked about, since some are the recipients'.
const MOST_ADDRESSEES: usize = 16;

/// How ledgers are asked.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Which.
    pub when: When,
    /// Servers may have addresses of special use.
    pub special: bool,
    /// Where servers answer.
    pub port: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            when: When::default(),
            special: false,
            port: 53,
        }
    }
}

impl Settings {
    /// What the configuration makes of it.
    pub const fn of(config: &Config) -> Self {
        let verify = &config.verify;
        Self {
            when: match (verify.ledger, verify.audit) {
                (false, _) => When::Never,
                (true, false) => When::Unproven,
                (true, true) => When::Always,
            },
            special: verify.special_use,
            port: config.dns.authority_port,
        }
    }
}

/// What asking rests on.
pub struct Asking {
    /// What the questions' primes follow from.
    secret: Secret,
    memory: Mutex<Memory>,
}

impl Default for Asking {
    /// With a secret that ends with this process.
    fn default() -> Self {
        // Without randomness nothing else here works either.
        let drawn = chance::octets::<32>().unwrap_or_default();
        Self::new(Secret::new(&drawn))
    }
}

impl Asking {
    /// That remembers nothing yet.
    pub fn new(secret: Secret) -> Self {
        Self {
            secret,
            memory: Mutex::default(),
        }
    }
}

/// A message that a domain is asked about.
pub struct Message<'a> {
    /// What of it is covered.
    pub covered: Result<Covered, NotAsked>,
    /// MAIL FROM's argument.
    pub reverse_path: &'a ReversePath,
    /// Those accepted.
    pub recipients: &'a [ForwardPath],
    /// Who gave it.
    pub client: IpAddr,
}

/// One asking.
struct Round<'a> {
    exchange: Exchange<'a>,
    covered: &'a Covered,
    reverse_path: &'a ReversePath,
    /// What was heard at MAIL of the message that was claimed, as long as that still counts.
    claimed: Option<&'a Claimed>,
}

/// What came of one question.
struct Outcome {
    asked: Asked,
    /// What the domain offers now.
    offer: Option<Offer>,
}

impl Outcome {
    fn heard(&self) -> Heard {
        Heard {
            word: self.asked.word,
            server: self.asked.server,
        }
    }
}

/// Whose domains are asked about.
struct Whom {
    recipients: Vec<Domain>,
    elsewhere: Vec<Domain>,
}

impl Verifier {
    /// The verdict with what the domain's ledger says of a message, and whether that is cause for alarm.
    pub async fn ask_ledger(&self, verdict: &Verdict, message: Message<'_>) -> (Verdict, bool) {
        let Some(known) = verdict.ledger() else {
            return (verdict.clone(), false);
        };
        let report = match self.questions(known, &message) {
            Ok((round, whom)) => self.go_through(known, round, whom, message.client).await,
            Err(why) => known.with(Finding::NotAsked(why), Vec::new(), None),
        };
        tell(&report);
        let judged = verdict.with_ledger(report);
        let alarms = alarm(verdict, &judged, message.client);
        (judged, alarms)
    }

    /// What is to be asked, or why nothing is.
    fn questions<'a>(
        &'a self,
        known: &'a Report,
        message: &'a Message<'_>,
    ) -> Result<(Round<'a>, Whom), NotAsked> {
        let policy = self.policy.load();
        let covered = message.covered.as_ref().map_err(|why| *why)?;
        let hour = covered.hour().map_err(|_| NotAsked::NoDate)?;
        let named = message.recipients.iter().filter_map(ForwardPath::domain);
        let mut recipients: Vec<_> = named.cloned().collect();
        // A message is known again in whichever order its recipients come.
        recipients.sort_unstable();
        recipients.dedup();
        if recipients.is_empty() {
            return Err(NotAsked::NoRecipient);
        }
        let declared = message.recipients.iter();
        let declared = declared.flat_map(|recipient| policy.forwarders.of(recipient));
        let mut elsewhere: Vec<_> = declared.collect();
        elsewhere.extend(covered.addressees(MOST_ADDRESSEES));
        let exchange = Exchange::new(self, &known.domain, hour, message.client);
        let round = Round {
            exchange: exchange.ok_or(NotAsked::Trouble)?,
            covered,
            reverse_path: message.reverse_path,
            claimed: known.claimed.as_ref(),
        };
        let whom = Whom {
            recipients,
            elsewhere,
        };
        Ok((round, whom))
    }

    /// Asks until it is known what it comes to, and remembers that.
    async fn go_through(
        &self,
        known: &Report,
        round: Round<'_>,
        whom: Whom,
        client: IpAddr,
    ) -> Report {
        let Some(number) = round.number(&whom) else {
            return known.with(Finding::NotAsked(NotAsked::NoDigest), Vec::new(), None);
        };
        let memory = &self.asking.memory;
        let mut before = lock(memory).before((number, client), clock::mono());
        let is_claimed = round.is_claimed(&whom.recipients);
        if is_claimed {
            before = before.retracted();
        }
        let is_ahead = round.exchange.hour > round.exchange.now;
        let terms = (known.offer.policy, is_ahead);
        // A question that has come to nothing was one too many: it costs one about this message.
        let spent = usize::from(known.claimed.is_some() && !is_claimed);
        let course = Course::new(&whom.recipients, &whom.elsewhere, terms, before);
        let mut course = course.after(spent);
        let (mut asked, mut offer) = (Vec::new(), None);
        let mut next = course.begin();
        let finding = loop {
            let outcomes = match next {
                Move::Done(finding) => break finding,
                Move::Ask(about) => round.ask_all(about).await,
                Move::AskAnother(about, first) => vec![round.ask(about, Some(first)).await],
            };
            let mut heard = Vec::new();
            for outcome in outcomes {
                heard.push(outcome.heard());
                asked.push(outcome.asked);
                offer = outcome.offer.or(offer);
            }
            if let Some(offer) = offer {
                course.set_policy(offer.policy);
            }
            next = course.answered(&heard);
        };
        lock(memory).note((number, client), &finding, course.asked(), clock::mono());
        known.with(finding, asked, offer)
    }
}

impl Round<'_> {
    /// By what the message is known again: by itself, and by all whom it is for and may have come by way of. What was
    /// heard of it for one recipient is no word on another, who has declared other forwarders.
    fn number(&self, whom: &Whom) -> Option<u128> {
        let first = whom.recipients.first()?;
        let (_, digest) = self.digest(&About::Message(first.clone()))?;
        Some(number(digest, &whom.recipients, &whom.elsewhere))
    }

    /// The digest that a question is about; none where the message has no identity.
    fn digest(&self, about: &About) -> Option<(Kind, Digest)> {
        let path = self.reverse_path;
        Some(match about {
            About::Message(domain) => (Kind::Message, self.covered.digest::<Sha256>(domain, path)?),
            About::Identity => (Kind::Identity, self.covered.identity::<Sha256>(path)?),
        })
    }

    /// Asks all of these at the same time.
    async fn ask_all(&self, all: Vec<About>) -> Vec<Outcome> {
        let mut asking: Together<usize, dyn Future<Output = Outcome> + Send + '_> =
            Together::default();
        for (place, about) in all.into_iter().enumerate() {
            asking.push(place, Box::pin(self.ask(about, None)));
        }
        let mut outcomes = Vec::new();
        while let Some(ended) = asking.next().await {
            outcomes.push(ended);
        }
        outcomes.sort_by_key(|(place, _)| *place);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// Asks; of another server than `first`, if there was one.
    async fn ask(&self, about: About, first: Option<IpAddr>) -> Outcome {
        let reply = match self.digest(&about) {
            None => Reply::nothing("there is nothing to ask about"),
            Some((kind, digest)) => match self.heard_before(digest).filter(|_| first.is_none()) {
                Some(heard) => Reply::from(heard),
                None => self.exchange.ask((kind, digest), first).await,
            },
        };
        Outcome {
            asked: Asked {
                about,
                server: reply.heard.server,
                word: reply.heard.word,
                oddity: reply.oddity,
            },
            offer: reply.offer,
        }
    }

    /// What was heard at MAIL, if it was about this message, and that it was sent.
    fn heard_before(&self, digest: Digest) -> Option<Heard> {
        let claimed = self.claimed?;
        claimed.heard_of(self.exchange.hour, digest)
    }

    /// True if the domain has said at MAIL that it sent this message.
    fn is_claimed(&self, recipients: &[Domain]) -> bool {
        recipients.iter().any(|domain| {
            let digest = self.digest(&About::Message(domain.clone()));
            digest.is_some_and(|(_, digest)| self.heard_before(digest).is_some())
        })
    }
}

/// The number of a message with this digest for the first of its recipients' domains: another where any of the domains is.
fn number(digest: Digest, recipients: &[Domain], elsewhere: &[Domain]) -> u128 {
    let mut hash = Sha256::default();
    hash.update(&digest.number().to_be_bytes());
    for domains in [recipients, elsewhere] {
        for domain in domains {
            hash.update(domain.as_ascii().as_bytes());
            hash.update(b"\0");
        }
        // No domain is empty.
        hash.update(b"\0");
    }
    let sum = hash.finish();
    sum.first_chunk().copied().map_or(0, u128::from_be_bytes)
}

/// What was asked, and what was said, in a line.
fn tell(report: &Report) {
    figures().mail.ledger.count([report.finding.as_str()]);
    let each = report.asked.iter().map(|asked| {
        let about = match &asked.about {
            About::Message(domain) => domain.as_ascii(),
            About::Identity => "its identity",
        };
        let said = match (asked.word, &asked.oddity) {
            (Some(Word::Sent), _) => "sent",
            (Some(Word::NotSent), _) => "not sent",
            (Some(Word::Unknown), _) => "unknown",
            (None, oddity) => oddity.as_deref().unwrap_or("nothing"),
        };
        match asked.server {
            Some(server) => format!("{about}: {said} ({server})"),
            None => format!("{about}: {said}"),
        }
    });
    info!(
        domain = %report.domain,
        finding = report.finding.as_str(),
        answers = %log::Peer(&each.collect::<Vec<_>>().join(", ")),
        "asked the sender's domain whether it sent the message"
    );
}

/// Says it loudly where a domain's own relay brings what the domain says twice that it did not send.
fn alarm(before: &Verdict, judged: &Verdict, client: IpAddr) -> bool {
    let Some(report) = judged.ledger().filter(|report| report.is_denied_twice()) else {
        return false;
    };
    let is_disputed = before.result() == VerdictResult::Authorised
        && judged.result() != VerdictResult::Authorised;
    if !is_disputed {
        return false;
    }
    figures().mail.ledger_alarms.inc();
    error!(
        domain = %report.domain,
        relay = %client,
        verdict = %judged.result(),
        "a relay that the domain lists brings what the domain did not send: the relay is abused, or the ledger is faulty"
    );
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_another_one_for_each_set_of_domains() {
        let domains = |names: &str| -> Vec<_> {
            let names = names.split_whitespace();
            names.map(|name| Domain::parse(name).unwrap()).collect()
        };
        let digest = Digest::new(7);
        let all = [
            ("a.example b.example c.example d.example", ""),
            ("a.example b.example c.example d.example e.example", ""),
            ("a.example b.example c.example d.example", "e.example"),
            (
                "a.example b.example c.example d.example",
                "f.example f.example",
            ),
        ]
        .map(|(to, by)| number(digest, &domains(to), &domains(by)));
        for (place, one) in all.iter().enumerate() {
            assert!(!all[..place].contains(one), "{place}");
        }
        let other = number(Digest::new(8), &domains("a.example"), &[]);
        assert_ne!(other, number(digest, &domains("a.example"), &[]));
    }
}
