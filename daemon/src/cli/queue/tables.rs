//! `queue top` as text.

use std::fmt::Write as _;

use super::super::listing::{amount, span};
use crate::log::Peer;
use crate::operator::{LaneRow, ReasonRow, Summary};

/// All of it.
#[derive(Debug, Default)]
pub struct Tables {
    pub lanes: Vec<LaneRow>,
    pub reasons: Vec<ReasonRow>,
    pub summary: Summary,
}

impl Tables {
    /// Both tables, and what they leave out.
    pub fn text(&self) -> String {
        if self.summary.lanes == 0 {
            return String::from("the queue is empty\n");
        }
        let mut text = line(["MESSAGES", "HELD", "OCTETS", "OLDEST"], "WAITS FOR");
        for row in &self.lanes {
            let name = if row.lane.is_empty() {
                "postmaster"
            } else {
                &row.lane
            };
            let mut what = Peer(name).to_string();
            if let Some(held_back) = &row.held_back {
                if let Some(next_hop) = &held_back.next_hop {
                    let _ = write!(what, " by {}", Peer(next_hop));
                }
                let _ = write!(what, ": {}", Peer(&held_back.reason));
                if let Some(seconds) = held_back.next_try_in_seconds {
                    let _ = write!(what, ", next try in {}", span(seconds));
                }
            }
            let (octets, oldest) = (amount(row.octets), span(row.oldest_seconds));
            let counts = [
                row.messages.to_string(),
                row.held.to_string(),
                octets,
                oldest,
            ];
            text.push_str(&line(counts.each_ref().map(String::as_str), &what));
        }
        let left = self.summary.lanes.saturating_sub(self.lanes.len());
        if left > 0 {
            let _ = writeln!(text, "and {left} more; --rows shows more");
        }
        text.push('\n');
        text.push_str(&line(["MESSAGES", "HELD", "OCTETS", "OLDEST"], "REASON"));
        for row in &self.reasons {
            let (octets, oldest) = (amount(row.octets), span(row.oldest_seconds));
            let counts = [
                row.messages.to_string(),
                row.held.to_string(),
                octets,
                oldest,
            ];
            let reason = Peer(&row.reason).to_string();
            text.push_str(&line(counts.each_ref().map(String::as_str), &reason));
        }
        if self.summary.more {
            let _ = writeln!(
                text,
                "reasons of the oldest {} messages; --sample reads more",
                self.summary.read
            );
        }
        text
    }
}

/// Four counts and what they are of.
fn line([messages, held, octets, oldest]: [&str; 4], what: &str) -> String {
    format!("{messages:>8}  {held:>6}  {octets:>8}  {oldest:>6}  {what}\n")
}
