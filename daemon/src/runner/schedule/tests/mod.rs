//! The schedule on a clock of its own.

mod operator;
mod year;
