//! `[verify]` and `[recipients]`.

use std::collections::BTreeMap;

use vouchsafe_proto::addr::{Domain, Mailbox};
use vouchsafe_proto::verify::forwarder::Declared;

use super::super::keys;
use super::super::read::{Place, Reader, quote};
use super::super::schema::Verify;
use super::hostname;

/// Reads the section. Our name in trace fields is the host's, if no other is given.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    top: &Place<'a>,
    host: Option<&Domain>,
) -> Option<Verify> {
    let place = reader.table(top, &keys::VERIFY);
    let given = reader.text(&place, "authserv_id", hostname);
    if let (None, Some(host)) = (&given, host) {
        reader.keep(&place.header, "authserv_id", quote(host.as_str()), None);
    }
    let authserv_id = given.or_else(|| host.cloned());
    let spf = reader.switch(&place, "spf");
    let sender_domain = reader.switch(&place, "sender_domain");
    let helo = reader.switch(&place, "helo");
    let forwarders = reader.texts(&place, "forwarders", hostname);
    let postmaster_exempt = reader.switch(&place, "postmaster_exempt");
    let dkim = reader.switch(&place, "dkim");
    let dkim_size = reader.size(&place, "dkim_size");
    let dkim_rescues = reader.switch(&place, "dkim_rescues");
    let ledger = reader.switch(&place, "ledger");
    let audit = reader.switch(&place, "audit");
    let special_use = reader.switch(&place, "special_use");
    Some(Verify {
        authserv_id: authserv_id?,
        spf: spf?,
        sender_domain: sender_domain?,
        helo: helo?,
        forwarders: forwarders?,
        postmaster_exempt: postmaster_exempt?,
        dkim: dkim?,
        dkim_size: dkim_size?,
        dkim_rescues: dkim_rescues?,
        ledger: ledger?,
        audit: audit?,
        special_use: special_use?,
    })
}

/// `[recipients]`: the forwarders of each.
pub(super) fn read_recipients<'a>(
    reader: &mut Reader<'a>,
    top: &Place<'a>,
) -> BTreeMap<Box<str>, Vec<Domain>> {
    let mut all = BTreeMap::new();
    for place in reader.named(top, &keys::RECIPIENTS) {
        let forwarders = reader.texts(&place, "forwarders", hostname);
        match Mailbox::parse(&place.name) {
            Ok(mailbox) => {
                all.insert(Declared::key(&mailbox), forwarders.unwrap_or_default());
            }
            Err(why) => {
                let message = format!("{}: {:?} is no address: {why}", place.header, place.name);
                reader.problem(place.line, message);
            }
        }
    }
    all
}
