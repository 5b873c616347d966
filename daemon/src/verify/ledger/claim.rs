//! A claim at MAIL (XVOUCH, PROTOCOLS D): asks the domain about the message that the client says will follow, before any of
//! it has come.
//!
//! Promises: one question, and none where the reverse-path is proven anyhow, its domain takes no part, or MAIL is refused
//! whatever it says; the answer proves nothing before the content has come and is that message. Leaves to others: what is done in view of it, and
//! comparing the content (`super`).

use std::net::IpAddr;
use std::sync::Arc;

use tracing::info;
use vouchsafe_proto::residue::{Claim, Kind, Word};
use vouchsafe_proto::verify::Verdict;
use vouchsafe_proto::verify::ledger::Claimed;

use super::super::Verifier;
use super::exchange::{Exchange, Reply};
use crate::log;

impl Verifier {
    /// The verdict at MAIL with what the domain says of the message that is claimed.
    pub async fn ask_claim(
        &self,
        verdict: Arc<Verdict>,
        claim: Claim,
        client: IpAddr,
    ) -> Arc<Verdict> {
        let Some(known) = verdict.ledger().filter(|_| verdict.awaits_ledger()) else {
            return verdict;
        };
        let exchange = Exchange::new(self, &known.domain, claim.hour, client);
        let reply = match exchange {
            Some(exchange) => exchange.ask((Kind::Message, claim.digest), None).await,
            None => Reply::nothing("our clock is far off"),
        };
        let word = reply.heard.word;
        let said = match word {
            Some(Word::Sent) => "sent",
            Some(Word::NotSent) => "not sent",
            Some(Word::Unknown) => "unknown",
            None => reply.oddity.as_deref().unwrap_or("nothing"),
        };
        info!(
            domain = %known.domain,
            %claim,
            said = %log::Peer(said),
            "asked the sender's domain about the message that is said to follow"
        );
        let claimed = Claimed {
            claim,
            server: reply.heard.server,
            word,
        };
        Arc::new(verdict.with_ledger(known.with_claim(claimed)))
    }
}
