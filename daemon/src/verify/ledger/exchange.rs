//! Questions to one domain about digests of one hour, and what comes of them.
//!
//! Promises: the same digest gets the same question; whoever answers for the domain is found anew for each; what is late,
//! odd or missing is told as that. Leaves to others: which digests, and what the answers mean.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::residue::servers::Report as Servers;
use vouchsafe_proto::residue::{Digest, Hour, Hours, Kind, Offer, Question, Residues, Width};
use vouchsafe_proto::verify::ledger::course::Heard;

use super::super::Verifier;
use super::DEADLINE;
use crate::clock;
use crate::ledger::{Asker, Said, Secret};

/// One domain, asked about digests of one hour.
pub(super) struct Exchange<'a> {
    asker: Asker,
    secret: &'a Secret,
    domain: &'a Domain,
    pub(super) hour: Hour,
    pub(super) now: Hour,
    until: Instant,
}

/// What came of one question.
pub(super) struct Reply {
    /// What was heard; nothing where that was no answer.
    pub(super) heard: Heard,
    /// What came in place of an answer, in a few words of ours.
    pub(super) oddity: Option<Box<str>>,
    /// What the domain offers now.
    pub(super) offer: Option<Offer>,
}

impl From<Heard> for Reply {
    fn from(heard: Heard) -> Self {
        Self {
            heard,
            oddity: None,
            offer: None,
        }
    }
}

impl<'a> Exchange<'a> {
    /// With a domain, on account of this client; none where our clock is far off.
    pub(super) fn new(
        verifier: &'a Verifier,
        domain: &'a Domain,
        hour: Hour,
        client: IpAddr,
    ) -> Option<Self> {
        let settings = verifier.policy.load().ledger;
        let asker = Asker::new(
            Arc::clone(&verifier.resolver),
            settings.port,
            settings.special,
        );
        Some(Self {
            asker: asker.on_account_of(client),
            secret: &verifier.asking.secret,
            domain,
            hour,
            now: Hour::at(clock::now().wall)?,
            until: clock::instant(clock::mono().plus(DEADLINE)),
        })
    }

    /// Asks about a digest, within the time; of another server than `first`, if there was one.
    pub(super) async fn ask(&self, of: (Kind, Digest), first: Option<IpAddr>) -> Reply {
        match timeout_at(self.until, self.answer(of, first)).await {
            Ok((Ok(heard), offer)) => Reply {
                offer,
                ..Reply::from(heard)
            },
            Ok((Err(oddity), offer)) => Reply {
                offer,
                ..Reply::nothing(&oddity)
            },
            Err(_) => Reply::nothing("too late"),
        }
    }

    /// The answer, or what came in its place; and what the domain offers, if that was found.
    async fn answer(
        &self,
        (kind, digest): (Kind, Digest),
        first: Option<IpAddr>,
    ) -> (Result<Heard, String>, Option<Offer>) {
        let Some((question, residues)) = self.question(kind, digest) else {
            return (Err("there is nothing to ask about".to_owned()), None);
        };
        let seed = self.secret.seed(digest, self.domain);
        let (offer, servers) = match self.asker.find(self.domain, &question, seed).await {
            Servers::Answers(offer, servers) => (offer, servers),
            Servers::Absent => return (Err("it takes no part any more".to_owned()), None),
            Servers::NotKnown(why) => return (Err(why.to_string()), None),
        };
        if let Err(why) = offer.answers(&residues, self.hour, self.now) {
            return (Err(why.to_string()), Some(offer));
        }
        let heard = match first {
            None => Some(self.asker.ask(self.domain, &question, &servers).await),
            Some(first) => {
                let asker = &self.asker;
                asker
                    .ask_another(self.domain, &question, &servers, first)
                    .await
            }
        };
        let heard = match heard {
            None => Err("no other server".to_owned()),
            Some(heard) => match heard.said {
                Said::Answer(answer) => Ok(Heard {
                    word: Some(answer.about(self.hour)),
                    server: heard.server,
                }),
                Said::Odd(oddity) => Err(oddity.to_string()),
            },
        };
        (heard, Some(offer))
    }

    /// The question about a digest.
    fn question(&self, kind: Kind, digest: Digest) -> Option<(Question, Residues)> {
        let prime = self.secret.prime(digest, self.domain)?;
        let residues = Residues::of(digest, Width::Bits64, &[prime]).ok()?;
        let hours = Hours::From(self.hour, 1);
        let question = Question::new(kind, hours, digest.index(), residues).ok()?;
        Some((question, residues))
    }
}

impl Reply {
    /// No answer, but this.
    pub(super) fn nothing(oddity: &str) -> Self {
        Self {
            oddity: Some(oddity.into()),
            ..Self::from(Heard::default())
        }
    }
}
