//! What `serve` and `demo` are told on the command line.

use clap::Args;

use super::ConfigFile;

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
