//! What the content of a message says about its reverse-path: asked at the end of data, when the
//! message lies in a draft and nothing has been promised.
//!
//! The draft is given back whatever comes of it. Of the message no more is in memory than there is
//! room for, and only as long as its signatures are looked at.

use std::net::IpAddr;
use std::sync::Arc;

use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::smtp::receive::Answer;
use vouchsafe_proto::verify::Verdict;
use vouchsafe_proto::verify::dkim::{Report, Skipped};
use vouchsafe_spool::Draft;

use super::Site;
use super::world::{Told, Trouble};

/// What is asked of the content.
pub(super) struct About {
    /// What was known before.
    pub(super) verdict: Arc<Verdict>,
    /// MAIL FROM's argument.
    pub(super) reverse_path: ReversePath,
    /// Who gave it, on whose account the keys are asked for.
    pub(super) client: IpAddr,
    /// Octets of the content.
    pub(super) size: u64,
}

/// The verdict with what the signatures say.
pub(super) async fn judge(site: &Site, about: About, mut draft: Box<dyn Draft>) -> Told {
    let report = signatures(site, &about, &mut *draft).await;
    let evidence = site.verifier.about_content(report, about.reverse_path);
    let verdict = about.verdict.with([evidence]).without_steps();
    Told {
        draft: Some(draft),
        ..Answer::Verdict(Arc::new(verdict)).into()
    }
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
