//! Our trace fields above a message (RFC 5321 §4.4), made when all of it is known.
//!
//! From the top: `Authentication-Results`, `Received-SPF`, `Received`. What was found about a message
//! stands above the `Received` of the host that found it, so that a reader knows whose it is
//! (RFC 8601 §4, RFC 7208 §9.1).

use alloc::boxed::Box;

use super::session::{Session, Turn};
use crate::envelope::Recipient;
use crate::message::Received;
use crate::queue_id::QueueId;
use crate::smtp::command::Mail;
use crate::verify::told::Told;
use crate::verify::{Verdict, VerdictResult};

impl Session {
    /// What stands above the message that has ended: whole lines. `result` is what was made of the
    /// verdict.
    pub(super) fn trace(
        &self,
        mail: &Mail,
        recipients: &[Recipient],
        (verdict, result): (&Verdict, VerdictResult),
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
            recipient: only(recipients).map(|only| &only.path),
            at: turn.now.wall,
        };
        let told = Told {
            verdict,
            result,
            reverse_path: &mail.reverse_path,
            helo: &self.client_helo(),
            authserv_id: &self.settings.authserv_id,
            receiver: &self.settings.hostname,
        };
        let mut fields = told.to_fields();
        let received = received.to_field();
        if fields.is_empty() {
            return received.into_boxed_str();
        }
        fields.push_str(&received);
        fields.into_boxed_str()
    }
}

/// The only element, if there is just one.
fn only<T>(of: &[T]) -> Option<&T> {
    match of {
        [one] => Some(one),
        _ => None,
    }
}
