//! What `serve`, `demo` and `check` are told on the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;

use super::{ConfigFile, Output};

/// `vouchsafe serve`
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub file: ConfigFile,
}

/// `vouchsafe demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the small world up when its stories are told, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
}

/// `vouchsafe check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub ip: IpAddr,
    /// What it says in EHLO
    #[arg(long, value_name = "NAME")]
    pub helo: String,
    /// What it says in MAIL FROM; '' or '<>' is the null reverse-path
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    pub mail_from: String,
    /// The resolver to ask, instead of the system's or the configuration's
    #[arg(long, value_name = "IP:PORT")]
    pub resolver: Option<SocketAddr>,
    /// The configuration whose perimeter and resolver hold; without it there is no perimeter
    #[arg(long = "config", short = 'c', value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}
