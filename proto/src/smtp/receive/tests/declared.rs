//! What is declared for a recipient, where nothing speaks against the reverse-path at MAIL, but its domain's ledger may at
//! the end: it clears that as it would clear any refusal, and puts nothing off before.

use super::held::{Talk, begun, offered};
use super::*;
use crate::cutthrough::Opens;
use crate::envelope::Clearance;
use crate::residue::inquiry::Meaning;
use crate::residue::{Claim, Word};
use crate::verify::forwarder;
use crate::verify::ledger::{Claimed, Denial, Finding};

/// A session at a site where forwarders are declared, and a postmaster may be reached, behind this verdict at MAIL.
fn behind(verdict: Verdict, holds: bool) -> Talk {
    let mut settings = Settings::clone(&settings());
    settings.holds = holds;
    settings.possible.forwarders = true;
    settings.possible.postmaster = true;
    let mut talk = Talk::with(&settings);
    talk.says("EHLO a\r\nMAIL FROM:<a@example.net>\r\n");
    talk.answer(Answer::Verdict(Arc::new(verdict)));
    talk
}

fn forwarder(standing: forwarder::Standing) -> Evidence {
    Evidence::Forwarder(Arc::new(forwarder::Report {
        forwarder: Domain::parse("forwarder.example").unwrap(),
        standing,
        evidence: Vec::new(),
    }))
}

fn known() -> Evidence {
    forwarder(forwarder::Standing::BorderRelay)
}

fn stranger() -> Evidence {
    forwarder(forwarder::Standing::Stranger)
}

fn in_trouble() -> Evidence {
    forwarder(forwarder::Standing::NotKnown)
}

/// RCPT, of whom this is declared; the code that is said, or `held` where a path is asked.
fn recipient(talk: &mut Talk, name: &str, evidence: Evidence) -> String {
    let line = alloc::format!("RCPT TO:<{name}@example.org>\r\n");
    match talk.says(&line) {
        Some(Ask::Recipient { doubted, .. }) => assert!(doubted.is_some()),
        other => panic!("{other:?}"),
    }
    let said = talk.answer(Answer::Recipient(Ok(Vec::from([evidence]))));
    said.get(..3).unwrap_or("held").into()
}

/// The end of the content, once the ledger has said this: the code of the reply, and what custody is asked for with.
fn end(talk: &mut Talk, finding: Finding) -> (String, Option<(VerdictResult, Clearance)>) {
    talk.says("DATA\r\n");
    talk.answer(begun(false));
    let Some(Ask::Content { verdict, .. }) = talk.says("a: b\r\n\r\nx\r\n.\r\n") else {
        panic!("{:?}", talk.actions);
    };
    let known = verdict.ledger().expect("an offer");
    let report = known.with(finding, Vec::new(), None);
    let verdict = Arc::new(verdict.with_ledger(report));
    let said = talk.answer(Answer::Verdict(verdict));
    match talk.asked() {
        Some(Ask::Commit(envelope)) => (
            String::from("custody"),
            Some((envelope.verdict, envelope.clearance)),
        ),
        _ => (said[..3].into(), None),
    }
}

fn denied(denial: Denial) -> Finding {
    Finding::Denied(denial)
}

#[test]
fn what_is_declared_clears_what_the_ledger_says_later() {
    let declared = Some((VerdictResult::Unknown, Clearance::Declared));
    for (audit, evidence, denial, code, taken) in [
        (false, stranger(), Denial::Once, "451", None),
        (false, stranger(), Denial::Twice, "550", None),
        (false, in_trouble(), Denial::Twice, "451", None),
        (false, known(), Denial::Once, "custody", declared),
        (false, known(), Denial::Twice, "custody", declared),
        (
            false,
            Evidence::Postmaster,
            Denial::Twice,
            "custody",
            declared,
        ),
        (true, stranger(), Denial::Twice, "451", None),
        (true, known(), Denial::Twice, "custody", declared),
        (
            true,
            Evidence::Postmaster,
            Denial::Once,
            "custody",
            declared,
        ),
    ] {
        let mut talk = behind(offered(audit, None), false);
        let name = alloc::format!("{evidence:?} {denial:?} {audit}");
        assert_eq!(recipient(&mut talk, "c", evidence), "250", "{name}");
        assert_eq!(
            end(&mut talk, denied(denial)),
            (code.into(), taken),
            "{name}"
        );
    }
}

#[test]
fn what_is_not_denied_is_as_if_nothing_were_declared() {
    // A report of its failure goes to who sent it.
    for evidence in [known(), stranger(), in_trouble(), Evidence::Postmaster] {
        let mut talk = behind(offered(false, None), false);
        assert_eq!(recipient(&mut talk, "c", evidence.clone()), "250");
        let (_, taken) = end(&mut talk, Finding::Answered(Meaning::Unknown));
        let as_ever = Some((VerdictResult::Unknown, Clearance::Unneeded));
        assert_eq!(taken, as_ever, "{evidence:?}");
    }
}

#[test]
fn recipients_of_whom_different_things_hold_come_apart() {
    for (first, second, code) in [
        (stranger(), stranger(), "250"),
        (known(), Evidence::Postmaster, "250"),
        (stranger(), known(), "452"),
        (Evidence::Postmaster, stranger(), "452"),
        (stranger(), in_trouble(), "250"),
    ] {
        let mut talk = behind(offered(false, None), false);
        let name = alloc::format!("{first:?} {second:?}");
        assert_eq!(recipient(&mut talk, "c", first), "250");
        assert_eq!(recipient(&mut talk, "d", second), code, "{name}");
    }
    // Trouble of one may hide what would have cleared it: all come again.
    let mut talk = behind(offered(false, None), false);
    recipient(&mut talk, "c", in_trouble());
    recipient(&mut talk, "d", stranger());
    assert_eq!(end(&mut talk, denied(Denial::Twice)).0, "451");
}

#[test]
fn a_path_opens_for_what_the_domain_has_confirmed_whoever_is_declared() {
    let claimed = Claimed {
        claim: Claim::parse("79bf9.870834f17f8ca9078fdba2f63449d26a").unwrap(),
        server: None,
        word: Some(Word::Sent),
    };
    for (claimed, opens) in [(Some(claimed), Opens::Now), (None, Opens::AfterVerdict)] {
        let mut talk = behind(offered(false, claimed), true);
        assert_eq!(recipient(&mut talk, "c", stranger()), "held");
        match talk.asked() {
            Some(Ask::Hold(hold)) => assert_eq!(hold.opens, Some(opens)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_has_no_ledger_is_not_looked_at_twice() {
    let mut talk = behind(unknown(), false);
    match talk.says("RCPT TO:<c@example.org>\r\n") {
        Some(Ask::Recipient { doubted, .. }) => assert!(doubted.is_none()),
        other => panic!("{other:?}"),
    }
}
