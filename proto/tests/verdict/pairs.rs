//! Every pair of DESIGN §3's rows that can occur together must stand in some scenario, and no
//! other may: the list of pairs is made here, with the reason why a pair cannot be.

use std::collections::BTreeSet;

use vouchsafe_proto::verify::spf::SpfResult;
use vouchsafe_proto::verify::{Evidence, Weight, forwarder, sender_domain};

use crate::outcomes;
use crate::session::Ended;

/// A row, in one of its states: what was found, whatever it weighs beside the others.
type Row = (Kind, &'static str);

/// Which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Relay,
    Domain,
    MailFrom,
    Spf,
    Forwarder,
    Dkim,
}

use Kind::{Dkim, Domain, Forwarder, MailFrom, Relay, Spf};

/// All rows that exist.
const ROWS: [Row; 23] = [
    (Relay, "local domain"),
    (Relay, "other domain"),
    (Domain, "absent"),
    (Domain, "null MX"),
    (MailFrom, "authorised"),
    (MailFrom, "repudiated"),
    (MailFrom, "unknown"),
    (MailFrom, "trouble"),
    (Spf, "proves"),
    (Spf, "clears"),
    (Spf, "none"),
    (Spf, "fail"),
    (Spf, "softfail"),
    (Spf, "neutral"),
    (Spf, "permerror"),
    (Spf, "temperror"),
    (Forwarder, "border relay"),
    (Forwarder, "stranger"),
    (Forwarder, "trouble"),
    (Dkim, "proves"),
    (Dkim, "clears"),
    (Dkim, "silent"),
    (Dkim, "trouble"),
];

/// Why two rows never meet, if they cannot. `a` stands before `b` in [`ROWS`].
fn apart(a: Row, b: Row) -> Option<&'static str> {
    match (a, b) {
        ((Forwarder, _), (Forwarder, _)) => None,
        ((one, _), (other, _)) if one == other => Some("one finding of a kind"),
        ((Relay, _), _) => Some("of a client that we relay for nothing is asked"),
        ((Domain, _), (MailFrom, "authorised")) => {
            Some("a listed relay ends the inquiry, and a HELO name is not tested")
        }
        ((Domain, "absent"), (MailFrom, "repudiated")) => Some("a name with names below it exists"),
        ((Domain, "absent"), (Spf, state)) if !matches!(state, "none" | "temperror") => {
            Some("a name that does not exist has no record")
        }
        ((Domain, _), (Forwarder, _)) => Some("nothing clears it, so no forwarder is asked"),
        ((Domain, "absent"), (Dkim, _)) => Some("refused at MAIL: nothing can have proved"),
        ((MailFrom, "authorised") | (Spf, "proves" | "clears"), (Forwarder, _)) => {
            Some("there is nothing left to clear")
        }
        _ => None,
    }
}

/// The rows of one message.
fn rows(ended: &Ended) -> Vec<Row> {
    let each = ended.verdict.evidence().iter();
    each.filter_map(|piece| match piece {
        Evidence::RelayClient { local_domain } => Some((
            Relay,
            if *local_domain {
                "local domain"
            } else {
                "other domain"
            },
        )),
        Evidence::SenderDomain(report) => match report.finding {
            sender_domain::Finding::Absent => Some((Domain, "absent")),
            sender_domain::Finding::NullMx => Some((Domain, "null MX")),
            sender_domain::Finding::Sound | sender_domain::Finding::NotKnown => None,
        },
        Evidence::MailFrom(report) => Some((
            MailFrom,
            match report.weight() {
                Weight::Proves => "authorised",
                Weight::Against => "repudiated",
                Weight::Trouble => "trouble",
                _ => "unknown",
            },
        )),
        Evidence::Spf(report) => Some((
            Spf,
            match report.result {
                SpfResult::Pass if report.proves_if_mail_from_silent() => "proves",
                SpfResult::Pass => "clears",
                other => other.as_str(),
            },
        )),
        Evidence::Forwarder(report) => Some((
            Forwarder,
            match report.standing {
                forwarder::Standing::BorderRelay => "border relay",
                forwarder::Standing::Stranger => "stranger",
                _ => "trouble",
            },
        )),
        Evidence::Dkim {
            report,
            reverse_path,
            ..
        } => Some((
            Dkim,
            // By itself, that is where nothing else speaks.
            report.weight(reverse_path, Weight::Silent, true).as_str(),
        )),
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn every_row_and_every_pair_of_rows_that_can_meet_is_in_the_corpus() {
    let mut seen = BTreeSet::new();
    let mut single = BTreeSet::new();
    for (file, scenario, ended) in outcomes() {
        let rows = rows(&ended);
        for (at, a) in rows.iter().enumerate() {
            assert!(ROWS.contains(a), "{a:?}");
            single.insert(*a);
            for b in &rows[at + 1..] {
                let (a, b) = (a.min(b), a.max(b));
                let place = |row: &Row| ROWS.iter().position(|one| one == row);
                let (a, b) = if place(a) <= place(b) { (a, b) } else { (b, a) };
                let why = apart(*a, *b);
                let name = &scenario.name;
                assert_eq!(why, None, "{file}: {name}: {a:?} and {b:?} cannot meet");
                seen.insert((*a, *b));
            }
        }
    }
    let mut missing = Vec::new();
    let mut wanted = 0;
    for (at, a) in ROWS.iter().enumerate() {
        assert!(single.contains(a), "no scenario has {a:?}");
        for b in &ROWS[at + 1..] {
            if apart(*a, *b).is_some() {
                continue;
            }
            wanted += 1;
            if !seen.contains(&(*a, *b)) {
                missing.push(format!("{a:?} and {b:?}"));
            }
        }
    }
    assert!(missing.is_empty(), "missing:\n{}", missing.join("\n"));
    assert_eq!(seen.len(), wanted);
    println!("{wanted} pairs of {} rows", ROWS.len());
}
