//! What an operator has said of one message, and how it is said.
//!
//! Orders are kept with the message and are as durable as its progress. An [`Amendment`] is one more
//! settlement: it has a number like every other, the newest counts, and it is there after a crash or it
//! was never acknowledged.
//!
//! Left to others: what a next hop's text means, and who may say any of this.

use vouchsafe_proto::time::Wall;

use crate::Report;

/// What holds for a message until somebody says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// It is not tried: it stands in no lane. Its sender still hears in time, of the delay and of the
    /// end ([`crate::Ask::overdue`]).
    pub held: bool,
    /// Where it goes instead of where its recipients' routes lead: a next hop as the configuration
    /// writes it.
    pub next_hop: Option<Box<str>>,
}

/// One word of an operator.
#[derive(Debug)]
pub enum Amendment {
    /// Not to be tried.
    Hold,
    /// To be tried again, due when it was.
    Release,
    /// Due at this moment; nothing else changes, so one that is held stays so.
    Retry(Wall),
    /// Other way, and due at this moment.
    Reroute {
        /// As [`Orders::next_hop`]; `None` for where its recipients' routes lead.
        next_hop: Option<Box<str>>,
        /// When.
        due: Wall,
    },
    /// The message leaves, and these reports are taken into custody; all in one step.
    Remove(Vec<Report>),
}
