//! `[verify]`.

use vouchsafe_proto::addr::Domain;

use super::super::keys;
use super::super::read::{Place, Reader, quote};
use super::super::schema::Verify;

/// Reads the section. Our name in trace fields is the host's, if no other is given.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    top: &Place<'a>,
    host: Option<&Domain>,
) -> Option<Verify> {
    let place = reader.table(top, &keys::VERIFY);
    let given = reader.text(&place, "authserv_id", super::hostname);
    if let (None, Some(host)) = (&given, host) {
        reader.keep(&place.header, "authserv_id", quote(host.as_str()), None);
    }
    let authserv_id = given.or_else(|| host.cloned());
    let dkim = reader.switch(&place, "dkim");
    let dkim_size = reader.size(&place, "dkim_size");
    let dkim_rescues = reader.switch(&place, "dkim_rescues");
    Some(Verify {
        authserv_id: authserv_id?,
        dkim: dkim?,
        dkim_size: dkim_size?,
        dkim_rescues: dkim_rescues?,
    })
}
