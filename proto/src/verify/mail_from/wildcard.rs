//! Did anybody mean this set? `*.example. MX 0 mail` answers for `MAIL-FROM.example.` too (RFC
//! 4592 §2.2.1), and an inbound set must not make outbound mail look forged (DRAFT-GAPS 8).
//! PROTOCOLS A.2 step 6: only a would-be rejection pays for this test.

use crate::dns::{Lookup, Mx, Name, RecordType, Records};

use super::Reason;
use super::answers::Known;
use super::subject::Plan;
use super::walk::{Open, Trail};

/// What a rejection comes to: itself, or what the test says instead.
pub(super) fn test(
    trail: &mut Trail<'_>,
    plan: &Plan,
    owner: &Name,
    rejection: Reason,
) -> Result<Reason, Open> {
    let texts = trail.need(owner, RecordType::Txt)?;
    if let Some(stopped) = trail.settled(owner, RecordType::Txt, texts) {
        return Ok(stopped);
    }
    if texts.sentinel {
        return Ok(rejection);
    }
    let root = trail.need(owner, RecordType::Mx)?;
    if made_by_wildcard(owner, root) {
        return Ok(Reason::Wildcard);
    }
    let Some(sibling) = &plan.sibling() else {
        return Ok(rejection);
    };
    let beside = trail.need(sibling, RecordType::Mx)?;
    if let Some(stopped) = trail.settled(sibling, RecordType::Mx, beside) {
        return Ok(stopped);
    }
    let same = matches!((pairs(root), pairs(beside)), (Some(a), Some(b)) if a == b);
    Ok(if same { Reason::Wildcard } else { rejection })
}

/// The records' signature covers fewer labels than their owner has (RFC 4035 §5.3.4).
fn made_by_wildcard(asked: &Name, root: &Known) -> bool {
    let owner = root.answer.aliases.last().unwrap_or(asked);
    root.answer
        .signed_labels
        .is_some_and(|signed| usize::from(signed) < owner.labels().count())
}

/// (preference, exchange) of each record, sorted.
fn pairs(known: &Known) -> Option<&[Mx]> {
    if let Lookup::Found(Records::Mx(list)) = &known.answer.lookup {
        Some(list)
    } else {
        None
    }
}

/// `v=MFMX1`, alone or before other tags: the set is deliberate (A.1, and the TXT's form in A.2).
pub fn is_sentinel(text: &[u8]) -> bool {
    text.split(|octet| *octet == b';')
        .next()
        .is_some_and(|tag| tag.trim_ascii().eq_ignore_ascii_case(b"v=MFMX1"))
}

#[cfg(test)]
mod tests {
    use super::is_sentinel;

    #[test]
    fn the_first_tag_decides() {
        for text in [
            "v=MFMX1",
            " V=mfmx1 ",
            "v=MFMX1;",
            "v=mfmx1 ; note=x;;",
            "\tv=MFMX1",
        ] {
            assert!(is_sentinel(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            ";v=MFMX1",
            "v=MFMX10",
            "v=MFMX",
            "v = MFMX1",
            "v=MFMX1 x",
            "x=1; v=MFMX1",
            "v=spf1",
            "\"v=MFMX1\"",
        ] {
            assert!(!is_sentinel(text.as_bytes()), "{text}");
        }
    }
}
