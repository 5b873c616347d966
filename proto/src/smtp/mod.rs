//! SMTP, both sides, without a socket: framing, commands, the receive and the deliver machine.

pub mod command;
pub mod deliver;
pub mod extension;
pub mod framing;
pub mod on_behalf;
pub mod parameters;
pub mod receive;
pub mod reply_reader;
pub mod xhold;
