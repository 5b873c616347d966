//! What a process group has used: the server, and whatever it has started.

use std::fs;

use anyhow::{Context as _, bail};

/// Clock ticks a second in /proc, which Linux has fixed for user space.
const TICKS: f64 = 100.0;

/// A process group, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Group(pub u32);

impl Group {
    /// CPU seconds so far, those of children that have ended and were waited for included.
    pub fn cpu(self) -> anyhow::Result<f64> {
        let mut seconds = 0.0;
        for process in self.processes()? {
            // proc(5): utime, stime, cutime and cstime are fields 14 to 17.
            let fields = process.fields.split(' ').skip(11).take(4);
            let ticks: Vec<f64> = fields
                .map(|field| field.parse().context("a process's ticks"))
                .collect::<anyhow::Result<_>>()?;
            let [user, system, ended @ ..] = &ticks[..] else {
                bail!("too few fields of a process");
            };
            let own = (user + system) / TICKS;
            seconds += own.max(process.first_thread()) + ended.iter().sum::<f64>() / TICKS;
        }
        Ok(seconds)
    }

    /// Proportional set size, in KiB: what is shared counts once in all.
    pub fn pss(self) -> anyhow::Result<u64> {
        self.memory("smaps_rollup", "Pss:")
    }

    /// Resident set size, in KiB.
    pub fn resident(self) -> anyhow::Result<u64> {
        self.memory("status", "VmRSS:")
    }

    /// The most that it was, of each process, in KiB.
    pub fn most_resident(self) -> anyhow::Result<u64> {
        self.memory("status", "VmHWM:")
    }

    /// The sum of a figure that a file of each process has, in KiB.
    fn memory(self, file: &str, name: &str) -> anyhow::Result<u64> {
        let mut total = 0;
        for process in self.processes()? {
            // A process may be gone by now; it holds nothing then.
            let path = format!("/proc/{}/{file}", process.number);
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            total += kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        }
        Ok(total)
    }

    /// Its processes.
    fn processes(self) -> anyhow::Result<Vec<Process>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").context("the processes")? {
            let name = entry?.file_name();
            let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(format!("/proc/{number}/stat")) else {
                continue;
            };
            // The name before it may hold blanks; the group is the third field behind it.
            let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
            if fields.split(' ').nth(2) == Some(&self.0.to_string()) {
                found.push(Process {
                    number,
                    fields: String::from(fields),
                });
            }
        }
        Ok(found)
    }
}

/// One process of it.
struct Process {
    number: u32,
    fields: String,
}

impl Process {
    /// CPU seconds of its first thread, to the nanosecond (/proc/N/schedstat). Ticks are rounded down,
    /// which hides most of what many processes with a few milliseconds each have used.
    fn first_thread(&self) -> f64 {
        let path = format!("/proc/{}/schedstat", self.number);
        let text = fs::read_to_string(path).unwrap_or_default();
        let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
        nanoseconds.unwrap_or(0.0) / 1e9
    }
}

/// Ticks in which a processor was not idle, all processors together (proc(5), /proc/stat).
pub fn busy_ticks() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("the processors' times")?;
    let line = text.lines().next().context("the first line")?;
    let fields: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq
    let at = |index: usize| fields.get(index).copied().unwrap_or(0.0);
    Ok(at(0) + at(1) + at(2) + at(5) + at(6))
}
