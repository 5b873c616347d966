//! The fusion (DESIGN §3): what pieces of evidence come to when they stand beside each other.
//!
//! Promised: the order in which they came makes no difference. Left to others: what each says by itself, and when
//! the verdict is said (`timing`).

use alloc::vec::Vec;

use super::{Evidence, VerdictResult, Weight};

/// What each piece says beside the others. A signature whose key is not to be had now, or a declared forwarder of
/// which nothing is known now, is trouble only where it could have cleared something: it can hide no repudiation, and a
/// stranger's broken DNS must not hold up mail against which nothing speaks. That the domain says for the first time
/// that it did not send the message puts off nothing that it has said already by its lists.
pub(super) fn weights(evidence: &[Evidence]) -> Vec<Weight> {
    let mail_from = mail_from_weight(evidence);
    let each = evidence.iter().map(|piece| piece.weight(mail_from));
    let mut each: Vec<_> = each.collect();
    let is_against = each.contains(&Weight::Against);
    let is_refused = is_against || each.contains(&Weight::Condemns);
    let is_late =
        |piece: &Evidence| matches!(piece, Evidence::Dkim { .. } | Evidence::Forwarder(_));
    let mut weighed = each.iter().zip(evidence);
    let is_in_trouble =
        weighed.any(|(weight, piece)| *weight == Weight::Trouble && !is_late(piece));
    for (weight, piece) in each.iter_mut().zip(evidence) {
        let is_needless = match piece {
            Evidence::Dkim { .. } => !is_against,
            Evidence::Forwarder(_) => !is_against && !is_in_trouble,
            Evidence::Ledger(_) => is_refused,
            _ => false,
        };
        if *weight == Weight::Trouble && is_needless {
            *weight = Weight::Silent;
        }
    }
    dispute(&mut each, evidence);
    denounce(&mut each, evidence);
    each
}

/// A report about what was not sent from here comes from an honest host, which believed a forged reverse-path: that it
/// is who it says makes it no better.
fn denounce(weights: &mut [Weight], evidence: &[Evidence]) {
    let is_forged = |piece: &Evidence| matches!(piece, Evidence::Bounce(report) if report.weight() == Weight::Condemns);
    if !evidence.iter().any(is_forged) {
        return;
    }
    for (weight, piece) in weights.iter_mut().zip(evidence) {
        if !is_forged(piece) {
            *weight = Weight::Silent;
        }
    }
}

/// What the domain's lists prove and its ledger denies (`[verify] audit`) is held up, and when it has been for long
/// enough it is nothing known: a relay may be abused, or a ledger faulty.
fn dispute(weights: &mut [Weight], evidence: &[Evidence]) {
    let is_list = |piece: &Evidence| matches!(piece, Evidence::MailFrom(_) | Evidence::Spf(_));
    let mut weighed = weights.iter().zip(evidence);
    let is_listed = weighed.any(|(weight, piece)| is_list(piece) && *weight == Weight::Proves);
    let disputes = evidence.iter().find_map(|piece| match piece {
        Evidence::Ledger(report) => report.disputes(),
        _ => None,
    });
    let Some(dispute) = disputes.filter(|_| is_listed) else {
        return;
    };
    for (weight, piece) in weights.iter_mut().zip(evidence) {
        *weight = match piece {
            Evidence::Ledger(_) => dispute,
            // Whom the recipient trusts he trusts with it.
            _ if piece.is_of_recipient() && *weight == Weight::Clears => Weight::Clears,
            // The proof had outweighed what is against, too.
            _ => Weight::Silent,
        };
    }
}

/// What the MAIL-FROM MX check among them says; silent if it was not made.
pub(super) fn mail_from_weight(evidence: &[Evidence]) -> Weight {
    let found = evidence.iter().find_map(|piece| match piece {
        Evidence::MailFrom(report) => Some(report.weight()),
        _ => None,
    });
    found.unwrap_or(Weight::Silent)
}

/// Any that proves, authorised; else any that clears, unknown, unless something condemns; else any
/// trouble, tempfail, since it may hide what would have proved; else any against, repudiated; else
/// unknown (DESIGN §3).
pub(super) fn fuse(weights: &[Weight]) -> VerdictResult {
    let any = |weight| weights.contains(&weight);
    if any(Weight::Proves) {
        VerdictResult::Authorised
    } else if any(Weight::Clears) && !any(Weight::Condemns) {
        VerdictResult::Unknown
    } else if any(Weight::Trouble) {
        VerdictResult::Tempfail
    } else if any(Weight::Condemns) || any(Weight::Against) {
        VerdictResult::Repudiated
    } else {
        VerdictResult::Unknown
    }
}
