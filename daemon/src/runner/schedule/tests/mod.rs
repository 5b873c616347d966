//! The schedule on a clock of its own.

mod year;
