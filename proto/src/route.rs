//! Where a recipient's mail goes, and whether this client may send it there.
//!
//! A recipient in a local domain goes to that domain's next hop, whoever sends. Any other
//! recipient is relayed only for clients inside `[relay] from`: no open relay. Routes are looked
//! up again at each delivery, so that a reload moves what is queued too.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use ipnet::IpNet;

use crate::addr::{Domain, ForwardPath, MailDomain};
use crate::reply::Reply;

/// A host by name or address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// Looked up by A and AAAA, never by MX.
    Name(Domain),
    /// Used as it is.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(domain) => domain.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Where mail is handed to. Orders and compares by meaning: it is the key by which deliveries
/// share connections and limits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// `smtp://host:port`.
    Smtp {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// `lmtp://host:port` (RFC 2033).
    Lmtp {
        /// The host.
        host: Host,
        /// The port.
        port: u16,
    },
    /// `lmtp+unix:/path`.
    LmtpUnix(Box<str>),
    /// `maildir:/path`.
    Maildir(Box<str>),
    /// The MX hosts of a domain (RFC 5321 §5.1).
    Mx {
        /// The recipient's domain.
        domain: Domain,
        /// 25, but for laboratories.
        port: u16,
    },
}

impl NextHop {
    /// True where each recipient has a last word of its own (RFC 2033 §4.2).
    pub const fn is_lmtp(&self) -> bool {
        matches!(self, Self::Lmtp { .. } | Self::LmtpUnix(_))
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtp { host, port } => write!(f, "smtp://{host}:{port}"),
            Self::Lmtp { host, port } => write!(f, "lmtp://{host}:{port}"),
            Self::LmtpUnix(path) => write!(f, "lmtp+unix:{path}"),
            Self::Maildir(path) => write!(f, "maildir:{path}"),
            Self::Mx { domain, .. } => write!(f, "mx:{domain}"),
        }
    }
}

/// `path` of a local domain: how its mail reaches the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMode {
    /// The path is held open while the message comes in.
    Hold,
    /// The message is queued first.
    Store,
}

/// `when-unproven` of a local domain: what becomes of a message whose reverse-path is unknown when
/// no reply is to be had from the next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenUnproven {
    /// 451: its origin keeps it, and owes its user the report.
    Defer,
    /// 250, and a report if need be.
    Store,
}

/// Where a recipient's mail goes, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it goes.
    pub next_hop: NextHop,
    /// How it goes there.
    pub path: PathMode,
    /// What holds when nobody there replies. Always [`WhenUnproven::Store`] beside
    /// [`PathMode::Store`], in what [`Routes::route`] answers.
    pub when_unproven: WhenUnproven,
}

impl Route {
    /// A route on which every message is queued first.
    pub const fn stored(next_hop: NextHop) -> Self {
        Self {
            next_hop,
            path: PathMode::Store,
            when_unproven: WhenUnproven::Store,
        }
    }

    /// The route as it can be taken: to a Maildir every message is queued first, because it is the
    /// mailbox itself and there is no transaction to hold.
    fn as_taken(&self) -> Self {
        match (&self.next_hop, self.path) {
            (NextHop::Maildir(_), _) | (_, PathMode::Store) => Self::stored(self.next_hop.clone()),
            (_, PathMode::Hold) => self.clone(),
        }
    }
}

/// The routes of a site, as configured.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Each local domain's route, as it is written.
    pub local: BTreeMap<Domain, Route>,
    /// `[relay] from`: networks that may send to anywhere.
    pub relay_from: Vec<IpNet>,
    /// `[relay] next_hop`: where everything not local goes, instead of by MX.
    pub relay_next_hop: Option<NextHop>,
    /// `[relay] mx_port`.
    pub mx_port: u16,
    /// Where mail for a bare `<postmaster>` goes (RFC 5321 §4.5.1); a full address, if configured.
    pub postmaster: Option<ForwardPath>,
}

/// Why a recipient has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Not ours, and the client may not relay.
    #[error("relaying denied")]
    RelayDenied,
    /// A domain the DNS cannot hold.
    #[error("bad recipient domain")]
    BadDomain,
    /// Bare postmaster, and nobody is configured to be it.
    #[error("no postmaster configured")]
    NoPostmaster,
}

