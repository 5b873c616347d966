//! The verdict on mail that an outer host of ours has queued: about the client that it had
//! (PROTOCOLS A.4).

use std::sync::Arc;

use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::message::received::Run;
use vouchsafe_proto::smtp::receive::{Found, Presenter};
use vouchsafe_proto::verify::Verdict;

use super::Verifier;

impl Verifier {
    /// Who stands behind the perimeter by these fields, and what the reverse-path is worth from
    /// there.
    pub async fn outside(
        self: &Arc<Self>,
        reverse_path: ReversePath,
        recipients: &[ForwardPath],
        run: &Run,
    ) -> Option<Found> {
        let outside = run.outside_client(|address| self.perimeter.contains(address))?;
        let presenter = Presenter {
            helo: outside.helo.unwrap_or_default(),
            client: outside.address,
        };
        let helo = presenter.helo.clone();
        let verdict = self.verify(reverse_path, helo, presenter.client).await;
        let verdict = self.cleared_for_all(verdict, recipients, &presenter).await;
        Some(Found { presenter, verdict })
    }

    /// A refusal that something declared for *each* recipient clears is none. All of them were
    /// accepted before anybody knew of this client, and the message has one verdict.
    async fn cleared_for_all(
        self: &Arc<Self>,
        verdict: Arc<Verdict>,
        recipients: &[ForwardPath],
        presenter: &Presenter,
    ) -> Arc<Verdict> {
        if !verdict.result().refuses() {
            return verdict;
        }
        let mut cleared = None;
        for recipient in recipients {
            let Presenter { helo, client } = presenter;
            let evidence = self.about_recipient(recipient, helo, *client).await;
            let with = verdict.with(evidence);
            if with.result().refuses() {
                return verdict;
            }
            cleared = Some(with);
        }
        cleared.map_or(verdict, Arc::new)
    }
}
