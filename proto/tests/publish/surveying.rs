//! Runs a survey against a world.

use vouchsafe_proto::survey::{Report, Study, Survey};
use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_proto::verify::{Action, Input, Machine};

use super::world::World;

/// To its end; what the world never answers, time ends.
pub fn survey<S: Study>(world: &World, study: S) -> Report<S::Findings> {
    let now = Now {
        mono: Mono::from_millis(1),
        wall: Wall::from_secs(1_795_256_100),
    };
    let mut survey = Survey::new(study);
    let mut input = Input::Begin;
    let mut coming = Vec::new();
    loop {
        for action in survey.step(input, now) {
            match action {
                Action::Ask(id, question) => {
                    coming.extend(world.answer(&question).map(|answer| (id, answer)));
                }
                Action::SetTimer(_) => {}
                Action::Done(report) => return *report,
            }
        }
        input = match coming.pop() {
            Some((id, answer)) => Input::Answer(id, answer),
            None => Input::TimerFired,
        };
    }
}
