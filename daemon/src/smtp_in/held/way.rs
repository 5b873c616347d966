//! Which way a recipient goes: down a path that is held, or through the queue.

use vouchsafe_proto::cutthrough::{Sender, Way};
use vouchsafe_proto::envelope::Notify;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::route::{PathMode, Route};
use vouchsafe_proto::smtp::receive::Hold;
use vouchsafe_proto::smtp::xhold::Mode;

use super::Held;

/// Who sends, as the 250 rule asks.
pub(super) fn sender(mail: &Hold) -> Sender {
    Sender {
        verdict: mail.verdict,
        is_null: mail.reverse_path.is_null(),
        was_queued: mail.opens.is_none(),
    }
}

impl Held {
    /// A recipient's way on, with what is known of it there.
    pub(super) fn way(&self, mail: &Hold, route: Route) -> Way {
        let mut way = way(mail, route, self.chain.mode());
        if let Way::Held {
            next_hop,
            remembered,
            ..
        } = &mut way
        {
            let known = &self.site.ahead.recipients;
            *remembered = known.refusal(next_hop, &mail.recipient.path);
        }
        way
    }
}

/// A recipient's way on. What asks for reports on success or by a deadline goes through the queue, which
/// makes them.
fn way(mail: &Hold, route: Route, mode: Mode) -> Way {
    let wants_success = matches!(
        mail.recipient.notify,
        Some(Notify::On { success: true, .. })
    );
    let is_special = mode == Mode::Prefer && (wants_success || mail.requests.deliver_by.is_some());
    let Some(opens) = mail.opens else {
        return Way::Stored;
    };
    match route.path {
        PathMode::Store => Way::Stored,
        PathMode::Hold if is_special && sender(mail).is_stored(route.when_unproven) => Way::Stored,
        PathMode::Hold => Way::Held {
            answers_each: route.next_hop.is_lmtp(),
            next_hop: route.next_hop,
            when_unproven: route.when_unproven,
            remembered: None,
            opens,
        },
    }
}

/// To RCPT, where nothing is to be stored (RFC 3463 X.4.0).
pub(super) fn is_stored_here() -> Reply {
    Reply::new(
        451,
        (4, 4, 0),
        "mail for this recipient is stored here, and not held",
    )
}
