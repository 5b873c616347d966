//! Every scenario again, this time with a ledger of the reverse-path's domain, which says each of the things that it may
//! say: what must come of it follows from what the others have said, and from nothing else.

use vouchsafe_proto::addr::Domain;
use vouchsafe_proto::dns::{Answer, RecordType, Trouble};
use vouchsafe_proto::residue::inquiry::Meaning;
use vouchsafe_proto::residue::{Offer, Policy};
use vouchsafe_proto::verify::inquiry::Tests;
use vouchsafe_proto::verify::ledger::{Denial, Finding, NotAsked, Report, When};
use vouchsafe_proto::verify::timing::{Moment, Possible};
use vouchsafe_proto::verify::{Evidence, Verdict, VerdictResult, Weight};

use crate::corpus;
use crate::session::{Ended, run, run_with};
use crate::world::World;
use crate::world::drive::{inquire, request};

use VerdictResult::{Authorised, Repudiated, Tempfail, Unknown};

/// All that can come of asking.
fn findings() -> Vec<Finding> {
    let elsewhere = Domain::parse("old.example").unwrap();
    let mut all = vec![Finding::NotAsked(NotAsked::NoDate)];
    all.extend(
        [
            Meaning::Sent,
            Meaning::SentToSome,
            Meaning::SentElsewhere(elsewhere),
            Meaning::Altered,
            Meaning::Unknown,
        ]
        .map(Finding::Answered),
    );
    let denials = [Denial::Ahead, Denial::Once, Denial::Twice, Denial::Overdue];
    all.extend(denials.map(Finding::Denied));
    all
}

fn report(finding: Finding, policy: Policy, audit: bool) -> Report {
    Report {
        domain: Domain::parse("example.org").unwrap(),
        offer: Offer {
            window: 336,
            least_revealed: 80,
            policy,
        },
        audit,
        finding,
        claimed: None,
        asked: Vec::new(),
        steps: Vec::new(),
        ttl: 300,
    }
}

/// What everything but the ledger comes to.
fn others(verdict: &Verdict) -> Verdict {
    let mut rest = verdict.evidence().iter().cloned();
    let mut rest = rest
        .by_ref()
        .filter(|piece| !matches!(piece, Evidence::Ledger(_)));
    let first = rest.next().expect("something at MAIL");
    Verdict::of(first, rest)
}

/// What must come of it beside these others.
fn expected(report: &Report, others: &Verdict) -> VerdictResult {
    let rest = others.result();
    let listed = others.weighed().any(|(piece, weight)| {
        let is_list = matches!(piece, Evidence::MailFrom(_) | Evidence::Spf(_));
        is_list && weight == Weight::Proves
    });
    let trouble = others.evidence().iter().any(|piece| match piece {
        Evidence::Dkim {
            report,
            reverse_path,
            rescues,
        } => report.weight(reverse_path, others.mail_from_weight(), *rescues) == Weight::Trouble,
        _ => false,
    });
    match (&report.finding, rest) {
        (Finding::Answered(Meaning::Sent), _) => Authorised,
        (Finding::Answered(Meaning::SentToSome | Meaning::SentElsewhere(_)), rest) => match rest {
            Authorised => Authorised,
            _ => Unknown,
        },
        (Finding::Denied(denial), rest)
            if report.offer.policy == Policy::Reject && *denial != Denial::Ahead =>
        {
            match (denial, rest) {
                (_, Authorised) if !listed || !report.audit => Authorised,
                (Denial::Overdue, Authorised) => Unknown,
                (_, Unknown) if others.has(Weight::Clears) => Unknown,
                (_, Authorised) | (Denial::Once, Unknown) => Tempfail,
                (_, Unknown) if trouble => Tempfail,
                (_, Unknown) => Repudiated,
                (_, rest) => rest,
            }
        }
        (_, rest) => rest,
    }
}

/// What must hold of one message.
fn hold(name: &str, report: &Report, without: &Ended, with: &Ended) {
    let others = others(&with.verdict);
    let asked = with
        .verdict
        .ledger()
        .is_some_and(|known| known.finding != Finding::Offered);
    let said = || {
        let weights: Vec<_> = with.verdict.weighed().map(|(_, weight)| weight).collect();
        format!(
            "{name}: {:?} audit {}: {weights:?}",
            report.finding, report.audit
        )
    };
    if !asked {
        assert_eq!(with.verdict.result(), others.result(), "{}", said());
        assert_eq!(with.reply, without.reply, "{}", said());
        return;
    }
    let result = expected(report, &others);
    assert_eq!(with.verdict.result(), result, "{}", said());
    match result {
        Authorised | Unknown => assert_eq!(with.reply, None, "{}", said()),
        Repudiated | Tempfail => {
            assert_eq!(with.moment, Some(Moment::EndOfData), "{}", said());
            let class = if result == Tempfail { '4' } else { '5' };
            assert!(
                with.reply.as_ref().unwrap().starts_with(class),
                "{}",
                said()
            );
        }
    }
    // Nothing but "not sent", said again, to a domain that wants it, makes a refusal of what was none.
    if result == Repudiated && others.result() != Repudiated {
        assert!(report.is_denied_twice(), "{}", said());
        assert_eq!(report.offer.policy, Policy::Reject, "{}", said());
        assert_eq!(with.reply.as_deref(), Some("550 5.7.1"), "{}", said());
    }
    // What is proven is refused for good never.
    if others.result() == Authorised {
        assert_ne!(result, Repudiated, "{}", said());
    }
}

