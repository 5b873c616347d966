//! Next hops that keep to a script, and a DNS in which they are found; and what is kept of sessions
//! with them.

mod answers;
pub mod hop;
mod sessions;
pub mod world;
