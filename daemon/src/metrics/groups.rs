//! The figures in their groups, each registered under its names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vouchsafe_proto::tls_policy::report::{Ended, Kind};

use super::counted::{Counted, Measured};
use crate::responder::Said;

/// Buckets of what lasts from a flush to the patience of a client, in seconds.
const SHORT: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 10.0];

/// Buckets of a delivery: from one that meets no obstacle to the six hours of the promise and the
/// days of the expiry.
const LONG: [f64; 9] = [
    0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 14_400.0, 21_600.0, 432_000.0,
];

/// What comes of asking a ledger.
const FINDINGS: &[&str] = &[
    "not_asked",
    "sent",
    "sent_to_some",
    "sent_elsewhere",
    "altered",
    "unknown",
    "not_sent_ahead",
    "not_sent_once",
    "not_sent",
];

/// The caches there are, by the names they have in the log.
const CACHES: &[&str] = &["dns", "verdicts"];

/// Verdicts, as in [`vouchsafe_proto::verify::VerdictResult::as_str`].
const VERDICTS: &[&str] = &["authorised", "unknown", "repudiated", "tempfail"];

/// Whose rules TLS with a foreign host is held to, as in [`Kind::as_str`].
const POLICIES: &[&str] = &[
    Kind::Tlsa.as_str(),
    Kind::Sts.as_str(),
    Kind::NoPolicyFound.as_str(),
];

/// How that ended, as in [`Ended::as_str`].
const ENDS: &[&str] = &[
    Ended::Success.as_str(),
    Ended::StarttlsNotSupported.as_str(),
    Ended::CertificateHostMismatch.as_str(),
    Ended::CertificateExpired.as_str(),
    Ended::CertificateNotTrusted.as_str(),
    Ended::ValidationFailure.as_str(),
    Ended::DnssecInvalid.as_str(),
    Ended::StsPolicyFetchError.as_str(),
    Ended::StsPolicyInvalid.as_str(),
    Ended::StsWebpkiInvalid.as_str(),
];

/// Of sessions.
pub struct Sessions {
    /// Begun.
    pub(super) begun: Counter,
    /// Open.
    pub(super) open: Gauge,
    /// Ended in a panic.
    pub(super) panics: Counter,
    /// Clients turned away at the door.
    pub turned_away: Counted<1>,
    /// TLS sessions begun, by direction.
    pub tls: Counted<1>,
    /// TLS with foreign hosts: whose rules, and how it ended.
    pub tls_policies: Counted<2>,
}

impl Sessions {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let begun = Counter::default();
        registry.register("sessions", "Sessions begun", begun.clone());
        let open = Gauge::default();
        registry.register("sessions_open", "Sessions open now", open.clone());
        let panics = Counter::default();
        let help = "Sessions that ended in a panic: each is a fault of this program";
        registry.register("session_panics", help, panics.clone());
        Self {
            begun,
            open,
            panics,
            turned_away: Counted::new(
                registry,
                "turned_away",
                "Connections turned away with 421, by which limit",
                [("limit", &["total", "client"])],
            ),
            tls: Counted::new(
                registry,
                "tls_sessions",
                "TLS sessions begun: in from clients, out to next hops",
                [("direction", &["in", "out"])],
            ),
            tls_policies: Counted::new(
                registry,
                "tls_policy_results",
                "TLS with the hosts of foreign domains: whose rules it was held to, and how it ended",
                [("policy", POLICIES), ("result", ENDS)],
            ),
        }
    }
}

/// Of who answers for the ledger.
pub struct Ledger {
    /// Queries, by what was said.
    pub questions: Counted<1>,
}

impl Ledger {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            questions: Counted::new(
                registry,
                "ledger_questions",
                "Queries to the responder, by what was said to them",
                [("answer", Said::NAMES)],
            ),
        }
    }
}

/// Of the mail that came in.
pub struct Mail {
    /// Verdicts at MAIL.
    pub verdicts: Counted<1>,
    /// How long they took.
    pub verdict_duration: Histogram,
    /// Refusals: of what, and for now or for good.
    pub refusals: Counted<2>,
    /// Messages for which 250 was said.
    pub accepted: Counted<1>,
    /// Their octets.
    pub accepted_octets: Counter,
    /// From the end of a message's content to custody.
    pub custody_duration: Histogram,
    /// What came of asking ledgers about messages.
    pub ledger: Counted<1>,
    /// Messages of listed relays which their domain says twice that it did not send.
    pub ledger_alarms: Counter,
}