#[test]
fn what_the_ledger_says_counts_beside_everything_else_as_it_should() {
    let (mut plays, mut asked) = (0, 0);
    for (file, corpus) in corpus::files() {
        let world = corpus.world();
        for scenario in corpus.scenario {
            let without = run(&world, &scenario);
            for finding in findings() {
                for (policy, audit) in [
                    (Policy::Reject, false),
                    (Policy::Reject, true),
                    (Policy::None, false),
                    (Policy::None, true),
                ] {
                    let report = report(finding.clone(), policy, audit);
                    let with = run_with(&world, &scenario, Some(&report));
                    let name = format!("{file}: {}", scenario.name);
                    hold(&name, &report, &without, &with);
                    plays += 1;
                    let known = with.verdict.ledger();
                    asked += u32::from(known.is_some_and(|known| known.finding == finding));
                }
            }
        }
    }
    println!("{plays} messages, {asked} of them asked about");
    assert!(asked > 2000, "{asked} of {plays}");
}

#[test]
fn a_ledger_is_looked_for_where_it_may_be_asked() {
    let offer = "_sent 300 TXT \"v=vouch1 h=sha256-128 b=24 w=336 l=80 p=reject\"\n";
    let listed = "mail-from 300 MX 0 out\nmail-from 300 TXT \"v=MFMX1\"\nout 300 A 192.0.2.9\n";
    let a = "alice@example.org";
    for (records, path, when, audit) in [
        (offer, a, When::Unproven, Some(false)),
        (offer, a, When::Always, Some(true)),
        (offer, a, When::Never, None),
        (offer, "", When::Always, None),
        (offer, "alice@[192.0.2.9]", When::Always, None),
        (&*format!("{offer}{listed}"), a, When::Unproven, None),
        (&*format!("{offer}{listed}"), a, When::Always, Some(true)),
        (listed, a, When::Always, None),
        ("", a, When::Always, None),
        ("_sent 300 TXT \"v=vouch2\"\n", a, When::Always, None),
        (
            &*format!("{offer}_sent 300 TXT \"v=vouch1 x\"\n"),
            a,
            When::Always,
            None,
        ),
    ] {
        let mut world = World::new();
        world.zone("example.org", records);
        let tests = Tests {
            ledger: when,
            ..Tests::default()
        };
        let verdict = inquire(&world, request("192.0.2.9", "out.example.net", path), tests);
        let found = verdict.ledger();
        let case = format!("{records} <{path}> {when:?}");
        assert_eq!(found.map(|known| known.audit), audit, "{case}");
        assert_eq!(verdict.asks_ledger(), audit.is_some(), "{case}");
        if let Some(known) = found {
            assert_eq!(
                (known.finding.as_str(), known.ttl),
                ("offered", 300),
                "{case}"
            );
            assert!(verdict.keep_for() <= 300, "{case}");
        }
    }
}

#[test]
fn trouble_in_finding_a_ledger_changes_nothing() {
    let mut world = World::new();
    world.zone("example.org", "@ 300 TXT \"v=spf1 -all\"\n");
    let answer = Answer::trouble(Trouble::ServFail);
    world.fix("_sent.example.org", RecordType::Txt, answer);
    let asked = request("192.0.2.9", "out.example.net", "alice@example.org");
    let verdict = inquire(&world, asked, Tests::default());
    assert_eq!(verdict.result(), Repudiated);
    assert_eq!(verdict.ledger(), None);
    assert_eq!(Possible::default().said_at(&verdict), Moment::Mail);
}

#[test]
fn a_refusal_waits_for_the_domains_own_word() {
    let offer = "_sent 300 TXT \"v=vouch1 h=sha256-128 b=24 w=336 l=80 p=none\"\n";
    for (records, moment) in [
        ("@ 300 TXT \"v=spf1 -all\"\n", Moment::EndOfData),
        (
            "mail-from 300 MX 0 out\nmail-from 300 TXT \"v=MFMX1\"\nout 300 A 192.0.2.1\n",
            Moment::EndOfData,
        ),
        // Nothing clears that.
        ("@ 300 MX 0 .\n", Moment::Mail),
    ] {
        let mut world = World::new();
        world.zone("example.org", &format!("{offer}{records}"));
        let asked = request("192.0.2.9", "out.example.net", "alice@example.org");
        let verdict = inquire(&world, asked, Tests::default());
        assert_eq!(verdict.result(), Repudiated, "{records}");
        assert_eq!(Possible::default().said_at(&verdict), moment, "{records}");
    }
}
