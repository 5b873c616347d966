//! Figures for a monitor: what is counted, and under which names.
//!
//! One table for the process, since counting must cost next to nothing wherever it stands: a figure
//! is an atomic number, and what carries a label is looked up among values that are all known here.
//! Promises: names and units by convention (`vouchsafe_` in front, `_total` behind what only
//! grows, seconds and bytes), no label that a peer could fill, every figure present from the
//! start, so that a monitor sees the first change. `docs/metrics.md` is held to this table by a
//! test.
//!
//! Left to others: counting ([`figures`] is called where things happen), and giving them out
//! ([`serve`]).

mod counted;
mod groups;
pub mod serve;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use vouchsafe_proto::time::Mono;

use self::groups::{Caches, Deliveries, Dns, Ledger, Mail, Queue, Sessions};

/// The process's figures.
pub fn figures() -> &'static Figures {
    &TABLE.figures
}

/// All that is counted.
pub struct Figures {
    /// Of sessions.
    pub sessions: Sessions,
    /// Of the mail that came in.
    pub mail: Mail,
    /// Of the way out.
    pub deliveries: Deliveries,
    /// Of questions to the DNS.
    pub dns: Dns,
    /// Of who answers for the ledger.
    pub ledger: Ledger,
    /// Of what is kept in memory.
    caches: Caches,
    /// Of the mail that waits.
    queue: Queue,
}

/// The figures with their names.
struct Table {
    registry: Registry,
    figures: Figures,
}

static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    /// All of it, at nought.
    fn new() -> Self {
        let mut registry = Registry::with_prefix("vouchsafe");
        let figures = Figures::new(&mut registry);
        let version = Gauge::<i64>::default();
        version.set(1);
        registry
            .sub_registry_with_label(("version".into(), env!("CARGO_PKG_VERSION").into()))
            .register(
                "build_info",
                "Always 1; the label tells the version",
                version,
            );
        Self { registry, figures }
    }
}

impl Figures {
    /// Registered under their names.
    fn new(registry: &mut Registry) -> Self {
        Self {
            sessions: Sessions::new(registry),
            mail: Mail::new(registry),
            deliveries: Deliveries::new(registry),
            dns: Dns::new(registry),
            ledger: Ledger::new(registry),
            caches: Caches::new(registry),
            queue: Queue::new(registry),
        }
    }
}

/// Takes the time that something lasts.
#[derive(Clone, Copy, Debug)]
pub struct Watch(Duration);

impl Watch {
    /// From now.
    pub fn start() -> Self {
        Self(crate::clock::since_start())
    }

    /// When that was.
    pub fn started(&self) -> Mono {
        crate::clock::moment(self.0)
    }

    /// To now, which is given.
    pub fn stop(self, figure: &Histogram) -> Mono {
        let end = Self::start();
        figure.observe(end.0.saturating_sub(self.0).as_secs_f64());
        end.started()
    }
}
