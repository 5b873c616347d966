//! The configuration: one TOML file, read whole or not at all.
//!
//! Promises: every mistake is reported at once, with file, line, key and, for a key that does not
//! exist, the nearest that does; a [`Config`] that came out of here has been checked for itself
//! (types, bounds, addresses) and for its parts' agreement (certificate and key, loops, schedule).
//!
//! [`keys`] says what there is, `read` takes values out of the file, `load` puts them together,
//! `validate` looks across sections, [`schema`] is what the service works with.

pub mod keys;
mod load;
mod nearest;
mod problem;
mod read;
pub mod schema;
pub mod units;
mod validate;

#[cfg(test)]
mod documents;
#[cfg(test)]
mod tests;

pub use load::{Loaded, data_dir, load, parse};
pub use problem::{LoadError, Problem};
pub use schema::Config;
#[cfg(test)]
pub use tests::certificate as test_certificate;

/// Where the configuration is, unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/etc/vouchsafe/vouchsafe.toml";
