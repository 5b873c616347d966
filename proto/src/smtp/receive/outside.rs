//! Whose mail an outer host of ours has queued (PROTOCOLS A.4): the Received fields it put above the
//! content tell, once that is complete, and the verdict is about that client then.
//!
//! Nothing is refused by it. The host has said 250 already, and a refusal would make it report to a
//! reverse-path that may be forged; the message is taken, with what was found written on it.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::on_behalf::Forwarded;
use super::session::{Progress, Session, Transaction, Turn, Waiting};
use super::{Ask, Found, Note};

impl Session {
    /// Asks who stands behind the perimeter, if the content that has just ended can tell.
    pub(super) fn look_outside(&mut self, turn: &mut Turn<'_>) {
        let Transaction::Open(open) = &mut self.transaction else {
            return;
        };
        let Progress::Begun(draft) = &mut open.progress else {
            return;
        };
        let Some(run) = draft.take_run() else {
            return self.judge_content(turn);
        };
        let ask = Ask::Outside {
            reverse_path: open.mail.reverse_path.clone(),
            recipients: open
                .recipients
                .iter()
                .map(|each| each.path.clone())
                .collect(),
            run,
        };
        self.ask(ask, Waiting::Outside, turn);
    }

    /// Goes on with the end of the content. From here on it is that client's mail.
    pub(super) fn looked_outside(&mut self, found: Option<Box<Found>>, turn: &mut Turn<'_>) {
        if let Some(found) = found
            && let Transaction::Open(open) = &mut self.transaction
        {
            let Found { presenter, verdict } = *found;
            // Its steps have been logged by now.
            open.verdict = Arc::new(verdict.without_steps());
            turn.note(Note::OnBehalf {
                verb: "Received",
                client: Some(presenter.client),
                helo: Some(presenter.helo.clone()),
            });
            self.forwarded = Some(Forwarded::of(presenter));
        }
        self.judge_content(turn);
    }
}
