//! `ledger stat` and `ledger verify`: the files, read and compared. Nothing is changed.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};
use vouchsafe_proto::residue::Kind;
use vouchsafe_proto::time::Wall;
use vouchsafe_spool::fs::LocalDisk;
use vouchsafe_spool::ledger::{Recorded, Surveyed, recorded, survey, verify as verify_all};

use super::super::{ConfigFile, Ended, Exit, Failure, Format, OrExit, Output, print};
use crate::config::load;

/// `vouchsafe ledger stat`
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 shown, 74 the files cannot be read.")]
pub struct Stat {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// `vouchsafe ledger verify`
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is sound, 65 something is damaged or missing, 74 the files cannot be read."
)]
pub struct Verify {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// What there is.
struct Found {
    files: Vec<Surveyed>,
    recorded: Option<Recorded>,
}

/// Shows it.
pub fn stat(command: &Stat) -> Ended {
    let found = find(&command.config, survey)?;
    show(&found, command.output.format)?;
    Ok(Exit::Ok)
}

/// Reads all of it.
pub fn verify(command: &Verify) -> Ended {
    let found = find(&command.config, verify_all)?;
    show(&found, command.output.format)?;
    let is_missing = found
        .recorded
        .as_ref()
        .is_some_and(|recorded| !recorded.missing.is_empty());
    let is_damaged = found.files.iter().any(|file| file.digests.is_err());
    Ok(if is_missing || is_damaged {
        Exit::Data
    } else {
        Exit::Ok
    })
}

fn find(
    config: &ConfigFile,
    look: fn(&dyn vouchsafe_spool::fs::Disk) -> std::io::Result<Vec<Surveyed>>,
) -> Result<Found, Failure> {
    let folder = load(&config.path)?.config.data_dir;
    let cannot = || format!("the ledger in {}", folder.display());
    let disk = LocalDisk::new(folder.clone());
    // The record first: what it names may be merged away meanwhile, and is then looked for in vain.
    let files = look(&disk).with_context(cannot).or_exit(Exit::Io)?;
    let recorded = recorded(&disk).with_context(cannot).or_exit(Exit::Io)?;
    Ok(Found { files, recorded })
}

fn show(found: &Found, format: Format) -> Result<(), Failure> {
    print::out(&match format {
        Format::Text => text(found),
        Format::Json => format!("{:#}\n", object(found)),
    })
}

/// For programs: every key is always there.
fn object(found: &Found) -> Value {
    let files = found.files.iter().map(|file| {
        json!({
            "file": file.name,
            "kind": word(file.kind),
            "first_hour": file.hours.first(),
            "hours": file.hours.count(),
            "digests": file.digests.as_ref().ok(),
            "error": file.digests.as_ref().err().map(ToString::to_string),
        })
    });
    let coverage = found.recorded.as_ref().map(|recorded| {
        let domains = recorded.domains.iter().map(|(domain, until, is_whole)| {
            json!({
                "domain": domain,
                "gap_until": until.to_string(),
                "all_writers_registered": is_whole,
            })
        });
        let writers = recorded.writers.iter();
        json!({
            "last_beat": recorded.beat.to_string(),
            "gap_until": Wall::from_secs(recorded.gap.until).to_string(),
            "gap_reason": recorded.gap.why.to_string(),
            "domains": domains.collect::<Vec<_>>(),
            "writers": writers
                .map(|(host, heard)| json!({ "host": host, "heard": heard.to_string() }))
                .collect::<Vec<_>>(),
            "hours_with_missing_messages": recorded.holes,
            "missing_files": recorded.missing,
        })
    });
    json!({ "files": files.collect::<Vec<_>>(), "coverage": coverage })
}

/// For people.
fn text(found: &Found) -> String {
    let mut text = String::new();
    // Writing to a String does not fail, here and below.
    for kind in [Kind::Message, Kind::Identity] {
        let of_kind = || found.files.iter().filter(move |file| file.kind == kind);
        let digests: u64 = of_kind()
            .filter_map(|file| file.digests.as_ref().ok())
            .map(|count| u64::from(*count))
            .sum();
        let files = of_kind().count();
        let _ = writeln!(
            text,
            "{:<11}{digests} digests in {files} sealed files",
            word(kind)
        );
    }
    for file in &found.files {
        if let Err(error) = &file.digests {
            let _ = writeln!(text, "damaged    {}: {error}", file.name);
        }
    }
    let Some(recorded) = &found.recorded else {
        text.push_str("coverage   nothing is recorded\n");
        return text;
    };
    let gap = Wall::from_secs(recorded.gap.until);
    let _ = writeln!(
        text,
        "coverage   what was sent after {gap} ({})",
        recorded.gap.why
    );
    for (domain, until, is_whole) in &recorded.domains {
        let _ = match is_whole {
            true => writeln!(text, "  {domain}: after {until}"),
            false => writeln!(
                text,
                "  {domain}: nothing; others may send in its name, or nobody says who may"
            ),
        };
    }
    for (host, heard) in &recorded.writers {
        let _ = writeln!(text, "  {host} was heard of at {heard}");
    }
    if recorded.holes > 0 {
        let _ = writeln!(
            text,
            "  except for {} hours with messages that are missing",
            recorded.holes
        );
    }
    for file in &recorded.missing {
        let _ = writeln!(text, "missing    {file}");
    }
    let _ = writeln!(text, "last beat  {}", recorded.beat);
    text
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Message => "messages",
        Kind::Identity => "identities",
    }
}
