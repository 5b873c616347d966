//! The ledger of a running service: what is entered, and when; and what is not.

mod asked;
mod bounces;
mod forwarding;
pub mod known;
mod sends;
mod true_bounces;
mod writing;
