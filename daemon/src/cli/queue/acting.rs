//! Subcommands that change something: what is asked, what came of it, how far it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::super::{Ended, Exit, Failure, Format, print};
use super::exchange::exchange;
use super::words::Acting;
use crate::cli::ConfigFile;
use crate::config::data_dir;
use crate::config::schema::control_socket;
use crate::control::wire::{Reply, Request};
use crate::log::Peer;
use crate::operator::{Act, Did, Touched};
use crate::simulate::Progress;

/// Does something to the messages that are meant.
pub fn act(act: &Act, acting: &Acting) -> Ended {
    let filter = acting.which.filter();
    if filter.means_all() && !acting.all {
        return Err(usage(
            "say which messages: give a condition (--domain, --id, …), or --all",
        ));
    }
    if !filter.means_all() && acting.all {
        return Err(usage(
            "--all means every message: give it without other conditions",
        ));
    }
    let folder = data_dir(&acting.file.path)?;
    let request = Request::Act {
        act: act.clone(),
        filter,
        all: acting.all,
        dry_run: acting.dry_run,
    };
    let (mut count, mut bar) = (BTreeMap::new(), None);
    let format = acting.shape.format();
    let place = (&*acting.file.path, &*folder, &*control_socket(&folder));
    exchange(place, &request, &mut |reply| {
        match reply {
            Reply::Scope(messages) => {
                bar = Some(Progress::new(u64::try_from(messages).unwrap_or(u64::MAX)));
            }
            Reply::Looked(messages) => {
                if let Some(bar) = &mut bar {
                    bar.add(u64::try_from(messages).unwrap_or(u64::MAX));
                }
            }
            Reply::Touched(touched) => {
                let counted = count.entry(touched.did).or_insert(0_usize);
                *counted = counted.saturating_add(1);
                match format {
                    Format::Json => print::out(&format!("{}\n", json!(touched)))?,
                    Format::Text if is_told(touched.did) => print::out(&line(&touched))?,
                    Format::Text => {}
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if let Some(bar) = bar {
        bar.end();
    }
    if format == Format::Text {
        print::out(&summary(act, &count))?;
    }
    Ok(exit(&count))
}

/// Freezes a domain, or thaws it.
pub fn freeze(domain: &str, frozen: bool, file: &ConfigFile) -> Ended {
    let folder = data_dir(&file.path)?;
    let request = Request::Freeze {
        domain: domain.to_owned(),
        frozen,
    };
    let place = (&*file.path, &*folder, &*control_socket(&folder));
    exchange(place, &request, &mut |reply| {
        let text = match (reply, frozen) {
            (Reply::Frozen(true), true) => {
                "frozen: nothing goes there until it is thawed; senders still hear in time"
            }
            (Reply::Frozen(false), true) => "was frozen already",
            (Reply::Frozen(true), false) => "thawed: its mail goes again",
            (Reply::Frozen(false), false) => "was not frozen",
            _ => return Ok(()),
        };
        print::out(&format!("{domain}: {text}\n"))
    })
}

/// True for what a person is told of each message by itself.
const fn is_told(did: Did) -> bool {
    !matches!(did, Did::Done | Did::Already)
}

/// One message.
fn line(touched: &Touched) -> String {
    let Touched {
        id,
        did,
        reverse_path,
        recipient,
    } = touched;
    let what = match did {
        Did::Done => "done",
        Did::Would => "would be done",
        Did::Already => "was so before",
        Did::Held => "is held: release it first",
        Did::InHand => "is in hand at this moment: try again",
        Did::Missing => return format!("{id}  is not in the queue\n"),
        Did::Failed => "could not be recorded; see the service's log",
    };
    format!(
        "{id}  <{}> to {}: {what}\n",
        Peer(reverse_path),
        Peer(recipient)
    )
}

/// What came of all.
fn summary(act: &Act, count: &BTreeMap<Did, usize>) -> String {
    let of = |did| count.get(&did).copied().unwrap_or(0);
    let (done, would) = (of(Did::Done), of(Did::Would));
    let word = match act {
        Act::Hold => "held",
        Act::Release => "released",
        Act::Retry => "due now",
        Act::Reroute { next_hop: Some(_) } => "sent another way",
        Act::Reroute { next_hop: None } => "sent where their routes lead",
        Act::Remove { report: true } => "removed, with reports to their senders",
        Act::Remove { report: false } => "removed silently",
    };
    if count.is_empty() {
        return String::from("no message is meant\n");
    }
    let mut text = if would > 0 {
        format!(
            "dry run: {} would be {word}; nothing was changed",
            plural(would)
        )
    } else {
        format!("{} {word}", plural(done))
    };
    for (did, what) in [
        (Did::Already, "so before"),
        (Did::Held, "held, and not tried"),
        (
            Did::InHand,
            "in hand at this moment, and left as they are: try again",
        ),
        (Did::Missing, "not in the queue"),
        (Did::Failed, "not recorded: see the service's log"),
    ] {
        if of(did) > 0 {
            let _ = write!(text, "; {} {what}", of(did));
        }
    }
    text.push('\n');
    text
}

fn plural(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

/// How it ended.
fn exit(count: &BTreeMap<Did, usize>) -> Exit {
    let any = |did: &Did| count.contains_key(did);
    if any(&Did::Failed) {
        Exit::Io
    } else if any(&Did::InHand) {
        Exit::Temporary
    } else if count.is_empty() || any(&Did::Missing) {
        Exit::NoInput
    } else {
        Exit::Ok
    }
}

fn usage(text: &'static str) -> Failure {
    Failure {
        exit: Exit::Usage,
        error: anyhow::anyhow!(text),
    }
}
