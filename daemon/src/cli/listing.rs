//! The queue as text: a table that fits the terminal, and one message in full.
//!
//! All of a message's texts may be a stranger's, so they are escaped before a terminal sees them.

use std::fmt::Write as _;
use std::io::IsTerminal;

use super::{Failure, print};
use crate::control::wire::{Message, Recipient, State};
use crate::log::Peer;

/// Messages by which the widths of columns are chosen; a longer list begins to print before its
/// end is known.
const SAMPLE: usize = 500;

/// The widest an address column becomes: beyond it the reason has no room on any terminal.
const WIDEST_ADDRESS: usize = 40;

/// The columns' names.
const TITLES: [&str; COLUMNS] = [
    "ID",
    "AGE",
    "SIZE",
    "TRIES",
    "NEXT",
    "FROM",
    "TO",
    "LAST REASON",
];

/// How many columns there are.
const COLUMNS: usize = 8;

/// Prints every message on a line.
pub fn list(messages: impl Iterator<Item = Result<Message, Failure>>) -> Result<(), Failure> {
    let terminal = std::io::stdout()
        .is_terminal()
        .then(terminal_size::terminal_size)
        .flatten()
        .map(|(width, _)| usize::from(width.0));
    let mut messages = messages.peekable();
    if messages.peek().is_none() {
        return print::out("the queue is empty\n");
    }
    let mut rows = vec![TITLES.map(String::from)];
    let (mut count, mut widths) = (0usize, None);
    while let Some(message) = messages.next() {
        rows.push(row(&message?));
        count = count.saturating_add(1);
        if rows.len() > SAMPLE || messages.peek().is_none() {
            let widths = widths.get_or_insert_with(|| widths_of(&rows));
            print::out(&lines(&rows, widths, terminal))?;
            rows.clear();
        }
    }
    let plural = if count == 1 { "" } else { "s" };
    print::out(&format!("{count} message{plural}\n"))
}

/// What stands in the columns.
fn row(message: &Message) -> [String; COLUMNS] {
    let waiting: Vec<_> = message.waiting().collect();
    let to = match waiting.as_slice() {
        [] => String::from("-"),
        [one] => one.forward_path.clone(),
        [one, more @ ..] => format!("{} +{}", one.forward_path, more.len()),
    };
    let seen = message.held_back.as_ref();
    let seen = seen.map(|held_back| held_back.reason.clone());
    let said = || {
        let mut said = waiting.iter();
        said.find_map(|recipient| recipient.diagnostic.clone())
    };
    let reason = seen.or_else(said).unwrap_or_else(|| String::from("-"));
    [
        message.id.clone(),
        span(message.age_seconds),
        amount(message.size),
        message.attempts.to_string(),
        next(message),
        Peer(path(&message.reverse_path)).to_string(),
        Peer(to).to_string(),
        Peer(reason).to_string(),
    ]
}

/// The widest cell of each column.
fn widths_of(rows: &[[String; COLUMNS]]) -> [usize; COLUMNS] {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().min(WIDEST_ADDRESS).max(*width);
        }
    }
    widths
}

/// The rows in columns, cut at the terminal's edge if there is one. Cells that are too wide push
/// the rest of their line aside: an address cut in half would be of no use.
fn lines(rows: &[[String; COLUMNS]], widths: &[usize; COLUMNS], edge: Option<usize>) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            let last = index == COLUMNS.saturating_sub(1);
            let numeric = (1..=3).contains(&index);
            // Writing to a String does not fail.
            let _ = match (last, numeric) {
                (true, _) => write!(line, "{cell}"),
                (_, true) => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:<width$}  "),
            };
        }
        let line = line.trim_end();
        // Escaped text is ASCII: a character, an octet and a place on the screen are one.
        match edge.and_then(|edge| line.get(..edge)) {
            Some(start) => text.push_str(start),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// All of one message.
pub fn show(message: &Message) -> String {
    let mut text = String::new();
    let mut say = |label: &str, value: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{label:<13}{value}");
    };
    say("Queue id", &message.id);
    let age = span(message.age_seconds);
    say("Arrived", &format!("{} ({age} ago)", message.arrived));
    let reverse_path = Peer(path(&message.reverse_path));
    say("From", &format!("{reverse_path} ({})", message.verdict));
    match &message.client {
        Some(client) => say(
            "Client",
            &format!("{} ({})", client.address, Peer(&client.helo)),
        ),
        None => say("Client", "none: a report of ours"),
    }
    let utf8 = if message.smtputf8 { ", SMTPUTF8" } else { "" };
    say(
        "Size",
        &format!("{} octets, {}{utf8}", message.size, message.body),
    );
    say("Attempts", &message.attempts.to_string());
    let tried = message.held_back.as_ref();
    let tried = tried.and_then(|held_back| held_back.next_try.as_ref());
    let when = tried.unwrap_or(&message.due);
    say("Next", &format!("{when} ({})", next(message)));
    if message.held {
        say("Held", "by the operator; its sender still hears in time");
    }
    if let Some(held_back) = &message.held_back {
        let next_hop = held_back.next_hop.as_ref();
        let whose = next_hop.map_or_else(|| held_back.lane.clone(), Clone::clone);
        say(
            "Held back",
            &format!("{}: {}", Peer(whose), Peer(&held_back.reason)),
        );
    }
    if let Some(next_hop) = &message.next_hop {
        say(
            "Goes to",
            &format!("{} (rerouted by the operator)", Peer(next_hop)),
        );
    }
    if message.delay_reported {
        say("Delay", "reported to the sender");
    }
    for recipient in &message.recipients {
        say("To", &fate(recipient));
        if let Some(diagnostic) = &recipient.diagnostic {
            let who = if recipient.replied {
                "replied"
            } else {
                "found"
            };
            say("", &format!("{who}: {}", Peer(diagnostic)));
        }
    }
    text
}

