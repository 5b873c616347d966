//! The MAIL-FROM check against whole worlds: every scenario of `testdata/zone`, and properties
//! that must hold in any world (PROTOCOLS A.6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../world/mod.rs"]
mod world;

mod properties;
mod scenarios;
