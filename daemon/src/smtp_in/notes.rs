//! What the log tells of a session: one line for each event that matters, under stable names.
//!
//! At `info`: verdicts on strangers, refusals, messages accepted or refused, silence. At `debug`: connections,
//! greetings, TLS. Every line stands in the span of its session (`session`, `client`); what a peer
//! said is escaped by [`log::Peer`].

use tracing::{debug, info};
use vouchsafe_proto::reply::ReplyClass;
use vouchsafe_proto::smtp::receive::{Accepted, Note};
use vouchsafe_proto::verify::{Evidence, Verdict};

use crate::log;
use crate::metrics::figures;

/// The word on a reverse-path, and why in a sentence. Of a client that we relay for nothing is asked,
/// and there is nothing to tell: the line about its message has the verdict.
pub(super) fn verdict(verdict: &Verdict, reverse_path: &str) {
    figures().mail.verdicts.count([verdict.result().as_str()]);
    if let [Evidence::RelayClient { .. }, ..] = verdict.evidence() {
        debug!(reverse_path = %log::Peer(reverse_path), "not verified: a client that we relay for");
        return;
    }
    let why = verdict.explanation();
    info!(
        verdict = %verdict.result(),
        reverse_path = %log::Peer(reverse_path),
        why = %log::Peer(&why),
        "verified"
    );
}

/// A fact that the machine found worth a line.
pub(super) fn note(note: &Note) {
    count(note);
    match note {
        Note::Hello { extended, helo } => debug!(extended, helo = %log::Peer(helo), "hello"),
        Note::OnBehalf { verb, client, helo } => info!(
            verb,
            speaks_for = %client.map_or_else(|| String::from("itself"), |client| client.to_string()),
            helo = %log::Peer(helo.as_deref().unwrap_or_default()),
            "speaks for another client"
        ),
        Note::TlsStarted { description } => debug!(tls = %description, "TLS started"),
        Note::Refused { command, reply } => {
            info!(command = %log::Peer(command), status = %log::Peer(reply), "refused");
        }
        Note::MailRefused {
            reverse_path,
            verdict,
            reply,
        } => info!(
            reverse_path = %log::Peer(reverse_path),
            %verdict,
            status = %log::Peer(reply),
            "reverse-path refused"
        ),
        Note::RecipientRefused {
            reverse_path,
            recipient,
            reply,
        } => info!(
            reverse_path = %log::Peer(reverse_path),
            recipient = %log::Peer(recipient),
            status = %log::Peer(reply),
            "recipient refused"
        ),
        Note::Accepted(message) => accepted(message),
        Note::ContentRefused {
            queue_id,
            reverse_path,
            size,
            reply,
        } => info!(
            %queue_id,
            reverse_path = %log::Peer(reverse_path),
            size,
            status = %log::Peer(reply),
            "message refused"
        ),
        Note::TimedOut { in_content } => info!(in_content, "timed out"),
        Note::MadeRoom => info!("made room for others: in no transaction"),
        Note::TooSlow { octets } => info!(octets, "content came too slowly"),
        Note::NoMail => info!("too many commands without mail"),
        Note::Disconnected {
            queue_id: Some(queue_id),
        } => info!(%queue_id, "left within a message, which is dropped"),
        Note::Disconnected { queue_id: None } => debug!("left without QUIT"),
        // The machine is in another crate, and its notes may grow.
        other => debug!(note = ?other, "note"),
    }
}

/// Brings a fact into the figures.
fn count(note: &Note) {
    let (of, reply) = match note {
        Note::Accepted(message) => {
            figures().mail.accepted.count([message.verdict.as_str()]);
            figures().mail.accepted_octets.inc_by(message.size);
            return;
        }
        Note::TlsStarted { .. } => {
            figures().sessions.tls.count(["in"]);
            return;
        }
        Note::Refused { reply, .. } => ("command", reply),
        Note::MailRefused { reply, .. } => ("reverse-path", reply),
        Note::RecipientRefused { reply, .. } => ("recipient", reply),
        Note::ContentRefused { reply, .. } => ("message", reply),
        _ => return,
    };
    let class = match reply.class() {
        ReplyClass::Permanent => "5yz",
        _ => "4yz",
    };
    figures().mail.refusals.count([of, class]);
}

/// A message that is ours now.
fn accepted(message: &Accepted) {
    info!(
        queue_id = %message.queue_id,
        reverse_path = %log::Peer(&message.reverse_path),
        recipients = %log::Peer(log::Joined(&message.recipients)),
        size = message.size,
        verdict = %message.verdict,
        custody = if message.is_onward { "onward" } else { "queue" },
        "accepted"
    );
}
