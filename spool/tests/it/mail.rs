//! Messages to test with, and short forms for what every test does with them.

use bytes::Bytes;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{BodyType, Envelope, Origin};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{
    Ask, CommitError, ContentError, Lease, LocalSpool, Progress, Report, Settlement, Spool,
};

/// A moment in the tests' time.
pub const fn at(seconds: u64) -> Wall {
    Wall::from_secs(1_795_000_000 + seconds)
}

/// An envelope to these recipients.
pub fn envelope(recipients: &[&str]) -> Envelope {
    let path = |path: &&str| ForwardPath::parse_inside(path).unwrap();
    let origin = Origin::Client {
        address: "192.0.2.1".parse().unwrap(),
        helo: "mail.example.org".into(),
    };
    Envelope {
        body: BodyType::EightBitMime,
        ..Envelope::plain(
            ReversePath::parse_inside("joe@example.org").unwrap(),
            VerdictResult::Authorised,
            origin,
            recipients.iter().map(path),
        )
    }
}

/// Content of `size` octets that no other `seed` gives.
pub fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut content = Vec::with_capacity(size + 8);
    while content.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(size);
    content
}

/// Takes a message in pieces of 5,000 octets.
pub async fn take(
    spool: &LocalSpool,
    now: Wall,
    due: Wall,
    content: &[u8],
) -> Result<QueueId, CommitError> {
    let mut draft = spool.begin(now).await.map_err(|error| match error {
        vouchsafe_spool::BeginError::Poisoned => CommitError::Poisoned,
        _ => CommitError::NoSpace,
    })?;
    for piece in content.chunks(5_000) {
        let taken = draft.append(Bytes::copy_from_slice(piece)).await;
        taken.map_err(|error| match error {
            vouchsafe_spool::AppendError::Poisoned => CommitError::Poisoned,
            vouchsafe_spool::AppendError::NoSpace => CommitError::NoSpace,
            vouchsafe_spool::AppendError::Write(error) => CommitError::Write(error),
            other => panic!("{other}"),
        })?;
    }
    let id = draft.id();
    let custody = draft.commit(envelope(&["ann@example.net"]), due).await?;
    assert_eq!(custody.queue_id(), id);
    Ok(id)
}

/// All of a message's content.
pub async fn read(spool: &LocalSpool, id: QueueId) -> Result<Vec<u8>, ContentError> {
    let mut content = spool.content(id).await?;
    let mut whole = Vec::new();
    while let Some(piece) = content.next().await? {
        assert!(!piece.is_empty() && piece.len() <= 64 * 1024);
        whole.extend_from_slice(&piece);
    }
    assert!(content.next().await.unwrap().is_none());
    Ok(whole)
}

/// Everything that is due.
pub async fn lease_all(spool: &LocalSpool, now: Wall) -> Vec<Lease> {
    spool
        .lease(now, Ask::up_to(usize::MAX))
        .await
        .unwrap()
        .leases
}

/// Delivered to everyone.
pub fn delivered(lease: &Lease) -> Settlement {
    let done = Progress::Done(Outcome::local((2, 0, 0), None, "delivered"));
    Settlement {
        progress: vec![done; lease.entry().envelope.recipients.len()],
        attempts: lease.entry().attempts + 1,
        due: None,
        later: Vec::new(),
        delay_reported: false,
        deadline_reported: false,
        reports: Vec::new(),
    }
}

/// To be tried again.
pub fn deferred(lease: &Lease, due: Wall) -> Settlement {
    let waiting = Progress::Waiting(Some(Outcome::local((4, 4, 1), None, "no answer")));
    Settlement {
        progress: vec![waiting; lease.entry().envelope.recipients.len()],
        attempts: lease.entry().attempts + 1,
        due: Some(due),
        later: Vec::new(),
        delay_reported: false,
        deadline_reported: false,
        reports: Vec::new(),
    }
}

/// A report to the reverse-path.
pub fn report(content: Vec<u8>) -> Report {
    Report {
        envelope: Envelope::plain(
            ReversePath::Null,
            VerdictResult::Unknown,
            Origin::Ourselves,
            [ForwardPath::parse_inside("joe@example.org").unwrap()],
        ),
        content: Bytes::from(content),
    }
}
