//! What was asked of a spool, what it answered, and what may therefore be there after a crash.
//!
//! Moments are numbers of operations on the disk. What was answered before the crash is so; what
//! was asked before it and not answered may be so; nothing else is.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::{Amendment, Entry, Lease, Orders, Progress, Report, Settlement};

/// When something was asked for, and when it was known to be done.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub asked: usize,
    pub answered: Option<usize>,
    /// From here on it is known not to have happened.
    pub void: Option<usize>,
}

/// What is known of one message.
#[derive(Clone, Debug)]
pub struct Life {
    /// `None` for a report that has not been seen yet.
    pub id: Option<QueueId>,
    pub envelope: Envelope,
    pub content: Bytes,
    /// Unknown for reports.
    pub arrived: Option<Wall>,
    /// For a report: the message and its settlement.
    parent: Option<(usize, usize)>,
    taken: Span,
    told: Vec<Told>,
}

/// A settlement.
#[derive(Clone, Debug)]
struct Told {
    span: Span,
    /// The one before it, on which it builds.
    upon: Option<usize>,
    state: State,
}

/// What a settlement makes of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Waiting {
        progress: Vec<Progress>,
        attempts: u32,
        due: Wall,
        delay_reported: bool,
        orders: Orders,
        deadline_reported: bool,
    },
    Gone,
}

/// All that happened, in the order in which it was asked for.
#[derive(Clone, Debug, Default)]
pub struct History {
    lives: Vec<Life>,
    ids: HashMap<QueueId, usize>,
}

/// What a queue turned out to hold: for each message that is there, its last settlement.
pub type Found = BTreeMap<usize, Option<usize>>;

impl Span {
    const fn from(asked: usize) -> Self {
        Self {
            asked,
            answered: None,
            void: None,
        }
    }

    /// True if it must have happened before `moment`.
    fn is_sure(&self, moment: usize) -> bool {
        self.answered.is_some_and(|answered| answered <= moment)
    }

    /// True if it may have.
    fn may_be(&self, moment: usize) -> bool {
        self.asked < moment && self.void.is_none_or(|void| void > moment)
    }

    fn answer(&mut self, moment: usize) {
        self.answered = Some(self.answered.map_or(moment, |before| before.min(moment)));
    }
}

impl From<&Entry> for State {
    fn from(entry: &Entry) -> Self {
        Self::Waiting {
            progress: entry.progress.clone(),
            attempts: entry.attempts,
            due: entry.due,
            delay_reported: entry.delay_reported,
            orders: entry.orders.clone(),
            deadline_reported: entry.deadline_reported,
        }
    }
}

impl State {
    /// What a settlement makes of a message of which an operator has said this.
    fn of(settlement: &Settlement, orders: &Orders) -> Self {
        match settlement.due {
            Some(due) => Self::Waiting {
                progress: settlement.progress.clone(),
                attempts: settlement.attempts,
                due,
                delay_reported: settlement.delay_reported,
                orders: orders.clone(),
                deadline_reported: settlement.deadline_reported,
            },
            None => Self::Gone,
        }
    }

    /// What an operator's word makes of a message.
    fn amended(entry: &Entry, amendment: &Amendment) -> Self {
        let mut entry = entry.clone();
        match amendment {
            Amendment::Hold => entry.orders.held = true,
            Amendment::Release => entry.orders.held = false,
            Amendment::Retry(due) => entry.due = *due,
            Amendment::Reroute { next_hop, due } => {
                entry.orders.next_hop.clone_from(next_hop);
                entry.due = *due;
            }
            Amendment::Remove(_) => return Self::Gone,
        }
        Self::from(&entry)
    }
}

impl Life {
    /// The state that a message is in before any settlement.
    fn is_untried(&self, entry: &Entry) -> bool {
        entry.attempts == 0
            && !entry.delay_reported
            && entry.orders == Orders::default()
            && self
                .told
                .iter()
                .all(|told| told.state != State::from(entry))
            && entry.progress == vec![Progress::Waiting(None); self.envelope.recipients.len()]
    }

