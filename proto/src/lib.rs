//! What Vouchsafe decides, and nothing else: addresses, replies, envelopes, the SMTP machines,
//! the verdict on a reverse-path, retry times, delivery reports.
//!
//! # The drain contract
//!
//! *A machine is advanced by one input together with the current time; it yields actions; the
//! driver performs all of them, in order, before it gives the next input.*
//!
//! Inputs are bytes, an answer (from DNS, the spool, the verifier), a timer, the end of the
//! stream. Actions are write, ask, set a timer, start TLS, append or drop content, close. Each
//! ask carries a small number; a late answer to a finished question is dropped by the machine,
//! not by the driver. A question to the world ("MX of x?") is an action, its answer an input.
//!
//! # What is not here
//!
//! Sockets, files, clocks, randomness, threads, logging. The crate is `no_std`, so the compiler
//! keeps that line. Where a decision needs chance (jitter, a probe label), the driver hands it in.
//!
//! # Map
//!
//! [`addr`] paths and domains · [`reply`] what SMTP answers · [`envelope`] what is kept of a
//! transaction · [`outcome`] how a delivery ended · [`custody`] the only way to 250 · [`cutthrough`] the held path, and who is told 250 by it · [`dns`] our
//! own questions and answers · [`smtp`] the receive and deliver machines · [`verify`] evidence and
//! verdict · [`route`] where a recipient's mail goes · [`mx`] which hosts, in which order ·
//! [`tls_policy`] what TLS a host must give · [`survey`] what a domain publishes, gathered · [`publish`] what it should publish · [`lint`] what is
//! wrong with it · [`residue`] the ledger's question · [`retry`] when to try again · [`dsn`] what is reported · [`message`] the header, as
//! it streams by.

#![no_std]

extern crate alloc;

pub mod addr;
pub mod custody;
pub mod cutthrough;
pub mod dns;
pub mod dsn;
pub mod envelope;
pub mod lint;
pub mod message;
pub mod mx;
pub mod outcome;
pub mod perimeter;
pub mod publish;
pub mod queue_id;
pub mod reply;
pub mod residue;
pub mod retry;
pub mod route;
pub mod smtp;
pub mod survey;
pub mod time;
pub mod tls_policy;
pub mod verify;
