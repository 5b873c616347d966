//! When the dispatcher looks at the queue again.
//!
//! Promises: whatever becomes leasable is looked for when it does, however long the last look took
//! and whatever the clock did meanwhile; and nothing is looked for over and over while there is no
//! room for it. What the queue itself announces ([`vouchsafe_spool::Spool::arrived`]) is left to the
//! dispatcher.

use std::time::Duration;

use vouchsafe_proto::time::{Mono, Now, Wall};
use vouchsafe_spool::Ask;

/// What is known of what the queue will have.
#[derive(Debug)]
pub(super) struct Outlook {
    /// When the next message is due, as far as the queue has said.
    next_due: Option<Wall>,
    /// When the next is overdue.
    next_overdue: Option<Wall>,
    /// When the queue was last asked: what was to be had then needs no timer, but room.
    asked: Wall,
    /// There may be more now.
    look: bool,
}

impl Outlook {
    /// Nothing is known yet: everything may be there.
    pub(super) const fn new() -> Self {
        Self {
            next_due: None,
            next_overdue: Some(Wall::from_secs(0)),
            asked: Wall::from_secs(0),
            look: true,
        }
    }

    /// When something is due, and when overdue, as far as the queue has said.
    pub(super) const fn known(&self) -> (Option<Wall>, Option<Wall>) {
        (self.next_due, self.next_overdue)
    }

    /// True if the queue is to be asked, as soon as there is room.
    pub(super) const fn is_open(&self) -> bool {
        self.look
    }

    /// There may be something new.
    pub(super) const fn look(&mut self) {
        self.look = true;
    }

    /// There is no room for anything, as was found at `now`.
    pub(super) const fn no_room(&mut self, now: Wall) {
        self.asked = now;
    }

    /// The queue was asked at `now`, and has said when there will be more. False if it is not to be
    /// asked again before there is news: it has no more, or there is no room for what it has.
    pub(super) fn heard(
        &mut self,
        now: Wall,
        ask: &Ask,
        next_due: Option<Wall>,
        next_overdue: Option<Wall>,
    ) -> bool {
        let was_known = self.next_overdue.is_some_and(|at| at <= now);
        self.next_due = next_due;
        self.next_overdue = next_overdue;
        self.asked = now;
        let is_due = next_due.is_some_and(|at| at <= now);
        let is_overdue = next_overdue.is_some_and(|at| at <= now);
        self.look = is_due || is_overdue;
        // Nobody asks for what is overdue without knowing of any.
        (is_due && ask.due > 0) || (is_overdue && (ask.overdue > 0 || !was_known))
    }

    /// The queue could not be read: it is asked again at `again`, or when there is news.
    pub(super) const fn failed(&mut self, again: Wall) {
        self.look = false;
        self.next_due = Some(again);
        self.next_overdue = Some(again);
    }

    /// When the queue is to be looked at without news; that moment may have gone by, and is now then.
    pub(super) fn next_moment(&self, now: Now) -> Mono {
        let due = self.next_due.filter(|_| !self.look);
        let next = due.into_iter().chain(self.next_overdue);
        let next = next.filter(|at| *at > self.asked).min();
        let sleep = next.map_or(LONGEST_SLEEP, |next| next.since(now.wall));
        now.mono.plus(sleep.min(LONGEST_SLEEP))
    }
}

/// The longest time that the queue is not looked at. Due times are of the calendar, which can be set
/// without the timer noticing; and a fault by which a message were forgotten would cost it minutes.
pub(super) const LONGEST_SLEEP: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask {
        due: 64,
        overdue: 64,
        per_lane: 1,
        horizon: None,
    };

    fn at(secs: u64) -> Now {
        Now {
            mono: Mono::from_millis(secs * 1000),
            wall: Wall::from_secs(1_000_000 + secs),
        }
    }

    fn wall(secs: u64) -> Wall {
        at(secs).wall
    }

    #[test]
    fn what_became_due_while_the_queue_was_asked_is_looked_for_at_once() {
        let mut outlook = Outlook::new();
        assert!(outlook.is_open());
        // Asked at 10, answered at 12; a message became due at 11.
        assert!(!outlook.heard(at(10).wall, &ASK, Some(wall(11)), None));
        assert!(!outlook.is_open());
        assert_eq!(outlook.next_moment(at(12)), at(12).mono);
        assert_eq!(outlook.next_moment(at(10)), at(11).mono);
        // The same with one that became overdue.
        assert!(!outlook.heard(at(10).wall, &ASK, None, Some(wall(11))));
        assert_eq!(outlook.next_moment(at(12)), at(12).mono);
    }

    #[test]
    fn while_there_is_more_it_is_asked_again() {
        let mut outlook = Outlook::new();
        assert!(outlook.heard(at(10).wall, &ASK, Some(wall(10)), None));
        assert!(outlook.is_open());
        assert!(outlook.heard(at(10).wall, &ASK, None, Some(wall(3))));
        assert!(!outlook.heard(at(10).wall, &ASK, None, None));
        assert!(!outlook.is_open());
        assert_eq!(outlook.next_moment(at(10)), at(10).mono.plus(LONGEST_SLEEP));
    }

    #[test]
    fn what_finds_no_room_waits_for_news_and_not_for_the_clock() {
        let mut outlook = Outlook::new();
        // There is something overdue, which was not asked for: at first nothing was known of it.
        let no_telling = Ask { overdue: 0, ..ASK };
        outlook.heard(at(9).wall, &ASK, None, None);
        assert!(outlook.heard(at(10).wall, &no_telling, None, Some(wall(5))));
        assert!(!outlook.heard(at(10).wall, &no_telling, None, Some(wall(5))));
        assert!(outlook.is_open());
        assert_eq!(outlook.next_moment(at(10)), at(10).mono.plus(LONGEST_SLEEP));
        // Nothing at all could be asked for; something becomes overdue later.
        outlook.heard(at(10).wall, &ASK, Some(wall(10)), Some(wall(30)));
        outlook.no_room(at(20).wall);
        assert_eq!(outlook.next_moment(at(20)), at(30).mono);
        outlook.no_room(at(31).wall);
        assert!(outlook.is_open());
        assert_eq!(outlook.next_moment(at(31)), at(31).mono.plus(LONGEST_SLEEP));
    }

    #[test]
    fn trouble_is_tried_again_and_sleep_has_an_end() {
        let mut outlook = Outlook::new();
        outlook.heard(at(10).wall, &ASK, None, None);
        outlook.failed(at(70).wall);
        assert!(!outlook.is_open());
        assert_eq!(outlook.next_moment(at(10)), at(70).mono);
        outlook.failed(at(7_000).wall);
        let longest = at(10).mono.plus(LONGEST_SLEEP);
        assert_eq!(outlook.next_moment(at(10)), longest);
    }
}