    /// Which settlement an entry shows; `None` if none has happened.
    fn state_of(&self, entry: &Entry) -> Result<Option<usize>, String> {
        if self.is_untried(entry) {
            return Ok(None);
        }
        let state = State::from(entry);
        let nth = self.told.iter().rposition(|told| told.state == state);
        nth.map(Some)
            .ok_or_else(|| format!("a state that nobody asked for: {entry:?}"))
    }

    /// The last settlement that must have happened.
    fn last_sure(&self, moment: usize) -> Option<usize> {
        self.told.iter().rposition(|told| told.span.is_sure(moment))
    }

    /// The settlements, none included, that may be the last one to have happened.
    fn may_be_last(&self, moment: usize) -> impl Iterator<Item = Option<usize>> {
        let sure = self.last_sure(moment);
        let later = self.told.iter().enumerate().filter_map(move |(nth, told)| {
            (Some(nth) > sure && told.span.may_be(moment)).then_some(Some(nth))
        });
        std::iter::once(sure).chain(later)
    }

    fn is_gone(&self, nth: Option<usize>) -> bool {
        nth.is_some_and(|nth| self.told[nth].state == State::Gone)
    }

    /// True if the settlement happened, where `last` is the last that did.
    fn holds(&self, last: Option<usize>, nth: usize) -> bool {
        let mut last = last;
        while let Some(one) = last {
            if one == nth {
                return true;
            }
            last = self.told[one].upon;
        }
        false
    }
}

impl History {
    /// A message begun; nothing is asked for yet.
    pub fn begin(&mut self, id: QueueId, arrived: Wall, envelope: Envelope, content: Bytes) {
        let never = usize::MAX;
        let life = Life {
            id: Some(id),
            envelope,
            content,
            arrived: Some(arrived),
            parent: None,
            taken: Span::from(never),
            told: Vec::new(),
        };
        assert!(self.ids.insert(id, self.lives.len()).is_none(), "one name");
        self.lives.push(life);
    }

    /// Custody is asked for.
    pub fn ask(&mut self, id: QueueId, moment: usize) {
        self.life(id).taken.asked = moment;
    }

    /// Custody was given, or the message was seen in the queue.
    pub fn taken(&mut self, id: QueueId, moment: usize) {
        self.life(id).taken.answer(moment);
    }

    fn life(&mut self, id: QueueId) -> &mut Life {
        &mut self.lives[self.ids[&id]]
    }

    /// The message that a lease is of, and which state it is in. A report is known by its content.
    pub fn meet(
        &mut self,
        entry: &Entry,
        content: &[u8],
        moment: usize,
    ) -> Result<Option<usize>, String> {
        let life = self.find(entry, content)?;
        let last = self.lives[life].state_of(entry)?;
        if !self.lives[life].may_be_last(moment).any(|may| may == last) {
            return Err(format!("{} is back, or as it was: {last:?}", entry.id));
        }
        self.ids.insert(entry.id, life);
        self.lives[life].id = Some(entry.id);
        self.lives[life].taken.answer(moment);
        if let Some(nth) = last {
            self.lives[life].told[nth].span.answer(moment);
        }
        Ok(last)
    }

    /// A settlement is asked for, of a message that was met in state `upon`. Gives its number.
    pub fn settle(
        &mut self,
        lease: &Lease,
        settlement: &Settlement,
        upon: Option<usize>,
        moment: usize,
    ) -> usize {
        let state = State::of(settlement, &lease.entry().orders);
        self.tell(lease.entry().id, state, &settlement.reports, upon, moment)
    }

