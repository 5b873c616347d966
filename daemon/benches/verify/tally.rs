//! What a measurement has seen, its line, and the CPU time of a process.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

/// Clock ticks a second in /proc, which Linux has fixed for user space.
const TICKS: f64 = 100.0;

/// What a measurement has seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Verdicts.
    pub verdicts: u64,
    /// By what they said.
    pub said: BTreeMap<String, u64>,
    /// Seconds it took.
    pub seconds: f64,
    /// CPU seconds of what was measured.
    pub cpu: f64,
    /// DNS questions asked, where that is known.
    pub questions: Option<u64>,
}

impl Tally {
    /// Counts one verdict.
    pub fn count(&mut self, said: &str) {
        self.verdicts += 1;
        match self.said.get_mut(said) {
            Some(count) => *count += 1,
            None => {
                self.said.insert(String::from(said), 1);
            }
        }
    }

    /// And what another has counted in the same time.
    pub fn add(&mut self, other: &Self) {
        self.verdicts += other.verdicts;
        for (said, count) in &other.said {
            *self.said.entry(said.clone()).or_default() += count;
        }
    }

    /// The measurement's line.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn print(&self, name: &str, sessions: usize) {
        let verdicts = self.verdicts as f64;
        let questions = self.questions.map_or(String::from("-"), |questions| {
            format!("{:.2}", questions as f64 / verdicts)
        });
        let said: Vec<_> = self
            .said
            .iter()
            .map(|(said, count)| format!("{said}={:.1}%", 100.0 * *count as f64 / verdicts))
            .collect();
        println!(
            "{name} {sessions} {:.0} {:.2} {questions} {}",
            verdicts / self.seconds,
            1e6 * self.cpu / verdicts,
            said.join(",")
        );
    }
}

/// CPU seconds that a process, by its number or `self`, has used so far, its threads included.
pub fn cpu_of(process: &str) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("a process's times")?;
    // The name before it may hold blanks; proc(5): utime and stime are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ").context("a process's fields")?;
    let mut ticks = 0.0;
    for field in fields.split(' ').skip(11).take(2) {
        ticks += field.parse::<f64>().context("a process's ticks")?;
    }
    Ok(ticks / TICKS)
}
