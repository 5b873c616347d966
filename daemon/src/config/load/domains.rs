//! `[domains]`.

use vouchsafe_proto::addr::{Domain, ForwardPath};
use vouchsafe_proto::route::NextHop;

use super::super::keys;
use super::super::read::{Place, Reader, quote};
use super::super::schema::{LocalDomain, PathMode};
use super::{hostname, mailbox, next_hop};

/// One of `[domains]`, and where it stands.
#[derive(Debug)]
pub(in crate::config) struct DraftDomain {
    pub(in crate::config) header: String,
    pub(in crate::config) line: Option<usize>,
    pub(in crate::config) name: Option<Domain>,
    pub(in crate::config) next_hop: Option<NextHop>,
    path: Option<PathMode>,
    forwarders: Option<Vec<Domain>>,
}

impl DraftDomain {
    /// The domain and what holds for it, if every part is there.
    pub(super) fn finish(self) -> Option<(Domain, LocalDomain)> {
        let local = LocalDomain {
            next_hop: self.next_hop?,
            path: self.path?,
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
        let forwarders = reader.texts(&place, "forwarders", hostname);
        all.push(DraftDomain {
            header: place.header,
            line: place.line,
            name,
            next_hop,
            path,
            forwarders,
        });
    }
    all
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