impl RouteError {
    /// What the peer is told.
    pub fn reply(self) -> Reply {
        match self {
            Self::RelayDenied => Reply::new(550, (5, 7, 1), "relaying denied"),
            Self::BadDomain => Reply::new(550, (5, 1, 2), "bad destination domain"),
            Self::NoPostmaster => Reply::new(450, (4, 3, 5), "no postmaster configured"),
        }
    }
}

impl Routes {
    /// True when mail from this client may go anywhere. An IPv4-mapped address counts as IPv4.
    pub fn may_relay(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.relay_from
            .iter()
            .any(|network| network.contains(&client))
    }

    /// True if some domain's path is held open.
    pub fn holds(&self) -> bool {
        let mut local = self.local.values();
        local.any(|route| route.as_taken().path == PathMode::Hold)
    }

    /// True when the domain's mailboxes are ours to receive for.
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.local.contains_key(domain)
    }

    /// Where mail for `recipient` goes, and on what terms; `may_relay` as [`Routes::may_relay`] said
    /// of the client. What is relayed is queued first, and so is what goes to a Maildir.
    pub fn route(&self, recipient: &ForwardPath, may_relay: bool) -> Result<Route, RouteError> {
        let mailbox = match recipient {
            ForwardPath::Mailbox(mailbox) => mailbox,
            ForwardPath::Postmaster => match &self.postmaster {
                Some(full @ ForwardPath::Mailbox(_)) => return self.route(full, true),
                _ => return Err(RouteError::NoPostmaster),
            },
        };
        let next_hop = match &mailbox.domain {
            MailDomain::Name(domain) => match self.local.get(domain) {
                Some(route) => return Ok(route.as_taken()),
                None if !may_relay => return Err(RouteError::RelayDenied),
                None => self.relay_next_hop.clone().unwrap_or_else(|| NextHop::Mx {
                    domain: domain.clone(),
                    port: self.mx_port,
                }),
            },
            _ if !may_relay => return Err(RouteError::RelayDenied),
            MailDomain::Literal(address) => NextHop::Smtp {
                host: Host::Address(*address),
                port: self.mx_port,
            },
            MailDomain::Unusable(_) => return Err(RouteError::BadDomain),
        };
        Ok(Route::stored(next_hop))
    }
}

/// Why a text is no next hop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseNextHopError {
    /// None of the schemes.
    #[error("expected smtp://host:port, lmtp://host:port, lmtp+unix:/path or maildir:/path")]
    Scheme,
    /// The host is neither name nor address.
    #[error("\"{0}\" is neither a host name nor an address (IPv6 goes in brackets)")]
    Host(String),
    /// The port is none.
    #[error("\"{0}\" is no port")]
    Port(String),
    /// A path that does not start at the root.
    #[error("the path must be absolute")]
    RelativePath,
}

impl NextHop {
    /// Reads the forms of the configuration; port 25 for `smtp://host`, 24 for `lmtp://host`.
    pub fn parse(text: &str) -> Result<Self, ParseNextHopError> {
        if let Some(rest) = text.strip_prefix("smtp://") {
            return parse_host_port(rest, 25).map(|(host, port)| Self::Smtp { host, port });
        }
        if let Some(rest) = text.strip_prefix("lmtp://") {
            return parse_host_port(rest, 24).map(|(host, port)| Self::Lmtp { host, port });
        }
        let (path, make): (&str, fn(Box<str>) -> Self) = match text.split_once(':') {
            Some(("lmtp+unix", path)) => (path, Self::LmtpUnix),
            Some(("maildir", path)) => (path, Self::Maildir),
            _ => return Err(ParseNextHopError::Scheme),
        };
        if path.starts_with('/') {
            Ok(make(path.into()))
        } else {
            Err(ParseNextHopError::RelativePath)
        }
    }
}