    /// An operator's word is asked for, on a message that was met in state `upon`. Gives its number;
    /// `None` if it would leave the message in a state that it was in before: nobody could tell then
    /// what happened.
    pub fn amend(
        &mut self,
        entry: &Entry,
        amendment: &Amendment,
        upon: Option<usize>,
        moment: usize,
    ) -> Option<usize> {
        let state = State::amended(entry, amendment);
        let life = self.life(entry.id);
        let first = State::Waiting {
            progress: vec![Progress::Waiting(None); life.envelope.recipients.len()],
            attempts: 0,
            due: entry.due,
            delay_reported: false,
            deadline_reported: false,
            orders: Orders::default(),
        };
        let known = state == first || life.told.iter().any(|told| told.state == state);
        if known && state != State::Gone {
            return None;
        }
        let reports = match amendment {
            Amendment::Remove(reports) => &reports[..],
            _ => &[],
        };
        Some(self.tell(entry.id, state, reports, upon, moment))
    }

    /// Something is to be recorded of a message. Gives its number.
    fn tell(
        &mut self,
        id: QueueId,
        state: State,
        reports: &[Report],
        upon: Option<usize>,
        moment: usize,
    ) -> usize {
        let parent = self.ids[&id];
        let nth = self.lives[parent].told.len();
        for report in reports {
            self.lives.push(Life {
                id: None,
                envelope: report.envelope.clone(),
                content: report.content.clone(),
                arrived: None,
                parent: Some((parent, nth)),
                taken: Span::from(moment),
                told: Vec::new(),
            });
        }
        self.lives[parent].told.push(Told {
            span: Span::from(moment),
            upon,
            state,
        });
        nth
    }

    /// It was answered.
    pub fn settled(&mut self, id: QueueId, nth: usize, moment: usize) {
        self.life(id).told[nth].span.answer(moment);
    }

    /// The message that an id belongs to: for a report that which it is about.
    pub fn family(&self, id: QueueId) -> Option<usize> {
        let at = *self.ids.get(&id)?;
        Some(self.lives[at].parent.map_or(at, |(parent, _)| parent))
    }

    /// Says if an entry or its content is not what somebody once sent.
    pub fn is_what_was_sent(&self, entry: &Entry, content: &[u8]) -> Result<(), String> {
        self.find(entry, content).map(|_| ())
    }

    /// Whose entry it is.
    fn find(&self, entry: &Entry, content: &[u8]) -> Result<usize, String> {
        let by_content = || {
            self.lives.iter().position(|life| {
                life.parent.is_some()
                    && life.id.is_none_or(|id| id == entry.id)
                    && life.content == content
            })
        };
        let found = self.ids.get(&entry.id).copied().or_else(by_content);
        let at = found.ok_or_else(|| format!("{}: a message nobody sent", entry.id))?;
        let life = &self.lives[at];
        if life.envelope != entry.envelope {
            return Err(format!("{}: another envelope: {entry:?}", entry.id));
        }
        let trace = life.envelope.trace.as_bytes();
        let whole = trace.len() + life.content.len();
        let same = content.strip_prefix(trace) == Some(&life.content[..]);
        if !same || entry.size != whole as u64 {
            let (found, wanted) = (content.len(), life.content.len());
            return Err(format!(
                "{}: another content: {found} octets, wanted {wanted}",
                entry.id
            ));
        }
        if life.arrived.is_some_and(|arrived| arrived != entry.arrived) {
            return Err(format!("{}: another arrival: {entry:?}", entry.id));
        }
        Ok(at)
    }

    /// Messages that must be there at `moment`.
    pub fn holds_any(&self, moment: usize) -> bool {
        self.lives.iter().any(|life| {
            life.taken.is_sure(moment) && !life.may_be_last(moment).any(|last| life.is_gone(last))
        })
    }

    /// Says what is wrong with what a queue holds after a crash at `moment`.
    pub fn judge(&self, held: &[(Entry, Vec<u8>)], moment: usize) -> Result<Found, String> {
        let mut found = Found::new();
        for (entry, content) in held {
            let at = self.find(entry, content)?;
            let life = &self.lives[at];
            let last = life.state_of(entry)?;
            if !life.taken.may_be(moment) && !life.taken.is_sure(moment) {
                return Err(format!("{}: there, though it cannot be", entry.id));
            }
            if !life.may_be_last(moment).any(|may| may == last) {
                let sure = life.last_sure(moment);
                let gone = life.is_gone(sure);
                return Err(format!(
                    "{}: settlement {last:?}, but {sure:?} was acknowledged (gone: {gone})",
                    entry.id
                ));
            }
            if found.insert(at, last).is_some() {
                return Err(format!("{}: there twice", entry.id));
            }
        }
        for (at, life) in self.lives.iter().enumerate() {
            self.judge_absence(at, life, &found, moment)?;
        }
        Ok(found)
    }

