//! The end of a message: what is known of it from before, down the paths or into the spool, and what became of it.

use vouchsafe_proto::custody::{Custody, Whither};
use vouchsafe_proto::cutthrough::{Action as Todo, Input as Given, Sender};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::reply::{Reply, ReplyClass};
use vouchsafe_proto::smtp::receive::Answer;

use super::{Fate, Operation, Stage, Surroundings};

impl<S: Surroundings> Stage<S> {
    pub(super) fn commit(&mut self, envelope: &Envelope) -> Answer {
        let sender = Sender {
            verdict: envelope.verdict,
            is_null: envelope.reverse_path.is_null(),
            was_queued: false,
        };
        self.path_step(Given::Judged(sender));
        self.ended = Some(self.now().mono);
        let answer = match self.look_back() {
            Ok(()) => self.drive(Given::End, Some(envelope), |todo| match todo {
                Todo::End(answer) => Some(Ok(Answer::Committed(answer))),
                Todo::EndForEach(ends) => Some(Ok(Answer::CommittedEach(ends))),
                _ => None,
            }),
            Err(reply) => self
                .drive(Given::Abandon, None, |_| None::<Result<Answer, Reply>>)
                .or(Err(reply)),
        };
        let answer = answer.unwrap_or_else(|reply| Answer::Committed(Err(reply)));
        self.remember_delivered();
        self.begun = false;
        match &answer {
            Answer::CommittedEach(ends) => self.ended(ends),
            Answer::Committed(end) => self.ended(std::slice::from_ref(end)),
            other => panic!("{other:?}"),
        }
        self.forget();
        answer
    }

    /// What became of a message, for all or for each. Who has stored it has said so.
    fn ended(&mut self, ends: &[Result<Custody, Reply>]) {
        if ends.iter().flatten().any(|custody| !custody.is_onward()) {
            return;
        }
        let mut taken = ends.iter().flatten().peekable();
        if taken.peek().is_some() {
            let fate = if taken.all(Custody::is_repetition) {
                Fate::Repeated
            } else {
                Fate::Held
            };
            return self.around.became(fate);
        }
        // For now, if one of them is.
        let mut refusals: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
        refusals.sort_by_key(|reply| reply.class() != ReplyClass::Transient);
        if let Some(reply) = refusals.first() {
            self.around.became(Fate::Refused((*reply).clone()));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the spool of a test")]
    pub(super) fn store(
        &mut self,
        envelope: &Envelope,
        places: &[usize],
    ) -> Result<Custody, Reply> {
        let draft = self.draft.take().unwrap();
        if let Some(reply) = self.around.trouble(Operation::Commit) {
            self.remember(places, None);
            return Err(reply);
        }
        self.remember(places, Some((self.queue_id, Whither::Storage)));
        let to = places.iter();
        let to = to.map(|place| envelope.recipients[*place].to_string());
        self.around.became(Fate::Stored {
            to: to.collect(),
            head: envelope.trace.to_string(),
            content: draft,
        });
        Ok(Custody::of_durable_message(self.queue_id))
    }

    /// Gives the branches that proceed the message as it lies in the draft.
    pub(super) fn replay(&mut self, envelope: &Envelope) {
        self.around.head(&envelope.trace);
        self.push(envelope.trace.as_bytes());
        let draft = self.draft.clone().unwrap();
        self.push(&draft);
    }
}
