//! What the corpora of scenarios share: their files, the zones that a file writes down, and trying
//! several files at the same time, each before a name server of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::Deserialize;

use super::nsd::Zone;

/// A zone's lines.
#[derive(Deserialize)]
pub struct ZoneText {
    records: String,
}

/// All TOML files of a folder of `testdata`, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    files
}

/// Tries all files of a folder, `at_once` at the same time, each with its number; gives how many
/// scenarios there were.
pub fn try_all(
    folder: &str,
    at_once: usize,
    try_file: impl Fn(usize, &Path) -> usize + Sync,
) -> usize {
    let files = Mutex::new(files(folder).into_iter().enumerate());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once)
            .map(|_| {
                scope.spawn(|| {
                    let mut tried = 0;
                    loop {
                        let next = files.lock().unwrap().next();
                        let Some((number, path)) = next else {
                            return tried;
                        };
                        tried += try_file(number, &path);
                    }
                })
            })
            .collect();
        let tried = threads.into_iter().map(|thread| thread.join().unwrap());
        tried.sum()
    })
}

/// The zones of a file: those it writes down, those that fail, and one for all other names, which
/// do not exist.
pub fn zones<'a>(written: &'a BTreeMap<String, ZoneText>, failing: &'a [String]) -> Vec<Zone<'a>> {
    let mut zones: Vec<Zone<'_>> = written
        .iter()
        .map(|(apex, zone)| Zone {
            apex,
            records: Some(&zone.records),
        })
        .collect();
    zones.extend(failing.iter().map(|apex| Zone {
        apex,
        records: None,
    }));
    if !written.contains_key(".") {
        zones.push(Zone::ROOT);
    }
    zones
}
