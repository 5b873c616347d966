//! `vouchsafe demo`: the service on a small world of its own, and stories that show what it does.
//!
//! The service is the one of `vouchsafe serve`, with a configuration file, sockets, a queue on the
//! disk and questions to the DNS; only the world around it is small: a name server in this
//! process, five hosts that take mail or do not, two more servers of the same kind, and clients at
//! loopback addresses.
//!
//! Promises: exit 0 only if every story went as it is told; nothing is left behind, whatever ends
//! it short of SIGKILL; nothing outside 127.0.0.0/8 is spoken to.
//!
//! Files: `zones` what the world publishes; `world` how it is made; `server` a Vouchsafe in it;
//! `next_hop` its other hosts; `conversation` its clients; `stories` what happens; `page` how it is printed.

mod conversation;
mod next_hop;
mod page;
mod server;
mod stories;
mod world;
mod zones;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Ended, Exit, Failure, OrExit as _};
use crate::clock;
use crate::config::schema::{Log, LogFormat};
use crate::log::Logging;

use self::conversation::{Differed, PATIENCE};
use self::page::Page;
use self::world::{Folder, World};

/// `vouchsafe demo ...`
#[derive(Debug, clap::Args)]
pub struct Command {
    /// Keep the small world up when its stories are told, until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// Write the service's log to standard error
    #[arg(long, short)]
    verbose: bool,
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    let _log = if command.verbose {
        Some(start_log()?)
    } else {
        None
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .or_exit(Exit::Software)?;
    // Before anything is made, so that no signal from now on leaves something behind.
    let signals = runtime
        .block_on(async { Signals::catch() })
        .or_exit(Exit::Software)?;
    let folder = Folder::make()
        .context("cannot make a folder for the demo")
        .or_exit(Exit::Io)?;
    let ended = runtime.block_on(demonstrate(&folder, signals, command.stay));
    // Whatever ended it, nothing writes any more when the folder goes.
    runtime.shutdown_timeout(LAST_WRITES);
    drop(folder);
    ended
}

/// How long what is being written may take, after a second Ctrl-C; a disk that takes longer than
/// this for a few KiB does not answer at all.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// The log as the service has it by default.
fn start_log() -> Result<Logging, Failure> {
    let log = Log {
        format: LogFormat::Text,
        level: tracing::Level::INFO,
    };
    Logging::start(log)
        .context("starting the log")
        .or_exit(Exit::Software)
}

/// Makes the world, tells the stories, and ends the world.
async fn demonstrate(folder: &Folder, mut signals: Signals, stay: bool) -> Ended {
    let page = Page::new();
    let mut world = World::start(folder).await?;
    let ended = tokio::select! {
        biased;
        () = signals.next() => Err(anyhow!("interrupted before the end")).or_exit(Exit::Temporary),
        differed = stories::tell(&mut world, &page) => Ok(differed),
    };
    let ended = match ended {
        Ok(differed) if stay => keep_up(&mut world, &page, &mut signals)
            .await
            .map(|()| differed),
        ended => ended,
    };
    tokio::select! {
        // Once more: what is in hand was only a story.
        () = signals.next() => {}
        () = world.stop() => {}
    }
    page.end()?;
    judge(ended?)
}

/// How the demo ends, by the number of stories that went otherwise.
fn judge(differed: usize) -> Ended {
    match differed {
        0 => Ok(Exit::Ok),
        1 => Err(anyhow!("a story went otherwise than it is told")).or_exit(Exit::Software),
        many => {
            Err(anyhow!("{many} stories went otherwise than they are told")).or_exit(Exit::Software)
        }
    }
}

/// `--stay`: until a signal, and as long as the service does.
async fn keep_up(world: &mut World, page: &Page, signals: &mut Signals) -> Result<(), Failure> {
    stories::invite(world, page);
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return Ok(()),
            told = stories::watch(world, page) => {
                if let Err(part) = told {
                    return Err(anyhow!("the {part} ended by itself")).or_exit(Exit::Software);
                }
            }
        }
    }
}

/// Awaits it for as long as a story has patience.
async fn within<T>(what: &'static str, awaited: impl Future<Output = T>) -> Result<T, Differed> {
    let deadline = clock::instant(clock::now().mono.plus(PATIENCE));
    tokio::time::timeout_at(deadline, awaited)
        .await
        .map_err(|_| Differed::Late(what))
}

/// Whatever asks a process at a terminal to end.
struct Signals([Signal; 3]);

impl Signals {
    /// Begins to catch them.
    fn catch() -> std::io::Result<Self> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hang_up] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hang_up?]))
    }

    /// The next of any of them.
    async fn next(&mut self) {
        let [interrupt, terminate, hang_up] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::authority::Zones;

    #[tokio::test]
    async fn stories_that_go_otherwise_are_counted_and_the_others_told() {
        let folder = Folder::make().unwrap();
        let mut world = World::start(&folder).await.unwrap();
        // The bank publishes no set: its relay is unproven, and the forger is not repudiated.
        let text = zones::text().replace(zones::BANK, "");
        world.dns.replace(Zones::parse(&text).unwrap());
        let page = Page::onto(|_| Ok(()));
        let differed = stories::tell(&mut world, &page).await;
        Box::pin(world.stop()).await;
        assert_eq!(differed, 3);
        assert_eq!(judge(differed).unwrap_err().exit, Exit::Software);
    }

    #[tokio::test]
    async fn a_last_host_that_is_down_makes_the_story_of_the_held_path_differ() {
        let folder = Folder::make().unwrap();
        let mut world = World::start(&folder).await.unwrap();
        // Nobody listens there any more: no mailbox is refused, no message taken.
        let down = next_hop::NextHop::down("down", zones::LAB, next_hop::Conduct::Takes);
        world.lab = down.unwrap();
        let page = Page::onto(|_| Ok(()));
        let differed = stories::tell(&mut world, &page).await;
        Box::pin(world.stop()).await;
        assert_eq!(differed, 1);
    }

    #[test]
    fn without_a_difference_the_demo_ends_well() {
        assert_eq!(judge(0).unwrap(), Exit::Ok);
        assert_eq!(judge(1).unwrap_err().exit, Exit::Software);
    }
}
