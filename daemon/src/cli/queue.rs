//! `queue`: the operator's hand on the mail that waits. Asks the service; when none answers, opens the
//! queue of the stopped one itself, and says so: only to look where nothing is to be changed.
//!
//! Files: `words` what can be said; `acting` what changes something; `exchange` how that is done;
//! `tables` what `top` shows.

mod acting;
mod exchange;
mod tables;
mod words;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use serde_json::json;
use vouchsafe_proto::queue_id::QueueId;
use vouchsafe_spool::{Entry, OfflineSpool, OpenError};

use self::tables::Tables;
pub use self::words::Command;
use super::{ConfigFile, Ended, Exit, Failure, Format, OrExit, listing, print};
use crate::clock;
use crate::config::data_dir;
use crate::config::schema::control_socket;
use crate::control::client::{AskError, ask};
use crate::control::wire::{Message, Refusal, Reply, Request};
use crate::operator::{Count, Views};

/// Messages read from a queue at rest at a time.
const PAGE: usize = 100;

/// Messages, wherever they come from; `None` if there are more than were asked for.
type Messages = Box<dyn Iterator<Item = Result<Option<Message>, Failure>>>;

/// Does it.
pub fn run(command: &Command) -> Ended {
    if let Some((act, acting)) = command.act() {
        return acting::act(&act, acting);
    }
    match command {
        Command::List {
            which,
            limit,
            file,
            shape,
        } => {
            let request = Request::List {
                filter: which.filter(),
                limit: Some(*limit),
            };
            list(messages(file, &request)?, shape.format(), *limit)
        }
        Command::Show { id, file, shape } => {
            let request = Request::Show { id: id.to_string() };
            show(*id, messages(file, &request)?, shape.format())
        }
        Command::Top {
            rows,
            sample,
            file,
            shape,
        } => top(file, (*rows, *sample), shape.format()),
        Command::Freeze { domain, file } => acting::freeze(domain, true, file),
        Command::Thaw { domain, file } => acting::freeze(domain, false, file),
        // What acts on messages was done above.
        _ => Ok(Exit::Ok),
    }
}

/// Prints every message as it comes, and says if there are more.
fn list(messages: Messages, format: Format, limit: usize) -> Ended {
    let more = Rc::new(Cell::new(false));
    let noted = Rc::clone(&more);
    let messages = messages.filter_map(move |found| match found {
        Ok(Some(message)) => Some(Ok(message)),
        Ok(None) => {
            noted.set(true);
            None
        }
        Err(failure) => Some(Err(failure)),
    });
    match format {
        Format::Text => listing::list(messages)?,
        Format::Json => {
            for message in messages {
                print::out(&format!("{}\n", json!(message?)))?;
            }
        }
    }
    if more.get() {
        print::error(&format!(
            "vouchsafe: there are more than these {limit}; --limit lists more of them"
        ));
    }
    Ok(Exit::Ok)
}

/// Prints where mail waits.
fn top(file: &ConfigFile, (rows, sample): (usize, usize), format: Format) -> Ended {
    let folder = data_dir(&file.path)?;
    let replies: Vec<Reply> = match ask(&control_socket(&folder), &Request::Top { rows, sample }) {
        Ok(answer) => answer.collect::<Result<_, _>>().map_err(refused)?,
        Err(AskError::Nobody) => count_at_rest(&folder, rows)?,
        Err(error) => return Err(refused(error)),
    };
    let mut tables = Tables::default();
    for reply in replies {
        if format == Format::Json {
            print::out(&format!("{}\n", json!(reply)))?;
        }
        match reply {
            Reply::Lane(row) => tables.lanes.push(*row),
            Reply::Reason(row) => tables.reasons.push(*row),
            Reply::Summary(summary) => tables.summary = summary,
            _ => {}
        }
    }
    if format == Format::Text {
        print::out(&tables.text())?;
    }
    Ok(Exit::Ok)
}

/// Counts the messages of a queue at rest, all of them.
fn count_at_rest(folder: &Path, rows: usize) -> Result<Vec<Reply>, Failure> {
    let spool = open_at_rest(folder)?;
    let (mut count, mut after, now) = (Count::default(), None, clock::now().wall);
    loop {
        let page = spool.list(after, PAGE).or_exit(Exit::Io)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for entry in &page {
            count.add(entry, now);
        }
    }
    Ok(count.rows(rows, false))
}

/// Prints the one message, if it is there.
fn show(id: QueueId, mut messages: Messages, format: Format) -> Ended {
    let Some(message) = messages.next().transpose()?.flatten() else {
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
    let request = Request::Show { id: id.to_string() };
    match messages(file, &request).and_then(|mut found| found.next().transpose()) {
        Err(failure) if failure.exit == Exit::NoInput => Ok(None),
        found => found.map(Option::flatten),
    }
}

/// The messages that are asked for.
fn messages(file: &ConfigFile, request: &Request) -> Result<Messages, Failure> {
    let folder = data_dir(&file.path)?;
    let id = match request {
        Request::Show { id } => id.parse().ok(),
        _ => None,
    };
    match ask(&control_socket(&folder), request) {
        Ok(answer) => Ok(Box::new(answer.filter_map(move |reply| match reply {
            Ok(Reply::Message(message)) => Some(Ok(Some(*message))),
            Ok(Reply::More) => Some(Ok(None)),
            Ok(_) => None,
            Err(AskError::Refused(Refusal::Unknown)) => id.map(|id| Err(not_there(id))),
            Err(error) => Some(Err(refused(error))),
        }))),
        Err(AskError::Nobody) => at_rest(&folder, request),
        Err(error) => Err(refused(error)),
    }
}

/// Opens the queue of a service that does not run, to look at it.
fn open_at_rest(folder: &Path) -> Result<OfflineSpool, Failure> {
    let spool = OfflineSpool::open(folder).map_err(|error| Failure {
        exit: match &error {
            OpenError::Missing => Exit::NoInput,
            OpenError::InUse => Exit::Temporary,
            _ => Exit::Io,
        },
        error: anyhow::Error::from(error).context(format!("queue in {}", folder.display())),
    })?;
    print::error("vouchsafe: no server answers; this is the queue at rest");
    Ok(spool)
}

/// The queue of a service that does not run.
fn at_rest(folder: &Path, request: &Request) -> Result<Messages, Failure> {
    let spool = open_at_rest(folder)?;
    let now = clock::now().wall;
    let (filter, limit) = match request {
        Request::List { filter, limit } => (filter.clone(), limit.unwrap_or(usize::MAX)),
        Request::Show { id } => {
            let id = id.parse().or_exit(Exit::Usage)?;
            let found = spool.show(id).or_exit(Exit::Io)?;
            let message = found.map(|entry| Ok(Some(Message::of(&entry, now))));
            return Ok(Box::new(message.into_iter()));
        }
        _ => return Ok(Box::new(std::iter::empty())),
    };
    let mut after = None;
    let mut page = Vec::new().into_iter();
    let mut left = Some(limit);
    Ok(Box::new(std::iter::from_fn(move || {
        loop {
            let wanted = left?;
            if page.len() == 0 {
                match spool.list(after, PAGE).or_exit(Exit::Io) {
                    Ok(entries) => page = entries.into_iter(),
                    Err(failure) => return Some(Err(failure)),
                }
            }
            let entry: Entry = page.next()?;
            after = Some(entry.id);
            if !filter.means(&entry, &Views::default(), now) {
                continue;
            }
            left = wanted.checked_sub(1);
            return Some(Ok(left.map(|_| Message::of(&entry, now))));
        }
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
