//! Delivery status notifications: multipart/report by RFC 3464 and RFC 6522.
