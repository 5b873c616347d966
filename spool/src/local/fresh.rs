//! Messages that have just been taken, kept in memory until they leave: most leave at once, and then
//! nothing of them need be read from the disk.
//!
//! Promises: what is given here is what became durable, octet for octet; the memory is bounded; a
//! message that is not here is in the log all the same. What is taken while there is no room is not
//! kept, unless older ones have stayed for long: a backlog leaves in the order in which it came, so
//! the next to leave are those that are here already.
//!
//! Left to others: when a message is taken (`committer`), leased (`leasing`) and gone.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;

use crate::{Content, ContentError, Entry, Pending};

/// Octets of memory for all of them.
const MOST: usize = 8 * 1024 * 1024;

/// Octets of content of one of them, and of trace fields: what is larger gains little.
pub(super) const LARGEST: usize = 16 * 1024;

/// What a message takes beside its content, and each of its recipients, more or less.
const BESIDES: usize = 512;

/// How long a message is kept where others want its room: it waits for something.
const STAY: Duration = Duration::from_secs(2);

/// The messages that are kept, by arrival.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    messages: BTreeMap<QueueId, Kept>,
    /// Octets of them.
    octets: usize,
}

/// One message.
#[derive(Debug)]
struct Kept {
    /// As it was taken; none once it was leased.
    entry: Option<Box<Entry>>,
    trace: Bytes,
    content: Bytes,
    /// Octets that it takes.
    octets: usize,
}

impl Fresh {
    /// Keeps a message that has just become durable, if there is room; `now` is the time.
    pub(super) fn put(&mut self, entry: Box<Entry>, mut content: Vec<u8>, now: Wall) {
        content.shrink_to_fit();
        let trace = entry.envelope.trace.len();
        let parts = entry.envelope.recipients.len().saturating_add(1);
        // In the entry, and beside the content.
        let besides = parts.saturating_mul(BESIDES).saturating_add(2 * trace);
        let octets = content.len().saturating_add(besides);
        if trace > LARGEST {
            return;
        }
        while self.octets.saturating_add(octets) > MOST {
            let first = self.messages.first_key_value().map(|(id, _)| *id);
            match first.filter(|id| now.since(id.arrived()) > STAY) {
                Some(stale) => self.forget(stale),
                None => return,
            }
        }
        let id = entry.id;
        let kept = Kept {
            trace: Bytes::copy_from_slice(entry.envelope.trace.as_bytes()),
            content: Bytes::from(content),
            entry: Some(entry),
            octets,
        };
        self.octets = self.octets.saturating_add(octets);
        if let Some(before) = self.messages.insert(id, kept) {
            self.octets = self.octets.saturating_sub(before.octets);
        }
    }

    /// True if [`Fresh::take`] would give the message.
    pub(super) fn has(&self, id: QueueId) -> bool {
        let kept = self.messages.get(&id);
        kept.is_some_and(|kept| kept.entry.is_some())
    }

    /// The message as it was taken, for its first lease. Its content stays.
    pub(super) fn take(&mut self, id: QueueId) -> Option<Box<Entry>> {
        self.messages.get_mut(&id)?.entry.take()
    }

    /// The content of a message.
    pub(super) fn content(&self, id: QueueId) -> Option<AtHand> {
        let kept = self.messages.get(&id)?;
        Some(AtHand([kept.trace.clone(), kept.content.clone()]))
    }

    /// The message has left, or will be long in coming.
    pub(super) fn forget(&mut self, id: QueueId) {
        if let Some(kept) = self.messages.remove(&id) {
            self.octets = self.octets.saturating_sub(kept.octets);
        }
    }
}

/// Content that is in memory: what is left of it.
#[derive(Debug)]
pub(super) struct AtHand([Bytes; 2]);

impl Content for AtHand {
    fn next(&mut self) -> Pending<'_, Result<Option<Bytes>, ContentError>> {
        let next = self.0.iter_mut().find(|piece| !piece.is_empty());
        Box::pin(std::future::ready(Ok(next.map(std::mem::take))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Orders, Progress};
    use vouchsafe_proto::addr::{ForwardPath, ReversePath};
    use vouchsafe_proto::envelope::{Envelope, Origin};
    use vouchsafe_proto::verify::VerdictResult;

    const NOW: Wall = Wall::from_secs(1_795_256_100);

    fn entry(number: u64) -> Box<Entry> {
        let path = ForwardPath::parse_inside("b@example.org").unwrap();
        let mut envelope = Envelope::plain(
            ReversePath::Null,
            VerdictResult::Unknown,
            Origin::Ourselves,
            [path],
        );
        envelope.trace = "Received: here\r\n".into();
        Box::new(Entry {
            id: QueueId::new(NOW, number),
            envelope,
            arrived: NOW,
            size: 1,
            progress: vec![Progress::Waiting(None)],
            attempts: 0,
            due: NOW,
            delay_reported: false,
            orders: Orders::default(),
            deadline_reported: false,
            active: true,
        })
    }

    #[tokio::test]
    async fn an_entry_is_given_once_and_content_as_often_as_is_asked() {
        let mut fresh = Fresh::default();
        let id = entry(1).id;
        fresh.put(entry(1), b"\r\nhello\r\n".to_vec(), NOW);
        assert_eq!(fresh.take(id), Some(entry(1)));
        assert_eq!(fresh.take(id), None);
        for _ in 0..2 {
            let mut content = fresh.content(id).unwrap();
            let mut whole = Vec::new();
            while let Some(piece) = content.next().await.unwrap() {
                whole.extend_from_slice(&piece);
            }
            assert_eq!(whole, b"Received: here\r\n\r\nhello\r\n");
        }
        fresh.forget(id);
        assert!(fresh.content(id).is_none());
        assert_eq!(fresh.octets, 0);
    }

    #[test]
    fn memory_is_bounded_and_only_what_has_stayed_for_long_makes_room() {
        let mut fresh = Fresh::default();
        let most = u64::try_from(MOST / LARGEST).unwrap();
        for number in 0..2 * most {
            fresh.put(entry(number), vec![0; LARGEST], NOW);
        }
        assert!(fresh.octets <= MOST && fresh.octets > MOST - 2 * LARGEST);
        assert!(fresh.take(entry(0).id).is_some() && fresh.take(entry(2 * most - 1).id).is_none());
        let late = NOW.plus(STAY * 2);
        for number in 2 * most..3 * most {
            fresh.put(entry(number), vec![0; LARGEST], late);
        }
        assert!(fresh.octets <= MOST);
        assert!(fresh.content(entry(0).id).is_none());
        assert!(fresh.content(entry(3 * most - 1).id).is_some());
    }
}
