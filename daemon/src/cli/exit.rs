//! Exit codes, as sysexits.h names them: scripts around mail servers know them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Ok = 0,
    /// `check` only: the reverse-path is repudiated.
    Repudiated = 1,
    /// `lint` only: it found errors.
    Errors = 2,
    /// The command line is wrong.
    Usage = 64,
    /// What it was given cannot be used.
    Data = 65,
    /// What was asked for is not there.
    NoInput = 66,
    /// What it needs does not answer.
    Unavailable = 69,
    /// A mistake of ours.
    Software = 70,
    /// Reading or writing failed.
    Io = 74,
    /// Not now, perhaps later.
    Temporary = 75,
    /// The configuration is wrong.
    Config = 78,
}

impl Exit {
    /// `publish` only: something that was asked for is not covered.
    pub const INCOMPLETE: Self = Self::Repudiated;
    /// `lint` only: it found warnings.
    pub const WARNINGS: Self = Self::Repudiated;
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that failed: what is said on standard error, and the code.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// What is said, with its causes.
    pub error: anyhow::Error,
}

/// How every subcommand ends.
pub type Ended = Result<Exit, Failure>;

/// Gives an error its exit code.
pub trait OrExit<T> {
    /// The value, or a failure with this code.
    fn or_exit(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrExit<T> for Result<T, E> {
    fn or_exit(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            exit,
            error: error.into(),
        })
    }
}

impl From<crate::config::LoadError> for Failure {
    fn from(error: crate::config::LoadError) -> Self {
        let exit = match &error {
            crate::config::LoadError::Read { .. } => Exit::NoInput,
            crate::config::LoadError::Invalid { .. } => Exit::Config,
        };
        Self {
            exit,
            error: error.into(),
        }
    }
}
