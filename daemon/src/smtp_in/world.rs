//! The world as a session's machine asks for it: each question goes to the one who knows.
//!
//! A question becomes a future that owns all it needs, so that the session can keep an eye on its
//! timer, and on the service's end, while the answer is on its way.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use tracing::{Instrument as _, Span, debug, error};
use vouchsafe_proto::addr::ReversePath;
use vouchsafe_proto::envelope::Envelope;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_proto::reply::Reply;
use vouchsafe_proto::residue::Claim;
use vouchsafe_proto::residue::covered::{Covered, NoDigest};
use vouchsafe_proto::route::RouteError;
use vouchsafe_proto::smtp::receive::{Answer, Ask, Begun, Hold, Peer, Presenter};
use vouchsafe_proto::verify::Verdict;
use vouchsafe_spool::ledger::Entry;
use vouchsafe_spool::{CommitError, Draft};

use super::Site;
use super::content::{self, About};
use super::held::{Ending, Held};
use crate::ledger::Vouched;
use crate::metrics::{Watch, figures};
use crate::{chance, clock};

/// An answer on its way, with what it gives back to be in hand.
pub(super) type Asking = Pin<Box<dyn Future<Output = Told> + Send>>;

/// What came of a question.
pub(super) struct Told {
    /// For the machine.
    pub(super) answer: Answer,
    /// The message that was begun.
    pub(super) draft: Option<Box<dyn Draft>>,
    /// The paths that are held for the transaction.
    pub(super) held: Option<Box<Held>>,
    /// Our own trouble with it, for the log.
    pub(super) trouble: Option<Trouble>,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            draft: None,
            held: None,
            trouble: None,
        }
    }
}

/// What a session has in hand for its transaction.
#[derive(Default)]
pub(super) struct InHand {
    /// The message that was begun.
    pub(super) draft: Option<Box<dyn Draft>>,
    /// The paths that are held. They go on before the draft: what they have said of it counts.
    pub(super) held: Option<Box<Held>>,
    /// What the ledger is to have of the message before it leaves, if it is one of ours.
    pub(super) vouched: Option<Vouched>,
    /// What of it a digest covers, where its client has claimed which message it is.
    pub(super) covered: Option<Result<Covered, NoDigest>>,
}

