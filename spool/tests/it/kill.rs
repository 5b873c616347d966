//! `kill -9` of a process that takes mail on a real folder: what it acknowledged is there.
//!
//! The test runs itself once more as the child, which takes messages as fast as it can and prints
//! each that it has custody of. This is process death only; crash.rs has the power cuts.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use vouchsafe_spool::{Finding, LocalSpool, Options};

use crate::mail::{at, content, read, take};

/// Where the child finds its folder.
const FOLDER: &str = "VOUCHSAFE_TEST_KILLED_FOLDER";

/// Sizes taken in turn.
const SIZES: [usize; 3] = [100, 9_000, 40_000];

/// The child's part; alone it does nothing.
#[tokio::test]
async fn the_child_takes_mail_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let options = Options::default().with_reserve(0);
    let spool = LocalSpool::open(folder.as_ref(), options).unwrap();
    for seed in 0.. {
        let content = content(seed, SIZES[usize::try_from(seed % 3).unwrap()]);
        let id = take(&spool, at(seed), at(0), &content).await.unwrap();
        let mut out = std::io::stdout().lock();
        // The parent kills us in the middle of anything, this too.
        let _ = writeln!(out, "\nacknowledged {seed} {id}");
        let _ = out.flush();
    }
}

#[tokio::test]
async fn what_a_killed_process_acknowledged_is_there() {
    for acknowledged in [1, 7, 20, 41] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::the_child_takes_mail_until_it_is_killed"])
            .args(["--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut taken = Vec::new();
        while taken.len() < acknowledged {
            let line = lines.next().expect("the child ended by itself").unwrap();
            taken.extend(acknowledgement(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it heard of the kill counts too.
        for line in lines.map_while(Result::ok) {
            taken.extend(acknowledgement(&line));
        }
        let options = Options::default().with_reserve(0);
        let spool = LocalSpool::open(folder.path(), options).unwrap();
        let in_order = |finding: &Finding| matches!(finding, Finding::Orphan(_));
        assert!(spool.findings().iter().all(in_order));
        for (seed, id) in taken {
            let id = id.parse().unwrap();
            let wanted = content(seed, SIZES[usize::try_from(seed % 3).unwrap()]);
            assert_eq!(read(&spool, id).await.unwrap(), wanted);
        }
    }
}

/// A whole line of the child.
fn acknowledgement(line: &str) -> Option<(u64, String)> {
    let (seed, id) = line.strip_prefix("acknowledged ")?.split_once(' ')?;
    // The last line may be cut off.
    let whole = id.len() == vouchsafe_proto::queue_id::LENGTH;
    whole.then(|| (seed.parse().unwrap(), id.to_owned()))
}
