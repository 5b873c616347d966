//! How a session comes to be: the connection, the greeting, TLS as the host's requirement says.
//!
//! Where nothing is demanded of the host, a handshake that fails is told apart from all else, and
//! the same host is tried again in clear on a new connection (RFC 3207 §4). Where something is
//! demanded, nothing but that will do: the attempt at this host ends, for now.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::time::timeout_at;
use vouchsafe_proto::outcome::{Diagnostic, Outcome};
use vouchsafe_proto::smtp::deliver::{Input, Session, Settings, StartTls};
use vouchsafe_proto::tls_policy::Requirement;
use vouchsafe_proto::tls_policy::report::Ended;

use super::stream::{self, HandshakeError};
use super::{Connection, Endpoint, Place, READ_SIZE, Seen, Terms};
use crate::clock;
use crate::log::{Peer, chain};
use crate::metrics::figures;
use crate::stream::Stream;
use crate::tls::next_hop::{self, Begin};

/// Why no session stands.
enum NotOpen {
    /// No use trying this host again now.
    Unusable(Outcome),
    /// TLS failed.
    Tls(HandshakeError),
}

/// What TLS is begun with.
struct Tls<'a> {
    begin: Begin,
    name: &'a ServerName<'static>,
    /// Whether it must come to be.
    starttls: StartTls,
}

/// Connects and greets, with the TLS that is demanded of the host. Where nothing is, a failed
/// handshake is tried once more in clear, on a new connection. How TLS went is counted.
pub async fn open(endpoint: &Endpoint, terms: &Terms) -> Result<Connection, Outcome> {
    let (opened, ended) = attempt(endpoint, terms).await;
    if let (Some(domain), Some(client), Some(ended)) = (&endpoint.domain, &terms.tls, ended) {
        let now = clock::now().wall;
        let kind = endpoint.requirement.kind();
        client.tally().count(domain, kind, ended, now);
    }
    opened
}

/// The same, with how TLS went; not where nobody answered.
async fn attempt(
    endpoint: &Endpoint,
    terms: &Terms,
) -> (Result<Connection, Outcome>, Option<Ended>) {
    let requirement = &endpoint.requirement;
    if let Requirement::Withheld(why) = requirement {
        let outcome = why.outcome(endpoint.remote.clone());
        return (Err(outcome), Some(why.counted.1));
    }
    let tls = match tls(endpoint, terms) {
        Ok(tls) => tls,
        Err(outcome) => return (Err(outcome), None),
    };
    let tested = tls.as_ref().and_then(|tls| tls.begin.tested.clone());
    let error = match greet(endpoint, terms, tls).await {
        Ok(connection) => {
            let refused = tested.as_ref().and_then(|tested| tested.get());
            let ended = match (connection.tls(), refused) {
                (None, _) => Ended::StarttlsNotSupported,
                (Some(_), None) => Ended::Success,
                (Some(_), Some(error)) => next_hop::ended(error),
            };
            return (Ok(connection), Some(ended));
        }
        Err(NotOpen::Unusable(outcome)) => {
            let ended = is_without_starttls(&outcome).then_some(Ended::StarttlsNotSupported);
            return (Err(outcome), ended);
        }
        Err(NotOpen::Tls(error)) => error,
    };
    let ended = Some(match &error {
        HandshakeError::Failed(error) => next_hop::ended_by(error),
        HandshakeError::State => Ended::ValidationFailure,
    });
    let why = chain(&error);
    if let Some(outcome) = requirement.handshake_failed(endpoint.remote.clone(), &why) {
        return (Err(outcome), ended);
    }
    tracing::warn!(
        remote = %Peer(&endpoint.remote.name),
        error = %Peer(&why),
        "TLS failed, going on in clear"
    );
    let opened = greet(endpoint, terms, None).await;
    let opened = opened.map_err(|error| match error {
        NotOpen::Unusable(outcome) => outcome,
        // Not reached: without a name the machine is told not to begin TLS.
        NotOpen::Tls(_) => no_tls(endpoint),
    });
    (opened, ended)
}

/// True for the machine's own finding that a host which must offer STARTTLS does not (X.7.4).
fn is_without_starttls(outcome: &Outcome) -> bool {
    let status = outcome.status;
    matches!(outcome.diagnostic, Diagnostic::Local(_)) && (status.subject, status.detail) == (7, 4)
}

