//! Who a check is about: a sender as RFC 7208 §2.4 and §4.3 see it.

use alloc::boxed::Box;
use core::cell::Cell;
use core::net::IpAddr;

use crate::addr::{Domain, MailDomain, ReversePath};
use crate::time::Wall;

use super::expand::{Target, UNKNOWN, Values};
use super::limits::MAX_HELO;
use super::walk::Plan;
use super::{Identity, Request};

/// The local-part of a sender that has none (RFC 7208 §4.3).
pub(super) const POSTMASTER: &str = "postmaster";

/// Who a check is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The null reverse-path: postmaster at the HELO name.
    Null,
    /// An address with a domain that can be asked.
    Address {
        /// The local-part without quoting.
        local_part: Box<str>,
        /// The domain.
        domain: Domain,
    },
    /// An address with no domain, an address literal, or a domain that the DNS cannot hold:
    /// nobody to ask.
    Unanswerable,
}

impl Sender {
    /// A domain as a whole, as postmaster there.
    pub fn domain(domain: Domain) -> Self {
        Self::Address {
            local_part: POSTMASTER.into(),
            domain,
        }
    }

    /// Reads what is left and right of the last `@`, more freely than SMTP does: RFC 7208 says
    /// what a sender without a local-part means. Empty is null.
    pub fn parse(text: &str) -> Self {
        let Some((local_part, domain)) = text.rsplit_once('@') else {
            return if text.is_empty() {
                Self::Null
            } else {
                Self::Unanswerable
            };
        };
        match Domain::parse(domain) {
            Ok(domain) if local_part.is_empty() => Self::domain(domain),
            Ok(domain) => Self::Address {
                local_part: local_part.into(),
                domain,
            },
            Err(_) => Self::Unanswerable,
        }
    }

    /// Whose domain is asked.
    pub const fn identity(&self) -> Identity {
        match self {
            Self::Null => Identity::Helo,
            Self::Address { .. } | Self::Unanswerable => Identity::MailFrom,
        }
    }
}

impl From<&ReversePath> for Sender {
    fn from(reverse_path: &ReversePath) -> Self {
        match reverse_path {
            ReversePath::Null => Self::Null,
            ReversePath::Bare(_) => Self::Unanswerable,
            ReversePath::Mailbox(mailbox) => match &mailbox.domain {
                MailDomain::Name(domain) => Self::Address {
                    local_part: mailbox.local_part.unquoted().into(),
                    domain: domain.clone(),
                },
                MailDomain::Literal(_) | MailDomain::Unusable(_) => Self::Unanswerable,
            },
        }
    }
}

/// The domain that is asked and what the walk starts from; none if there is nobody to ask
/// (RFC 7208 §4.3).
pub(super) fn plan(request: Request, client: IpAddr, now: Wall) -> Option<(Domain, Plan)> {
    let (local_part, domain) = match request.sender {
        Sender::Null => (POSTMASTER.into(), helo_domain(&request.helo)?),
        Sender::Address { local_part, domain } => (local_part, domain),
        Sender::Unanswerable => return None,
    };
    let target = Target::of(text_of(&domain))?;
    let values = Values {
        local_part,
        sender_domain: target.text.clone(),
        client,
        helo: cut(request.helo),
        receiver: match &*request.receiver {
            "" => UNKNOWN.into(),
            _ => request.receiver,
        },
        time: now.as_millis() / 1000,
        personal: Cell::default(),
    };
    Some((domain, Plan { target, values }))
}

/// The HELO argument, if it is a domain; an address in its place is none.
fn helo_domain(helo: &str) -> Option<Domain> {
    let domain = Domain::parse(helo).ok()?;
    domain
        .as_ascii()
        .parse::<IpAddr>()
        .is_err()
        .then_some(domain)
}

/// The text of a domain for macros: as it came if it is ASCII, else its A-labels (RFC 7208 §4.3).
fn text_of(domain: &Domain) -> &str {
    if domain.as_str().is_ascii() {
        domain.as_str()
    } else {
        domain.as_ascii()
    }
}

/// As much of HELO as macros can use.
fn cut(helo: Box<str>) -> Box<str> {
    let end = helo.floor_char_boundary(MAX_HELO);
    match helo.get(..end) {
        Some(start) if start.len() < helo.len() => start.into(),
        _ => helo,
    }
}
