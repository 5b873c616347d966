//! The others: what each destination does with what it is brought, and who sends what to whom.

use vouchsafe_proto::addr::ForwardPath;
use vouchsafe_proto::envelope::{Notify, Recipient};
use vouchsafe_proto::outcome::Onward;

use super::{DAY, HOUR, MINUTE, SECOND, hash};

/// Destinations there are.
pub(super) const DOMAINS: u64 = 120;

/// Sessions that some destinations have at the same time.
pub(super) const FEW: usize = 2;

/// What a destination does with somebody who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// No session, after so long.
    Shut(u64),
    /// A session.
    Open,
}

/// What it says of one recipient of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It has the message.
    Taken,
    /// Not now.
    Later,
    /// Never.
    Refused,
    /// Nothing: it has the message, and the session broke off before it said so.
    Lost,
}

pub(super) fn name(domain: u64) -> String {
    format!("d{domain}.example")
}

/// The number of the domain behind a path.
pub(super) fn number(path: &ForwardPath) -> u64 {
    let text = path.to_string();
    let domain = text.split_once("@d").unwrap().1;
    domain.split_once('.').unwrap().0.parse().unwrap()
}

/// True with a likelihood of `share` in a hundred, which holds for `every`.
fn is_so(of: [u64; 2], every: u64, share: u64, now: u64) -> bool {
    hash(&[of[0], of[1], now / every]) % 100 < share
}

/// Whether a domain has a session for who comes now, while it has `sessions` others with us.
pub(super) fn door(domain: u64, sessions: usize, now: u64) -> Door {
    let (open, away) = match domain % 12 {
        // Never there: refused at once, or silent.
        0 => (
            false,
            if domain.is_multiple_of(24) {
                20
            } else {
                150 * SECOND
            },
        ),
        // Away for days.
        1 => (is_so([domain, 1], 4 * DAY, 60, now), 30 * SECOND),
        // Away for hours.
        2 | 3 => (is_so([domain, 2], 5 * HOUR, 70, now), SECOND),
        // Away for minutes, again and again.
        8 => (is_so([domain, 3], 7 * MINUTE, 60, now), SECOND),
        6 => (sessions < FEW, 10),
        _ => (true, 0),
    };
    if open { Door::Open } else { Door::Shut(away) }
}

/// What a domain says of recipient `index` of a message that came at `came`.
pub(super) fn says(domain: u64, message: u64, index: usize, came: u64, now: u64) -> Says {
    let each = u64::try_from(index).unwrap();
    match domain % 12 {
        // Greylists what it does not know.
        4 if now < came + 5 * MINUTE => Says::Later,
        // Full for days, or unknown.
        5 => match hash(&[domain, message, each]) % 3 {
            0 => Says::Refused,
            1 if is_so([domain, 4], 6 * DAY, 50, now) => Says::Later,
            _ => Says::Taken,
        },
        // Breaks off at the worst moment, now and then.
        7 if hash(&[domain, message, now]).is_multiple_of(20) => Says::Lost,
        _ => Says::Taken,
    }
}

/// Where a message is that a domain has taken.
pub(super) const fn onward(domain: u64) -> Onward {
    match domain % 3 {
        0 => Onward::Mailbox,
        of => Onward::Relay {
            reports: of == 1,
            deadlines: domain.is_multiple_of(2),
        },
    }
}

/// The recipients of message `number`: most have one, some several in several domains, some several
/// in the same.
pub(super) fn recipients(number: u64) -> Vec<Recipient> {
    let drawn = |what: u64| hash(&[number, what]);
    let count = match drawn(1) % 10 {
        0..7 => 1,
        7 | 8 => 2 + drawn(2) % 3,
        _ => 5 + drawn(2) % 8,
    };
    let spread = if drawn(3).is_multiple_of(3) {
        1
    } else {
        DOMAINS
    };
    let each = (0..count).map(|each| {
        let domain = (drawn(4) + drawn(100 + each) % spread) % DOMAINS;
        let path = format!("r{each}@{}", name(domain));
        Recipient {
            notify: notify(drawn(200 + each)),
            ..Recipient::from(ForwardPath::parse_inside(&path).unwrap())
        }
    });
    each.collect()
}

/// NOTIFY in all its forms.
const fn notify(drawn: u64) -> Option<Notify> {
    let (success, failure, delay) = match drawn % 8 {
        0..2 => return None,
        2 => return Some(Notify::Never),
        3 => (false, true, false),
        4 => (false, false, true),
        5 => (true, true, false),
        6 => (true, false, false),
        _ => (true, true, true),
    };
    Some(Notify::On {
        success,
        failure,
        delay,
    })
}
