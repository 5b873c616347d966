//! Spans of time and amounts of octets, as a postmaster writes them.

use std::time::Duration;

/// Units of time, the largest first, in milliseconds.
const TIMES: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Units of size, the largest first, in octets.
const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

/// Reads `5m`, `4h`, `1h30m`: numbers with a unit each, none twice, the larger first.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total, mut below) = (text.trim(), 0u64, u64::MAX);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, tail) = leading_number(rest)?;
        let end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(end)?;
        let millis = factor(&TIMES, unit).filter(|millis| *millis < below)?;
        total = total.checked_add(number.checked_mul(millis)?)?;
        (rest, below) = (tail.trim_start(), millis);
    }
    Some(Duration::from_millis(total))
}

/// Reads `50 MiB`, `1000000`, `64kB`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    if unit.is_empty() {
        return Some(number);
    }
    let known = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(known.1)
}

/// The span in as few units as say it exactly, above a millisecond.
pub fn show_duration(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, factor) in TIMES {
        let count = millis.checked_div(factor).unwrap_or(0);
        if count > 0 {
            text.push_str(&count.to_string());
            text.push_str(unit);
            millis = millis.saturating_sub(count.saturating_mul(factor));
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// The amount in the largest binary unit that says it exactly.
pub fn show_size(octets: u64) -> String {
    let exact = SIZES
        .iter()
        .take(4)
        .find(|(_, factor)| octets > 0 && octets.is_multiple_of(*factor));
    match exact {
        Some((unit, factor)) => format!("{} {unit}", octets.checked_div(*factor).unwrap_or(0)),
        None => format!("{octets} B"),
    }
}

/// The digits in front, as a number, and what follows them without blanks in front.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest.trim_start()))
}

/// What the unit counts for.
fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, millis) in [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1d 2h", Some(93_600_000)),
            ("250ms", Some(250)),
            ("10 s", Some(10_000)),
            ("", None),
            ("5", None),
            ("m", None),
            ("5x", None),
            ("5m5h", None),
            ("5m5m", None),
            ("-5m", None),
            ("99999999999999999999d", None),
            ("999999999999999d", None),
        ] {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text}"
            );
        }
        assert_eq!(show_duration(Duration::from_mins(90)), "1h30m");
        assert_eq!(show_duration(Duration::ZERO), "0s");
        assert_eq!(show_duration(Duration::from_millis(1250)), "1s250ms");
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, octets) in [
            ("50 MiB", Some(50 << 20)),
            ("64kB", Some(64_000)),
            ("10mib", Some(10 << 20)),
            ("1000", Some(1000)),
            ("1.5 MiB", None),
            ("MiB", None),
            ("5 MB/s", None),
            ("99999999 TiB", None),
        ] {
            assert_eq!(parse_size(text), octets, "{text}");
        }
        assert_eq!(show_size(50 << 20), "50 MiB");
        assert_eq!(show_size(1500), "1500 B");
        assert_eq!(show_size(0), "0 B");
    }
}
