//! The ledger of a running service: what is entered, and when; and what is not.

mod bounces;
mod known;
mod writing;
