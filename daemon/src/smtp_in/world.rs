//! The world as a session's machine asks for it: each question goes to the one who knows.
//!
//! A question becomes a future that owns all it needs, so that the session can keep an eye on its
//! timer, and on the service's end, while the answer is on its way.

use std::pin::Pin;
use std::sync::Arc;

use tracing::{Instrument as _, Span, error};
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::route::RouteError;
use vouchsafe_proto::smtp::receive::{Answer, Ask, Peer, Presenter};
use vouchsafe_spool::{CommitError, Draft};

use super::Site;
use super::content::{self, About};
use crate::clock;
use crate::metrics::{Watch, figures};

/// An answer on its way, with the draft if it begins one.
pub(super) type Asking = Pin<Box<dyn Future<Output = Told> + Send>>;

/// What came of a question.
pub(super) struct Told {
    /// For the machine.
    pub(super) answer: Answer,
    /// The message that was begun.
    pub(super) draft: Option<Box<dyn Draft>>,
    /// Our own trouble with it, for the log.
    pub(super) trouble: Option<Trouble>,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            draft: None,
            trouble: None,
        }
    }
}

/// What the log says of that which the peer is told blandly.
pub(super) struct Trouble {
    /// What could not be done.
    what: &'static str,
    /// Why, with its causes.
    error: String,
}

impl Trouble {
    /// This could not be done, for this reason.
    pub(super) fn new(what: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            what,
            error: crate::log::chain(error),
        }
    }

    /// Says it; within the session's span.
    pub(super) fn report(&self) {
        error!(error = %self.error, "{}", self.what);
    }
}

/// Takes a question to the one who knows. `draft` is the message that was begun, which a commit
/// takes along; what is said on the way to an answer is said within `span`.
pub(super) fn ask(
    site: &Arc<Site>,
    peer: Peer,
    ask: Ask,
    draft: &mut Option<Box<dyn Draft>>,
    span: &Span,
) -> Asking {
    let site = Arc::clone(site);
    match ask {
        Ask::Verify {
            reverse_path,
            helo,
            client,
        } => match site.verifier.of_relay_client(&reverse_path, client) {
            Some(verdict) => ready(Answer::Verdict(verdict)),
            None => within(span, async move {
                let watch = Watch::start();
                let verdict = site.verifier.verify(reverse_path, helo, client).await;
                watch.stop(&figures().mail.verdict_duration);
                Answer::Verdict(verdict).into()
            }),
        },
        Ask::Recipient { recipient, doubted } => {
            match (site.routes.route(&recipient, peer.may_relay), doubted) {
                (Err(error), _) => ready(Answer::Recipient(Err(RouteError::reply(error)))),
                (Ok(_), None) => ready(Answer::Recipient(Ok(Vec::new()))),
                (Ok(_), Some(Presenter { helo, client })) => within(span, async move {
                    let verifier = &site.verifier;
                    let evidence = verifier.about_recipient(&recipient, &helo, client).await;
                    Answer::Recipient(Ok(evidence)).into()
                }),
            }
        }
        Ask::Peer(client) => ready(Answer::Peer(Peer {
            address: client,
            may_relay: site.routes.may_relay(client.ip()),
            ..peer
        })),
        Ask::Content {
            verdict,
            reverse_path,
            presenter,
            size,
        } => match draft.take() {
            Some(draft) => {
                let about = About {
                    verdict,
                    reverse_path,
                    client: presenter.client,
                    size,
                };
                within(
                    span,
                    async move { content::judge(&site, about, draft).await },
                )
            }
            None => ready(Answer::Verdict(verdict)),
        },
        Ask::Outside {
            reverse_path,
            recipients,
            run,
        } => within(span, async move {
            let verifier = &site.verifier;
            let found = verifier.outside(reverse_path, &recipients, &run).await;
            Answer::Outside(found.map(Box::new)).into()
        }),
        Ask::Begin { .. } => Box::pin(async move { begin(&site).await }),
        Ask::Commit(envelope) => {
            let draft = draft.take();
            Box::pin(async move { commit(draft, *envelope).await })
        }
    }
}

/// An answer that is there already.
pub(super) fn ready(answer: Answer) -> Asking {
    Box::pin(std::future::ready(answer.into()))
}

/// An answer that may take a while, and about which others may have something to log.
fn within(span: &Span, asking: impl Future<Output = Told> + Send + 'static) -> Asking {
    Box::pin(asking.instrument(span.clone()))
}

/// Begins a message in the spool.
async fn begin(site: &Site) -> Told {
    match site.spool.begin(clock::now().wall).await {
        Ok(draft) => Told {
            answer: Answer::Begun(Ok(draft.id())),
            draft: Some(draft),
            trouble: None,
        },
        Err(error) => Told {
            answer: Answer::Begun(Err(error.reply())),
            draft: None,
            trouble: Some(Trouble::new("cannot begin a message", &error)),
        },
    }
}

/// Brings a message into custody.
async fn commit(draft: Option<Box<dyn Draft>>, envelope: Envelope) -> Told {
    // Without a draft something was lost on the way here; nothing may be promised then.
    let watch = Watch::start();
    let committed = match draft {
        Some(draft) => draft.commit(envelope, clock::now().wall).await,
        None => Err(CommitError::Poisoned),
    };
    match committed {
        Ok(custody) => {
            watch.stop(&figures().mail.custody_duration);
            Answer::Committed(Ok(custody)).into()
        }
        Err(error) => Told {
            answer: Answer::Committed(Err(error.reply())),
            draft: None,
            trouble: Some(Trouble::new("cannot store a message", &error)),
        },
    }
}
