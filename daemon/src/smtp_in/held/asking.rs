//! A branch from its session to its recipients, and what is said of it in the log.

use std::time::Duration;

use tokio::time::timeout_at;
use tracing::info;
use vouchsafe_proto::cutthrough::{BranchId, Said};
use vouchsafe_proto::envelope::{BodyType, Recipient};
use vouchsafe_proto::outcome::{Outcome, Remote};
use vouchsafe_proto::route::NextHop;
use vouchsafe_proto::smtp::deliver::Transaction;
use vouchsafe_proto::smtp::xhold::{Mode, Spent, Through};
use vouchsafe_proto::time::Mono;

use super::chain::Chain;
use super::story::About;
use super::{Held, Line};
use crate::clock;
use crate::next_hop::caps::{HeldCaps, Over};
use crate::next_hop::{Approach, Origin, RECIPIENT};
use crate::smtp_out::{self, Branch};

impl Held {
    /// Opens a branch, with its first recipient.
    pub(super) async fn open(&mut self, id: BranchId, next_hop: NextHop, place: usize) -> Said {
        while self.lines.len() <= id.0 {
            self.lines.push(Line {
                next_hop: next_hop.clone(),
                open: None,
                asked: 0,
                before: 0,
                proceeds: false,
            });
        }
        if let Err(over) = self.count_in(&next_hop) {
            info!(%next_hop, limit = over.limit(), "path not held: {over}");
            // RFC 3463: X.3.2, system not accepting network messages.
            return Said::NotAsked(Outcome::local((4, 3, 2), None, over.to_string()));
        }
        self.begin_at(id, place, clock::mono()).await
    }

    /// Begins a branch with this recipient, and gives what is said of it.
    async fn begin_at(&mut self, id: BranchId, place: usize, began: Mono) -> Said {
        let said = match self.begin_with(id, place, began, None).await {
            Ok(said) => said,
            Err(spent) => return self.spent(id, spent, began).await,
        };
        self.note(id, place, &said);
        self.heard(id, said, began).await
    }

    /// Asks an open branch for one more recipient. If its host is lost, and nobody was told that it has
    /// taken a recipient, the next host of the next hop may do.
    pub(super) async fn ask(&mut self, id: BranchId, place: usize) -> Said {
        let began = clock::mono();
        let until = match self.chain.for_recipient(began) {
            Ok(wait) => clock::instant(began.plus(wait)),
            Err(spent) => return self.spent(id, spent, began).await,
        };
        if self.lines.get(id.0).is_some_and(|line| line.open.is_none()) {
            // Nobody was asked for the one before, since nothing was left to ask with.
            return self.begin_at(id, place, began).await;
        }
        let recipient = self.recipients.get(place).cloned();
        let line = self.lines.get_mut(id.0);
        let asked = line.and_then(|line| {
            line.asked = line.asked.saturating_add(1);
            line.open.as_mut()
        });
        let (Some(recipient), Some((_, branch))) = (recipient, asked) else {
            return Said::Lost(Outcome::local((4, 4, 2), None, "the session is over"));
        };
        let mut said = timeout_at(until, branch.recipient(recipient))
            .await
            .unwrap_or_else(|_| smtp_out::Said::Lost(no_answer()));
        if let smtp_out::Said::Lost(outcome) = &said
            && !branch.has_taken()
        {
            let lost = Lost::of(branch, outcome.clone(), began);
            self.let_go(id).await;
            said = match self.begin_with(id, place, began, Some(lost)).await {
                Ok(said) => said,
                Err(spent) => return self.spent(id, spent, began).await,
            };
        }
        self.note(id, place, &said);
        self.heard(id, said, began).await
    }

    /// Begins a branch with this recipient at the first of the hosts that are left which answers. Who
    /// asks has been waiting since `began`.
    async fn begin_with(
        &mut self,
        id: BranchId,
        place: usize,
        began: Mono,
        lost: Option<Lost>,
    ) -> Result<smtp_out::Said, Spent> {
        let Some((transaction, first)) = self.transaction(place) else {
            let outcome = Outcome::local((4, 3, 0), None, "no such recipient");
            return Ok(smtp_out::Said::Lost(outcome));
        };
        let Some(line) = self.lines.get_mut(id.0) else {
            let outcome = Outcome::local((4, 3, 0), None, "no such branch");
            return Ok(smtp_out::Said::Lost(outcome));
        };
        if lost.is_none() {
            line.asked = line.asked.saturating_add(1);
        }
        let now = clock::mono();
        let left = self.chain.for_recipient(now)?;
        let patience = left.min(RECIPIENT.saturating_sub(now.since(began)));
        let demands_tls = transaction.requests.demands_tls(&transaction.reverse_path);
        let next_hops = &self.site.ahead.next_hops;
        let approach = next_hops.approach(&line.next_hop, demands_tls, patience);
        let mut all_lost = Vec::from_iter(lost);
        // Boxed: it is large, and over in a moment.
        let of = (transaction, first);
        let beginning = Box::pin(begin(approach, &self.chain, of, &mut all_lost));
        let said = match beginning.await {
            Err(NotBegun::Spent(spent, unused)) => {
                // Nothing was said over it.
                line.open = Some(*unused);
                Err(spent)
            }
            Ok((origin, branch, said)) => {
                line.before = line.asked.saturating_sub(1);
                line.open = Some((origin, branch));
                Ok(said)
            }
            Err(NotBegun::Lost(outcome)) => {
                // It is told of anyhow.
                all_lost.retain(|lost| lost.outcome != outcome);
                Ok(smtp_out::Said::Lost(outcome))
            }
        };
        for lost in &all_lost {
            let heard = (Some(&lost.outcome), Some(&lost.remote));
            self.story
                .add(&line.next_hop, About::Recipient, heard, None, lost.began);
        }
        said
    }

