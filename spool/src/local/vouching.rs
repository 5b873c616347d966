//! What a group vouches for, into the ledger: the first step of its commit.

use std::sync::Arc;

use super::Shared;
use super::committer::{Operation, fail};
use super::group::Group;

/// Enters what a group vouches for, before anything of it is durable: what the ledger knows and nobody has taken harms
/// nobody, and the other way round a message could leave that it does not know. Gives what is left to be written.
pub(super) fn enter(shared: &Arc<Shared>, group: Group) -> Group {
    let entries = group.operations.iter().flat_map(Operation::entries);
    let entries: Vec<_> = entries.copied().collect();
    if entries.is_empty() {
        return group;
    }
    let entered = shared.enter(&entries);
    let [vouching, mut others] = group.parted(|operation| !operation.entries().is_empty());
    if let Err(failure) = entered {
        fail(shared, vouching.operations, &failure);
        return others;
    }
    for operation in vouching.operations {
        match operation {
            Operation::Vouch { reply, .. } => {
                let _ = reply.send(Ok(()));
            }
            Operation::Commit { mut new, reply } => {
                // They are there, and the group may be parted again.
                new.entries = Vec::new();
                others.push(Operation::Commit { new, reply });
            }
            other => others.push(other),
        }
    }
    others
}