/// What TLS is begun with at this host; none if it is not to be.
fn tls<'a>(endpoint: &'a Endpoint, terms: &Terms) -> Result<Option<Tls<'a>>, Outcome> {
    let starttls = endpoint.requirement.starttls();
    let Some((client, name)) = terms.tls.as_ref().zip(endpoint.server_name.as_ref()) else {
        return if starttls.is_required() {
            Err(no_tls(endpoint))
        } else {
            Ok(None)
        };
    };
    let begin = client.demanding(&endpoint.requirement).map_err(|error| {
        tracing::error!(error = %chain(&error), "TLS cannot be begun");
        no_tls(endpoint)
    })?;
    Ok(Some(Tls {
        begin,
        name,
        starttls,
    }))
}

/// TLS is not to be had on our side.
fn no_tls(endpoint: &Endpoint) -> Outcome {
    let remote = Some(endpoint.remote.clone());
    Outcome::local((4, 7, 5), remote, "TLS could not be begun")
}

/// One connection, to the first moment at which it could carry a message.
async fn greet(
    endpoint: &Endpoint,
    terms: &Terms,
    tls: Option<Tls<'_>>,
) -> Result<Connection, NotOpen> {
    let stream = connect(endpoint, terms.connect_timeout)
        .await
        .map_err(NotOpen::Unusable)?;
    let mut connection = Connection {
        session: Session::new(Settings {
            protocol: endpoint.protocol,
            private: endpoint.place.is_private(),
            hostname: terms.hostname.clone(),
            starttls: tls.as_ref().map_or(StartTls::Never, |tls| tls.starttls),
            remote: endpoint.remote.clone(),
            timeouts: terms.timeouts,
        }),
        stream,
        remote: endpoint.remote.clone(),
        tls: None,
        timer: None,
        buffer: vec![0; READ_SIZE],
        unsent: Vec::new(),
        actions: Vec::new(),
    };
    let mut seen = Seen::default();
    connection.feed(Input::Connected, &mut seen).await;
    loop {
        if let Some(outcome) = seen.unusable.take() {
            connection.shut().await;
            return Err(NotOpen::Unusable(outcome));
        }
        if seen.ready {
            return Ok(connection);
        }
        if std::mem::take(&mut seen.start_tls) {
            let tls = tls.as_ref().ok_or(NotOpen::Tls(HandshakeError::State))?;
            connection.start_tls(tls, &mut seen).await?;
        } else if seen.closed {
            let text = "the session ended before it began";
            let remote = Some(endpoint.remote.clone());
            return Err(NotOpen::Unusable(Outcome::local((4, 4, 2), remote, text)));
        } else {
            connection.hear(&mut seen).await;
        }
    }
}

/// The bare connection.
async fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Stream, Outcome> {
    let connecting = async {
        match &endpoint.place {
            Place::Tcp(address) => stream::tcp(*address).await,
            Place::Unix(path) => stream::unix(path).await,
        }
    };
    let deadline = clock::instant(clock::now().mono.plus(timeout));
    let error = match timeout_at(deadline, connecting).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_) => io::Error::from(io::ErrorKind::TimedOut),
    };
    // RFC 3463 §3.5: X.4.1, no answer from host.
    let text = format!("no connection: {}", error.kind());
    Err(Outcome::local(
        (4, 4, 1),
        Some(endpoint.remote.clone()),
        text,
    ))
}

impl Connection {
    /// Puts TLS on, for no longer than the timer allows.
    async fn start_tls(&mut self, tls: &Tls<'_>, seen: &mut Seen) -> Result<(), NotOpen> {
        let handshake = stream::start_tls(
            &mut self.stream,
            Arc::clone(&tls.begin.config),
            tls.name.clone(),
        );
        let result = match self.timer {
            Some(at) => timeout_at(clock::instant(at), handshake).await,
            None => Ok(handshake.await),
        };
        match result {
            Ok(Ok(description)) => {
                self.tls = Some(description);
                figures().sessions.tls.count(["out"]);
                if let Some(error) = tls.begin.tested.as_ref().and_then(|tested| tested.get()) {
                    tracing::warn!(
                        remote = %Peer(&self.remote.name),
                        error = %Peer(chain(error)),
                        "the MTA-STS policy, in testing, would have refused this certificate"
                    );
                }
                self.feed(Input::TlsStarted, seen).await;
                Ok(())
            }
            Ok(Err(error)) => Err(NotOpen::Tls(error)),
            Err(_) => {
                let source = io::Error::from(io::ErrorKind::TimedOut);
                Err(NotOpen::Tls(HandshakeError::Failed(source)))
            }
        }
    }
}
