//! The envelope: what a transaction agreed on besides the content (RFC 5321 §2.3.1).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use crate::addr::{ForwardPath, ReversePath};
use crate::verify::VerdictResult;

/// BODY of MAIL (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// Seven-bit lines.
    #[default]
    SevenBit,
    /// Lines that may hold octets above 127.
    EightBitMime,
}

/// What is kept of a transaction, from MAIL to the last report about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// To whom a failure is reported, if to anybody.
    pub reverse_path: ReversePath,
    /// What was found about it. A DSN goes to no repudiated reverse-path (DESIGN §2).
    pub verdict: VerdictResult,
    /// Who gave us the message.
    pub origin: Origin,
    /// BODY.
    pub body: BodyType,
    /// SMTPUTF8 was asked for (RFC 6531 §3.4): only a hop that offers it may have the message.
    pub smtputf8: bool,
    /// The recipients accepted, in order; never none.
    pub recipients: Vec<ForwardPath>,
    /// The fields that we put above the content: whole lines, each with its CRLF; empty for our own
    /// reports. They are known only at the end of the content, which is why they are here; whoever
    /// reads the content from the spool gets them first.
    pub trace: Box<str>,
}

/// Who gave us a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client over SMTP.
    Client {
        /// Its address.
        address: IpAddr,
        /// What it called itself in EHLO or HELO.
        helo: Box<str>,
    },
    /// We made it: a report.
    Ourselves,
}

impl Origin {
    /// For logs and listings: the address, or `-`.
    pub fn describe(&self) -> String {
        match self {
            Self::Client { address, .. } => alloc::format!("{address}"),
            Self::Ourselves => String::from("-"),
        }
    }
}
