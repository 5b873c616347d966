//! `config check` and `config show`.

use clap::Subcommand;
use serde_json::json;

use super::{ConfigFile, Ended, Exit, Format, Output, print};
use crate::config::{LoadError, Loaded, load};

/// `vouchsafe config ...`
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Name every mistake in the configuration, with its line; exit 78 if there is one
    Check {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Print the configuration that holds, defaults included, as TOML
    Show {
        #[command(flatten)]
        file: ConfigFile,
    },
}

/// Does it.
pub fn run(command: &Command) -> Ended {
    match command {
        Command::Check { file, output } => match output.format {
            Format::Text => check_text(file),
            Format::Json => check_json(file),
        },
        Command::Show { file } => {
            print::out(&show(&load(&file.path)?))?;
            Ok(Exit::Ok)
        }
    }
}

/// One line if it is right, one line for each mistake if not.
fn check_text(file: &ConfigFile) -> Ended {
    match load(&file.path) {
        Ok(loaded) => {
            print::out(&format!("{}: {}\n", file.path.display(), summary(&loaded)))?;
            Ok(Exit::Ok)
        }
        Err(error @ LoadError::Invalid { .. }) => {
            print::error(&error.to_string());
            Ok(Exit::Config)
        }
        Err(error) => Err(error.into()),
    }
}

/// One object, on standard output either way.
fn check_json(file: &ConfigFile) -> Ended {
    let (problems, exit) = match load(&file.path) {
        Ok(_) => (Vec::new(), Exit::Ok),
        Err(LoadError::Invalid { problems, .. }) => (problems, Exit::Config),
        Err(error) => return Err(error.into()),
    };
    let report = json!({
        "file": file.path.display().to_string(),
        "right": problems.is_empty(),
        "problems": problems,
    });
    print::out(&format!("{report}\n"))?;
    Ok(exit)
}

/// What the configuration makes of this host, in a line.
fn summary(loaded: &Loaded) -> String {
    let config = &loaded.config;
    let mut parts = vec![format!("{} is right", config.hostname)];
    let listen: Vec<_> = config.listening().iter().map(ToString::to_string).collect();
    parts.push(format!("listens at {}", listen.join(" and ")));
    parts.push(match config.domains.len() {
        0 => String::from("no local domain"),
        1 => String::from("1 local domain"),
        count => format!("{count} local domains"),
    });
    if !config.relay.from.is_empty() {
        let plural = if config.relay.from.len() == 1 {
            ""
        } else {
            "s"
        };
        let count = config.relay.from.len();
        parts.push(format!("relays for {count} network{plural}"));
    }
    if config.tls.is_some() {
        parts.push(String::from("STARTTLS"));
    }
    parts.join(", ")
}

/// The configuration as TOML; it can be read again.
pub fn show(loaded: &Loaded) -> String {
    let mut text = String::new();
    let (mut header, mut first) = ("", "");
    let (top, tables): (Vec<_>, Vec<_>) = loaded
        .settings
        .iter()
        .partition(|setting| setting.header.is_empty());
    for setting in top.into_iter().chain(tables) {
        // Each [[listen]] begins a table of its own, although the header is the same.
        if setting.header != header || (header.starts_with("[[") && setting.key == first) {
            (header, first) = (&setting.header, setting.key);
            text.extend(["\n", header, "\n"]);
        }
        text.extend([setting.key, " = ", &setting.value, "\n"]);
    }
    text
}
