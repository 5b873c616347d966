//! Next hops that keep to a script, and a DNS in which they are found.

pub mod hop;
pub mod world;