    /// Nothing is left to ask a next hop with.
    async fn spent(&mut self, id: BranchId, spent: Spent, began: Mono) -> Said {
        let outcome = Outcome::from_reply(&spent.reply(), None);
        if let Some(line) = self.lines.get(id.0) {
            let heard = (Some(&outcome), None);
            self.story
                .add(&line.next_hop, About::Recipient, heard, None, began);
        }
        self.let_go(id).await;
        match self.chain.mode() {
            Mode::Strict => Said::Refused(outcome),
            Mode::Prefer => Said::NotAsked(outcome),
        }
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
            let branch = line.open.as_ref().map(|(_, branch)| branch);
            let heard = (outcome, branch.map(Branch::remote));
            let reach = outcome.is_none().then(|| {
                let said = branch.and_then(Branch::reach);
                self.chain.reaches(said, line.next_hop.is_lmtp())
            });
            self.story
                .add(&line.next_hop, About::Recipient, heard, reach, began);
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

    /// MAIL as it was agreed on, and the recipient in this place.
    fn transaction(&self, place: usize) -> Option<(Transaction, Recipient)> {
        let (mail, recipient) = (self.mail.as_ref()?, self.recipients.get(place)?);
        let transaction = Transaction {
            reverse_path: mail.reverse_path.clone(),
            recipients: Vec::new(),
            // Nobody knows what will come: where it is offered it costs nothing.
            body: BodyType::EightBitMime,
            smtputf8: mail.smtputf8,
            requests: mail.requests.clone(),
            size: mail.declared,
            per_recipient: self.path.wants_each(),
            // By what the next hop offers.
            through: Through::default(),
            // The content goes on as it comes, so what was said of it holds there, too.
            claim: mail.claim,
        };
        Some((transaction, recipient.clone()))
    }

    /// A branch is over: its session is given back, if it can carry another transaction.
    pub(super) async fn let_go(&mut self, id: BranchId) {
        let Some(line) = self.lines.get_mut(id.0) else {
            return;
        };
        line.proceeds = false;
        let Some((mut origin, branch)) = line.open.take() else {
            return;
        };
        origin.heard(branch.outcomes());
        if let Some(connection) = branch.into_connection().await {
            self.site.ahead.next_hops.give_back(origin, connection);
        }
    }
}

/// A host that was lost before it had taken a recipient.
struct Lost {
    remote: Remote,
    outcome: Outcome,
    was_silent: bool,
    began: Mono,
}

impl Lost {
    fn of(branch: &Branch, outcome: Outcome, began: Mono) -> Self {
        Self {
            remote: branch.remote().clone(),
            outcome,
            was_silent: branch.was_silent(),
            began,
        }
    }
}

/// A transaction on a session with the next hop, and what it says of the first recipient; or why there is
/// no answer. A session that was kept and has ended meanwhile is made up for by a new one, a host that is
/// lost by the next one. Those that were lost are added to `lost`.
async fn begin(
    mut approach: Approach<'_>,
    chain: &Chain,
    (mut transaction, first): (Transaction, Recipient),
    lost: &mut Vec<Lost>,
) -> Result<(Origin, Branch, smtp_out::Said), NotBegun> {
    for one in &*lost {
        approach.lost(&one.remote, one.outcome.clone(), one.was_silent);
    }
    loop {
        let kept = approach.next(PATIENCE).await?;
        let mut branch = Branch::new(kept.connection);
        let began = clock::mono();
        match chain.onward(began, branch.terms()) {
            Ok(through) => transaction.through = through,
            Err(spent) => {
                return Err(NotBegun::Spent(spent, Box::new((kept.origin, branch))));
            }
        }
        let beginning = branch.begin(transaction.clone(), first.clone());
        let said = match timeout_at(clock::instant(approach.until()), beginning).await {
            Ok(said) => said,
            Err(_) => smtp_out::Said::Lost(no_answer()),
        };
        match said {
            smtp_out::Said::Stale => {}
            smtp_out::Said::Lost(outcome) => {
                let mut one = Lost::of(&branch, outcome, began);
                // Whoever has used up all the time that there was has said nothing in it, either; where MAIL
                // has set it, that is nobody's fault.
                one.was_silent |= clock::mono() >= approach.until();
                one.was_silent &= !chain.is_asked();
                approach.lost(&one.remote, one.outcome.clone(), one.was_silent);
                lost.push(one);
                // Closed: it is of no more use.
                drop(branch.into_connection().await);
            }
            smtp_out::Said::Accepted | smtp_out::Said::Refused(_) => {
                approach.answered();
                return Ok((kept.origin, branch, said));
            }
        }
    }
}

/// Why there is no transaction with a next hop.
enum NotBegun {
    /// No session came to be.
    Lost(Outcome),
    /// It was not asked, over this session: nothing was left to ask it with.
    Spent(Spent, Box<(Origin, Branch)>),
}

impl From<Outcome> for NotBegun {
    fn from(outcome: Outcome) -> Self {
        Self::Lost(outcome)
    }
}

/// It did not answer while the client waits.
fn no_answer() -> Outcome {
    Outcome::local((4, 4, 2), None, "no answer in the time that the client has")
}

/// How long RCPT waits for a session with the next hop.
const PATIENCE: Duration = Duration::from_mins(1);
