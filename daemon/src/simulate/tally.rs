//! What is counted, and under which heading.

use serde::Serialize;

/// Headings, one of which each message belongs to at a given level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// True, by a way that its domain lists if it lists any.
    Registered,
    /// True, through a forwarder that the recipient has declared.
    Declared,
    /// A true report about a failed delivery, on its way back.
    Report,
    /// True, through a forwarder that nobody has declared.
    Undeclared,
    /// Forged: from outside of what the domain publishes.
    Outside,
    /// Forged, from outside, but through a forwarder or a queueing backup host.
    Laundered,
    /// Forged: the domain does not exist.
    Nowhere,
    /// Forged: the domain publishes nothing.
    Unpublished,
    /// Forged: the domain publishes what cannot repudiate (`~all` alone, a set over budget).
    Soft,
    /// Forged: the domain's SPF record lets half of the Internet in, or all of it.
    OverWide,
    /// Forged: the domain's DNS always fails.
    Failing,
    /// Forged, by a host that the domain lists: a relay in a forger's hands.
    Captive,
}

impl Class {
    /// All of them, in the order of [`Tally::classes`].
    pub const ALL: [Self; 12] = [
        Self::Registered,
        Self::Declared,
        Self::Report,
        Self::Undeclared,
        Self::Outside,
        Self::Laundered,
        Self::Nowhere,
        Self::Unpublished,
        Self::Soft,
        Self::OverWide,
        Self::Failing,
        Self::Captive,
    ];

    /// The stable word, for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Declared => "declared_forwarder",
            Self::Report => "report",
            Self::Undeclared => "undeclared_forwarder",
            Self::Outside => "forged_outside",
            Self::Laundered => "forged_laundered",
            Self::Nowhere => "forged_nowhere",
            Self::Unpublished => "forged_unpublished",
            Self::Soft => "forged_soft",
            Self::OverWide => "forged_over_wide",
            Self::Failing => "forged_failing_dns",
            Self::Captive => "captive_relay",
        }
    }

    /// True mail that must never be refused.
    pub const fn is_legitimate(self) -> bool {
        matches!(self, Self::Registered | Self::Declared | Self::Report)
    }

    /// Mail whose reverse-path is not its sender's.
    pub const fn is_forged(self) -> bool {
        !self.is_legitimate() && !matches!(self, Self::Undeclared)
    }
}

/// What became of the messages of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fates {
    /// Sent.
    pub sent: u64,
    /// Sent to a site that checks.
    pub sent_to_checking: u64,
    /// Refused because of what it says it is from, or put off until its sender gave up.
    pub refused: u64,
    /// Of those, the ones sent to a site that checks.
    pub refused_by_checking: u64,
    /// Of those refused, the ones that were only put off: nobody came back.
    pub gave_up: u64,
    /// Taken for a recipient later than four hours after it was sent.
    pub late: u64,
    /// Taken, and marked as repudiated: it had come through a backup host that queues.
    pub marked: u64,
}

/// Everything that is counted at one level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages by class.
    classes: [Fates; Class::ALL.len()],
    /// Reports sent to a reverse-path whose owner had not sent the message: by sites that check,
    pub innocent_by_adopters: u64,
    /// and by sites that do not.
    pub innocent_by_others: u64,
    /// Failures of which the true sender never hears.
    pub missing: u64,
    /// Verdicts given on true mail.
    pub true_verdicts: u64,
    /// Questions that these cost, not counting what lay in the receiver's cache.
    pub true_questions: u64,
    /// Verdicts given on forged mail.
    pub forged_verdicts: u64,
    /// Questions that these cost.
    pub forged_questions: u64,
    /// Questions of all verdicts, what lay in the cache included.
    pub all_questions: u64,
    /// Verdicts that were tempfail.
    pub tempfails: u64,
}

impl Tally {
    /// What became of a class.
    pub fn of(&self, class: Class) -> Fates {
        self.classes
            .get(class as usize)
            .copied()
            .unwrap_or_default()
    }

    /// The same, to count in.
    pub fn count(&mut self, class: Class) -> &mut Fates {
        #[expect(clippy::indexing_slicing, reason = "as long as the list of classes")]
        &mut self.classes[class as usize]
    }

    /// The sum over some classes.
    pub fn sum(&self, wanted: impl Fn(Class) -> bool) -> Fates {
        let mut sum = Fates::default();
        for class in Class::ALL.into_iter().filter(|class| wanted(*class)) {
            let fates = self.of(class);
            sum.sent += fates.sent;
            sum.sent_to_checking += fates.sent_to_checking;
            sum.refused += fates.refused;
            sum.refused_by_checking += fates.refused_by_checking;
            sum.gave_up += fates.gave_up;
            sum.late += fates.late;
            sum.marked += fates.marked;
        }
        sum
    }

    /// True mail that is refused; there must be none.
    pub fn legitimate_refused(&self) -> u64 {
        self.sum(Class::is_legitimate).refused
    }
}
