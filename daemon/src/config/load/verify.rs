//! `[verify]`.

use super::super::keys;
use super::super::read::{Place, Reader};
use super::super::schema::Verify;

/// Reads the section.
pub(super) fn read<'a>(reader: &mut Reader<'a>, top: &Place<'a>) -> Option<Verify> {
    let place = reader.table(top, &keys::VERIFY);
    let dkim = reader.switch(&place, "dkim");
    let dkim_size = reader.size(&place, "dkim_size");
    let dkim_rescues = reader.switch(&place, "dkim_rescues");
    Some(Verify {
        dkim: dkim?,
        dkim_size: dkim_size?,
        dkim_rescues: dkim_rescues?,
    })
}
