//! How a next hop is reached: which hosts it has, in which order they are tried, and what TLS each
//! must give.
//!
//! Left to others: one session with one host (`smtp_out`), and what is carried over it (the runner).
//!
//! Files: `hosts` which hosts it has.

pub mod hosts;

use std::sync::Arc;

use crate::dns::Resolver;
use crate::mta_sts;
use crate::tls::next_hop::Client;

/// What it takes to reach a next hop, besides the configuration in force.
pub struct Reach {
    /// For its hosts.
    pub resolver: Arc<dyn Resolver>,
    /// For STARTTLS.
    pub tls: Arc<Client>,
    /// What domains ask of those who send to them.
    pub policies: Arc<mta_sts::Policies>,
}
