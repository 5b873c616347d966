//! SMTP, both sides, without a socket: framing, commands, the receive and the deliver machine.

pub mod deliver;
pub mod receive;
pub mod reply_reader;
