//! `[domains]`.

use vouchsafe_proto::addr::{Domain, ForwardPath};
use vouchsafe_proto::route::{NextHop, PathMode, Route, WhenUnproven};

use super::super::keys;
use super::super::read::{Place, Reader, quote};
use super::super::schema::LocalDomain;
use super::{hostname, mailbox, next_hop};

/// One of `[domains]`, and where it stands.
#[derive(Debug)]
pub(in crate::config) struct DraftDomain {
    pub(in crate::config) header: String,
    pub(in crate::config) line: Option<usize>,
    pub(in crate::config) name: Option<Domain>,
    pub(in crate::config) next_hop: Option<NextHop>,
    pub(in crate::config) path: Option<PathMode>,
    pub(in crate::config) when_unproven: Option<WhenUnproven>,
    forwarders: Option<Vec<Domain>>,
}

impl DraftDomain {
    /// Why every message is queued first, if so it is; as words that follow "with".
    pub(in crate::config) fn always_stores(&self) -> Option<&'static str> {
        match (self.path, &self.next_hop) {
            (Some(PathMode::Store), _) => Some("path = \"store\""),
            (_, Some(NextHop::Maildir(_))) => Some("a maildir: as \"next_hop\""),
            _ => None,
        }
    }

    /// The domain and what holds for it, if every part is there.
    pub(super) fn finish(self) -> Option<(Domain, LocalDomain)> {
        let local = LocalDomain {
            route: Route {
                next_hop: self.next_hop?,
                path: self.path?,
                when_unproven: self.when_unproven?,
            },
            forwarders: self.forwarders?,
        };
        Some((self.name?, local))
    }
}

/// `[domains]`, in the order of the file.
pub(super) fn read<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Vec<DraftDomain> {
    let mut all = Vec::new();
    for place in reader.named(top, &keys::DOMAINS) {
        let name = match hostname(&place.name) {
            Ok(name) => Some(name),
            Err(why) => {
                reader.problem(place.line, format!("{}: {why}", place.header));
                None
            }
        };
        let next_hop = reader.text(&place, "next_hop", next_hop);
        let path = reader.word(&place, "path", |word| match word {
            "hold" => Some(PathMode::Hold),
            "store" => Some(PathMode::Store),
            _ => None,
        });
        let mut domain = DraftDomain {
            header: place.header.clone(),
            line: place.line,
            name,
            next_hop,
            path,
            when_unproven: None,
            forwarders: None,
        };
        domain.when_unproven = when_unproven(reader, &place, &domain);
        domain.forwarders = reader.texts(&place, "forwarders", hostname);
        all.push(domain);
    }
    all
}

/// `when-unproven` of a domain, or what follows from its `path`.
fn when_unproven<'a>(
    reader: &mut Reader<'a>,
    place: &Place<'a>,
    domain: &DraftDomain,
) -> Option<WhenUnproven> {
    const KEY: &str = "when-unproven";
    if place.gives(KEY) {
        return reader.word(place, KEY, |word| match word {
            "defer" => Some(WhenUnproven::Defer),
            "store" => Some(WhenUnproven::Store),
            _ => None,
        });
    }
    let (follows, word) = match domain.always_stores() {
        Some(_) => (WhenUnproven::Store, "store"),
        None => (WhenUnproven::Defer, "defer"),
    };
    reader.keep(&place.header, KEY, quote(word), None);
    Some(follows)
}

/// Postmaster at the first local domain of the file.
pub(super) fn first_postmaster(
    reader: &mut Reader<'_>,
    domains: &[DraftDomain],
) -> Option<ForwardPath> {
    let domain = domains.iter().find_map(|domain| domain.name.as_ref())?;
    let address = format!("postmaster@{domain}");
    let path = mailbox(&address).ok()?;
    reader.keep("", "postmaster", quote(&address), None);
    Some(path)
}
