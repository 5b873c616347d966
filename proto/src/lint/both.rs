//! Whether the set and the SPF record say the same.

use alloc::format;

use crate::publish::records::shown;
use crate::survey::mail_from::{MailFrom, Root};
use crate::survey::spf::{Spf, State};
use crate::verify::spf::Qualifier;

use super::{Kind, Notes};

/// Compares addresses; says nothing while a part of either is not known, or SPF allows everybody.
pub(super) fn look(set: &MailFrom, spf: &Spf, notes: &mut Notes<'_>) {
    let known = set.trouble.is_empty() && set.over.is_empty() && !spf.is_trouble();
    let everybody = spf.all_term() == Some(Qualifier::Pass);
    if !known || everybody || spf.state != State::Found {
        return;
    }
    let record = format!("{} MX, {} TXT", shown(&set.owner), shown(&spf.domain));
    match set.root {
        Root::Never if !spf.pass.is_empty() => {
            let effect = format!(
                "MAIL-FROM says that the domain never sends, and SPF lets pass: {}",
                spf.pass
            );
            notes.add(Kind::NeverButSpf, record, &effect);
        }
        Root::Set => {
            let lacking = set.cover.without(&spf.pass);
            // A term that hangs on the message may well let them pass.
            let unclear = spf
                .all()
                .iter()
                .any(|one| one.redirect_unclear || one.terms.iter().any(|term| term.unclear));
            if !lacking.is_empty() && !unclear {
                let effect = format!("listed, and no pass in SPF: {lacking}");
                notes.add(Kind::SpfLacks, record.clone(), &effect);
            }
            let lacking = spf.pass.without(&set.cover);
            if !lacking.is_empty() {
                let effect = format!(
                    "a pass in SPF, and not listed: {lacking}; who checks MAIL-FROM alone refuses \
                     mail from there"
                );
                notes.add(Kind::SetLacks, record, &effect);
            }
        }
        _ => {}
    }
}
