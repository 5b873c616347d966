//! How the command line speaks to the running service: a Unix socket in the data folder, which only
//! the service's user and root can open.
//!
//! One request a connection: one line of JSON in; out come lines of JSON, the last of which is
//! `end` or `error` ([`wire`]). The service answers from the spool it holds; the command line opens
//! the spool itself only when nobody answers.

pub mod client;
mod serve;
#[cfg(test)]
mod tests;
pub mod wire;

pub use serve::{BindError, Control, Sources};
