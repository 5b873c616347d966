//! `vouchsafe simulate`: what becomes of mail while only some have adopted.
//!
//! A made-up world of thousands of sites sends the same mail at every level of adoption. Where a
//! site checks, the verdict comes from the machines of the service, fed with the answers of a
//! made-up DNS that fails now and then; queues try again by proto's retry times. `docs/adoption.md`
//! says what is assumed and why, and shows the curves.
//!
//! Promises: the same seed and sizes give the same output, whatever the machine; no legitimate mail
//! is refused, or the command ends with 70; nothing is asked of any real name server.
//!
//! Files: `world` who is there; `zone` what they publish; `traffic` what they send; `play` and
//! `receive` what happens to it; `judge` the verdicts; `tally` what is counted; `table`, `chart`,
//! `progress` how it is shown.

mod chance;
mod chart;
mod judge;
mod play;
mod progress;
mod queues;
mod receive;
mod table;
mod tally;
mod traffic;
mod world;
mod zone;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context as _, anyhow};

use crate::cli::{Ended, Exit, Failure, Format, OrExit as _, Output, print_out};

use self::judge::{Judge, Rule};
use self::play::Play;
pub use self::progress::Progress;
use self::tally::Tally;
use self::world::{Adoption, World};

/// `vouchsafe simulate ...`
#[derive(Debug, clap::Args)]
pub struct Command {
    /// What everything is drawn from: the same seed, the same output
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ordinary domains; providers, forwarders and backup hosts come on top
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(20..=50_000))]
    domains: u32,
    /// Messages at each level
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: u32,
    /// Levels of adoption, in percent
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',',
          default_value = "0,10,20,30,40,50,60,70,80,90,100",
          value_parser = clap::value_parser!(u8).range(0..=100))]
    levels: Vec<u8>,
    /// Share of DNS answers that fail
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=50))]
    dns_failing: u8,
    /// Leave a rule out, and see what it is good for
    #[arg(long, value_enum, value_name = "RULE")]
    without: Option<Rule>,
    /// Draw the curves
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// One level, played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// How many had adopted.
    pub adoption: Adoption,
    /// What was counted.
    pub tally: Tally,
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    let levels = play_all(command);
    if let Some(file) = &command.svg {
        write_file(file, &chart::draw(&levels))
            .with_context(|| format!("cannot write {}", file.display()))
            .or_exit(Exit::Io)?;
    }
    print_out(&match command.output.format {
        Format::Text => table::text(command, &levels),
        Format::Json => format!("{:#}\n", table::json(command, &levels)),
    })?;
    let refused: u64 = levels
        .iter()
        .map(|level| level.tally.legitimate_refused())
        .sum();
    match refused {
        0 => Ok(Exit::Ok),
        many => Err(Failure {
            exit: Exit::Software,
            error: anyhow!("{many} legitimate messages were refused"),
        }),
    }
}

/// What a worker has to say.
enum News {
    /// So many more messages are sent.
    Sent(u64),
    /// The level of this number is played.
    Played(usize, Box<Tally>),
}

/// Messages between two pieces of news.
const NEWS_EVERY: u64 = 500;

/// Plays each level on its own: which thread plays which makes no difference.
fn play_all(command: &Command) -> Vec<Level> {
    let domains = usize::try_from(command.domains).unwrap_or(usize::MAX);
    let world = World::new(command.seed, domains);
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let (tell, news) = channel();
    let mut tallies = vec![Tally::default(); command.levels.len()];
    let total = u64::from(command.messages) * command.levels.len() as u64;
    let mut progress = Progress::new(total);
    thread::scope(|scope| {
        for _ in 0..workers.min(command.levels.len()) {
            let tell = tell.clone();
            scope.spawn(|| work(command, &world, &next, tell));
        }
        drop(tell);
        for piece in news {
            match piece {
                News::Sent(more) => progress.add(more),
                News::Played(number, tally) => {
                    if let Some(place) = tallies.get_mut(number) {
                        *place = *tally;
                    }
                }
            }
        }
    });
    progress.end();
    let levels = command.levels.iter().zip(tallies);
    levels
        .map(|(percent, tally)| Level {
            adoption: Adoption(*percent),
            tally,
        })
        .collect()
}

/// Plays the levels that nobody has begun yet.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the channel ends with its last sender"
)]
fn work(command: &Command, world: &World, next: &AtomicUsize, tell: Sender<News>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some(percent) = command.levels.get(number) else {
            return;
        };
        let judge = Judge::new(usize::from(command.dns_failing) * 10, command.without);
        let play = Play::new(world, Adoption(*percent), judge);
        let mut sent = 0;
        let tally = play.play(command.messages.into(), || {
            sent += 1;
            if sent % NEWS_EVERY == 0 {
                // Nobody listens any more only when all is over.
                let _ = tell.send(News::Sent(NEWS_EVERY));
            }
        });
        let _ = tell.send(News::Played(number, Box::new(tally)));
    }
}

/// Writes what can be made again by the same command; it need not last.
fn write_file(file: &Path, text: &str) -> std::io::Result<()> {
    File::create(file)?.write_all(text.as_bytes())
}
