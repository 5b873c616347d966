//! Our trace fields above a message (RFC 5321 §4.4), made when all of it is known.

use alloc::boxed::Box;

use super::session::{Session, Turn};
use crate::addr::ForwardPath;
use crate::message::Received;
use crate::queue_id::QueueId;
use crate::smtp::command::Mail;

impl Session {
    /// What stands above the message that has ended: whole lines.
    pub(super) fn trace(
        &self,
        mail: &Mail,
        recipients: &[ForwardPath],
        id: QueueId,
        turn: &Turn<'_>,
    ) -> Box<str> {
        let (helo, extended) = self
            .hello
            .as_ref()
            .map_or(("", false), |hello| (&*hello.name, hello.extended));
        let received = Received {
            helo,
            client: self.peer.address.ip(),
            by: &self.settings.hostname,
            extended,
            tls: self.tls.as_deref(),
            smtputf8: mail.smtputf8,
            id,
            recipient: only(recipients),
            at: turn.now.wall,
        };
        received.to_field().into_boxed_str()
    }
}

/// The only element, if there is just one.
fn only<T>(of: &[T]) -> Option<&T> {
    match of {
        [one] => Some(one),
        _ => None,
    }
}
