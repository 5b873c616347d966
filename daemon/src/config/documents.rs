//! docs/config.md and vouchsafe.example.toml say what the keys' table says, and the example works.
//!
//! Both are written from the table: `VOUCHSAFE_BLESS=1 cargo test -p vouchsafe documents` writes
//! them again, and without it the tests compare them octet by octet.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::keys::{Form, Key, Kind, Presence, SECTIONS, Section};
use super::units::{show_duration, show_size};
use super::{LoadError, parse};

/// Below this line docs/config.md is written by the test.
const MARK: &str = "<!-- From here on written from daemon/src/config/keys.rs by a test. -->\n";

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Compares a file with what it should be, or writes it.
#[expect(clippy::disallowed_methods, reason = "a document, not a message")]
fn compare(path: &str, expected: &str) {
    let file = repository(path);
    if std::env::var_os("VOUCHSAFE_BLESS").is_some() {
        std::fs::write(&file, expected).expect("writing a document");
    }
    let found = std::fs::read_to_string(&file).expect("reading a document");
    assert!(
        found == expected,
        "{path} does not say what the keys' table says; write it again with VOUCHSAFE_BLESS=1"
    );
}

#[test]
fn the_reference_says_what_holds() {
    let found = std::fs::read_to_string(repository("docs/config.md")).unwrap();
    let (prose, _) = found.split_once(MARK).expect("the mark");
    let mut text = format!("{prose}{MARK}");
    for section in SECTIONS {
        let title = match section.form {
            Form::Top => String::from("The top of the file"),
            _ => format!("`{}`", header(section)),
        };
        write!(text, "\n## {title}\n\n{}\n", wrap(section.doc, "", 100)).unwrap();
        for key in section.keys {
            let takes = takes(key.kind);
            let holds = match key.presence {
                Presence::Required(sample) => format!("must be given; for example `{sample}`"),
                Presence::Optional(sample) => format!("nothing by default; for example `{sample}`"),
                Presence::Default(value) => format!("default `{value}`"),
                Presence::Follows { rule, .. } => format!("default {rule}"),
            };
            let doc = wrap(key.doc, "  ", 100);
            write!(text, "- **`{}`**: {takes}; {holds}.\n{doc}", key.name).unwrap();
        }
    }
    compare("docs/config.md", &text);
}

#[test]
fn the_example_has_every_key() {
    let mut text = String::from(EXAMPLE_TOP);
    for section in SECTIONS {
        if section.form != Form::Top {
            write!(text, "\n{}{}\n", comment(section.doc), header(section)).unwrap();
        }
        for key in section.keys {
            write!(text, "\n{}{}\n", comment(key.doc), line(key)).unwrap();
        }
    }
    compare("vouchsafe.example.toml", &text);
}

#[test]
fn the_example_loads_as_it_is_and_with_every_key() {
    let example = std::fs::read_to_string(repository("vouchsafe.example.toml")).unwrap();
    let plain = parse(&example, Path::new("example")).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = super::tests::certificate(folder.path());
    let every = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => key,
            _ => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
        .replace("/etc/vouchsafe/certificate.pem", &certificate)
        .replace("/etc/vouchsafe/key.pem", &key);
    let full = parse(&every, Path::new("example")).unwrap();
    assert!(full.config.tls.is_some() && full.config.metrics.is_some());

    // What is commented out is the default: uncommenting it changes nothing.
    assert_eq!(full.config.limits, plain.config.limits);
    assert_eq!(full.config.retry, plain.config.retry);
    // Except for the one key that has an example and no default.
    let mut delivery = full.config.delivery;
    assert!(delivery.roots.take().is_some());
    assert_eq!(delivery, plain.config.delivery);

    // Every key of the table is read, and no other.
    let read: Vec<_> = full.settings.iter().map(|setting| setting.key).collect();
    for section in SECTIONS {
        for key in section.keys {
            assert!(read.contains(&key.name), "{} is never read", key.name);
        }
    }
    let known: usize = SECTIONS.iter().map(|section| section.keys.len()).sum();
    assert_eq!(read.len(), known);
}

