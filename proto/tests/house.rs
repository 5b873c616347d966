//! The house itself: documents and sources say what they must. Reads the repository; needs nothing
//! else.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Every file of the repository with one of these endings, but for what is built.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from(ROOT)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let built = ["target", "artifacts", "corpus-grown", ".git"].contains(&name.as_str());
            if path.is_dir() && !built {
                folders.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(ROOT)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The numbers behind each `RFC ` in a text.
fn citations(text: &str) -> BTreeSet<u32> {
    text.split("RFC ")
        .skip(1)
        .filter_map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        })
        .collect()
}

#[test]
fn every_source_file_opens_with_what_it_is_for() {
    let bare: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|path| !fs::read_to_string(path).unwrap().starts_with("//! "))
        .map(|path| shown(&path))
        .collect();
    assert_eq!(bare, [] as [String; 0], "files without a //! at the top");
}

#[test]
fn every_rfc_cited_is_listed_and_every_one_obeyed_is_cited() {
    let list = fs::read_to_string(Path::new(ROOT).join("docs/rfc.md")).unwrap();
    let listed: BTreeMap<u32, bool> = list
        .lines()
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            let number = cells.next()?.parse().ok()?;
            Some((number, !cells.nth(1)?.starts_with("no")))
        })
        .collect();
    let mut cited = BTreeMap::new();
    for path in files(&[".rs"])
        .into_iter()
        .filter(|path| !path.ends_with("tests/house.rs"))
    {
        for number in citations(&fs::read_to_string(&path).unwrap()) {
            cited.entry(number).or_insert_with(|| shown(&path));
        }
    }
    let unlisted: Vec<_> = cited
        .iter()
        .filter(|(number, _)| !listed.contains_key(number))
        .collect();
    let uncited: Vec<_> = listed
        .iter()
        .filter(|(number, obeyed)| **obeyed && !cited.contains_key(number))
        .map(|(number, _)| number)
        .collect();
    assert!(
        unlisted.is_empty(),
        "cited but not in docs/rfc.md: {unlisted:?}"
    );
    assert!(
        uncited.is_empty(),
        "in docs/rfc.md but cited nowhere: {uncited:?}"
    );
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut dead = Vec::new();
    for path in files(&[".md"]) {
        let text = fs::read_to_string(&path).unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap_or_default();
            let outside = target.contains("://") || file.is_empty();
            if !outside && !path.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {target}", shown(&path)));
            }
        }
    }
    assert_eq!(dead, [] as [String; 0], "links that lead nowhere");
}

#[test]
fn no_file_is_named_for_nothing() {
    let banned = [
        "util", "utils", "common", "manager", "helper", "helpers", "misc",
    ];
    let found: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|path| banned.contains(&path.file_stem().unwrap().to_string_lossy().as_ref()))
        .map(|path| shown(&path))
        .collect();
    assert_eq!(found, [] as [String; 0]);
}

/// Longer for a reason.
const LONG: [(&str, &str); 1] = [(
    "daemon/src/config/keys.rs",
    "one table: the reference for every key",
)];

/// 500 lines without tests is where a file becomes two (CONTRIBUTING.md); the rest is slack, so that
/// a mended bug need not wait for that.
const MAX_LINES: usize = 520;

#[test]
fn no_source_file_outgrows_a_reader() {
    let long: Vec<_> = files(&[".rs"])
        .into_iter()
        .filter(|path| {
            let name = shown(path);
            !name.contains("tests") && LONG.iter().all(|(long, _)| *long != name)
        })
        .filter_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let lines = text
                .split("\n#[cfg(test)]")
                .next()
                .unwrap_or_default()
                .lines()
                .count();
            (lines > MAX_LINES).then(|| format!("{} has {lines} lines", shown(&path)))
        })
        .collect();
    assert_eq!(long, [] as [String; 0]);
}