impl Mail {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let accepted_octets = Counter::default();
        let help = "Octets of messages acknowledged with 250";
        let name = "messages_accepted";
        registry.register_with_unit(name, help, Unit::Bytes, accepted_octets.clone());
        let ledger_alarms = Counter::default();
        registry.register(
            "ledger_alarms",
            "Tries to bring what the sender's domain did not send from a relay that it lists",
            ledger_alarms.clone(),
        );
        Self {
            ledger_alarms,
            ledger: Counted::new(
                registry,
                "ledger_findings",
                "Messages that their sender's domain was asked about, by what came of it",
                [("finding", FINDINGS)],
            ),
            accepted_octets,
            verdicts: Counted::new(
                registry,
                "verdicts",
                "Verdicts on reverse-paths",
                [("verdict", VERDICTS)],
            ),
            verdict_duration: duration(
                registry,
                "verdict_duration",
                "Time from MAIL to its verdict",
                &SHORT,
            ),
            refusals: Counted::new(
                registry,
                "refusals",
                "What was refused in sessions, for now (4yz) or for good (5yz)",
                [
                    ("of", &["command", "reverse-path", "recipient", "message"]),
                    ("reply", &["4yz", "5yz"]),
                ],
            ),
            accepted: Counted::new(
                registry,
                name,
                "Messages acknowledged with 250",
                [("verdict", VERDICTS)],
            ),
            custody_duration: duration(
                registry,
                "custody_duration",
                "Time from the end of a message's content to its custody",
                &SHORT,
            ),
        }
    }
}

/// Of the way out.
pub struct Deliveries {
    /// What attempts came to, for each recipient.
    pub ended: Counted<1>,
    /// From custody to the next hop's 250.
    pub delay: Histogram,
    /// Reports made.
    pub reports: Counted<1>,
}

impl Deliveries {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let outcomes = &["delivered", "deferred", "failed", "expired"];
        let actions = &["failed", "delayed", "delivered", "relayed", "expanded"];
        Self {
            ended: Counted::new(
                registry,
                "deliveries",
                "What attempts came to, for each recipient",
                [("outcome", outcomes)],
            ),
            delay: duration(
                registry,
                "delivery_delay",
                "Time from custody to the next hop's 250",
                &LONG,
            ),
            reports: Counted::new(
                registry,
                "reports",
                "Delivery reports made, by their Action",
                [("action", actions)],
            ),
        }
    }
}

/// Of questions to the DNS.
pub struct Dns {
    /// Put to servers.
    pub questions: Counted<1>,
    /// How long they took.
    pub duration: Histogram,
}

impl Dns {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let results = &["found", "no-data", "nx-domain", "alias-limit", "trouble"];
        Self {
            questions: Counted::new(
                registry,
                "dns_questions",
                "Questions put to DNS servers, by what came of them",
                [("result", results)],
            ),
            duration: duration(
                registry,
                "dns_duration",
                "Time for which a DNS server was waited for",
                &SHORT,
            ),
        }
    }
}

/// Of the mail that waits.
pub(super) struct Queue {
    /// Messages, by what is being done with them.
    pub(super) messages: Measured,
    /// Destinations that any of them wait for.
    pub(super) lanes: Gauge,
    /// How long the oldest has been there.
    pub(super) oldest: Gauge,
    /// 1 as long as mail is taken.
    pub(super) sound: Gauge,
}

impl Queue {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let lanes = Gauge::default();
        let help = "Destinations that messages in the queue wait for";
        registry.register("queue_destinations", help, lanes.clone());
        let oldest = Gauge::default();
        let help = "Age of the oldest message in the queue";
        registry.register_with_unit("queue_oldest", help, Unit::Seconds, oldest.clone());
        let sound = Gauge::default();
        let help =
            "1 while the queue can be written to; 0 once a flush has failed, until a restart";
        registry.register("queue_sound", help, sound.clone());
        Self {
            lanes,
            oldest,
            sound,
            messages: Measured::new(
                registry,
                "queue_messages",
                "Messages in the queue, each once for each destination it waits for",
                ("state", &["waiting", "active", "held"]),
            ),
        }
    }
}

/// Of what is kept in memory.
pub(super) struct Caches {
    /// Things found.
    pub(super) hits: Counted<1>,
    /// Things not found.
    pub(super) misses: Counted<1>,
    /// Things driven out before their time.
    pub(super) evictions: Counted<1>,
    /// What is in them.
    pub(super) entries: Measured,
    /// Its octets.
    pub(super) octets: Measured,
}

impl Caches {
    /// At nought.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let caches = [("cache", CACHES)];
        Self {
            hits: Counted::new(registry, "cache_hits", "Found in a cache", caches),
            misses: Counted::new(registry, "cache_misses", "Not found in a cache", caches),
            evictions: Counted::new(
                registry,
                "cache_evictions",
                "Driven out of a cache while still of use",
                caches,
            ),
            entries: Measured::new(registry, "cache_entries", "Entries in a cache", caches[0]),
            octets: Measured::in_bytes(registry, "cache", "Memory of a cache", caches[0]),
        }
    }
}

/// A figure of durations.
fn duration(registry: &mut Registry, name: &str, help: &str, buckets: &[f64]) -> Histogram {
    let histogram = Histogram::new(buckets.iter().copied());
    registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
    histogram
}
