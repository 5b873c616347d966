//! The header of a message, as it streams by: trace fields, loop count, what a report returns.
