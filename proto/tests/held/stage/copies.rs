//! What a stage remembers of copies that may come again (XTID), as the daemon does; the digest of content is the
//! content itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::custody::{Earlier, Whither};
use vouchsafe_proto::cutthrough::{Input as Given, Opens, Way};
use vouchsafe_proto::envelope::Recipient;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::smtp::xhold::{BelowTrace, TransactionId};

use super::{Stage, Surroundings};

/// Whose copy of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub client: IpAddr,
    pub id: TransactionId,
    pub reverse_path: ReversePath,
    pub recipient: ForwardPath,
}

/// What is remembered: content without the trace fields at its top, and what its 250 said.
#[derive(Clone, Debug)]
struct Kept {
    /// None where it is like any.
    content: Option<Vec<u8>>,
    earlier: Earlier,
}

/// All copies.
#[derive(Debug, Default)]
pub struct Copies {
    kept: BTreeMap<Key, Kept>,
    in_hand: BTreeSet<Key>,
}

impl Copies {
    /// Another session of the same client is bringing this one to its end.
    pub fn take(&mut self, key: Key) {
        self.in_hand.insert(key);
    }

    /// It has; where it was taken it was the same as any that comes.
    pub fn let_go(&mut self, key: Key, taken: Option<QueueId>) {
        assert!(self.in_hand.remove(&key), "it is not in hand");
        let kept = taken.map(|queue_id| Kept {
            content: None,
            earlier: Earlier {
                queue_id,
                whither: Whither::Onward,
            },
        });
        self.kept.extend(kept.map(|kept| (key, kept)));
    }

    fn earlier(&self, key: &Key, content: &[u8]) -> Option<Earlier> {
        let kept = self.kept.get(key)?;
        let same = kept.content.as_deref().is_none_or(|known| known == content);
        same.then_some(kept.earlier)
    }
}

/// The copy that a transaction is of.
pub(super) struct Copy {
    client: IpAddr,
    id: TransactionId,
    reverse_path: ReversePath,
    below: BelowTrace,
    content: Vec<u8>,
    /// Its recipients, from the end of the content on.
    keys: Vec<Key>,
}

impl Copy {
    pub(super) fn of(client: IpAddr, hold: &Hold) -> Option<Self> {
        Some(Self {
            client,
            id: hold.through.id.clone()?,
            reverse_path: hold.reverse_path.clone(),
            below: BelowTrace::default(),
            content: Vec::new(),
            keys: Vec::new(),
        })
    }

    fn key(&self, recipient: &ForwardPath) -> Key {
        Key {
            client: self.client,
            id: self.id.clone(),
            reverse_path: self.reverse_path.clone(),
            recipient: recipient.clone(),
        }
    }

    /// A piece of the content.
    pub(super) fn read(&mut self, piece: &[u8]) {
        let Self { below, content, .. } = self;
        below.read(piece, |octets| content.extend_from_slice(octets));
    }

    /// No more comes, and this is for whom it came.
    fn finish(&mut self, recipients: &[Recipient]) {
        let Self { below, content, .. } = self;
        std::mem::take(below).finish(|octets| content.extend_from_slice(octets));
        self.keys = recipients.iter().map(|each| self.key(&each.path)).collect();
    }
}

fn in_hand() -> Reply {
    Reply::new(
        451,
        (4, 4, 5),
        "this copy is in hand already, try again later",
    )
}

impl<S: Surroundings> Stage<S> {
    /// Nothing is passed on of a recipient that has come before, until its content has come and is another.
    pub(super) fn look_up(&self, hold: &Hold, way: &mut Way) -> Result<(), Reply> {
        let Some(copy) = &self.copy else {
            return Ok(());
        };
        let key = copy.key(&hold.recipient.path);
        if self.copies.in_hand.contains(&key) {
            return Err(in_hand());
        }
        if self.copies.kept.contains_key(&key)
            && let Way::Held { opens, .. } = way
        {
            *opens = Opens::UnlessRepeated;
        }
        Ok(())
    }

    /// The content is whole: the copy is taken in hand, and whoever has had it gets it no second time.
    pub(super) fn look_back(&mut self) -> Result<(), Reply> {
        let Some(copy) = &mut self.copy else {
            return Ok(());
        };
        copy.finish(&self.recipients);
        let Copies { in_hand: hands, .. } = &mut self.copies;
        if copy.keys.iter().any(|key| hands.contains(key)) {
            copy.keys.clear();
            return Err(in_hand());
        }
        hands.extend(copy.keys.iter().cloned());
        let numbered = copy.keys.iter().enumerate();
        let earlier: Vec<_> = numbered
            .filter_map(|(place, key)| Some((place, self.copies.earlier(key, &copy.content)?)))
            .collect();
        if !earlier.is_empty() {
            self.path_step(Given::Repeated(earlier));
        }
        Ok(())
    }

    /// For these it was taken under this name, or could not be stored.
    pub(super) fn remember(&mut self, places: &[usize], taken: Option<(QueueId, Whither)>) {
        let Some(copy) = &self.copy else {
            return;
        };
        for key in places.iter().filter_map(|place| copy.keys.get(*place)) {
            self.copies.kept.remove(key);
            if let Some((queue_id, whither)) = taken {
                let kept = Kept {
                    content: Some(copy.content.clone()),
                    earlier: Earlier { queue_id, whither },
                };
                self.copies.kept.insert(key.clone(), kept);
            }
        }
    }

    /// What the next hops have is remembered; then the copy is let go, and its client hears of it.
    pub(super) fn remember_delivered(&mut self) {
        let path = self.path.as_ref().unwrap();
        let delivered: Vec<_> = path.delivered().collect();
        self.remember(&delivered, Some((self.queue_id, Whither::Onward)));
        for key in self.copy.take().iter().flat_map(|copy| &copy.keys) {
            self.copies.in_hand.remove(key);
        }
    }
}
