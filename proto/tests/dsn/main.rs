//! Whole reports, compared octet for octet with `testdata/dsn/`; three of them are shown in
//! `docs/reports.md`. To take changed reports as the new golden ones, run with `VOUCHSAFE_BLESS=1`
//! and look at what `git diff` says. `situations` has what is reported on.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod situations;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use situations::all;

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The reports that the book shows.
const SHOWN: [&str; 3] = ["failed-one", "failed-several", "delayed"];

/// Takes a report as the golden one.
#[expect(clippy::disallowed_methods, reason = "nobody's mail")]
fn bless_with(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}

#[test]
fn reports_are_the_golden_ones_and_the_book_shows_three() {
    let bless = std::env::var_os("VOUCHSAFE_BLESS").is_some();
    let folder = root().join("testdata/dsn");
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, situation) in all() {
        assert!(names.insert(format!("{name}.eml")), "{name} twice");
        let content = situation.report();
        let path = folder.join(format!("{name}.eml"));
        if bless {
            bless_with(&path, &content);
        }
        if fs::read(&path).ok().as_ref() != Some(&content) {
            wrong.push(format!("{name}:\n{}", String::from_utf8_lossy(&content)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    let files: BTreeSet<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|kind| kind == "eml")
        })
        .collect();
    assert_eq!(files, names, "a file without a situation");
    assert!(names.len() >= 40, "{}", names.len());
}

#[test]
fn the_book_shows_golden_reports() {
    let book = fs::read_to_string(root().join("docs/reports.md")).unwrap();
    for name in SHOWN {
        let golden = fs::read(root().join(format!("testdata/dsn/{name}.eml"))).unwrap();
        let shown = String::from_utf8(golden).unwrap().replace("\r\n", "\n");
        assert!(
            book.contains(&shown),
            "docs/reports.md does not show {name}:\n{shown}"
        );
    }
}
