//! What a domain should publish, so that others can tell its mail from a forgery: the MAIL-FROM
//! sets, the text that says they are meant, the SPF record that says the same, and the host names
//! that an MX needs where only addresses are known (PROTOCOLS A.1).
//!
//! [`plan`] decides, within the budgets of a check, what of the senders a set can hold, and says of
//! the rest why not and what to do · [`records`] the records · [`text`] a piece of a zone file · [`change`] what is
//! different from what is published now · [`from_spf`] who
//! sends by an SPF record · [`order`] gathers from the DNS what the plan needs · [`doubt`] what is to be looked at first.
//!
//! # What it promises
//!
//! Nothing is left out in silence: a plan either covers every address of every sender, or names
//! what it does not cover. What it makes stays within the budgets of PROTOCOLS A.2.

pub mod change;
pub mod doubt;
mod entered;
pub mod from_spf;
pub mod left_out;
pub mod order;
pub mod plan;
pub mod records;
mod spf;
pub mod text;

/// Seconds that the records may be kept (draft §3.5).
pub const TTL: u32 = 3600;

/// Seconds while the records change (draft §3.5).
pub const TTL_CHANGING: u32 = 300;
