//! What a session is begun with: which protocol, TLS or not, our name, the timers.

use core::time::Duration;

use crate::addr::Domain;
use crate::outcome::Remote;

/// Which protocol is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// EHLO, one reply for a message.
    Smtp,
    /// LHLO, one reply for each accepted recipient.
    Lmtp,
}

/// Whether STARTTLS (RFC 3207) is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StartTls {
    /// Never.
    Never,
    /// When it is offered. A failed handshake is tried again in clear by the driver, on a new
    /// connection with [`StartTls::Never`] (opportunistic, RFC 3207 §4).
    IfOffered,
    /// Always: a host that does not offer it, or refuses it then, gets no message.
    Required,
    /// The same, and the driver begins TLS only with whoever shows a certificate that is this
    /// host's: as DANE, MTA-STS or the message itself demands.
    Verified,
}

impl StartTls {
    /// True if no message may go in clear.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::Required | Self::Verified)
    }
}

/// What a session needs to know before it begins.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Nothing that is said leaves this machine.
    pub private: bool,
    /// Our own name, for EHLO.
    pub hostname: Domain,
    /// Whether TLS is begun.
    pub starttls: StartTls,
    /// The other end, for outcomes.
    pub remote: Remote,
    /// Per-command timers.
    pub timeouts: Timeouts,
}

/// The client's timers (RFC 5321 §4.5.3.2).
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Greeting: 5 minutes.
    pub greeting: Duration,
    /// EHLO, STARTTLS, RSET, QUIT: 5 minutes.
    pub hello: Duration,
    /// MAIL: 5 minutes.
    pub mail: Duration,
    /// RCPT: 5 minutes.
    pub recipient: Duration,
    /// DATA until 354: 2 minutes.
    pub data: Duration,
    /// Each piece of content until it is written: 3 minutes.
    pub block: Duration,
    /// The final dot: 10 minutes.
    pub completion: Duration,
}

/// The standard's values.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: Duration::from_mins(5),
            hello: Duration::from_mins(5),
            mail: Duration::from_mins(5),
            recipient: Duration::from_mins(5),
            data: Duration::from_mins(2),
            block: Duration::from_mins(3),
            completion: Duration::from_mins(10),
        }
    }
}
