//! Which Date values have an hour, and which: the grammar that docs/ledger.md states. Both sides must read it alike, so a
//! change of the library that reads them must not change a row.

use alloc::format;

use super::super::{Hour, NoHour};
use super::covered;

/// 2026-11-21 09:00 UTC.
const NINE: u32 = 498_681;

fn hour(value: &str) -> Option<u32> {
    let given = covered(&format!("Date: {value}\r\n\r\n")).hour();
    assert!(
        matches!(given, Ok(_) | Err(NoHour::Unreadable)),
        "{value}: {given:?}"
    );
    given.ok().map(Hour::number)
}

#[test]
fn what_is_a_date_has_its_hour() {
    for (value, expected) in [
        ("Sat, 21 Nov 2026 09:14:58 +0000", NINE),
        ("Sat, 21 Nov 2026 10:14:58 +0100", NINE),
        // Seconds and the weekday may be absent; a wrong weekday does not matter.
        ("21 Nov 2026 09:14 +0000", NINE),
        ("Mon, 21 Nov 2026 09:14:58 +0000", NINE),
        // Letters of any case, a day of one digit, weekday and comma apart.
        ("SAT , 21 nOV 2026 09:14:58 gmt", NINE),
        ("1 Nov 2026 09:14:58 +0000", NINE - 480),
        ("01 Nov 2026 09:14:58 +0000", NINE - 480),
        // Folded, and blanks around the colons.
        ("Sat,\r\n 21 Nov\r\n\t2026  09 : 14 : 58\r\n +0000", NINE),
        // Form feeds and bare CRs, where a blank may stand.
        ("21\x0cNov 2026\r09:14:58 +0000", NINE),
        // Half hours; zones of half the world.
        ("21 Nov 2026 14:44:58 +0530", NINE),
        ("21 Nov 2026 14:29:59 +0530", NINE - 1),
        ("21 Nov 2026 05:44:58 -0330", NINE),
        ("20 Nov 2026 21:14:58 -1200", NINE),
        ("21 Nov 2026 23:14:58 +1400", NINE),
        // -0000 is UTC (RFC 5322 section 3.3: where it was written is not told).
        ("21 Nov 2026 09:14:58 -0000", NINE),
        // A leap second is the one before it.
        ("21 Nov 2026 09:59:60 +0000", NINE),
        ("31 Dec 2016 23:59:60 +0000", 412_007),
        // Obsolete zones; unknown ones of three to five letters, and single letters but J, are UTC.
        ("21 Nov 2026 09:14:58 UT", NINE),
        ("21 Nov 2026 09:14:58 GMT", NINE),
        ("21 Nov 2026 04:14:58 EST", NINE),
        ("21 Nov 2026 05:14:58 EDT", NINE),
        ("21 Nov 2026 03:14:58 CST", NINE),
        ("21 Nov 2026 04:14:58 CDT", NINE),
        ("21 Nov 2026 02:14:58 MST", NINE),
        ("21 Nov 2026 03:14:58 MDT", NINE),
        ("21 Nov 2026 01:14:58 PST", NINE),
        ("21 Nov 2026 02:14:58 PDT", NINE),
        ("21 Nov 2026 09:14:58 Z", NINE),
        ("21 Nov 2026 09:14:58 A", NINE),
        ("21 Nov 2026 09:14:58 y", NINE),
        ("21 Nov 2026 09:14:58 CEST", NINE),
        ("21 Nov 2026 09:14:58 UTC", NINE),
        // Years of two digits and of three (RFC 5322 section 4.3).
        ("21 Nov 26 09:14:58 +0000", NINE),
        ("21 Nov 126 09:14:58 +0000", NINE),
        ("1 Jan 70 00:00 +0000", 0),
        ("1 Jan 99 00:00 +0000", 254_208),
        ("1 Jan 00 00:00 +0000", 262_968),
        // One comment at the end, which may hold others.
        ("21 Nov 2026 10:14:58 +0100 (CET)", NINE),
        ("21 Nov 2026 10:14:58 +0100 (C(E\\)T))", NINE),
        ("21 Nov 2026 10:14:58 +0100(CET)", NINE),
        // The last hour that can be said.
        ("14 Aug 2089 15:59:59 +0000", (1 << 20) - 1),
    ] {
        assert_eq!(hour(value), Some(expected), "{value}");
    }
}

#[test]
fn what_is_no_date_has_none() {
    for value in [
        "",
        "Sat, 21 Nov 2026",
        "Sat, 21 Nov 2026 09:14:58",
        // Comments elsewhere, or two of them, or one without end (RFC 5322 allows the first two).
        "Sat (x), 21 Nov 2026 09:14:58 +0000",
        "21 Nov (x) 2026 09:14:58 +0000",
        "(x) 21 Nov 2026 09:14:58 +0000",
        "21 Nov 2026 09:14:58 +0000 (x) (y)",
        "21 Nov 2026 09:14:58 +0000 (x",
        "21 Nov 2026 09:14:58 GMT(x)",
        // Behind the zone nothing else.
        "21 Nov 2026 09:14:58 +0000 x",
        "21 Nov 2026 09:14:58 +0000x",
        // Not the names of the grammar.
        "Saturday, 21 Nov 2026 09:14:58 +0000",
        "Sat 21 Nov 2026 09:14:58 +0000",
        "Sat, 21 November 2026 09:14:58 +0000",
        "Sat, 21-Nov-2026 09:14:58 +0000",
        "2026-11-21T09:14:58Z",
        "Sat Nov 21 09:14:58 2026",
        // Out of range.
        "31 Nov 2026 09:14:58 +0000",
        "0 Nov 2026 09:14:58 +0000",
        "29 Feb 2026 09:14:58 +0000",
        "21 Nov 2026 24:00:00 +0000",
        "21 Nov 2026 09:60:58 +0000",
        "21 Nov 2026 09:14:61 +0000",
        "21 Nov 2026 09:14:58 +0060",
        "21 Nov 2026 09:14:58 +9900",
        // Digits too few or too many.
        "21 Nov 6 09:14:58 +0000",
        "21 Nov 20266 09:14:58 +0000",
        "021 Nov 2026 09:14:58 +0000",
        "21 Nov 2026 9:14:58 +0000",
        "21 Nov 2026 09:14:5 +0000",
        "21 Nov 2026 09:14:58.5 +0000",
        "21 Nov 2026 09:14:58 +100",
        "21 Nov 2026 09:14:58 +01:00",
        "21 Nov 2026 09:14:58+0100",
        // Zones that are none.
        "21 Nov 2026 09:14:58 J",
        "21 Nov 2026 09:14:58 XY",
        "21 Nov 2026 09:14:58 ABCDEF",
        "21 Nov 2026 09:14:58 GMT+1",
        "21 Nov 2026 09:14:58 \"GMT\"",
        // Before 1970 and from 2089-08-14 16:00 on.
        "31 Dec 1969 23:59:59 +0000",
        "1 Jan 1970 00:30 +0100",
        "1 Jan 69 00:00 +0000",
        "14 Aug 2089 16:00 +0000",
        "21 Nov 2026 09:14:58 \u{e9}t\u{e9}",
        "21\u{a0}Nov 2026 09:14:58 +0000",
    ] {
        assert_eq!(hour(value), None, "{value}");
    }
}