/// What has become of a recipient.
fn fate(recipient: &Recipient) -> String {
    let state = match recipient.state {
        State::Waiting => "waiting",
        State::Delivered => "delivered",
        State::Failed => "failed",
    };
    let mut text = format!("{}: {state}", Peer(&recipient.forward_path));
    if let Some(status) = &recipient.status {
        text.extend([", ", status]);
    }
    if let Some(remote) = &recipient.remote {
        text.push_str(" at ");
        text.push_str(&Peer(remote).to_string());
    }
    text
}

/// A reverse-path as people know it.
fn path(reverse_path: &str) -> &str {
    if reverse_path.is_empty() {
        "<>"
    } else {
        reverse_path
    }
}

/// When the next attempt is.
fn next(message: &Message) -> String {
    if message.active {
        String::from("now")
    } else if message.held {
        String::from("held")
    } else if let Some(held_back) = &message.held_back {
        held_back.next_try_in_seconds.map_or_else(
            || String::from("frozen"),
            |left| format!("in {}", span(left)),
        )
    } else if message.due_in_seconds == 0 {
        String::from("due")
    } else {
        format!("in {}", span(message.due_in_seconds))
    }
}

/// A span of time in its largest unit.
pub fn span(seconds: u64) -> String {
    for (unit, length) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        let count = seconds.checked_div(length).unwrap_or(0);
        // Two of the smaller unit say more than one of the larger.
        if count >= 2 {
            return format!("{count}{unit}");
        }
    }
    format!("{seconds}s")
}

/// An amount of octets with one digit behind the point.
pub fn amount(octets: u64) -> String {
    for (unit, factor) in [("G", 1u64 << 30), ("M", 1 << 20), ("K", 1 << 10)] {
        if octets >= factor {
            let tenths = octets.saturating_mul(10).checked_div(factor).unwrap_or(0);
            let (whole, tenth) = (tenths.checked_div(10), tenths.checked_rem(10));
            return format!("{}.{}{unit}", whole.unwrap_or(0), tenth.unwrap_or(0));
        }
    }
    octets.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let recipient = |address: &str, state| Recipient {
            forward_path: address.to_owned(),
            state,
            status: Some(String::from("4.2.0")),
            remote: Some(String::from("mail.example.net [192.0.2.7]")),
            diagnostic: Some(String::from("450 4.2.0 busy\u{1b}[2J")),
            replied: true,
        };
        Message {
            id: String::from("0123456789ABCDEFGHJK"),
            arrived: String::from("2026-11-21T10:15:00Z"),
            age_seconds: 7300,
            size: 4200,
            attempts: 5,
            due: String::from("2026-11-21T12:30:00Z"),
            due_in_seconds: 720,
            active: false,
            held: false,
            next_hop: None,
            held_back: None,
            delay_reported: true,
            reverse_path: String::new(),
            verdict: String::from("unknown"),
            client: None,
            body: String::from("7BIT"),
            smtputf8: false,
            recipients: vec![
                recipient("done@example.net", State::Delivered),
                recipient("b@example.net", State::Waiting),
                recipient("c@example.net", State::Waiting),
            ],
        }
    }

    #[test]
    fn a_row_says_what_matters() {
        let expected = [
            "0123456789ABCDEFGHJK",
            "2h",
            "4.1K",
            "5",
            "in 12m",
            "<>",
            "b@example.net +1",
            r"450 4.2.0 busy\u{1b}[2J",
        ];
        assert_eq!(row(&message()), expected);
    }

    #[test]
    fn columns_stand_below_their_titles_and_end_at_the_edge() {
        let rows = [TITLES.map(String::from), row(&message())];
        let text = lines(&rows, &widths_of(&rows), Some(60));
        let [titles, line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("two lines");
        };
        assert_eq!(titles.find("FROM"), line.find("<>"));
        assert_eq!(line.len(), 60);
    }

    #[test]
    fn one_message_is_shown_whole_and_escaped() {
        let text = show(&message());
        for part in [
            "<> (unknown)",
            "a report of ours",
            "4200 octets, 7BIT",
            "2026-11-21T12:30:00Z (in 12m)",
            "done@example.net: delivered, 4.2.0 at mail.example.net [192.0.2.7]",
            r"replied: 450 4.2.0 busy\u{1b}[2J",
            "reported to the sender",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn spans_and_amounts_are_short() {
        assert_eq!(
            [0, 119, 120, 7200, 172_800].map(span),
            ["0s", "119s", "2m", "2h", "2d"]
        );
        assert_eq!(
            [0, 1023, 1024, 52_428_800].map(amount),
            ["0", "1023", "1.0K", "50.0M"]
        );
    }
}