#[test]
fn what_show_prints_can_be_read_again() {
    let example = std::fs::read_to_string(repository("vouchsafe.example.toml")).unwrap();
    let loaded = parse(&example, Path::new("example")).unwrap();
    let shown = crate::cli::show_settings(&loaded);
    let again = parse(&shown, Path::new("shown"))
        .unwrap_or_else(|error: LoadError| panic!("{error}\n{shown}"));
    assert_eq!(crate::cli::show_settings(&again), shown);
    assert_eq!(again.config.retry, loaded.config.retry);
    assert_eq!(again.config.listen, loaded.config.listen);
}

/// How a section begins in an example.
fn header(section: &Section) -> String {
    match section.form {
        Form::Top => String::new(),
        Form::Table => format!("[{}]", section.name),
        Form::List => format!("[[{}]]", section.name),
        Form::Named if section.name == "recipients" => {
            String::from("[recipients.\"alice@example.org\"]")
        }
        Form::Named if section.name == "ledger.writers" => {
            String::from("[ledger.writers.\"relay2.example.org\"]")
        }
        Form::Named => format!("[{}.\"example.org\"]", section.name),
    }
}

/// A key with its value, behind a `#` where it need not be there.
fn line(key: &Key) -> String {
    match key.presence {
        Presence::Required(value) => format!("{} = {value}", key.name),
        Presence::Optional(value) | Presence::Default(value) | Presence::Follows { value, .. } => {
            format!("#{} = {value}", key.name)
        }
    }
}

/// A text as comment lines.
fn comment(text: &str) -> String {
    wrap(text, "# ", 90)
}

/// A text in lines that begin with `start`. `RFC` and its number stay on one.
fn wrap(text: &str, start: &str, width: usize) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.replace("RFC ", "RFC\u{a0}").split(' ') {
        if !line.is_empty() && start.len() + line.len() + word.len() >= width {
            writeln!(lines, "{start}{line}").unwrap();
            line.clear();
        }
        let space = if line.is_empty() { "" } else { " " };
        write!(line, "{space}{word}").unwrap();
    }
    format!("{lines}{start}{line}\n").replace('\u{a0}', " ")
}

/// What a key takes, in words.
fn takes(kind: Kind) -> String {
    match kind {
        Kind::Hostname => String::from("a host name of two labels or more"),
        Kind::Path => String::from("a path from the root"),
        Kind::Mailbox => String::from("an address"),
        Kind::Socket => String::from("an IP address and a port"),
        Kind::Sockets => String::from("a list of IP addresses, each with a port"),
        Kind::Servers => String::from("a list of IP addresses, each with a port or without"),
        Kind::NextHop => String::from("a next hop"),
        Kind::Networks => String::from("a list of IP addresses and networks"),
        Kind::Hosts => String::from("a list of host names, IP addresses and networks"),
        Kind::Domains => String::from("a list of domain names"),
        Kind::Switch => String::from("`true` or `false`"),
        Kind::Word(words) => words
            .iter()
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Kind::Count(least, most) => format!("a whole number from {least} to {most}"),
        Kind::Duration(least, most) => format!(
            "a span of time from {} to {}",
            show_duration(least),
            show_duration(most)
        ),
        Kind::Size(least, most) => {
            format!("a size from {} to {}", show_size(least), show_size(most))
        }
    }
}

/// How the example begins.
const EXAMPLE_TOP: &str = "\
# Vouchsafe: every key of the configuration, with its default and the reason for it.
#
# A line that begins with # and a key holds what is so without it: take the # away to change it.
# Spans of time are written \"90s\", \"5m\", \"4h\", \"5d\" or \"1h30m\", sizes \"50 MiB\" or in octets.
# A key that does not exist is an error. `vouchsafe config check` names every mistake at once;
# `systemctl reload vouchsafe` (SIGHUP) takes changes over, but for those that say otherwise.
";
