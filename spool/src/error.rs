//! What can go wrong, one small enum an operation.
//!
//! Those that can end a transaction say what the peer is told: bland, and transient, since nothing
//! here is the peer's fault.

use std::io;

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;

/// Why no message can be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// A barrier has failed before; nothing is taken until the next start.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// Less room than the configured reserve.
    #[error("no room left")]
    NoSpace,
    /// No random numbers for a name.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
}

/// Why content could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A barrier has failed before.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// The disk is full.
    #[error("no room left")]
    NoSpace,
    /// The write failed.
    #[error("writing content")]
    Write(#[source] io::Error),
}

/// Why what was appended could not be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadBackError {
    /// A barrier has failed before: the message cannot be had.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// A piece was not written, or the read failed.
    #[error("reading content back")]
    Read(#[source] io::Error),
}

/// Why a message is not in custody.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A barrier has failed, now or before.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// The disk is full.
    #[error("no room left")]
    NoSpace,
    /// The envelope has no recipient.
    #[error("no recipients")]
    NoRecipients,
    /// Something failed before the barrier; nothing of the message is kept.
    #[error("storing the message")]
    Write(#[source] io::Error),
}

/// Why nothing could be leased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// A barrier has failed before: what would be delivered could not be recorded.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// The disk is so full that what would be delivered could not be recorded. To be asked again
    /// in a while.
    #[error("no room left")]
    NoSpace,
    /// The index could not be read.
    #[error("reading the queue")]
    Read(#[source] io::Error),
}

/// Why one message could not be leased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// A barrier has failed before: nothing could be recorded.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// The message is not there, or cannot be read as one.
    #[error("message {0} is not in the queue")]
    Unknown(QueueId),
    /// Somebody has a lease on it.
    #[error("message {0} is in hand at this moment")]
    InHand(QueueId),
    /// It could not be read.
    #[error("reading the queue")]
    Read(#[source] io::Error),
}

/// Why an outcome could not be recorded. The lease is gone, and what was to be recorded with it:
/// the message will be tried again, after a restart or, if there was no room, in a minute.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// A barrier has failed, now or before.
    #[error("the spool is closed after a failed write")]
    Poisoned,
    /// The disk is full.
    #[error("no room left")]
    NoSpace,
    /// The message is not there, or the lease is not one of this spool.
    #[error("message {0} is not in the queue")]
    Unknown(QueueId),
    /// The settlement speaks of more or fewer recipients than the envelope.
    #[error("progress of {found} recipients for message {id}, which has {wanted}")]
    Recipients {
        /// The message.
        id: QueueId,
        /// In the settlement.
        found: usize,
        /// In the envelope.
        wanted: usize,
    },
    /// A report has no recipient.
    #[error("a report without recipients")]
    NoRecipients,
    /// Something failed before the barrier; nothing of the settlement is kept.
    #[error("recording the outcome")]
    Write(#[source] io::Error),
    /// No random numbers to name a report.
    #[error("no random numbers")]
    Random(#[source] getrandom::Error),
}

/// Why the queue could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The index could not be read.
    #[error("reading the queue")]
    Read(#[source] io::Error),
}

/// Why content could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The message is not there.
    #[error("message {0} is not in the queue")]
    Unknown(QueueId),
    /// It could not be read, or is not what was written.
    #[error("reading content of {id}")]
    Read {
        /// The message.
        id: QueueId,
        /// What the layer below said.
        #[source]
        source: io::Error,
    },
}

/// 452 for a full disk (RFC 5321 §4.2.2), 451 for all else.
fn reply(full: bool) -> Reply {
    if full {
        Reply::new(
            452,
            (4, 3, 1),
            "insufficient system storage, try again later",
        )
    } else {
        Reply::new(451, (4, 3, 0), "local trouble, try again later")
    }
}

impl BeginError {
    /// What the peer is told.
    pub fn reply(&self) -> Reply {
        reply(matches!(self, Self::NoSpace))
    }
}

impl AppendError {
    /// What the peer is told.
    pub fn reply(&self) -> Reply {
        reply(matches!(self, Self::NoSpace))
    }
}

impl ReadBackError {
    /// What the peer is told, where nothing can be said without it.
    pub fn reply(&self) -> Reply {
        reply(false)
    }
}

impl CommitError {
    /// What the peer is told.
    pub fn reply(&self) -> Reply {
        reply(matches!(self, Self::NoSpace))
    }
}
