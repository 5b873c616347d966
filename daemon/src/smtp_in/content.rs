//! What the content of a message says about its reverse-path, and its domain about the content: asked
//! at the end of data, when the message lies in a draft and nothing has been promised.
//!
//! The draft is given back whatever comes of it; there is none where a claim has let all of it go on as it came. Of the message no more is in memory than there is
//! room for, and only as long as its signatures are looked at; for the ledger it is read in pieces.

use std::net::IpAddr;
use std::sync::Arc;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::dsn::recognise::MAX_READ;
use vouchsafe_proto::residue::covered::{Covered, NoDigest, Reader};
use vouchsafe_proto::smtp::receive::Answer;
use vouchsafe_proto::verify::Verdict;
use vouchsafe_proto::verify::bounce::{Finding, Unclear};
use vouchsafe_proto::verify::dkim::{Report, Skipped};
use vouchsafe_proto::verify::ledger::NotAsked;
use vouchsafe_spool::Draft;

use super::Site;
use super::world::{Told, Trouble};
use crate::clock;
use crate::history::event::{Event, Lines, Note, Words};
use crate::ledger::Sha256;
use crate::verify::bounce::look;
use crate::verify::ledger::Message;

/// What is asked of the content.
pub(super) struct About {
    /// What was known before.
    pub(super) verdict: Arc<Verdict>,
    /// MAIL FROM's argument.
    pub(super) reverse_path: ReversePath,
    /// Who gave it, on whose account the keys are asked for.
    pub(super) client: IpAddr,
    /// Those accepted.
    pub(super) recipients: Vec<ForwardPath>,
    /// It has signatures that are to be looked at.
    pub(super) is_signed: bool,
    /// It may be a report, about something that was sent from here or was not.
    pub(super) is_report: bool,
    /// Octets of the content.
    pub(super) size: u64,
}

/// The verdict with what the signatures say, and then, where that leaves it open, the domain itself. Without a draft only
/// what is covered can be asked about.
pub(super) async fn judge(
    site: &Site,
    about: About,
    mut draft: Option<Box<dyn Draft>>,
    claimed: Option<Result<Covered, NoDigest>>,
) -> Told {
    let mut verdict = Verdict::clone(&about.verdict);
    if let Some(draft) = draft.as_deref_mut() {
        verdict = by_draft(site, &about, verdict, draft).await;
    }
    if verdict.asks_ledger() {
        let message = Message {
            covered: match (claimed, draft.as_deref_mut()) {
                (Some(claimed), _) => claimed.map_err(|_| NotAsked::NoDigest),
                (None, Some(draft)) => covered(draft).await,
                (None, None) => Err(NotAsked::Trouble),
            },
            reverse_path: &about.reverse_path,
            recipients: &about.recipients,
            client: about.client,
        };
        let (judged, alarms) = site.verifier.ask_ledger(&verdict, message).await;
        verdict = judged;
        if let Some(draft) = draft.as_deref().filter(|_| alarms) {
            note(site, &verdict, draft);
        }
    }
    let verdict = verdict.without_steps();
    Told {
        draft,
        ..Answer::Verdict(Arc::new(verdict)).into()
    }
}

/// The verdict with what can be known of the message in its draft alone.
async fn by_draft(
    site: &Site,
    about: &About,
    mut verdict: Verdict,
    draft: &mut dyn Draft,
) -> Verdict {
    if about.is_signed {
        let report = signatures(site, about, draft).await;
        let path = about.reverse_path.clone();
        verdict = verdict.with([site.verifier.about_content(report, path)]);
    }
    if about.is_report {
        let finding = bounce(site, about, draft).await;
        verdict = verdict.with([site.verifier.about_report(finding)]);
    }
    verdict
}

/// What its signatures come to.
async fn signatures(site: &Site, about: &About, draft: &mut dyn Draft) -> Report {
    let dkim = site.verifier.dkim();
    let room = match dkim.room_for(about.size).await {
        Ok(room) => room,
        Err(skipped) => return Report::skipped(skipped),
    };
    let at_most = usize::try_from(about.size).unwrap_or(usize::MAX);
    match draft.read_back(at_most).await {
        Ok(Some(message)) => dkim.verify_in(room, about.client, message).await,
        Ok(None) => Report::skipped(Skipped::TooLarge),
        Err(error) => {
            Trouble::new("cannot read a message back", &error).report();
            Report::skipped(Skipped::Busy)
        }
    }
}

/// What our own ledger says of the message that it is about.
async fn bounce(site: &Site, about: &About, draft: &mut dyn Draft) -> Finding {
    let mut message = Vec::new();
    for number in 0.. {
        match draft.piece(number).await {
            Ok(Some(piece)) if message.len() < MAX_READ => message.extend_from_slice(&piece),
            Ok(_) => break,
            Err(error) => {
                Trouble::new("cannot read a message back", &error).report();
                return Finding::Unclear(Unclear::Trouble);
            }
        }
    }
    let (ledger, recipients) = (site.sent(), about.recipients.clone());
    let now = clock::now().wall;
    let looking = tokio::task::spawn_blocking(move || look(&ledger, &message, &recipients, now));
    let unknown = Finding::Unclear(Unclear::Trouble);
    looking.await.unwrap_or(unknown)
}

/// Has `trace` tell of a message that gave alarm and is put off: nothing else of it stays here.
fn note(site: &Site, verdict: &Verdict, draft: &dyn Draft) {
    let (Some(notebook), Some(reply)) = (&site.ahead.notebook, verdict.refusal()) else {
        return;
    };
    let event = Event::Refused {
        reply: Words::Shown(&reply),
    };
    let mut lines = Lines::default();
    lines.push(&Note::new(draft.id(), clock::now().wall, event));
    notebook.note(draft.id(), &lines);
}

/// What of the message its digest covers.
async fn covered(draft: &mut dyn Draft) -> Result<Covered, NotAsked> {
    let mut reader = Reader::<Sha256>::default();
    for number in 0.. {
        match draft.piece(number).await {
            Ok(Some(piece)) => reader.read(&piece),
            Ok(None) => break,
            Err(error) => {
                Trouble::new("cannot read a message back", &error).report();
                return Err(NotAsked::Trouble);
            }
        }
    }
    reader.finish().map_err(|_| NotAsked::NoDigest)
}
