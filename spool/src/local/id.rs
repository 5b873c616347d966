//! Names for messages: the time as the caller knows it, and chance from the system.

use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

/// A name nobody can guess, for a message that arrived at `now`.
pub(super) fn draw(now: Wall) -> Result<QueueId, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(QueueId::new(now, u64::from_le_bytes(random)))
}
