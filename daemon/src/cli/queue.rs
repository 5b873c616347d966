//! `queue list` and `queue show`: asks the service; when none answers, looks into the queue of the
//! stopped service itself, and says so.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{OfflineSpool, OpenError};

use super::{ConfigFile, Ended, Exit, Failure, Format, OrExit, Output, listing, print};
use crate::clock;
use crate::config::data_dir;
use crate::config::schema::control_socket;
use crate::control::client::{AskError, ask};
use crate::control::wire::{Message, Refusal, Reply, Request};

/// Messages read from a queue at rest at a time.
const PAGE: usize = 100;

/// `vouchsafe queue ...`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the messages in the queue, the oldest first
    List {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Show all that is known of one message; exit 66 if it is not in the queue
    Show {
        /// The queue id, as the reply to its sender and the log have it
        #[arg(value_name = "ID")]
        id: QueueId,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
}

/// Messages, wherever they come from.
type Messages = Box<dyn Iterator<Item = Result<Message, Failure>>>;

/// Does it.
pub fn run(command: &Command) -> Ended {
    match command {
        Command::List { file, output } => list(messages(file, None)?, output.format),
        Command::Show { id, file, output } => show(*id, messages(file, Some(*id))?, output.format),
    }
}

/// Prints every message as it comes.
fn list(messages: Messages, format: Format) -> Ended {
    match format {
        Format::Text => listing::list(messages)?,
        Format::Json => {
            for message in messages {
                print::out(&format!("{}\n", json!(message?)))?;
            }
        }
    }
    Ok(Exit::Ok)
}

/// Prints the one message, if it is there.
fn show(id: QueueId, mut messages: Messages, format: Format) -> Ended {
    let Some(message) = messages.next().transpose()? else {
        return Err(not_there(id));
    };
    print::out(&match format {
        Format::Text => listing::show(&message),
        Format::Json => format!("{}\n", json!(message)),
    })?;
    Ok(Exit::Ok)
}

/// One message, if it is in the queue; nothing is said if there is no queue at all.
pub fn find(file: &ConfigFile, id: QueueId) -> Result<Option<Message>, Failure> {
    match messages(file, Some(id)).and_then(|mut found| found.next().transpose()) {
        Err(failure) if failure.exit == Exit::NoInput => Ok(None),
        found => found,
    }
}

/// All messages, or the one.
fn messages(file: &ConfigFile, id: Option<QueueId>) -> Result<Messages, Failure> {
    let folder = data_dir(&file.path)?;
    let request = match id {
        Some(id) => Request::Show { id: id.to_string() },
        None => Request::List,
    };
    match ask(&control_socket(&folder), &request) {
        Ok(answer) => Ok(Box::new(answer.filter_map(move |reply| match reply {
            Ok(Reply::Message(message)) => Some(Ok(*message)),
            Ok(_) => None,
            Err(AskError::Refused(Refusal::Unknown)) => id.map(|id| Err(not_there(id))),
            Err(error) => Some(Err(refused(error))),
        }))),
        Err(AskError::Nobody) => at_rest(&folder, id),
        Err(error) => Err(refused(error)),
    }
}

/// The queue of a service that does not run.
fn at_rest(folder: &Path, id: Option<QueueId>) -> Result<Messages, Failure> {
    let spool = OfflineSpool::open(folder).map_err(|error| Failure {
        exit: match &error {
            OpenError::Missing => Exit::NoInput,
            OpenError::InUse => Exit::Temporary,
            _ => Exit::Io,
        },
        error: anyhow::Error::from(error).context(format!("queue in {}", folder.display())),
    })?;
    print::error("vouchsafe: no server answers; this is the queue at rest");
    let now = clock::now().wall;
    if let Some(id) = id {
        let found = spool.show(id).or_exit(Exit::Io)?;
        let message = found.map(|entry| Ok(Message::of(&entry, now)));
        return Ok(Box::new(message.into_iter()));
    }
    let mut after = None;
    let mut page = Vec::new().into_iter();
    Ok(Box::new(std::iter::from_fn(move || {
        if page.len() == 0 {
            match spool.list(after, PAGE).or_exit(Exit::Io) {
                Ok(entries) => page = entries.into_iter(),
                Err(failure) => return Some(Err(failure)),
            }
        }
        let entry = page.next()?;
        after = Some(entry.id);
        Some(Ok(Message::of(&entry, now)))
    })))
}

/// There is no such message.
fn not_there(id: QueueId) -> Failure {
    Failure {
        exit: Exit::NoInput,
        error: anyhow::anyhow!("message {id} is not in the queue"),
    }
}

/// The service did not answer as it should.
fn refused(error: AskError) -> Failure {
    Failure {
        exit: Exit::Unavailable,
        error: error.into(),
    }
}
