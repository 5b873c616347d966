//! What delivery has written of the envelope into a message's header: Return-Path (RFC 5321 §4.4), and the recipient,
//! for which there are two customs. Only what stands above the first Received field is read: delivery writes there, and
//! what stands below came with the message.

use vouchsafe_proto::addr::{ForwardPath, ReversePath};

/// Octets of a message that are looked through: delivery writes above all else.
pub const MOST: usize = 64 * 1024;

/// What delivery wrote.
#[derive(Debug, Default)]
pub struct Envelope {
    /// By the topmost Return-Path of them.
    pub reverse_path: Option<ReversePath>,
    /// By all Delivered-To and X-Original-To fields of them that hold an address.
    pub recipients: Vec<ForwardPath>,
}

/// Reads the header at the top of a message.
pub fn read(message: &[u8]) -> Envelope {
    let mut envelope = Envelope::default();
    let mut topmost = true;
    for (name, value) in fields(message) {
        if name.eq_ignore_ascii_case("received") {
            break;
        }
        let value = value.trim();
        if name.eq_ignore_ascii_case("return-path") && std::mem::take(&mut topmost) {
            envelope.reverse_path = ReversePath::parse_prefix(value).ok().map(|(path, _)| path);
        }
        let is_recipient = ["delivered-to", "x-original-to"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        if is_recipient {
            let bare = value.trim_start_matches('<').trim_end_matches('>');
            envelope.recipients.extend(ForwardPath::parse_inside(bare));
        }
    }
    envelope
}

/// The fields of a header, unfolded.
fn fields(message: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(message).lines() {
        if line.is_empty() {
            break;
        }
        match (line.split_once(':'), fields.last_mut()) {
            (_, Some((_, value))) if line.starts_with([' ', '\t']) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (Some((name, value)), _) => {
                fields.push((name.trim_end().to_owned(), value.trim().to_owned()));
            }
            (None, _) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_delivery_wrote_is_found() {
        let envelope = read(
            b"Return-Path:\r\n <a@example.org>\r\nDelivered-To: b@example.net\r\n\
              X-Original-To: <c@example.com>\r\nReturn-Path: <x@y>\r\nDelivered-To: nobody\r\n\r\n\
              Delivered-To: d@example.net\r\n",
        );
        assert_eq!(envelope.reverse_path.unwrap().to_string(), "a@example.org");
        let recipients: Vec<_> = envelope
            .recipients
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(recipients, ["b@example.net", "c@example.com"]);
        let below = read(
            b"Delivered-To: b@example.net\nreceived : from x\n by y\nReturn-Path: <a@b>\n\
              Delivered-To: c@example.net\nX-Original-To: d@example.net\n",
        );
        assert!(below.reverse_path.is_none());
        let recipients: Vec<_> = below.recipients.iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["b@example.net"]);
        assert!(
            read(b"To: x\n\nReturn-Path: <a@b>\n")
                .reverse_path
                .is_none()
        );
        let two = read(b"Return-Path: nobody\nReturn-Path: <a@b>\n");
        assert!(two.reverse_path.is_none());
        assert!(read(b"Return-Path: <>\n").reverse_path.unwrap().is_null());
    }
}
