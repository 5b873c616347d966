//! `publish` from SPF records and back again: every file of `testdata/publish` is a small DNS and a
//! record shaped as they are in the world. What is made of it covers the same addresses, or says
//! exactly which it does not, and the check agrees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../world/mod.rs"]
mod world;

mod agreement;
mod linting;
mod round_trip;
mod surveying;
mod writers;
