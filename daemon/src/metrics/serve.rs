//! Gives the figures out over HTTP, and says whether the service lives and takes mail.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | all figures, as `OpenMetrics` text |
//! | `/health` | 200 as long as the process answers |
//! | `/ready` | 200 as long as mail is taken; 503 when the queue is poisoned or the service stops |
//!
//! There is no login, and nothing here changes anything: the address belongs on loopback, or
//! behind something that guards it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use tokio::net::TcpListener;
use tracing::{info, warn};
use vouchsafe_spool::{LaneEntry, Spool};

use super::groups::Queue;
use super::{Figures, TABLE};
use crate::clock;
use crate::control::Sources;

/// The socket, bound.
#[derive(Debug)]
pub struct Monitor {
    socket: TcpListener,
    address: SocketAddr,
}

/// Why the figures cannot be given out.
#[derive(Debug, thiserror::Error)]
#[error("cannot give figures out at {address}")]
pub struct BindError {
    /// The address as configured.
    address: SocketAddr,
    /// What the system said.
    #[source]
    source: std::io::Error,
}

impl Monitor {
    /// Binds.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let bound = async {
            let socket = TcpListener::bind(address).await?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        let monitor = bound
            .await
            .map_err(|source| BindError { address, source })?;
        // This line is an interface: with port 0 in the configuration it tells the real one.
        info!(address = %monitor.address, "figures");
        if !monitor.address.ip().is_loopback() {
            warn!(address = %monitor.address, "anybody who reaches this address can read the figures");
        }
        Ok(monitor)
    }

    /// Answers until it is dropped.
    pub async fn serve(self, sources: Arc<Sources>) {
        let routes = Router::new()
            .route("/metrics", get(metrics))
            .route("/health", get(|| async { "alive\n" }))
            .route("/ready", get(ready))
            .with_state(sources);
        if let Err(error) = axum::serve(self.socket, routes).await {
            warn!(%error, "the figures are no longer given out");
        }
        // Mail does not depend on it: whoever waits for this to end would stop the service.
        std::future::pending::<()>().await;
    }
}

/// All figures.
async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    TABLE.figures.take_stock(&sources).await;
    let mut text = String::new();
    if encode(&mut text, &TABLE.registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}

/// Whether mail is taken.
async fn ready(State(sources): State<Arc<Sources>>) -> Response {
    if !sources.hand.spool.is_sound() {
        (StatusCode::SERVICE_UNAVAILABLE, "the queue takes nothing\n").into_response()
    } else if sources.shutdown.has_begun() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    } else {
        "ready\n".into_response()
    }
}

impl Figures {
    /// Brings in what is counted elsewhere.
    async fn take_stock(&self, sources: &Sources) {
        let set = |counter: &Counter, to| counter.inner().store(to, Ordering::Relaxed);
        set(&self.sessions.begun, sources.house.sessions());
        set(&self.sessions.panics, sources.house.panics());
        let open = i64::try_from(sources.house.door.open()).unwrap_or(i64::MAX);
        self.sessions.open.set(open);
        self.queue.take_stock(&*sources.hand.spool).await;
        for (cache, figures) in sources.rates.totals() {
            for (counted, value) in [
                (&self.caches.hits, figures.hits),
                (&self.caches.misses, figures.misses),
                (&self.caches.evictions, figures.evictions),
            ] {
                if let Some(counter) = counted.of([cache]) {
                    set(counter, value);
                }
            }
            self.caches.entries.set(cache, figures.entries);
            self.caches.octets.set(cache, figures.octets);
        }
    }
}

impl Queue {
    /// Looks at what waits.
    async fn take_stock(&self, spool: &dyn Spool) {
        self.sound.set(spool.is_sound().into());
        let lanes = spool.lanes();
        let sum = |of: fn(&LaneEntry) -> usize| lanes.iter().map(of).sum();
        self.messages.set("waiting", sum(|lane| lane.waiting));
        self.messages.set("active", sum(|lane| lane.leased));
        self.messages.set("held", sum(|lane| lane.held));
        self.lanes
            .set(i64::try_from(lanes.len()).unwrap_or(i64::MAX));
        // A queue that cannot be read is told of by its own figure.
        let oldest = spool.list(None, 1).await.unwrap_or_default();
        let age = oldest
            .first()
            .map_or(0, |entry| clock::now().wall.since(entry.arrived).as_secs());
        self.oldest.set(i64::try_from(age).unwrap_or(i64::MAX));
    }
}

/// The format's own media type.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
