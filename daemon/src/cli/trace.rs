//! `trace`: one message's life, from custody to its last report, also after it has left the queue.
//!
//! Read from the notes of [`crate::history`], which need no service; where the message is now, the
//! queue is asked.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;
use vouchsafe_proto::queue_id::QueueId;

use super::{ConfigFile, Ended, Exit, Failure, Format, OrExit, Output, print, queue};
use crate::config::data_dir;
use crate::control::wire::Message;
use crate::history::event::{Ended as Attempted, Event, Note};
use crate::history::read;
use crate::log::Peer;

/// `vouchsafe trace ID`
#[derive(Debug, Args)]
pub struct Command {
    /// The queue id, as the reply to its sender, its Received field and the log have it
    #[arg(value_name = "ID")]
    id: QueueId,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// Does it. Exit 66 if nothing is known of the message.
pub fn run(command: &Command) -> Ended {
    let folder = data_dir(&command.file.path)?;
    let notes = read(&folder, command.id).or_exit(Exit::Io)?;
    let message = queue::find(&command.file, command.id)?;
    if notes.is_empty() && message.is_none() {
        return Err(Failure {
            exit: Exit::NoInput,
            error: anyhow::anyhow!("nothing is known of message {}", command.id),
        });
    }
    print::out(&match command.output.format {
        Format::Json => format!("{}\n", json!({ "notes": notes, "queued": message })),
        Format::Text => text(&notes, message.as_ref()),
    })?;
    Ok(Exit::Ok)
}

/// A line for each thing that happened, its details below it; and where the message is now, if it is in
/// the queue.
pub fn text(notes: &[Note], message: Option<&Message>) -> String {
    let mut text = String::new();
    for note in notes {
        let (what, details) = told(&note.event);
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}  {what}", note.at);
        for detail in details {
            let _ = writeln!(text, "{BELOW}{detail}");
        }
    }
    let ends = |event: &Event| {
        matches!(
            event,
            Event::Gone | Event::Onward | Event::Repeated { .. } | Event::Refused { .. }
        )
    };
    let gone = notes.iter().any(|note| ends(&note.event));
    let _ = match message {
        Some(message) if message.active => writeln!(text, "now                   being delivered"),
        Some(message) if message.held => {
            writeln!(
                text,
                "now                   in the queue, held by the operator"
            )
        }
        Some(message) => writeln!(
            text,
            "now                   in the queue, next attempt {}",
            message.due
        ),
        None if gone => Ok(()),
        None => writeln!(
            text,
            "now                   not in the queue; its end was not noted"
        ),
    };
    text
}

/// As far in as the times reach.
const BELOW: &str = "                      ";

/// A line of a trace field; a continued one begins with a tab.
fn field(line: &str) -> String {
    let text = line.trim_start();
    let indent = if text.len() < line.len() { "  " } else { "" };
    format!("{indent}{}", Peer(text))
}

/// An event in words.
fn told(event: &Event) -> (String, Vec<String>) {
    match event {
        Event::Accepted {
            reverse_path,
            verdict,
            client,
            recipients,
            size,
            trace,
        } => {
            let by = client.as_ref().map_or_else(
                || String::from("made here"),
                |(address, helo)| format!("from {address} ({})", Peer(helo)),
            );
            let mut details = vec![format!("{by}, {size} octets")];
            details.extend(recipients.iter().map(|to| format!("to {}", Peer(to))));
            details.extend(trace.lines().map(field));
            let path = Peer(reverse_path);
            (format!("taken: <{path}> is {verdict}"), details)
        }
        Event::Asked {
            next_hop,
            about,
            outcome,
            status,
            remote,
            diagnostic,
            milliseconds,
        } => {
            let what = format!(
                "path to {}: {about} {outcome}, {milliseconds} ms",
                Peer(next_hop)
            );
            let ended = said(remote.as_deref(), status.as_deref(), diagnostic.as_deref());
            (what, Vec::from_iter(ended))
        }
        Event::Onward => {
            let what = "done: every next hop had it before 250 was said, and nothing was queued";
            (String::from(what), Vec::new())
        }
        Event::Repeated { of } => {
            let what = format!(
                "done: the same copy was taken before, as {}, and this one went nowhere",
                Peer(of)
            );
            (what, Vec::new())
        }
        Event::Refused { reply } => (format!("not taken: {}", Peer(reply)), Vec::new()),
        Event::Attempt {
            number,
            recipients,
            next,
        } => {
            let next = next
                .as_ref()
                .map_or_else(String::new, |next| format!(", next {next}"));
            (
                format!("attempt {number}{next}"),
                recipients.iter().map(attempted).collect(),
            )
        }
        Event::Report { to, subject } => {
            let to: Vec<_> = to.iter().map(|to| Peer(to).to_string()).collect();
            (
                format!("report to {}: {}", to.join(", "), Peer(subject)),
                Vec::new(),
            )
        }
        Event::Operator { did, next_hop } => {
            let mut what = format!("{did} by the operator");
            if did == "rerouted" {
                let to = next_hop.as_deref().map_or_else(
                    || String::from(", to where its routes lead"),
                    |to| format!(", to {}", Peer(to)),
                );
                what.push_str(&to);
            }
            (what, Vec::new())
        }
        Event::Gone => (String::from("done: it left the queue"), Vec::new()),
    }
}

/// What a next hop said, if anything is known of that.
fn said(remote: Option<&str>, status: Option<&str>, diagnostic: Option<&str>) -> Option<String> {
    let remote = remote.map(|remote| Peer(remote).to_string());
    let status = status.map(String::from);
    let diagnostic = diagnostic.map(|diagnostic| Peer(diagnostic).to_string());
    let parts: Vec<_> = [remote, status, diagnostic].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// One recipient's end of an attempt.
fn attempted(ended: &Attempted) -> String {
    let mut text = format!("{}: {}", Peer(&ended.recipient), ended.outcome);
    if let Some(remote) = &ended.remote {
        let _ = write!(text, " at {}", Peer(remote));
    }
    if let Some(status) = &ended.status {
        let _ = write!(text, ", {status}");
    }
    if let Some(said) = &ended.diagnostic {
        let _ = write!(text, ": {}", Peer(said));
    }
    text
}
