//! The ledger of a running service: what is entered, and when; and what is not.

mod known;
mod writing;
