//! What is wrong with a configuration, in the words a postmaster reads.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The line it is on, from 1; none when something is not there at all.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// The key that was probably meant.
    pub suggestion: Option<String>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It has these mistakes, by line; at least one.
    #[error("{}", Lines { path, problems })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The mistakes.
        problems: Vec<Problem>,
    },
}

/// Each mistake on a line, in the form editors jump to: `file:line: message`.
struct Lines<'a> {
    path: &'a std::path::Path,
    problems: &'a [Problem],
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some(line) = problem.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean \"{suggestion}\"?"),
            None => Ok(()),
        }
    }
}
