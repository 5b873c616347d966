//! `bounce parse`: is a message a bounce, and of which message?
//!
//! Decides nothing (`vouchsafe_proto::dsn::recognise` does), and asks nobody: neither the queue nor the
//! DNS. docs/bounces.md says what counts.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use vouchsafe_proto::dsn::recognise::{Bounce, MAX_READ, recognise};

use super::{Ended, Exit, Failure, Format, OrExit, Output, print};
use crate::log::Peer;

/// `vouchsafe bounce ...`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read one message: is it a bounce, of which message, and whom did that not reach?
    Parse(Parse),
}

/// `vouchsafe bounce parse FILE`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Parse {
    /// The message, whose lines may end in LF or CRLF; - is the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// It came with a null reverse-path; without this its Return-Path says whether it did
    #[arg(long)]
    null_reverse_path: bool,
    #[command(flatten)]
    output: Output,
}

/// Shown below `bounce parse --help`.
const EXAMPLES: &str = "\
Examples:
  vouchsafe bounce parse message.eml
  vouchsafe bounce parse --format json --null-reverse-path - < message.eml

Exit codes: 0 read, bounce or not; 64 wrong usage, 66 the file cannot be read.";

/// Of what is read, how much may be CRs that are not counted: each line might have one.
const MAX_FILE: u64 = 2 * MAX_READ as u64;

/// Does it.
pub fn run(command: &Command) -> Ended {
    let Command::Parse(parse) = command;
    let message = read(&parse.file)?;
    let bounce = recognise(&message, parse.null_reverse_path);
    print::out(&match parse.output.format {
        Format::Text => text(bounce.as_ref()),
        Format::Json => format!("{:#}\n", json(bounce.as_ref())),
    })?;
    Ok(Exit::Ok)
}

/// As much of the file as counts.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()));
        Box::new(file.or_exit(Exit::NoInput)?)
    };
    input
        .take(MAX_FILE)
        .read_to_end(&mut message)
        .with_context(|| format!("cannot read {}", path.display()))
        .or_exit(Exit::NoInput)?;
    Ok(message)
}

/// For programs: every key is always there.
fn json(bounce: Option<&Bounce>) -> Value {
    let said = |said: fn(&Bounce) -> Option<&String>| bounce.and_then(said);
    json!({
        "is_bounce": bounce.is_some(),
        "recognised_by": bounce.map(|bounce| bounce.sign.as_str()),
        "original_envelope_id": said(|bounce| bounce.original_envelope_id.as_ref()),
        "original_message_id": said(|bounce| bounce.original_message_id.as_ref()),
        "original_date": said(|bounce| bounce.original_date.as_ref()),
        "recipients": bounce.map_or(&[][..], |bounce| &bounce.recipients),
    })
}

/// For people. What peers wrote is escaped.
fn text(bounce: Option<&Bounce>) -> String {
    let Some(bounce) = bounce else {
        return String::from("Not a bounce\n");
    };
    let mut text = String::new();
    let mut say = |label: &str, value: Option<&String>| {
        let value = value.map_or_else(|| String::from("not said"), |it| Peer(it).to_string());
        // Writing to a String does not fail.
        let _ = writeln!(text, "{label:<13}{value}");
    };
    say("Bounce", Some(&String::from(bounce.sign.as_str())));
    say("Envelope id", bounce.original_envelope_id.as_ref());
    say("Message-ID", bounce.original_message_id.as_ref());
    say("Date", bounce.original_date.as_ref());
    for recipient in &bounce.recipients {
        say("Recipient", Some(recipient));
    }
    text
}
