//! A branch from its session to its recipients, and what is said of it in the log.

use std::time::Duration;

use tokio::time::timeout_at;
use tracing::info;
use vouchsafe_proto::cutthrough::{BranchId, Said};
use vouchsafe_proto::envelope::{BodyType, Recipient};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_proto::smtp::xhold::Through;
use vouchsafe_proto::time::Mono;

use super::story::About;
use super::{Held, Line};
use crate::clock;
use crate::next_hop::caps::{HeldCaps, Over};
use crate::next_hop::{NextHops, Origin};
use crate::smtp_out::{self, Branch};

impl Held {
    /// Opens a branch, with its first recipient.
    pub(super) async fn open(&mut self, id: BranchId, next_hop: NextHop, place: usize) -> Said {
        while self.lines.len() <= id.0 {
            self.lines.push(Line {
                next_hop: next_hop.clone(),
                open: None,
                proceeds: false,
            });
        }
        if let Err(over) = self.count_in(&next_hop) {
            info!(%next_hop, limit = over.limit(), "path not held: {over}");
            // RFC 3463: X.3.2, system not accepting network messages.
            return Said::NotAsked(Outcome::local((4, 3, 2), None, over.to_string()));
        }
        let (Some(transaction), Some(first)) = (self.transaction(), self.recipients.get(place))
        else {
            return Said::Lost(Outcome::local((4, 3, 0), None, "no such recipient"));
        };
        let first = first.clone();
        let began = clock::mono();
        let until = clock::instant(began.plus(ANSWER));
        let beginning = begin(&self.site.ahead.next_hops, &next_hop, transaction, first);
        // Boxed: it is large, and over in a moment.
        let said = match timeout_at(until, Box::pin(beginning)).await {
            Ok(Ok((origin, branch, said))) => {
                if let Some(line) = self.lines.get_mut(id.0) {
                    line.open = Some((origin, branch));
                }
                said
            }
            Ok(Err(outcome)) => smtp_out::Said::Lost(outcome),
            Err(_) => smtp_out::Said::Lost(no_answer()),
        };
        self.note(id, place, &said);
        self.heard(id, said, began).await
    }

    /// Asks an open branch for one more recipient.
    pub(super) async fn ask(&mut self, id: BranchId, place: usize) -> Said {
        let began = clock::mono();
        let recipient = self.recipients.get(place).cloned();
        let line = self.lines.get_mut(id.0).and_then(|line| line.open.as_mut());
        let (Some(recipient), Some((_, branch))) = (recipient, line) else {
            return Said::Lost(Outcome::local((4, 4, 2), None, "the session is over"));
        };
        let until = clock::instant(began.plus(ANSWER));
        let said = match timeout_at(until, branch.recipient(recipient)).await {
            Ok(said) => said,
            Err(_) => smtp_out::Said::Lost(no_answer()),
        };
        self.note(id, place, &said);
        self.heard(id, said, began).await
    }

    /// What a branch has said of a recipient, for the machine and the log.
    async fn heard(&mut self, id: BranchId, said: smtp_out::Said, began: Mono) -> Said {
        let said = match said {
            smtp_out::Said::Accepted => Said::Accepted,
            smtp_out::Said::Refused(outcome) => Said::Refused(outcome),
            smtp_out::Said::Lost(outcome) => Said::Lost(outcome),
            smtp_out::Said::Stale => {
                Said::Lost(Outcome::local((4, 4, 2), None, "the session had ended"))
            }
        };
        let outcome = match &said {
            Said::Accepted => None,
            Said::Refused(outcome) | Said::Lost(outcome) | Said::NotAsked(outcome) => Some(outcome),
        };
        if let Some(line) = self.lines.get(id.0) {
            let remote = line.open.as_ref().map(|(_, branch)| branch.remote());
            let heard = (outcome, remote);
            self.story
                .add(&line.next_hop, About::Recipient, heard, began);
        }
        if let Said::Lost(_) = said {
            self.let_go(id).await;
        }
        said
    }

    /// Remembers what a next hop has said of a recipient. What it has said of the sender is none of it.
    fn note(&self, id: BranchId, place: usize, said: &smtp_out::Said) {
        let (Some(line), Some(recipient)) = (self.lines.get(id.0), self.recipients.get(place))
        else {
            return;
        };
        let known = &self.site.ahead.recipients;
        match said {
            smtp_out::Said::Accepted => known.accepted(&line.next_hop, &recipient.path),
            smtp_out::Said::Refused(outcome)
                if !line
                    .open
                    .as_ref()
                    .is_some_and(|(_, branch)| branch.is_refused()) =>
            {
                known.refused(&line.next_hop, &recipient.path, outcome);
            }
            _ => {}
        }
    }

    /// Counts a branch in, or says why there can be none.
    fn count_in(&mut self, next_hop: &NextHop) -> Result<(), Over> {
        if let Some(permit) = &mut self.permit {
            return permit.branch(next_hop);
        }
        let limits = HeldCaps::of(self.site.caps_for(self.client));
        let caps = &self.site.ahead.held;
        self.permit = Some(caps.take(next_hop, self.client, limits)?);
        Ok(())
    }

    /// MAIL as it was agreed on.
    fn transaction(&self) -> Option<Transaction> {
        let mail = self.mail.as_ref()?;
        Some(Transaction {
            reverse_path: mail.reverse_path.clone(),
            recipients: Vec::new(),
            // Nobody knows what will come: where it is offered it costs nothing.
            body: BodyType::EightBitMime,
            smtputf8: mail.smtputf8,
            requests: mail.requests.clone(),
            size: mail.declared,
            per_recipient: false,
            through: Through::default(),
        })
    }

    /// A branch is over: its session is given back, if it can carry another transaction.
    pub(super) async fn let_go(&mut self, id: BranchId) {
        let Some(line) = self.lines.get_mut(id.0) else {
            return;
        };
        line.proceeds = false;
        let Some((origin, branch)) = line.open.take() else {
            return;
        };
        if let Some(connection) = branch.into_connection().await {
            self.site.ahead.next_hops.give_back(origin, connection);
        }
    }
}

/// A transaction on a session with the next hop, and what it says of the first recipient; or why there is
/// no session. One that was kept and has ended meanwhile is made up for by a new one.
async fn begin(
    next_hops: &NextHops,
    next_hop: &NextHop,
    transaction: Transaction,
    first: Recipient,
) -> Result<(Origin, Branch, smtp_out::Said), Outcome> {
    let demands_tls = transaction.requests.demands_tls(&transaction.reverse_path);
    if !demands_tls {
        let kept = next_hops.take(next_hop, PATIENCE).await?;
        let mut branch = Branch::new(kept.connection);
        let said = branch.begin(transaction.clone(), first.clone()).await;
        if said != smtp_out::Said::Stale {
            return Ok((kept.origin, branch, said));
        }
    }
    let kept = next_hops.fresh(next_hop, PATIENCE, demands_tls).await?;
    let mut branch = Branch::new(kept.connection);
    let said = branch.begin(transaction, first).await;
    Ok((kept.origin, branch, said))
}

/// It did not answer while the client waits.
fn no_answer() -> Outcome {
    Outcome::local((4, 4, 2), None, "no answer in the time that the client has")
}

/// How long RCPT waits for a session with the next hop.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long RCPT waits in all: a sender waits five minutes at least (RFC 5321 §4.5.3.2.3), and what
/// follows from the silence must reach it.
const ANSWER: Duration = Duration::from_mins(3);
