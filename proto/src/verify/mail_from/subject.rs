//! Whose word is asked for: the domain that answers for a reverse-path, or why none does.
//! PROTOCOLS A.2 steps 1 and 2; nothing here asks the DNS.

use alloc::boxed::Box;
use core::net::IpAddr;

use crate::addr::{Domain, MailDomain, ReversePath};
use crate::dns::Name;

use super::{Identity, Reason, Report, Request};

/// The label in front of a domain that publishes.
pub const LABEL: &str = "mail-from";

/// Stands in for a sibling label that is not nine letters or digits.
const SPARE_SIBLING: &str = "q7w2mzx4k";

/// What is to be done about a request.
#[derive(Debug)]
pub(super) enum Subject {
    /// Nothing: the result stands already.
    Settled(Box<Report>),
    /// Ask the DNS.
    Ask(Plan),
}

/// Everything the walk starts from.
#[derive(Debug)]
pub(super) struct Plan {
    /// The client, IPv4 wherever it is one.
    pub client: IpAddr,
    /// Where the domain comes from.
    pub identity: Identity,
    /// The domain that is asked.
    pub domain: Domain,
    /// `MAIL-FROM.<domain>`; none if that is no name.
    pub owner: Option<Name>,
    /// Null reverse-path: the HELO name, as a host.
    pub helo_host: Option<Name>,
    /// The first label of a name beside the owner, for the wildcard test.
    sibling: Box<str>,
}

impl Plan {
    /// A name beside the owner; few checks need it.
    pub(super) fn sibling(&self) -> Option<Name> {
        Name::from(&self.domain).child(&self.sibling).ok()
    }
}

impl Subject {
    /// Looks at the request alone.
    pub(super) fn of(request: &Request) -> Self {
        let client = unmapped(request.client);
        let settled = |reason, domain: Option<Domain>| {
            let report = Report::unasked(reason, client, Identity::of(&request.reverse_path));
            Self::Settled(Box::new(Report { domain, ..report }))
        };
        if request.in_perimeter {
            return settled(Reason::Perimeter, request.reverse_path.domain().cloned());
        }
        let (domain, is_helo) = match &request.reverse_path {
            ReversePath::Null => match helo_domain(&request.helo) {
                Some(domain) => (domain, true),
                None => return settled(Reason::Null, None),
            },
            ReversePath::Bare(_) => return settled(Reason::NoDomain, None),
            ReversePath::Mailbox(mailbox) => match &mailbox.domain {
                MailDomain::Literal(_) => return settled(Reason::Literal, None),
                MailDomain::Unusable(_) => return settled(Reason::Unusable, None),
                MailDomain::Name(domain) => (domain.clone(), false),
            },
        };
        let name = Name::from(&domain);
        let owner = name.child(LABEL).ok();
        if owner.is_none() && !is_helo {
            return settled(Reason::TooLong, Some(domain));
        }
        Self::Ask(Plan {
            client,
            identity: Identity::of(&request.reverse_path),
            sibling: sibling_label(&request.sibling).into(),
            owner,
            helo_host: is_helo.then_some(name),
            domain,
        })
    }
}

/// An IPv4 client of an IPv6 socket is an IPv4 client (RFC 4291 §2.5.5.2).
fn unmapped(client: IpAddr) -> IpAddr {
    client.to_canonical()
}

/// The HELO argument, if it is a host's full name; an address in its place is none.
fn helo_domain(helo: &str) -> Option<Domain> {
    let domain = Domain::parse(helo).ok()?;
    (domain.is_fully_qualified() && domain.as_ascii().parse::<IpAddr>().is_err()).then_some(domain)
}

/// The driver's label; a fixed one in place of what would not serve.
fn sibling_label(label: &str) -> &str {
    if label.len() == LABEL.len() && label.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        label
    } else {
        SPARE_SIBLING
    }
}
