//! What the queue's engine costs by itself: tasks that each take one message after the other.
//!
//! Prints a line for each size and number of tasks: messages a second, CPU microseconds a message
//! (of the whole process), milliseconds from the end of the content to custody at the median and
//! the 99th percentile, resident memory. `leave` has each message settled again before the next, as
//! a server that delivers does. What the lines mean is in docs/performance.md.
//!
//! ```text
//! cargo bench -p vouchsafe-spool --bench store -- FOLDER [SECONDS [keep|leave [MILLISECONDS]]]
//! ```
//!
//! `MILLISECONDS` are added to each flush. FOLDER is made, and removed at the end.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement is for whoever runs it"
)]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vouchsafe_proto::addr::{ForwardPath, ReversePath};
use vouchsafe_proto::envelope::{BodyType, Envelope, Origin};
use vouchsafe_proto::outcome::Outcome;
use vouchsafe_proto::time::Wall;
use vouchsafe_proto::verify::VerdictResult;
use vouchsafe_spool::fs::{Access, Disk, DiskFile, Held, Listed, LocalDisk, Lock};
use vouchsafe_spool::{Ask, LocalSpool, Options, Progress, Settlement, Spool};

/// Octets of a message's content.
const SIZES: [usize; 2] = [4 * 1024, 100 * 1024];
/// Tasks at once.
const TASKS: [usize; 4] = [1, 10, 64, 200];

/// What is measured.
#[derive(Clone)]
struct Run {
    folder: PathBuf,
    length: Duration,
    leave: bool,
    delay: Duration,
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|each| each != "--bench");
    let Some(folder) = arguments.next() else {
        println!("usage: FOLDER [SECONDS [keep|leave [MILLISECONDS]]]");
        return;
    };
    let seconds = arguments
        .next()
        .map_or(3, |each| each.parse().expect("seconds"));
    let leave = arguments.next().is_some_and(|each| each == "leave");
    let delay = arguments
        .next()
        .map_or(0, |each| each.parse().expect("milliseconds"));
    let run = Run {
        folder: folder.into(),
        length: Duration::from_secs(seconds),
        leave,
        delay: Duration::from_millis(delay),
    };
    println!("octets  tasks  messages/s  us CPU  p50 ms  p99 ms  RSS MiB");
    for size in SIZES {
        for tasks in TASKS {
            measure(&run, size, tasks);
        }
    }
}

/// One line.
fn measure(run: &Run, size: usize, tasks: usize) {
    std::fs::create_dir_all(&run.folder).expect("the folder");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let disk = SlowDisk {
        inner: LocalDisk::new(run.folder.join("data")),
        delay: run.delay,
    };
    let options = Options::default().with_reserve(0);
    let spool = Arc::new(LocalSpool::open_on(Arc::new(disk), options).expect("a spool"));
    let (cpu, start) = (cpu_time(), Instant::now());
    let mut waits: Vec<Duration> = runtime.block_on(async {
        let running: Vec<_> = (0..tasks)
            .map(|_| tokio::spawn(take(Arc::clone(&spool), run.clone(), size, start)))
            .collect();
        let mut waits = Vec::new();
        for task in running {
            waits.extend(task.await.expect("a task"));
        }
        waits
    });
    let (cpu, took) = (cpu_time().saturating_sub(cpu), start.elapsed());
    waits.sort_unstable();
    let at = |hundredth: usize| {
        let place = waits.len() * hundredth / 100;
        waits
            .get(place)
            .map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let messages = f64::from(u32::try_from(waits.len()).unwrap_or(u32::MAX));
    println!(
        "{size:6}  {tasks:5}  {:10.0}  {:6.1}  {:6.2}  {:6.2}  {:7.1}",
        messages / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / messages,
        at(50),
        at(99),
        resident(),
    );
    drop(spool);
    drop(runtime);
    remove(&run.folder);
}

/// A task's life: how long each message took from the end of its content to custody.
async fn take(spool: Arc<LocalSpool>, run: Run, size: usize, start: Instant) -> Vec<Duration> {
    let content = Bytes::from(vec![b'x'; size]);
    let mut waits = Vec::new();
    let now = Wall::from_secs(1_795_000_000);
    while start.elapsed() < run.length {
        let mut draft = spool.begin(now).await.expect("a draft");
        for piece in content.chunks(8 * 1024) {
            let piece = content.slice_ref(piece);
            draft.append(piece).await.expect("content taken");
        }
        let end = Instant::now();
        drop(draft.commit(envelope(), now).await.expect("custody"));
        waits.push(end.elapsed());
        if run.leave {
            settle_one(&spool, now).await;
        }
    }
    waits
}

/// Delivers any message that is due.
async fn settle_one(spool: &LocalSpool, now: Wall) {
    let leased = spool.lease(now, Ask::up_to(1)).await.expect("leases");
    for lease in leased.leases {
        let mut content = spool.content(lease.entry().id).await.expect("content");
        while content.next().await.expect("a piece").is_some() {}
        let settlement = Settlement {
            progress: vec![Progress::Done(Outcome::local((2, 0, 0), None, "delivered"))],
            attempts: 1,
            due: None,
            later: Vec::new(),
            delay_reported: false,
            deadline_reported: false,
            reports: Vec::new(),
        };
        spool.settle(lease, settlement).await.expect("settled");
    }
}

fn envelope() -> Envelope {
    let origin = Origin::Client {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        helo: "mail.example.org".into(),
    };
    Envelope {
        body: BodyType::EightBitMime,
        trace: "Received: from mail.example.org (localhost [127.0.0.1])\r\n\tby mx.example.net \
                with ESMTP id 0123456789ABCDEFGHJK; Sun, 22 Nov 2026 06:00:00 +0000\r\n"
            .into(),
        ..Envelope::plain(
            ReversePath::parse_inside("joe@example.org").expect("a path"),
            VerdictResult::Authorised,
            origin,
            [ForwardPath::parse_inside("ann@example.net").expect("a path")],
        )
    }
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks.saturating_mul(10))
}

/// Resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn remove(folder: &Path) {
    std::fs::remove_dir_all(folder).expect("the folder is ours");
}

/// A local disk whose flushes take longer.
#[derive(Debug)]
struct SlowDisk {
    inner: LocalDisk,
    delay: Duration,
}

#[derive(Debug)]
struct SlowFile {
    inner: Arc<dyn DiskFile>,
    delay: Duration,
}

impl SlowDisk {
    fn slow(&self, inner: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        if self.delay.is_zero() {
            return inner;
        }
        let delay = self.delay;
        Arc::new(SlowFile { inner, delay })
    }
}

impl Disk for SlowDisk {
    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.inner.create_dir(name)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.slow(self.inner.create(name)?))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.slow(self.inner.open(name, access)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        self.inner.list(folder)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.inner.sync_dir(folder)
    }

    fn lock(&self, name: &str, lock: Lock) -> io::Result<Option<Held>> {
        self.inner.lock(name, lock)
    }

    fn born(&self, name: &str) -> io::Result<Option<u64>> {
        self.inner.born(name)
    }

    fn free(&self) -> io::Result<u64> {
        self.inner.free()
    }
}

impl DiskFile for SlowFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.inner.read_at(offset, into)
    }

    fn write_at(&self, offset: u64, octets: &[u8]) -> io::Result<()> {
        self.inner.write_at(offset, octets)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        std::thread::sleep(self.delay);
        self.inner.sync_data()
    }
}
