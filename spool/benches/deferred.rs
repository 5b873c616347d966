//! What a large queue of messages that wait costs: to open it, to hold it, and to look at one lane.
//!
//! Fills a queue with messages of 4 KiB that are due in a day, in 10,000 lanes, closes it, opens it anew, and prints:
//! messages taken a second, octets of the log, seconds until it is open and until it has taken one
//! more message, resident memory before it was opened and behind, octets of memory a message, and milliseconds to
//! list a lane. The filling is done by another process, so that its memory is not in the figures.
//! What the figures mean is in docs/performance.md.
//!
//! ```text
//! cargo bench -p vouchsafe-spool --bench deferred -- FOLDER [MESSAGES]
//! ```
//!
//! FOLDER is made, and removed at the end. A million messages need about 6 GiB.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement is for whoever runs it"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Runtime;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{Envelope, Origin};
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::{Lane, LocalSpool, Options, Spool};

/// Octets of a message's content.
const OCTETS: usize = 4 * 1024;
/// Lanes that they wait in.
const LANES: u64 = 10_000;
/// Tasks that fill the queue.
const TASKS: usize = 200;

/// When they come: now, so that a service can be started on what was filled.
#[expect(
    clippy::disallowed_methods,
    reason = "the messages are to be due in a day from now"
)]
fn now() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Wall::from_secs(since.expect("a clock that is right").as_secs())
}

fn main() {
    let arguments = std::env::args().skip(1).filter(|each| each != "--bench");
    let arguments: Vec<_> = arguments.collect();
    let [folder, rest @ ..] = arguments.as_slice() else {
        println!("usage: FOLDER [MESSAGES]");
        return;
    };
    let messages = rest
        .first()
        .map_or(1_000_000, |each| each.parse().expect("a number"));
    if rest.get(1).is_some_and(|each| each == "fill") {
        return fill(Path::new(folder), messages);
    }
    std::fs::create_dir_all(folder).expect("the folder");
    let start = Instant::now();
    let filled = Command::new(std::env::current_exe().expect("this program"))
        .args([folder, &messages.to_string(), "fill"])
        .status()
        .expect("a process");
    assert!(filled.success(), "the queue could not be filled");
    let took = start.elapsed();
    let log = size(&Path::new(folder).join("data/log"));
    println!(
        "{messages} messages in {:.1} s, {log} octets of log",
        took.as_secs_f64()
    );
    measure(Path::new(folder), messages);
    std::fs::remove_dir_all(folder).expect("the folder is ours");
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).build().expect("a runtime")
}

fn open(folder: &Path) -> LocalSpool {
    let options = Options::default().with_reserve(0);
    LocalSpool::open(&folder.join("data"), options).expect("a spool")
}

/// Takes so many messages, and closes the queue.
fn fill(folder: &Path, messages: u64) {
    let spool = Arc::new(open(folder));
    let next = Arc::new(AtomicU64::new(0));
    runtime().block_on(async {
        let tasks = (0..TASKS).map(|_| {
            let (spool, next) = (Arc::clone(&spool), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= messages {
                        return;
                    }
                    take(&spool, number % LANES).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
    });
}

/// One message, due in a day.
async fn take(spool: &LocalSpool, lane: u64) {
    let mut draft = spool.begin(now()).await.expect("a draft");
    let content = Bytes::from(vec![b'x'; OCTETS]);
    draft.append(content).await.expect("content taken");
    let due = now().plus(Duration::from_hours(24));
    let committed = draft.commit(envelope(lane), due).await;
    drop(committed.expect("custody"));
}

/// Opens it anew.
fn measure(folder: &Path, messages: u64) {
    let runtime = runtime();
    let before = resident();
    let start = Instant::now();
    let spool = open(folder);
    let opened = start.elapsed();
    runtime.block_on(take(&spool, 0));
    let accepted = start.elapsed();
    let behind = resident();
    println!(
        "open after {:.2} s, the first message taken after {:.2} s",
        opened.as_secs_f64(),
        accepted.as_secs_f64()
    );
    println!(
        "resident memory {} KiB before, {} KiB behind, {} KiB at most: {} octets a message",
        before,
        behind,
        status("VmHWM:"),
        behind.saturating_sub(before) * 1024 / messages.max(1)
    );
    let lane = Lane::of(&recipient(1));
    let start = Instant::now();
    let listed = runtime.block_on(spool.list_lane(&lane, None, 1_000));
    let listed = listed.expect("a list").len();
    println!(
        "{listed} messages of one lane listed in {:.1} ms",
        start.elapsed().as_secs_f64() * 1e3
    );
}

fn recipient(lane: u64) -> ForwardPath {
    ForwardPath::parse_inside(&format!("ann@d{lane}.example.net")).expect("a path")
}

fn envelope(lane: u64) -> Envelope {
    let origin = Origin::Client {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        helo: "mail.example.org".into(),
    };
    Envelope {
        trace: "Received: from mail.example.org (localhost [127.0.0.1])\r\n\tby mx.example.net \
                with ESMTP id 0123456789ABCDEFGHJK; Sun, 22 Nov 2026 06:00:00 +0000\r\n"
            .into(),
        ..Envelope::plain(
            ReversePath::parse_inside("joe@example.org").expect("a path"),
            VerdictResult::Authorised,
            origin,
            [recipient(lane)],
        )
    }
}

/// Octets of all files in a folder.
fn size(folder: &Path) -> u64 {
    let listed = std::fs::read_dir(folder).expect("a folder");
    let sizes = listed.map(|each| each.and_then(|each| each.metadata()).expect("a file").len());
    sizes.sum()
}

/// Resident memory in KiB.
fn resident() -> u64 {
    status("VmRSS:")
}

/// What the kernel says about this process, in KiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0)
}