    /// Whether a message may be missing, and, of a report, whether it may be there.
    fn judge_absence(
        &self,
        at: usize,
        life: &Life,
        found: &Found,
        moment: usize,
    ) -> Result<(), String> {
        let there = found.contains_key(&at);
        let may_be_gone = life.may_be_last(moment).any(|last| life.is_gone(last));
        let name = || format!("{:?} (message {at})", life.id);
        let Some((parent, nth)) = life.parent else {
            return if there || may_be_gone || !life.taken.is_sure(moment) {
                Ok(())
            } else {
                Err(format!("{}: acknowledged and lost", name()))
            };
        };
        let (must, may) = self.made(parent, nth, found, moment);
        if there && !may {
            return Err(format!("{}: a report without its settlement", name()));
        }
        if !there && !may_be_gone && (must || life.taken.is_sure(moment)) {
            return Err(format!("{}: a settlement without its report", name()));
        }
        Ok(())
    }

    /// Whether a settlement must, and whether it may, have happened, by what became of its message.
    fn made(&self, parent: usize, nth: usize, found: &Found, moment: usize) -> (bool, bool) {
        let life = &self.lives[parent];
        if let Some(last) = found.get(&parent) {
            let made = life.holds(*last, nth);
            return (made, made);
        }
        // It has left, or was never there.
        let was_there = life.taken.is_sure(moment) || life.parent.is_some();
        let lasts = || life.may_be_last(moment).filter(|last| life.is_gone(*last));
        let may = lasts().any(|last| life.holds(last, nth));
        let must = was_there && may && lasts().all(|last| life.holds(last, nth));
        (must, may)
    }

    /// What was found behind a crash at `crashed` is so from `moment` on: whoever has opened a
    /// queue may rely on what it showed.
    pub fn resolve(
        &mut self,
        found: &Found,
        held: &[(Entry, Vec<u8>)],
        crashed: usize,
        moment: usize,
    ) {
        self.forget_behind(crashed);
        for (entry, content) in held {
            if let Ok(at) = self.find(entry, content) {
                self.ids.insert(entry.id, at);
                self.lives[at].id = Some(entry.id);
            }
        }
        let gone: Vec<Option<usize>> = self
            .lives
            .iter()
            .map(|life| {
                let mut lasts = life.may_be_last(crashed).filter(|last| life.is_gone(*last));
                lasts.next().flatten()
            })
            .collect();
        for (at, life) in self.lives.iter_mut().enumerate() {
            let last = match found.get(&at) {
                Some(last) => {
                    life.taken.answer(moment);
                    *last
                }
                None if gone[at].is_some()
                    && (life.taken.is_sure(crashed) || life.parent.is_some()) =>
                {
                    gone[at]
                }
                None => {
                    life.taken.void = Some(moment);
                    continue;
                }
            };
            for nth in 0..life.told.len() {
                if life.holds(last, nth) {
                    life.told[nth].span.answer(moment);
                } else {
                    life.told[nth].span.void.get_or_insert(moment);
                }
            }
        }
    }

    /// The crash came at `moment`: what was asked later never was, and answers did not come.
    fn forget_behind(&mut self, moment: usize) {
        let forget = |span: &mut Span| {
            if span.asked >= moment {
                span.void = Some(0);
            }
            span.answered = span.answered.filter(|answered| *answered <= moment);
            span.void = span.void.filter(|void| *void <= moment);
        };
        for life in &mut self.lives {
            forget(&mut life.taken);
            life.told.iter_mut().for_each(|told| forget(&mut told.span));
        }
    }
}
