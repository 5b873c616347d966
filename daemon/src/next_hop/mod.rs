//! How a next hop is reached: which hosts it has, in which order they are tried, what TLS each must
//! give, and with which of them a session comes to be.
//!
//! Left to others: one session with one host (`smtp_out`), and what is carried over it (the runner).
//!
//! Files: `hosts` which hosts it has; `tries` the first of them with which a session comes to be.

mod hosts;
#[cfg(test)]
pub mod tests;
mod tries;

use std::sync::Arc;

use crate::config::Config;
use crate::dns::Resolver;
use crate::mta_sts;
use crate::smtp_out::Terms;
use crate::tls::next_hop::Client;
pub use tries::Tries;

/// What it takes to reach a next hop, besides the configuration in force.
pub struct Reach {
    /// For its hosts.
    pub resolver: Arc<dyn Resolver>,
    /// For STARTTLS.
    pub tls: Arc<Client>,
    /// What domains ask of those who send to them.
    pub policies: Arc<mta_sts::Policies>,
}

impl Reach {
    /// What a session with a host needs of the configuration.
    pub fn terms(&self, config: &Config) -> Terms {
        Terms {
            hostname: config.hostname.clone(),
            connect_timeout: config.delivery.connect_timeout,
            timeouts: config.delivery.timeouts(),
            tls: config.delivery.starttls.then(|| Arc::clone(&self.tls)),
        }
    }
}