fn parse_host_port(text: &str, default_port: u16) -> Result<(Host, u16), ParseNextHopError> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match text
        .strip_prefix('[')
        .and_then(|inside| inside.split_once(']'))
    {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => text
            .rsplit_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) => port
            .parse::<u16>()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| ParseNextHopError::Port(port.into()))?,
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((Host::Address(address), port));
    }
    let domain = Domain::parse(host).map_err(|_| ParseNextHopError::Host(host.into()))?;
    Ok((Host::Name(domain), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    fn held(next_hop: &str) -> Route {
        Route {
            next_hop: NextHop::parse(next_hop).unwrap(),
            path: PathMode::Hold,
            when_unproven: WhenUnproven::Defer,
        }
    }

    fn routes() -> Routes {
        let local = [
            ("example.org", held("smtp://mail.internal")),
            ("maildir.example", held("maildir:/var/mail/x")),
            (
                "stored.example",
                Route {
                    path: PathMode::Store,
                    ..held("lmtp://mail.internal")
                },
            ),
            (
                "lenient.example",
                Route {
                    when_unproven: WhenUnproven::Store,
                    ..held("lmtp+unix:/run/lmtp")
                },
            ),
        ];
        Routes {
            local: local
                .into_iter()
                .map(|(name, route)| (Domain::parse(name).unwrap(), route))
                .collect(),
            relay_from: vec!["127.0.0.0/8".parse().unwrap()],
            mx_port: 25,
            ..Routes::default()
        }
    }

    #[test]
    fn strangers_reach_local_domains_and_nothing_else() {
        let (routes, to) = (routes(), |text| ForwardPath::parse_inside(text).unwrap());
        assert!(routes.may_relay("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!routes.may_relay("192.0.2.1".parse().unwrap()));
        let local = routes.route(&to("a@EXAMPLE.org"), false).unwrap();
        assert_eq!(local.next_hop.to_string(), "smtp://mail.internal:25");
        assert_eq!(
            routes.route(&to("a@example.net"), false),
            Err(RouteError::RelayDenied)
        );
        assert_eq!(
            routes.route(&to("a@[192.0.2.1]"), false),
            Err(RouteError::RelayDenied)
        );
        assert_eq!(
            routes.route(&to("a%example.net@example.org"), false),
            Ok(local)
        );
        assert_eq!(
            routes
                .route(&to("a@example.net"), true)
                .unwrap()
                .next_hop
                .to_string(),
            "mx:example.net"
        );
    }

    #[test]
    fn only_local_mail_to_a_host_is_held() {
        let mut routes = Routes {
            postmaster: ForwardPath::parse_inside("root@example.org").ok(),
            ..routes()
        };
        let (defer, store) = (WhenUnproven::Defer, WhenUnproven::Store);
        let check = |routes: &Routes, to: &str, next_hop: &str, path, when_unproven| {
            let to = ForwardPath::parse_inside(to).unwrap();
            let route = routes.route(&to, true).unwrap();
            let expected = (next_hop.to_string(), path, when_unproven);
            let found = (route.next_hop.to_string(), route.path, route.when_unproven);
            assert_eq!(found, expected, "{to:?}");
        };
        let internal = "smtp://mail.internal:25";
        check(&routes, "a@example.org", internal, PathMode::Hold, defer);
        check(&routes, "Postmaster", internal, PathMode::Hold, defer);
        let (maildir, socket) = ("maildir:/var/mail/x", "lmtp+unix:/run/lmtp");
        check(&routes, "a@lenient.example", socket, PathMode::Hold, store);
        check(
            &routes,
            "a@maildir.example",
            maildir,
            PathMode::Store,
            store,
        );
        let lmtp = "lmtp://mail.internal:24";
        check(&routes, "a@stored.example", lmtp, PathMode::Store, store);
        let literal = "smtp://192.0.2.1:25";
        check(&routes, "a@[192.0.2.1]", literal, PathMode::Store, store);
        check(
            &routes,
            "a@example.net",
            "mx:example.net",
            PathMode::Store,
            store,
        );
        routes.relay_next_hop = NextHop::parse(internal).ok();
        check(&routes, "a@example.net", internal, PathMode::Store, store);
    }

    #[test]
    fn next_hops_are_read_or_explained() {
        for (text, shown) in [
            ("smtp://mail.internal:2525", "smtp://mail.internal:2525"),
            ("smtp://[::1]", "smtp://[::1]:25"),
            ("lmtp://127.0.0.1", "lmtp://127.0.0.1:24"),
            ("lmtp+unix:/run/lmtp", "lmtp+unix:/run/lmtp"),
            ("maildir:/var/mail/x", "maildir:/var/mail/x"),
        ] {
            assert_eq!(NextHop::parse(text).unwrap().to_string(), shown);
        }
        assert_eq!(NextHop::parse("mail"), Err(ParseNextHopError::Scheme));
        assert_eq!(
            NextHop::parse("maildir:x"),
            Err(ParseNextHopError::RelativePath)
        );
        assert_eq!(
            NextHop::parse("smtp://h:0"),
            Err(ParseNextHopError::Port("0".into()))
        );
        assert_eq!(
            NextHop::parse("smtp://a b"),
            Err(ParseNextHopError::Host("a b".into()))
        );
    }
}