impl InHand {
    /// What is asked behind the content is asked at its end.
    fn note_end(&mut self, ask: &Ask) {
        let is_end = matches!(
            ask,
            Ask::Content { .. } | Ask::Outside { .. } | Ask::Commit(_)
        );
        if let Some(held) = self.held.as_mut().filter(|_| is_end) {
            held.content_ended();
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

/// Takes a question to the one who knows. What is `in_hand` goes along where the answer needs it, and
/// comes back with it, unless it is dealt with; what is said on the way to an answer is said within `span`.
pub(super) fn ask(
    site: &Arc<Site>,
    peer: Peer,
    ask: Ask,
    in_hand: &mut InHand,
    span: &Span,
) -> Asking {
    let site = Arc::clone(site);
    in_hand.note_end(&ask);
    match ask {
        Ask::Verify {
            reverse_path,
            helo,
            client,
            claim,
        } => match site.verifier.of_relay_client(&reverse_path, client) {
            Some(verdict) => ready(Answer::Verdict(verdict)),
            None => within(span, async move {
                let verdict = verify(&site, reverse_path, helo, client, claim).await;
                Answer::Verdict(verdict).into()
            }),
        },
        Ask::Recipient { recipient, doubted } => {
            let route = site.routes.route(&recipient, may_relay(&site, peer));
            match (route, doubted) {
                (Err(error), _) => ready(Answer::Recipient(Err(RouteError::reply(error)))),
                (Ok(_), None) => ready(Answer::Recipient(Ok(Vec::new()))),
                (Ok(_), Some(Presenter { helo, client })) => within(span, async move {
                    let verifier = &site.verifier;
                    let evidence = verifier.about_recipient(&recipient, &helo, client).await;
                    Answer::Recipient(Ok(evidence)).into()
                }),
            }
        }
        Ask::Hold(about) => {
            let held = in_hand.held.take();
            within(span, ask_ahead(site, peer, *about, held))
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
            recipients,
            size,
            is_signed,
            is_report,
        } => {
            let about = About {
                verdict,
                reverse_path,
                client: presenter.client,
                recipients,
                is_signed,
                is_report,
                size,
            };
            look_at(site, about, in_hand, span)
        }
        Ask::Outside {
            reverse_path,
            recipients,
            run,
        } => within(span, async move {
            let verifier = &site.verifier;
            let found = verifier.outside(reverse_path, &recipients, &run).await;
            Answer::Outside(found.map(Box::new)).into()
        }),
        Ask::Begin { is_claimed, .. } => match in_hand.held.take() {
            None => Box::pin(async move { begin(&site).await }),
            Some(held) => within(
                span,
                async move { begin_held(&site, held, is_claimed).await },
            ),
        },
        Ask::Commit(envelope) => {
            let in_hand = std::mem::take(in_hand);
            within(span, take(site, in_hand, *envelope))
        }
    }
}

/// The verdict at MAIL, with what the domain says of the message that is claimed to follow.
async fn verify(
    site: &Site,
    reverse_path: ReversePath,
    helo: Box<str>,
    client: IpAddr,
    claim: Option<Claim>,
) -> Arc<Verdict> {
    let watch = Watch::start();
    let verdict = site.verifier.verify(reverse_path, helo, client).await;
    watch.stop(&figures().mail.verdict_duration);
    match claim {
        Some(claim) => site.verifier.ask_claim(verdict, claim, client).await,
        None => verdict,
    }
}

/// What the content says, if there is any in a draft, or if it was looked at as it went on.
fn look_at(site: Arc<Site>, about: About, in_hand: &mut InHand, span: &Span) -> Asking {
    let (draft, covered) = (in_hand.draft.take(), in_hand.covered.take());
    if draft.is_none() && covered.is_none() {
        return ready(Answer::Verdict(about.verdict));
    }
    within(span, async move {
        content::judge(&site, about, draft, covered).await
    })
}

/// Whether we relay for the peer: it was in one of our networks when it came, and is. What a reload takes away ends with
/// it, also in sessions that are open: the verdicts on what they bring are given by the new configuration, so that nothing
/// of what they relay would be in the ledger.
fn may_relay(site: &Site, peer: Peer) -> bool {
    peer.may_relay && site.verifier.relays_for(peer.address.ip())
}

/// An answer that is there already.
pub(super) fn ready(answer: Answer) -> Asking {
    Box::pin(std::future::ready(answer.into()))
}

/// An answer that may take a while, and about which others may have something to log.
fn within(span: &Span, asking: impl Future<Output = Told> + Send + 'static) -> Asking {
    Box::pin(asking.instrument(span.clone()))
}

/// Asks for a recipient down its path.
async fn ask_ahead(site: Arc<Site>, peer: Peer, about: Hold, held: Option<Box<Held>>) -> Told {
    let route = match site
        .routes
        .route(&about.recipient.path, may_relay(&site, peer))
    {
        Ok(route) => route,
        // A reload in between may have taken its networks away.
        Err(error) => {
            return Told {
                held,
                ..Answer::Held(Err(RouteError::reply(error))).into()
            };
        }
    };
    let mut held = held.unwrap_or_else(|| {
        let client = peer.address.ip();
        Box::new(Held::new(Arc::clone(&site), client, &about))
    });
    let answer = held.recipient(about, route).await;
    Told {
        held: Some(held),
        ..Answer::Held(answer).into()
    }
}

/// Begins a message in the spool.
async fn begin(site: &Site) -> Told {
    match site.spool.begin(clock::now().wall).await {
        Ok(draft) => Told {
            answer: Answer::Begun(Ok(Begun::to_keep(draft.id()))),
            draft: Some(draft),
            held: None,
            trouble: None,
        },
        Err(error) => Told {
            trouble: Some(Trouble::new("cannot begin a message", &error)),
            ..Answer::Begun(Err(error.reply())).into()
        },
    }
}

/// Begins a message down the paths that are held; and in the spool, where something may come to be stored, or if it is said
/// to be one that its domain has sent: if it is another, its signatures are looked at after all.
async fn begin_held(site: &Site, mut held: Box<Held>, is_claimed: bool) -> Told {
    let now = clock::now().wall;
    let Some(random) = chance::octets() else {
        return Told {
            held: Some(held),
            ..Answer::Begun(Err(no_name())).into()
        };
    };
    let queue_id = QueueId::new(now, u64::from_le_bytes(random));
    let mut told = match held.begin(queue_id, is_claimed).await {
        Err(reply) => Told::from(Answer::Begun(Err(reply))),
        Ok(false) => Answer::Begun(Ok(held.begun(queue_id))).into(),
        Ok(true) => match site.spool.begin_as(queue_id, now).await {
            Ok(draft) => Told {
                draft: Some(draft),
                ..Answer::Begun(Ok(held.begun(queue_id))).into()
            },
            Err(error) => {
                let answer = if held.draft_lost(error.reply()) {
                    Ok(held.begun(queue_id))
                } else {
                    Err(error.reply())
                };
                Told {
                    trouble: Some(Trouble::new("cannot begin a message", &error)),
                    ..Answer::Begun(answer).into()
                }
            }
        },
    };
    told.held = Some(held);
    told
}

/// The system has no chance to name a message with.
fn no_name() -> Reply {
    error!("the system gives no random octets");
    Reply::new(451, (4, 3, 0), "local error in processing")
}

/// Brings what is in hand to its end, the ledger first.
async fn take(site: Arc<Site>, in_hand: InHand, envelope: Envelope) -> Told {
    let InHand {
        draft,
        held,
        vouched,
        ..
    } = in_hand;
    let entries = match vouch(&site, vouched).await {
        Ok(entries) => entries,
        Err(told) => return abandon(held, told).await,
    };
    match held {
        None => commit(draft, envelope, entries).await,
        Some(held) => end_held(&site, held, draft, envelope, entries).await,
    }
}

/// What the ledger is to have of a message of ours. One of which something is missing leaves all the same, and then the
/// ledger must not say of its hours that all is known: nobody can tell what becomes of it on its way.
async fn vouch(site: &Site, vouched: Option<Vouched>) -> Result<Vec<Entry>, Told> {
    let Some(Vouched { entries, missed }) = vouched else {
        return Ok(Vec::new());
    };
    let Some((missed, why)) = missed else {
        return Ok(entries);
    };
    debug!(%why, "a message of ours is not whole in the ledger");
    let missing = site.spool.miss(clock::now().wall, missed).await;
    missing.map_err(|error| Told {
        trouble: Some(Trouble::new("cannot write the ledger", &error)),
        ..Answer::Committed(Err(error.reply())).into()
    })?;
    Ok(entries)
}

/// Gives up the paths that are held: nothing may leave by them.
async fn abandon(held: Option<Box<Held>>, told: Told) -> Told {
    if let Some(held) = held {
        held.abandon().await;
    }
    told
}

/// Brings a message to the end of its paths: it is with the next hops, in the spool, or refused. What the ledger is to
/// have of it is there before any of them is given its end.
async fn end_held(
    site: &Site,
    mut held: Box<Held>,
    draft: Option<Box<dyn Draft>>,
    envelope: Envelope,
    entries: Vec<Entry>,
) -> Told {
    let watch = Watch::start();
    if let Err(error) = site.spool.vouch(clock::now().wall, entries).await {
        held.abandon().await;
        return Told {
            trouble: Some(Trouble::new("cannot write the ledger", &error)),
            ..Answer::Committed(Err(error.reply())).into()
        };
    }
    let mut ending = Ending {
        draft,
        envelope,
        trouble: None,
    };
    let answer = held.end(&mut ending).await;
    let is_taken = match &answer {
        Answer::CommittedEach(ends) => ends.iter().any(Result::is_ok),
        answer => matches!(answer, Answer::Committed(Ok(_))),
    };
    if is_taken {
        watch.stop(&figures().mail.custody_duration);
    }
    let trouble = ending.trouble.as_ref();
    Told {
        trouble: trouble.map(|error| Trouble::new("cannot store a message", error)),
        ..answer.into()
    }
}

/// Brings a message into custody.
async fn commit(draft: Option<Box<dyn Draft>>, envelope: Envelope, entries: Vec<Entry>) -> Told {
    // Without a draft something was lost on the way here; nothing may be promised then.
    let watch = Watch::start();
    let committed = match draft {
        Some(mut draft) => {
            draft.vouch(entries);
            draft.commit(envelope, clock::now().wall).await
        }
        None => Err(CommitError::Poisoned),
    };
    match committed {
        Ok(custody) => {
            watch.stop(&figures().mail.custody_duration);
            Answer::Committed(Ok(custody)).into()
        }
        Err(error) => Told {
            trouble: Some(Trouble::new("cannot store a message", &error)),
            ..Answer::Committed(Err(error.reply())).into()
        },
    }
}
